//! Masking of JSON values.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::Redactor;

/// Without recursion, so that a deep value does not exhaust the stack.
pub(crate) fn redact(redactor: &Redactor, value: &mut Value) {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if let Cow::Owned(masked) = redactor.redact(&number.to_string()) {
                    *value = Value::String(masked);
                }
            }
            Value::String(text) => {
                if let Cow::Owned(masked) = redactor.redact(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => pending.extend(items),
            Value::Object(members) => {
                if members.keys().any(|key| redactor.contains_secret(key)) {
                    *members = redact_keys(redactor, std::mem::take(members));
                }
                pending.extend(members.values_mut());
            }
        }
    }
}

fn redact_keys(redactor: &Redactor, members: Map<String, Value>) -> Map<String, Value> {
    let mut masked = Map::new();
    for (key, value) in members {
        let base = redactor.redact(&key).into_owned();
        let mut name = base.clone();
        let mut number = 1;
        while masked.contains_key(&name) {
            number += 1;
            name = format!("{base} ({number})");
        }
        masked.insert(name, value);
    }
    masked
}
