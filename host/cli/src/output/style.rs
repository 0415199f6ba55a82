//! Colours, and what keeps a file's text from using them.

use std::borrow::Cow;

use outrigger_jobs::filters::{LineBreaks, neutralise};

/// Colours a text, or leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// With or without colours.
    pub(crate) fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// Whether it colours.
    pub(crate) fn has_colours(self) -> bool {
        self.colours
    }

    /// The text between a code of SGR and the one that ends it.
    pub(crate) fn with(self, code: &str, text: &str) -> String {
        if self.colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Stands out.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Steps back.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Bad.
    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// Good.
    pub(crate) fn green(self, text: &str) -> String {
        self.with("1;32", text)
    }

    /// Worth a look.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("1;33", text)
    }

    /// Structure.
    pub(crate) fn blue(self, text: &str) -> String {
        self.with("1;34", text)
    }

    /// Hints.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }
}

/// A text of a file or a database on one line, as it may reach a terminal: control characters are shown, not obeyed.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    neutralise(text, LineBreaks::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_nothing_is_added() {
        assert_eq!(Style::new(false).red("text"), "text");
        assert_eq!(Style::new(true).red("text"), "\u{1b}[1;31mtext\u{1b}[0m");
        assert_eq!(Style::new(true).red(""), "");
    }
}
