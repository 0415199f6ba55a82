//! Whether a value is one that the option allows.

use crate::file::{JobOption, clip};
use crate::suggest::nearest;

use super::{JavaMatcher, check_date};

/// The format of dates where the option names none: Rundeck's own.
pub(super) const DATE_FORMAT: &str = "MM/DD/YYYY hh:mm a";

/// Why a value is not allowed, and what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Checks a value against the option's choices, pattern and date format; a blank one is not checked. Of secure options
/// the value is in no message.
pub(crate) fn check_value(option: &JobOption, value: &str) -> Result<(), Refusal> {
    if value.is_empty() {
        return Ok(());
    }
    if option.multivalued {
        return value.split(option.delimiter.as_str()).try_for_each(|part| check_one(option, part));
    }
    check_one(option, value)
}

fn check_one(option: &JobOption, value: &str) -> Result<(), Refusal> {
    let name = &option.name.value;
    let shown = if option.secure { "the value".to_owned() } else { format!("`{}`", clip(value)) };
    if option.enforced && !option.values.is_empty() && !option.values.iter().any(|choice| choice.value == value) {
        let choices = option.values.iter().map(|choice| choice.value.as_str());
        let near = if option.secure { None } else { nearest(value, choices) };
        let help = match near {
            Some(choice) => format!("did you mean `{choice}`? choices: {}", list_choices(option)),
            None => format!("choices: {}", list_choices(option)),
        };
        return Err(Refusal { message: format!("{shown} is no choice of option `{name}`"), help: Some(help) });
    }
    // A pattern that cannot be compiled is a problem of the job, and refusing every value would say nothing about them.
    if let Some(pattern) = &option.regex {
        match JavaMatcher::full_match(&pattern.value).and_then(|matcher| matcher.is_match(value)) {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("{shown} does not match the pattern of option `{name}`");
                return Err(Refusal { message, help: Some(format!("the pattern is `{}`", clip(&pattern.value))) });
            }
            Err(reason) => {
                let message = format!("the pattern of option `{name}` cannot be used: {reason}");
                return Err(Refusal { message, help: Some(format!("the pattern is `{}`", clip(&pattern.value))) });
            }
        }
    }
    if option.date {
        let format = option.date_format.as_ref().map_or(DATE_FORMAT, |format| format.value.as_str());
        if let Err(reason) = check_date(value, format) {
            let message = format!("{shown} is no date for option `{name}`: {reason}");
            return Err(Refusal { message, help: Some(format!("the format is `{format}`")) });
        }
    }
    Ok(())
}

/// The choices as a text for people, shortened where there are many.
pub(crate) fn list_choices(option: &JobOption) -> String {
    const MOST: usize = 12;
    let mut shown: Vec<&str> = option.values.iter().map(|choice| choice.value.as_str()).collect();
    if option.sort_values {
        shown.sort_unstable();
    }
    let more = shown.len().saturating_sub(MOST);
    shown.truncate(MOST);
    let mut text = shown.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
