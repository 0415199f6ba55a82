//! Quoting of values for `sh`, by the place in the command where they stand.
//!
//! Rundeck quotes a whole argument; a text that is put between quotes which the author wrote already would open them
//! again. So the text before a value is followed as the shell reads it, and where it is not certain how that is, the
//! value is refused unless it means itself anywhere.
//!
//! What a command does with an argument is its own: `eval`, `sh -c`, and comparisons of numbers in bash's `[[ ]]` read
//! it as code again, however it was quoted.

use std::borrow::Cow;

/// Why a value cannot be put into a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unquotable {
    /// It stands between backquotes, or in a place that cannot be told from the text alone.
    Place,
    /// It has a line break and stands in a here-document.
    LineBreak,
    /// It holds a NUL character, which no command line can.
    Nul,
}

/// Whether a value means itself wherever it stands in a command. `=` is not among the harmless characters: before a
/// command it sets a variable.
pub fn needs_no_quotes(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&b))
}

/// Puts a value between single quotes if the shell would read it otherwise. An empty value becomes `''`.
pub fn quote(value: &str) -> Cow<'_, str> {
    if !value.is_empty() && needs_no_quotes(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("'{}'", value.replace('\'', r"'\''")))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    None,
    Double,
    Single,
}

/// One level of `$(...)`.
#[derive(Clone, Copy, Debug)]
struct Frame {
    quotes: Quotes,
    parentheses: u32,
    /// Open `${` outside of quotes.
    braces: u32,
    /// Open `${` between double quotes.
    quoted_braces: u32,
    /// Inside `((`.
    arithmetic: bool,
}

impl Frame {
    const NEW: Self = Self { quotes: Quotes::None, parentheses: 0, braces: 0, quoted_braces: 0, arithmetic: false };
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HereDocument {
    delimiter: String,
    /// A quoted delimiter: nothing in the body is expanded.
    literal: bool,
    strip_tabs: bool,
}

/// Follows the text of a command as `sh` reads it.
#[derive(Debug)]
pub struct ShellPlace {
    frames: Vec<Frame>,
    backquotes: bool,
    comment: bool,
    escaped: bool,
    /// The character before, for what a `#` or a `'` means.
    before: char,
    before_that: char,
    /// The end of the text is no longer known to be where these rules think.
    uncertain: bool,
    word: String,
    announced: Vec<HereDocument>,
    body: Option<HereDocument>,
    line: String,
    /// Reading the delimiter after `<<`.
    delimiter: Option<(String, bool, bool, Quotes)>,
    less: u8,
}

/// Deeper nesting of `$(...)` than this is no longer followed.
const MAX_DEPTH: usize = 64;

impl Default for ShellPlace {
    fn default() -> Self {
        Self {
            frames: vec![Frame::NEW],
            backquotes: false,
            comment: false,
            escaped: false,
            before: '\n',
            before_that: '\n',
            uncertain: false,
            word: String::new(),
            announced: Vec::new(),
            body: None,
            line: String::new(),
            delimiter: None,
            less: 0,
        }
    }
}

impl ShellPlace {
    /// The start of a command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads text that the author of the command wrote.
    pub fn text(&mut self, text: &str) {
        for character in text.chars() {
            let escaped = self.escaped;
            self.step(character);
            match (escaped, character) {
                // The line goes on as if neither backslash nor break were there.
                (true, '\n') => self.before = self.before_that,
                // An escaped `$` opens nothing.
                (true, _) => (self.before_that, self.before) = ('x', 'x'),
                (false, _) => (self.before_that, self.before) = (self.before, character),
            }
        }
    }

