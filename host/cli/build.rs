//! Makes the contract and the guest library part of the program: `plugin wit` and `plugin new` write them out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    if let Err(problem) = embed() {
        eprintln!("{problem}");
        std::process::exit(1);
    }
}

fn embed() -> Result<(), String> {
    let variable = |name: &str| env::var(name).map(PathBuf::from).map_err(|error| format!("{name}: {error}"));
    let root = variable("CARGO_MANIFEST_DIR")?.join("../..");
    let mut code = String::new();
    for (name, what, folder) in [
        ("WIT", "The contract, by path below `wit/`.", root.join("wit")),
        ("SDK", "The guest library, by path below its `src/`.", root.join("plugins/sdk/src")),
    ] {
        println!("cargo::rerun-if-changed={}", folder.display());
        let folder = folder.canonicalize().map_err(|error| format!("cannot find {}: {error}", folder.display()))?;
        let mut files = Vec::new();
        list(&folder, &mut files)?;
        files.sort();
        let _ = writeln!(code, "/// {what}\npub(crate) const {name}: &[(&str, &str)] = &[");
        for file in files {
            let place = file.strip_prefix(&folder).map_err(|error| error.to_string())?.display().to_string();
            let _ = writeln!(code, "    ({place:?}, include_str!({file:?})),");
        }
        code.push_str("];\n");
    }
    let list = variable("OUT_DIR")?.join("sources.rs");
    fs::write(&list, code).map_err(|error| format!("cannot write {}: {error}", list.display()))
}

/// Every WIT and Rust file below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let problem = |error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "wit" || extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
