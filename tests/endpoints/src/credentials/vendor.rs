use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{body::Body, error::Result, keys::Keys, proxy::lock};

type Making = Pin<Box<dyn Future<Output = Result<Keys>> + Send>>;

/// Where a stand-in gets the keys that it hands out, with a count of how often.
#[derive(Clone)]
pub struct Vendor {
    make: Arc<dyn Fn() -> Making + Send + Sync>,
    count: Arc<AtomicUsize>,
}

impl Vendor {
    /// Keys made anew at each request, by assuming a role in an endpoint for example.
    pub fn new<F, R>(make: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Keys>> + Send + 'static,
    {
        Self { make: Arc::new(move || Box::pin(make())), count: Arc::default() }
    }

    /// The same keys at each request.
    pub fn fixed(keys: Keys) -> Self {
        Self::new(move || std::future::ready(Ok(keys.clone())))
    }

    /// How often keys were asked for.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) async fn make(&self) -> Result<Keys> {
        self.count.fetch_add(1, Ordering::SeqCst);
        (self.make)().await
    }
}

impl fmt::Debug for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vendor").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// One request that a stand-in got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// When.
    pub at: SystemTime,
    /// The HTTP method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The status that was answered.
    pub status: u16,
}

/// What a stand-in was asked.
#[derive(Debug, Default)]
pub(crate) struct Visits(Mutex<Vec<Visit>>);

impl Visits {
    pub(crate) fn add(&self, method: &Method, path: &str, status: StatusCode) {
        let visit =
            Visit { at: SystemTime::now(), method: method.to_string(), path: path.into(), status: status.as_u16() };
        lock(&self.0).push(visit);
    }

    pub(crate) fn all(&self) -> Vec<Visit> {
        lock(&self.0).clone()
    }
}

pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    typed(status, "text/plain", text)
}

pub(crate) fn json_response(status: StatusCode, json: &Value) -> Response<Body> {
    typed(status, "application/json", json.to_string())
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The time as AWS writes it, in whole seconds.
pub(crate) fn instant(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or_default().to_string()
}

/// The members of a credentials document that both stand-ins share.
pub(crate) fn key_members(keys: &Keys) -> Value {
    let expiry = keys.expiry.unwrap_or_else(|| SystemTime::now() + std::time::Duration::from_secs(6 * 3600));
    json!({
        "AccessKeyId": keys.access,
        "SecretAccessKey": keys.secret,
        "Token": keys.token.clone().unwrap_or_default(),
        "Expiration": instant(expiry),
    })
}
