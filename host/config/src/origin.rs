//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// A level of configuration, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A step of a job file.
    Step,
    /// An attribute of a node.
    Node,
    /// `projects/NAME/project.toml`.
    Project,
    /// `outrigger.toml`.
    System,
    /// The environment of the process, and what it points to.
    Environment,
    /// Built in.
    Default,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Step => "step",
            Self::Node => "node",
            Self::Project => "project",
            Self::System => "system",
            Self::Environment => "environment",
            Self::Default => "default",
        })
    }
}

/// What gave a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Origin {
    /// The level.
    pub level: Level,
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// Line in the file, counted from 1.
    pub line: Option<u32>,
    /// The environment variable, where it was one.
    pub variable: Option<String>,
}

impl Origin {
    /// Built in.
    #[must_use]
    pub fn default_value() -> Self {
        Self { level: Level::Default, file: None, line: None, variable: None }
    }

    /// A line of a file.
    #[must_use]
    pub fn file(level: Level, file: impl Into<PathBuf>, line: u32) -> Self {
        Self { level, file: Some(file.into()), line: Some(line), variable: None }
    }

    /// A level without a file of its own, such as a node's attributes.
    #[must_use]
    pub fn level(level: Level) -> Self {
        Self { level, file: None, line: None, variable: None }
    }

    /// An environment variable.
    #[must_use]
    pub fn variable(name: impl Into<String>) -> Self {
        Self { level: Level::Environment, file: None, line: None, variable: Some(name.into()) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line, &self.variable) {
            (Some(file), Some(line), _) => write!(formatter, "{}:{line}", file.display()),
            (Some(file), None, _) => write!(formatter, "{}", file.display()),
            (None, _, Some(variable)) => write!(formatter, "environment variable {variable}"),
            (None, _, None) => self.level.fmt(formatter),
        }
    }
}

/// A value with what gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Value<T> {
    /// The value.
    pub value: T,
    /// What gave it.
    pub origin: Origin,
}

impl<T> Value<T> {
    /// A built-in value.
    pub fn built_in(value: T) -> Self {
        Self { value, origin: Origin::default_value() }
    }
}
