//! What the bundled components are and what they ask for.

use outrigger_plugin_bundle::{component, components};
use sha2::{Digest, Sha256};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{WorldItem, WorldKey};

/// Imports and exports of a component as `package/interface#function`, versions included.
fn faces(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = decode(bytes).unwrap() else { panic!("no component") };
    let world = &resolve.worlds[world];
    let list = |items: &indexmap::IndexMap<WorldKey, WorldItem>| {
        let mut names = Vec::new();
        for (key, item) in items {
            let name = resolve.name_world_key(key);
            match item {
                WorldItem::Interface { id, .. } => {
                    names.push(name.clone());
                    names.extend(resolve.interfaces[*id].functions.keys().map(|function| format!("{name}#{function}")));
                }
                _ => names.push(name),
            }
        }
        names
    };
    (list(&world.imports), list(&world.exports))
}

#[test]
fn nothing_is_imported_but_the_contract_and_no_plaintext() {
    assert!(!components().is_empty());
    for bundled in components() {
        let (imports, exports) = faces(bundled.bytes);
        for import in &imports {
            assert!(import.starts_with("outrigger:"), "{} imports {import}", bundled.name);
            assert!(!import.contains("reveal") && !import.contains("seal"), "{} imports {import}", bundled.name);
        }
        assert!(exports.iter().any(|export| export == "outrigger:step/job-step@0.1.0#run"), "{exports:?}");
        assert!(bundled.bytes.len() < 512 * 1024, "{} has {} bytes", bundled.name, bundled.bytes.len());
    }
}

#[test]
fn a_component_imports_the_operations_that_it_calls_and_no_others() {
    let operations = |name: &str| {
        let (imports, _) = faces(component(name).unwrap().bytes);
        let mut operations: Vec<String> = imports
            .into_iter()
            .filter(|import| import.starts_with("outrigger:aws-"))
            .filter_map(|import| import.split_once('#').map(|(_, function)| function.to_owned()))
            .collect();
        operations.sort();
        operations
    };
    let expected: [(&str, &[&str]); 10] = [
        (
            "aws-athena-query",
            &["get-query-execution", "get-query-results", "start-query-execution", "stop-query-execution"],
        ),
        (
            "aws-autoscaling-update",
            &[
                "cancel-instance-refresh",
                "describe-auto-scaling-groups",
                "describe-instance-refreshes",
                "resume-processes",
                "set-desired-capacity",
                "start-instance-refresh",
                "suspend-processes",
                "update-auto-scaling-group",
            ],
        ),
        ("aws-cloudwatch-logs-query", &["get-query-results", "start-query", "stop-query"]),
        ("aws-lambda-invoke", &["invoke"]),
        ("aws-s3-cp", &["copy", "download", "head-object", "list-objects-v2", "upload"]),
        ("aws-s3-sync", &["copy", "delete-objects", "download", "list-objects-v2", "upload"]),
        (
            "aws-ssm-send-command",
            &[
                "cancel-command",
                "describe-instance-information",
                "get-command-invocation",
                "get-log-events",
                "list-command-invocations",
                "send-command",
            ],
        ),
        ("aws-validate-credentials", &["get-caller-identity"]),
        ("aws-vm-start", &["describe-instance-status", "describe-instances", "start-instances"]),
        ("aws-vm-stop", &["describe-instances", "stop-instances"]),
    ];
    for (name, expected) in expected {
        assert_eq!(operations(name), expected, "{name}");
    }
}

#[test]
fn digests_are_those_of_the_bytes() {
    for bundled in components() {
        assert_eq!(bundled.digest, hex::encode(Sha256::digest(bundled.bytes)), "{}", bundled.name);
    }
}
