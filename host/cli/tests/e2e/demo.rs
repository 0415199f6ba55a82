use std::process::Command;

use crate::support::{program, ran};

/// The demo as people start it, in a folder of its own.
#[test]
fn the_demo_shows_every_plugin_and_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut command: Command = program(folder.path());
    command.args(["demo", "--dir"]).arg(folder.path().join("demo"));
    let ran = ran(command).with_code(0);
    for plugin in [
        "aws-validate-credentials-step",
        "aws-vm-start-step",
        "aws-vm-stop-step",
        "aws-autoscaling-update-step",
        "aws-cli-s3-sync-step",
        "aws-cli-s3-cp-step",
        "aws-ssm-send-command-step",
        "aws-athena-query-step",
        "aws-query-cloudwatch-logs-step",
        "aws-lambda-invoke-step",
    ] {
        let (_, table) = ran.out.split_once("AWS CALLS").expect("the table");
        assert!(table.contains(plugin), "{plugin}: {ran}");
    }
    assert!(ran.out.contains("first output of a job") && ran.out.contains("the endpoints are stopped"), "{ran}");
}
