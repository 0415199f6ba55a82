//! The steps of one job.

use std::collections::HashMap;

use crate::context::references;
use crate::file::{
    IndexedJob, Job, JobIndex, JobNotFound, JobReference, Located, LogFilter, Problem, Step, StepKind, Strategy, clip,
};
use crate::filters::{FilterProblem, check_log_filter, known_log_filters};
use crate::options::{check_value, parse_arguments};
use crate::suggest::nearest;

use super::CheckOptions;
use super::declared::{check_account, check_duration, check_node_filters, check_region, check_retry};
use super::plugin::{Configured, Lookup, Plugins};
use super::references::{ReferenceCheck, Use};

/// Most jobs that are looked through for one that was meant.
const MAX_SUGGESTED: usize = 500;

/// What a job is checked against.
pub(super) struct Surroundings<'a> {
    pub(super) file: &'a str,
    pub(super) lines: &'a [&'a str],
    pub(super) plugins: &'a Plugins<'a>,
    pub(super) options: &'a CheckOptions,
    pub(super) index: &'a JobIndex,
    pub(super) project: Option<&'a str>,
}

/// What checking a job found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    /// The jobs that it calls, and where.
    pub(super) calls: Vec<(Call, crate::file::Position)>,
    /// Whether it has `exec` or `script` steps, and where the first is.
    pub(super) native: Option<crate::file::Position>,
}

/// A job by file and place, which is what two looks at the same job have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Call {
    pub(super) fn of(file: &str, job: &Job) -> Self {
        Self { file: file.to_owned(), line: job.position.line, column: job.position.column }
    }
}

/// Checks the steps and references of a job.
pub(super) fn check(job: &Job, surroundings: &Surroundings<'_>) -> Found {
    let mut check = JobCheck {
        job,
        around: surroundings,
        references: ReferenceCheck::new(surroundings.file, job, surroundings.options, surroundings.lines),
        found: Found::default(),
    };
    check.run();
    check.found
}

struct JobCheck<'a> {
    job: &'a Job,
    around: &'a Surroundings<'a>,
    references: ReferenceCheck<'a>,
    found: Found,
}

