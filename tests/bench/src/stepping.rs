//! The component as the step of a job, in a home of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_config::Home;
use outrigger_credential_providers::NoMfa;
use outrigger_engine::{Host, HostOptions, RunSpec};
use outrigger_jobs::file::parse_jobs;
use outrigger_jobs::workflow::{MissingPlugins, RunEvent, RunObserver};
use outrigger_journal::{LogLevel, LogLine, NewRun, Status, StepFinished, StepStarted, Store};
use outrigger_redaction::Redactor;
use outrigger_runtime::Compiler;
use tokio_util::sync::CancellationToken;

use crate::Failed;

struct Nobody;

impl RunObserver for Nobody {
    fn event(&self, _event: &RunEvent) {}
}

/// A home with the component.
pub(crate) struct Stepping {
    host: Arc<Host>,
    store: Store,
    provider: String,
    digest: String,
    _folder: tempfile::TempDir,
}

impl Stepping {
    pub(crate) async fn new(bytes: &[u8]) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let home = Home::discover(Some(folder.path().to_owned()), &|_| None, folder.path())?;
        let options = HostOptions {
            project: None,
            allow_dirs: Vec::new(),
            compiler: Compiler::InProcess,
            mfa: Arc::new(NoMfa),
            attempts: 1,
        };
        let host = Host::open(home, options).await?;
        let info = host.examine_plugin("the component", bytes).await?.info;
        host.add_plugin(&info, bytes)?;
        let store = host.store()?;
        Ok(Self { host, store, provider: info.provider, digest: info.digest, _folder: folder })
    }

    /// The time of a run with so many steps, one after the other, to its end on disk.
    pub(crate) async fn run(&self, steps: usize) -> Result<Duration, Failed> {
        let step =
            format!("    - type: {}\n      nodeStep: false\n      configuration: {{name: world}}\n", self.provider);
        let text =
            format!("- name: steps\n  sequence:\n    strategy: sequential\n    commands:\n{}", step.repeat(steps));
        let file = Arc::new(parse_jobs(&text, "steps.yaml").map_err(|problems| format!("{problems:?}"))?);
        let job = file.jobs.first().ok_or("no job")?;
        let spec = RunSpec {
            library: self.host.job_index(&file)?,
            options: self
                .host
                .resolve_options("steps.yaml", "", job, &[], &[], None)
                .map_err(|problems| format!("{problems:?}"))?,
            file: file.clone(),
            text,
            job: 0,
            username: "bench".to_owned(),
            dry_run: false,
            record: None,
            replay: None,
            globals: self.host.globals(),
            missing_plugins: MissingPlugins::Refuse,
            log_level: None,
        };
        let start = Instant::now();
        let end = self.host.run_job(spec, Arc::new(Nobody), CancellationToken::new()).await?;
        let took = start.elapsed();
        if !end.result.status.is_success() {
            return Err(format!("the run failed: {:?}", end.result).into());
        }
        Ok(took)
    }

    /// The time of writing down a run with so many steps, with the rows that the engine writes, to its end on disk.
    pub(crate) async fn commit(&self, steps: usize) -> Result<Duration, Failed> {
        let start = Instant::now();
        let run = NewRun {
            project: String::new(),
            job_id: None,
            job_name: "steps".to_owned(),
            job_group: String::new(),
            user: "bench".to_owned(),
            arguments: serde_json::Value::Null,
            mode: "run".to_owned(),
            parent: None,
        };
        let writer = self.store.start_run(run, Redactor::new()).await?;
        for number in 1..=steps {
            let key = step_key(&writer, number);
            writer.step_started(StepStarted {
                key: key.clone(),
                label: None,
                plugin: self.provider.clone(),
                digest: Some(self.digest.clone()),
                at_unix_micros: 1,
            });
            writer.log(LogLine {
                at_unix_micros: 1,
                path: Some(key.path.clone()),
                node: Some(key.node.clone()),
                level: LogLevel::Normal,
                text: "hello world".to_owned(),
                data_type: None,
            });
            writer.step_finished(StepFinished {
                key,
                status: Status::Succeeded,
                failure: None,
                outputs: Some(serde_json::json!({ "greeting": "hello world" })),
                at_unix_micros: 1,
            });
        }
        writer.finish(Status::Succeeded, None, None).await?;
        Ok(start.elapsed())
    }
}

fn step_key(writer: &outrigger_journal::RunWriter, number: usize) -> outrigger_door::StepKey {
    outrigger_door::StepKey { run: writer.run(), path: number.to_string(), node: "local".to_owned(), attempt: 1 }
}
