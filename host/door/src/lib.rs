//! The one place that every capability call passes: authorise, mode, intent, call, result, audit.

mod failure;
mod journal;
mod operation;
mod step;

pub use failure::{Failure, Reason};
pub use journal::{AuditOutcome, AuditRecord, BoxFuture, InDoubt, Intent, IntentOutcome, Journal, JournalError};
pub use operation::{DependentAction, Effect, Operation};
pub use step::{RunId, StepKey};
