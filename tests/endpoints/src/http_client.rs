use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use crate::error::{EndpointError, Result};

/// An answer of an endpoint, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text of the first XML element of this name.
    pub fn element(&self, name: &str) -> Option<String> {
        crate::xml::elements(&self.text(), name).into_iter().next()
    }

    /// The texts of all XML elements of this name, in their order.
    pub fn elements(&self, name: &str) -> Vec<String> {
        crate::xml::elements(&self.text(), name)
    }
}

/// Sends one request over a connection of its own, so that it may be used from any runtime.
pub(crate) async fn send(what: &str, mut request: Request<Full<Bytes>>) -> Result<Answer> {
    let url = Url::parse(&request.uri().to_string()).map_err(|error| EndpointError::transport(what, error))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(EndpointError::transport(what, "the address has no host"));
    };
    if !request.headers().contains_key(HOST) {
        let value = format!("{host}:{port}").parse().map_err(|error| EndpointError::transport(what, error))?;
        request.headers_mut().insert(HOST, value);
    }
    // On the wire an origin server gets the path only.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse().map_err(|error| EndpointError::transport(what, error))?;

    let stream = TcpStream::connect((host, port)).await.map_err(|error| EndpointError::transport(what, error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| EndpointError::transport(what, error))?;
    let driver = tokio::spawn(connection);
    let exchange = async {
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Answer { status: parts.status, headers: parts.headers, body })
    };
    let answer = exchange.await.map_err(|error| EndpointError::transport(what, error));
    driver.abort();
    answer
}

/// A request without credentials, for the endpoints' own control paths.
pub(crate) async fn plain(method: http::Method, url: &str, body: impl Into<Bytes>) -> Result<Answer> {
    let what = format!("{method} {url}");
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(body.into()))
        .map_err(|error| EndpointError::transport(&what, error))?;
    send(&what, request).await
}
