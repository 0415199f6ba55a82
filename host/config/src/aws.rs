//! The `[aws]` table: region, endpoint settings, the credentials block and named accounts.
//!
//! The types have no `Deserialize`: one reader ([`crate::parse_system`]) refuses unknown keys and knows the place of each
//! problem, and serde's refusal of unknown fields has no effect on flattened and untagged types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// The `[aws]` table of a system or project file, as written; nothing inherited yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AwsSettings {
    /// Region that steps use when they name none, such as `eu-west-1`.
    pub region: Option<String>,
    /// Use FIPS endpoints.
    pub use_fips: Option<bool>,
    /// Use dual-stack (IPv6) endpoints.
    pub use_dual_stack: Option<bool>,
    /// Endpoint for every service, for S3-compatible stores and local endpoints.
    pub endpoint_url: Option<String>,
    /// Endpoint per service (`s3`, `ec2`, `sts`, ...); wins over `endpoint-url`.
    pub endpoint_urls: BTreeMap<String, String>,
    /// PEM file with additional certificate authorities.
    pub ca_bundle: Option<PathBuf>,
    /// Address S3 buckets in the path (`https://host/bucket/key`) instead of the host name.
    pub s3_path_style: Option<bool>,
    /// Where credentials come from.
    pub credentials: Option<CredentialsBlock>,
    /// Named blocks that a step chooses with `credentials: NAME`.
    pub accounts: BTreeMap<String, AccountBlock>,
    /// Patterns (`*` matches any text) of role ARNs that job files may name. `None` where the file says nothing.
    pub allowed_roles: Option<Vec<String>>,
    /// Patterns of endpoint URLs that job files may name. `None` where the file says nothing.
    pub allowed_endpoints: Option<Vec<String>>,
    /// System file only: projects may use the host's own credentials, by the default chain or by a block that names the
    /// host's environment, profile, task or instance.
    pub projects_use_host_credentials: Option<bool>,
}

/// `[aws.accounts.NAME]`: a credentials block with a region of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AccountBlock {
    /// Region for steps that use this account.
    pub region: Option<String>,
    /// The credentials block itself, in the same table.
    #[serde(flatten)]
    pub credentials: CredentialsBlock,
}

/// One way to get credentials. A block is complete in itself: nothing is taken from another level, except where it says
/// `source = "system"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "provider", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum CredentialsBlock {
    /// A long-lived access key whose secret lies in key storage.
    AccessKey {
        /// The access key id; not a secret.
        access_key_id: String,
        /// Key storage path of the secret access key.
        secret_key: KeyPath,
        /// Key storage path of a session token, for temporary keys.
        session_token: Option<KeyPath>,
    },
    /// A role, assumed with the credentials of `source`.
    AssumeRole(Box<AssumeRoleBlock>),
    /// The instance role, by the instance metadata service version 2.
    Ec2 {},
    /// The task role, by the container credentials endpoint.
    Ecs {
        /// Full URI of the endpoint; default from `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `..._FULL_URI`.
        full_uri: Option<String>,
        /// File that holds the authorization token; default from `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` or `..._TOKEN`.
        authorization_token_file: Option<PathBuf>,
    },
    /// `sts:AssumeRoleWithWebIdentity` with a token of an OpenID Connect issuer.
    WebIdentity {
        /// Role to assume; default `AWS_ROLE_ARN`.
        role_arn: Option<String>,
        /// Where the token comes from; default the file that `AWS_WEB_IDENTITY_TOKEN_FILE` names.
        token: Option<WebIdentityToken>,
        /// Session name, 2 to 64 characters; default made from the run.
        session_name: Option<String>,
        /// Seconds that the session lasts, 900 to 43,200.
        duration_seconds: Option<u32>,
    },
    /// A profile of the shared AWS configuration files.
    Profile {
        /// Name of the profile; default `AWS_PROFILE`, then `default`.
        name: Option<String>,
    },
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the host's environment.
    Environment {},
    /// The first of several blocks that yields credentials.
    Chain {
        /// Blocks in the order in which they are tried.
        providers: Vec<CredentialsBlock>,
    },
    /// A component of the world `credential-provider`.
    Component {
        /// Name under which the component was added.
        name: String,
        /// What the component is given, after its own schema.
        config: BTreeMap<String, String>,
    },
}

