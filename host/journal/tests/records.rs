//! What is written is read again.

mod common;

use common::{audit, home, intent, key, line, new_run, open};
use outrigger_door::{AuditOutcome, Failure, IntentOutcome, Journal as _, Reason, RunId};
use outrigger_journal::{
    LogFilter, LogLevel, Options, PruneFilter, RunFilter, Status, StepFinished, StepStarted, Store,
};
use outrigger_redaction::Redactor;
use serde_json::json;

fn no_filter() -> LogFilter {
    LogFilter::default()
}

#[tokio::test]
async fn runs_are_counted_from_one_and_end() {
    let (_folder, path) = home();
    let store = open(&path);
    let first = store.create_run(new_run("web", "stop")).await.unwrap();
    let second =
        store.create_run(outrigger_journal::NewRun { parent: Some(first), ..new_run("web", "start") }).await.unwrap();
    assert_eq!((first, second), (RunId(1), RunId(2)));

    let record = store.run(second).unwrap().unwrap();
    assert_eq!(record.status, Status::Running);
    assert_eq!(record.run, outrigger_journal::NewRun { parent: Some(first), ..new_run("web", "start") });
    assert_eq!(record.pid, i64::from(std::process::id()));
    assert!(record.started_unix_micros > 1_700_000_000_000_000 && record.ended_unix_micros.is_none());

    store
        .finish_run(first, Status::Other("needs-approval".into()), Some("waits".into()), Some(json!({"n": 1})))
        .await
        .unwrap();
    let record = store.run(first).unwrap().unwrap();
    assert_eq!(record.status, Status::from("needs-approval"));
    assert_eq!((record.message.as_deref(), record.outputs), (Some("waits"), Some(json!({"n": 1}))));
    assert!(record.ended_unix_micros >= Some(record.started_unix_micros));

    assert!(store.run(RunId(3)).unwrap().is_none());
    assert!(store.finish_run(RunId(3), Status::Failed, None, None).await.is_err());
    store.finish_run(second, Status::Succeeded, None, None).await.unwrap();
}

#[tokio::test]
async fn runs_are_listed_by_project_job_and_state() {
    let (_folder, path) = home();
    let store = open(&path);
    for (project, job, status) in [
        ("web", "stop", Status::Succeeded),
        ("web", "start", Status::Failed),
        ("db", "stop", Status::TimedOut),
        ("web", "stop", Status::Running),
    ] {
        let run = store.create_run(new_run(project, job)).await.unwrap();
        if status != Status::Running {
            store.finish_run(run, status, None, None).await.unwrap();
        }
    }
    let list =
        |filter: RunFilter| -> Vec<i64> { store.list_runs(&filter).unwrap().into_iter().map(|run| run.id.0).collect() };
    let all = RunFilter::default;
    assert_eq!(list(all()), [4, 3, 2, 1]);
    assert_eq!(list(RunFilter { limit: Some(2), ..all() }), [4, 3]);
    assert_eq!(list(RunFilter { project: Some("web".into()), ..all() }), [4, 2, 1]);
    for job in ["stop", "ops/ec2/stop", "id-of-stop"] {
        assert_eq!(list(RunFilter { job: Some(job.into()), ..all() }), [4, 3, 1], "{job}");
    }
    assert_eq!(list(RunFilter { status: Some(Status::Running), ..all() }), [4]);
    assert_eq!(list(RunFilter { status: Some(Status::TimedOut), ..all() }), [3]);
    assert_eq!(list(RunFilter { status: Some(Status::Interrupted), ..all() }), [0_i64; 0]);
    assert_eq!(list(RunFilter { project: Some("db".into()), job: Some("start".into()), ..all() }), [0_i64; 0]);
}

