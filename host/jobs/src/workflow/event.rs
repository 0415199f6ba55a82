//! What a run tells while it runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use outrigger_door::RunId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::report::{RunStatus, StepStatus};
use crate::filters::{BadgeStatus, Highlight};
use crate::steps::{LogLevel, StepFailure};

/// Version of the events' form. A field may be added without a new one.
pub const EVENT_VERSION: u32 = 1;

/// One event. As JSON it is one object on one line; no text in it holds a secret or a control character but the tab,
/// and line breaks only in documents (`data_type`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// [`EVENT_VERSION`].
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: RunEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEventKind {
    /// The run began.
    RunStarted {
        /// Group and name of the job.
        job: String,
        /// Its uuid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uuid: Option<String>,
        /// The project.
        project: String,
        /// Whether writes are only listed.
        dry_run: bool,
        /// Options by name; secret ones as `****`.
        options: BTreeMap<String, String>,
    },
    /// A whole attempt failed and the job is tried again.
    AttemptFailed {
        /// The attempt, from 1.
        attempt: u32,
        /// How it ended; Rundeck calls such an execution `failed-with-retry`.
        status: RunStatus,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Milliseconds until the next attempt.
        delay_ms: u64,
    },
    /// An attempt of a step began.
    StepStarted {
        /// Position: `2`, `2/1` in a job reference, `2e` for an error handler.
        step: String,
        /// Node.
        node: String,
        /// Attempt, from 1.
        attempt: u32,
        /// Its label.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// What it runs: a provider id, `exec`, `script`, or `job: group/name`.
        what: String,
    },
    /// A line or a document of a step's log.
    Log {
        /// The step.
        step: String,
        /// Node.
        node: String,
        /// Level.
        level: LogLevel,
        /// The text.
        text: String,
        /// MIME type where the text is a document.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_type: Option<String>,
        /// Title of a table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Parts that stand out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        highlights: Vec<Highlight>,
    },
    /// How far a step is.
    Progress {
        /// The step.
        step: String,
        /// Node.
        node: String,
        /// Units done.
        done: u64,
        /// Units in all, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// What the units are.
        what: String,
    },
    /// A badge.
    Badge {
        /// The step.
        step: String,
        /// Node.
        node: String,
        /// Its text.
        text: String,
        /// Its colour.
        status: BadgeStatus,
    },
    /// An attempt of a step ended.
    StepFinished {
        /// The step.
        step: String,
        /// Node.
        node: String,
        /// Attempt, from 1.
        attempt: u32,
        /// How it ended.
        status: StepStatus,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<StepFailure>,
        /// Its typed outputs.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        outputs: Map<String, Value>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// Whether it is tried again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        will_retry: bool,
    },
    /// A step does not run.
    StepSkipped {
        /// The step.
        step: String,
        /// Its label.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// Why.
        reason: String,
    },
    /// A dry run stopped a step here.
    DryRun {
        /// The step.
        step: String,
        /// Node.
        node: String,
        /// What would have been done, such as `ec2:StartInstances` or `exec`.
        action: String,
        /// With which input.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        input: Map<String, Value>,
        /// The step whose output was needed and is missing, since a dry run stopped it too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        depends_on: Option<String>,
    },
    /// Something may not be as its author meant.
    Warning {
        /// The step, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// What.
        message: String,
    },
    /// The run ended.
    RunFinished {
        /// How.
        status: RunStatus,
        /// Why it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// What the job exported.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        exports: BTreeMap<String, String>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
}

/// Sees every event of a run, in order. It is called from several threads and must not wait.
pub trait RunObserver: Send + Sync + 'static {
    /// Takes an event.
    fn event(&self, event: &RunEvent);
}

/// Shows every event to several observers, in order.
pub struct Observers(pub Vec<std::sync::Arc<dyn RunObserver>>);

impl RunObserver for Observers {
    fn event(&self, event: &RunEvent) {
        for observer in &self.0 {
            observer.event(event);
        }
    }
}
