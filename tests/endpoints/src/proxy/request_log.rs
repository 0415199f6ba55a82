use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use http::request::Parts;
use serde_json::Value;

use super::call::{Call, header, is_form, pairs};

/// One request that came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its number, from 1, in the order of arrival.
    pub number: usize,
    /// When it arrived.
    pub at: SystemTime,
    /// The service that it is signed for.
    pub service: String,
    /// The API operation; method and path where that is not known.
    pub operation: String,
    /// The HTTP method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The status that the client got; none while it waits, and when its connection was reset or given up.
    pub status: Option<u16>,
    /// The faults that acted on it.
    pub faults: Vec<&'static str>,
    /// The bytes of its body so far.
    pub request_bytes: u64,
    /// The bytes of its answer's body so far.
    pub response_bytes: u64,
    /// The client's `User-Agent`.
    pub user_agent: String,
    /// The access key that signed it.
    pub access_key: Option<String>,
    /// The region that it is signed for.
    pub region: Option<String>,
    /// Its parameters, shortened, without the values of those whose name tells that they are secret.
    pub summary: String,
}

impl Recorded {
    /// `service:Operation`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }

    /// Whether the name of the operation says that it changes nothing. Assuming a role counts as reading.
    pub fn reads(&self) -> bool {
        ["Describe", "Get", "List", "Head", "BatchGet", "Filter", "Lookup", "Search", "Select", "AssumeRole"]
            .iter()
            .any(|verb| self.operation.starts_with(verb))
    }
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<Vec<Arc<Entry>>>);

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Entry {
    recorded: Mutex<Recorded>,
    pub(crate) request_bytes: Arc<AtomicU64>,
    pub(crate) response_bytes: Arc<AtomicU64>,
}

impl RequestLog {
    pub(crate) fn begin(&self, parts: &Parts, call: &Call, body: Option<&[u8]>) -> Arc<Entry> {
        let mut entries = lock(&self.0);
        let recorded = Recorded {
            number: entries.len() + 1,
            at: SystemTime::now(),
            service: call.service.clone(),
            operation: call.operation.clone(),
            method: parts.method.to_string(),
            path: parts.uri.path().into(),
            status: None,
            faults: Vec::new(),
            request_bytes: 0,
            response_bytes: 0,
            user_agent: header(parts, "user-agent").unwrap_or_default().into(),
            access_key: call.access_key.clone(),
            region: call.region.clone(),
            summary: summary(parts, call, body),
        };
        let entry = Arc::new(Entry {
            recorded: Mutex::new(recorded),
            request_bytes: Arc::new(AtomicU64::new(body.map_or(0, |body| body.len() as u64))),
            response_bytes: Arc::default(),
        });
        entries.push(entry.clone());
        entry
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        lock(&self.0).iter().map(|entry| entry.snapshot()).collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }
}

impl Entry {
    pub(crate) fn fault(&self, name: &'static str) {
        lock(&self.recorded).faults.push(name);
    }

    pub(crate) fn answered(&self, status: u16) {
        lock(&self.recorded).status = Some(status);
    }

    pub(crate) fn snapshot(&self) -> Recorded {
        Recorded {
            request_bytes: self.request_bytes.load(Ordering::Relaxed),
            response_bytes: self.response_bytes.load(Ordering::Relaxed),
            ..lock(&self.recorded).clone()
        }
    }
}

/// What a panicking test left behind is still worth reading.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn summary(parts: &Parts, call: &Call, body: Option<&[u8]>) -> String {
    let mut fields = pairs(parts.uri.query().unwrap_or_default().as_bytes());
    match body {
        Some(body) if is_form(parts) => fields.extend(pairs(body)),
        Some(body) => flatten("", &serde_json::from_slice(body).unwrap_or_default(), &mut fields),
        None => {}
    }
    let mut text = String::new();
    for (name, value) in fields {
        if matches!(name.as_str(), "Action" | "Version" | "x-id") || name.starts_with("X-Amz-") {
            continue;
        }
        let value = if is_secret(call, &name) { "****".into() } else { value.chars().take(120).collect::<String>() };
        text = if text.is_empty() { format!("{name}={value}") } else { format!("{text} {name}={value}") };
    }
    text.chars().take(1000).collect()
}

fn is_secret(call: &Call, name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    if last.ends_with("nexttoken") || last.ends_with("clienttoken") || last.ends_with("clientrequesttoken") {
        return false;
    }
    ["secret", "password", "token", "credential", "signature", "plaintext", "privatekey"]
        .iter()
        .any(|sign| last.contains(sign))
        || (call.operation == "PutParameter" && last == "value")
}

fn flatten(at: &str, json: &Value, into: &mut Vec<(String, String)>) {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match json {
        Value::Object(members) => members.iter().for_each(|(name, member)| flatten(&below(name), member, into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| flatten(&below(&index.to_string()), item, into));
        }
        Value::Null => {}
        Value::String(text) => into.push((at.into(), text.clone())),
        other => into.push((at.into(), other.to_string())),
    }
}
