//! Java's regular expressions, in which Rundeck's job files are written, as those of the `regex` crate.
//!
//! The two differ in what `\d`, `\w` and `\s` match (ASCII only in Java), in the names of POSIX classes and in a few
//! escapes. Look-around and backreferences have no counterpart in the `regex` crate, which takes linear time whatever
//! the pattern; a [`JavaMatcher`] falls back to backtracking for them, with a limit on its work.
//! Source: <https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/util/regex/Pattern.html>.

use regex::Regex;

/// Largest compiled pattern, in bytes.
const MAX_COMPILED: usize = 2 * 1024 * 1024;

/// Most steps of backtracking for one text; a pattern such as `(a+)+$` would otherwise never end.
const MAX_BACKTRACKS: usize = 200_000;

/// A Java pattern that can tell whether a text matches, with everything that Java's patterns have.
#[derive(Clone, Debug)]
pub struct JavaMatcher(Engine);

#[derive(Clone, Debug)]
enum Engine {
    Linear(Regex),
    Backtracking(fancy_regex::Regex),
}

impl JavaMatcher {
    /// Compiles a pattern that must match a whole text.
    ///
    /// # Errors
    /// A sentence that says what in the pattern is not valid.
    pub fn full_match(pattern: &str) -> Result<Self, String> {
        Self::new(pattern, true)
    }

    /// Compiles a pattern that is searched for in a text.
    ///
    /// # Errors
    /// As [`JavaMatcher::full_match`].
    pub fn search(pattern: &str) -> Result<Self, String> {
        Self::new(pattern, false)
    }

    fn new(pattern: &str, full: bool) -> Result<Self, String> {
        let translated = translate(pattern)?;
        if translated.needs.is_none() {
            let regex = if full { java_full_match(pattern) } else { java_regex(pattern) };
            return Ok(Self(Engine::Linear(regex?)));
        }
        let compile = |pattern: &str| {
            fancy_regex::RegexBuilder::new(pattern)
                .backtrack_limit(MAX_BACKTRACKS)
                .delegate_size_limit(MAX_COMPILED)
                .build()
                .map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
        };
        let alone = compile(&translated.pattern)?;
        let regex = if full { compile(&format!(r"\A(?:{})\z", translated.pattern))? } else { alone };
        Ok(Self(Engine::Backtracking(regex)))
    }

    /// Whether a text matches.
    ///
    /// # Errors
    /// That the pattern needs too much work for this text.
    pub fn is_match(&self, text: &str) -> Result<bool, String> {
        match &self.0 {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => {
                regex.is_match(text).map_err(|_| "the pattern needs too much work for this text".to_owned())
            }
        }
    }
}

/// Compiles a Java pattern that is searched for in a text, for taking groups from it.
///
/// # Errors
/// A sentence that says what in the pattern is not supported or not valid.
pub fn java_regex(pattern: &str) -> Result<Regex, String> {
    compile(&linear(pattern)?)
}

/// Compiles a Java pattern that must match a whole text, for taking groups from it.
///
/// # Errors
/// As [`java_regex`].
pub fn java_full_match(pattern: &str) -> Result<Regex, String> {
    let translated = linear(pattern)?;
    // Alone first: `a)|(b` must not be valid because of the parentheses around it.
    compile(&translated)?;
    compile(&format!(r"\A(?:{translated})\z"))
}

/// The pattern for the `regex` crate, which has no look-around and no backreferences.
fn linear(pattern: &str) -> Result<String, String> {
    let translated = translate(pattern)?;
    match translated.needs {
        Some(what) => Err(format!("{what} is not supported here")),
        None => Ok(translated.pattern),
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
        // The parser's message draws the pattern over several lines; its last line says what is wrong.
        other => {
            let text = other.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    })
}

/// The POSIX classes that Java writes `\p{Alpha}`.
fn posix_class(name: &str) -> Option<&'static str> {
    Some(match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => r"!-/:-@\[-`{-~",
        "Graph" => "!-~",
        "Print" => " -~",
        "Blank" => r" \t",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => r" \t\n\x0B\f\r",
        _ => return None,
    })
}

/// A pattern in the syntax of the `regex` crate.
struct Translated {
    pattern: String,
    /// The first thing in it that takes backtracking.
    needs: Option<&'static str>,
}

fn translate(pattern: &str) -> Result<Translated, String> {
    let mut needs = None;
    let mut out = String::with_capacity(pattern.len().saturating_add(16));
    let mut rest = pattern;
    let mut class_depth = 0_usize;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            '\\' => {
                rest = translate_escape(after, class_depth > 0, &mut out, &mut needs)?;
                continue;
            }
            '[' => {
                class_depth = class_depth.saturating_add(1);
                out.push('[');
                // A bracket that closes at once is an ordinary member in both dialects.
                let (negation, inner) = match after.strip_prefix('^') {
                    Some(inner) => ("^", inner),
                    None => ("", after),
                };
                out.push_str(negation);
                rest = inner;
                continue;
            }
            ']' if class_depth > 0 => class_depth = class_depth.saturating_sub(1),
            // Set operators of the `regex` crate that Java does not have.
            '-' | '~' if class_depth > 0 && after.starts_with(letter) => out.push('\\'),
            '(' if class_depth == 0 => {
                for (prefix, name) in [
                    ("?=", "a look-ahead `(?=`"),
                    ("?!", "a look-ahead `(?!`"),
                    ("?<=", "a look-behind `(?<=`"),
                    ("?<!", "a look-behind `(?<!`"),
                    ("?>", "an atomic group `(?>`"),
                ] {
                    if after.starts_with(prefix) {
                        needs.get_or_insert(name);
                    }
                }
            }
            _ => {}
        }
        out.push(letter);
        rest = after;
    }
    Ok(Translated { pattern: out, needs })
}

