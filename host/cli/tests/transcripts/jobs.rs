//! Job files are looked at before anything runs.

use crate::place::{Place, snapshot};

pub const HELLO: &str = include_str!("fixtures/hello.yaml");

const BROKEN: &str = "\
- name: Start
  options:
  - name: instance
    required: true
  sequence:
    commands:
    - type: aws-vm-strat-step
      configuration:
        instanceId: ${option.instanse}
- name: Fine
  sequence:
    commands:
    - type: aws-vm-start-step
      configuration:
        instanceId: i-0123456789abcdef0
    - type: aws-validate-credentials-step
";

#[test]
fn a_check_names_all_problems_and_ends_with_the_count() {
    let place = Place::new();
    place.write("jobs/broken.yaml", BROKEN);
    place.write("jobs/hello.yaml", HELLO);
    let printed = place.run("job check jobs").ended(2);
    snapshot("job-check.txt", &printed.out);
    assert!(printed.out.contains("2 of 3 can run"), "{}", printed.out);
    let json = place.run("job check jobs --format json").ended(2).out;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&value["version"], &value["summary"]["can_run"]), (&1.into(), &2.into()));
    place.run("job check jobs/hello.yaml").ended(0);
    let mut command = place.command("job check jobs");
    command.env("GITHUB_ACTIONS", "true");
    let annotated = place.finish(command, "").ended(2).out;
    let annotation = "::error file=jobs/broken.yaml,line=7,col=13::the plugin `aws-vm-strat-step` is not installed%0A";
    assert!(annotated.contains(annotation), "{annotated}");
    place.run("job check jobs/nothing.yaml").ended(2);
}

#[test]
fn a_missing_plugin_can_be_left_to_its_error_handler() {
    let place = Place::new();
    place.write("a.yaml", &BROKEN.replace("instanse", "instance"));
    place.run("job check a.yaml").ended(2);
    place.run("job check a.yaml --missing-plugins=fail-step").ended(0);
    let run = place.run("run a.yaml --job Start -o instance=i-1 --missing-plugins fail-step").ended(1);
    assert!(run.out.contains("aws-vm-strat-step"), "{}", run.out);
}

#[test]
fn undefined_options_are_errors_where_one_is_strict() {
    let place = Place::new();
    place.write("a.yaml", &BROKEN.replace("strat", "start"));
    assert!(place.run("job check a.yaml").ended(0).out.contains("warning"));
    place.run("job check a.yaml --strict").ended(2);
    let run = place.run("run a.yaml --job Start -o instance=i-1 --strict").ended(2);
    assert!(run.err.contains("--> a.yaml:9:"), "{}", run.err);
    assert_eq!(place.run("runs").ended(0).out, "no runs\n");
}

#[test]
fn jobs_are_listed() {
    let place = Place::new();
    place.write("jobs/broken.yaml", BROKEN);
    place.write("jobs/deep/hello.yaml", HELLO);
    let listed = place.run("job list jobs").ended(0).out;
    assert!(listed.contains("demo/Say hello  who* env* token*"), "{listed}");
    assert!(listed.contains("jobs/broken.yaml:10"), "{listed}");
    let json: serde_json::Value =
        serde_json::from_str(&place.run("job list jobs --format json").ended(0).out).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(3));
}

#[test]
fn a_policy_holds_what_the_steps_need() {
    let place = Place::new();
    place.write("a.yaml", &BROKEN.replace("strat", "start"));
    let all = place.run("job policy a.yaml").ended(0);
    assert!(all.out.contains("ec2:StartInstances"), "{}", all.out);
    assert!(all.err.contains("kms:CreateGrant"), "{}", all.err);
    place.write("b.yaml", HELLO);
    let none = place.run("job policy b.yaml").ended(0);
    assert_eq!(none.out, "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": []\n}\n");
    assert_eq!(none.err, "no IAM action is needed\n");
    place.write("c.yaml", BROKEN);
    let unknown = place.run("job policy c.yaml --job Start").ended(0);
    assert!(unknown.err.contains("`aws-vm-strat-step` (c.yaml:7:13) is not installed"), "{}", unknown.err);
    let which = place.run("job policy c.yaml --job Stop").ended(2);
    assert!(which.err.contains("c.yaml has no job `Stop`"), "{}", which.err);
}
