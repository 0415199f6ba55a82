//! The values that steps read as `${...}`: options, outputs, and what is known of job and node.

mod expand;
mod quote;
mod reference;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use outrigger_redaction::Secret;
use serde_json::Value;

pub use expand::{ExpandError, ExpandMode, Expanded, MAX_EXPANDED, join_words, split_words, variable_name};
pub use quote::{Unquotable, needs_no_quotes, quote};
pub use reference::{Piece, REFERENCE_GROUPS, Reference, pieces, references, script_pieces, script_references};

/// The node on which a step runs that is dispatched nowhere.
pub const LOCAL_NODE: &str = "local";

/// A value that a reference can name.
#[derive(Clone, Debug, PartialEq)]
pub enum ContextValue {
    /// Text.
    Text(String),
    /// A typed output.
    Json(Value),
    /// A value that must not be shown.
    Secret(Secret),
}

impl ContextValue {
    /// The text that a reference becomes: strings as they are, other JSON values in compact form, null as blank.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) | Self::Json(Value::String(text)) => Cow::Borrowed(text),
            Self::Json(Value::Null) => Cow::Borrowed(""),
            Self::Json(value) => Cow::Owned(value.to_string()),
            Self::Secret(secret) => Cow::Borrowed(secret.expose()),
        }
    }

    /// Whether the value must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }

    /// The value for people and records; `None` for a secret.
    pub fn shown(&self) -> Option<Value> {
        match self {
            Self::Text(text) => Some(Value::String(text.clone())),
            Self::Json(value) => Some(value.clone()),
            Self::Secret(_) => None,
        }
    }
}

impl From<&str> for ContextValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ContextValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The values of a group, such as `option`, by key.
pub type Group = BTreeMap<String, ContextValue>;

type Groups = BTreeMap<String, Group>;

/// From where a reference is looked up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The node of a node step; `None` for a step that runs once.
    pub node: Option<String>,
    /// `result.*`, for an error handler.
    pub result: Option<Group>,
}

impl View {
    /// The view of a step that runs once.
    pub fn global() -> Self {
        Self::default()
    }

    /// The view of a step on a node.
    pub fn node(name: &str) -> Self {
        Self { node: Some(name.to_owned()), result: None }
    }
}

/// What a reference was found to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    /// A value.
    Value(Cow<'a, ContextValue>),
    /// An output of a step that a dry run stopped: its path.
    DependsOn(String),
    /// Nothing.
    Nothing,
}

/// What a step that a dry run stopped would have set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoppedOutputs {
    /// Labels under which its outputs are read.
    pub labels: Vec<String>,
    /// Group and key of each value that is known beforehand.
    pub keys: Vec<(String, String)>,
    /// Whether it may set others, such as those that a log filter finds.
    pub open: bool,
}

/// The values of one job, in three kinds of scope: the whole job, a node, and a step on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataContext {
    global: Groups,
    nodes: BTreeMap<String, Groups>,
    steps: BTreeMap<(u32, String), Groups>,
    /// Values that a stopped step would have set, by group and key.
    pending: BTreeMap<(String, String), String>,
    stopped: Vec<(String, StoppedOutputs)>,
}

impl DataContext {
    /// A context without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value for the whole job.
    pub fn set(&mut self, group: &str, key: &str, value: impl Into<ContextValue>) {
        self.resolve(group, key);
        self.global.entry(group.to_owned()).or_default().insert(key.to_owned(), value.into());
    }

    /// Sets a value on a node.
    pub fn set_on_node(&mut self, node: &str, group: &str, key: &str, value: impl Into<ContextValue>) {
        self.resolve(group, key);
        let groups = self.nodes.entry(node.to_owned()).or_default();
        groups.entry(group.to_owned()).or_default().insert(key.to_owned(), value.into());
    }

    /// Sets a value in the scope that `view` writes to: a node step writes to its node, any other step to the job.
    pub fn set_in(&mut self, view: &View, group: &str, key: &str, value: impl Into<ContextValue>) {
        match &view.node {
            Some(node) => self.set_on_node(node, group, key, value),
            None => self.set(group, key, value),
        }
    }

    /// Sets a value of one step on one node, which is read as `${2:exec.exitCode@node}`.
    pub fn set_of_step(&mut self, step: u32, node: &str, group: &str, key: &str, value: impl Into<ContextValue>) {
        let groups = self.steps.entry((step, node.to_owned())).or_default();
        groups.entry(group.to_owned()).or_default().insert(key.to_owned(), value.into());
    }

    /// Sets a typed output of a step, read as `${data.<label>.<name>}` and `${data.<name>}`.
    pub fn set_output(&mut self, view: &View, labels: &[String], name: &str, value: Value) {
        for label in labels {
            self.set_in(view, "data", &format!("{label}.{name}"), ContextValue::Json(value.clone()));
        }
        self.set_in(view, "data", name, ContextValue::Json(value));
    }

    /// Replaces a whole group of the job's scope.
    pub fn set_group(&mut self, group: &str, values: Group) {
        self.global.insert(group.to_owned(), values);
    }

    /// A group of the job's scope.
    pub fn group(&self, group: &str) -> Option<&Group> {
        self.global.get(group)
    }

    /// A group of a node's scope.
    pub fn node_group(&self, node: &str, group: &str) -> Option<&Group> {
        self.nodes.get(node)?.get(group)
    }

    /// Whether any scope has this group.
    pub fn has_group(&self, group: &str) -> bool {
        self.global.contains_key(group)
            || self.nodes.values().any(|groups| groups.contains_key(group))
            || self.pending.keys().any(|(pending, _)| pending == group)
    }

