//! Outgoing HTTP of guests: to listed origins, at addresses that are checked where the connection is made.
//!
//! Redirects are not followed, proxies of the environment are not used, and nothing is retried.

mod address;
mod origin;
mod resolve;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use outrigger_door::{Failure, Reason};
use outrigger_redaction::Secret;

pub use address::{Network, NetworkError};
pub use origin::{Origin, OriginError};

use address::Refusal;
use origin::Target;
use resolve::{CheckedResolver, Lookup, SystemLookup};

/// How long a request may take, body included.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of a request's body.
const LONGEST_REQUEST: usize = 1024 * 1024;
/// Bytes of a response's body.
const LONGEST_RESPONSE: usize = 4 * 1024 * 1024;
/// Bytes of all headers of a request.
const LONGEST_HEADERS: usize = 64 * 1024;
/// Headers that say how a message is sent, which is the host's business.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where guests may send requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPolicy {
    /// Origins, such as `https://hooks.example.com`. None: guests send nothing.
    pub origins: Vec<Origin>,
    /// Private networks that may be reached. Loopback, link-local and metadata addresses stay out of reach.
    pub networks: Vec<Network>,
}

/// A header whose value ends with a secret.
#[derive(Clone, Debug)]
pub struct SecretHeader {
    /// Name of the header.
    pub name: String,
    /// Text before the secret, such as `Bearer `.
    pub prefix: String,
    /// The secret.
    pub secret: Secret,
}

/// A request of a guest.
#[derive(Clone, Debug)]
pub struct GuestRequest {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Headers that carry secrets.
    pub secret_headers: Vec<SecretHeader>,
    /// Body, at most 1 MiB.
    pub body: Vec<u8>,
}

/// A response for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers in the order of the response.
    pub headers: Vec<(String, String)>,
    /// Body, at most 4 MiB.
    pub body: Vec<u8>,
}

/// Sends the requests of guests.
pub struct GuestHttp {
    policy: HttpPolicy,
    connector: Connector,
    deadline: Duration,
}

impl fmt::Debug for GuestHttp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GuestHttp").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl GuestHttp {
    /// A client with its own connections.
    pub fn new(policy: HttpPolicy) -> Self {
        Self::with_lookup(policy, Arc::new(SystemLookup), DEADLINE)
    }

    fn with_lookup(policy: HttpPolicy, lookup: Arc<dyn Lookup>, deadline: Duration) -> Self {
        let resolver = CheckedResolver::new(lookup, policy.networks.clone());
        let connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .pool_idle_timeout(Duration::from_secs(15))
            .build_with_resolver(resolver);
        Self { policy, connector, deadline }
    }

    /// Whether a request changes nothing at the other side: `GET` and `HEAD`.
    pub fn is_read(method: &str) -> bool {
        matches!(method, "GET" | "HEAD")
    }

    /// Sends a request and collects the answer, whatever its status.
    ///
    /// Fails with `access-denied` for an origin that is not listed or an address that is not allowed, with
    /// `invalid-input` for a request that is none, and with `connection` where nobody answers within 30 seconds.
    pub async fn send(&self, request: GuestRequest) -> Result<GuestResponse, Failure> {
        let target = Target::parse(&request.url)?;
        let origin = &target.origin;
        if !self.policy.origins.contains(origin) {
            return Err(Failure::new(
                Reason::AccessDenied,
                format!("the origin {origin} is not listed: add it to [http] origins in the configuration"),
            ));
        }
        // The connector looks up names alone, so an address in the URL is checked here.
        if let Some(address) = target.address {
            address::check(address, &self.policy.networks).map_err(|refusal| refused(origin, &refusal))?;
        }
        let request = build(&target, request)?;
        match tokio::time::timeout(self.deadline, self.exchange(origin, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new(
                Reason::Connection,
                format!("{origin} did not answer within {} seconds", self.deadline.as_secs_f32()),
            )
            .retryable()),
        }
    }

    async fn exchange(&self, origin: &Origin, request: HttpRequest) -> Result<GuestResponse, Failure> {
        let broken = |error: &dyn Error| {
            Failure::new(Reason::Connection, format!("the connection to {origin} broke: {}", chain(error))).retryable()
        };
        let response = self.connector.call(request).await.map_err(|error| match refusal_in(&error) {
            Some(refusal) => refused(origin, refusal),
            None => {
                Failure::new(Reason::Connection, format!("{origin} cannot be reached: {}", chain(&error))).retryable()
            }
        })?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut stream = response.into_body();
        let mut body = Vec::new();
        while let Some(frame) = stream.frame().await {
            let Ok(data) = frame.map_err(|error| broken(error.as_ref()))?.into_data() else {
                continue;
            };
            if body.len() + data.len() > LONGEST_RESPONSE {
                return Err(Failure::new(
                    Reason::Remote,
                    format!("{origin} answered with more than {LONGEST_RESPONSE} bytes"),
                ));
            }
            body.extend_from_slice(&data);
        }
        Ok(GuestResponse { status, headers, body })
    }
}

fn build(target: &Target, request: GuestRequest) -> Result<HttpRequest, Failure> {
    let refuse = |why: String| Failure::new(Reason::InvalidInput, why);
    let method = match request.method.as_str() {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        other => {
            let other = other.get(..other.floor_char_boundary(32)).unwrap_or_default();
            return Err(refuse(format!("the method {other:?} is none of GET, HEAD, POST, PUT, PATCH and DELETE")));
        }
    };
    if request.body.len() > LONGEST_REQUEST {
        return Err(refuse(format!("the body has {} bytes; at most {LONGEST_REQUEST} are sent", request.body.len())));
    }
    if !request.body.is_empty() && (method == Method::GET || method == Method::HEAD) {
        return Err(refuse(format!("a {method} request has no body")));
    }
    let mut size = 0;
    let mut message = http::Request::builder().method(&method).uri(target.url.as_str());
    let secrets = request
        .secret_headers
        .iter()
        .map(|header| (header.name.clone(), format!("{}{}", header.prefix, header.secret.expose()), true));
    let plain = request.headers.into_iter().map(|(name, value)| (name, value, false));
    for (name, value, sensitive) in plain.chain(secrets) {
        size += name.len() + value.len();
        if size > LONGEST_HEADERS {
            return Err(refuse(format!("the headers have more than {LONGEST_HEADERS} bytes")));
        }
        let cut = name.get(..name.floor_char_boundary(64)).unwrap_or_default().to_owned();
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse(format!("{cut:?} is no name of a header")))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(refuse(format!("the header {name} is the host's to write")));
        }
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            refuse(format!("the value of the header {name} holds a character that a header cannot have"))
        })?;
        value.set_sensitive(sensitive);
        message = message.header(name, value);
    }
    let message = message.body(SdkBody::from(request.body)).map_err(|error| refuse(format!("no request: {error}")))?;
    HttpRequest::try_from(message).map_err(|error| refuse(format!("no request: {error}")))
}

fn refused(origin: &Origin, refusal: &Refusal) -> Failure {
    let Refusal { address, class, can_be_allowed } = refusal;
    let advice = if *can_be_allowed {
        "add its network to [http] networks in the configuration to allow it"
    } else {
        "such addresses are never reachable, whatever is configured"
    };
    Failure::new(Reason::AccessDenied, format!("{origin} leads to {address}, which is {class}: {advice}"))
}

/// The refusal of an address that ended an attempt to connect.
fn refusal_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref::<resolve::Refused>() {
            return Some(&refused.0);
        }
        next = error.source();
    }
    None
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = cause.source();
    }
    text
}
