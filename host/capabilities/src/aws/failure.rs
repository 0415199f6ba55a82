//! SDK errors, translated into failures that name what to do.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use outrigger_door::{Failure, Operation, Reason};

use super::AwsIdentity;

/// Codes of the AWS services that say more than their HTTP status does.
/// Source: the "Common errors" and error pages of the services' API references.
fn reason_of_code(code: &str) -> Option<Reason> {
    let reason = match code {
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed" => Reason::Authentication,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "UnauthorizedAccess"
        | "Forbidden"
        | "OptInRequired"
        | "AllAccessDisabled"
        | "KMSAccessDeniedException"
        | "AuthorizationError"
        | "NotAuthorized"
        | "UnauthorizedException" => Reason::AccessDenied,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "PriorRequestNotComplete"
        | "EC2ThrottledException"
        | "LimitExceededException"
        | "TransactionInProgressException" => Reason::Throttled,
        "NoSuchBucket"
        | "NoSuchKey"
        | "NoSuchUpload"
        | "NotFound"
        | "ResourceNotFoundException"
        | "InvocationDoesNotExist"
        | "InvalidDocument"
        | "InvalidCommandId" => Reason::NotFound,
        "IncorrectInstanceState"
        | "IncorrectState"
        | "OperationNotPermitted"
        | "ResourceInUseException"
        | "ResourceInUse"
        | "ResourceConflictException"
        | "InvalidState"
        | "BucketAlreadyExists"
        | "BucketAlreadyOwnedByYou"
        | "Conflict"
        | "ConflictException"
        | "ScalingActivityInProgress"
        | "InstanceRefreshInProgress"
        | "OperationAborted"
        | "PreconditionFailed"
        | "UnsupportedHibernationConfiguration"
        | "InvalidObjectState" => Reason::Conflict,
        "RequestTimeout" | "RequestTimeoutException" => Reason::Connection,
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServerException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "ServiceException"
        | "Unavailable" => Reason::Remote,
        _ if code.ends_with(".NotFound") || code.ends_with("NotFoundException") || code.starts_with("NoSuch") => {
            Reason::NotFound
        }
        _ if code.ends_with(".Malformed") || code.starts_with("Invalid") || code.starts_with("Malformed") => {
            Reason::InvalidInput
        }
        _ if code.starts_with("Validation") || code.starts_with("Missing") => Reason::InvalidInput,
        _ if code.starts_with("Throttl") => Reason::Throttled,
        _ => return None,
    };
    Some(reason)
}

fn reason_of_status(status: u16) -> Reason {
    match status {
        401 => Reason::Authentication,
        403 => Reason::AccessDenied,
        404 => Reason::NotFound,
        409 | 412 => Reason::Conflict,
        408 => Reason::Connection,
        429 => Reason::Throttled,
        400..=499 => Reason::InvalidInput,
        503 => Reason::Throttled,
        _ => Reason::Remote,
    }
}

/// The class of an answer by its code, and by its HTTP status where the code says nothing.
pub fn classify(code: Option<&str>, status: u16) -> Reason {
    code.and_then(reason_of_code).unwrap_or_else(|| reason_of_status(status))
}

/// All messages of an error and its causes, without repetitions.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}

/// Who refused, as far as AWS says it.
/// Source: IAM User Guide, "Troubleshoot access denied error messages".
fn who_refused(message: &str, identity: &AwsIdentity) -> String {
    let principal = identity.principal.as_deref().unwrap_or("the identity");
    if message.contains("session policy") {
        return "the session policy that Outrigger made from the plugin's imports refused it: see `outrigger plugin policy` and \
                `session-policy` in the credentials block"
            .to_owned();
    }
    let refused =
        if message.contains("with an explicit deny") { "an explicit deny" } else { "no policy that allows it" };
    let place = [
        ("service control policy", "in a service control policy of the organisation"),
        ("resource control policy", "in a resource control policy of the organisation"),
        ("permissions boundary", "in the permissions boundary"),
        ("resource-based policy", "in the policy of the resource"),
        ("VPC endpoint policy", "in the policy of the VPC endpoint"),
        ("identity-based policy", "in the policies of the role"),
    ]
    .iter()
    .find(|(words, _)| message.contains(words))
    .map(|(_, place)| *place);
    match (place, identity.session_policy) {
        (Some(place), _) => format!("{principal} has {refused} {place}"),
        (None, true) => format!(
            "{principal} has {refused}, in its own policies or in the session policy that Outrigger made from the plugin's \
             imports; AWS does not say which"
        ),
        (None, false) => format!("{principal} has {refused}; no session policy was sent, so it is the identity's own"),
    }
}

