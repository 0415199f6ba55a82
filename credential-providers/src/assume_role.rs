//! `sts:AssumeRole`, and what its refusals mean.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::types::{Credentials as StsCredentials, Tag};
use outrigger_redaction::Secret;

use crate::check::LONGEST_CHAINED;
use crate::context::ProvidersContext;
use crate::endpoint::{sts_client, sts_region};
use crate::error::{Cause, CredentialsError, HopNumber};
use crate::http::connection;

/// One `sts:AssumeRole`.
pub(crate) struct RoleCall<'a> {
    pub(crate) hop: HopNumber,
    pub(crate) role_arn: &'a str,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) session_name: &'a str,
    pub(crate) duration_seconds: Option<u32>,
    pub(crate) policy: Option<&'a str>,
    pub(crate) tags: &'a BTreeMap<String, String>,
    pub(crate) source_identity: Option<&'a str>,
    /// Serial number of a multi-factor device and the code that it shows.
    pub(crate) mfa: Option<(&'a str, Secret)>,
    pub(crate) region: Option<&'a str>,
    /// What the asking credentials are called in messages, such as `ec2`.
    pub(crate) source: &'a str,
}

/// Asks for the role with the credentials `source`.
pub(crate) async fn assume_role(
    context: &ProvidersContext,
    source: Credentials,
    call: &RoleCall<'_>,
) -> Result<Credentials, CredentialsError> {
    let region = sts_region(call.region, Some(call.role_arn))?;
    let temporary = source.session_token().is_some();
    let mut request = sts_client(context, &region, Some(source))
        .assume_role()
        .role_arn(call.role_arn)
        .role_session_name(call.session_name)
        .set_external_id(call.external_id.map(str::to_owned))
        .set_policy(call.policy.map(str::to_owned))
        .set_source_identity(call.source_identity.map(str::to_owned));
    if let Some(seconds) = call.duration_seconds {
        // A role that asks for a role gets an hour; whether temporary credentials are a role's is not known here.
        let seconds = if temporary { seconds.min(LONGEST_CHAINED) } else { seconds };
        request = request.duration_seconds(i32::try_from(seconds).unwrap_or(i32::MAX));
    }
    for (key, value) in call.tags {
        let tag = Tag::builder().key(key).value(value).build();
        request = request.tags(tag.map_err(|error| {
            CredentialsError::Block(Cause::refused(format!("tag `{key}`: {error}"), "check the tags of the block"))
        })?);
    }
    if let Some((serial, code)) = &call.mfa {
        request = request.serial_number(*serial).token_code(code.expose());
    }
    let output = request.send().await.map_err(|error| refusal(&error, call, temporary))?;
    let credentials = output.credentials().ok_or_else(|| {
        failed(
            call,
            None,
            Cause::transient("the answer holds no credentials", "check the STS endpoint that is configured"),
        )
    })?;
    credentials_of(credentials, output.assumed_role_user().map(|user| user.arn()), "assume-role")
        .map_err(|cause| failed(call, None, cause))
}

/// The SDK's form of what STS gave.
pub(crate) fn credentials_of(
    credentials: &StsCredentials,
    arn: Option<&str>,
    provider: &'static str,
) -> Result<Credentials, Cause> {
    let expiry = (*credentials.expiration()).try_into().map_err(|_| {
        Cause::refused("the answer's expiry is no point in time", "check the STS endpoint that is configured")
    })?;
    let mut builder = Credentials::builder()
        .access_key_id(credentials.access_key_id())
        .secret_access_key(credentials.secret_access_key())
        .session_token(credentials.session_token())
        .expiry(expiry)
        .provider_name(provider);
    builder.set_account_id(arn.and_then(|arn| arn.split(':').nth(4)).map(Into::into));
    Ok(builder.build())
}

fn failed(call: &RoleCall<'_>, principal: Option<String>, cause: Cause) -> CredentialsError {
    CredentialsError::AssumeRole {
        hop: call.hop,
        role_arn: call.role_arn.to_owned(),
        principal,
        cause: Box::new(cause),
    }
}

/// What is known of an error of STS.
pub(crate) struct Answer<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) status: u16,
}

