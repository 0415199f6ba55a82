//! What goes wrong on the way to credentials, in words for a person.

use std::fmt;

use thiserror::Error;

use crate::request::Origin;

/// How a failure is treated by the chain and by the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseKind {
    /// Nothing is configured for this provider; a chain goes on to the next one.
    Absent,
    /// Configured, and wrong or refused; the same question gets the same answer.
    Refused,
    /// A network or service problem that may pass; credentials that are still valid stay in use.
    Transient,
}

/// What failed and what to do next. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Whether to go on, to give up, or to try again.
    pub kind: CauseKind,
    /// The error code of AWS, where AWS answered.
    pub code: Option<String>,
    /// What failed.
    pub what: String,
    /// What to do next.
    pub next: String,
}

impl Cause {
    pub(crate) fn absent(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind: CauseKind::Absent, code: None, what: what.into(), next: next.into() }
    }

    pub(crate) fn refused(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind: CauseKind::Refused, code: None, what: what.into(), next: next.into() }
    }

    pub(crate) fn transient(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind: CauseKind::Transient, code: None, what: what.into(), next: next.into() }
    }

    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(formatter, "{code}: ")?;
        }
        write!(formatter, "{}; {}", self.what, self.next)
    }
}

/// Which of how many assumed roles, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopNumber {
    /// This hop, from 1; 0 is the base.
    pub number: usize,
    /// How many hops there are.
    pub of: usize,
}

impl fmt::Display for HopNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.number, self.of) {
            (0, _) => formatter.write_str("base credentials"),
            (_, 1) => formatter.write_str("assume-role"),
            (number, of) => write!(formatter, "assume-role (hop {number} of {of})"),
        }
    }
}

/// A provider that a chain tried, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The provider's word in the configuration.
    pub provider: &'static str,
    /// Why it gave no credentials.
    pub error: CredentialsError,
}

/// Why there are no credentials, by provider. No message holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A failure together with the place where the block was written.
    #[error("no credentials from the {origin}: {error}")]
    At {
        /// Level, file and line of the block.
        origin: Origin,
        /// What failed.
        error: Box<CredentialsError>,
    },
    /// The block itself is wrong.
    #[error("credentials block: {0}")]
    Block(Cause),
    /// Provider `access-key`.
    #[error("access-key `{access_key_id}`: {cause}")]
    AccessKey {
        /// The access key id; not a secret.
        access_key_id: String,
        /// What failed.
        cause: Cause,
    },
    /// Provider `assume-role`, at one of its hops.
    #[error("{hop} to `{role_arn}`: {cause}")]
    AssumeRole {
        /// Which hop.
        hop: HopNumber,
        /// The role.
        role_arn: String,
        /// Who asked, where AWS or an earlier hop has told.
        principal: Option<String>,
        /// What failed.
        cause: Box<Cause>,
    },
    /// Provider `ec2`.
    #[error("ec2: {0}")]
    Ec2(Cause),
    /// Provider `ecs`.
    #[error("ecs: {0}")]
    Ecs(Cause),
    /// Provider `web-identity`.
    #[error("web-identity: {0}")]
    WebIdentity(Cause),
    /// Provider `profile`.
    #[error("profile `{profile}`: {cause}")]
    Profile {
        /// Name of the profile.
        profile: String,
        /// What failed.
        cause: Cause,
    },
    /// A profile whose role asks for a multi-factor code.
    #[error("mfa device `{serial}`: {cause}")]
    Mfa {
        /// `mfa_serial` of the profile.
        serial: String,
        /// What failed.
        cause: Cause,
    },
    /// Provider `environment`.
    #[error("environment: {0}")]
    Environment(Cause),
    /// Provider `component`.
    #[error("component `{name}`: {cause}")]
    Component {
        /// Name under which the component was added.
        name: String,
        /// What failed.
        cause: Cause,
    },
    /// Provider `chain`: none of its blocks yielded credentials.
    #[error("chain: none of its {} providers yielded credentials:{}", attempts.len(), list(attempts))]
    Chain {
        /// Every provider, in the order of the block.
        attempts: Vec<Attempt>,
    },
    /// Nothing is configured, and the default chain found nothing either.
    #[error(
        "no AWS credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with AWS_PROFILE, or \
         write a credentials block with `outrigger config aws`; tried:{}",
        list(attempts)
    )]
    DefaultChain {
        /// Every provider, in the order in which it was tried.
        attempts: Vec<Attempt>,
    },
    /// `sts:GetCallerIdentity` failed with credentials that a provider had given.
    #[error("{hop}: sts:GetCallerIdentity: {cause}")]
    CallerIdentity {
        /// Whose credentials were tried.
        hop: HopNumber,
        /// What failed.
        cause: Cause,
    },
    /// A provider took longer than it may.
    #[error("{provider}: no answer within {seconds} s; check the network between here and {asked}, then try again")]
    Deadline {
        /// The provider's word in the configuration.
        provider: &'static str,
        /// Who did not answer.
        asked: String,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// A provider gave credentials that had already expired.
    #[error("{provider}: gave credentials that have already expired; check the clock of this machine and of {asked}")]
    Expired {
        /// The provider's word in the configuration.
        provider: &'static str,
        /// Who gave them.
        asked: String,
    },
    /// The refresh ended without an answer, because the runtime is shutting down.
    #[error("the refresh of the credentials was stopped; the process is shutting down")]
    Stopped,
}

