//! `run`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use outrigger_door::Replay;
use outrigger_engine::{Host, RecordedRun, RunSpec, username};
use outrigger_jobs::check::check_file;
use outrigger_jobs::file::{Job, JobFile, JobIndex, Problem, Severity, StepKind, parse_jobs};
use outrigger_jobs::options::{Prompter, ResolvedOptions};
use outrigger_jobs::steps::LogLevel;
use outrigger_jobs::workflow::{MissingPlugins, RunObserver, RunStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::options;
use crate::app::{App, check_options};
use crate::arguments::{Formatted, InProject, Missing};
use crate::output::github;
use crate::output::live::{JsonLines, Live, Render};
use crate::output::transcript::{Options, Transcript};
use crate::prompt::TerminalPrompter;
use crate::trouble::{ABORTED, FAILED, Outcome, SUCCEEDED, Trouble};

const EXAMPLES: &str = "\
Examples:
  outrigger run restart.yaml -o instance-id=i-0abc -o wait=true
  outrigger run restart.yaml --options-file prod.yaml --project web
  outrigger run all-jobs.yaml --job ops/restart           one of several jobs, by group and name
  outrigger run restart.yaml --dry-run                    list the writes, make none
  outrigger run restart.yaml --record restart.recording   keep what AWS answered
  outrigger run --replay restart.recording                the same, without network or credentials
  outrigger run restart.yaml --format json | jq -r 'select(.event == \"log\").text'

Required options that have no value are asked for on a terminal. Values of secure options are \
better kept in key storage (`outrigger keys put`) or in an options file than on the command line, \
which others on this machine can see.

Ctrl-C cancels, and steps may clean up. A second Ctrl-C ends at once.

Exit codes: 0 succeeded, 1 failed, 2 bad input or configuration, 130 aborted.";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Job file; may be left out with --replay, since a recording holds the job
    #[arg(value_name = "FILE", required_unless_present = "replay")]
    file: Option<PathBuf>,
    /// Which of the file's jobs: its uuid, its name, or group/name
    #[arg(long, value_name = "NAME|UUID")]
    job: Option<String>,
    #[command(flatten)]
    project: InProject,
    /// Value of an option of the job; several values of a multivalued option by repeating it
    #[arg(short, long = "option", value_name = "NAME=VALUE", value_parser = options::parse_pair)]
    option: Vec<(String, String)>,
    /// File with option values: YAML or JSON, or TOML where its name ends in .toml
    #[arg(long, value_name = "FILE")]
    options_file: Option<PathBuf>,
    /// Stop every step before its first write, and say what it would have done
    #[arg(long, conflicts_with = "replay")]
    dry_run: bool,
    /// Write down what was answered to the steps
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Give the steps the answers of a recording instead of calling anything
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// What happens to a step whose plugin is not installed
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    missing_plugins: Missing,
    /// Folder that steps may read and write besides the workspace of the run; may be repeated
    #[arg(long = "allow-dir", value_name = "DIR")]
    allow_dirs: Vec<PathBuf>,
    /// Refuse a job that refers to options that it does not have
    #[arg(long)]
    strict: bool,
    /// Least important log lines that are shown: error, warn, info, verbose or debug; the job's own level without it
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    loglevel: Option<LogLevel>,
    #[command(flatten)]
    format: Formatted,
}

fn parse_level(text: &str) -> Result<LogLevel, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "error" => LogLevel::Error,
        "warn" | "warning" => LogLevel::Warn,
        "info" | "normal" => LogLevel::Info,
        "verbose" => LogLevel::Verbose,
        "debug" => LogLevel::Debug,
        _ => return Err("levels are error, warn, info, verbose and debug".to_owned()),
    })
}

/// Carries the command out.
pub(crate) fn run(app: &App, arguments: Arguments) -> Outcome {
    App::runtime()?.block_on(execute(app, arguments))
}

async fn execute(app: &App, arguments: Arguments) -> Outcome {
    let mut allow_dirs = Vec::new();
    for folder in &arguments.allow_dirs {
        let absolute = folder.canonicalize().map_err(|error| Trouble::file("find", folder, &error))?;
        allow_dirs.push(absolute);
    }
    let host = app.host(arguments.project.name(), allow_dirs).await?;
    let spec = match &arguments.replay {
        Some(path) => replayed(app, &host, &arguments, path)?,
        None => fresh(app, &host, &arguments)?,
    };
    let live = Live::start(renderers(app, arguments.format.is_json()))
        .map_err(|error| Trouble::failed(format!("the thread for output did not start: {error}")))?;
    let cancel = CancellationToken::new();
    let signals = tokio::spawn(watch_signals(cancel.clone()));
    let observer: Arc<dyn RunObserver> = Arc::new(live.feed());
    let ended = host.run_job(spec, observer, cancel).await;
    signals.abort();
    live.finish();
    let ended = ended?;
    if ended.result.fatal
        && let Some(message) = &ended.result.message
    {
        tracing::error!("the run could not go on: {message}");
    }
    Ok(ExitCode::from(match ended.result.status {
        RunStatus::Succeeded => SUCCEEDED,
        RunStatus::Aborted => ABORTED,
        RunStatus::Failed | RunStatus::TimedOut | RunStatus::Other(_) => FAILED,
    }))
}

