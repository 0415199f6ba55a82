//! What all steps of a run share.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use outrigger_door::{BoxFuture, RunId};
use outrigger_redaction::Redactor;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::event::{EVENT_VERSION, RunEvent, RunEventKind};
use super::report::StepReport;
use super::{JobOrigin, MissingPlugins, RunLimits, WorkflowParts};
use crate::context::{DataContext, ExpandError, ExpandMode, Expanded, View};
use crate::file::{Job, Located, parse_duration};
use crate::filters::{LineBreaks, neutralise};
use crate::steps::{LogLevel, StepFailure};

/// How far two clocks of one run may be apart.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(20);

/// A run at work.
pub(super) struct Engine {
    pub(super) parts: Arc<WorkflowParts>,
    pub(super) run: RunId,
    pub(super) username: String,
    pub(super) dry_run: bool,
    pub(super) missing_plugins: MissingPlugins,
    pub(super) log_level: Option<LogLevel>,
    pub(super) limits: RunLimits,
    /// Attempts made of each step. They go on counting when the whole job is tried again: a key names one attempt of
    /// a run and no other, since client tokens are made of it.
    attempts: Mutex<HashMap<String, u32>>,
    reports: Mutex<Vec<StepReport>>,
    warned: Mutex<BTreeSet<String>>,
}

impl Engine {
    pub(super) fn new(parts: Arc<WorkflowParts>, request: &super::RunRequest) -> Self {
        Self {
            parts,
            run: request.run,
            username: request.username.clone(),
            dry_run: request.dry_run,
            missing_plugins: request.missing_plugins,
            log_level: request.log_level,
            limits: request.limits.clone(),
            attempts: Mutex::default(),
            reports: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    pub(super) fn redactor(&self) -> &Redactor {
        &self.parts.redactor
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.durable.now()
    }

    pub(super) fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.parts.durable.sleep(duration)
    }

    /// Milliseconds since a moment.
    pub(super) fn millis_since(&self, start: Timestamp) -> u64 {
        u64::try_from(self.now().duration_since(start).as_millis()).unwrap_or_default()
    }

    /// A text that may leave the run: one line, without secrets and control characters.
    pub(super) fn clean(&self, text: &str) -> String {
        let text = self.redactor().redact(text.trim_end());
        let text = if text.contains('\n') { Cow::Owned(text.replace("\r\n", " ").replace('\n', " ")) } else { text };
        neutralise(&text, LineBreaks::Escape).into_owned()
    }

    /// A JSON value that may leave the run. Line breaks in it stay.
    pub(super) fn clean_json(&self, mut value: Value) -> Value {
        self.redactor().redact_json(&mut value);
        neutralise_json(value)
    }

    pub(super) fn clean_failure(&self, failure: &StepFailure) -> StepFailure {
        StepFailure { reason: self.clean(&failure.reason), message: self.clean(&failure.message), ..failure.clone() }
    }

    pub(super) fn emit(&self, kind: RunEventKind) {
        let event = RunEvent { v: EVENT_VERSION, run: self.run, at: self.now(), kind };
        self.parts.observer.event(&event);
    }

    pub(super) fn warn(&self, step: Option<&str>, message: &str) {
        self.emit(RunEventKind::Warning { step: step.map(str::to_owned), message: self.clean(message) });
    }

    /// Warns once in the run.
    pub(super) fn warn_once(&self, step: Option<&str>, message: &str) {
        if lock(&self.warned).insert(message.to_owned()) {
            self.warn(step, message);
        }
    }

    pub(super) fn next_attempt(&self, path: &str) -> u32 {
        let mut attempts = lock(&self.attempts);
        let attempt = attempts.entry(path.to_owned()).or_default();
        *attempt = attempt.saturating_add(1);
        *attempt
    }

    pub(super) fn report(&self, report: StepReport) {
        lock(&self.reports).push(report);
    }

    pub(super) fn take_reports(&self) -> Vec<StepReport> {
        std::mem::take(&mut *lock(&self.reports))
    }

    /// Tells of a step that does not run.
    pub(super) fn skip(&self, path: &str, label: Option<&str>, what: &str, reason: &str) {
        let label = label.map(|label| self.clean(label));
        self.emit(RunEventKind::StepSkipped { step: path.to_owned(), label: label.clone(), reason: reason.to_owned() });
        self.report(StepReport {
            step: path.to_owned(),
            node: crate::context::LOCAL_NODE.to_owned(),
            label,
            what: self.clean(what),
            status: super::StepStatus::Skipped,
            attempts: 0,
            failure: None,
            outputs: serde_json::Map::new(),
            duration_ms: 0,
        });
    }
}

fn neutralise_json(value: Value) -> Value {
    let clean = |text: String| match neutralise(&text, LineBreaks::Keep) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clean) => clean,
    };
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(neutralise_json).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (clean(key), neutralise_json(value))).collect())
        }
        other => other,
    }
}

/// A poisoned lock guards values that are whole all the same: each is changed by one call.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One job of a run, in one attempt: the run's own or a referred one.
pub(super) struct JobScope {
    pub(super) job: Arc<Job>,
    pub(super) origin: JobOrigin,
    /// `2/` for the job that step 2 refers to.
    pub(super) prefix: String,
    pub(super) depth: u32,
    pub(super) context: Mutex<DataContext>,
    /// Cancelled with the run, or when this job's time is over.
    pub(super) cancel: CancellationToken,
    /// When its time, or that of a job around it, is over.
    pub(super) deadline: Option<Timestamp>,
    pub(super) timed_out: AtomicBool,
    pub(super) threshold: LogLevel,
    /// `credentials` and `region` of steps that name none.
    pub(super) credentials: Option<String>,
    pub(super) region: Option<String>,
}

impl JobScope {
    pub(super) fn expand(&self, text: &str, mode: ExpandMode, view: &View) -> Result<Expanded, ExpandError> {
        lock(&self.context).expand(text, mode, view)
    }

    /// Reads a setting of a job or step: its references are replaced, and a blank one counts as absent.
    pub(super) fn setting(&self, setting: Option<&Located<String>>, view: &View) -> Result<Option<String>, String> {
        let Some(setting) = setting else { return Ok(None) };
        let expanded = self.expand(&setting.value, ExpandMode::Argument, view).map_err(|error| error.to_string())?;
        Ok(Some(expanded.text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    pub(super) fn duration(&self, setting: Option<&Located<String>>, view: &View) -> Result<Option<Duration>, String> {
        match self.setting(setting, view)? {
            Some(text) => parse_duration(&text).map(Some),
            None => Ok(None),
        }
    }

    /// What is left of the job's time.
    pub(super) fn remaining(&self, now: Timestamp) -> Option<Duration> {
        self.deadline.map(|deadline| Duration::try_from(deadline.duration_since(now)).unwrap_or_default())
    }

    /// Whether the run was cancelled or the job's time is over. Steps are given what is left of it, so that one may
    /// end a moment before the job's own clock says so.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        if self.cancel.is_cancelled() {
            return true;
        }
        let over = self.remaining(now).is_some_and(|left| left < CLOCK_TOLERANCE);
        if over {
            self.timed_out.store(true, Ordering::Release);
            self.cancel.cancel();
        }
        over
    }

    pub(super) fn is_timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Acquire)
    }
}
