//! Log filters: they capture values from a step's log and change how it is shown.
//!
//! Names and settings are Rundeck's; source: <https://docs.rundeck.com/docs/manual/log-filters/>. As there, the job's
//! filters run before a step's own, each sees what the one before it left, and values are captured from lines of level
//! INFO alone.

mod badge;
mod capture;
mod json;
mod neutral;
mod present;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::file::LogFilter;
use crate::steps::{LogLevel, LogLine};

pub use neutral::{LineBreaks, neutralise};

/// What a filter may keep of a step's log until the step ends, in bytes. What comes later is not looked at.
pub const MAX_BUFFERED: usize = 4 * 1024 * 1024;

/// Provider ids of the filters that exist here, with the other names under which they are known.
pub fn known_log_filters() -> &'static [&'static str] {
    &[
        "key-value-data",
        "key-value-data-multilines",
        "json-mapper",
        "progress-badges",
        "highlight-output",
        "mask-passwords",
        "quiet-output",
        "render-formatted-data",
        "render-datatype",
    ]
}

/// A part of a line that stands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Highlight {
    /// First byte in the text.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// Colour of the text, such as `red`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreground: Option<String>,
    /// Colour behind the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    /// `bold`, `underline`, `blink` or `reverse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// A line, or a document, on its way through the filters.
#[derive(Clone, Debug, PartialEq)]
pub struct FilteredLine {
    /// Its level; filters that hide a line lower it.
    pub level: LogLevel,
    /// Its text; several lines only where there is a `data_type`.
    pub text: String,
    /// MIME type of a document.
    pub data_type: Option<String>,
    /// Title of a table.
    pub title: Option<String>,
    /// Parts that stand out.
    pub highlights: Vec<Highlight>,
}

impl From<LogLine> for FilteredLine {
    fn from(line: LogLine) -> Self {
        Self { level: line.level, text: line.text, data_type: line.data_type, title: None, highlights: Vec::new() }
    }
}

/// How a badge looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadgeStatus {
    /// Green.
    Ok,
    /// Red.
    Error,
    /// Grey.
    Neutral,
}

/// A badge: a short text that says how a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// Its text, with the status symbol after it.
    pub text: String,
    /// Its colour.
    pub status: BadgeStatus,
}

/// What filters made of the lines they were given. Whoever reads it empties it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterOutput {
    /// Lines to show, in order.
    pub lines: Vec<FilteredLine>,
    /// Captured values for the group `data`.
    pub data: Vec<(String, String)>,
    /// Badges to show.
    pub badges: Vec<Badge>,
    /// What went wrong in a filter; the step goes on.
    pub warnings: Vec<String>,
}

/// One filter at work.
trait Stage: Send {
    /// Looks at a line and may change it. `false` drops it.
    fn line(&mut self, line: &mut FilteredLine, output: &mut FilterOutput) -> bool;

    /// The step ended.
    fn finish(&mut self, output: &mut FilterOutput) {
        let _ = output;
    }
}

/// The filters of one attempt of a step.
#[derive(Default)]
pub struct FilterChain {
    stages: Vec<Box<dyn Stage>>,
}

impl std::fmt::Debug for FilterChain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FilterChain").field("stages", &self.stages.len()).finish()
    }
}

/// A filter that cannot be used; the others can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterProblem {
    /// There is no such filter.
    #[error("log filter `{0}` is not known, so it is left out")]
    Unknown(String),
    /// Its settings are wrong.
    #[error("log filter `{provider}` is left out: {why}")]
    Settings {
        /// Its provider id.
        provider: String,
        /// What is wrong.
        why: String,
    },
}

impl FilterChain {
    /// Makes filters of their definitions, in order. `expand` replaces the references of a setting's text.
    /// A filter that cannot be made is left out and told of.
    pub fn new<'a>(
        filters: impl IntoIterator<Item = &'a LogFilter>,
        mut expand: impl FnMut(&str) -> Result<String, String>,
    ) -> (Self, Vec<FilterProblem>) {
        let (mut stages, mut problems) = (Vec::new(), Vec::new());
        for filter in filters {
            match stage(filter, &mut expand) {
                Ok(stage) => stages.push(stage),
                Err(problem) => problems.push(problem),
            }
        }
        (Self { stages }, problems)
    }

    /// Whether lines pass unchanged.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Takes a line.
    pub fn line(&mut self, line: FilteredLine, output: &mut FilterOutput) {
        self.feed(0, line, output);
    }

    /// The step ended: filters that look at the whole log do so now.
    pub fn finish(&mut self, output: &mut FilterOutput) {
        for index in 0..self.stages.len() {
            let mut own = FilterOutput::default();
            if let Some(stage) = self.stages.get_mut(index) {
                stage.finish(&mut own);
            }
            self.pass_on(index, own, output);
        }
    }

    fn feed(&mut self, first: usize, mut line: FilteredLine, output: &mut FilterOutput) {
        for index in first..self.stages.len() {
            let mut own = FilterOutput::default();
            let keep = match self.stages.get_mut(index) {
                Some(stage) => stage.line(&mut line, &mut own),
                None => true,
            };
            self.pass_on(index, own, output);
            if !keep {
                return;
            }
        }
        output.lines.push(line);
    }

    /// What a filter logs itself is seen by the filters after it.
    fn pass_on(&mut self, index: usize, own: FilterOutput, output: &mut FilterOutput) {
        output.data.extend(own.data);
        output.badges.extend(own.badges);
        output.warnings.extend(own.warnings);
        for line in own.lines {
            self.feed(index + 1, line, output);
        }
    }
}

