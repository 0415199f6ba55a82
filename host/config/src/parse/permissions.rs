//! Reads the `[permissions]` table.

use std::path::Path;

use super::Scope;
use super::reader::{At, Reader, Table, nearest};
use super::tables::origin_pattern;
use crate::check;
use crate::origin::{Level, Origin};
use crate::permissions::{Grant, PermissionRules, Rule, Scoped};

/// Reads the `[permissions]` table.
pub(crate) fn permissions(reader: &mut Reader<'_>, mut table: Table<'_>, scope: Scope, file: &Path) -> PermissionRules {
    let level = match scope {
        Scope::System => Level::System,
        Scope::Project => Level::Project,
    };
    let mut rules = PermissionRules::default();
    for inner in table.tables(reader, "allow").unwrap_or_default() {
        rules.allow.push(rule(reader, inner, level, file));
    }
    for inner in table.tables(reader, "deny").unwrap_or_default() {
        rules.deny.push(rule(reader, inner, level, file));
    }
    if let Some(mut grants) = table.table(reader, "grants") {
        for (name, inner) in grants.rest_tables(reader) {
            if !check::is_name(&name.value) {
                reader.error(name.at, format!("{:?} is no name of a component", name.value), None);
            }
            let grant = grant(reader, inner, scope, level, file, name.at);
            rules.grants.insert(name.value, grant);
        }
    }
    table.finish(reader);
    rules
}

fn rule(reader: &mut Reader<'_>, mut table: Table<'_>, level: Level, file: &Path) -> Rule {
    let (line, _) = reader.place(table.at);
    reader.record(&table.path.clone(), table.at, "");
    let rule = Rule {
        plugins: globs(reader, &mut table, "plugins", |_| None),
        actions: globs(reader, &mut table, "actions", |text| {
            (!check::is_action_pattern(text))
                .then_some("no pattern of IAM actions; write SERVICE:ACTION, such as ec2:Start*")
        }),
        regions: globs(reader, &mut table, "regions", |text| {
            (!text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-*?".contains(c)))
                .then_some("no pattern of regions; write eu-west-1 or eu-*")
        }),
        accounts: globs(reader, &mut table, "accounts", |text| {
            (!text.chars().all(|c| c.is_ascii_digit() || "*?".contains(c)) || text.len() > 12)
                .then_some("no account id; it has 12 digits")
        }),
        resources: globs(reader, &mut table, "resources", |text| {
            (!(text.starts_with("arn:") || text.starts_with('*')))
                .then_some("no pattern of ARNs; it begins with arn: or *")
        }),
        origin: Origin::file(level, file, line),
    };
    table.finish_with(reader, |key| {
        let plural = nearest(key, ["plugins", "actions", "regions", "accounts", "resources"])?;
        Some((
            format!("unknown key `{key}` in a permission rule"),
            Some(format!("did you mean `{plural}`, a list of patterns?")),
        ))
    });
    rule
}

/// Empty means that the rule does not look at this; an empty list in the file is refused, since it could be read as "none".
fn globs(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
    problem: impl Fn(&str) -> Option<&'static str>,
) -> Vec<String> {
    let at = table.at_key(key);
    let Some(list) = table.texts(reader, key) else { return Vec::new() };
    if list.is_empty() {
        reader.error(at, format!("`{key}` is empty"), "leave it out to match all".to_owned());
    }
    for text in &list {
        if text.value.is_empty() {
            reader.error(text.at, format!("`{key}` holds an empty pattern"), None);
        } else if let Some(problem) = problem(&text.value) {
            reader.error(text.at, format!("{:?} is {problem}", text.value), None);
        }
    }
    list.into_iter().map(|text| text.value).collect()
}

fn grant(reader: &mut Reader<'_>, mut table: Table<'_>, scope: Scope, level: Level, file: &Path, at: usize) -> Grant {
    let digest = match scope {
        Scope::System => table.text(reader, "digest").and_then(|text| digest(reader, text)),
        Scope::Project => None,
    };
    let reveal = scoped(reader, &mut table, "reveal", |reader, text| {
        if !text.value.starts_with("keys/") {
            reader.error(
                text.at,
                format!("{:?} is no pattern of key paths", text.value),
                "begin with keys/".to_owned(),
            );
        }
    });
    let seal = table.flag(reader, "seal");
    let raw = scoped(reader, &mut table, "raw", |reader, text| {
        if !check::is_action_pattern(&text.value) {
            reader.error(
                text.at,
                format!("{:?} is no pattern of IAM actions", text.value),
                "write SERVICE:ACTION, such as kms:Describe*".to_owned(),
            );
        }
    });
    let http = scoped(reader, &mut table, "http", origin_pattern);
    table.finish_with(reader, |key| match key {
        "digest" => Some((
            "`digest` belongs to the system file".to_owned(),
            Some("a project cannot accept a component in the operator's place".to_owned()),
        )),
        _ => None,
    });
    let (line, _) = reader.place(at);
    Grant { digest, reveal, seal, raw, http, origin: Origin::file(level, file, line) }
}

fn scoped(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
    check: impl Fn(&mut Reader<'_>, &At<String>),
) -> Option<Scoped> {
    match table.flag_or_texts(reader, key)? {
        Ok(true) => Some(Scoped::All),
        Ok(false) => Some(Scoped::None),
        Err(list) => {
            for text in &list {
                check(reader, text);
            }
            Some(if list.is_empty() {
                Scoped::None
            } else {
                Scoped::Only(list.into_iter().map(|text| text.value).collect())
            })
        }
    }
}

fn digest(reader: &mut Reader<'_>, text: At<String>) -> Option<String> {
    let hex = text.value.strip_prefix("sha256:").unwrap_or(&text.value);
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(hex.to_ascii_lowercase());
    }
    reader.error(text.at, "`digest` is no SHA-256 digest", "write sha256: and 64 hexadecimal digits".to_owned());
    None
}
