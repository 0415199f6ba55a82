//! Filters that change how lines are shown.

use regex::Regex;

use super::{Buffer, FilterOutput, FilteredLine, Highlight, Settings, Stage};
use crate::options::java_regex;
use crate::steps::LogLevel;

const COLOURS: &[&str] = &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const MODES: &[&str] = &["bold", "underline", "blink", "reverse"];

fn one_of(settings: &mut Settings<'_>, key: &str, allowed: &[&str]) -> Result<Option<String>, String> {
    match settings.text(key)? {
        Some(value) if !allowed.contains(&value.as_str()) => {
            Err(format!("`{key}` must be one of {}, not `{value}`", allowed.join(", ")))
        }
        value => Ok(value),
    }
}

fn level(text: &str) -> Option<LogLevel> {
    Some(match text.to_ascii_lowercase().as_str() {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "normal" | "info" => LogLevel::Info,
        "verbose" => LogLevel::Verbose,
        "debug" => LogLevel::Debug,
        _ => return None,
    })
}

/// `highlight-output`: groups of a match, or the whole match, stand out.
pub(super) struct HighlightOutput {
    regex: Regex,
    foreground: Option<String>,
    background: Option<String>,
    mode: Option<String>,
}

impl HighlightOutput {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        let pattern = settings.required("regex")?;
        let mode = one_of(settings, "mode", MODES)?;
        let foreground = one_of(settings, "fgcolor", COLOURS)?;
        let background = one_of(settings, "bgcolor", COLOURS)?;
        let nothing = mode.is_none() && foreground.is_none() && background.is_none();
        Ok(Self {
            regex: java_regex(&pattern).map_err(|why| format!("`regex`: {why}"))?,
            foreground,
            background,
            mode: if nothing { Some("bold".to_owned()) } else { mode },
        })
    }
}

impl Stage for HighlightOutput {
    fn line(&mut self, line: &mut FilteredLine, _: &mut FilterOutput) -> bool {
        if line.level != LogLevel::Info || line.data_type.is_some() {
            return true;
        }
        let groups = self.regex.captures_len() - 1;
        for found in self.regex.captures_iter(&line.text) {
            let first = usize::from(groups > 0);
            for part in (first..=groups).filter_map(|index| found.get(index)).filter(|part| !part.is_empty()) {
                line.highlights.push(Highlight {
                    start: part.start(),
                    end: part.end(),
                    foreground: self.foreground.clone(),
                    background: self.background.clone(),
                    mode: self.mode.clone(),
                });
            }
        }
        true
    }
}

/// `mask-passwords`: secrets are masked anyway; this filter says by what text and in which colour.
pub(super) struct MaskPasswords {
    replacement: String,
    colour: Option<String>,
}

impl MaskPasswords {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        Ok(Self {
            replacement: settings.text("replacement")?.unwrap_or_else(|| "[SECURE]".to_owned()),
            colour: one_of(settings, "color", COLOURS)?,
        })
    }
}

impl Stage for MaskPasswords {
    fn line(&mut self, line: &mut FilteredLine, _: &mut FilterOutput) -> bool {
        let mask = outrigger_redaction::MASK;
        if !line.text.contains(mask) {
            return true;
        }
        line.text = line.text.replace(mask, &self.replacement);
        // Places found before are no longer where they were.
        line.highlights.clear();
        if let Some(colour) = &self.colour {
            line.highlights.extend(line.text.match_indices(self.replacement.as_str()).map(|(start, found)| {
                Highlight {
                    start,
                    end: start + found.len(),
                    foreground: Some(colour.clone()),
                    background: None,
                    mode: None,
                }
            }));
        }
        true
    }
}

/// `quiet-output`: lines that match, or do not, get another level.
pub(super) struct QuietOutput {
    regex: Option<Regex>,
    tested: Option<LogLevel>,
    result: Option<LogLevel>,
    quiet_match: bool,
}

impl QuietOutput {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        let regex = match settings.text("regex")? {
            Some(pattern) => Some(java_regex(&pattern).map_err(|why| format!("`regex`: {why}"))?),
            None => None,
        };
        let tested = match settings.text("matchLoglevel")?.as_deref() {
            Some("all" | "any") => None,
            Some(text) => {
                Some(level(text).ok_or_else(|| format!("`matchLoglevel` must be a log level, not `{text}`"))?)
            }
            None => Some(LogLevel::Info),
        };
        let result = match settings.text("loglevel")? {
            Some(text) => Some(level(&text).ok_or_else(|| format!("`loglevel` must be a log level, not `{text}`"))?),
            None if settings.configuration.contains_key("loglevel") => None,
            None => Some(LogLevel::Verbose),
        };
        let quiet_match = settings.flag("quietMatch", false)?;
        // `invert` is how people who write the filter by hand name the same switch.
        let quiet_match = quiet_match || settings.flag("invert", false)?;
        Ok(Self { regex, tested, result, quiet_match })
    }
}

impl Stage for QuietOutput {
    fn line(&mut self, line: &mut FilteredLine, _: &mut FilterOutput) -> bool {
        if self.tested.is_some_and(|tested| tested != line.level) {
            return true;
        }
        let found = self.regex.as_ref().is_none_or(|regex| regex.is_match(&line.text));
        if found != self.quiet_match {
            return true;
        }
        match self.result {
            Some(level) => {
                line.level = level;
                true
            }
            None => false,
        }
    }
}

const BEGIN: &str = "#BEGIN:RUNDECK:DATATYPE:";
const END: &str = "#END:RUNDECK:DATATYPE";

/// `render-formatted-data` (in files `render-datatype`): lines become one document of a data type.
pub(super) struct RenderData {
    /// The type of what is being collected.
    data_type: Option<String>,
    buffer: Buffer,
}

impl RenderData {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        let data_type = settings.text("datatype")?.map(|name| mime_type(&name));
        Ok(Self { data_type, buffer: Buffer::default() })
    }

    fn emit(&mut self, output: &mut FilterOutput) {
        let text = std::mem::take(&mut self.buffer).text;
        if let Some(data_type) = self.data_type.take()
            && !text.is_empty()
        {
            output.lines.push(FilteredLine {
                level: LogLevel::Info,
                text,
                data_type: Some(data_type),
                title: None,
                highlights: Vec::new(),
            });
        }
    }
}

fn mime_type(name: &str) -> String {
    let name = name.trim();
    match name.to_ascii_lowercase().as_str() {
        "json" => "application/json",
        "properties" => "application/x-java-properties",
        "csv" => "text/csv",
        "html" => "text/html",
        "markdown" | "md" => "text/x-markdown",
        _ => name,
    }
    .to_owned()
}

impl Stage for RenderData {
    fn line(&mut self, line: &mut FilteredLine, output: &mut FilterOutput) -> bool {
        if line.level != LogLevel::Info || line.data_type.is_some() {
            return true;
        }
        if self.data_type.is_none() {
            if let Some(name) = line.text.strip_prefix(BEGIN) {
                self.data_type = Some(mime_type(name)).filter(|name| !name.is_empty());
                line.level = LogLevel::Debug;
            }
        } else if line.text.starts_with(END) {
            line.level = LogLevel::Debug;
            self.emit(output);
        } else {
            self.buffer.push("render-formatted-data", &line.text, output);
            line.level = LogLevel::Debug;
        }
        true
    }

    fn finish(&mut self, output: &mut FilterOutput) {
        self.emit(output);
    }
}
