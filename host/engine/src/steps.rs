//! Runs plugin steps: from an expanded configuration to a sandbox and back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outrigger_capabilities::bindings::outrigger::run::log::Level as GuestLevel;
use outrigger_capabilities::state::{GuestLimits, GuestSink, StepContext};
use outrigger_config::{GrantKind, PluginAlias, StepCredentials};
use outrigger_door::{BoxFuture, Caller, Door, Failure, Lifetime, Mode, Reason, RunDoor, Stop};
use outrigger_jobs::check::{ConfigurationSchema, Values};
use outrigger_jobs::steps::{
    LogLevel, LogLine, PluginCall, PluginCatalog, PluginSummary, StepFailure, StepOutcome, StepRunner, StepSink,
};
use outrigger_redaction::Secret;
use outrigger_runtime::{ComponentInfo, Plugin, Plugins, SandboxEnd, SandboxLimits};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::host::Host;
use crate::identities::StepIdentities;

/// Schema keyword: a property that belongs to the credentials block.
pub const CREDENTIAL_KEYWORD: &str = "x-outrigger-credential";
/// Schema keyword: a property that arrives as a secret handle.
pub const SECRET_KEYWORD: &str = "x-outrigger-secret";

/// Plugins as job files name them: provider ids, and the aliases of the configuration.
pub struct Catalog {
    plugins: Arc<Plugins>,
    aliases: BTreeMap<String, PluginAlias>,
}

impl Catalog {
    pub(crate) fn new(plugins: Arc<Plugins>, aliases: BTreeMap<String, PluginAlias>) -> Self {
        Self { plugins, aliases }
    }

    /// The plugin that runs steps of this type, with the property names that an alias changes.
    pub(crate) fn resolve(&self, provider: &str) -> Option<(Arc<Plugin>, Option<&PluginAlias>)> {
        let alias = self.aliases.get(provider);
        let plugin = self.plugins.get(alias.map_or(provider, |alias| &alias.plugin))?;
        plugin.info().worlds.iter().any(|world| world == "job-step").then_some((plugin, alias))
    }
}

impl PluginCatalog for Catalog {
    fn plugin(&self, provider: &str) -> Option<PluginSummary> {
        let (plugin, alias) = self.resolve(provider)?;
        let info = plugin.info();
        let mut input_schema = info.input_schema.clone();
        if let Some(alias) = alias {
            rename_properties(&mut input_schema, &alias.properties);
        }
        Some(PluginSummary {
            provider: provider.to_owned(),
            title: info.title.clone(),
            input_schema,
            output_schema: info.output_schema.clone(),
            worlds: info.worlds.clone(),
        })
    }

    fn providers(&self) -> Vec<String> {
        let all = self.plugins.all();
        let steps = all.iter().filter(|plugin| plugin.info().worlds.iter().any(|world| world == "job-step"));
        steps.map(|plugin| plugin.info().provider.clone()).chain(self.aliases.keys().cloned()).collect()
    }
}

/// Gives a schema the property names of another vendor.
fn rename_properties(schema: &mut Value, names: &BTreeMap<String, String>) {
    let theirs = |ours: &str| names.iter().find(|(_, name)| *name == ours).map(|(theirs, _)| theirs.clone());
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        *properties = std::mem::take(properties)
            .into_iter()
            .map(|(name, property)| (theirs(&name).unwrap_or(name), property))
            .collect();
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        for name in required {
            if let Some(theirs) = name.as_str().and_then(theirs) {
                *name = Value::String(theirs);
            }
        }
    }
}

/// A configuration, taken apart into what the guest gets and what stays in the host.
#[derive(Debug, Default)]
struct Prepared {
    input: Map<String, Value>,
    credentials: StepCredentials,
    secrets: BTreeMap<String, Secret>,
}

/// Runs the plugin steps of one run.
pub struct PluginSteps {
    pub(crate) host: Arc<Host>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) door: Arc<RunDoor>,
    pub(crate) workspace: Arc<outrigger_capabilities::workspace::Workspace>,
}

fn refused(message: impl Into<String>) -> StepFailure {
    StepFailure {
        reason: "ConfigurationFailure".to_owned(),
        message: message.into(),
        result_code: None,
        retryable: false,
    }
}

