//! Many items at once: pacing, progress, cancellation, results.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outrigger_door::{Failure, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::settings::{Control, Progress, TransferSettings};

/// Items of one transfer.
pub const MOST_ITEMS: usize = 10_000;
/// So many failures to reach S3 in a row, and the rest is not tried.
const MOST_UNREACHED: u32 = 50;
/// How long a cancelled transfer waits for its uploads to be aborted.
const CLEAN_UP: Duration = Duration::from_secs(10);
/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How an item of a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemResult {
    /// Position in the list of items, from 0.
    pub index: u32,
    /// Bytes that were transferred.
    pub bytes: u64,
    /// Why it failed; none where it did not.
    pub failure: Option<Failure>,
}

/// How many items are at work at once: one more for every so many that went well, half as many after a throttled one.
#[derive(Debug)]
struct Gate {
    permits: Arc<Semaphore>,
    state: Mutex<GateState>,
    most: usize,
}

#[derive(Debug)]
struct GateState {
    limit: usize,
    /// Permits to take away as they come back.
    owed: usize,
    /// Successes since the limit last grew.
    successes: usize,
    shrunk: Option<Instant>,
}

impl Gate {
    fn new(first: usize, most: usize) -> Self {
        let most = most.max(1);
        let limit = first.clamp(1, most);
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(GateState { limit, owed: 0, successes: 0, shrunk: None }),
            most,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn leave(&self, permit: OwnedSemaphorePermit, well: bool) {
        let mut state = self.state();
        if well {
            state.successes += 1;
            if state.successes >= state.limit && state.limit < self.most {
                state.successes = 0;
                state.limit += 1;
                if state.owed > 0 {
                    state.owed -= 1;
                } else {
                    self.permits.add_permits(1);
                }
            }
        }
        if state.owed > 0 {
            state.owed -= 1;
            permit.forget();
        }
    }

    fn throttled(&self) {
        let mut state = self.state();
        // The requests that were on their way are throttled too, and say nothing new.
        if state.shrunk.is_some_and(|at| at.elapsed() < Duration::from_millis(500)) {
            return;
        }
        let less = state.limit / 2;
        state.limit -= less;
        state.owed += less;
        state.successes = 0;
        state.shrunk = Some(Instant::now());
    }
}

/// Adds up and reports.
struct Meter {
    control: Control,
    all_items: u64,
    items: AtomicU64,
    bytes: AtomicU64,
    reported: Mutex<Instant>,
}

impl Meter {
    fn now(&self) -> Progress {
        Progress {
            items: self.items.load(Ordering::Relaxed),
            all_items: self.all_items,
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn report(&self) {
        if let Ok(mut reported) = self.reported.try_lock()
            && reported.elapsed() >= REPORT_EVERY
        {
            *reported = Instant::now();
            (self.control.progress)(self.now());
        }
    }
}

/// What the work on one item shares with the others.
pub(super) struct Shared {
    pub(super) settings: TransferSettings,
    /// Kibibytes of file contents that may be in memory.
    memory: Arc<Semaphore>,
    memory_kib: u32,
    gate: Gate,
    meter: Meter,
    /// Clean-up that outlives what it cleans up after.
    pub(super) clean_up: TaskTracker,
}

impl Shared {
    fn new(settings: TransferSettings, control: &Control, items: usize) -> Self {
        let memory_kib = u32::try_from(settings.buffer_bytes / 1024).unwrap_or(u32::MAX / 8).clamp(64, u32::MAX / 8);
        Self {
            memory: Arc::new(Semaphore::new(memory_kib as usize)),
            memory_kib,
            gate: Gate::new(settings.first_in_flight, settings.most_in_flight),
            meter: Meter {
                control: control.clone(),
                all_items: items as u64,
                items: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                reported: Mutex::new(Instant::now()),
            },
            clean_up: TaskTracker::new(),
            settings,
        }
    }

    /// Waits until so many bytes may be held. What is larger than all of the room gets all of it.
    pub(super) async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Failure> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.memory_kib);
        let room = Arc::clone(&self.memory).acquire_many_owned(kib).await;
        room.map_err(|_| Failure::new(Reason::Internal, "the transfer's memory was closed"))
    }

    /// Counts bytes that arrived.
    pub(super) fn moved(&self, bytes: u64) {
        self.meter.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.meter.report();
    }

