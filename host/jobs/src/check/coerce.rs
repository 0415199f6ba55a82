//! A step's configuration against the schema of its plugin.
//!
//! Job files write most values as text, so text is turned into the schema's type first; what is left is checked as
//! JSON Schema. Checking a file and running a step go through the same two functions.

use std::fmt;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Number, Value};

use crate::file::{clip, escape_pointer, parse_boolean};
use crate::suggest::nearest;

/// Most steps through `$ref`, `anyOf` and the like before a schema counts as endless.
const MAX_HOPS: usize = 1_000;

/// What is wrong with one value of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationProblem {
    /// JSON pointer of the value, such as `/instanceIds/0`; blank for the whole configuration.
    pub pointer: String,
    /// A stable name of this class of problem, such as `wrong-type`.
    pub code: &'static str,
    /// What is wrong. Values are in it only where [`Values::Shown`] was asked for.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
}

impl fmt::Display for ConfigurationProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConfigurationProblem {}

/// Whether messages may hold the values that they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Values of a job file.
    Shown,
    /// Values of a run, among which are secrets.
    Hidden,
}

/// The schema of a plugin's configuration, compiled.
#[derive(Debug)]
pub struct ConfigurationSchema {
    schema: Value,
    validator: Validator,
}

impl ConfigurationSchema {
    /// Compiles a schema. It may refer to its own parts alone: no address and no file is read.
    ///
    /// # Errors
    /// A sentence on why it is no usable schema.
    pub fn new(schema: &Value) -> Result<Self, String> {
        let validator = compile(schema)?;
        Ok(Self { schema: schema.clone(), validator })
    }

    /// Turns text into the schema's types and leaves out what is null; see [`coerce_configuration`].
    ///
    /// # Errors
    /// Every text that cannot be turned into the type of its property.
    pub fn coerce(
        &self,
        configuration: &Map<String, Value>,
        values: Values,
    ) -> Result<Map<String, Value>, Vec<ConfigurationProblem>> {
        coerce(&self.schema, configuration, values)
    }

    /// Checks a coerced configuration.
    pub fn validate(&self, configuration: &Map<String, Value>, values: Values) -> Vec<ConfigurationProblem> {
        let instance = Value::Object(configuration.clone());
        let mut problems = Vec::new();
        for error in self.validator.iter_errors(&instance) {
            self.explain(&error, values, &mut problems);
        }
        problems
    }

    /// Checks the values of some properties alone, as if no other were there.
    pub(crate) fn validate_property(&self, name: &str, value: &Value, values: Values) -> Vec<ConfigurationProblem> {
        let Some(property) = self.property(name) else { return Vec::new() };
        let mut wrapped = Map::new();
        for key in ["$schema", "$defs", "definitions"] {
            if let Some(shared) = self.schema.get(key) {
                wrapped.insert(key.to_owned(), shared.clone());
            }
        }
        wrapped.insert("properties".to_owned(), serde_json::json!({ name: property }));
        let Ok(validator) = compile(&Value::Object(wrapped)) else { return Vec::new() };
        let mut problems = Vec::new();
        for error in validator.iter_errors(&serde_json::json!({ name: value })) {
            self.explain(&error, values, &mut problems);
        }
        problems
    }

    /// The schema of a property.
    pub(crate) fn property(&self, name: &str) -> Option<&Value> {
        find_below(&self.schema, &self.schema, &mut 0, &mut |schema| schema.get("properties")?.get(name))
    }

