//! AWS / Validate Credentials.

use outrigger_plugin_sdk::aws::{AwsConnection, credentials, describe_provenance, sts};
use outrigger_plugin_sdk::prelude::*;

/// Says who the credentials are and where they come from.
pub struct ValidateCredentials;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
pub struct Input {
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

/// What the step found out.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Account number, 12 digits.
    account: String,
    /// ARN of the calling entity.
    arn: String,
    /// Unique identifier of the calling entity.
    user_id: String,
    /// Level that the credentials come from: `step`, `node`, `project`, `system` or `environment`.
    level: String,
    /// Provider, such as `assume-role`.
    provider: String,
    /// One line for each role that was assumed on the way, and what it began with.
    hops: Vec<String>,
    /// Region that calls go to.
    region: Option<String>,
    /// Where the region was configured.
    region_origin: Option<String>,
}

impl JobStep for ValidateCredentials {
    const PROVIDER: &'static str = "aws-validate-credentials-step";
    const TITLE: &'static str = "AWS / Validate Credentials";
    const SUMMARY: &'static str =
        "Asks AWS who the credentials are, and says which level and provider they come from. Needs no permission.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(_: Input) -> Result<(), Failure> {
        let aws = credentials()?;
        let provenance = describe_provenance(&aws)?;
        let (level, provider) = (&provenance.level, &provenance.provider);
        info!("Credentials: {provider} ({level} level)");
        for hop in &provenance.hops {
            info!("  {hop}");
        }
        match (&provenance.region, &provenance.region_origin) {
            (Some(region), Some(origin)) => info!("Region: {region} ({origin})"),
            (Some(region), None) => info!("Region: {region}"),
            (None, _) => warn!("Region: none is configured, so us-east-1 is asked; other steps need one"),
        }
        let identity = sts::get_caller_identity(&aws)
            .context(format!("the credentials of the {level} level ({provider}) are not valid"))?;
        info!("Account ID: {}", identity.account);
        info!("User ID: {}", identity.user_id);
        info!("ARN: {}", identity.arn);
        outputs(&Outputs {
            account: identity.account,
            arn: identity.arn,
            user_id: identity.user_id,
            level: provenance.level,
            provider: provenance.provider,
            hops: provenance.hops,
            region: provenance.region,
            region_origin: provenance.region_origin,
        })
    }
}

outrigger_plugin_sdk::export_job_step!(ValidateCredentials);
