use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, Uri, Version,
    header::{CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
    uri::{Authority, Scheme},
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    body::Body,
    error::{EndpointError, Result},
};

/// The most that is held in memory of a body that must be looked into.
const HELD: usize = 16 << 20;

/// The endpoint behind a proxy.
#[derive(Debug)]
pub(crate) struct Upstream {
    authority: Authority,
    client: Client<HttpConnector, Body>,
}

impl Upstream {
    /// # Errors
    /// If the address is not of the form `http://host:port`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let bad = |detail: &str| EndpointError::transport(format!("an endpoint behind a proxy ({url})"), detail);
        let uri: Uri = url.parse().map_err(|_| bad("is no address"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(bad("must begin with http://"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| bad("has no host"))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Ok(Self { authority, client })
    }

    /// Sends the request on. The `Host` header stays as the client signed it.
    pub(crate) async fn send(&self, mut parts: Parts, body: Body) -> Result<Response<Incoming>, String> {
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        parts.uri = Uri::from_parts(uri).map_err(|error| error.to_string())?;
        parts.version = Version::HTTP_11;
        strip_hop_headers(&mut parts.headers);
        let response = self.client.request(Request::from_parts(parts, body)).await.map_err(|error| chain(&error))?;
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        strip_hop_headers(&mut parts.headers);
        Ok(Response::from_parts(parts, body))
    }
}

/// Headers that are about one connection only.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1>
fn strip_hop_headers(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"] {
        headers.remove(name);
    }
}

/// Reads a body to its end, up to the limit of what is held.
pub(crate) async fn hold(body: Incoming) -> Result<Bytes, String> {
    Limited::new(body, HELD).collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

/// Reads a body away, so that the client has sent all of it before it gets its answer.
pub(crate) async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