/// Rundeck's reason for a command that ended with another exit code than 0; its code is the output `exitCode`.
const NON_ZERO: &str = "NonZeroResultCode";

fn failed(failure: Failure) -> StepFailure {
    if failure.code.as_deref() == Some(NON_ZERO) {
        return StepFailure {
            reason: NON_ZERO.to_owned(),
            message: failure.message,
            result_code: None,
            retryable: failure.retryable,
        };
    }
    let message = match &failure.code {
        Some(code) if !failure.message.contains(code.as_str()) => format!("{} ({code})", failure.message),
        _ => failure.message,
    };
    StepFailure {
        reason: failure.reason.as_result_reason().to_owned(),
        message,
        result_code: None,
        retryable: failure.retryable,
    }
}

impl PluginSteps {
    fn schema(&self, info: &ComponentInfo) -> Result<Arc<ConfigurationSchema>, String> {
        let mut schemas = self.host.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = schemas.get(&info.digest) {
            return Ok(schema.clone());
        }
        let schema = Arc::new(ConfigurationSchema::new(&info.input_schema)?);
        schemas.insert(info.digest.clone(), schema.clone());
        Ok(schema)
    }

    /// Coerces, checks and takes apart what the job file configured.
    fn prepare(
        &self,
        call: &PluginCall,
        info: &ComponentInfo,
        alias: Option<&PluginAlias>,
    ) -> Result<Prepared, StepFailure> {
        let schema = self.schema(info).map_err(refused)?;
        let ours = |name: &str| alias.and_then(|alias| alias.properties.get(name).cloned()).unwrap_or(name.to_owned());
        let configured: Map<String, Value> =
            call.configuration.iter().map(|(name, value)| (ours(name), value.value.clone())).collect();
        let listed = |problems: Vec<outrigger_jobs::check::ConfigurationProblem>| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            refused(format!("the configuration of {} is not valid: {}", call.provider, lines.join("; ")))
        };
        let coerced = schema.coerce(&configured, Values::Hidden).map_err(listed)?;
        let problems = schema.validate(&coerced, Values::Hidden);
        if !problems.is_empty() {
            return Err(listed(problems));
        }
        let mut prepared = Prepared { input: coerced, ..Prepared::default() };
        let properties = info.input_schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(kind) = property.get(CREDENTIAL_KEYWORD).and_then(Value::as_str) {
                if let Some(Value::String(text)) = prepared.input.remove(name) {
                    self.lift(call, &mut prepared.credentials, name, kind, text)?;
                }
            } else if property.get(SECRET_KEYWORD).and_then(Value::as_bool) == Some(true)
                && let Some(Value::String(text)) = prepared.input.remove(name)
            {
                let secret = self.secret(call, info, name, text)?;
                prepared.secrets.insert(name.clone(), secret);
            }
        }
        let is_secret =
            |name: &String| call.configuration.iter().any(|(key, value)| value.secret && ours(key) == *name);
        if let Some(name) = prepared.input.keys().find(|name| is_secret(name)) {
            return Err(refused(format!(
                "`{name}` of {} would be given a secret, and the plugin does not take one there; secrets may only go where the \
                 plugin's documentation says so",
                call.provider
            )));
        }
        Ok(prepared)
    }

    fn lift(
        &self,
        call: &PluginCall,
        credentials: &mut StepCredentials,
        name: &str,
        kind: &str,
        text: String,
    ) -> Result<(), StepFailure> {
        let secret = call.configuration.get(name).is_some_and(|value| value.secret);
        if secret {
            return Err(refused(format!(
                "`{name}` of {} takes the path of a stored key such as `keys/project/web/aws`, not the secret itself",
                call.provider
            )));
        }
        let text = Some(text).filter(|text| !text.trim().is_empty());
        match kind {
            "region" => credentials.region = text,
            "access-key" => credentials.access_key_id = text,
            "secret-key" => credentials.secret_key = text,
            "session-token" => credentials.session_token = text,
            "role" => credentials.role_arn = text,
            "external-id" => credentials.external_id = text,
            "endpoint" => credentials.endpoint = text,
            other => {
                return Err(refused(format!(
                    "the schema of {} has the unknown credential field `{other}`",
                    call.provider
                )));
            }
        }
        Ok(())
    }

    /// A secret field holds the path of a stored key, as Rundeck's storage fields do, or the value of a secure option.
    fn secret(&self, call: &PluginCall, info: &ComponentInfo, name: &str, text: String) -> Result<Secret, StepFailure> {
        if matches!(self.door.mode, Mode::Replay(_)) {
            return Ok(Secret::new(String::new()));
        }
        let given = call.configuration.get(name).is_some_and(|value| value.secret);
        let stored = !given && text.starts_with("keys/");
        // What is no stored key has no path that a grant could list; only a grant for everything covers it.
        let asked = if stored { text.as_str() } else { "" };
        if info.imports.iter().any(|import| import.starts_with("outrigger:secrets/reveal@"))
            && !self.host.settings().permissions().granted(&info.provider, GrantKind::Reveal, asked)
        {
            return Err(refused(format!(
                "`{name}` of {} would be given a secret, and the plugin can read its plain text, which it was not granted; see \
                 `reveal` below [permissions.grants.{}] in outrigger.toml",
                call.provider, info.provider
            )));
        }
        if !stored {
            let secret = Secret::new(text);
            self.door.redactor.register(&secret);
            return Ok(secret);
        }
        let secret = self.host.keys().get(&text).map_err(|error| refused(format!("`{name}`: {error}")))?;
        self.door.redactor.register(&secret);
        Ok(secret)
    }

    async fn attempt(&self, call: PluginCall, sink: Arc<dyn StepSink>) -> StepOutcome {
        let Some((plugin, alias)) = self.catalog.resolve(&call.provider) else {
            return StepOutcome::Failed(StepFailure {
                reason: "PluginMissing".to_owned(),
                message: format!("there is no plugin with the provider id `{}`", call.provider),
                result_code: None,
                retryable: false,
            });
        };
        let info = plugin.info().clone();
        let mut prepared = match self.prepare(&call, &info, alias) {
            Ok(prepared) => prepared,
            Err(failure) => return StepOutcome::Failed(failure),
        };
        if let Err(failure) = say_credentials(&call, &mut prepared.credentials) {
            return StepOutcome::Failed(failure);
        }
        let limits = self.host.settings().limits();
        let deadline = Duration::from_secs(limits.deadline_seconds.value);
        let deadline = call.timeout.map_or(deadline, |timeout| timeout.min(deadline));
        let grace = Duration::from_secs(limits.grace_seconds.value.into());
        let lifetime = Lifetime::new(Instant::now().checked_add(deadline), grace, call.cancel.clone());
        let caller = Caller { plugin: info.provider.clone(), digest: info.digest.clone() };
        let door = Arc::new(Door::new(self.door.clone(), call.key.clone(), caller, lifetime));
        let clients = match self.host.clients() {
            Ok(clients) => clients,
            Err(error) => return StepOutcome::Failed(refused(error.to_string())),
        };
        let maker = match self.host.identity_maker() {
            Ok(maker) => maker,
            Err(error) => return StepOutcome::Failed(refused(error.to_string())),
        };
        let identities = StepIdentities {
            maker,
            said: prepared.credentials,
            component: info.clone(),
            step: call.key.clone(),
            opened: OnceCell::new(),
        };
        let guest_sink = Arc::new(GuestToStep { sink, exit_code: Mutex::default() });
        let context = StepContext {
            door: door.clone(),
            sink: guest_sink.clone(),
            identities: Arc::new(identities),
            clients,
            workspace: self.workspace.clone(),
            http: self.host.guest_http(&info),
            secrets: prepared.secrets,
            limits: GuestLimits {
                log_lines: limits.log_lines.value,
                output_bytes: usize::try_from(limits.outputs_kib.value).unwrap_or(usize::MAX).saturating_mul(1024),
                ..GuestLimits::default()
            },
        };
        let sandbox = SandboxLimits {
            memory_bytes: usize::try_from(limits.memory_mib.value).unwrap_or(usize::MAX).saturating_mul(1024 * 1024),
            cpu: Duration::from_secs(limits.cpu_seconds.value.into()),
            ..SandboxLimits::default()
        };
        let input = Value::Object(prepared.input).to_string();
        let ended = self.host.plugins().run_job_step(&plugin, context, &input, sandbox).await;
        let mut outcome = self.outcome(&call, &door, ended);
        if let StepOutcome::Failed(failure) = &mut outcome
            && failure.reason == NON_ZERO
        {
            failure.result_code = *guest_sink.exit_code.lock().unwrap_or_else(PoisonError::into_inner);
        }
        outcome
    }

    fn outcome(
        &self,
        call: &PluginCall,
        door: &Door,
        ended: Result<Result<Result<(), Failure>, SandboxEnd>, outrigger_runtime::RuntimeError>,
    ) -> StepOutcome {
        match ended {
            Err(error) => StepOutcome::Failed(StepFailure {
                reason: "PluginFailure".to_owned(),
                message: error.to_string(),
                result_code: None,
                retryable: false,
            }),
            Ok(Ok(answer)) => {
                if let Some(left) = door.left_in_recording() {
                    return StepOutcome::Fatal(format!(
                        "{}: the replay diverged: the plugin ended, and the recording goes on with {left}",
                        call.key
                    ));
                }
                match answer {
                    Ok(()) => StepOutcome::Succeeded,
                    Err(failure) if failure.reason == Reason::Cancelled && call.cancel.is_cancelled() => {
                        StepOutcome::Cancelled
                    }
                    Err(failure) => StepOutcome::Failed(failed(failure)),
                }
            }
            Ok(Err(SandboxEnd::Trapped(failure))) => StepOutcome::Failed(failed(failure)),
            Ok(Err(SandboxEnd::Stopped(stop))) => match stop {
                Stop::DryRun { action, input } => StepOutcome::DryRunStop {
                    action,
                    input: match input {
                        Value::Object(members) => members,
                        Value::Null => Map::new(),
                        other => Map::from_iter([("input".to_owned(), other)]),
                    },
                },
                stop @ (Stop::Diverged { .. } | Stop::Journal(_)) => StepOutcome::Fatal(stop.to_string()),
                Stop::Over(Reason::Cancelled) if call.cancel.is_cancelled() => StepOutcome::Cancelled,
                Stop::Over(reason) => StepOutcome::Failed(failed(Failure::new(
                    reason,
                    "the plugin did not end within its deadline and the grace period after it; it was stopped",
                ))),
            },
        }
    }
}

