//! Option values: `-o name=value` and options files.

use std::path::Path;

use serde_json::{Map, Value};

use crate::trouble::Trouble;

/// Largest options file, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads `name=value`.
///
/// # Errors
/// What is missing, for clap.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the name before `=` is missing".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("write NAME=VALUE".to_owned()),
    }
}

/// Reads a file of option values: a map of names to values, or to lists of values.
pub(crate) fn read_file(path: &Path) -> Result<Vec<(String, String)>, Trouble> {
    let failed = |error| Trouble::file("read", path, &error);
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > LARGEST {
        return Err(bad(path, &format!("it has {size} bytes; at most {LARGEST} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    parse(&text, is_toml).map_err(|problem| bad(path, &problem))
}

fn bad(path: &Path, problem: &str) -> Trouble {
    Trouble::input(
        format!("the options file {} cannot be used: {problem}", path.display()),
        "write a map of option names to values, such as `instance-id: i-0abc`",
    )
}

fn parse(text: &str, is_toml: bool) -> Result<Vec<(String, String)>, String> {
    // The parsers quote the line that they stumble over, and that may be a secret: only the place is said.
    let members: Map<String, Value> = if is_toml {
        let table: toml::Table = toml::from_str(text).map_err(|error| match error.span() {
            Some(span) => {
                let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
                format!("line {line} is no TOML: {}", error.message())
            }
            None => format!("it is no TOML: {}", error.message()),
        })?;
        match serde_json::to_value(table) {
            Ok(Value::Object(members)) => members,
            _ => return Err("it is no table".to_owned()),
        }
    } else if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
            .map_err(|error| format!("line {} column {} is no JSON map", error.line(), error.column()))?
    } else if text.trim().is_empty() {
        Map::new()
    } else {
        serde_saphyr::from_str(text).map_err(|error| match error.location() {
            Some(place) => format!("line {} column {} is no YAML map", place.line(), place.column()),
            None => "it is no YAML map".to_owned(),
        })?
    };
    let mut values = Vec::new();
    for (name, value) in members {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    values.push((name.clone(), scalar(&name, item)?));
                }
            }
            other => {
                let text = scalar(&name, other)?;
                values.push((name, text));
            }
        }
    }
    Ok(values)
}

fn scalar(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(format!("`{name}` is neither a value nor a list of values")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn three_languages_say_the_same() {
        let wanted = pairs(&[("env", "prod"), ("wait", "true"), ("size", "3"), ("zones", "a"), ("zones", "b")]);
        let yaml = "env: prod\nwait: true\nsize: 3\nnothing: null\nzones:\n- a\n- b\n";
        let json = r#"{"env": "prod", "wait": true, "size": 3, "nothing": null, "zones": ["a", "b"]}"#;
        let toml = "env = \"prod\"\nwait = true\nsize = 3\nzones = [\"a\", \"b\"]\n";
        assert_eq!(parse(yaml, false), Ok(wanted.clone()));
        assert_eq!(parse(json, false), Ok(wanted.clone()));
        let mut sorted = wanted;
        sorted.sort();
        // TOML gives its keys by name.
        assert_eq!(parse(toml, true), Ok(sorted));
        assert_eq!(parse("\n", false), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_map_is_refused_without_being_quoted() {
        for (text, is_toml) in [
            ("hunter2hunter2", false),
            ("{\"p\": \"hunter2hunter2\"", false),
            ("p: {a: hunter2hunter2}", false),
            ("p = hunter2hunter2", true),
            ("a: b: hunter2hunter2", false),
        ] {
            let problem = parse(text, is_toml).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn pairs_need_a_name() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_pair("=b").is_err());
        assert!(parse_pair("a").is_err());
    }
}
