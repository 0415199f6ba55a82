//! `progress-badges`: one short text instead of, or besides, a long log.
//!
//! The filter is part of Rundeck's commercial edition. Its settings are known from exported jobs: `regex`, `text`,
//! `statusSymbol`, `contextVariable`, `mute` and `doNothing`.

use regex::Regex;

use super::{Badge, BadgeStatus, Buffer, FilterOutput, FilteredLine, Settings, Stage, is_plain};
use crate::options::java_regex;
use crate::steps::LogLevel;

/// `progress-badges`.
pub(super) struct ProgressBadges {
    regex: Option<Regex>,
    badge: String,
    variable: Option<String>,
    mute: bool,
    only_if_found: bool,
    buffer: Buffer,
}

impl ProgressBadges {
    pub(super) fn new(settings: &mut Settings<'_>) -> Result<Self, String> {
        let regex = match settings.text("regex")? {
            Some(pattern) => Some(java_regex(&pattern).map_err(|why| format!("`regex`: {why}"))?),
            None => None,
        };
        let words: Vec<String> =
            [settings.text("text")?, settings.text("statusSymbol")?].into_iter().flatten().collect();
        if words.is_empty() {
            return Err("`text` is missing".to_owned());
        }
        Ok(Self {
            regex,
            badge: words.join(" "),
            variable: settings.text("contextVariable")?,
            mute: settings.flag("mute", true)?,
            only_if_found: settings.flag("doNothing", false)?,
            buffer: Buffer::default(),
        })
    }
}

impl Stage for ProgressBadges {
    fn line(&mut self, line: &mut FilteredLine, output: &mut FilterOutput) -> bool {
        if !is_plain(line) {
            return true;
        }
        // The pattern may span lines, so it is looked for when the step has ended.
        if self.regex.is_some() {
            self.buffer.push("progress-badges", &line.text, output);
        }
        if self.mute {
            line.level = LogLevel::Debug;
        }
        true
    }

    fn finish(&mut self, output: &mut FilterOutput) {
        let log = std::mem::take(&mut self.buffer.text);
        let found = self.regex.as_ref().is_none_or(|regex| regex.is_match(log.trim_end_matches('\n')));
        if !found && self.only_if_found {
            return;
        }
        let status = if found { BadgeStatus::Ok } else { BadgeStatus::Error };
        output.badges.push(Badge { text: self.badge.clone(), status });
        if let Some(variable) = &self.variable {
            output.data.push((variable.clone(), self.badge.clone()));
        }
    }
}
