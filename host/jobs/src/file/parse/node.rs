//! YAML as a tree in which every key and value knows its place.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span, options};

use crate::file::{Located, Position, Problem};

/// Largest file that is read. Rundeck's exports are kilobytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting; a job with an error handler and log filters needs 12.
const MAX_DEPTH: usize = 64;
/// Most nodes after aliases were expanded, so that a few lines of aliases cannot fill the memory.
const MAX_NODES: usize = 500_000;
/// Most bytes of text after aliases were expanded.
const MAX_TEXT: usize = 4 * MAX_BYTES;

/// Most keys of one map, so that looking for duplicates stays cheap.
const MAX_KEYS: usize = 2_000;
/// Longest key in bytes.
const MAX_KEY: usize = 256;
/// How deep below a step's configuration places are remembered; below, the place of the level above is told.
const POINTER_DEPTH: usize = 3;

/// A value of a YAML file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) kind: NodeKind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Null,
    /// Any scalar, as it was written. `plain` ones may be numbers and booleans.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Located<String>, Node)>),
}

impl Node {
    /// What it is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Scalar { .. } => "text",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match &self.kind {
            NodeKind::Null => true,
            NodeKind::Scalar { text, .. } => text.is_empty(),
            NodeKind::List(items) => items.is_empty(),
            NodeKind::Map(entries) => entries.is_empty(),
        }
    }

    /// The JSON value of it. A number that JSON would write differently (`1.10`, `007`) stays text, so that nothing
    /// is lost if the text is what was meant.
    pub(super) fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Scalar { text, plain: false } => Value::String(text.clone()),
            NodeKind::Scalar { text, plain: true } => plain_value(text),
            NodeKind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            NodeKind::Map(entries) => Value::Object(
                entries.iter().map(|(key, node)| (key.value.clone(), node.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// Calls `visit` with the JSON pointer and the place of this node and of those below it.
    pub(super) fn positions(&self, pointer: &str, visit: &mut impl FnMut(&str, Position)) {
        visit(pointer, self.position);
        if pointer.matches('/').count() >= POINTER_DEPTH {
            return;
        }
        match &self.kind {
            NodeKind::Null | NodeKind::Scalar { .. } => {}
            NodeKind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.positions(&format!("{pointer}/{index}"), visit);
                }
            }
            NodeKind::Map(entries) => {
                for (key, node) in entries {
                    node.positions(&format!("{pointer}/{}", escape_pointer(&key.value)), visit);
                }
            }
        }
    }
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(crate) fn escape_pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A plain scalar as YAML's core schema reads it.
fn plain_value(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let number = text
        .parse::<i64>()
        .map(Number::from)
        .or_else(|_| text.parse::<u64>().map(Number::from))
        .ok()
        .or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
    match number {
        Some(number) if number.to_string() == text => Value::Number(number),
        _ => Value::String(text.to_owned()),
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn position(marker: Marker) -> Position {
    let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: clamp(marker.line()), column: clamp(marker.col().saturating_add(1)) }
}

/// Where a node's own text begins: at its tag, if it has one.
fn start(span: &Span) -> Position {
    position(span.tag_start().unwrap_or(span.start))
}

/// Reads the documents of a file.
///
/// # Errors
/// What keeps the file from being YAML, or the limit that it exceeds. Documents before the fault are lost, since a
/// file that is half read would show problems that are none.
pub(super) fn read_documents(text: &str, file: &str) -> Result<Vec<Node>, Vec<Problem>> {
    let beginning = Position { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        return Err(vec![Problem::error(file, beginning, "too-large", message)]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut settings = options! { block_nesting_limit: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH };
    settings.set_emit_comments(false);
    let mut tree = Tree::new(file);
    for event in Parser::new_from_str_with_options(text, settings) {
        match event {
            Ok((event, span)) => tree.take(event, &span).map_err(|problem| vec![*problem])?,
            Err(error) => {
                let problem = Problem::error(
                    file,
                    position(*error.marker()),
                    "yaml",
                    format!("this is no YAML: {}", error.info()),
                )
                .with_help(
                    "a value with `: `, ` #` or a leading `*`, `&`, `%`, `@` or `{` needs quotes; tabs cannot indent",
                );
                return Err(vec![problem]);
            }
        }
    }
    if tree.problems.is_empty() { Ok(tree.documents) } else { Err(tree.problems) }
}

/// A list or map that is not closed yet.
enum Open {
    List { node: Node, anchor: usize },
    Map { node: Node, anchor: usize, key: Option<Located<String>>, merges: Vec<Node> },
}

struct Tree<'file> {
    file: &'file str,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Weight)>,
    weight: Weight,
    problems: Vec<Problem>,
}

/// How much of the limits something takes.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    text: usize,
    depth: usize,
}

fn weigh(node: &Node) -> Weight {
    let children = |weight: Weight, child: &Node| {
        let below = weigh(child);
        Weight {
            nodes: weight.nodes.saturating_add(below.nodes),
            text: weight.text.saturating_add(below.text),
            depth: weight.depth.max(below.depth.saturating_add(1)),
        }
    };
    let own = Weight { nodes: 1, text: 0, depth: 1 };
    match &node.kind {
        NodeKind::Null => own,
        NodeKind::Scalar { text, .. } => Weight { text: text.len(), ..own },
        NodeKind::List(items) => items.iter().fold(own, children),
        NodeKind::Map(entries) => entries.iter().fold(own, |weight, (key, child)| {
            let weight = children(weight, child);
            Weight { text: weight.text.saturating_add(key.value.len()), ..weight }
        }),
    }
}

impl<'file> Tree<'file> {
    fn new(file: &'file str) -> Self {
        Self {
            file,
            documents: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            weight: Weight::default(),
            problems: Vec::new(),
        }
    }

    fn fail(&self, position: Position, code: &str, message: String) -> Box<Problem> {
        Box::new(Problem::error(self.file, position, code, message))
    }

    /// Counts a node against the limits.
    fn count(&mut self, weight: Weight, at: Position) -> Result<(), Box<Problem>> {
        self.weight.nodes = self.weight.nodes.saturating_add(weight.nodes);
        self.weight.text = self.weight.text.saturating_add(weight.text);
        if self.weight.nodes > MAX_NODES || self.weight.text > MAX_TEXT {
            return Err(self.fail(at, "too-large", "with its aliases expanded, the file is too large".to_owned()));
        }
        if self.open.len().saturating_add(weight.depth) > MAX_DEPTH {
            return Err(self.fail(at, "too-deep", format!("values are nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Box<Problem>> {
        let at = start(span);
        match event {
            Event::Alias(anchor) => {
                let Some((node, weight)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.fail(at, "alias", "an alias stands inside of what it refers to".to_owned()));
                };
                self.count(weight, at)?;
                self.place(node, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                self.count(Weight { nodes: 1, text: text.len(), depth: 1 }, at)?;
                let kind = if plain && is_null(&text) {
                    NodeKind::Null
                } else {
                    NodeKind::Scalar { text: text.into_owned(), plain }
                };
                self.place(Node { position: at, kind }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.count(Weight { nodes: 1, text: 0, depth: 1 }, at)?;
                self.open.push(Open::List { node: Node { position: at, kind: NodeKind::List(Vec::new()) }, anchor });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.count(Weight { nodes: 1, text: 0, depth: 1 }, at)?;
                let node = Node { position: at, kind: NodeKind::Map(Vec::new()) };
                self.open.push(Open::Map { node, anchor, key: None, merges: Vec::new() });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { node, anchor }) => self.place(node, anchor),
                Some(Open::Map { mut node, anchor, merges, .. }) => {
                    for merged in merges {
                        self.merge(&mut node, merged);
                    }
                    self.place(node, anchor)
                }
                None => Err(self.fail(at, "yaml", "a list or map is closed that was never opened".to_owned())),
            },
            // Directives, comments and the bounds of documents say nothing about jobs.
            _ => Ok(()),
        }
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Box<Problem>> {
        if anchor != 0 {
            let weight = weigh(&node);
            self.count(Weight { depth: 0, ..weight }, node.position)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List { node: list, .. }) => {
                if let NodeKind::List(items) = &mut list.kind {
                    items.push(node);
                }
            }
            Some(Open::Map { node: map, key, merges, .. }) => match key.take() {
                None => {
                    let text = match node.kind {
                        NodeKind::Scalar { text, .. } => text,
                        NodeKind::Null => "null".to_owned(),
                        NodeKind::List(_) | NodeKind::Map(_) => {
                            let message = format!("a key must be text, this is {}", node.describe());
                            return Err(Box::new(Problem::error(self.file, node.position, "yaml", message)));
                        }
                    };
                    if text.len() > MAX_KEY {
                        let message = format!("a key is longer than {MAX_KEY} bytes");
                        return Err(Box::new(Problem::error(self.file, node.position, "too-large", message)));
                    }
                    *key = Some(Located::new(text, node.position));
                }
                Some(key) if key.value == "<<" => merges.push(node),
                Some(key) => {
                    let NodeKind::Map(entries) = &mut map.kind else { return Ok(()) };
                    if entries.len() >= MAX_KEYS {
                        let message = format!("a map has more than {MAX_KEYS} keys");
                        return Err(Box::new(Problem::error(self.file, key.position, "too-large", message)));
                    }
                    if let Some((first, _)) = entries.iter().find(|(other, _)| other.value == key.value) {
                        let message = format!("the key `{}` is there twice", key.value);
                        let help = format!("it stood first in line {}; remove one of them", first.position.line);
                        self.problems
                            .push(Problem::error(self.file, key.position, "duplicate-key", message).with_help(help));
                    } else {
                        entries.push((key, node));
                    }
                }
            },
        }
        Ok(())
    }

    /// Adds the entries of `<<: *other` that the map does not have itself.
    fn merge(&mut self, node: &mut Node, merged: Node) {
        let NodeKind::Map(entries) = &mut node.kind else { return };
        match merged.kind {
            NodeKind::Map(others) => {
                for (key, value) in others {
                    if !entries.iter().any(|(own, _)| own.value == key.value) {
                        entries.push((key, value));
                    }
                }
            }
            NodeKind::List(items) => {
                for item in items {
                    self.merge(node, item);
                }
            }
            NodeKind::Null | NodeKind::Scalar { .. } => {
                let message = format!("`<<` merges a map, this is {}", merged.describe());
                self.problems.push(Problem::error(self.file, merged.position, "yaml", message));
            }
        }
    }
}
