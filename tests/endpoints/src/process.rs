use std::{
    fs::{self, File},
    io::Write,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    environment::{Environment, last_lines},
    error::{EndpointError, Result},
};

const LAUNCHER: &str = include_str!("launcher.py");

/// A server in its own process group, with a working folder and a log of its own.
///
/// It ends with this value, and also when the process that holds it dies in any way: the launcher watches a pipe.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    port: u16,
    child: Child,
    /// Held open: its end of file tells the launcher that we are gone.
    watch: Option<ChildStdin>,
    work: Option<tempfile::TempDir>,
    log: PathBuf,
}

/// A server that outlives the process that started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it listens.
    pub url: String,
    /// The process group; `kill -- -<group>` ends it.
    pub group: i32,
    /// Its log.
    pub log: PathBuf,
}

impl Server {
    /// Starts `python <launcher> <module> <arguments>`; `ready` is asked until it says yes.
    pub(crate) async fn start<F, R>(
        environment: &Environment,
        name: &'static str,
        configure: impl Fn(&mut Command, u16, &Path),
        deadline: Duration,
        ready: F,
    ) -> Result<Self>
    where
        F: Fn(u16) -> R,
        R: Future<Output = bool>,
    {
        // A free port may be taken between our look and the server's bind: another one is tried then.
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut server = Self::spawn(environment, name, free_port()?, &configure)?;
            match server.wait_ready(deadline, &ready).await {
                Ok(()) => return Ok(server),
                Err(error) if attempt < 3 && error.to_string().contains("in use") => drop(server),
                Err(error) => return Err(error),
            }
        }
    }

    fn spawn(
        environment: &Environment,
        name: &'static str,
        port: u16,
        configure: &impl Fn(&mut Command, u16, &Path),
    ) -> Result<Self> {
        let runs = environment.runs();
        fs::create_dir_all(&runs).map_err(EndpointError::io("create", &runs))?;
        let work = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(&runs)
            .map_err(EndpointError::io("create a folder in", &runs))?;
        let log = work.path().join("server.log");
        let output = File::create(&log).map_err(EndpointError::io("create", &log))?;
        let errors = output.try_clone().map_err(EndpointError::io("share", &log))?;
        let launcher = work.path().join("launcher.py");
        fs::write(&launcher, LAUNCHER).map_err(EndpointError::io("write", &launcher))?;

        let mut command = Command::new(environment.python());
        // Nothing of the user's own AWS set-up may reach the servers.
        command.env_clear();
        for name in ["PATH", "LANG", "LC_ALL"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", work.path())
            .env("TMPDIR", work.path())
            .env("PYTHONUNBUFFERED", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .arg(&launcher)
            .current_dir(work.path())
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        configure(&mut command, port, work.path());
        let mut child = command.spawn().map_err(EndpointError::io("start", environment.python()))?;
        let watch = child.stdin.take();
        Ok(Self { name, port, child, watch, work: Some(work), log })
    }

    async fn wait_ready<F, R>(&mut self, deadline: Duration, ready: &F) -> Result<()>
    where
        F: Fn(u16) -> R,
        R: Future<Output = bool>,
    {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.not_ready(format!("it ended with {status}")));
            }
            // Only its own log proves that it is this server that answers on the port, and not one that took it first.
            if self.listens() && ready(self.port).await {
                return Ok(());
            }
            if started.elapsed() > deadline {
                return Err(self.not_ready(format!("nothing within {} seconds", deadline.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn listens(&self) -> bool {
        let sign = format!("Running on {}", self.url());
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains(&sign))
    }

    fn not_ready(&self, reason: String) -> EndpointError {
        EndpointError::NotReady { name: self.name.into(), reason, tail: self.log_tail() }
    }

    pub(crate) fn log_tail(&self) -> String {
        last_lines(&fs::read_to_string(&self.log).unwrap_or_default(), 6)
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets the server outlive this process.
    pub(crate) fn keep(mut self) -> Result<Kept> {
        if let Some(mut watch) = self.watch.take() {
            watch.write_all(b"k").map_err(EndpointError::io("tell the launcher to stay", &self.log))?;
        }
        if let Some(work) = self.work.take() {
            let _ = work.keep();
        }
        Ok(Kept { url: self.url(), group: self.group(), log: self.log.clone() })
    }

    fn group(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.work.is_none() {
            return;
        }
        // All state is in memory, so that there is nothing to end gently.
        let _ = killpg(Pid::from_raw(self.group()), Signal::SIGKILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{} said last: {}", self.name, self.log_tail());
        }
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(EndpointError::Port)?;
    listener.local_addr().map(|address| address.port()).map_err(EndpointError::Port)
}
