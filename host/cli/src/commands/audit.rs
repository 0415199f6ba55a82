//! `audit RUN`.

use std::io::Write as _;

use clap::Args;
use outrigger_door::{AuditOutcome, AuditRecord};
use outrigger_journal::Status;
use serde_json::json;

use super::done;
use super::runs::{WhichRun, find, job_of};
use crate::app::App;
use crate::arguments::Formatted;
use crate::output::style::printable;
use crate::output::table::{Look, Table};
use crate::output::{stdout, time};
use crate::trouble::Outcome;

/// Records that are read at once.
const PAGE: u32 = 1_000;

/// Arguments of `audit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger audit last
  outrigger audit 12 --format json > audit.jsonl

One record for each attempt of a call to AWS, and for each call that was refused before it went \
out; with --format json one object per line. A write that was begun and whose end nobody wrote \
down is in doubt: it may have taken effect.")]
pub(crate) struct Arguments {
    /// Number of a run, or `last`
    #[arg(value_name = "RUN")]
    run: WhichRun,
    #[command(flatten)]
    format: Formatted,
}

/// Carries the command out.
pub(crate) fn run(app: &App, arguments: Arguments) -> Outcome {
    let (store, run) = find(app, arguments.run)?;
    let style = app.style();
    let json = arguments.format.is_json();
    let mut out = stdout();
    let mut after = 0;
    let mut records = Vec::new();
    loop {
        let page = store.audit(run.id, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.position;
        if json {
            for entry in &page {
                serde_json::to_writer(&mut out, entry).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
        } else {
            records.extend(page.into_iter().map(|entry| entry.record));
        }
    }
    let doubts = store.in_doubt(run.id)?;
    if json {
        for doubt in &doubts {
            let line = json!({
                "outcome": "in-doubt",
                "running": run.status == Status::Running,
                "at_unix_micros": doubt.at_unix_micros,
                "intent": doubt.intent,
            });
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        return done();
    }
    writeln!(out, "{}", style.bold(&format!("run {}: {}", run.id, printable(&job_of(&run)))))?;
    if records.is_empty() {
        writeln!(out, "no calls to AWS")?;
    } else {
        write!(out, "{}", table(&records).render(style, "", 60))?;
    }
    if !doubts.is_empty() {
        let head = if run.status == Status::Running { "Under way" } else { "In doubt: these may have taken effect" };
        writeln!(out, "\n{}", style.yellow(head))?;
        let mut table = Table::new(["STEP", "CALL", "EFFECT", "TOKEN", "BEGUN"]);
        for doubt in &doubts {
            let intent = &doubt.intent;
            let call = if intent.action.is_empty() { &intent.function } else { &intent.action };
            table.row([
                place(&intent.step),
                call.clone(),
                json!(intent.effect).as_str().unwrap_or_default().to_owned(),
                intent.token.clone().unwrap_or_default(),
                time::local(doubt.at_unix_micros),
            ]);
        }
        write!(out, "{}", table.render(style, "  ", 60))?;
    }
    out.flush()?;
    done()
}

fn place(step: &outrigger_door::StepKey) -> String {
    let mut place = step.path.clone();
    if step.node != "local" {
        place.push_str(&format!("@{}", step.node));
    }
    if step.attempt > 1 {
        place.push_str(&format!(" #{}", step.attempt));
    }
    place
}

fn table(records: &[AuditRecord]) -> Table {
    let mut table = Table::new(["STEP", "PLUGIN", "CALL", "REGION", "ACCOUNT", "TRY", "TOOK", "OUTCOME", "REQUEST"]);
    for record in records {
        let (outcome, look) = match &record.outcome {
            AuditOutcome::Ok => ("ok".to_owned(), Look::Good),
            AuditOutcome::Error { code, status: 0 } => (code.clone(), Look::Bad),
            AuditOutcome::Error { code, status } => (format!("{code} ({status})"), Look::Bad),
            AuditOutcome::Denied { missing } => {
                (format!("denied: {}", missing.lines().next().unwrap_or_default()), Look::Bad)
            }
            AuditOutcome::DryRun => ("dry run".to_owned(), Look::Odd),
            AuditOutcome::Unknown => ("unknown".to_owned(), Look::Odd),
        };
        let call = if record.service.is_empty() {
            record.function.clone()
        } else {
            format!("{}:{}", record.service, record.action)
        };
        table.looked([
            (place(&record.step), Look::Plain),
            (record.plugin.clone(), Look::Plain),
            (call, Look::Plain),
            (record.region.clone().unwrap_or_default(), Look::Plain),
            (record.account.clone().unwrap_or_default(), Look::Plain),
            (record.attempt.to_string(), Look::Faint),
            (time::duration(record.duration_micros / 1000), Look::Faint),
            (outcome, look),
            (record.request_id.clone().unwrap_or_default(), Look::Faint),
        ]);
    }
    table
}
