//! `json-mapper`: values by a jq expression.

use indexmap::IndexMap;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::Value;

use super::{Buffer, FilterOutput, FilteredLine, Settings, Stage, data_table, is_plain};

/// Results of one expression that are looked at.
const MAX_RESULTS: usize = 10_000;

/// Functions that would tell of this process, end it, or write past the log: they are empty here.
const PRELUDE: &str = "def env: {}; def now: error(\"now is not available here\"); def input: empty; \
def inputs: empty; def debug: .; def debug(f): .; def stderr: .; \
def halt: error(\"halt is not available here\"); def halt($code): halt; \
def halt_error: halt; def halt_error($code): halt;\n";

/// `json-mapper`.
pub(super) struct JsonMapper {
    expression: String,
    prefix: Option<String>,
    log_data: bool,
    extra_quotes: bool,
    buffer: Buffer,
}

impl JsonMapper {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        let expression = settings.required("filter")?;
        compile(&expression).map_err(|why| format!("`filter`: {why}"))?;
        Ok(Self {
            expression,
            prefix: settings.text("prefix")?,
            log_data: settings.flag("logData", false)?,
            extra_quotes: settings.flag("extraQuotes", true)?,
            buffer: Buffer::default(),
        })
    }

    fn key(&self, rest: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}.{rest}"),
            None => rest.to_owned(),
        }
    }

    fn capture(&self, result: &Value, data: &mut IndexMap<String, String>) {
        match result {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.field(key, value, data);
                }
                self.whole(result, data);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    data.insert(self.key(&index.to_string()), text(item));
                }
                self.whole(result, data);
            }
            Value::String(string) if !self.extra_quotes => {
                if let Some(prefix) = &self.prefix {
                    data.insert(prefix.clone(), string.clone());
                }
            }
            other => self.whole(other, data),
        }
    }

    fn whole(&self, value: &Value, data: &mut IndexMap<String, String>) {
        if let Some(prefix) = &self.prefix {
            data.insert(prefix.clone(), value.to_string());
        }
    }

    /// Rundeck names fields of an object without the prefix; with it, they are found too.
    fn field(&self, path: &str, value: &Value, data: &mut IndexMap<String, String>) {
        if let Value::Object(fields) = value {
            for (key, value) in fields {
                self.field(&format!("{path}.{key}"), value, data);
            }
            return;
        }
        if self.prefix.is_some() {
            data.insert(self.key(path), text(value));
        }
        data.insert(path.to_owned(), text(value));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Stage for JsonMapper {
    fn line(&mut self, line: &mut FilteredLine, output: &mut FilterOutput) -> bool {
        let json = line.data_type.as_deref() == Some("application/json") && !line.text.is_empty();
        if is_plain(line) || json {
            self.buffer.push("json-mapper", &line.text, output);
        }
        true
    }

    fn finish(&mut self, output: &mut FilterOutput) {
        let document = std::mem::take(&mut self.buffer.text);
        if document.trim().is_empty() {
            return;
        }
        let mut data = IndexMap::new();
        match evaluate(&self.expression, &document) {
            Ok(results) => results.iter().for_each(|result| self.capture(result, &mut data)),
            Err(why) => output.warnings.push(format!("log filter `json-mapper` cannot map the output: {why}")),
        }
        output.data.extend(data.iter().map(|(key, value)| (key.clone(), value.clone())));
        if self.log_data && !data.is_empty() {
            output.lines.push(data_table(&data));
        }
    }
}

type Program = jaq_core::Filter<data::JustLut<Val>>;

fn compile(expression: &str) -> Result<Program, String> {
    let source = format!("{PRELUDE}{expression}");
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(definitions)
        .load(&arena, File { code: source.as_str(), path: () })
        .map_err(|_| format!("`{expression}` is no valid jq expression"))?;
    Compiler::default().with_funs(functions).compile(modules).map_err(|errors| {
        let names: Vec<&str> = errors.iter().flat_map(|(_, errors)| errors.iter().map(|(name, _)| *name)).collect();
        format!("`{expression}` uses `{}`, which jq does not have", names.join("`, `"))
    })
}

/// Applies a jq expression to a JSON document.
pub(super) fn evaluate(expression: &str, document: &str) -> Result<Vec<Value>, String> {
    // This parser limits how deep a document may be nested.
    serde_json::from_str::<Value>(document).map_err(|error| format!("the output is no JSON: {error}"))?;
    let program = compile(expression)?;
    let input = read::parse_single(document.as_bytes()).map_err(|error| format!("the output is no JSON: {error}"))?;
    let context = Ctx::<data::JustLut<Val>>::new(&program.lut, Vars::new([]));
    let mut results = Vec::new();
    for result in program.id.run((context, input)).map(unwrap_valr).take(MAX_RESULTS) {
        let result = result.map_err(|error| error.to_string())?;
        // What JSON cannot say, such as NaN, is null.
        results.push(serde_json::from_str(&result.to_string()).unwrap_or(Value::Null));
    }
    Ok(results)
}
