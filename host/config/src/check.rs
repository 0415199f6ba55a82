//! Syntax rules for the values that go to AWS, and for names and addresses.
//!
//! Lengths and characters are those of the reference of `sts:AssumeRole`
//! (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>) and of the IAM user guide's pages on ARNs.

/// Matches IAM's patterns: `*` is any text, also none, `?` any one character.
#[must_use]
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes(), |a, b| a == b, true)
}

/// As [`glob_matches`], for IAM actions, whose letter case does not matter.
#[must_use]
pub fn action_matches(pattern: &str, action: &str) -> bool {
    glob(pattern.as_bytes(), action.as_bytes(), |a, b| a.eq_ignore_ascii_case(&b), true)
}

/// Whether everything that `inner` matches is matched by `outer` too. May say no where it is so, never yes where it is not.
#[must_use]
pub fn glob_covers(outer: &str, inner: &str) -> bool {
    glob(outer.as_bytes(), inner.as_bytes(), |a, b| a == b, false)
}

/// Iterative with one point to return to, so that no pattern takes more than the product of both lengths.
fn glob(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool, one_matches_star: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(b'?') if one_matches_star || character != b'*' => {
                // A character of several bytes counts once.
                p += 1;
                t += 1;
                while text.get(t).is_some_and(|byte| byte & 0xC0 == 0x80) {
                    t += 1;
                }
                continue;
            }
            Some(&wanted) if wanted != b'?' && same(wanted, character) => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((star_p, star_t)) => {
                p = star_p + 1;
                t = star_t + 1;
                star = Some((star_p, t));
            }
            None => return false,
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

fn all(text: &str, allowed: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || allowed.contains(c))
}

/// A region's name, such as `eu-west-1` or `us-gov-west-1`.
pub(crate) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (Some(last), Some(first)) = (parts.last(), parts.first()) else { return false };
    text.len() <= 32
        && parts.len() >= 3
        && (1..=2).contains(&last.len())
        && last.bytes().all(|b| b.is_ascii_digit())
        && first.len() >= 2
        && parts
            .iter()
            .take(parts.len() - 1)
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
}

/// A region's name as stores that are not AWS use it, such as `auto`.
pub(crate) fn is_foreign_region(text: &str) -> bool {
    (1..=64).contains(&text.len()) && all(text, "-_") && !text.starts_with('-')
}

/// What is wrong with a role's ARN.
pub(crate) fn role_arn_problem(text: &str) -> Option<&'static str> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else {
        return Some("an ARN has six parts: arn:PARTITION:iam::ACCOUNT:role/NAME");
    };
    if *arn != "arn" {
        return Some("an ARN begins with `arn:`");
    }
    if !(*partition == "aws" || partition.starts_with("aws-")) || !all(partition, "-") {
        return Some("the partition is `aws`, `aws-cn`, `aws-us-gov` or another that begins with `aws-`");
    }
    if *service != "iam" || !region.is_empty() {
        return Some("a role's ARN reads arn:PARTITION:iam::ACCOUNT:role/NAME");
    }
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Some("the account id has 12 digits");
    }
    let Some(name) = resource.strip_prefix("role/") else {
        return Some("the ARN names no role: its last part must begin with `role/`");
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.is_empty() || last.len() > 64 || name.len() > 576 || !all(name, "+=,.@-_/") {
        return Some("the role's name has 1 to 64 letters, digits or `+=,.@-_`");
    }
    None
}

/// 2 to 64 letters, digits, or `_+=,.@-`: a session name or a source identity.
pub(crate) fn is_session_name(text: &str) -> bool {
    (2..=64).contains(&text.len()) && all(text, "_+=,.@-")
}

/// 2 to 1,224 letters, digits, or `_+=,.@:/-`.
pub(crate) fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len()) && all(text, "_+=,.@:/-")
}

/// 16 to 128 letters and digits.
pub(crate) fn is_access_key_id(text: &str) -> bool {
    (16..=128).contains(&text.len()) && all(text, "_")
}

/// An IAM action or a pattern of actions: `service:Name`, or `*`.
pub(crate) fn is_action_pattern(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    match text.split_once(':') {
        Some((service, name)) => !service.is_empty() && !name.is_empty() && all(service, "-*?") && all(name, "*?"),
        None => false,
    }
}

/// A name of a project, account, component or variable: 1 to 64 letters, digits, `-`, `_`, `.`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && all(text, "-_.")
}

/// What is wrong with the URL of an endpoint.
pub(crate) fn endpoint_problem(text: &str) -> Option<&'static str> {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return Some("it must begin with `https://` or `http://`");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        return Some("it names no host");
    }
    if host.contains('@') {
        return Some("it must hold no user name or password");
    }
    if rest.contains(['?', '#']) {
        return Some("it must hold no query and no fragment");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("it holds a blank or a control character");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "ä", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("eu-*", "eu-west-1", true),
            ("eu-*", "us-east-1", false),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::bb/x", false),
        ] {
            assert_eq!(glob_matches(pattern, text), matches, "{pattern} on {text}");
        }
        assert!(action_matches("ec2:start*", "ec2:StartInstances"));
        assert!(!glob_matches("ec2:start*", "ec2:StartInstances"));
    }

    #[test]
    fn a_pattern_covers_another_only_if_all_of_it_is_inside() {
        for (outer, inner, covers) in [
            ("*", "eu-*", true),
            ("eu-*", "eu-west-*", true),
            ("eu-*", "*", false),
            ("eu-?", "eu-*", false),
            ("eu-?", "eu-?", true),
            ("eu-?", "eu-a", true),
            ("eu-west-1", "eu-west-1", true),
        ] {
            assert_eq!(glob_covers(outer, inner), covers, "{outer} covers {inner}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!glob_matches(&pattern, &"a".repeat(5000)));
    }

    #[test]
    fn regions() {
        for good in ["eu-west-1", "us-gov-west-1", "us-iso-east-1", "ap-southeast-5", "eusc-de-east-1", "mx-central-1"]
        {
            assert!(is_region(good), "{good}");
        }
        for bad in ["", "eu", "eu-west", "eu-west-1a", "EU-WEST-1", "eu west 1", "https://eu-west-1", "eu--1", "-eu-1"]
        {
            assert!(!is_region(bad), "{bad}");
        }
    }

    #[test]
    fn role_arns() {
        for good in [
            "arn:aws:iam::111122223333:role/outrigger",
            "arn:aws-cn:iam::111122223333:role/path/to/x",
            "arn:aws-us-gov:iam::111122223333:role/a+=,.@-_b",
        ] {
            assert_eq!(role_arn_problem(good), None, "{good}");
        }
        for bad in [
            "",
            "outrigger",
            "arn:aws:iam::11112222333:role/x",
            "arn:aws:iam::111122223333:user/x",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/x ",
            "arn:aws:sts::111122223333:assumed-role/x/y",
            "arn:gcp:iam::111122223333:role/x",
            "arn:aws:iam:eu-west-1:111122223333:role/x",
        ] {
            assert!(role_arn_problem(bad).is_some(), "{bad}");
        }
    }
}
