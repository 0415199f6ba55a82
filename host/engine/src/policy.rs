//! IAM policies from the imports of components.

use std::collections::BTreeMap;

use outrigger_config::{SessionPolicy, SessionPolicyMode};
use outrigger_credential_providers::{PolicyAction, PolicyLimits, PolicyTooLong, compress_session_policy};
use outrigger_runtime::{ActionNeed, ComponentInfo};
use serde_json::{Value, json};

/// The actions that several components need together, each once.
pub fn needs<'a>(components: impl IntoIterator<Item = &'a ComponentInfo>) -> Vec<ActionNeed> {
    let mut merged: BTreeMap<String, ActionNeed> = BTreeMap::new();
    for need in components.into_iter().flat_map(ComponentInfo::actions) {
        match merged.get_mut(&need.action) {
            Some(known) => {
                if known.dependent && !need.dependent {
                    *known = need;
                } else if known.dependent == need.dependent && need.access == "write" {
                    known.access = "write";
                }
            }
            None => {
                merged.insert(need.action.clone(), need);
            }
        }
    }
    merged.into_values().collect()
}

/// The least policy for these actions: one statement for what is called, one for what depends on what is touched.
pub fn document(needs: &[ActionNeed]) -> Value {
    let actions = |dependent: bool| -> Vec<&str> {
        needs.iter().filter(|need| need.dependent == dependent).map(|need| need.action.as_str()).collect()
    };
    let mut statements = Vec::new();
    for (id, dependent) in [("Called", false), ("Dependent", true)] {
        let actions = actions(dependent);
        if !actions.is_empty() {
            statements.push(json!({ "Sid": id, "Effect": "Allow", "Action": actions, "Resource": "*" }));
        }
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The session policy of a component, for roles that take one; none where the block says `"off"`.
pub fn session_policy(
    component: &ComponentInfo,
    setting: Option<&SessionPolicy>,
    limits: &outrigger_config::SessionLimits,
) -> Result<Option<String>, PolicyTooLong> {
    let extra: &[String] = match setting {
        Some(SessionPolicy::Mode(SessionPolicyMode::Off)) => return Ok(None),
        Some(SessionPolicy::Extra { extra_actions }) => extra_actions,
        Some(SessionPolicy::Mode(SessionPolicyMode::Imports)) | None => &[],
    };
    let mut actions: Vec<PolicyAction> = component
        .actions()
        .into_iter()
        .map(
            |need| {
                if need.dependent { PolicyAction::dependent(need.action) } else { PolicyAction::direct(need.action) }
            },
        )
        .chain(extra.iter().map(PolicyAction::direct))
        .collect();
    // A policy without any action is none at all to AWS; this one needs no permission, so it allows nothing.
    if actions.is_empty() {
        actions.push(PolicyAction::direct("sts:GetCallerIdentity"));
    }
    // Region and resource conditions of the grants go along. A deny rule for some regions or resources stays with the door:
    // as a whole-action denial it would refuse what the rule allows.
    let denied = limits
        .denies
        .iter()
        .filter(|deny| deny.regions.is_empty() && deny.resources.is_empty())
        .flat_map(|deny| deny.actions.iter().cloned())
        .collect();
    let arns = limits.resources.iter().flatten().filter(|resource| resource.starts_with("arn:")).cloned().collect();
    let limits = PolicyLimits { regions: limits.regions.clone().unwrap_or_default(), resources: arns, denied };
    compress_session_policy(&actions, &limits).map(Some)
}
