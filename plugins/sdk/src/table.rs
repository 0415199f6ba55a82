//! Tables in the log: a document for viewers, and plain lines for people and log filters.

use serde_json::{Map, Value};

use crate::bindings::outrigger::run::log::{Level, document, write};

/// Bytes that a document may have; the host cuts off at 1 MiB.
const MAX_DOCUMENT_BYTES: usize = 900 * 1024;

/// Says that the document repeats the lines before it: a terminal leaves it out, a viewer shows it in their place.
const MEDIA_TYPE: &str = "application/vnd.outrigger.table+json";

/// Columns wider than this are not padded, since nobody reads such lines as a table.
const WIDEST: usize = 40;

/// A table of texts.
///
/// ```
/// let mut table = outrigger_plugin_sdk::Table::new(["instance", "state"]);
/// table.row(["i-1", "running"]);
/// assert_eq!(table.lines(), ["instance  state", "i-1       running"]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column, in their order.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// The table as lines, the first one with the names of the columns.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let all = || std::iter::once(&self.columns).chain(&self.rows);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).min(WIDEST)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        all().map(|row| line(row, &widths)).collect()
    }

    /// The table as JSON: an array with an object for each row. Rows that do not fit in a document are left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut size = 2;
        let rows = self.rows.iter().map(|row| {
            let cells = row.iter().map(|cell| Value::from(cell.as_str()));
            Value::Object(self.columns.iter().cloned().zip(cells).collect::<Map<_, _>>()).to_string()
        });
        let fitting = rows.take_while(|row| {
            size += row.len() + 1;
            size <= MAX_DOCUMENT_BYTES
        });
        format!("[{}]", fitting.collect::<Vec<_>>().join(","))
    }

    /// Writes the lines, and the document.
    pub fn print(&self) {
        for line in self.lines() {
            write(Level::Info, &line);
        }
        document(MEDIA_TYPE, &self.to_json());
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_the_order_of_columns_and_fits() {
        let mut table = Table::new(["b", "a"]);
        table.row(["1", "x\"y"]);
        assert_eq!(table.to_json(), r#"[{"b":"1","a":"x\"y"}]"#);
        for _ in 0..3 {
            table.row(["2".to_owned(), "z".repeat(400 * 1024)]);
        }
        assert!(table.to_json().len() <= MAX_DOCUMENT_BYTES);
        assert_eq!(serde_json::from_str::<Vec<Value>>(&table.to_json()).unwrap().len(), 3);
    }
}
