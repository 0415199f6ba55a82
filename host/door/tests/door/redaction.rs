//! No secret gets into what the door writes down or hands back as a failure.

use outrigger_door::{AuditOutcome, Failure, Mode, Reason, Recorder, Stop};
use outrigger_redaction::{Redactor, Secret};
use serde_json::{Value, json};

use crate::support::{FIRE, LOOK, SET, Scene, Setting, replay};

const CANARY: &str = "canary/Kx9+Zq4=\"&7f3a";

/// The canary, as it could stand in any of the outputs.
fn leaks(text: &str) -> bool {
    let bytes = CANARY.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(",");
    let forms = [
        CANARY.to_owned(),
        serde_json::to_string(CANARY).unwrap().trim_matches('"').to_owned(),
        "Y2FuYXJ5L0t4OStacTQ9Iic".to_owned(),
        "canary%2FKx9%2BZq4%3D%22%267f3a".to_owned(),
        bytes,
    ];
    forms.iter().any(|form| text.contains(form))
}

fn redactor() -> Redactor {
    let redactor = Redactor::new();
    assert!(redactor.register(&Secret::new(CANARY.to_owned())));
    redactor
}

#[tokio::test]
async fn recordings_hold_no_secret_in_any_form_and_still_replay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.recording");
    let header = json!({"options": {"password": CANARY}, "job": format!("curl -u me:{CANARY}")});
    let recorder = Recorder::create(&path, header, redactor()).unwrap();
    let scene = Scene::new(Setting { recorder: Some(recorder), redactor: redactor(), ..Setting::default() });
    let door = scene.door("1", "local", 1);
    let input = json!({
        "plain": CANARY,
        "inside": format!("Bearer {CANARY}!"),
        CANARY: "as a name",
        "deep": [{"json": serde_json::to_string(&json!({"k": CANARY})).unwrap()}],
        "url": "https://example.org/?q=canary%2FKx9%2BZq4%3D%22%267f3a",
        // A body of an HTTP request is a list of bytes.
        "body": format!("before {CANARY} after").into_bytes(),
    });
    let output = json!({"echo": input, "bytes": CANARY.as_bytes()});
    let answer = scene.call_with(&door, &LOOK, input.clone(), |_| async { Ok(output.clone()) }).await;
    assert_eq!(answer.unwrap().unwrap(), output, "the guest gets what the service said");
    let failure = Failure::new(Reason::Remote, format!("the body {CANARY} is bad")).with_code(CANARY);
    let failed = scene.call_with(&door, &FIRE, input.clone(), |_| async { Err(failure) }).await.unwrap().unwrap_err();
    assert!(!leaks(&format!("{failed:?}")), "{failed:?}");
    scene.run.recorder.as_ref().unwrap().finish().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!leaks(&text), "{text}");
    assert!(text.contains("******"));
    assert!(text.contains("[98,101,102,111,114,101,32,42,42,42,42,42,42,32,"), "bytes around the secret stay: {text}");

    // The same plugin with the same secret asks the same.
    let scene = Scene::new(Setting { mode: Mode::Replay(replay(&text)), redactor: redactor(), ..Setting::default() });
    let door = scene.door("1", "local", 1);
    let again = scene.call(&door, &LOOK, input.clone()).await.unwrap().unwrap();
    assert_eq!(again["echo"]["plain"], json!("******"));
    assert_eq!(scene.call(&door, &FIRE, input).await.unwrap().unwrap_err(), failed);
}

#[tokio::test]
async fn audit_intents_and_failures_hold_no_secret() {
    let missing: &'static str = "allow resource = \"arn:aws:s3:::canary/Kx9+Zq4=\"&7f3a\"";
    let scene =
        Scene::new(Setting { denied: vec!["set"], missing: Some(missing), redactor: redactor(), ..Setting::default() });
    let door = scene.door("1", "local", 1);
    let denied = scene.call(&door, &SET, json!({"bucket": CANARY})).await.unwrap().unwrap_err();
    scene
        .call_with(&door, &FIRE, json!({"password": CANARY}), |passage| async move {
            passage.auditor.record(|record| {
                record.request_id = Some(format!("req-{CANARY}"));
                record.principal = Some(format!("arn:aws:sts::1:assumed-role/{CANARY}"));
                record.outcome = AuditOutcome::Error { code: CANARY.to_owned(), status: 400 };
            });
            Err(Failure::new(Reason::Remote, format!("{CANARY} is no name")))
        })
        .await
        .unwrap()
        .unwrap_err();
    for text in [
        format!("{denied:?}"),
        format!("{:?}", scene.journal.memory.audit_records()),
        format!("{:?}", scene.journal.memory.intents()),
    ] {
        assert!(!leaks(&text), "{text}");
    }
}

#[tokio::test]
async fn the_input_that_a_dry_run_shows_and_a_divergence_names_hold_no_secret() {
    let scene = Scene::new(Setting { mode: Mode::DryRun, redactor: redactor(), ..Setting::default() });
    let stop = scene.call(&scene.door("1", "local", 1), &SET, json!({"value": CANARY})).await.unwrap_err();
    assert!(matches!(&stop, Stop::DryRun { input, .. } if *input == json!({"value": "******"})), "{stop:?}");

    let header = r#"{"recording":1,"outrigger":"0","run":null}"#;
    let call = json!({
        "step": {"path": "1", "node": "local", "attempt": 1},
        "digest": "", "function": SET.import(), "input": "other", "result": {"ok": null},
    });
    let text = format!("{header}\n{call}\n");
    let scene = Scene::new(Setting { mode: Mode::Replay(replay(&text)), redactor: redactor(), ..Setting::default() });
    let stop = scene.call(&scene.door("1", "local", 1), &SET, json!({"value": CANARY})).await.unwrap_err();
    assert!(!leaks(&format!("{stop} {stop:?}")), "{stop}");
    assert!(stop.to_string().contains("******"), "{stop}");
}

#[test]
fn what_is_no_secret_stays() {
    let redactor = redactor();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.recording");
    let run = json!({"numbers": [1, 2, 300, -1], "bytes": [0, 255, 104, 105], "mixed": [99, "a", null, 1.5]});
    Recorder::create(&path, run.clone(), redactor).unwrap().finish().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let header: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(header["run"], run);
}
