//! AWS credentials for native steps: a container credentials endpoint on the loopback, alive while its run is.
//!
//! `exec` and `script` steps run programs that speak to AWS by themselves. With `aws = true` below `[native-steps]` they find
//! credentials as a container of ECS does: the environment holds an address and a token, and the SDK or CLI fetches
//! short-lived credentials there, again and again. The credentials themselves are never in the environment.
//! Source: AWS SDKs and Tools Reference Guide, "Container credential provider".

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use outrigger_credential_providers::CachedProvider;
use outrigger_redaction::{Redactor, Secret};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// Path of the credentials.
const PATH: &str = "/credentials";
/// Connections that are served at once.
const CONNECTIONS: usize = 32;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint; it ends when it is dropped.
pub(crate) struct CredentialsEndpoint {
    address: SocketAddr,
    token: Secret,
    _server: AbortOnDropHandle<()>,
}

impl CredentialsEndpoint {
    /// Serves what `provider` gives, on a free port of 127.0.0.1, to whoever knows a token that is made here.
    pub(crate) async fn start(provider: CachedProvider, redactor: &Redactor) -> std::io::Result<Self> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| std::io::Error::other("no random numbers for a token"))?;
        let token = Secret::new(hex::encode(random));
        redactor.register(&token);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let expected: Arc<[u8]> = Sha256::digest(token.expose().as_bytes()).to_vec().into();
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, provider, expected)));
        Ok(Self { address, token, _server: server })
    }

    /// The variables that SDKs and the CLI look at.
    pub(crate) fn environment(&self) -> [(String, String); 2] {
        [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), format!("http://{}{PATH}", self.address)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN".to_owned(), self.token.expose().to_owned()),
        ]
    }
}

async fn serve(listener: TcpListener, provider: CachedProvider, expected: Arc<[u8]>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropping the set with the endpoint ends its connections too.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (provider, expected) = (provider.clone(), expected.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, provider.clone(), expected.clone()));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // A client that goes away early is its own business.
            drop(tokio::time::timeout(PATIENCE, connection).await);
            drop(place);
        });
    }
}

fn respond(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn answer(
    request: Request<Incoming>,
    provider: CachedProvider,
    expected: Arc<[u8]>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let refuse = |status, code: &str, message: &str| respond(status, &json!({ "code": code, "message": message }));
    // Digests are compared, so that the time it takes tells nothing about the token.
    let given = request.headers().get(AUTHORIZATION).map(|value| Sha256::digest(value.as_bytes()));
    if given.is_none_or(|given| given.as_slice() != &*expected) {
        return Ok(refuse(StatusCode::UNAUTHORIZED, "Unauthorized", "the authorization token is missing or wrong"));
    }
    if request.method() != Method::GET || request.uri().path() != PATH {
        return Ok(refuse(StatusCode::NOT_FOUND, "NotFound", "there is nothing here"));
    }
    Ok(match provider.credentials().await {
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "CredentialsUnavailable", &error.to_string()),
        Ok(credentials) => {
            // SDKs ask for an expiry; what never expires is to be asked for again in an hour.
            let expiry = credentials
                .expiry()
                .and_then(|at| Timestamp::try_from(at).ok())
                .or_else(|| Timestamp::now().checked_add(Duration::from_secs(3_600)).ok());
            let body = json!({
                "AccessKeyId": credentials.access_key_id(),
                "SecretAccessKey": credentials.secret_access_key(),
                "Token": credentials.session_token().unwrap_or_default(),
                "Expiration": expiry.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            });
            respond(StatusCode::OK, &body)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_config::{CredentialsBlock, KeyPath};
    use outrigger_credential_providers::{
        CredentialRequest, Level, Origin, Providers, ProvidersContext, ResolvedBlock, SessionName, direct_http_client,
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(address: SocketAddr, path: &str, token: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn only_the_token_opens_the_endpoint() {
        let redactor = Redactor::new();
        let keys = |_: &KeyPath| Ok(Secret::new("a-stored-secret-key".to_owned()));
        let context = ProvidersContext::new(direct_http_client(), Arc::new(keys), Arc::new(|_: &Secret| {}));
        let block = CredentialsBlock::AccessKey {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: KeyPath("keys/aws".to_owned()),
            session_token: None,
        };
        let block = ResolvedBlock::resolve(&block, Level::System, None).unwrap();
        let request = CredentialRequest::new(block, Origin::level(Level::System), SessionName::for_run(1));
        let endpoint = CredentialsEndpoint::start(Providers::new(context).provider(&request), &redactor).await.unwrap();

        let [_, (_, token)] = endpoint.environment();
        assert!(redactor.contains_secret(&token));
        let answer = get(endpoint.address, PATH, &token).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("a-stored-secret-key"), "{answer}");
        for (path, token, status) in [(PATH, "wrong", 401), (PATH, "", 401), ("/other", token.as_str(), 404)] {
            let answer = get(endpoint.address, path, token).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(!answer.contains("a-stored-secret-key"), "{answer}");
        }
        let address = endpoint.address;
        drop(endpoint);
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the endpoint outlives its run");
    }
}
