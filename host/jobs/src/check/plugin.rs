//! Plugin steps: whether the plugin is there, and whether its configuration fits.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::builtin::{builtin_settings, is_builtin, known_builtin_steps};
use crate::context::references;
use crate::file::{Located, Position, Problem, Severity, clip, escape_pointer};
use crate::steps::PluginCatalog;
use crate::suggest::{nearest, nearest_above};

use super::CheckOptions;
use super::coerce::{ConfigurationProblem, ConfigurationSchema, Values, suggest};

/// The plugins, with the schemas that were compiled so far.
pub(super) struct Plugins<'a> {
    catalog: &'a dyn PluginCatalog,
    schemas: RefCell<HashMap<String, Rc<Lookup>>>,
}

/// What is known of a provider id.
pub(super) enum Lookup {
    /// A plugin with a schema.
    Plugin(Box<ConfigurationSchema>),
    /// A plugin whose schema cannot be used.
    BadSchema(String),
    /// A step that is built in and checks its own settings.
    BuiltIn,
    /// Nothing; the nearest provider id and its title, if there is one.
    Missing(Option<(String, String)>),
}

impl<'a> Plugins<'a> {
    pub(super) fn new(catalog: &'a dyn PluginCatalog) -> Self {
        Self { catalog, schemas: RefCell::default() }
    }

    pub(super) fn lookup(&self, provider: &str) -> Rc<Lookup> {
        if let Some(known) = self.schemas.borrow().get(provider) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.find(provider));
        self.schemas.borrow_mut().insert(provider.to_owned(), Rc::clone(&found));
        found
    }

    fn find(&self, provider: &str) -> Lookup {
        if is_builtin(provider) {
            return Lookup::BuiltIn;
        }
        if let Some(summary) = self.catalog.plugin(provider) {
            return match ConfigurationSchema::new(&summary.input_schema) {
                Ok(schema) => Lookup::Plugin(Box::new(schema)),
                Err(reason) => Lookup::BadSchema(reason),
            };
        }
        let providers = self.catalog.providers();
        let titled: Vec<(String, String)> = providers
            .into_iter()
            .map(|name| {
                let title = self.catalog.plugin(&name).map(|summary| summary.title).unwrap_or_default();
                (name, title)
            })
            .chain(known_builtin_steps().iter().map(|name| ((*name).to_owned(), String::new())))
            .collect();
        let by_name = nearest(provider, titled.iter().map(|(name, _)| name.as_str()));
        let by_title = || nearest(provider, titled.iter().map(|(_, title)| title.as_str()));
        // Something near at all is better than nothing: people look for what a plugin is called here.
        let far = || nearest_above(0.3, provider, titled.iter().map(|(name, _)| name.as_str()));
        let near = by_name
            .and_then(|name| titled.iter().find(|(other, _)| other == name))
            .or_else(|| by_title().and_then(|title| titled.iter().find(|(_, other)| other == title)))
            .or_else(|| far().and_then(|name| titled.iter().find(|(other, _)| other == name)));
        Lookup::Missing(near.cloned())
    }
}

/// The configuration of one step, with its places.
pub(super) struct Configured<'a> {
    pub(super) file: &'a str,
    pub(super) provider: &'a Located<String>,
    pub(super) configuration: &'a IndexMap<String, Value>,
    pub(super) positions: &'a BTreeMap<String, Position>,
}

