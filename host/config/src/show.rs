//! The effective configuration, for people to read.

use std::collections::BTreeSet;
use std::fmt::Debug;

use crate::origin::{Origin, Value};
use crate::parse::dotted;
use crate::settings::Settings;

/// Tables that are shown by what holds, defaults included, not by what is written.
const COMPUTED: [&str; 5] = ["limits", "native-steps", "workspace", "http", "keys.master-key"];
/// Tables that one level gives as a whole, or that are hidden by the same name at a stronger level.
const WHOLE: [&str; 3] = ["aws.credentials", "aws.accounts", "plugins.aliases"];
/// Tables of which both levels hold at the same time.
const BOTH: [&str; 3] = ["permissions", "aws.allowed-roles", "aws.allowed-endpoints"];

fn below(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

/// The first part of what stands below a table, so that `aws.accounts.prod.region` belongs to `aws.accounts.prod`.
fn unit(key: &str) -> String {
    for table in WHOLE {
        if !below(key, table) {
            continue;
        }
        if table == "aws.credentials" {
            return table.to_owned();
        }
        let rest = key.get(table.len() + 1..).unwrap_or_default();
        // A quoted name may hold dots.
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(rest.len(), |end| end + 2),
            None => rest.find('.').unwrap_or(rest.len()),
        };
        return format!("{table}.{}", rest.get(..end).unwrap_or(rest));
    }
    key.to_owned()
}

impl Settings {
    /// Every effective value: dotted key, display form, and what gave it. Sorted by key. No secret is among them: the
    /// files hold the paths of secrets only.
    #[must_use]
    pub fn effective(&self) -> Vec<(String, String, Origin)> {
        let mut shown = Vec::new();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for file in self.files() {
            let mut here = BTreeSet::new();
            for (key, entry) in &file.entries {
                if entry.display.is_empty() || COMPUTED.iter().any(|table| below(key, table)) {
                    continue;
                }
                let unit = unit(key);
                if !BOTH.iter().any(|table| below(key, table)) && taken.contains(&unit) {
                    continue;
                }
                here.insert(unit);
                shown.push((key.clone(), entry.display.clone(), Origin::file(file.level, &file.path, entry.line)));
            }
            taken.extend(here);
        }
        self.computed(&mut shown);
        shown.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
        shown
    }

    fn computed(&self, shown: &mut Vec<(String, String, Origin)>) {
        fn push<T>(
            shown: &mut Vec<(String, String, Origin)>,
            table: &str,
            key: &str,
            value: Value<T>,
            display: impl Fn(&T) -> String,
        ) {
            shown.push((dotted(table, key), display(&value.value), value.origin));
        }
        fn list<T>(items: &[T], display: impl Fn(&T) -> String) -> String {
            format!("[{}]", items.iter().map(display).collect::<Vec<_>>().join(", "))
        }
        fn quoted<T: Debug>(item: &T) -> String {
            format!("{item:?}")
        }
        let limits = self.limits();
        push(shown, "limits", "memory-mib", limits.memory_mib, ToString::to_string);
        push(shown, "limits", "cpu-seconds", limits.cpu_seconds, ToString::to_string);
        push(shown, "limits", "deadline-seconds", limits.deadline_seconds, ToString::to_string);
        push(shown, "limits", "grace-seconds", limits.grace_seconds, ToString::to_string);
        push(shown, "limits", "log-lines", limits.log_lines, ToString::to_string);
        push(shown, "limits", "outputs-kib", limits.outputs_kib, ToString::to_string);
        push(shown, "limits", "workspace-mib", limits.workspace_mib, ToString::to_string);
        let native = self.native_steps();
        push(shown, "native-steps", "enabled", native.enabled, ToString::to_string);
        push(shown, "native-steps", "aws", native.aws, ToString::to_string);
        if let Some(user) = native.user {
            push(shown, "native-steps", "user", user, quoted);
        }
        if let Some(interpreters) = native.interpreters {
            push(shown, "native-steps", "interpreters", interpreters, |items| list(items, quoted));
        }
        if let Some(dirs) = self.allow_dirs() {
            push(shown, "workspace", "allow-dirs", dirs, |items| list(items, quoted));
        }
        if let Some(origins) = self.allow_origins() {
            push(shown, "http", "allow-origins", origins, |items| list(items, quoted));
        }
        if let Some(networks) = self.allow_networks() {
            push(shown, "http", "allow-networks", networks, |items| list(items, |item| format!("\"{item}\"")));
        }
        // Only the program's name: an argument may be a token.
        push(shown, "keys", "master-key", self.master_key(), |source| source.describe());
    }
}
