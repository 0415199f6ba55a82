//! Records for tests.

use std::path::PathBuf;

use outrigger_door::{AuditOutcome, AuditRecord, Effect, Intent, RunId, StepKey};
use outrigger_journal::{LogLevel, LogLine, NewRun, Options, Store};
use serde_json::json;
use tempfile::TempDir;

pub fn home() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home/runs.db");
    (folder, path)
}

pub fn open(path: &PathBuf) -> Store {
    Store::open(path, Options::default()).unwrap()
}

pub fn new_run(project: &str, name: &str) -> NewRun {
    NewRun {
        project: project.into(),
        job_id: Some(format!("id-of-{name}")),
        job_name: name.into(),
        job_group: "ops/ec2".into(),
        user: "alice".into(),
        arguments: json!({"region": "eu-west-1"}),
        mode: "run".into(),
        parent: None,
    }
}

pub fn key(run: RunId, path: &str, node: &str, attempt: u32) -> StepKey {
    StepKey { run, path: path.into(), node: node.into(), attempt }
}

pub fn intent(step: StepKey, sequence: u64) -> Intent {
    Intent {
        step,
        sequence,
        function: "outrigger:aws-ec2/instances@0.1.0#start-instances".into(),
        action: "ec2:StartInstances".into(),
        input_digest: "ab".repeat(32),
        effect: Effect::Unsafe,
        token: Some("token-1".into()),
    }
}

pub fn audit(step: StepKey, attempt: u32, outcome: AuditOutcome) -> AuditRecord {
    AuditRecord {
        step,
        plugin: "aws-vm-start-step".into(),
        digest: "cd".repeat(32),
        function: "outrigger:aws-ec2/instances@0.1.0#start-instances".into(),
        service: "ec2".into(),
        action: "StartInstances".into(),
        region: Some("eu-west-1".into()),
        account: Some("111122223333".into()),
        principal: None,
        request_id: Some("req-1".into()),
        attempt,
        at_unix_micros: 1_700_000_000_000_000,
        duration_micros: 1234,
        outcome,
    }
}

pub fn line(path: Option<&str>, node: Option<&str>, level: LogLevel, text: &str) -> LogLine {
    LogLine {
        at_unix_micros: 1_700_000_000_000_000,
        path: path.map(Into::into),
        node: node.map(Into::into),
        level,
        text: text.into(),
        data_type: None,
    }
}
