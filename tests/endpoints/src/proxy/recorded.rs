use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE, request::Parts};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    call::{Call, Protocol, pairs},
    error_body::{REQUEST_ID, error_response},
    fault::fixed,
    forward::{Upstream, hold},
    request_log::{Recorded, RequestLog, lock},
};
use crate::{
    body::Body,
    error::{EndpointError, Result},
    serve::{Hangup, Listening},
};

/// A server that answers from a file of recorded exchanges what no endpoint can do, and is strict about it.
///
/// The file is JSON: `{"exchanges": [{"service", "operation", "request", "after", "times", "source", "response"}]}`.
/// `request` maps a JSON pointer, or the name of a query parameter, to the value that it must have. `times` is how
/// often the exchange may be served, 1 unless it says otherwise, or `"any"`. One with `after` is served only once an
/// exchange of that `service:Operation` was, so that a command is cancelled when it was cancelled. `response` has `status` (200), `headers`
/// and `body`: text, or JSON that is sent as such. `source` names where the answer is documented.
///
/// The first exchange that matches and is not used up is served. A request for an operation of the file that matches
/// none is answered with 500 and kept as a failure; so is any other, unless there is an upstream.
#[derive(Debug)]
pub struct RecordedExchanges {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    upstream: Option<Upstream>,
    exchanges: Mutex<Vec<(Exchange, u32)>>,
    failures: Mutex<Vec<String>>,
    log: RequestLog,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    exchanges: Vec<Exchange>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    service: String,
    operation: String,
    #[serde(default)]
    request: Map<String, Value>,
    /// `service:Operation` of an exchange that must have been served before.
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    times: Times,
    /// Kept in the file for its reader.
    #[serde(default, rename = "source")]
    _source: Option<String>,
    response: Answer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Times {
    Count(u32),
    Any(Any),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Any {
    Any,
}

impl Default for Times {
    fn default() -> Self {
        Self::Count(1)
    }
}

fn ok() -> u16 {
    200
}

/// The recordings that come with this crate, written from AWS's API reference.
///
/// All are of one command, `ef7fdfd8-9b57-4151-a15c-db9a12345678`, for the nodes `i-02573cafcfEXAMPLE` and
/// `i-0471e04240EXAMPLE`, whatever was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bundled {
    /// An SSM command that succeeds on the first node and exits with 3 on the second. At first the invocations are
    /// not there yet, then they go through their states.
    SsmTwoNodes,
    /// An SSM command that runs until it is cancelled.
    SsmUntilCancelled,
    /// An SSM command that reaches neither node: `DeliveryTimedOut` and `Undeliverable`.
    SsmUndelivered,
}

impl Bundled {
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::SsmTwoNodes => ("ssm-two-nodes.json", include_str!("../../recordings/ssm-two-nodes.json")),
            Self::SsmUntilCancelled => {
                ("ssm-until-cancelled.json", include_str!("../../recordings/ssm-until-cancelled.json"))
            }
            Self::SsmUndelivered => ("ssm-undelivered.json", include_str!("../../recordings/ssm-undelivered.json")),
        }
    }
}

impl RecordedExchanges {
    /// Serves the exchanges of a file; requests for operations that it does not name go to `upstream`, if given.
    ///
    /// # Errors
    /// If the file cannot be read, has not the form above (with line and column), or no port can be opened.
    pub fn load(path: &Path, upstream: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(EndpointError::io("read", path))?;
        Self::start(path, &text, upstream)
    }

    /// Serves one of the recordings that come with this crate.
    ///
    /// # Errors
    /// If no port can be opened.
    pub fn bundled(recording: Bundled, upstream: Option<&str>) -> Result<Self> {
        let (name, text) = recording.file();
        Self::start(Path::new(name), text, upstream)
    }

    fn start(path: &Path, text: &str, upstream: Option<&str>) -> Result<Self> {
        let file: File = serde_json::from_str(text)
            .map_err(|error| EndpointError::Recording { path: path.into(), detail: error.to_string() })?;
        let state = Arc::new(State {
            upstream: upstream.map(Upstream::new).transpose()?,
            exchanges: Mutex::new(file.exchanges.into_iter().map(|exchange| (exchange, 0)).collect()),
            failures: Mutex::default(),
            log: RequestLog::default(),
        });
        let shared = state.clone();
        let listening = Listening::start(move |request, _| {
            let state = shared.clone();
            async move { state.handle(request).await }
        })?;
        Ok(Self { listening, state })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.log.all()
    }

    /// The requests that no exchange matched.
    pub fn failures(&self) -> Vec<String> {
        lock(&self.state.failures).clone()
    }