    /// The names of all properties.
    pub(crate) fn properties(&self) -> Vec<&str> {
        let mut names = Vec::new();
        walk(&self.schema, &self.schema, &mut 0, &mut |schema| {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                names.extend(properties.keys().map(String::as_str));
            }
        });
        names
    }

    /// The names of the properties that must be there.
    pub(crate) fn required(&self) -> Vec<&str> {
        self.schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }

    /// Whether a property that the schema does not name is an error.
    pub(crate) fn is_closed(&self) -> bool {
        let closed = |key| self.schema.get(key) == Some(&Value::Bool(false));
        closed("additionalProperties") || closed("unevaluatedProperties")
    }

    /// Whether the property at a pointer takes a secret.
    pub(crate) fn takes_secret(&self, pointer: &str) -> bool {
        let mut schema = &self.schema;
        for part in pointer.split('/').skip(1) {
            let key = part.replace("~1", "/").replace("~0", "~");
            let child = find_below(&self.schema, schema, &mut 0, &mut |candidate| {
                candidate
                    .get("properties")
                    .and_then(|properties| properties.get(&key))
                    .or_else(|| key.parse::<usize>().ok().and_then(|_| candidate.get("items")))
                    .or_else(|| candidate.get("additionalProperties").filter(|other| other.is_object()))
            });
            let Some(child) = child else { return false };
            schema = child;
            if find_below(&self.schema, schema, &mut 0, &mut |candidate| is_secret(candidate).then_some(candidate))
                .is_some()
            {
                return true;
            }
        }
        false
    }

    fn explain(&self, error: &ValidationError<'_>, values: Values, problems: &mut Vec<ConfigurationProblem>) {
        let pointer = error.instance_path().as_str().to_owned();
        let place = name_place(&pointer);
        let shown = match (values, error.instance().as_ref()) {
            (Values::Hidden, _) => String::new(),
            (Values::Shown, Value::String(text)) => format!(" is `{}`, which", clip(text)),
            (Values::Shown, other) => format!(" is `{}`, which", clip(&other.to_string())),
        };
        let mut push = |pointer: String, code: &'static str, message: String, help: Option<String>| {
            problems.push(ConfigurationProblem { pointer, code, message, help });
        };
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let whose = if pointer.is_empty() { "the configuration".to_owned() } else { place };
                push(pointer, "missing-property", format!("{whose} has no `{name}`, which is required"), None);
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.properties();
                for name in unexpected {
                    let help = if pointer.is_empty() { suggest(name, &known) } else { None };
                    let at = format!("{pointer}/{}", escape_pointer(name));
                    push(at, "unknown-property", format!("`{}` is no property of this plugin", clip(name)), help);
                }
            }
            ValidationErrorKind::Type { kind } => {
                let wanted = match kind {
                    TypeKind::Single(one) => one.to_string(),
                    TypeKind::Multiple(several) => several
                        .iter()
                        .map(|one| one.to_string())
                        .filter(|name| name != "null")
                        .collect::<Vec<_>>()
                        .join(" or "),
                };
                push(pointer, "wrong-type", format!("{place} must be {}", name_type(&wanted)), None);
            }
            ValidationErrorKind::Enum { .. }
            | ValidationErrorKind::Constant { .. }
            | ValidationErrorKind::OneOfNotValid { .. }
            | ValidationErrorKind::AnyOf { .. }
                if !self.choices_at(&pointer).is_empty() =>
            {
                let choices = self.choices_at(&pointer);
                let help = match (values, error.instance().as_str()) {
                    (Values::Shown, Some(text)) => nearest(text, choices.iter().map(String::as_str)),
                    _ => None,
                };
                let listed = choices.join(", ");
                let help = match help {
                    Some(near) => format!("did you mean `{near}`? choices: {listed}"),
                    None => format!("choices: {listed}"),
                };
                let shown = if shown.is_empty() { " " } else { &*format!("{shown} ") };
                push(pointer, "wrong-value", format!("{place}{shown}is none of the allowed values"), Some(help));
            }
            ValidationErrorKind::Minimum { limit } | ValidationErrorKind::ExclusiveMinimum { limit } => {
                let bound =
                    if matches!(error.kind(), ValidationErrorKind::Minimum { .. }) { "at least" } else { "more than" };
                push(pointer, "wrong-value", format!("{place} must be {bound} {limit}"), None);
            }
            ValidationErrorKind::Maximum { limit } | ValidationErrorKind::ExclusiveMaximum { limit } => {
                let bound =
                    if matches!(error.kind(), ValidationErrorKind::Maximum { .. }) { "at most" } else { "less than" };
                push(pointer, "wrong-value", format!("{place} must be {bound} {limit}"), None);
            }
            ValidationErrorKind::MinLength { limit: 1 } | ValidationErrorKind::MinItems { limit: 1 } => {
                push(pointer, "missing-property", format!("{place} must not be empty"), None);
            }
            ValidationErrorKind::Pattern { pattern } => {
                let shown = if shown.is_empty() { " " } else { &*format!("{shown} ") };
                let help = Some(format!("the pattern is `{}`", clip(pattern)));
                push(pointer, "wrong-value", format!("{place}{shown}does not have the expected form"), help);
            }
            _ => {
                let message = match values {
                    Values::Shown => clip(&error.to_string()),
                    Values::Hidden => clip(&error.masked().to_string()),
                };
                push(pointer, "wrong-value", format!("{place}: {message}"), None);
            }
        }
    }

    /// The values that `enum` and `const` allow at a pointer.
    fn choices_at(&self, pointer: &str) -> Vec<String> {
        let mut schema = &self.schema;
        for part in pointer.split('/').skip(1) {
            let key = part.replace("~1", "/").replace("~0", "~");
            let child = find_below(&self.schema, schema, &mut 0, &mut |candidate| {
                let property = candidate.get("properties").and_then(|properties| properties.get(&key));
                property.or_else(|| key.parse::<usize>().ok().and_then(|_| candidate.get("items")))
            });
            let Some(child) = child else { return Vec::new() };
            schema = child;
        }
        let mut choices = Vec::new();
        walk(&self.schema, schema, &mut 0, &mut |candidate| {
            let listed = candidate.get("enum").and_then(Value::as_array).into_iter().flatten();
            for value in listed.chain(candidate.get("const")).filter(|value| !value.is_null()) {
                choices.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        });
        choices
    }
}

