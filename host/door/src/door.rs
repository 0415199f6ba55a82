//! The door itself.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use outrigger_redaction::Redactor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::masking::mask;
use crate::recording::{RecordedCall, RecordedResult, RecordedStep, Recorder, Replay};
use crate::{
    AuditOutcome, AuditRecord, Effect, Failure, Intent, IntentOutcome, Journal, Lifetime, Operation, Phase, Reason,
    StepKey,
};

/// How a run treats its calls.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// Calls are made.
    #[default]
    Run,
    /// Reads are made; the first write ends the step.
    DryRun,
    /// Nothing is called; answers come from a recording.
    Replay(Arc<Replay>),
}

/// What the operator's grants are asked.
#[derive(Clone, Copy, Debug)]
pub struct AuthorisationRequest<'a> {
    /// Provider id of the plugin.
    pub plugin: &'a str,
    /// What it wants to call.
    pub operation: &'a Operation,
    /// Region of the call.
    pub region: Option<&'a str>,
    /// Account of the credentials.
    pub account: Option<&'a str>,
    /// What the call names: ids, ARNs, buckets.
    pub resources: &'a [String],
}

/// Decides by the operator's grants. Asked once per door call; does no input or output.
pub trait Authorizer: Send + Sync + 'static {
    /// `Err` holds the missing grant, ready to paste into a configuration file.
    fn authorise(&self, request: &AuthorisationRequest<'_>) -> Result<(), String>;
}

/// What a call is aimed at.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Region.
    pub region: Option<String>,
    /// Account, where it is known without asking.
    pub account: Option<String>,
    /// ARN of the identity, where it is known without asking.
    pub principal: Option<String>,
    /// What the call names: ids, ARNs, buckets.
    pub resources: Vec<String>,
}

/// Ends a step at once; the guest never sees it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Stop {
    /// A dry run reached its first write.
    #[error("dry run: {action} was not called")]
    DryRun {
        /// The AWS action, or the function of another capability.
        action: String,
        /// The redacted input.
        input: Value,
    },
    /// A replay does not match its recording.
    #[error("{step}: the replay diverged at call {position}: {problem}")]
    Diverged {
        /// The step attempt.
        step: StepKey,
        /// Position of the call, from 1.
        position: usize,
        /// What was called and what the recording holds.
        problem: String,
    },
    /// The grace period is over.
    #[error("the step went on after its grace period ({0})")]
    Over(Reason),
    /// An intent or a recording cannot be written.
    #[error("{0}")]
    Journal(String),
}

/// What all steps of a run share.
pub struct RunDoor {
    /// How calls are treated.
    pub mode: Mode,
    /// Where intents and audit records go.
    pub journal: Arc<dyn Journal>,
    /// Where answers are recorded, if they are.
    pub recorder: Option<Arc<Recorder>>,
    /// The operator's grants.
    pub authorizer: Arc<dyn Authorizer>,
    /// Masks secrets in whatever is written.
    pub redactor: Redactor,
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Provider id of the plugin.
    pub plugin: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
}

/// The door of one step attempt.
pub struct Door {
    run: Arc<RunDoor>,
    step: Arc<StepKey>,
    caller: Arc<Caller>,
    lifetime: Lifetime,
    sequence: AtomicU64,
    replayed: AtomicU64,
    tokens: Mutex<HashMap<String, u64>>,
    warned_digest: AtomicBool,
    /// Whether the guest has heard of its soft end.
    told: AtomicBool,
}

/// What a call that goes ahead is given.
#[derive(Clone)]
pub struct Passage {
    /// The client token, for operations that take one.
    pub token: Option<String>,
    /// Writes audit records of attempts.
    pub auditor: Auditor,
}

/// Writes the audit records of one door call.
#[derive(Clone)]
pub struct Auditor {
    run: Arc<RunDoor>,
    step: Arc<StepKey>,
    caller: Arc<Caller>,
    operation: &'static Operation,
    target: Arc<Target>,
}

impl Auditor {
    /// The operation that is audited.
    pub fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// Masks secrets.
    pub fn redactor(&self) -> &Redactor {
        &self.run.redactor
    }