impl Configured<'_> {
    /// The place of a JSON pointer, or of the nearest one above it.
    pub(super) fn position(&self, pointer: &str) -> Position {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.positions.get(pointer) {
                return *position;
            }
            match pointer.rsplit_once('/') {
                Some((above, _)) => pointer = above,
                None => return self.provider.position,
            }
        }
    }

    fn report(&self, found: ConfigurationProblem, severity: Severity, problems: &mut Vec<Problem>) {
        let position = self.position(&found.pointer);
        let mut problem = Problem::new(severity, self.file, position, found.code, found.message);
        problem.help = found.help;
        problems.push(problem);
    }

    /// Checks a step of which the plugin is known.
    pub(super) fn check(&self, lookup: &Lookup, options: &CheckOptions, problems: &mut Vec<Problem>) {
        let schema = match lookup {
            Lookup::Plugin(schema) => schema,
            Lookup::BuiltIn => {
                self.check_unknown(builtin_settings(&self.provider.value), Severity::Warning, problems);
                return;
            }
            Lookup::BadSchema(reason) => {
                let message =
                    format!("the plugin `{}` describes its settings wrongly: {reason}", clip(&self.provider.value));
                problems.push(
                    Problem::error(self.file, self.provider.position, "bad-schema", message)
                        .with_help("this is a defect of the plugin; tell its author"),
                );
                return;
            }
            Lookup::Missing(near) => {
                let severity = if options.missing_plugins_fail_step { Severity::Warning } else { Severity::Error };
                let message = format!("the plugin `{}` is not installed", clip(&self.provider.value));
                let help = match near {
                    Some((name, title)) if title.is_empty() => format!("the nearest installed one is `{name}`"),
                    Some((name, title)) => format!("the nearest installed one is `{name}` ({title})"),
                    None => "`outrigger plugin list` shows what is installed".to_owned(),
                };
                problems.push(
                    Problem::new(severity, self.file, self.provider.position, "missing-plugin", message)
                        .with_help(help),
                );
                return;
            }
        };
        self.check_configuration(schema, problems);
    }

    fn check_unknown(&self, known: &[&str], severity: Severity, problems: &mut Vec<Problem>) {
        for key in self.configuration.keys().filter(|key| !known.contains(&key.as_str())) {
            let found = ConfigurationProblem {
                pointer: format!("/{}", escape_pointer(key)),
                code: "unknown-property",
                message: format!("`{}` is no property of `{}`", clip(key), clip(&self.provider.value)),
                help: suggest(key, known),
            };
            self.report(found, severity, problems);
        }
    }

    fn check_configuration(&self, schema: &ConfigurationSchema, problems: &mut Vec<Problem>) {
        let known = schema.properties();
        let unknown_severity = if schema.is_closed() { Severity::Error } else { Severity::Warning };
        self.check_unknown(&known, unknown_severity, problems);
        let mut literal = Map::new();
        let mut referring = Vec::new();
        for (key, value) in self.configuration.iter().filter(|(key, _)| known.contains(&key.as_str())) {
            if has_references(value) {
                referring.push(key.as_str());
            } else {
                literal.insert(key.clone(), value.clone());
            }
        }
        let (coerced, complete) = match schema.coerce(&literal, Values::Shown) {
            Ok(coerced) => (coerced, referring.is_empty()),
            Err(found) => {
                let failed: Vec<String> =
                    found.iter().filter_map(|problem| problem.pointer.split('/').nth(1).map(str::to_owned)).collect();
                for problem in found {
                    self.report(problem, Severity::Error, problems);
                }
                literal.retain(|key, _| !failed.contains(&escape_pointer(key)));
                referring.extend(
                    self.configuration.keys().map(String::as_str).filter(|key| failed.contains(&escape_pointer(key))),
                );
                (schema.coerce(&literal, Values::Shown).unwrap_or_default(), false)
            }
        };
        if complete {
            for found in schema.validate(&coerced, Values::Shown) {
                self.report(found, Severity::Error, problems);
            }
            return;
        }
        for name in schema.required() {
            if !coerced.contains_key(name) && !referring.contains(&name) {
                let found = ConfigurationProblem {
                    pointer: String::new(),
                    code: "missing-property",
                    message: format!("the configuration has no `{name}`, which is required"),
                    help: None,
                };
                self.report(found, Severity::Error, problems);
            }
        }
        for (key, value) in &coerced {
            for found in schema.validate_property(key, value, Values::Shown) {
                self.report(found, Severity::Error, problems);
            }
        }
    }

    /// Calls `visit` with every text of the configuration, its place and its JSON pointer.
    pub(super) fn texts(&self, visit: &mut impl FnMut(&str, Position, &str)) {
        for (key, value) in self.configuration {
            let pointer = format!("/{}", escape_pointer(key));
            texts_below(value, &pointer, &mut |text, pointer| visit(text, self.position(pointer), pointer));
        }
    }
}

fn texts_below(value: &Value, pointer: &str, visit: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(text, pointer),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts_below(item, &format!("{pointer}/{index}"), visit);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                texts_below(item, &format!("{pointer}/{}", escape_pointer(key)), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn has_references(value: &Value) -> bool {
    match value {
        Value::String(text) => !references(text).is_empty(),
        Value::Array(items) => items.iter().any(has_references),
        Value::Object(map) => map.values().any(has_references),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