/// Code, message and status, if STS answered; otherwise the failure of the connection.
pub(crate) fn answer<E>(
    error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
) -> Result<Answer<'_>, Cause>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let SdkError::ServiceError(service) = error else {
        return Err(Cause::transient(
            format!("STS cannot be reached ({})", connection(error)),
            "check the network, the proxy and the endpoint settings, then try again",
        ));
    };
    let meta = service.err().meta();
    let status = service.raw().status().as_u16();
    match meta.code() {
        Some(code) => Ok(Answer { code, message: meta.message().unwrap_or_default(), status }),
        None => Err(Cause::transient(
            format!("STS answered with status {status} and no error code"),
            "check that the endpoint that is configured speaks STS",
        )),
    }
}

/// What is the same for every STS call: keys that are wrong, clocks, throttling.
pub(crate) fn common(answer: &Answer<'_>, source: &str) -> Option<Cause> {
    let cause = match answer.code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Cause::refused(
            format!("the credentials that ask ({source}) have expired"),
            "get new ones (`aws sso login`, a new session token), or check the clock of this machine",
        ),
        "InvalidClientTokenId" | "UnrecognizedClientException" => Cause::refused(
            format!("AWS does not know the access key or session token that asks ({source})"),
            "check that the key is active, and that it belongs to this partition",
        ),
        "SignatureDoesNotMatch" | "IncompleteSignature" => Cause::refused(
            format!("the secret access key does not belong to the access key id that asks ({source})"),
            "store the secret of this access key again, and check the clock of this machine",
        ),
        "RegionDisabledException" => Cause::refused(
            "STS is not activated in this region for the account".to_owned(),
            "activate it in the IAM console under account settings, or set another region",
        ),
        code if answer.status >= 500 || code.starts_with("Throttl") || code == "RequestLimitExceeded" => {
            Cause::transient(
                format!("STS could not answer (status {})", answer.status),
                "it was tried three times; try again in a moment",
            )
        }
        _ => return None,
    };
    Some(cause.code(answer.code))
}

fn refusal<E>(
    error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
    call: &RoleCall<'_>,
    temporary: bool,
) -> CredentialsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let answer = match answer(error) {
        Ok(answer) => answer,
        Err(cause) => return failed(call, None, cause),
    };
    let principal = principal(answer.message);
    let cause = match common(&answer, call.source) {
        Some(cause) => cause,
        None => meaning(&answer, call, principal.as_deref(), temporary).code(answer.code),
    };
    failed(call, principal, cause)
}

fn meaning(answer: &Answer<'_>, call: &RoleCall<'_>, principal: Option<&str>, temporary: bool) -> Cause {
    let message = answer.message;
    match answer.code {
        "AccessDenied" | "AccessDeniedException" => denied(message, call, principal),
        "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => {
            let characters = call.policy.map_or(0, |policy| policy.chars().count());
            let percent =
                percentage(message).map_or_else(|| "more than 100%".to_owned(), |percent| format!("{percent}%"));
            Cause::refused(
                format!(
                    "the session policy ({characters} characters) and {} tags take {percent} of the packed size that AWS allows",
                    call.tags.len()
                ),
                "use fewer operations in the step, fewer tags, or `session-policy = \"off\"`",
            )
        }
        "MalformedPolicyDocument" | "MalformedPolicyDocumentException" => Cause::refused(
            format!("AWS does not accept the session policy ({message})"),
            "check `extra-actions` of the block and the limits of the grants",
        ),
        "ValidationError" if message.contains("role chaining") || message.contains("1 hour") => Cause::refused(
            "a role that is assumed with the credentials of another role lasts one hour at most".to_owned(),
            "set `duration-seconds` to at most 3600, or leave it out; the session is renewed while a step runs",
        ),
        "ValidationError" if message.contains("MaxSessionDuration") => Cause::refused(
            format!(
                "a session of {} s is longer than the role's maximum session duration",
                call.duration_seconds.unwrap_or(LONGEST_CHAINED)
            ),
            "set a smaller `duration-seconds`, or raise the maximum session duration of the role",
        ),
        _ if temporary && call.mfa.is_none() && message.contains("MultiFactor") => {
            Cause::refused(message.to_owned(), "the role asks for a multi-factor code: use a profile with `mfa_serial`")
        }
        _ if message.is_empty() => Cause::refused("AWS gave no reason", "check the block and the role"),
        _ => Cause::refused(message.to_owned(), "check the block and the role"),
    }
}