    /// Writes a record: what is known of the call, with what `fill` sets.
    pub fn record(&self, fill: impl FnOnce(&mut AuditRecord)) {
        let mut record = AuditRecord {
            step: (*self.step).clone(),
            plugin: self.caller.plugin.clone(),
            digest: self.caller.digest.clone(),
            function: self.operation.import(),
            service: self.operation.service.to_owned(),
            action: self.operation.action.to_owned(),
            region: self.target.region.clone(),
            account: self.target.account.clone(),
            principal: self.target.principal.clone(),
            request_id: None,
            attempt: 1,
            at_unix_micros: unix_micros(),
            duration_micros: 0,
            outcome: AuditOutcome::Ok,
        };
        fill(&mut record);
        let outcome = match &mut record.outcome {
            AuditOutcome::Error { code, .. } => Some(code),
            AuditOutcome::Denied { missing } => Some(missing),
            AuditOutcome::Ok | AuditOutcome::DryRun | AuditOutcome::Unknown => None,
        };
        // The region comes from the guest, the rest from the service or from what the call names.
        for text in [record.request_id.as_mut(), record.principal.as_mut(), record.region.as_mut(), outcome] {
            let Some(text) = text else { continue };
            if let std::borrow::Cow::Owned(redacted) = self.run.redactor.redact(text) {
                *text = redacted;
            }
        }
        self.run.journal.audit(record);
    }
}

/// Whether a call is one that waits for something. Asking for the time must go on working, and so must a clean-up.
fn hears_of_the_end(operation: &Operation) -> bool {
    !operation.clean_up && (!operation.service.is_empty() || operation.function == "sleep")
}

