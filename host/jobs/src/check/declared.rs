//! What a job says of itself: options, durations, node filters, strategy.

use std::collections::HashMap;

use crate::context::references;
use crate::file::{Job, JobOption, Located, NodeFilters, Problem, Retry, Strategy, clip, parse_duration};
use crate::options::{JavaMatcher, check_value, expand_dates};
use crate::suggest::nearest;

use super::CheckOptions;

/// Checks everything of a job but its steps and references.
pub(super) fn check(file: &str, job: &Job, options: &CheckOptions, problems: &mut Vec<Problem>) {
    check_options(file, job, problems);
    if let Some(timeout) = &job.timeout {
        check_duration(file, timeout, "timeout", problems);
    }
    if let Some(retry) = &job.retry {
        check_retry(file, retry, problems);
    }
    if let Some(credentials) = &job.credentials {
        check_account(file, credentials, options, problems);
    }
    if let Some(region) = &job.region {
        check_region(file, region, problems);
    }
    if let Strategy::Other(name) = &job.sequence.strategy.value {
        let position = job.sequence.strategy.position;
        let (message, help) = match name.as_str() {
            "ruleset" => (
                "the strategy `ruleset` is not supported yet".to_owned(),
                "node-first, sequential and parallel are; steps that depend on each other can be jobs called with `jobref`",
            ),
            _ => (format!("`{}` is no workflow strategy", clip(name)), "use node-first, sequential or parallel"),
        };
        problems.push(Problem::error(file, position, "strategy", message).with_help(help));
    }
    if let Some(filters) = &job.node_filters {
        check_node_filters(file, filters, problems);
    }
    if !job.execution_enabled {
        let message = "the job is disabled: `executionEnabled` is false";
        problems.push(
            Problem::warning(file, job.position, "disabled", message)
                .with_help("it is run all the same when it is named"),
        );
    }
}

fn check_options(file: &str, job: &Job, problems: &mut Vec<Problem>) {
    let mut first: HashMap<&str, u32> = HashMap::new();
    for option in &job.options {
        let name = option.name.value.as_str();
        if name.is_empty() {
            continue;
        }
        if let Some(line) = first.get(name) {
            let message = format!("the option `{}` is there twice", clip(name));
            problems.push(
                Problem::error(file, option.name.position, "duplicate-option", message)
                    .with_help(format!("it stood first in line {line}; rename or remove one of them")),
            );
        } else {
            first.insert(name, option.name.position.line);
        }
        if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-')) {
            let message =
                format!("the option name `{}` has other characters than letters, digits, `.`, `-` and `_`", clip(name));
            problems.push(Problem::error(file, option.name.position, "option-name", message));
        }
        check_option(file, option, problems);
    }
}

fn check_option(file: &str, option: &JobOption, problems: &mut Vec<Problem>) {
    let name = clip(&option.name.value);
    let mut usable_pattern = true;
    if let Some(regex) = &option.regex
        && let Err(reason) = JavaMatcher::full_match(&regex.value)
    {
        usable_pattern = false;
        let message = format!("the pattern of option `{name}` cannot be used: {reason}");
        problems.push(
            Problem::error(file, regex.position, "option-regex", message)
                .with_help("rewrite the pattern, or list the allowed values in `values` with `enforced: true`"),
        );
    }
    let remote = option.values_plugin.as_ref().or(option.values_url.as_ref());
    if option.enforced && option.values.is_empty() {
        let (position, message, help) = match remote {
            Some(source) => (
                source.position,
                format!("the choices of option `{name}` are not fetched from `{}`", clip(&source.value)),
                "any value is accepted",
            ),
            None => (
                option.name.position,
                format!("option `{name}` is `enforced` and lists no `values`"),
                "any value is accepted; list the allowed ones",
            ),
        };
        let severity = if remote.is_some() { crate::file::Severity::Note } else { crate::file::Severity::Warning };
        problems.push(Problem::new(severity, file, position, "option-choices", message).with_help(help));
    } else if let Some(source) = remote {
        let message = format!("the choices of option `{name}` are not fetched from `{}`", clip(&source.value));
        problems.push(Problem::note(file, source.position, "option-choices", message));
    }
    if let Some(path) = &option.storage_path
        && !option.secure
    {
        let message = format!("option `{name}` has a `storagePath` and is not secure, so the key is not read");
        problems
            .push(Problem::warning(file, path.position, "option-key", message).with_help("set `secure: true` on it"));
    }
    if option.required && option.hidden && option.default.is_none() && option.storage_path.is_none() {
        let message = format!("option `{name}` is required and hidden, and has no default");
        problems.push(
            Problem::warning(file, option.name.position, "option-hidden", message)
                .with_help("nobody is asked for it; it must be given with `-o`"),
        );
    }
    if let Some(default) = &option.default {
        check_default(file, option, default, usable_pattern, problems);
    }
}

