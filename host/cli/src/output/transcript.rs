//! A run as people watch it.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use outrigger_jobs::filters::BadgeStatus;
use outrigger_jobs::steps::{LogLevel, StepFailure};
use outrigger_jobs::workflow::{RunEvent, RunEventKind, RunStatus, StepStatus};
use serde_json::{Map, Value};

use super::github;
use super::live::Render;
use super::log::{Line, margin};
use super::style::{Style, printable};
use super::time;

/// How often progress is told where there is no terminal to draw it on.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// How a run is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Colours of standard output.
    pub(crate) style: Style,
    /// A time before every line.
    pub(crate) times: bool,
    /// Progress is drawn on standard error, which is a terminal.
    pub(crate) bars: bool,
    /// GitHub Actions reads the log: groups, and errors as annotations.
    pub(crate) github: bool,
}

/// Writes a run's events as text.
pub(crate) struct Transcript<W: Write> {
    out: BufWriter<W>,
    options: Options,
    names: HashMap<String, String>,
    bars: HashMap<(String, String), ProgressBar>,
    told: HashMap<(String, String), Instant>,
    drawn: MultiProgress,
    /// The step whose group is open in GitHub's log.
    group: Option<String>,
    steps: usize,
    failed: Vec<(String, StepFailure)>,
}

