//! What a person needs to set a role up on the AWS side: external id, trust policy, commands.

use serde_json::{Value as Json, json};

use crate::error::Error;

/// What the trust policy has to allow besides `sts:AssumeRole`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustOptions {
    /// The block has `tags`.
    pub tags: bool,
    /// The block has `source-identity`.
    pub source_identity: bool,
}

/// Makes an external id: 32 hexadecimal digits from the operating system's random numbers.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_external_id() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io("get random numbers from", "the operating system", std::io::Error::other(error)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The trust policy of a role. `principal` is an account id or the ARN of a user or role. Without options it allows
/// exactly `sts:AssumeRole` with the external id, which is what the AWS console writes. A statement of its own for tags or
/// source identity needs no external id: neither does anything without `sts:AssumeRole`
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>).
#[must_use]
pub fn trust_policy(principal: &str, external_id: Option<&str>, options: TrustOptions) -> Json {
    let mut assume = json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "sts:AssumeRole" });
    if let (Some(id), Some(statement)) = (external_id, assume.as_object_mut()) {
        statement.insert("Condition".to_owned(), json!({ "StringEquals": { "sts:ExternalId": id } }));
    }
    let mut statements = vec![assume];
    for (wanted, action) in [(options.tags, "sts:TagSession"), (options.source_identity, "sts:SetSourceIdentity")] {
        if wanted {
            statements.push(json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": action }));
        }
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Quotes a word for a POSIX shell, where it needs it.
#[must_use]
pub fn shell_quote(word: &str) -> String {
    let plain = !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte))
        && !word.starts_with('~');
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn command(words: &[&str]) -> String {
    words.iter().map(|word| shell_quote(word)).collect::<Vec<_>>().join(" ")
}

/// `aws iam create-role` with a trust policy.
#[must_use]
pub fn create_role_command(role: &str, trust_policy: &Json) -> String {
    command(&[
        "aws",
        "iam",
        "create-role",
        "--role-name",
        role,
        "--assume-role-policy-document",
        &trust_policy.to_string(),
    ])
}

/// `aws iam update-assume-role-policy`, for a role that exists.
#[must_use]
pub fn update_trust_command(role: &str, trust_policy: &Json) -> String {
    command(&[
        "aws",
        "iam",
        "update-assume-role-policy",
        "--role-name",
        role,
        "--policy-document",
        &trust_policy.to_string(),
    ])
}

/// `aws iam put-role-policy` with a permission policy.
#[must_use]
pub fn put_role_policy_command(role: &str, policy_name: &str, policy: &Json) -> String {
    command(&[
        "aws",
        "iam",
        "put-role-policy",
        "--role-name",
        role,
        "--policy-name",
        policy_name,
        "--policy-document",
        &policy.to_string(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_trust_policy_allows_assume_role_alone() {
        let policy = trust_policy("111122223333", Some("9f2c"), TrustOptions::default());
        insta::assert_snapshot!(format!("{policy:#}"), @r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Effect": "Allow",
              "Principal": {
                "AWS": "111122223333"
              },
              "Action": "sts:AssumeRole",
              "Condition": {
                "StringEquals": {
                  "sts:ExternalId": "9f2c"
                }
              }
            }
          ]
        }
        "#);
    }

    #[test]
    fn opted_in_actions_get_statements_of_their_own() {
        let options = TrustOptions { tags: true, source_identity: true };
        let policy = trust_policy("arn:aws:iam::111122223333:user/outrigger", Some("9f2c"), options);
        insta::assert_snapshot!(policy.to_string(), @r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/outrigger"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"9f2c"}}},{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/outrigger"},"Action":"sts:TagSession"},{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/outrigger"},"Action":"sts:SetSourceIdentity"}]}"#);
    }

    #[test]
    fn commands_survive_a_shell() {
        let policy = trust_policy("111122223333", Some("9f2c"), TrustOptions::default());
        let line = create_role_command("it's a role; rm -rf ~", &policy);
        insta::assert_snapshot!(line, @r#"aws iam create-role --role-name 'it'\''s a role; rm -rf ~' --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"9f2c"}}}]}'"#);
        // The shell itself is the judge of the quoting.
        let script = line.replacen("aws ", "printf '%s\\n' ", 1);
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().expect("a shell");
        let printed = String::from_utf8(output.stdout).expect("text");
        let words: Vec<&str> = printed.lines().collect();
        let policy_text = policy.to_string();
        assert_eq!(
            words,
            [
                "iam",
                "create-role",
                "--role-name",
                "it's a role; rm -rf ~",
                "--assume-role-policy-document",
                &policy_text
            ]
        );
        insta::assert_snapshot!(put_role_policy_command("outrigger", "jobs", &json!({"Statement": []})), @r#"aws iam put-role-policy --role-name outrigger --policy-name jobs --policy-document '{"Statement":[]}'"#);
    }

    #[test]
    fn words_are_quoted_only_where_needed() {
        for (word, quoted) in [
            ("plain-Word_1.0:/=@%+,", "plain-Word_1.0:/=@%+,"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$HOME", "'$HOME'"),
            ("`id`", "'`id`'"),
            ("a'b", r"'a'\''b'"),
            ("~root", "'~root'"),
            ("a\nb", "'a\nb'"),
        ] {
            assert_eq!(shell_quote(word), quoted);
        }
    }

    #[test]
    fn external_ids_are_32_digits_and_differ() {
        let (one, two) = (new_external_id().expect("random"), new_external_id().expect("random"));
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }
}
