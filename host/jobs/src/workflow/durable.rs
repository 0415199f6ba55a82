//! Where the interpreter takes time, chance and concurrency from.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use outrigger_door::BoxFuture;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Clock, randomness, sleep and concurrency of a run. The interpreter takes none of them from elsewhere, so that a
/// driver that remembers them can carry a run on in another process.
pub trait Durable: Send + Sync + 'static {
    /// What time it is.
    fn now(&self) -> Timestamp;

    /// Ends after a while.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// A random number.
    fn random(&self) -> u64;

    /// Starts work beside the caller's. The answer ends when the work does, with an error if it broke off; dropping
    /// the answer ends the work.
    fn spawn(&self, name: &str, work: BoxFuture<'static, ()>) -> BoxFuture<'static, Result<(), String>>;
}

/// The driver of a run that lives in this process: tokio's clock and tasks.
#[derive(Debug)]
pub struct InProcess {
    started: Instant,
    started_at: Timestamp,
}

impl InProcess {
    /// A driver whose clock starts now. Steps of the system clock do not move it.
    pub fn new() -> Self {
        Self { started: Instant::now(), started_at: Timestamp::now() }
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl Durable for InProcess {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.started_at.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> u64 {
        getrandom::u64().unwrap_or_default()
    }

    fn spawn(&self, name: &str, work: BoxFuture<'static, ()>) -> BoxFuture<'static, Result<(), String>> {
        let task = AbortOnDropHandle::new(tokio::spawn(work));
        let name = name.to_owned();
        Box::pin(async move { task.await.map_err(|error| format!("{name} broke off: {error}")) })
    }
}
