//! A job file from anywhere: it is read or refused with places in the file, checked whole, and rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_jobs::check::{CheckOptions, check_text};
use outrigger_jobs::file::parse_jobs;
use outrigger_jobs::steps::{PluginCatalog, PluginSummary};
use serde_json::json;

struct OnePlugin;

impl PluginCatalog for OnePlugin {
    fn plugin(&self, provider: &str) -> Option<PluginSummary> {
        (provider == "aws-vm-start-step").then(|| PluginSummary {
            provider: provider.to_owned(),
            title: "Start".to_owned(),
            input_schema: json!({
                "type": "object",
                "required": ["instanceId"],
                "properties": {
                    "instanceId": {"type": "string", "pattern": "^i-[0-9a-f]+$"},
                    "wait": {"type": "boolean"},
                    "count": {"type": "integer", "minimum": 1},
                    "tags": {"type": "object"},
                    "password": {"type": "string", "x-outrigger-secret": true},
                },
                "additionalProperties": false,
            }),
            output_schema: json!({"type": "object", "properties": {"state": {"type": "string"}}}),
            worlds: vec!["job-step".to_owned()],
        })
    }

    fn providers(&self) -> Vec<String> {
        vec!["aws-vm-start-step".to_owned()]
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The time is measured, not the size: files of people have some kilobytes.
    if text.len() > 16 * 1024 {
        return;
    }
    // YAML also ends a line at a carriage return.
    let lines = text.matches(['\n', '\r']).count() + 1;
    match parse_jobs(text, "a.yaml") {
        Ok(file) => assert!(file.remarks.iter().all(|problem| !problem.message.is_empty())),
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(!problem.message.is_empty());
                assert!(problem.line as usize <= lines, "line {} of {lines}", problem.line);
            }
        }
    }
    let report = check_text(text, "a.yaml", &OnePlugin, &CheckOptions::default());
    assert!(serde_json::to_string(&report).is_ok());
});
