//! A job file as typed values that remember where they stood.
//!
//! Values that may hold a reference such as `${option.timeout}` stay text; what reads them expands them first.

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use serde_json::Value;

use super::Problem;
use crate::steps::LogLevel;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1; 0 means no place.
    pub line: u32,
    /// Column in characters, from 1; 0 means no place.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A value and where it stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub position: Position,
}

impl<T> Located<T> {
    /// A value at a place.
    pub fn new(value: T, position: Position) -> Self {
        Self { value, position }
    }
}

/// A file of jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct JobFile {
    /// The file's name as it was given.
    pub path: String,
    /// Its jobs, in order.
    pub jobs: Vec<Job>,
    /// Warnings and notes of reading it; the file can be used all the same.
    pub remarks: Vec<Problem>,
}

/// One job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Where its map begins.
    pub position: Position,
    /// `name`.
    pub name: Located<String>,
    /// `group`, such as `aws/ec2`, without slashes at its ends.
    pub group: Option<Located<String>>,
    /// `uuid`, or `id` where there is no `uuid`.
    pub uuid: Option<Located<String>>,
    /// `description`; the first line is the short one.
    pub description: String,
    /// `loglevel`; INFO where the file says nothing.
    pub log_level: LogLevel,
    /// `executionEnabled`; true where the file says nothing.
    pub execution_enabled: bool,
    /// `options`, in the file's order.
    pub options: Vec<JobOption>,
    /// `sequence`.
    pub sequence: Sequence,
    /// `nodefilters`, where the job is dispatched to nodes.
    pub node_filters: Option<NodeFilters>,
    /// `retry`.
    pub retry: Option<Retry>,
    /// `timeout`, such as `1h 30m`, `90` or `${option.t}`; read with [`super::parse_duration`].
    pub timeout: Option<Located<String>>,
    /// `credentials` of the job's steps that name none themselves: an account or a role ARN. Ours, not Rundeck's.
    pub credentials: Option<Located<String>>,
    /// `region` of the job's steps that name none themselves. Ours, not Rundeck's.
    pub region: Option<Located<String>>,
    /// Keys that are read but not acted on.
    pub unused_keys: Vec<UnusedKey>,
}

impl Job {
    /// `group/name`, or the name alone.
    pub fn path(&self) -> String {
        match &self.group {
            Some(group) => format!("{}/{}", group.value, self.name.value),
            None => self.name.value.clone(),
        }
    }

    /// The option of this name.
    pub fn option(&self, name: &str) -> Option<&JobOption> {
        self.options.iter().find(|option| option.name.value == name)
    }
}

/// A key that Rundeck acts on and Outrigger does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedKey {
    /// The key with its path in the job, such as `schedule` or `nodefilters.dispatch.rankOrder`.
    pub key: String,
    /// Where it stands.
    pub position: Position,
}

/// An option of a job. Rundeck calls the default `value` and the choices `values`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobOption {
    /// Where its map begins.
    pub position: Position,
    /// `name`.
    pub name: Located<String>,
    /// `label`: the name shown to people.
    pub label: Option<String>,
    /// `description`.
    pub description: String,
    /// `required`.
    pub required: bool,
    /// `hidden`: not asked for.
    pub hidden: bool,
    /// `value`: the default.
    pub default: Option<Located<String>>,
    /// `values`: the choices.
    pub values: Vec<Located<String>>,
    /// `valuesUrl`: where Rundeck would fetch the choices; not fetched.
    pub values_url: Option<Located<String>>,
    /// `optionValuesPluginType`: the plugin that would give the choices.
    pub values_plugin: Option<Located<String>>,
    /// `enforced`: only the choices are allowed.
    pub enforced: bool,
    /// `sortValues`: choices are shown sorted.
    pub sort_values: bool,
    /// `regex`: what the whole value must match.
    pub regex: Option<Located<String>>,
    /// `multivalued`.
    pub multivalued: bool,
    /// `delimiter` between several values; `,` where the file says nothing.
    pub delimiter: String,
    /// `multivalueAllSelected`: all choices are the default.
    pub all_selected: bool,
    /// `isDate`.
    pub date: bool,
    /// `dateFormat`, in moment.js's letters; `MM/DD/YYYY hh:mm a` where the file says nothing.
    pub date_format: Option<Located<String>>,
    /// `secure`: never shown and never stored.
    pub secure: bool,
    /// `valueExposed`: a secure value that steps may read; without it, it is for authentication to nodes alone.
    pub value_exposed: bool,
    /// `storagePath`: the key storage entry that gives the default of a secure option.
    pub storage_path: Option<Located<String>>,
    /// `type: file`: the value is a file.
    pub file: bool,
}

