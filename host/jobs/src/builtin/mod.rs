//! Steps that Rundeck has built in and that need no plugin: they act on the run itself.
//!
//! Provider ids and settings are Rundeck's where they are public: `flow-control`, `log-data-step` and `export-var` come
//! with the open source edition. The progress badge step and the wait step are commercial; the settings taken here are
//! those that exported jobs have, or plain words for them.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_redaction::Secret;
use serde_json::Value;

use crate::context::ContextValue;
use crate::file::parse_duration;
use crate::filters::{Badge, BadgeStatus};
use crate::steps::{ConfigurationValue, StepFailure};
use crate::workflow::RunStatus;

/// Provider ids of the steps that are built in, with the other names under which they are known.
pub fn known_builtin_steps() -> &'static [&'static str] {
    &["flow-control", "progress-badge", "progress-badge-step", "log-data-step", "export-var", "wait", "wait-step"]
}

/// Whether a step is built in.
pub fn is_builtin(provider: &str) -> bool {
    known_builtin_steps().contains(&provider)
}

/// The settings of a built-in step, for checking.
pub fn builtin_settings(provider: &str) -> &'static [&'static str] {
    match provider {
        "flow-control" => &["halt", "fail", "status"],
        "progress-badge" | "progress-badge-step" => &["text", "status", "statusSymbol", "contextVariable"],
        "log-data-step" => &["debugOnly"],
        "export-var" => &["export", "group", "value"],
        "wait" | "wait-step" => &["duration", "time", "seconds", "timeUnit"],
        _ => &[],
    }
}

/// What a built-in step does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Nothing.
    GoOn,
    /// Ends the job.
    Halt {
        /// With this status.
        status: RunStatus,
    },
    /// Shows a badge.
    Badge {
        /// The badge.
        badge: Badge,
        /// The key in `data` that gets its text.
        variable: Option<String>,
    },
    /// Logs all values.
    LogData {
        /// At level DEBUG.
        debug: bool,
    },
    /// Sets a value for the whole job.
    Export {
        /// In this group.
        group: String,
        /// Under this key.
        name: String,
        /// The value.
        value: ContextValue,
    },
    /// Waits.
    Wait(Duration),
}

type Configuration = BTreeMap<String, ConfigurationValue>;

/// Reads what a built-in step is to do.
///
/// # Errors
/// A setting is missing or wrong.
pub(crate) fn action(provider: &str, configuration: &Configuration) -> Result<Action, StepFailure> {
    match provider {
        "flow-control" => flow_control(configuration),
        "progress-badge" | "progress-badge-step" => badge(configuration),
        "log-data-step" => Ok(Action::LogData { debug: flag(configuration, "debugOnly", false)? }),
        "export-var" => export(configuration),
        "wait" | "wait-step" => wait(configuration),
        other => Err(failure("ConfigurationFailure", format!("no step `{other}` is built in"))),
    }
}

