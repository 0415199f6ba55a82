//! Which `${...}` in a text are references, and what they refer to.

use std::fmt;

/// Rundeck's prefixes: `${<prefix>.<key>}` is a reference, any other `${...}` is text.
/// Source: <https://docs.rundeck.com/docs/manual/job-workflows.html#context-variables>.
pub const REFERENCE_GROUPS: &[&str] =
    &["option", "unquotedoption", "data", "job", "node", "globals", "export", "exec", "result", "execution", "file"];

/// A reference of a text, such as `${option.name}` or `${2:exec.exitCode@web1}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The step whose scope is meant, from 1; only with `${2:...}`.
    pub step: Option<u32>,
    /// The group, such as `option`; never `unquotedoption`, which is `option` with `raw` set.
    pub group: String,
    /// The key in the group; for outputs of a labelled step `<label>.<output>`.
    pub key: String,
    /// The node whose scope is meant.
    pub node: Option<String>,
    /// The values of all nodes, joined by this delimiter: `,` for `${data.k*}`, `;` for `${data.k*;}`.
    pub join: Option<String>,
    /// `${unquotedoption.x}`: the value is not quoted for the shell.
    pub raw: bool,
}

impl Reference {
    /// Reads what stands between `${` and `}`. `None` if it is no reference.
    /// `is_group` tells of groups beyond [`REFERENCE_GROUPS`], which a global variable step can make.
    pub fn parse(inner: &str, is_group: impl Fn(&str) -> bool) -> Option<Self> {
        let (step, rest) = split_step(inner);
        let (group, key) = rest.split_once('.')?;
        if !(REFERENCE_GROUPS.contains(&group) || is_group(group)) {
            return None;
        }
        // Blanks are for labels of steps; elsewhere they show that the text is something else.
        let blanks_allowed = matches!(group, "data" | "export");
        if key.is_empty() || key.chars().any(|c| c.is_control() || (c.is_whitespace() && !blanks_allowed)) {
            return None;
        }
        if key.starts_with(char::is_whitespace) {
            return None;
        }
        let (key, join) = match key.split_once('*') {
            Some((key, "")) => (key, Some(",".to_owned())),
            Some((key, delimiter)) => (key, Some(delimiter.to_owned())),
            None => (key, None),
        };
        let (key, node) = match key.rsplit_once('@') {
            Some((key, node)) if join.is_none() && group != "option" && !node.is_empty() => {
                (key, Some(node.to_owned()))
            }
            _ => (key, None),
        };
        if key.is_empty() {
            return None;
        }
        let raw = group == "unquotedoption";
        let group = if raw { "option" } else { group };
        Some(Self { step, group: group.to_owned(), key: key.to_owned(), node, join, raw })
    }

    /// Reads what stands between the `@` of `@option.x@` in a script; a node follows after `/`.
    pub fn parse_token(inner: &str, is_group: impl Fn(&str) -> bool) -> Option<Self> {
        if inner.contains(char::is_whitespace) {
            return None;
        }
        let (inner, node) = match inner.split_once('/') {
            Some((inner, node)) if !node.is_empty() => (inner, Some(node.to_owned())),
            Some(_) => return None,
            None => (inner, None),
        };
        let mut reference = Self::parse(inner, is_group)?;
        reference.node = node.or(reference.node);
        Some(reference)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("${")?;
        if let Some(step) = self.step {
            write!(formatter, "{step}:")?;
        }
        write!(formatter, "{}{}.{}", if self.raw { "unquoted" } else { "" }, self.group, self.key)?;
        if let Some(node) = &self.node {
            write!(formatter, "@{node}")?;
        }
        match self.join.as_deref() {
            Some(",") => formatter.write_str("*")?,
            Some(delimiter) => write!(formatter, "*{delimiter}")?,
            None => {}
        }
        formatter.write_str("}")
    }
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stays as it is.
    Text(&'a str),
    /// A reference, and where it begins in the text, in bytes.
    Reference(Reference, usize),
}

fn split_step(inner: &str) -> (Option<u32>, &str) {
    match inner.split_once(':') {
        Some((digits, rest)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            match digits.parse() {
                Ok(step) => (Some(step), rest),
                Err(_) => (None, inner),
            }
        }
        _ => (None, inner),
    }
}

/// Cuts a text at its `${...}` references. The pieces, put together again, are the text.
///
/// A key holds no `{`, so every byte is looked at no more than twice however the text is made.
pub fn pieces<'a>(text: &'a str, is_group: impl Fn(&str) -> bool) -> Vec<Piece<'a>> {
    let mut found = Vec::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(start) = find(text, at, "${") {
        let inner_start = start + 2;
        let rest = text.get(inner_start..).unwrap_or_default();
        let end = rest.find(['}', '{', '\n']).filter(|end| rest.as_bytes().get(*end) == Some(&b'}'));
        let reference =
            end.and_then(|end| Reference::parse(rest.get(..end)?, &is_group).map(|reference| (reference, end)));
        match reference {
            Some((reference, end)) => {
                push_text(&mut found, text.get(kept..start));
                found.push(Piece::Reference(reference, start));
                at = inner_start + end + 1;
                kept = at;
            }
            None => at = inner_start,
        }
    }
    push_text(&mut found, text.get(kept..));
    found
}

