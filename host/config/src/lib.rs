//! System and project configuration, key storage and grants.
//!
//! [`Home`] says where the files are, [`Settings`] what they say for a project, [`Settings::credentials`] which
//! credentials a step works with, [`Permissions`] what a plugin may do, and [`KeyStore`] keeps the secrets.

mod aws;
mod check;
mod edit;
mod error;
mod file;
mod home;
mod keys;
mod origin;
mod parse;
mod permissions;
mod resolve;
mod settings;
mod setup;
mod show;
mod trust;
mod write;

pub use aws::{
    AccountBlock, AssumeRoleBlock, AwsSettings, CredentialsBlock, KeyPath, SessionPolicy, SessionPolicyMode, Source,
    SourceName, WebIdentityToken,
};
pub use check::{action_matches, glob_matches, is_name};
pub use edit::{BlockName, with_credentials, write_credentials};
pub use error::{ConfigError, ConfigErrors, Error};
pub use file::{HttpSettings, KeysSettings, LimitSettings, MasterKeySource, NativeSettings, Network, PluginAlias};
pub use home::{Environment, Home, HomeSource, PROJECT_FILE, SYSTEM_FILE};
pub use keys::{KeyError, KeyMetadata, KeyScope, KeyStore, KeyType, ProjectKeys, Rotation, Stored, check_key_path};
pub use origin::{Level, Origin, Value};
pub use parse::{ConfigFile, Entry, ProjectFile, SystemFile, parse_project, parse_system};
pub use permissions::{
    Decision, DenyLimit, Grant, GrantKind, PermissionRequest, PermissionRules, Permissions, Rule, Scoped, SessionLimits,
};
pub use resolve::{CredentialsError, Hop, HopKind, ResolvedCredentials, StepCredentials};
pub use settings::{
    DEFAULT_CPU_SECONDS, DEFAULT_DEADLINE_SECONDS, DEFAULT_GRACE_SECONDS, DEFAULT_LOG_LINES, DEFAULT_MEMORY_MIB,
    DEFAULT_OUTPUTS_KIB, DEFAULT_WORKSPACE_MIB, Limits, NativeSteps, Settings,
};
pub use setup::{
    TrustOptions, create_role_command, new_external_id, put_role_policy_command, shell_quote, trust_policy,
    update_trust_command,
};
