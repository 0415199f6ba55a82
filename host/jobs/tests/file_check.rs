//! What checking says of exported jobs.

use std::path::{Path, PathBuf};

use outrigger_jobs::check::{CheckOptions, CheckReport, check_dir, check_file, check_paths, check_text, render};
use outrigger_jobs::file::Severity;
use outrigger_jobs::steps::{PluginCatalog, PluginSummary};
use serde_json::{Value, json};

/// Four plugins with settings as real ones have them.
struct Catalog;

impl Catalog {
    fn summaries() -> Vec<PluginSummary> {
        let instances = |more: Value| {
            let mut properties = json!({
                "instanceIds": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "region": {"type": ["string", "null"], "x-outrigger-credential": "region"},
                "wait": {"type": "boolean", "default": true},
                "timeout": {"type": ["integer", "null"], "minimum": 1}
            });
            if let (Some(properties), Some(more)) = (properties.as_object_mut(), more.as_object()) {
                properties.extend(more.clone());
            }
            json!({"type": "object", "properties": properties, "required": ["instanceIds"], "additionalProperties": false})
        };
        let plugin = |provider: &str, title: &str, input_schema: Value| PluginSummary {
            provider: provider.to_owned(),
            title: title.to_owned(),
            input_schema,
            output_schema: json!({}),
            worlds: vec!["job-step".to_owned()],
        };
        vec![
            plugin(
                "aws-vm-start-step",
                "AWS / VM / Start",
                instances(json!({"waitFor": {"anyOf": [{"$ref": "#/$defs/WaitFor"}, {"type": "null"}]}}))
                    .as_object()
                    .cloned()
                    .map(|mut schema| {
                        schema.insert(
                            "$defs".to_owned(),
                            json!({"WaitFor": {"oneOf": [{"const": "running"}, {"const": "status-ok"}]}}),
                        );
                        Value::Object(schema)
                    })
                    .unwrap_or_default(),
            ),
            plugin("aws-vm-stop-step", "AWS / VM / Stop", instances(json!({"force": {"type": "boolean"}}))),
            plugin(
                "aws-validate-credentials-step",
                "AWS / Validate Credentials",
                json!({"type": "object", "properties": {"region": {"type": ["string", "null"]}}, "additionalProperties": false}),
            ),
            plugin(
                "aws-autoscaling-update-group-step",
                "AWS / Autoscaling / Update / Groups",
                json!({
                    "type": "object",
                    "properties": {
                        "group": {"type": "string", "minLength": 1},
                        "min-size": {"type": "integer", "minimum": 0},
                        "max-size": {"type": "integer", "minimum": 1},
                        "desired-capacity": {"type": "integer", "minimum": 0},
                        "on-failure": {"enum": ["stop", "continue"]}
                    },
                    "required": ["group"]
                }),
            ),
            plugin(
                "http-request-step",
                "HTTP Request",
                json!({
                    "type": "object",
                    "properties": {
                        "url": {"type": "string"},
                        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                        "authorization": {"type": "string", "x-outrigger-secret": true},
                        "retries": {"type": "integer"}
                    },
                    "required": ["url"],
                    "additionalProperties": false
                }),
            ),
        ]
    }
}

impl PluginCatalog for Catalog {
    fn plugin(&self, provider: &str) -> Option<PluginSummary> {
        Self::summaries().into_iter().find(|summary| summary.provider == provider)
    }

    fn providers(&self) -> Vec<String> {
        Self::summaries().into_iter().map(|summary| summary.provider).collect()
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs")
}

fn options() -> CheckOptions {
    CheckOptions {
        native_steps: Some(true),
        accounts: Some(vec!["prod".to_owned(), "staging".to_owned()]),
        ..CheckOptions::default()
    }
}

/// The report of one fixture alone, without what depends on where the tree is.
fn checked(name: &str, options: &CheckOptions) -> CheckReport {
    let text = std::fs::read_to_string(fixtures().join(name)).expect(name);
    check_text(&text, name, &Catalog, options)
}

macro_rules! snapshot {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                insta::assert_snapshot!(render(&checked($file, &options()), false));
            }
        )*
    };
}

snapshot! {
    start_and_stop: "start-and-stop.yaml",
    ecs_command: "ecs-command.yaml",
    rds_health: "rds-health.yaml",
    options_of_every_kind: "options.yaml",
    job_references: "references.yaml",
    error_handlers: "error-handlers.yaml",
    dispatched: "dispatched.yaml",
    native: "native.yaml",
    single: "single.yaml",
    mistakes: "mistakes.yaml",
    old_export: "old-export.yaml",
    secrets: "secrets.yaml",
}

#[test]
fn a_folder_ends_with_how_many_can_run() {
    let report = check_dir(&fixtures(), &Catalog, &options());
    let text = render(&report, false);
    let last = text.lines().last().expect("a summary");
    let expected = format!("{} of {} can run", report.summary.can_run, report.summary.jobs);
    assert!(last.starts_with(&expected), "{last}");
    assert!(report.summary.can_run > 0 && report.summary.can_run < report.summary.jobs, "{last}");
    let others =
        report.files.iter().find(|file| file.path.ends_with("access.aclpolicy.yaml")).expect("the access rules");
    assert!(others.jobs.is_empty() && others.problems.iter().all(|problem| problem.severity == Severity::Note));
    for job in report.files.iter().flat_map(|file| &file.jobs) {
        assert_eq!(job.can_run, job.reasons.is_empty(), "{}: {:?}", job.title(), job.reasons);
    }
}