/// Names of the values that a filter captures, and whether it may capture others: what a step would have set that a
/// dry run stopped.
pub fn captured_names(filter: &LogFilter) -> (Vec<String>, bool) {
    let mut expand = |text: &str| Ok(text.to_owned());
    let mut settings = Settings { configuration: &filter.configuration, expand: &mut expand };
    let mut names = Vec::new();
    let mut named = |key: &str, settings: &mut Settings<'_>| {
        settings.text(key).ok().flatten().map(|name| names.push(name)).is_some()
    };
    let open = match filter.provider.value.as_str() {
        "key-value-data" | "key-value-data-multilines" => {
            named("name", &mut settings);
            match settings.text("regex") {
                Ok(Some(regex)) => !crate::options::java_regex(&regex).is_ok_and(|regex| regex.captures_len() == 2),
                _ => true,
            }
        }
        "json-mapper" => {
            named("prefix", &mut settings);
            true
        }
        "progress-badges" => {
            named("contextVariable", &mut settings);
            false
        }
        _ => false,
    };
    (names, open)
}

/// Says what is wrong with a filter before anything runs. Settings that hold references are looked at when it runs.
///
/// # Errors
/// The filter is not known, or a setting is wrong.
pub fn check_log_filter(filter: &LogFilter) -> Result<(), FilterProblem> {
    const LATER: &str = "looked at when it runs";
    let checked = stage(filter, &mut |text: &str| {
        if crate::context::references(text).is_empty() { Ok(text.to_owned()) } else { Err(LATER.to_owned()) }
    });
    match checked {
        Err(FilterProblem::Settings { why, .. }) if why.ends_with(LATER) => Ok(()),
        Err(problem) => Err(problem),
        Ok(_) => Ok(()),
    }
}

fn stage(
    filter: &LogFilter,
    expand: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Box<dyn Stage>, FilterProblem> {
    let provider = filter.provider.value.as_str();
    let mut settings = Settings { configuration: &filter.configuration, expand };
    let stage: Result<Box<dyn Stage>, String> = match provider {
        "key-value-data" => capture::KeyValue::new(&mut settings).map(boxed),
        "key-value-data-multilines" => capture::MultiLine::new(&mut settings).map(boxed),
        "json-mapper" => json::JsonMapper::new(&mut settings).map(boxed),
        "progress-badges" => badge::ProgressBadges::new(&mut settings).map(boxed),
        "highlight-output" => present::HighlightOutput::new(&mut settings).map(boxed),
        "mask-passwords" => present::MaskPasswords::new(&mut settings).map(boxed),
        "quiet-output" => present::QuietOutput::new(&mut settings).map(boxed),
        "render-formatted-data" | "render-datatype" => present::RenderData::new(&mut settings).map(boxed),
        other => return Err(FilterProblem::Unknown(other.to_owned())),
    };
    stage.map_err(|why| FilterProblem::Settings { provider: provider.to_owned(), why })
}

fn boxed(stage: impl Stage + 'static) -> Box<dyn Stage> {
    Box::new(stage)
}

/// A filter's `config`. Exports write everything as text.
struct Settings<'a> {
    configuration: &'a IndexMap<String, Value>,
    expand: &'a mut dyn FnMut(&str) -> Result<String, String>,
}

impl Settings<'_> {
    /// A text; blank counts as absent.
    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        let text = match self.configuration.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => (self.expand)(text).map_err(|why| format!("`{key}`: {why}"))?,
            Some(Value::Array(_) | Value::Object(_)) => return Err(format!("`{key}` must be text")),
            Some(other) => other.to_string(),
        };
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool, String> {
        match self.text(key)?.as_deref().map(str::trim) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(other) => Err(format!("`{key}` must be `true` or `false`, not `{other}`")),
        }
    }

    fn required(&mut self, key: &str) -> Result<String, String> {
        self.text(key)?.ok_or_else(|| format!("`{key}` is missing"))
    }
}

/// Part of a step's log that a filter keeps.
#[derive(Debug, Default)]
struct Buffer {
    text: String,
    full: bool,
}

impl Buffer {
    /// Adds a line, or says once that there is no room for more.
    fn push(&mut self, provider: &str, line: &str, output: &mut FilterOutput) {
        if self.full {
            return;
        }
        if self.text.len() + line.len() >= MAX_BUFFERED {
            self.full = true;
            output
                .warnings
                .push(format!("log filter `{provider}` looks at the first {MAX_BUFFERED} bytes of a log only"));
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// A table of what was captured, as `logData` shows it.
fn data_table(data: &IndexMap<String, String>) -> FilteredLine {
    let values: serde_json::Map<String, Value> =
        data.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    FilteredLine {
        level: LogLevel::Info,
        text: Value::Object(values).to_string(),
        data_type: Some("application/json".to_owned()),
        title: Some("Key Value Data: Results".to_owned()),
        highlights: Vec::new(),
    }
}

/// Whether a line is one that values are captured from.
fn is_plain(line: &FilteredLine) -> bool {
    line.level == LogLevel::Info && line.data_type.is_none() && !line.text.is_empty()
}
