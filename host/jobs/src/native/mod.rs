//! Steps outside the sandbox: commands and scripts of the job, run on this machine.
//!
//! They are off unless the settings allow them. They get a clean environment, a process group of their own that ends
//! with them when they are cancelled, and, where one is set, another user. A dry run never runs them.

mod lines;
mod process;
mod script;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use outrigger_door::StepKey;
use outrigger_redaction::Redactor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::filters::{LineBreaks, neutralise};
use crate::steps::{LogLevel, LogLine, StepFailure, StepOutcome, StepSink};
use crate::workflow::Durable;

/// What an interpreter line calls the file of the script.
pub const SCRIPT_FILE: &str = "${scriptfile}";

/// Whether and how native steps run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePolicy {
    /// Whether they run at all.
    pub enabled: bool,
    /// The user that they run as, by number; the own one where it is absent. Another one needs root.
    pub user: Option<u32>,
    /// The group that they run as, by number; the user's own where it is absent and a user is set.
    pub group: Option<u32>,
    /// The environment, besides `RD_*`. Nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// Interpreters that scripts may name, in the step or in their first line; any where it is absent.
    pub interpreters: Option<Vec<String>>,
    /// The shell of `exec` steps.
    pub shell: PathBuf,
    /// Where they start; where this process stands if it is absent.
    pub directory: Option<PathBuf>,
    /// How long a step may go on after it was told to end, before it is killed.
    pub grace: Duration,
    /// Longest line of output, in bytes; longer ones are cut into several.
    pub max_line: usize,
}

impl Default for NativePolicy {
    /// Off; with the shell `/bin/sh`, 10 seconds of grace and an environment of `PATH`, `HOME` and `LANG`.
    fn default() -> Self {
        let environment = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/"),
            ("LANG", "C.UTF-8"),
        ];
        Self {
            enabled: false,
            user: None,
            group: None,
            environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            interpreters: None,
            shell: PathBuf::from("/bin/sh"),
            directory: None,
            grace: Duration::from_secs(10),
            max_line: 64 * 1024,
        }
    }
}

/// What a native step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeCommand {
    /// A command line for the shell.
    Shell(String),
    /// A script.
    Script {
        /// Its text.
        text: String,
        /// Its arguments.
        args: Vec<String>,
        /// The command that runs it. Empty: the script itself, if it begins with `#!`, or the shell.
        interpreter: Vec<String>,
        /// File and arguments are one argument of the interpreter.
        quoted: bool,
        /// Extension of its file, without a dot.
        extension: Option<String>,
    },
}

impl NativeCommand {
    /// The command as a dry run lists it.
    pub fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        match self {
            Self::Shell(command) => {
                shown.insert("command".to_owned(), Value::from(command.as_str()));
            }
            Self::Script { text, args, interpreter, .. } => {
                shown.insert("script".to_owned(), Value::from(text.as_str()));
                if !args.is_empty() {
                    shown.insert("args".to_owned(), Value::from(args.clone()));
                }
                if !interpreter.is_empty() {
                    shown.insert("interpreter".to_owned(), Value::from(interpreter.join(" ")));
                }
            }
        }
        shown
    }
}

impl NativeCommand {
    /// The interpreter that a script names: the step's, or the one of its first line. None for the shell's.
    fn interpreter(&self) -> Option<&str> {
        match self {
            Self::Shell(_) => None,
            Self::Script { interpreter, .. } if !interpreter.is_empty() => interpreter.first().map(String::as_str),
            Self::Script { text, .. } => text.lines().next()?.strip_prefix("#!")?.split_whitespace().next(),
        }
    }
}

/// One attempt of a native step. The environment may hold secrets, so this is not shown.
pub struct NativeCall {
    /// Which attempt.
    pub key: StepKey,
    /// What to run.
    pub command: NativeCommand,
    /// `RD_*` variables.
    pub environment: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Cancelled when the run is.
    pub cancel: CancellationToken,
}

/// How a native step ended.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeEnd {
    /// Its outcome.
    pub outcome: StepOutcome,
    /// Its exit code; 128 and the signal's number if a signal ended it. Absent if it never started.
    pub exit_code: Option<i32>,
}

/// A line that a native step wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeLine {
    /// Whether it went to the standard error.
    pub error: bool,
    /// The line, redacted.
    pub text: String,
}

/// What is recorded of a native step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeRecording {
    /// SHA-256 of the command as a dry run lists it, redacted, in hexadecimal.
    pub command_digest: String,
    /// What it wrote, up to [`MAX_RECORDED`] bytes.
    pub lines: Vec<NativeLine>,
    /// Whether lines are missing at the end.
    pub cut: bool,
    /// Its exit code.
    pub exit_code: Option<i32>,
}