/// Turns the texts of a configuration into the types of its schema, and leaves out what is null.
///
/// Text becomes an integer, a number or a boolean where the schema wants one; a list from a JSON text or from parts
/// between commas and line breaks; a map from a JSON text. Blank text counts as absent where the schema wants no
/// text. Numbers and booleans become text where it wants text alone, and a single value a list of one where it wants
/// a list. Anything else stays as it is, for validation to judge.
///
/// # Errors
/// Every text that cannot be turned into the type of its property; no value is in the messages.
pub fn coerce_configuration(
    schema: &Value,
    configuration: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<ConfigurationProblem>> {
    coerce(schema, configuration, Values::Hidden)
}

fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| clip(&error.to_string()))
}

pub(crate) fn suggest(name: &str, known: &[&str]) -> Option<String> {
    Some(match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it has no properties".to_owned(),
        None => format!("it has {}", known.join(", ")),
    })
}

/// A pointer as people would name the place: `/filters/0/name` as `` `filters[0].name` ``.
fn name_place(pointer: &str) -> String {
    if pointer.is_empty() {
        return "the configuration".to_owned();
    }
    let mut name = String::new();
    for part in pointer.split('/').skip(1) {
        if part.parse::<usize>().is_ok() && !name.is_empty() {
            name.push_str(&format!("[{part}]"));
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    format!("`{name}`")
}

fn name_type(name: &str) -> String {
    match name {
        "string" => "text".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => "a list".to_owned(),
        "object" => "a map".to_owned(),
        other => other.to_owned(),
    }
}

fn is_secret(schema: &Value) -> bool {
    matches!(schema.get("x-outrigger-secret"), Some(value) if value != &Value::Bool(false) && !value.is_null())
}

/// The part of the schema itself that a local `$ref` names.
fn follow<'schema>(root: &'schema Value, schema: &'schema Value) -> Option<&'schema Value> {
    let reference = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(reference)
}

/// Visits a schema and everything that describes the same value: what it refers to, and its alternatives.
fn walk<'schema>(
    root: &'schema Value,
    schema: &'schema Value,
    hops: &mut usize,
    visit: &mut impl FnMut(&'schema Value),
) {
    find_below::<()>(root, schema, hops, &mut |candidate| {
        visit(candidate);
        None
    });
}

/// The first answer of `look` for a schema or for anything that describes the same value.
fn find_below<'schema, T>(
    root: &'schema Value,
    schema: &'schema Value,
    hops: &mut usize,
    look: &mut impl FnMut(&'schema Value) -> Option<T>,
) -> Option<T>
where
    T: Copy,
{
    *hops = hops.saturating_add(1);
    if *hops > MAX_HOPS {
        return None;
    }
    if let Some(found) = look(schema) {
        return Some(found);
    }
    if let Some(target) = follow(root, schema)
        && let Some(found) = find_below(root, target, hops, look)
    {
        return Some(found);
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for alternative in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            if let Some(found) = find_below(root, alternative, hops, look) {
                return Some(found);
            }
        }
    }
    None
}

/// The types that a schema lets a value have; all where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Types {
    string: bool,
    integer: bool,
    number: bool,
    boolean: bool,
    array: bool,
    object: bool,
    known: bool,
}

