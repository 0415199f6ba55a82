//! `${...}` in texts: whether what they name is there, and whether a secret may go where they stand.

use std::collections::BTreeSet;

use crate::context::{Reference, references, script_references, variable_name};
use crate::file::{Job, JobOption, Position, Problem, Severity};
use crate::filters::captured_names;
use crate::suggest::{fold, nearest};

use super::CheckOptions;

/// Keys of `${job.*}`.
/// Source: <https://docs.rundeck.com/docs/manual/job-workflows.html#job-context-variables>.
const JOB_KEYS: &[&str] = &[
    "execid",
    "executionType",
    "filter",
    "group",
    "id",
    "loglevel",
    "name",
    "project",
    "retryAttempt",
    "retryInitialExecId",
    "retryPrevExecId",
    "serverUUID",
    "serverUrl",
    "successOnEmptyNodeFilter",
    "threadcount",
    "url",
    "user.email",
    "user.name",
    "username",
    "uuid",
    "wasRetry",
];

/// Keys of `${result.*}`.
const RESULT_KEYS: &[&str] = &["failedNodes", "message", "reason", "resultCode"];

/// Most lines that are searched for the places of a job's references; beyond it, the place of the whole text is told.
const MAX_LINES: usize = 2_000_000;

/// Where a text is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A text that may end in logs or in a sandbox as it is: no secrets.
    Text,
    /// A property that takes secrets.
    Secret,
    /// An option of another job; that job's option decides.
    Argument {
        /// Whether the option given is secure.
        secure: bool,
    },
    /// A shell command line.
    Command,
    /// A script.
    Script,
}

/// The part of a job and its file that references are checked against.
pub(super) struct ReferenceCheck<'a> {
    pub(super) file: &'a str,
    pub(super) job: &'a Job,
    pub(super) options: &'a CheckOptions,
    /// The file's text, to find the line of a reference within a text of many lines.
    pub(super) lines: &'a [&'a str],
    /// Names that the job's log filters capture.
    captured: Vec<String>,
    seen: BTreeSet<(Position, String)>,
    searched: usize,
}

impl<'a> ReferenceCheck<'a> {
    pub(super) fn new(file: &'a str, job: &'a Job, options: &'a CheckOptions, lines: &'a [&'a str]) -> Self {
        let steps = job.sequence.steps.iter().flat_map(|step| {
            let handler = step.error_handler.as_ref().map(|handler| &handler.step);
            std::iter::once(step).chain(handler).flat_map(|step| &step.log_filters)
        });
        let captured =
            job.sequence.log_filters.iter().chain(steps).flat_map(|filter| captured_names(filter).0).collect();
        Self { file, job, options, lines, captured, seen: BTreeSet::new(), searched: 0 }
    }

    /// Checks the references of a text that begins at `position`.
    pub(super) fn check(
        &mut self,
        text: &str,
        position: Position,
        used: Use,
        in_handler: bool,
        problems: &mut Vec<Problem>,
    ) {
        if used == Use::Script {
            self.check_script(text, position, in_handler, problems);
            return;
        }
        let mut cursor = Cursor::new(text, position);
        for (reference, _) in references(text) {
            self.check_one(&reference, &reference.to_string(), &mut cursor, used, in_handler, problems);
        }
    }

    fn check_script(&mut self, text: &str, position: Position, in_handler: bool, problems: &mut Vec<Problem>) {
        let mut cursor = Cursor::new(text, position);
        for (reference, at) in script_references(text) {
            let rest = text.get(at..).unwrap_or_default();
            let end =
                rest.char_indices().filter(|(_, letter)| *letter == '@').nth(1).map_or(rest.len(), |(end, _)| end + 1);
            let written = rest.get(..end).unwrap_or(rest);
            self.check_one(&reference, written, &mut cursor, Use::Script, in_handler, problems);
        }
        let mut cursor = Cursor::new(text, position);
        for (reference, _) in references(text) {
            if !matches!(reference.group.as_str(), "option" | "data" | "job" | "node" | "globals") {
                continue;
            }
            let written = reference.to_string();
            if !self.seen.insert((position, written.clone())) {
                continue;
            }
            let at = self.locate(&written, &mut cursor);
            let variable = variable_name(&reference.group, &reference.key);
            problems.push(
                Problem::warning(self.file, at, "script-reference", format!("`{written}` is not replaced in a script"))
                    .with_help(format!("write `@{}.{}@` or `${variable}`", reference.group, reference.key)),
            );
        }
        self.check_environment(text, position, problems);
    }

    /// `$RD_OPTION_X` of an option that is not there.
    fn check_environment(&mut self, text: &str, position: Position, problems: &mut Vec<Problem>) {
        const PREFIX: &str = "RD_OPTION_";
        let known: Vec<String> =
            self.job.options.iter().map(|option| variable_name("option", &option.name.value)).collect();
        let mut cursor = Cursor::new(text, position);
        for (start, _) in text.match_indices(PREFIX) {
            let rest = text.get(start..).unwrap_or_default();
            let end =
                rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or(rest);
            if name == PREFIX || known.iter().any(|known| known == name) {
                continue;
            }
            if !self.seen.insert((position, name.to_owned())) {
                continue;
            }
            let at = self.locate(name, &mut cursor);
            let message = format!("`${name}` is the variable of no option of this job");
            let help = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `${near}`?"),
                None => "it will be empty".to_owned(),
            };
            problems.push(Problem::new(self.undefined(), self.file, at, "undefined-option", message).with_help(help));
        }
    }

