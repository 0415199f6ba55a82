//! The steps of a workflow.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::file::{ErrorHandler, JobReference, Located, LogFilter, Position, ScriptStep, Step, StepKind, UnusedKey};

use super::job::{read_group, read_node_filters, read_retry};
use super::node::{Node, NodeKind};
use super::reader::{Fields, Reader};

/// The keys of which a step has exactly one.
const KINDS: &[&str] = &["exec", "script", "scriptfile", "scripturl", "jobref", "type"];

const KNOWN: &[&str] = &[
    "args",
    "configuration",
    "credentials",
    "description",
    "enabled",
    "errorhandler",
    "exec",
    "fileExtension",
    "interpreterArgsQuoted",
    "jobref",
    "keepgoingOnSuccess",
    "label",
    "nodeStep",
    "plugins",
    "region",
    "retry",
    "script",
    "scriptInterpreter",
    "scriptfile",
    "scripturl",
    "timeout",
    "type",
];

/// Reads a step; `None` where nothing can be made of it, after noting why.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, unused: &mut Vec<UnusedKey>) -> Option<Step> {
    let mut fields = reader.map(node, "a step")?;
    let error_handler = match fields.take("errorhandler") {
        None => None,
        Some(handler) => read_handler(reader, handler, unused).map(Box::new),
    };
    let step = read_fields(reader, &mut fields, node, unused);
    fields.finish(reader, "a step", KNOWN);
    let mut step = step?;
    step.error_handler = error_handler;
    Some(step)
}

fn read_handler(reader: &mut Reader<'_>, node: &Node, unused: &mut Vec<UnusedKey>) -> Option<ErrorHandler> {
    let mut fields = reader.map(node, "errorhandler")?;
    let keepgoing_on_success = fields.flag(reader, "keepgoingOnSuccess");
    if let Some((position, _)) = fields.entry("errorhandler") {
        reader.error_with_help(
            position,
            "nested-handler",
            "an error handler cannot have an error handler",
            "call another job with `jobref` whose steps have handlers",
        );
    }
    let step = read_fields(reader, &mut fields, node, unused);
    fields.finish(reader, "an error handler", KNOWN);
    Some(ErrorHandler { step: step?, keepgoing_on_success })
}

fn read_fields(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    node: &Node,
    unused: &mut Vec<UnusedKey>,
) -> Option<Step> {
    let kind = read_kind(reader, fields, node, unused);
    let log_filters = match fields.take("plugins") {
        None => Vec::new(),
        Some(plugins) => match reader.map(plugins, "plugins") {
            None => Vec::new(),
            Some(mut plugins) => {
                let filters = read_log_filters(reader, &mut plugins);
                plugins.finish(reader, "`plugins` of a step", &["LogFilter"]);
                filters
            }
        },
    };
    let step = Step {
        position: node.position,
        kind: StepKind::Exec { command: Located::default() },
        description: fields.filled(reader, "description"),
        label: fields.filled(reader, "label"),
        enabled: fields.boolean(reader, "enabled").unwrap_or(true),
        log_filters,
        error_handler: None,
        retry: fields.take("retry").and_then(|node| read_retry(reader, node)),
        timeout: fields.filled(reader, "timeout"),
        credentials: fields.filled(reader, "credentials"),
        region: fields.filled(reader, "region"),
    };
    Some(Step { kind: kind?, ..step })
}

fn read_kind(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    node: &Node,
    unused: &mut Vec<UnusedKey>,
) -> Option<StepKind> {
    let present: Vec<&str> = KINDS.iter().copied().filter(|kind| fields.has(kind)).collect();
    let kind = match present.as_slice() {
        [kind] => *kind,
        [] => {
            if fields.has("conditionSet") || fields.has("conditions") || fields.has("subSteps") {
                reader.error_with_help(
                    node.position,
                    "unsupported-step",
                    "conditional steps are not supported yet",
                    "put the steps into a job of their own and call it with `jobref`",
                );
                fields.ignore(&["conditionSet", "conditions", "subSteps", "nodeStep", "configuration"]);
            } else {
                reader.error_with_help(
                    node.position,
                    "step-kind",
                    "the step does not say what it does",
                    "it needs one of `type` (a plugin), `exec`, `script`, `jobref`",
                );
                fields.ignore(&["nodeStep", "configuration", "args"]);
            }
            return None;
        }
        [first, second, ..] => {
            let message = format!("the step has both `{first}` and `{second}`");
            reader.error_with_help(node.position, "step-kind", message, "make two steps of it");
            fields.ignore(KINDS);
            fields.ignore(&["nodeStep", "configuration", "args", "scriptInterpreter", "fileExtension"]);
            return None;
        }
    };
    match kind {
        "exec" => fields.text(reader, "exec").map(|command| StepKind::Exec { command }),
        "script" => read_script(reader, fields),
        "scriptfile" | "scripturl" => {
            let location = fields.text(reader, kind);
            let args = fields.filled(reader, "args");
            fields.ignore(&["scriptInterpreter", "interpreterArgsQuoted", "fileExtension", "expandTokenInScriptFile"]);
            let location = location?;
            Some(if kind == "scriptfile" {
                StepKind::ScriptFile { path: location, args }
            } else {
                StepKind::ScriptUrl { url: location, args }
            })
        }
        "jobref" => {
            let outer_node_step = fields.flag(reader, "nodeStep");
            let reference = fields.take("jobref")?;
            read_job_reference(reader, reference, outer_node_step, unused).map(StepKind::JobRef)
        }
        _ => read_plugin(reader, fields),
    }
}

