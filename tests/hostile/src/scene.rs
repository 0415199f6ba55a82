//! What a guest runs in: real sandboxes and a real door, with sinks that remember.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use outrigger_capabilities::aws::{AwsClients, AwsIdentity, Endpoints};
use outrigger_capabilities::bindings::outrigger::run::log::Level;
use outrigger_capabilities::http::{GuestHttp, HttpPolicy, Network, Origin};
use outrigger_capabilities::state::{GuestLimits, GuestSink, Identities, StepContext};
use outrigger_capabilities::workspace::{Quota, Workspace};
use outrigger_door::{
    AuthorisationRequest, Authorizer, BoxFuture, Caller, Door, Failure, Lifetime, MemoryJournal, Mode, RunDoor, RunId,
    StepKey,
};
use outrigger_redaction::{Redactor, Secret};
use outrigger_runtime::{
    Compiler, ComponentInfo, EngineLimits, Plugin, Plugins, RuntimeError, SandboxEnd, SandboxLimits,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Endpoint, Manner};

/// A secret that every run has, and that must be seen nowhere.
pub const CANARY: &str = "canary-Kx9Zq47f3aPw";

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The guest's input.
    pub input: Value,
    /// What the sandbox may use.
    pub sandbox: SandboxLimits,
    /// What the guest may use up.
    pub guest: GuestLimits,
    /// When it should end.
    pub deadline: Duration,
    /// When the run is cancelled, where it is.
    pub cancel: Option<Duration>,
    /// How long it may go on after either.
    pub grace: Duration,
    /// A function that the operator's grants deny.
    pub denied: Option<&'static str>,
    /// Whether the endpoint answers writes.
    pub manner: Manner,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            input: Value::Null,
            sandbox: SandboxLimits {
                memory_bytes: 24 * 1024 * 1024,
                table_elements: 5_000,
                cpu: Duration::from_millis(400),
                call_bytes: 1024 * 1024,
                handles: 100,
            },
            guest: GuestLimits {
                log_lines: 200,
                log_line_bytes: 1024,
                document_bytes: 64 * 1024,
                output_bytes: 256 * 1024,
                handles: 100,
            },
            deadline: Duration::from_secs(10),
            cancel: None,
            grace: Duration::from_millis(40),
            denied: None,
            manner: Manner::Answers,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The component was refused before it ran.
    Refused(String),
    /// The guest's own answer.
    Answered(Result<(), Failure>),
    /// The host ended it.
    Ended(SandboxEnd),
}

impl Ended {
    /// One line for people.
    pub fn text(&self) -> String {
        match self {
            Self::Refused(problem) => format!("refused: {problem}"),
            Self::Answered(Ok(())) => "succeeds".to_owned(),
            Self::Answered(Err(failure)) => format!("fails: {failure}"),
            Self::Ended(end) => format!("ended: {end}"),
        }
    }
}

/// What was seen of a run.
#[derive(Debug)]
pub struct Seen {
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub took: Duration,
    /// What the sink was given, as it was given.
    pub raw: Vec<String>,
    /// The same as a log shows it: masked, and without control characters.
    pub shown: Vec<String>,
    /// Progress reports that the sink was given.
    pub reports: u64,
    /// Outputs, by name.
    pub outputs: BTreeMap<String, Value>,
    /// The operations that the AWS endpoint was asked for.
    pub requests: Vec<String>,
    /// The journal.
    pub journal: Arc<MemoryJournal>,
}

impl Seen {
    /// Everything that a person, a log or a database could be shown of this run.
    pub fn everything_shown(&self) -> String {
        format!(
            "{}\n{:?}\n{:?}\n{:?}\n{:?}",
            self.ended.text(),
            self.ended,
            self.shown,
            self.journal.audit_records(),
            self.journal.intents()
        )
    }
}