/// Group and key of what a step would set, for a dry run that cannot run it.
pub(crate) fn would_set(provider: &str, configuration: &Configuration) -> Vec<(String, String)> {
    match provider {
        "export-var" => {
            let group = text(configuration, "group").unwrap_or_else(|| "export".to_owned());
            text(configuration, "export").map(|name| (group, name)).into_iter().collect()
        }
        "progress-badge" | "progress-badge-step" => {
            text(configuration, "contextVariable").map(|name| ("data".to_owned(), name)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn failure(reason: &str, message: impl Into<String>) -> StepFailure {
    StepFailure { reason: reason.to_owned(), message: message.into(), result_code: None, retryable: false }
}

/// A setting as text; blank counts as absent.
fn text(configuration: &Configuration, key: &str) -> Option<String> {
    let text = match &configuration.get(key)?.value {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    Some(text).filter(|text| !text.trim().is_empty())
}

fn flag(configuration: &Configuration, key: &str, default: bool) -> Result<bool, StepFailure> {
    match text(configuration, key).as_deref().map(str::trim) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(failure("ConfigurationFailure", format!("`{key}` must be `true` or `false`"))),
    }
}

fn flow_control(configuration: &Configuration) -> Result<Action, StepFailure> {
    if !flag(configuration, "halt", false)? {
        return Ok(Action::GoOn);
    }
    let status = match text(configuration, "status") {
        Some(status) => RunStatus::from(status.trim().to_owned()),
        None if flag(configuration, "fail", true)? => RunStatus::Failed,
        None => RunStatus::Succeeded,
    };
    Ok(Action::Halt { status })
}

fn badge(configuration: &Configuration) -> Result<Action, StepFailure> {
    let words: Vec<String> =
        [text(configuration, "text"), text(configuration, "statusSymbol")].into_iter().flatten().collect();
    if words.is_empty() {
        return Err(failure("ConfigurationFailure", "`text` of the badge is missing or blank"));
    }
    let status = match text(configuration, "status").unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "ok" | "success" | "succeeded" | "true" => BadgeStatus::Ok,
        "error" | "fail" | "failed" | "failure" | "false" => BadgeStatus::Error,
        _ => BadgeStatus::Neutral,
    };
    Ok(Action::Badge {
        badge: Badge { text: words.join(" "), status },
        variable: text(configuration, "contextVariable"),
    })
}

fn export(configuration: &Configuration) -> Result<Action, StepFailure> {
    let Some(value) = text(configuration, "value") else {
        return Err(failure("EmptyValue", "the value of the global variable is blank"));
    };
    let group = match configuration.get("group") {
        None => "export".to_owned(),
        Some(_) => text(configuration, "group")
            .ok_or_else(|| failure("NoGroup", "the group of the global variable is blank"))?,
    };
    let Some(name) = text(configuration, "export") else {
        return Err(failure("NoName", "the name of the global variable is blank"));
    };
    let secret = configuration.get("value").is_some_and(|value| value.secret);
    let value = if secret { ContextValue::Secret(Secret::new(value)) } else { ContextValue::Text(value) };
    Ok(Action::Export { group: group.trim().to_owned(), name: name.trim().to_owned(), value })
}

fn wait(configuration: &Configuration) -> Result<Action, StepFailure> {
    let found = ["duration", "time", "seconds"].into_iter().find_map(|key| text(configuration, key));
    let Some(found) = found else {
        return Err(failure("ConfigurationFailure", "`duration` of the wait step is missing, such as `30s`"));
    };
    let unit = text(configuration, "timeUnit").unwrap_or_default().to_ascii_lowercase();
    let unit = match unit.trim_end_matches('s') {
        "" => "",
        "second" => "s",
        "minute" => "m",
        "hour" => "h",
        "day" => "d",
        _ => return Err(failure("ConfigurationFailure", "`timeUnit` must be seconds, minutes, hours or days")),
    };
    let duration = parse_duration(&format!("{}{unit}", found.trim()));
    duration.map(Action::Wait).map_err(|why| failure("ConfigurationFailure", format!("`duration`: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        let value = |text: &str| ConfigurationValue { value: Value::from(text), secret: text == "secret" };
        pairs.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect()
    }

    #[test]
    fn flow_control_reads_text() {
        let halt = |pairs: &[(&str, &str)]| action("flow-control", &configuration(pairs)).expect("valid");
        assert_eq!(halt(&[("halt", "false")]), Action::GoOn);
        assert_eq!(halt(&[("halt", "true")]), Action::Halt { status: RunStatus::Failed });
        assert_eq!(halt(&[("halt", "true"), ("fail", "false")]), Action::Halt { status: RunStatus::Succeeded });
        let custom = halt(&[("halt", "true"), ("fail", "false"), ("status", "give a key")]);
        assert_eq!(custom, Action::Halt { status: RunStatus::Other("give a key".to_owned()) });
        assert!(action("flow-control", &configuration(&[("halt", "perhaps")])).is_err());
    }

    #[test]
    fn global_variables_keep_secrets() {
        let exported = action("export-var", &configuration(&[("export", "x"), ("value", "secret")])).expect("valid");
        let Action::Export { group, name, value } = exported else { panic!("not an export") };
        assert_eq!((group.as_str(), name.as_str(), value.is_secret()), ("export", "x", true));
        for (pairs, reason) in [
            (vec![("export", "x"), ("value", " ")], "EmptyValue"),
            (vec![("export", " "), ("value", "v")], "NoName"),
            (vec![("export", "x"), ("value", "v"), ("group", "")], "NoGroup"),
        ] {
            assert_eq!(action("export-var", &configuration(&pairs)).expect_err("refused").reason, reason);
        }
    }

    #[test]
    fn waits_and_badges() {
        let wait = |pairs: &[(&str, &str)]| action("wait", &configuration(pairs));
        assert_eq!(wait(&[("duration", "1m 5s")]), Ok(Action::Wait(Duration::from_secs(65))));
        assert_eq!(wait(&[("time", "2"), ("timeUnit", "MINUTES")]), Ok(Action::Wait(Duration::from_secs(120))));
        assert!(wait(&[]).is_err() && wait(&[("duration", "soon")]).is_err());
        let badge =
            action("progress-badge", &configuration(&[("text", "t"), ("status", "ok"), ("statusSymbol", "✅")]));
        let badge_expected = Badge { text: "t ✅".to_owned(), status: BadgeStatus::Ok };
        assert_eq!(badge, Ok(Action::Badge { badge: badge_expected, variable: None }));
    }
}