fn ended(reason: Reason) -> &'static str {
    if reason == Reason::Timeout { "the step's deadline passed" } else { "the run was cancelled" }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Door").field("step", &self.step).field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl Door {
    /// The door of a step attempt.
    pub fn new(run: Arc<RunDoor>, step: StepKey, caller: Caller, lifetime: Lifetime) -> Self {
        Self {
            run,
            step: Arc::new(step),
            caller: Arc::new(caller),
            lifetime,
            sequence: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            tokens: Mutex::default(),
            warned_digest: AtomicBool::new(false),
            told: AtomicBool::new(false),
        }
    }

    /// The step attempt.
    pub fn step(&self) -> &StepKey {
        &self.step
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The step's deadline, cancellation and grace period.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// Masks secrets.
    pub fn redactor(&self) -> &Redactor {
        &self.run.redactor
    }

    /// Whether answers come from a recording.
    pub fn is_replay(&self) -> bool {
        matches!(self.run.mode, Mode::Replay(_))
    }

    /// Passes a call through the door: authorise, mode, intent, call, result. `Ok(Err(_))` is a failure that the guest sees,
    /// `Err(_)` ends the guest.
    pub async fn call<I, O, F, Fut>(
        &self,
        operation: &'static Operation,
        target: Target,
        input: I,
        perform: F,
    ) -> Result<Result<O, Failure>, Stop>
    where
        I: Serialize,
        O: Serialize + DeserializeOwned,
        F: FnOnce(Passage, I) -> Fut,
        Fut: Future<Output = Result<O, Failure>>,
    {
        let write = operation.effect.is_write();
        if let Mode::Replay(replay) = &self.run.mode {
            return self.replay(replay, operation, &input);
        }
        let phase = self.lifetime.phase();
        let refusal = match phase {
            Phase::Over(reason) => return Err(Stop::Over(reason)),
            Phase::Grace(reason) if write && !operation.clean_up => {
                self.told.store(true, Ordering::Relaxed);
                Some(Failure::new(
                    reason,
                    format!(
                        "{} is not allowed any more: the step {}, and only clean-up operations may write now",
                        display_name(operation),
                        if reason == Reason::Timeout { "passed its deadline" } else { "was cancelled" },
                    ),
                ))
            }
            // The end came between two calls, so nothing was in flight to hear of it.
            Phase::Grace(reason) if hears_of_the_end(operation) && !self.told.swap(true, Ordering::Relaxed) => {
                Some(Failure::new(reason, format!("{} was not begun: {}", display_name(operation), ended(reason))))
            }
            _ => None,
        };
        // The input is needed as JSON only where something is written down; a read in a plain run costs no copy.
        let redacted = (write || self.run.recorder.is_some()).then(|| self.redacted(&input)).transpose()?;
        if let Some(failure) = refusal {
            return self.answer(operation, redacted, Err(failure));
        }

        let target = Arc::new(target);
        let auditor = Auditor {
            run: self.run.clone(),
            step: self.step.clone(),
            caller: self.caller.clone(),
            operation,
            target: target.clone(),
        };
        let request = AuthorisationRequest {
            plugin: &self.caller.plugin,
            operation,
            region: target.region.as_deref(),
            account: target.account.as_deref(),
            resources: &target.resources,
        };
        if let Err(missing) = self.run.authorizer.authorise(&request) {
            let failure = Failure::new(
                Reason::AccessDenied,
                format!(
                    "the operator's permissions do not allow the plugin {} to call {}; what is missing: {missing}",
                    self.caller.plugin,
                    display_name(operation),
                ),
            )
            .with_code("PermissionDenied");
            auditor.record(|record| record.outcome = AuditOutcome::Denied { missing });
            return self.answer(operation, redacted, Err(failure));
        }
        if write && matches!(self.run.mode, Mode::DryRun) {
            auditor.record(|record| record.outcome = AuditOutcome::DryRun);
            return Err(Stop::DryRun { action: display_name(operation), input: redacted.unwrap_or(Value::Null) });
        }

        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let token = (operation.effect == Effect::Token).then(|| self.token(operation));
        if write {
            if let Some(failure) = self.in_doubt(operation, redacted.as_ref()).await? {
                return self.answer(operation, redacted, Err(failure));
            }
            let intent = Intent {
                step: (*self.step).clone(),
                sequence,
                function: operation.import(),
                action: display_name(operation),
                input_digest: digest(redacted.as_ref()),
                effect: operation.effect,
                token: token.clone(),
            };
            self.run.journal.intent(intent).await.map_err(|error| Stop::Journal(error.to_string()))?;
        }

        let passage = Passage { token, auditor: auditor.clone() };
        let call = perform(passage, input);
        let result = if phase == Phase::Live {
            tokio::select! {
                biased;
                result = call => Ok(result),
                reason = self.lifetime.soft_ended() => Err(reason),
            }
        } else {
            tokio::select! {
                biased;
                result = call => Ok(result),
                reason = self.lifetime.over() => return Err(self.interrupted_write(write, sequence, &auditor, reason)),
            }
        };
        let result = match result {
            Ok(result) => result,
            Err(reason) => {
                if write {
                    self.run.journal.outcome(&self.step, sequence, IntentOutcome::Unknown);
                    auditor.record(|record| record.outcome = AuditOutcome::Unknown);
                }
                self.told.store(true, Ordering::Relaxed);
                let what = ended(reason);
                let doubt = if write { "; whether it took effect is not known" } else { "" };
                let failure =
                    Failure::new(reason, format!("{} was interrupted: {what}{doubt}", display_name(operation)));
                return self.answer(operation, redacted, Err(failure));
            }
        };
        if write {
            let outcome = match &result {
                Ok(_) => IntentOutcome::Done,
                // Without an answer nobody knows whether the service acted.
                Err(failure) if matches!(failure.reason, Reason::Connection | Reason::Timeout) => {
                    IntentOutcome::Unknown
                }
                Err(failure) => IntentOutcome::Refused(self.redact_failure(failure.clone())),
            };
            self.run.journal.outcome(&self.step, sequence, outcome);
        }
        self.answer(operation, redacted, result)
    }

    fn interrupted_write(&self, write: bool, sequence: u64, auditor: &Auditor, reason: Reason) -> Stop {
        if write {
            self.run.journal.outcome(&self.step, sequence, IntentOutcome::Unknown);
            auditor.record(|record| record.outcome = AuditOutcome::Unknown);
        }
        Stop::Over(reason)
    }

    fn redacted(&self, input: &impl Serialize) -> Result<Value, Stop> {
        let mut value = serde_json::to_value(input)
            .map_err(|error| Stop::Journal(format!("failed to write down the input of a call: {error}")))?;
        mask(&self.run.redactor, &mut value);
        Ok(value)
    }

    fn redact_failure(&self, mut failure: Failure) -> Failure {
        for text in std::iter::once(&mut failure.message).chain(&mut failure.code) {
            if let std::borrow::Cow::Owned(redacted) = self.run.redactor.redact(text) {
                *text = redacted;
            }
        }
        failure
    }

    /// Records the answer, and gives it back to the caller.
    fn answer<O: Serialize>(
        &self,
        operation: &Operation,
        input: Option<Value>,
        result: Result<O, Failure>,
    ) -> Result<Result<O, Failure>, Stop> {
        let result = result.map_err(|failure| self.redact_failure(failure));
        if let Some(recorder) = &self.run.recorder {
            let recorded = match &result {
                Ok(output) => RecordedResult::Ok(
                    serde_json::to_value(output)
                        .map_err(|error| Stop::Journal(format!("failed to record an answer: {error}")))?,
                ),
                Err(failure) => RecordedResult::Failure(failure.clone()),
            };
            recorder
                .record(&RecordedCall {
                    step: RecordedStep::from(&*self.step),
                    digest: self.caller.digest.clone(),
                    function: operation.import(),
                    input: input.unwrap_or(Value::Null),
                    result: recorded,
                })
                .map_err(|error| Stop::Journal(error.to_string()))?;
        }
        Ok(result)
    }

    fn replay<O: DeserializeOwned>(
        &self,
        replay: &Replay,
        operation: &Operation,
        input: &impl Serialize,
    ) -> Result<Result<O, Failure>, Stop> {
        let position = self.replayed.fetch_add(1, Ordering::Relaxed) as usize;
        let diverged = |problem: String| Stop::Diverged { step: (*self.step).clone(), position: position + 1, problem };
        let function = operation.import();
        let Some(call) = replay.call(&self.step, position) else {
            return Err(diverged(format!(
                "the plugin called {function}, and the recording ends after {} calls",
                replay.len(&self.step)
            )));
        };
        if call.function != function {
            return Err(diverged(format!("the plugin called {function}, and the recording has {}", call.function)));
        }
        let input = self.redacted(input)?;
        if call.input != input {
            return Err(diverged(format!(
                "the plugin called {function} with {input}, and the recording has {}",
                call.input
            )));
        }
        if call.digest != self.caller.digest && !self.warned_digest.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                step = %self.step,
                recorded = call.digest,
                replayed = self.caller.digest,
                "the recording was made with another build of the plugin"
            );
        }
        match &call.result {
            RecordedResult::Ok(value) => serde_json::from_value(value.clone()).map(Ok).map_err(|error| {
                diverged(format!("the recorded answer of {function} does not fit the contract: {error}"))
            }),
            RecordedResult::Failure(failure) => Ok(Err(failure.clone())),
        }
    }

    /// The function that the recording goes on with after the last call; none at its end, or where nothing is replayed.
    pub fn left_in_recording(&self) -> Option<String> {
        let Mode::Replay(replay) = &self.run.mode else {
            return None;
        };
        let position = self.replayed.load(Ordering::Relaxed) as usize;
        replay.call(&self.step, position).map(|call| call.function.clone())
    }

    /// Whether the recording of this attempt was built by another component.
    pub fn replayed_other_digest(&self) -> bool {
        self.warned_digest.load(Ordering::Relaxed)
    }

    /// Refuses to repeat an unsafe write whose first try may have taken effect.
    async fn in_doubt(&self, operation: &Operation, input: Option<&Value>) -> Result<Option<Failure>, Stop> {
        if operation.effect != Effect::Unsafe || self.step.attempt == 1 {
            return Ok(None);
        }
        let doubts = self.run.journal.in_doubt(&self.step).await.map_err(|error| Stop::Journal(error.to_string()))?;
        let (import, digest) = (operation.import(), digest(input));
        let doubt = doubts.into_iter().find(|doubt| {
            doubt.intent.function == import && doubt.intent.input_digest == digest && doubt.intent.step != *self.step
        });
        Ok(doubt.map(|doubt| {
            Failure::new(
                Reason::Conflict,
                format!(
                    "{} is not repeated: attempt {} made the same call and nobody knows whether it took effect; check it, then \
                     run the job anew",
                    display_name(operation),
                    doubt.intent.step.attempt,
                ),
            )
            .with_code("InDoubt")
        }))
    }

    /// The same token whenever the same step of the same run makes the same call, so that a repetition changes nothing twice.
    fn token(&self, operation: &Operation) -> String {
        let import = operation.import();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tokens.entry(import.clone()).or_insert(0);
        *count += 1;
        let mut hash = Sha256::new();
        for part in [&self.step.run.to_string(), &self.step.path, &self.step.node, &import, &count.to_string()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        // 32 hexadecimal digits: within every service's limits for client tokens (Athena asks for 32 to 128 characters).
        hex::encode(&hash.finalize()[..16])
    }
}

/// `ec2:StartInstances`, or the function where the call is none of AWS's.
fn display_name(operation: &Operation) -> String {
    match operation.iam.first() {
        Some(action) => (*action).to_owned(),
        None if operation.service.is_empty() => operation.import(),
        None => format!("{}:{}", operation.service, operation.action),
    }
}

fn digest(input: Option<&Value>) -> String {
    let text = input.map(Value::to_string).unwrap_or_default();
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Microseconds since 1970-01-01T00:00:00Z.
pub fn unix_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