#[derive(Default)]
struct Sink {
    lines: Mutex<Vec<String>>,
    reports: Mutex<u64>,
    outputs: Mutex<BTreeMap<String, Value>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GuestSink for Sink {
    fn log(&self, _level: Level, text: &str, _media_type: Option<&str>) {
        locked(&self.lines).push(text.to_owned());
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _what: &str) {
        *locked(&self.reports) += 1;
    }

    fn output(&self, name: &str, value: Value) {
        locked(&self.outputs).insert(name.to_owned(), value);
    }
}

struct OneIdentity(Arc<AwsIdentity>);

impl Identities for OneIdentity {
    fn open<'a>(&'a self, _name: Option<&'a str>) -> BoxFuture<'a, Result<Arc<AwsIdentity>, Failure>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

struct AllBut(Option<&'static str>);

impl Authorizer for AllBut {
    fn authorise(&self, request: &AuthorisationRequest<'_>) -> Result<(), String> {
        if self.0 == Some(request.operation.function) {
            return Err("allow = [{ plugin = \"hostile-step\", actions = [\"ec2:StartInstances\"] }]".to_owned());
        }
        Ok(())
    }
}

/// Plugins, an AWS endpoint of each manner, and folders.
pub struct Scene {
    plugins: Plugins,
    answering: (Endpoint, Arc<AwsClients>),
    silent: (Endpoint, Arc<AwsClients>),
    apart: (Endpoint, Arc<AwsClients>),
    folder: tempfile::TempDir,
    identity: Arc<AwsIdentity>,
    http: Arc<GuestHttp>,
    added: Mutex<BTreeMap<String, Arc<Plugin>>>,
}

impl Scene {
    /// A scene. Guests may send HTTP to the endpoint's port of any host in `origins`.
    ///
    /// # Panics
    /// Where the machine has no port, no folder or no engine for it.
    pub async fn new(engine: EngineLimits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = Plugins::new(engine, Some(&folder.path().join("cache")), Compiler::InProcess).expect("an engine");
        let answering = Endpoint::start(Manner::Answers, CANARY).await;
        let silent = Endpoint::start(Manner::Silent, CANARY).await;
        let apart = Endpoint::start(Manner::Apart, CANARY).await;
        let clients = |endpoint: &Endpoint| {
            let endpoints = Endpoints { url: Some(endpoint.url()), s3_path_style: true, ..Endpoints::default() };
            Arc::new(AwsClients::new(outrigger_credential_providers::direct_http_client(), endpoints, 1))
        };
        let credentials = Credentials::new("AKIDHOSTILE", format!("secret-{CANARY}"), None, None, "test");
        let identity = AwsIdentity {
            credentials: SharedCredentialsProvider::new(credentials),
            key: "hostile".to_owned(),
            region: Some("eu-west-1".to_owned()),
            region_origin: None,
            account: Some("111122223333".to_owned()),
            principal: None,
            level: "system".to_owned(),
            provider: "access-key".to_owned(),
            hops: Vec::new(),
            session_policy: false,
            endpoint: None,
        };
        let http = Arc::new(GuestHttp::new(everything(answering.port())));
        let (for_answering, for_silent, for_apart) = (clients(&answering), clients(&silent), clients(&apart));
        Self {
            plugins,
            answering: (answering, for_answering),
            silent: (silent, for_silent),
            apart: (apart, for_apart),
            folder,
            identity: Arc::new(identity),
            http,
            added: Mutex::default(),
        }
    }

    /// The plugins.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// The endpoint that answers.
    pub fn endpoint(&self) -> &Endpoint {
        &self.answering.0
    }

    /// A folder of the scene; runs have theirs in `runs`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of guests' runs.
    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    /// Takes a component in without asking it what it is, as if somebody had agreed to it.
    pub fn agree_to(&self, bytes: &[u8]) -> Arc<Plugin> {
        let digest = hex::encode(Sha256::digest(bytes));
        let provider = format!("agreed-{}", digest.get(..16).unwrap_or(&digest));
        let file = self.folder.path().join(format!("{provider}.wasm"));
        std::fs::write(&file, bytes).expect("a file");
        let info = ComponentInfo {
            provider: provider.clone(),
            title: String::new(),
            summary: String::new(),
            input_schema: Value::Bool(true),
            output_schema: Value::Bool(true),
            worlds: vec!["job-step".to_owned()],
            imports: Vec::new(),
            whole_interfaces: Vec::new(),
            digest,
            size: bytes.len(),
        };
        self.plugins.add_file(file, info);
        self.plugins.get(&provider).expect("it was added")
    }

    /// Examines a component as `plugin add` does, and takes it in. Once for each component.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn add(&self, name: &str, bytes: &[u8]) -> Result<Arc<Plugin>, RuntimeError> {
        let digest = hex::encode(Sha256::digest(bytes));
        if let Some(plugin) = locked(&self.added).get(&digest) {
            return Ok(plugin.clone());
        }
        let info = self.plugins.examine(name, bytes, false).await?;
        let file = self.folder.path().join(format!("{digest}.wasm"));
        std::fs::write(&file, bytes).expect("a file");
        let provider = info.provider.clone();
        self.plugins.add_file(file, info);
        let plugin = self.plugins.get(&provider).expect("it was added");
        self.plugins.prepare(&plugin).await?;
        locked(&self.added).insert(digest, plugin.clone());
        Ok(plugin)
    }

    /// Runs a step to its end.
    pub async fn run(&self, plugin: &Plugin, plan: &Plan) -> Seen {
        let redactor = Redactor::new();
        redactor.register(&Secret::new(CANARY.to_owned()));
        let journal = Arc::new(MemoryJournal::default());
        let run = Arc::new(RunDoor {
            mode: Mode::Run,
            journal: journal.clone(),
            recorder: None,
            authorizer: Arc::new(AllBut(plan.denied)),
            redactor: redactor.clone(),
        });
        let cancel = CancellationToken::new();
        let start = Instant::now();
        let lifetime = Lifetime::new(Some(tokio::time::Instant::now() + plan.deadline), plan.grace, cancel.clone());
        let step = StepKey { run: RunId(1), path: "1".to_owned(), node: "local".to_owned(), attempt: 1 };
        let caller = Caller { plugin: plugin.info().provider.clone(), digest: plugin.info().digest.clone() };
        let sink = Arc::new(Sink::default());
        let (endpoint, clients) = match plan.manner {
            Manner::Answers => &self.answering,
            Manner::Silent => &self.silent,
            Manner::Apart => &self.apart,
        };
        let context = StepContext {
            door: Arc::new(Door::new(run, step, caller, lifetime)),
            sink: sink.clone(),
            identities: Arc::new(OneIdentity(self.identity.clone())),
            clients: clients.clone(),
            workspace: Arc::new(Workspace::new(
                self.workspace(),
                vec![self.folder.path().join("allowed")],
                Quota { bytes: 1024 * 1024, files: 100 },
            )),
            http: Some(self.http.clone()),
            secrets: BTreeMap::from([("password".to_owned(), Secret::new(CANARY.to_owned()))]),
            limits: plan.guest,
        };
        if let Some(after) = plan.cancel {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                cancel.cancel();
            });
        }
        let input = plan.input.to_string();
        let ended = match self.plugins.run_job_step(plugin, context, &input, plan.sandbox).await {
            Err(error) => Ended::Refused(error.to_string()),
            Ok(Ok(answer)) => Ended::Answered(answer),
            Ok(Err(end)) => Ended::Ended(end),
        };
        let took = start.elapsed();
        let raw = std::mem::take(&mut *locked(&sink.lines));
        let shown = raw.iter().map(|line| show(&redactor, line)).collect();
        let outputs = std::mem::take(&mut *locked(&sink.outputs));
        let reports = *locked(&sink.reports);
        Seen { ended, took, raw, shown, reports, outputs, requests: endpoint.take_requests(), journal }
    }
}

/// What a run's log makes of a line.
fn show(redactor: &Redactor, line: &str) -> String {
    use outrigger_jobs::filters::{LineBreaks, neutralise};
    neutralise(&redactor.redact(line), LineBreaks::Escape).into_owned()
}

/// A policy of an operator who lists whatever can be listed.
fn everything(port: u16) -> HttpPolicy {
    let hosts = [
        "127.0.0.1",
        "127.1.2.3",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "169.254.170.2",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1]",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        // Somebody else's machine: a request to it is refused for other reasons.
        "203.0.113.1",
    ];
    let origins = hosts
        .iter()
        .flat_map(|host| [format!("http://{host}:{port}"), format!("http://{host}"), format!("https://{host}")]);
    let origins: Vec<Origin> = origins.filter_map(|origin| origin.parse().ok()).collect();
    assert!(origins.len() > hosts.len(), "the operator can list these");
    let networks: Vec<Network> = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
    assert_eq!(networks.len(), 2);
    HttpPolicy { origins, networks }
}
