//! Option values: from the command line, a file, key storage, defaults or a person.

mod arguments;
mod date;
mod pattern;
mod resolve;
mod validate;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Zoned;
use outrigger_redaction::Secret;

pub use arguments::parse_arguments;
pub use date::{check_date, expand_dates};
pub use pattern::{JavaMatcher, java_full_match, java_regex};
pub use resolve::resolve_options;
pub(crate) use validate::check_value;

/// Reads entries of key storage for secure options.
pub trait KeyReader {
    /// The secret at a path such as `keys/project/web/db`; `None` if there is none.
    ///
    /// # Errors
    /// A sentence on why the entry cannot be read, without its value.
    fn read(&self, path: &str) -> Result<Option<Secret>, String>;
}

/// A key storage without entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl KeyReader for NoKeys {
    fn read(&self, _path: &str) -> Result<Option<Secret>, String> {
        Ok(None)
    }
}

/// A question to a person about one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name of the option.
    pub name: String,
    /// Its label, or its name.
    pub label: String,
    /// Its description.
    pub description: String,
    /// The choices, in the order in which they are shown; empty if anything may be typed.
    pub choices: Vec<String>,
    /// Whether only the choices are allowed.
    pub enforced: bool,
    /// Whether the answer must not be echoed.
    pub secure: bool,
    /// What divides several values, if several are allowed.
    pub delimiter: Option<String>,
    /// The format of a date, in moment.js's letters.
    pub date_format: Option<String>,
    /// Why the last answer was not accepted.
    pub remark: Option<String>,
}

/// Asks a person for option values.
pub trait Prompter {
    /// Asks once. `None` means that the person gave no answer, which ends the asking.
    ///
    /// # Errors
    /// A sentence on why nothing can be asked, such as a terminal that is gone.
    fn ask(&mut self, question: &Question) -> Result<Option<Secret>, String>;
}

/// What resolving options may use.
pub struct OptionEnvironment<'a> {
    /// Name of the job file, for messages.
    pub file: &'a str,
    /// Key storage.
    pub keys: &'a dyn KeyReader,
    /// Whoever is asked for missing options; `None` where nobody is there.
    pub prompter: Option<&'a mut dyn Prompter>,
    /// The moment that `${DATE:...}` means, in the zone in which it is written.
    pub now: Zoned,
    /// Values of `${job.*}` for storage paths, such as `username` and `project`.
    pub job: BTreeMap<String, String>,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// A value that may be shown.
    Plain(String),
    /// A value of a secure option.
    Secret(Secret),
}

impl OptionValue {
    /// The value itself. Of a secret, it must not reach a log.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }

    /// Whether it is a secret.
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionSource {
    /// The command line.
    Given,
    /// An options file.
    File,
    /// Key storage.
    Storage,
    /// The job's default.
    Default,
    /// A person who was asked.
    Asked,
}

/// An option that has a value.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedOption {
    /// Its value; of a multivalued option all values with the delimiter between them.
    pub value: OptionValue,
    /// Where it came from.
    pub source: OptionSource,
    /// Whether steps may read it: everything but secure options without `valueExposed`, which are for
    /// authentication to nodes alone.
    pub exposed: bool,
    /// Whether it is the path of a file (`type: file`), read as `${file.x}`.
    pub file: bool,
}

/// The options of a run that have values, in the job's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResolvedOptions {
    /// By name.
    pub values: IndexMap<String, ResolvedOption>,
}

impl ResolvedOptions {
    /// The values of secure options, for redaction.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.values.values().filter_map(|option| match &option.value {
            OptionValue::Secret(secret) => Some(secret),
            OptionValue::Plain(_) => None,
        })
    }
}
