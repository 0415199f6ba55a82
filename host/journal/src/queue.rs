//! What waits for the thread that writes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outrigger_door::{AuditRecord, InDoubt, Intent, IntentOutcome, RunId, StepKey};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::prune::{PruneCounts, PruneFilter};
use crate::{LogLine, NewRun, Result, Status, StepFinished, StepStarted};

/// How long queued records wait for company.
const LINGER: Duration = Duration::from_millis(10);

/// Records of one transaction, intents not counted: an intent waits for those that are before it in the transaction.
const MAX_ROWS: usize = 4096;

/// Queued bytes above which [`Queue::room`] waits.
const MAX_BYTES: usize = 8 << 20;

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// Goes first: somebody waits, or the order with what somebody waits for matters.
pub(crate) enum First {
    CreateRun { run: Box<NewRun>, at: i64, reply: Reply<RunId> },
    Intent { intent: Box<Intent>, at: i64, reply: Reply<()> },
    Outcome { step: StepKey, sequence: u64, outcome: IntentOutcome },
    InDoubt { step: StepKey, reply: Reply<Vec<InDoubt>> },
}

/// Goes in the order of arrival, when there is room.
pub(crate) enum Row {
    StepStarted(Box<StepStarted>),
    StepFinished(Box<StepFinished>),
    Audit(Box<AuditRecord>),
    Log { run: RunId, line: LogLine },
    Event { run: RunId, at: i64, kind: String, body: Value },
    FinishRun { run: RunId, status: Status, message: Option<String>, outputs: Option<Value>, at: i64, reply: Reply<()> },
    Prune { filter: PruneFilter, reply: Reply<PruneCounts> },
    Flush { reply: Reply<()> },
}

impl First {
    fn is_awaited(&self) -> bool {
        !matches!(self, Self::Outcome { .. })
    }
}

impl Row {
    fn is_awaited(&self) -> bool {
        matches!(self, Self::FinishRun { .. } | Self::Prune { .. } | Self::Flush { .. })
    }

    /// Roughly what it takes in memory.
    fn weight(&self) -> usize {
        match self {
            Self::Log { line, .. } => line.text.len() + 100,
            _ => 500,
        }
    }
}

/// What goes into one transaction.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) first: Vec<First>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Default)]
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    wake: Condvar,
    space: Notify,
}

#[derive(Default)]
struct Pending {
    first: Vec<First>,
    rows: VecDeque<Row>,
    bytes: usize,
    /// Since when there is something.
    since: Option<Instant>,
    /// Somebody waits.
    urgent: bool,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push_first(&self, first: First) {
        let awaited = first.is_awaited();
        self.push(awaited, |pending| pending.first.push(first));
    }

    pub(crate) fn push_row(&self, row: Row) {
        let awaited = row.is_awaited();
        self.push(awaited, |pending| {
            pending.bytes += row.weight();
            pending.rows.push_back(row);
        });
    }

    /// Nobody takes what comes after the end: it is dropped, and whoever waits for it is told by that.
    fn push(&self, awaited: bool, add: impl FnOnce(&mut Pending)) {
        let mut pending = self.lock();
        if pending.closed {
            return;
        }
        let was_empty = pending.since.is_none();
        add(&mut pending);
        pending.since.get_or_insert_with(Instant::now);
        pending.urgent |= awaited;
        let full = pending.rows.len() == MAX_ROWS;
        drop(pending);
        // Whoever only adds to what is waiting wakes nobody.
        if was_empty || awaited || full {
            self.wake.notify_one();
        }
    }

    /// Waits for something to write; none at the end.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut pending = self.lock();
        loop {
            let Some(since) = pending.since else {
                if pending.closed {
                    return None;
                }
                pending = self.wake.wait(pending).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = LINGER.saturating_sub(since.elapsed());
            if pending.urgent || pending.closed || pending.rows.len() >= MAX_ROWS || left.is_zero() {
                break;
            }
            pending = self.wake.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = pending.rows.len().min(MAX_ROWS);
        let rows: Vec<Row> = pending.rows.drain(..count).collect();
        pending.bytes -= rows.iter().map(Row::weight).sum::<usize>();
        let first = std::mem::take(&mut pending.first);
        if pending.rows.is_empty() {
            pending.since = None;
            pending.urgent = false;
        }
        drop(pending);
        self.space.notify_waiters();
        Some(Batch { first, rows })
    }

    /// Waits until there is room for more.
    pub(crate) async fn room(&self) {
        loop {
            let mut notified = std::pin::pin!(self.space.notified());
            notified.as_mut().enable();
            if self.has_room() {
                return;
            }
            notified.await;
        }
    }

    fn has_room(&self) -> bool {
        let pending = self.lock();
        pending.bytes < MAX_BYTES || pending.closed
    }

    /// What is queued is still written; nothing more is taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
        self.space.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    fn log(length: usize) -> Row {
        Row::Log { run: RunId(1), line: LogLine { text: "x".repeat(length), ..LogLine::default() } }
    }

    fn flush() -> (Row, oneshot::Receiver<Result<()>>) {
        let (reply, answer) = oneshot::channel();
        (Row::Flush { reply }, answer)
    }

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test]
    async fn room_is_what_a_few_megabytes_leave() {
        let queue = Queue::default();
        queue.push_row(log(MAX_BYTES / 2));
        assert!(is_ready(queue.room()));
        queue.push_row(log(MAX_BYTES / 2));
        assert!(!is_ready(queue.room()));
        tokio::join!(queue.room(), async {
            assert_eq!(queue.take().unwrap().rows.len(), 2);
        });
        queue.push_row(log(2 * MAX_BYTES));
        assert!(!is_ready(queue.room()));
        queue.close();
        assert!(is_ready(queue.room()));
    }

    #[test]
    fn what_somebody_waits_for_does_not_wait_for_log_lines() {
        let queue = Queue::default();
        for _ in 0..MAX_ROWS + 10 {
            queue.push_row(log(1));
        }
        let (last, _answer) = flush();
        queue.push_row(last);
        let (reply, _answer) = oneshot::channel();
        queue.push_first(First::CreateRun { run: Box::default(), at: 1, reply });
        let batch = queue.take().unwrap();
        assert_eq!((batch.first.len(), batch.rows.len()), (1, MAX_ROWS));
        let batch = queue.take().unwrap();
        assert_eq!((batch.first.len(), batch.rows.len()), (0, 11));
        assert!(matches!(batch.rows.last(), Some(Row::Flush { .. })));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::default();
        queue.push_row(log(1));
        queue.close();
        let (row, mut answer) = flush();
        queue.push_row(row);
        assert!(answer.try_recv().is_err());
        assert_eq!(queue.take().unwrap().rows.len(), 1);
        assert!(queue.take().is_none());
    }
}
