//! An endpoint with a recorder before it, and providers that talk to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use outrigger_config::{AssumeRoleBlock, CredentialsBlock, KeyPath, Source};
use outrigger_credential_providers::{
    CredentialRequest, CredentialsError, Env, Level, Origin, Providers, ProvidersContext, Proxy, ResolvedBlock,
    SessionName, http_client,
};
use outrigger_endpoints::{
    Account, ContainerCredentials, FaultProxy, Keys, Ministack, Task, Vendor,
    policy::{allow, console_trust},
};
use outrigger_redaction::Secret;
use tempfile::TempDir;

/// Every secret that redaction was told.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn has(&self, secret: &str) -> bool {
        self.all().iter().any(|seen| seen == secret)
    }
}

/// An account of its own, a recorder before the endpoint, and an empty home.
pub struct World {
    pub account: Account,
    pub stack: Arc<Ministack>,
    pub recorder: FaultProxy,
    pub home: TempDir,
    pub seen: Seen,
}

impl World {
    /// Fails, and does not skip, where the endpoint cannot be installed or started.
    pub async fn new() -> Self {
        let stack = Ministack::shared().await.unwrap_or_else(|error| panic!("ministack is needed: {error}"));
        let recorder = FaultProxy::start(&stack.url()).unwrap();
        let home = tempfile::tempdir().unwrap();
        Self { account: stack.new_account(), stack, recorder, home, seen: Seen::default() }
    }

    /// The context that [`providers`](Self::providers) works with: these variables, an empty home, these stored keys.
    pub fn context(&self, variables: &[(&str, &str)], stored: &[(&str, &str)]) -> ProvidersContext {
        let stored: HashMap<String, String> =
            stored.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        let keys = move |path: &KeyPath| match stored.get(&path.0) {
            Some(secret) => Ok(Secret::new(secret.clone())),
            None => Err("there is no such key".to_owned()),
        };
        let seen = self.seen.clone();
        let observer = move |secret: &Secret| seen.0.lock().unwrap().push(secret.expose().to_owned());
        let mut context =
            ProvidersContext::new(http_client(None, Proxy::Off).unwrap(), Arc::new(keys), Arc::new(observer));
        context.endpoints.endpoint_url = Some(self.recorder.url());
        let home = self.home.path().display().to_string();
        let mut all: HashMap<&str, &str> = HashMap::from([("HOME", home.as_str())]);
        all.extend(variables.iter().copied());
        if !all.contains_key("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            all.entry("AWS_EC2_METADATA_DISABLED").or_insert("true");
        }
        context.env = Env::fixed(all);
        context
    }

    pub fn providers(&self, variables: &[(&str, &str)], stored: &[(&str, &str)]) -> Providers {
        Providers::new(self.context(variables, stored))
    }

    /// Summaries of the calls of one operation, in order.
    pub fn calls(&self, operation: &str) -> Vec<String> {
        let all = self.recorder.requests().into_iter();
        all.filter(|request| request.operation == operation).map(|request| request.summary).collect()
    }

    /// `text` without what differs from run to run.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&self.recorder.url(), "http://ENDPOINT")
            .replace(self.account.id(), "111122223333")
            .replace(&self.home.path().display().to_string(), "HOME")
    }

    /// Fails if `text` holds any secret that was made known.
    pub fn assert_no_secret(&self, text: &str) {
        for secret in self.seen.all() {
            assert!(!text.contains(&secret), "a secret stands in: {text}");
        }
    }

    /// A user without any permission.
    pub async fn user(&self, name: &str) -> Keys {
        self.account.user(name, None).await.unwrap()
    }

    /// Makes a role that tokens of GitHub may assume, with the trust policy of
    /// [GitHub's guide](https://docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws).
    pub async fn federated_role(&self, name: &str) -> String {
        let provider = format!("arn:aws:iam::{}:oidc-provider/token.actions.githubusercontent.com", self.account.id());
        let trust = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Federated": provider},
                "Action": "sts:AssumeRoleWithWebIdentity",
            }],
        });
        self.account.role(name, &trust, None).await.unwrap()
    }

    /// Makes a role that the account's root may assume, and vends sessions of it that last `seconds`.
    pub async fn vendor(&self, role: &str, actions: &[&str], seconds: u64) -> Vendor {
        let trust = console_trust(self.account.id(), None);
        let role = self.account.role(role, &trust, Some(&allow(actions, &["*"]))).await.unwrap();
        let user =
            self.account.user(&format!("vends-{seconds}"), Some(&allow(&["sts:AssumeRole"], &["*"]))).await.unwrap();
        let account = self.account.clone();
        Vendor::new(move || {
            let (account, user, role) = (account.clone(), user.clone(), role.clone());
            async move { account.assume(&user, &role, None, Duration::from_secs(seconds)).await }
        })
    }

    /// A container endpoint with one task at `/v2/credentials/task`.
    pub fn task(&self, vendor: Vendor, token: Option<&str>) -> ContainerCredentials {
        ContainerCredentials::start(vec![Task {
            path: "/v2/credentials/task".to_owned(),
            token: token.map(str::to_owned),
            role_arn: format!("arn:aws:iam::{}:role/task", self.account.id()),
            vendor,
        }])
        .unwrap()
    }
}

pub const SECRET_PATH: &str = "keys/aws";

/// Block of a user's access key whose secret is stored under [`SECRET_PATH`].
pub fn access_key(keys: &Keys) -> CredentialsBlock {
    CredentialsBlock::AccessKey {
        access_key_id: keys.access.clone(),
        secret_key: KeyPath(SECRET_PATH.to_owned()),
        session_token: None,
    }
}

pub fn ecs(uri: &str) -> CredentialsBlock {
    CredentialsBlock::Ecs { full_uri: Some(uri.to_owned()), authorization_token_file: None }
}

pub fn role(role_arn: &str, source: Option<CredentialsBlock>) -> AssumeRoleBlock {
    AssumeRoleBlock {
        role_arn: role_arn.to_owned(),
        external_id: None,
        session_name: None,
        duration_seconds: None,
        source: source.map(|block| Source::Block(Box::new(block))),
        session_policy: None,
        tags: Default::default(),
        source_identity: None,
    }
}

pub fn block(role: AssumeRoleBlock) -> CredentialsBlock {
    CredentialsBlock::AssumeRole(Box::new(role))
}

/// A request for step 1 of run 7, with the block at the system level.
pub fn request(block: &CredentialsBlock) -> CredentialRequest {
    let origin = Origin { level: Level::System, account: None, file: Some("outrigger.toml".into()), line: Some(3) };
    let resolved = ResolvedBlock::resolve(block, Level::System, None).unwrap();
    let mut request = CredentialRequest::new(resolved, origin, SessionName::for_step(7, 1));
    request.region = Some("us-east-1".to_owned());
    request
}

pub async fn credentials(providers: &Providers, block: &CredentialsBlock) -> Result<Credentials, CredentialsError> {
    providers.provider(&request(block)).credentials().await
}

/// The same credentials for the endpoint's own client, so that nothing of ours judges them.
pub fn keys_of(credentials: &Credentials) -> Keys {
    Keys {
        access: credentials.access_key_id().to_owned(),
        secret: credentials.secret_access_key().to_owned(),
        token: credentials.session_token().map(str::to_owned),
        expiry: credentials.expiry(),
    }
}
