//! The report for people.

use std::fmt::Write as _;

use crate::file::Severity;

use super::report::{CheckReport, FileReport};

/// The report as text: problems by file and line, then how many jobs can run and why the others cannot.
pub fn render(report: &CheckReport, color: bool) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    for file in &report.files {
        render_file(&mut out, file, paint);
    }
    render_summary(&mut out, report, paint);
    out
}

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn severity(self, severity: Severity) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        self.with(code, &severity.to_string())
    }
}

/// Text of a file as it may reach a terminal: control characters are shown, not obeyed.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn render_file(out: &mut String, file: &FileReport, paint: Paint) {
    if file.problems.is_empty() {
        return;
    }
    let _ = writeln!(out, "{}", paint.with("1", &printable(&file.path)));
    for problem in &file.problems {
        let place = if problem.line == 0 { String::new() } else { format!("{}:{}: ", problem.line, problem.column) };
        let severity = paint.severity(problem.severity);
        let code = paint.with("2", &format!("[{}]", problem.code));
        let _ = writeln!(out, "  {place}{severity}: {} {code}", printable(&problem.message));
        if let Some(help) = &problem.help {
            let _ = writeln!(out, "      {} {}", paint.with("36", "help:"), printable(help));
        }
    }
    out.push('\n');
}

fn render_summary(out: &mut String, report: &CheckReport, paint: Paint) {
    let summary = report.summary;
    for job in report.files.iter().flat_map(|file| &file.jobs).filter(|job| !job.can_run) {
        let _ = writeln!(out, "{} {}", paint.with("1;31", "cannot run:"), printable(&job.title()));
        for reason in &job.reasons {
            let _ = writeln!(out, "  - {}", printable(reason));
        }
    }
    let counts = format!("{} of {} can run", summary.can_run, summary.jobs);
    let all = summary.can_run == summary.jobs && summary.errors == 0;
    let counts = paint.with(if all { "1;32" } else { "1;33" }, &counts);
    let _ = writeln!(out, "{counts} ({}, {})", plural(summary.errors, "error"), plural(summary.warnings, "warning"));
}

fn plural(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