    /// Writes a value so that the shell takes it for one piece of text.
    pub fn value<'v>(&mut self, value: &'v str) -> Result<Cow<'v, str>, Unquotable> {
        if value.contains('\0') {
            return Err(Unquotable::Nul);
        }
        let written = self.place(value)?;
        if !value.is_empty() {
            (self.before_that, self.before) = ('x', 'x');
        }
        self.escaped = false;
        if self.body.is_some() {
            self.line.push_str(value);
        }
        if let Some((word, ..)) = &mut self.delimiter {
            word.push_str(value);
        }
        self.word.clear();
        Ok(written)
    }

    fn place<'v>(&self, value: &'v str) -> Result<Cow<'v, str>, Unquotable> {
        if value.is_empty() || (needs_no_quotes(value) && self.delimiter.is_none()) {
            return Ok(Cow::Borrowed(value));
        }
        let arithmetic = self.frames.iter().any(|frame| frame.arithmetic);
        if self.uncertain || arithmetic || self.backquotes || self.delimiter.is_some() || self.escaped {
            return Err(Unquotable::Place);
        }
        if let Some(body) = &self.body {
            return match (value.contains('\n'), body.literal) {
                (true, _) => Err(Unquotable::LineBreak),
                (false, true) => Ok(Cow::Borrowed(value)),
                (false, false) if self.before == '\\' => Err(Unquotable::Place),
                (false, false) => Ok(Cow::Owned(escape(value, &['\\', '$', '`']))),
            };
        }
        if self.comment {
            return Ok(Cow::Owned(value.replace(['\n', '\r'], " ")));
        }
        Ok(match self.quotes() {
            Quotes::None => quote(value),
            Quotes::Double => Cow::Owned(escape(value, &['\\', '$', '`', '"'])),
            Quotes::Single => Cow::Owned(value.replace('\'', r"'\''")),
        })
    }

    fn frame(&self) -> Frame {
        self.frames.last().copied().unwrap_or(Frame::NEW)
    }

    fn change(&mut self, change: impl FnOnce(&mut Frame)) {
        if let Some(frame) = self.frames.last_mut() {
            change(frame);
        }
    }

    fn quotes(&self) -> Quotes {
        self.frame().quotes
    }

    fn set_quotes(&mut self, quotes: Quotes) {
        self.change(|frame| frame.quotes = quotes);
    }

    fn step(&mut self, c: char) {
        if self.body.is_some() {
            self.body_step(c);
            return;
        }
        if self.delimiter.is_some() && self.delimiter_step(c) {
            return;
        }
        if self.comment {
            if c == '\n' {
                self.comment = false;
                self.line_ends();
            }
            return;
        }
        if self.escaped {
            self.escaped = false;
            return;
        }
        // The first backquote without a backslash ends them, whatever else stands between.
        if self.backquotes {
            match c {
                '\\' => self.escaped = true,
                '`' => self.backquotes = false,
                '\n' => self.uncertain |= !self.announced.is_empty(),
                _ => {}
            }
            return;
        }
        match self.quotes() {
            Quotes::Single => {
                if c == '\'' {
                    self.set_quotes(Quotes::None);
                }
            }
            Quotes::Double => match c {
                '\\' => self.escaped = true,
                '"' => {
                    // Shells differ in what quotes inside "${x:-"..."}" mean.
                    self.uncertain |= self.frame().quoted_braces > 0;
                    self.set_quotes(Quotes::None);
                }
                '{' if self.before == '$' => {
                    self.change(|frame| frame.quoted_braces = frame.quoted_braces.saturating_add(1))
                }
                '}' => self.change(|frame| frame.quoted_braces = frame.quoted_braces.saturating_sub(1)),
                '`' => self.backquotes = true,
                '(' if self.before == '$' => self.open(),
                _ => {}
            },
            Quotes::None => self.plain_step(c),
        }
    }

    fn plain_step(&mut self, c: char) {
        let word_ends = !c.is_ascii_alphanumeric();
        if word_ends {
            // `case x in a)` closes a parenthesis that was never opened.
            if self.word == "case" && self.frames.len() > 1 {
                self.uncertain = true;
            }
            self.word.clear();
        } else if self.word.len() < 8 {
            self.word.push(c);
        }
        let less = std::mem::take(&mut self.less);
        // Inside ${...} these have no meaning, or another one.
        if self.frame().braces > 0 && matches!(c, '<' | '#' | '\n' | '(' | ')') {
            self.uncertain = true;
        }
        if self.frame().arithmetic && matches!(c, '<' | '#' | '\n' | ';' | '\'' | '"' | '`' | '\\') {
            self.uncertain = true;
        }
        match c {
            '{' if self.before == '$' => self.change(|frame| frame.braces = frame.braces.saturating_add(1)),
            '}' => self.change(|frame| frame.braces = frame.braces.saturating_sub(1)),
            '\\' => self.escaped = true,
            '\'' => {
                // $'...' is a quote of its own in some shells and none in others.
                if self.before == '$' {
                    self.uncertain = true;
                }
                self.set_quotes(Quotes::Single);
            }
            '"' => self.set_quotes(Quotes::Double),
            '`' => self.backquotes = true,
            '(' if self.before == '$' => self.open(),
            // (( and $(( are arithmetic, where << shifts and quotes keep nothing from being expanded.
            '(' if self.before == '(' => {
                self.open();
                self.change(|frame| frame.arithmetic = true);
            }
            '(' => self.change(|frame| frame.parentheses = frame.parentheses.saturating_add(1)),
            ')' => {
                if let Some(frame) = self.frames.last_mut() {
                    if frame.parentheses > 0 {
                        frame.parentheses -= 1;
                    } else if self.frames.len() > 1 {
                        self.frames.pop();
                    }
                }
            }
            '#' if self.before.is_whitespace() || matches!(self.before, ';' | '&' | '|' | '(') => self.comment = true,
            '\n' => self.line_ends(),
            '<' => {
                self.less = less + 1;
                if self.less > 2 {
                    self.less = 0;
                }
            }
            _ if less == 2 => {
                self.delimiter = Some((String::new(), false, false, Quotes::None));
                self.delimiter_step(c);
            }
            _ => {}
        }
        if less == 2 && self.delimiter.is_none() && matches!(c, '\\' | '\'' | '"') {
            // The delimiter begins with a quote: its quotes are read by the delimiter's own rules.
            self.escaped = false;
            self.set_quotes(Quotes::None);
            self.delimiter = Some((String::new(), false, false, Quotes::None));
            self.delimiter_step(c);
        }
    }

    fn open(&mut self) {
        if self.frames.len() >= MAX_DEPTH {
            self.uncertain = true;
            return;
        }
        self.frames.push(Frame::NEW);
    }

    fn line_ends(&mut self) {
        if self.announced.is_empty() {
            return;
        }
        self.body = Some(self.announced.remove(0));
        self.line.clear();
    }

    fn body_step(&mut self, c: char) {
        let expanded = self.body.as_ref().is_some_and(|body| !body.literal);
        // A backslash joins lines, and what is expanded in the body has rules of its own.
        let joined = c == '\n' && self.before == '\\';
        if expanded && (joined || c == '`' || (self.before == '$' && matches!(c, '(' | '{'))) {
            self.uncertain = true;
        }
        if c != '\n' {
            self.line.push(c);
            return;
        }
        let ends = self.body.as_ref().is_some_and(|body| {
            let line = if body.strip_tabs { self.line.trim_start_matches('\t') } else { self.line.as_str() };
            line == body.delimiter
        });
        self.line.clear();
        if ends {
            self.body = None;
            self.line_ends();
        }
    }

    /// Reads a character of the word after `<<`; false if the word ended before it.
    fn delimiter_step(&mut self, c: char) -> bool {
        let Some((word, literal, strip_tabs, quotes)) = &mut self.delimiter else { return false };
        match (*quotes, c) {
            (Quotes::Single, '\'') | (Quotes::Double, '"') => *quotes = Quotes::None,
            (Quotes::None, '\'') => (*literal, *quotes) = (true, Quotes::Single),
            (Quotes::None, '"') => (*literal, *quotes) = (true, Quotes::Double),
            (Quotes::None, '\\') => *literal = true,
            (Quotes::None, '-') if word.is_empty() && !*literal && !*strip_tabs => *strip_tabs = true,
            (Quotes::None, ' ' | '\t') if word.is_empty() && !*literal => {}
            (Quotes::None, c) if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '<' | '>' | '(' | ')') => {
                let document =
                    HereDocument { delimiter: std::mem::take(word), literal: *literal, strip_tabs: *strip_tabs };
                self.delimiter = None;
                self.uncertain |= self.frames.len() > 1 || self.backquotes;
                self.announced.push(document);
                return false;
            }
            (_, c) => word.push(c),
        }
        true
    }
}

