//! What a no-op step costs in the engine, beside the same component in bare wasmtime, in one process and in turns.
//!
//! The engine's step is all of it: configuration checked against the schema, fresh sandbox with its limits, log line, output,
//! and the rows of the database, committed in batches as in production. Bare wasmtime has the engine's own configuration, and
//! does a fresh store, an instance, the call and the drop.

mod bare;
mod stepping;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Error of anything here: it is told, and the program ends.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Rounds, in each of which everything is measured once.
const ROUNDS: usize = 7;
/// Steps of a round.
const STEPS: usize = 1_000;
/// Who runs jobs at once, as many as in Obelisk's published figure.
const CLIENTS: u32 = 32;
/// Runs of each.
const RUNS: u32 = 100;

fn main() -> Result<(), Failed> {
    let Some(component) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err("give the component of the no-op step".into());
    };
    let bytes = std::fs::read(&component).map_err(|error| format!("{}: {error}", component.display()))?;
    // As many threads as the command has.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .max_blocking_threads(4)
        .enable_all()
        .build()?;
    runtime.block_on(measure(bytes))
}

async fn measure(bytes: Vec<u8>) -> Result<(), Failed> {
    let bare = bare::Bare::new(&bytes)?;
    let engine = stepping::Stepping::new(&bytes).await?;
    // Once for the caches.
    bare.calls(STEPS).await?;
    engine.run(STEPS).await?;
    let (mut calls, mut steps, mut rows, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        calls.push(bare.calls(STEPS).await?);
        steps.push(engine.run(STEPS).await?);
        rows.push(engine.commit(STEPS).await?);
        alone.push(engine.run(1).await?);
    }
    let each = |times: &mut Vec<Duration>, count: usize| {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        median.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    };
    let (call, step, row) = (each(&mut calls, STEPS), each(&mut steps, STEPS), each(&mut rows, STEPS));
    let one = each(&mut alone, 1);
    let engine = Arc::new(engine);
    let rate = together(&engine).await?;
    println!("median of {ROUNDS} rounds of {STEPS}, component of {} KiB", bytes.len() / 1024);
    println!("{:<62} {:>10}", "", "µs");
    println!("{:<62} {call:>10.1}", "bare wasmtime: store, instance, call, drop");
    println!(
        "{:<62} {step:>10.1}  {:.2} times bare",
        "step in the engine, everything, its rows committed",
        step / call
    );
    println!("{:<62} {row:>10.1}", "of this the rows alone: step, log line, output, committed");
    let without = (step - row).max(0.0);
    println!("{:<62} {without:>10.1}  {:.2} times bare", "step in the engine less the rows", without / call);
    println!("{:<62} {one:>10.1}", "a run of one step, from its start to its end on disk");
    println!("{:<62} {rate:>10.0}  runs a second", format!("the same by {CLIENTS} clients at once"));
    println!("Obelisk 0.38.3, as published, not measured here: 2700 µs, 1193 runs a second by 32 clients");
    Ok(())
}

/// Runs of one step that so many clients get done in a second.
async fn together(engine: &Arc<stepping::Stepping>) -> Result<f64, Failed> {
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..RUNS {
                    engine.run(1).await?;
                }
                Ok::<(), Failed>(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(f64::from(CLIENTS * RUNS) / start.elapsed().as_secs_f64())
}
