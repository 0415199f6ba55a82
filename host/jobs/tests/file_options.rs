//! Giving options their values.

use std::collections::BTreeMap;

use outrigger_jobs::file::{Job, Problem, parse_jobs};
use outrigger_jobs::options::{
    KeyReader, NoKeys, OptionEnvironment, OptionSource, Prompter, Question, ResolvedOptions, resolve_options,
};
use outrigger_redaction::Secret;

fn job(options: &str) -> Job {
    let indented: String = options.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!("name: j\noptions:\n{indented}sequence:\n  commands:\n  - exec: x\n");
    parse_jobs(&text, "j.yaml").unwrap_or_else(|problems| panic!("{problems:?}")).jobs.remove(0)
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

struct Keys(BTreeMap<&'static str, &'static str>);

impl KeyReader for Keys {
    fn read(&self, path: &str) -> Result<Option<Secret>, String> {
        if path == "keys/damaged" {
            return Err("the entry is damaged".to_owned());
        }
        Ok(self.0.get(path).map(|value| Secret::new((*value).to_owned())))
    }
}

/// Answers in order, and remembers what it was asked.
#[derive(Default)]
struct Answers {
    answers: Vec<Option<&'static str>>,
    asked: Vec<Question>,
}

impl Prompter for Answers {
    fn ask(&mut self, question: &Question) -> Result<Option<Secret>, String> {
        self.asked.push(question.clone());
        if self.answers.is_empty() {
            return Err("the terminal is gone".to_owned());
        }
        Ok(self.answers.remove(0).map(|answer| Secret::new(answer.to_owned())))
    }
}

fn environment<'a>(keys: &'a dyn KeyReader, prompter: Option<&'a mut dyn Prompter>) -> OptionEnvironment<'a> {
    OptionEnvironment {
        file: "j.yaml",
        keys,
        prompter,
        now: "2026-02-28T15:04:05+01:00[Europe/Berlin]".parse().expect("a moment"),
        job: BTreeMap::from([("username".to_owned(), "ada".to_owned())]),
    }
}

fn resolve(options: &str, given: &[(&str, &str)], file: &[(&str, &str)]) -> Result<ResolvedOptions, Vec<Problem>> {
    resolve_options(&job(options), &pairs(given), &pairs(file), environment(&NoKeys, None))
}

fn value<'a>(resolved: &'a ResolvedOptions, name: &str) -> Option<&'a str> {
    resolved.values.get(name).map(|option| option.value.expose())
}

#[test]
fn given_comes_before_the_file_before_the_default() {
    let options = "- {name: a, value: default}\n- {name: b, value: default}\n- {name: c, value: default}\n- name: d\n";
    let resolved = resolve(options, &[("a", "1"), ("a", "given")], &[("a", "file"), ("b", "file")]).expect("values");
    let told: Vec<(&str, &str, OptionSource)> =
        resolved.values.iter().map(|(name, option)| (name.as_str(), option.value.expose(), option.source)).collect();
    assert_eq!(
        told,
        [
            ("a", "given", OptionSource::Given),
            ("b", "file", OptionSource::File),
            ("c", "default", OptionSource::Default)
        ]
    );
}

#[test]
fn every_problem_is_told() {
    let options = "
- {name: cluster-name, required: true}
- {name: region, required: true, label: AWS region, values: [eu-west-1, us-east-1], enforced: true}
- {name: ticket, regex: '[A-Z]+-\\d+'}
- {name: many, multivalued: true, enforced: true, values: [a, b]}
- {name: day, isDate: true, dateFormat: YYYY-MM-DD}
- {name: upload, type: file}
";
    let given = [
        ("cluster_name", "x"),
        ("ticket", "ops-1x"),
        ("many", "a,c"),
        ("day", "2026-02-30"),
        ("upload", "/nowhere/at/all"),
    ];
    let problems = resolve(options, &given, &[]).expect_err("problems");
    let told: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect();
    assert_eq!(
        told,
        [
            "unknown-option: the job has no option `cluster_name`",
            "option-value: `ops-1x` does not match the pattern of option `ticket`",
            "option-value: `c` is no choice of option `many`",
            "option-value: `2026-02-30` is no date for option `day`: there is no such day",
            "option-value: option `upload` is a file, and there is none at `/nowhere/at/all`",
            "missing-option: option `cluster-name` is required and has no value",
            "missing-option: option `region` is required and has no value (AWS region)",
        ]
    );
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `cluster-name`?"));
    assert_eq!(problems[6].help.as_deref(), Some("give `-o region=...`; choices: eu-west-1, us-east-1"));
}

