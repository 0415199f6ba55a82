//! Checks of what a block says, before any network is used.

use outrigger_config::AssumeRoleBlock;

use crate::endpoint::Partition;
use crate::error::{Cause, CredentialsError};
use crate::session::is_allowed;

/// Seconds that a session may last, after
/// [AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
const SHORTEST: u32 = 900;
const LONGEST: u32 = 43_200;
/// Seconds that a role may last which was assumed with the credentials of another role, after
/// [role chaining](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining).
pub(crate) const LONGEST_CHAINED: u32 = 3_600;

fn refused(what: String, next: &str) -> CredentialsError {
    CredentialsError::Block(Cause::refused(what, next))
}

/// Whether `arn` is the ARN of an IAM role.
pub(crate) fn role_arn(arn: &str) -> Result<(), CredentialsError> {
    let mut parts = arn.splitn(6, ':');
    let mut part = || parts.next().unwrap_or_default();
    let right = part() == "arn"
        && part().starts_with("aws")
        && part() == "iam"
        && part().is_empty()
        && is_account(part())
        && part().strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace));
    if !right {
        return Err(refused(
            format!("role-arn `{arn}` is no ARN of a role"),
            "write it as `arn:aws:iam::111122223333:role/name`",
        ));
    }
    if Partition::of_arn(arn).is_none() {
        return Err(refused(format!("role-arn `{arn}` names an unknown partition"), "check the part after `arn:`"));
    }
    Ok(())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether STS takes `name` as a session name or a source identity.
pub(crate) fn name(field: &str, name: &str) -> Result<(), CredentialsError> {
    let length = name.chars().count();
    if !(2..=64).contains(&length) || !name.chars().all(is_allowed) {
        return Err(refused(
            format!("{field} `{name}` is not valid"),
            "use 2 to 64 letters, digits and characters of _+=,.@-",
        ));
    }
    Ok(())
}

/// Whether a session may last this long; `chained` where another role asks.
pub(crate) fn duration(seconds: u32, chained: bool) -> Result<(), CredentialsError> {
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        return Err(refused(
            format!("duration-seconds = {seconds} is not possible"),
            "choose 900 (15 minutes) to 43200 (12 hours)",
        ));
    }
    if chained && seconds > LONGEST_CHAINED {
        return Err(refused(
            format!(
                "duration-seconds = {seconds} is not possible for a role that is assumed with the credentials of another \
                 role: AWS limits chained roles to 3600 s"
            ),
            "set at most 3600, or leave it out; the session is renewed while a step runs",
        ));
    }
    Ok(())
}

/// Checks one hop; `position` counts from 0.
pub(crate) fn hop(block: &AssumeRoleBlock, position: usize) -> Result<(), CredentialsError> {
    role_arn(&block.role_arn)?;
    if let Some(seconds) = block.duration_seconds {
        duration(seconds, position > 0)?;
    }
    if let Some(session_name) = &block.session_name {
        name("session-name", session_name)?;
    }
    if let Some(identity) = &block.source_identity {
        name("source-identity", identity)?;
        if identity.to_ascii_lowercase().starts_with("aws:") {
            return Err(refused(format!("source-identity `{identity}` begins with `aws:`"), "choose another name"));
        }
    }
    if let Some(external_id) = &block.external_id {
        let right = (2..=1224).contains(&external_id.len())
            && external_id.chars().all(|character| is_allowed(character) || ":/".contains(character));
        if !right {
            return Err(refused(
                "external-id is not valid".to_owned(),
                "use 2 to 1224 letters, digits and characters of _+=,.@:/-, or leave it out",
            ));
        }
    }
    if block.tags.len() > 50 {
        return Err(refused(format!("{} tags are too many for a session", block.tags.len()), "AWS takes at most 50"));
    }
    for (key, value) in &block.tags {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(refused(
                format!("tag `{key}` is not valid"),
                "a key has 1 to 128 characters and a value at most 256",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_roles() {
        for right in [
            "arn:aws:iam::111122223333:role/outrigger",
            "arn:aws:iam::111122223333:role/path/to/outrigger",
            "arn:aws-cn:iam::111122223333:role/x",
            "arn:aws-us-gov:iam::111122223333:role/x",
        ] {
            role_arn(right).unwrap();
        }
        for wrong in [
            "",
            "outrigger",
            "arn:aws:iam::11112222333:role/x",
            "arn:aws:iam::111122223333:user/x",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:sts::111122223333:assumed-role/x/y",
            "arn:aws-moon:iam::111122223333:role/x",
            "arn:aws:iam::111122223333:role/x y",
        ] {
            let message = role_arn(wrong).unwrap_err().to_string();
            assert!(message.contains(&format!("`{wrong}`")), "{message}");
        }
    }

    #[test]
    fn durations() {
        duration(900, false).unwrap();
        duration(43_200, false).unwrap();
        duration(3_600, true).unwrap();
        assert!(duration(899, false).is_err());
        assert!(duration(43_201, false).is_err());
        assert!(duration(3_601, true).unwrap_err().to_string().contains("limits chained roles to 3600 s"));
    }
}
