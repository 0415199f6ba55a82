//! `runs`, `runs prune`, and the way from a word to a run.

use std::io::Write as _;
use std::str::FromStr;

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp};
use outrigger_door::RunId;
use outrigger_journal::{Options, PruneFilter, RunFilter, RunRecord, Status, Store};
use serde_json::{Value, json};

use super::done;
use crate::app::App;
use crate::arguments::{Formatted, InProject};
use crate::output::style::Style;
use crate::output::table::{Look, Table};
use crate::output::{stdout, time, write_json};
use crate::trouble::{Outcome, Trouble};

/// Arguments of `runs`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  outrigger runs
  outrigger runs --job ops/restart --status failed
  outrigger runs --format json | jq '.[0].status'
  outrigger runs prune --older-than 30d --keep-last 100 --dry-run"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove old runs, with their logs and audit
    Prune(PruneArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    project: InProject,
    /// Only runs of this job: its name, group/name or uuid
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only runs in this state: running, succeeded, failed, aborted, timedout, interrupted, or a job's own word
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// At most so many, the newest
    #[arg(short = 'n', long, value_name = "N", default_value = "20")]
    limit: u32,
    #[command(flatten)]
    format: Formatted,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger runs prune --older-than 30d
  outrigger runs prune --keep-last 100 --dry-run

Only runs for which everything that is given holds are removed, and never one that still goes on.")]
struct PruneArguments {
    #[command(flatten)]
    project: InProject,
    /// Runs that ended longer ago than this: 12h, 30d, 8w
    #[arg(long, value_name = "AGE", required_unless_present = "keep_last", value_parser = parse_age)]
    older_than: Option<Span>,
    /// Runs that are not among the newest N of their project
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Formatted,
}

fn parse_age(text: &str) -> Result<Span, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || "write a number and a unit, such as 90min, 12h, 30d or 8w".to_owned();
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let hours = match unit {
        "m" | "min" => return Span::new().try_minutes(number).map_err(|error| error.to_string()),
        "h" => number,
        "d" => number.saturating_mul(24),
        "w" => number.saturating_mul(24 * 7),
        _ => return Err(wrong()),
    };
    Span::new().try_hours(hours).map_err(|error| error.to_string())
}

/// A run on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhichRun {
    /// By its number.
    Number(i64),
    /// The newest one.
    Last,
}

impl FromStr for WhichRun {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Self::Number(number)),
                _ => Err("write the number of a run, or `last`".to_owned()),
            },
        }
    }
}

/// Opens the database of runs, where there is one.
pub(crate) fn store(app: &App) -> Result<Option<Store>, Trouble> {
    let path = app.home()?.database();
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Store::open(path, Options::default())?))
}

/// Finds a run.
pub(crate) fn find(app: &App, which: WhichRun) -> Result<(Store, RunRecord), Trouble> {
    let none =
        || Trouble::input("there are no runs here yet", "run a job with `outrigger run`, or name another --home");
    let store = store(app)?.ok_or_else(none)?;
    let run = match which {
        WhichRun::Number(number) => store.run(RunId(number))?.ok_or_else(|| {
            Trouble::input(format!("there is no run {number}"), "see `outrigger runs`; it may have been pruned")
        })?,
        WhichRun::Last => {
            let newest = store.list_runs(&RunFilter { limit: Some(1), ..RunFilter::default() })?;
            newest.into_iter().next().ok_or_else(none)?
        }
    };
    Ok((store, run))
}

/// `group/name` of a run's job.
pub(crate) fn job_of(run: &RunRecord) -> String {
    if run.run.job_group.is_empty() {
        run.run.job_name.clone()
    } else {
        format!("{}/{}", run.run.job_group, run.run.job_name)
    }
}

/// How long a run took, or takes.
pub(crate) fn took(started: i64, ended: Option<i64>) -> String {
    let end = ended.unwrap_or_else(|| Timestamp::now().as_microsecond());
    time::duration(u64::try_from(end.saturating_sub(started)).unwrap_or(0) / 1000)
}

/// How a status looks in a table.
pub(crate) fn look(status: &Status) -> Look {
    match status {
        Status::Succeeded => Look::Good,
        Status::Failed | Status::TimedOut | Status::Aborted | Status::Interrupted => Look::Bad,
        Status::Running | Status::Other(_) => Look::Odd,
    }
}

