//! `log RUN`.

use std::collections::HashSet;
use std::io::{Stdout, Write as _};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use outrigger_door::RunId;
use outrigger_jobs::steps::{LogLevel as Level, StepFailure};
use outrigger_jobs::workflow::{EVENT_VERSION, RunEvent, RunEventKind, StepStatus};
use outrigger_journal::{Event, LogFilter, LogLevel, LogRecord, RunRecord, Status, StepRecord, Store};
use serde_json::{Map, Value};

use super::done;
use super::runs::{WhichRun, find, job_of, took, word};
use crate::app::App;
use crate::arguments::Formatted;
use crate::output::live::Render as _;
use crate::output::log::Line;
use crate::output::style::{Style, printable};
use crate::output::transcript::{Options, Transcript};
use crate::output::{stdout, time};
use crate::trouble::{Outcome, Trouble};

/// How often a run that goes on is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Lines that are read at once.
const PAGE: u32 = 5_000;

/// Arguments of `log`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger log last
  outrigger log 12 --step 3 --tail 50
  outrigger log 12 --follow
  outrigger log 12 --format json | jq -r .text

With --step, --node, --grep or --tail only log lines are shown; otherwise the run as it was to be seen.")]
pub(crate) struct Arguments {
    /// Number of a run, or `last`
    #[arg(value_name = "RUN")]
    run: WhichRun,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Only lines of this step, and of what a job reference at this step ran: 2, 2/1, 2e
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Only lines of this node
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only lines with this text in them; upper and lower case differ
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Only the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    #[command(flatten)]
    format: Formatted,
}

/// Carries the command out.
pub(crate) fn run(app: &App, arguments: Arguments) -> Outcome {
    let (store, run) = find(app, arguments.run)?;
    let narrowed = arguments.step.is_some()
        || arguments.node.is_some()
        || arguments.grep.is_some()
        || arguments.tail.is_some()
        || arguments.format.is_json();
    if narrowed { lines(app, &store, run, arguments) } else { story(app, &store, run, arguments.follow) }
}

/// The log lines that are left by the filters.
fn lines(app: &App, store: &Store, mut run: RunRecord, arguments: Arguments) -> Outcome {
    let json = arguments.format.is_json();
    let style = app.style();
    let mut out = stdout();
    let mut filter = LogFilter {
        path: arguments.step,
        node: arguments.node,
        contains: arguments.grep,
        tail: arguments.tail,
        limit: arguments.tail.is_none().then_some(PAGE),
        ..LogFilter::default()
    };
    loop {
        // The state is read before the lines: those of a run that has ended are all there.
        let going = arguments.follow && run.status == Status::Running;
        loop {
            let records = store.log(run.id, &filter)?;
            let more = filter.tail.is_none() && records.len() >= PAGE as usize;
            for record in &records {
                if json {
                    serde_json::to_writer(&mut out, record).map_err(std::io::Error::from)?;
                    writeln!(out)?;
                } else {
                    write_line(&mut out, record, style, app.verbose > 0)?;
                }
            }
            if let Some(last) = records.last() {
                filter.after = Some(last.seq);
            }
            // What follows is all of interest.
            filter.tail = None;
            filter.limit = Some(PAGE);
            if !more {
                break;
            }
        }
        out.flush()?;
        if !going {
            return done();
        }
        std::thread::sleep(EVERY);
        if let Some(now) = store.run(run.id)? {
            run = now;
        }
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Verbose => Level::Verbose,
        LogLevel::Normal => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    }
}

fn write_line(out: &mut dyn std::io::Write, record: &LogRecord, style: Style, times: bool) -> std::io::Result<()> {
    let line = &record.line;
    let prefix = if times { style.dim(&format!("{} ", time::local(line.at_unix_micros))) } else { String::new() };
    let line = Line {
        step: line.path.as_deref(),
        node: line.node.as_deref().unwrap_or("local"),
        level: level(line.level),
        text: &line.text,
        data_type: line.data_type.as_deref(),
        title: None,
        highlights: &[],
    };
    line.write(out, style, &prefix)
}

/// The run as it was to be seen while it ran.
fn story(app: &App, store: &Store, mut run: RunRecord, follow: bool) -> Outcome {
    let style = app.style();
    let options = Options { style, times: app.verbose > 0, bars: false, github: false };
    let mut story = Story {
        run: run.id,
        transcript: Transcript::new(std::io::stdout(), options),
        last_line: 0,
        last_event: 0,
        waiting: Vec::new(),
        begun: HashSet::new(),
        ended: HashSet::new(),
    };
    loop {
        let going = follow && run.status == Status::Running;
        story.tell(store)?;
        if !going {
            break;
        }
        std::thread::sleep(EVERY);
        if let Some(now) = store.run(run.id)? {
            run = now;
        }
    }
    drop(story);
    if run.ended_unix_micros.is_none() {
        let mut out = stdout();
        let job = printable(&job_of(&run)).into_owned();
        let took = took(run.started_unix_micros, None);
        match run.status {
            Status::Running => writeln!(out, "run {} ({job}) goes on, for {took} now; see --follow", run.id)?,
            _ => writeln!(
                out,
                "run {} ({job}) {}: its process ended without saying how; see `outrigger audit {}`",
                run.id,
                word(&run.status, style),
                run.id
            )?,
        }
        out.flush()?;
    }
    done()
}

