use std::process::Stdio;

use serde_json::Value;

use crate::support::{Ran, Scene, job, step};

/// Twenty processes at once on one database: all succeed, and each has a run of its own.
#[test]
fn twenty_runs_share_one_database() {
    let scene = Scene::new();
    let text = job(&[step("aws-validate-credentials-step", &[])]);
    let children: Vec<_> = (0..20)
        .map(|_| {
            let mut command = scene.run_command(&text, &[]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut numbers: Vec<i64> = children
        .into_iter()
        .map(|child| {
            let ran = Ran::from(child.wait_with_output().unwrap()).with_code(0);
            ran.events()[0]["run"].as_i64().unwrap()
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 20);
    for number in &numbers {
        let audit = scene.outrigger(&["audit", &number.to_string(), "--format", "json"]).with_code(0);
        assert_eq!(audit.events().len(), 1, "run {number}: {audit}");
    }
    let runs = scene.outrigger(&["runs", "--format", "json", "--limit", "100"]).with_code(0);
    assert_eq!(runs.out.matches("succeeded").count(), 20, "{runs}");
}

#[test]
fn checking_tells_by_its_exit_code() {
    let scene = Scene::new();
    let good = scene.write("jobs/good.yaml", &job(&[step("aws-vm-stop-step", &[("instanceId", "i-1")])]));
    let bad = scene.write("jobs/bad.yaml", &job(&[step("aws-vm-stopp-step", &[("instanceId", "i-1")])]));
    let wrong = scene.write("jobs/wrong.yaml", &job(&[step("aws-vm-stop-step", &[("timeout", "soon")])]));
    let check = |path: &std::path::Path| scene.outrigger(&["job", "check", &path.display().to_string()]);
    check(&good).with_code(0);
    let ran = check(&bad).with_code(2);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("aws-vm-stopp-step") && said.contains("aws-vm-stop-step"), "{said}");
    assert!(said.contains("bad.yaml") && said.contains("4:13: error"), "{said}");
    let ran = check(&wrong).with_code(2);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("instanceId") && said.contains("timeout"), "all problems at once: {said}");
    let ran = check(good.parent().unwrap()).with_code(2);
    assert!(ran.out.contains("1 of 3 can run"), "{ran}");

    // What cannot run is refused before anything happens; on request the step fails when it is reached.
    let path = bad.display().to_string();
    scene.outrigger(&["run", &path]).with_code(2);
    scene.outrigger(&["run", &path, "--missing-plugins=fail-step"]).with_code(1);
    scene.outrigger(&["run", "no-such-file.yaml"]).with_code(2);
    assert_eq!(scene.proxy.requests().len(), 0);
    let runs = scene.outrigger(&["runs", "--format", "json"]).with_code(0);
    assert_eq!(runs.out.matches("\"failed\"").count(), 1, "{runs}");
}

#[test]
fn plugins_say_what_they_may_do() {
    let scene = Scene::new();
    let ran = scene.outrigger(&["plugin", "inspect", "aws-vm-start-step", "--format", "json"]).with_code(0);
    let plugin: Value = serde_json::from_str(&ran.out).unwrap();
    let imports = plugin["imports"].as_array().unwrap();
    assert!(imports.iter().all(|import| import.as_str().unwrap().starts_with("outrigger:")), "{ran}");
    let actions: Vec<&str> =
        plugin["actions"].as_array().unwrap().iter().filter_map(|need| need["action"].as_str()).collect();
    assert!(actions.contains(&"ec2:StartInstances") && !actions.contains(&"ec2:StopInstances"), "{actions:?}");
    let ran = scene.outrigger(&["plugin", "policy", "aws-vm-start-step"]).with_code(0);
    let policy: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(policy.to_string().contains("ec2:StartInstances"), "{policy}");
}
