//! Texts with references: no secret gets into a command, a script or an argument, and nothing grows without bound.
//!
//! Input: the value of an option, a zero byte, and the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_jobs::context::{ContextValue, DataContext, ExpandMode, MAX_EXPANDED, View, join_words, split_words};
use outrigger_redaction::Secret;
use serde_json::json;

const SECRET: &str = "Zk3-hidden-Qw8";

fuzz_target!(|data: &[u8]| {
    let Ok(data) = std::str::from_utf8(data) else { return };
    let (value, text) = data.split_once('\0').unwrap_or(("", data));
    if text.contains(SECRET) || value.contains(SECRET) {
        return;
    }
    let mut context = DataContext::new();
    context.set("option", "v", value);
    context.set("unquotedoption", "v", value);
    context.set("option", "s", ContextValue::Secret(Secret::new(SECRET.to_owned())));
    context.set("job", "name", "nightly");
    context.set_on_node("web-1", "node", "name", "web-1");
    context.set_output(&View::global(), &["Start the v1.2 VM".to_owned()], "ids", json!(["i-1", {"a": null}]));
    for view in [View::global(), View::node("web-1")] {
        for mode in [ExpandMode::Plain, ExpandMode::Shell, ExpandMode::Script, ExpandMode::Argument] {
            let Ok(expanded) = context.expand(text, mode, &view) else { continue };
            assert!(expanded.text.len() <= MAX_EXPANDED);
            let shown = expanded.text.contains(SECRET);
            assert_eq!(shown, expanded.secret, "{mode:?}");
            assert!(!shown || matches!(mode, ExpandMode::Plain), "{mode:?}");
            assert!(!format!("{expanded:?}").contains(SECRET));
            assert!(expanded.missing.iter().all(|reference| !reference.to_string().is_empty()));
        }
    }
    // Splitting takes quotes and blanks away and adds nothing.
    let words = split_words(text);
    assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    assert!(words.iter().all(|word| join_words([word.as_str()]).len() >= word.len()));
});