fn escape(value: &str, special: &[char]) -> String {
    let mut written = String::with_capacity(value.len() + 8);
    for character in value.chars() {
        if special.contains(&character) {
            written.push('\\');
        }
        written.push(character);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(before: &str, value: &str) -> Result<String, Unquotable> {
        let mut place = ShellPlace::new();
        place.text(before);
        place.value(value).map(Cow::into_owned)
    }

    #[test]
    fn only_when_needed() {
        assert_eq!(quote("i-0abc"), "i-0abc");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn by_the_place() {
        assert_eq!(write("echo ", "a;b").as_deref(), Ok("'a;b'"));
        assert_eq!(write("echo \"", "$(id) \"x\"").as_deref(), Ok(r#"\$(id) \"x\""#));
        assert_eq!(write("echo '", "it's").as_deref(), Ok(r"it'\''s"));
        assert_eq!(write("echo \"$(cat ", "a b").as_deref(), Ok("'a b'"));
        assert_eq!(write("echo \"$(cat x) ", "a b").as_deref(), Ok("a b"));
        assert_eq!(write("x # don't ", "a\nb").as_deref(), Ok("a b"));
        assert_eq!(write("x # don't\necho ", "a b").as_deref(), Ok("'a b'"));
        assert_eq!(write("echo a#'", "b c").as_deref(), Ok("b c"));
        assert_eq!(write("echo `cat ", "a b"), Err(Unquotable::Place));
        assert_eq!(write("cat <<EOF\n", "a $x").as_deref(), Ok(r"a \$x"));
        assert_eq!(write("cat <<'EOF'\n", "a $x").as_deref(), Ok("a $x"));
        assert_eq!(write("cat <<EOF\n", "a\nEOF\nid"), Err(Unquotable::LineBreak));
        assert_eq!(write("cat <<-EOF\n\tEOF\necho ", "a b").as_deref(), Ok("'a b'"));
        assert_eq!(write("cat <<< \"", "a\"b").as_deref(), Ok(r#"a\"b"#));
        assert_eq!(write(r#"echo "\$("#, "$(id)").as_deref(), Ok(r"\$(id)"));
        assert_eq!(write(r#"echo "${x:-""#, "$(id)"), Err(Unquotable::Place));
        assert_eq!(write("i=$((i+1)); echo ", "a b").as_deref(), Ok("'a b'"));
        assert_eq!(write("i=$((", "a[$(id)]"), Err(Unquotable::Place));
        assert_eq!(write("i=$((i << 1)); echo ", "a b"), Err(Unquotable::Place));
        assert_eq!(write("x \\\n# don't ", "a\nb").as_deref(), Ok("a b"));
        assert_eq!(write("x \\\n  ", "a b").as_deref(), Ok("'a b'"));
        assert_eq!(write("x `echo \"` ", "a b").as_deref(), Ok("'a b'"));
        assert_eq!(write("echo \"$(case x in a) echo ", "a b"), Err(Unquotable::Place));
    }
}
