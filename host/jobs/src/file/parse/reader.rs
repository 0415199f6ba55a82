//! Taking typed values out of maps, with every problem noted instead of stopping at the first.

use crate::file::{Located, Position, Problem, UnusedKey};
use crate::suggest::nearest;

use super::node::{Node, NodeKind};

/// Collects what reading a file finds.
pub(super) struct Reader<'file> {
    pub(super) file: &'file str,
    pub(super) problems: Vec<Problem>,
    pub(super) remarks: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn error(&mut self, position: Position, code: &str, message: impl Into<String>) {
        self.problems.push(Problem::error(self.file, position, code, message));
    }

    pub(super) fn error_with_help(
        &mut self,
        position: Position,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::error(self.file, position, code, message).with_help(help));
    }

    pub(super) fn warning(
        &mut self,
        position: Position,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.remarks.push(Problem::warning(self.file, position, code, message).with_help(help));
    }

    /// The items of a list; a single value counts as a list of one, which is how older exports write it.
    pub(super) fn list<'node>(&mut self, node: &'node Node, what: &str, single: bool) -> &'node [Node] {
        match &node.kind {
            NodeKind::List(items) => items,
            NodeKind::Null => &[],
            _ if single => std::slice::from_ref(node),
            _ => {
                self.wrong_type(node.position, what, "a list", node.describe());
                &[]
            }
        }
    }

    /// The text of a scalar as it stands in the file.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<Located<String>> {
        match &node.kind {
            NodeKind::Scalar { text, .. } => Some(Located::new(text.clone(), node.position)),
            NodeKind::Null => None,
            NodeKind::List(_) | NodeKind::Map(_) => {
                self.wrong_type(node.position, what, "text", node.describe());
                None
            }
        }
    }

    /// A yes or no, also as text.
    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let text = self.text(node, what)?;
        if text.value.trim().is_empty() {
            return None;
        }
        let value = parse_boolean(&text.value);
        if value.is_none() {
            let message = format!("`{what}` is `{}`, which is neither true nor false", clip(&text.value));
            self.error_with_help(text.position, "wrong-type", message, "write `true` or `false`");
        }
        value
    }

    fn wrong_type(&mut self, position: Position, what: &str, wanted: &str, found: &str) {
        let what = if what.contains(' ') { what.to_owned() } else { format!("`{what}`") };
        self.error(position, "wrong-type", format!("{what} must be {wanted}, this is {found}"));
    }

    /// Opens a map for reading.
    pub(super) fn map<'node>(&mut self, node: &'node Node, what: &str) -> Option<Fields<'node>> {
        match &node.kind {
            NodeKind::Map(entries) => {
                Some(Fields { position: node.position, entries, taken: vec![false; entries.len()] })
            }
            _ => {
                self.wrong_type(node.position, what, "a map", node.describe());
                None
            }
        }
    }
}

/// A boolean in the spellings that YAML 1.1, which Rundeck reads, has for it.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A text short enough for a message.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    let mut clipped: String = line.chars().take(LONGEST).collect();
    if clipped.len() < text.trim_end().len() {
        clipped.push('…');
    }
    clipped
}

/// The entries of a map, of which each is taken at most once; what is left at the end is unknown.
pub(super) struct Fields<'node> {
    pub(super) position: Position,
    entries: &'node [(Located<String>, Node)],
    taken: Vec<bool>,
}

impl<'node> Fields<'node> {
    /// The entry of this name, with the place of its key.
    pub(super) fn entry(&mut self, name: &str) -> Option<(Position, &'node Node)> {
        let index = self.entries.iter().position(|(key, _)| key.value == name)?;
        if let Some(taken) = self.taken.get_mut(index) {
            *taken = true;
        }
        self.entries.get(index).map(|(key, node)| (key.position, node))
    }

    /// The value of this name; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<&'node Node> {
        self.entry(name).map(|(_, node)| node).filter(|node| !matches!(node.kind, NodeKind::Null))
    }

    /// Whether the key is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, node)| key.value == name && !matches!(node.kind, NodeKind::Null))
    }

    pub(super) fn text(&mut self, reader: &mut Reader<'_>, name: &str) -> Option<Located<String>> {
        self.take(name).and_then(|node| reader.text(node, name))
    }

    /// Text that is not blank.
    pub(super) fn filled(&mut self, reader: &mut Reader<'_>, name: &str) -> Option<Located<String>> {
        self.text(reader, name).filter(|text| !text.value.trim().is_empty())
    }

    pub(super) fn plain(&mut self, reader: &mut Reader<'_>, name: &str) -> Option<String> {
        self.filled(reader, name).map(|text| text.value)
    }

    pub(super) fn boolean(&mut self, reader: &mut Reader<'_>, name: &str) -> Option<bool> {
        self.take(name).and_then(|node| reader.boolean(node, name))
    }

    pub(super) fn flag(&mut self, reader: &mut Reader<'_>, name: &str) -> bool {
        self.boolean(reader, name).unwrap_or(false)
    }

    /// Text that must be there and not blank.
    pub(super) fn required(&mut self, reader: &mut Reader<'_>, name: &str, whose: &str) -> Option<Located<String>> {
        let present = self.entry(name);
        match present {
            Some((_, node)) if !matches!(node.kind, NodeKind::Null) => {
                let text = reader.text(node, name)?;
                if text.value.trim().is_empty() {
                    reader.error(text.position, "missing-key", format!("`{name}` of {whose} is blank"));
                    return None;
                }
                Some(text)
            }
            Some((position, _)) => {
                reader.error(position, "missing-key", format!("`{name}` of {whose} is blank"));
                None
            }
            None => {
                reader.error(self.position, "missing-key", format!("{whose} has no `{name}`"));
                None
            }
        }
    }

    /// Notes keys that Rundeck acts on and that say something here.
    pub(super) fn unused(&mut self, prefix: &str, names: &[&str], found: &mut Vec<UnusedKey>) {
        for name in names {
            if let Some((position, node)) = self.entry(name)
                && !node.is_empty()
            {
                found.push(UnusedKey { key: format!("{prefix}{name}"), position });
            }
        }
    }

    /// Reads keys that have no meaning outside of Rundeck's own database.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.entry(name);
        }
    }

    /// Warns of every key that nothing has read. `known` are the keys for suggestions.
    pub(super) fn finish(self, reader: &mut Reader<'_>, whose: &str, known: &[&str]) {
        for ((key, _), taken) in self.entries.iter().zip(&self.taken) {
            if *taken {
                continue;
            }
            let message = format!("`{}` is no key of {whose}", clip(&key.value));
            let help = match nearest(&key.value, known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "it is ignored; remove it, or check its spelling".to_owned(),
            };
            reader.warning(key.position, "unknown-key", message, help);
        }
    }
}
