//! Runs, step states, intents, audit records, log lines and events in one SQLite file.
//!
//! Several processes may use the file at once. Within a process one thread writes; what arrives while it is busy goes
//! to disk together in the next transaction, so that many steps share the price of one `fsync`.
//!
//! # What is promised
//!
//! Everything that was written survives the death of the process as soon as its transaction is committed. A loss of
//! power is another thing: SQLite's `synchronous=FULL` waits for the disk in every transaction, `NORMAL` does not, and
//! may lose the newest transactions (never a part of one, and never an older one without the newer ones).
//!
//! | Table | Written | Promise |
//! |---|---|---|
//! | `intents` | [`RunWriter`]'s `intent` waits for it | FULL: on disk before the call to the service goes out, and with it everything that was committed before |
//! | `intents`, outcome | queued | NORMAL: an outcome that is lost leaves the intent in doubt, never the other way round |
//! | `runs`, start | [`Store::create_run`] waits for the commit | NORMAL: on disk with the first intent at the latest |
//! | `runs`, end | [`Store::finish_run`] waits for the commit | FULL, or NORMAL with [`Options::synced_finish`] off |
//! | `steps`, `audit`, `logs`, `events` | queued, at most 10 ms | NORMAL: on disk with the next intent or the end of the run at the latest |
//!
//! [`Store::flush`] waits until all that was queued before is on disk, and tells if something could not be written.
//!
//! # Secrets
//!
//! What callers hand over is redacted already. As a last line of defence a [`RunWriter`] masks every text and JSON
//! column once more before it is queued.

mod error;
mod model;
mod owner;
mod prune;
mod queue;
mod read;
mod run_writer;
mod schema;
mod status;
mod store;
mod writer;

pub use error::Error;
pub use model::{
    AuditEntry, Event, IntentRecord, LogFilter, LogLevel, LogLine, LogRecord, NewRun, RunFilter, RunRecord,
    StepFinished, StepRecord, StepStarted,
};
pub use prune::{PruneCounts, PruneFilter};
pub use run_writer::RunWriter;
pub use schema::SCHEMA_VERSION;
pub use status::Status;
pub use store::{Options, Store};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
