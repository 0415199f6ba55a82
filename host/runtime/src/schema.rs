//! What a schema of a component may be.

use std::collections::BTreeMap;

use serde_json::Value;

/// Bytes of a schema.
const LONGEST: usize = 256 * 1024;
/// Depth of a schema.
const DEEPEST: usize = 32;
/// Values in a schema.
const MOST_VALUES: usize = 20_000;
/// Values in a schema when every reference is replaced by what it names.
const MOST_UNFOLDED: u64 = 100_000;
/// Regular expressions in a schema.
const MOST_PATTERNS: usize = 100;
/// Bytes of a compiled regular expression, and of the cache that it is run with: plenty for names, ids and ARNs.
const PATTERN_BYTES: usize = 256 * 1024;

/// Reads a schema. Refuses what is large, deep, recursive or refers to something outside itself: checking an input must take
/// little time and memory whoever wrote the schema.
pub fn read(text: &str) -> Result<Value, String> {
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes; at most {LONGEST} are read", text.len()));
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    if !schema.is_object() {
        return Err("it is no JSON object".to_owned());
    }
    let mut walk = Walk::default();
    walk.value(&schema, "#", 0)?;
    walk.refuse_unfolding()?;
    validator(&schema).map_err(|problem| format!("it is no valid JSON Schema: {problem}"))?;
    Ok(schema)
}

/// The validator of a schema. Patterns run in linear time.
pub fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    let patterns = jsonschema::PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(patterns)
        .build(schema)
        .map_err(|error| error.to_string())
}

/// What was seen of a schema.
#[derive(Default)]
struct Walk {
    values: usize,
    patterns: usize,
    definitions: BTreeMap<String, Definition>,
}

/// A part of a schema that can be referred to; what lies outside of all of them is one as well, without a name.
#[derive(Default)]
struct Definition {
    values: u64,
    /// How often it refers to others.
    references: BTreeMap<String, u64>,
}

impl Walk {
    fn value(&mut self, value: &Value, place: &str, depth: usize) -> Result<(), String> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(format!("it has more than {MOST_VALUES} values"));
        }
        if depth > DEEPEST {
            return Err(format!("it is more than {DEEPEST} levels deep"));
        }
        self.definitions.entry(definition(place)).or_default().values += 1;
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &format!("{place}/{index}"), depth + 1)?;
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.member(name, member, place, depth)?;
                    self.value(member, &format!("{place}/{name}"), depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn member(&mut self, name: &str, member: &Value, place: &str, depth: usize) -> Result<(), String> {
        match name {
            "$ref" | "$dynamicRef" | "$recursiveRef" => {
                let Some(target) = member.as_str() else {
                    return Err(format!("`{name}` at {place} is no text"));
                };
                let inside = target.starts_with("#/$defs/") || target.starts_with("#/definitions/");
                // An escaped name could be one that was seen under another spelling.
                if name != "$ref" || !inside || target.contains(['%', '~']) {
                    return Err(format!(
                        "`{name}` at {place} refers to {target:?}; only `$ref` to `#/$defs/...` is allowed, without escapes"
                    ));
                }
                let references = &mut self.definitions.entry(definition(place)).or_default().references;
                *references.entry(definition(target)).or_default() += 1;
            }
            "$id" | "$anchor" | "$dynamicAnchor" if depth > 0 => {
                return Err(format!("`{name}` at {place} is not allowed"));
            }
            "pattern" => self.patterns += 1,
            "patternProperties" => self.patterns += member.as_object().map_or(0, serde_json::Map::len),
            _ => {}
        }
        if self.patterns > MOST_PATTERNS {
            return Err(format!("it has more than {MOST_PATTERNS} patterns"));
        }
        Ok(())
    }

    /// Refuses references that go round, and those that make much of little: twenty definitions that each refer twice to the
    /// next one are a million values.
    fn refuse_unfolding(&self) -> Result<(), String> {
        let mut known = BTreeMap::new();
        for name in self.definitions.keys() {
            let unfolded = self.unfolded(name, &mut Vec::new(), &mut known)?;
            if unfolded > MOST_UNFOLDED {
                return Err(format!("its references unfold to more than {MOST_UNFOLDED} values"));
            }
        }
        Ok(())
    }

    fn unfolded<'a>(
        &'a self,
        name: &'a str,
        path: &mut Vec<&'a str>,
        known: &mut BTreeMap<&'a str, u64>,
    ) -> Result<u64, String> {
        if let Some(values) = known.get(name) {
            return Ok(*values);
        }
        if path.contains(&name) {
            return Err(format!("it refers to itself through `{name}`"));
        }
        if path.len() > DEEPEST {
            return Err(format!("its references are more than {DEEPEST} levels deep"));
        }
        path.push(name);
        let mut values = 0_u64;
        if let Some(definition) = self.definitions.get(name) {
            values = definition.values;
            for (target, count) in &definition.references {
                values = values.saturating_add(self.unfolded(target, path, known)?.saturating_mul(*count));
            }
        }
        path.pop();
        known.insert(name, values);
        Ok(values)
    }
}

