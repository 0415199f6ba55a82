use outrigger_endpoints::{Bundled, RecordedExchanges};
use serde_json::json;

use crate::support::{Scene, job, step};

const NODES: &str = "i-02573cafcfEXAMPLE,i-0471e04240EXAMPLE";

fn send(nodes: &str, more: &[(&str, &str)]) -> String {
    let mut configuration = vec![("instanceIds", nodes), ("commands", "uptime"), ("pollInterval", "50ms")];
    configuration.extend(more);
    job(&[step("aws-ssm-send-command-step", &configuration)])
}

/// Systems Manager's answers are recorded ones: no endpoint can run a command.
fn with(recording: Bundled) -> (Scene, RecordedExchanges) {
    let scene = Scene::new();
    let ssm = RecordedExchanges::bundled(recording, Some(&scene.proxy.url())).unwrap();
    scene.reroute("ssm", &ssm.url());
    (scene, ssm)
}

/// The invocations are not there at first; then both end, one of them with 3.
#[test]
fn a_command_on_two_nodes_shows_both_outputs_and_fails_with_the_one() {
    let (scene, ssm) = with(Bundled::SsmTwoNodes);
    scene.run(&send(NODES, &[]), &["--dry-run"]).with_code(0);
    assert!(ssm.requests().iter().all(outrigger_endpoints::Recorded::reads), "{:?}", ssm.requests());

    let recording = scene.home.path().join("recording.jsonl");
    let run = scene.run(&send(NODES, &[]), &["--record", &recording.display().to_string()]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "NonZeroResultCode");
    assert!(message.contains("exit code 3") && message.contains("i-0471e04240EXAMPLE"), "{message}");
    let outputs = run.step("1")["outputs"].clone();
    assert_eq!(outputs["exitCode"], 3);
    assert_eq!(outputs["exitCodes"], json!({"i-02573cafcfEXAMPLE": 0, "i-0471e04240EXAMPLE": 3}));
    let log = run.log().join("\n");
    assert!(
        log.contains("i-02573cafcfEXAMPLE: first line") && log.contains("i-0471e04240EXAMPLE: cannot open file"),
        "{log}"
    );
    let missing = ("ssm:GetCommandInvocation".to_owned(), 1, "InvocationDoesNotExist".to_owned());
    assert!(scene.attempts().contains(&missing), "{:?}", scene.attempts());
    assert_eq!(ssm.failures(), [""; 0]);

    let again = crate::support::replay(&recording).with_code(1);
    assert_eq!(again.essence(), run.essence());
}

#[test]
fn a_command_that_reaches_no_node_fails_with_what_systems_manager_says() {
    let (scene, ssm) = with(Bundled::SsmUndelivered);
    let run = scene.run(&send(NODES, &[]), &[]).with_code(1);
    let (_, message) = run.failure("1");
    assert!(message.contains("2 of 2 nodes"), "{message}");
    let details = run.step("1")["outputs"]["invocations"].to_string();
    assert!(details.contains("DeliveryTimedOut") || details.contains("Delivery Timed Out"), "{details}");
    assert_eq!(ssm.failures(), [""; 0]);
}

#[test]
fn inputs_that_contradict_each_other_are_refused_before_any_call() {
    let scene = Scene::new();
    for text in [send("", &[]), send(NODES, &[("targets", "tag:Role=web")]), send(NODES, &[("deliveryTimeout", "5s")])]
    {
        let run = scene.run(&text, &[]).with_code(1);
        assert_eq!(run.failure("1").0, "InvalidInput", "{run}");
    }
    assert_eq!(scene.proxy.requests().len(), 0);
}
