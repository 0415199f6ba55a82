//! What the providers are given from outside: HTTP, key storage, redaction, the environment and a person.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use outrigger_config::KeyPath;
use outrigger_redaction::Secret;

use crate::endpoint::EndpointSettings;
use crate::env::Env;
use crate::mfa::NoMfa;

/// A boxed future, as the traits here return them so that they can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reads secrets of key storage.
pub trait SecretReader: Send + Sync {
    /// The secret under `path`. Called on a thread where blocking is allowed.
    ///
    /// # Errors
    /// Says why there is none, in words for a person and without the path.
    fn read(&self, path: &KeyPath) -> Result<Secret, String>;
}

impl<F> SecretReader for F
where
    F: Fn(&KeyPath) -> Result<Secret, String> + Send + Sync,
{
    fn read(&self, path: &KeyPath) -> Result<Secret, String> {
        self(path)
    }
}

/// Is told every secret as soon as it is known and before it is used, so that redaction can hide it.
pub trait SecretObserver: Send + Sync {
    /// A secret access key, session token, web identity token, container token or multi-factor code.
    fn secret(&self, secret: &Secret);
}

impl<F> SecretObserver for F
where
    F: Fn(&Secret) + Send + Sync,
{
    fn secret(&self, secret: &Secret) {
        self(secret);
    }
}

/// Runs components of the world `credential-provider`.
pub trait ComponentProvider: Send + Sync {
    /// Credentials from the component that was added as `name`, given `config`.
    ///
    /// # Errors
    /// Says why there are none, in words for a person.
    fn provide<'a>(
        &'a self,
        name: &'a str,
        config: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<Credentials, String>>;
}

/// No components: asking for one fails with the name of what is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoComponents;

impl ComponentProvider for NoComponents {
    fn provide<'a>(
        &'a self,
        name: &'a str,
        _config: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<Credentials, String>> {
        Box::pin(async move { Err(format!("no component named `{name}` has been added")) })
    }
}

/// Asks a person for the code of a multi-factor device.
pub trait MfaPrompter: Send + Sync {
    /// The six digits that the device `serial` shows, for the profile `profile`.
    ///
    /// # Errors
    /// Says why nobody could be asked, in words for a person.
    fn code<'a>(&'a self, serial: &'a str, profile: &'a str) -> BoxFuture<'a, Result<Secret, String>>;
}

/// Everything that [`Providers`](crate::Providers) works with.
#[derive(Clone)]
pub struct ProvidersContext {
    /// The client that all AWS calls share; [`http_client`](crate::http_client) makes one.
    pub http: SharedHttpClient,
    /// A client without a proxy, for the metadata and container endpoints of this machine.
    pub direct_http: SharedHttpClient,
    /// Endpoints, FIPS and dual stack.
    pub endpoints: EndpointSettings,
    /// Key storage.
    pub keys: Arc<dyn SecretReader>,
    /// Redaction.
    pub secrets: Arc<dyn SecretObserver>,
    /// Environment variables.
    pub env: Env,
    /// Components of the world `credential-provider`.
    pub components: Arc<dyn ComponentProvider>,
    /// A person at a terminal, if there is one.
    pub mfa: Arc<dyn MfaPrompter>,
    /// The clock that decides what has expired.
    pub clock: SharedTimeSource,
}

impl ProvidersContext {
    /// A context with the process's environment and clock, no components and nobody to ask for multi-factor codes.
    pub fn new(http: SharedHttpClient, keys: Arc<dyn SecretReader>, secrets: Arc<dyn SecretObserver>) -> Self {
        Self {
            http,
            direct_http: crate::http::direct_http_client(),
            endpoints: EndpointSettings::default(),
            keys,
            secrets,
            env: Env::process(),
            components: Arc::new(NoComponents),
            mfa: Arc::new(NoMfa),
            clock: SharedTimeSource::default(),
        }
    }

    /// Tells redaction about the secret parts of `credentials`.
    pub(crate) fn observe(&self, credentials: &Credentials) {
        self.secrets.secret(&Secret::new(credentials.secret_access_key().to_owned()));
        if let Some(token) = credentials.session_token() {
            self.secrets.secret(&Secret::new(token.to_owned()));
        }
    }
}

impl fmt::Debug for ProvidersContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProvidersContext")
            .field("endpoints", &self.endpoints)
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}