/// What to do about a failure that is not the request's fault.
fn advice(reason: Reason, code: Option<&str>) -> Option<&'static str> {
    match (reason, code) {
        (Reason::Authentication, Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired")) => {
            Some("the credentials have expired: check the clock of this machine, and `outrigger credentials validate`")
        }
        (Reason::Authentication, Some("RequestTimeTooSkewed")) => {
            Some("the clock of this machine is more than 15 minutes off")
        }
        (Reason::Authentication, _) => Some("see `outrigger credentials validate`"),
        _ => None,
    }
}

/// What a credentials provider said, where that is why a call could not be signed. The SDK's own words around it say nothing.
fn credentials_cause(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        next = cause.source();
        if cause.is::<aws_credential_types::provider::error::CredentialsError>() {
            return Some(next.map_or_else(|| cause.to_string(), chain));
        }
    }
    None
}

/// Translates the error of an SDK call.
pub fn from_sdk<E>(
    error: &SdkError<E, HttpResponse>,
    operation: &Operation,
    identity: &AwsIdentity,
    region: &str,
) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let name = format!("{}:{}", operation.service, operation.action);
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code();
            let said = service.err().message().map_or_else(|| format!("HTTP {status}"), str::to_owned);
            let reason = classify(code, status);
            let mut message = match code {
                Some(code) => format!("{name} in {region} failed with {code}: {said}"),
                None => format!("{name} in {region} failed: {said}"),
            };
            if reason == Reason::AccessDenied {
                let action = operation.iam.first().copied().unwrap_or(&name);
                message = format!("{message}; {action} was refused: {}", who_refused(&said, identity));
            } else if let Some(advice) = advice(reason, code) {
                message = format!("{message}; {advice}");
            }
            Failure {
                reason,
                code: code.map(str::to_owned),
                message,
                retryable: reason == Reason::Throttled || status >= 500,
            }
        }
        SdkError::TimeoutError(_) => {
            Failure::new(Reason::Connection, format!("{name} in {region} got no answer in time")).retryable()
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            Failure::new(Reason::Connection, format!("{name} in {region} got no answer in time")).retryable()
        }
        SdkError::DispatchFailure(failure)
            if failure.as_connector_error().is_some_and(|error| credentials_cause(error).is_some()) =>
        {
            let cause = failure.as_connector_error().and_then(|error| credentials_cause(error)).unwrap_or_default();
            Failure::new(Reason::Authentication, format!("{name} in {region} was not sent: {cause}"))
        }
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().map_or_else(|| chain(error), |cause| chain(cause));
            let reason =
                if failure.is_io() || failure.is_user() { Reason::Connection } else { dispatch_reason(&cause) };
            let failure = Failure::new(reason, format!("{name} in {region} could not be sent: {cause}"));
            if reason == Reason::Connection { failure.retryable() } else { failure }
        }
        SdkError::ResponseError(_) => Failure::new(
            Reason::Connection,
            format!("{name} in {region} got an answer that cannot be read: {}", chain(error)),
        )
        .retryable(),
        other => {
            if let Some(cause) = credentials_cause(other) {
                return Failure::new(Reason::Authentication, format!("{name} in {region} was not sent: {cause}"));
            }
            let cause = chain(other);
            Failure::new(dispatch_reason(&cause), format!("{name} in {region} was not sent: {cause}"))
        }
    }
}

/// Before anything was sent, either the credentials or the request were the matter.
fn dispatch_reason(cause: &str) -> Reason {
    let lower = cause.to_ascii_lowercase();
    if lower.contains("credential") || lower.contains("identity") || lower.contains("token") {
        Reason::Authentication
    } else if lower.contains("connect") || lower.contains("dns") || lower.contains("tls") {
        Reason::Connection
    } else {
        Reason::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_win_over_statuses() {
        for (code, status, reason) in [
            (Some("UnauthorizedOperation"), 403, Reason::AccessDenied),
            (Some("InvalidInstanceID.NotFound"), 400, Reason::NotFound),
            (Some("InvalidInstanceID.Malformed"), 400, Reason::InvalidInput),
            (Some("ExpiredToken"), 400, Reason::Authentication),
            (Some("RequestLimitExceeded"), 503, Reason::Throttled),
            (Some("IncorrectInstanceState"), 400, Reason::Conflict),
            (Some("ResourceNotFoundException"), 400, Reason::NotFound),
            (Some("InternalFailure"), 500, Reason::Remote),
            (Some("SomethingNew"), 409, Reason::Conflict),
            (None, 503, Reason::Throttled),
            (None, 502, Reason::Remote),
            (None, 403, Reason::AccessDenied),
        ] {
            assert_eq!(classify(code, status), reason, "{code:?} {status}");
        }
    }
}
