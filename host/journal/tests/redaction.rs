//! No secret reaches the file, whatever a caller forgot.

mod common;

use common::{audit, home, intent, key, line, new_run, open};
use outrigger_door::{AuditOutcome, Failure, Intent, IntentOutcome, Journal as _, Reason};
use outrigger_journal::{LogFilter, LogLevel, LogLine, NewRun, Status, StepFinished, StepStarted};
use outrigger_redaction::{Redactor, Secret};
use serde_json::json;

const CANARY: &str = "canary/wJalrXUtnFEMI+K7MDENG";

#[tokio::test]
async fn every_column_is_masked() {
    let (folder, path) = home();
    let store = open(&path);
    let redactor = Redactor::new();
    redactor.register(&Secret::from(CANARY));
    let canary = || format!("<{CANARY}>");
    let some = || Some(canary());
    let new = NewRun {
        project: canary(),
        job_id: some(),
        job_name: canary(),
        job_group: canary(),
        user: canary(),
        arguments: json!({canary(): [canary()]}),
        mode: canary(),
        parent: None,
    };
    let writer = store.start_run(new, redactor.clone()).await.unwrap();
    let step = key(writer.run(), &canary(), &canary(), 1);
    writer.step_started(StepStarted {
        key: step.clone(),
        label: some(),
        plugin: canary(),
        digest: some(),
        at_unix_micros: 1,
    });
    let failure = || Failure::new(Reason::Remote, canary()).with_code(canary());
    for sequence in 1..=2 {
        let plain = intent(step.clone(), sequence);
        writer
            .intent(Intent { function: canary(), action: canary(), input_digest: canary(), token: some(), ..plain })
            .await
            .unwrap();
    }
    writer.outcome(&step, 1, IntentOutcome::Refused(failure()));
    for outcome in [AuditOutcome::Error { code: canary(), status: 400 }, AuditOutcome::Denied { missing: canary() }] {
        let mut record = audit(step.clone(), 1, outcome);
        (record.plugin, record.digest, record.function) = (canary(), canary(), canary());
        (record.service, record.action, record.region) = (canary(), canary(), some());
        (record.account, record.principal, record.request_id) = (some(), some(), some());
        writer.audit(record);
    }
    writer.log(LogLine { data_type: some(), ..line(Some(&canary()), Some(&canary()), LogLevel::Normal, &canary()) });
    writer.event(&canary(), json!({canary(): canary()}));
    writer.step_finished(StepFinished {
        key: step.clone(),
        status: Status::Other(canary()),
        failure: Some(failure()),
        outputs: Some(json!([canary()])),
        at_unix_micros: 2,
    });
    writer.finish(Status::Other(canary()), some(), Some(json!({"o": canary()}))).await.unwrap();

    let doubts = writer.in_doubt(&key(writer.run(), &canary(), &canary(), 2)).await.unwrap();
    assert_eq!(doubts.len(), 1, "the step is found by its own name");
    assert_eq!(doubts[0].intent.step, step);

    let run = writer.run();
    assert_eq!(store.log(run, &LogFilter::default()).unwrap()[0].line.text, "<******>");
    let record = store.run(run).unwrap().unwrap();
    assert_eq!(record.outputs, Some(json!({"o": "<******>"})));
    drop((writer, store));
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path().join("home")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!redactor.contains_secret_bytes(&bytes));
        files += 1;
    }
    assert!(files > 0);
}

#[tokio::test]
async fn nodes_whose_names_hold_secrets_stay_apart() {
    let (_folder, path) = home();
    let store = open(&path);
    let redactor = Redactor::new();
    redactor.register_all(&[Secret::from("web-server-01"), Secret::from("web-server-02")]);
    let writer = store.start_run(new_run("web", "stop"), redactor).await.unwrap();
    for node in ["web-server-01", "web-server-02"] {
        writer.intent(intent(key(writer.run(), "1", node, 1), 1)).await.unwrap();
    }
    writer.outcome(&key(writer.run(), "1", "web-server-02", 1), 1, IntentOutcome::Done);
    let doubts = |node: &'static str| {
        let writer = writer.clone();
        async move { writer.in_doubt(&key(writer.run(), "1", node, 2)).await.unwrap().len() }
    };
    assert_eq!((doubts("web-server-01").await, doubts("web-server-02").await), (1, 0));
}
