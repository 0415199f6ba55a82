//! A run from its first attempt to its last, and a job from its first step to its last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outrigger_door::BoxFuture;

use super::engine::{Engine, JobScope, lock};
use super::event::RunEventKind;
use super::report::{RunResult, RunStatus};
use super::sequence::{SequenceEnd, run_sequence};
use super::{RunRequest, WorkflowParts};
use crate::context::{ContextValue, DataContext, Group, LOCAL_NODE, View};
use crate::file::Job;
use crate::options::{OptionValue, ResolvedOptions};

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JobEnd {
    pub(super) status: RunStatus,
    pub(super) message: Option<String>,
    pub(super) fatal: bool,
}

pub(super) async fn run(parts: Arc<WorkflowParts>, request: RunRequest) -> RunResult {
    let engine = Arc::new(Engine::new(parts, &request));
    engine.redactor().register_all(request.options.secrets());
    let started = engine.now();
    engine.emit(RunEventKind::RunStarted {
        job: engine.clean(&request.job.path()),
        uuid: request.job.uuid.as_ref().map(|uuid| engine.clean(&uuid.value)),
        project: engine.clean(&request.origin.project),
        dry_run: request.dry_run,
        options: shown_options(&engine, &request.options),
    });
    let mut attempt: u32 = 0;
    let (end, scope) = loop {
        let scope = Arc::new(top_scope(&engine, &request, attempt));
        let end = run_job(Arc::clone(&engine), Arc::clone(&scope)).await;
        attempt = attempt.saturating_add(1);
        let again = matches!(end.status, RunStatus::Failed | RunStatus::TimedOut | RunStatus::Other(_))
            && !end.fatal
            && !request.cancel.is_cancelled()
            && attempt <= retries(&engine, &scope);
        if !again {
            break (end, scope);
        }
        let delay = retry_delay(&engine, &scope);
        engine.emit(RunEventKind::AttemptFailed {
            attempt,
            status: end.status.clone(),
            message: end.message.clone(),
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        });
        if !wait(&engine, &request.cancel, delay).await {
            let message = Some("cancelled while waiting for the next attempt".to_owned());
            break (JobEnd { status: RunStatus::Aborted, message, fatal: false }, scope);
        }
        engine.take_reports();
    };
    let exports = exports(&engine, &scope);
    engine.emit(RunEventKind::RunFinished {
        status: end.status.clone(),
        message: end.message.clone(),
        exports: exports.clone(),
        duration_ms: engine.millis_since(started),
    });
    RunResult {
        status: end.status,
        message: end.message,
        fatal: end.fatal,
        steps: engine.take_reports(),
        exports,
        attempts: attempt.max(1),
    }
}

/// Waits; false if the wait was cancelled.
pub(super) async fn wait(engine: &Engine, cancel: &tokio_util::sync::CancellationToken, duration: Duration) -> bool {
    if duration.is_zero() {
        return !cancel.is_cancelled();
    }
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = engine.sleep(duration) => true,
    }
}

fn retries(engine: &Engine, scope: &JobScope) -> u32 {
    let Some(retry) = &scope.job.retry else { return 0 };
    match scope.setting(Some(&retry.count), &View::global()) {
        Ok(None) => 0,
        Ok(Some(text)) => text.parse().unwrap_or_else(|_| {
            engine
                .warn_once(None, &format!("`retry` must be a whole number, not `{text}`; the job is not tried again"));
            0
        }),
        Err(why) => {
            engine.warn_once(None, &format!("`retry` cannot be read, so the job is not tried again: {why}"));
            0
        }
    }
}

fn retry_delay(engine: &Engine, scope: &JobScope) -> Duration {
    let delay = scope.job.retry.as_ref().and_then(|retry| retry.delay.as_ref());
    scope
        .duration(delay, &View::global())
        .unwrap_or_else(|why| {
            engine.warn_once(None, &format!("the delay of `retry` cannot be read, so there is none: {why}"));
            None
        })
        .unwrap_or_default()
}

fn shown_options(engine: &Engine, options: &ResolvedOptions) -> BTreeMap<String, String> {
    options
        .values
        .iter()
        .map(|(name, option)| {
            let text = match &option.value {
                OptionValue::Plain(text) => engine.clean(text),
                OptionValue::Secret(_) => "****".to_owned(),
            };
            (name.clone(), text)
        })
        .collect()
}

fn exports(engine: &Engine, scope: &JobScope) -> BTreeMap<String, String> {
    let context = lock(&scope.context);
    let export = context.group("export").into_iter().flatten();
    export
        .map(|(key, value)| {
            let text = if value.is_secret() { "****".to_owned() } else { engine.clean(&value.text()) };
            (key.clone(), text)
        })
        .collect()
}

fn top_scope(engine: &Arc<Engine>, request: &RunRequest, attempt: u32) -> JobScope {
    let mut context = DataContext::new();
    let globals = request.globals.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    context.set_group("globals", globals);
    context.set_on_node(LOCAL_NODE, "node", "name", LOCAL_NODE);
    for (key, value) in &request.node {
        context.set_on_node(LOCAL_NODE, "node", key, value.as_str());
    }
    set_options(&mut context, &request.options);
    let threshold = engine.log_level.unwrap_or(request.job.log_level);
    context.set_group("job", job_group(engine, &request.job, &request.origin.project, threshold, attempt));
    context.set("execution", "id", engine.run.to_string());
    scope(engine, Arc::clone(&request.job), context, None, request)
}