impl Types {
    fn of(root: &Value, schema: &Value) -> Self {
        let mut types = Self::default();
        walk(root, schema, &mut 0, &mut |candidate| match candidate.get("type") {
            Some(Value::String(name)) => types.add(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(|name| types.add(name)),
            _ => {
                let listed = candidate.get("enum").and_then(Value::as_array).into_iter().flatten();
                listed.chain(candidate.get("const")).for_each(|value| {
                    types.add(match value {
                        Value::Null => "null",
                        Value::Bool(_) => "boolean",
                        Value::Number(number) if number.is_f64() => "number",
                        Value::Number(_) => "integer",
                        Value::String(_) => "string",
                        Value::Array(_) => "array",
                        Value::Object(_) => "object",
                    });
                });
            }
        });
        types
    }

    fn add(&mut self, name: &str) {
        self.known = true;
        match name {
            "string" => self.string = true,
            "integer" => self.integer = true,
            "number" => self.number = true,
            "boolean" => self.boolean = true,
            "array" => self.array = true,
            "object" => self.object = true,
            _ => {}
        }
    }
}

pub(crate) fn coerce(
    schema: &Value,
    configuration: &Map<String, Value>,
    values: Values,
) -> Result<Map<String, Value>, Vec<ConfigurationProblem>> {
    let mut problems = Vec::new();
    let mut coercion = Coercion { root: schema, values, problems: &mut problems };
    let coerced = coercion.object(schema, configuration, "");
    if problems.is_empty() { Ok(coerced) } else { Err(problems) }
}

struct Coercion<'a> {
    root: &'a Value,
    values: Values,
    problems: &'a mut Vec<ConfigurationProblem>,
}

