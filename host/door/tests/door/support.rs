//! A door whose journal, grants and calls write down what happens, in order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outrigger_door::{
    AuditOutcome, AuditRecord, AuthorisationRequest, Authorizer, BoxFuture, Caller, Door, Effect, Failure, InDoubt,
    Intent, IntentOutcome, Journal, JournalError, Lifetime, MemoryJournal, Mode, Operation, Passage, Recorder, Replay,
    RunDoor, RunId, StepKey, Stop, Target,
};
use outrigger_redaction::Redactor;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const fn operation(function: &'static str, iam: &'static [&'static str], effect: Effect, clean_up: bool) -> Operation {
    Operation {
        interface: "outrigger:aws-test/things@0.1.0",
        function,
        service: "test",
        action: "Thing",
        iam,
        dependent: &[],
        effect,
        clean_up,
    }
}

pub static LOOK: Operation = operation("look", &["test:Look"], Effect::Read, false);
pub static SET: Operation = operation("set", &["test:Set"], Effect::Idempotent, false);
pub static START: Operation = operation("start", &["test:Start"], Effect::Token, false);
pub static START_OTHER: Operation = operation("start-other", &["test:StartOther"], Effect::Token, false);
pub static FIRE: Operation = operation("fire", &["test:Fire"], Effect::Unsafe, false);
pub static FIRE_OTHER: Operation = operation("fire-other", &["test:FireOther"], Effect::Unsafe, false);
pub static STOP: Operation = operation("stop", &["test:Stop"], Effect::Idempotent, true);

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    pub fn push(&self, event: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A journal that tells when it is asked for what, and may refuse.
pub struct TellingJournal {
    events: Events,
    pub memory: MemoryJournal,
    pub broken: bool,
}

fn function(import: &str) -> &str {
    import.rsplit('#').next().unwrap_or(import)
}

impl Journal for TellingJournal {
    fn intent(&self, intent: Intent) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let name = function(&intent.function).to_owned();
            self.events.push(format!("intent {name} begins"));
            // A real journal waits for the disk here; the call must wait with it.
            tokio::task::yield_now().await;
            if self.broken {
                return Err(JournalError("no space left on device".to_owned()));
            }
            self.memory.intent(intent).await?;
            self.events.push(format!("intent {name} is on disk"));
            Ok(())
        })
    }

    fn outcome(&self, step: &StepKey, sequence: u64, outcome: IntentOutcome) {
        let word = match &outcome {
            IntentOutcome::Done => "done",
            IntentOutcome::Refused(_) => "refused",
            IntentOutcome::Unknown => "unknown",
        };
        self.events.push(format!("outcome {word}"));
        self.memory.outcome(step, sequence, outcome);
    }

    fn audit(&self, record: AuditRecord) {
        let word = match &record.outcome {
            AuditOutcome::Ok => "ok".to_owned(),
            AuditOutcome::Error { code, .. } => format!("error {code}"),
            AuditOutcome::Denied { missing } => format!("denied, missing {missing}"),
            AuditOutcome::DryRun => "dry run".to_owned(),
            AuditOutcome::Unknown => "unknown".to_owned(),
        };
        self.events.push(format!("audit {word}"));
        self.memory.audit(record);
    }

    fn in_doubt<'a>(&'a self, step: &'a StepKey) -> BoxFuture<'a, Result<Vec<InDoubt>, JournalError>> {
        self.memory.in_doubt(step)
    }
}

/// Grants that deny some functions, and what they call what is missing.
struct Grants {
    events: Events,
    denied: Vec<&'static str>,
    missing: String,
}

impl Authorizer for Grants {
    fn authorise(&self, request: &AuthorisationRequest<'_>) -> Result<(), String> {
        self.events.push(format!("authorise {}", request.operation.function));
        if self.denied.contains(&request.operation.function) { Err(self.missing.clone()) } else { Ok(()) }
    }
}