/// Cuts a script at its `@option.x@` references.
pub fn script_pieces<'a>(text: &'a str, is_group: impl Fn(&str) -> bool) -> Vec<Piece<'a>> {
    let mut found = Vec::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(start) = find(text, at, "@") {
        let inner_start = start + 1;
        let rest = text.get(inner_start..).unwrap_or_default();
        let Some(end) = rest.find(|c: char| c == '@' || c.is_whitespace()) else { break };
        let reference = if rest.as_bytes().get(end) == Some(&b'@') {
            rest.get(..end).and_then(|inner| Reference::parse_token(inner, &is_group))
        } else {
            None
        };
        match reference {
            Some(reference) => {
                push_text(&mut found, text.get(kept..start));
                found.push(Piece::Reference(reference, start));
                at = inner_start + end + 1;
                kept = at;
            }
            // The closing `@` may open the next one.
            None => at = inner_start + end,
        }
    }
    push_text(&mut found, text.get(kept..));
    found
}

/// The references of a text, with the byte where each begins.
pub fn references(text: &str) -> Vec<(Reference, usize)> {
    only_references(pieces(text, |_| false))
}

/// The `@...@` references of a script, with the byte where each begins.
pub fn script_references(text: &str) -> Vec<(Reference, usize)> {
    only_references(script_pieces(text, |_| false))
}

fn only_references(pieces: Vec<Piece<'_>>) -> Vec<(Reference, usize)> {
    pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Reference(reference, at) => Some((reference, at)),
            Piece::Text(_) => None,
        })
        .collect()
}

fn find(text: &str, from: usize, needle: &str) -> Option<usize> {
    Some(text.get(from..)?.find(needle)? + from)
}

fn push_text<'a>(pieces: &mut Vec<Piece<'a>>, text: Option<&'a str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        pieces.push(Piece::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str) -> Option<Reference> {
        Reference::parse(inner, |_| false)
    }

    #[test]
    fn every_form_is_read() {
        for text in [
            "${option.name}",
            "${unquotedoption.name}",
            "${data.k*}",
            "${data.k*;}",
            "${data.k@web1}",
            "${2:exec.exitCode@web1}",
            "${data.Start the VM.state}",
            "${node.ECS:Container-Image}",
        ] {
            let found = references(text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].0.to_string(), text);
        }
        let joined = parse("data.k*;").expect("a reference");
        assert_eq!((joined.key.as_str(), joined.join.as_deref()), ("k", Some(";")));
    }

    #[test]
    fn anything_else_is_text() {
        for text in [
            "${HOME}",
            "${x:-${y}}",
            "${ option.x}",
            "${option.a b}",
            "${foo.bar}",
            "${option.}",
            "$option.x",
            "${option.x",
        ] {
            assert_eq!(references(text), [], "{text}");
        }
    }

    #[test]
    fn scripts_have_their_own_form() {
        let found =
            script_references("me@example.org @option.x@@option.y@ @ option.z@ @exec.exitCode/web1@ ${option.no}");
        let names: Vec<String> = found.iter().map(|(reference, _)| reference.to_string()).collect();
        assert_eq!(names, ["${option.x}", "${option.y}", "${exec.exitCode@web1}"]);
    }
}
