use outrigger_endpoints::{Fault, Field, Nth, Rule};
use serde_json::json;

use crate::support::{Scene, block, job, step};

const STATE: &str = "instanceState/name";

fn start(id: &str, more: &[(&str, &str)]) -> String {
    let mut configuration = vec![("instanceId", id), ("pollInterval", "50ms")];
    configuration.extend(more);
    job(&[step("aws-vm-start-step", &configuration)])
}

fn stop(id: &str, more: &[(&str, &str)]) -> String {
    start(id, more).replace("aws-vm-start-step", "aws-vm-stop-step")
}

fn slow(scene: &Scene, looks: u32, state: &str) {
    let field = Field::Xml(STATE.to_owned());
    scene.proxy.rule(Rule::new("DescribeInstances", Nth::First(looks), Fault::RewriteField(field, state.into())));
}

#[test]
fn start_waits_through_slow_changes() {
    let scene = Scene::new();
    let ids = block(scene.account.launch("t3.micro", 2, &[])).unwrap();
    block(scene.account.stop(&ids)).unwrap();
    slow(&scene, 3, "pending");
    let run = scene.good(&start(&ids.join(", "), &[]), &[]);
    let outputs = run.outputs("1");
    assert_eq!(outputs["instanceIds"], json!(ids));
    assert_eq!((&outputs["previousState"], &outputs["currentState"]), (&json!("stopped"), &json!("running")));
    assert!(scene.proxy.count("ec2:DescribeInstances") >= 4);
    assert_eq!(scene.proxy.count("ec2:StartInstances"), 1);
    for id in &ids {
        assert_eq!(block(scene.account.instance_state(id)).unwrap(), "running");
    }
    let audit = scene.audit();
    let write = audit.iter().find(|record| record["action"] == "StartInstances").unwrap();
    assert_eq!((&write["region"], &write["account"]), (&json!("us-east-1"), &json!(scene.account.id())));
    assert!(write["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{write}");
    // One that runs already is no failure.
    scene.run(&start(&ids[0], &[]), &[]).with_code(0);
}

#[test]
fn stop_waits_and_can_force() {
    let scene = Scene::new();
    let ids = block(scene.account.launch("t3.micro", 1, &[])).unwrap();
    slow(&scene, 2, "stopping");
    let run = scene.good(&stop(&ids[0], &[("force", "true")]), &[]);
    assert_eq!(run.outputs("1")["currentState"], "stopped");
    let request = scene.proxy.requests().into_iter().find(|request| request.operation == "StopInstances").unwrap();
    assert!(request.summary.contains("Force=true"), "{}", request.summary);
    assert_eq!(block(scene.account.instance_state(&ids[0])).unwrap(), "stopped");
}

#[test]
fn without_waiting_nothing_is_waited_for() {
    let scene = Scene::new();
    let ids = block(scene.account.launch("t3.micro", 1, &[])).unwrap();
    slow(&scene, 1_000, "stopping");
    let run = scene.run(&stop(&ids[0], &[("wait", "false")]), &[]).with_code(0);
    assert_eq!(run.outputs("1")["previousState"], "running");
    assert!(scene.proxy.count("ec2:DescribeInstances") <= 1);
}

#[test]
fn a_wait_ends_with_its_time_and_says_what_was_seen() {
    let scene = Scene::new();
    let ids = block(scene.account.launch("t3.micro", 1, &[])).unwrap();
    slow(&scene, 1_000, "stopping");
    let run = scene.run(&stop(&ids[0], &[("timeout", "1s")]), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "Timeout");
    assert!(message.contains(&ids[0]) && message.contains("stopping"), "{message}");
}

#[test]
fn an_instance_that_is_lost_or_not_there_fails_the_step() {
    let scene = Scene::new();
    let run = scene.run(&start("i-0123456789abcdef0", &[]), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "NotFound", "{message}");
    assert!(message.contains("InvalidInstanceID.NotFound") && message.contains("i-0123456789abcdef0"), "{message}");

    let ids = block(scene.account.launch("t3.micro", 1, &[])).unwrap();
    block(scene.account.stop(&ids)).unwrap();
    slow(&scene, 1_000, "terminated");
    let run = scene.run(&start(&ids[0], &[]), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "Conflict", "{message}");
    assert!(message.contains("terminated"), "{message}");
}

#[test]
fn what_is_no_instance_id_never_reaches_aws() {
    let scene = Scene::new();
    let run = scene.run(&start("web-1", &[]), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "InvalidInput");
    assert!(message.contains("`web-1`"), "{message}");
    assert_eq!(scene.proxy.count("ec2:StartInstances"), 0);
}

#[test]
fn a_region_of_the_step_goes_before_the_configuration() {
    let scene = Scene::new();
    let ids = block(scene.account.in_region("eu-west-1").launch("t3.micro", 1, &[])).unwrap();
    scene.run(&stop(&ids[0], &[("region", "eu-west-1")]), &[]).with_code(0);
    assert!(scene.audit().iter().all(|record| record["region"] == "eu-west-1"), "{:?}", scene.audit());
}