impl<W: Write> Transcript<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W, options: Options) -> Self {
        let target = if options.bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            out: BufWriter::new(out),
            options,
            names: HashMap::new(),
            bars: HashMap::new(),
            told: HashMap::new(),
            drawn: MultiProgress::with_draw_target(target),
            group: None,
            steps: 0,
            failed: Vec::new(),
        }
    }

    fn line(&mut self, event: &RunEvent, text: &str) -> io::Result<()> {
        let prefix = self.prefix(event);
        writeln!(self.out, "{prefix}{text}")
    }

    fn prefix(&self, event: &RunEvent) -> String {
        if !self.options.times {
            return String::new();
        }
        let moment = event.at.to_zoned(jiff::tz::TimeZone::system());
        self.options.style.dim(&moment.strftime("%H:%M:%S%.3f ").to_string())
    }

    /// A line that belongs to a step.
    fn inside(&mut self, event: &RunEvent, step: &str, node: &str, text: &str) -> io::Result<()> {
        self.enter(step)?;
        let margin = margin(Some(step), node, self.options.style);
        self.line(event, &format!("{margin}{text}"))
    }

    fn log(&mut self, event: &RunEvent, line: Line<'_>) -> io::Result<()> {
        if let Some(step) = line.step {
            self.enter(step)?;
        }
        let prefix = self.prefix(event);
        if !self.options.github {
            return line.write(&mut self.out, self.options.style, &prefix);
        }
        let mut text = Vec::new();
        line.write(&mut text, self.options.style, &prefix)?;
        self.out.write_all(github::harmless(&String::from_utf8_lossy(&text)).as_bytes())
    }

    /// Opens the group of a step in GitHub's log. Groups cannot hold groups, so a job reference and its steps share one.
    fn enter(&mut self, step: &str) -> io::Result<()> {
        if !self.options.github {
            return Ok(());
        }
        let top = step.split(['/', 'e']).next().unwrap_or(step);
        if self.group.as_deref() == Some(top) {
            return Ok(());
        }
        self.leave()?;
        let title = self.names.get(top).map_or("", String::as_str);
        writeln!(self.out, "::group::{}", github::data(&format!("{top}  {title}")))?;
        self.group = Some(top.to_owned());
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        if self.group.take().is_some() {
            writeln!(self.out, "::endgroup::")?;
        }
        Ok(())
    }

    fn started(&mut self, event: &RunEvent) -> io::Result<()> {
        let RunEventKind::RunStarted { job, project, dry_run, options, .. } = &event.kind else { return Ok(()) };
        let style = self.options.style;
        let mut head = style.bold(&format!("run {}: {}", event.run, printable(job)));
        if !project.is_empty() {
            head.push_str(&style.dim(&format!("  project {}", printable(project))));
        }
        if *dry_run {
            head.push_str(&format!("  {}", style.yellow("dry run: every write is stopped before it is made")));
        }
        self.line(event, &head)?;
        for (name, value) in options {
            self.line(event, &style.dim(&format!("    {} = {}", printable(name), printable(value))))?;
        }
        Ok(())
    }

    fn step_started(
        &mut self,
        event: &RunEvent,
        place: (&str, &str, u32),
        label: Option<&str>,
        what: &str,
    ) -> io::Result<()> {
        let (step, node, attempt) = place;
        let style = self.options.style;
        self.names.insert(step.to_owned(), label.unwrap_or(what).to_owned());
        self.enter(step)?;
        let mut head = format!("{} {}", style.blue("▶"), style.bold(step));
        if let Some(label) = label {
            head.push_str(&format!("  {}", style.bold(&printable(label))));
        }
        head.push_str(&style.dim(&format!("  {}", printable(what))));
        if node != "local" {
            head.push_str(&format!("  on {}", printable(node)));
        }
        if attempt > 1 {
            head.push_str(&style.yellow(&format!("  attempt {attempt}")));
        }
        self.line(event, &head)
    }

    fn step_finished(&mut self, event: &RunEvent) -> io::Result<()> {
        let RunEventKind::StepFinished { step, node, status, failure, outputs, duration_ms, will_retry, .. } =
            &event.kind
        else {
            return Ok(());
        };
        let style = self.options.style;
        self.told.remove(&(step.clone(), node.clone()));
        self.enter(step)?;
        for (name, value) in outputs {
            self.inside(event, step, node, &style.dim(&format!("{} = {}", printable(name), output(value))))?;
        }
        let took = style.dim(&time::duration(*duration_ms));
        let (mark, word) = match status {
            StepStatus::Succeeded => (style.green("✓"), "succeeded"),
            StepStatus::Handled => (style.green("✓"), "failed, and its error handler succeeded"),
            StepStatus::Failed => (style.red("✗"), "failed"),
            StepStatus::Halted => (style.yellow("■"), "ended the job"),
            StepStatus::DryRun => (style.yellow("○"), "stopped by the dry run"),
            StepStatus::Skipped => (style.dim("–"), "skipped"),
            StepStatus::Aborted => (style.red("✗"), "aborted"),
        };
        self.line(event, &format!("{mark} {}  {word} {took}", style.bold(step)))?;
        if let Some(failure) = failure {
            let text = format!("{}: {}", failure.reason, failure.message);
            self.line(event, &format!("    {}", style.with("31", &printable(&text))))?;
            if *will_retry {
                self.line(event, &format!("    {}", style.yellow("it is tried again")))?;
            } else if *status == StepStatus::Failed {
                if self.options.github {
                    let name = self.names.get(step).map_or(step.as_str(), String::as_str);
                    let title = github::property(&format!("step {step}: {name}"));
                    writeln!(self.out, "::error title={title}::{}", github::data(&text))?;
                }
                self.failed.push((step.clone(), failure.clone()));
            }
        }
        if !will_retry {
            self.steps += 1;
        }
        let nested = step.contains(['/', 'e']);
        if nested { Ok(()) } else { self.leave() }
    }

    fn progress(&mut self, event: &RunEvent) -> io::Result<()> {
        let RunEventKind::Progress { step, node, done, total, what } = &event.kind else { return Ok(()) };
        let key = (step.clone(), node.clone());
        if self.options.bars {
            let drawn = &self.drawn;
            let bar = self.bars.entry(key).or_insert_with(|| {
                let bar = drawn.add(ProgressBar::new(total.unwrap_or(0)));
                bar.set_style(bar_style(what, total.is_some()));
                bar.set_prefix(step.clone());
                bar
            });
            if let Some(total) = total {
                bar.set_length(*total);
            }
            bar.set_message(printable(what).into_owned());
            bar.set_position(*done);
            return Ok(());
        }
        let finished = *total == Some(*done);
        if !finished && self.told.get(&key).is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return Ok(());
        }
        self.told.insert(key, Instant::now());
        let amount = |units: u64| if what == "bytes" { time::bytes(units) } else { format!("{units} {what}") };
        let text = match total {
            Some(total) => format!("{} of {}", amount(*done), amount(*total)),
            None => amount(*done),
        };
        let text = self.options.style.dim(&printable(&text));
        self.inside(event, step, node, &text)
    }

    fn finished(&mut self, event: &RunEvent) -> io::Result<()> {
        let RunEventKind::RunFinished { status, message, exports, duration_ms } = &event.kind else { return Ok(()) };
        let style = self.options.style;
        self.leave()?;
        for (name, value) in exports {
            self.line(event, &style.dim(&format!("    export {} = {}", printable(name), printable(value))))?;
        }
        let (mark, word) = match status {
            RunStatus::Succeeded => (style.green("✓"), style.green("succeeded")),
            RunStatus::Aborted => (style.red("✗"), style.red("aborted")),
            RunStatus::TimedOut => (style.red("✗"), style.red("timed out")),
            RunStatus::Failed => (style.red("✗"), style.red("failed")),
            RunStatus::Other(word) => (style.yellow("■"), style.yellow(&printable(word))),
        };
        let steps = if self.steps == 1 { "1 step".to_owned() } else { format!("{} steps", self.steps) };
        let mut text = format!("{mark} run {} {word}", event.run);
        text.push_str(&style.dim(&format!("  {steps}, {}", time::duration(*duration_ms))));
        self.line(event, &text)?;
        if *status == RunStatus::Succeeded {
            return Ok(());
        }
        if let Some(message) = message {
            self.line(event, &format!("    {}", printable(message)))?;
            if self.options.github && self.failed.is_empty() {
                writeln!(self.out, "::error title=run {}::{}", event.run, github::data(message))?;
            }
        }
        for (step, failure) in std::mem::take(&mut self.failed) {
            let text = format!("step {step}: {}", failure.message);
            if message.as_deref().is_none_or(|message| !message.contains(&failure.message)) {
                self.line(event, &format!("    {}", printable(&text)))?;
            }
        }
        let next = format!("    outrigger log {run}, outrigger audit {run}", run = event.run);
        self.line(event, &style.dim(&next))
    }

    fn write(&mut self, event: &RunEvent) -> io::Result<()> {
        let style = self.options.style;
        match &event.kind {
            RunEventKind::RunStarted { .. } => self.started(event),
            RunEventKind::AttemptFailed { attempt, status, message, delay_ms } => {
                let why = message.as_deref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
                let text = format!(
                    "attempt {attempt} of the job {}{why}; the next one begins in {}",
                    printable(status.as_str()),
                    time::duration(*delay_ms)
                );
                self.leave()?;
                self.line(event, &style.yellow(&text))
            }
            RunEventKind::StepStarted { step, node, attempt, label, what } => {
                self.step_started(event, (step, node, *attempt), label.as_deref(), what)
            }
            RunEventKind::Log { step, node, level, text, data_type, title, highlights } => {
                let line = Line {
                    step: Some(step),
                    node,
                    level: *level,
                    text,
                    data_type: data_type.as_deref(),
                    title: title.as_deref(),
                    highlights,
                };
                self.log(event, line)
            }
            RunEventKind::Progress { .. } => self.progress(event),
            RunEventKind::Badge { step, node, text, status } => {
                let text = format!("[{}]", printable(text));
                let text = match status {
                    BadgeStatus::Ok => style.green(&text),
                    BadgeStatus::Error => style.red(&text),
                    BadgeStatus::Neutral => style.bold(&text),
                };
                self.inside(event, step, node, &text)
            }
            RunEventKind::StepFinished { .. } => self.step_finished(event),
            RunEventKind::StepSkipped { step, label, reason } => {
                let label = label.as_deref().map(|label| format!("  {}", printable(label))).unwrap_or_default();
                self.line(event, &style.dim(&format!("– {step}{label}  skipped: {}", printable(reason))))
            }
            RunEventKind::DryRun { step, node, action, input, depends_on } => {
                let text = format!("would call {}", printable(action));
                self.inside(event, step, node, &style.yellow(&text))?;
                if !input.is_empty() {
                    let input = Value::Object(Map::clone(input)).to_string();
                    self.log(
                        event,
                        Line {
                            step: Some(step),
                            node,
                            level: LogLevel::Info,
                            text: &input,
                            data_type: Some("application/json"),
                            title: None,
                            highlights: &[],
                        },
                    )?;
                }
                match depends_on {
                    Some(other) => self.inside(event, step, node, &format!("depends on step {}", printable(other))),
                    None => Ok(()),
                }
            }
            RunEventKind::Warning { step, message } => {
                let text = format!("{} {}", style.yellow("warning:"), printable(message));
                match step {
                    Some(step) => self.inside(event, step, "local", &text),
                    None => self.line(event, &text),
                }
            }
            RunEventKind::RunFinished { .. } => self.finished(event),
        }
    }
}