/// The workflow of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    /// Where it begins.
    pub position: Position,
    /// `keepgoing`: run the remaining steps after a failed one, then fail.
    pub keepgoing: bool,
    /// `strategy`.
    pub strategy: Located<Strategy>,
    /// `commands`.
    pub steps: Vec<Step>,
    /// `pluginConfig.LogFilter`: log filters of all steps; they run before a step's own.
    pub log_filters: Vec<LogFilter>,
}

/// The order in which steps and nodes are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// All steps on one node, then the next node. The default of every export.
    #[default]
    NodeFirst,
    /// One step on all nodes, then the next step; also written `step-first`.
    Sequential,
    /// All steps at once.
    Parallel,
    /// One that Outrigger does not have, such as `ruleset`.
    Other(String),
}

impl Strategy {
    /// Rundeck's name for it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NodeFirst => "node-first",
            Self::Sequential => "sequential",
            Self::Parallel => "parallel",
            Self::Other(name) => name,
        }
    }
}

/// One step of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Where its map begins.
    pub position: Position,
    /// What it does.
    pub kind: StepKind,
    /// `description`, which Rundeck shows as the step's label.
    pub description: Option<Located<String>>,
    /// `label`: the name by which later steps read its outputs, `${data.<label>.<output>}`. Ours, not Rundeck's.
    pub label: Option<Located<String>>,
    /// `enabled`; true where the file says nothing.
    pub enabled: bool,
    /// `plugins.LogFilter`.
    pub log_filters: Vec<LogFilter>,
    /// `errorhandler`.
    pub error_handler: Option<Box<ErrorHandler>>,
    /// `retry` of this step alone. Ours, not Rundeck's.
    pub retry: Option<Retry>,
    /// `timeout` of one attempt. Ours, not Rundeck's.
    pub timeout: Option<Located<String>>,
    /// `credentials`: a named account or a role ARN. Ours, not Rundeck's.
    pub credentials: Option<Located<String>>,
    /// `region`. Ours, not Rundeck's.
    pub region: Option<Located<String>>,
}

impl Step {
    /// Whether Rundeck runs it once per node.
    pub fn is_node_step(&self) -> bool {
        match &self.kind {
            StepKind::Plugin { node_step, .. } => *node_step,
            StepKind::Exec { .. } | StepKind::Script(_) | StepKind::ScriptFile { .. } | StepKind::ScriptUrl { .. } => {
                true
            }
            StepKind::JobRef(reference) => reference.node_step,
        }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// `type` with `configuration`: a plugin.
    Plugin {
        /// `type`: the provider id, such as `aws-vm-start-step`.
        provider: Located<String>,
        /// `nodeStep`.
        node_step: bool,
        /// `configuration`, as it stands in the file. Text is not coerced and references are not expanded.
        configuration: IndexMap<String, Value>,
        /// Where each value of `configuration` begins, by JSON pointer such as `/filters/0`.
        positions: BTreeMap<String, Position>,
    },
    /// `exec`: a command line for a shell.
    Exec {
        /// The command line.
        command: Located<String>,
    },
    /// `script`: a script that stands in the job file.
    Script(ScriptStep),
    /// `scriptfile`: a script on the server. Outrigger cannot run it yet.
    ScriptFile {
        /// The script's path.
        path: Located<String>,
        /// `args`.
        args: Option<Located<String>>,
    },
    /// `scripturl`: a script somewhere else. Outrigger cannot run it yet.
    ScriptUrl {
        /// The script's address.
        url: Located<String>,
        /// `args`.
        args: Option<Located<String>>,
    },
    /// `jobref`: another job.
    JobRef(JobReference),
}

/// A script that stands in the job file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptStep {
    /// Its text; `@option.x@` is replaced in it.
    pub script: Located<String>,
    /// `args`: arguments as one line, with references.
    pub args: Option<Located<String>>,
    /// `scriptInterpreter`: the command that runs it, with `${scriptfile}` or the file's path at its end.
    pub interpreter: Option<Located<String>>,
    /// `interpreterArgsQuoted`: file and arguments are given to the interpreter as one quoted argument.
    pub args_quoted: bool,
    /// `fileExtension` of the temporary file, without a dot.
    pub file_extension: Option<String>,
}

