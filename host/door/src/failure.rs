//! What a capability or a step fails with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class of a failure: what a person or an error handler decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The credentials are wrong, unknown or expired.
    Authentication,
    /// The credentials are good, and not allowed to do this.
    AccessDenied,
    /// The thing does not exist.
    NotFound,
    /// The request itself is wrong.
    InvalidInput,
    /// Too many requests; later is better.
    Throttled,
    /// The thing is in a state that forbids this, or exists already.
    Conflict,
    /// A deadline passed.
    Timeout,
    /// The run was cancelled.
    Cancelled,
    /// The service failed, or what it ran did.
    Remote,
    /// The service was not reached, or the connection broke.
    Connection,
    /// A defect of the host or of the plugin.
    Internal,
}

impl Reason {
    /// The word in a contract's `reason`, such as `access-denied`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::AccessDenied => "access-denied",
            Self::NotFound => "not-found",
            Self::InvalidInput => "invalid-input",
            Self::Throttled => "throttled",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Remote => "remote",
            Self::Connection => "connection",
            Self::Internal => "internal",
        }
    }

    /// The name that an error handler reads in `${result.reason}`: Rundeck's where it has one.
    pub fn as_result_reason(self) -> &'static str {
        match self {
            Self::Authentication => "AuthenticationFailure",
            Self::AccessDenied => "Unauthorized",
            Self::NotFound => "NotFound",
            Self::InvalidInput => "InvalidInput",
            Self::Throttled => "Throttled",
            Self::Conflict => "Conflict",
            Self::Timeout => "Timeout",
            Self::Cancelled => "Cancelled",
            Self::Remote => "RemoteFailure",
            Self::Connection => "ConnectionFailure",
            Self::Internal => "InternalFailure",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A failure as guests, error handlers and audit records see it. `message` never holds a secret: it was redacted where
/// it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The class.
    pub reason: Reason,
    /// The service's own code, such as `UnauthorizedOperation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What failed and why, for a person.
    pub message: String,
    /// Whether the same call may succeed later without any change.
    pub retryable: bool,
}

impl Failure {
    /// A failure without a service code that a repetition does not mend.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, code: None, message: message.into(), retryable: false }
    }

    /// The same failure with a service code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same failure, marked as worth a repetition.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}
