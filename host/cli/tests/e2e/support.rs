//! An account, a home and the program.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use outrigger_endpoints::{Account, FaultProxy, Ministack, Moto, OutriggerAccess, policy};
use serde_json::Value;
use tempfile::TempDir;

/// The key that the user's secret is stored under.
pub const KEY: &str = "keys/aws/outrigger";
/// The external id of every role here.
pub const EXTERNAL_ID: &str = "9f2c6d1e0b7a";

/// Waits for a future of the endpoints.
pub fn block<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("threads")
    });
    runtime.block_on(future)
}

/// The one ministack of this process.
pub fn ministack() -> Arc<Ministack> {
    block(Ministack::shared()).expect("ministack")
}

/// The one moto of this process.
pub fn moto() -> Arc<Moto> {
    block(Moto::shared()).expect("moto")
}

/// Compiled components, shared by all homes of this process: they depend on the program alone.
fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-cache"))
}

/// An empty home whose compiled components are shared.
pub fn home() -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let private = home.path().join(".outrigger");
    std::fs::create_dir_all(&private).expect("a folder");
    std::fs::create_dir_all(cache()).expect("a folder");
    std::os::unix::fs::symlink(cache(), private.join("cache")).expect("a link");
    home
}

/// What a process said.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Itself, if it ended with this code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// The events of `run --format json`.
    pub fn events(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}")))
            .collect()
    }

    /// How the last attempt of a step ended.
    #[track_caller]
    pub fn step(&self, step: &str) -> Value {
        let ended = |event: &Value| event["event"] == "step-finished" && event["step"] == step;
        self.events().into_iter().rfind(ended).unwrap_or_else(|| panic!("step {step} did not end: {self}"))
    }

    /// The outputs of a step that succeeded.
    #[track_caller]
    pub fn outputs(&self, step: &str) -> Value {
        let ended = self.step(step);
        assert_eq!(ended["status"], "succeeded", "{self}");
        ended["outputs"].clone()
    }

    /// Reason and message of a step's failure.
    #[track_caller]
    pub fn failure(&self, step: &str) -> (String, String) {
        let failure = self.step(step)["failure"].clone();
        let text = |name: &str| failure[name].as_str().unwrap_or_else(|| panic!("no {name}: {self}")).to_owned();
        (text("reason"), text("message"))
    }

    /// The lines of the log, all steps together.
    pub fn log(&self) -> Vec<String> {
        let lines = self.events().into_iter().filter(|event| event["event"] == "log");
        lines.map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Everything that a replay must repeat: what was logged, put out and came of it, without times.
    pub fn essence(&self) -> Vec<Value> {
        let mut events = self.events();
        for event in &mut events {
            let event = event.as_object_mut().expect("an object");
            for changing in ["run", "at", "duration_ms"] {
                event.remove(changing);
            }
        }
        events.retain(|event| event["event"] != "progress");
        events
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// The program in a home, with nothing of the environment but what it needs.
pub fn program(home: &Path) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_outrigger")), home)
}

/// The program in a network of its own that leads nowhere; where the system does not allow that, without a network
/// namespace, but no credentials and no endpoint are at hand either way.
pub fn offline(home: &Path) -> Command {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    let allowed = *ALLOWED.get_or_init(|| {
        let tried = Command::new("unshare").args(["-n", "true"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    });
    if !allowed {
        eprintln!("no network namespaces here: the replay runs without one");
        return program(home);
    }
    let mut command = Command::new("unshare");
    command.args(["-n", "--", env!("CARGO_BIN_EXE_outrigger")]);
    clean(command, home)
}

fn clean(mut command: Command, home: &Path) -> Command {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("OUTRIGGER_HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .current_dir(home);
    command
}

/// Runs a command to its end.
pub fn ran(mut command: Command) -> Ran {
    command.output().expect("the program starts").into()
}

/// One step of a job file.
pub fn step(provider: &str, configuration: &[(&str, &str)]) -> String {
    let mut text = format!("    - type: {provider}\n      nodeStep: false\n      configuration:\n");
    if configuration.is_empty() {
        text.insert_str(text.len() - 1, " {}");
    }
    for (name, value) in configuration {
        // A JSON text is a YAML text.
        text.push_str(&format!("        '{name}': {}\n", Value::from(*value)));
    }
    text
}

/// A job of these steps.
pub fn job(steps: &[String]) -> String {
    format!("- name: Test\n  sequence:\n    commands:\n{}", steps.concat())
}

/// One account with the documented set-up, and a home that works in it through a proxy.
pub struct Scene {
    /// The account.
    pub account: Account,
    /// Outrigger's user and role in it.
    pub access: OutriggerAccess,
    /// What stands before ministack.
    pub proxy: FaultProxy,
    /// The home.
    pub home: TempDir,
}

impl Scene {
    /// A role that may do everything.
    pub fn new() -> Self {
        Self::permitting(&["*"])
    }

    /// A role that may do this.
    pub fn permitting(actions: &[&str]) -> Self {
        let ministack = ministack();
        let account = ministack.new_account();
        let permissions = policy::allow(actions, &["*"]);
        let access = block(account.outrigger_access(&account, EXTERNAL_ID, &permissions)).expect("a set-up");
        let proxy = FaultProxy::start(&ministack.url()).expect("a proxy");
        let scene = Self { account, access, proxy, home: home() };
        scene.configure("", "");
        scene.put(KEY, &scene.access.user.secret);
        scene
    }

    /// The credentials block of the role.
    pub fn block(&self) -> String {
        block_of(&self.access, KEY)
    }

    /// Writes the system's file: `aws` goes into the table `[aws]`, `more` to the end.
    pub fn configure(&self, aws: &str, more: &str) {
        let text = format!(
            "[aws]\nregion = \"us-east-1\"\nendpoint-url = \"{}\"\ns3-path-style = true\n{aws}\n{}\n{more}\n",
            self.proxy.url(),
            self.block()
        );
        self.write("outrigger.toml", &text);
    }

    /// Sends the calls of one service elsewhere.
    pub fn reroute(&self, service: &str, url: &str) {
        self.configure("", &format!("[aws.endpoint-urls]\n{service} = \"{url}\""));
    }

    /// Writes a file of the home.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the home")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Stores a key.
    pub fn put(&self, path: &str, value: &str) {
        let mut command = self.command(&["keys", "put", path]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
        child.stdin.take().expect("a pipe").write_all(value.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success());
    }

    /// A command of the program.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.home.path());
        command.args(arguments);
        command
    }

    /// Runs a command of the program.
    pub fn outrigger(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments))
    }

    /// Runs a job and gives its events.
    pub fn run(&self, text: &str, arguments: &[&str]) -> Ran {
        ran(self.run_command(text, arguments))
    }

    /// The command that runs a job.
    pub fn run_command(&self, text: &str, arguments: &[&str]) -> Command {
        // Jobs run at once: each has a file of its own.
        let name =
            format!("{:x}.yaml", text.bytes().fold(5381_u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte)));
        let mut file = self.home.path().join(&name);
        if !file.exists() {
            file = self.write(&name, text);
        }
        let mut command = self.command(&["run", "--format", "json"]);
        command.arg(file).args(arguments);
        command
    }

    /// The audit of the newest run.
    pub fn audit(&self) -> Vec<Value> {
        let ran = self.outrigger(&["audit", "last", "--format", "json"]).with_code(0);
        ran.events()
    }

    /// `service:Action`, attempt and outcome (or error code) of each audit record.
    pub fn attempts(&self) -> Vec<(String, u64, String)> {
        let audit = self.audit();
        let of = |record: &Value| {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            let outcome = if text("outcome") == "error" { text("code") } else { text("outcome") };
            (format!("{}:{}", text("service"), text("action")), record["attempt"].as_u64().unwrap_or(0), outcome)
        };
        audit.iter().map(of).collect()
    }

    /// Names of the requests that may have changed something.
    pub fn writes(&self) -> BTreeSet<String> {
        self.proxy.writes().iter().map(|request| request.name()).collect()
    }

    /// What every plugin is held to. A dry run writes nothing; the run succeeds; its recording gives the same without
    /// network and credentials. Gives the run.
    #[track_caller]
    pub fn good(&self, text: &str, arguments: &[&str]) -> Ran {
        self.proxy.forget_requests();
        let dry: Vec<&str> = arguments.iter().copied().chain(["--dry-run"]).collect();
        self.run(text, &dry).with_code(0);
        assert_eq!(self.writes(), BTreeSet::new(), "a dry run wrote");
        self.proxy.forget_requests();
        self.recorded(text, arguments)
    }

    /// A run that succeeds, and whose recording gives the same. Gives the run.
    #[track_caller]
    pub fn recorded(&self, text: &str, arguments: &[&str]) -> Ran {
        let recording = self.home.path().join("recording.jsonl");
        // A second recording of the same home takes the place of the first.
        drop(std::fs::remove_file(&recording));
        let path = recording.display().to_string();
        let recorded: Vec<&str> = arguments.iter().copied().chain(["--record", &path]).collect();
        let run = self.run(text, &recorded).with_code(0);
        let again = replay(&recording).with_code(0);
        assert_eq!(again.essence(), run.essence(), "the replay differs");
        run
    }
}

/// Replays a recording in an empty home without network.
pub fn replay(recording: &Path) -> Ran {
    let home = home();
    let mut command = offline(home.path());
    command.args(["run", "--format", "json", "--replay"]).arg(recording);
    ran(command)
}

/// The credentials block of a role whose user's secret is stored under `key`.
pub fn block_of(access: &OutriggerAccess, key: &str) -> String {
    format!(
        "[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"{}\"\nexternal-id = \"{}\"\n\
         source = {{ provider = \"access-key\", access-key-id = \"{}\", secret-key = \"{key}\" }}\n",
        access.role_arn, access.external_id, access.user.access
    )
}

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
