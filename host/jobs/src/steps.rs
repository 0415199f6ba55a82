//! The seam between the workflow and what runs a plugin step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outrigger_door::{BoxFuture, StepKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

/// A configuration value after its references were replaced.
#[derive(Clone, PartialEq)]
pub struct ConfigurationValue {
    /// The value; text where a reference was replaced, the file's own type otherwise.
    pub value: Value,
    /// Whether the text holds a secret option or a stored key.
    pub secret: bool,
}

impl std::fmt::Debug for ConfigurationValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.secret {
            return formatter.write_str("ConfigurationValue(****)");
        }
        formatter.debug_tuple("ConfigurationValue").field(&self.value).finish()
    }
}

/// One attempt of a plugin step, with everything expanded.
#[derive(Clone, Debug)]
pub struct PluginCall {
    /// Which attempt of which step.
    pub key: StepKey,
    /// Provider id, such as `aws-vm-start-step`.
    pub provider: String,
    /// Whether the job file says `nodeStep: true`.
    pub node_step: bool,
    /// `configuration`, expanded.
    pub configuration: BTreeMap<String, ConfigurationValue>,
    /// `credentials:` of the step: a named account, or a role ARN.
    pub credentials: Option<String>,
    /// `region:` of the step.
    pub region: Option<String>,
    /// `timeout:` of the step, or what is left of the job's.
    pub timeout: Option<Duration>,
    /// Cancelled when the run is.
    pub cancel: CancellationToken,
}

/// Level of a log line, as Rundeck names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// Details for someone who looks for a defect.
    Debug,
    /// More than most want to read.
    Verbose,
    /// What happened.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// A line of a step's log, before log filters. Control characters are still in it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Its level.
    pub level: LogLevel,
    /// One line, without its line break.
    pub text: String,
    /// MIME type of `text` where it is a document to be rendered, such as a table in `application/json`.
    pub data_type: Option<String>,
}

/// Where a step's log lines, progress and outputs go while it runs.
pub trait StepSink: Send + Sync + 'static {
    /// Takes a log line.
    fn log(&self, line: LogLine);

    /// Takes a progress report: units done, of how many if that is known, and what they are.
    fn progress(&self, done: u64, total: Option<u64>, what: &str);

    /// Sets a typed output of the step; the last value wins.
    fn output(&self, name: &str, value: Value);
}

/// Why a step failed, as an error handler reads it in `${result.*}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// `result.reason`: Rundeck's name where it has one, such as `NonZeroResultCode`.
    pub reason: String,
    /// `result.message`.
    pub message: String,
    /// `result.resultCode`, for steps that have an exit code.
    pub result_code: Option<i64>,
    /// Whether a repetition may succeed.
    pub retryable: bool,
}

/// How an attempt of a step ended.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed(StepFailure),
    /// A dry run ended it before its first write; error handlers, retries and keepgoing do not see this.
    DryRunStop {
        /// What would have been called, such as `ec2:StartInstances`.
        action: String,
        /// The call's input, redacted.
        input: Map<String, Value>,
    },
    /// The run was cancelled while it ran. Only where the call's token was cancelled.
    Cancelled,
    /// The host cannot go on with the run at all: a replay diverged, or the journal cannot be written.
    Fatal(String),
}

/// Runs plugin steps.
pub trait StepRunner: Send + Sync + 'static {
    /// Runs one attempt to its end. Never panics and never hangs beyond the call's timeout and grace.
    fn run(&self, call: PluginCall, sink: Arc<dyn StepSink>) -> BoxFuture<'_, StepOutcome>;
}

/// What checking a job file needs to know of the installed plugins.
pub trait PluginCatalog: Send + Sync {
    /// The plugin with this provider id (aliases resolved).
    fn plugin(&self, provider: &str) -> Option<PluginSummary>;

    /// All provider ids, for suggestions.
    fn providers(&self) -> Vec<String>;
}

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSummary {
    /// Provider id.
    pub provider: String,
    /// Title for people.
    pub title: String,
    /// JSON Schema of its configuration, with `x-outrigger-*` keywords.
    pub input_schema: Value,
    /// JSON Schema of its outputs.
    pub output_schema: Value,
    /// Worlds, such as `job-step`.
    pub worlds: Vec<String>,
}
