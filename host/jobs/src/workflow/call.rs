//! One attempt of a step: its configuration, what runs it, and what it leaves in the context.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use outrigger_door::{BoxFuture, StepKey};
use serde_json::{Map, Value};

use super::engine::lock;
use super::reference::run_reference;
use super::run::wait;
use super::sink::{Captured, StepLog};
use super::step::{AttemptEnd, Work};
use super::{MissingPlugins, RunStatus};
use crate::builtin::{self, Action};
use crate::context::{ContextValue, ExpandMode, Expanded, StoppedOutputs, split_words};
use crate::file::{ScriptStep, StepKind};
use crate::filters::{FilterChain, captured_names};
use crate::native::{self, NativeCall, NativeCommand};
use crate::steps::{ConfigurationValue, LogLevel, LogLine, PluginCall, StepFailure, StepOutcome, StepSink};

/// What an attempt came to, with its typed outputs.
type Attempted = (AttemptEnd, IndexMap<String, Value>);

/// A failure of a step that never came to run.
pub(super) fn refused(reason: &str, message: impl Into<String>) -> AttemptEnd {
    AttemptEnd::Failed(StepFailure {
        reason: reason.to_owned(),
        message: message.into(),
        result_code: None,
        retryable: false,
    })
}

/// Rundeck's reason for a step that is configured wrongly.
pub(super) const CONFIGURATION: &str = "ConfigurationFailure";

pub(super) fn attempt<'a>(work: &'a Work, key: &'a StepKey) -> BoxFuture<'a, Attempted> {
    Box::pin(async move {
        match &work.step.kind {
            StepKind::Plugin { provider, configuration, .. } if builtin::is_builtin(&provider.value) => {
                run_builtin(work, &provider.value, configuration).await
            }
            StepKind::Plugin { provider, node_step, configuration, .. } => {
                run_plugin(work, key, &provider.value, *node_step, configuration).await
            }
            StepKind::Exec { command } => run_native(work, key, Native::Exec(&command.value)).await,
            StepKind::Script(script) => run_native(work, key, Native::Script(script)).await,
            StepKind::ScriptFile { .. } | StepKind::ScriptUrl { .. } => {
                let message =
                    "a script of a file or an address cannot be run yet; put its text into the job as `script`";
                (refused(CONFIGURATION, message), IndexMap::new())
            }
            StepKind::JobRef(reference) => (run_reference(work, reference).await, IndexMap::new()),
        }
    })
}

/// The log of an attempt with the job's filters and then the step's own.
fn open_log(work: &Work) -> Arc<StepLog> {
    let filters = work.scope.job.sequence.log_filters.iter().chain(&work.step.log_filters);
    let (chain, problems) = FilterChain::new(filters, |text| {
        let expanded = work.scope.expand(text, ExpandMode::Argument, &work.view);
        expanded.map(|expanded| expanded.text).map_err(|error| error.to_string())
    });
    for problem in problems {
        work.engine.warn_once(Some(&work.path), &problem.to_string());
    }
    StepLog::new(&work.engine, &work.path, crate::context::LOCAL_NODE, work.scope.threshold, chain)
}

/// Puts what an attempt left behind into the context.
fn keep(work: &Work, captured: Captured) -> IndexMap<String, Value> {
    let mut context = lock(&work.scope.context);
    for (name, value) in &captured.outputs {
        context.set_output(&work.view, &work.labels, name, value.clone());
    }
    for (key, value) in captured.data {
        context.set_in(&work.view, "data", &key, value);
    }
    captured.outputs
}

/// Remembers what a stopped step would have set.
fn stop(work: &Work, mut outputs: StoppedOutputs) {
    outputs.labels.clone_from(&work.labels);
    for filter in work.scope.job.sequence.log_filters.iter().chain(&work.step.log_filters) {
        let (names, open) = captured_names(filter);
        outputs.keys.extend(names.into_iter().map(|name| ("data".to_owned(), name)));
        outputs.open |= open;
    }
    lock(&work.scope.context).stop(&work.path, outputs);
}

/// A configuration whose references were replaced.
struct Configuration {
    values: BTreeMap<String, ConfigurationValue>,
    depends_on: Option<String>,
}

