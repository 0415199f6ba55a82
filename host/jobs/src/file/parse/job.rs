//! One job.

use crate::file::{Dispatch, Job, Located, NodeFilters, Position, Retry, Sequence, Strategy, UnusedKey};
use crate::steps::LogLevel;

use super::node::{Node, NodeKind};
use super::option;
use super::reader::{Fields, Reader, clip};
use super::step;

/// What Rundeck acts on and Outrigger does not: the web UI's hints, schedules, notifications, limits, orchestrators.
const UNUSED: &[&str] = &[
    "averageDuration",
    "defaultTab",
    "loglimit",
    "loglimitAction",
    "loglimitStatus",
    "maxMultipleExecutions",
    "multipleExecutions",
    "nodeFilterEditable",
    "nodesSelectedByDefault",
    "notification",
    "notifyAvgDurationThreshold",
    "orchestrator",
    "priority",
    "runnerSelector",
    "schedule",
    "scheduleEnabled",
    "schedules",
    "tags",
    "timeZone",
];

const KNOWN: &[&str] = &[
    "credentials",
    "description",
    "executionEnabled",
    "group",
    "id",
    "loglevel",
    "name",
    "nodefilters",
    "notification",
    "options",
    "orchestrator",
    "plugins",
    "region",
    "retry",
    "schedule",
    "sequence",
    "timeout",
    "uuid",
];

/// Reads a job; `None` only where it is no map.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Job> {
    let mut fields = reader.map(node, "a job")?;
    let name = fields.required(reader, "name", "the job").unwrap_or_default();
    if name.value.contains('/') {
        reader.error_with_help(
            name.position,
            "job-name",
            format!("the job name `{}` has a slash", clip(&name.value)),
            "the part before it belongs into `group`",
        );
    }
    let group = read_group(reader, &mut fields);
    let uuid = fields.filled(reader, "uuid");
    let id = fields.filled(reader, "id");
    let description = fields.text(reader, "description").map(|text| text.value).unwrap_or_default();
    let log_level = read_log_level(reader, &mut fields);
    let execution_enabled = fields.boolean(reader, "executionEnabled").unwrap_or(true);
    let mut unused_keys = Vec::new();
    let options = fields.take("options").map(|node| option::read_all(reader, node)).unwrap_or_default();
    let sequence = read_sequence(reader, &mut fields, &mut unused_keys);
    let node_filters =
        fields.take("nodefilters").and_then(|node| read_node_filters(reader, node, "nodefilters.", &mut unused_keys));
    let retry = fields.take("retry").and_then(|node| read_retry(reader, node));
    let timeout = fields.filled(reader, "timeout");
    let credentials = fields.filled(reader, "credentials");
    let region = fields.filled(reader, "region");
    if let Some((_, node)) = fields.entry("plugins")
        && let NodeKind::Map(kinds) = &node.kind
    {
        for (key, _) in kinds.iter().filter(|(_, kind)| !kind.is_empty()) {
            unused_keys.push(UnusedKey { key: format!("plugins.{}", key.value), position: key.position });
        }
    }
    // Written by exports of old versions and of backups; they say where the job was, not what it does.
    fields.ignore(&["project", "context", "jobId", "href", "permalink", "lastUpdated", "dateCreated", "user"]);
    fields.unused("", UNUSED, &mut unused_keys);
    fields.finish(reader, "a job", KNOWN);
    unused_keys.sort_by_key(|key| key.position);
    Some(Job {
        position: node.position,
        name,
        group,
        uuid: uuid.or(id),
        description,
        log_level,
        execution_enabled,
        options,
        sequence,
        node_filters,
        retry,
        timeout,
        credentials,
        region,
        unused_keys,
    })
}