impl JobCheck<'_> {
    fn run(&mut self) {
        let job = self.job;
        for text in [&job.timeout, &job.credentials, &job.region].into_iter().flatten() {
            self.text(text, Use::Text, false);
        }
        if let Some(retry) = &job.retry {
            self.text(&retry.count, Use::Text, false);
            retry.delay.iter().for_each(|delay| self.text(delay, Use::Text, false));
        }
        if let Some(filters) = &job.node_filters {
            filters.filter.iter().for_each(|filter| self.text(filter, Use::Text, false));
            self.text(&filters.dispatch.thread_count, Use::Text, false);
        }
        self.log_filters(&job.sequence.log_filters, false);
        let mut labels: HashMap<&str, u32> = HashMap::new();
        for step in &job.sequence.steps {
            if let Some(label) = &step.label {
                if let Some(line) = labels.get(label.value.as_str()) {
                    let message = format!("the label `{}` is there twice", clip(&label.value));
                    let help = format!(
                        "it stood first in line {line}; `${{data.{}.…}}` means the later step",
                        clip(&label.value)
                    );
                    self.warn(label.position, "duplicate-label", message, help);
                } else {
                    labels.insert(&label.value, label.position.line);
                }
            }
            self.step(step, false);
            if let Some(handler) = &step.error_handler {
                let node_first = job.sequence.strategy.value == Strategy::NodeFirst;
                if node_first && step.is_node_step() && !handler.step.is_node_step() {
                    self.warn(
                        handler.step.position,
                        "handler-kind",
                        "the error handler of a node step is no node step, which Rundeck does not allow with `node-first`".to_owned(),
                        "it runs once, after the step has failed".to_owned(),
                    );
                }
                self.step(&handler.step, true);
            }
        }
    }

    fn error(&mut self, position: crate::file::Position, code: &str, message: String, help: impl Into<String>) {
        self.found.problems.push(Problem::error(self.around.file, position, code, message).with_help(help));
    }

    fn warn(&mut self, position: crate::file::Position, code: &str, message: String, help: String) {
        self.found.problems.push(Problem::warning(self.around.file, position, code, message).with_help(help));
    }

    fn text(&mut self, text: &Located<String>, used: Use, in_handler: bool) {
        self.references.check(&text.value, text.position, used, in_handler, &mut self.found.problems);
    }

    fn step(&mut self, step: &Step, in_handler: bool) {
        let file = self.around.file;
        if let Some(retry) = &step.retry {
            check_retry(file, retry, &mut self.found.problems);
            self.text(&retry.count, Use::Text, in_handler);
            retry.delay.iter().for_each(|delay| self.text(delay, Use::Text, in_handler));
        }
        if let Some(timeout) = &step.timeout {
            check_duration(file, timeout, "timeout", &mut self.found.problems);
            self.text(timeout, Use::Text, in_handler);
        }
        if let Some(credentials) = &step.credentials {
            check_account(file, credentials, self.around.options, &mut self.found.problems);
            self.text(credentials, Use::Text, in_handler);
        }
        if let Some(region) = &step.region {
            check_region(file, region, &mut self.found.problems);
            self.text(region, Use::Text, in_handler);
        }
        self.log_filters(&step.log_filters, in_handler);
        match &step.kind {
            StepKind::Plugin { provider, configuration, positions, .. } => {
                let configured = Configured { file, provider, configuration, positions };
                let lookup = self.around.plugins.lookup(&provider.value);
                configured.check(&lookup, self.around.options, &mut self.found.problems);
                configured.texts(&mut |text, position, pointer| {
                    let used = match &*lookup {
                        Lookup::Plugin(schema) if !schema.takes_secret(pointer) => Use::Text,
                        Lookup::BuiltIn => Use::Text,
                        // Nothing is known of its properties, and it does not run.
                        Lookup::Plugin(_) | Lookup::BadSchema(_) | Lookup::Missing(_) => Use::Secret,
                    };
                    self.references.check(text, position, used, in_handler, &mut self.found.problems);
                });
            }
            StepKind::Exec { command } => {
                self.native(step);
                self.text(command, Use::Command, in_handler);
            }
            StepKind::Script(script) => {
                self.native(step);
                self.text(&script.script, Use::Script, in_handler);
                for text in [&script.args, &script.interpreter].into_iter().flatten() {
                    self.text(text, Use::Command, in_handler);
                }
            }
            StepKind::ScriptFile { path, .. } => self.error(
                path.position,
                "unsupported-step",
                "script files are not supported yet".to_owned(),
                "put the script's text into a `script` step",
            ),
            StepKind::ScriptUrl { url, .. } => self.error(
                url.position,
                "unsupported-step",
                "scripts from an address are not supported".to_owned(),
                "put the script's text into a `script` step, so that what runs is what was read",
            ),
            StepKind::JobRef(reference) => self.job_reference(reference, in_handler),
        }
    }

    fn native(&mut self, step: &Step) {
        self.found.native.get_or_insert(step.position);
        if self.around.options.native_steps == Some(false) {
            let kind = if matches!(step.kind, StepKind::Exec { .. }) { "exec" } else { "script" };
            self.error(
                step.position,
                "native-steps-off",
                format!("`{kind}` steps run outside of the sandbox, and the project does not allow them"),
                "allow native steps in the project's configuration, or use a plugin",
            );
        }
    }

    fn log_filters(&mut self, filters: &[LogFilter], in_handler: bool) {
        for filter in filters {
            match check_log_filter(filter) {
                Ok(()) => {}
                Err(FilterProblem::Unknown(name)) => {
                    let help = match nearest(&name, known_log_filters().iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("known are {}", known_log_filters().join(", ")),
                    };
                    let message = format!("the log filter `{}` is not known and does nothing", clip(&name));
                    self.warn(filter.provider.position, "unknown-log-filter", message, help);
                }
                Err(FilterProblem::Settings { provider, why }) => {
                    let message = format!("the log filter `{}` does nothing: {why}", clip(&provider));
                    self.warn(filter.position, "log-filter", message, "correct its `config`".to_owned());
                }
            }
            for value in filter.configuration.values().filter_map(serde_json::Value::as_str) {
                self.references.check(value, filter.position, Use::Text, in_handler, &mut self.found.problems);
            }
        }
    }

    fn job_reference(&mut self, reference: &JobReference, in_handler: bool) {
        if let Some(filters) = &reference.node_filters {
            check_node_filters(self.around.file, filters, &mut self.found.problems);
        }
        for text in [&reference.uuid, &reference.name, &reference.group, &reference.project].into_iter().flatten() {
            self.text(text, Use::Text, in_handler);
        }
        let index = self.around.index;
        let target = match index.find(reference, self.around.project, self.around.file) {
            Ok(target) => target,
            Err(JobNotFound::Dynamic) => {
                reference.args.iter().for_each(|args| self.text(args, Use::Argument { secure: true }, in_handler));
                return;
            }
            Err(error) => {
                reference.args.iter().for_each(|args| self.text(args, Use::Argument { secure: true }, in_handler));
                self.missing_job(reference, &error);
                return;
            }
        };
        let Some(job) = target.job() else { return };
        self.found.calls.push((Call::of(&target.file.path, job), reference.position));
        self.arguments(reference, target, job, in_handler);
    }

    fn missing_job(&mut self, reference: &JobReference, error: &JobNotFound) {
        let paths: Vec<String> = self
            .around
            .index
            .jobs()
            .iter()
            .filter_map(IndexedJob::job)
            .take(MAX_SUGGESTED)
            .map(Job::path)
            .filter(|path| !path.is_empty())
            .collect();
        let wanted = reference.name.as_ref().map(|name| match &reference.group {
            Some(group) => format!("{}/{}", group.value, name.value),
            None => name.value.clone(),
        });
        let near = wanted.as_deref().and_then(|wanted| nearest(wanted, paths.iter().map(String::as_str)));
        let help = match (error, near) {
            (JobNotFound::Ambiguous { .. }, _) => "name the job by its `uuid`".to_owned(),
            (_, Some(near)) => format!("did you mean `{near}`?"),
            _ => "jobs are looked for in the file, in its folder and in the project's jobs".to_owned(),
        };
        self.error(reference.position, "missing-job", error.to_string(), help);
    }

    /// The options that are given to the other job.
    fn arguments(&mut self, reference: &JobReference, target: &IndexedJob, job: &Job, in_handler: bool) {
        let position = reference.args.as_ref().map_or(reference.position, |args| args.position);
        let line = reference.args.as_ref().map(|args| args.value.as_str()).unwrap_or_default();
        let given = match parse_arguments(line) {
            Ok(given) => given,
            Err(reason) => {
                self.error(
                    position,
                    "arguments",
                    format!("`args` cannot be read: {reason}"),
                    "write `-name value`, with quotes around spaces",
                );
                return;
            }
        };
        for (name, value) in &given {
            let Some(option) = job.option(name) else {
                self.references.check(
                    value,
                    position,
                    Use::Argument { secure: false },
                    in_handler,
                    &mut self.found.problems,
                );
                let help = match nearest(name, job.options.iter().map(|option| option.name.value.as_str())) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "it is ignored".to_owned(),
                };
                let message = format!("the job `{}` has no option `{}`", clip(&job.path()), clip(name));
                self.warn(position, "unknown-option", message, help);
                continue;
            };
            let used = Use::Argument { secure: option.secure };
            self.references.check(value, position, used, in_handler, &mut self.found.problems);
            if references(value).is_empty()
                && !value.contains("${")
                && let Err(refusal) = check_value(option, value)
            {
                let help = refusal.help.unwrap_or_else(|| "correct the value in `args`".to_owned());
                self.error(position, "option-value", refusal.message, help);
            }
        }
        for option in job.options.iter().filter(|option| option.required) {
            let name = option.name.value.as_str();
            let imported = reference.import_options && self.job.option(name).is_some();
            let has_value = option.default.is_some()
                || option.storage_path.is_some()
                || (option.all_selected && !option.values.is_empty())
                || given.iter().any(|(other, value)| other == name && !value.is_empty());
            if !has_value && !imported {
                let message =
                    format!("the job `{}` requires the option `{}`, which is not given", clip(&job.path()), clip(name));
                self.error(position, "missing-option", message, format!("add `-{name} …` to `args`"));
            }
        }
        if !job.execution_enabled && reference.fail_on_disable {
            let message =
                format!("the job `{}` is disabled, and `failOnDisable` makes this step fail", clip(&job.path()));
            self.warn(
                reference.position,
                "disabled",
                message,
                format!("set `executionEnabled: true` in {}", target.file.path),
            );
        }
    }
}
