//! A component's bytes depend on its sources and the compiler, not on how the program around it is built.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

#[path = "../components.rs"]
mod components;

/// The folder that the build script used: the flags would make cargo build anew in it if they got through, and take as long.
fn target_dir() -> PathBuf {
    let executable = env::current_exe().unwrap();
    let target = executable.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap();
    target.join("components")
}

fn digest_with(variables: &[(&str, &str)]) -> String {
    let root = components::workspace_root(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let package = "aws-vm-start".to_owned();
    let odd = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    components::build(&root, &target_dir(), std::slice::from_ref(&package), env::vars_os().chain(odd)).unwrap();
    hex::encode(Sha256::digest(fs::read(components::artefact(&target_dir(), &package)).unwrap()))
}

#[test]
fn flags_and_wrappers_of_the_outer_build_change_nothing() {
    let plain = outrigger_plugin_bundle::component("aws-vm-start").unwrap().digest;
    for variables in [
        &[("RUSTFLAGS", "-C target-cpu=mvp -C debuginfo=2")][..],
        &[("CARGO_ENCODED_RUSTFLAGS", "-C\u{1f}opt-level=0")],
        &[("CARGO_PROFILE_COMPONENT_OPT_LEVEL", "3"), ("CARGO_PROFILE_RELEASE_LTO", "off")],
        &[("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-C target-feature=+simd128")],
        &[("CARGO_BUILD_RUSTFLAGS", "-C overflow-checks=yes"), ("CARGO_BUILD_TARGET", "no-such-target")],
        &[("RUSTC_WRAPPER", "/nonexistent/wrapper"), ("RUSTC_WORKSPACE_WRAPPER", "/nonexistent/clippy-driver")],
        &[("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings"), ("CARGO_TARGET_DIR", "/nonexistent/target")],
    ] {
        assert_eq!(digest_with(variables), plain, "{variables:?}");
    }
}

/// A toolchain without the target, and no rustup that could be asked for it.
#[cfg(unix)]
#[test]
fn a_missing_target_says_what_to_type() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let rustc = folder.path().join("rustc");
    fs::write(&rustc, format!("#!/bin/sh\necho {}\n", folder.path().display())).unwrap();
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
    let root = components::workspace_root(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let variables = [("RUSTC", rustc.into_os_string()), ("PATH", folder.path().into())];
    let variables = variables.map(|(name, value)| (OsString::from(name), value));
    let problem = components::build(&root, &target_dir(), &["aws-vm-start".to_owned()], variables).unwrap_err();
    assert!(problem.contains("type `rustup target add wasm32-unknown-unknown`"), "{problem}");
    assert!(problem.contains("cannot run rustup"), "{problem}");
}
