//! Reads the tables besides `[aws]` and `[permissions]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reader::{At, Reader, Table, TextOrTable, join};
use super::{ConfigFile, Scope, is_secretish};
use crate::check;
use crate::file::{HttpSettings, KeysSettings, LimitSettings, MasterKeySource, NativeSettings, Network, PluginAlias};

/// Reads every table that this file knows from the root.
pub(crate) fn read(reader: &mut Reader<'_>, root: &mut Table<'_>, scope: Scope, result: &mut ConfigFile) {
    if let Some(table) = root.table(reader, "globals") {
        result.globals = globals(reader, table);
    }
    if let Some(table) = root.table(reader, "native-steps") {
        result.native_steps = native_steps(reader, table);
    }
    if let Some(table) = root.table(reader, "limits") {
        result.limits = limits(reader, table);
    }
    if let Some(table) = root.table(reader, "workspace") {
        result.allow_dirs = workspace(reader, table);
    }
    if let Some(table) = root.table(reader, "http") {
        result.http = http(reader, table);
    }
    if let Some(table) = root.table(reader, "plugins") {
        result.aliases = plugins(reader, table);
    }
    if let Some(table) = root.table(reader, "keys") {
        result.keys = keys(reader, table, scope);
    }
}

fn globals(reader: &mut Reader<'_>, mut table: Table<'_>) -> BTreeMap<String, String> {
    let mut globals = BTreeMap::new();
    for (name, text) in table.rest_texts(reader) {
        if name.value.is_empty() || name.value.contains(['}', '$', '{']) || name.value.contains(char::is_control) {
            reader.error(name.at, format!("{:?} is no name that `${{globals.NAME}}` can refer to", name.value), None);
            continue;
        }
        globals.insert(name.value, text.value);
    }
    globals
}

fn native_steps(reader: &mut Reader<'_>, mut table: Table<'_>) -> NativeSettings {
    let enabled = table.flag(reader, "enabled");
    let user = table.text(reader, "user");
    if let Some(user) = &user
        && (user.value.is_empty() || user.value.contains([':', '/', '\0', '\n']) || user.value.starts_with('-'))
    {
        reader.error(user.at, format!("{:?} is no name of a user", user.value), None);
    }
    let aws = table.flag(reader, "aws");
    let interpreters = table.texts(reader, "interpreters");
    for interpreter in interpreters.iter().flatten() {
        if interpreter.value.trim().is_empty() {
            reader.error(interpreter.at, "an interpreter's name is empty", None);
        }
    }
    table.finish(reader);
    NativeSettings {
        enabled,
        user: user.map(|text| text.value),
        aws,
        interpreters: interpreters.map(|list| list.into_iter().map(|text| text.value).collect()),
    }
}

fn limits(reader: &mut Reader<'_>, mut table: Table<'_>) -> LimitSettings {
    fn small(number: Option<u64>) -> Option<u32> {
        number.and_then(|number| u32::try_from(number).ok())
    }
    let limits = LimitSettings {
        memory_mib: small(table.number(reader, "memory-mib", 1..=4096, "MiB")),
        cpu_seconds: small(table.number(reader, "cpu-seconds", 1..=86_400, "seconds")),
        deadline_seconds: table.number(reader, "deadline-seconds", 1..=31_536_000, "seconds"),
        grace_seconds: small(table.number(reader, "grace-seconds", 0..=3600, "seconds")),
        log_lines: table.number(reader, "log-lines", 1..=100_000_000, "lines"),
        outputs_kib: small(table.number(reader, "outputs-kib", 1..=65_536, "KiB")),
        workspace_mib: table.number(reader, "workspace-mib", 1..=16_777_216, "MiB"),
    };
    table.finish_with(reader, |key| {
        let meant = match key {
            "memory" => "memory-mib",
            "cpu" | "cpu-time" => "cpu-seconds",
            "deadline" | "wall" | "timeout" => "deadline-seconds",
            "grace" => "grace-seconds",
            "outputs" => "outputs-kib",
            "workspace" | "quota" => "workspace-mib",
            _ => return None,
        };
        Some((format!("unknown key `limits.{key}`"), Some(format!("the unit is part of the name: `{meant}`"))))
    });
    limits
}

