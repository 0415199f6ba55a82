//! Reads TOML tables key by key, keeping places, collecting every problem.
//!
//! Serde stops at the first error and forgets places in flattened and untagged types; a configuration that holds
//! credentials needs both, so the tables are read by hand from the parser's spanned tree.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::error::ConfigError;

/// A key that was read: what it says, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The value as a person would write it.
    pub display: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
}

/// The state of reading one file.
pub(crate) struct Reader<'t> {
    text: &'t str,
    file: PathBuf,
    line_starts: Vec<usize>,
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// A value with the place where it begins.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

struct Item<'d> {
    key: &'d str,
    key_at: usize,
    value: &'d Spanned<DeValue<'d>>,
    taken: bool,
}

/// A member that may be written either way.
pub(crate) enum TextOrTable<'d> {
    Text(At<String>),
    Table(Table<'d>),
}

/// A table that is being read. `finish` reports the keys that nobody asked for.
pub(crate) struct Table<'d> {
    pub(crate) path: String,
    pub(crate) at: usize,
    items: Vec<Item<'d>>,
    known: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t str, file: &Path) -> Self {
        let mut line_starts = vec![0];
        line_starts.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1));
        Self { text, file: file.to_owned(), line_starts, errors: Vec::new(), entries: BTreeMap::new() }
    }

    /// Line and column of a byte offset, both counted from 1.
    pub(crate) fn place(&self, at: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= at).saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count());
        (u32::try_from(line + 1).unwrap_or(u32::MAX), u32::try_from(column + 1).unwrap_or(u32::MAX))
    }

    pub(crate) fn error(&mut self, at: usize, message: impl Into<String>, help: impl Into<Option<String>>) {
        let (line, column) = self.place(at);
        self.errors.push(ConfigError {
            file: self.file.clone(),
            line,
            column,
            message: message.into(),
            help: help.into(),
        });
    }

    pub(crate) fn record(&mut self, path: &str, at: usize, display: impl Into<String>) {
        let (line, column) = self.place(at);
        self.entries.insert(path.to_owned(), Entry { display: display.into(), line, column });
    }
}

/// Joins a table's path and a key; a key that is no bare TOML key is quoted.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// What a TOML value is, for messages.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn begin(span: Range<usize>) -> usize {
    span.start
}

impl<'d> Table<'d> {
    pub(crate) fn new(path: String, at: usize, table: &'d DeTable<'d>) -> Self {
        let items = table
            .iter()
            .map(|(key, value)| Item { key: key.get_ref().as_ref(), key_at: begin(key.span()), value, taken: false })
            .collect();
        Self { path, at, items, known: Vec::new() }
    }

