//! Recordings: what the door answered, one ordered list per step attempt, and the way back from such a file.
//!
//! A recording is a text file of JSON lines. The first line is the header; every other line is one answer of the door.
//! Texts are redacted before they are written.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use outrigger_redaction::Redactor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::masking::mask;
use crate::{Failure, StepKey};

/// Version of the file format.
pub const RECORDING_VERSION: u32 = 1;

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// The first line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingHeader {
    /// `RECORDING_VERSION` of the writer.
    pub recording: u32,
    /// Version of Outrigger that wrote it.
    pub outrigger: String,
    /// What the run was made from: job text, options, settings. Only the job engine looks inside.
    pub run: Value,
}

/// Which step attempt an answer belongs to; the run's number is left out, since a replay has another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordedStep {
    /// Position in the workflow.
    pub path: String,
    /// Node.
    pub node: String,
    /// Attempt.
    pub attempt: u32,
}

impl From<&StepKey> for RecordedStep {
    fn from(key: &StepKey) -> Self {
        Self { path: key.path.clone(), node: key.node.clone(), attempt: key.attempt }
    }
}

/// An answer of the door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedResult {
    /// The call succeeded with this output.
    Ok(Value),
    /// The call failed.
    Failure(Failure),
}

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedCall {
    /// The step attempt.
    pub step: RecordedStep,
    /// SHA-256 of the component that called, in hexadecimal; empty for the engine's own answers.
    pub digest: String,
    /// The contract function, such as `outrigger:run/clock@0.1.0#now`.
    pub function: String,
    /// The redacted input.
    pub input: Value,
    /// The answer.
    pub result: RecordedResult,
}

/// A recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file system said no.
    #[error("failed to {action} the recording {path}: {source}")]
    Io {
        /// `create`, `write` or `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("the recording {path} is damaged at line {line}: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Another version of the program wrote it.
    #[error(
        "the recording {path} has format {found}; this program reads format {RECORDING_VERSION}: {}",
        if *found > RECORDING_VERSION { "use a newer outrigger" } else { "record the run anew" }
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Writes a recording while a run goes on.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    partial: PathBuf,
    file: Mutex<BufWriter<File>>,
    redactor: Redactor,
}

impl Recorder {
    /// Begins a recording. It lies beside `path` as `path.partial` until `finish`, so that a file of the final name is always
    /// complete.
    pub fn create(path: &Path, run: Value, redactor: Redactor) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::Io { action: "create", path: path.to_owned(), source };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&partial).map_err(io)?;
        let recorder = Self { path: path.to_owned(), partial, file: Mutex::new(BufWriter::new(file)), redactor };
        let header =
            RecordingHeader { recording: RECORDING_VERSION, outrigger: env!("CARGO_PKG_VERSION").to_owned(), run };
        recorder.write_line(&header)?;
        Ok(recorder)
    }

    fn write_line(&self, line: &impl Serialize) -> Result<(), RecordingError> {
        let io = |source| RecordingError::Io { action: "write", path: self.path.clone(), source };
        let mut value = serde_json::to_value(line).map_err(|error| io(error.into()))?;
        mask(&self.redactor, &mut value);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_writer(&mut *file, &value).map_err(|error| io(error.into()))?;
        file.write_all(b"\n").map_err(io)
    }

    /// Writes an answer.
    pub fn record(&self, call: &RecordedCall) -> Result<(), RecordingError> {
        self.write_line(call)
    }

    /// Ends the recording and gives it its name.
    pub fn finish(&self) -> Result<(), RecordingError> {
        let io = |source| RecordingError::Io { action: "write", path: self.path.clone(), source };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.flush().map_err(io)?;
        file.get_ref().sync_all().map_err(io)?;
        std::fs::rename(&self.partial, &self.path).map_err(io)
    }
}

/// A recording that a run is fed from.
#[derive(Debug)]
pub struct Replay {
    header: RecordingHeader,
    calls: HashMap<RecordedStep, Vec<RecordedCall>>,
}

impl Replay {
    /// Reads a recording whole.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file =
            File::open(path).map_err(|source| RecordingError::Io { action: "read", path: path.to_owned(), source })?;
        Self::read(BufReader::new(file), path)
    }

    /// Reads a recording from anything; `path` only names it in errors.
    pub fn read(mut reader: impl BufRead, path: &Path) -> Result<Self, RecordingError> {
        let damaged = |line, problem: String| RecordingError::Damaged { path: path.to_owned(), line, problem };
        let mut header: Option<RecordingHeader> = None;
        let mut calls: HashMap<RecordedStep, Vec<RecordedCall>> = HashMap::new();
        let mut number = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .map_err(|source| RecordingError::Io { action: "read", path: path.to_owned(), source })?;
            if read == 0 {
                break;
            }
            number += 1;
            if read as u64 == MAX_LINE {
                return Err(damaged(number, format!("the line is longer than {MAX_LINE} bytes")));
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if header.is_none() {
                let value: Value = serde_json::from_slice(&line).map_err(|error| damaged(number, error.to_string()))?;
                let Some(version) = value.get("recording").and_then(Value::as_u64) else {
                    return Err(damaged(number, "this is no recording: the first line has no `recording`".to_owned()));
                };
                if version != u64::from(RECORDING_VERSION) {
                    return Err(RecordingError::Version {
                        path: path.to_owned(),
                        found: u32::try_from(version).unwrap_or(u32::MAX),
                    });
                }
                header = Some(serde_json::from_value(value).map_err(|error| damaged(number, error.to_string()))?);
            } else {
                let call: RecordedCall =
                    serde_json::from_slice(&line).map_err(|error| damaged(number, error.to_string()))?;
                calls.entry(call.step.clone()).or_default().push(call);
            }
        }
        let header = header.ok_or_else(|| damaged(number, "the file is empty".to_owned()))?;
        Ok(Self { header, calls })
    }

    /// The header.
    pub fn header(&self) -> &RecordingHeader {
        &self.header
    }

    /// The `position`-th answer, from 0, that a step attempt got.
    pub fn call(&self, step: &StepKey, position: usize) -> Option<&RecordedCall> {
        self.calls.get(&RecordedStep::from(step)).and_then(|calls| calls.get(position))
    }

    /// The first answer of a function that a step attempt got; for the engine's own answers, which are not in order.
    pub fn named(&self, step: &StepKey, function: &str) -> Option<&RecordedCall> {
        self.calls.get(&RecordedStep::from(step))?.iter().find(|call| call.function == function)
    }

    /// How many answers a step attempt got.
    pub fn len(&self, step: &StepKey) -> usize {
        self.calls.get(&RecordedStep::from(step)).map_or(0, Vec::len)
    }

    /// Whether the recording has no answer at all.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}
