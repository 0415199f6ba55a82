//! Asks a component once what it is, while none of its imports works.

use std::time::Duration;

use outrigger_capabilities::bindings::job_step;
use outrigger_capabilities::bindings::outrigger::step::types::Description;
use serde_json::Value;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};

use crate::engine::TICK;
use crate::error::RuntimeError;
use crate::schema;

/// What a description says.
pub(crate) struct Described {
    pub(crate) provider: String,
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) input_schema: Value,
    pub(crate) output_schema: Value,
}

/// What a credential provider exports.
const PROVIDER: &str = "outrigger:credential-provider/provider@0.1.0";
/// Time that a component gets to describe itself.
const TIME: Duration = Duration::from_secs(2);
const MEMORY: usize = 64 * 1024 * 1024;
const LONGEST_TITLE: usize = 200;
const LONGEST_SUMMARY: usize = 4_000;

pub(crate) async fn describe(
    name: &str,
    engine: &Engine,
    component: &Component,
    worlds: &[String],
) -> Result<Described, RuntimeError> {
    let fail = |problem: String| RuntimeError::Describe { name: name.to_owned(), problem };
    let mut linker: Linker<StoreLimits> = Linker::new(engine);
    linker
        .define_unknown_imports_as_traps(component)
        .map_err(|error| fail(format!("its imports cannot be linked: {error:#}")))?;
    let limits = StoreLimitsBuilder::new().memory_size(MEMORY).table_elements(20_000).build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    store.set_hostcall_fuel(1024 * 1024);
    let mut ticks = TIME.as_millis() / TICK.as_millis();
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        ticks = ticks.saturating_sub(1);
        if ticks == 0 {
            return Err(wasmtime::Error::msg(format!("it took longer than {} seconds", TIME.as_secs())));
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let is_job_step = worlds.iter().any(|world| world == "job-step");
    let ask = async {
        let pre = linker.instantiate_pre(component)?;
        let (provider, title, summary, input, output) = if is_job_step {
            let step = job_step::JobStepPre::new(pre)?.instantiate_async(&mut store).await?;
            let said = step.outrigger_step_job_step().call_describe(&mut store).await?;
            (said.provider, said.title, said.summary, said.input_schema, said.output_schema)
        } else {
            // Its other function gives handles of secrets, whose type no linker without the host's functions has: only the
            // one that is called can be looked at here.
            let source = pre.instantiate_async(&mut store).await?;
            let missing = || wasmtime::Error::msg("it exports no `describe`");
            let face = source.get_export_index(&mut store, None, PROVIDER).ok_or_else(missing)?;
            let function = source.get_export_index(&mut store, Some(&face), "describe").ok_or_else(missing)?;
            let describe = source.get_typed_func::<(), (Description,)>(&mut store, function)?;
            let (said,) = describe.call_async(&mut store, ()).await?;
            (said.provider, said.title, said.summary, said.input_schema, said.output_schema)
        };
        Ok((provider, title, summary, input, output))
    };
    let ask: std::pin::Pin<Box<dyn Future<Output = wasmtime::Result<_>> + Send>> = Box::pin(ask);
    let (provider, title, summary, input, output) =
        ask.await.map_err(|error| fail(format!("{error:#}; imports do not work while it describes itself")))?;
    check_provider(&provider).map_err(&fail)?;
    for (what, text, longest) in [("title", &title, LONGEST_TITLE), ("summary", &summary, LONGEST_SUMMARY)] {
        if text.len() > longest {
            return Err(fail(format!("its {what} has {} bytes; at most {longest} are shown", text.len())));
        }
        if text.chars().any(|character| character.is_control() && character != '\n') {
            return Err(fail(format!("its {what} has control characters")));
        }
    }
    let read = |which, text: &str| {
        schema::read(text).map_err(|problem| RuntimeError::Schema { name: name.to_owned(), which, problem })
    };
    Ok(Described {
        provider,
        title,
        summary,
        input_schema: read("input", &input)?,
        output_schema: read("output", &output)?,
    })
}

/// A provider id is a word that stands in job files and file names.
fn check_provider(provider: &str) -> Result<(), String> {
    let good = (1..=100).contains(&provider.len())
        && provider.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && provider.starts_with(|first: char| first.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    Err("its provider id must have 1 to 100 letters, digits, dots, hyphens and underscores".to_owned())
}
