//! Writes that must not happen twice: client tokens, and doubts.

use std::collections::HashSet;

use outrigger_door::{Effect, Failure, IntentOutcome, Operation, Reason};
use serde_json::{Value, json};

use crate::support::{FIRE, FIRE_OTHER, LOOK, SET, START, START_OTHER, Scene, Setting};

#[tokio::test]
async fn a_token_depends_on_run_step_node_operation_and_position_and_on_nothing_else() {
    let scene = Scene::new(Setting::default());
    let first = scene.token(&scene.door_of(7, "2", "local", 1), &START).await.unwrap();
    assert!(first.len() >= 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_eq!(scene.token(&scene.door_of(7, "2", "local", 2), &START).await.unwrap(), first, "another attempt");
    let elsewhere = Scene::new(Setting::default());
    assert_eq!(
        elsewhere.token(&elsewhere.door_of(7, "2", "local", 1), &START).await.unwrap(),
        first,
        "another process"
    );

    let door = scene.door_of(7, "2", "local", 1);
    scene.call(&door, &LOOK, Value::Null).await.unwrap().unwrap();
    scene.token(&door, &START_OTHER).await;
    assert_eq!(scene.token(&door, &START).await.unwrap(), first, "calls of other operations before it");

    let mut tokens = HashSet::from([first]);
    for (run, path, node, operation) in [
        (8, "2", "local", &START),
        (7, "3", "local", &START),
        (7, "2", "web-1", &START),
        (7, "2", "local", &START_OTHER),
        // Parts that run together must not look the same.
        (7, "2/1", "local", &START),
        (7, "2", "1local", &START),
        (72, "", "local", &START),
    ] {
        let token = scene.token(&scene.door_of(run, path, node, 1), operation).await.unwrap();
        assert!(tokens.insert(token), "{run} {path} {node} {}", operation.function);
    }
    for position in 2..5 {
        assert!(tokens.insert(scene.token(&door, &START).await.unwrap()), "call {position}");
    }
}

#[tokio::test]
async fn only_operations_with_a_token_get_one_and_the_intent_has_it() {
    let scene = Scene::new(Setting::default());
    let door = scene.door("1", "local", 1);
    for operation in [&LOOK, &SET, &FIRE] {
        assert_eq!(scene.token(&door, operation).await, None, "{}", operation.function);
    }
    let token = scene.token(&door, &START).await;
    let intents = scene.journal.memory.intents();
    let (intent, _) = intents.last().unwrap();
    assert_eq!((intent.effect, &intent.token, intent.sequence), (Effect::Token, &token, 4));
}

/// How the first attempt's call ended.
enum First {
    Ok,
    Refused,
    ConnectionBroke,
    ProcessDied,
}

#[tokio::test]
async fn an_unsafe_write_in_doubt_is_not_repeated() {
    struct Row {
        title: &'static str,
        first: (&'static Operation, Value, First),
        second: (&'static Operation, Value),
        place: (i64, &'static str, &'static str),
        repeated: bool,
    }
    let input = || json!({"id": "i-1"});
    let here = (7, "1", "local");
    let rows = [
        Row {
            title: "its connection broke",
            first: (&FIRE, input(), First::ConnectionBroke),
            second: (&FIRE, input()),
            place: here,
            repeated: false,
        },
        Row {
            title: "its process died",
            first: (&FIRE, input(), First::ProcessDied),
            second: (&FIRE, input()),
            place: here,
            repeated: false,
        },
        Row {
            title: "it succeeded",
            first: (&FIRE, input(), First::Ok),
            second: (&FIRE, input()),
            place: here,
            repeated: true,
        },
        Row {
            title: "it was refused",
            first: (&FIRE, input(), First::Refused),
            second: (&FIRE, input()),
            place: here,
            repeated: true,
        },
        Row {
            title: "another input",
            first: (&FIRE, input(), First::ConnectionBroke),
            second: (&FIRE, json!({"id": "i-2"})),
            place: here,
            repeated: true,
        },
        Row {
            title: "another operation",
            first: (&FIRE, input(), First::ConnectionBroke),
            second: (&FIRE_OTHER, input()),
            place: here,
            repeated: true,
        },
        Row {
            title: "another node",
            first: (&FIRE, input(), First::ConnectionBroke),
            second: (&FIRE, input()),
            place: (7, "1", "web-1"),
            repeated: true,
        },
        Row {
            title: "another step",
            first: (&FIRE, input(), First::ConnectionBroke),
            second: (&FIRE, input()),
            place: (7, "2", "local"),
            repeated: true,
        },
        Row {
            title: "another run",
            first: (&FIRE, input(), First::ConnectionBroke),
            second: (&FIRE, input()),
            place: (8, "1", "local"),
            repeated: true,
        },
        Row {
            title: "the same change again changes nothing",
            first: (&SET, input(), First::ConnectionBroke),
            second: (&SET, input()),
            place: here,
            repeated: true,
        },
        Row {
            title: "the token makes it safe",
            first: (&START, input(), First::ConnectionBroke),
            second: (&START, input()),
            place: here,
            repeated: true,
        },
    ];
    for Row { title, first: (operation, input, end), second, place: (run, path, node), repeated } in rows {
        let scene = Scene::new(Setting::default());
        let door = scene.door("1", "local", 1);
        match end {
            First::ProcessDied => {
                let died = scene.call_with(&door, operation, input, |_| crate::support::never());
                assert!(tokio::time::timeout(std::time::Duration::from_millis(20), died).await.is_err(), "{title}");
            }
            First::Ok => drop(scene.call(&door, operation, input).await.unwrap().unwrap()),
            First::Refused | First::ConnectionBroke => {
                let reason = if matches!(end, First::Refused) { Reason::Throttled } else { Reason::Connection };
                let fail = |_| async move { Err(Failure::new(reason, "it failed").retryable()) };
                scene.call_with(&door, operation, input, fail).await.unwrap().unwrap_err();
            }
        }
        scene.events.take();
        let door = scene.door_of(run, path, node, 2);
        let answer = scene.call(&door, second.0, second.1).await.unwrap();
        let called = scene.events.take().contains(&format!("call {}", second.0.function));
        assert_eq!(called, repeated, "{title}");
        match answer {
            Ok(_) => assert!(repeated, "{title}"),
            Err(failure) => {
                assert!(!repeated, "{title}: {failure}");
                assert_eq!((failure.reason, failure.code.as_deref()), (Reason::Conflict, Some("InDoubt")));
                assert!(failure.message.contains("attempt 1") && failure.message.contains("test:Fire"), "{failure}");
                assert!(!failure.retryable);
            }
        }
    }
}

#[tokio::test]
async fn a_doubt_outlives_the_attempts_that_refuse_to_repeat() {
    let scene = Scene::new(Setting::default());
    let broke = |_| async { Err(Failure::new(Reason::Timeout, "no answer")) };
    scene.call_with(&scene.door("1", "local", 1), &FIRE, json!(1), broke).await.unwrap().unwrap_err();
    for attempt in 2..5 {
        let failure = scene.call(&scene.door("1", "local", attempt), &FIRE, json!(1)).await.unwrap().unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("InDoubt"), "attempt {attempt}");
    }
    let [(_, outcome)] = scene.journal.memory.intents().try_into().unwrap();
    assert_eq!(outcome, Some(IntentOutcome::Unknown));
}
