//! Steps that run another job.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::FoundJob;
use super::call::{CONFIGURATION, expand_text, refused};
use super::engine::{JobScope, lock};
use super::report::RunStatus;
use super::run::{job_group, run_job, set_options};
use super::step::{AttemptEnd, Work, reference_name};
use crate::context::{ContextValue, DataContext, ExpandMode, LOCAL_NODE, StoppedOutputs, View, split_words};
use crate::file::{Job, JobReference};
use crate::options::ResolvedOptions;

/// Groups and keys that a referred job sees of the one that refers to it.
const INHERITED: &[&str] = &["globals", "execution"];

pub(super) async fn run_reference(work: &Work, reference: &JobReference) -> AttemptEnd {
    let engine = &work.engine;
    let name = reference_name(reference);
    if work.scope.depth >= engine.limits.depth {
        let depth = engine.limits.depth;
        return refused(CONFIGURATION, format!("job `{name}` is not run: job references are {depth} deep already"));
    }
    let named = match named(work, reference) {
        Ok(named) => named,
        Err(why) => return refused(CONFIGURATION, format!("job `{name}`: {why}")),
    };
    let found = match engine.parts.library.find(&work.scope.origin, &named) {
        Ok(found) => found,
        Err(why) => return refused("NotFound", why),
    };
    if !found.job.execution_enabled {
        let message = format!("job `{name}` may not be executed (`executionEnabled: false`)");
        return if reference.fail_on_disable { refused("JobFailed", message) } else { AttemptEnd::Skipped(message) };
    }
    let mut depends_on = None;
    let given = match arguments(work, reference, &found.job, &mut depends_on) {
        Ok(given) => given,
        Err(why) => return refused("InvalidOptions", format!("arguments of job `{name}`: {why}")),
    };
    if depends_on.is_some() {
        let outputs = StoppedOutputs { labels: work.labels.clone(), keys: Vec::new(), open: true };
        lock(&work.scope.context).stop(&work.path, outputs);
        let input = Map::from_iter([("job".to_owned(), Value::from(found.job.path()))]);
        return AttemptEnd::Stopped { action: "job".to_owned(), input, depends_on };
    }
    let plain: Vec<(String, String)> =
        given.iter().map(|(name, value)| (name.clone(), value.text().into_owned())).collect();
    let options = match engine.parts.library.options(&found, &plain) {
        Ok(options) => options,
        Err(problems) => {
            let why = problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ");
            return refused("InvalidOptions", format!("options of job `{name}`: {why}"));
        }
    };
    engine.redactor().register_all(options.secrets());
    let scope = Arc::new(child(work, &found, &options, &given));
    let end = run_job(Arc::clone(engine), Arc::clone(&scope)).await;
    hand_back(work, &scope);
    if end.fatal {
        return AttemptEnd::Fatal(end.message.unwrap_or_default());
    }
    let why = end.message.map(|message| format!(": {message}")).unwrap_or_default();
    match end.status {
        RunStatus::Succeeded => AttemptEnd::Succeeded,
        RunStatus::Aborted => AttemptEnd::Cancelled,
        status => refused("JobFailed", format!("job `{name}` ended as {status}{why}")),
    }
}

/// The reference with the values of what its own fields refer to.
fn named(work: &Work, reference: &JobReference) -> Result<JobReference, String> {
    let mut named = reference.clone();
    for field in [&mut named.uuid, &mut named.name, &mut named.group, &mut named.project].into_iter().flatten() {
        field.value = expand_text(work, &field.value, ExpandMode::Argument, &mut None)?.text;
    }
    Ok(named)
}

/// The options that the reference gives: those of its `args`, and with `importOptions` the referring job's own where
/// the names are the same. As in Rundeck, what the other job has no option for is dropped.
fn arguments(
    work: &Work,
    reference: &JobReference,
    job: &Job,
    depends_on: &mut Option<String>,
) -> Result<Vec<(String, ContextValue)>, String> {
    let mut given: Vec<(String, ContextValue)> = Vec::new();
    let line = reference.args.as_ref().map(|args| args.value.as_str()).unwrap_or_default();
    let mut words = split_words(line).into_iter();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else {
            return Err(format!("`{word}` is no option; options are written `-name value`"));
        };
        let value = words.next().unwrap_or_default();
        let value = expand_text(work, &value, ExpandMode::Plain, depends_on)?.into_value();
        if job.option(name).is_some() {
            given.push((name.to_owned(), value));
        } else {
            work.engine.warn_once(
                Some(&work.path),
                &format!("job `{}` has no option `{name}`, so its value is dropped", job.path()),
            );
        }
    }
    if reference.import_options {
        let context = lock(&work.scope.context);
        for (name, value) in context.group("option").into_iter().flatten() {
            if job.option(name).is_some() && !given.iter().any(|(given, _)| given == name) {
                given.push((name.clone(), value.clone()));
            }
        }
    }
    Ok(given)
}

