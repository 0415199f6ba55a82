//! Checking job files before anything runs.

mod coerce;
mod declared;
mod job;
mod plugin;
mod references;
mod render;
mod report;
mod run;

use std::path::PathBuf;

pub use coerce::{ConfigurationProblem, ConfigurationSchema, Values, coerce_configuration};
pub use render::render;
pub use report::{CheckReport, FileReport, JobReport, REPORT_VERSION, Summary};
pub use run::{check_dir, check_file, check_paths, check_text};

/// What checking takes for granted.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// An undefined option is an error, not a warning.
    pub strict: bool,
    /// The project that the files are run in.
    pub project: Option<String>,
    /// Folders of projects' jobs by project name, in which job references are looked for.
    pub project_jobs: Vec<(String, PathBuf)>,
    /// Whether `exec` and `script` steps are allowed; `None` where that is not known.
    pub native_steps: Option<bool>,
    /// Names of the configured AWS accounts; `None` where they are not known.
    pub accounts: Option<Vec<String>>,
    /// Names of `${globals.*}`; `None` where they are not known.
    pub globals: Option<Vec<String>>,
    /// A plugin that is not installed fails its step when the job runs, so it is a warning here.
    pub missing_plugins_fail_step: bool,
}