/// How a status looks in a line.
pub(crate) fn word(status: &Status, style: Style) -> String {
    let text = crate::output::style::printable(status.as_str()).into_owned();
    match look(status) {
        Look::Good => style.green(&text),
        Look::Bad => style.red(&text),
        _ => style.yellow(&text),
    }
}

/// Carries the command out.
pub(crate) fn run(app: &App, arguments: Arguments) -> Outcome {
    match arguments.command {
        Some(Command::Prune(arguments)) => prune(app, &arguments),
        None => list(app, arguments.list),
    }
}

fn list(app: &App, arguments: ListArguments) -> Outcome {
    let filter = RunFilter {
        project: arguments.project.project,
        job: arguments.job,
        status: arguments.status.as_deref().map(Status::from),
        limit: Some(arguments.limit),
    };
    let runs = match store(app)? {
        Some(store) => store.list_runs(&filter)?,
        None => Vec::new(),
    };
    if arguments.format.is_json() {
        write_json(&runs.iter().map(for_programs).collect())?;
        return done();
    }
    let mut out = stdout();
    if runs.is_empty() {
        writeln!(out, "no runs")?;
        out.flush()?;
        return done();
    }
    let mut table = Table::new(["RUN", "STATUS", "JOB", "PROJECT", "MODE", "USER", "STARTED", "TOOK"]);
    for run in &runs {
        let took = match (&run.status, run.ended_unix_micros) {
            (Status::Interrupted, None) => String::new(),
            (_, ended) => took(run.started_unix_micros, ended),
        };
        table.looked([
            (run.id.to_string(), Look::Plain),
            (run.status.to_string(), look(&run.status)),
            (job_of(run), Look::Plain),
            (run.run.project.clone(), Look::Plain),
            (run.run.mode.clone(), Look::Faint),
            (run.run.user.clone(), Look::Faint),
            (time::local(run.started_unix_micros), Look::Plain),
            (took, Look::Faint),
        ]);
    }
    write!(out, "{}", table.render(app.style(), "", 60))?;
    out.flush()?;
    done()
}

/// A run as JSON.
fn for_programs(run: &RunRecord) -> Value {
    let mut value = json!({
        "id": run.id,
        "status": run.status,
        "job": job_of(run),
        "started": time::utc(run.started_unix_micros),
        "ended": run.ended_unix_micros.map(time::utc),
    });
    if let (Value::Object(out), Ok(Value::Object(members))) = (&mut value, serde_json::to_value(run)) {
        for (name, member) in members {
            out.entry(name).or_insert(member);
        }
    }
    value
}

fn prune(app: &App, arguments: &PruneArguments) -> Outcome {
    let before = match arguments.older_than {
        Some(age) => Some(
            Timestamp::now()
                .checked_sub(age)
                .map_err(|error| Trouble::input(format!("the age cannot be used: {error}"), "use a shorter one"))?
                .as_microsecond(),
        ),
        None => None,
    };
    let filter = PruneFilter {
        project: arguments.project.project.clone(),
        ended_before_unix_micros: before,
        keep_last: arguments.keep_last,
        dry_run: arguments.dry_run,
    };
    let counts = match store(app)? {
        Some(store) => App::runtime()?.block_on(store.prune(filter))?,
        None => Default::default(),
    };
    if arguments.format.is_json() {
        write_json(&serde_json::to_value(counts).map_err(std::io::Error::from)?)?;
        return done();
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    let mut out = stdout();
    writeln!(
        out,
        "{verb} {} runs: {} step attempts, {} log lines, {} audit records, {} intents, {} events",
        counts.runs, counts.steps, counts.log_lines, counts.audit, counts.intents, counts.events
    )?;
    out.flush()?;
    done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        let hours = |text: &str| parse_age(text).map(|span| i64::from(span.get_hours()));
        assert_eq!(hours("12h"), Ok(12));
        assert_eq!(hours("30d"), Ok(720));
        assert_eq!(hours("8w"), Ok(1344));
        assert!(["", "d", "30", "-1d", "30 days", "9999999999999999w"].iter().all(|text| parse_age(text).is_err()));
    }

    #[test]
    fn runs_are_named_by_number_or_last() {
        assert_eq!("12".parse(), Ok(WhichRun::Number(12)));
        assert_eq!("last".parse(), Ok(WhichRun::Last));
        assert!(["0", "-1", "first"].iter().all(|text| text.parse::<WhichRun>().is_err()));
    }
}
