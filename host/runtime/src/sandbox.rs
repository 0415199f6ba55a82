//! A fresh sandbox for every call, with its limits, dropped afterwards.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use outrigger_capabilities::state::StepState;
use outrigger_door::{BoxFuture, Failure, Lifetime, Reason, Stop};
use wasmtime::component::{HasSelf, Linker, ResourceTableError};
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

use crate::error::RuntimeError;

/// What one call of a guest may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Linear memory of all its memories together, in bytes.
    pub memory_bytes: usize,
    /// Elements of all its tables together.
    pub table_elements: usize,
    /// Time that its code and the host's work for it may take on a processor; waiting does not count.
    pub cpu: Duration,
    /// Bytes that one call may hand to the host.
    pub call_bytes: usize,
    /// Handles that the guest may hold.
    pub handles: usize,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * 1024 * 1024,
            table_elements: 20_000,
            cpu: Duration::from_secs(60),
            call_bytes: 16 * 1024 * 1024,
            handles: 1_024,
        }
    }
}

/// Why a guest ended without an answer of its own.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SandboxEnd {
    /// The host stopped it: a dry run, a replay that diverged, the end of the grace period.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// It wanted more than it may have, or broke a rule.
    #[error("{0}")]
    Trapped(Failure),
}

/// What a store holds.
pub(crate) struct Guest {
    pub(crate) state: StepState,
    limiter: Limiter,
}

struct Limiter {
    limits: SandboxLimits,
    memory: usize,
    tables: usize,
    refused: Option<String>,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_sub(current).saturating_add(desired);
        if wanted > self.limits.memory_bytes {
            self.refused = Some(format!(
                "it asked for {} MiB of memory; a step has at most {} MiB",
                wanted.div_ceil(1024 * 1024),
                self.limits.memory_bytes / (1024 * 1024)
            ));
            return Ok(false);
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.tables.saturating_sub(current).saturating_add(desired);
        if wanted > self.limits.table_elements {
            self.refused = Some(format!(
                "it asked for {wanted} table elements; a step has at most {}",
                self.limits.table_elements
            ));
            return Ok(false);
        }
        self.tables = wanted;
        Ok(true)
    }
}

/// Something went wrong before a guest was called.
#[derive(Debug, thiserror::Error)]
#[error("while it was being instantiated")]
pub(crate) struct Instantiating;

/// A guest used more processor time than it may.
#[derive(Debug, thiserror::Error)]
#[error("it used more than {0:?} of processor time")]
struct OutOfTime(Duration);

/// Counts the time inside `poll`. Epoch ticks would charge a guest for the ticks that passed while it waited.
struct Metered<F> {
    future: F,
    meter: Arc<Meter>,
}

struct Meter {
    origin: Instant,
    spent_nanos: AtomicU64,
    polled_at_nanos: AtomicU64,
}

impl Meter {
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn spent(&self) -> Duration {
        let running = self.now().saturating_sub(self.polled_at_nanos.load(Ordering::Relaxed));
        Duration::from_nanos(self.spent_nanos.load(Ordering::Relaxed).saturating_add(running))
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = self.meter.now();
        self.meter.polled_at_nanos.store(start, Ordering::Relaxed);
        let result = Pin::new(&mut self.future).poll(context);
        let took = self.meter.now().saturating_sub(start);
        self.meter.spent_nanos.fetch_add(took, Ordering::Relaxed);
        result
    }
}

/// The linker with everything that the host offers.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Guest>, RuntimeError> {
    let mut linker = Linker::new(engine);
    outrigger_capabilities::bindings::imports::Host_::add_to_linker::<_, HasSelf<StepState>>(
        &mut linker,
        |guest: &mut Guest| &mut guest.state,
    )
    .map_err(|error| RuntimeError::Engine(error.to_string()))?;
    Ok(linker)
}

/// Runs `call` in a fresh store until it ends, the grace period of `lifetime` is over, or a limit is reached.
pub(crate) async fn run<T, C>(
    engine: &Engine,
    state: StepState,
    limits: SandboxLimits,
    lifetime: Lifetime,
    call: C,
) -> Result<T, SandboxEnd>
where
    C: for<'a> FnOnce(&'a mut Store<Guest>) -> BoxFuture<'a, wasmtime::Result<T>>,
{
    let guest = Guest { state, limiter: Limiter { limits, memory: 0, tables: 0, refused: None } };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    store.set_hostcall_fuel(limits.call_bytes);
    store.set_max_component_handles(limits.handles);
    let meter =
        Arc::new(Meter { origin: Instant::now(), spent_nanos: AtomicU64::new(0), polled_at_nanos: AtomicU64::new(0) });
    let clock = meter.clone();
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if clock.spent() > limits.cpu {
            return Err(OutOfTime(limits.cpu).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let metered = Metered { future: call(&mut store), meter };
    let result = tokio::select! {
        biased;
        result = metered => result,
        reason = lifetime.over() => return Err(SandboxEnd::Stopped(Stop::Over(reason))),
    };
    // The store is dropped with everything in it, whatever the result: after a trap its memory means nothing.
    result.map_err(|error| explain(&error, store.data()))
}

fn explain(error: &wasmtime::Error, guest: &Guest) -> SandboxEnd {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return SandboxEnd::Stopped(stop.clone());
    }
    let trapped = |message: String| {
        SandboxEnd::Trapped(Failure::new(Reason::Internal, format!("the plugin was stopped: {message}")))
    };
    if let Some(out_of_time) = error.downcast_ref::<OutOfTime>() {
        return trapped(out_of_time.to_string());
    }
    if let Some(refused) = &guest.limiter.refused {
        return trapped(refused.clone());
    }
    if error.downcast_ref::<ResourceTableError>().is_some_and(|error| matches!(error, ResourceTableError::Full)) {
        return trapped(format!("it holds more than {} handles", guest.limiter.limits.handles));
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        let trap = match trap {
            wasmtime::Trap::StackOverflow => "its calls went deeper than the stack".to_owned(),
            wasmtime::Trap::UnreachableCodeReached => "it gave up (`unreachable`, as after a panic)".to_owned(),
            other => format!("{other}"),
        };
        let when = if error.is::<Instantiating>() { format!(" {Instantiating}") } else { String::new() };
        return trapped(format!("{trap}{when}"));
    }
    // The chain holds what the host's own functions said: a forged handle, too many handles, too many bytes. What another
    // part of it says as well is said once.
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    // The engine has no type for this error.
    if texts.iter().any(|text| text.contains("fuel allocated for hostcalls")) {
        let most = guest.limiter.limits.call_bytes / 1024;
        return trapped(format!("it handed the host more than {most} KiB in one call"));
    }
    let said_elsewhere = |index: usize, text: &String| {
        texts.iter().enumerate().any(|(other, longer)| {
            other != index && longer.contains(text.as_str()) && (longer.len() > text.len() || other < index)
        })
    };
    let said: Vec<&str> = texts
        .iter()
        .enumerate()
        .filter(|(index, text)| !said_elsewhere(*index, text))
        .map(|(_, text)| text.as_str())
        .collect();
    let message = said.join(": ");
    trapped(message)
}
