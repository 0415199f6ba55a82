//! A recording gives the same answers again, or says where it does not fit.

use outrigger_door::{Door, Failure, Lifetime, Mode, Operation, Reason, Recorder, Stop};
use outrigger_redaction::Redactor;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, FIRE, LOOK, SET, START, Scene, Setting, caller, key, replay};

/// What a plugin does: operation, input, and how the service answers.
type Script = Vec<(&'static Operation, Value, Result<Value, Failure>)>;

async fn play(scene: &Scene, door: &Door, script: Script) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (operation, input, answer) in script {
        answers.push(scene.call_with(door, operation, input, |_| async { answer }).await);
    }
    answers
}

fn script() -> Script {
    vec![
        (&LOOK, json!({"page": 1}), Ok(json!({"items": [1, 2], "next": null}))),
        (&SET, json!({"id": "i-1"}), Ok(Value::Null)),
        (
            &FIRE,
            json!({"id": "i-1"}),
            Err(Failure::new(Reason::Throttled, "slow down").with_code("Throttling").retryable()),
        ),
        (&START, json!({"sql": "select 1"}), Ok(json!("q-1"))),
        (&LOOK, json!({"page": 1}), Ok(json!({"items": [3], "next": "n"}))),
    ]
}

/// The text of a recording of the script, made by step 2 of run 7.
async fn recorded(denied: Vec<&'static str>) -> (String, Vec<Answer>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.recording");
    let recorder = Recorder::create(&path, json!({"job": "x"}), Redactor::new()).unwrap();
    let scene = Scene::new(Setting { recorder: Some(recorder), denied, ..Setting::default() });
    let answers = play(&scene, &scene.door("2", "local", 1), script()).await;
    assert!(!path.exists(), "a file of the final name is always complete");
    scene.run.recorder.as_ref().unwrap().finish().unwrap();
    (std::fs::read_to_string(path).unwrap(), answers)
}

fn replaying(text: &str) -> Scene {
    // Whatever the replay asks for is denied and fails: it must ask for nothing.
    Scene::new(Setting {
        mode: Mode::Replay(replay(text)),
        denied: vec!["look", "set", "fire", "start"],
        broken_journal: true,
        ..Setting::default()
    })
}

fn unreachable_service() -> Result<Value, Failure> {
    Err(Failure::new(Reason::Internal, "a replay called the service"))
}

#[tokio::test]
async fn a_replay_gives_the_same_answers_and_calls_nothing() {
    for denied in [vec![], vec!["set"]] {
        let (text, first) = recorded(denied).await;
        let scene = replaying(&text);
        // The run has another number now.
        let door = scene.door_of(99, "2", "local", 1);
        let again: Script =
            script().into_iter().map(|(operation, input, _)| (operation, input, unreachable_service())).collect();
        assert_eq!(play(&scene, &door, again).await, first);
        assert_eq!(scene.events.take(), Vec::<String>::new(), "no grant, no journal, no call");
        assert_eq!(door.left_in_recording(), None);
        assert!(!door.replayed_other_digest());
    }
}

#[tokio::test]
async fn steps_nodes_and_attempts_have_their_own_lists() {
    let (text, first) = recorded(vec![]).await;
    let moved = |from: &str, to: &str| text.replace(from, to);
    for (text, path, node, attempt) in [
        (text.clone(), "2", "local", 1),
        (moved("\"path\":\"2\"", "\"path\":\"2/1\""), "2/1", "local", 1),
        (moved("\"node\":\"local\"", "\"node\":\"web-1\""), "2", "web-1", 1),
        (moved("\"attempt\":1", "\"attempt\":2"), "2", "local", 2),
    ] {
        let scene = replaying(&text);
        assert_eq!(play(&scene, &scene.door(path, node, attempt), script()).await, first);
        let stop = scene.call(&scene.door("5", "local", 1), &LOOK, Value::Null).await.unwrap_err();
        assert!(stop.to_string().contains("run 7 step 5"), "{stop}");
    }
}

#[tokio::test]
async fn a_divergence_names_step_call_and_what_differs() {
    let (text, _) = recorded(vec![]).await;
    let mut wrong_function = script();
    wrong_function[1].0 = &FIRE;
    let mut wrong_input = script();
    wrong_input[3].1 = json!({"sql": "select 2"});
    let mut too_many = script();
    too_many.push((&LOOK, json!({"page": 2}), unreachable_service()));
    let unfit = text.replace("\"q-1\"", "17");
    let import = |operation: &Operation| operation.import();
    for (title, text, script, position, parts) in [
        ("function", &text, wrong_function, 2, vec![import(&FIRE), import(&SET)]),
        ("input", &text, wrong_input, 4, vec![import(&START), "select 2".to_owned(), "select 1".to_owned()]),
        ("number", &text, too_many, 6, vec![import(&LOOK), "ends after 5 calls".to_owned()]),
    ] {
        let scene = replaying(text);
        let door = scene.door_of(8, "2", "local", 1);
        let stop = play(&scene, &door, script).await.into_iter().find_map(Result::err).expect(title);
        let message = stop.to_string();
        assert!(matches!(stop, Stop::Diverged { position: at, .. } if at == position), "{title}: {message}");
        assert!(message.starts_with("run 8 step 2: "), "{message}");
        assert!(message.contains(&format!("call {position}")), "{message}");
        for part in parts {
            assert!(message.contains(&part), "{title}: {message}");
        }
    }

    // An answer that does not fit the type that the contract has for it.
    let scene = replaying(&unfit);
    let door = scene.door("2", "local", 1);
    let mut answers = play(&scene, &door, script()[..3].to_vec()).await;
    let text = door
        .call(&START, outrigger_door::Target::default(), json!({"sql": "select 1"}), |_, _| async {
            Ok::<String, Failure>("fresh".to_owned())
        })
        .await;
    let stop = text.unwrap_err();
    assert!(stop.to_string().contains("does not fit the contract"), "{stop}");
    assert!(answers.pop().unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_plugin_that_stops_early_is_seen() {
    let (text, _) = recorded(vec![]).await;
    let scene = replaying(&text);
    let door = scene.door("2", "local", 1);
    play(&scene, &door, script()[..4].to_vec()).await;
    assert_eq!(door.left_in_recording(), Some(LOOK.import()));
}

#[tokio::test]
async fn another_build_of_the_plugin_is_noticed_and_allowed() {
    let (text, first) = recorded(vec![]).await;
    let scene = replaying(&text);
    let lifetime = Lifetime::until_cancelled(CancellationToken::new(), std::time::Duration::ZERO);
    let door = Door::new(scene.run.clone(), key(7, "2", "local", 1), caller("1".repeat(64)), lifetime);
    assert_eq!(play(&scene, &door, script()).await, first);
    assert!(door.replayed_other_digest());
}
