//! What writes to one run.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use outrigger_door::{
    AuditOutcome, AuditRecord, BoxFuture, Failure, InDoubt, Intent, IntentOutcome, Journal, JournalError, RunId,
    StepKey,
};
use outrigger_redaction::Redactor;
use serde_json::Value;

use crate::queue::{First, Row};
use crate::store::now;
use crate::{Error, LogLine, NewRun, Result, Status, StepFinished, StepStarted, Store};

/// Writes to one run, masking every text and JSON column. Clones share the run.
#[derive(Clone)]
pub struct RunWriter {
    store: Store,
    run: RunId,
    redactor: Redactor,
    /// Names of nodes (and paths) that hold a secret, and what they are called instead. Two nodes must stay two.
    names: Arc<Mutex<HashMap<String, String>>>,
}

impl RunWriter {
    pub(crate) fn new(store: Store, run: RunId, redactor: Redactor) -> Self {
        Self { store, run, redactor, names: Arc::default() }
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Queues that a step attempt starts.
    pub fn step_started(&self, step: StepStarted) {
        self.store.queue().push_row(Row::StepStarted(Box::new(StepStarted {
            key: self.key(step.key),
            label: self.option(step.label),
            plugin: self.text(step.plugin),
            digest: self.option(step.digest),
            at_unix_micros: step.at_unix_micros,
        })));
    }

    /// Queues that a step attempt ended.
    pub fn step_finished(&self, step: StepFinished) {
        self.store.queue().push_row(Row::StepFinished(Box::new(StepFinished {
            key: self.key(step.key),
            status: status(&self.redactor, step.status),
            failure: step.failure.map(|failure| self.failure(failure)),
            outputs: self.json(step.outputs),
            at_unix_micros: step.at_unix_micros,
        })));
    }

    /// Queues a log line; lines are numbered in the order of these calls.
    pub fn log(&self, line: LogLine) {
        let line = LogLine {
            at_unix_micros: line.at_unix_micros,
            path: line.path.map(|path| self.name(path)),
            node: line.node.map(|node| self.name(node)),
            level: line.level,
            text: self.text(line.text),
            data_type: self.option(line.data_type),
        };
        self.store.queue().push_row(Row::Log { run: self.run, line });
    }

    /// Queues an event that happens now.
    pub fn event(&self, kind: &str, mut body: Value) {
        self.redactor.redact_json(&mut body);
        let kind = self.redactor.redact(kind).into_owned();
        self.store.queue().push_row(Row::Event { run: self.run, at: now(), kind, body });
    }

    /// Waits while a lot is queued.
    pub async fn room(&self) {
        self.store.room().await;
    }

    /// Waits until everything that was queued is on the disk.
    ///
    /// # Errors
    /// See [`Store::flush`].
    pub async fn flush(&self) -> Result<()> {
        self.store.flush().await
    }

    /// Ends the run, after everything that was queued before.
    ///
    /// # Errors
    /// See [`Store::finish_run`].
    pub async fn finish(&self, end: Status, message: Option<String>, outputs: Option<Value>) -> Result<()> {
        let (message, outputs) = (self.option(message), self.json(outputs));
        self.store.finish_run(self.run, status(&self.redactor, end), message, outputs).await
    }

    fn text(&self, text: String) -> String {
        masked(&self.redactor, text)
    }

    fn option(&self, text: Option<String>) -> Option<String> {
        text.map(|text| self.text(text))
    }

    fn json(&self, value: Option<Value>) -> Option<Value> {
        value.map(|mut value| {
            self.redactor.redact_json(&mut value);
            value
        })
    }

    fn failure(&self, failure: Failure) -> Failure {
        Failure { code: self.option(failure.code), message: self.text(failure.message), ..failure }
    }

    fn key(&self, key: StepKey) -> StepKey {
        StepKey { path: self.name(key.path), node: self.name(key.node), ..key }
    }

    fn name(&self, name: String) -> String {
        let std::borrow::Cow::Owned(masked) = self.redactor.redact(&name) else { return name };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let number = names.len() + 1;
        names.entry(name).or_insert_with(|| format!("{masked} ({number})")).clone()
    }
}

fn masked(redactor: &Redactor, text: String) -> String {
    match redactor.redact(&text) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(masked) => masked,
    }
}

fn status(redactor: &Redactor, status: Status) -> Status {
    match status {
        Status::Other(word) => Status::Other(masked(redactor, word)),
        known => known,
    }
}

pub(crate) fn redacted_run(redactor: &Redactor, run: NewRun) -> NewRun {
    let mut arguments = run.arguments;
    redactor.redact_json(&mut arguments);
    NewRun {
        project: masked(redactor, run.project),
        job_id: run.job_id.map(|id| masked(redactor, id)),
        job_name: masked(redactor, run.job_name),
        job_group: masked(redactor, run.job_group),
        user: masked(redactor, run.user),
        arguments,
        mode: masked(redactor, run.mode),
        parent: run.parent,
    }
}

fn journal_error(error: Error) -> JournalError {
    JournalError(match error {
        Error::Write { reason } => reason,
        other => other.to_string(),
    })
}

impl Journal for RunWriter {
    fn intent(&self, intent: Intent) -> BoxFuture<'_, Result<(), JournalError>> {
        let intent = Box::new(Intent {
            step: self.key(intent.step),
            sequence: intent.sequence,
            function: self.text(intent.function),
            action: self.text(intent.action),
            input_digest: self.text(intent.input_digest),
            effect: intent.effect,
            token: self.option(intent.token),
        });
        Box::pin(async move {
            self.store.ask_first(|reply| First::Intent { intent, at: now(), reply }).await.map_err(journal_error)
        })
    }

    fn outcome(&self, step: &StepKey, sequence: u64, outcome: IntentOutcome) {
        let outcome = match outcome {
            IntentOutcome::Refused(failure) => IntentOutcome::Refused(self.failure(failure)),
            other => other,
        };
        self.store.queue().push_first(First::Outcome { step: self.key(step.clone()), sequence, outcome });
    }

    fn audit(&self, record: AuditRecord) {
        let outcome = match record.outcome {
            AuditOutcome::Error { code, status } => AuditOutcome::Error { code: self.text(code), status },
            AuditOutcome::Denied { missing } => AuditOutcome::Denied { missing: self.text(missing) },
            other => other,
        };
        self.store.queue().push_row(Row::Audit(Box::new(AuditRecord {
            step: self.key(record.step),
            plugin: self.text(record.plugin),
            digest: self.text(record.digest),
            function: self.text(record.function),
            service: self.text(record.service),
            action: self.text(record.action),
            region: self.option(record.region),
            account: self.option(record.account),
            principal: self.option(record.principal),
            request_id: self.option(record.request_id),
            outcome,
            ..record
        })));
    }

    fn in_doubt<'a>(&'a self, step: &'a StepKey) -> BoxFuture<'a, Result<Vec<InDoubt>, JournalError>> {
        let stored = self.key(step.clone());
        Box::pin(async move {
            let mut doubts =
                self.store.ask_first(|reply| First::InDoubt { step: stored, reply }).await.map_err(journal_error)?;
            for doubt in &mut doubts {
                // The caller knows the step by its own name.
                doubt.intent.step.path.clone_from(&step.path);
                doubt.intent.step.node.clone_from(&step.node);
            }
            Ok(doubts)
        })
    }
}

impl fmt::Debug for RunWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RunWriter(run {})", self.run)
    }
}
