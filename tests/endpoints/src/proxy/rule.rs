use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::call::Call;

/// Which of the calls that a rule names it acts on; the first call is number 1. Each attempt of a retry is a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nth {
    /// That one alone.
    Only(u32),
    /// The first so many.
    First(u32),
    /// That one and all after it.
    From(u32),
    /// All.
    Every,
}

/// Where in an answer a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A JSON pointer; the segment `*` stands for every member of an array or object. A missing last member is added.
    Json(String),
    /// The text of every XML element of this name; `outer/inner` is the elements `inner` within `outer`.
    Xml(String),
    /// A header.
    Header(String),
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// It is held back for so long, and then goes on: to the next rule, or to the endpoint.
    Delay(Duration),
    /// It is answered with an error as its protocol writes it, and does not reach the endpoint.
    Error {
        /// The HTTP status.
        status: u16,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// The connection is reset; the call does not reach the endpoint.
    Reset,
    /// The endpoint does its work, and then the connection is reset: the client does not know what happened.
    ResetAfter,
    /// The answer breaks off after so many bytes of its body, with a reset.
    CutAnswer(u64),
    /// The endpoint answers, and one field of its answer gets another value.
    RewriteField(Field, Value),
    /// It is answered with this, and does not reach the endpoint.
    Respond {
        /// The HTTP status.
        status: u16,
        /// Headers; `content-length` is set for you.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
}

impl Fault {
    /// AWS's answer to too many requests, with the code that the service uses.
    pub fn throttle(code: &str) -> Self {
        Self::Error {
            status: if code == "SlowDown" { 503 } else { 400 },
            code: code.into(),
            message: "Rate exceeded".into(),
        }
    }

    /// A failure inside AWS.
    pub fn internal() -> Self {
        Self::Error { status: 500, code: "InternalError".into(), message: "An internal error has occurred".into() }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Error { .. } => "error",
            Self::Reset => "reset",
            Self::ResetAfter => "reset after",
            Self::CutAnswer(_) => "cut answer",
            Self::RewriteField(..) => "rewrite field",
            Self::Respond { .. } => "respond",
        }
    }
}

/// One rule of the fault proxy. Rules act in the order in which they were given; the first that answers wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// `Operation`, `service:Operation`, `service:*` or `*`; the service is the one of the signature.
    pub operation: String,
    /// Only calls whose path, query or parameters hold this text, such as an instance id, are meant and counted.
    pub containing: Option<String>,
    /// Which of these calls.
    pub nth: Nth,
    /// What happens to them.
    pub fault: Fault,
}

impl Rule {
    /// A rule for all calls of an operation.
    pub fn every(operation: &str, fault: Fault) -> Self {
        Self { operation: operation.into(), containing: None, nth: Nth::Every, fault }
    }

    /// A rule for some calls of an operation.
    pub fn new(operation: &str, nth: Nth, fault: Fault) -> Self {
        Self { nth, ..Self::every(operation, fault) }
    }

    /// The same rule for calls that hold this text only.
    #[must_use]
    pub fn containing(self, text: &str) -> Self {
        Self { containing: Some(text.into()), ..self }
    }

    fn means(&self, call: &Call, haystack: &str) -> bool {
        let (service, operation) = self.operation.split_once(':').unwrap_or(("*", &self.operation));
        (service == "*" || service == call.service)
            && (operation == "*" || operation == call.operation)
            && self.containing.as_ref().is_none_or(|text| haystack.contains(text.as_str()))
    }
}

/// The rules of a proxy with the number of calls that each has met.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<(Rule, u32)>);

impl Rules {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.0.push((rule, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts the call and gives the faults that act on it, in order.
    pub(crate) fn meet(&mut self, call: &Call, haystack: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (rule, count) in &mut self.0 {
            if !rule.means(call, haystack) {
                continue;
            }
            *count += 1;
            let acts = match rule.nth {
                Nth::Only(number) => *count == number,
                Nth::First(number) => *count <= number,
                Nth::From(number) => *count >= number,
                Nth::Every => true,
            };
            if acts {
                faults.push(rule.fault.clone());
            }
        }
        faults
    }
}
