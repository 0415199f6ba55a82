//! How runs and steps end.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::steps::StepFailure;

/// How a run ended. As text it is Rundeck's word, or the custom status of a flow control step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RunStatus {
    /// All that had to succeed did.
    Succeeded,
    /// A step failed.
    Failed,
    /// It was cancelled.
    Aborted,
    /// It took longer than the job's `timeout`.
    TimedOut,
    /// A flow control step ended it with a status of its own; that is no success.
    Other(String),
}

impl RunStatus {
    /// Rundeck's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::TimedOut => "timedout",
            Self::Other(status) => status,
        }
    }

    /// Whether the run did what it should.
    pub fn is_success(&self) -> bool {
        *self == Self::Succeeded
    }
}

impl From<String> for RunStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "aborted" => Self::Aborted,
            "timedout" => Self::TimedOut,
            _ => Self::Other(text),
        }
    }
}

impl From<RunStatus> for String {
    fn from(status: RunStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// It succeeded.
    Succeeded,
    /// It failed, and so did its error handler if it has one.
    Failed,
    /// It failed and its error handler succeeded, so the step counts as succeeded.
    Handled,
    /// It ended the job.
    Halted,
    /// A dry run stopped it before its first write.
    DryRun,
    /// It did not run.
    Skipped,
    /// The run was cancelled, or timed out, while it ran.
    Aborted,
}

/// One step of a run, after its last attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Position, such as `2`, `2/1` or `2e`.
    pub step: String,
    /// Node.
    pub node: String,
    /// Its label.
    pub label: Option<String>,
    /// What it ran.
    pub what: String,
    /// How it ended.
    pub status: StepStatus,
    /// Attempts made; 0 for a step that did not run.
    pub attempts: u32,
    /// Why it failed; of a step that was handled, why it failed before.
    pub failure: Option<StepFailure>,
    /// Typed outputs, redacted.
    pub outputs: Map<String, Value>,
    /// How long all attempts took, with the waits between them, in milliseconds.
    pub duration_ms: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Its status.
    pub status: RunStatus,
    /// Why it did not succeed.
    pub message: Option<String>,
    /// The host could not go on: a replay diverged, or the journal could not be written.
    pub fatal: bool,
    /// Every step of the last attempt, those of job references and error handlers among them, in the order in which
    /// they ended.
    pub steps: Vec<StepReport>,
    /// What the job exported (`export.*`), redacted.
    pub exports: BTreeMap<String, String>,
    /// Attempts of the whole job.
    pub attempts: u32,
}
