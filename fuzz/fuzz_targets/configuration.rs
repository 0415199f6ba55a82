//! Configuration files from anywhere: read, or refused with the place and the reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_config::{parse_project, parse_system};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > 16 * 1024 {
        return;
    }
    for errors in [
        parse_system(text, "outrigger.toml").map(|file| drop(format!("{file:?}"))).err(),
        parse_project(text, "project.toml").map(|file| drop(format!("{file:?}"))).err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(!errors.is_empty());
        for error in errors {
            let message = error.to_string();
            assert!(message.contains(".toml"), "{message}");
        }
    }
});