fn check_default(
    file: &str,
    option: &JobOption,
    default: &Located<String>,
    usable_pattern: bool,
    problems: &mut Vec<Problem>,
) {
    let name = clip(&option.name.value);
    if option.secure {
        let message = format!("the value of the secure option `{name}` stands in the file");
        problems.push(
            Problem::warning(file, default.position, "secret-in-file", message)
                .with_help("put it into key storage and name it with `storagePath`"),
        );
    }
    let value = match expand_dates(&default.value, &jiff::Zoned::now()) {
        Ok(value) => value,
        Err(reason) => {
            let message = format!("the default of option `{name}` cannot be read: {reason}");
            problems.push(Problem::error(file, default.position, "option-default", message));
            return;
        }
    };
    if !usable_pattern || !references(&value).is_empty() {
        return;
    }
    if let Err(refusal) = check_value(option, &value) {
        let message = format!("the default is not allowed: {}", refusal.message);
        let mut problem = Problem::error(file, default.position, "option-default", message);
        problem.help = refusal.help;
        problems.push(problem);
    }
}

/// A duration that is no reference.
pub(super) fn check_duration(file: &str, text: &Located<String>, what: &str, problems: &mut Vec<Problem>) {
    if !references(&text.value).is_empty() {
        return;
    }
    if let Err(reason) = parse_duration(&text.value) {
        let message = format!("`{what}` is `{}`, which is no duration: {reason}", clip(&text.value));
        problems.push(
            Problem::error(file, text.position, "duration", message)
                .with_help("write seconds (`90`), units (`1h 30m`) or a reference (`${option.timeout}`)"),
        );
    }
}

/// `retry` of a job or of a step.
pub(super) fn check_retry(file: &str, retry: &Retry, problems: &mut Vec<Problem>) {
    const MOST: u32 = 1_000;
    let count = &retry.count;
    if references(&count.value).is_empty() && !count.value.trim().parse::<u32>().is_ok_and(|number| number <= MOST) {
        let message = format!("`retry` is `{}`, which is no number from 0 to {MOST}", clip(&count.value));
        problems.push(
            Problem::error(file, count.position, "retry", message)
                .with_help("write `retry: 3`, or `retry: {retry: 3, delay: 30s}`"),
        );
    }
    if let Some(delay) = &retry.delay {
        check_duration(file, delay, "delay", problems);
    }
}

/// `credentials` of a job or of a step: an account that is configured, or a role.
pub(super) fn check_account(file: &str, name: &Located<String>, options: &CheckOptions, problems: &mut Vec<Problem>) {
    let Some(accounts) = &options.accounts else { return };
    let known = accounts.contains(&name.value);
    if known || name.value.starts_with("arn:") || !references(&name.value).is_empty() {
        return;
    }
    let help = match nearest(&name.value, accounts.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if accounts.is_empty() => "no account is configured; add a table `[aws.accounts.NAME]`".to_owned(),
        None => format!("the configured accounts are {}", accounts.join(", ")),
    };
    let message = format!("no account `{}` is configured", clip(&name.value));
    problems.push(Problem::error(file, name.position, "unknown-account", message).with_help(help));
}

/// `region` of a job or of a step.
pub(super) fn check_region(file: &str, region: &Located<String>, problems: &mut Vec<Problem>) {
    let text = region.value.trim();
    let shaped = text.matches('-').count() >= 2
        && text.ends_with(|letter: char| letter.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    if shaped || !references(text).is_empty() {
        return;
    }
    let message = format!("`{}` does not look like an AWS region", clip(text));
    problems.push(
        Problem::warning(file, region.position, "region", message).with_help("regions are written like `eu-west-1`"),
    );
}

/// A node filter must select the local node alone, since there is no inventory yet.
pub(super) fn check_node_filters(file: &str, filters: &NodeFilters, problems: &mut Vec<Problem>) {
    if let Some(filter) = &filters.filter
        && !selects_local(&filter.value)
    {
        let message = format!("the node filter `{}` selects nodes of an inventory", clip(&filter.value));
        problems.push(
            Problem::error(file, filter.position, "node-filter", message).with_help(
                "node sources and remote execution are missing yet; without `nodefilters`, or with `name: local`, the job runs here",
            ),
        );
    }
    if let Some(exclude) = &filters.exclude
        && filters.filter.as_ref().is_none_or(|filter| selects_local(&filter.value))
    {
        let message = format!("the exclude filter `{}` needs an inventory", clip(&exclude.value));
        problems.push(
            Problem::error(file, exclude.position, "node-filter", message)
                .with_help("node sources are missing yet; remove it if the job is to run here"),
        );
    }
    let count = &filters.dispatch.thread_count;
    if references(&count.value).is_empty() && !count.value.trim().parse::<u32>().is_ok_and(|number| number > 0) {
        let message = format!("`threadcount` is `{}`, which is no number from 1", clip(&count.value));
        problems.push(Problem::error(file, count.position, "threadcount", message));
    }
}

/// Whether a filter can select nothing but the local node.
pub(super) fn selects_local(filter: &str) -> bool {
    let folded = filter.replace(':', " : ").replace(['"', '\''], "");
    let words: Vec<&str> = folded.split_whitespace().collect();
    let is_local = |name: &str| matches!(name, "local" | "localhost");
    match words.as_slice() {
        [name] => is_local(name),
        [attribute, ":", name] => matches!(*attribute, "name" | "nodename" | "hostname") && is_local(name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::selects_local;

    #[test]
    fn only_the_local_node_is_local() {
        for filter in
            ["local", "name: local", "name:local", "name: \"local\"", "hostname: localhost", " nodename: local "]
        {
            assert!(selects_local(filter), "{filter}");
        }
        for filter in [".*", "tags: web", "!name: local", "name: local tags: x", "name: web", "${option.node}", ""] {
            assert!(!selects_local(filter), "{filter}");
        }
    }
}
