//! What goes wrong, as a person reads it: one place for the form of all messages.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use outrigger_config::{ConfigErrors, KeyError};
use outrigger_engine::EngineError;
use outrigger_jobs::file::{Problem, Severity};
use outrigger_runtime::RuntimeError;

use crate::output::github;
use crate::output::style::{Style, printable};

/// Succeeded.
pub(crate) const SUCCEEDED: u8 = 0;
/// A run failed, or the machine said no.
pub(crate) const FAILED: u8 = 1;
/// The command line, a file or the configuration is wrong.
pub(crate) const BAD_INPUT: u8 = 2;
/// Cancelled by a person: 128 and the number of SIGINT, as shells have it.
pub(crate) const ABORTED: u8 = 130;

/// How a command ended.
pub(crate) type Outcome = Result<ExitCode, Trouble>;

/// One message: what, where, what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    severity: Severity,
    text: String,
    place: Option<Place>,
    help: Option<String>,
}

/// A place in a file; a line or column of 0 is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    file: String,
    line: u32,
    column: u32,
}

impl Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => formatter.write_str(&self.file),
            (line, 0) => write!(formatter, "{}:{line}", self.file),
            (line, column) => write!(formatter, "{}:{line}:{column}", self.file),
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct Trouble {
    messages: Vec<Message>,
    code: u8,
}

impl Trouble {
    /// Something that the person who typed the command can mend.
    pub(crate) fn input(text: impl Into<String>, help: impl Into<String>) -> Self {
        Self::one(text.into(), Some(help.into()), BAD_INPUT)
    }

    /// Something that failed on the way.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::one(text.into(), None, FAILED)
    }

    /// What was said already.
    pub(crate) fn told(code: u8) -> Self {
        Self { messages: Vec::new(), code }
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(action: &str, path: impl AsRef<Path>, error: &io::Error) -> Self {
        let text = format!("failed to {action} {}: {error}", path.as_ref().display());
        let code = if error.kind() == io::ErrorKind::NotFound { BAD_INPUT } else { FAILED };
        Self::one(text, None, code)
    }

    /// Problems of a job file or of option values.
    pub(crate) fn problems(problems: &[Problem]) -> Self {
        let messages = problems
            .iter()
            .map(|problem| Message {
                severity: problem.severity,
                text: problem.message.clone(),
                place: (!problem.file.is_empty()).then(|| Place {
                    file: problem.file.clone(),
                    line: problem.line,
                    column: problem.column,
                }),
                help: problem.help.clone(),
            })
            .collect();
        Self { messages, code: BAD_INPUT }
    }

    fn one(text: String, help: Option<String>, code: u8) -> Self {
        Self { messages: vec![Message { severity: Severity::Error, text, place: None, help }], code }
    }

    fn of(error: impl Display, code: u8) -> Self {
        Self::one(error.to_string(), None, code)
    }

    /// Writes the messages to standard error; what the process ends with.
    pub(crate) fn report(self, style: Style) -> ExitCode {
        for message in &self.messages {
            eprint!("{}", message.render(style));
        }
        if github::is_here() {
            eprint!("{}", self.annotations());
        }
        ExitCode::from(self.code)
    }

    /// The messages as GitHub Actions shows them beside the files.
    pub(crate) fn annotations(&self) -> String {
        self.messages.iter().map(Message::annotation).collect()
    }
}

impl Message {
    fn annotation(&self) -> String {
        let command = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let place = self.place.as_ref().map_or(String::new(), |place| {
            let line = if place.line > 0 { format!(",line={}", place.line) } else { String::new() };
            let column = if place.column > 0 { format!(",col={}", place.column) } else { String::new() };
            format!(" file={}{line}{column}", github::property(&place.file))
        });
        let text = match &self.help {
            Some(help) => format!("{}\n{help}", self.text),
            None => self.text.clone(),
        };
        format!("::{command}{place}::{}\n", github::data(&text))
    }