/// `credentials:` of a step is the name of an account or the ARN of a role; `region:` goes before the configuration's.
fn say_credentials(call: &PluginCall, credentials: &mut StepCredentials) -> Result<(), StepFailure> {
    if let Some(said) = call.credentials.as_ref().filter(|said| !said.trim().is_empty()) {
        if said.starts_with("arn:") {
            if credentials.role_arn.is_some() {
                return Err(refused(
                    "`credentials` names a role, and the configuration names another one; keep one of them",
                ));
            }
            credentials.role_arn = Some(said.clone());
        } else {
            credentials.account = Some(said.clone());
        }
    }
    if let Some(region) = call.region.as_ref().filter(|region| !region.trim().is_empty()) {
        credentials.region = Some(region.clone());
    }
    Ok(())
}

impl StepRunner for PluginSteps {
    fn run(&self, call: PluginCall, sink: Arc<dyn StepSink>) -> BoxFuture<'_, StepOutcome> {
        Box::pin(self.attempt(call, sink))
    }
}

/// Gives a guest's lines to the step's log.
struct GuestToStep {
    sink: Arc<dyn StepSink>,
    exit_code: Mutex<Option<i64>>,
}

impl GuestSink for GuestToStep {
    fn log(&self, level: GuestLevel, text: &str, media_type: Option<&str>) {
        let level = match level {
            GuestLevel::Debug => LogLevel::Debug,
            GuestLevel::Verbose => LogLevel::Verbose,
            GuestLevel::Info => LogLevel::Info,
            GuestLevel::Warn => LogLevel::Warn,
            GuestLevel::Error => LogLevel::Error,
        };
        self.sink.log(LogLine { level, text: text.to_owned(), data_type: media_type.map(str::to_owned) });
    }

    fn progress(&self, done: u64, total: Option<u64>, what: &str) {
        self.sink.progress(done, total, what);
    }

    fn output(&self, name: &str, value: Value) {
        if name == "exitCode" {
            *self.exit_code.lock().unwrap_or_else(PoisonError::into_inner) = value.as_i64();
        }
        self.sink.output(name, value);
    }
}