#[test]
fn strict_makes_undefined_options_errors() {
    let count = |options: &CheckOptions| {
        let report = checked("ecs-command.yaml", options);
        let undefined = |severity| {
            let problems = report.files.iter().flat_map(|file| &file.problems);
            problems.filter(|problem| problem.code == "undefined-option" && problem.severity == severity).count()
        };
        (undefined(Severity::Warning), undefined(Severity::Error))
    };
    assert_eq!(count(&options()), (1, 0));
    assert_eq!(count(&CheckOptions { strict: true, ..options() }), (0, 1));
}

#[test]
fn missing_plugins_may_wait_until_the_step_runs() {
    let report = checked("rds-health.yaml", &CheckOptions { missing_plugins_fail_step: true, ..options() });
    assert_eq!((report.summary.errors, report.summary.can_run), (0, 1));
}

#[test]
fn native_steps_need_the_project() {
    let forbidden = checked("old-export.yaml", &CheckOptions { native_steps: Some(false), ..options() });
    assert_eq!(forbidden.files[0].problems.iter().filter(|problem| problem.code == "native-steps-off").count(), 1);
    let unknown = checked("old-export.yaml", &CheckOptions { native_steps: None, ..options() });
    assert!(unknown.is_ok());
    assert_eq!(unknown.files[0].problems.iter().filter(|problem| problem.code == "native-steps").count(), 1);
}

#[test]
fn jobs_of_the_project_and_of_the_folder_are_found() {
    let home = tempfile::tempdir().expect("a folder");
    let jobs = home.path().join("projects/web/jobs/deep");
    std::fs::create_dir_all(&jobs).expect("folders");
    let called = "- name: Called\n  uuid: c0ffee00-0000-4000-8000-000000000001\n  sequence:\n    commands:\n    - type: aws-validate-credentials-step\n";
    let broken = "- name: Broken\n  group: g\n  sequence:\n    commands:\n    - type: nowhere-to-be-found\n";
    std::fs::write(jobs.join("called.yaml"), called).expect("a file");
    std::fs::write(jobs.join("broken.yml"), broken).expect("a file");
    let caller = "- name: Caller\n  sequence:\n    commands:\n    - jobref: {uuid: C0FFEE00-0000-4000-8000-000000000001}\n- name: Unlucky\n  sequence:\n    commands:\n    - jobref: {name: Broken, group: g}\n";
    let path = home.path().join("caller.yaml");
    std::fs::write(&path, caller).expect("a file");
    let lost = check_file(&path, &Catalog, &options());
    assert_eq!((lost.summary.can_run, lost.summary.errors), (0, 2));
    let in_project = CheckOptions {
        project: Some("web".to_owned()),
        project_jobs: vec![("web".to_owned(), home.path().join("projects/web/jobs"))],
        ..options()
    };
    let found = check_file(&path, &Catalog, &in_project);
    assert_eq!((found.summary.can_run, found.summary.errors), (1, 0));
    assert_eq!(found.files[0].jobs[1].reasons, ["it calls `g/Broken`, which cannot run"]);
    // The same jobs, found because they lie beside the file.
    std::fs::copy(jobs.join("called.yaml"), home.path().join("called.yaml")).expect("a copy");
    assert_eq!(check_file(&path, &Catalog, &options()).summary.can_run, 1);
    let both = check_paths(&[path, jobs], &Catalog, &options());
    assert_eq!(both.summary.jobs, 4);
}

#[test]
fn what_cannot_be_read_is_told() {
    let home = tempfile::tempdir().expect("a folder");
    let report = check_file(&home.path().join("nowhere.yaml"), &Catalog, &options());
    assert_eq!((report.summary.errors, report.is_ok()), (1, false));
    let empty = check_dir(home.path(), &Catalog, &options());
    assert_eq!(empty.summary.errors, 1);
    std::fs::write(home.path().join("binary.yaml"), [0xff, 0xfe, 0x00]).expect("a file");
    assert_eq!(check_dir(home.path(), &Catalog, &options()).summary.errors, 1);
}

#[test]
fn the_report_is_versioned_json() {
    let report = checked("single.yaml", &options());
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["version"], 1);
    assert_eq!(json["files"][0]["jobs"][0]["name"], "A job that stands alone");
    let back: CheckReport = serde_json::from_value(json).expect("a report");
    assert_eq!(back, report);
}

#[test]
fn a_terminal_is_not_controlled_by_a_file() {
    let text = "- name: \"\\e[2J\\a\"\n  sequence:\n    commands:\n    - type: \"\\e]0;owned\\a\"\n";
    let shown = render(&check_text(text, "x.yaml", &Catalog, &options()), false);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    assert!(render(&check_text(text, "x.yaml", &Catalog, &options()), true).contains("\u{1b}[1;31m"));
}