fn read_script(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<StepKind> {
    let script = fields.text(reader, "script");
    let step = ScriptStep {
        script: Located::default(),
        args: fields.filled(reader, "args"),
        interpreter: fields.filled(reader, "scriptInterpreter"),
        args_quoted: fields.flag(reader, "interpreterArgsQuoted"),
        file_extension: fields
            .plain(reader, "fileExtension")
            .map(|extension| extension.trim().trim_start_matches('.').to_owned()),
    };
    fields.ignore(&["autoSecureInput", "passSecureInput", "expandTokenInScriptFile"]);
    Some(StepKind::Script(ScriptStep { script: script?, ..step }))
}

fn read_plugin(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<StepKind> {
    let provider = fields.required(reader, "type", "the step");
    let node_step = fields.flag(reader, "nodeStep");
    let mut configuration = IndexMap::new();
    let mut positions = BTreeMap::new();
    if let Some(node) = fields.take("configuration") {
        read_configuration(reader, node, "configuration", &mut configuration);
        node.positions("", &mut |pointer, position| {
            positions.insert(pointer.to_owned(), position);
        });
    }
    Some(StepKind::Plugin { provider: provider?, node_step, configuration, positions })
}

fn read_configuration(reader: &mut Reader<'_>, node: &Node, what: &str, into: &mut IndexMap<String, Value>) {
    // An empty configuration is exported as an empty text or list by some versions.
    if node.is_empty() {
        return;
    }
    if let NodeKind::Map(entries) = &node.kind {
        into.extend(entries.iter().map(|(key, value)| (key.value.clone(), value.to_value())));
    } else {
        let message = format!("`{what}` must be a map, this is {}", node.describe());
        reader.error(node.position, "wrong-type", message);
    }
}

/// Reads `LogFilter`: a list of filters, or a single one.
pub(super) fn read_log_filters(reader: &mut Reader<'_>, plugins: &mut Fields<'_>) -> Vec<LogFilter> {
    let Some(node) = plugins.take("LogFilter") else { return Vec::new() };
    reader.list(node, "LogFilter", true).iter().filter_map(|item| read_log_filter(reader, item)).collect()
}

fn read_log_filter(reader: &mut Reader<'_>, node: &Node) -> Option<LogFilter> {
    let mut fields = reader.map(node, "a log filter")?;
    let provider = fields.required(reader, "type", "the log filter");
    let mut configuration = IndexMap::new();
    if let Some(node) = fields.take("config").or_else(|| fields.take("configuration")) {
        read_configuration(reader, node, "config", &mut configuration);
    }
    fields.finish(reader, "a log filter", &["config", "type"]);
    Some(LogFilter { position: node.position, provider: provider?, configuration })
}

fn read_job_reference(
    reader: &mut Reader<'_>,
    node: &Node,
    outer_node_step: bool,
    unused: &mut Vec<UnusedKey>,
) -> Option<JobReference> {
    let position: Position = node.position;
    let mut fields = reader.map(node, "jobref")?;
    let reference = JobReference {
        position,
        uuid: fields.filled(reader, "uuid"),
        use_name: fields.flag(reader, "useName"),
        name: fields.filled(reader, "name"),
        group: read_group(reader, &mut fields),
        project: fields.filled(reader, "project"),
        args: fields.filled(reader, "args"),
        node_step: fields.boolean(reader, "nodeStep").unwrap_or(outer_node_step),
        import_options: fields.flag(reader, "importOptions"),
        fail_on_disable: fields.flag(reader, "failOnDisable"),
        child_nodes: fields.flag(reader, "childNodes"),
        node_filters: fields
            .take("nodefilters")
            .and_then(|node| read_node_filters(reader, node, "jobref.nodefilters.", unused)),
    };
    fields.unused("jobref.", &["ignoreNotifications"], unused);
    fields.ignore(&["childNodes", "nodeIntersect"]);
    fields.finish(
        reader,
        "`jobref`",
        &[
            "args",
            "childNodes",
            "failOnDisable",
            "group",
            "importOptions",
            "name",
            "nodefilters",
            "nodeStep",
            "project",
            "useName",
            "uuid",
        ],
    );
    if reference.uuid.is_none() && reference.name.is_none() {
        reader.error_with_help(
            position,
            "missing-key",
            "the job reference names no job",
            "it needs `uuid`, or `name` with `group`",
        );
        return None;
    }
    Some(reference)
}