fn workspace(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Vec<PathBuf>> {
    let dirs = table.texts(reader, "allow-dirs");
    for dir in dirs.iter().flatten() {
        let path = PathBuf::from(&dir.value);
        let dotted = path.components().any(|part| part == std::path::Component::ParentDir);
        if !path.is_absolute() || dotted {
            reader.error(
                dir.at,
                format!("{:?} is no absolute path without `..`", dir.value),
                "write the whole path of the folder".to_owned(),
            );
        }
    }
    table.finish(reader);
    dirs.map(|list| list.into_iter().map(|text| PathBuf::from(text.value)).collect())
}

fn http(reader: &mut Reader<'_>, mut table: Table<'_>) -> HttpSettings {
    let origins = table.texts(reader, "allow-origins");
    for origin in origins.iter().flatten() {
        origin_pattern(reader, origin);
    }
    let networks = table.texts(reader, "allow-networks").map(|list| {
        list.into_iter()
            .filter_map(|text| match text.value.parse::<Network>() {
                Ok(network) => Some(network),
                Err(problem) => {
                    reader.error(
                        text.at,
                        format!("{:?} is no network: {problem}", text.value),
                        "write it as 10.0.0.0/8".to_owned(),
                    );
                    None
                }
            })
            .collect()
    });
    table.finish(reader);
    HttpSettings {
        allow_origins: origins.map(|list| list.into_iter().map(|text| text.value).collect()),
        allow_networks: networks,
    }
}

/// Checks `https://host[:port]`.
pub(crate) fn origin_pattern(reader: &mut Reader<'_>, origin: &At<String>) {
    let problem = check::endpoint_problem(&origin.value).or_else(|| {
        let rest = origin.value.split_once("://").map_or("", |(_, rest)| rest);
        if rest.contains('/') {
            Some("an origin has no path")
        } else if rest.trim_start_matches('*').trim_matches('.').is_empty() {
            Some("`*` alone would allow every host")
        } else {
            None
        }
    });
    if let Some(problem) = problem {
        reader.error(
            origin.at,
            format!("{:?} is no origin: {problem}", origin.value),
            "write it as https://api.example.com or https://*.example.com:8443".to_owned(),
        );
    }
}

fn plugins(reader: &mut Reader<'_>, mut table: Table<'_>) -> BTreeMap<String, PluginAlias> {
    let mut aliases = BTreeMap::new();
    if let Some(mut inner) = table.table(reader, "aliases") {
        for (vendor, member) in inner.rest_texts_or_tables(reader) {
            let alias = match member {
                TextOrTable::Text(text) => Some((text, BTreeMap::new())),
                TextOrTable::Table(mut details) => {
                    let at = details.at;
                    let had = details.has("plugin");
                    let plugin = details.text(reader, "plugin");
                    let properties = details.table(reader, "properties").map(|mut renames| {
                        renames
                            .rest_texts(reader)
                            .into_iter()
                            .map(|(theirs, ours)| (theirs.value, ours.value))
                            .collect()
                    });
                    details.finish(reader);
                    if !had {
                        reader.error(
                            at,
                            format!("the alias {:?} names no `plugin`", vendor.value),
                            "write { plugin = \"aws-vm-start-step\", properties = { theirs = \"ours\" } }".to_owned(),
                        );
                    }
                    plugin.map(|plugin| (plugin, properties.unwrap_or_default()))
                }
            };
            let Some((plugin, properties)) = alias else { continue };
            if !check::is_name(&plugin.value) {
                reader.error(plugin.at, format!("{:?} is no provider id", plugin.value), None);
                continue;
            }
            aliases.insert(vendor.value, PluginAlias { plugin: plugin.value, properties });
        }
    }
    table.finish(reader);
    aliases
}

fn keys(reader: &mut Reader<'_>, mut table: Table<'_>, scope: Scope) -> KeysSettings {
    let mut settings = KeysSettings::default();
    if scope == Scope::System {
        settings.master_key = table.table(reader, "master-key").and_then(|inner| master_key(reader, inner));
        for pattern in table.texts(reader, "share").into_iter().flatten() {
            if !pattern.value.starts_with("keys/") {
                reader.error(
                    pattern.at,
                    format!("{:?} matches no key", pattern.value),
                    "write patterns such as \"keys/shared/*\"".to_owned(),
                );
            } else if pattern.value.starts_with("keys/project/") {
                reader.error(
                    pattern.at,
                    format!("{:?} would show a project's keys to the others", pattern.value),
                    "put what is shared outside keys/project/".to_owned(),
                );
            }
            settings.share.push(pattern.value);
        }
    }
    table.finish_with(reader, |key| match key {
        "master-key" | "share" => Some((
            format!("`keys.{key}` belongs to the system file"),
            Some("remove it from the project file and set it in outrigger.toml".to_owned()),
        )),
        _ => None,
    });
    settings
}

fn master_key(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<MasterKeySource> {
    let at = table.at;
    let given = ["file", "environment", "command"].iter().filter(|key| table.has(key)).count();
    let file = table.text(reader, "file").and_then(|text| {
        let path = PathBuf::from(&text.value);
        if path.is_absolute() {
            return Some(MasterKeySource::File(path));
        }
        reader.error(text.at, "`keys.master-key.file` must be an absolute path", None);
        None
    });
    let environment = table.text_unrecorded(reader, "environment").and_then(|text| {
        let name = join(&table.path, "environment");
        if is_secretish(&text.value) || (text.value.len() == 64 && text.value.bytes().all(|b| b.is_ascii_hexdigit())) {
            reader.error(
                text.at,
                format!("`{name}` is no name of an environment variable"),
                "write the name of the variable, not the key".to_owned(),
            );
            return None;
        }
        reader.record(&name, text.at, format!("{:?}", text.value));
        Some(MasterKeySource::Environment(text.value))
    });
    let command = table.texts(reader, "command").and_then(|list| {
        let words: Vec<String> = list.into_iter().map(|text| text.value).collect();
        if words.first().is_none_or(String::is_empty) {
            reader.error(at, "`keys.master-key.command` is empty", "name a program and its arguments".to_owned());
            return None;
        }
        Some(MasterKeySource::Command(words))
    });
    table.finish(reader);
    if given != 1 {
        reader.error(at, "`keys.master-key` must have exactly one of `file`, `environment` and `command`", None);
        return None;
    }
    file.or(environment).or(command)
}
