//! Questions to a person at the terminal.

use std::io::{self, BufRead as _, Write as _};

use outrigger_jobs::options::{Prompter, Question};
use outrigger_redaction::Secret;

use crate::output::style::{Style, printable};

/// Asks on standard error and reads from the terminal.
#[derive(Debug)]
pub(crate) struct TerminalPrompter {
    style: Style,
}

impl TerminalPrompter {
    /// Asks in these colours.
    pub(crate) fn new(style: Style) -> Self {
        Self { style }
    }
}

impl Prompter for TerminalPrompter {
    fn ask(&mut self, question: &Question) -> Result<Option<Secret>, String> {
        eprint!("{}", text(question, self.style));
        let gone = |error: io::Error| format!("the terminal cannot be read: {error}");
        io::stderr().flush().map_err(gone)?;
        if question.secure {
            return match rpassword::prompt_password("") {
                Ok(answer) => Ok(Some(Secret::new(answer))),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                Err(error) => Err(gone(error)),
            };
        }
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).map_err(gone)? == 0 {
            eprintln!();
            return Ok(None);
        }
        Ok(Some(Secret::new(answer(question, line.trim_end_matches(['\r', '\n'])))))
    }
}

/// The question, with its choices numbered.
fn text(question: &Question, style: Style) -> String {
    let mut out = String::new();
    match &question.remark {
        Some(remark) => out.push_str(&format!("{}\n", style.yellow(&printable(remark)))),
        None => {
            let mut head = style.bold(&printable(&question.name));
            if question.label != question.name {
                head.push_str(&format!(" ({})", printable(&question.label)));
            }
            let about = question.description.lines().next().unwrap_or_default();
            if !about.is_empty() {
                head.push_str(&format!(": {}", printable(about)));
            }
            out.push_str(&format!("{head}\n"));
            for (number, choice) in question.choices.iter().enumerate() {
                out.push_str(&format!("  {} {}\n", style.cyan(&format!("{:>2})", number + 1)), printable(choice)));
            }
            if !question.choices.is_empty() && !question.enforced {
                out.push_str(&style.dim("  or any other value\n"));
            }
            if let Some(delimiter) = &question.delimiter {
                out.push_str(&style.dim(&format!("  several with `{}` between them\n", printable(delimiter))));
            }
            if let Some(format) = &question.date_format {
                out.push_str(&style.dim(&format!("  a date as {}\n", printable(format))));
            }
            if question.secure {
                out.push_str(&style.dim("  what you type is not shown\n"));
            }
        }
    }
    out.push_str("> ");
    out
}

/// What was typed, with the numbers of choices replaced by them. A choice that is itself a number goes first.
fn answer(question: &Question, typed: &str) -> String {
    let one = |typed: &str| {
        if question.choices.iter().any(|choice| choice == typed) {
            return typed.to_owned();
        }
        let chosen = typed.trim().parse::<usize>().ok().and_then(|number| question.choices.get(number.checked_sub(1)?));
        chosen.cloned().unwrap_or_else(|| typed.to_owned())
    };
    match &question.delimiter {
        Some(delimiter) if !delimiter.is_empty() => {
            typed.split(delimiter.as_str()).map(one).collect::<Vec<_>>().join(delimiter)
        }
        _ => one(typed),
    }
}

/// Asks for a yes.
///
/// # Errors
/// The terminal cannot be read.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            name: "zones".to_owned(),
            label: "Zones".to_owned(),
            description: "Where\nmore".to_owned(),
            choices: vec!["a".to_owned(), "2".to_owned(), "c".to_owned()],
            enforced: true,
            secure: false,
            delimiter: Some(",".to_owned()),
            date_format: None,
            remark: None,
        }
    }

    #[test]
    fn choices_are_listed() {
        assert_eq!(
            text(&question(), Style::new(false)),
            "zones (Zones): Where\n   1) a\n   2) 2\n   3) c\n  several with `,` between them\n> "
        );
    }

    #[test]
    fn numbers_mean_choices_unless_they_are_one() {
        assert_eq!(answer(&question(), "1,2,3,4"), "a,2,c,4");
        assert_eq!(answer(&Question { delimiter: None, ..question() }, "3"), "c");
        assert_eq!(answer(&Question { choices: Vec::new(), ..question() }, "1"), "1");
    }
}
