//! The order in which an option gets its value.

use indexmap::IndexMap;
use outrigger_redaction::Secret;

use crate::context::references;
use crate::file::{Job, JobOption, Position, Problem, Severity};
use crate::suggest::nearest;

use super::validate::{DATE_FORMAT, check_value, list_choices};
use super::{
    OptionEnvironment, OptionSource, OptionValue, Prompter, Question, ResolvedOption, ResolvedOptions, expand_dates,
};

/// How often a person is asked again before giving up.
const MOST_QUESTIONS: usize = 10;

/// Gives every option of a job its value: what was given, then the options file, then key storage for secure ones,
/// then the default. Required options that still have none are asked for, if somebody is there to ask.
///
/// Of an option that is given several times, all values count if it is multivalued, and the last one otherwise. A
/// blank value of an option that is not required is a value.
///
/// # Errors
/// All problems at once: unknown options, values that are not allowed, keys that cannot be read, and every required
/// option without a value.
pub fn resolve_options(
    job: &Job,
    given: &[(String, String)],
    from_file: &[(String, String)],
    mut environment: OptionEnvironment<'_>,
) -> Result<ResolvedOptions, Vec<Problem>> {
    let mut problems = Vec::new();
    let names = |job: &Job| job.options.iter().map(|option| option.name.value.clone()).collect::<Vec<_>>();
    for (name, _) in given.iter().chain(from_file) {
        if job.option(name).is_none() {
            problems.push(unknown_option(name, &names(job)));
        }
    }
    let mut resolved = ResolvedOptions::default();
    let mut missing: Vec<&JobOption> = Vec::new();
    for option in &job.options {
        match find_value(option, given, from_file, &resolved, &environment) {
            Err(problem) => problems.push(*problem),
            Ok(Some((value, source))) => {
                resolved.values.insert(option.name.value.clone(), finish(option, value, source));
            }
            Ok(None) if option.required => missing.push(option),
            Ok(None) => {}
        }
    }
    if problems.is_empty()
        && let Some(prompter) = environment.prompter.as_deref_mut()
    {
        let mut unanswered = Vec::new();
        for option in missing {
            // A hidden option is one that its author does not want people to be asked for.
            let answer = if option.hidden { None } else { ask(option, prompter, &mut problems) };
            match answer {
                Some(value) => {
                    let value = finish(option, value, OptionSource::Asked);
                    resolved.values.insert(option.name.value.clone(), value);
                }
                None => unanswered.push(option),
            }
        }
        missing = unanswered;
    }
    for option in missing {
        problems.push(missing_option(option));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut ordered = IndexMap::with_capacity(resolved.values.len());
    for option in &job.options {
        if let Some((name, value)) = resolved.values.swap_remove_entry(&option.name.value) {
            ordered.insert(name, value);
        }
    }
    Ok(ResolvedOptions { values: ordered })
}

fn problem(code: &str, message: String, help: Option<String>) -> Problem {
    let mut problem = Problem::new(Severity::Error, "", Position::default(), code, message);
    problem.help = help;
    problem
}

fn unknown_option(name: &str, names: &[String]) -> Problem {
    let help = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "the job has no options".to_owned(),
        None => format!("the job's options are {}", names.join(", ")),
    };
    problem("unknown-option", format!("the job has no option `{}`", crate::file::clip(name)), Some(help))
}

fn missing_option(option: &JobOption) -> Problem {
    let name = &option.name.value;
    let mut message = format!("option `{name}` is required and has no value");
    if let Some(label) = option.label.as_ref().filter(|label| *label != name) {
        message.push_str(&format!(" ({label})"));
    }
    let help = match &option.storage_path {
        Some(path) => format!("put a key at `{}`, or give `-o {name}=...`", path.value),
        None if option.values.is_empty() => format!("give `-o {name}=...`"),
        None => format!("give `-o {name}=...`; choices: {}", list_choices(option)),
    };
    problem("missing-option", message, Some(help))
}

fn finish(option: &JobOption, value: Secret, source: OptionSource) -> ResolvedOption {
    let value = if option.secure { OptionValue::Secret(value) } else { OptionValue::Plain(value.expose().to_owned()) };
    ResolvedOption { value, source, exposed: !option.secure || option.value_exposed, file: option.file }
}