    fn undefined(&self) -> Severity {
        if self.options.strict { Severity::Error } else { Severity::Warning }
    }

    fn check_one(
        &mut self,
        reference: &Reference,
        written: &str,
        cursor: &mut Cursor,
        used: Use,
        in_handler: bool,
        problems: &mut Vec<Problem>,
    ) {
        if !self.seen.insert((cursor.position, written.to_owned())) {
            return;
        }
        let at = self.locate(written, cursor);
        let key = reference.key.as_str();
        match reference.group.as_str() {
            "option" => match self.job.option(key) {
                Some(option) => self.check_secret(option, written, at, used, problems),
                None => problems.push(self.undefined_option(key, written, at)),
            },
            "job" if !JOB_KEYS.contains(&key) => {
                problems.push(self.unknown_key(written, at, "a job", nearest(key, JOB_KEYS.iter().copied()), "job"));
            }
            "result" if !in_handler => problems.push(
                Problem::warning(
                    self.file,
                    at,
                    "result-outside-handler",
                    format!("`{written}` has a value in error handlers alone"),
                )
                .with_help("it will be empty here"),
            ),
            "result" if !RESULT_KEYS.contains(&key) => {
                problems.push(self.unknown_key(
                    written,
                    at,
                    "a result",
                    nearest(key, RESULT_KEYS.iter().copied()),
                    "result",
                ));
            }
            "globals" => {
                if let Some(globals) = &self.options.globals
                    && !globals.iter().any(|name| name == key)
                {
                    let near = nearest(key, globals.iter().map(String::as_str));
                    problems.push(self.unknown_key(written, at, "the configured globals", near, "globals"));
                }
            }
            "file" => {
                let name = key.split('.').next().unwrap_or(key);
                match self.job.option(key).or_else(|| self.job.option(name)) {
                    Some(option) if !option.file => problems.push(Problem::warning(
                        self.file,
                        at,
                        "undefined-option",
                        format!("`{written}` needs an option of type `file`, and `{name}` is none"),
                    )),
                    Some(_) => {}
                    None => problems.push(self.undefined_option(name, written, at)),
                }
            }
            // Outputs are known when the job runs, but one that differs from a captured name by a dash is a slip.
            "data" if !self.captured.iter().any(|name| name == key) => {
                let folded = fold(key);
                if let Some(name) = self.captured.iter().find(|name| fold(name) == folded) {
                    let message = format!("`{written}` is captured by no log filter of this job");
                    problems.push(
                        Problem::warning(self.file, at, "undefined-value", message)
                            .with_help(format!("did you mean `{name}`?")),
                    );
                }
            }
            // Outputs of steps, attributes of nodes and exit codes are known when the job runs.
            _ => {}
        }
    }

