//! What a recording knows of a run besides the door's answers: the job, its options, and what native steps did.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use outrigger_door::{RecordedCall, RecordedResult, RecordedStep, Recorder, Replay, StepKey};
use outrigger_jobs::file::{JobFile, JobIndex, parse_jobs};
use outrigger_jobs::native::{NativeRecorder, NativeRecording, NativeReplay};
use outrigger_jobs::options::{OptionSource, OptionValue, ResolvedOption, ResolvedOptions};
use outrigger_redaction::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::EngineError;

/// Name of a native step's answer in a recording.
const NATIVE: &str = "native-step";

/// A job file in a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Its path, for messages.
    pub path: String,
    /// The project that it belongs to.
    pub project: Option<String>,
    /// Its text.
    pub text: String,
}

/// The value of an option in a recording; a secret's is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedOption {
    /// The value; none where it is a secret.
    pub value: Option<String>,
    /// Whether steps may read it.
    pub exposed: bool,
    /// Whether it is the path of a file.
    pub file: bool,
}

/// What a run was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedRun {
    /// The job file, and those that its references may lead to.
    pub files: Vec<RecordedFile>,
    /// Position of the job in the first file, from 0.
    pub job: usize,
    /// The project.
    pub project: String,
    /// Who ran it.
    pub username: String,
    /// Values of the options.
    pub options: BTreeMap<String, RecordedOption>,
    /// `${globals.*}`.
    pub globals: BTreeMap<String, String>,
    /// Whether it was a dry run.
    pub dry_run: bool,
}

impl RecordedRun {
    /// Reads the header of a recording.
    pub fn of(replay: &Replay, path: &Path) -> Result<Self, EngineError> {
        serde_json::from_value(replay.header().run.clone()).map_err(|error| {
            EngineError::refused(
                format!("the recording {} does not say what was run: {error}", path.display()),
                "make it anew with `outrigger run --record`",
            )
        })
    }

    /// The job files again: the one that was run, and an index of all.
    pub fn files(&self) -> Result<(Arc<JobFile>, JobIndex), EngineError> {
        let mut index = JobIndex::new();
        let mut main = None;
        for file in &self.files {
            let parsed = Arc::new(parse_jobs(&file.text, &file.path).map_err(EngineError::Problems)?);
            main.get_or_insert_with(|| parsed.clone());
            index.add(file.project.as_deref(), parsed);
        }
        let main = main.ok_or_else(|| {
            EngineError::refused("the recording holds no job file", "make it anew with `outrigger run --record`")
        })?;
        Ok((main, index))
    }

    /// What is written down of option values.
    pub fn record_options(options: &ResolvedOptions) -> BTreeMap<String, RecordedOption> {
        let record = |option: &ResolvedOption| RecordedOption {
            value: (!option.value.is_secret()).then(|| option.value.expose().to_owned()),
            exposed: option.exposed,
            file: option.file,
        };
        options.values.iter().map(|(name, option)| (name.clone(), record(option))).collect()
    }

    /// The option values again. Secrets are not in a recording; what they were is masked in it, and here.
    pub fn options(&self) -> ResolvedOptions {
        let mut values = IndexMap::new();
        for (name, option) in &self.options {
            let value = match &option.value {
                Some(text) => OptionValue::Plain(text.clone()),
                None => OptionValue::Secret(Secret::new("******".to_owned())),
            };
            let resolved =
                ResolvedOption { value, source: OptionSource::Given, exposed: option.exposed, file: option.file };
            values.insert(name.clone(), resolved);
        }
        ResolvedOptions { values }
    }
}

/// Records native steps.
pub(crate) struct RecordNative(pub(crate) Arc<Recorder>);

impl NativeRecorder for RecordNative {
    fn replay(&self, _key: &StepKey) -> NativeReplay {
        NativeReplay::Live
    }

    fn record(&self, key: &StepKey, recording: &NativeRecording) {
        let call = RecordedCall {
            step: RecordedStep::from(key),
            digest: String::new(),
            function: NATIVE.to_owned(),
            input: Value::Null,
            result: RecordedResult::Ok(serde_json::to_value(recording).unwrap_or_default()),
        };
        if let Err(error) = self.0.record(&call) {
            tracing::error!(%error, "a native step is missing in the recording");
        }
    }
}

/// Gives native steps what they did before.
pub(crate) struct ReplayNative(pub(crate) Arc<Replay>);

impl NativeRecorder for ReplayNative {
    fn replay(&self, key: &StepKey) -> NativeReplay {
        let Some(call) = self.0.named(key, NATIVE) else {
            return NativeReplay::Diverged(format!(
                "{key}: the replay diverged: the recording has no native step here"
            ));
        };
        let RecordedResult::Ok(value) = &call.result else {
            return NativeReplay::Diverged(format!("{key}: the recording of the native step is damaged"));
        };
        match serde_json::from_value(value.clone()) {
            Ok(recording) => NativeReplay::Recorded(recording),
            Err(error) => {
                NativeReplay::Diverged(format!("{key}: the recording of the native step is damaged: {error}"))
            }
        }
    }

    fn record(&self, _key: &StepKey, _recording: &NativeRecording) {}
}