#[test]
fn several_values_and_dates() {
    let options = "
- {name: all, multivalued: true, delimiter: ';', multivalueAllSelected: true, values: [a, b]}
- {name: some, multivalued: true, values: [a, b], enforced: true, value: a}
- {name: day, value: '${DATE+1:yyyy-MM-dd}', isDate: true, dateFormat: YYYY-MM-DD}
- {name: blank, value: x}
";
    let resolved = resolve(options, &[("some", "a"), ("some", "b"), ("blank", "")], &[]).expect("values");
    assert_eq!(value(&resolved, "all"), Some("a;b"));
    assert_eq!(value(&resolved, "some"), Some("a,b"));
    assert_eq!(value(&resolved, "day"), Some("2026-03-01"));
    assert_eq!(value(&resolved, "blank"), Some(""));
}

#[test]
fn secure_options_come_from_key_storage_and_stay_secret() {
    let options = "
- {name: env, value: prod}
- {name: password, secure: true, valueExposed: true, storagePath: 'keys/${option.env}/${job.username}', required: true}
- {name: login, secure: true, storagePath: keys/login}
- {name: absent, secure: true, storagePath: keys/absent}
- {name: typed, secure: true, valueExposed: true, regex: '\\d+'}
";
    let keys = Keys(BTreeMap::from([("keys/prod/ada", "hunter2"), ("keys/login", "letmein")]));
    let resolved =
        resolve_options(&job(options), &pairs(&[("typed", "4711")]), &[], environment(&keys, None)).expect("values");
    assert_eq!(value(&resolved, "password"), Some("hunter2"));
    assert!(resolved.values["password"].exposed && !resolved.values["login"].exposed);
    assert!(!resolved.values.contains_key("absent"));
    assert_eq!(resolved.secrets().count(), 3);
    let shown = format!("{resolved:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("letmein") && !shown.contains("4711"), "{shown}");

    let wrong = resolve_options(&job(options), &pairs(&[("typed", "hunter3")]), &[], environment(&keys, None));
    let problems = wrong.expect_err("the value does not match");
    assert!(!format!("{problems:?}").contains("hunter3"), "{problems:?}");

    let damaged = "- {name: a, secure: true, storagePath: keys/damaged}\n- {name: b, secure: true, storagePath: 'keys/${option.zzz}'}\n";
    let problems = resolve_options(&job(damaged), &[], &[], environment(&keys, None)).expect_err("problems");
    assert_eq!(problems.len(), 2);
    assert!(problems[0].message.contains("damaged") && problems[0].line == 3, "{problems:?}");
}

#[test]
fn a_storage_path_cannot_be_led_out_of_its_folder() {
    let options = "- name: env\n- {name: p, secure: true, storagePath: 'keys/${option.env}/p'}\n";
    let keys = Keys(BTreeMap::from([("keys/../other/p", "hunter2")]));
    let problems = resolve_options(&job(options), &pairs(&[("env", "../other")]), &[], environment(&keys, None));
    assert_eq!(problems.expect_err("refused")[0].code, "option-key");
}

#[test]
fn missing_options_are_asked_for() {
    let options = "
- {name: region, label: Region, required: true, enforced: true, sortValues: true, values: [us-east-1, eu-west-1]}
- {name: password, required: true, secure: true, valueExposed: true}
- {name: hidden, required: true, hidden: true, value: h}
- {name: optional}
";
    let mut answers =
        Answers { answers: vec![Some("mars"), Some("eu-west-1"), Some(""), Some("hunter2")], asked: vec![] };
    let resolved = resolve_options(&job(options), &[], &[], environment(&NoKeys, Some(&mut answers))).expect("values");
    assert_eq!(value(&resolved, "region"), Some("eu-west-1"));
    assert_eq!(resolved.values["password"].source, OptionSource::Asked);
    assert!(resolved.values["password"].value.is_secret());
    assert_eq!(answers.asked.len(), 4);
    assert_eq!(answers.asked[0].choices, ["eu-west-1", "us-east-1"]);
    assert!(answers.asked[1].remark.as_ref().is_some_and(|remark| remark.contains("mars")));
    assert!(answers.asked[2].secure && answers.asked[2].remark.is_none());

    let mut silent = Answers { answers: vec![None, None], asked: vec![] };
    let problems =
        resolve_options(&job(options), &[], &[], environment(&NoKeys, Some(&mut silent))).expect_err("missing");
    assert_eq!(problems.len(), 2);

    let mut gone = Answers::default();
    let problems =
        resolve_options(&job(options), &[], &[], environment(&NoKeys, Some(&mut gone))).expect_err("no terminal");
    assert!(problems.iter().any(|problem| problem.code == "prompt"));

    // A mistake on the command line is told before anybody is asked.
    let mut unasked = Answers { answers: vec![Some("eu-west-1")], asked: vec![] };
    let wrong =
        resolve_options(&job(options), &pairs(&[("regoin", "x")]), &[], environment(&NoKeys, Some(&mut unasked)));
    assert!(wrong.is_err() && unasked.asked.is_empty());
}
