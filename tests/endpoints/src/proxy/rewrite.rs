use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::rule::Field;

/// Puts the value into the field of an answer. An answer without such a field stays as it is.
pub(crate) fn rewrite(headers: &mut HeaderMap, body: Bytes, field: &Field, value: &Value) -> Bytes {
    match field {
        Field::Header(name) => {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&plain(value))) {
                headers.insert(name, value);
            }
            body
        }
        Field::Json(pointer) => {
            let Ok(mut json) = serde_json::from_slice::<Value>(&body) else { return body };
            let segments: Vec<String> =
                pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect();
            set(&mut json, &segments, value);
            Bytes::from(json.to_string())
        }
        Field::Xml(path) => {
            let names: Vec<&str> = path.split('/').collect();
            Bytes::from(crate::xml::replace_path(&String::from_utf8_lossy(&body), &names, &plain(value)))
        }
    }
}

/// A string without its quotation marks; everything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn set(json: &mut Value, segments: &[String], value: &Value) {
    let Some((first, rest)) = segments.split_first() else {
        *json = value.clone();
        return;
    };
    match json {
        Value::Array(items) if first == "*" => items.iter_mut().for_each(|item| set(item, rest, value)),
        Value::Object(members) if first == "*" => members.values_mut().for_each(|member| set(member, rest, value)),
        Value::Array(items) => {
            if let Some(item) = first.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                set(item, rest, value);
            }
        }
        Value::Object(members) if rest.is_empty() => {
            members.insert(first.clone(), value.clone());
        }
        Value::Object(members) => {
            if let Some(member) = members.get_mut(first) {
                set(member, rest, value);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(body: &str, field: Field, value: Value) -> String {
        let bytes = rewrite(&mut HeaderMap::new(), Bytes::from(body.to_owned()), &field, &value);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn json_pointers_reach_every_member() {
        let body = r#"{"a":[{"s":1},{"s":2}],"b":{"c":null}}"#;
        assert_eq!(
            rewritten(body, Field::Json("/a/*/s".into()), json!("x")),
            r#"{"a":[{"s":"x"},{"s":"x"}],"b":{"c":null}}"#
        );
        assert_eq!(
            rewritten(body, Field::Json("/a/1/new".into()), json!(3)),
            r#"{"a":[{"s":1},{"s":2,"new":3}],"b":{"c":null}}"#
        );
        assert_eq!(rewritten(body, Field::Json("/no/where".into()), json!(3)), body);
    }

    #[test]
    fn xml_paths_reach_inner_elements_only() {
        let body = "<r><name>web</name><state><code>16</code><name>running</name></state></r>";
        assert_eq!(
            rewritten(body, Field::Xml("state/name".into()), json!("pending")),
            "<r><name>web</name><state><code>16</code><name>pending</name></state></r>"
        );
    }
}
