//! Where AWS credentials come from: the providers, the chain, assumed roles over several hops, and one cache for all.
//!
//! A [`CredentialRequest`] says which credentials a step works with: a [`ResolvedBlock`] (a base and the roles that are
//! assumed after it), a session policy, a session name and where the block was written. [`Providers::provider`] turns it
//! into a [`CachedProvider`], which AWS SDK clients take as their credentials provider.
//!
//! The SDK has an identity cache of its own. Clients that use a [`CachedProvider`] switch it off with
//! `aws_sdk_sts::config::IdentityCache::no_cache()`: with two caches one above the other a credential of two seconds
//! would be refreshed too late.

mod assume_role;
mod bases;
mod cache;
mod check;
mod context;
mod ec2;
mod ecs;
mod endpoint;
mod env;
mod error;
mod github;
mod http;
mod mfa;
mod policy;
mod profile;
mod providers;
mod request;
mod session;
mod validate;
mod web_identity;

pub use aws_smithy_runtime_api::client::http::SharedHttpClient;
pub use cache::CachedProvider;
pub use context::{
    BoxFuture, ComponentProvider, MfaPrompter, NoComponents, ProvidersContext, SecretObserver, SecretReader,
};
pub use endpoint::{EndpointSettings, Partition};
pub use env::Env;
pub use error::{Attempt, Cause, CauseKind, CredentialsError, HopNumber};
pub use http::{HttpSetupError, Proxy, direct_http_client, http_client};
pub use mfa::{NoMfa, TerminalMfa};
pub use policy::{PolicyAction, PolicyLimits, PolicyTooLong, SESSION_POLICY_LIMIT, compress_session_policy};
pub use providers::Providers;
pub use request::{CredentialRequest, Level, Origin, ResolvedBlock};
pub use session::SessionName;
pub use validate::{HopReport, Identity, ValidationFailure};
