//! Filters that capture values by a regular expression.

use indexmap::IndexMap;
use regex::{Captures, Regex};

use super::{Buffer, FilterOutput, FilteredLine, Settings, Stage, data_table, is_plain};
use crate::options::{java_full_match, java_regex};
use crate::steps::LogLevel;

/// What `key-value-data` looks for where the job says nothing.
const DEFAULT_PATTERN: &str = r"^RUNDECK:DATA:\s*([^\s]+?)\s*=\s*(.+)$";
/// What `key-value-data-multilines` looks for where the job says nothing.
const DEFAULT_LINES_PATTERN: &str = r"^(.+?)\s*=\s*(.+)";
/// Characters that a key must not have.
const DEFAULT_INVALID: &str = r"\s|\$|\{|\}|\\";

/// Finds key and value in a match: two groups, or one group and a name.
fn key_and_value<'t>(groups: usize, name: Option<&'t str>, found: &Captures<'t>) -> Option<(&'t str, &'t str)> {
    let group = |index| found.get(index).map(|group| group.as_str());
    match (groups, name) {
        (1, Some(name)) => Some((name, group(1)?)),
        (2.., _) => Some((group(1)?, group(2)?)),
        _ => None,
    }
}

fn check_groups(regex: &Regex, name: Option<&str>) -> Result<usize, String> {
    match regex.captures_len() - 1 {
        0 => Err("`regex` must have one or two groups".to_owned()),
        1 if name.is_none() => Err("`name` is missing, which a `regex` with one group needs".to_owned()),
        groups => Ok(groups),
    }
}

/// `key-value-data`: a value per line.
pub(super) struct KeyValue {
    regex: Regex,
    groups: usize,
    name: Option<String>,
    log_data: bool,
    invalid: Option<Regex>,
    replacement: String,
    several: bool,
    data: IndexMap<String, String>,
}

impl KeyValue {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        let pattern = settings.text("regex")?.unwrap_or_else(|| DEFAULT_PATTERN.to_owned());
        // Rundeck's pattern must match the whole line, unless newer versions are told otherwise.
        let several = settings.flag("allowMultipleMatches", false)?;
        let part = settings.flag("matchSubstrings", false)? || several;
        let regex = if part { java_regex(&pattern) } else { java_full_match(&pattern) };
        let regex = regex.map_err(|why| format!("`regex`: {why}"))?;
        let name = settings.text("name")?;
        let groups = check_groups(&regex, name.as_deref())?;
        let invalid = settings.text("invalidKeyPattern")?.unwrap_or_else(|| DEFAULT_INVALID.to_owned());
        let invalid = java_regex(&invalid).map_err(|why| format!("`invalidKeyPattern`: {why}"))?;
        let replacement = if settings.flag("replaceFilteredResult", false)? {
            settings.text("invalidCharactersReplacement")?.unwrap_or_default()
        } else {
            "_".to_owned()
        };
        Ok(Self {
            regex,
            groups,
            name,
            log_data: settings.flag("logData", false)?,
            invalid: Some(invalid),
            replacement,
            several,
            data: IndexMap::new(),
        })
    }
}

impl Stage for KeyValue {
    fn line(&mut self, line: &mut FilteredLine, output: &mut FilterOutput) -> bool {
        if !is_plain(line) {
            return true;
        }
        let most = if self.several { usize::MAX } else { 1 };
        for found in self.regex.captures_iter(&line.text).take(most) {
            let Some((key, value)) = key_and_value(self.groups, self.name.as_deref(), &found) else { continue };
            let key = match &self.invalid {
                Some(invalid) => invalid.replace_all(key, regex::NoExpand(&self.replacement)),
                None => key.into(),
            };
            if key.is_empty() {
                continue;
            }
            self.data.insert(key.clone().into_owned(), value.to_owned());
            output.data.push((key.into_owned(), value.to_owned()));
        }
        true
    }

    fn finish(&mut self, output: &mut FilterOutput) {
        if self.log_data && !self.data.is_empty() {
            output.lines.push(data_table(&self.data));
        }
    }
}

/// `key-value-data-multilines`: a value from the whole log, in which `.` matches line breaks.
pub(super) struct MultiLine {
    regex: Regex,
    groups: usize,
    name: Option<String>,
    hide: bool,
    log_data: bool,
    several: bool,
    buffer: Buffer,
}

impl MultiLine {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        let pattern = settings.text("regex")?.unwrap_or_else(|| DEFAULT_LINES_PATTERN.to_owned());
        let several = settings.flag("captureMultipleKeysValues", false)?;
        let part =
            several || settings.flag("matchSubstrings", false)? || settings.flag("allowMultipleMatches", false)?;
        let pattern = format!("(?s){pattern}");
        let regex = if part { java_regex(&pattern) } else { java_full_match(&pattern) };
        let regex = regex.map_err(|why| format!("`regex`: {why}"))?;
        let name = settings.text("name")?;
        let groups = check_groups(&regex, name.as_deref())?;
        Ok(Self {
            regex,
            groups,
            name,
            hide: settings.flag("hideOutput", false)?,
            log_data: settings.flag("logData", false)?,
            several,
            buffer: Buffer::default(),
        })
    }
}

impl Stage for MultiLine {
    fn line(&mut self, line: &mut FilteredLine, output: &mut FilterOutput) -> bool {
        if is_plain(line) {
            self.buffer.push("key-value-data-multilines", &line.text, output);
            if self.hide {
                line.level = LogLevel::Debug;
            }
        }
        true
    }

    fn finish(&mut self, output: &mut FilterOutput) {
        let text = std::mem::take(&mut self.buffer.text);
        if text.is_empty() {
            return;
        }
        let most = if self.several { usize::MAX } else { 1 };
        let mut data = IndexMap::new();
        let mut capture = |text: &str| {
            for found in self.regex.captures_iter(text).take(most) {
                if let Some((key, value)) = key_and_value(self.groups, self.name.as_deref(), &found)
                    && !key.is_empty()
                    && !value.is_empty()
                {
                    data.insert(key.to_owned(), value.to_owned());
                }
            }
            !data.is_empty()
        };
        // Java's `$` matches before a line break at the end, which the log of a step always has.
        if !capture(&text) {
            capture(text.trim_end_matches('\n'));
        }
        output.data.extend(data.iter().map(|(key, value)| (key.clone(), value.clone())));
        if self.log_data {
            output.lines.push(data_table(&data));
        }
    }
}
