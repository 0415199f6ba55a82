//! Builds the standard components and makes them part of the program.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

mod components;

/// What the components are made of, below the root of the workspace.
const SOURCES: [&str; 6] = [".cargo/config.toml", "Cargo.lock", "Cargo.toml", "plugins", "rust-toolchain.toml", "wit"];

fn main() {
    if let Err(problem) = bundle() {
        eprintln!("{problem}");
        std::process::exit(1);
    }
}

fn bundle() -> components::Result<()> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = components::workspace_root(&package)?;
    // All profiles of the program share one folder, so that the components are built once.
    let target =
        out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap_or(&out).join("components");
    let names = component_packages(&root)?;
    for source in SOURCES {
        rerun_if_changed(&root.join(source));
    }
    components::build(&root, &target, &names, env::vars_os())?;

    let mut code = String::from("&[\n");
    for name in &names {
        let bytes = read(&components::artefact(&target, name))?;
        let copy = out.join(format!("{name}.wasm"));
        fs::write(&copy, &bytes).map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let _ = writeln!(
            code,
            "    BundledComponent {{ name: {name:?}, bytes: include_bytes!({copy:?}), digest: {digest:?} }},"
        );
    }
    code.push_str("]\n");
    let list = out.join("bundle.rs");
    fs::write(&list, code).map_err(|error| format!("cannot write {}: {error}", list.display()))
}

/// Names of the packages in `plugins/` that are components, in alphabetical order.
fn component_packages(root: &Path) -> components::Result<Vec<String>> {
    let folder = root.join("plugins");
    let problem = |path: &Path, error: io::Error| format!("cannot read {}: {error}", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| problem(&folder, error))? {
        let path = entry.map_err(|error| problem(&folder, error))?.path();
        let manifest = path.join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        let text = fs::read_to_string(&manifest).map_err(|error| problem(&manifest, error))?;
        if text.lines().any(|line| line.starts_with("crate-type") && line.contains("\"cdylib\"")) {
            names.extend(path.file_name().and_then(OsStr::to_str).map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

fn variable(name: &str) -> components::Result<String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn read(path: &Path) -> components::Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
