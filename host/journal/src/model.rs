//! The records of the database.

use std::fmt;

use outrigger_door::{AuditRecord, Failure, Intent, IntentOutcome, RunId, StepKey};
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Status;

/// A run that starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewRun {
    /// Project; empty where there is none.
    pub project: String,
    /// The job's uuid or id, if its file gives one.
    pub job_id: Option<String>,
    /// The job's name.
    pub job_name: String,
    /// The job's group, such as `ops/ec2`; empty where there is none.
    pub job_group: String,
    /// Who started it.
    pub user: String,
    /// Option values, redacted; secure ones are left out.
    pub arguments: Value,
    /// `run`, `dry-run` or `replay`.
    pub mode: String,
    /// The run whose job reference started this one.
    pub parent: Option<RunId>,
}

/// A run as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its number.
    pub id: RunId,
    /// What it was started with.
    #[serde(flatten)]
    pub run: NewRun,
    /// How it is. [`Status::Interrupted`] where its process died before the end, as far as that can be told: a process
    /// on another machine or in another container, or where there is no `/proc`, counts as alive.
    pub status: Status,
    /// Why it ended so, for a person.
    pub message: Option<String>,
    /// Its outputs.
    pub outputs: Option<Value>,
    /// Start, in microseconds since 1970-01-01T00:00:00Z.
    pub started_unix_micros: i64,
    /// End, likewise; none while it runs, or where it was interrupted.
    pub ended_unix_micros: Option<i64>,
    /// The process that runs it.
    pub pid: i64,
    /// Name of the machine of that process.
    pub host: String,
}

/// A step attempt that starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepStarted {
    /// Which.
    pub key: StepKey,
    /// The step's label or description.
    pub label: Option<String>,
    /// Provider id of the plugin, or the kind of a built-in step.
    pub plugin: String,
    /// SHA-256 of the component in hexadecimal, where there is one.
    pub digest: Option<String>,
    /// In microseconds since 1970-01-01T00:00:00Z.
    pub at_unix_micros: i64,
}

/// A step attempt that ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFinished {
    /// Which.
    pub key: StepKey,
    /// How.
    pub status: Status,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Its outputs.
    pub outputs: Option<Value>,
    /// In microseconds since 1970-01-01T00:00:00Z.
    pub at_unix_micros: i64,
}

/// A step attempt as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which.
    pub key: StepKey,
    /// The step's label or description.
    pub label: Option<String>,
    /// Provider id of the plugin, or the kind of a built-in step.
    pub plugin: String,
    /// SHA-256 of the component in hexadecimal, where there is one.
    pub digest: Option<String>,
    /// How it is.
    pub status: Status,
    /// Start, in microseconds since 1970-01-01T00:00:00Z.
    pub started_unix_micros: i64,
    /// End, likewise; none while it runs.
    pub ended_unix_micros: Option<i64>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Its outputs.
    pub outputs: Option<Value>,
}

/// An intent as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// What was about to be done.
    pub intent: Intent,
    /// When, in microseconds since 1970-01-01T00:00:00Z.
    pub at_unix_micros: i64,
    /// How it ended; none where nobody wrote it down.
    pub outcome: Option<IntentOutcome>,
}

/// An audit record with its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Grows in the order of writing; the next page starts after the last one's.
    pub position: i64,
    /// The record.
    #[serde(flatten)]
    pub record: AuditRecord,
}

/// How important a log line is; Rundeck's levels, ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Shown with the log level DEBUG alone.
    Debug,
    /// Shown with the log level VERBOSE.
    Verbose,
    /// The output of steps.
    #[default]
    Normal,
    /// Worth a look.
    Warn,
    /// Standard error, and failures.
    Error,
}

impl LogLevel {
    /// The word, such as `warn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Verbose => "verbose",
            Self::Normal => "normal",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl ToSql for LogLevel {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as i64).into())
    }
}

impl FromSql for LogLevel {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match value.as_i64()? {
            0 => Self::Debug,
            1 => Self::Verbose,
            2 => Self::Normal,
            3 => Self::Warn,
            4 => Self::Error,
            other => return Err(FromSqlError::OutOfRange(other)),
        })
    }
}

/// A line of a run's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// In microseconds since 1970-01-01T00:00:00Z.
    pub at_unix_micros: i64,
    /// Position of the step in the workflow; none for lines of the run itself.
    pub path: Option<String>,
    /// The node; none for lines of the run itself.
    pub node: Option<String>,
    /// How important it is.
    pub level: LogLevel,
    /// The text, without the line end.
    pub text: String,
    /// Media type of the text where it is to be rendered (`text/html`, `application/json`).
    pub data_type: Option<String>,
}

/// A stored log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Its number in the run, from 1, without gaps.
    pub seq: i64,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// A stored event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the run, from 1, without gaps.
    pub seq: i64,
    /// In microseconds since 1970-01-01T00:00:00Z.
    pub at_unix_micros: i64,
    /// Its kind.
    pub kind: String,
    /// What it says.
    pub body: Value,
}

/// Which runs to list. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this project.
    pub project: Option<String>,
    /// Of the job with this id, name, or group and name (`ops/ec2/stop`).
    pub job: Option<String>,
    /// In this state.
    pub status: Option<Status>,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

/// Which log lines to read. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Of this step, and of what a job reference at this step ran.
    pub path: Option<String>,
    /// Of this node.
    pub node: Option<String>,
    /// Of this importance at least.
    pub min_level: Option<LogLevel>,
    /// With this text in them; upper and lower case differ.
    pub contains: Option<String>,
    /// After the line with this number, for following a log.
    pub after: Option<i64>,
    /// The last so many of those that the rest of the filter leaves.
    pub tail: Option<u32>,
    /// The first so many of those that the rest of the filter leaves.
    pub limit: Option<u32>,
}
