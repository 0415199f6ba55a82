//! Provider `ec2`: the instance role, by the instance metadata service version 2.

use std::time::{Duration, SystemTime};

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;

use crate::context::ProvidersContext;
use crate::ecs::Vended;
use crate::error::{Cause, CredentialsError};
use crate::http::innermost;

const PATH: &str = "/latest/meta-data/iam/security-credentials/";
/// AWS asks clients to go on with expired instance credentials while the metadata service has none newer.
const EXTENSION: Duration = Duration::from_secs(10 * 60);

/// The address of the metadata service, and a client of it that keeps its token.
pub(crate) fn client(context: &ProvidersContext) -> Result<(Client, String), CredentialsError> {
    if context.env.is_true("AWS_EC2_METADATA_DISABLED") {
        return Err(CredentialsError::Ec2(Cause::absent(
            "AWS_EC2_METADATA_DISABLED is true",
            "unset it to use the instance role",
        )));
    }
    let endpoint = context.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| {
        let mode = context.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").unwrap_or_default();
        let v6 = mode.eq_ignore_ascii_case("ipv6");
        if v6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" }.to_owned()
    });
    let config = ProviderConfig::empty()
        .with_http_client(context.direct_http.clone())
        .with_sleep_impl(TokioSleep::new())
        .with_time_source(context.clock.clone());
    let builder = Client::builder()
        .configure(&config)
        .connect_timeout(Duration::from_secs(2))
        .read_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(12))
        .max_attempts(3)
        .endpoint(&endpoint)
        .map_err(|_| {
            CredentialsError::Ec2(Cause::refused(
                format!("AWS_EC2_METADATA_SERVICE_ENDPOINT `{endpoint}` is no address"),
                "write it as `http://169.254.169.254`, or unset it",
            ))
        })?;
    Ok((builder.build(), endpoint))
}

/// Credentials of the instance role.
pub(crate) async fn credentials(
    context: &ProvidersContext,
    client: &Client,
    endpoint: &str,
) -> Result<Credentials, CredentialsError> {
    let role = match client.get(PATH).await {
        Ok(role) => role.as_ref().lines().next().unwrap_or_default().trim().to_owned(),
        Err(error) => return Err(CredentialsError::Ec2(failure(error, endpoint))),
    };
    if role.is_empty() {
        return Err(CredentialsError::Ec2(no_role()));
    }
    let answer = match client.get(format!("{PATH}{role}")).await {
        Ok(answer) => answer,
        Err(error) => return Err(CredentialsError::Ec2(failure(error, endpoint))),
    };
    let vended = Vended::parse(answer.as_ref()).map_err(|problem| {
        CredentialsError::Ec2(Cause::transient(
            format!("the metadata service gave no credentials for the role `{role}` ({problem})"),
            "check that the role trusts ec2.amazonaws.com",
        ))
    })?;
    let now = context.clock.now();
    Ok(vended.credentials("ec2", |expiry: SystemTime| if expiry <= now { now + EXTENSION } else { expiry }))
}

fn no_role() -> Cause {
    Cause::absent("this instance has no role", "attach an instance profile to it")
}

fn failure(error: ImdsError, endpoint: &str) -> Cause {
    let why = innermost(&error);
    match error {
        ImdsError::FailedToLoadToken(failure) if failure.is_dispatch_failure() => Cause::absent(
            format!("no instance metadata service at {endpoint} ({why})"),
            "on EC2, check that metadata is enabled and, in a container, that the hop limit is 2 or more; elsewhere use \
             another provider",
        ),
        ImdsError::FailedToLoadToken(_) => Cause::transient(
            format!("the metadata service at {endpoint} gave no token ({why})"),
            "check that the instance allows IMDSv2; in a container, its hop limit must be 2 or more",
        ),
        ImdsError::ErrorResponse(answer) if answer.response().status().as_u16() == 404 => no_role(),
        ImdsError::ErrorResponse(answer) => Cause::transient(
            format!("the metadata service at {endpoint} answered with status {}", answer.response().status().as_u16()),
            "try again in a moment; check that the instance allows IMDSv2",
        ),
        _ => Cause::transient(
            format!("the metadata service at {endpoint} did not answer ({why})"),
            "try again in a moment",
        ),
    }
}