fn list(attempts: &[Attempt]) -> String {
    let line = |attempt: &Attempt| {
        // A role whose source fails is told apart from its source.
        let role = if attempt.provider == attempt.error.provider() {
            String::new()
        } else {
            format!("{}: ", attempt.provider)
        };
        format!("\n  - {role}{}", attempt.error)
    };
    attempts.iter().map(line).collect()
}

impl CredentialsError {
    /// The word of the provider in the configuration.
    pub fn provider(&self) -> &'static str {
        match self {
            Self::At { error, .. } => error.provider(),
            Self::Block(_) | Self::Stopped => "credentials",
            Self::AccessKey { .. } => "access-key",
            Self::AssumeRole { .. } => "assume-role",
            Self::Ec2(_) => "ec2",
            Self::Ecs(_) => "ecs",
            Self::WebIdentity(_) => "web-identity",
            Self::Profile { .. } | Self::Mfa { .. } => "profile",
            Self::Environment(_) => "environment",
            Self::Component { .. } => "component",
            Self::Chain { .. } => "chain",
            Self::DefaultChain { .. } => "default",
            Self::CallerIdentity { .. } => "sts",
            Self::Deadline { provider, .. } | Self::Expired { provider, .. } => provider,
        }
    }

    /// What failed and what to do next, where one provider failed for one reason.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::At { error, .. } => error.cause(),
            Self::Block(cause) | Self::Ec2(cause) | Self::Ecs(cause) => Some(cause),
            Self::WebIdentity(cause) | Self::Environment(cause) => Some(cause),
            Self::AssumeRole { cause, .. } => Some(cause),
            Self::AccessKey { cause, .. } | Self::Profile { cause, .. } => Some(cause),
            Self::Mfa { cause, .. } | Self::Component { cause, .. } | Self::CallerIdentity { cause, .. } => Some(cause),
            Self::Chain { .. } | Self::DefaultChain { .. } => None,
            Self::Deadline { .. } | Self::Expired { .. } | Self::Stopped => None,
        }
    }

    /// The error code of AWS, where AWS answered.
    pub fn code(&self) -> Option<&str> {
        self.cause().and_then(|cause| cause.code.as_deref())
    }

    /// Whether the same question may be answered in a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::At { error, .. } => error.is_transient(),
            Self::Deadline { .. } | Self::Expired { .. } | Self::Stopped => true,
            Self::Chain { attempts } | Self::DefaultChain { attempts } => {
                attempts.iter().any(|attempt| attempt.error.is_transient())
            }
            _ => self.cause().is_some_and(|cause| cause.kind == CauseKind::Transient),
        }
    }

    /// Whether nothing is configured for the provider, so that a chain goes on.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::At { error, .. } => error.is_absent(),
            Self::Chain { attempts } | Self::DefaultChain { attempts } => {
                attempts.iter().all(|attempt| attempt.error.is_absent())
            }
            _ => self.cause().is_some_and(|cause| cause.kind == CauseKind::Absent),
        }
    }

    /// The failure without the place of its block.
    pub fn inner(&self) -> &CredentialsError {
        match self {
            Self::At { error, .. } => error.inner(),
            other => other,
        }
    }

    /// The same with the number of all hops, which an earlier hop on its own does not know.
    pub(crate) fn of(mut self, hops: usize) -> Self {
        if let Self::AssumeRole { hop, .. } | Self::CallerIdentity { hop, .. } = &mut self {
            hop.of = hops;
        }
        self
    }

    pub(crate) fn at(self, origin: &Origin) -> Self {
        match self {
            Self::At { .. } => self,
            error => Self::At { origin: origin.clone(), error: Box::new(error) },
        }
    }
}

/// The message of an error and of everything under it, on one line.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = inner.source();
    }
    text
}
