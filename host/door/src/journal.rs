//! What the door writes down: intents before a write, their outcome after it, and an audit record per attempt.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::{Effect, Failure, StepKey};

/// A boxed future, so that a journal can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A write that is about to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The step attempt that makes the call.
    pub step: StepKey,
    /// Position among the door calls of the attempt, from 1.
    pub sequence: u64,
    /// The contract function, such as `outrigger:aws-ec2/instances@0.1.0#start-instances`.
    pub function: String,
    /// The AWS action, such as `ec2:StartInstances`; empty where the call is none of AWS's.
    pub action: String,
    /// SHA-256 of the redacted input's canonical JSON, in hexadecimal.
    pub input_digest: String,
    /// How the write behaves when it is repeated.
    pub effect: Effect,
    /// The client token that the host filled in, if the operation takes one.
    pub token: Option<String>,
}

/// How a written intent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentOutcome {
    /// The service said yes.
    Done,
    /// The service said no, so nothing was changed.
    Refused(Failure),
    /// Nobody knows: the call was interrupted, or its answer never came.
    Unknown,
}

/// An intent without a known outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InDoubt {
    /// The intent.
    pub intent: Intent,
    /// When it was written, in microseconds since 1970-01-01T00:00:00Z.
    pub at_unix_micros: i64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// The service answered with success.
    Ok,
    /// The service, or the way to it, answered with an error.
    Error {
        /// The service's code, or the class where there is none.
        code: String,
        /// HTTP status, 0 where no answer came.
        status: u16,
    },
    /// The door refused; nothing was sent.
    Denied {
        /// The grant that is missing, ready to paste into a configuration file.
        missing: String,
    },
    /// A dry run stopped here; nothing was sent.
    DryRun,
    /// The call was interrupted: whether it took effect is not known.
    Unknown,
}

/// One AWS attempt, or one refusal of the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The step attempt.
    pub step: StepKey,
    /// Provider id of the plugin.
    pub plugin: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The contract function that the guest called.
    pub function: String,
    /// AWS service, such as `ec2`.
    pub service: String,
    /// AWS operation, such as `StartInstances`.
    pub action: String,
    /// Region that the request was signed for.
    pub region: Option<String>,
    /// Account of the credentials.
    pub account: Option<String>,
    /// ARN of the identity, where it is known.
    pub principal: Option<String>,
    /// The service's request id.
    pub request_id: Option<String>,
    /// Position of the attempt among those of the same AWS call, from 1.
    pub attempt: u32,
    /// Start, in microseconds since 1970-01-01T00:00:00Z.
    pub at_unix_micros: i64,
    /// How long it took, in microseconds.
    pub duration_micros: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: AuditOutcome,
}

/// The journal could not be written; the write that it announces must not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to write the run journal: {0}")]
pub struct JournalError(pub String);

/// Where a run's intents and audit records go.
pub trait Journal: Send + Sync + 'static {
    /// Writes an intent; it is on disk when this returns.
    fn intent(&self, intent: Intent) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Writes how the intent with this step and sequence ended. Queued: on disk soon, in order.
    fn outcome(&self, step: &StepKey, sequence: u64, outcome: IntentOutcome);

    /// Writes an audit record. Queued: on disk soon, in order.
    fn audit(&self, record: AuditRecord);

    /// Intents of earlier attempts of the same step (same run, path and node) whose outcome is unknown.
    fn in_doubt<'a>(&'a self, step: &'a StepKey) -> BoxFuture<'a, Result<Vec<InDoubt>, JournalError>>;
}
