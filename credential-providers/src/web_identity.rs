//! Provider `web-identity`: `sts:AssumeRoleWithWebIdentity` with a token of an OpenID Connect issuer.

use std::path::{Path, PathBuf};

use aws_credential_types::Credentials;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use outrigger_config::WebIdentityToken;
use outrigger_redaction::Secret;

use crate::assume_role::{Answer, answer, common, credentials_of};
use crate::check;
use crate::context::ProvidersContext;
use crate::endpoint::{sts_client, sts_region};
use crate::error::{Cause, CredentialsError};
use crate::github;

const ROLE: &str = "AWS_ROLE_ARN";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const SESSION: &str = "AWS_ROLE_SESSION_NAME";

/// The members of the block, and what the request adds.
pub(crate) struct WebIdentity<'a> {
    pub(crate) role_arn: Option<&'a str>,
    pub(crate) token: Option<&'a WebIdentityToken>,
    pub(crate) session_name: Option<&'a str>,
    pub(crate) default_session_name: &'a str,
    pub(crate) duration_seconds: Option<u32>,
    pub(crate) policy: Option<&'a str>,
    pub(crate) region: Option<&'a str>,
}

/// Credentials of the role.
pub(crate) async fn credentials(
    context: &ProvidersContext,
    block: &WebIdentity<'_>,
) -> Result<Credentials, CredentialsError> {
    // The token is looked for first: without one there is no web identity, whatever AWS_ROLE_ARN says.
    let token = token(context, block.token).await.map_err(CredentialsError::WebIdentity)?;
    context.secrets.secret(&token);
    let role_arn = block.role_arn.map(str::to_owned).or_else(|| context.env.get(ROLE)).ok_or_else(|| {
        CredentialsError::WebIdentity(Cause::refused(
            format!("there is a token, and no role: {ROLE} is not set"),
            "set it, or `role-arn` in the block",
        ))
    })?;
    check::role_arn(&role_arn)?;
    let session_name = match block.session_name.map(str::to_owned).or_else(|| context.env.get(SESSION)) {
        Some(name) => {
            check::name("session name", &name)?;
            name
        }
        None => block.default_session_name.to_owned(),
    };
    let region = sts_region(block.region, Some(&role_arn))?;
    let duration = block.duration_seconds.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
    let output = sts_client(context, &region, None)
        .assume_role_with_web_identity()
        .role_arn(&role_arn)
        .role_session_name(session_name)
        .web_identity_token(token.expose())
        .set_duration_seconds(duration)
        .set_policy(block.policy.map(str::to_owned))
        .send()
        .await
        .map_err(|error| CredentialsError::WebIdentity(refusal(&error, &role_arn, block.policy)))?;
    let credentials = output.credentials().ok_or_else(|| {
        CredentialsError::WebIdentity(Cause::transient(
            "the answer holds no credentials",
            "check the STS endpoint that is configured",
        ))
    })?;
    credentials_of(credentials, output.assumed_role_user().map(|user| user.arn()), "web-identity")
        .map_err(CredentialsError::WebIdentity)
}

async fn token(context: &ProvidersContext, token: Option<&WebIdentityToken>) -> Result<Secret, Cause> {
    match token {
        Some(WebIdentityToken::File(path)) => read(path).await,
        Some(WebIdentityToken::Variable(name)) => match context.env.get(name) {
            Some(value) => Ok(Secret::new(value.trim().to_owned())),
            None => Err(Cause::refused(
                format!("the variable {name} is not set"),
                "in GitLab, name it under `id_tokens` of the job; elsewhere export the token",
            )),
        },
        Some(WebIdentityToken::Github { audience }) => github::token(context, audience).await,
        None => match context.env.get(TOKEN_FILE) {
            Some(path) => read(&PathBuf::from(path)).await,
            None => Err(Cause::absent(
                format!("{TOKEN_FILE} is not set"),
                "set it, or `token` in the block, or use another provider",
            )),
        },
    }
}

/// The issuer replaces the file now and then, so it is read at each refresh.
async fn read(path: &Path) -> Result<Secret, Cause> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) if text.trim().is_empty() => {
            Err(Cause::refused(format!("the token file `{}` is empty", path.display()), "check who writes it"))
        }
        Ok(text) => Ok(Secret::new(text.trim().to_owned())),
        Err(error) => Err(Cause::refused(
            format!("the token file `{}` cannot be read ({error})", path.display()),
            "check the path and its permissions",
        )),
    }
}

fn refusal<E>(
    error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
    role_arn: &str,
    policy: Option<&str>,
) -> Cause
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer(error) {
        Ok(answer) => meaning(&answer, role_arn, policy).code(answer.code),
        Err(cause) => cause,
    }
}

fn meaning(answer: &Answer<'_>, role_arn: &str, policy: Option<&str>) -> Cause {
    match answer.code {
        "ExpiredTokenException" | "ExpiredToken" => Cause::refused(
            format!("the token for the role `{role_arn}` has expired"),
            "give a new one; tokens of CI jobs last minutes, so ask for it in the step that uses it",
        ),
        "InvalidIdentityToken" | "InvalidIdentityTokenException" => Cause::refused(
            format!("AWS does not accept the token for the role `{role_arn}` ({})", answer.message),
            "check that IAM has an identity provider for the token's issuer, and its audience",
        ),
        "IDPRejectedClaim" | "IDPRejectedClaimException" => Cause::refused(
            format!("the issuer of the token rejected its claims ({})", answer.message),
            "check the audience and whether the token was revoked",
        ),
        "IDPCommunicationError" | "IDPCommunicationErrorException" => Cause::transient(
            "AWS could not reach the issuer of the token".to_owned(),
            "check that the issuer's keys are reachable from the internet, then try again",
        ),
        "AccessDenied" | "AccessDeniedException" => Cause::refused(
            format!("the token may not sts:AssumeRoleWithWebIdentity on the role `{role_arn}`"),
            "check that the role exists, and that its trust policy names the issuer and matches the token's `sub` and `aud`",
        ),
        "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => Cause::refused(
            format!(
                "the session policy ({} characters) is larger than AWS allows once packed ({})",
                policy.map_or(0, |policy| policy.chars().count()),
                answer.message
            ),
            "use fewer operations in the step, or `session-policy = \"off\"`",
        ),
        "ValidationError" if answer.message.contains("MaxSessionDuration") => Cause::refused(
            "duration-seconds is longer than the role's maximum session duration".to_owned(),
            "ask for less, or raise the maximum session duration of the role",
        ),
        _ => common(answer, "the web identity token").unwrap_or_else(|| {
            Cause::refused(format!("for the role `{role_arn}`: {}", answer.message), "check the block and the role")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str, message: &str) -> String {
        let answer = Answer { code, message, status: 400 };
        CredentialsError::WebIdentity(meaning(&answer, "arn:aws:iam::111122223333:role/ci", None).code(code))
            .to_string()
    }

    #[test]
    fn refusals_say_what_to_check() {
        insta::assert_snapshot!(said("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"));
        insta::assert_snapshot!(said("InvalidIdentityToken", "No OpenIDConnect provider found in your account"));
        insta::assert_snapshot!(said("ExpiredTokenException", "Token expired"));
        insta::assert_snapshot!(said("IDPCommunicationError", "could not connect"));
        insta::assert_snapshot!(said("ValidationError", "1 validation error detected"));
    }
}
