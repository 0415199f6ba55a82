//! Nodes by tag.

use std::borrow::Cow;

use outrigger_plugin_sdk::Failure;
use outrigger_plugin_sdk::aws::ssm::Target;
use outrigger_plugin_sdk::json::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// The field `targets`: lines such as `tag:Name=web,db`, the AWS CLI's `Key=tag:Name,Values=web,db`, or the API's list of
/// objects with `Key` and `Values`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct TargetsInput(Value);

impl JsonSchema for TargetsInput {
    fn schema_name() -> Cow<'static, str> {
        "Targets".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": {
                "type": "object",
                "properties": {
                    "Key": { "type": "string" },
                    "Values": { "type": "array", "items": { "type": "string" } }
                },
                "required": ["Key", "Values"]
            },
            "x-outrigger-display": "multi-line"
        })
    }
}

impl TargetsInput {
    /// The targets.
    pub fn targets(&self) -> Result<Vec<Target>, Failure> {
        let targets = match &self.0 {
            Value::String(text) if text.trim_start().starts_with('[') => {
                let value = outrigger_plugin_sdk::json::from_str(text)
                    .map_err(|error| Failure::invalid_input(format!("`targets` is no JSON: {error}")))?;
                Self(value).targets()?
            }
            Value::String(text) => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                lines.map(|line| from_line(line).ok_or_else(|| wrong(line))).collect::<Result<_, _>>()?
            }
            Value::Array(items) => items
                .iter()
                .map(|item| from_object(item).ok_or_else(|| wrong(&item.to_string())))
                .collect::<Result<_, _>>()?,
            other => return Err(wrong(&other.to_string())),
        };
        if targets.len() > 5 {
            return Err(Failure::invalid_input(format!("`targets` has {} items; a command takes 5", targets.len())));
        }
        Ok(targets)
    }
}

fn wrong(what: &str) -> Failure {
    Failure::invalid_input(format!("`targets` has `{what}`: write `tag:Name=web,db`, one target a line"))
}

fn from_line(line: &str) -> Option<Target> {
    let (key, values) = match line.strip_prefix("Key=") {
        Some(rest) => rest.split_once(",Values=")?,
        None => line.split_once('=')?,
    };
    let values: Vec<String> =
        values.split(',').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect();
    let key = key.trim();
    (!key.is_empty() && !values.is_empty()).then(|| Target { key: key.to_owned(), values })
}

fn from_object(item: &Value) -> Option<Target> {
    let key = item.get("Key")?.as_str()?.to_owned();
    let values: Option<Vec<String>> =
        item.get("Values")?.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    Some(Target { key, values: values? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::json;

    fn read(value: Value) -> Result<Vec<(String, Vec<String>)>, Failure> {
        TargetsInput(value)
            .targets()
            .map(|targets| targets.into_iter().map(|target| (target.key, target.values)).collect())
    }

    #[test]
    fn targets_have_three_forms() {
        let wanted = vec![("tag:Name".to_owned(), vec!["web".to_owned(), "db".to_owned()])];
        assert_eq!(read(json!("tag:Name=web, db\n")).unwrap(), wanted);
        assert_eq!(read(json!("Key=tag:Name,Values=web,db")).unwrap(), wanted);
        assert_eq!(read(json!([{"Key": "tag:Name", "Values": ["web", "db"]}])).unwrap(), wanted);
        assert_eq!(read(json!("[{\"Key\": \"tag:Name\", \"Values\": [\"web\", \"db\"]}]")).unwrap(), wanted);
        for bad in [json!("web"), json!("tag:Name="), json!("=web"), json!([{"Key": "x"}]), json!("[1"), json!(7)] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
        assert!(read(json!("a=1\nb=1\nc=1\nd=1\ne=1\nf=1")).unwrap_err().message.contains("takes 5"));
    }
}
