//! What a schema of a component may be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Bytes of a schema.
const LONGEST: usize = 256 * 1024;
/// Depth of a schema.
const DEEPEST: usize = 32;
/// Values in a schema.
const MOST_VALUES: usize = 20_000;

/// Reads a schema. Refuses what is large, deep, recursive or refers to something outside itself: checking an input must take
/// little time whoever wrote the schema.
pub fn read(text: &str) -> Result<Value, String> {
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes; at most {LONGEST} are read", text.len()));
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    if !schema.is_object() {
        return Err("it is no JSON object".to_owned());
    }
    let mut count = 0;
    let mut references = BTreeMap::new();
    walk(&schema, "#", 0, &mut count, &mut references)?;
    refuse_cycles(&references)?;
    validator(&schema).map_err(|problem| format!("it is no valid JSON Schema: {problem}"))?;
    Ok(schema)
}

/// The validator of a schema. Patterns run in linear time.
pub fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(schema)
        .map_err(|error| error.to_string())
}

fn walk(
    value: &Value,
    place: &str,
    depth: usize,
    count: &mut usize,
    references: &mut BTreeMap<String, BTreeSet<String>>,
) -> Result<(), String> {
    *count += 1;
    if *count > MOST_VALUES {
        return Err(format!("it has more than {MOST_VALUES} values"));
    }
    if depth > DEEPEST {
        return Err(format!("it is more than {DEEPEST} levels deep"));
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{place}/{index}"), depth + 1, count, references)?;
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if matches!(name.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") {
                    let Some(target) = member.as_str() else {
                        return Err(format!("`{name}` at {place} is no text"));
                    };
                    if name != "$ref" || !(target.starts_with("#/$defs/") || target.starts_with("#/definitions/")) {
                        return Err(format!(
                            "`{name}` at {place} refers to {target:?}; only `$ref` to `#/$defs/...` is allowed"
                        ));
                    }
                    references.entry(definition(place)).or_default().insert(definition(target));
                }
                if matches!(name.as_str(), "$id" | "$anchor" | "$dynamicAnchor") && depth > 0 {
                    return Err(format!("`{name}` at {place} is not allowed"));
                }
                walk(member, &format!("{place}/{name}"), depth + 1, count, references)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The definition that a place lies in; everything outside of definitions is one.
fn definition(place: &str) -> String {
    let mut parts = place.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("#"), Some(group @ ("$defs" | "definitions")), Some(name)) => format!("{group}/{name}"),
        _ => String::new(),
    }
}

fn refuse_cycles(references: &BTreeMap<String, BTreeSet<String>>) -> Result<(), String> {
    let mut done = BTreeSet::new();
    for start in references.keys() {
        let mut path = vec![start.as_str()];
        visit(start, references, &mut path, &mut done)?;
    }
    Ok(())
}

fn visit<'a>(
    from: &'a str,
    references: &'a BTreeMap<String, BTreeSet<String>>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    if done.contains(from) {
        return Ok(());
    }
    for target in references.get(from).into_iter().flatten() {
        if path.contains(&target.as_str()) {
            return Err(format!("it refers to itself through `{target}`"));
        }
        if path.len() > DEEPEST {
            return Err(format!("its references are more than {DEEPEST} levels deep"));
        }
        path.push(target);
        visit(target, references, path, done)?;
        path.pop();
    }
    done.insert(from);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_could_hold_up_the_host_are_refused() {
        let deep = format!("{}{}", r#"{"properties":{"a":"#.repeat(40), "1".to_owned() + &"}}".repeat(40));
        for (schema, problem) in [
            (r##"{"$ref":"#"}"##, "only `$ref` to"),
            (r#"{"$ref":"https://example.org/schema"}"#, "only `$ref` to"),
            (r#"{"$ref":"file:///etc/passwd"}"#, "only `$ref` to"),
            (r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##,
             "refers to itself"),
            (r##"{"$defs":{"a":{"items":{"$ref":"#/$defs/a"}}}}"##, "refers to itself"),
            (r#"{"properties":{"a":{"pattern":"(a+)+\\1"}}}"#, "no valid JSON Schema"),
            (r#"{"type":"nonsense"}"#, "no valid JSON Schema"),
            ("[]", "no JSON object"),
            (&deep, "levels deep"),
            (&format!("{{\"title\":\"{}\"}}", "x".repeat(LONGEST)), "at most"),
            (&format!("{{\"enum\":[{}1]}}", "1,".repeat(MOST_VALUES)), "more than"),
        ] {
            let error = read(schema).expect_err(&schema[..schema.len().min(80)]);
            assert!(error.contains(problem), "{error}");
        }
        read(r##"{"$defs":{"a":{"type":"string"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##).unwrap();
    }
}
