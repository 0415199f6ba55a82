//! Trying credentials out: who am I, hop by hop.

use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::assume_role::{answer, common};
use crate::context::ProvidersContext;
use crate::endpoint::{Partition, sts_client, sts_region};
use crate::error::{Cause, CredentialsError, HopNumber};
use crate::profile::within;
use crate::providers::Providers;
use crate::request::CredentialRequest;

/// How one hop went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HopReport {
    /// 0 for the base, then the roles from 1.
    pub hop: usize,
    /// Who gave the credentials, in words for a person.
    pub provider: String,
    /// The role that was assumed; none for the base.
    pub role_arn: Option<String>,
    /// ARN of whom the credentials belong to, as AWS says; none if the hop failed.
    pub principal: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Whose credentials these are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Account id, 12 digits.
    pub account: String,
    /// ARN of the principal.
    pub arn: String,
    /// Unique id of the principal.
    pub user_id: String,
    /// Partition, such as `aws`.
    pub partition: String,
    /// Level and place of the block.
    pub level: String,
    /// Who gave the credentials: `assume-role` where a role was assumed, whatever the base.
    pub provider: String,
    /// The base and every role, in order.
    pub hops: Vec<HopReport>,
    /// Region whose STS was asked.
    pub region: String,
    /// What to know about the region, such as that none is set.
    pub note: Option<String>,
}

/// The credentials do not work; the hops say how far they went.
#[derive(Clone, Debug, Error)]
#[error("{error}")]
pub struct ValidationFailure {
    /// The hops up to the one that failed.
    pub hops: Vec<HopReport>,
    /// What failed.
    pub error: CredentialsError,
}

struct Caller {
    account: String,
    arn: String,
    user_id: String,
}

impl Providers {
    /// Asks AWS whose credentials `request` gives (`sts:GetCallerIdentity`, which needs no permission), at every hop.
    /// Without a region `us-east-1`, or the partition's first, is asked, and the answer says so.
    ///
    /// # Errors
    /// [`ValidationFailure`] with the hops so far and what failed.
    pub async fn validate(&self, request: &CredentialRequest) -> Result<Identity, ValidationFailure> {
        let of = request.block.hop_count();
        let mut hops = Vec::new();
        let role = request.block.role_arns().last().map(str::to_owned);
        let at = |error: CredentialsError| error.of(of).at(&request.origin);
        let region = match sts_region(request.region.as_deref(), role.as_deref()) {
            Ok(region) => region,
            Err(error) => return Err(ValidationFailure { hops, error: at(error) }),
        };
        let mut last = None;
        for number in 0..=of {
            let hop = HopNumber { number, of };
            let role_arn =
                number.checked_sub(1).and_then(|index| request.block.role_arns().nth(index)).map(str::to_owned);
            let provider = match &role_arn {
                None => request.block.provider().to_owned(),
                Some(_) => "assume-role".to_owned(),
            };
            let mut report = HopReport { hop: number, provider, role_arn, principal: None, error: None };
            let outcome = match self.cached(&Self::prefix(request, number)).get().await {
                Ok(fetched) => {
                    if number == 0 {
                        report.provider.clone_from(&fetched.provider);
                    }
                    who(self.context(), &region, fetched.credentials, hop, &fetched.provider).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(caller) => {
                    report.principal = Some(caller.arn.clone());
                    hops.push(report);
                    last = Some(caller);
                }
                Err(error) => {
                    let error = error.of(of);
                    report.error = Some(error.to_string());
                    hops.push(report);
                    return Err(ValidationFailure { hops, error: at(error) });
                }
            }
        }
        let Some(caller) = last else {
            return Err(ValidationFailure { hops, error: at(CredentialsError::Stopped) });
        };
        let partition = Partition::of_arn(&caller.arn).unwrap_or_else(|| Partition::of_region(&region));
        let note = request.region.is_none().then(|| {
            format!("no region is set; {region} was asked. Set `region` in [aws], AWS_REGION, or the step's region")
        });
        Ok(Identity {
            account: caller.account,
            arn: caller.arn,
            user_id: caller.user_id,
            partition: partition.name().to_owned(),
            level: request.origin.to_string(),
            provider: hops.last().map(|hop| hop.provider.clone()).unwrap_or_default(),
            hops,
            region,
            note,
        })
    }
}

async fn who(
    context: &ProvidersContext,
    region: &str,
    credentials: aws_credential_types::Credentials,
    hop: HopNumber,
    provider: &str,
) -> Result<Caller, CredentialsError> {
    let failed = |cause| CredentialsError::CallerIdentity { hop, cause };
    let call = async {
        sts_client(context, region, Some(credentials)).get_caller_identity().send().await.map_err(|error| {
            failed(match answer(&error) {
                Ok(answer) => common(&answer, provider).unwrap_or_else(|| {
                    Cause::refused(answer.message.to_owned(), "check the credentials").code(answer.code)
                }),
                Err(cause) => cause,
            })
        })
    };
    let output = within(Duration::from_secs(30), "sts", "STS", call).await?;
    match (output.account(), output.arn(), output.user_id()) {
        (Some(account), Some(arn), Some(user_id)) => {
            Ok(Caller { account: account.to_owned(), arn: arn.to_owned(), user_id: user_id.to_owned() })
        }
        _ => Err(failed(Cause::refused("the answer names nobody", "check the STS endpoint that is configured"))),
    }
}