    /// Takes back bytes that have to be transferred again.
    pub(super) fn unmoved(&self, bytes: u64) {
        self.meter.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Repeats what was throttled, with fewer items at work. The SDK did its own tries before.
    pub(super) async fn unthrottled<T, F, Fut>(&self, mut work: F) -> Result<T, Failure>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut tries = 1;
        loop {
            match work().await {
                Err(failure) if failure.reason == Reason::Throttled && tries < self.settings.tries => {
                    self.gate.throttled();
                    tokio::time::sleep(back_off(tries)).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }
}

/// How long to wait before try `tries` + 1: half a second, doubling, with a spread so that not all come back at once.
pub(super) fn back_off(tries: u32) -> Duration {
    static SPREAD: AtomicU32 = AtomicU32::new(0);
    let spread = u64::from(SPREAD.fetch_add(1, Ordering::Relaxed) % 16) * 16;
    Duration::from_millis((250_u64 << tries.min(6)) + spread)
}

fn cancelled() -> Failure {
    Failure::new(Reason::Cancelled, "the transfer was cancelled")
}

/// Checks how many items there are.
pub(super) fn check_count(items: usize) -> Result<(), Failure> {
    if items > MOST_ITEMS {
        return Err(Failure::new(
            Reason::InvalidInput,
            format!("{items} items are too many for one transfer: it takes {MOST_ITEMS}"),
        ));
    }
    Ok(())
}

/// Works on all items on tasks of their own. One that is dropped stops them all.
pub(super) async fn run_all<T, F, Fut>(
    settings: &TransferSettings,
    control: &Control,
    items: Vec<T>,
    work: F,
) -> Vec<ItemResult>
where
    T: Send + Sync + 'static,
    F: Fn(Arc<Shared>, Arc<Vec<T>>, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<u64, Failure>> + Send,
{
    let count = items.len();
    let shared = Arc::new(Shared::new(settings.clone(), control, count));
    let items = Arc::new(items);
    let work = Arc::new(work);
    let next = Arc::new(AtomicUsize::new(0));
    let unreached = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..settings.most_in_flight.clamp(1, count.max(1)) {
        let (shared, items, work) = (Arc::clone(&shared), Arc::clone(&items), Arc::clone(&work));
        let (next, unreached, cancel) = (Arc::clone(&next), Arc::clone(&unreached), control.cancel.clone());
        workers.spawn(async move {
            let mut results = Vec::new();
            let mut last_unreached = None;
            while let Some(permit) = shared.gate.enter().await {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= items.len() {
                    break;
                }
                let answer = if unreached.load(Ordering::Relaxed) >= MOST_UNREACHED {
                    Err(last_unreached.clone().unwrap_or_else(not_tried))
                } else {
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => Err(cancelled()),
                        answer = work(Arc::clone(&shared), Arc::clone(&items), index) => answer,
                    }
                };
                shared.gate.leave(permit, answer.is_ok());
                match &answer {
                    Err(failure) if matches!(failure.reason, Reason::Connection | Reason::Authentication) => {
                        unreached.fetch_add(1, Ordering::Relaxed);
                        last_unreached = Some(failure.clone());
                    }
                    _ => unreached.store(0, Ordering::Relaxed),
                }
                shared.meter.items.fetch_add(1, Ordering::Relaxed);
                shared.meter.report();
                results.push((index, answer));
            }
            results
        });
    }

    let mut answers: Vec<Option<Result<u64, Failure>>> = Vec::new();
    answers.resize_with(count, || None);
    while let Some(done) = workers.join_next().await {
        for (index, answer) in done.unwrap_or_default() {
            if let Some(place) = answers.get_mut(index) {
                *place = Some(answer);
            }
        }
    }
    shared.clean_up.close();
    if tokio::time::timeout(CLEAN_UP, shared.clean_up.wait()).await.is_err() {
        tracing::warn!("begun uploads were not all aborted in time; a lifecycle rule of the bucket can remove them");
    }
    (control.progress)(shared.meter.now());
    answers
        .into_iter()
        .enumerate()
        .map(|(index, answer)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            match answer.unwrap_or_else(|| Err(Failure::new(Reason::Internal, "the work on this item ended early"))) {
                Ok(bytes) => ItemResult { index, bytes, failure: None },
                Err(failure) => ItemResult { index, bytes: 0, failure: Some(failure) },
            }
        })
        .collect()
}

fn not_tried() -> Failure {
    Failure::new(
        Reason::Connection,
        format!("not tried, because {MOST_UNREACHED} items before it in a row did not reach S3"),
    )
    .retryable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_gate_halves_and_grows_again() {
        let gate = Gate::new(8, 16);
        let mut permits = Vec::new();
        for _ in 0..8 {
            permits.push(gate.enter().await.unwrap());
        }
        assert_eq!(gate.permits.available_permits(), 0);
        gate.throttled();
        gate.throttled();
        assert_eq!(gate.state().limit, 4, "a burst of throttled requests counts once");
        for permit in permits {
            gate.leave(permit, false);
        }
        assert_eq!(gate.permits.available_permits(), 4);
        for _ in 0..4 {
            let permit = gate.enter().await.unwrap();
            gate.leave(permit, true);
        }
        assert_eq!((gate.state().limit, gate.permits.available_permits()), (5, 5));
    }

    #[tokio::test]
    async fn results_stand_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..1_000).collect();
        let results = run_all(&TransferSettings::default(), &Control::default(), items, |_, items, index| async move {
            tokio::task::yield_now().await;
            let item = items[index];
            if item % 7 == 0 { Err(Failure::new(Reason::NotFound, "gone")) } else { Ok(item) }
        })
        .await;
        assert_eq!(results.len(), 1_000);
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result.index as usize, index);
            assert_eq!(result.failure.is_some(), index % 7 == 0);
            assert_eq!(result.bytes, if index % 7 == 0 { 0 } else { index as u64 });
        }
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_not_tried_forever() {
        let tried = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&tried);
        let results = run_all(&TransferSettings::default(), &Control::default(), vec![(); 5_000], move |_, _, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Err(Failure::new(Reason::Connection, "nobody listens"))
            }
        })
        .await;
        assert!(results.iter().all(|result| result.failure.as_ref().is_some_and(|f| f.reason == Reason::Connection)));
        assert!(tried.load(Ordering::Relaxed) < 200, "{tried:?}");
    }

    #[tokio::test]
    async fn a_cancelled_transfer_ends_at_once() {
        let control = Control::default();
        let cancel = control.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancel.cancel();
        });
        let started = Instant::now();
        let results = run_all(&TransferSettings::default(), &control, vec![(); 100], |_, _, index| async move {
            if index == 0 {
                return Ok(1);
            }
            std::future::pending().await
        })
        .await;
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(results.first().map(|result| result.bytes), Some(1));
        let cancelled = results.iter().filter_map(|result| result.failure.as_ref());
        assert_eq!(cancelled.filter(|failure| failure.reason == Reason::Cancelled).count(), 99);
    }
}
