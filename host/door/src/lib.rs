//! The one place that every capability call passes: authorise, mode, intent, call, result, audit.

mod door;
mod failure;
mod journal;
mod lifetime;
mod masking;
mod memory;
mod operation;
mod recording;
mod step;

pub use door::{
    Auditor, AuthorisationRequest, Authorizer, Caller, Door, Mode, Passage, RunDoor, Stop, Target, unix_micros,
};
pub use failure::{Failure, Reason};
pub use journal::{AuditOutcome, AuditRecord, BoxFuture, InDoubt, Intent, IntentOutcome, Journal, JournalError};
pub use lifetime::{Lifetime, Phase};
pub use memory::MemoryJournal;
pub use operation::{DependentAction, Effect, Operation};
pub use recording::{
    RECORDING_VERSION, RecordedCall, RecordedResult, RecordedStep, Recorder, RecordingError, RecordingHeader, Replay,
};
pub use step::{RunId, StepKey};
