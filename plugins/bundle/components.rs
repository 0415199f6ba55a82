//! How the components are built: shared by the build script and the test that compares digests.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What components are built for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Profile of the root manifest that components are built with.
const PROFILE: &str = "component";

/// Variables that the inner cargo gets. All others are kept from it: `RUSTFLAGS`, `CARGO_ENCODED_RUSTFLAGS`, `RUSTC_WRAPPER`,
/// `CARGO_BUILD_*`, `CARGO_TARGET_*`, `CARGO_PROFILE_*` and the like change the bytes, and clippy's or an editor's wrappers make
/// something else of the build.
const KEPT: [&str; 27] = [
    "ALL_PROXY",
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "COMSPEC",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "LOCALAPPDATA",
    "MAKEFLAGS",
    "NO_PROXY",
    "PATH",
    "PATHEXT",
    "PROGRAMDATA",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SYSTEMROOT",
    "TEMP",
    "TERM",
    "TMP",
    "TMPDIR",
    "USERPROFILE",
    "WINDIR",
];

/// Beginnings of further variables that the inner cargo gets: where packages come from, and through which network.
const KEPT_PREFIXES: [&str; 6] =
    ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_", "RUSTUP_DIST_"];

/// What went wrong, as a text that a person can act on.
pub type Result<T> = std::result::Result<T, String>;

/// The folder of the workspace, as seen from this package.
pub fn workspace_root(package: &Path) -> Result<PathBuf> {
    let root = package.ancestors().nth(2).ok_or_else(|| format!("{} is in no workspace", package.display()))?;
    fs::canonicalize(root).map_err(|error| format!("cannot read {}: {error}", root.display()))
}

/// The file that cargo makes of a component's package.
pub fn artefact(target_dir: &Path, package: &str) -> PathBuf {
    target_dir.join(TARGET).join(PROFILE).join(format!("{}.wasm", package.replace('-', "_")))
}

/// Builds these packages into `target_dir`, so that the bytes depend on the sources and the compiler alone.
///
/// `variables` is the environment, of which the inner cargo gets what it needs.
pub fn build(
    root: &Path,
    target_dir: &Path,
    packages: &[String],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<()> {
    let tools = Tools::find(variables.into_iter().collect());
    let sysroot = tools.sysroot(root)?;
    tools.ensure_target(root, &sysroot)?;
    let mut cargo = tools.command(&tools.cargo);
    cargo.current_dir(root);
    cargo.args(["build", "--locked", "--target", TARGET, "--profile", PROFILE]).arg("--target-dir").arg(target_dir);
    if tools.environment.contains_key(OsStr::new("CARGO_NET_OFFLINE")) {
        cargo.arg("--offline");
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo.env("RUSTC", &tools.rustc);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", tools.remappings(root, &sysroot)?);
    let output = run(&mut cargo)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("building the components failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

struct Tools {
    cargo: OsString,
    rustc: OsString,
    environment: BTreeMap<OsString, OsString>,
}

impl Tools {
    fn find(mut variables: BTreeMap<OsString, OsString>) -> Self {
        let cargo = variables.remove(OsStr::new("CARGO")).unwrap_or_else(|| "cargo".into());
        let rustc = variables.remove(OsStr::new("RUSTC")).unwrap_or_else(|| "rustc".into());
        variables.retain(|name, _| is_kept(name));
        Self { cargo, rustc, environment: variables }
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        self.environment.get(OsStr::new(name)).map(PathBuf::from)
    }

    /// Where cargo keeps the sources of packages.
    fn cargo_home(&self) -> Option<PathBuf> {
        let home = || self.variable("HOME").or_else(|| self.variable("USERPROFILE"));
        self.variable("CARGO_HOME").or_else(|| home().map(|home| home.join(".cargo")))
    }

    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment).stdin(Stdio::null());
        command
    }

    fn sysroot(&self, root: &Path) -> Result<PathBuf> {
        self.ask_rustc(root, &["--print", "sysroot"]).map(PathBuf::from)
    }

    fn ask_rustc(&self, root: &Path, arguments: &[&str]) -> Result<String> {
        let mut rustc = self.command(&self.rustc);
        let output = run(rustc.current_dir(root).args(arguments))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(format!("rustc {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
    }

    /// Asks rustup for the target where the toolchain has none.
    fn ensure_target(&self, root: &Path, sysroot: &Path) -> Result<()> {
        let library = sysroot.join("lib").join("rustlib").join(TARGET).join("lib");
        if library.is_dir() {
            return Ok(());
        }
        let mut rustup = self.command(OsStr::new("rustup"));
        let asked = run(rustup.current_dir(root).args(["target", "add", TARGET]));
        let why = match &asked {
            Ok(output) if output.status.success() && library.is_dir() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.clone(),
        };
        Err(format!(
            "the components need Rust's standard library for {TARGET}, and {} has none; type `rustup target add {TARGET}`, \
             or install it with the package manager that Rust came from ({why})",
            sysroot.display()
        ))
    }

    /// Flags that take the paths of this machine out of the bytes, and nothing else.
    fn remappings(&self, root: &Path, sysroot: &Path) -> Result<OsString> {
        let version = self.ask_rustc(root, &["--version", "--verbose"])?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        let mut flags = OsString::new();
        let mut remap = |from: &Path, to: &str| {
            if !flags.is_empty() {
                flags.push("\u{1f}");
            }
            flags.push("--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        };
        // The last one that matches wins.
        if let Some(home) = self.cargo_home() {
            remap(&home, "/cargo");
        }
        remap(sysroot, "/sysroot");
        remap(&sysroot.join("lib").join("rustlib").join("src").join("rust"), &format!("/rustc/{commit}"));
        remap(root, "/outrigger");
        Ok(flags)
    }
}

fn is_kept(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let name = name.to_ascii_uppercase();
    KEPT.contains(&name.as_str()) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn run(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|error| format!("cannot run {program}: {error}"))
}
