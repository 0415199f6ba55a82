use std::{fmt, time::SystemTime};

/// A set of AWS credentials made in an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key id.
    pub access: String,
    /// The secret access key.
    pub secret: String,
    /// The session token of temporary credentials.
    pub token: Option<String>,
    /// When temporary credentials end.
    pub expiry: Option<SystemTime>,
}

impl Keys {
    /// Long-lived keys.
    pub fn new(access: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access: access.into(), secret: secret.into(), token: None, expiry: None }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access", &self.access).field("expiry", &self.expiry).finish_non_exhaustive()
    }
}
