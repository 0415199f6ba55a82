//! Makes failures and says where they happened.

use std::fmt::Display;

use crate::{Failure, Reason};

impl Failure {
    /// A failure of this class. `message` says what failed, why, and what to do next, as a lower-case fragment.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, code: None, message: message.into(), retryable: false }
    }

    /// The request itself is wrong: a field of the input, most often.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidInput, message)
    }

    /// The thing does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Reason::NotFound, message)
    }

    /// The thing is in a state that forbids the call.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Reason::Conflict, message)
    }

    /// The service failed, or what it ran did.
    pub fn remote(message: impl Into<String>) -> Self {
        Self::new(Reason::Remote, message)
    }

    /// A deadline passed.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(Reason::Timeout, message)
    }

    /// A defect of the plugin.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Reason::Internal, message)
    }

    /// The same failure with a code that error handlers can tell apart.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same failure, with what was attempted before its message.
    #[must_use]
    pub fn context(mut self, what: impl Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Whether the service gave this code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the step's deadline passed or the run was cancelled: what a step does after such a failure is clean-up.
    #[must_use]
    pub fn ends_step(&self) -> bool {
        matches!(self.reason, Reason::Timeout | Reason::Cancelled)
    }

    /// Whether the same call may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.retryable || matches!(self.reason, Reason::Throttled | Reason::Connection)
    }
}

/// Says on the way up what was attempted.
///
/// ```
/// use outrigger_plugin_sdk::{Context, Failure};
///
/// let failed: Result<(), Failure> = Err(Failure::not_found("no such bucket"));
/// assert_eq!(failed.context("listing s3://b").unwrap_err().message, "listing s3://b: no such bucket");
/// ```
pub trait Context<T> {
    /// Puts `what` before the failure's message.
    ///
    /// # Errors
    /// The same failure, with the longer message.
    fn context(self, what: impl Display) -> Result<T, Failure>;
}

impl<T> Context<T> for Result<T, Failure> {
    fn context(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|failure| failure.context(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_tell_what_to_do() {
        assert!(Failure::new(Reason::Cancelled, "x").ends_step());
        assert!(Failure::timeout("x").ends_step());
        assert!(!Failure::remote("x").ends_step());
        assert!(Failure::new(Reason::Throttled, "x").is_transient());
        assert!(!Failure::new(Reason::AccessDenied, "x").is_transient());
        assert!(Failure::conflict("x").with_code("InUse").is("InUse"));
        assert!(!Failure::conflict("x").is("InUse"));
    }
}