fn expand_configuration(work: &Work, configuration: &IndexMap<String, Value>) -> Result<Configuration, String> {
    let mut expanded = Configuration { values: BTreeMap::new(), depends_on: None };
    for (key, value) in configuration {
        // Null means absent.
        if value.is_null() {
            continue;
        }
        let mut secret = false;
        let value = expand_value(work, key, value, &mut secret, &mut expanded.depends_on)?;
        expanded.values.insert(key.clone(), ConfigurationValue { value, secret });
    }
    Ok(expanded)
}

fn expand_value(
    work: &Work,
    key: &str,
    value: &Value,
    secret: &mut bool,
    depends_on: &mut Option<String>,
) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            let expanded =
                expand_text(work, text, ExpandMode::Plain, depends_on).map_err(|why| format!("`{key}`: {why}"))?;
            *secret |= expanded.secret;
            Value::String(expanded.text)
        }
        Value::Array(items) => Value::Array(
            items.iter().map(|item| expand_value(work, key, item, secret, depends_on)).collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => {
            let mut expanded = Map::new();
            for (name, field) in fields {
                expanded.insert(name.clone(), expand_value(work, key, field, secret, depends_on)?);
            }
            Value::Object(expanded)
        }
        other => other.clone(),
    })
}

/// Expands a text of a step, and warns of what became blank.
pub(super) fn expand_text(
    work: &Work,
    text: &str,
    mode: ExpandMode,
    depends_on: &mut Option<String>,
) -> Result<Expanded, String> {
    let expanded = work.scope.expand(text, mode, &work.view).map_err(|error| error.to_string())?;
    if let Some((_, step)) = expanded.depends_on.first() {
        depends_on.get_or_insert_with(|| step.clone());
    }
    for reference in &expanded.missing {
        work.engine.warn_once(Some(&work.path), &format!("`{reference}` has no value, so it became blank"));
    }
    Ok(expanded)
}

fn stopped(action: &str, input: Map<String, Value>, depends_on: Option<String>) -> AttemptEnd {
    AttemptEnd::Stopped { action: action.to_owned(), input, depends_on }
}

/// A configuration as a dry run shows it.
fn shown(values: &BTreeMap<String, ConfigurationValue>) -> Map<String, Value> {
    let shown = |value: &ConfigurationValue| if value.secret { Value::from("****") } else { value.value.clone() };
    values.iter().map(|(key, value)| (key.clone(), shown(value))).collect()
}

/// The time that an attempt has: its own `timeout`, or what is left of the job's.
fn timeout(work: &Work) -> Result<Option<Duration>, String> {
    let own = work.scope.duration(work.step.timeout.as_ref(), &work.view).map_err(|why| format!("`timeout`: {why}"))?;
    let left = work.scope.remaining(work.engine.now());
    Ok(match (own, left) {
        (Some(own), Some(left)) => Some(own.min(left)),
        (own, left) => own.or(left),
    })
}

async fn run_plugin(
    work: &Work,
    key: &StepKey,
    provider: &str,
    node_step: bool,
    configuration: &IndexMap<String, Value>,
) -> Attempted {
    let nothing = IndexMap::new();
    let engine = &work.engine;
    let Some(plugin) = engine.parts.catalog.plugin(provider) else {
        let message = format!("the plugin `{provider}` is not installed");
        let end = match engine.missing_plugins {
            MissingPlugins::Refuse => AttemptEnd::Fatal(format!("step {}: {message}", work.path)),
            MissingPlugins::FailStep => refused("PluginNotFound", message),
        };
        return (end, nothing);
    };
    let prepared = expand_configuration(work, configuration).and_then(|configuration| {
        let setting = |name: &str, own, inherited: &Option<String>| {
            let own = work.scope.setting(own, &work.view).map_err(|why| format!("`{name}`: {why}"))?;
            Ok::<_, String>(own.or_else(|| inherited.clone()))
        };
        let credentials = setting("credentials", work.step.credentials.as_ref(), &work.scope.credentials)?;
        let region = setting("region", work.step.region.as_ref(), &work.scope.region)?;
        Ok((configuration, credentials, region, timeout(work)?))
    });
    let (configuration, credentials, region, timeout) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => return (refused(CONFIGURATION, why), nothing),
    };
    let would_set = || StoppedOutputs {
        keys: output_names(&plugin.output_schema).map(|name| ("data".to_owned(), name)).collect(),
        ..StoppedOutputs::default()
    };
    if configuration.depends_on.is_some() {
        stop(work, would_set());
        return (stopped(provider, shown(&configuration.values), configuration.depends_on), nothing);
    }
    let log = open_log(work);
    let call = PluginCall {
        key: key.clone(),
        provider: plugin.provider.clone(),
        node_step,
        configuration: configuration.values,
        credentials,
        region,
        timeout,
        cancel: work.scope.cancel.clone(),
    };
    let outcome = {
        let sink: Arc<dyn StepSink> = log.clone();
        let running = engine.parts.runner.run(call, sink);
        tokio::select! {
            biased;
            outcome = running => outcome,
            () = overdue(work, timeout) => {
                if work.scope.cancel.is_cancelled() {
                    StepOutcome::Cancelled
                } else {
                    StepOutcome::Failed(native::timed_out(timeout.unwrap_or_default()))
                }
            }
        }
    };
    let captured = log.close();
    match outcome {
        StepOutcome::Succeeded => (AttemptEnd::Succeeded, keep(work, captured)),
        StepOutcome::Failed(failure) => (AttemptEnd::Failed(failure), keep(work, captured)),
        StepOutcome::DryRunStop { action, input } => {
            stop(work, would_set());
            (stopped(&action, input, None), nothing)
        }
        StepOutcome::Cancelled => (AttemptEnd::Cancelled, keep(work, captured)),
        StepOutcome::Fatal(message) => (AttemptEnd::Fatal(message), nothing),
    }
}

