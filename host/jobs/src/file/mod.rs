//! Rundeck's YAML job files: what they say, and where they say it.

mod duration;
mod index;
mod model;
mod parse;
mod problem;

pub use duration::parse_duration;
pub use index::{IndexedJob, JobIndex, JobNotFound};
pub(crate) use index::{job_files, read_file, read_text};
pub use model::{
    Dispatch, ErrorHandler, Job, JobFile, JobOption, JobReference, Located, LogFilter, NodeFilters, Position, Retry,
    ScriptStep, Sequence, Step, StepKind, Strategy, UnusedKey,
};
pub use parse::parse_jobs;
pub(crate) use parse::{clip, escape_pointer, parse_boolean, parse_leniently};
pub use problem::{Problem, Severity};