    /// Whether the table has this key; does not count as asking for it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.items.iter().any(|item| item.key == key)
    }

    /// Where a key stands, else where the table does.
    pub(crate) fn at_key(&self, key: &str) -> usize {
        self.items.iter().find(|item| item.key == key).map_or(self.at, |item| item.key_at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn take(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        let item = self.items.iter_mut().find(|item| item.key == key)?;
        item.taken = true;
        Some(item.value)
    }

    fn wrong(&self, reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let name = join(&self.path, key);
        reader.error(begin(value.span()), format!("`{name}` is {}, but must be {wanted}", kind(value.get_ref())), None);
    }

    /// A text.
    pub(crate) fn text(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<At<String>> {
        let text = self.text_unrecorded(reader, key)?;
        reader.record(&join(&self.path, key), text.at, format!("{:?}", text.value));
        Some(text)
    }

    /// A text whose value may turn out to be a secret, so that it is not shown before it was checked.
    pub(crate) fn text_unrecorded(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<At<String>> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: text.as_ref().to_owned(), at: begin(value.span()) }),
            _ => {
                self.wrong(reader, key, value, "text in quotes");
                None
            }
        }
    }

    /// True or false.
    pub(crate) fn flag(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => {
                reader.record(&join(&self.path, key), begin(value.span()), flag.to_string());
                Some(*flag)
            }
            _ => {
                self.wrong(reader, key, value, "true or false");
                None
            }
        }
    }

    /// A whole number in a range.
    pub(crate) fn number(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        unit: &str,
    ) -> Option<u64> {
        let value = self.take(key)?;
        let name = join(&self.path, key);
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong(reader, key, value, "a whole number");
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        match number {
            Some(number) => {
                reader.record(&name, begin(value.span()), number.to_string());
                Some(number)
            }
            None => {
                reader.error(
                    begin(value.span()),
                    format!("`{name}` must be {} to {} {unit}", range.start(), range.end()),
                    None,
                );
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.take(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(reader, key, value, "a list of texts");
            return None;
        };
        let mut texts = Vec::new();
        for element in array.iter() {
            match element.get_ref() {
                DeValue::String(text) => texts.push(At { value: text.as_ref().to_owned(), at: begin(element.span()) }),
                _ => self.wrong(reader, key, element, "a list of texts"),
            }
        }
        let display = texts.iter().map(|text| format!("{:?}", text.value)).collect::<Vec<_>>().join(", ");
        reader.record(&join(&self.path, key), begin(value.span()), format!("[{display}]"));
        Some(texts)
    }

    /// A table.
    pub(crate) fn table(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Table<'d>> {
        let at = self.at_key(key);
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::new(join(&self.path, key), at, table)),
            _ => {
                self.wrong(reader, key, value, "a table");
                None
            }
        }
    }

    /// A list of tables.
    pub(crate) fn tables(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Vec<Table<'d>>> {
        let value = self.take(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(reader, key, value, "a list of tables");
            return None;
        };
        Some(self.tables_of(reader, key, array))
    }

    fn tables_of(&self, reader: &mut Reader<'_>, key: &'static str, array: &'d DeArray<'d>) -> Vec<Table<'d>> {
        let mut tables = Vec::new();
        for (index, element) in array.iter().enumerate() {
            match element.get_ref() {
                DeValue::Table(table) => {
                    let path = format!("{}[{index}]", join(&self.path, key));
                    tables.push(Table::new(path, begin(element.span()), table));
                }
                _ => self.wrong(reader, key, element, "a list of tables"),
            }
        }
        tables
    }

    /// A member that is either text or something else, which the caller then reads.
    pub(crate) fn text_or<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        wanted: &str,
        text: impl FnOnce(&mut Reader<'_>, At<String>) -> Option<T>,
        table: impl FnOnce(&mut Reader<'_>, Table<'d>) -> Option<T>,
    ) -> Option<T> {
        let at = self.at_key(key);
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::String(word) => {
                let word = At { value: word.as_ref().to_owned(), at: begin(value.span()) };
                reader.record(&join(&self.path, key), word.at, format!("{:?}", word.value));
                text(reader, word)
            }
            DeValue::Table(inner) => table(reader, Table::new(join(&self.path, key), at, inner)),
            _ => {
                self.wrong(reader, key, value, wanted);
                None
            }
        }
    }

    /// A member that is either true/false or a list of texts.
    pub(crate) fn flag_or_texts(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<Result<bool, Vec<At<String>>>> {
        let is_flag = self.items.iter().any(|i| i.key == key && matches!(i.value.get_ref(), DeValue::Boolean(_)));
        if is_flag { self.flag(reader, key).map(Ok) } else { self.texts(reader, key).map(Err) }
    }

    /// All remaining members as tables, with their own names.
    pub(crate) fn rest_tables(&mut self, reader: &mut Reader<'_>) -> Vec<(At<String>, Table<'d>)> {
        let mut tables = Vec::new();
        for item in self.items.iter_mut().filter(|item| !item.taken) {
            item.taken = true;
            let name = join(&self.path, item.key);
            match item.value.get_ref() {
                DeValue::Table(table) => tables
                    .push((At { value: item.key.to_owned(), at: item.key_at }, Table::new(name, item.key_at, table))),
                other => reader.error(
                    begin(item.value.span()),
                    format!("`{name}` is {}, but must be a table", kind(other)),
                    None,
                ),
            }
        }
        tables
    }

    /// All remaining members as texts, with their own names.
    pub(crate) fn rest_texts(&mut self, reader: &mut Reader<'_>) -> Vec<(At<String>, At<String>)> {
        let mut texts = Vec::new();
        for item in self.items.iter_mut().filter(|item| !item.taken) {
            item.taken = true;
            let name = join(&self.path, item.key);
            match item.value.get_ref() {
                DeValue::String(text) => {
                    let at = begin(item.value.span());
                    reader.record(&name, at, format!("{:?}", text.as_ref()));
                    texts.push((
                        At { value: item.key.to_owned(), at: item.key_at },
                        At { value: text.as_ref().to_owned(), at },
                    ));
                }
                other => reader.error(
                    begin(item.value.span()),
                    format!("`{name}` is {}, but must be text in quotes", kind(other)),
                    None,
                ),
            }
        }
        texts
    }

    /// All remaining members, each text or a table.
    pub(crate) fn rest_texts_or_tables(&mut self, reader: &mut Reader<'_>) -> Vec<(At<String>, TextOrTable<'d>)> {
        let mut members = Vec::new();
        for item in self.items.iter_mut().filter(|item| !item.taken) {
            item.taken = true;
            let name = join(&self.path, item.key);
            let key = At { value: item.key.to_owned(), at: item.key_at };
            match item.value.get_ref() {
                DeValue::String(text) => {
                    let at = begin(item.value.span());
                    reader.record(&name, at, format!("{:?}", text.as_ref()));
                    members.push((key, TextOrTable::Text(At { value: text.as_ref().to_owned(), at })));
                }
                DeValue::Table(table) => members.push((key, TextOrTable::Table(Table::new(name, item.key_at, table)))),
                other => reader.error(
                    begin(item.value.span()),
                    format!("`{name}` is {}, but must be text in quotes or a table", kind(other)),
                    None,
                ),
            }
        }
        members
    }

    /// Marks the remaining keys as seen, where a problem was already reported that explains them.
    pub(crate) fn ignore_rest(&mut self) {
        for item in &mut self.items {
            item.taken = true;
        }
    }

    /// Reports the keys that nobody asked for. `explain` may know better than "unknown key".
    pub(crate) fn finish_with(
        self,
        reader: &mut Reader<'_>,
        explain: impl Fn(&str) -> Option<(String, Option<String>)>,
    ) {
        for item in self.items.iter().filter(|item| !item.taken) {
            if let Some((message, help)) = explain(item.key) {
                reader.error(item.key_at, message, help);
                continue;
            }
            let name = join(&self.path, item.key);
            let help = match nearest(item.key, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.known.is_empty() => "this table takes no keys".to_owned(),
                None => format!("known here: {}", self.known.join(", ")),
            };
            reader.error(item.key_at, format!("unknown key `{name}`"), help);
        }
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        self.finish_with(reader, |_| None);
    }
}

/// The candidate that a misspelt word most probably means.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}