/// The members of a `provider = "assume-role"` block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AssumeRoleBlock {
    /// ARN of the role.
    pub role_arn: String,
    /// External id that the role's trust policy asks for; no secret.
    pub external_id: Option<String>,
    /// Session name, 2 to 64 characters of `[\w+=,.@-]`; default made from the run.
    pub session_name: Option<String>,
    /// Seconds that the session lasts; 900 to 43,200, at most 3,600 after a first hop.
    pub duration_seconds: Option<u32>,
    /// Whose credentials ask for the role; default `"system"` in a project, the default chain in the system file.
    pub source: Option<Source>,
    /// What limits the session beyond the role's own policies.
    pub session_policy: Option<SessionPolicy>,
    /// Session tags; the trust policy must allow `sts:TagSession`.
    pub tags: BTreeMap<String, String>,
    /// Source identity; the trust policy must allow `sts:SetSourceIdentity`.
    pub source_identity: Option<String>,
}

/// Where an assume-role block takes the credentials that it asks with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Source {
    /// The word `"system"`: the block of the system level, as one more hop.
    Named(SourceName),
    /// A block of its own.
    Block(Box<CredentialsBlock>),
}

/// The one name that `source` accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceName {
    /// The credentials block of the system level.
    System,
}

/// `session-policy`: the policy that travels with `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum SessionPolicy {
    /// `"imports"`: what the component imports, and what those actions depend on. `"off"`: none.
    Mode(SessionPolicyMode),
    /// The imports' actions and these.
    Extra {
        /// IAM actions, such as `kms:Decrypt`.
        #[serde(rename = "extra-actions")]
        extra_actions: Vec<String>,
    },
}

/// The words that `session-policy` accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionPolicyMode {
    /// Limit the session to what the component imports.
    Imports,
    /// Send no session policy.
    Off,
}

/// Where a web identity token comes from; exactly one member is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum WebIdentityToken {
    /// A file, read anew at every refresh.
    File(PathBuf),
    /// An environment variable that holds the token, as GitLab gives it (`id_tokens`).
    Variable(String),
    /// GitHub Actions' `ACTIONS_ID_TOKEN_REQUEST_URL`, asked for this audience.
    Github {
        /// Audience of the token; AWS's own guide uses `sts.amazonaws.com`.
        audience: String,
    },
}

/// A path in key storage, such as `keys/project/web/aws`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct KeyPath(pub String);

impl std::fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl CredentialsBlock {
    /// The word that `provider` has for this block.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self {
            Self::AccessKey { .. } => "access-key",
            Self::AssumeRole(_) => "assume-role",
            Self::Ec2 {} => "ec2",
            Self::Ecs { .. } => "ecs",
            Self::WebIdentity { .. } => "web-identity",
            Self::Profile { .. } => "profile",
            Self::Environment {} => "environment",
            Self::Chain { .. } => "chain",
            Self::Component { .. } => "component",
        }
    }

    /// The first provider in this block, sources and chains included, that uses what belongs to the host: its environment,
    /// profiles, task role or instance role.
    #[must_use]
    pub fn host_provider(&self) -> Option<&'static str> {
        match self {
            Self::AccessKey { .. } | Self::Component { .. } => None,
            Self::Ec2 {}
            | Self::Ecs { .. }
            | Self::WebIdentity { .. }
            | Self::Profile { .. }
            | Self::Environment {} => Some(self.provider()),
            Self::AssumeRole(role) => match &role.source {
                Some(Source::Block(block)) => block.host_provider(),
                Some(Source::Named(SourceName::System)) | None => None,
            },
            Self::Chain { providers } => providers.iter().find_map(Self::host_provider),
        }
    }
}