/// Translates what follows a backslash and returns what is left of the pattern.
fn translate_escape<'text>(
    after: &'text str,
    in_class: bool,
    out: &mut String,
    needs: &mut Option<&'static str>,
) -> Result<&'text str, String> {
    let Some(letter) = after.chars().next() else { return Err("the pattern ends with a single `\\`".to_owned()) };
    let mut rest = after.get(letter.len_utf8()..).unwrap_or_default();
    let mut class = |members: &str, negated: bool| match (in_class, negated) {
        (true, false) => out.push_str(members),
        (_, true) => {
            out.push_str("[^");
            out.push_str(members);
            out.push(']');
        }
        (false, false) => {
            out.push('[');
            out.push_str(members);
            out.push(']');
        }
    };
    match letter {
        'd' | 'D' => class("0-9", letter == 'D'),
        'w' | 'W' => class("A-Za-z0-9_", letter == 'W'),
        's' | 'S' => class(r" \t\n\x0B\f\r", letter == 'S'),
        'h' | 'H' => class(r" \t\x{A0}", letter == 'H'),
        'p' | 'P' => {
            let named = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            match named {
                Some((name, left)) => {
                    if let Some(members) = posix_class(name) {
                        class(members, letter == 'P');
                    } else {
                        let name = name.strip_prefix("Is").unwrap_or(name);
                        out.push('\\');
                        out.push(letter);
                        out.push('{');
                        out.push_str(name);
                        out.push('}');
                    }
                    rest = left;
                }
                None => {
                    out.push('\\');
                    out.push(letter);
                }
            }
        }
        'Q' => {
            let (literal, left) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(literal));
            rest = left;
        }
        'E' => {}
        'Z' => out.push_str(r"\n?\z"),
        'R' => out.push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])"),
        'e' => out.push_str(r"\x1B"),
        '1'..='9' | 'k' if !in_class => {
            needs.get_or_insert("a backreference");
            out.push('\\');
            out.push(letter);
        }
        'G' => return Err("`\\G` is not supported".to_owned()),
        other => {
            out.push('\\');
            out.push(other);
        }
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_java_does() {
        for (pattern, text, expected) in [
            (r"\d+", "12", true),
            (r"\d+", "12a", false),
            (r"\d+", "٣", false),
            (r"[\w.-]+", "web-1.a", true),
            (r"[^\d]+", "abc", true),
            (r"[^\d]+", "a1", false),
            (r"\p{Alpha}+\p{Digit}?", "web1", true),
            (r"[\p{Upper}_]+", "A_B", true),
            (r"\Qa.b\E", "a.b", true),
            (r"\Qa.b\E", "axb", false),
            (r"a|b", "b", true),
            (r"a|b", "ab", false),
            (r"^i-[0-9a-f]{8,17}$", "i-0123456789abcdef0", true),
            (r"(?i)yes", "YES", true),
            (r"[a-z&&[^b]]", "b", false),
        ] {
            let regex = java_full_match(pattern).expect(pattern);
            assert_eq!(regex.is_match(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn says_what_it_cannot_do() {
        for (pattern, part) in [
            (r"(?=a)b", "look-ahead `(?=` is not supported here"),
            (r"(?<!a)b", "look-behind"),
            (r"(a)\1", "backreference"),
            (r"(a", "unclosed group"),
            (r"a)|(b", "unopened group"),
            ("a\\", "single"),
        ] {
            let message = java_full_match(pattern).expect_err(pattern);
            assert!(message.contains(part), "{pattern}: {message}");
        }
    }

    #[test]
    fn backtracks_where_java_does() {
        for (pattern, text, expected) in [
            (r"(?=.*\d)(?=.*[a-z]).{8,}", "abcdefg1", true),
            (r"(?=.*\d)(?=.*[a-z]).{8,}", "abcdefgh", false),
            (r"(?!prod).*", "staging", true),
            (r"(?!prod).*", "production", false),
            (r"(\w)\1", "aa", true),
            (r"(\w)\1", "ab", false),
            (r"(?<!x)y", "y", true),
        ] {
            let matcher = JavaMatcher::full_match(pattern).expect(pattern);
            assert_eq!(matcher.is_match(text), Ok(expected), "{pattern} {text}");
        }
        assert_eq!(JavaMatcher::search("(?!a)b").expect("a pattern").is_match("ab"), Ok(true));
        assert!(JavaMatcher::search("(?=a").is_err());
        let endless = JavaMatcher::full_match(r"(a|aa)+\1(?=b)").expect("a pattern");
        assert!(endless.is_match(&"a".repeat(5_000)).is_err());
    }
}
