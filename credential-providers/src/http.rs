//! The HTTP client that everything shares, and one GET for the two endpoints that no SDK operation covers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::context::Error as OperationError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;
use url::Url;
use zeroize::Zeroizing;

use crate::error::whole;

/// Whether requests go through a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the process say.
    #[default]
    Environment,
    /// Never.
    Off,
}

/// Why no HTTP client could be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpSetupError {
    /// The file with certificate authorities cannot be read.
    #[error("ca-bundle `{path}`: cannot be read ({source}); check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no list of PEM certificates.
    #[error("ca-bundle `{path}`: certificate {number} cannot be used ({why}); the file must hold PEM certificates")]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// Which certificate, from 1.
        number: usize,
        /// Why not.
        why: String,
    },
    /// The file holds no certificate at all.
    #[error("ca-bundle `{path}`: holds no certificate; the file must hold PEM certificates")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The client that AWS calls of the whole process share: TLS by rustls with ring, the system's certificate authorities and
/// those of `ca_bundle`.
///
/// TLS is set up at the first `https` request: reading the system's certificates takes longer than starting the program.
///
/// # Errors
/// If `ca_bundle` cannot be read or holds something that is no certificate.
pub fn http_client(ca_bundle: Option<&Path>, proxy: Proxy) -> Result<SharedHttpClient, HttpSetupError> {
    let mut trust = TrustStore::default();
    if let Some(path) = ca_bundle {
        trust = trust.with_pem_certificate(read_bundle(path)?);
    }
    Ok(by_scheme(trust, proxy))
}

/// A client that uses no proxy, for endpoints of this machine.
pub fn direct_http_client() -> SharedHttpClient {
    by_scheme(TrustStore::default(), Proxy::Off)
}

/// The bytes of the file, checked here because the SDK panics over what it cannot parse.
fn read_bundle(path: &Path) -> Result<Vec<u8>, HttpSetupError> {
    let bytes = std::fs::read(path).map_err(|source| HttpSetupError::Unreadable { path: path.to_owned(), source })?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
        let refused = |why: String| HttpSetupError::NoCertificate { path: path.to_owned(), number: index + 1, why };
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(HttpSetupError::Empty { path: path.to_owned() });
    }
    Ok(bytes)
}

fn by_scheme(trust: TrustStore, proxy: Proxy) -> SharedHttpClient {
    let proxy = match proxy {
        Proxy::Environment => ProxyConfig::from_env(),
        Proxy::Off => ProxyConfig::disabled(),
    };
    let plain_proxy = proxy.clone();
    let plain = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(plain_proxy.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build_http()
    });
    let tls = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder()
            .proxy_config(proxy.clone())
            .tls_provider(tls::Provider::rustls(CryptoMode::Ring))
            .tls_context(context(trust.clone()));
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build()
    });
    SharedHttpClient::new(ByScheme { plain, tls })
}

fn context(trust: TrustStore) -> TlsContext {
    // The builder has no failing path today; without the additional authorities calls would fail with a TLS error.
    TlsContext::builder().with_trust_store(trust).build().unwrap_or_default()
}

/// Sends `http` requests over a connector without TLS, and makes the TLS one when the first `https` request comes.
#[derive(Debug)]
struct ByScheme {
    plain: SharedHttpClient,
    tls: SharedHttpClient,
}

impl HttpClient for ByScheme {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(ConnectorByScheme {
            plain: self.plain.http_connector(settings, components),
            tls: Arc::new(OnceLock::new()),
            client: self.tls.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

struct ConnectorByScheme {
    plain: SharedHttpConnector,
    tls: Arc<OnceLock<SharedHttpConnector>>,
    client: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl fmt::Debug for ConnectorByScheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConnectorByScheme").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl HttpConnector for ConnectorByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.uri().starts_with("http://") {
            return self.plain.call(request);
        }
        self.tls.get_or_init(|| self.client.http_connector(&self.settings, &self.components)).call(request)
    }
}

/// Why a GET gave no answer that can be used.
pub(crate) struct GetError {
    /// Status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// `code` and `message` of a JSON body, or what the connection died of.
    pub(crate) what: String,
    /// Whether the same request may succeed in a moment.
    pub(crate) transient: bool,
}

/// An answer that was no success. Its body is kept out of `Debug` and `Display`.
#[derive(Error)]
#[error("answered with status {status}")]
struct NoSuccess {
    status: u16,
    body: String,
}

impl fmt::Debug for NoSuccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Wrapper whose `Debug` hides the secret, for the input and the output of the orchestrator.
struct Hidden(Zeroizing<String>);

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hidden")
    }
}