    /// The message as lines.
    fn render(&self, style: Style) -> String {
        let word = match self.severity {
            Severity::Error => style.red("error:"),
            Severity::Warning => style.yellow("warning:"),
            Severity::Note => style.cyan("note:"),
        };
        let mut out = String::new();
        let mut lines = self.text.lines();
        out.push_str(&format!("{word} {}\n", style.bold(&printable(lines.next().unwrap_or_default()))));
        for line in lines {
            out.push_str(&format!("  {}\n", printable(line)));
        }
        if let Some(place) = &self.place {
            out.push_str(&format!("  {} {}\n", style.blue("-->"), printable(&place.to_string())));
        }
        for (number, line) in self.help.iter().flat_map(|help| help.lines()).enumerate() {
            let word = if number == 0 { style.cyan("help:") } else { "     ".to_owned() };
            out.push_str(&format!("  {word} {}\n", printable(line)));
        }
        out
    }
}

/// Standard output is gone. A reader that has seen enough is no failure.
impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::told(SUCCEEDED),
            _ => Self::failed(format!("failed to write the output: {error}")),
        }
    }
}

impl From<outrigger_config::Error> for Trouble {
    fn from(error: outrigger_config::Error) -> Self {
        match error {
            outrigger_config::Error::Invalid(ConfigErrors(errors)) => {
                let messages = errors
                    .into_iter()
                    .map(|error| Message {
                        severity: Severity::Error,
                        text: error.message,
                        place: Some(Place {
                            file: error.file.display().to_string(),
                            line: error.line,
                            column: error.column,
                        }),
                        help: error.help,
                    })
                    .collect();
                Self { messages, code: BAD_INPUT }
            }
            other => Self::of(other, BAD_INPUT),
        }
    }
}

impl From<outrigger_config::CredentialsError> for Trouble {
    fn from(error: outrigger_config::CredentialsError) -> Self {
        Self::of(error, BAD_INPUT)
    }
}

impl From<KeyError> for Trouble {
    fn from(error: KeyError) -> Self {
        let code = match &error {
            KeyError::Database { .. } | KeyError::Io { .. } | KeyError::Random(_) => FAILED,
            _ => BAD_INPUT,
        };
        Self::of(error, code)
    }
}

impl From<outrigger_journal::Error> for Trouble {
    fn from(error: outrigger_journal::Error) -> Self {
        Self::of(error, FAILED)
    }
}

impl From<outrigger_door::RecordingError> for Trouble {
    fn from(error: outrigger_door::RecordingError) -> Self {
        Self::of(error, BAD_INPUT)
    }
}

impl From<outrigger_door::Failure> for Trouble {
    fn from(failure: outrigger_door::Failure) -> Self {
        Self::of(failure, BAD_INPUT)
    }
}

impl From<RuntimeError> for Trouble {
    fn from(error: RuntimeError) -> Self {
        let code = match &error {
            RuntimeError::Engine(_) | RuntimeError::Io { .. } => FAILED,
            _ => BAD_INPUT,
        };
        Self::of(error, code)
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Config(error) => error.into(),
            EngineError::Runtime(error) => error.into(),
            EngineError::Journal(error) => error.into(),
            EngineError::Recording(error) => error.into(),
            EngineError::Credentials(error) => error.into(),
            EngineError::Problems(problems) => Self::problems(&problems),
            EngineError::Io { action, path, source } => Self::file(action, path, &source),
            EngineError::Refused { message, help } => Self::one(message, help, BAD_INPUT),
            EngineError::Http(error) => Self::of(error, BAD_INPUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_where_and_what_next() {
        let problem = Problem::error(
            "a.yaml",
            outrigger_jobs::file::Position { line: 3, column: 7 },
            "missing-plugin",
            "there is no plugin `x\u{1b}[31m`",
        )
        .with_help("did you mean `y`?");
        let trouble = Trouble::problems(&[problem]);
        let text: String = trouble.messages.iter().map(|message| message.render(Style::new(false))).collect();
        assert_eq!(text, "error: there is no plugin `x\\x1b[31m`\n  --> a.yaml:3:7\n  help: did you mean `y`?\n");
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let trouble = Trouble::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((trouble.code, trouble.messages.len()), (SUCCEEDED, 0));
    }
}
