//! A run with plugins that do as they are told.

#![expect(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outrigger_door::{BoxFuture, RunId};
use outrigger_jobs::context::split_words;
use outrigger_jobs::file::{JobIndex, parse_jobs};
use outrigger_jobs::native::{NativePolicy, NativeRecorder};
use outrigger_jobs::options::{NoKeys, OptionEnvironment, OptionSource, OptionValue, ResolvedOption, resolve_options};
use outrigger_jobs::steps::{
    LogLevel, LogLine, PluginCall, PluginCatalog, PluginSummary, StepFailure, StepOutcome, StepRunner, StepSink,
};
use outrigger_jobs::workflow::{
    InProcess, IndexLibrary, JobOrigin, MissingPlugins, RunEvent, RunEventKind, RunLimits, RunObserver, RunRequest,
    RunResult, StepStatus, Workflow, WorkflowParts,
};
use outrigger_redaction::{Redactor, Secret};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A plugin whose `do` says what it does: words such as `log:text`, `out:name=value`, `fail`, `flaky:2`, `sleep:5`,
/// `hang`, `write`, `fatal`, `progress`.
#[derive(Default)]
pub struct FakePlugins {
    pub calls: Mutex<Vec<PluginCall>>,
    tries: Mutex<HashMap<String, u32>>,
    pub dry_run: bool,
}

impl StepRunner for FakePlugins {
    fn run(&self, call: PluginCall, sink: Arc<dyn StepSink>) -> BoxFuture<'_, StepOutcome> {
        Box::pin(async move {
            self.calls.lock().expect("not poisoned").push(call.clone());
            let text =
                call.configuration.get("do").and_then(|value| value.value.as_str()).unwrap_or_default().to_owned();
            let mut words: VecDeque<String> = split_words(&text).into();
            while let Some(word) = words.pop_front() {
                let (verb, rest) = word.split_once(':').unwrap_or((&word, ""));
                match verb {
                    "log" => sink.log(LogLine { level: LogLevel::Info, text: rest.to_owned(), data_type: None }),
                    "debug" => sink.log(LogLine { level: LogLevel::Debug, text: rest.to_owned(), data_type: None }),
                    "lines" => {
                        for line in 0..rest.parse::<u32>().expect("a number") {
                            sink.log(LogLine { level: LogLevel::Info, text: format!("line {line}"), data_type: None });
                        }
                    }
                    "out" => {
                        let (name, value) = rest.split_once('=').expect("a value");
                        sink.output(name, serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)));
                    }
                    "progress" => sink.progress(1, Some(2), "files"),
                    "sleep" => {
                        let time = tokio::time::sleep(Duration::from_secs(rest.parse().expect("seconds")));
                        tokio::select! {
                            () = call.cancel.cancelled() => return StepOutcome::Cancelled,
                            () = time => {}
                        }
                        if let Some(timeout) = call.timeout
                            && timeout <= Duration::from_secs(rest.parse().expect("seconds"))
                        {
                            return failed("Timeout", "too slow");
                        }
                    }
                    "slow" => {
                        let time = Duration::from_secs(rest.parse().expect("seconds"));
                        tokio::time::sleep(call.timeout.unwrap_or(time).min(time)).await;
                        return failed("Timeout", "too slow");
                    }
                    "cancelled" => return StepOutcome::Cancelled,
                    "hang" => std::future::pending().await,
                    "fail" => return failed("Throttled", if rest.is_empty() { "it failed" } else { rest }),
                    "flaky" => {
                        let mut tries = self.tries.lock().expect("not poisoned");
                        let tries = tries.entry(call.key.path.clone()).or_default();
                        *tries += 1;
                        if *tries <= rest.parse().expect("a number") {
                            return failed("Throttled", &format!("try {tries}"));
                        }
                    }
                    "write" if self.dry_run => {
                        let input = json!({"id": rest}).as_object().cloned().unwrap_or_default();
                        return StepOutcome::DryRunStop { action: "ec2:StartInstances".to_owned(), input };
                    }
                    "write" => {}
                    "fatal" => return StepOutcome::Fatal("the journal is full".to_owned()),
                    other => panic!("no such word: {other}"),
                }
            }
            StepOutcome::Succeeded
        })
    }
}

fn failed(reason: &str, message: &str) -> StepOutcome {
    StepOutcome::Failed(StepFailure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        result_code: None,
        retryable: true,
    })
}

/// Knows the plugin `fake`, with the outputs `id` and `state`.
pub struct FakeCatalog;

impl PluginCatalog for FakeCatalog {
    fn plugin(&self, provider: &str) -> Option<PluginSummary> {
        (provider == "fake").then(|| PluginSummary {
            provider: provider.to_owned(),
            title: "Fake".to_owned(),
            input_schema: json!({}),
            output_schema: json!({"properties": {"id": {}, "state": {}}}),
            worlds: vec!["job-step".to_owned()],
        })
    }

    fn providers(&self) -> Vec<String> {
        vec!["fake".to_owned()]
    }
}

/// Keeps events, as the JSON that they are written as.
#[derive(Default)]
pub struct Events(pub Mutex<Vec<RunEvent>>);

impl RunObserver for Events {
    fn event(&self, event: &RunEvent) {
        let text = serde_json::to_string(event).expect("an event is JSON");
        assert!(!text.contains('\n') && text.contains("\"v\":1"), "{text}");
        let read: RunEvent = serde_json::from_str(&text).expect("an event reads back");
        assert_eq!(&read, event);
        self.0.lock().expect("not poisoned").push(read);
    }
}

