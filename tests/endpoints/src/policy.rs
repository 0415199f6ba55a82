use serde_json::{Value, json};

/// A policy with one statement that allows these actions on these resources.
pub fn allow(actions: &[&str], resources: &[&str]) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": resources }],
    })
}

/// The policy of Outrigger's own user: it may assume these roles and nothing else.
pub fn may_assume(roles: &[&str]) -> Value {
    allow(&["sts:AssumeRole"], roles)
}

/// The trust policy that the IAM console writes for "Another AWS account", with "Require external ID" where one is
/// given: the account as its root, exactly `sts:AssumeRole`, and no other condition.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html>
pub fn console_trust(account: &str, external_id: Option<&str>) -> Value {
    let condition = match external_id {
        Some(id) => json!({ "StringEquals": { "sts:ExternalId": id } }),
        None => json!({}),
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": { "AWS": account },
            "Condition": condition,
        }],
    })
}

/// A trust policy for an AWS service, such as `lambda.amazonaws.com`.
pub fn service_trust(service: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": { "Service": service },
        }],
    })
}