    /// Remembers what a step would have set, had a dry run not stopped it.
    pub fn stop(&mut self, step: &str, outputs: StoppedOutputs) {
        for (group, key) in &outputs.keys {
            self.pending.insert((group.clone(), key.clone()), step.to_owned());
        }
        self.stopped.push((step.to_owned(), outputs));
    }

    /// Keys of a group that stopped steps would have set.
    pub fn pending_in<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        self.pending.keys().filter(move |(pending, _)| pending == group).map(|(_, key)| key.as_str())
    }

    fn resolve(&mut self, group: &str, key: &str) {
        if !self.pending.is_empty() {
            self.pending.remove(&(group.to_owned(), key.to_owned()));
        }
    }

    /// Looks a reference up: in the node's scope, then in the job's. A job that is dispatched nowhere has one node,
    /// and its values are found from everywhere.
    pub fn find(&self, reference: &Reference, view: &View) -> Found<'_> {
        let (group, key) = (reference.group.as_str(), reference.key.as_str());
        if group == "result"
            && let Some(value) = view.result.as_ref().and_then(|result| result.get(key))
        {
            return Found::Value(Cow::Owned(value.clone()));
        }
        if let Some(step) = self.pending.get(&(group.to_owned(), key.to_owned())) {
            return Found::DependsOn(step.clone());
        }
        let value = if let Some(delimiter) = &reference.join {
            self.joined(group, key, delimiter)
        } else if let Some(step) = reference.step {
            let node = reference.node.as_deref().or(view.node.as_deref()).unwrap_or(LOCAL_NODE);
            self.steps.get(&(step, node.to_owned())).and_then(|groups| get(groups, group, key)).map(Cow::Borrowed)
        } else if let Some(node) = &reference.node {
            self.nodes.get(node).and_then(|groups| get(groups, group, key)).map(Cow::Borrowed)
        } else {
            let node = view.node.as_deref().unwrap_or(LOCAL_NODE);
            let on_node = || self.nodes.get(node).and_then(|groups| get(groups, group, key));
            let global = || get(&self.global, group, key);
            let found = if view.node.is_some() { on_node().or_else(global) } else { global().or_else(on_node) };
            found.map(Cow::Borrowed)
        };
        match value {
            Some(value) => Found::Value(value),
            None => self.stopped_for(group, key),
        }
    }

    fn joined(&self, group: &str, key: &str, delimiter: &str) -> Option<Cow<'_, ContextValue>> {
        let values: Vec<&ContextValue> = self.nodes.values().filter_map(|groups| get(groups, group, key)).collect();
        match values.as_slice() {
            [] => get(&self.global, group, key).map(Cow::Borrowed),
            [one] => Some(Cow::Borrowed(*one)),
            several => {
                let text = several.iter().map(|value| value.text()).collect::<Vec<_>>().join(delimiter);
                let secret = several.iter().any(|value| value.is_secret());
                Some(Cow::Owned(if secret { ContextValue::Secret(Secret::new(text)) } else { text.into() }))
            }
        }
    }

    fn stopped_for(&self, group: &str, key: &str) -> Found<'_> {
        if !matches!(group, "data" | "export" | "exec") {
            return Found::Nothing;
        }
        let labelled = self.stopped.iter().rev().find(|(_, outputs)| {
            outputs
                .labels
                .iter()
                .any(|label| key.strip_prefix(label.as_str()).is_some_and(|rest| rest.starts_with('.')))
        });
        match labelled.or_else(|| self.stopped.iter().rev().find(|(_, outputs)| outputs.open)) {
            Some((step, _)) => Found::DependsOn(step.clone()),
            None => Found::Nothing,
        }
    }

    /// The environment of native steps: `RD_<GROUP>_<KEY>` for every value that `view` sees, with everything but
    /// letters and digits as `_`. Secrets are among them; values over 100,000 bytes are left out, since an operating
    /// system refuses to start a program with them.
    pub fn environment(&self, view: &View) -> BTreeMap<String, ContextValue> {
        let mut environment = BTreeMap::new();
        let node = self.nodes.get(view.node.as_deref().unwrap_or(LOCAL_NODE));
        for groups in [Some(&self.global), node].into_iter().flatten() {
            for (group, values) in groups {
                add(&mut environment, group, values);
            }
        }
        if let Some(result) = &view.result {
            add(&mut environment, "result", result);
        }
        environment
    }

    /// The values of all scopes for people, as group → key → text; secrets as `****`.
    pub fn shown(&self, view: &View) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut shown: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let node = self.nodes.get(view.node.as_deref().unwrap_or(LOCAL_NODE));
        for (group, values) in [Some(&self.global), node].into_iter().flatten().flatten() {
            let group = shown.entry(group.clone()).or_default();
            for (key, value) in values {
                let text = if value.is_secret() { "****".to_owned() } else { value.text().into_owned() };
                group.insert(key.clone(), text);
            }
        }
        shown
    }
}

fn get<'a>(groups: &'a Groups, group: &str, key: &str) -> Option<&'a ContextValue> {
    groups.get(group)?.get(key)
}

const MAX_VARIABLE: usize = 100_000;

fn add(environment: &mut BTreeMap<String, ContextValue>, group: &str, values: &Group) {
    for (key, value) in values {
        let text = value.text();
        if text.len() <= MAX_VARIABLE && !text.contains('\0') {
            environment.insert(variable_name(group, key), value.clone());
        }
    }
}
