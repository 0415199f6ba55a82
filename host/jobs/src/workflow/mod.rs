//! Runs jobs: strategies, retries, error handlers, job references, and the events that tell of them.
//!
//! The semantics are Rundeck's; source: <https://docs.rundeck.com/docs/manual/jobs/job-workflows.html>. Everything runs
//! on the one node `local`; all strategies are accepted, since they differ in the order of nodes, but for `parallel`,
//! which starts all steps at once.

mod call;
mod durable;
mod engine;
mod event;
mod library;
mod reference;
mod report;
mod run;
mod sequence;
mod sink;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outrigger_door::RunId;
use outrigger_redaction::Redactor;
use tokio_util::sync::CancellationToken;

use crate::file::Job;
use crate::native::{NativePolicy, NativeRecorder};
use crate::options::ResolvedOptions;
use crate::steps::{LogLevel, PluginCatalog, StepRunner};

pub use durable::{Durable, InProcess};
pub use event::{EVENT_VERSION, Observers, RunEvent, RunEventKind, RunObserver};
pub use library::{FoundJob, IndexLibrary, JobLibrary, JobOrigin};
pub use report::{RunResult, RunStatus, StepReport, StepStatus};

/// What a run is carried by.
#[derive(Clone)]
pub struct WorkflowParts {
    /// Runs plugin steps.
    pub runner: Arc<dyn StepRunner>,
    /// Knows the plugins.
    pub catalog: Arc<dyn PluginCatalog>,
    /// Knows the jobs.
    pub library: Arc<dyn JobLibrary>,
    /// Sees the events.
    pub observer: Arc<dyn RunObserver>,
    /// Knows the secrets; those of options are added to it.
    pub redactor: Redactor,
    /// Clock, randomness, sleep and concurrency.
    pub durable: Arc<dyn Durable>,
    /// Whether and how `exec` and `script` steps run.
    pub native: NativePolicy,
    /// Records native steps, or replays them.
    pub recorder: Option<Arc<dyn NativeRecorder>>,
}

/// What happens to a step whose plugin is not installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingPlugins {
    /// The run ends: checking the job should have found it.
    #[default]
    Refuse,
    /// The step fails, so that its error handler acts, as in Rundeck.
    FailStep,
}

/// How much a run may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// Lines that a step may show.
    pub log_lines: u64,
    /// Bytes that a step may show.
    pub log_bytes: u64,
    /// Bytes of one line.
    pub line_bytes: usize,
    /// How deep job references may go.
    pub depth: u32,
    /// How long after its timeout, or after a cancellation, a plugin step may go on before it is given up.
    pub grace: Duration,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            log_lines: 200_000,
            log_bytes: 64 * 1024 * 1024,
            line_bytes: 64 * 1024,
            depth: 16,
            grace: Duration::from_secs(60),
        }
    }
}

/// A run to be made.
#[derive(Clone)]
pub struct RunRequest {
    /// Its number.
    pub run: RunId,
    /// The job's project and file.
    pub origin: JobOrigin,
    /// Who runs it, `${job.username}`.
    pub username: String,
    /// The job.
    pub job: Arc<Job>,
    /// Values of its options.
    pub options: ResolvedOptions,
    /// `${globals.*}`.
    pub globals: BTreeMap<String, String>,
    /// `${node.*}` of the node `local`, beyond its name.
    pub node: BTreeMap<String, String>,
    /// Whether writes are only listed.
    pub dry_run: bool,
    /// What happens to a step whose plugin is not installed.
    pub missing_plugins: MissingPlugins,
    /// Level from which log lines are shown; the job's own where it is absent.
    pub log_level: Option<LogLevel>,
    /// How much it may do.
    pub limits: RunLimits,
    /// Cancels the run.
    pub cancel: CancellationToken,
}

/// Runs jobs.
#[derive(Clone)]
pub struct Workflow {
    parts: Arc<WorkflowParts>,
}

impl Workflow {
    /// An interpreter with these parts.
    pub fn new(parts: WorkflowParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Runs a job to its end, with all its attempts. Does not fail: what goes wrong is in the result.
    pub async fn run(&self, request: RunRequest) -> RunResult {
        run::run(Arc::clone(&self.parts), request).await
    }
}
