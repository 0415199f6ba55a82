//! Writes a run's events into the database.

use std::collections::BTreeMap;

use outrigger_door::{Failure, Reason, StepKey};
use outrigger_jobs::steps::{LogLevel, StepFailure};
use outrigger_jobs::workflow::{RunEvent, RunEventKind, RunObserver, StepStatus};
use outrigger_journal::{LogLine, RunWriter, Status, StepFinished, StepStarted};
use serde_json::Value;

/// Stores steps, log lines and everything else that happens.
pub(crate) struct StoringObserver {
    pub(crate) writer: RunWriter,
    /// Digest by provider id.
    pub(crate) digests: BTreeMap<String, String>,
}

fn level(level: LogLevel) -> outrigger_journal::LogLevel {
    match level {
        LogLevel::Debug => outrigger_journal::LogLevel::Debug,
        LogLevel::Verbose => outrigger_journal::LogLevel::Verbose,
        LogLevel::Info => outrigger_journal::LogLevel::Normal,
        LogLevel::Warn => outrigger_journal::LogLevel::Warn,
        LogLevel::Error => outrigger_journal::LogLevel::Error,
    }
}

fn status(status: StepStatus) -> Status {
    match status {
        StepStatus::Succeeded | StepStatus::Handled => Status::Succeeded,
        StepStatus::Failed => Status::Failed,
        StepStatus::Aborted => Status::Aborted,
        StepStatus::Halted => Status::Other("halted".to_owned()),
        StepStatus::DryRun => Status::Other("dry-run".to_owned()),
        StepStatus::Skipped => Status::Other("skipped".to_owned()),
    }
}

/// The class of a failure, by the name that an error handler reads; what only a workflow can say is a remote failure.
fn failure(failure: &StepFailure) -> Failure {
    let reasons = [
        Reason::Authentication,
        Reason::AccessDenied,
        Reason::NotFound,
        Reason::InvalidInput,
        Reason::Throttled,
        Reason::Conflict,
        Reason::Timeout,
        Reason::Cancelled,
        Reason::Connection,
        Reason::Internal,
    ];
    let reason = reasons.into_iter().find(|reason| reason.as_result_reason() == failure.reason);
    Failure {
        reason: reason.unwrap_or(Reason::Remote),
        code: Some(failure.reason.clone()),
        message: failure.message.clone(),
        retryable: failure.retryable,
    }
}

impl RunObserver for StoringObserver {
    fn event(&self, event: &RunEvent) {
        let at_unix_micros = event.at.as_microsecond();
        let key = |step: &str, node: &str, attempt: u32| StepKey {
            run: event.run,
            path: step.to_owned(),
            node: node.to_owned(),
            attempt,
        };
        match &event.kind {
            RunEventKind::StepStarted { step, node, attempt, label, what } => {
                self.writer.step_started(StepStarted {
                    key: key(step, node, *attempt),
                    label: label.clone(),
                    plugin: what.clone(),
                    digest: self.digests.get(what).cloned(),
                    at_unix_micros,
                });
            }
            RunEventKind::StepFinished { step, node, attempt, status: ended, failure: why, outputs, .. } => {
                self.writer.step_finished(StepFinished {
                    key: key(step, node, *attempt),
                    status: status(*ended),
                    failure: why.as_ref().map(failure),
                    outputs: (!outputs.is_empty()).then(|| Value::Object(outputs.clone())),
                    at_unix_micros,
                });
            }
            RunEventKind::Log { step, node, level: importance, text, data_type, .. } => {
                self.writer.log(LogLine {
                    at_unix_micros,
                    path: Some(step.clone()),
                    node: Some(node.clone()),
                    level: level(*importance),
                    text: text.clone(),
                    data_type: data_type.clone(),
                });
            }
            RunEventKind::Progress { .. } => {}
            _ => {
                if let Ok(Value::Object(mut body)) = serde_json::to_value(&event.kind) {
                    let kind = match body.shift_remove("event") {
                        Some(Value::String(kind)) => kind,
                        _ => "event".to_owned(),
                    };
                    self.writer.event(&kind, Value::Object(body));
                }
            }
        }
    }
}