#[tokio::test]
async fn steps_keep_their_order_and_their_end() {
    let (_folder, path) = home();
    let store = open(&path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    let run = writer.run();
    for (path, attempt) in [("2", 1), ("1", 1), ("1", 2)] {
        writer.step_started(StepStarted {
            key: key(run, path, "local", attempt),
            label: Some("stop it".into()),
            plugin: "aws-vm-stop-step".into(),
            digest: Some("ef".repeat(32)),
            at_unix_micros: 10,
        });
    }
    let failure = Failure::new(Reason::AccessDenied, "no").with_code("UnauthorizedOperation");
    writer.step_finished(StepFinished {
        key: key(run, "1", "local", 1),
        status: Status::Failed,
        failure: Some(failure.clone()),
        outputs: None,
        at_unix_micros: 20,
    });
    writer.step_finished(StepFinished {
        key: key(run, "1", "local", 2),
        status: Status::Succeeded,
        failure: None,
        outputs: Some(json!({"instances": ["i-1"]})),
        at_unix_micros: 30,
    });
    writer.step_finished(StepFinished {
        key: key(run, "3", "web-1", 1),
        status: Status::from("skipped"),
        failure: None,
        outputs: None,
        at_unix_micros: 40,
    });
    writer.flush().await.unwrap();
    let steps = store.steps(run).unwrap();
    let seen: Vec<_> =
        steps.iter().map(|step| (step.key.path.as_str(), step.key.attempt, step.status.as_str())).collect();
    assert_eq!(seen, [("2", 1, "running"), ("1", 1, "failed"), ("1", 2, "succeeded"), ("3", 1, "skipped")]);
    assert_eq!(steps[1].failure, Some(failure));
    assert_eq!((steps[1].started_unix_micros, steps[1].ended_unix_micros), (10, Some(20)));
    assert_eq!(steps[2].outputs, Some(json!({"instances": ["i-1"]})));
    assert_eq!((steps[0].label.as_deref(), steps[0].plugin.as_str()), (Some("stop it"), "aws-vm-stop-step"));
    assert_eq!(steps[3].key.node, "web-1");
}

#[tokio::test]
async fn intents_without_a_known_outcome_are_in_doubt() {
    let (_folder, path) = home();
    let store = open(&path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    let run = writer.run();
    let first = key(run, "1", "local", 1);
    for sequence in 1..=4 {
        writer.intent(intent(first.clone(), sequence)).await.unwrap();
    }
    writer.intent(intent(key(run, "1", "web-2", 1), 1)).await.unwrap();
    writer.outcome(&first, 1, IntentOutcome::Done);
    let refused = IntentOutcome::Refused(Failure::new(Reason::AccessDenied, "no"));
    writer.outcome(&first, 2, refused.clone());
    writer.outcome(&first, 3, IntentOutcome::Unknown);

    // The queued outcomes count although nobody waited for them.
    let of_step = writer.in_doubt(&key(run, "1", "local", 2)).await.unwrap();
    assert_eq!(of_step.iter().map(|doubt| doubt.intent.sequence).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(of_step[0].intent, intent(first.clone(), 3));
    assert!(of_step[0].at_unix_micros > 1_700_000_000_000_000);
    assert!(writer.in_doubt(&first).await.unwrap().is_empty(), "an attempt does not doubt itself");
    assert!(writer.in_doubt(&key(run, "2", "local", 2)).await.unwrap().is_empty());

    writer.flush().await.unwrap();
    assert_eq!(store.in_doubt(run).unwrap().len(), 3);
    let outcomes: Vec<_> = store.intents(run).unwrap().into_iter().map(|intent| intent.outcome).collect();
    assert_eq!(outcomes, [Some(IntentOutcome::Done), Some(refused), Some(IntentOutcome::Unknown), None, None]);
}

#[tokio::test]
async fn an_intent_that_cannot_be_written_is_an_error_and_spoils_nothing_else() {
    let (_folder, path) = home();
    let store = open(&path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    let step = key(writer.run(), "1", "local", 1);
    writer.log(line(None, None, LogLevel::Normal, "kept"));
    writer.intent(intent(step.clone(), 1)).await.unwrap();
    let error = writer.intent(intent(step.clone(), 1)).await.unwrap_err().to_string();
    assert!(error.contains("UNIQUE"), "{error}");
    writer.intent(intent(step.clone(), 2)).await.unwrap();
    assert_eq!(store.log(writer.run(), &no_filter()).unwrap().len(), 1);
    writer.flush().await.unwrap();
    // An outcome of nothing is lost, and that is told once.
    writer.outcome(&step, 9, IntentOutcome::Done);
    let error = writer.flush().await.unwrap_err().to_string();
    assert!(error.starts_with("1 records could not be written"), "{error}");
    writer.flush().await.unwrap();
}

#[tokio::test]
async fn audit_records_come_back_in_pages() {
    let (_folder, path) = home();
    let store = open(&path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    let run = writer.run();
    let outcomes = [
        AuditOutcome::Ok,
        AuditOutcome::Error { code: "Throttling".into(), status: 503 },
        AuditOutcome::Denied { missing: "allow ec2:StopInstances".into() },
        AuditOutcome::DryRun,
        AuditOutcome::Unknown,
    ];
    let records: Vec<_> =
        (1..).zip(outcomes).map(|(attempt, outcome)| audit(key(run, "1", "web-1", 2), attempt, outcome)).collect();
    for record in &records {
        writer.audit(record.clone());
    }
    writer.flush().await.unwrap();
    let mut read = Vec::new();
    let mut after = 0;
    loop {
        let page = store.audit(run, after, 2).unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = last.position;
        read.extend(page.into_iter().map(|entry| entry.record));
    }
    assert_eq!(read, records);
    assert!(store.audit(RunId(99), 0, 10).unwrap().is_empty());
}

#[tokio::test]
async fn logs_are_numbered_filtered_and_followed() {
    let (_folder, path) = home();
    let store = open(&path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    let run = writer.run();
    for (path, node, level, text) in [
        (None, None, LogLevel::Normal, "start"),
        (Some("1"), Some("web-1"), LogLevel::Debug, "looking"),
        (Some("1"), Some("web-2"), LogLevel::Warn, "100% of _it_"),
        (Some("1/2"), Some("local"), LogLevel::Normal, "inner"),
        (Some("11"), Some("local"), LogLevel::Error, "Broken"),
    ] {
        writer.log(line(path, node, level, text));
    }
    writer.flush().await.unwrap();
    let texts = |filter: LogFilter| -> Vec<String> {
        store.log(run, &filter).unwrap().into_iter().map(|record| record.line.text).collect()
    };
    assert_eq!(texts(no_filter()), ["start", "looking", "100% of _it_", "inner", "Broken"]);
    assert_eq!(texts(LogFilter { path: Some("1".into()), ..no_filter() }), ["looking", "100% of _it_", "inner"]);
    assert_eq!(texts(LogFilter { path: Some("1/2".into()), ..no_filter() }), ["inner"]);
    assert_eq!(texts(LogFilter { node: Some("web-2".into()), ..no_filter() }), ["100% of _it_"]);
    assert_eq!(texts(LogFilter { min_level: Some(LogLevel::Warn), ..no_filter() }), ["100% of _it_", "Broken"]);
    assert_eq!(texts(LogFilter { contains: Some("% of _".into()), ..no_filter() }), ["100% of _it_"]);
    assert_eq!(texts(LogFilter { contains: Some("broken".into()), ..no_filter() }), [""; 0]);
    assert_eq!(texts(LogFilter { tail: Some(2), ..no_filter() }), ["inner", "Broken"]);
    assert_eq!(texts(LogFilter { tail: Some(1), path: Some("1".into()), ..no_filter() }), ["inner"]);
    assert_eq!(texts(LogFilter { limit: Some(2), after: Some(1), ..no_filter() }), ["looking", "100% of _it_"]);

    let seen = store.log(run, &no_filter()).unwrap().last().unwrap().seq;
    assert_eq!(seen, 5);
    writer.log(outrigger_journal::LogLine {
        data_type: Some("text/html".into()),
        ..line(None, None, LogLevel::Normal, "<b>")
    });
    writer.flush().await.unwrap();
    let new = store.log(run, &LogFilter { after: Some(seen), ..no_filter() }).unwrap();
    assert_eq!(new.len(), 1);
    assert_eq!((new[0].seq, new[0].line.data_type.as_deref()), (6, Some("text/html")));
}

#[tokio::test]
async fn events_keep_their_order() {
    let (_folder, path) = home();
    let store = open(&path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    for number in 0..5 {
        writer.event("progress", json!({"number": number}));
    }
    writer.flush().await.unwrap();
    let events = store.events(writer.run(), 2, 2).unwrap();
    assert_eq!(
        events.iter().map(|event| (event.seq, event.body.clone())).collect::<Vec<_>>(),
        [(3, json!({"number": 2})), (4, json!({"number": 3})),]
    );
    assert_eq!(events[0].kind, "progress");
}

#[tokio::test]
async fn what_is_queued_is_written_before_the_end() {
    let (_folder, path) = home();
    let store = open(&path);
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    for number in 0..20_000 {
        writer.log(line(Some("1"), Some("local"), LogLevel::Normal, &format!("line {number}")));
    }
    // Without a flush: the end of a run comes after all of its records, and the last handle waits.
    writer.finish(Status::Succeeded, None, None).await.unwrap();
    assert_eq!(store.log(writer.run(), &no_filter()).unwrap().len(), 20_000);
    writer.log(line(None, None, LogLevel::Normal, "late"));
    let run = writer.run();
    drop((writer, store));
    let lines = open(&path).log(run, &LogFilter { tail: Some(1), ..no_filter() }).unwrap();
    assert_eq!((lines[0].seq, lines[0].line.text.as_str()), (20_001, "late"));
}

#[tokio::test]
async fn memory_stays_bounded_for_those_who_ask() {
    let (_folder, path) = home();
    let store = Store::open(&path, Options { synced_finish: false }).unwrap();
    let writer = store.start_run(new_run("web", "stop"), Redactor::new()).await.unwrap();
    let text = "x".repeat(1 << 20);
    let of_task = writer.clone();
    let task = async move {
        for _ in 0..20 {
            of_task.room().await;
            of_task.log(line(None, None, LogLevel::Normal, &text));
        }
    };
    tokio::spawn(task).await.unwrap();
    writer.finish(Status::Succeeded, None, None).await.unwrap();
    assert_eq!(store.log(writer.run(), &no_filter()).unwrap().len(), 20);
}

#[tokio::test]
async fn whole_runs_are_pruned_and_running_ones_never() {
    let (_folder, path) = home();
    let store = open(&path);
    let mut runs = Vec::new();
    for (project, end, parent) in [
        ("web", true, None),
        ("web", false, None),
        ("web", true, Some(RunId(2))),
        ("web", true, None),
        ("db", true, None),
    ] {
        let new = outrigger_journal::NewRun { parent, ..new_run(project, "stop") };
        let writer = store.start_run(new, Redactor::new()).await.unwrap();
        let step = key(writer.run(), "1", "local", 1);
        writer.step_started(StepStarted {
            key: step.clone(),
            label: None,
            plugin: "p".into(),
            digest: None,
            at_unix_micros: 1,
        });
        writer.intent(intent(step.clone(), 1)).await.unwrap();
        writer.audit(audit(step, 1, AuditOutcome::Ok));
        writer.log(line(None, None, LogLevel::Normal, "a"));
        writer.log(line(None, None, LogLevel::Normal, "b"));
        writer.event("e", json!({}));
        if end {
            writer.finish(Status::Succeeded, None, None).await.unwrap();
        } else {
            writer.flush().await.unwrap();
        }
        runs.push(writer);
    }
    let left = || store.list_runs(&RunFilter::default()).unwrap().iter().map(|run| run.id.0).collect::<Vec<_>>();
    let all = PruneFilter::default;

    let none = store.prune(PruneFilter { ended_before_unix_micros: Some(1), ..all() }).await.unwrap();
    assert_eq!(none.runs, 0);
    let dry = store.prune(PruneFilter { dry_run: true, project: Some("web".into()), ..all() }).await.unwrap();
    assert_eq!((dry.runs, dry.steps, dry.intents, dry.audit, dry.log_lines, dry.events), (2, 2, 2, 2, 4, 2));
    assert_eq!(left(), [5, 4, 3, 2, 1]);
    let kept = store.prune(PruneFilter { keep_last: Some(1), ..all() }).await.unwrap();
    assert_eq!(kept.runs, 1);
    assert_eq!(left(), [5, 4, 3, 2], "2 runs, 3 is its child, 4 and 5 are the last of their projects");
    assert!(store.steps(RunId(1)).unwrap().is_empty() && store.log(RunId(1), &no_filter()).unwrap().is_empty());
    assert!(store.intents(RunId(1)).unwrap().is_empty() && store.audit(RunId(1), 0, 9).unwrap().is_empty());
    assert!(store.events(RunId(1), 0, 9).unwrap().is_empty());
    assert_eq!(store.log(RunId(2), &no_filter()).unwrap().len(), 2);

    runs[1].finish(Status::Failed, None, None).await.unwrap();
    let rest = store.prune(all()).await.unwrap();
    assert_eq!((rest.runs, rest.log_lines), (4, 8));
    assert!(left().is_empty());
    let next = store.create_run(new_run("web", "stop")).await.unwrap();
    assert_eq!(next, RunId(6), "numbers are not used again");
}
