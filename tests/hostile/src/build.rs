//! Builds the guest, as the standard components are built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const TARGET: &str = "wasm32-unknown-unknown";

/// Bytes of the guest that is written in Rust. Built once per process; cargo builds it anew only where it changed.
///
/// # Panics
/// Where it does not build.
pub fn guest() -> &'static [u8] {
    static GUEST: OnceLock<Vec<u8>> = OnceLock::new();
    GUEST.get_or_init(|| {
        let root = workspace_root();
        // Beside the test's own binaries, so that tests of two target folders do not wait for each other.
        let target = target_folder().join("hostile-guests");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(&root)
            .args(["build", "--locked", "--target", TARGET, "--profile", "component", "--package", "hostile-guest"])
            .arg("--target-dir")
            .arg(&target);
        for name in
            ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR"]
        {
            cargo.env_remove(name);
        }
        let output = cargo.output().expect("cargo runs");
        assert!(output.status.success(), "the guest does not build:\n{}", String::from_utf8_lossy(&output.stderr));
        let file = target.join(TARGET).join("component").join("hostile_guest.wasm");
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    })
}

/// The folder of the workspace.
pub fn workspace_root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).unwrap_or(folder).to_owned()
}

fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let tagged = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(|| workspace_root().join("target"), Path::to_owned)
}