/// The value without asking anybody.
fn find_value(
    option: &JobOption,
    given: &[(String, String)],
    from_file: &[(String, String)],
    earlier: &ResolvedOptions,
    environment: &OptionEnvironment<'_>,
) -> Result<Option<(Secret, OptionSource)>, Box<Problem>> {
    for (values, source) in [(given, OptionSource::Given), (from_file, OptionSource::File)] {
        let Some(value) = pick(option, values) else { continue };
        if value.is_empty() && option.required {
            continue;
        }
        let value = if option.secure { Ok(value) } else { expand_dates(&value, &environment.now) };
        let value = value.map_err(|reason| {
            let message = format!("the value of option `{}` cannot be read: {reason}", option.name.value);
            Box::new(problem("option-value", message, None))
        })?;
        check_value(option, &value)
            .map_err(|refusal| Box::new(problem("option-value", refusal.message, refusal.help)))?;
        if option.file && !value.is_empty() && !std::path::Path::new(&value).is_file() {
            let message = format!("option `{}` is a file, and there is none at `{value}`", option.name.value);
            return Err(Box::new(problem("option-value", message, None)));
        }
        return Ok(Some((Secret::new(value), source)));
    }
    if option.secure
        && let Some(path) = &option.storage_path
    {
        let at = path.position;
        let fail = |message: String| Box::new(Problem::error(environment.file, at, "option-key", message));
        let expanded = expand_path(&path.value, earlier, environment).map_err(fail)?;
        let secret = environment.keys.read(&expanded).map_err(|reason| {
            fail(format!("the key `{expanded}` of option `{}` cannot be read: {reason}", option.name.value))
        })?;
        if let Some(secret) = secret {
            check_value(option, secret.expose()).map_err(|refusal| fail(refusal.message))?;
            return Ok(Some((secret, OptionSource::Storage)));
        }
    }
    let default = match &option.default {
        Some(default) => default.clone(),
        None if option.multivalued && option.all_selected && !option.values.is_empty() => {
            let all: Vec<&str> = option.values.iter().map(|choice| choice.value.as_str()).collect();
            crate::file::Located::new(all.join(&option.delimiter), option.position)
        }
        None => return Ok(None),
    };
    let fail =
        |message: String| Box::new(Problem::error(environment.file, default.position, "option-default", message));
    let value = expand_dates(&default.value, &environment.now)
        .map_err(|reason| fail(format!("the default of option `{}` cannot be read: {reason}", option.name.value)))?;
    check_value(option, &value).map_err(|refusal| {
        let mut problem =
            fail(format!("the default of option `{}` is not allowed: {}", option.name.value, refusal.message));
        problem.help = refusal.help;
        problem
    })?;
    Ok(Some((Secret::new(value), OptionSource::Default)))
}

/// The given values of one option.
fn pick(option: &JobOption, values: &[(String, String)]) -> Option<String> {
    let mut found = values.iter().filter(|(name, _)| *name == option.name.value).map(|(_, value)| value.as_str());
    if option.multivalued {
        let all: Vec<&str> = found.collect();
        return (!all.is_empty()).then(|| all.join(&option.delimiter));
    }
    found.next_back().map(str::to_owned)
}

/// A storage path with `${option.x}` of earlier options and `${job.x}` replaced.
fn expand_path(path: &str, earlier: &ResolvedOptions, environment: &OptionEnvironment<'_>) -> Result<String, String> {
    let mut expanded = path.to_owned();
    for (reference, _) in references(path) {
        let key = &reference.key;
        let value = match reference.group.as_str() {
            "option" => match earlier.values.get(key).map(|option| &option.value) {
                Some(OptionValue::Plain(value)) => Some(value.as_str()),
                Some(OptionValue::Secret(_)) => {
                    return Err(format!("the storage path `{path}` contains the secure option `{key}`"));
                }
                None => None,
            },
            "job" => environment.job.get(key).map(String::as_str),
            _ => None,
        };
        let Some(value) = value else {
            return Err(format!("the storage path `{path}` refers to `{reference}`, which has no value here"));
        };
        if value.split('/').any(|part| part == "..") {
            return Err(format!("the storage path `{path}` would leave its folder through `{reference}`"));
        }
        expanded = expanded.replace(&reference.to_string(), value);
    }
    Ok(expanded)
}

/// Asks until the answer is allowed; `None` if there is no answer.
fn ask(option: &JobOption, prompter: &mut dyn Prompter, problems: &mut Vec<Problem>) -> Option<Secret> {
    let mut choices: Vec<String> = option.values.iter().map(|choice| choice.value.clone()).collect();
    if option.sort_values {
        choices.sort_unstable();
    }
    let mut question = Question {
        name: option.name.value.clone(),
        label: option.label.clone().unwrap_or_else(|| option.name.value.clone()),
        description: option.description.clone(),
        enforced: option.enforced && !choices.is_empty(),
        choices,
        secure: option.secure,
        delimiter: option.multivalued.then(|| option.delimiter.clone()),
        date_format: option
            .date
            .then(|| option.date_format.as_ref().map_or_else(|| DATE_FORMAT.to_owned(), |format| format.value.clone())),
        remark: None,
    };
    for _ in 0..MOST_QUESTIONS {
        let answer = match prompter.ask(&question) {
            Ok(answer) => answer?,
            Err(reason) => {
                let message = format!("option `{}` cannot be asked for: {reason}", option.name.value);
                problems.push(problem("prompt", message, None));
                return None;
            }
        };
        if answer.is_empty() {
            question.remark = Some("a value is required".to_owned());
            continue;
        }
        if option.file && !std::path::Path::new(answer.expose()).is_file() {
            question.remark = Some("there is no such file".to_owned());
            continue;
        }
        match check_value(option, answer.expose()) {
            Ok(()) => return Some(answer),
            Err(refusal) => {
                question.remark = Some(match refusal.help {
                    Some(help) => format!("{}; {help}", refusal.message),
                    None => refusal.message,
                });
            }
        }
    }
    None
}
