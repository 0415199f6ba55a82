//! Include and exclude patterns, in the order in which they were given.

use std::borrow::Cow;

use outrigger_plugin_sdk::Failure;
use outrigger_plugin_sdk::json::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// The field `filters`: a list of `+pattern` and `-pattern`, or a text with one on each line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterList(Vec<String>);

impl<'de> Deserialize<'de> for FilterList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines = match Value::deserialize(deserializer)? {
            Value::String(text) => text.lines().map(str::to_owned).collect(),
            Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text),
                    other => Err(D::Error::custom(format!("{other} is no filter: write `+pattern` or `-pattern`"))),
                })
                .collect::<Result<Vec<_>, _>>()?,
            other => return Err(D::Error::custom(format!("{other} is no list of filters"))),
        };
        Ok(Self(lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).map(str::to_owned).collect()))
    }
}

impl JsonSchema for FilterList {
    fn schema_name() -> Cow<'static, str> {
        "FilterList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string", "pattern": "^\\s*[+-]." },
            "x-outrigger-display": "multi-line",
        })
    }
}

/// Patterns, of which the last one that matches decides. What no pattern matches is included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(Vec<(bool, Vec<Part>)>);

impl Filters {
    /// The patterns of a step: `include` first, then `exclude`, then the ordered list.
    ///
    /// The first two stand in the order in which Rundeck's steps hand them to the AWS CLI, where the later one wins: an
    /// `include` can therefore never bring back what `exclude` takes out. The ordered list can.
    ///
    /// # Errors
    /// `invalid-input` for an item of the list that begins with neither `+` nor `-`.
    pub fn new(include: Option<&str>, exclude: Option<&str>, ordered: &FilterList) -> Result<Self, Failure> {
        let mut filters = Vec::new();
        filters.extend(include.map(|pattern| (true, parse(pattern))));
        filters.extend(exclude.map(|pattern| (false, parse(pattern))));
        for item in &ordered.0 {
            let (included, pattern) = match (item.strip_prefix('+'), item.strip_prefix('-')) {
                (Some(pattern), _) => (true, pattern),
                (_, Some(pattern)) => (false, pattern),
                _ => {
                    return Err(Failure::invalid_input(format!(
                        "`filters` has `{item}`: write `+{item}` to include what matches or `-{item}` to exclude it"
                    )));
                }
            };
            filters.push((included, parse(pattern.trim())));
        }
        Ok(Self(filters))
    }

    /// Whether the file with this path below the source, or destination, takes part.
    #[must_use]
    pub fn includes(&self, path: &str) -> bool {
        let decided = self.0.iter().rev().find(|(_, pattern)| matches(pattern, path));
        decided.is_none_or(|(included, _)| *included)
    }
}

/// A part of a pattern, with the meaning of Python's `fnmatch`, which the AWS CLI uses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This character.
    Char(char),
    /// `?`: any character.
    Any,
    /// `*`: any characters, `/` too.
    Many,
    /// `[abc]`, `[a-z]`, `[!abc]`: one of these characters, or none of them.
    Set { negated: bool, ranges: Vec<(char, char)> },
}

fn parse(pattern: &str) -> Vec<Part> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut parts = Vec::new();
    let mut rest = chars.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            '*' if parts.last() == Some(&Part::Many) => {}
            '*' => parts.push(Part::Many),
            '?' => parts.push(Part::Any),
            '[' => match parse_set(rest) {
                Some((set, after)) => {
                    parts.push(set);
                    rest = after;
                }
                None => parts.push(Part::Char('[')),
            },
            other => parts.push(Part::Char(*other)),
        }
    }
    parts
}

/// Reads a set after its `[`. A `]` that comes first belongs to the set; a set without an end is no set.
fn parse_set(chars: &[char]) -> Option<(Part, &[char])> {
    let (negated, chars) = match chars {
        ['!', rest @ ..] => (true, rest),
        _ => (false, chars),
    };
    let end = 1 + chars.get(1..)?.iter().position(|c| *c == ']')?;
    let (inside, after) = (chars.get(..end)?, chars.get(end + 1..)?);
    let mut ranges = Vec::new();
    let mut rest = inside;
    loop {
        rest = match rest {
            [low, '-', high, after @ ..] => {
                ranges.push((*low, *high));
                after
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
            [] => break,
        };
    }
    Some((Part::Set { negated, ranges }, after))
}

/// Matches without recursion: after a mismatch it goes back to the last `*` and lets it take one character more.
fn matches(pattern: &[Part], text: &str) -> bool {
    let (mut parts, mut text) = (pattern, text);
    let mut last_many: Option<(&[Part], &str)> = None;
    loop {
        let first = text.chars().next();
        match (parts.split_first(), first) {
            (Some((Part::Many, after)), _) => {
                last_many = Some((after, text));
                parts = after;
                continue;
            }
            (Some((part, after)), Some(c)) if part.takes(c) => {
                parts = after;
                text = text.get(c.len_utf8()..).unwrap_or_default();
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after, begin)) = last_many else { return false };
        let Some(skipped) = begin.chars().next() else { return false };
        text = begin.get(skipped.len_utf8()..).unwrap_or_default();
        parts = after;
        last_many = Some((after, text));
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any | Self::Many => true,
            Self::Set { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, json};

    fn fits(pattern: &str, text: &str) -> bool {
        matches(&parse(pattern), text)
    }

    #[test]
    fn patterns_have_the_meaning_of_fnmatch() {
        for (pattern, text) in [
            ("*", ""),
            ("*.txt", "a/b/c.txt"),
            ("a?c", "a/c"),
            ("[a-c]x[!0-9]", "bxz"),
            ("[]]", "]"),
            ("[!]]", "a"),
            ("[", "["),
            ("[abc", "[abc"),
            ("**a**b*", "xaxbx"),
            ("*aab", "aaaab"),
            ("é?", "éü"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("*.txt", "a.txt.gz"), ("a?c", "ac"), ("[a-c]", "d"), ("A", "a"), ("[!a]", "a"), ("a*b", "ba")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(!fits(&"*a".repeat(30), &"a".repeat(29)));
    }

    #[test]
    fn the_later_pattern_wins_as_in_the_aws_cli() {
        let none = FilterList::default();
        let exported = Filters::new(Some("*.txt"), Some("*"), &none).unwrap();
        assert!(!exported.includes("a.txt"), "include stands before exclude, so nothing is left");
        let ordered: FilterList = json::from_value(json!("-*\n+*.txt\n-secret/*")).unwrap();
        let ordered = Filters::new(None, None, &ordered).unwrap();
        assert!(ordered.includes("a/b.txt"));
        assert!(!ordered.includes("secret/b.txt"));
        assert!(!ordered.includes("a.bin"));
        assert!(Filters::new(None, Some("*.tmp"), &none).unwrap().includes("a.bin"));
        let both = Filters::new(None, Some("*"), &json::from_value(json!(["+keep"])).unwrap()).unwrap();
        assert!(both.includes("keep"));
    }

    #[test]
    fn a_filter_without_a_sign_is_refused() {
        let list: FilterList = json::from_value(json!(["*.txt"])).unwrap();
        let failure = Filters::new(None, None, &list).unwrap_err();
        assert!(failure.message.contains("`+*.txt`"), "{}", failure.message);
    }
}