impl Coercion<'_> {
    fn object(&mut self, schema: &Value, map: &Map<String, Value>, pointer: &str) -> Map<String, Value> {
        let mut coerced = Map::new();
        for (key, value) in map {
            let property = find_below(self.root, schema, &mut 0, &mut |candidate| {
                candidate
                    .get("properties")
                    .and_then(|properties| properties.get(key))
                    .or_else(|| candidate.get("additionalProperties").filter(|other| other.is_object()))
            });
            let at = format!("{pointer}/{}", escape_pointer(key));
            let value = match property {
                Some(property) => self.value(property, value, &at),
                None => (!value.is_null()).then(|| value.clone()),
            };
            if let Some(value) = value {
                coerced.insert(key.clone(), value);
            }
        }
        coerced
    }

    /// The value in the schema's type; `None` where it counts as absent.
    fn value(&mut self, schema: &Value, value: &Value, pointer: &str) -> Option<Value> {
        let types = Types::of(self.root, schema);
        match value {
            Value::Null => None,
            Value::String(text) if types.known && !types.string => self.text(schema, types, text, pointer),
            // A choice that is left blank is no choice; only where blank is one of them it stays.
            Value::String(text) if text.is_empty() && self.is_choice(schema) => None,
            Value::Number(_) | Value::Bool(_) if types.known && types.string && !fits(types, value) => {
                Some(Value::String(value.to_string()))
            }
            Value::Number(_) | Value::Bool(_) if types.array && !fits(types, value) => {
                Some(Value::Array(vec![self.item(schema, value, pointer)?]))
            }
            Value::Array(items) => {
                let mut coerced = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    coerced.extend(self.item(schema, item, &format!("{pointer}/{index}")));
                }
                Some(Value::Array(coerced))
            }
            Value::Object(map) => Some(Value::Object(self.object(schema, map, pointer))),
            other => Some(other.clone()),
        }
    }

    fn item(&mut self, schema: &Value, item: &Value, pointer: &str) -> Option<Value> {
        match find_below(self.root, schema, &mut 0, &mut |candidate| candidate.get("items")) {
            Some(items) => self.value(items, item, pointer),
            None => Some(item.clone()),
        }
    }

    fn is_choice(&self, schema: &Value) -> bool {
        let mut choices = false;
        let mut blank = false;
        walk(self.root, schema, &mut 0, &mut |candidate| {
            let listed = candidate.get("enum").and_then(Value::as_array).into_iter().flatten();
            for value in listed.chain(candidate.get("const")) {
                choices = true;
                blank |= value.as_str() == Some("");
            }
        });
        choices && !blank
    }

    fn text(&mut self, schema: &Value, types: Types, text: &str, pointer: &str) -> Option<Value> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return None;
        }
        if (types.integer || types.number)
            && let Some(number) = parse_number(trimmed, types.number)
        {
            return Some(Value::Number(number));
        }
        if types.boolean
            && let Some(value) = parse_boolean(trimmed)
        {
            return Some(Value::Bool(value));
        }
        if types.object
            && trimmed.starts_with('{')
            && let Ok(Value::Object(map)) = serde_json::from_str(trimmed)
        {
            return Some(Value::Object(self.object(schema, &map, pointer)));
        }
        if types.array {
            let items = if trimmed.starts_with('[') {
                serde_json::from_str(trimmed).ok()
            } else {
                let parts = trimmed.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
                Some(parts.map(|part| Value::String(part.to_owned())).collect::<Vec<_>>())
            };
            if let Some(items) = items {
                return self.value(schema, &Value::Array(items), pointer);
            }
        }
        let wanted = [
            (types.integer, "a whole number"),
            (types.number, "a number"),
            (types.boolean, "`true` or `false`"),
            (types.array, "a list, as JSON or with commas"),
            (types.object, "a map, as JSON"),
        ];
        let wanted: Vec<&str> = wanted.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        let shown = match self.values {
            Values::Shown => format!(", this is `{}`", clip(text)),
            Values::Hidden => String::new(),
        };
        let message = format!("{} must be {}{shown}", name_place(pointer), wanted.join(" or "));
        self.problems.push(ConfigurationProblem {
            pointer: pointer.to_owned(),
            code: "wrong-type",
            message,
            help: None,
        });
        None
    }
}

/// Whether a number or boolean is of an allowed type as it is.
fn fits(types: Types, value: &Value) -> bool {
    match value {
        Value::Bool(_) => types.boolean,
        Value::Number(number) => types.number || (types.integer && !number.is_f64()),
        _ => false,
    }
}

