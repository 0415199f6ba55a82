//! The options of a job.

use crate::file::{JobOption, Located};

use super::node::{Node, NodeKind};
use super::reader::Reader;

const KNOWN: &[&str] = &[
    "dateFormat",
    "delimiter",
    "description",
    "enforced",
    "hidden",
    "isDate",
    "label",
    "multivalueAllSelected",
    "multivalued",
    "name",
    "optionValuesPluginType",
    "regex",
    "required",
    "secure",
    "sortValues",
    "storagePath",
    "type",
    "value",
    "valueExposed",
    "values",
    "valuesListDelimiter",
    "valuesUrl",
];

/// Reads `options`: a list of maps, or the older map from names to maps.
pub(super) fn read_all(reader: &mut Reader<'_>, node: &Node) -> Vec<JobOption> {
    match &node.kind {
        NodeKind::Map(entries) => entries
            .iter()
            // A flag of the older form that stands among the names.
            .filter(|(name, value)| name.value != "preserveOrder" || matches!(value.kind, NodeKind::Map(_)))
            .filter_map(|(name, value)| read(reader, value, Some(name)))
            .collect(),
        _ => reader.list(node, "options", false).iter().filter_map(|item| read(reader, item, None)).collect(),
    }
}

fn read(reader: &mut Reader<'_>, node: &Node, name: Option<&Located<String>>) -> Option<JobOption> {
    if let (Some(name), NodeKind::Null) = (name, &node.kind) {
        return Some(JobOption {
            position: name.position,
            name: name.clone(),
            delimiter: ",".to_owned(),
            ..JobOption::default()
        });
    }
    let mut fields = reader.map(node, "an option")?;
    let name = match name {
        Some(name) => {
            fields.ignore(&["name"]);
            name.clone()
        }
        None => fields.required(reader, "name", "the option").unwrap_or_default(),
    };
    let separator = fields.text(reader, "valuesListDelimiter").map(|text| text.value).filter(|text| !text.is_empty());
    let values = match fields.take("values") {
        None => Vec::new(),
        Some(node) => read_values(reader, node, separator.as_deref().unwrap_or(",")),
    };
    let kind = fields.plain(reader, "type").or_else(|| fields.plain(reader, "optionType"));
    let option = JobOption {
        position: node.position,
        name,
        label: fields.plain(reader, "label"),
        description: fields.text(reader, "description").map(|text| text.value).unwrap_or_default(),
        required: fields.flag(reader, "required"),
        hidden: fields.flag(reader, "hidden"),
        default: fields.text(reader, "value").filter(|text| !text.value.is_empty()),
        values,
        values_url: fields.filled(reader, "valuesUrl").or_else(|| fields.filled(reader, "remoteUrl")),
        values_plugin: fields.filled(reader, "optionValuesPluginType"),
        enforced: fields.flag(reader, "enforced"),
        sort_values: fields.flag(reader, "sortValues"),
        regex: fields.text(reader, "regex").filter(|text| !text.value.is_empty()),
        multivalued: fields.flag(reader, "multivalued"),
        delimiter: fields
            .text(reader, "delimiter")
            .map(|text| text.value)
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| ",".to_owned()),
        all_selected: fields.flag(reader, "multivalueAllSelected"),
        date: fields.flag(reader, "isDate"),
        date_format: fields.filled(reader, "dateFormat"),
        secure: fields.flag(reader, "secure"),
        value_exposed: fields.flag(reader, "valueExposed"),
        storage_path: fields.filled(reader, "storagePath"),
        file: kind.is_some_and(|kind| kind == "file"),
    };
    // How the web form shows it, and how Rundeck would fetch choices that are not fetched here.
    fields.ignore(&[
        "sortIndex",
        "configData",
        "configRemoteUrl",
        "remoteUrlAuthenticationType",
        "config",
        "multilineText",
    ]);
    fields.finish(reader, "an option", KNOWN);
    Some(option)
}

/// `values`: a list, or one text that `separator` divides.
fn read_values(reader: &mut Reader<'_>, node: &Node, separator: &str) -> Vec<Located<String>> {
    if let NodeKind::Scalar { text, .. } = &node.kind {
        return text
            .split(separator)
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(|value| Located::new(value.to_owned(), node.position))
            .collect();
    }
    reader.list(node, "values", true).iter().filter_map(|item| reader.text(item, "values")).collect()
}