pub struct Bench {
    pub jobs: String,
    pub options: Vec<(String, String)>,
    pub secrets: Vec<(String, String)>,
    pub dry_run: bool,
    pub missing_plugins: MissingPlugins,
    pub native: NativePolicy,
    pub recorder: Option<Arc<dyn NativeRecorder>>,
    pub limits: RunLimits,
    pub cancel: CancellationToken,
}

pub struct Ran {
    pub result: RunResult,
    pub events: Vec<RunEvent>,
    pub calls: Vec<PluginCall>,
}

impl Bench {
    /// A run of the first of some jobs in YAML.
    pub fn new(jobs: &str) -> Self {
        Self {
            jobs: jobs.to_owned(),
            options: Vec::new(),
            secrets: Vec::new(),
            dry_run: false,
            missing_plugins: MissingPlugins::default(),
            native: NativePolicy { enabled: true, grace: Duration::from_millis(300), ..NativePolicy::default() },
            recorder: None,
            limits: RunLimits::default(),
            cancel: CancellationToken::new(),
        }
    }

    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn dry(mut self) -> Self {
        self.dry_run = true;
        self
    }

    pub async fn run(self) -> Ran {
        let file = Arc::new(parse_jobs(&self.jobs, "jobs.yaml").unwrap_or_else(|problems| panic!("{problems:?}")));
        let mut index = JobIndex::new();
        index.add(Some("p"), Arc::clone(&file));
        let job = Arc::new(file.jobs.first().expect("a job").clone());
        let now = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        let environment = OptionEnvironment {
            file: "jobs.yaml",
            keys: &NoKeys,
            prompter: None,
            now: now.clone(),
            job: BTreeMap::new(),
        };
        let mut options = resolve_options(&job, &self.options, &[], environment).expect("valid options");
        for (name, value) in &self.secrets {
            let value = OptionValue::Secret(Secret::new(value.clone()));
            let option = ResolvedOption { value, source: OptionSource::Storage, exposed: true, file: false };
            options.values.insert(name.clone(), option);
        }
        let plugins = Arc::new(FakePlugins { dry_run: self.dry_run, ..FakePlugins::default() });
        let events = Arc::new(Events::default());
        let workflow = Workflow::new(WorkflowParts {
            runner: plugins.clone(),
            catalog: Arc::new(FakeCatalog),
            library: Arc::new(IndexLibrary::new(index, Arc::new(NoKeys), now, BTreeMap::new())),
            observer: events.clone(),
            redactor: Redactor::new(),
            durable: Arc::new(InProcess::new()),
            native: self.native,
            recorder: self.recorder,
        });
        let result = workflow
            .run(RunRequest {
                run: RunId(7),
                origin: JobOrigin { project: "p".to_owned(), file: "jobs.yaml".to_owned() },
                username: "ann".to_owned(),
                job,
                options,
                globals: BTreeMap::from([("g".to_owned(), "global".to_owned())]),
                node: BTreeMap::from([("os-family".to_owned(), "unix".to_owned())]),
                dry_run: self.dry_run,
                missing_plugins: self.missing_plugins,
                log_level: None,
                limits: self.limits,
                cancel: self.cancel,
            })
            .await;
        let ran = Ran {
            result,
            events: std::mem::take(&mut *events.0.lock().expect("not poisoned")),
            calls: std::mem::take(&mut *plugins.calls.lock().expect("not poisoned")),
        };
        assert!(matches!(ran.events.first().map(|event| &event.kind), Some(RunEventKind::RunStarted { .. })));
        assert!(matches!(ran.events.last().map(|event| &event.kind), Some(RunEventKind::RunFinished { .. })));
        ran
    }
}

impl Ran {
    pub fn status(&self) -> &str {
        self.result.status.as_str()
    }

    /// Step and status of each, in the order in which they ended.
    pub fn steps(&self) -> String {
        let word = |status: StepStatus| serde_json::to_value(status).expect("a word").as_str().map(str::to_owned);
        let steps =
            self.result.steps.iter().map(|step| format!("{} {}", step.step, word(step.status).unwrap_or_default()));
        steps.collect::<Vec<_>>().join(", ")
    }

    /// Lines of the log.
    pub fn log(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match &event.kind {
                RunEventKind::Log { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub fn warnings(&self) -> Vec<&str> {
        let found = self.events.iter().filter_map(|event| match &event.kind {
            RunEventKind::Warning { message, .. } => Some(message.as_str()),
            _ => None,
        });
        found.collect()
    }

    /// Step, action and the step it depends on.
    pub fn dry_runs(&self) -> Vec<(&str, &str, Option<&str>)> {
        let found = self.events.iter().filter_map(|event| match &event.kind {
            RunEventKind::DryRun { step, action, depends_on, .. } => {
                Some((step.as_str(), action.as_str(), depends_on.as_deref()))
            }
            _ => None,
        });
        found.collect()
    }

    pub fn all_text(&self) -> String {
        format!("{}{:?}", serde_json::to_string(&self.events).expect("JSON"), self.result)
    }
}

/// Whether a process of this id is there.
pub fn is_alive(pid: i32) -> bool {
    // A zombie has ended; nobody has asked how.
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}
