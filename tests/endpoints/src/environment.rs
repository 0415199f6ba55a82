use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use sha2::{Digest, Sha256};

use crate::error::{EndpointError, Result};

/// Versions and hashes of every package, transitive ones included.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// What pip fetches for CPython 3.11 on x86-64 Linux: the sum of the wheel sizes.
const DOWNLOAD_MEGABYTES: u32 = 59;
/// What the environment takes on disk afterwards, on the same machine.
const DISK_MEGABYTES: u32 = 190;
const MARKER: &str = "complete";

/// A private Python environment that holds the third-party endpoints.
///
/// It lies in `venv-<hash of the requirements>` of one folder, is made once, and is shared by all processes that use
/// the same folder.
#[derive(Debug, Clone)]
pub struct Environment {
    root: PathBuf,
    venv: PathBuf,
}

impl Environment {
    /// Makes the environment below `dir`, or finds the one that is there.
    ///
    /// `progress` gets one line before anything is fetched (what, how large, where) and one when it is done; nothing
    /// when the environment is already there. Several processes may prepare the same folder at once: one installs,
    /// the others wait. Blocks for as long as pip takes.
    ///
    /// # Errors
    /// No Python, one that is too old or has no venv module, no network, a package that is not the pinned one, or a
    /// folder that cannot be written; each says what to do.
    pub fn prepare(dir: &Path, progress: &dyn Fn(&str)) -> Result<Self> {
        fs::create_dir_all(dir).map_err(EndpointError::io("create", dir))?;
        let root = dir.canonicalize().map_err(EndpointError::io("resolve", dir))?;
        let this = Self { venv: root.join(format!("venv-{}", requirements_hash())), root };
        if this.complete() {
            return Ok(this);
        }
        let lock_path = this.root.join("venv.lock");
        let lock = File::create(&lock_path).map_err(EndpointError::io("create", &lock_path))?;
        lock.lock().map_err(EndpointError::io("lock", &lock_path))?;
        if !this.complete() {
            this.install(progress)?;
        }
        Ok(this)
    }

    /// Prepares the environment of this workspace once per process: the folder is `OUTRIGGER_ENDPOINTS_DIR`, else
    /// `endpoints` in the target folder that holds the running program, else in `CARGO_TARGET_DIR` or the
    /// workspace's `target`. Progress goes to standard error. Blocks as [`Environment::prepare`] does.
    ///
    /// # Errors
    /// As [`Environment::prepare`]; a failure is not remembered, the next call tries again.
    pub fn shared() -> Result<Self> {
        static SHARED: OnceLock<Environment> = OnceLock::new();
        if let Some(found) = SHARED.get() {
            return Ok(found.clone());
        }
        let made = Self::prepare(&default_dir(), &|line| eprintln!("{line}"))?;
        Ok(SHARED.get_or_init(|| made).clone())
    }

    /// The interpreter of the environment.
    pub fn python(&self) -> PathBuf {
        self.venv.join("bin").join("python")
    }

    /// The folder of the environment itself.
    pub fn venv(&self) -> &Path {
        &self.venv
    }

    /// The folder in which servers keep their working folders.
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The marker alone is not enough: a removed or upgraded system Python leaves a dangling link behind.
    fn complete(&self) -> bool {
        self.venv.join(MARKER).is_file() && self.python().exists()
    }

    fn install(&self, progress: &dyn Fn(&str)) -> Result<()> {
        let started = std::time::Instant::now();
        check_python()?;
        let packages = REQUIREMENTS.lines().filter(|line| line.contains("==")).count();
        progress(&format!(
            "fetching the AWS endpoints (ministack 1.5.33, moto 5.2.5, DuckDB; {packages} pinned Python packages): \
             about {DOWNLOAD_MEGABYTES} MB, {DISK_MEGABYTES} MB on disk, once, into {}",
            self.venv.display()
        ));
        self.sweep();
        let partial = self.root.join(format!(".partial-{}", std::process::id()));
        remove(&partial)?;
        let made = self.install_into(&partial);
        if made.is_err() {
            remove(&partial)?;
        }
        made?;
        remove(&self.venv)?;
        fs::rename(&partial, &self.venv).map_err(EndpointError::io("move the finished environment to", &self.venv))?;
        progress(&format!("the AWS endpoints are installed ({:.0} s)", started.elapsed().as_secs_f64()));
        Ok(())
    }