    /// The exchanges that were not served as often as they say, as `service:Operation`.
    pub fn unused(&self) -> Vec<String> {
        lock(&self.state.exchanges)
            .iter()
            .filter(|(exchange, served)| matches!(exchange.times, Times::Count(times) if *served < times))
            .map(|(exchange, _)| exchange.name())
            .collect()
    }

    /// Ends the server and says whether everything went as recorded.
    ///
    /// # Errors
    /// [`EndpointError::Exchanges`] with what was asked and not recorded, and what was recorded and not asked.
    pub fn finish(self) -> Result<()> {
        let (failures, unused) = (self.failures(), self.unused());
        if failures.is_empty() && unused.is_empty() {
            Ok(())
        } else {
            Err(EndpointError::Exchanges { failures, unused })
        }
    }
}

impl State {
    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let (parts, incoming) = request.into_parts();
        // No exchange looks into objects, and they may be large.
        let passes = self.upstream.is_some() && Call::of(&parts, b"").service == "s3";
        let (held, incoming) =
            if passes { (Bytes::new(), Some(incoming)) } else { (hold(incoming).await.map_err(|_| Hangup)?, None) };
        let call = Call::of(&parts, &held);
        let entry = self.log.begin(&parts, &call, Some(&held));
        if let Some(response) = self.serve(&call, &parts, &held) {
            entry.answered(response.status().as_u16());
            return Ok(response);
        }
        let known = lock(&self.exchanges).iter().any(|(exchange, _)| exchange.is_for(&call));
        let method = parts.method.clone();
        let message = match &self.upstream {
            Some(upstream) if !known => {
                let body = match incoming {
                    Some(incoming) => Body::passing(incoming, entry.request_bytes.clone()),
                    None => Body::whole(held),
                };
                match upstream.send(parts, body).await {
                    Ok(response) => {
                        entry.answered(response.status().as_u16());
                        return Ok(response.map(|body| Body::passing(body, entry.response_bytes.clone())));
                    }
                    Err(detail) => format!("the endpoint behind the recorded exchanges did not answer: {detail}"),
                }
            }
            _ if known => "no recorded exchange that is not used up matches this request".into(),
            _ => "no exchange is recorded for this operation".into(),
        };
        lock(&self.failures).push(format!("{}: {message} ({})", call.name(), entry.snapshot().summary));
        entry.answered(500);
        Ok(error_response(&call, &method, 500, "NoRecordedExchange", &message))
    }

    fn serve(&self, call: &Call, parts: &Parts, body: &[u8]) -> Option<Response<Body>> {
        let mut exchanges = lock(&self.exchanges);
        let done: Vec<String> =
            exchanges.iter().filter(|(_, served)| *served > 0).map(|(exchange, _)| exchange.name()).collect();
        let (exchange, served) = exchanges.iter_mut().find(|(exchange, served)| {
            exchange.is_for(call)
                && exchange.after.as_ref().is_none_or(|before| done.contains(before))
                && match exchange.times {
                    Times::Any(_) => true,
                    Times::Count(times) => *served < times,
                }
                && exchange.matches(parts, body)
        })?;
        *served += 1;
        Some(exchange.response.response(call.protocol))
    }
}

impl Exchange {
    fn name(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }

    fn is_for(&self, call: &Call) -> bool {
        self.service == call.service && self.operation == call.operation
    }

    fn matches(&self, parts: &Parts, body: &[u8]) -> bool {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut params = pairs(parts.uri.query().unwrap_or_default().as_bytes());
        params.extend(pairs(body));
        self.request.iter().all(|(name, wanted)| {
            if name.starts_with('/') {
                json.pointer(name) == Some(wanted)
            } else {
                params.iter().any(|(param, value)| param == name && wanted.as_str() == Some(value))
            }
        })
    }
}

impl Answer {
    fn response(&self, protocol: Protocol) -> Response<Body> {
        let body = match &self.body {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            json => Bytes::from(json.to_string()),
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut headers: Vec<(String, String)> =
            self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), text(value))).collect();
        let mut default = |name: &str, value: &str| {
            if !headers.iter().any(|(known, _)| known == name) {
                headers.push((name.into(), value.into()));
            }
        };
        default(
            CONTENT_TYPE.as_str(),
            match protocol {
                Protocol::Json => "application/x-amz-json-1.1",
                Protocol::RestJson => "application/json",
                Protocol::Query | Protocol::Ec2 | Protocol::RestXml => "text/xml",
            },
        );
        default("x-amzn-requestid", REQUEST_ID);
        fixed(self.status, &headers, body)
    }
}
