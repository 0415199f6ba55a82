//! `log RUN`.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use outrigger_jobs::steps::LogLevel as Level;
use outrigger_journal::{LogFilter, LogLevel, LogRecord, Status, StepRecord, Store};

use super::done;
use super::runs::{WhichRun, find, job_of, took, word};
use crate::app::App;
use crate::arguments::Formatted;
use crate::output::log::Line;
use crate::output::style::{Style, printable};
use crate::output::{stdout, time};
use crate::trouble::Outcome;

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
  outrigger log 12 --follow --grep error
  outrigger log 12 --format json | jq -r .text")]
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
    let (store, mut run) = find(app, arguments.run)?;
    let style = app.style();
    let json = arguments.format.is_json();
    let mut out = stdout();
    if !json {
        writeln!(
            out,
            "{}  {}  {}",
            style.bold(&format!("run {}: {}", run.id, printable(&job_of(&run)))),
            word(&run.status, style),
            style.dim(&time::local(run.started_unix_micros))
        )?;
    }
    let mut filter = LogFilter {
        path: arguments.step.clone(),
        node: arguments.node.clone(),
        contains: arguments.grep.clone(),
        tail: arguments.tail,
        ..LogFilter::default()
    };
    if filter.tail.is_none() {
        filter.limit = Some(PAGE);
    }
    let mut shown = Shown { style, times: app.verbose > 0, steps: HashMap::new(), last: None };
    loop {
        // The state is read before the lines: those of a run that has ended are all there.
        let going = arguments.follow && run.status == Status::Running;
        loop {
            let records = store.log(run.id, &filter)?;
            let more = filter.tail.is_none() && records.len() >= PAGE as usize;
            if !json && !records.is_empty() {
                shown.learn(&store.steps(run.id)?);
            }
            for record in &records {
                if json {
                    serde_json::to_writer(&mut out, record).map_err(std::io::Error::from)?;
                    writeln!(out)?;
                } else {
                    shown.line(&mut out, record)?;
                }
            }
            if let Some(last) = records.last() {
                filter.after = Some(last.seq);
                // What follows is all of interest.
                filter.tail = None;
                filter.limit = Some(PAGE);
            }
            if !more {
                break;
            }
        }
        out.flush()?;
        if !going {
            break;
        }
        std::thread::sleep(EVERY);
        if let Some(now) = store.run(run.id)? {
            run = now;
        }
    }
    if !json {
        end(&mut out, &store, &run, style)?;
    }
    done()
}

fn end(
    out: &mut dyn std::io::Write,
    store: &Store,
    run: &outrigger_journal::RunRecord,
    style: Style,
) -> Result<(), crate::trouble::Trouble> {
    for step in store.steps(run.id)? {
        if let Some(failure) = &step.failure {
            let text = format!("step {} {}: {}", step.key.path, step.plugin, failure.message);
            writeln!(out, "{} {}", style.red("✗"), printable(&text))?;
        }
    }
    let took = style.dim(&took(run.started_unix_micros, run.ended_unix_micros));
    writeln!(out, "{} {} {took}", style.bold(&format!("run {}", run.id)), word(&run.status, style))?;
    if let Some(message) = &run.message {
        writeln!(out, "    {}", printable(message))?;
    }
    out.flush()?;
    Ok(())
}

struct Shown {
    style: Style,
    times: bool,
    steps: HashMap<String, String>,
    last: Option<String>,
}

impl Shown {
    fn learn(&mut self, steps: &[StepRecord]) {
        for step in steps {
            let name = match &step.label {
                Some(label) => format!("{label}  {}", step.plugin),
                None => step.plugin.clone(),
            };
            self.steps.insert(step.key.path.clone(), name);
        }
    }

    fn line(&mut self, out: &mut dyn std::io::Write, record: &LogRecord) -> std::io::Result<()> {
        let line = &record.line;
        if line.path.is_some() && line.path != self.last {
            self.last.clone_from(&line.path);
            let step = line.path.as_deref().unwrap_or_default();
            let name = self.steps.get(step).map_or("", String::as_str);
            writeln!(out, "{} {}  {}", self.style.blue("▶"), self.style.bold(step), self.style.dim(&printable(name)))?;
        }
        let prefix =
            if self.times { self.style.dim(&format!("{} ", time::local(line.at_unix_micros))) } else { String::new() };
        let line = Line {
            step: line.path.as_deref(),
            node: line.node.as_deref().unwrap_or("local"),
            level: match line.level {
                LogLevel::Debug => Level::Debug,
                LogLevel::Verbose => Level::Verbose,
                LogLevel::Normal => Level::Info,
                LogLevel::Warn => Level::Warn,
                LogLevel::Error => Level::Error,
            },
            text: &line.text,
            data_type: line.data_type.as_deref(),
            title: None,
            highlights: &[],
        };
        line.write(out, self.style, &prefix)
    }
}