/// `group` without slashes at its ends, as Rundeck stores it.
pub(super) fn read_group(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Located<String>> {
    let group = fields.filled(reader, "group")?;
    let trimmed = group.value.trim().trim_matches('/').to_owned();
    (!trimmed.is_empty()).then(|| Located::new(trimmed, group.position))
}

fn read_log_level(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> LogLevel {
    let Some(text) = fields.filled(reader, "loglevel") else { return LogLevel::Info };
    match text.value.trim().to_ascii_uppercase().as_str() {
        "DEBUG" => LogLevel::Debug,
        "VERBOSE" => LogLevel::Verbose,
        "INFO" | "NORMAL" => LogLevel::Info,
        "WARN" | "WARNING" => LogLevel::Warn,
        "ERROR" | "ERR" => LogLevel::Error,
        _ => {
            reader.error_with_help(
                text.position,
                "log-level",
                format!("`{}` is no log level", clip(&text.value)),
                "use DEBUG, VERBOSE, INFO, WARN or ERROR",
            );
            LogLevel::Info
        }
    }
}

fn read_sequence(reader: &mut Reader<'_>, fields: &mut Fields<'_>, unused: &mut Vec<UnusedKey>) -> Sequence {
    let job = fields.position;
    let Some(node) = fields.take("sequence") else {
        reader.error_with_help(
            job,
            "missing-key",
            "the job has no `sequence`",
            "its steps stand in `sequence.commands`",
        );
        return Sequence::default();
    };
    // Very old exports write the list of steps itself.
    if let NodeKind::List(items) = &node.kind {
        let steps = items.iter().filter_map(|item| step::read(reader, item, unused)).collect();
        return Sequence { position: node.position, steps, ..Sequence::default() };
    }
    let Some(mut fields) = reader.map(node, "sequence") else { return Sequence::default() };
    let keepgoing = fields.flag(reader, "keepgoing");
    let strategy = match fields.filled(reader, "strategy") {
        None => Located::new(Strategy::default(), node.position),
        Some(text) => {
            let strategy = match text.value.trim() {
                "node-first" => Strategy::NodeFirst,
                "sequential" | "step-first" => Strategy::Sequential,
                "parallel" => Strategy::Parallel,
                other => Strategy::Other(other.to_owned()),
            };
            Located::new(strategy, text.position)
        }
    };
    let steps: Vec<_> = match fields.take("commands") {
        Some(commands) => {
            reader.list(commands, "commands", true).iter().filter_map(|item| step::read(reader, item, unused)).collect()
        }
        None => Vec::new(),
    };
    let empty = !fields.has("commands") || fields.take("commands").is_some_and(Node::is_empty);
    if empty {
        reader.error(node.position, "no-steps", "the job has no steps: `sequence.commands` is missing or empty");
    }
    let mut log_filters = Vec::new();
    if let Some(configuration) = fields.take("pluginConfig")
        && let Some(mut plugins) = reader.map(configuration, "pluginConfig")
    {
        log_filters = step::read_log_filters(reader, &mut plugins);
        // The rules of a strategy that Outrigger has are empty; of another one, the strategy itself is the error.
        plugins.ignore(&["WorkflowStrategy"]);
        plugins.finish(reader, "`sequence.pluginConfig`", &["LogFilter", "WorkflowStrategy"]);
    }
    fields.finish(reader, "`sequence`", &["commands", "keepgoing", "pluginConfig", "strategy"]);
    Sequence { position: node.position, keepgoing, strategy, steps, log_filters }
}

/// Reads `nodefilters` of a job or of a job reference.
pub(super) fn read_node_filters(
    reader: &mut Reader<'_>,
    node: &Node,
    prefix: &str,
    unused: &mut Vec<UnusedKey>,
) -> Option<NodeFilters> {
    let mut fields = reader.map(node, "nodefilters")?;
    let mut filter = fields.filled(reader, "filter");
    let mut exclude = fields.filled(reader, "filterExclude");
    if let Some(node) = fields.take("include") {
        filter = filter.or(read_old_filter(reader, node, "include"));
    }
    if let Some(node) = fields.take("exclude") {
        exclude = exclude.or(read_old_filter(reader, node, "exclude"));
    }
    let mut dispatch = Dispatch::default();
    if let Some(node) = fields.take("dispatch")
        && let Some(mut inner) = reader.map(node, "dispatch")
    {
        if let Some(count) = inner.filled(reader, "threadcount").or_else(|| inner.filled(reader, "threadcountDynamic"))
        {
            dispatch.thread_count = count;
        }
        dispatch.keepgoing = inner.flag(reader, "keepgoing");
        dispatch.success_on_empty = inner.flag(reader, "successOnEmptyNodeFilter");
        dispatch.rank_attribute = inner.plain(reader, "rankAttribute");
        dispatch.descending = inner.plain(reader, "rankOrder").is_some_and(|order| order.starts_with("desc"));
        inner.ignore(&["excludePrecedence", "threadcountDynamic"]);
        inner.unused(&format!("{prefix}dispatch."), &["nodeIntersect"], unused);
        inner.finish(
            reader,
            "`dispatch`",
            &[
                "excludePrecedence",
                "keepgoing",
                "rankAttribute",
                "rankOrder",
                "successOnEmptyNodeFilter",
                "threadcount",
            ],
        );
    }
    fields.ignore(&["excludePrecedence", "excludeFilterUncheck"]);
    fields.finish(reader, "`nodefilters`", &["dispatch", "exclude", "filter", "filterExclude", "include"]);
    Some(NodeFilters { position: node.position, filter, exclude, dispatch })
}

/// `include: {tags: web, name: a}` of old exports as the filter text `tags: web name: a`.
fn read_old_filter(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Located<String>> {
    let NodeKind::Map(entries) = &node.kind else { return reader.text(node, what) };
    let mut parts = Vec::new();
    for (key, value) in entries {
        if let Some(text) = reader.text(value, &key.value).filter(|text| !text.value.is_empty()) {
            parts.push(format!("{}: {}", key.value, text.value));
        }
    }
    (!parts.is_empty()).then(|| Located::new(parts.join(" "), node.position))
}

/// Reads `retry: '3'` and `retry: {retry: 3, delay: 30s}`; a step may write `count` for `retry`.
pub(super) fn read_retry(reader: &mut Reader<'_>, node: &Node) -> Option<Retry> {
    if !matches!(node.kind, NodeKind::Map(_)) {
        let count = reader.text(node, "retry")?;
        return (!count.value.trim().is_empty()).then_some(Retry { count, delay: None });
    }
    let mut fields = reader.map(node, "retry")?;
    let position: Position = node.position;
    let count = fields.filled(reader, "retry").or_else(|| fields.filled(reader, "count"));
    let delay = fields.filled(reader, "delay");
    fields.finish(reader, "`retry`", &["count", "delay", "retry"]);
    let Some(count) = count else {
        reader.error_with_help(
            position,
            "missing-key",
            "`retry` does not say how often",
            "write `retry: 3`, or `retry: {retry: 3, delay: 30s}`",
        );
        return None;
    };
    Some(Retry { count, delay })
}
