//! One step: its attempts, and its error handler.

use std::sync::Arc;

use jiff::Timestamp;
use outrigger_door::StepKey;
use serde_json::{Map, Value};

use super::call::{attempt, refused};
use super::engine::{Engine, JobScope};
use super::event::RunEventKind;
use super::report::{RunStatus, StepReport, StepStatus};
use super::run::wait;
use super::sequence::label_of;
use super::sink::shown_outputs;
use crate::context::{Group, LOCAL_NODE, View};
use crate::file::{JobReference, Retry, Step, StepKind};
use crate::steps::StepFailure;

/// What a step's end means for the steps after it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StepEnd {
    /// They run.
    Continue,
    /// The step failed.
    Failed(String),
    /// The step failed, its handler succeeded, and does not let the job go on.
    HandledThenStop(String),
    /// The step ended the job.
    Halted(RunStatus, Option<String>),
    /// The run was cancelled, or the job's time is over.
    Cancelled,
    /// The host cannot go on.
    Fatal(String),
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AttemptEnd {
    Succeeded,
    Failed(StepFailure),
    /// A dry run ended it before its first write.
    Stopped {
        action: String,
        input: Map<String, Value>,
        /// The step whose output it needs, if that is why.
        depends_on: Option<String>,
    },
    Halted(RunStatus, Option<String>),
    Cancelled,
    Fatal(String),
    /// It had nothing to do.
    Skipped(String),
}

/// A step in its place.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) engine: Arc<Engine>,
    pub(super) scope: Arc<JobScope>,
    /// The step itself, or its error handler.
    pub(super) step: Step,
    pub(super) path: String,
    /// Position in its own job, from 1.
    pub(super) number: u32,
    pub(super) view: View,
    /// Names under which later steps find its outputs.
    pub(super) labels: Vec<String>,
}

/// All attempts of a step.
struct Tried {
    end: AttemptEnd,
    attempts: u32,
    outputs: Map<String, Value>,
    started: Timestamp,
}

/// What a step runs, in a few words.
pub(super) fn describe(step: &Step) -> String {
    match &step.kind {
        StepKind::Plugin { provider, .. } => provider.value.clone(),
        StepKind::Exec { .. } => "exec".to_owned(),
        StepKind::Script(_) => "script".to_owned(),
        StepKind::ScriptFile { .. } => "scriptfile".to_owned(),
        StepKind::ScriptUrl { .. } => "scripturl".to_owned(),
        StepKind::JobRef(reference) => format!("job: {}", reference_name(reference)),
    }
}

/// How a job reference names its job.
pub(super) fn reference_name(reference: &JobReference) -> String {
    let name = match (&reference.group, &reference.name) {
        (Some(group), Some(name)) => Some(format!("{}/{}", group.value, name.value)),
        (None, Some(name)) => Some(name.value.clone()),
        _ => None,
    };
    name.or_else(|| reference.uuid.as_ref().map(|uuid| uuid.value.clone())).unwrap_or_default()
}

fn work(
    engine: Arc<Engine>,
    scope: Arc<JobScope>,
    step: Step,
    index: usize,
    suffix: &str,
    result: Option<Group>,
) -> Work {
    let number = index + 1;
    let node = step.is_node_step().then(|| LOCAL_NODE.to_owned());
    let mut labels: Vec<String> = Vec::new();
    for label in [&step.label, &step.description].into_iter().flatten() {
        if !label.value.is_empty() && !labels.contains(&label.value) {
            labels.push(label.value.clone());
        }
    }
    Work {
        path: format!("{}{number}{suffix}", scope.prefix),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        view: View { node, result },
        labels,
        engine,
        scope,
        step,
    }
}

