//! Recorded exchanges are served strictly.

use std::io::Write;

use outrigger_endpoints::{Bundled, EndpointError, Ministack, RecordedExchanges, Setup};
use serde_json::json;

type Outcome = Result<(), EndpointError>;

const EXCHANGES: &str = r#"{
  "exchanges": [
    {
      "service": "ssm",
      "operation": "ListCommandInvocations",
      "source": "https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ListCommandInvocations.html",
      "request": { "/CommandId": "c-1", "/Details": true },
      "times": 2,
      "response": { "body": { "CommandInvocations": [{ "Status": "InProgress" }] } }
    },
    {
      "service": "ssm",
      "operation": "CancelCommand",
      "request": { "/CommandId": "c-1" },
      "response": { "body": {} }
    },
    {
      "service": "autoscaling",
      "operation": "SuspendProcesses",
      "request": { "AutoScalingGroupName": "web" },
      "times": "any",
      "response": { "status": 400, "headers": { "x-amzn-requestid": "r-1" },
        "body": "<ErrorResponse><Error><Code>ScalingActivityInProgress</Code><Message>wait</Message></Error></ErrorResponse>" }
    }
  ]
}"#;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("a written file");
    file
}

#[tokio::test]
async fn what_is_recorded_is_served_and_nothing_else() -> Outcome {
    let file = file(EXCHANGES);
    let server = RecordedExchanges::load(file.path(), None)?;
    let setup = Setup::new(&server.url(), "us-east-1", "AKID", "secret");
    let list = async |id: &str| {
        let body = json!({ "CommandId": id, "Details": true });
        setup.json("ssm", "AmazonSSM.ListCommandInvocations", &body).await
    };
    assert_eq!(list("c-1").await?["CommandInvocations"][0]["Status"], "InProgress");
    assert_eq!(list("c-2").await.unwrap_err().code(), Some("NoRecordedExchange"));
    list("c-1").await?;
    assert_eq!(list("c-1").await.unwrap_err().status(), Some(500));
    let params = [("AutoScalingGroupName", "web")];
    for _ in 0..2 {
        let refused = setup.query("autoscaling", "SuspendProcesses", "2011-01-01", &params).await.unwrap_err();
        assert_eq!(refused.code(), Some("ScalingActivityInProgress"));
    }
    assert_eq!(server.unused(), ["ssm:CancelCommand"]);
    assert_eq!(server.failures().len(), 2);
    assert!(server.failures()[0].contains("CommandId=c-2"), "{:?}", server.failures());
    assert!(matches!(server.finish(), Err(EndpointError::Exchanges { .. })));
    Ok(())
}

#[tokio::test]
async fn other_operations_go_on_to_the_upstream() -> Outcome {
    let ministack = Ministack::shared().await?;
    let account = ministack.new_account();
    let file = file(EXCHANGES);
    let server = RecordedExchanges::load(file.path(), Some(&ministack.url()))?;
    let setup = Setup::new(&server.url(), "us-east-1", account.id(), "root");
    let body = json!({ "Name": "/colour", "Value": "green", "Type": "String" });
    setup.json("ssm", "AmazonSSM.PutParameter", &body).await?;
    let bucket = format!("recorded-{}", account.id());
    account.bucket(&bucket).await?;
    let body = vec![3_u8; 20 << 20];
    setup.rest("s3", http::Method::PUT, &format!("/{bucket}/big"), body).await?;
    let cancel = setup.json("ssm", "AmazonSSM.CancelCommand", &json!({ "CommandId": "c-9" })).await;
    assert_eq!(cancel.unwrap_err().code(), Some("NoRecordedExchange"));
    assert_eq!(server.requests().len(), 3);
    Ok(())
}

#[test]
fn a_file_of_another_form_is_refused_with_its_place() {
    let file = file("{\n  \"exchanges\": [{ \"service\": \"ssm\" }]\n}");
    let error = RecordedExchanges::load(file.path(), None).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

/// The bundled recordings tell a story: what is listed depends on how often was asked, and on the cancellation.
#[tokio::test]
async fn bundled_commands_end_or_are_cancelled() -> Outcome {
    let states = |answer: &serde_json::Value| -> Vec<String> {
        let invocations = answer["CommandInvocations"].as_array().cloned().unwrap_or_default();
        invocations.iter().filter_map(|one| one["Status"].as_str().map(str::to_owned)).collect()
    };
    let command = json!({ "CommandId": "ef7fdfd8-9b57-4151-a15c-db9a12345678" });
    let start = async |recording: Bundled| {
        let server = RecordedExchanges::bundled(recording, None)?;
        let setup = Setup::new(&server.url(), "us-east-1", "AKID", "secret");
        let body = json!({ "DocumentName": "AWS-RunShellScript", "Parameters": { "commands": ["uptime"] } });
        let sent = setup.json("ssm", "AmazonSSM.SendCommand", &body).await?;
        assert_eq!(sent["Command"]["CommandId"], command["CommandId"]);
        Ok::<_, EndpointError>((server, setup))
    };
    let list = async |setup: &Setup| setup.json("ssm", "AmazonSSM.ListCommandInvocations", &command).await;

    let (server, setup) = start(Bundled::SsmTwoNodes).await?;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(states(&list(&setup).await?));
    }
    assert_eq!(seen[0], Vec::<String>::new());
    assert_eq!(seen[1], ["InProgress", "Pending"]);
    assert_eq!((&seen[3], &seen[4]), (&vec!["Success".to_owned(), "Failed".to_owned()], &seen[3]));
    assert!(server.failures().is_empty());

    let (server, setup) = start(Bundled::SsmUntilCancelled).await?;
    for _ in 0..3 {
        assert_eq!(states(&list(&setup).await?), ["InProgress", "Pending"]);
    }
    setup.json("ssm", "AmazonSSM.CancelCommand", &command).await?;
    assert_eq!(states(&list(&setup).await?), ["Cancelling", "Cancelled"]);
    assert_eq!(states(&list(&setup).await?), ["Cancelled", "Cancelled"]);
    server.finish()?;

    let (server, setup) = start(Bundled::SsmUndelivered).await?;
    let node = json!({ "CommandId": command["CommandId"], "InstanceId": "i-02573cafcfEXAMPLE" });
    let got = setup.json("ssm", "AmazonSSM.GetCommandInvocation", &node).await?;
    assert_eq!((got["ResponseCode"].as_i64(), got["StatusDetails"].as_str()), (Some(-1), Some("DeliveryTimedOut")));
    server.finish()
}
