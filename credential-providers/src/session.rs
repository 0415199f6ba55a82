//! Names of role sessions.

use std::fmt;

use sha2::{Digest, Sha256};

/// Longest session name that STS takes, in characters.
const LONGEST: usize = 64;

/// A role session name: 2 to 64 characters of `[\w+=,.@-]`, as
/// [AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html) asks. It stands in the ARN of the
/// session and in CloudTrail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName(String);

impl SessionName {
    /// The nearest valid name to `text`: other characters become `-`; a longer text is cut and ends in a part of its
    /// hash, so that two long names stay two.
    pub fn new(text: &str) -> Self {
        let clean: String = text.chars().map(|character| if is_allowed(character) { character } else { '-' }).collect();
        let clean = match clean.len() {
            0 => "outrigger".to_owned(),
            1 => format!("{clean}-"),
            length if length > LONGEST => {
                let digest = hex::encode(Sha256::digest(text.as_bytes()));
                let kept: String = clean.chars().take(LONGEST - 9).collect();
                let tail: String = digest.chars().take(8).collect();
                format!("{kept}-{tail}")
            }
            _ => clean,
        };
        Self(clean)
    }

    /// `outrigger-run-<run>`: one session for all steps of a run that share a block and a policy.
    pub fn for_run(run: impl fmt::Display) -> Self {
        Self::new(&format!("outrigger-run-{run}"))
    }

    /// `outrigger-run-<run>-<step>`: a session for each step path; all nodes and attempts of the step share it.
    pub fn for_step(run: impl fmt::Display, step: impl fmt::Display) -> Self {
        Self::new(&format!("outrigger-run-{run}-{step}"))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether STS takes `character` in session names and source identities.
pub(crate) fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_+=,.@-".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sts_refuses_is_replaced() {
        assert_eq!(SessionName::for_step(42, "2/1 deploy (prod)").as_str(), "outrigger-run-42-2-1-deploy--prod-");
        assert_eq!(SessionName::new("").as_str(), "outrigger");
        assert_eq!(SessionName::new("x").as_str(), "x-");
        assert_eq!(SessionName::new("häuser").as_str(), "h-user");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let one = SessionName::new(&"a".repeat(100));
        let other = SessionName::new(&"a".repeat(101));
        assert_eq!(one.as_str().len(), LONGEST);
        assert_eq!(other.as_str().len(), LONGEST);
        assert_ne!(one, other);
        assert_eq!(SessionName::new(&"a".repeat(64)).as_str(), "a".repeat(64));
    }
}