fn child(work: &Work, found: &FoundJob, options: &ResolvedOptions, given: &[(String, ContextValue)]) -> JobScope {
    let engine = &work.engine;
    let job = &found.job;
    let threshold = engine.log_level.unwrap_or(job.log_level);
    let mut context = DataContext::new();
    {
        let outer = lock(&work.scope.context);
        for group in INHERITED {
            if let Some(values) = outer.group(group) {
                context.set_group(group, values.clone());
            }
        }
        for (key, value) in outer.node_group(LOCAL_NODE, "node").into_iter().flatten() {
            context.set_on_node(LOCAL_NODE, "node", key, value.clone());
        }
        let mut group = job_group(engine, job, &found.origin.project, threshold, 0);
        for key in ["retryAttempt", "wasRetry"] {
            if let Some(value) = outer.group("job").and_then(|job| job.get(key)) {
                group.insert(key.to_owned(), value.clone());
            }
        }
        context.set_group("job", group);
    }
    set_options(&mut context, options);
    // A secret stays one, also where the other job's option is not a secure one.
    for (name, value) in given.iter().filter(|(_, value)| value.is_secret()) {
        context.set("option", name, value.clone());
    }
    let setting = |own| match work.scope.setting(own, &work.view) {
        Ok(own) => own,
        Err(why) => {
            engine.warn_once(Some(&work.path), &format!("a setting of the step cannot be read: {why}"));
            None
        }
    };
    let credentials = setting(work.step.credentials.as_ref()).or_else(|| work.scope.credentials.clone());
    let region = setting(work.step.region.as_ref()).or_else(|| work.scope.region.clone());
    let own_time = work.scope.duration(work.step.timeout.as_ref(), &work.view).unwrap_or_else(|why| {
        engine.warn_once(Some(&work.path), &format!("`timeout` of the step cannot be read, so there is none: {why}"));
        None
    });
    let own_end = own_time.and_then(|time| engine.now().checked_add(time).ok());
    let deadline = match (own_end, work.scope.deadline) {
        (Some(own), Some(outer)) => Some(own.min(outer)),
        (own, outer) => own.or(outer),
    };
    let mut scope = JobScope {
        job: Arc::clone(job),
        origin: found.origin.clone(),
        prefix: format!("{}/", work.path),
        depth: work.scope.depth + 1,
        context: Mutex::new(context),
        cancel: work.scope.cancel.child_token(),
        deadline,
        timed_out: AtomicBool::new(false),
        threshold,
        credentials: None,
        region: None,
    };
    scope.read_own_settings(engine, credentials, region);
    scope
}

/// What a referred job exported is the referring job's: as `${export.x}`, and as an output of the step.
fn hand_back(work: &Work, scope: &JobScope) {
    let inner = lock(&scope.context);
    let exported = inner.group("export").cloned().unwrap_or_default();
    let pending: Vec<String> = inner.pending_in("export").map(str::to_owned).collect();
    drop(inner);
    let mut context = lock(&work.scope.context);
    for (name, value) in exported {
        for label in &work.labels {
            context.set_in(
                &View { result: None, ..work.view.clone() },
                "data",
                &format!("{label}.{name}"),
                value.clone(),
            );
        }
        context.set("export", &name, value);
    }
    if !pending.is_empty() {
        let keys = pending
            .into_iter()
            .flat_map(|name| {
                let labelled = work.labels.iter().map(|label| ("data".to_owned(), format!("{label}.{name}")));
                labelled.chain([("export".to_owned(), name.clone())]).collect::<Vec<_>>()
            })
            .collect();
        context.stop(&work.path, StoppedOutputs { labels: Vec::new(), keys, open: false });
    }
}