/// The definition that a place lies in; everything outside of definitions is one.
fn definition(place: &str) -> String {
    let mut parts = place.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("#"), Some(group @ ("$defs" | "definitions")), Some(name)) => format!("{group}/{name}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of definitions that each refer twice to the next one.
    fn unfolding(length: usize) -> String {
        let definition = |index| {
            let next = format!("{{\"$ref\":\"#/$defs/d{}\"}}", index + 1);
            format!("\"d{index}\":{{\"allOf\":[{next},{next}]}}")
        };
        let definitions: Vec<String> = (0..length).map(definition).collect();
        format!("{{\"$defs\":{{{},\"d{length}\":{{}}}},\"$ref\":\"#/$defs/d0\"}}", definitions.join(","))
    }

    fn patterns(count: usize) -> String {
        (0..count).map(|index| format!("\"^a{index}$\":{{}}")).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn schemas_that_could_hold_up_the_host_are_refused() {
        let deep = format!("{}{}", r#"{"properties":{"a":"#.repeat(40), "1".to_owned() + &"}}".repeat(40));
        for (schema, problem) in [
            (r##"{"$ref":"#"}"##, "only `$ref` to"),
            (r#"{"$ref":"https://example.org/schema"}"#, "only `$ref` to"),
            (r#"{"$ref":"file:///etc/passwd"}"#, "only `$ref` to"),
            (
                r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##,
                "refers to itself",
            ),
            (r##"{"$defs":{"a":{"items":{"$ref":"#/$defs/a"}}}}"##, "refers to itself"),
            (r#"{"properties":{"a":{"pattern":"(a+)+\\1"}}}"#, "no valid JSON Schema"),
            (r#"{"type":"nonsense"}"#, "no valid JSON Schema"),
            // The same definition under another spelling.
            (r##"{"$defs":{"a":{"allOf":[{"$ref":"#/$defs/%61"}]}},"$ref":"#/$defs/a"}"##, "without escapes"),
            (r##"{"$defs":{"a/b":{"allOf":[{"$ref":"#/$defs/a~1b"}]}}}"##, "without escapes"),
            (&unfolding(20), "unfold to more than"),
            (r#"{"properties":{"a":{"pattern":"\\p{L}{1000}"}}}"#, "no valid JSON Schema"),
            (&format!("{{\"patternProperties\":{{{}}}}}", patterns(MOST_PATTERNS + 1)), "patterns"),
            ("[]", "no JSON object"),
            (&deep, "levels deep"),
            (&format!("{{\"title\":\"{}\"}}", "x".repeat(LONGEST)), "at most"),
            (&format!("{{\"enum\":[{}1]}}", "1,".repeat(MOST_VALUES)), "more than"),
        ] {
            let error = read(schema).expect_err(&schema[..schema.len().min(80)]);
            assert!(error.contains(problem), "{error}");
        }
        read(r##"{"$defs":{"a":{"type":"string"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##).unwrap();
        read(r#"{"properties":{"a":{"pattern":"^[\\w+=,.@-]{2,64}$"}}}"#).unwrap();
        read(&unfolding(8)).unwrap();
        read(&format!("{{\"patternProperties\":{{{}}}}}", patterns(MOST_PATTERNS))).unwrap();
    }
}
