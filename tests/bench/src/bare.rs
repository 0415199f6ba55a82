//! The component in bare wasmtime, with the engine's configuration and host functions that do nothing.

use std::time::{Duration, Instant};

use outrigger_capabilities::bindings::outrigger::run::log::Level;
use outrigger_capabilities::bindings::outrigger::step::types::Failure;
use outrigger_runtime::EngineLimits;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::Failed;

/// The input of the measured call.
pub(crate) const INPUT: &str = r#"{"name":"world"}"#;
const EXPORT: &str = "outrigger:step/job-step@0.1.0";

/// The component, compiled and linked.
pub(crate) struct Bare {
    engine: Engine,
    linked: InstancePre<()>,
    run: ComponentExportIndex,
}

impl Bare {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Failed> {
        let engine = outrigger_runtime::engine(EngineLimits::default())?;
        let component = Component::new(&engine, bytes)?;
        let mut linker = Linker::new(&engine);
        linker.instance("outrigger:step/types@0.1.0")?;
        linker.instance("outrigger:run/log@0.1.0")?.func_wrap("write", |_, (_level, _text): (Level, String)| Ok(()))?;
        linker
            .instance("outrigger:run/output@0.1.0")?
            .func_wrap("set", |_, (_name, _value): (String, String)| Ok((Ok::<(), Failure>(()),)))?;
        let (_, face) = component.get_export(None, EXPORT).ok_or("the component is no job step")?;
        let run = component.get_export_index(Some(&face), "run").ok_or("the component has no `run`")?;
        Ok(Self { linked: linker.instantiate_pre(&component)?, engine, run })
    }

    /// The time of so many calls, each in a store of its own.
    pub(crate) async fn calls(&self, count: usize) -> Result<Duration, Failed> {
        let start = Instant::now();
        for _ in 0..count {
            let mut store = Store::new(&self.engine, ());
            store.epoch_deadline_async_yield_and_update(1);
            let instance = self.linked.instantiate_async(&mut store).await?;
            let run = instance.get_typed_func::<(&str,), (Result<(), Failure>,)>(&mut store, self.run)?;
            let (answer,) = run.call_async(&mut store, (INPUT,)).await?;
            answer.map_err(|failure| format!("the step failed: {failure:?}"))?;
        }
        Ok(start.elapsed())
    }
}
