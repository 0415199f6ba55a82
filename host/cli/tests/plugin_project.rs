//! A project that `plugin new` makes elsewhere builds with plain cargo, and its step runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder of our own, and a home in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn outrigger(&self, arguments: &[&str]) -> Output {
        let home = self.path("home");
        std::fs::create_dir_all(&home).unwrap();
        Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(arguments)
            .arg("--home")
            .arg(home)
            .current_dir(self.folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.outrigger(arguments);
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "outrigger {arguments:?}: {}\n{out}\n{errors}", output.status);
        out
    }

    fn inspect(&self, provider: &str) -> Value {
        serde_json::from_str(&self.succeeds(&["plugin", "inspect", provider, "--format", "json"])).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs cargo as a person in this folder would: what this test's own cargo set is taken away.
fn cargo_build(project: &Path) -> PathBuf {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let of_ours = name.to_str().is_some_and(|name| {
            name == "RUSTUP_TOOLCHAIN"
                || name == "RUSTFLAGS"
                || (name.starts_with("CARGO") && !matches!(name, "CARGO_HOME") && !name.starts_with("CARGO_NET_"))
                || name.starts_with("RUSTC")
                || name.starts_with("__CARGO")
        });
        if of_ours {
            cargo.env_remove(name);
        }
    }
    let output = cargo.args(["build", "--release"]).current_dir(project).output().unwrap();
    assert!(output.status.success(), "cargo build: {}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("warning"), "cargo build: {}", text(&output.stderr));
    project.join("target/wasm32-unknown-unknown/release")
}

#[test]
fn a_new_plugin_builds_elsewhere_is_added_and_runs() {
    let place = Place::new();
    let said = place.succeeds(&["plugin", "new", "say-hello"]);
    assert!(said.contains("cargo build --release"), "{said}");
    let project = place.path("say-hello");
    let component = cargo_build(&project).join("say_hello.wasm");

    let again = place.outrigger(&["plugin", "new", "say-hello"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("is not empty; nothing was written"), "{}", text(&again.stderr));

    let component = component.to_str().unwrap();
    let refused = place.outrigger(&["plugin", "add", component]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    place.succeeds(&["plugin", "add", component, "--yes"]);
    let info = place.inspect("say-hello");
    assert_eq!(info["title"], "Say Hello");
    assert_eq!(info["imports"], serde_json::json!(["outrigger:run/log@0.1.0#write", "outrigger:run/output@0.1.0#set"]));
    assert_eq!(info["actions"], serde_json::json!([]));
    assert_eq!(info["bundled"], false);

    let job = project.join("job.yaml");
    let log = place.succeeds(&["run", job.to_str().unwrap()]);
    assert!(log.contains("hello world"), "{log}");
}

/// The narrowed contract is what other tools build from: here wit-bindgen, in a crate without the guest library. Bound to
/// every function that it has, the component imports these and no others, and passes the host's checks.
#[test]
fn a_component_is_built_against_a_narrowed_contract() {
    let place = Place::new();
    place.succeeds(&["plugin", "new", "narrow"]);
    let project = place.path("narrow");
    let wit = project.join("narrowed");
    let imports = place.succeeds(&[
        "plugin",
        "wit",
        "--use",
        "ec2.start-instances,ec2.describe-instances,run.log",
        "-o",
        wit.to_str().unwrap(),
    ]);
    let manifest = std::fs::read_to_string(project.join("Cargo.toml")).unwrap();
    let ours = manifest.replace(
        "[dependencies]\n",
        "[dependencies]\nwit-bindgen = { version = \"0.61.1\", default-features = false, features = [\"macros\", \"realloc\"] }\n",
    );
    let without_sdk: Vec<&str> = ours
        .lines()
        .filter(|line| !["outrigger-plugin-sdk", "schemars", "serde"].iter().any(|name| line.starts_with(name)))
        .collect();
    std::fs::write(project.join("Cargo.toml"), without_sdk.join("\n")).unwrap();
    std::fs::write(project.join("src/lib.rs"), include_str!("narrow/lib.rs")).unwrap();
    let component = cargo_build(&project).join("narrow.wasm");

    place.succeeds(&["plugin", "add", component.to_str().unwrap(), "--yes"]);
    let info = place.inspect("narrow");
    let found: Vec<&str> = info["imports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut listed: Vec<&str> = imports.lines().collect();
    listed.sort_unstable();
    assert_eq!(found, listed);
    assert_eq!(listed.len(), 6, "{listed:?}");
    let actions: Vec<&str> =
        info["actions"].as_array().unwrap().iter().filter_map(|action| action["action"].as_str()).collect();
    assert!(actions.contains(&"ec2:StartInstances") && !actions.contains(&"ec2:StopInstances"), "{actions:?}");
}