/// Who writes what happens.
fn renderers(app: &App, json: bool) -> Vec<Box<dyn Render>> {
    let mut renderers: Vec<Box<dyn Render>> = Vec::new();
    if json {
        renderers.push(Box::new(JsonLines::new(std::io::stdout())));
    } else {
        let github = github::is_here();
        let options = Options {
            style: app.style(),
            times: app.verbose > 0,
            bars: std::io::stderr().is_terminal() && !github,
            github,
        };
        renderers.push(Box::new(Transcript::new(std::io::stdout(), options)));
    }
    if let Some(summary) = github::Summary::here() {
        renderers.push(Box::new(summary));
    }
    renderers
}

/// The first signal cancels, the second ends the process.
async fn watch_signals(cancel: CancellationToken) {
    let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = streams else {
        tracing::warn!("signals cannot be watched; Ctrl-C ends the run at once");
        return;
    };
    for number in 0..2 {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if number == 0 {
            eprintln!("cancelling: steps may clean up; press Ctrl-C again to end at once");
            cancel.cancel();
        }
    }
    eprintln!("ended at once; `outrigger audit last` shows which writes are in doubt");
    std::process::exit(i32::from(ABORTED));
}

/// A run of a file.
fn fresh(app: &App, host: &Host, arguments: &Arguments) -> Result<RunSpec, Trouble> {
    let path = arguments.file.as_deref().unwrap_or(Path::new(""));
    let (file, text, job) = checked(app, host, arguments, path, None)?;
    let chosen = job_at(&file, job)?;
    let mut library = host.job_index(&file)?;
    add_neighbours(&mut library, host.settings().project(), &file, path);
    let options = resolve(app, host, arguments, &file, chosen)?;
    Ok(RunSpec {
        text,
        job,
        options,
        library,
        username: username(),
        dry_run: arguments.dry_run,
        record: arguments.record.clone(),
        replay: None,
        globals: host.globals(),
        missing_plugins: missing(arguments.missing_plugins),
        log_level: arguments.loglevel,
        file,
    })
}

/// A run that is fed from a recording: of the job in it, or of a file that is given beside it.
fn replayed(app: &App, host: &Host, arguments: &Arguments, recording: &Path) -> Result<RunSpec, Trouble> {
    let replay = Arc::new(Replay::open(recording)?);
    let recorded = RecordedRun::of(&replay, recording)?;
    let (file, text, job, library) = match &arguments.file {
        None => {
            let (file, library) = recorded.files()?;
            let job = match arguments.job.as_deref() {
                Some(name) => choose(&file, Some(name))?,
                None => recorded.job,
            };
            let text = recorded.files.first().map(|file| file.text.clone()).unwrap_or_default();
            (file, text, job, library)
        }
        Some(path) => {
            let (file, text, job) = checked(app, host, arguments, path, Some(recorded.job))?;
            let mut library = host.job_index(&file)?;
            add_neighbours(&mut library, host.settings().project(), &file, path);
            (file, text, job, library)
        }
    };
    let chosen = job_at(&file, job)?;
    let given = !arguments.option.is_empty() || arguments.options_file.is_some();
    let options = if given { resolve(app, host, arguments, &file, chosen)? } else { recorded.options() };
    Ok(RunSpec {
        text,
        job,
        options,
        library,
        username: recorded.username.clone(),
        dry_run: recorded.dry_run,
        record: None,
        replay: Some(replay),
        globals: recorded.globals.clone(),
        missing_plugins: missing(arguments.missing_plugins),
        log_level: arguments.loglevel,
        file,
    })
}

fn missing(missing: Missing) -> MissingPlugins {
    match missing {
        Missing::Refuse => MissingPlugins::Refuse,
        Missing::FailStep => MissingPlugins::FailStep,
    }
}