impl<W: Write + Send + 'static> Render for Transcript<W> {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        // A bar takes the lock that is held while bars are suspended, so it is removed before.
        match &event.kind {
            RunEventKind::Progress { .. } => return self.progress(event),
            RunEventKind::StepFinished { step, node, .. } => {
                if let Some(bar) = self.bars.remove(&(step.clone(), node.clone())) {
                    bar.finish_and_clear();
                }
            }
            RunEventKind::RunFinished { .. } => {
                for bar in self.bars.drain().map(|(_, bar)| bar) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        if self.bars.is_empty() {
            return self.write(event);
        }
        // Bars and lines share the screen.
        let drawn = self.drawn.clone();
        drawn.suspend(|| {
            self.write(event)?;
            self.out.flush()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn output(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        other => printable(&other.to_string()).into_owned(),
    }
}

fn bar_style(what: &str, known: bool) -> ProgressStyle {
    let template = match (what == "bytes", known) {
        (true, true) => "{prefix:>3} [{bar:30}] {bytes} of {total_bytes}  {bytes_per_sec}  {eta}",
        (true, false) => "{prefix:>3} {bytes}  {bytes_per_sec}",
        (false, true) => "{prefix:>3} [{bar:30}] {pos} of {len} {msg}",
        (false, false) => "{prefix:>3} {pos} {msg}",
    };
    // The templates are those above; should one not be understood, the library's own bar is shown.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use outrigger_door::RunId;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(github: bool, events: Vec<RunEventKind>) -> String {
        shown_with(Options { style: Style::new(false), times: false, bars: false, github }, events)
    }

    fn shown_with(options: Options, events: Vec<RunEventKind>) -> String {
        let out = Shared::default();
        let mut transcript = Transcript::new(out.clone(), options);
        for kind in events {
            transcript.event(&RunEvent { v: 1, run: RunId(7), at: jiff::Timestamp::UNIX_EPOCH, kind }).unwrap();
        }
        transcript.flush().unwrap();
        let bytes = out.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn events() -> Vec<RunEventKind> {
        let json = r#"[
            {"event":"run-started","job":"ops/restart","project":"web","dry_run":false,"options":{"env":"prod"}},
            {"event":"step-started","step":"1","node":"local","attempt":1,"label":"Look","what":"exec"},
            {"event":"log","step":"1","node":"local","level":"INFO","text":"all ::set-output:: ##[group]well"},
            {"event":"badge","step":"1","node":"local","text":"Ready","status":"ok"},
            {"event":"progress","step":"1","node":"local","done":1024,"total":1024,"what":"bytes"},
            {"event":"step-finished","step":"1","node":"local","attempt":1,"status":"succeeded","outputs":{"n":1},"duration_ms":12},
            {"event":"step-started","step":"2","node":"local","attempt":1,"what":"script"},
            {"event":"log","step":"2","node":"local","level":"ERROR","text":"no"},
            {"event":"step-finished","step":"2","node":"local","attempt":1,"status":"failed","duration_ms":1500,
             "failure":{"reason":"NonZeroResultCode","message":"Result code was 3","result_code":3,"retryable":false}},
            {"event":"step-skipped","step":"3","reason":"an earlier step failed"},
            {"event":"run-finished","status":"failed","message":"step 2 failed","duration_ms":1600}
        ]"#;
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_run_reads_like_a_story() {
        assert_eq!(
            shown(false, events()),
            "\
run 7: ops/restart  project web
    env = prod
▶ 1  Look  exec
  1 │ all ::set-output:: ##[group]well
  1 │ [Ready]
  1 │ 1.0 KiB of 1.0 KiB
  1 │ n = 1
✓ 1  succeeded 12 ms
▶ 2  script
  2 │ error: no
✗ 2  failed 1.5 s
    NonZeroResultCode: Result code was 3
– 3  skipped: an earlier step failed
✗ run 7 failed  2 steps, 1.6 s
    step 2 failed
    step 2: Result code was 3
    outrigger log 7, outrigger audit 7
"
        );
    }

    #[test]
    fn bars_and_lines_do_not_wait_for_each_other() {
        let options = Options { style: Style::new(false), times: false, bars: true, github: false };
        let mut events = events();
        let progress = r#"[
            {"event":"progress","step":"1","node":"local","done":1,"total":9,"what":"objects"},
            {"event":"progress","step":"2","node":"local","done":5,"what":"bytes"},
            {"event":"log","step":"2","node":"local","level":"INFO","text":"between"}
        ]"#;
        let more: Vec<RunEventKind> = serde_json::from_str(progress).unwrap();
        events.splice(3..3, more);
        let text = shown_with(options, events);
        assert!(text.contains("between\n") && !text.contains("objects"), "{text}");
        assert!(text.ends_with("outrigger log 7, outrigger audit 7\n"), "{text}");
    }

    #[test]
    fn github_gets_groups_and_errors_and_no_commands_of_steps() {
        let text = shown(true, events());
        assert_eq!(text.matches("::group::").count(), 2, "{text}");
        assert_eq!(text.matches("::endgroup::").count(), 2, "{text}");
        assert!(text.contains("::error title=step 2%3A script::NonZeroResultCode: Result code was 3\n"), "{text}");
        assert!(!text.contains("##[group]"), "{text}");
        assert!(text.lines().filter(|line| line.contains("set-output")).all(|line| !line.trim().starts_with("::")));
    }
}
