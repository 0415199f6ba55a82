//! What GitHub Actions reads: workflow commands in the log, and the step summary.
//!
//! Source: <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>. Secrets are masked before
//! they reach a line, so `::add-mask::`, which would print them, is not used.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use outrigger_jobs::workflow::{RunEvent, RunEventKind, StepStatus};

use super::live::Render;
use super::time;

/// Whether the process runs in GitHub Actions.
pub(crate) fn is_here() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// The message of a workflow command.
pub(crate) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
pub(crate) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Lines of a step, with nothing in them that the runner takes for a command. The older form `##[name]` counts anywhere in
/// a line, `::name::` only at its beginning, where these lines have their margin.
pub(crate) fn harmless(text: &str) -> String {
    text.replace("##[", "## [")
}

/// Appends a table of the steps to the file that `GITHUB_STEP_SUMMARY` names.
pub(crate) struct Summary {
    path: PathBuf,
    job: String,
    rows: Vec<String>,
    names: std::collections::HashMap<String, String>,
}

impl Summary {
    /// A summary, where the runner wants one.
    pub(crate) fn here() -> Option<Self> {
        let path = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty() && is_here())?;
        Some(Self { path: path.into(), job: String::new(), rows: Vec::new(), names: Default::default() })
    }

    fn write(&self, event: &RunEvent) -> io::Result<()> {
        let RunEventKind::RunFinished { status, message, duration_ms, .. } = &event.kind else { return Ok(()) };
        let mut text = format!(
            "### {}: {}\n\nRun {}, {}.\n\n",
            cell(&self.job),
            cell(status.as_str()),
            event.run,
            time::duration(*duration_ms)
        );
        if let Some(message) = message {
            text.push_str(&format!("{}\n\n", cell(message)));
        }
        if !self.rows.is_empty() {
            text.push_str("| Step | What | Status | Time | Why |\n|---|---|---|---|---|\n");
            text.push_str(&self.rows.concat());
            text.push('\n');
        }
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(text.as_bytes())
    }
}

/// Text in a Markdown table: no markup, no HTML, no new row.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            '|' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '\\' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            other => out.push(other),
        }
    }
    out
}

impl Render for Summary {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        match &event.kind {
            RunEventKind::RunStarted { job, .. } => self.job.clone_from(job),
            RunEventKind::StepStarted { step, label, what, .. } => {
                let name = label.as_ref().map_or_else(|| what.clone(), |label| format!("{label} ({what})"));
                self.names.insert(step.clone(), name);
            }
            RunEventKind::StepFinished { step, status, failure, duration_ms, .. } => {
                let status = match status {
                    StepStatus::Succeeded => "succeeded",
                    StepStatus::Failed => "failed",
                    StepStatus::Handled => "handled",
                    StepStatus::Halted => "halted",
                    StepStatus::DryRun => "dry run",
                    StepStatus::Skipped => "skipped",
                    StepStatus::Aborted => "aborted",
                };
                let name = self.names.get(step).map_or("", String::as_str);
                let why = failure.as_ref().map_or("", |failure| failure.message.as_str());
                self.rows.push(format!(
                    "| {} | {} | {status} | {} | {} |\n",
                    cell(step),
                    cell(name),
                    time::duration(*duration_ms),
                    cell(why)
                ));
            }
            RunEventKind::RunFinished { .. } => {
                if let Err(error) = self.write(event) {
                    tracing::warn!(%error, path = %self.path.display(), "the step summary was not written");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cannot_leave_their_command() {
        assert_eq!(data("50%\r\n::error::x"), "50%25%0D%0A::error::x");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        assert_eq!(cell("<b>|x|\n`y`</b>"), "&lt;b&gt;\\|x\\| \\`y\\`&lt;/b&gt;");
    }
}
