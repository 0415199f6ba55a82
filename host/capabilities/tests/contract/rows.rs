//! Every function has a row, every row has a function, and a function without one does not even build.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use outrigger_capabilities::operations::{self, WITHOUT_DOOR};
use outrigger_door::Effect;

use crate::wit;

#[test]
fn every_imported_function_has_a_row_or_needs_no_door() {
    let (resolve, _) = wit::read();
    let functions = wit::imported_functions(&resolve, "host");
    assert!(functions.len() > 40, "{}", functions.len());
    let rows: Vec<String> = operations::all().map(|operation| operation.import()).collect();
    let distinct: BTreeSet<&String> = rows.iter().collect();
    assert_eq!(distinct.len(), rows.len(), "a row stands twice");
    for function in &functions {
        let (row, free) = (distinct.contains(function), WITHOUT_DOOR.contains(&function.as_str()));
        assert!(row || free, "{function} has no row in the operation table");
        assert!(!(row && free), "{function} has a row and is said to need none");
    }
    for row in rows.iter().map(String::as_str).chain(WITHOUT_DOOR.iter().copied()) {
        assert!(functions.iter().any(|function| function == row), "{row} is in the table and not in the contract");
    }
}

#[test]
fn what_a_plugin_may_import_is_what_the_host_offers_without_sealing() {
    let (resolve, _) = wit::read();
    let host: BTreeSet<String> = wit::imported_functions(&resolve, "host").into_iter().collect();
    let job_step: BTreeSet<String> = wit::imported_functions(&resolve, "job-step").into_iter().collect();
    let sealing: Vec<&String> = host.difference(&job_step).collect();
    assert_eq!(sealing, ["outrigger:secrets/seal@0.1.0#seal"]);
    assert!(job_step.is_subset(&host));
    for world in ["capabilities", "credential-provider"] {
        let functions: BTreeSet<String> = wit::imported_functions(&resolve, world).into_iter().collect();
        assert!(functions.is_subset(&host), "{world}");
    }
}

#[test]
fn rows_are_found_by_their_import_and_agree_with_themselves() {
    for operation in operations::all() {
        let import = operation.import();
        assert_eq!(operations::operation(&import), Some(operation), "{import}");
        assert_eq!(operation.service.is_empty(), !operation.interface.starts_with("outrigger:aws-"), "{import}");
        for action in operation.iam.iter().copied().chain(operation.dependent.iter().map(|dependent| dependent.action))
        {
            let (service, name) = action.split_once(':').unwrap_or_default();
            assert!(
                !service.is_empty() && name.starts_with(|first: char| first.is_ascii_uppercase()),
                "{import}: {action}"
            );
            assert!(!action.contains('*'), "{import}: {action} is more than one action");
        }
        for dependent in operation.dependent {
            assert!(!dependent.reason.is_empty() && !dependent.source.is_empty(), "{import}: {}", dependent.action);
        }
        if operation.clean_up {
            assert_eq!(operation.effect, Effect::Idempotent, "{import}: what cleans up may be called again");
        }
    }
    for nothing in ["", "#", "outrigger:run/clock@0.1.0", "outrigger:run/clock@0.1.0#", "outrigger:run/clock@0.2.0#now"]
    {
        assert_eq!(operations::operation(nothing), None, "{nothing:?}");
    }
}