/// Everything that a test sets and looks at.
pub struct Scene {
    pub events: Events,
    pub journal: Arc<TellingJournal>,
    pub run: Arc<RunDoor>,
    pub lifetime: Lifetime,
}

/// How a scene is made.
#[derive(Default)]
pub struct Setting {
    pub mode: Mode,
    pub denied: Vec<&'static str>,
    pub missing: Option<&'static str>,
    pub broken_journal: bool,
    pub recorder: Option<Recorder>,
    pub redactor: Redactor,
    pub lifetime: Option<Lifetime>,
}

impl Scene {
    pub fn new(setting: Setting) -> Self {
        let events = Events::default();
        let journal = Arc::new(TellingJournal {
            events: events.clone(),
            memory: MemoryJournal::default(),
            broken: setting.broken_journal,
        });
        let run = Arc::new(RunDoor {
            mode: setting.mode,
            journal: journal.clone(),
            recorder: setting.recorder.map(Arc::new),
            authorizer: Arc::new(Grants {
                events: events.clone(),
                denied: setting.denied,
                missing: setting.missing.unwrap_or("allow = [\"test:*\"]").to_owned(),
            }),
            redactor: setting.redactor,
        });
        let lifetime = setting
            .lifetime
            .unwrap_or_else(|| Lifetime::until_cancelled(CancellationToken::new(), Duration::from_secs(10)));
        Self { events, journal, run, lifetime }
    }

    /// The door of a step attempt.
    pub fn door(&self, path: &str, node: &str, attempt: u32) -> Door {
        self.door_of(7, path, node, attempt)
    }

    /// The door of a step attempt of some run.
    pub fn door_of(&self, run: i64, path: &str, node: &str, attempt: u32) -> Door {
        Door::new(self.run.clone(), key(run, path, node, attempt), caller("0".repeat(64)), self.lifetime.clone())
    }

    /// Calls an operation that answers at once.
    pub async fn call(&self, door: &Door, operation: &'static Operation, input: Value) -> Answer {
        self.call_with(door, operation, input, |_| async { Ok(json!({"done": true})) }).await
    }

    /// Calls an operation that does as `perform` says.
    pub async fn call_with<F, Fut>(
        &self,
        door: &Door,
        operation: &'static Operation,
        input: Value,
        perform: F,
    ) -> Answer
    where
        F: FnOnce(Passage) -> Fut,
        Fut: Future<Output = Result<Value, Failure>>,
    {
        let events = self.events.clone();
        let target = Target { region: Some("eu-west-1".to_owned()), ..Target::default() };
        door.call(operation, target, input, |passage, _| async move {
            events.push(format!("call {}", operation.function));
            perform(passage).await
        })
        .await
    }

    /// The client token that an operation gets.
    pub async fn token(&self, door: &Door, operation: &'static Operation) -> Option<String> {
        let token = Arc::new(Mutex::new(None));
        let kept = token.clone();
        self.call_with(door, operation, json!({}), |passage| async move {
            *kept.lock().unwrap() = passage.token;
            Ok(Value::Null)
        })
        .await
        .unwrap()
        .unwrap();
        token.lock().unwrap().clone()
    }
}

/// What the door answers.
pub type Answer = Result<Result<Value, Failure>, Stop>;

pub fn key(run: i64, path: &str, node: &str, attempt: u32) -> StepKey {
    StepKey { run: RunId(run), path: path.to_owned(), node: node.to_owned(), attempt }
}

pub fn caller(digest: String) -> Caller {
    Caller { plugin: "test-step".to_owned(), digest }
}

/// A call that never answers.
pub async fn never() -> Result<Value, Failure> {
    std::future::pending().await
}

/// A recording, from its text.
pub fn replay(text: &str) -> Arc<Replay> {
    Arc::new(Replay::read(text.as_bytes(), std::path::Path::new("a.recording")).unwrap())
}
