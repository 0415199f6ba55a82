//! Session policies: what a step's imports need, in the 2,048 characters that STS takes.
//!
//! A session has the permissions that both the role and the session policy give
//! ([AWS](https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session)). So where actions are
//! written as `ec2:Describe*` to save room, the step gets no permission that the role lacks; it may get one of the role's
//! that it did not ask for. That is why single actions are kept as long as they fit, reads are widened before writes, and
//! nothing is ever widened to a whole service.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use thiserror::Error;

/// Characters of a session policy that STS takes, after
/// [AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
pub const SESSION_POLICY_LIMIT: usize = 2_048;

/// An IAM action that a step needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyAction {
    /// The action, such as `ec2:StartInstances`.
    pub action: String,
    /// Whether it is there because another action needs it (a KMS key, a passed role). Regions and resources of the grants
    /// speak of what a step calls itself, so they do not narrow dependents.
    pub dependent: bool,
}

impl PolicyAction {
    /// An action that the step calls itself.
    pub fn direct(action: impl Into<String>) -> Self {
        Self { action: action.into(), dependent: false }
    }

    /// An action that another action needs.
    pub fn dependent(action: impl Into<String>) -> Self {
        Self { action: action.into(), dependent: true }
    }
}

/// What grants limit beyond the actions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Regions that may be called; none means any. Calls to global services count as in `us-east-1`, or the partition's
    /// first region.
    pub regions: Vec<String>,
    /// ARN patterns. They narrow the actions of the services that they name; other services keep every resource.
    pub resources: Vec<String>,
    /// Actions that are denied whatever else is allowed; `*` matches any text.
    pub denied: Vec<String>,
}

/// The actions do not fit, whatever is shortened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the session policy has {chars} characters and AWS takes {SESSION_POLICY_LIMIT}; use fewer operations in the step, fewer \
     resources in the grant, or `session-policy = \"off\"`"
)]
pub struct PolicyTooLong {
    /// Characters of the shortest form.
    pub chars: usize,
}

/// The least session policy for `actions` as minified JSON: sorted, without duplicates, and with prefixes such as
/// `ec2:Describe*` only as far as the room asks for it.
///
/// # Errors
/// [`PolicyTooLong`] if it does not fit even then; the session must not be opened without it.
pub fn compress_session_policy(actions: &[PolicyAction], limits: &PolicyLimits) -> Result<String, PolicyTooLong> {
    // Without limits the two kinds are treated alike, and one statement is shorter than two.
    let limited = !limits.regions.is_empty() || !limits.resources.is_empty();
    let kind = |dependent: bool| -> BTreeSet<String> {
        let of_kind = actions.iter().filter(|action| (action.dependent && limited) == dependent);
        of_kind.map(|action| action.action.clone()).collect()
    };
    let mut groups = Groups { direct: kind(false), dependent: kind(true) };
    loop {
        let text = write(&groups, limits);
        let chars = text.chars().count();
        if chars <= SESSION_POLICY_LIMIT {
            return Ok(text);
        }
        if !groups.shorten() {
            return Err(PolicyTooLong { chars });
        }
    }
}

/// Actions of the two kinds; an entry is an action or a prefix with `*`.
struct Groups {
    direct: BTreeSet<String>,
    dependent: BTreeSet<String>,
}

/// One possible widening: the entries that begin with `prefix` become `prefix*`.
struct Widening {
    dependent: bool,
    prefix: String,
}

impl Groups {
    /// Takes the widening that gives away least; false if there is none.
    fn shorten(&mut self) -> bool {
        let candidates = [(false, &self.direct), (true, &self.dependent)];
        let best = candidates
            .into_iter()
            .flat_map(|(dependent, set)| prefixes(set).into_iter().map(move |prefix| Widening { dependent, prefix }))
            // A longer prefix covers less, and a read does less harm than a write.
            .max_by(|left, right| rank(left).cmp(&rank(right)).then_with(|| right.prefix.cmp(&left.prefix)));
        let Some(Widening { dependent, prefix }) = best else { return false };
        let set = if dependent { &mut self.dependent } else { &mut self.direct };
        set.retain(|entry| !entry.starts_with(&prefix));
        set.insert(format!("{prefix}*"));
        true
    }
}

