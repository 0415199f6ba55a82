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
        Sources { python: "python3".into(), requirements: REQUIREMENTS, environment: Vec::new() }.prepare(dir, progress)
    }

    /// Prepares the environment of this workspace once per process: the folder is `OUTRIGGER_ENDPOINTS_DIR`, else
    /// `endpoints` in the target folder that holds the running program, else in `CARGO_TARGET_DIR` or in `target`
    /// below the current folder. Progress goes to standard error. Blocks as [`Environment::prepare`] does.
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

/// What an environment is made of.
struct Sources<'a> {
    python: PathBuf,
    requirements: &'a str,
    /// Variables for pip besides those of this process.
    environment: Vec<(&'a str, std::ffi::OsString)>,
}

impl Sources<'_> {
    fn prepare(&self, dir: &Path, progress: &dyn Fn(&str)) -> Result<Environment> {
        fs::create_dir_all(dir).map_err(EndpointError::io("create", dir))?;
        let root = dir.canonicalize().map_err(EndpointError::io("resolve", dir))?;
        let made = Environment { venv: root.join(format!("venv-{}", hash(self.requirements))), root };
        if made.complete() {
            return Ok(made);
        }
        let lock_path = made.root.join("venv.lock");
        let lock = File::create(&lock_path).map_err(EndpointError::io("create", &lock_path))?;
        lock.lock().map_err(EndpointError::io("lock", &lock_path))?;
        if !made.complete() {
            self.install(&made, progress)?;
        }
        Ok(made)
    }

    fn install(&self, environment: &Environment, progress: &dyn Fn(&str)) -> Result<()> {
        let started = std::time::Instant::now();
        let Environment { root, venv } = environment;
        self.check_python()?;
        let pins = self.requirements.lines().filter(|line| line.contains("=="));
        let packages = pins.filter(|line| !line.contains("python_full_version < ")).count();
        progress(&format!(
            "fetching the AWS endpoints (ministack 1.5.33, moto 5.2.5, DuckDB; {packages} pinned Python packages): \
             about {DOWNLOAD_MEGABYTES} MB, {DISK_MEGABYTES} MB on disk, once, into {}",
            venv.display()
        ));
        environment.sweep();
        let partial = root.join(format!(".partial-{}", std::process::id()));
        remove(&partial)?;
        let made = self.install_into(root, &partial);
        if made.is_err() {
            remove(&partial)?;
        }
        made?;
        remove(venv)?;
        fs::rename(&partial, venv).map_err(EndpointError::io("move the finished environment to", venv))?;
        progress(&format!("the AWS endpoints are installed ({:.0} s)", started.elapsed().as_secs_f64()));
        Ok(())
    }

    fn check_python(&self) -> Result<()> {
        let output = Command::new(&self.python)
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

    fn install_into(&self, root: &Path, partial: &Path) -> Result<()> {
        self.make_venv(partial)?;
        self.install_packages(root, partial)?;
        let marker = partial.join(MARKER);
        File::create(&marker)
            .and_then(|mut file| file.write_all(b"ok\n").and_then(|()| file.sync_all()))
            .map_err(EndpointError::io("write", marker))
    }

    fn make_venv(&self, partial: &Path) -> Result<()> {
        let output = run(Command::new(&self.python).args(["-I", "-m", "venv"]).arg(partial))?;
        if output.status.success() { Ok(()) } else { Err(EndpointError::NoVenv { detail: tail(&output) }) }
    }

    fn install_packages(&self, root: &Path, partial: &Path) -> Result<()> {
        let requirements = partial.join("requirements.txt");
        fs::write(&requirements, self.requirements).map_err(EndpointError::io("write", &requirements))?;
        // Byte code is made at the first import: compiling all of it would double the time.
        let output = run(Command::new(partial.join("bin").join("python"))
            .args(["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"])
            .args(["--no-compile", "--require-hashes", "--only-binary", ":all:", "--requirement"])
            .arg(&requirements)
            .envs(self.environment.iter().map(|(name, value)| (name, value))))?;
        if output.status.success() { Ok(()) } else { Err(pip_failure(root, &output)) }
    }
}

fn pip_failure(root: &Path, output: &Output) -> EndpointError {
    let log = root.join("install.log");
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
        "(from versions: none)",
    ]
    .iter()
    .any(|sign| text.contains(sign))
    {
        EndpointError::NoNetwork { detail, log }
    } else {
        EndpointError::Install { detail, log }
    }
}

