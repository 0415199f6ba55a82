//! A finding about a job file, with the place it is about.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Position;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The job cannot run.
    Error,
    /// The job can run; something in it may not do what its author meant.
    Warning,
    /// Worth knowing, nothing to do.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A finding: what is wrong, where, and what to do about it. Holds no secret value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file as it was named; empty where the problem is about no file, such as a value given on the command line.
    pub file: String,
    /// Line, from 1; 0 where the problem is about no line.
    pub line: u32,
    /// Column in characters, from 1; 0 where the problem is about no line.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of this class of problem, such as `missing-plugin`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
}

impl Problem {
    /// An error at `position`.
    pub fn error(file: &str, position: Position, code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, file, position, code, message)
    }

    /// A warning at `position`.
    pub fn warning(file: &str, position: Position, code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, file, position, code, message)
    }

    /// A note at `position`.
    pub fn note(file: &str, position: Position, code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, file, position, code, message)
    }

    /// A finding of any severity.
    pub fn new(severity: Severity, file: &str, position: Position, code: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: position.line,
            column: position.column,
            severity,
            code: code.to_owned(),
            message: message.into(),
            help: None,
        }
    }

    /// The same finding with a sentence on what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        Position { line: self.line, column: self.column }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: message`, without the parts that are not known.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(formatter, "{}:", self.file)?;
        }
        if self.line > 0 {
            write!(formatter, "{}:", self.position())?;
        }
        if !self.file.is_empty() || self.line > 0 {
            formatter.write_str(" ")?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
