//! Puts values in the place of references.

use std::borrow::Cow;
use std::fmt;

use outrigger_redaction::Secret;

use super::quote::{ShellPlace, Unquotable, quote};
use super::reference::{Piece, Reference, pieces, script_pieces};
use super::{ContextValue, DataContext, Found, View};

/// The longest text that an expansion may become, in bytes. One output that is named often could fill the memory.
pub const MAX_EXPANDED: usize = 16 * 1024 * 1024;

/// What a text is for, which decides the form of its references and the quoting of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpandMode {
    /// Configuration of a plugin, arguments of a job reference, names: `${...}`, values as they are.
    Plain,
    /// A command for a shell: `${...}`, values quoted where the shell would read them otherwise;
    /// `${unquotedoption.x}` as it is. A secret value is refused.
    Shell,
    /// The text of a script: `@option.x@`, values as they are. A secret value is refused.
    Script,
    /// One argument of a program, which no shell reads: `${...}`, values as they are. A secret value is refused,
    /// since everybody on the machine can read arguments.
    Argument,
}

/// A text whose references were replaced.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// Whether a secret value is in it.
    pub secret: bool,
    /// References without a value. Each became blank, as in Rundeck.
    pub missing: Vec<Reference>,
    /// References to outputs of steps that a dry run stopped, with the path of the step.
    pub depends_on: Vec<(Reference, String)>,
}

impl fmt::Debug for Expanded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Expanded")
            .field("text", if self.secret { &"****" } else { &self.text })
            .field("missing", &self.missing)
            .field("depends_on", &self.depends_on)
            .finish_non_exhaustive()
    }
}

impl Expanded {
    /// The text as a value for another context: secret if it holds a secret.
    pub fn into_value(self) -> ContextValue {
        if self.secret { ContextValue::Secret(Secret::new(self.text)) } else { ContextValue::Text(self.text) }
    }
}

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A secret value would become part of a command or script.
    #[error(
        "{reference} is a secret value, which must not stand in {place}; read it there from the environment as ${variable}"
    )]
    SecretInCommand {
        /// The reference.
        reference: Box<Reference>,
        /// `a command`, `a script` or `an argument`.
        place: &'static str,
        /// The environment variable that holds it.
        variable: String,
    },
    /// The value cannot be quoted where it stands.
    #[error(
        "the value of {reference} cannot be quoted where it stands in the command ({why}); read it there from the environment as ${variable}"
    )]
    Unquotable {
        /// The reference.
        reference: Box<Reference>,
        /// Why not.
        why: &'static str,
        /// The environment variable that holds it.
        variable: String,
    },
    /// The text became too long.
    #[error("the text became longer than {MAX_EXPANDED} bytes when its references were replaced")]
    TooLong,
}

/// The environment variable in which native steps find a value, such as `RD_OPTION_NAME`.
pub fn variable_name(group: &str, key: &str) -> String {
    let mut name = String::with_capacity(4 + group.len() + key.len());
    name.push_str("RD_");
    for character in group.chars().chain(['_']).chain(key.chars()) {
        name.push(if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' });
    }
    name
}

impl DataContext {
    /// Replaces the references of a text by their values as `view` sees them.
    ///
    /// What has no value becomes blank in every mode; Rundeck does so in commands and scripts, and its plugins see
    /// blank configuration. The time is linear in the length of the text and of the values.
    ///
    /// # Errors
    /// If a secret would become part of a command, if a value cannot be quoted where it stands, or if the text becomes
    /// longer than [`MAX_EXPANDED`].
    pub fn expand(&self, text: &str, mode: ExpandMode, view: &View) -> Result<Expanded, ExpandError> {
        let is_group = |group: &str| self.has_group(group);
        let pieces = match mode {
            ExpandMode::Script => script_pieces(text, is_group),
            ExpandMode::Plain | ExpandMode::Shell | ExpandMode::Argument => pieces(text, is_group),
        };
        let mut expanded = Expanded::default();
        let mut place = (mode == ExpandMode::Shell).then(ShellPlace::new);
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    if let Some(place) = &mut place {
                        place.text(text);
                    }
                    expanded.text.push_str(text);
                }
                Piece::Reference(reference, _) => match self.find(&reference, view) {
                    Found::Value(value) => write(&mut expanded, place.as_mut(), &reference, &value, mode)?,
                    Found::DependsOn(step) => expanded.depends_on.push((reference, step)),
                    Found::Nothing => expanded.missing.push(reference),
                },
            }
            if expanded.text.len() > MAX_EXPANDED {
                return Err(ExpandError::TooLong);
            }
        }
        Ok(expanded)
    }
}

fn write(
    expanded: &mut Expanded,
    place: Option<&mut ShellPlace>,
    reference: &Reference,
    value: &ContextValue,
    mode: ExpandMode,
) -> Result<(), ExpandError> {
    if let ContextValue::Secret(secret) = value {
        let place = match mode {
            ExpandMode::Plain => {
                expanded.text.push_str(secret.expose());
                expanded.secret = true;
                return Ok(());
            }
            ExpandMode::Shell => "a command",
            ExpandMode::Script => "a script",
            ExpandMode::Argument => "an argument of a program",
        };
        let variable = variable_name(&reference.group, &reference.key);
        return Err(ExpandError::SecretInCommand { reference: Box::new(reference.clone()), place, variable });
    }
    let text = value.text();
    if expanded.text.len().saturating_add(text.len()) > MAX_EXPANDED {
        return Err(ExpandError::TooLong);
    }
    let Some(place) = place else {
        expanded.text.push_str(&text);
        return Ok(());
    };
    if reference.raw {
        // Its author wants the shell to read it, so it is followed like the author's own text.
        place.text(&text);
        expanded.text.push_str(&text);
        return Ok(());
    }
    match place.value(&text) {
        Ok(quoted) => expanded.text.push_str(&quoted),
        Err(why) => {
            let why = match why {
                Unquotable::Place => "it stands between backquotes, or where a shell reads quotes in its own way",
                Unquotable::LineBreak => "it has a line break and stands in a here-document",
                Unquotable::Nul => "it holds a NUL character",
            };
            let variable = variable_name(&reference.group, &reference.key);
            return Err(ExpandError::Unquotable { reference: Box::new(reference.clone()), why, variable });
        }
    }
    Ok(())
}

/// Cuts a command line into words at blanks, as Rundeck reads arguments: quotes keep blanks together, a doubled quote
/// between quotes is the quote itself. Nothing else has a meaning.
pub fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut started = false;
    let mut quote = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), c) if c == open => {
                if characters.peek() == Some(&open) {
                    characters.next();
                    word.push(open);
                } else {
                    quote = None;
                }
            }
            (None, '"' | '\'') => {
                quote = Some(character);
                started = true;
            }
            (None, c) if c.is_whitespace() => {
                if started {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
            }
            (_, '$') if characters.peek() == Some(&'{') => {
                // A reference is one piece, though the label of a step in it may have blanks and quotes.
                started = true;
                word.push('$');
                for c in characters.by_ref() {
                    word.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            (_, c) => {
                word.push(c);
                started = true;
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

/// Joins words to one line that a shell reads as these words.
pub fn join_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<Cow<'_, str>>>().join(" ")
}