/// Ends when a step has gone on for the grace period after it should have ended.
async fn overdue(work: &Work, timeout: Option<Duration>) {
    let cancelled = work.scope.cancel.cancelled();
    match timeout {
        None => cancelled.await,
        Some(timeout) => tokio::select! {
            () = cancelled => {}
            () = work.engine.sleep(timeout) => {}
        },
    }
    work.engine.sleep(work.engine.limits.grace).await;
}

fn output_names(schema: &Value) -> impl Iterator<Item = String> + '_ {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone())
}

async fn run_builtin(work: &Work, provider: &str, configuration: &IndexMap<String, Value>) -> Attempted {
    let nothing = IndexMap::new();
    let engine = &work.engine;
    let configuration = match expand_configuration(work, configuration) {
        Ok(configuration) => configuration,
        Err(why) => return (refused(CONFIGURATION, why), nothing),
    };
    if configuration.depends_on.is_some() {
        let keys = builtin::would_set(provider, &configuration.values);
        stop(work, StoppedOutputs { keys, ..StoppedOutputs::default() });
        return (stopped(provider, shown(&configuration.values), configuration.depends_on), nothing);
    }
    let action = match builtin::action(provider, &configuration.values) {
        Ok(action) => action,
        Err(failure) => return (AttemptEnd::Failed(failure), nothing),
    };
    let say = |log: &StepLog, level, text: String, data_type: Option<&str>| {
        log.log(LogLine { level, text, data_type: data_type.map(str::to_owned) });
    };
    match action {
        Action::GoOn => (AttemptEnd::Succeeded, nothing),
        Action::Halt { status } => {
            let status = RunStatus::from(engine.clean(status.as_str()));
            let log = open_log(work);
            say(&log, LogLevel::Info, format!("[flow-control] ends the job as {status}"), None);
            keep(work, log.close());
            let message = (!status.is_success()).then(|| format!("step {} ended the job as {status}", work.path));
            (AttemptEnd::Halted(status, message), nothing)
        }
        Action::Badge { badge, variable } => {
            let log = open_log(work);
            if let Some(variable) = variable {
                lock(&work.scope.context).set_in(&work.view, "data", &variable, engine.clean(&badge.text));
            }
            log.badge(badge);
            keep(work, log.close());
            (AttemptEnd::Succeeded, nothing)
        }
        Action::LogData { debug } => {
            let level = if debug { LogLevel::Debug } else { LogLevel::Info };
            let values = lock(&work.scope.context).shown(&work.view);
            let text = serde_json::to_string(&values).unwrap_or_default();
            let log = open_log(work);
            say(&log, level, text, Some("application/json"));
            keep(work, log.close());
            (AttemptEnd::Succeeded, nothing)
        }
        Action::Export { group, name, value } => {
            lock(&work.scope.context).set(&group, &name, value);
            (AttemptEnd::Succeeded, nothing)
        }
        Action::Wait(duration) if engine.dry_run => {
            stop(work, StoppedOutputs::default());
            let seconds = Value::from(duration.as_secs_f64());
            (stopped("wait", Map::from_iter([("seconds".to_owned(), seconds)]), None), nothing)
        }
        Action::Wait(duration) => match timeout(work) {
            Err(why) => (refused(CONFIGURATION, why), nothing),
            Ok(timeout) => {
                let cut = timeout.filter(|timeout| *timeout < duration);
                let waited = wait(engine, &work.scope.cancel, cut.unwrap_or(duration)).await;
                let end = match cut {
                    _ if !waited => AttemptEnd::Cancelled,
                    Some(timeout) => AttemptEnd::Failed(native::timed_out(timeout)),
                    None => AttemptEnd::Succeeded,
                };
                (end, nothing)
            }
        },
    }
}