/// GETs `url` with an `Authorization` header, three attempts, 2 s to connect and 5 s to answer.
pub(crate) async fn get(
    client: &SharedHttpClient,
    url: &Url,
    authorization: Option<Zeroizing<String>>,
) -> Result<Zeroizing<String>, GetError> {
    let invalid = |what: &str| GetError { status: None, what: what.to_owned(), transient: false };
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin.set_fragment(None);
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    if authorization.as_ref().is_some_and(|value| value.chars().any(|c| c.is_control())) {
        return Err(invalid("the authorization token holds a line break or another control character"));
    }
    let mut layer = Layer::new("outrigger credentials");
    layer.store_put(SensitiveOutput);
    let operation = Operation::builder()
        .service_name("outrigger-credentials")
        .operation_name("Get")
        .with_connection_poisoning()
        .endpoint_url(origin.as_str())
        .no_auth()
        .http_client(client.clone())
        .sleep_impl(TokioSleep::new())
        .standard_retry(&RetryConfig::standard())
        .retry_classifier(TransientErrorClassifier::<OperationError>::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(2))
                .read_timeout(Duration::from_secs(5))
                .build(),
        )
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()))
        .serializer(move |authorization: Option<Hidden>| {
            let mut request = HttpRequest::get(&path)?;
            request.headers_mut().insert("accept", "application/json");
            if let Some(Hidden(value)) = authorization {
                request.headers_mut().try_insert("authorization", value.as_str().to_owned())?;
            }
            Ok(request)
        })
        .deserializer(|response| {
            let body = response.body().bytes().unwrap_or_default();
            let body = String::from_utf8_lossy(body).into_owned();
            if response.status().is_success() {
                Ok(Hidden(Zeroizing::new(body)))
            } else {
                Err(OrchestratorError::operation(NoSuccess { status: response.status().as_u16(), body }))
            }
        })
        .build();
    match operation.invoke(authorization.map(Hidden)).await {
        Ok(Hidden(body)) => Ok(body),
        Err(SdkError::ServiceError(error)) => {
            let NoSuccess { status, body } = error.into_err();
            let transient = status >= 500 || status == 429;
            Err(GetError { status: Some(status), what: described(status, &body), transient })
        }
        Err(SdkError::ConstructionFailure(_)) => Err(invalid("the request cannot be written")),
        Err(error) => Err(GetError { status: None, what: connection(&error), transient: true }),
    }
}

/// Status, and `code` and `message` where the body has them as the container endpoints give them.
fn described(status: u16, body: &str) -> String {
    let field = |value: &serde_json::Value, names: [&str; 2]| {
        names.iter().find_map(|name| value.get(name).and_then(serde_json::Value::as_str).map(str::to_owned))
    };
    let parsed = serde_json::from_str::<serde_json::Value>(body).ok();
    let code = parsed.as_ref().and_then(|value| field(value, ["code", "Code"]));
    let message = parsed.as_ref().and_then(|value| field(value, ["message", "Message"]));
    match (code, message) {
        (Some(code), Some(message)) => format!("status {status}, {code}: {message}"),
        (Some(text), None) | (None, Some(text)) => format!("status {status}, {text}"),
        (None, None) => format!("status {status}"),
    }
}

/// What a connection died of, in one line: the SDK's own words only name the stage.
pub(crate) fn connection<E: std::error::Error + 'static, R: fmt::Debug>(error: &SdkError<E, R>) -> String {
    match error {
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time".to_owned(),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(error) => innermost(error),
            None => "the request could not be sent".to_owned(),
        },
        SdkError::ResponseError(_) => "the answer could not be read".to_owned(),
        other => whole(other),
    }
}

/// The last error of a chain: the operating system's word, such as `Connection refused (os error 111)`.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
