//! Documents in a log: tables where the data is tabular.

use serde_json::Value;

use outrigger_jobs::filters::{LineBreaks, neutralise};

use super::style::Style;
use super::table::Table;

/// Longest cell.
const WIDEST: usize = 80;
/// Most rows that are laid out as a table; more are shown as they came.
const MOST_ROWS: usize = 10_000;

/// A document as lines. What cannot be read as its type is shown as it is.
pub(crate) fn render(text: &str, data_type: &str, style: Style) -> String {
    let kind = data_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let laid_out = match kind.as_str() {
        // The guest library's tables: the lines before the document say the same.
        "application/vnd.outrigger.table+json" => return String::new(),
        "application/json" => json(text, style),
        "text/csv" => csv(text, style),
        _ => None,
    };
    laid_out.unwrap_or_else(|| neutralise(text, LineBreaks::Keep).into_owned())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn json(text: &str, style: Style) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    let table = match &value {
        Value::Array(rows) if rows.is_empty() || rows.len() > MOST_ROWS => None,
        Value::Array(rows) => objects(rows).or_else(|| arrays(rows)),
        Value::Object(members) if members.values().all(|value| !value.is_object() && !value.is_array()) => {
            let mut table = Table::new(["", ""]);
            for (name, value) in members {
                table.row([name.clone(), cell(value)]);
            }
            Some(table)
        }
        _ => None,
    };
    Some(match table {
        Some(table) => table.render(style, "", WIDEST),
        // Escapes of control characters stay escapes when JSON is written.
        None => neutralise(&format!("{value:#}"), LineBreaks::Keep).into_owned(),
    })
}

/// Rows that are objects: a column for each name, in the order in which names first appear.
fn objects(rows: &[Value]) -> Option<Table> {
    let rows: Vec<_> = rows.iter().map(Value::as_object).collect::<Option<_>>()?;
    let mut names: Vec<&String> = Vec::new();
    for row in &rows {
        for name in row.keys() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let mut table = Table::new(&names);
    for row in rows {
        table.row(names.iter().map(|name| row.get(*name).map(cell).unwrap_or_default()));
    }
    Some(table)
}

/// Rows that are arrays: the first one has the names.
fn arrays(rows: &[Value]) -> Option<Table> {
    let mut rows = rows.iter().map(Value::as_array).collect::<Option<Vec<_>>>()?.into_iter();
    let mut table = Table::new(rows.next()?.iter().map(cell));
    for row in rows {
        table.row(row.iter().map(cell));
    }
    Some(table)
}

fn csv(text: &str, style: Style) -> Option<String> {
    let mut rows = csv_rows(text)?.into_iter();
    let mut table = Table::new(rows.next()?);
    for row in rows {
        table.row(row);
    }
    Some(table.render(style, "", WIDEST))
}

/// The fields of a CSV text (RFC 4180); none if its quotes are broken or it is too long.
fn csv_rows(text: &str) -> Option<Vec<Vec<String>>> {
    let mut rows = vec![Vec::new()];
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => rows.last_mut()?.push(std::mem::take(&mut field)),
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                rows.last_mut()?.push(std::mem::take(&mut field));
                if rows.len() > MOST_ROWS {
                    return None;
                }
                rows.push(Vec::new());
            }
            other => field.push(other),
        }
    }
    rows.last_mut()?.push(field);
    (!quoted).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, data_type: &str) -> String {
        render(text, data_type, Style::new(false))
    }

    #[test]
    fn rows_become_tables() {
        let rows = r#"[{"id":"i-1","state":"running"},{"id":"i-2","zone":"a"}]"#;
        assert_eq!(plain(rows, "application/json"), "id   state    zone\ni-1  running\ni-2           a\n");
        assert_eq!(plain(r#"[["a","b"],[1,true]]"#, "application/json"), "a  b\n1  true\n");
        assert_eq!(
            plain(r#"{"account":"111122223333","n":1}"#, "application/json"),
            "account  111122223333\nn        1\n"
        );
        assert_eq!(plain("a,b\r\n1,\"x, \"\"y\"\"\"\n", "text/csv; charset=utf-8"), "a  b\n1  x, \"y\"\n");
    }

    #[test]
    fn other_documents_stay_as_they_are() {
        assert_eq!(plain("[]", "application/vnd.outrigger.table+json"), "");
        assert_eq!(plain("{broken", "application/json"), "{broken");
        assert_eq!(plain("a,\"b", "text/csv"), "a,\"b");
        assert_eq!(plain("# Title\ntext", "text/x-markdown"), "# Title\ntext");
        assert_eq!(plain(r#"{"a":{"b":1}}"#, "application/json"), "{\n  \"a\": {\n    \"b\": 1\n  }\n}");
    }

    #[test]
    fn an_escape_in_json_does_not_reach_the_terminal() {
        assert_eq!(plain(r#"[{"a":"\u001b[31mred"}]"#, "application/json"), "a\n\\x1b[31mred\n");
    }
}