    fn install_into(&self, partial: &Path) -> Result<()> {
        let output = run(Command::new("python3").args(["-I", "-m", "venv"]).arg(partial))?;
        if !output.status.success() {
            return Err(EndpointError::NoVenv { detail: tail(&output) });
        }
        let requirements = partial.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).map_err(EndpointError::io("write", &requirements))?;
        // Byte code is made at the first import: compiling all of it would double the time.
        let output = run(Command::new(partial.join("bin").join("python"))
            .args(["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"])
            .args(["--no-compile", "--require-hashes", "--only-binary", ":all:", "--requirement"])
            .arg(&requirements))?;
        if !output.status.success() {
            return Err(self.pip_failure(&output));
        }
        let marker = partial.join(MARKER);
        File::create(&marker)
            .and_then(|mut file| file.write_all(b"ok\n").and_then(|()| file.sync_all()))
            .map_err(EndpointError::io("write", marker))
    }

    fn pip_failure(&self, output: &Output) -> EndpointError {
        let log = self.root.join("install.log");
        let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        // The log is a help only: the message itself carries the last lines.
        let _ = fs::write(&log, &text);
        let detail = tail(output);
        let text = String::from_utf8_lossy(&text);
        if text.contains("DO NOT MATCH THE HASHES") {
            EndpointError::WrongHash { detail, log }
        } else if [
            "NewConnectionError",
            "NameResolutionError",
            "ProxyError",
            "ConnectTimeout",
            "Network is unreachable",
        ]
        .iter()
        .any(|sign| text.contains(sign))
        {
            EndpointError::NoNetwork { detail, log }
        } else {
            EndpointError::Install { detail, log }
        }
    }

    /// Takes away what interrupted installations and killed servers left behind. We hold the lock.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".partial-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn requirements_hash() -> String {
    Sha256::digest(REQUIREMENTS).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Tests and the demo run from the same target folder, so that they find the same environment without being told.
fn default_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("OUTRIGGER_ENDPOINTS_DIR") {
        return dir.into();
    }
    let of_program = std::env::current_exe().ok().and_then(|program| {
        program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).map(|dir| dir.join("endpoints"))
    });
    let of_cargo = || std::env::var_os("CARGO_TARGET_DIR").map(|dir| PathBuf::from(dir).join("endpoints"));
    of_program.or_else(of_cargo).unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/endpoints"))
}

fn check_python() -> Result<()> {
    let output = Command::new("python3")
        .args(["-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        .output()
        .map_err(|error| EndpointError::NoPython { detail: error.to_string() })?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(EndpointError::NoPython { detail: tail(&output) });
    }
    match found.split_once('.').map(|(major, minor)| (major.parse(), minor.parse())) {
        Some((Ok(major), Ok(minor))) if (major, minor) >= (3_u32, 10_u32) => Ok(()),
        _ => Err(EndpointError::OldPython { found }),
    }
}

fn run(command: &mut Command) -> Result<Output> {
    let program = PathBuf::from(command.get_program());
    command.env_remove("PYTHONHOME").env_remove("PYTHONPATH").output().map_err(EndpointError::io("run", program))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EndpointError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The last lines of what a program said, on one line.
fn tail(output: &Output) -> String {
    let said =
        if output.stderr.iter().any(|byte| !byte.is_ascii_whitespace()) { &output.stderr } else { &output.stdout };
    last_lines(&String::from_utf8_lossy(said), 4)
}

pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join(" | ")
}