    fn undefined_option(&self, key: &str, written: &str, at: Position) -> Problem {
        let names = || self.job.options.iter().map(|option| option.name.value.as_str());
        let help = match nearest(key, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.job.options.is_empty() => "the job has no options; this will be empty".to_owned(),
            None => format!("the job's options are {}", names().collect::<Vec<_>>().join(", ")),
        };
        let message = format!("`{written}` refers to an option that this job does not have");
        Problem::new(self.undefined(), self.file, at, "undefined-option", message).with_help(help)
    }

    fn unknown_key(&self, written: &str, at: Position, whose: &str, near: Option<&str>, group: &str) -> Problem {
        let help = match near {
            Some(near) => format!("did you mean `${{{group}.{near}}}`?"),
            None => "it will be empty".to_owned(),
        };
        Problem::warning(self.file, at, "undefined-value", format!("`{written}` is no value of {whose}"))
            .with_help(help)
    }

    fn check_secret(&self, option: &JobOption, written: &str, at: Position, used: Use, problems: &mut Vec<Problem>) {
        if !option.secure {
            return;
        }
        let name = &option.name.value;
        if !option.value_exposed {
            problems.push(
                Problem::warning(
                    self.file,
                    at,
                    "secret-not-exposed",
                    format!("`{written}` will be empty: the option `{name}` is for authentication to nodes alone"),
                )
                .with_help(format!("set `valueExposed: true` on the option `{name}` if steps are to read it")),
            );
            return;
        }
        let variable = variable_name("option", name);
        let (place, help) = match used {
            Use::Secret | Use::Argument { secure: true } => return,
            Use::Argument { secure: false } => (
                "an option of the other job that is not secure",
                "set `secure: true` and `valueExposed: true` on that option".to_owned(),
            ),
            Use::Command => (
                "a command line",
                format!("read `\"${variable}\"` in the command, which has the value in its environment"),
            ),
            Use::Script => (
                "a script's text",
                format!("read `\"${variable}\"` in the script, which has the value in its environment"),
            ),
            Use::Text => (
                "a value that is not kept secret",
                "a secret may stand in a property that takes secrets, or in the environment of a command or script"
                    .to_owned(),
            ),
        };
        problems.push(
            Problem::error(
                self.file,
                at,
                "secret-in-text",
                format!("`{written}` would put the secure option `{name}` into {place}"),
            )
            .with_help(help),
        );
    }

    /// The place of a needle: in the first line that has it, from the last one that was found.
    fn locate(&mut self, needle: &str, cursor: &mut Cursor) -> Position {
        for (index, line) in self.lines.iter().enumerate().take(cursor.end).skip(cursor.next) {
            self.searched = self.searched.saturating_add(1);
            if self.searched > MAX_LINES {
                break;
            }
            // Before the value itself, the same text may stand in another value of the line.
            let from = if index == cursor.first { byte_of_column(line, cursor.position.column) } else { 0 };
            if let Some(found) = line.get(from..).and_then(|rest| rest.find(needle)) {
                cursor.next = index;
                let column =
                    line.get(..from.saturating_add(found)).unwrap_or_default().chars().count().saturating_add(1);
                let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                return Position { line: clamp(index.saturating_add(1)), column: clamp(column) };
            }
        }
        cursor.position
    }
}

/// The lines of the file in which a text stands, and how far they were searched.
struct Cursor {
    position: Position,
    first: usize,
    next: usize,
    end: usize,
}

impl Cursor {
    fn new(text: &str, position: Position) -> Self {
        let first = usize::try_from(position.line).unwrap_or_default().saturating_sub(1);
        // A block begins in the line after its `|`.
        let end = first.saturating_add(text.lines().count()).saturating_add(1);
        Self { position, first, next: first, end }
    }
}

fn byte_of_column(line: &str, column: u32) -> usize {
    let column = usize::try_from(column).unwrap_or_default().saturating_sub(1);
    line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte)
}