/// A contract of two functions, and the operation table's own macro with rows for `rows` of them.
fn tiny_host(rows: &[&str]) -> String {
    let source =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operations.rs")).expect("the table");
    let item = |start: &str| {
        let from = source.find(start).unwrap_or_else(|| panic!("no {start}"));
        let length = source[from..].find("\n}\n").expect("its end") + 3;
        &source[from..from + length]
    };
    let macros = [
        item("macro_rules! aws_operations {"),
        item("macro_rules! optional {"),
        item("macro_rules! first {"),
        item("fn name_resources<"),
    ]
    .concat();
    let rows: String = rows
        .iter()
        .map(|function| {
            format!("{function} = \"{function}\": Act(input: String) -> String {{ effect: Read, iam: [\"tiny:Act\"] }} => act;\n")
        })
        .collect();
    format!(
        r##"
#![allow(dead_code, unused)]
mod bindings {{
    wasmtime::component::bindgen!({{
        inline: "
            package outrigger:tiny@0.1.0;
            interface things {{
              resource credentials;
              record failure {{ message: string }}
              look: func(credentials: borrow<credentials>, input: string) -> result<string, failure>;
              touch: func(credentials: borrow<credentials>, input: string) -> result<string, failure>;
            }}
            world host {{ import things; }}
        ",
        imports: {{ default: async | trappable }},
        with: {{ "outrigger:tiny/things@0.1.0.credentials": crate::CredentialsHandle }},
    }});
}}
use bindings::outrigger::tiny as aws_tiny;
use bindings::outrigger::tiny::things::Failure;
use wasmtime::component::Resource;
pub struct CredentialsHandle;
pub struct StepState;
pub struct DependentAction {{ pub action: &'static str, pub reason: &'static str, pub source: &'static str }}
pub enum Effect {{ Read }}
pub struct Operation {{
    pub interface: &'static str, pub function: &'static str, pub service: &'static str, pub action: &'static str,
    pub iam: &'static [&'static str], pub dependent: &'static [DependentAction], pub effect: Effect, pub clean_up: bool,
}}
mod host_rows {{}}
async fn act(_: (), input: String) -> Result<String, Failure> {{ Ok(input) }}
impl StepState {{
    async fn call_aws<I, O, F, Fut>(
        &mut self, _: &'static Operation, _: &Resource<CredentialsHandle>, _: Vec<String>, input: I, perform: F,
    ) -> wasmtime::Result<Result<O, Failure>>
    where F: FnOnce((), I) -> Fut, Fut: Future<Output = Result<O, Failure>> {{
        Ok(perform((), input).await)
    }}
}}
impl aws_tiny::things::HostCredentials for StepState {{
    async fn drop(&mut self, _: Resource<CredentialsHandle>) -> wasmtime::Result<()> {{ Ok(()) }}
}}
{macros}
aws_operations! {{
    /// Tiny.
    tiny_things: "tiny" in "outrigger:tiny/things@0.1.0" as aws_tiny::things {{
        {rows}
    }}
}}
fn main() {{}}
"##
    )
}

/// Checks a program against one of the builds of wasmtime beside this test.
fn check(program: &str, wasmtime: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tiny.rs");
    std::fs::write(&file, program).expect("the program");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--emit", "metadata", "--crate-name", "tiny"])
        .arg("--out-dir")
        .arg(folder.path())
        .arg("--extern")
        .arg(format!("wasmtime={}", wasmtime.display()))
        .arg("-L")
        .arg(format!("dependency={}", wasmtime.parent().expect("a folder").display()))
        .arg(&file)
        // The macro that reads the contract wants to know where it is called from.
        .env("CARGO_MANIFEST_DIR", folder.path())
        .output()
        .expect("the compiler runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The builds of wasmtime beside this test, newest first: of several, not all have what the table needs.
fn wasmtimes() -> Vec<PathBuf> {
    let program = std::env::current_exe().expect("this test");
    let folder = program.parent().expect("its folder");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "rlib")
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libwasmtime-"))
        })
        .collect();
    found.sort_by_key(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok());
    found.reverse();
    found
}

#[test]
fn a_function_without_a_row_does_not_build() {
    let mut problems = Vec::new();
    let whole = tiny_host(&["look", "touch"]);
    let wasmtime = wasmtimes().into_iter().find(|wasmtime| match check(&whole, wasmtime) {
        Ok(()) => true,
        Err(problem) => {
            problems.push(problem);
            false
        }
    });
    let wasmtime = wasmtime.unwrap_or_else(|| panic!("with a row for each it should build:\n{}", problems.join("\n")));
    let problem = check(&tiny_host(&["look"]), &wasmtime).expect_err("`touch` has no row");
    assert!(problem.contains("not all trait items implemented, missing: `touch`"), "{problem}");
}
