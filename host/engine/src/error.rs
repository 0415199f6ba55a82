//! Why a run could not be started, or a command not be carried out.

use std::path::PathBuf;

use outrigger_jobs::file::Problem;

/// Something that the engine cannot do. What goes wrong inside a run is in the run's result.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] outrigger_config::Error),
    /// The plugins.
    #[error(transparent)]
    Runtime(#[from] outrigger_runtime::RuntimeError),
    /// The database of runs.
    #[error(transparent)]
    Journal(#[from] outrigger_journal::Error),
    /// A recording.
    #[error(transparent)]
    Recording(#[from] outrigger_door::RecordingError),
    /// Which credentials hold.
    #[error(transparent)]
    Credentials(#[from] outrigger_config::CredentialsError),
    /// The HTTP client.
    #[error(transparent)]
    Http(#[from] outrigger_credential_providers::HttpSetupError),
    /// Problems of a job file or of option values.
    #[error("{} problem(s) in the job file or its options", .0.len())]
    Problems(Vec<Problem>),
    /// A file cannot be read or written.
    #[error("failed to {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else that a person can mend.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do.
        help: Option<String>,
    },
}

impl EngineError {
    /// Something that a person can mend.
    pub fn refused(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), help: Some(help.into()) }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}