pub(super) async fn run_step(engine: Arc<Engine>, scope: Arc<JobScope>, index: usize) -> StepEnd {
    let Some(step) = scope.job.sequence.steps.get(index).cloned() else { return StepEnd::Continue };
    let path = format!("{}{}", scope.prefix, index + 1);
    if !step.enabled {
        engine.skip(&path, label_of(&step), &describe(&step), "it is disabled");
        return StepEnd::Continue;
    }
    let handler = step.error_handler.clone();
    let work = work(Arc::clone(&engine), Arc::clone(&scope), step, index, "", None);
    let tried = try_step(&work).await;
    let failure = match &tried.end {
        AttemptEnd::Failed(failure) => failure.clone(),
        AttemptEnd::Succeeded | AttemptEnd::Stopped { .. } | AttemptEnd::Skipped(_) => {
            report(&work, tried, None);
            return StepEnd::Continue;
        }
        AttemptEnd::Halted(status, message) => {
            let end = StepEnd::Halted(status.clone(), message.clone());
            report(&work, tried, None);
            return end;
        }
        AttemptEnd::Cancelled => {
            report(&work, tried, None);
            return StepEnd::Cancelled;
        }
        AttemptEnd::Fatal(message) => {
            let end = StepEnd::Fatal(message.clone());
            report(&work, tried, None);
            return end;
        }
    };
    let failed = || format!("step {path} failed: {}", failure.message);
    let Some(handler) = handler.filter(|handler| handler.step.enabled && !scope.cancel.is_cancelled()) else {
        report(&work, tried, None);
        return StepEnd::Failed(failed());
    };
    let handler_work = self::work(
        Arc::clone(&engine),
        Arc::clone(&scope),
        handler.step.clone(),
        index,
        "e",
        Some(result_group(&engine, &failure)),
    );
    let handled = try_step(&handler_work).await;
    let handler_end = handled.end.clone();
    report(&handler_work, handled, None);
    match handler_end {
        // What a dry run stopped is not seen here: the handler counts as one that does its work.
        AttemptEnd::Succeeded | AttemptEnd::Stopped { .. } | AttemptEnd::Skipped(_) => {
            report(&work, tried, Some(StepStatus::Handled));
            if handler.keepgoing_on_success {
                StepEnd::Continue
            } else {
                let message = format!("{}; its error handler succeeded, without `keepgoingOnSuccess`", failed());
                StepEnd::HandledThenStop(message)
            }
        }
        AttemptEnd::Failed(own) => {
            let message = format!("{}; its error handler failed too: {}", failed(), own.message);
            // The handler's result is the step's.
            report(&work, Tried { end: AttemptEnd::Failed(own), ..tried }, None);
            StepEnd::Failed(message)
        }
        AttemptEnd::Halted(status, message) => {
            report(&work, tried, Some(StepStatus::Handled));
            StepEnd::Halted(status, message)
        }
        AttemptEnd::Cancelled => {
            report(&work, tried, None);
            StepEnd::Cancelled
        }
        AttemptEnd::Fatal(message) => {
            report(&work, tried, None);
            StepEnd::Fatal(message)
        }
    }
}

/// `${result.*}` of an error handler.
fn result_group(engine: &Engine, failure: &StepFailure) -> Group {
    let failure = engine.clean_failure(failure);
    let code = failure.result_code.map(|code| code.to_string()).unwrap_or_default();
    [
        ("reason", failure.reason),
        ("message", failure.message),
        ("resultCode", code),
        ("failedNodes", LOCAL_NODE.to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.into()))
    .collect()
}

