//! What checking found.

use serde::{Deserialize, Serialize};

use crate::file::{Problem, Severity};

/// Version of the report's JSON form; it grows with any change that is not an added field.
pub const REPORT_VERSION: u32 = 1;

/// What checking job files found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Every file that was checked, sorted by path for folders.
    pub files: Vec<FileReport>,
    /// Counts over all files.
    pub summary: Summary,
}

impl CheckReport {
    /// Whether nothing keeps a job from running.
    pub fn is_ok(&self) -> bool {
        self.summary.errors == 0
    }

    /// Builds the counts.
    pub(super) fn new(files: Vec<FileReport>) -> Self {
        let count = |severity: Severity| {
            files.iter().flat_map(|file| &file.problems).filter(|problem| problem.severity == severity).count()
        };
        let summary = Summary {
            jobs: files.iter().map(|file| file.jobs.len()).sum(),
            can_run: files.iter().flat_map(|file| &file.jobs).filter(|job| job.can_run).count(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
        };
        Self { version: REPORT_VERSION, files, summary }
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its path as it was given or found.
    pub path: String,
    /// All problems in it, by line.
    pub problems: Vec<Problem>,
    /// Its jobs.
    pub jobs: Vec<JobReport>,
}

/// Whether one job can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// Its name; blank if it has none.
    pub name: String,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// Its uuid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uuid: Option<String>,
    /// Line at which it begins.
    pub line: u32,
    /// Whether no error was found in it or in a job that it calls.
    pub can_run: bool,
    /// Why it cannot run, each reason once.
    pub reasons: Vec<String>,
}

impl JobReport {
    /// `group/name`, or the line where there is no name.
    pub fn title(&self) -> String {
        match (&self.group, self.name.is_empty()) {
            (_, true) => format!("the job in line {}", self.line),
            (Some(group), false) => format!("{group}/{}", self.name),
            (None, false) => self.name.clone(),
        }
    }
}

/// Counts over all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Jobs that were read.
    pub jobs: usize,
    /// Jobs that can run.
    pub can_run: usize,
    /// Errors in all files.
    pub errors: usize,
    /// Warnings in all files.
    pub warnings: usize,
}
