//! Recording files that are damaged, foreign or from the future.

use std::path::Path;

use outrigger_door::{Recorder, RecordingError, Replay};
use outrigger_redaction::Redactor;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{LOOK, key};

const HEADER: &str = r#"{"recording":1,"outrigger":"0.1.0","run":{"job":"x"}}"#;
const CALL: &str = r#"{"step":{"path":"1","node":"local","attempt":1},"digest":"","function":"a:b/c@0.1.0#d","input":null,"result":{"ok":1}}"#;

fn read(text: &[u8]) -> Result<Replay, RecordingError> {
    Replay::read(text, Path::new("a.recording"))
}

#[test]
fn damaged_files_are_refused_with_file_and_line() {
    for (title, text, message) in [
        ("nothing", String::new(), "the recording a.recording is damaged at line 0: the file is empty"),
        ("blank lines", "\n\n \n".to_owned(), "damaged at line 3: the file is empty"),
        ("no JSON", "hello\n".to_owned(), "damaged at line 1: expected value"),
        ("another file", "{\"version\":3}\n".to_owned(), "damaged at line 1: this is no recording"),
        (
            "header without run",
            "{\"recording\":1,\"outrigger\":\"0\"}\n".to_owned(),
            "damaged at line 1: missing field `run`",
        ),
        ("a version that is no number", HEADER.replace(":1,", ":\"1\","), "damaged at line 1: this is no recording"),
        ("a line cut off", format!("{HEADER}\n{CALL}\n{}", &CALL[..40]), "damaged at line 3: EOF while parsing"),
        (
            "a call without function",
            format!("{HEADER}\n{}", CALL.replace("\"function\"", "\"other\"")),
            "damaged at line 2: missing field `function`",
        ),
        (
            "an unknown result",
            format!("{HEADER}\n\n{}", CALL.replace("\"ok\"", "\"okay\"")),
            "damaged at line 3: unknown variant `okay`",
        ),
        (
            "a negative attempt",
            format!("{HEADER}\n{}", CALL.replace("\"attempt\":1", "\"attempt\":-1")),
            "damaged at line 2: invalid value",
        ),
        (
            "deep nesting",
            format!("{HEADER}\n{}", CALL.replace("null", &"[".repeat(100_000))),
            "damaged at line 2: recursion limit",
        ),
    ] {
        let error = read(text.as_bytes()).expect_err(title).to_string();
        assert!(error.contains(message), "{title}: {error}");
        assert!(error.contains("a.recording"), "{title}: {error}");
    }
}

#[test]
fn other_formats_are_refused_and_newer_ones_say_what_to_do() {
    for version in ["2", "4294967296", "18446744073709551615"] {
        let error = read(HEADER.replace(":1,", &format!(":{version},")).as_bytes()).unwrap_err();
        assert!(matches!(error, RecordingError::Version { .. }), "{error}");
        assert!(error.to_string().contains("use a newer outrigger"), "{error}");
    }
    let error = read(HEADER.replace(":1,", ":0,").as_bytes()).unwrap_err().to_string();
    assert!(error.contains("format 0") && !error.contains("use a newer"), "{error}");
}

#[test]
fn blank_lines_and_crlf_do_no_harm() {
    let replay = read(format!("\n{HEADER}\r\n\r\n{CALL}\r\n{CALL}").as_bytes()).unwrap();
    assert_eq!(replay.header().run, json!({"job": "x"}));
    assert_eq!(replay.len(&key(3, "1", "local", 1)), 2);
    assert!(!replay.is_empty());
    assert_eq!(replay.named(&key(3, "1", "local", 1), "a:b/c@0.1.0#d").unwrap().input, json!(null));
    assert!(replay.named(&key(3, "1", "local", 1), &LOOK.import()).is_none());
}

#[test]
fn files_that_cannot_be_opened_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = Replay::open(&missing).unwrap_err().to_string();
    assert!(error.starts_with("failed to read the recording ") && error.contains("missing"), "{error}");
    let error = Recorder::create(&missing.join("a"), json!({}), Redactor::new()).unwrap_err().to_string();
    assert!(error.starts_with("failed to create the recording "), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        drop(read(&bytes));
    }

    #[test]
    fn no_change_of_a_recording_makes_reading_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut text = format!("{HEADER}\n{CALL}\n{CALL}\n").into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        drop(read(&text));
        text.truncate(cut.index(text.len()));
        drop(read(&text));
    }
}
