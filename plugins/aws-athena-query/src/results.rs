//! Rows of a query: read page by page, shown in the log, and typed for the outputs.

use outrigger_plugin_sdk::aws::Credentials;
use outrigger_plugin_sdk::aws::athena::{self, ColumnInfo, GetQueryResultsInput, QueryExecution};
use outrigger_plugin_sdk::json::{Map, Value};
use outrigger_plugin_sdk::prelude::*;
use outrigger_plugin_sdk::{MAX_OUTPUT_BYTES, pages};

/// Rows of one page, by the API reference of GetQueryResults.
const PAGE: i32 = 1_000;

/// What the log shows for NULL.
const NULL: &str = "(null)";

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Column {
    /// Name; a second column of the same name gets `_2` behind it.
    name: String,
    /// Type, such as `varchar`.
    #[serde(rename = "type")]
    column_type: String,
}

type Row = Vec<Option<String>>;

/// Rows that were read.
pub struct Results {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows that were inserted.
    pub update_count: Option<u64>,
    rows: Vec<Row>,
    more: bool,
}

impl Results {
    /// Reads up to `most` rows.
    pub fn read(aws: &Credentials, execution: &QueryExecution, most: usize) -> Result<Self, Failure> {
        let mut columns = Vec::new();
        let mut update_count = None;
        // One row more than is wanted tells whether there are more; the row of names is the other one.
        let page_size = i32::try_from(most.saturating_add(2)).unwrap_or(PAGE).min(PAGE);
        let mut pages = pages(|next_token| {
            let input = GetQueryResultsInput {
                query_execution_id: execution.query_execution_id.clone(),
                max_results: Some(page_size),
                next_token,
            };
            let page = athena::get_query_results(aws, &input)?;
            if columns.is_empty() {
                columns = page.column_info;
            }
            update_count = update_count.or(page.update_count);
            Ok((page.rows, page.next_token))
        });
        let first = pages.next().transpose().context("reading the results")?;
        let mut rows: Vec<Row> = first.into_iter().collect();
        for row in pages.by_ref().take(most.saturating_add(1)) {
            rows.push(row.context("reading the results")?);
        }
        drop(pages);
        if has_header(execution.statement_type.as_deref(), &columns, rows.first()) {
            rows.remove(0);
        }
        let more = rows.len() > most;
        rows.truncate(most);
        Ok(Self { columns: distinct(&columns), update_count, rows, more })
    }

    /// Rows that were read.
    pub fn row_count(&self) -> u64 {
        u64::try_from(self.rows.len()).unwrap_or(u64::MAX)
    }

    /// Shows the first rows.
    pub fn print(&self, most: usize) {
        if let Some(count) = self.update_count {
            info!("{count} rows inserted");
        }
        if self.columns.is_empty() {
            return;
        }
        let shown = self.rows.len().min(most);
        match (self.rows.len(), self.more) {
            (0, _) => info!("no rows"),
            (all, false) if all == shown => info!("{all} rows:"),
            (all, more) => info!("first {shown} rows of {}{all}:", if more { "more than " } else { "" }),
        }
        if shown > 0 {
            let mut table = Table::new(self.columns.iter().map(|column| column.name.as_str()));
            for row in self.rows.iter().take(shown) {
                table.row(row.iter().map(|cell| cell.as_deref().unwrap_or(NULL)));
            }
            table.print();
        }
    }

    /// The rows as JSON, as many as an output holds, and whether there are more.
    pub fn to_json(&self) -> (Option<Value>, Option<bool>) {
        let mut size = 2;
        let mut rows = Vec::new();
        for row in &self.rows {
            let cells = self
                .columns
                .iter()
                .zip(row)
                .map(|(column, cell)| (column.name.clone(), typed(column, cell.as_deref())));
            let object = Value::Object(cells.collect::<Map<_, _>>());
            size += object.to_string().len() + 1;
            if size > MAX_OUTPUT_BYTES {
                return (Some(Value::Array(rows)), Some(true));
            }
            rows.push(object);
        }
        (Some(Value::Array(rows)), Some(self.more))
    }
}

/// Whether the first row repeats the names of the columns, as it does for SELECT but not for SHOW or DESCRIBE.
fn has_header(statement_type: Option<&str>, columns: &[ColumnInfo], first: Option<&Row>) -> bool {
    let repeats = first.is_some_and(|row| {
        row.len() == columns.len() && row.iter().zip(columns).all(|(cell, column)| cell.as_ref() == Some(&column.name))
    });
    repeats && !columns.is_empty() && !matches!(statement_type, Some("DDL" | "UTILITY"))
}

