//! `job check`, `job policy`, `job list`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use outrigger_engine::Host;
use outrigger_jobs::check::{check_paths, render};
use outrigger_jobs::file::JobIndex;
use serde_json::json;

use super::{done, policy};
use crate::app::{App, check_options};
use crate::arguments::{Formatted, InProject, Missing};
use crate::output::table::{Look, Table};
use crate::output::{github, stdout, write_json};
use crate::trouble::{BAD_INPUT, Outcome, SUCCEEDED, Trouble};

/// Commands about job files.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what of these jobs can run here, and why the rest cannot; nothing runs
    Check(CheckArguments),
    /// Print the least IAM policy for the plugin steps of a job file
    Policy(PolicyArguments),
    /// List the jobs of files and folders
    List(ListArguments),
}

/// Arguments of `job check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger job check exported-jobs.yaml
  outrigger job check jobs/ --strict
  outrigger job check jobs/ --format json | jq .summary

Exit code 0: every job can run. 2: at least one cannot.")]
pub(crate) struct CheckArguments {
    /// Job files, and folders of them
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    project: InProject,
    /// A reference to an option that the job does not have is an error, not a warning
    #[arg(long)]
    strict: bool,
    /// What happens to a step whose plugin is not installed
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    missing_plugins: Missing,
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `job policy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger job policy restart.yaml > policy.json
  outrigger job policy all-jobs.yaml --job ops/restart

The policy is on standard output. What each action is for, and where AWS says so, is on standard \
error.")]
pub(crate) struct PolicyArguments {
    /// Job file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One of the file's jobs: its uuid, its name, or group/name; all of them without it
    #[arg(long, value_name = "NAME|UUID")]
    job: Option<String>,
    #[command(flatten)]
    project: InProject,
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `job list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Job files, and folders of them
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    format: Formatted,
}

/// Carries a command out.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    match command {
        Command::Check(arguments) => check(app, &arguments),
        Command::Policy(arguments) => print_policy(app, &arguments),
        Command::List(arguments) => list(app, &arguments),
    }
}

fn check(app: &App, arguments: &CheckArguments) -> Outcome {
    let host = App::runtime()?.block_on(app.host(arguments.project.name(), Vec::new()))?;
    let options = check_options(&host, arguments.strict, arguments.missing_plugins)?;
    let report = check_paths(&arguments.paths, host.catalog().as_ref(), &options);
    if arguments.format.is_json() {
        write_json(&serde_json::to_value(&report).map_err(std::io::Error::from)?)?;
    } else {
        let mut out = stdout();
        write!(out, "{}", render(&report, app.style().has_colours()))?;
        if github::is_here() {
            let problems: Vec<_> = report.files.iter().flat_map(|file| file.problems.iter().cloned()).collect();
            write!(out, "{}", Trouble::problems(&problems).annotations())?;
        }
        out.flush()?;
    }
    Ok(ExitCode::from(if report.is_ok() { SUCCEEDED } else { BAD_INPUT }))
}

fn print_policy(app: &App, arguments: &PolicyArguments) -> Outcome {
    let host = App::runtime()?.block_on(app.host(arguments.project.name(), Vec::new()))?;
    let (file, _) = Host::read_job_file(&arguments.file)?;
    let index = host.job_index(&file)?;
    let needed = policy::of_jobs(&host, &file, &index, arguments.job.as_deref())?;
    policy::print(app, &needed, arguments.format)
}

fn list(app: &App, arguments: &ListArguments) -> Outcome {
    let mut index = JobIndex::new();
    for path in &arguments.paths {
        if path.is_dir() {
            index.add_folder(None, path).map_err(|problem| Trouble::problems(&[problem]))?;
        } else {
            index.add(None, Host::read_job_file(path)?.0);
        }
    }
    let jobs = index.jobs().iter().filter_map(|indexed| Some((indexed, indexed.job()?)));
    if arguments.format.is_json() {
        let jobs: Vec<_> = jobs
            .map(|(indexed, job)| {
                json!({
                    "name": job.name.value,
                    "group": job.group.as_ref().map(|group| &group.value),
                    "uuid": job.uuid.as_ref().map(|uuid| &uuid.value),
                    "description": job.description,
                    "file": indexed.file.path,
                    "line": job.position.line,
                    "options": job.options.iter().map(|option| json!({
                        "name": option.name.value,
                        "required": option.required,
                        "secure": option.secure,
                    })).collect::<Vec<_>>(),
                    "steps": job.sequence.steps.len(),
                })
            })
            .collect();
        write_json(&json!(jobs))?;
        return done();
    }
    let mut table = Table::new(["JOB", "OPTIONS", "STEPS", "UUID", "PLACE"]);
    for (indexed, job) in jobs {
        let options: Vec<_> = job
            .options
            .iter()
            .map(|option| if option.required { format!("{}*", option.name.value) } else { option.name.value.clone() })
            .collect();
        table.looked([
            (job.path(), Look::Plain),
            (options.join(" "), Look::Plain),
            (job.sequence.steps.len().to_string(), Look::Plain),
            (job.uuid.as_ref().map(|uuid| uuid.value.clone()).unwrap_or_default(), Look::Faint),
            (format!("{}:{}", shown(&indexed.file.path), job.position.line), Look::Faint),
        ]);
    }
    let mut out = stdout();
    if table.is_empty() {
        writeln!(out, "no jobs")?;
    } else {
        write!(out, "{}", table.render(app.style(), "", 60))?;
    }
    out.flush()?;
    done()
}

/// A path without the `./` that it may begin with.
fn shown(path: &str) -> String {
    Path::new(path).strip_prefix(".").map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}
