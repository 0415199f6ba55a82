//! The engine: one configuration for everything that compiles, loads or runs components.

use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::RuntimeError;

/// How often a running guest is interrupted, so that others get their turn and limits are checked.
pub const TICK: Duration = Duration::from_millis(10);

/// What the engine reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Largest linear memory of a guest, in bytes.
    pub memory_bytes: usize,
    /// Guests that run at once.
    pub guests: u32,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self { memory_bytes: 256 * 1024 * 1024, guests: 256 }
    }
}

/// The configuration that every artifact is compiled with and loaded by. Nothing else in the project makes one.
fn configuration() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        // The same bits on every machine, so that a recording replays anywhere.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .max_wasm_stack(512 * 1024)
        .async_stack_size(1024 * 1024)
        // A guest that traps tells what happened, not where inside code that its user cannot see.
        .wasm_backtrace_max_frames(None);
    config
}

/// Memories per guest: a component brings its own and one for each adapter it was linked with.
const MEMORIES_PER_GUEST: u32 = 2;

fn pooling(limits: EngineLimits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let guests = limits.guests.max(1);
    pool.total_component_instances(guests)
        .total_core_instances(guests.saturating_mul(8))
        .total_memories(guests.saturating_mul(MEMORIES_PER_GUEST))
        .total_tables(guests.saturating_mul(4))
        .total_stacks(guests)
        .max_memories_per_component(MEMORIES_PER_GUEST)
        .max_tables_per_component(4)
        .max_core_instances_per_component(16)
        .table_elements(20_000)
        .max_memory_size(limits.memory_bytes)
        // Keeping the first pages saves a system call per step; a quarter MiB is what the standard plugins touch.
        .linear_memory_keep_resident(256 * 1024)
        .max_unused_warm_slots(16);
    pool
}

/// Makes an engine. Reserves address space for a pool of guests; where the system forbids that (`ulimit -v`), each guest gets
/// its memory when it starts.
pub fn engine(limits: EngineLimits) -> Result<Engine, RuntimeError> {
    let mut config = configuration();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(limits)));
    let engine = match Engine::new(&config) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::debug!(%error, "no pool of guests; memory is allocated per guest");
            Engine::new(&configuration()).map_err(|error| RuntimeError::Engine(error.to_string()))?
        }
    };
    start_ticker(&engine)?;
    Ok(engine)
}

/// An engine that only compiles: the compile process needs no pool and no ticker.
pub fn compiler() -> Result<Engine, RuntimeError> {
    let mut config = configuration();
    config.parallel_compilation(false);
    Engine::new(&config).map_err(|error| RuntimeError::Engine(error.to_string()))
}

fn start_ticker(engine: &Engine) -> Result<(), RuntimeError> {
    let weak = engine.weak();
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(TICK);
                match weak.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })
        .map(drop)
        .map_err(|error| RuntimeError::Engine(format!("the clock thread did not start: {error}")))
}

/// A text that changes whenever artifacts of this engine would not fit another one.
pub fn compatibility(engine: &Engine) -> String {
    use std::hash::{Hash, Hasher};

    #[derive(Default)]
    struct Bytes(sha2::Sha256);

    impl Hasher for Bytes {
        fn write(&mut self, bytes: &[u8]) {
            sha2::Digest::update(&mut self.0, bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    static VERSION: OnceLock<String> = OnceLock::new();
    let version = VERSION.get_or_init(|| env!("CARGO_PKG_VERSION").to_owned());
    let mut hasher = Bytes::default();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    version.hash(&mut hasher);
    hex::encode(&sha2::Digest::finalize(hasher.0)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_of_one_engine_loads_in_another() {
        let first = compiler().unwrap();
        let second = engine(EngineLimits::default()).unwrap();
        assert_eq!(compatibility(&first), compatibility(&second));
        let artifact = first.precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
        // SAFETY: the bytes were made in the line above.
        unsafe { wasmtime::component::Component::deserialize(&second, artifact) }.unwrap();
    }
}
