//! Credential providers that are components, and the HTTP that guests get.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use outrigger_capabilities::aws::AwsIdentity;
use outrigger_capabilities::bindings::outrigger::run::log::Level;
use outrigger_capabilities::http::{GuestHttp, HttpPolicy};
use outrigger_capabilities::state::{GuestLimits, GuestSink, Identities, StepContext};
use outrigger_capabilities::workspace::{Quota, Workspace};
use outrigger_config::{GrantKind, Network};
use outrigger_credential_providers::{BoxFuture, ComponentProvider};
use outrigger_door::{Caller, Door, Failure, MemoryJournal, Mode, Reason, RunDoor, RunId, StepKey};
use outrigger_redaction::Secret;
use outrigger_runtime::{SandboxLimits, brief_lifetime};
use serde_json::Value;

use crate::host::Host;
use crate::permissions::ConfiguredPermissions;

/// Longest time that a provider may take.
const TIME: Duration = Duration::from_secs(30);

/// Outgoing HTTP to these origins and private networks; none where there is no origin.
pub(crate) fn guest_http(origins: &[String], networks: &[Network]) -> Option<Arc<GuestHttp>> {
    let policy = HttpPolicy {
        origins: origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
        networks: networks.iter().filter_map(|network| network.to_string().parse().ok()).collect(),
    };
    (!policy.origins.is_empty()).then(|| Arc::new(GuestHttp::new(policy)))
}

/// Runs components of the world `credential-provider`.
pub(crate) struct ComponentProviders {
    // The host owns the providers, which own this.
    host: Weak<Host>,
}

impl ComponentProviders {
    pub(crate) fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::downgrade(host) }
    }
}

struct LogOnly(String);

impl GuestSink for LogOnly {
    fn log(&self, level: Level, text: &str, _media_type: Option<&str>) {
        tracing::info!(provider = self.0, ?level, "{text}");
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _what: &str) {}

    fn output(&self, _name: &str, _value: Value) {}
}

/// A credential provider has no credentials to work with.
struct NoIdentities;

impl Identities for NoIdentities {
    fn open<'a>(&'a self, _name: Option<&'a str>) -> outrigger_door::BoxFuture<'a, Result<Arc<AwsIdentity>, Failure>> {
        Box::pin(async {
            Err(Failure::new(Reason::Authentication, "a credential provider has no AWS credentials to work with"))
        })
    }
}

impl ComponentProvider for ComponentProviders {
    fn provide<'a>(
        &'a self,
        name: &'a str,
        config: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<Credentials, String>> {
        Box::pin(async move {
            let host = self.host.upgrade().ok_or("the host is shutting down")?;
            provide(&host, name, config).await
        })
    }
}

async fn provide(host: &Arc<Host>, name: &str, config: &BTreeMap<String, String>) -> Result<Credentials, String> {
    let plugin = host
        .plugins()
        .get(name)
        .filter(|plugin| plugin.info().worlds.iter().any(|world| world == "credential-provider"))
        .ok_or_else(|| format!("no credential provider `{name}` has been added; see `outrigger plugin add`"))?;
    let info = plugin.info().clone();
    let permissions = host.settings().permissions();
    if !permissions.granted(name, GrantKind::Seal, "") {
        return Err(format!(
            "the component `{name}` may not make secrets; add to outrigger.toml: [permissions.grants.{name}] seal = true"
        ));
    }
    let mut input: serde_json::Map<String, Value> =
        config.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    plugin
        .check_input(&Value::Object(input.clone()))
        .map_err(|problems| format!("the configuration of `{name}` is not valid: {}", problems.join("; ")))?;
    let mut secrets = BTreeMap::new();
    let reveals = info.imports.iter().any(|import| import.starts_with("outrigger:secrets/reveal@"));
    let properties = info.input_schema.get("properties").and_then(Value::as_object);
    for (field, property) in properties.into_iter().flatten() {
        if property.get(crate::steps::SECRET_KEYWORD).and_then(Value::as_bool) != Some(true) {
            continue;
        }
        if let Some(Value::String(path)) = input.remove(field) {
            if reveals && !permissions.granted(name, GrantKind::Reveal, &path) {
                return Err(format!(
                    "the component `{name}` may not read the plain text of {path}; add to outrigger.toml: \
                     [permissions.grants.{name}] reveal = [\"{path}\"]"
                ));
            }
            let secret = host.keys().get(&path).map_err(|error| error.to_string())?;
            host.redactor().register(&secret);
            secrets.insert(field.clone(), secret);
        }
    }
    let folder = host.home().workspace_dir.join("providers");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let door = Arc::new(RunDoor {
        mode: Mode::Run,
        journal: Arc::new(MemoryJournal::default()),
        recorder: None,
        authorizer: Arc::new(ConfiguredPermissions(permissions.clone())),
        redactor: host.redactor().clone(),
    });
    // A provider works for no run of its own; its calls are not in any run's audit.
    let key = StepKey { run: RunId(0), path: format!("credentials/{name}"), node: "local".to_owned(), attempt: 1 };
    let caller = Caller { plugin: info.provider.clone(), digest: info.digest.clone() };
    let context = StepContext {
        door: Arc::new(Door::new(door, key, caller, brief_lifetime(TIME))),
        sink: Arc::new(LogOnly(name.to_owned())),
        identities: Arc::new(NoIdentities),
        clients: host.clients().map_err(|error| error.to_string())?,
        workspace: Arc::new(Workspace::new(folder, Vec::new(), Quota { bytes: 0, files: 0 })),
        http: host.guest_http(&info),
        secrets,
        limits: GuestLimits::default(),
    };
    let limits = SandboxLimits { cpu: Duration::from_secs(5), ..SandboxLimits::default() };
    let input = Value::Object(input).to_string();
    let given = host
        .plugins()
        .provide_credentials(&plugin, context, &input, limits)
        .await
        .map_err(|error| error.to_string())?
        .map_err(|end| end.to_string())?
        .map_err(|failure| failure.message)?;
    let text = |secret: &Secret| secret.expose().to_owned();
    let mut credentials = Credentials::builder()
        .access_key_id(given.access_key_id)
        .secret_access_key(text(&given.secret_access_key))
        .provider_name("component");
    credentials.set_session_token(given.session_token.as_ref().map(text));
    credentials.set_expiry(given.expiration_unix_millis.map(|at| SystemTime::UNIX_EPOCH + Duration::from_millis(at)));
    Ok(credentials.build())
}