/// Bytes of output that a recording keeps.
pub const MAX_RECORDED: usize = 16 * 1024 * 1024;

/// What a recorder wants for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeReplay {
    /// It runs, and is recorded.
    Live,
    /// It does not run; this is what it did.
    Recorded(NativeRecording),
    /// The recording does not know this step.
    Diverged(String),
}

/// Records native steps, or replays them.
pub trait NativeRecorder: Send + Sync + 'static {
    /// Asked before a step runs.
    fn replay(&self, key: &StepKey) -> NativeReplay;

    /// Told after a step ran to its own end.
    fn record(&self, key: &StepKey, recording: &NativeRecording);
}

/// The failure of a step that took too long.
pub fn timed_out(timeout: Duration) -> StepFailure {
    StepFailure {
        reason: "Timeout".to_owned(),
        message: format!("the step did not end within its timeout of {timeout:?}"),
        result_code: None,
        retryable: true,
    }
}

fn failed(reason: &str, message: String) -> NativeEnd {
    let failure = StepFailure { reason: reason.to_owned(), message, result_code: None, retryable: false };
    NativeEnd { outcome: StepOutcome::Failed(failure), exit_code: None }
}

/// Runs a native step, or replays it. Standard output becomes lines of level INFO, the standard error of level ERROR.
pub async fn run(
    policy: &NativePolicy,
    recorder: Option<&dyn NativeRecorder>,
    durable: &dyn Durable,
    redactor: &Redactor,
    call: NativeCall,
    sink: &dyn StepSink,
) -> NativeEnd {
    let digest = digest(redactor, &call.command);
    match recorder.map(|recorder| recorder.replay(&call.key)) {
        Some(NativeReplay::Recorded(recording)) => return replay(&call.key, &digest, recording, sink),
        Some(NativeReplay::Diverged(why)) => {
            return NativeEnd { outcome: StepOutcome::Fatal(why), exit_code: None };
        }
        Some(NativeReplay::Live) | None => {}
    }
    if !policy.enabled {
        return failed(
            "Unauthorized",
            "native steps (`exec`, `script`) are not allowed here; they run outside the sandbox, so the project must \
             allow them"
                .to_owned(),
        );
    }
    if let (Some(allowed), Some(interpreter)) = (&policy.interpreters, call.command.interpreter())
        && !allowed.iter().any(|name| name == interpreter)
    {
        return failed(
            "Unauthorized",
            format!(
                "the script names the interpreter `{interpreter}`, and [native-steps] interpreters lists {}",
                if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") }
            ),
        );
    }
    let mut recording = NativeRecording { command_digest: digest, ..NativeRecording::default() };
    let mut recorded = 0;
    let mut line = |error: bool, text: &str| {
        sink.log(log_line(error, text.to_owned()));
        if recorder.is_some() && !recording.cut {
            let text = redactor.redact(text).into_owned();
            recorded += text.len() + 1;
            recording.cut = recorded > MAX_RECORDED;
            if !recording.cut {
                recording.lines.push(NativeLine { error, text });
            }
        }
    };
    let key = call.key.clone();
    let end = process::run(policy, durable, call, &mut line).await;
    if let Some(recorder) = recorder
        && end.exit_code.is_some()
        && !matches!(end.outcome, StepOutcome::Cancelled)
    {
        recording.exit_code = end.exit_code;
        recorder.record(&key, &recording);
    }
    end
}

fn log_line(error: bool, text: String) -> LogLine {
    LogLine { level: if error { LogLevel::Error } else { LogLevel::Info }, text, data_type: None }
}

fn replay(key: &StepKey, digest: &str, recording: NativeRecording, sink: &dyn StepSink) -> NativeEnd {
    if recording.command_digest != digest {
        let why = format!("{key}: the recording is of another command; record the run again");
        return NativeEnd { outcome: StepOutcome::Fatal(why), exit_code: None };
    }
    for line in recording.lines {
        sink.log(log_line(line.error, line.text));
    }
    NativeEnd { outcome: outcome_of(recording.exit_code.unwrap_or_default()), exit_code: recording.exit_code }
}

/// The outcome that an exit code means.
fn outcome_of(code: i32) -> StepOutcome {
    if code == 0 {
        return StepOutcome::Succeeded;
    }
    StepOutcome::Failed(StepFailure {
        reason: "NonZeroResultCode".to_owned(),
        message: format!("Result code was {code}"),
        result_code: Some(i64::from(code)),
        retryable: false,
    })
}

fn digest(redactor: &Redactor, command: &NativeCommand) -> String {
    use sha2::{Digest, Sha256};
    let mut shown = Value::Object(command.shown());
    redactor.redact_json(&mut shown);
    hex::encode(Sha256::digest(neutralise(&shown.to_string(), LineBreaks::Keep).as_bytes()))
}
