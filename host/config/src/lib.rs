//! System and project configuration, key storage and grants.

mod aws;

pub use aws::{
    AccountBlock, AssumeRoleBlock, AwsSettings, CredentialsBlock, KeyPath, SessionPolicy, SessionPolicyMode, Source,
    SourceName, WebIdentityToken,
};