/// A native step as the job has it.
enum Native<'a> {
    Exec(&'a str),
    Script(&'a ScriptStep),
}

fn native_command(work: &Work, native: &Native<'_>, depends_on: &mut Option<String>) -> Result<NativeCommand, String> {
    let mut words = |line: &str, keep: &str| -> Result<Vec<String>, String> {
        split_words(line)
            .into_iter()
            .map(|word| {
                if word.contains(keep) && !keep.is_empty() {
                    return Ok(word);
                }
                expand_text(work, &word, ExpandMode::Argument, depends_on).map(|expanded| expanded.text)
            })
            .collect()
    };
    match native {
        Native::Exec(command) => {
            let expanded = expand_text(work, command, ExpandMode::Shell, depends_on)?;
            Ok(NativeCommand::Shell(expanded.text))
        }
        Native::Script(script) => {
            let args = script.args.as_ref().map(|args| words(&args.value, "")).transpose()?.unwrap_or_default();
            let interpreter = script
                .interpreter
                .as_ref()
                .map(|interpreter| words(&interpreter.value, native::SCRIPT_FILE))
                .transpose()?
                .unwrap_or_default();
            let text = expand_text(work, &script.script.value, ExpandMode::Script, depends_on)?.text;
            Ok(NativeCommand::Script {
                text,
                args,
                interpreter,
                quoted: script.args_quoted,
                extension: script.file_extension.clone(),
            })
        }
    }
}

async fn run_native(work: &Work, key: &StepKey, native: Native<'_>) -> Attempted {
    let nothing = IndexMap::new();
    let engine = &work.engine;
    let action = match native {
        Native::Exec(_) => "exec",
        Native::Script(_) => "script",
    };
    let mut depends_on = None;
    let prepared = native_command(work, &native, &mut depends_on).and_then(|command| Ok((command, timeout(work)?)));
    let (command, timeout) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => return (refused(CONFIGURATION, why), nothing),
    };
    if engine.dry_run {
        stop(
            work,
            StoppedOutputs { keys: vec![("exec".to_owned(), "exitCode".to_owned())], ..StoppedOutputs::default() },
        );
        return (stopped(action, command.shown(), depends_on), nothing);
    }
    let environment = lock(&work.scope.context)
        .environment(&work.view)
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                ContextValue::Secret(secret) => secret.expose().to_owned(),
                other => other.text().into_owned(),
            };
            (name, value)
        })
        .collect();
    let log = open_log(work);
    let call = NativeCall { key: key.clone(), command, environment, timeout, cancel: work.scope.cancel.clone() };
    let end = native::run(
        &engine.parts.native,
        engine.parts.recorder.as_deref(),
        engine.parts.durable.as_ref(),
        engine.redactor(),
        call,
        log.as_ref(),
    )
    .await;
    let outputs = keep(work, log.close());
    if let Some(code) = end.exit_code {
        let mut context = lock(&work.scope.context);
        context.set_of_step(work.number, crate::context::LOCAL_NODE, "exec", "exitCode", code.to_string());
        context.set_in(&work.view, "exec", "exitCode", code.to_string());
    }
    let end = match end.outcome {
        StepOutcome::Succeeded => AttemptEnd::Succeeded,
        StepOutcome::Failed(failure) => AttemptEnd::Failed(failure),
        StepOutcome::DryRunStop { action, input } => stopped(&action, input, None),
        StepOutcome::Cancelled => AttemptEnd::Cancelled,
        StepOutcome::Fatal(message) => AttemptEnd::Fatal(message),
    };
    (end, outputs)
}
