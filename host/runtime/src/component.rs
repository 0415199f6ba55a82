//! A component: what it is, what it may do, and the compiled code.

use outrigger_capabilities::operations::{self, WITHOUT_DOOR};
use outrigger_door::Operation;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::error::RuntimeError;

/// Largest component that is loaded, in bytes.
pub const LARGEST: usize = 64 * 1024 * 1024;

/// A world that the host can run: its name, and the interface that a component exports for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Name, such as `job-step`.
    pub name: &'static str,
    /// The exported interface.
    pub export: &'static str,
}

/// The worlds that the host runs.
pub const WORLDS: &[World] = &[
    World { name: "job-step", export: "outrigger:step/job-step@0.1.0" },
    World { name: "credential-provider", export: "outrigger:credential-provider/provider@0.1.0" },
];

/// Interfaces that need the operator's grant, with the word for it in `[permissions]`.
pub const GRANTED_INTERFACES: &[(&str, &str)] =
    &[("outrigger:secrets/reveal@0.1.0", "reveal"), ("outrigger:secrets/seal@0.1.0", "seal")];

/// What is known of a component without running it. Stored with its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// Provider id.
    pub provider: String,
    /// Title for people.
    pub title: String,
    /// What it does.
    pub summary: String,
    /// JSON Schema of the configuration.
    pub input_schema: Value,
    /// JSON Schema of the outputs.
    pub output_schema: Value,
    /// Worlds.
    pub worlds: Vec<String>,
    /// Imported functions as `package/interface@version#function`, sorted.
    pub imports: Vec<String>,
    /// Interfaces that the component names and of which it imports every function, though hardly any plugin needs all.
    pub whole_interfaces: Vec<String>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Bytes of the component.
    pub size: usize,
}

/// An IAM action that a component needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ActionNeed {
    /// The action, such as `ec2:StartInstances`.
    pub action: String,
    /// `read` or `write`.
    pub access: &'static str,
    /// Whether AWS checks it on the caller's behalf for something that the call touches.
    pub dependent: bool,
    /// Why it is needed, for dependent actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Where AWS says so, for dependent actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
}

impl ComponentInfo {
    /// The operations that the imports permit.
    pub fn operations(&self) -> impl Iterator<Item = &'static Operation> + '_ {
        self.imports.iter().filter_map(|import| operations::operation(import))
    }

    /// The IAM actions that the imports need, each once, sorted; an action that is needed both ways is no dependent one.
    pub fn actions(&self) -> Vec<ActionNeed> {
        let mut needs: Vec<ActionNeed> = Vec::new();
        for operation in self.operations() {
            for action in operation.iam {
                // An operation that writes may read too: copying an object needs s3:GetObject.
                let access = if operation.effect.is_write() && !reads(action) { "write" } else { "read" };
                match needs.iter_mut().find(|need| need.action == *action) {
                    Some(need) => {
                        if access == "write" && !need.dependent {
                            need.access = "write";
                        }
                        if need.dependent {
                            *need = ActionNeed {
                                action: need.action.clone(),
                                access,
                                dependent: false,
                                reason: None,
                                source: None,
                            };
                        }
                    }
                    None => needs.push(ActionNeed {
                        action: (*action).to_owned(),
                        access,
                        dependent: false,
                        reason: None,
                        source: None,
                    }),
                }
            }
            for dependent in operation.dependent {
                if needs.iter().all(|need| need.action != dependent.action) {
                    needs.push(ActionNeed {
                        action: dependent.action.to_owned(),
                        access: if reads(dependent.action) { "read" } else { "write" },
                        dependent: true,
                        reason: Some(dependent.reason),
                        source: Some(dependent.source),
                    });
                }
            }
        }
        needs.sort();
        needs
    }
}

/// IAM's own naming: what only reads begins with one of these verbs.
fn reads(action: &str) -> bool {
    let name = action.split_once(':').map_or(action, |(_, name)| name);
    ["Get", "List", "Describe", "BatchGet", "Decrypt", "Query", "Search"].iter().any(|verb| name.starts_with(verb))
}

/// Whether bytes are a component, by their first eight.
pub(crate) fn check_header(name: &str, bytes: &[u8]) -> Result<(), RuntimeError> {
    let not = |problem: &str| Err(RuntimeError::NotAComponent { name: name.to_owned(), problem: problem.to_owned() });
    if bytes.len() > LARGEST {
        return Err(RuntimeError::TooLarge { name: name.to_owned(), size: bytes.len(), limit: LARGEST });
    }
    if !bytes.starts_with(b"\0asm") {
        return not("it does not begin with the bytes of WebAssembly");
    }
    if wasmparser::Parser::is_component(bytes) {
        return Ok(());
    }
    if wasmparser::Parser::is_core_wasm(bytes) {
        return not(
            "it is a core module; build it with the linker `wasm-component-ld`, or encode it with `wasm-tools component new`",
        );
    }
    not("its version is not one that this host knows")
}

/// The imported functions of a component.
pub(crate) fn imports(engine: &Engine, component: &Component) -> Vec<String> {
    let mut imports = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                for (function, item) in instance.exports(engine) {
                    if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                        imports.push(format!("{name}#{function}"));
                    }
                }
            }
            ComponentItem::ComponentFunc(_) | ComponentItem::Module(_) | ComponentItem::CoreFunc(_) => {
                imports.push(name.to_owned());
            }
            _ => {}
        }
    }
    imports.sort();
    imports
}

/// The worlds that a component exports.
pub(crate) fn worlds(name: &str, engine: &Engine, component: &Component) -> Result<Vec<String>, RuntimeError> {
    let exports: Vec<String> =
        component.component_type().exports(engine).map(|(export, _)| export.to_owned()).collect();
    let worlds: Vec<String> = WORLDS
        .iter()
        .filter(|world| exports.iter().any(|export| export == world.export))
        .map(|world| world.name.to_owned())
        .collect();
    if worlds.is_empty() {
        let known: Vec<_> = WORLDS.iter().map(|world| world.export).collect();
        return Err(RuntimeError::NoWorld {
            name: name.to_owned(),
            known: known.join(" or "),
            exports: if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") },
        });
    }
    Ok(worlds)
}

/// Refuses an import that the host does not offer.
pub(crate) fn check_imports(name: &str, imports: &[String]) -> Result<(), RuntimeError> {
    for import in imports {
        if WITHOUT_DOOR.contains(&import.as_str()) || operations::operation(import).is_some() {
            continue;
        }
        // Dropping a handle is part of having one.
        if import.contains("#[resource-drop]") {
            continue;
        }
        let hint = if import.starts_with("wasi:") {
            "; build it for wasm32-unknown-unknown, so that it needs no WASI".to_owned()
        } else if import.starts_with("outrigger:") {
            "; it was built for another version of the contract: see `outrigger plugin wit`".to_owned()
        } else {
            String::new()
        };
        return Err(RuntimeError::UnknownImport { name: name.to_owned(), import: import.clone(), hint });
    }
    Ok(())
}

/// Interfaces of AWS services of which a component imports every function.
pub(crate) fn whole_interfaces(imports: &[String]) -> Vec<String> {
    let mut interfaces: Vec<&str> = operations::rows::AWS.iter().map(|operation| operation.interface).collect();
    interfaces.dedup();
    interfaces
        .into_iter()
        .filter(|interface| {
            let mut count = 0;
            let whole =
                operations::rows::AWS.iter().filter(|operation| operation.interface == *interface).all(|operation| {
                    count += 1;
                    imports.contains(&operation.import())
                });
            whole && count > 2
        })
        .map(str::to_owned)
        .collect()
}