/// A reference to another job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobReference {
    /// Where it begins.
    pub position: Position,
    /// `uuid`; it comes before the name unless `use_name` is set.
    pub uuid: Option<Located<String>>,
    /// `useName`: the name is taken although a uuid is there.
    pub use_name: bool,
    /// `name`.
    pub name: Option<Located<String>>,
    /// `group`, without slashes at its ends.
    pub group: Option<Located<String>>,
    /// `project`; the referring job's own where it is absent.
    pub project: Option<Located<String>>,
    /// `args`: `-name value -other ${option.x}`.
    pub args: Option<Located<String>>,
    /// `nodeStep`.
    pub node_step: bool,
    /// `importOptions`: the referring job's options are given where names are the same.
    pub import_options: bool,
    /// `failOnDisable`: fail if the other job may not be executed, instead of skipping it.
    pub fail_on_disable: bool,
    /// `childNodes`: the other job's own node filter is used.
    pub child_nodes: bool,
    /// `nodefilters` that replace the other job's.
    pub node_filters: Option<NodeFilters>,
}

/// What runs when a step has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorHandler {
    /// The handler itself. It has no handler of its own.
    pub step: Step,
    /// `keepgoingOnSuccess`: the remaining steps run after the handler has succeeded.
    pub keepgoing_on_success: bool,
}

/// `retry` of a job or of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often it is repeated after the first failure: a number or a reference.
    pub count: Located<String>,
    /// How long to wait before, such as `30s`; read with [`super::parse_duration`].
    pub delay: Option<Located<String>>,
}

/// A log filter.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter {
    /// Where it begins.
    pub position: Position,
    /// `type`, such as `key-value-data`.
    pub provider: Located<String>,
    /// `config`, as it stands in the file.
    pub configuration: IndexMap<String, Value>,
}

/// `nodefilters`: which nodes a job is dispatched to, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFilters {
    /// Where it begins.
    pub position: Position,
    /// `filter`; the older `include` and `exclude` maps are rewritten into this form.
    pub filter: Option<Located<String>>,
    /// `filterExclude`: nodes that are not taken although `filter` selects them.
    pub exclude: Option<Located<String>>,
    /// `dispatch`.
    pub dispatch: Dispatch,
}

/// How a job is dispatched to the nodes that its filter selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// `threadcount`: a number or a reference; `1` where the file says nothing.
    pub thread_count: Located<String>,
    /// `keepgoing`: go on with the other nodes after one has failed.
    pub keepgoing: bool,
    /// `successOnEmptyNodeFilter`: a job that matches no node succeeds.
    pub success_on_empty: bool,
    /// `rankAttribute`: the node attribute by which nodes are ordered; the name where the file says nothing.
    pub rank_attribute: Option<String>,
    /// `rankOrder: descending`.
    pub descending: bool,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            thread_count: Located::new("1".to_owned(), Position::default()),
            keepgoing: false,
            success_on_empty: false,
            rank_attribute: None,
            descending: false,
        }
    }
}