fn rank(widening: &Widening) -> (bool, usize) {
    let name = widening.prefix.split(':').nth(1).unwrap_or_default();
    let reads =
        ["Describe", "Get", "List", "BatchGet", "Head", "Search", "Lookup"].iter().any(|verb| name.starts_with(verb));
    (reads, name.len())
}

/// Prefixes of whole words that two or more entries of a service share; whoever hands out permissions is left alone.
fn prefixes(set: &BTreeSet<String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in set {
        let Some((service, name)) = entry.split_once(':') else { continue };
        if matches!(service, "iam" | "sts" | "kms" | "organizations") {
            continue;
        }
        let name = name.trim_end_matches('*');
        let words =
            name.char_indices().skip(1).filter(|(_, character)| character.is_ascii_uppercase()).map(|(at, _)| at);
        for end in words.chain([name.len()]) {
            if let Some(start) = name.get(..end).filter(|start| !start.is_empty()) {
                *counts.entry(format!("{service}:{start}")).or_default() += 1;
            }
        }
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(prefix, _)| prefix).collect()
}

fn write(groups: &Groups, limits: &PolicyLimits) -> String {
    let mut statements = Vec::new();
    let mut unlimited: Vec<&str> = Vec::new();
    let mut by_service: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for action in &groups.direct {
        let service = action.split(':').next().unwrap_or_default();
        if limits.resources.iter().any(|arn| service_of(arn) == Some(service)) {
            by_service.entry(service).or_default().push(action);
        } else {
            unlimited.push(action);
        }
    }
    if !unlimited.is_empty() {
        statements.push(allow(&unlimited, &[], &limits.regions));
    }
    for (service, actions) in by_service {
        let resources: Vec<&str> =
            limits.resources.iter().filter(|arn| service_of(arn) == Some(service)).map(String::as_str).collect();
        statements.push(allow(&actions, &resources, &limits.regions));
    }
    if !groups.dependent.is_empty() {
        let actions: Vec<&str> = groups.dependent.iter().map(String::as_str).collect();
        statements.push(allow(&actions, &[], &[]));
    }
    if !limits.denied.is_empty() {
        let denied: Vec<&str> = limits.denied.iter().map(String::as_str).collect();
        statements.push(json!({"Effect": "Deny", "Action": short(&denied), "Resource": "*"}));
    }
    if statements.is_empty() {
        // AWS takes no policy without statements; without one the session would have all that the role has.
        statements.push(json!({"Effect": "Deny", "Action": "*", "Resource": "*"}));
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn allow(actions: &[&str], resources: &[&str], regions: &[String]) -> Value {
    let mut statement = Map::new();
    statement.insert("Effect".to_owned(), "Allow".into());
    statement.insert("Action".to_owned(), short(actions));
    statement.insert("Resource".to_owned(), if resources.is_empty() { "*".into() } else { short(resources) });
    if !regions.is_empty() {
        let regions: Vec<&str> = regions.iter().map(String::as_str).collect();
        statement.insert("Condition".to_owned(), json!({"StringEquals": {"aws:RequestedRegion": short(&regions)}}));
    }
    Value::Object(statement)
}

/// One value stands without brackets: policies allow it, and it is shorter.
fn short(values: &[&str]) -> Value {
    match values {
        [one] => Value::from(*one),
        many => json!(many),
    }
}

/// The service of an ARN, as actions name it.
fn service_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(actions: &[&str]) -> Vec<PolicyAction> {
        actions.iter().map(|action| PolicyAction::direct(*action)).collect()
    }

    #[test]
    fn a_short_list_is_kept_as_it_is() {
        let mut actions = direct(&["ec2:StopInstances", "ec2:DescribeInstances", "ec2:StopInstances"]);
        actions.push(PolicyAction::dependent("kms:CreateGrant"));
        assert_eq!(
            compress_session_policy(&actions, &PolicyLimits::default()).unwrap(),
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:DescribeInstances","ec2:StopInstances","kms:CreateGrant"],"Resource":"*"}]}"#
        );
    }

    #[test]
    fn nothing_needed_is_nothing_allowed() {
        let policy = compress_session_policy(&[], &PolicyLimits::default()).unwrap();
        assert_eq!(policy, r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#);
    }

    #[test]
    fn grants_narrow_what_the_step_calls_itself() {
        let mut actions = direct(&["s3:GetObject", "ec2:StartInstances"]);
        actions.push(PolicyAction::dependent("kms:Decrypt"));
        let limits = PolicyLimits {
            regions: vec!["eu-west-1".to_owned()],
            resources: vec!["arn:aws:s3:::logs/*".to_owned()],
            denied: vec!["ec2:Terminate*".to_owned()],
        };
        let policy: Value = serde_json::from_str(&compress_session_policy(&actions, &limits).unwrap()).unwrap();
        let region = json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}});
        assert_eq!(
            policy["Statement"],
            json!([
                {"Effect": "Allow", "Action": "ec2:StartInstances", "Resource": "*", "Condition": region},
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::logs/*", "Condition": region},
                {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"},
                {"Effect": "Deny", "Action": "ec2:Terminate*", "Resource": "*"},
            ])
        );
    }

    fn many(verb: &str, count: usize) -> Vec<PolicyAction> {
        const WORDS: [&str; 10] =
            ["Alpha", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett"];
        (0..count)
            .map(|n| PolicyAction::direct(format!("ec2:{verb}{}{}Resources", WORDS[n / 10 % 10], WORDS[n % 10])))
            .collect()
    }

    #[test]
    fn reads_are_widened_before_writes_and_only_as_far_as_needed() {
        let mut actions = many("Describe", 60);
        actions.extend(direct(&["ec2:StartInstances", "ec2:StopInstances", "ec2:StartFleet"]));
        let policy = compress_session_policy(&actions, &PolicyLimits::default()).unwrap();
        assert!(policy.chars().count() <= SESSION_POLICY_LIMIT);
        for kept in ["ec2:StartInstances", "ec2:StopInstances", "ec2:StartFleet"] {
            assert!(policy.contains(kept), "{policy}");
        }
        assert!(policy.contains("ec2:DescribeAlpha") && !policy.contains("\"ec2:Describe*\""), "{policy}");
    }

    /// Every action must still be allowed after shortening.
    #[test]
    fn nothing_gets_lost() {
        let actions: Vec<_> = many("Describe", 100).into_iter().chain(many("Modify", 100)).collect();
        let policy = compress_session_policy(&actions, &PolicyLimits::default()).unwrap();
        let policy: Value = serde_json::from_str(&policy).unwrap();
        let allowed: Vec<_> = match &policy["Statement"][0]["Action"] {
            Value::Array(list) => list.iter().map(|it| it.as_str().unwrap().to_owned()).collect(),
            one => vec![one.as_str().unwrap().to_owned()],
        };
        for PolicyAction { action, .. } in &actions {
            let covered = allowed.iter().any(|entry| match entry.strip_suffix('*') {
                Some(prefix) => action.starts_with(prefix) && prefix != "ec2:",
                None => entry == action,
            });
            assert!(covered, "{action} in {allowed:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_size() {
        let actions: Vec<_> = (0..200).map(|n| PolicyAction::direct(format!("service{n}:DoSomething"))).collect();
        let error = compress_session_policy(&actions, &PolicyLimits::default()).unwrap_err();
        assert!(error.chars > SESSION_POLICY_LIMIT);
        assert!(error.to_string().contains(&error.chars.to_string()));
    }

    #[test]
    fn handing_out_permissions_is_never_widened() {
        let actions: Vec<_> = (0..100).map(|n| PolicyAction::direct(format!("iam:PassSomething{n}"))).collect();
        compress_session_policy(&actions, &PolicyLimits::default()).unwrap_err();
    }
}