/// Puts lines, steps and events together in the order in which they happened.
struct Story {
    run: RunId,
    transcript: Transcript<Stdout>,
    last_line: i64,
    last_event: i64,
    /// What was read and happened later than the lines that were read.
    waiting: Vec<(i64, RunEventKind)>,
    begun: HashSet<(String, String, u32)>,
    ended: HashSet<(String, String, u32)>,
}

impl Story {
    /// Tells what is new.
    fn tell(&mut self, store: &Store) -> Result<(), Trouble> {
        loop {
            let filter = LogFilter { after: Some(self.last_line), limit: Some(PAGE), ..LogFilter::default() };
            let lines = store.log(self.run, &filter)?;
            let horizon = match lines.last() {
                Some(last) if lines.len() >= PAGE as usize => last.line.at_unix_micros,
                _ => i64::MAX,
            };
            for step in store.steps(self.run)? {
                self.step(&step);
            }
            loop {
                let events = store.events(self.run, self.last_event, PAGE)?;
                let Some(last) = events.last() else { break };
                self.last_event = last.seq;
                let kinds = events.iter().filter_map(|event| Some((event.at_unix_micros, kind(event)?)));
                self.waiting.extend(kinds);
            }
            if let Some(last) = lines.last() {
                self.last_line = last.seq;
            }
            self.waiting.extend(lines.into_iter().map(line));
            self.waiting.sort_by_key(|(at, kind)| (*at, rank(kind)));
            let ready = self.waiting.partition_point(|(at, _)| *at <= horizon);
            for (at, kind) in self.waiting.drain(..ready) {
                let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
                self.transcript.event(&RunEvent { v: EVENT_VERSION, run: self.run, at, kind })?;
            }
            if horizon == i64::MAX {
                self.transcript.flush()?;
                return Ok(());
            }
        }
    }

    fn step(&mut self, step: &StepRecord) {
        let key = (step.key.path.clone(), step.key.node.clone(), step.key.attempt);
        if self.begun.insert(key.clone()) {
            let kind = RunEventKind::StepStarted {
                step: step.key.path.clone(),
                node: step.key.node.clone(),
                attempt: step.key.attempt,
                label: step.label.clone(),
                what: step.plugin.clone(),
            };
            self.waiting.push((step.started_unix_micros, kind));
        }
        let Some(ended) = step.ended_unix_micros else { return };
        if !self.ended.insert(key) {
            return;
        }
        let took = u64::try_from(ended.saturating_sub(step.started_unix_micros)).unwrap_or(0);
        let kind = RunEventKind::StepFinished {
            step: step.key.path.clone(),
            node: step.key.node.clone(),
            attempt: step.key.attempt,
            status: status(step),
            failure: step.failure.as_ref().map(|failure| StepFailure {
                reason: failure.code.clone().unwrap_or_else(|| failure.reason.as_result_reason().to_owned()),
                message: failure.message.clone(),
                result_code: None,
                retryable: failure.retryable,
            }),
            outputs: match &step.outputs {
                Some(Value::Object(outputs)) => outputs.clone(),
                _ => Map::new(),
            },
            duration_ms: took / 1000,
            will_retry: false,
        };
        self.waiting.push((ended, kind));
    }
}

/// Of what happened in the same microsecond, a step's begin goes first and its end last.
fn rank(kind: &RunEventKind) -> u8 {
    match kind {
        RunEventKind::RunStarted { .. } => 0,
        RunEventKind::StepStarted { .. } => 1,
        RunEventKind::StepFinished { .. } => 3,
        RunEventKind::RunFinished { .. } => 4,
        _ => 2,
    }
}

fn status(step: &StepRecord) -> StepStatus {
    match &step.status {
        Status::Succeeded if step.failure.is_some() => StepStatus::Handled,
        Status::Succeeded => StepStatus::Succeeded,
        Status::Aborted => StepStatus::Aborted,
        Status::Other(word) if word == "halted" => StepStatus::Halted,
        Status::Other(word) if word == "dry-run" => StepStatus::DryRun,
        Status::Other(word) if word == "skipped" => StepStatus::Skipped,
        _ => StepStatus::Failed,
    }
}

/// An event of the database; none of a kind that a newer program wrote.
fn kind(event: &Event) -> Option<RunEventKind> {
    let Value::Object(mut body) = event.body.clone() else { return None };
    body.insert("event".to_owned(), Value::String(event.kind.clone()));
    serde_json::from_value(Value::Object(body)).ok()
}

fn line(record: LogRecord) -> (i64, RunEventKind) {
    let line = record.line;
    let kind = RunEventKind::Log {
        step: line.path.unwrap_or_default(),
        node: line.node.unwrap_or_else(|| "local".to_owned()),
        level: level(line.level),
        text: line.text,
        data_type: line.data_type,
        title: None,
        highlights: Vec::new(),
    };
    (line.at_unix_micros, kind)
}
