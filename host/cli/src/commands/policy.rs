//! The least IAM policy of plugins and of jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use outrigger_engine::Host;
use outrigger_engine::policy::{document, needs};
use outrigger_jobs::file::{Job, JobFile, JobIndex, Step, StepKind};
use outrigger_runtime::{ActionNeed, ComponentInfo};
use serde_json::json;

use super::done;
use super::plugin::unknown;
use crate::app::App;
use crate::arguments::Formatted;
use crate::output::style::printable;
use crate::output::table::{Look, Table};
use crate::output::write_json;
use crate::trouble::{Outcome, Trouble};

/// What jobs or plugins need.
#[derive(Debug)]
pub(crate) struct Needed {
    /// IAM actions.
    pub(crate) actions: Vec<ActionNeed>,
    /// What the policy does not cover.
    pub(crate) remarks: Vec<String>,
}

/// What plugins need together.
pub(crate) fn of_plugins(host: &Host, names: &[String]) -> Result<Needed, Trouble> {
    let plugins: Vec<_> = names
        .iter()
        .map(|name| host.plugins().get(name).ok_or_else(|| unknown(host, name)))
        .collect::<Result<_, _>>()?;
    let actions = needs(plugins.iter().map(|plugin| plugin.info().as_ref()));
    Ok(Needed { actions, remarks: Vec::new() })
}

/// What the jobs of a file need, with the jobs that they refer to: all of them, or the one of this name or uuid.
pub(crate) fn of_jobs(
    host: &Host,
    file: &Arc<JobFile>,
    index: &JobIndex,
    job: Option<&str>,
) -> Result<Needed, Trouble> {
    let jobs: Vec<&Job> = match job {
        None => file.jobs.iter().collect(),
        Some(name) => file.jobs.get(super::run::choose(file, Some(name))?).into_iter().collect(),
    };
    let mut survey = Survey { host, index, plugins: BTreeMap::new(), seen: BTreeSet::new(), remarks: BTreeSet::new() };
    for job in jobs {
        survey.job(job, host.settings().project(), &file.path)?;
    }
    Ok(Needed {
        actions: needs(survey.plugins.values().map(AsRef::as_ref)),
        remarks: survey.remarks.into_iter().collect(),
    })
}

struct Survey<'a> {
    host: &'a Host,
    index: &'a JobIndex,
    plugins: BTreeMap<String, Arc<ComponentInfo>>,
    seen: BTreeSet<(String, u32)>,
    remarks: BTreeSet<String>,
}

impl Survey<'_> {
    fn job(&mut self, job: &Job, project: Option<&str>, file: &str) -> Result<(), Trouble> {
        if !self.seen.insert((file.to_owned(), job.position.line)) {
            return Ok(());
        }
        for step in &job.sequence.steps {
            self.step(step, project, file)?;
            if let Some(handler) = &step.error_handler {
                self.step(&handler.step, project, file)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, project: Option<&str>, file: &str) -> Result<(), Trouble> {
        match &step.kind {
            StepKind::Plugin { provider, .. } => {
                let name = &provider.value;
                if is_built_in(name) {
                    return Ok(());
                }
                let aliases = self.host.settings().aliases();
                let own = aliases.get(name).map_or(name, |alias| &alias.plugin);
                match self.host.plugins().get(own) {
                    Some(plugin) => {
                        self.plugins.insert(own.clone(), plugin.info().clone());
                    }
                    None => {
                        self.remarks.insert(format!(
                            "the plugin `{name}` ({file}:{}) is not installed; what it needs is not in the policy",
                            provider.position
                        ));
                    }
                }
            }
            StepKind::JobRef(reference) => match self.index.find(reference, project, file) {
                Ok(found) => {
                    if let Some(job) = found.job() {
                        self.job(job, found.project.as_deref().or(project), &found.file.path)?;
                    }
                }
                Err(error) => {
                    self.remarks
                        .insert(format!("the job reference in {file}:{} is not followed: {error}", reference.position));
                }
            },
            StepKind::Exec { .. } | StepKind::Script(_) | StepKind::ScriptFile { .. } | StepKind::ScriptUrl { .. } => {
                self.remarks
                    .insert("what `exec` and `script` steps call is not known, and not in the policy".to_owned());
            }
        }
        Ok(())
    }
}

/// Whether a step type is part of the engine, which calls nothing.
fn is_built_in(provider: &str) -> bool {
    outrigger_jobs::builtin::is_builtin(provider)
}

/// Prints the policy on standard output, and what each action is for on standard error.
pub(crate) fn print(app: &App, needed: &Needed, format: Formatted) -> Outcome {
    let style = app.error_style();
    if !format.is_json() {
        let mut err = std::io::stderr().lock();
        if needed.actions.is_empty() {
            writeln!(err, "no IAM action is needed")?;
        } else {
            write!(err, "{}", actions_table(&needed.actions).render(style, "", 400))?;
        }
    }
    for remark in &needed.remarks {
        eprintln!("{} {}", style.yellow("warning:"), printable(remark));
    }
    if needed.actions.is_empty() {
        write_json(&json!({ "Version": "2012-10-17", "Statement": [] }))?;
    } else {
        write_json(&document(&needed.actions))?;
    }
    done()
}

/// Actions with what they are for.
pub(crate) fn actions_table(actions: &[ActionNeed]) -> Table {
    let mut table = Table::new(["ACTION", "ACCESS", "NEEDED"]);
    for need in actions {
        let why = match (need.reason, need.source) {
            (Some(reason), Some(source)) => format!("dependent: {reason} ({source})"),
            (Some(reason), None) => format!("dependent: {reason}"),
            (None, _) if need.dependent => "dependent".to_owned(),
            (None, _) => "called".to_owned(),
        };
        let look = if need.access == "write" { Look::Odd } else { Look::Plain };
        table.looked([(need.action.clone(), Look::Plain), (need.access.to_owned(), look), (why, Look::Faint)]);
    }
    table
}