fn hash(requirements: &str) -> String {
    Sha256::digest(requirements).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
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
    of_program.or_else(of_cargo).unwrap_or_else(|| Path::new("target").join("endpoints"))
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

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::fs::PermissionsExt, sync::Mutex};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// pip installs nothing from this file, and the rest is as it is with the real one.
    const NOTHING: &str = "# nothing\n";

    /// A program of this text in the place of Python.
    fn python(dir: &Path, script: &str) -> std::io::Result<PathBuf> {
        let path = dir.join("python3");
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn with_python(script: &str, expect: impl Fn(&EndpointError) -> bool) -> Outcome {
        let dir = tempfile::tempdir()?;
        let sources = Sources { python: python(dir.path(), script)?, requirements: NOTHING, environment: Vec::new() };
        let error = sources.prepare(&dir.path().join("endpoints"), &|_| {}).expect_err("no usable Python");
        assert!(expect(&error), "{error}");
        let left: Vec<_> =
            fs::read_dir(dir.path().join("endpoints"))?.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["venv.lock"]);
        Ok(())
    }

    #[test]
    fn an_unusable_python_is_named() -> Outcome {
        with_python("echo 3.9", |error| {
            matches!(error, EndpointError::OldPython { found } if found == "3.9")
                && error.to_string().contains("3.10 or newer")
        })?;
        with_python(
            "[ \"$2\" = -c ] && echo 3.11 || { mkdir -p \"$4\"; echo 'No module named ensurepip' >&2; exit 1; }",
            |error| {
                matches!(error, EndpointError::NoVenv { .. })
                    && error.to_string().contains("No module named ensurepip")
                    && error.to_string().contains("python3-venv")
            },
        )?;
        let dir = tempfile::tempdir()?;
        let python = dir.path().join("python3");
        let sources = Sources { python, requirements: NOTHING, environment: Vec::new() };
        let error = sources.prepare(dir.path(), &|_| {}).expect_err("no Python");
        assert!(matches!(error, EndpointError::NoPython { .. }), "{error}");
        Ok(())
    }

    /// Four at once: one installs and says so, the others wait for it, and nothing half-made is left.
    #[test]
    fn it_is_made_once() -> Outcome {
        let dir = tempfile::tempdir()?;
        let root = dir.path().join("endpoints");
        // Slow enough for all four to be there; the interpreter that it makes accepts every installation.
        let script =
            "[ \"$2\" = -c ] && echo 3.11 && exit\nsleep 0.3; mkdir -p \"$4/bin\"; ln -s /bin/true \"$4/bin/python\"";
        let python = python(dir.path(), script)?;
        let said = Mutex::new(Vec::new());
        let prepare = || {
            let sources = Sources { python: python.clone(), requirements: NOTHING, environment: Vec::new() };
            sources.prepare(&root, &|line| crate::proxy::lock(&said).push(line.to_owned()))
        };
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(prepare)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>>>()
        })?;
        let lines = crate::proxy::lock(&said).clone();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.first().is_some_and(|line| line.contains("about 59 MB")), "{lines:?}");
        assert!(made.iter().all(|one| one.complete()));
        let left: Vec<_> = fs::read_dir(&root)?.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 2, "the environment and the lock: {left:?}");

        // Its interpreter went away, as after an upgrade of the system: it is made anew.
        let only = made.into_iter().next().expect("four were made");
        fs::remove_file(only.python())?;
        assert!(prepare()?.complete());
        assert_eq!(crate::proxy::lock(&said).len(), 4);
        Ok(())
    }

    #[test]
    fn what_pip_says_becomes_an_error_that_helps() -> Outcome {
        let dir = tempfile::tempdir()?;
        let (wheels, partial) = (dir.path().join("wheels"), dir.path().join("partial"));
        let requirements = format!("tiny==1.0 --hash=sha256:{}\n", "0".repeat(64));
        let sources = |environment| Sources { python: "python3".into(), requirements: &requirements, environment };
        fs::create_dir(&wheels)?;
        let no_index =
            sources(vec![("PIP_NO_INDEX", OsString::from("1")), ("PIP_FIND_LINKS", wheels.clone().into_os_string())]);
        no_index.make_venv(&partial)?;
        let unreachable = sources(vec![
            ("PIP_INDEX_URL", OsString::from("http://127.0.0.1:1/simple")),
            ("PIP_FIND_LINKS", wheels.clone().into_os_string()),
            ("PIP_RETRIES", OsString::from("1")),
        ]);
        let error = unreachable.install_packages(dir.path(), &partial).expect_err("no index");
        assert!(matches!(error, EndpointError::NoNetwork { .. }), "{error}");
        assert!(error.to_string().contains("needs the network"), "{error}");

        fs::write(wheels.join("tiny-1.0-py3-none-any.whl"), crate::zip::archive("tiny.py", b"print('not the one')"))?;
        let error = no_index.install_packages(dir.path(), &partial).expect_err("another hash");
        assert!(matches!(error, EndpointError::WrongHash { .. }), "{error}");
        assert!(dir.path().join("install.log").is_file());
        Ok(())
    }
}
