//! Steps per second with 32 writers at once, and how long an intent waits.
//!
//! A step is what the engine writes for one with a single call: start, intent (waits for the disk), outcome, audit
//! record, log line, end.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outrigger_door::{AuditOutcome, AuditRecord, Effect, Intent, IntentOutcome, Journal as _, StepKey};
use outrigger_journal::{LogLevel, LogLine, NewRun, Options, RunWriter, Status, StepFinished, StepStarted, Store};
use outrigger_redaction::{Redactor, Secret};
use serde_json::json;

const WRITERS: u64 = 32;

async fn step(writer: &RunWriter, number: u64, node: &str) -> Duration {
    let key = StepKey { run: writer.run(), path: number.to_string(), node: node.to_owned(), attempt: 1 };
    writer.step_started(StepStarted {
        key: key.clone(),
        label: Some("start the instances".into()),
        plugin: "aws-vm-start-step".into(),
        digest: Some("ab".repeat(32)),
        at_unix_micros: 1,
    });
    let function = "outrigger:aws-ec2/instances@0.1.0#start-instances";
    let intent = Intent {
        step: key.clone(),
        sequence: 1,
        function: function.into(),
        action: "ec2:StartInstances".into(),
        input_digest: "cd".repeat(32),
        effect: Effect::Idempotent,
        token: None,
    };
    let before = Instant::now();
    let written = writer.intent(intent).await;
    let waited = before.elapsed();
    assert!(written.is_ok(), "{written:?}");
    writer.outcome(&key, 1, IntentOutcome::Done);
    writer.audit(AuditRecord {
        step: key.clone(),
        plugin: "aws-vm-start-step".into(),
        digest: "ab".repeat(32),
        function: function.into(),
        service: "ec2".into(),
        action: "StartInstances".into(),
        region: Some("eu-west-1".into()),
        account: Some("111122223333".into()),
        principal: None,
        request_id: Some("59dbff89-35bd-4eac-99ed-be587EXAMPLE".into()),
        attempt: 1,
        at_unix_micros: 1,
        duration_micros: 1,
        outcome: AuditOutcome::Ok,
    });
    writer.log(LogLine {
        at_unix_micros: 1,
        path: Some(key.path.clone()),
        node: Some(key.node.clone()),
        level: LogLevel::Normal,
        text: "i-0123456789abcdef0 is running".into(),
        data_type: None,
    });
    writer.step_finished(StepFinished {
        key,
        status: Status::Succeeded,
        failure: None,
        outputs: Some(json!({"instances": ["i-0123456789abcdef0"]})),
        at_unix_micros: 2,
    });
    waited
}

fn new_run() -> NewRun {
    NewRun { project: "web".into(), job_name: "start".into(), mode: "run".into(), ..NewRun::default() }
}

fn print_percentiles(name: &str, mut waited: Vec<Duration>) {
    waited.sort_unstable();
    let at = |part: usize| waited.get(waited.len() * part / 100).copied().unwrap_or_default();
    println!("{name}: an intent waits {:?} (p50), {:?} (p99), {} intents", at(50), at(99), waited.len());
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime starts");
    let folder = tempfile::tempdir().expect("a folder is made");
    let store = Store::open(folder.path().join("runs.db"), Options::default()).expect("the database opens");
    let redactor = Redactor::new();
    redactor.register(&Secret::from("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"));
    let mut group = criterion.benchmark_group("group-commit");
    group.sample_size(10);
    for writers in [1, WRITERS] {
        let mut all = Vec::new();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("step-with-{writers}-writers"), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let writer = store.start_run(new_run(), redactor.clone()).await.expect("a run starts");
                    let before = Instant::now();
                    let tasks: Vec<_> = (0..writers)
                        .map(|task| {
                            let writer = writer.clone();
                            let count = iterations / writers + u64::from(task < iterations % writers);
                            tokio::spawn(async move {
                                let node = format!("node-{task}");
                                let mut waited = Vec::new();
                                for number in 0..count {
                                    waited.push(step(&writer, number, &node).await);
                                }
                                waited
                            })
                        })
                        .collect();
                    for task in tasks {
                        all.extend(task.await.expect("a writer ends"));
                    }
                    writer.flush().await.expect("everything is written");
                    before.elapsed()
                })
            });
        });
        print_percentiles(&format!("{writers} writers"), all);
    }
    group.bench_function("whole-run-of-one-step", |bencher| {
        bencher.iter_custom(|iterations| {
            runtime.block_on(async {
                let before = Instant::now();
                for _ in 0..iterations {
                    let writer = store.start_run(new_run(), redactor.clone()).await.expect("a run starts");
                    step(&writer, 1, "local").await;
                    writer.finish(Status::Succeeded, None, None).await.expect("a run ends");
                }
                before.elapsed()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
