//! The fields that belong to a step's credentials.

use schemars::JsonSchema;
use serde::Deserialize;

/// Where a step's calls go and who makes them, to be flattened into its input. All may be left out: what a step leaves out
/// comes from its project or the system.
///
/// The host takes these members out of the configuration and makes the step's credentials of them, so here they are always
/// none: ask [`credentials`](super::credentials).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AwsConnection {
    /// Region, such as `eu-west-1`.
    #[schemars(title = "Region", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "region", "x-outrigger-group" = "Connection"))]
    pub region: Option<String>,
    /// Access key id.
    #[schemars(title = "Access Key ID", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "access-key", "x-outrigger-group" = "Credentials"))]
    pub access_key: Option<String>,
    /// Path of the secret key in the key storage, such as `keys/project/web/aws`. Never the secret itself.
    #[schemars(title = "Secret Key", with = "String")]
    #[schemars(extend(
        "x-outrigger-credential" = "secret-key",
        "x-outrigger-group" = "Credentials",
        "x-outrigger-display" = "storage-path"
    ))]
    pub secret_key: Option<String>,
    /// Role to assume with the credentials that the step has otherwise.
    #[schemars(title = "Assume Role ARN", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "role", "x-outrigger-group" = "Credentials"))]
    pub assume_role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    #[schemars(title = "External ID", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "external-id", "x-outrigger-group" = "Credentials"))]
    pub external_id: Option<String>,
    /// URL that the service is reached at instead of AWS's own.
    #[schemars(title = "Endpoint URL", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "endpoint", "x-outrigger-group" = "Connection"))]
    pub endpoint: Option<String>,
}