fn distinct(columns: &[ColumnInfo]) -> Vec<Column> {
    let mut distinct: Vec<Column> = Vec::new();
    for column in columns {
        let mut name = column.name.clone();
        let mut number = 2;
        while distinct.iter().any(|other| other.name == name) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        distinct.push(Column { name, column_type: column.column_type.clone() });
    }
    distinct
}

/// Athena gives every value as text; decimals stay text, since a number of JSON would round them.
fn typed(column: &Column, cell: Option<&str>) -> Value {
    let Some(text) = cell else { return Value::Null };
    let value = match column.column_type.as_str() {
        "tinyint" | "smallint" | "integer" | "int" | "bigint" => text.parse::<i64>().ok().map(Value::from),
        "float" | "real" | "double" => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        "boolean" => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    value.unwrap_or_else(|| Value::from(text))
}

/// Values of a parameterised query: a list, a text with commas, or a JSON list in a text.
pub fn parameters(value: Option<&Value>) -> Result<Vec<String>, Failure> {
    let wrong = |what: &str| {
        Failure::invalid_input(format!(
            "`executionParameters` {what}: give a list of SQL literals, such as [\"'text'\", \"7\"]"
        ))
    };
    let item = |item: &Value| match item {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(item.to_string()),
        _ => Err(wrong("has an item that is neither text nor number")),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(item).collect(),
        Some(Value::String(text)) if text.trim_start().starts_with('[') => {
            match outrigger_plugin_sdk::json::from_str::<Value>(text) {
                Ok(Value::Array(items)) => items.iter().map(item).collect(),
                Ok(_) => Err(wrong("is no list")),
                Err(error) => Err(wrong(&format!("is no JSON ({error})"))),
            }
        }
        Some(Value::String(text)) => Ok(CommaList::parse(text).to_vec()),
        Some(other) => Ok(vec![item(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::json;

    fn info(name: &str, column_type: &str) -> ColumnInfo {
        ColumnInfo { name: name.to_owned(), column_type: column_type.to_owned() }
    }

    fn row(cells: &[Option<&str>]) -> Row {
        cells.iter().map(|cell| cell.map(str::to_owned)).collect()
    }

    #[test]
    fn only_a_select_repeats_the_names() {
        let columns = [info("a", "varchar"), info("b", "varchar")];
        let names = row(&[Some("a"), Some("b")]);
        assert!(has_header(Some("DML"), &columns, Some(&names)));
        assert!(has_header(None, &columns, Some(&names)));
        assert!(!has_header(Some("UTILITY"), &columns, Some(&names)));
        assert!(!has_header(Some("DML"), &columns, Some(&row(&[Some("a"), None]))));
        assert!(!has_header(Some("DML"), &[], Some(&Vec::new())));
        assert!(!has_header(Some("DML"), &columns, None));
    }

    #[test]
    fn rows_are_typed_and_cut() {
        let columns =
            distinct(&[info("n", "bigint"), info("n", "double"), info("t", "decimal(3,2)"), info("b", "boolean")]);
        let rows = vec![
            row(&[Some("9007199254740993"), Some("1.5"), Some("1.10"), Some("true")]),
            row(&[None, Some("NaN"), None, Some("?")]),
        ];
        let results = Results { columns, update_count: None, rows, more: false };
        let (rows, truncated) = results.to_json();
        assert_eq!(
            rows.unwrap(),
            json!([
                {"n": 9_007_199_254_740_993_i64, "n_2": 1.5, "t": "1.10", "b": true},
                {"n": null, "n_2": "NaN", "t": null, "b": "?"}
            ])
        );
        assert_eq!(truncated, Some(false));
        let large = Results {
            columns: distinct(&[info("t", "varchar")]),
            update_count: None,
            rows: vec![vec![Some("x".repeat(500 * 1024))]; 3],
            more: false,
        };
        let (rows, truncated) = large.to_json();
        assert_eq!(rows.unwrap().as_array().unwrap().len(), 1);
        assert_eq!(truncated, Some(true));
    }

    #[test]
    fn parameters_have_several_forms() {
        assert_eq!(parameters(Some(&json!(["'a, b'", 7]))).unwrap(), ["'a, b'", "7"]);
        assert_eq!(parameters(Some(&json!("[\"'a, b'\", 7]"))).unwrap(), ["'a, b'", "7"]);
        assert_eq!(parameters(Some(&json!("'a', 7"))).unwrap(), ["'a'", "7"]);
        assert_eq!(parameters(Some(&json!(7))).unwrap(), ["7"]);
        assert!(parameters(Some(&json!([[1]]))).is_err());
        assert!(parameters(Some(&json!("[1"))).is_err());
    }
}
