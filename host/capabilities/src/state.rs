//! What one sandbox works with: its door, its sinks, its handles.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_door::{BoxFuture, Door, Effect, Failure, Operation, Reason, Target};
use outrigger_redaction::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasmtime::component::{Resource, ResourceTable};

use crate::aws::{AwsClients, AwsIdentity};
use crate::bindings::outrigger::run::log::Level;
use crate::bindings::outrigger::step::types;
use crate::http::GuestHttp;
use crate::workspace::Workspace;

/// Where a guest's log lines, progress reports and outputs go.
pub trait GuestSink: Send + Sync + 'static {
    /// Takes a line, without its line break, or a document with its media type.
    fn log(&self, level: Level, text: &str, media_type: Option<&str>);

    /// Takes a progress report.
    fn progress(&self, done: u64, total: Option<u64>, what: &str);

    /// Takes an output.
    fn output(&self, name: &str, value: Value);
}

/// Opens the identity that a step works with.
pub trait Identities: Send + Sync + 'static {
    /// The step's own identity (`None`), or one that the step declared by name.
    fn open<'a>(&'a self, name: Option<&'a str>) -> BoxFuture<'a, Result<Arc<AwsIdentity>, Failure>>;
}

/// What a guest may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestLimits {
    /// Log lines and documents together.
    pub log_lines: u64,
    /// Bytes of one log line.
    pub log_line_bytes: usize,
    /// Bytes of one document or output.
    pub document_bytes: usize,
    /// Bytes of all outputs together.
    pub output_bytes: usize,
    /// Handles that are open at once.
    pub handles: usize,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            log_lines: 100_000,
            log_line_bytes: 64 * 1024,
            document_bytes: 1024 * 1024,
            output_bytes: 8 * 1024 * 1024,
            handles: 1_024,
        }
    }
}

/// What a sandbox is made with.
pub struct StepContext {
    /// The door of the step attempt.
    pub door: Arc<Door>,
    /// Where log lines and outputs go.
    pub sink: Arc<dyn GuestSink>,
    /// Opens identities.
    pub identities: Arc<dyn Identities>,
    /// AWS clients, shared by the whole process.
    pub clients: Arc<AwsClients>,
    /// Local files that the guest may name.
    pub workspace: Arc<Workspace>,
    /// Outgoing HTTP; none where the component imports none, or may reach nothing.
    pub http: Option<Arc<GuestHttp>>,
    /// Secrets by the field that they were configured in.
    pub secrets: BTreeMap<String, Secret>,
    /// What the guest may use up.
    pub limits: GuestLimits,
}

/// AWS credentials with a region, as a guest holds them. Without an identity in a replay.
#[derive(Clone, Debug)]
pub struct CredentialsHandle {
    pub(crate) identity: Option<Arc<AwsIdentity>>,
    pub(crate) region: Option<String>,
}

/// A secret, as a guest holds it.
#[derive(Clone, Debug)]
pub struct SecretHandle {
    pub(crate) secret: Secret,
}

impl SecretHandle {
    /// The secret; for the host alone.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// The state of one sandbox.
pub struct StepState {
    pub(crate) context: StepContext,
    pub(crate) table: ResourceTable,
    pub(crate) log_lines: u64,
    pub(crate) output_bytes: usize,
    entered: bool,
}

/// A guest called the host before it was called itself.
#[derive(Debug, thiserror::Error)]
#[error("it called {0} while it was being instantiated; a component may call the host only while it is called")]
struct TooEarly(&'static str);

impl StepState {
    /// The state of a fresh sandbox.
    pub fn new(context: StepContext) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(context.limits.handles);
        Self { context, table, log_lines: 0, output_bytes: 0, entered: false }
    }

    /// From now on the guest may call the host: it was instantiated, and is called itself.
    pub fn enter(&mut self) {
        self.entered = true;
    }

    /// Ends a guest that calls the host before it is called.
    pub(crate) fn check_entered(&self, function: &'static str) -> wasmtime::Result<()> {
        if self.entered { Ok(()) } else { Err(TooEarly(function).into()) }
    }

    /// The door.
    pub fn door(&self) -> &Arc<Door> {
        &self.context.door
    }

    /// Takes a secret out of the table by its handle.
    pub fn take_secret(&mut self, handle: Resource<SecretHandle>) -> wasmtime::Result<Secret> {
        Ok(self.table.delete(handle)?.secret)
    }

    /// Passes a call that is none of AWS's through the door.
    pub(crate) async fn pass<I, O, F, Fut>(
        &mut self,
        operation: &'static Operation,
        input: I,
        perform: F,
    ) -> wasmtime::Result<Result<O, types::Failure>>
    where
        I: Serialize,
        O: Serialize + DeserializeOwned,
        F: FnOnce(I) -> Fut,
        Fut: Future<Output = Result<O, Failure>>,
    {
        self.check_entered(operation.function)?;
        debug_assert!(operation.effect != Effect::Token, "client tokens are AWS's");
        let door = self.context.door.clone();
        let answer = door.call(operation, Target::default(), input, |_, input| perform(input)).await?;
        Ok(answer.map_err(Into::into))
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        const LONGEST: usize = 16 * 1024;
        let mut message = failure.message;
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
        }
        Self { reason: failure.reason.into(), code: failure.code, message, retryable: failure.retryable }
    }
}

impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        Self {
            reason: failure.reason.into(),
            code: failure.code,
            message: failure.message,
            retryable: failure.retryable,
        }
    }
}

macro_rules! reasons {
    ($($reason:ident),+) => {
        impl From<Reason> for types::Reason {
            fn from(reason: Reason) -> Self {
                match reason {
                    $(Reason::$reason => Self::$reason,)+
                }
            }
        }

        impl From<types::Reason> for Reason {
            fn from(reason: types::Reason) -> Self {
                match reason {
                    $(types::Reason::$reason => Self::$reason,)+
                }
            }
        }
    };
}

reasons!(
    Authentication,
    AccessDenied,
    NotFound,
    InvalidInput,
    Throttled,
    Conflict,
    Timeout,
    Cancelled,
    Remote,
    Connection,
    Internal
);