/// Makes attempts until one succeeds or the step's own `retry` is used up.
async fn try_step(work: &Work) -> Tried {
    let engine = &work.engine;
    let started = engine.now();
    let (retries, delay) = retry_settings(work, work.step.retry.as_ref());
    let mut attempts: u32 = 0;
    loop {
        let key = StepKey {
            run: engine.run,
            path: work.path.clone(),
            node: LOCAL_NODE.to_owned(),
            attempt: engine.next_attempt(&work.path),
        };
        attempts = attempts.saturating_add(1);
        let attempt_started = engine.now();
        engine.emit(RunEventKind::StepStarted {
            step: work.path.clone(),
            node: key.node.clone(),
            attempt: key.attempt,
            label: label_of(&work.step).map(|label| engine.clean(label)),
            what: engine.clean(&describe(&work.step)),
        });
        let (mut end, outputs) = attempt(work, &key).await;
        match &end {
            // A step that fails because it was told to stop, or because the job's time is over, did not fail.
            AttemptEnd::Failed(_) if work.scope.is_over(engine.now()) => end = AttemptEnd::Cancelled,
            AttemptEnd::Cancelled if !work.scope.is_over(engine.now()) => {
                end = refused("Cancelled", "the step was cancelled by something other than this run");
            }
            _ => {}
        }
        let outputs = shown_outputs(engine, &outputs);
        let again = matches!(end, AttemptEnd::Failed(_)) && attempts <= retries;
        if let AttemptEnd::Stopped { action, input, depends_on } = &end {
            let input = engine.clean_json(Value::Object(input.clone()));
            engine.emit(RunEventKind::DryRun {
                step: work.path.clone(),
                node: key.node.clone(),
                action: engine.clean(action),
                input: input.as_object().cloned().unwrap_or_default(),
                depends_on: depends_on.clone(),
            });
        }
        engine.emit(RunEventKind::StepFinished {
            step: work.path.clone(),
            node: key.node.clone(),
            attempt: key.attempt,
            status: status(&end),
            failure: match &end {
                AttemptEnd::Failed(failure) => Some(engine.clean_failure(failure)),
                _ => None,
            },
            outputs: outputs.clone(),
            duration_ms: engine.millis_since(attempt_started),
            will_retry: again,
        });
        if !again {
            return Tried { end, attempts, outputs, started };
        }
        if !wait(engine, &work.scope.cancel, delay).await {
            return Tried { end: AttemptEnd::Cancelled, attempts, outputs, started };
        }
    }
}

fn retry_settings(work: &Work, retry: Option<&Retry>) -> (u32, std::time::Duration) {
    let Some(retry) = retry else { return (0, std::time::Duration::ZERO) };
    let warn = |why: String| {
        work.engine.warn_once(
            Some(&work.path),
            &format!("`retry` of the step cannot be read, so it is not tried again: {why}"),
        );
    };
    let count = match work.scope.setting(Some(&retry.count), &work.view) {
        Ok(None) => 0,
        Ok(Some(text)) => text.parse().unwrap_or_else(|_| {
            warn(format!("`{text}` is no whole number"));
            0
        }),
        Err(why) => {
            warn(why);
            0
        }
    };
    let delay = work.scope.duration(retry.delay.as_ref(), &work.view).unwrap_or_else(|why| {
        warn(why);
        None
    });
    (count, delay.unwrap_or_default())
}

fn status(end: &AttemptEnd) -> StepStatus {
    match end {
        AttemptEnd::Succeeded => StepStatus::Succeeded,
        AttemptEnd::Failed(_) | AttemptEnd::Fatal(_) => StepStatus::Failed,
        AttemptEnd::Stopped { .. } => StepStatus::DryRun,
        AttemptEnd::Halted(..) => StepStatus::Halted,
        AttemptEnd::Cancelled => StepStatus::Aborted,
        AttemptEnd::Skipped(_) => StepStatus::Skipped,
    }
}

fn report(work: &Work, tried: Tried, known: Option<StepStatus>) {
    let engine = &work.engine;
    engine.report(StepReport {
        step: work.path.clone(),
        node: LOCAL_NODE.to_owned(),
        label: label_of(&work.step).map(|label| engine.clean(label)),
        what: engine.clean(&describe(&work.step)),
        status: known.unwrap_or_else(|| status(&tried.end)),
        attempts: tried.attempts,
        failure: match &tried.end {
            AttemptEnd::Failed(failure) => Some(engine.clean_failure(failure)),
            _ => None,
        },
        outputs: tried.outputs,
        duration_ms: engine.millis_since(tried.started),
    });
}
