use std::path::PathBuf;

/// Everything that can go wrong while the endpoints are installed, started or set up.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No usable Python interpreter on the `PATH`.
    #[error("no python3 on the PATH ({detail}): the AWS endpoints are Python programs; install Python 3.10 or newer")]
    NoPython {
        /// What the attempt to run it said.
        detail: String,
    },
    /// The interpreter is older than the packages support.
    #[error("python3 is {found}, but the AWS endpoints need 3.10 or newer: install one and put it first on the PATH")]
    OldPython {
        /// The version found.
        found: String,
    },
    /// The interpreter has no `venv` or `ensurepip` module (Debian and Ubuntu ship them apart).
    #[error(
        "python3 cannot make a virtual environment: {detail}; install its venv module \
         (Debian and Ubuntu: the package python3-venv)"
    )]
    NoVenv {
        /// The last lines that Python printed.
        detail: String,
    },
    /// pip could not reach its package index.
    #[error(
        "the Python packages for the AWS endpoints could not be fetched: {detail}; \
         this first step needs the network (or PIP_FIND_LINKS with a folder of wheels), later ones do not; \
         the whole output is in {log}"
    )]
    NoNetwork {
        /// The last lines that pip printed.
        detail: String,
        /// Where the whole output is.
        log: PathBuf,
    },
    /// What pip received is not what the committed hashes say.
    #[error(
        "a fetched Python package is not the pinned one: {detail}; nothing was installed; the whole output is in {log}"
    )]
    WrongHash {
        /// The last lines that pip printed.
        detail: String,
        /// Where the whole output is.
        log: PathBuf,
    },
    /// pip failed for another reason.
    #[error("pip could not install the AWS endpoints: {detail}; the whole output is in {log}")]
    Install {
        /// The last lines that pip printed.
        detail: String,
        /// Where the whole output is.
        log: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A server process ended or did not become ready.
    #[error("{name} did not become ready: {reason}; its last output: {tail}")]
    NotReady {
        /// Which server.
        name: String,
        /// Ended, or out of time.
        reason: String,
        /// The last lines of its log.
        tail: String,
    },
    /// No socket could be opened on 127.0.0.1.
    #[error("cannot open a port on 127.0.0.1: {0}")]
    Port(std::io::Error),
    /// A request could not be sent or its answer not be read.
    #[error("{what}: {detail}")]
    Transport {
        /// Which request.
        what: String,
        /// Why.
        detail: String,
    },
    /// The endpoint answered with an error.
    #[error("{service} {action} answered {status} {code}: {message}")]
    Api {
        /// The service's signing name.
        service: String,
        /// The API operation.
        action: String,
        /// The HTTP status.
        status: u16,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// The endpoint answered success with a body that lacks what it must have.
    #[error("{action} answered without {missing}: {body}")]
    Answer {
        /// The API operation.
        action: String,
        /// The element or field that is absent.
        missing: String,
        /// The start of the body.
        body: String,
    },
    /// A file of recorded exchanges does not have its form.
    #[error("{path} is no file of recorded exchanges: {detail}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and where.
        detail: String,
    },
    /// A test and its recorded exchanges do not fit.
    #[error("recorded exchanges: asked and not recorded: {failures:?}; recorded and not asked: {unused:?}")]
    Exchanges {
        /// What was asked and matched nothing.
        failures: Vec<String>,
        /// What nobody asked for.
        unused: Vec<String>,
    },
    /// A wait within the harness ran out of time.
    #[error("{what} did not happen within {seconds} seconds")]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
    },
}

impl EndpointError {
    /// AWS's error code when the endpoint answered with an error.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The HTTP status when the endpoint answered with an error.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn transport(what: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Transport { what: what.into(), detail: detail.to_string() }
    }
}

/// The crate's result.
pub type Result<T, E = EndpointError> = std::result::Result<T, E>;
