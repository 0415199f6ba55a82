//! What is wrong with a configuration file, and where.

use std::fmt;
use std::path::PathBuf;

/// One problem in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is wrong. Never holds the value of a key that may be a secret.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(formatter, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// All problems that were found at once, in the order of file and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            error.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Why the configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files say something that cannot be accepted.
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Nothing says where the user's folders are.
    #[error(
        "cannot find the user's folders: neither HOME nor {0} is set; set HOME, or say where the home is with --home"
    )]
    NoUserFolders(&'static str),
    /// `--home` or `OUTRIGGER_HOME` names something that is not a folder.
    #[error("{given_by} names {}, which is no folder; make it, or name another", path.display())]
    HomeMissing {
        /// `--home` or `OUTRIGGER_HOME`.
        given_by: &'static str,
        /// What was named.
        path: PathBuf,
    },
    /// The name of a project is not one.
    #[error(
        "`{0}` is no name of a project; use 1 to 64 letters, digits, `-`, `_` or `.`, and begin with a letter or digit"
    )]
    ProjectName(String),
    /// No such project.
    #[error("there is no project `{name}`: {} does not exist{}", folder.display(), .nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    ProjectMissing {
        /// The name.
        name: String,
        /// Where its folder would be.
        folder: PathBuf,
        /// The existing project with the nearest name.
        nearest: Option<String>,
    },
}

impl Error {
    /// Wraps an error of the operating system.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}
