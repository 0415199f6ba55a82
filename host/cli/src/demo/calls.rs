//! The table at the end: what each step called, and what it might have called.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::output::table::{Look, Table};

/// The AWS calls of one step of one run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Calls {
    plugin: String,
    /// `service:Action`, how often, and how often with another end than success: in the order of the first call.
    calls: Vec<(String, u32, BTreeMap<String, u32>)>,
}

/// What all runs called.
#[derive(Debug, Default)]
pub(crate) struct CallTable {
    runs: Vec<(String, BTreeMap<String, Calls>)>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl CallTable {
    /// Takes the audit records of a run, one JSON object on each line.
    pub(crate) fn add(&mut self, run: &str, audit: &str) {
        let mut steps: BTreeMap<String, Calls> = BTreeMap::new();
        for record in audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let calls = steps.entry(text(&record, "/step/path").to_owned()).or_default();
            text(&record, "/plugin").clone_into(&mut calls.plugin);
            let name = format!("{}:{}", text(&record, "/service"), text(&record, "/action"));
            let index = calls.calls.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
                calls.calls.push((name, 0, BTreeMap::new()));
                calls.calls.len() - 1
            });
            if let Some((_, count, ends)) = calls.calls.get_mut(index) {
                *count += 1;
                match (text(&record, "/outcome"), text(&record, "/code")) {
                    ("ok", _) => {}
                    ("error", code) => *ends.entry(code.to_owned()).or_default() += 1,
                    (other, _) => *ends.entry(other.to_owned()).or_default() += 1,
                }
            }
        }
        self.runs.push((run.to_owned(), steps));
    }

    /// How many calls there were.
    pub(crate) fn count(&self) -> u32 {
        self.runs.iter().flat_map(|(_, steps)| steps.values()).flat_map(|step| &step.calls).map(|call| call.1).sum()
    }

    /// The table; `plugins` is what `plugin list --format json` says.
    pub(crate) fn table(&self, plugins: &Value) -> Table {
        let mut table = Table::new(["JOB", "STEP", "PLUGIN", "AWS CALLS", "PERMITTED"]);
        for (run, steps) in &self.runs {
            for (number, (path, step)) in steps.iter().enumerate() {
                let mut calls = step.calls.iter().map(called);
                let mut permitted = permitted(plugins, &step.plugin).into_iter();
                let first = (if number == 0 { run.as_str() } else { "" }, path.as_str(), step.plugin.as_str());
                let mut head = Some(first);
                loop {
                    let (call, action) = (calls.next(), permitted.next());
                    if call.is_none() && action.is_none() {
                        break;
                    }
                    let (job, path, plugin) = head.take().unwrap_or_default();
                    let (call, look) = call.unwrap_or((String::new(), Look::Plain));
                    table.looked([
                        (job.to_owned(), Look::Plain),
                        (path.to_owned(), Look::Plain),
                        (plugin.to_owned(), Look::Plain),
                        (call, look),
                        (action.unwrap_or_default(), Look::Faint),
                    ]);
                }
            }
        }
        table
    }
}

fn called((name, count, ends): &(String, u32, BTreeMap<String, u32>)) -> (String, Look) {
    let mut shown = name.clone();
    if *count > 1 {
        shown.push_str(&format!(" x{count}"));
    }
    if ends.is_empty() {
        return (shown, Look::Good);
    }
    let ends: Vec<String> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
    (format!("{shown} ({})", ends.join(", ")), Look::Odd)
}

/// The IAM actions of a plugin; those that they depend on are counted only.
fn permitted(plugins: &Value, name: &str) -> Vec<String> {
    let plugin = plugins.as_array().into_iter().flatten().find(|plugin| text(plugin, "/provider") == name);
    let actions = plugin.and_then(|plugin| plugin.get("actions")).and_then(Value::as_array);
    let (mut shown, mut dependent) = (Vec::new(), 0);
    for action in actions.into_iter().flatten() {
        if action.get("dependent") == Some(&Value::Bool(true)) {
            dependent += 1;
        } else {
            let access = if text(action, "/access") == "write" { " (write)" } else { "" };
            shown.push(format!("{}{access}", text(action, "/action")));
        }
    }
    if shown.is_empty() && dependent == 0 {
        shown.push("(needs no permission)".to_owned());
    }
    if dependent > 0 {
        shown.push(format!("and {dependent} that these depend on"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::style::Style;

    #[test]
    fn calls_stand_beside_what_was_permitted() {
        let record = |action: &str, outcome: Value| {
            let mut record = json!({
                "position": 1, "step": { "run": 1, "path": "1", "node": "local", "attempt": 1 },
                "plugin": "p", "service": "ec2", "action": action,
            });
            record.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
            record.to_string()
        };
        let audit = [
            record("StartInstances", json!({ "outcome": "error", "code": "RequestLimitExceeded", "status": 503 })),
            record("StartInstances", json!({ "outcome": "ok" })),
            record("DescribeInstances", json!({ "outcome": "ok" })),
        ];
        let mut calls = CallTable::default();
        calls.add("Start", &audit.join("\n"));
        let plugins = json!([{ "provider": "p", "actions": [
            { "action": "ec2:StartInstances", "access": "write", "dependent": false },
            { "action": "kms:CreateGrant", "access": "write", "dependent": true },
        ] }]);
        assert_eq!(calls.count(), 3);
        let shown = calls.table(&plugins).render(Style::new(false), "", 80);
        let lines: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "JOB STEP PLUGIN AWS CALLS PERMITTED",
                "Start 1 p ec2:StartInstances x2 (1 RequestLimitExceeded) ec2:StartInstances (write)",
                "ec2:DescribeInstances and 1 that these depend on",
            ]
        );
    }
}