fn parse_number(text: &str, fractions: bool) -> Option<Number> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if fractions {
        return Number::from_f64(number);
    }
    // `5.0` is a whole number too, as long as it is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() < EXACT).then(|| Number::from_f64(number))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "count": {"type": "integer", "minimum": 1},
                "ratio": {"type": ["number", "null"]},
                "wait": {"type": "boolean"},
                "ids": {"type": "array", "items": {"type": "string"}},
                "ports": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
                "tags": {"type": "object", "additionalProperties": {"type": "string"}},
                "mode": {"$ref": "#/$defs/Mode"},
                "password": {"type": "string", "x-outrigger-secret": true}
            },
            "required": ["name"],
            "additionalProperties": false,
            "$defs": {"Mode": {"oneOf": [{"const": "reboot"}, {"const": "stop-start"}]}}
        })
    }

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn coerces_texts() {
        let given = map(json!({
            "name": 5, "count": " 5 ", "ratio": "0.5", "wait": "True", "ids": "i-1, i-2,", "ports": "[\"80\", 443]",
            "tags": "{\"a\": 1}", "mode": "", "password": null, "other": "x"
        }));
        let coerced = coerce_configuration(&schema(), &given).expect("coercion");
        assert_eq!(
            Value::Object(coerced),
            json!({
                "name": "5", "count": 5, "ratio": 0.5, "wait": true, "ids": ["i-1", "i-2"], "ports": [80, 443],
                "tags": {"a": "1"}, "other": "x"
            })
        );
        let single =
            coerce_configuration(&schema(), &map(json!({"ports": 80, "count": "", "ids": "[1]"}))).expect("coercion");
        assert_eq!(Value::Object(single), json!({"ports": [80], "ids": ["1"]}));
    }

    #[test]
    fn tells_what_cannot_be_coerced_without_the_value() {
        let given = map(json!({"count": "many", "wait": "perhaps", "tags": "a=b", "ports": "80,web"}));
        let problems = coerce_configuration(&schema(), &given).expect_err("problems");
        let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["/count", "/wait", "/tags", "/ports/1"]);
        assert!(
            problems.iter().all(|problem| !problem.message.contains("many") && !problem.message.contains("perhaps"))
        );
    }

    #[test]
    fn validates_with_help() {
        let compiled = ConfigurationSchema::new(&schema()).expect("a schema");
        let problems = compiled.validate(&map(json!({"nmae": "x", "count": 0, "mode": "stopstart"})), Values::Shown);
        let mut told: Vec<(&str, &str)> =
            problems.iter().map(|problem| (problem.pointer.as_str(), problem.code)).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                ("", "missing-property"),
                ("/count", "wrong-value"),
                ("/mode", "wrong-value"),
                ("/nmae", "unknown-property")
            ]
        );
        let help =
            |code: &str| problems.iter().find(|problem| problem.code == code).and_then(|problem| problem.help.clone());
        assert_eq!(help("unknown-property").as_deref(), Some("did you mean `name`?"));
        assert!(
            problems.iter().any(
                |problem| problem.help.as_deref() == Some("did you mean `stop-start`? choices: reboot, stop-start")
            )
        );
        assert!(compiled.takes_secret("/password"));
        assert!(!compiled.takes_secret("/name"));
    }

    #[test]
    fn hidden_values_stay_hidden() {
        let compiled = ConfigurationSchema::new(&schema()).expect("a schema");
        let secret = "hunter2-hunter2";
        let given = map(json!({"name": [secret], "mode": secret, "tags": {"a": [secret]}, "count": secret}));
        for problem in compiled.validate(&given, Values::Hidden) {
            assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
        }
    }

    #[test]
    fn an_endless_schema_ends() {
        let endless = json!({"properties": {"a": {"$ref": "#/properties/a"}}});
        let coerced = coerce_configuration(&endless, &map(json!({"a": "1"})));
        assert!(coerced.is_ok());
        for endless in [
            endless,
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/B"}]}, "B": {"not": {"$ref": "#/$defs/A"}}}, "properties": {"a": {"$ref": "#/$defs/A"}}}),
        ] {
            if let Ok(schema) = ConfigurationSchema::new(&endless) {
                schema.validate(&map(json!({"a": "1"})), Values::Shown);
            }
        }
        assert!(ConfigurationSchema::new(&json!({"$ref": "http://127.0.0.1/schema.json"})).is_err());
    }
}