/// Reads a file, chooses the job, and checks it. What keeps it from running ends the command before anything is touched;
/// what is wrong with other jobs of the file does not.
fn checked(
    app: &App,
    host: &Host,
    arguments: &Arguments,
    path: &Path,
    recorded: Option<usize>,
) -> Result<(Arc<JobFile>, String, usize), Trouble> {
    let (file, text) = Host::read_job_file(path)?;
    let name = arguments.job.as_deref();
    let job = match recorded {
        Some(position) if name.is_none() && position < file.jobs.len() => position,
        _ => choose(&file, name)?,
    };
    let catalog = host.catalog();
    let report = check_file(path, catalog.as_ref(), &check_options(host, arguments.strict, arguments.missing_plugins)?);
    let next = file.jobs.get(job.saturating_add(1)).map_or(u32::MAX, |next| next.position.line);
    let own = |problem: &Problem| match file.jobs.first() {
        Some(first) if problem.line < first.position.line => true,
        _ => problem.line < next && problem.line >= file.jobs.get(job).map_or(0, |job| job.position.line),
    };
    let reports = report.files.iter().filter(|report| report.path == file.path);
    let can_run = reports.clone().filter_map(|report| report.jobs.get(job)).all(|job| job.can_run);
    let mut problems: Vec<Problem> =
        reports.flat_map(|report| &report.problems).filter(|one| own(one)).cloned().collect();
    problems.retain(|problem| problem.severity != Severity::Note);
    if can_run {
        if !problems.is_empty() {
            Trouble::problems(&problems).report(app.error_style());
        }
        return Ok((file, text, job));
    }
    if problems.iter().all(|problem| problem.severity != Severity::Error) {
        // The reason lies in a job that this one calls.
        problems = report.files.into_iter().flat_map(|file| file.problems).collect();
    }
    Err(Trouble::problems(&problems))
}

fn job_at(file: &JobFile, position: usize) -> Result<&Job, Trouble> {
    file.jobs.get(position).ok_or_else(|| {
        Trouble::input(
            format!("{} has no job number {}", file.path, position.saturating_add(1)),
            "see its jobs with `outrigger job list`",
        )
    })
}

/// The job of this name or uuid, or the only one.
pub(crate) fn choose(file: &JobFile, wanted: Option<&str>) -> Result<usize, Trouble> {
    let Some(wanted) = wanted else {
        if file.jobs.len() == 1 {
            return Ok(0);
        }
        return Err(Trouble::input(
            format!("{} has {} jobs", file.path, file.jobs.len()),
            format!("name one with --job:\n{}", names(file)),
        ));
    };
    let by_uuid = |job: &Job| job.uuid.as_ref().is_some_and(|uuid| uuid.value.eq_ignore_ascii_case(wanted));
    let by_path = |job: &Job| job.path() == wanted;
    let by_name = |job: &Job| job.name.value == wanted;
    let tests: [&dyn Fn(&Job) -> bool; 3] = [&by_uuid, &by_path, &by_name];
    for test in tests {
        let found: Vec<usize> =
            file.jobs.iter().enumerate().filter(|(_, job)| test(job)).map(|(position, _)| position).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(*one),
            several => {
                return Err(Trouble::input(
                    format!("{} has {} jobs called `{wanted}`", file.path, several.len()),
                    format!("name one by its uuid or with its group:\n{}", names(file)),
                ));
            }
        }
    }
    Err(Trouble::input(format!("{} has no job `{wanted}`", file.path), format!("its jobs are:\n{}", names(file))))
}

fn names(file: &JobFile) -> String {
    let lines = file.jobs.iter().map(|job| match &job.uuid {
        Some(uuid) => format!("  {}  ({})", job.path(), uuid.value),
        None => format!("  {}", job.path()),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Jobs in the other files of the folder, for references: checking the file looks there too.
fn add_neighbours(library: &mut JobIndex, project: Option<&str>, file: &JobFile, path: &Path) {
    let steps = file.jobs.iter().flat_map(|job| &job.sequence.steps);
    let refers = steps
        .flat_map(|step| std::iter::once(step).chain(step.error_handler.iter().map(|handler| &handler.step)))
        .any(|step| matches!(step.kind, StepKind::JobRef(_)));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    if !refers {
        return;
    }
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    paths.sort();
    for path in paths {
        // A neighbour that cannot be read is none: the file itself was checked.
        if let Ok(text) = std::fs::read_to_string(&path)
            && let Ok(neighbour) = parse_jobs(&text, &path.display().to_string())
        {
            library.add(project, Arc::new(neighbour));
        }
    }
}

fn resolve(
    app: &App,
    host: &Host,
    arguments: &Arguments,
    file: &JobFile,
    job: &Job,
) -> Result<ResolvedOptions, Trouble> {
    let from_file = match &arguments.options_file {
        Some(path) => options::read_file(path)?,
        None => Vec::new(),
    };
    let mut terminal = TerminalPrompter::new(app.error_style());
    let prompter: Option<&mut dyn Prompter> =
        if App::can_ask() && !arguments.format.is_json() { Some(&mut terminal) } else { None };
    let project = host.settings().project().unwrap_or_default();
    host.resolve_options(&file.path, project, job, &arguments.option, &from_file, prompter)
        .map_err(|problems| Trouble::problems(&problems))
}
