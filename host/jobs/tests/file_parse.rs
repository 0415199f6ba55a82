//! Reading job files.

use outrigger_jobs::check::{CheckOptions, check_text, render};
use outrigger_jobs::file::{Job, Position, StepKind, parse_jobs};
use outrigger_jobs::steps::{LogLevel, PluginCatalog, PluginSummary};
use proptest::prelude::*;
use serde_json::{Value, json};

struct NoPlugins;

impl PluginCatalog for NoPlugins {
    fn plugin(&self, _provider: &str) -> Option<PluginSummary> {
        None
    }

    fn providers(&self) -> Vec<String> {
        Vec::new()
    }
}

fn fixture(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs").join(name);
    std::fs::read_to_string(path).expect(name)
}

fn jobs(name: &str) -> Vec<Job> {
    parse_jobs(&fixture(name), name).expect(name).jobs
}

#[test]
fn an_export_is_read_as_typed_values() {
    let jobs = jobs("start-and-stop.yaml");
    let job = &jobs[0];
    assert_eq!((job.path().as_str(), job.log_level), ("aws/ec2/Start instance", LogLevel::Info));
    assert_eq!(job.uuid.as_ref().map(|uuid| uuid.value.as_str()), Some("0d3f7a4e-6f3a-4a39-9b68-3f6a4f5b8f10"));
    let retry = job.retry.as_ref().expect("a retry");
    assert_eq!(
        (retry.count.value.as_str(), retry.delay.as_ref().map(|delay| delay.value.as_str())),
        ("2", Some("30s"))
    );
    assert_eq!(job.timeout.as_ref().map(|timeout| timeout.value.as_str()), Some("1h 30m"));
    assert!(
        job.option("region").is_some_and(|option| option.enforced && option.required && option.values_plugin.is_some())
    );
    assert_eq!(job.sequence.strategy.value, outrigger_jobs::file::Strategy::NodeFirst);
    assert_eq!(job.sequence.log_filters.len(), 1);
    assert_eq!(job.sequence.steps[0].log_filters[0].configuration["logData"], json!("true"));
    let StepKind::Plugin { provider, node_step, configuration, positions } = &job.sequence.steps[0].kind else {
        panic!("the first step is a plugin")
    };
    assert_eq!((provider.value.as_str(), *node_step), ("aws-vm-start-step", false));
    assert_eq!(configuration["wait"], json!("true"));
    assert_eq!(positions["/wait"], Position { line: 36, column: 15 });
    assert_eq!(provider.position, Position { line: 53, column: 13 });
    let unused: Vec<&str> = job.unused_keys.iter().map(|key| key.key.as_str()).collect();
    assert_eq!(
        unused,
        ["defaultTab", "maxMultipleExecutions", "multipleExecutions", "nodeFilterEditable", "scheduleEnabled"]
    );
}

#[test]
fn a_single_job_with_anchors_is_read() {
    let jobs = jobs("single.yaml");
    let job = &jobs[0];
    assert_eq!(job.timeout.as_ref().map(|timeout| timeout.value.as_str()), Some("90"));
    let StepKind::Plugin { configuration, .. } = &job.sequence.steps[1].kind else { panic!("a plugin") };
    assert_eq!(configuration["timeout"], json!(600));
    assert_eq!(configuration["force"], json!(false));
    assert_eq!(configuration["instanceIds"], json!(["i-0123456789abcdef0", "${option.instances}"]));
    assert_eq!(job.sequence.steps[0].label.as_ref().map(|label| label.value.as_str()), Some("first"));
}

#[test]
fn old_exports_are_read() {
    let jobs = jobs("old-export.yaml");
    let job = &jobs[0];
    let names: Vec<&str> = job.options.iter().map(|option| option.name.value.as_str()).collect();
    assert_eq!(names, ["region", "verbose", "empty"]);
    assert_eq!(job.options[1].default.as_ref().map(|value| value.value.as_str()), Some("no"));
    assert_eq!(job.sequence.steps.len(), 2);
    let filters = job.node_filters.as_ref().expect("filters");
    assert_eq!(filters.filter.as_ref().map(|filter| filter.value.as_str()), Some("name: local"));
}

