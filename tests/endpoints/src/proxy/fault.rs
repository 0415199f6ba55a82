use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header::CONTENT_LENGTH, request::Parts};
use hyper::body::Incoming;
use serde_json::Value;

use super::{
    call::{Call, has_parameters, is_form, pairs},
    error_body::error_response,
    forward::{Upstream, drain, hold},
    request_log::{Entry, Recorded, RequestLog, lock},
    rewrite::rewrite,
    rule::{Fault, Field, Rule, Rules},
};
use crate::{
    body::Body,
    error::Result,
    serve::{Hangup, Listening, Peer},
};

/// An HTTP/1.1 reverse proxy that records every request and does to some what a network or a busy AWS would.
///
/// It answers from threads of its own, so that a test may block while a child process talks to it. Bodies stream in
/// both directions, save where a rule must look into an answer.
#[derive(Debug)]
pub struct FaultProxy {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    upstream: Upstream,
    rules: Mutex<Rules>,
    log: RequestLog,
}

impl FaultProxy {
    /// Starts one before an endpoint on a free port of 127.0.0.1; it ends with this value.
    ///
    /// # Errors
    /// If the address is not of the form `http://host:port`, or no port can be opened.
    pub fn start(upstream: &str) -> Result<Self> {
        let state =
            Arc::new(State { upstream: Upstream::new(upstream)?, rules: Mutex::default(), log: RequestLog::default() });
        let shared = state.clone();
        let listening = Listening::start(move |request, peer| {
            let state = shared.clone();
            async move { state.handle(request, peer).await }
        })?;
        Ok(Self { listening, state })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Adds a rule after the others.
    pub fn rule(&self, rule: Rule) -> &Self {
        lock(&self.state.rules).add(rule);
        self
    }

    /// Forgets all rules; what is under way goes on under the old ones.
    pub fn clear_rules(&self) {
        lock(&self.state.rules).clear();
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.log.all()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.state.log.clear();
    }

    /// How many requests of an operation (`service:Operation`) came by.
    pub fn count(&self, operation: &str) -> usize {
        self.requests().iter().filter(|request| request.name() == operation).count()
    }

    /// The requests that may have changed something: none after a dry run.
    pub fn writes(&self) -> Vec<Recorded> {
        self.requests().into_iter().filter(|request| !request.reads()).collect()
    }
}

/// What is done to an answer on its way back.
#[derive(Default)]
struct OnAnswer {
    reset: bool,
    cut: Option<u64>,
    rewrites: Vec<(Field, Value)>,
}

impl State {
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Result<Response<Body>, Hangup> {
        let (parts, incoming) = request.into_parts();
        let mut incoming = Some(incoming);
        let mut held = None;
        if has_parameters(&parts)
            && let Some(body) = incoming.take()
        {
            // A client that goes away while it sends is not worth an answer.
            held = Some(hold(body).await.map_err(|_| Hangup)?);
        }
        let call = Call::of(&parts, held.as_deref().unwrap_or_default());
        let entry = self.log.begin(&parts, &call, held.as_deref());
        let faults = lock(&self.rules).meet(&call, &haystack(&parts, held.as_deref()));

        let mut on_answer = OnAnswer::default();
        for fault in faults {
            entry.fault(fault.name());
            match fault {
                Fault::Delay(time) => tokio::time::sleep(time).await,
                Fault::Error { status, code, message } => {
                    drain_all(incoming).await;
                    return Ok(answered(&entry, error_response(&call, &parts.method, status, &code, &message)));
                }
                Fault::Respond { status, headers, body } => {
                    drain_all(incoming).await;
                    return Ok(answered(&entry, fixed(status, &headers, body)));
                }
                Fault::Reset => {
                    peer.reset();
                    return Err(Hangup);
                }
                Fault::ResetAfter => on_answer.reset = true,
                Fault::CutAnswer(bytes) => on_answer.cut = Some(bytes),
                Fault::RewriteField(field, value) => on_answer.rewrites.push((field, value)),
            }
        }
        let method = parts.method.clone();
        let body = match (held, incoming) {
            (Some(bytes), _) => Body::whole(bytes),
            (None, Some(incoming)) => Body::passing(incoming, entry.request_bytes.clone()),
            (None, None) => Body::whole(""),
        };
        match self.upstream.send(parts, body).await {
            Ok(response) => answer(response, on_answer, &entry, &peer).await,
            Err(detail) => {
                let message = format!("the endpoint behind the proxy did not answer: {detail}");
                Ok(answered(&entry, error_response(&call, &method, 502, "BadGateway", &message)))
            }
        }
    }
}

async fn answer(
    response: Response<Incoming>,
    on_answer: OnAnswer,
    entry: &Entry,
    peer: &Peer,
) -> Result<Response<Body>, Hangup> {
    let (mut parts, incoming) = response.into_parts();
    if on_answer.reset {
        drain(incoming).await;
        peer.reset();
        return Err(Hangup);
    }
    let count = entry.response_bytes.clone();
    if let Some(after) = on_answer.cut {
        let peer = peer.clone();
        let body = Body::cut(incoming, count, after, Box::new(move || peer.reset()));
        return Ok(answered(entry, Response::from_parts(parts, body)));
    }
    if on_answer.rewrites.is_empty() {
        return Ok(answered(entry, Response::from_parts(parts, Body::passing(incoming, count))));
    }
    let mut bytes = hold(incoming).await.map_err(|_| Hangup)?;
    for (field, value) in &on_answer.rewrites {
        bytes = rewrite(&mut parts.headers, bytes, field, value);
    }
    fit_headers(&mut parts.headers, bytes.len());
    count.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
    Ok(answered(entry, Response::from_parts(parts, Body::whole(bytes))))
}

/// Length and checksums of a body that was changed.
fn fit_headers(headers: &mut HeaderMap, length: usize) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let checksums: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-checksum-") || name.as_str() == "x-amz-crc32")
        .cloned()
        .collect();
    for name in checksums {
        headers.remove(name);
    }
}

fn answered(entry: &Entry, response: Response<Body>) -> Response<Body> {
    entry.answered(response.status().as_u16());
    response
}

pub(crate) fn fixed(status: u16, headers: &[(String, String)], body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

async fn drain_all(body: Option<Incoming>) {
    if let Some(body) = body {
        drain(body).await;
    }
}

/// Everything that a rule's text may be found in.
fn haystack(parts: &Parts, body: Option<&[u8]>) -> String {
    let mut text = parts.uri.to_string();
    let body = body.unwrap_or_default();
    if is_form(parts) {
        for (name, value) in pairs(body) {
            text = format!("{text} {name}={value}");
        }
    } else {
        text = format!("{text} {}", String::from_utf8_lossy(body));
    }
    text
}
