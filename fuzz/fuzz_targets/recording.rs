//! A recording from anywhere: it is read or refused with its name and a line, and what was read answers any question.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use outrigger_door::{RecordingError, Replay, RunId, StepKey};

fuzz_target!(|data: &[u8]| {
    match Replay::read(data, Path::new("a.recording")) {
        Ok(replay) => {
            let step =
                |path: &str, node: &str| StepKey { run: RunId(1), path: path.into(), node: node.into(), attempt: 1 };
            let key = step("1", "local");
            let count = replay.len(&key);
            assert!(count == 0 || !replay.is_empty());
            for position in 0..count {
                let call = replay.call(&key, position).expect("one of those that were counted");
                assert!(replay.named(&key, &call.function).is_some());
            }
            assert!(replay.call(&key, count).is_none());
            assert!(!format!("{:?}", replay.header()).is_empty());
        }
        Err(error) => {
            assert!(error.to_string().contains("a.recording"));
            if let RecordingError::Damaged { line, .. } = error {
                assert!(line <= data.iter().filter(|byte| **byte == b'\n').count() + 1);
            }
        }
    }
});
