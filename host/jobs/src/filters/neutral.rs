//! Control characters in a log line must not reach a terminal: they move the cursor, hide text and set titles.

use std::borrow::Cow;
use std::fmt::Write;

/// What happens to line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineBreaks {
    /// They are escaped: the text is one line.
    Escape,
    /// They stay: the text is a document.
    Keep,
}

/// Writes control characters as text, such as `\x1b` for escape.
///
/// Escaped are C0 but the tab, delete, C1 (as characters, which is how UTF-8 terminals read them), the characters that
/// turn the writing direction (`U+200E`, `U+200F`, `U+202A` to `U+202E`, `U+2066` to `U+2069`) and the separators
/// `U+2028` and `U+2029`. A clean text is not copied; what was escaped once does not change again.
/// The carriage return of a `\r\n` at the end of a line is dropped.
pub fn neutralise(text: &str, breaks: LineBreaks) -> Cow<'_, str> {
    let text = if breaks == LineBreaks::Escape { text.strip_suffix('\r').unwrap_or(text) } else { text };
    if !text.chars().any(|c| is_control(c, breaks)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if !is_control(character, breaks) {
            clean.push(character);
        } else if character == '\r' && breaks == LineBreaks::Keep && characters.peek() == Some(&'\n') {
        } else if u32::from(character) < 0x100 {
            // Writing to a String cannot fail.
            let _ = write!(clean, "\\x{:02x}", u32::from(character));
        } else {
            let _ = write!(clean, "\\u{{{:04x}}}", u32::from(character));
        }
    }
    Cow::Owned(clean)
}

fn is_control(character: char, breaks: LineBreaks) -> bool {
    match character {
        '\t' => false,
        '\n' => breaks == LineBreaks::Escape,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequences_become_text() {
        assert_eq!(neutralise("\x1b[2Jhi\u{9b}31m\x07\x7f", LineBreaks::Escape), r"\x1b[2Jhi\x9b31m\x07\x7f");
        assert_eq!(neutralise("a\tb\r", LineBreaks::Escape), "a\tb");
        assert_eq!(neutralise("a\nb\u{202e}c", LineBreaks::Escape), r"a\x0ab\u{202e}c");
        assert_eq!(neutralise("a\r\nb\rc", LineBreaks::Keep), "a\nb\\x0dc");
        assert!(matches!(neutralise("größe", LineBreaks::Escape), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_gets_through(text in any::<String>()) {
            for breaks in [LineBreaks::Escape, LineBreaks::Keep] {
                let clean = neutralise(&text, breaks);
                prop_assert!(!clean.chars().any(|c| c.is_control() && c != '\t' && !(c == '\n' && breaks == LineBreaks::Keep)));
                prop_assert_eq!(neutralise(&clean, breaks), clean.clone());
            }
        }
    }
}
