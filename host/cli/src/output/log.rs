//! One line, or one document, of a step's log.

use std::io::{self, Write};

use outrigger_jobs::filters::Highlight;
use outrigger_jobs::steps::LogLevel;

use super::document;
use super::style::Style;

/// A line on its way to a terminal or a file. Its text is harmless: whoever made it has escaped control characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Position of the step; none for the run itself.
    pub(crate) step: Option<&'a str>,
    /// The node; shown where it is not `local`.
    pub(crate) node: &'a str,
    /// Level.
    pub(crate) level: LogLevel,
    /// Text.
    pub(crate) text: &'a str,
    /// MIME type of a document.
    pub(crate) data_type: Option<&'a str>,
    /// Title of a table.
    pub(crate) title: Option<&'a str>,
    /// Parts that stand out.
    pub(crate) highlights: &'a [Highlight],
}

/// What stands before the lines of a step.
pub(crate) fn margin(step: Option<&str>, node: &str, style: Style) -> String {
    let place = match (step, node) {
        (None, _) => String::new(),
        (Some(step), "local" | "") => step.to_owned(),
        (Some(step), node) => format!("{step}@{node}"),
    };
    style.dim(&format!("{place:>3} │ "))
}

impl Line<'_> {
    /// Writes the line. `prefix` goes before everything, such as a time.
    pub(crate) fn write(&self, out: &mut dyn Write, style: Style, prefix: &str) -> io::Result<()> {
        let margin = format!("{prefix}{}", margin(self.step, self.node, style));
        if let Some(title) = self.title {
            writeln!(out, "{margin}{}", style.bold(title))?;
        }
        if let Some(data_type) = self.data_type {
            for line in document::render(self.text, data_type, style).lines() {
                writeln!(out, "{margin}{line}")?;
            }
            return Ok(());
        }
        let text = match self.level {
            LogLevel::Error if !style.has_colours() => format!("error: {}", self.text),
            LogLevel::Warn if !style.has_colours() => format!("warning: {}", self.text),
            LogLevel::Error => style.with("31", self.text),
            LogLevel::Warn => style.with("33", self.text),
            LogLevel::Verbose | LogLevel::Debug => style.dim(self.text),
            LogLevel::Info => highlighted(self.text, self.highlights, style),
        };
        writeln!(out, "{margin}{text}")
    }
}

/// A line with its parts in colours. Parts that overlap an earlier one are left as they are.
fn highlighted(text: &str, parts: &[Highlight], style: Style) -> String {
    if parts.is_empty() || !style.has_colours() {
        return text.to_owned();
    }
    let mut parts: Vec<&Highlight> = parts.iter().collect();
    parts.sort_by_key(|part| part.start);
    let mut out = String::with_capacity(text.len() + 16 * parts.len());
    let mut end = 0;
    for part in parts {
        let (Some(before), Some(inside)) = (text.get(end..part.start), text.get(part.start..part.end)) else {
            continue;
        };
        out.push_str(before);
        out.push_str(&style.with(&codes(part), inside));
        end = part.end;
    }
    out.push_str(text.get(end..).unwrap_or_default());
    out
}

fn codes(part: &Highlight) -> String {
    let colour = |name: &str| match name {
        "black" => Some(0),
        "red" => Some(1),
        "green" => Some(2),
        "yellow" => Some(3),
        "blue" => Some(4),
        "magenta" => Some(5),
        "cyan" => Some(6),
        "white" => Some(7),
        _ => None,
    };
    let mode = part.mode.as_deref().and_then(|mode| match mode {
        "bold" => Some(1),
        "underline" => Some(4),
        "blink" => Some(5),
        "reverse" => Some(7),
        _ => None,
    });
    let foreground = part.foreground.as_deref().and_then(colour).map(|colour| 30 + colour);
    let background = part.background.as_deref().and_then(colour).map(|colour| 40 + colour);
    let codes: Vec<String> =
        [mode, foreground, background].into_iter().flatten().map(|code| code.to_string()).collect();
    if codes.is_empty() { "1".to_owned() } else { codes.join(";") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: usize, end: usize) -> Highlight {
        Highlight { start, end, foreground: Some("red".into()), background: None, mode: Some("bold".into()) }
    }

    #[test]
    fn parts_stand_out_and_bad_places_do_no_harm() {
        let style = Style::new(true);
        assert_eq!(highlighted("a web b", &[part(2, 5)], style), "a \u{1b}[1;31mweb\u{1b}[0m b");
        assert_eq!(highlighted("größe", &[part(3, 4), part(90, 99)], style), "größe");
        assert_eq!(highlighted("abc", &[part(0, 2), part(1, 3)], style), "\u{1b}[1;31mab\u{1b}[0mc");
        assert_eq!(highlighted("abc", &[part(0, 2)], Style::new(false)), "abc");
    }

    #[test]
    fn levels_are_words_where_there_are_no_colours() {
        let mut out = Vec::new();
        let line = Line {
            step: Some("2/1"),
            node: "web-1",
            level: LogLevel::Warn,
            text: "slow",
            data_type: None,
            title: None,
            highlights: &[],
        };
        line.write(&mut out, Style::new(false), "").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "2/1@web-1 │ warning: slow\n");
    }
}
