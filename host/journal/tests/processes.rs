//! Several processes on one file, and processes that die.
//!
//! Each test runs its own binary again, with an environment variable that makes it the child.

mod common;

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{audit, home, intent, key, line, new_run, open};
use outrigger_door::{AuditOutcome, IntentOutcome, Journal as _, RunId};
use outrigger_journal::{LogFilter, LogLevel, PruneFilter, RunFilter, Status, StepFinished, StepStarted};
use outrigger_redaction::Redactor;

const CHILD: &str = "OUTRIGGER_JOURNAL_TEST_CHILD";

fn child(test: &str, path: &PathBuf) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

async fn a_whole_run(path: &PathBuf) -> RunId {
    let store = open(path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    let run = writer.run();
    for number in 1..=10_u64 {
        let step = key(run, &number.to_string(), "local", 1);
        writer.step_started(StepStarted {
            key: step.clone(),
            label: None,
            plugin: "p".into(),
            digest: None,
            at_unix_micros: 1,
        });
        writer.intent(intent(step.clone(), 1)).await.unwrap();
        writer.outcome(&step, 1, IntentOutcome::Done);
        writer.audit(audit(step.clone(), 1, AuditOutcome::Ok));
        writer.log(line(Some("1"), None, LogLevel::Normal, "a line"));
        writer.step_finished(StepFinished {
            key: step,
            status: Status::Succeeded,
            failure: None,
            outputs: None,
            at_unix_micros: 2,
        });
    }
    writer.flush().await.unwrap();
    writer.finish(Status::Succeeded, None, None).await.unwrap();
    run
}

fn assert_whole(path: &PathBuf, count: usize) {
    let store = open(path);
    let runs = store.list_runs(&RunFilter::default()).unwrap();
    assert_eq!(runs.len(), count);
    for record in runs {
        assert_eq!(record.status, Status::Succeeded);
        assert_eq!(store.steps(record.id).unwrap().len(), 10);
        assert_eq!(store.intents(record.id).unwrap().len(), 10);
        assert!(store.in_doubt(record.id).unwrap().is_empty());
        assert_eq!(store.audit(record.id, 0, 100).unwrap().len(), 10);
        let seqs: Vec<i64> = store.log(record.id, &LogFilter::default()).unwrap().iter().map(|line| line.seq).collect();
        assert_eq!(seqs, (1..=10).collect::<Vec<i64>>());
    }
}

#[tokio::test]
async fn twenty_processes_at_once() {
    if let Some(path) = env::var_os(CHILD) {
        a_whole_run(&path.into()).await;
        return;
    }
    let (_folder, path) = home();
    let children: Vec<Child> = (0..20).map(|_| child("twenty_processes_at_once", &path)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_whole(&path, 20);
}

#[test]
fn twenty_stores_at_once_in_one_process() {
    let (_folder, path) = home();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(a_whole_run(&path));
            });
        }
    });
    assert_whole(&path, 20);
}

/// The child writes intents and some outcomes, says so, and goes on until it is killed.
#[tokio::test]
async fn what_was_promised_is_there_after_a_kill() {
    if let Some(path) = env::var_os(CHILD) {
        let store = open(&path.into());
        let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
        for sequence in 1.. {
            let step = key(writer.run(), "1", "local", 1);
            writer.intent(intent(step.clone(), sequence)).await.unwrap();
            println!("intent {sequence}");
            if sequence % 2 == 0 {
                writer.outcome(&step, sequence, IntentOutcome::Done);
            }
        }
    }
    let (_folder, path) = home();
    let mut child = child("what_was_promised_is_there_after_a_kill", &path);
    let mut told = 0_u64;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some((_, number)) = line.unwrap().split_once("intent ") {
            told = number.trim().parse().unwrap();
        }
        // SIGKILL, in the middle of its work; the pipe still holds what it had said until then.
        if told == 50 {
            child.kill().unwrap();
        }
    }
    assert!(told >= 50);
    let store = open(&path);
    let run = RunId(1);
    // A zombie until it is waited for; dead all the same.
    assert_eq!(store.run(run).unwrap().unwrap().status, Status::Interrupted);
    child.wait().unwrap();
    assert_eq!(store.run(run).unwrap().unwrap().status, Status::Interrupted);
    let interrupted = RunFilter { status: Some(Status::Interrupted), ..RunFilter::default() };
    assert_eq!(store.list_runs(&interrupted).unwrap().len(), 1);
    assert!(store.list_runs(&RunFilter { status: Some(Status::Running), ..interrupted }).unwrap().is_empty());

    let written = store.intents(run).unwrap();
    assert!(written.len() as u64 >= told, "{} were written, {told} promised", written.len());
    let doubts: Vec<u64> = store.in_doubt(run).unwrap().iter().map(|doubt| doubt.intent.sequence).collect();
    for sequence in (1..=told).step_by(2) {
        assert!(doubts.contains(&sequence));
    }
    // The outcome of an intent is on disk with the next intent at the latest.
    for sequence in (2..told).step_by(2) {
        assert!(!doubts.contains(&sequence), "{sequence} is in doubt");
    }
    let recovered = store.writer(run, Redactor::new()).in_doubt(&key(run, "1", "local", 2)).await.unwrap();
    assert_eq!(recovered.len(), doubts.len());
    assert_eq!(store.prune(PruneFilter::default()).await.unwrap().runs, 1);
}