/// Only what is known is said: AWS does not tell which of the conditions failed.
fn denied(message: &str, call: &RoleCall<'_>, principal: Option<&str>) -> Cause {
    let action = message
        .split("perform: ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .filter(|action| action.starts_with("sts:"))
        .unwrap_or("sts:AssumeRole");
    let asker = match principal {
        Some(principal) => format!("`{principal}`"),
        None => format!("the credentials that ask ({})", call.source),
    };
    let what = format!("{asker} may not {action} on the role");
    let next = match action {
        "sts:TagSession" => {
            "allow sts:TagSession in the role's trust policy (`outrigger config aws` prints one), or remove `tags`"
                .to_owned()
        }
        "sts:SetSourceIdentity" => {
            "allow sts:SetSourceIdentity in the role's trust policy (`outrigger config aws` prints \
             one), or remove `source-identity`"
                .to_owned()
        }
        _ => {
            let external_id = match call.external_id {
                Some(_) => "an external id was sent: check that the trust policy has the same",
                None => "no external id was sent: if the trust policy asks for one, set `external-id`",
            };
            let mfa = if call.mfa.is_some() { "; check the multi-factor code" } else { "" };
            format!(
                "check that the role exists, that its trust policy names who asks, and that who asks may {action}; \
                 {external_id}{mfa}"
            )
        }
    };
    Cause::refused(what, next)
}

/// The ARN after `User: ` of AWS's sentence, if it has one.
fn principal(message: &str) -> Option<String> {
    let arn = message.split("User: ").nth(1)?.split_whitespace().next()?;
    arn.starts_with("arn:").then(|| arn.to_owned())
}

/// The number before the `%` of AWS's sentence.
fn percentage(message: &str) -> Option<u32> {
    let before = message.split('%').next().filter(|before| before.len() < message.len())?;
    let start = before.rfind(|character: char| !character.is_ascii_digit()).map_or(0, |index| index + 1);
    before.get(start..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tags: &BTreeMap<String, String>) -> RoleCall<'_> {
        RoleCall {
            hop: HopNumber { number: 1, of: 1 },
            role_arn: "arn:aws:iam::444455556666:role/target",
            external_id: None,
            session_name: "outrigger",
            duration_seconds: Some(7_200),
            policy: Some("{}"),
            tags,
            source_identity: None,
            mfa: None,
            region: None,
            source: "access-key",
        }
    }

    fn said(code: &str, message: &str, change: impl Fn(&mut RoleCall<'_>)) -> String {
        let tags = BTreeMap::new();
        let mut call = call(&tags);
        change(&mut call);
        let answer = Answer { code, message, status: 400 };
        let principal = principal(message);
        let cause = common(&answer, call.source)
            .unwrap_or_else(|| meaning(&answer, &call, principal.as_deref(), false).code(code));
        failed(&call, principal, cause).to_string()
    }

    const DENIED: &str = "User: arn:aws:iam::111122223333:user/outrigger is not authorized to perform: sts:AssumeRole on \
                          resource: arn:aws:iam::444455556666:role/target";

    #[test]
    fn a_denial_says_what_is_known_and_no_more() {
        insta::assert_snapshot!(said("AccessDenied", DENIED, |_| {}));
        insta::assert_snapshot!(said("AccessDenied", DENIED, |call| {
            call.external_id = Some("9f2c");
            call.hop = HopNumber { number: 2, of: 2 };
        }));
        insta::assert_snapshot!(said("AccessDenied", "Access denied", |_| {}));
        insta::assert_snapshot!(said("AccessDenied", &DENIED.replace("AssumeRole", "TagSession"), |_| {}));
        insta::assert_snapshot!(said("AccessDenied", &DENIED.replace("AssumeRole", "SetSourceIdentity"), |_| {}));
    }

    #[test]
    fn limits_are_explained() {
        insta::assert_snapshot!(said(
            "PackedPolicyTooLarge",
            "Packed policy consumes 112% of allotted space, please use smaller policy.",
            |_| {}
        ));
        insta::assert_snapshot!(said(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            |_| {}
        ));
        insta::assert_snapshot!(said(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            |_| {}
        ));
    }

    #[test]
    fn wrong_keys_are_told_apart() {
        insta::assert_snapshot!(said("ExpiredToken", "The security token included in the request is expired", |_| {}));
        insta::assert_snapshot!(said("InvalidClientTokenId", "The security token is invalid", |_| {}));
        insta::assert_snapshot!(said("SignatureDoesNotMatch", "The request signature does not match", |_| {}));
    }

    #[test]
    fn percentages() {
        assert_eq!(percentage("Packed policy consumes 112% of allotted space"), Some(112));
        assert_eq!(percentage("too large"), None);
        assert_eq!(percentage("%"), None);
    }
}
