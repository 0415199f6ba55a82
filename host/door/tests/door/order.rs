//! Authorise, mode, intent, call, result: in this order, and no further than each allows.

use outrigger_door::{AuditOutcome, Failure, IntentOutcome, Mode, Operation, Reason, Stop};
use serde_json::{Value, json};

use crate::support::{FIRE, LOOK, SET, START, STOP, Scene, Setting};

/// What a row expects besides the events.
enum Ends {
    Answer,
    Failure(Reason, &'static str),
    DryRun(&'static str),
    Journal(&'static str),
}

struct Row {
    title: &'static str,
    setting: Setting,
    operation: &'static Operation,
    fails_with: Option<Failure>,
    events: &'static [&'static str],
    ends: Ends,
}

impl Row {
    fn new(
        title: &'static str,
        setting: Setting,
        operation: &'static Operation,
        events: &'static [&'static str],
        ends: Ends,
    ) -> Self {
        Self { title, setting, operation, fails_with: None, events, ends }
    }
}

#[tokio::test]
async fn a_call_passes_the_stations_in_their_order() {
    let failing = |title, operation, failure: Failure, events, ends| Row {
        fails_with: Some(failure),
        ..Row::new(title, Setting::default(), operation, events, ends)
    };
    let denied = |function| Setting { denied: vec![function], ..Setting::default() };
    let dry = || Setting { mode: Mode::DryRun, ..Setting::default() };
    let rows = [
        Row::new("a read needs no intent", Setting::default(), &LOOK, &["authorise look", "call look"], Ends::Answer),
        Row::new(
            "the intent of a write is on disk before the call",
            Setting::default(),
            &SET,
            &["authorise set", "intent set begins", "intent set is on disk", "call set", "outcome done"],
            Ends::Answer,
        ),
        Row::new(
            "so is that of a call with a token",
            Setting::default(),
            &START,
            &["authorise start", "intent start begins", "intent start is on disk", "call start", "outcome done"],
            Ends::Answer,
        ),
        failing(
            "a write that the service refuses changed nothing",
            &FIRE,
            Failure::new(Reason::Conflict, "it runs already"),
            &["authorise fire", "intent fire begins", "intent fire is on disk", "call fire", "outcome refused"],
            Ends::Failure(Reason::Conflict, "it runs already"),
        ),
        failing(
            "a write whose answer never came is in doubt",
            &FIRE,
            Failure::new(Reason::Connection, "the connection broke"),
            &["authorise fire", "intent fire begins", "intent fire is on disk", "call fire", "outcome unknown"],
            Ends::Failure(Reason::Connection, "the connection broke"),
        ),
        Row::new(
            "without an intent there is no write",
            Setting { broken_journal: true, ..Setting::default() },
            &SET,
            &["authorise set", "intent set begins"],
            Ends::Journal("no space left on device"),
        ),
        Row::new(
            "a denied read",
            denied("look"),
            &LOOK,
            &["authorise look", "audit denied, missing allow = [\"test:*\"]"],
            Ends::Failure(Reason::AccessDenied, "allow = [\"test:*\"]"),
        ),
        Row::new(
            "a denied write leaves no intent",
            denied("fire"),
            &FIRE,
            &["authorise fire", "audit denied, missing allow = [\"test:*\"]"],
            Ends::Failure(Reason::AccessDenied, "test:Fire"),
        ),
        Row::new("a dry run reads", dry(), &LOOK, &["authorise look", "call look"], Ends::Answer),
        Row::new(
            "a dry run stops at a write",
            dry(),
            &SET,
            &["authorise set", "audit dry run"],
            Ends::DryRun("test:Set"),
        ),
        Row::new(
            "a dry run stops at a clean-up too",
            dry(),
            &STOP,
            &["authorise stop", "audit dry run"],
            Ends::DryRun("test:Stop"),
        ),
        Row::new(
            "a dry run tells what is denied, as the real run would",
            Setting { mode: Mode::DryRun, denied: vec!["set"], ..Setting::default() },
            &SET,
            &["authorise set", "audit denied, missing allow = [\"test:*\"]"],
            Ends::Failure(Reason::AccessDenied, "test:Set"),
        ),
    ];
    for Row { title, setting, operation, fails_with, events, ends } in rows {
        let scene = Scene::new(setting);
        let door = scene.door("1", "local", 1);
        let answer = scene
            .call_with(&door, operation, json!({"id": "i-1"}), |_| async move {
                match fails_with {
                    Some(failure) => Err(failure),
                    None => Ok(json!(1)),
                }
            })
            .await;
        assert_eq!(scene.events.take(), events, "{title}");
        match (ends, answer) {
            (Ends::Answer, Ok(Ok(value))) => assert_eq!(value, json!(1), "{title}"),
            (Ends::Failure(reason, text), Ok(Err(failure))) => {
                assert_eq!(failure.reason, reason, "{title}");
                assert!(failure.message.contains(text), "{title}: {failure}");
            }
            (Ends::DryRun(expected), Err(Stop::DryRun { action, input })) => {
                assert_eq!(action, expected, "{title}");
                assert_eq!(input, json!({"id": "i-1"}), "{title}");
            }
            (Ends::Journal(text), Err(Stop::Journal(message))) => assert!(message.contains(text), "{title}: {message}"),
            (_, other) => panic!("{title}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_denial_names_the_plugin_the_call_and_the_missing_grant_in_answer_and_audit() {
    let scene = Scene::new(Setting { denied: vec!["set"], ..Setting::default() });
    let door = scene.door("3/1", "web-1", 2);
    let failure = scene.call(&door, &SET, Value::Null).await.unwrap().unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("PermissionDenied"));
    assert!(!failure.retryable);
    for part in ["test-step", "test:Set", "allow = [\"test:*\"]"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    let [record] = scene.journal.memory.audit_records().try_into().unwrap();
    assert_eq!(record.outcome, AuditOutcome::Denied { missing: "allow = [\"test:*\"]".to_owned() });
    assert_eq!(
        (record.plugin.as_str(), record.function.as_str(), record.service.as_str(), record.action.as_str()),
        ("test-step", "outrigger:aws-test/things@0.1.0#set", "test", "Thing")
    );
    assert_eq!(record.step, crate::support::key(7, "3/1", "web-1", 2));
    assert_eq!(record.region.as_deref(), Some("eu-west-1"));
    assert_eq!(record.digest, "0".repeat(64));
}

#[tokio::test]
async fn a_denied_call_leaves_the_door_open_for_others() {
    let scene = Scene::new(Setting { denied: vec!["set"], ..Setting::default() });
    let door = scene.door("1", "local", 1);
    scene.call(&door, &SET, Value::Null).await.unwrap().unwrap_err();
    scene.call(&door, &LOOK, Value::Null).await.unwrap().unwrap();
    scene.call(&door, &STOP, Value::Null).await.unwrap().unwrap();
    let [(intent, outcome)] = scene.journal.memory.intents().try_into().unwrap();
    assert_eq!((intent.action.as_str(), intent.sequence), ("test:Stop", 2));
    assert_eq!(outcome, Some(IntentOutcome::Done));
}

#[tokio::test]
async fn a_dry_run_reads_until_its_first_write_and_ends_there() {
    let scene = Scene::new(Setting { mode: Mode::DryRun, ..Setting::default() });
    let door = scene.door("1", "local", 1);
    for _ in 0..3 {
        scene.call(&door, &LOOK, Value::Null).await.unwrap().unwrap();
    }
    let stop = scene.call(&door, &FIRE, json!({"ids": ["i-1", "i-2"]})).await.unwrap_err();
    assert_eq!(stop.to_string(), "dry run: test:Fire was not called");
    assert!(matches!(stop, Stop::DryRun { input, .. } if input == json!({"ids": ["i-1", "i-2"]})));
    assert!(scene.journal.memory.intents().is_empty());
}