#[test]
fn numbers_that_are_names_stay_as_they_were_written() {
    let text = "name: n\nsequence:\n  commands:\n  - type: t\n    configuration: {account: 000123456789, version: 1.10, hex: 0x1F, big: 111122223333, ratio: 0.5, none: ~, yes: yes, huge: 1e999}\n";
    let file = parse_jobs(text, "x.yaml").expect("a job");
    let StepKind::Plugin { configuration, .. } = &file.jobs[0].sequence.steps[0].kind else { panic!("a plugin") };
    let values: Value = configuration.clone().into_iter().collect::<serde_json::Map<_, _>>().into();
    let expected = json!({
        "account": "000123456789", "version": "1.10", "hex": "0x1F", "big": 111_122_223_333_u64, "ratio": 0.5,
        "none": null, "yes": "yes", "huge": "1e999"
    });
    assert_eq!(values, expected);
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let problems = parse_jobs(&fixture("mistakes.yaml"), "mistakes.yaml").expect_err("mistakes");
    let codes: std::collections::BTreeSet<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
    for code in ["log-level", "wrong-type", "step-kind", "missing-key", "no-steps", "job-name"] {
        assert!(codes.contains(code), "{code} is not among {codes:?}");
    }
    assert!(problems.iter().all(|problem| problem.line > 0 && problem.column > 0));
    let lines: Vec<u32> = problems.iter().map(|problem| problem.line).collect();
    assert!(lines.is_sorted());
}

#[test]
fn files_that_are_no_yaml_or_too_much_are_refused() {
    for (text, code) in [
        ("", "no-job"),
        ("[]", "no-job"),
        ("just text", "no-job"),
        ("- name: a\n\tb: c\n", "yaml"),
        ("name: a\nname: b\nsequence: {commands: [{exec: x}]}\n", "duplicate-key"),
        ("a: *b\n", "yaml"),
        ("a: &a [*a]\n", "alias"),
        ("? [a]\n: b\n", "yaml"),
    ] {
        let problems = parse_jobs(text, "x.yaml").expect_err(text);
        assert!(problems.iter().any(|problem| problem.code == code), "{text:?}: {problems:?}");
    }
    let deep = "[".repeat(10_000);
    assert!(parse_jobs(&deep, "x.yaml").is_err());
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let problems = parse_jobs(&bomb, "x.yaml").expect_err("a bomb");
    assert_eq!(problems[0].code, "too-large");
}

#[test]
fn reading_a_large_file_takes_no_long_time() {
    let job = "- name: n\n  sequence:\n    commands:\n    - exec: echo ${option.x}\n";
    let text = job.repeat(20_000);
    let file = parse_jobs(&text, "x.yaml").expect("jobs");
    assert_eq!(file.jobs.len(), 20_000);
}

/// YAML-like text: a mix of the keys of job files, of YAML's own characters and of anything.
fn job_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("- name: a\n".to_owned()),
        Just("  sequence:\n".to_owned()),
        Just("    commands:\n".to_owned()),
        Just("    - type: t\n".to_owned()),
        Just("      configuration: {a: '${option.x}', b: [1, *z]}\n".to_owned()),
        Just("    - exec: \"${data.x*} ${option.\"\n".to_owned()),
        Just("    - script: |\n        @option.x@ $RD_OPTION_X @\n".to_owned()),
        Just("    - jobref: {name: a, args: -x '${option.y}'}\n".to_owned()),
        Just("      errorhandler: {exec: b}\n".to_owned()),
        Just("      plugins: {LogFilter: [{type: key-value-data, config: {regex: '('}}]}\n".to_owned()),
        Just("  options: [{name: x, regex: '[', value: '${DATE:yyyy', multivalued: true}]\n".to_owned()),
        Just("  options:\n    y: {isDate: 'true', value: 1}\n".to_owned()),
        Just("  timeout: 1h 3\n".to_owned()),
        Just("  nodefilters: {filter: 'name: local', dispatch: {threadcount: 0}}\n".to_owned()),
        Just("  <<: &z {a: b}\n".to_owned()),
        "[-:{}\\[\\]&*!|>'\"%@`#, \\n\\t~a0${}.]{0,12}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_reading_or_checking_panic(text in job_like()) {
        let _ = parse_jobs(&text, "x.yaml");
        let report = check_text(&text, "x.yaml", &NoPlugins, &CheckOptions::default());
        let shown = render(&report, false);
        prop_assert!(shown.contains("can run"));
    }

    #[test]
    fn argument_lines_and_patterns_never_panic(text in any::<String>()) {
        let _ = outrigger_jobs::options::parse_arguments(&text);
        let _ = outrigger_jobs::options::java_full_match(&text);
        let _ = outrigger_jobs::options::check_date(&text, &text);
        let _ = outrigger_jobs::options::expand_dates(&text, &jiff::Zoned::now());
        let _ = outrigger_jobs::file::parse_duration(&text);
    }
}