fn scope(
    engine: &Arc<Engine>,
    job: Arc<Job>,
    context: DataContext,
    deadline: Option<jiff::Timestamp>,
    request: &RunRequest,
) -> JobScope {
    let mut scope = JobScope {
        origin: request.origin.clone(),
        prefix: String::new(),
        depth: 0,
        context: Mutex::new(context),
        cancel: request.cancel.child_token(),
        deadline,
        timed_out: AtomicBool::new(false),
        threshold: engine.log_level.unwrap_or(job.log_level),
        credentials: None,
        region: None,
        job,
    };
    scope.read_own_settings(engine, None, None);
    scope
}

impl JobScope {
    /// Reads `timeout`, `credentials` and `region` of the job; what it does not say is inherited.
    pub(super) fn read_own_settings(&mut self, engine: &Engine, credentials: Option<String>, region: Option<String>) {
        let view = View::global();
        let read = |what: &str, value: Result<Option<String>, String>| {
            value.unwrap_or_else(|why| {
                engine.warn_once(None, &format!("`{what}` of the job cannot be read: {why}"));
                None
            })
        };
        let own_credentials = read("credentials", self.setting(self.job.credentials.as_ref(), &view));
        let own_region = read("region", self.setting(self.job.region.as_ref(), &view));
        self.credentials = own_credentials.or(credentials);
        self.region = own_region.or(region);
        match self.duration(self.job.timeout.as_ref(), &view) {
            Ok(None) => {}
            Ok(Some(timeout)) => {
                let own = engine.now().checked_add(timeout).unwrap_or(jiff::Timestamp::MAX);
                self.deadline = Some(self.deadline.map_or(own, |outer| outer.min(own)));
            }
            Err(why) => {
                engine.warn_once(None, &format!("`timeout` of the job cannot be read, so there is none: {why}"))
            }
        }
    }
}

/// Puts the values of options into a context; those that are for authentication to nodes alone are left out.
pub(super) fn set_options(context: &mut DataContext, options: &ResolvedOptions) {
    let mut group = Group::new();
    for (name, option) in options.values.iter().filter(|(_, option)| option.exposed) {
        let value = match &option.value {
            OptionValue::Plain(text) => ContextValue::Text(text.clone()),
            OptionValue::Secret(secret) => ContextValue::Secret(secret.clone()),
        };
        if option.file {
            context.set("file", name, value.clone());
        }
        group.insert(name.clone(), value);
    }
    context.set_group("option", group);
}

/// `${job.*}`.
pub(super) fn job_group(
    engine: &Engine,
    job: &Job,
    project: &str,
    level: crate::steps::LogLevel,
    attempt: u32,
) -> Group {
    let level = format!("{level:?}").to_uppercase();
    let mut group = Group::new();
    for (key, value) in [
        ("name", job.name.value.clone()),
        ("group", job.group.as_ref().map(|group| group.value.clone()).unwrap_or_default()),
        ("id", job.uuid.as_ref().map(|uuid| uuid.value.clone()).unwrap_or_default()),
        ("execid", engine.run.to_string()),
        ("project", project.to_owned()),
        ("username", engine.username.clone()),
        ("user.name", engine.username.clone()),
        ("loglevel", level),
        ("executionType", "user".to_owned()),
        ("retryAttempt", attempt.to_string()),
        ("wasRetry", (attempt > 0).to_string()),
        ("threadcount", "1".to_owned()),
    ] {
        group.insert(key.to_owned(), value.into());
    }
    group
}

/// Runs one attempt of one job. Its time, where it has one, is kept here.
pub(super) fn run_job(engine: Arc<Engine>, scope: Arc<JobScope>) -> BoxFuture<'static, JobEnd> {
    Box::pin(async move {
        let mut work = run_sequence(Arc::clone(&engine), Arc::clone(&scope));
        let end = match scope.remaining(engine.now()) {
            None => work.await,
            Some(left) => {
                tokio::select! {
                    biased;
                    end = &mut work => end,
                    () = engine.sleep(left) => {
                        scope.timed_out.store(true, Ordering::Release);
                        scope.cancel.cancel();
                        work.await
                    }
                }
            }
        };
        let job_end = |status, message| JobEnd { status, message, fatal: false };
        match end {
            SequenceEnd::Succeeded => job_end(RunStatus::Succeeded, None),
            SequenceEnd::Fatal(message) => {
                JobEnd { status: RunStatus::Failed, message: Some(engine.clean(&message)), fatal: true }
            }
            SequenceEnd::Cancelled if scope.is_timed_out() => {
                job_end(RunStatus::TimedOut, Some("the job took longer than its `timeout`".to_owned()))
            }
            SequenceEnd::Cancelled => job_end(RunStatus::Aborted, Some("the run was cancelled".to_owned())),
            SequenceEnd::Failed(message) => {
                let status = if scope.is_timed_out() { RunStatus::TimedOut } else { RunStatus::Failed };
                job_end(status, Some(engine.clean(&message)))
            }
            SequenceEnd::Halted(status, message) => job_end(status, message.map(|message| engine.clean(&message))),
        }
    })
}
