//! `[permissions]`: what plugins may do, by plugin, action, region, account and resource.
//!
//! A `deny` rule of either level wins. A level that has `allow` rules allows what one of them matches and nothing else; a
//! level without any allows all. So a project can narrow what the system allows, and cannot widen it. With no rule at
//! either level every action of an accepted component is allowed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::{action_matches, glob_covers, glob_matches};
use crate::origin::Origin;

/// One `[[permissions.allow]]` or `[[permissions.deny]]`. An empty list means that the rule does not look at this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Patterns of provider ids.
    pub plugins: Vec<String>,
    /// Patterns of IAM actions; letter case does not matter.
    pub actions: Vec<String>,
    /// Patterns of regions.
    pub regions: Vec<String>,
    /// Patterns of account ids.
    pub accounts: Vec<String>,
    /// Patterns of resource ARNs.
    pub resources: Vec<String>,
    /// Where the rule stands.
    pub origin: Origin,
}

/// How far a grant reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scoped {
    /// Refused, whatever the other level says.
    None,
    /// What one of these patterns matches.
    Only(Vec<String>),
    /// All.
    All,
}

/// `[permissions.grants.NAME]`: what a component may have that needs an operator's yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// SHA-256 of the component that the operator accepted, as hexadecimal digits; only the system file has it.
    pub digest: Option<String>,
    /// Key paths whose plain text the component may see.
    pub reveal: Option<Scoped>,
    /// Whether the component may make secrets of text.
    pub seal: Option<bool>,
    /// IAM actions that the component may send without a typed function.
    pub raw: Option<Scoped>,
    /// Origins that the component may reach.
    pub http: Option<Scoped>,
    /// Where the grant stands.
    pub origin: Origin,
}

/// The `[permissions]` table of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PermissionRules {
    /// What is allowed.
    pub allow: Vec<Rule>,
    /// What is refused.
    pub deny: Vec<Rule>,
    /// Grants by component name.
    pub grants: BTreeMap<String, Grant>,
}

/// What a plugin is about to do.
#[derive(Clone, Copy, Debug)]
pub struct PermissionRequest<'r> {
    /// Provider id.
    pub plugin: &'r str,
    /// IAM action, such as `ec2:StartInstances`.
    pub action: &'r str,
    /// Region, where it is known.
    pub region: Option<&'r str>,
    /// Account id, where it is known.
    pub account: Option<&'r str>,
    /// ARN of the resource; `None` for an action that is about no resource. Ask once per resource.
    pub resource: Option<&'r str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allowed,
    /// Stop.
    Denied {
        /// The `deny` rule, or `None` where no `allow` rule matches.
        rule_origin: Option<Origin>,
        /// What would allow it, as TOML that can be pasted.
        missing: String,
    },
}

/// One kind of the grants that components need beyond their actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantKind {
    /// See a secret's plain text.
    Reveal,
    /// Make a secret of text.
    Seal,
    /// Send an action without a typed function.
    Raw,
    /// Reach an origin.
    Http,
}

/// What the rules leave of a plugin, for a session policy. It is never narrower than the rules, and may be wider where
/// rules couple members (this action in that region only); the rules themselves are asked at every call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionLimits {
    /// Patterns for the condition key `aws:RequestedRegion`; `None` means any, an empty list none at all.
    pub regions: Option<Vec<String>>,
    /// Patterns for `Resource`; `None` means any, an empty list none at all. Actions that are about no resource need `*`.
    pub resources: Option<Vec<String>>,
    /// `Deny` statements. Those that look at the account are left out: a session has one account.
    pub denies: Vec<DenyLimit>,
}

/// A `Deny` statement; empty lists mean all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DenyLimit {
    /// IAM actions.
    pub actions: Vec<String>,
    /// Regions.
    pub regions: Vec<String>,
    /// Resources.
    pub resources: Vec<String>,
}

/// The rules of both levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    levels: Vec<PermissionRules>,
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| glob_matches(pattern, text))
}

/// Whether one of the patterns matches; an unknown text is matched as `if_unknown` says.
fn any_known(patterns: &[String], text: Option<&str>, if_unknown: bool) -> bool {
    patterns.is_empty() || text.map_or(if_unknown, |text| any(patterns, text))
}

impl Rule {
    fn for_plugin(&self, plugin: &str) -> bool {
        any(&self.plugins, plugin)
    }

    /// An unknown region or account fits no `allow` and every `deny`. No resource is what IAM writes as `*`, which only
    /// the pattern `*` matches.
    fn matches(&self, request: &PermissionRequest<'_>, if_unknown: bool) -> bool {
        self.for_plugin(request.plugin)
            && (self.actions.is_empty() || self.actions.iter().any(|p| action_matches(p, request.action)))
            && any_known(&self.regions, request.region, if_unknown)
            && any_known(&self.accounts, request.account, if_unknown)
            && any(&self.resources, request.resource.unwrap_or("*"))
    }
}

impl Permissions {
    /// Puts the levels together. Their order does not matter.
    #[must_use]
    pub fn new(levels: Vec<PermissionRules>) -> Self {
        Self { levels }
    }

    /// Decides. No I/O, and no allocation where the answer is yes.
    #[must_use]
    pub fn decide(&self, request: &PermissionRequest<'_>) -> Decision {
        for rule in self.levels.iter().flat_map(|level| &level.deny) {
            if rule.matches(request, true) {
                return Decision::Denied {
                    rule_origin: Some(rule.origin.clone()),
                    missing: format!(
                        "# no `allow` lifts the [[permissions.deny]] at {}; narrow or remove that rule",
                        rule.origin
                    ),
                };
            }
        }
        for level in &self.levels {
            if !level.allow.is_empty() && !level.allow.iter().any(|rule| rule.matches(request, false)) {
                return Decision::Denied { rule_origin: None, missing: missing(level, request) };
            }
        }
        Decision::Allowed
    }

    /// What the rules leave of a plugin, whichever action it calls.
    #[must_use]
    pub fn limits_for(&self, plugin: &str) -> SessionLimits {
        let mut limits = SessionLimits::default();
        for level in &self.levels {
            if !level.allow.is_empty() {
                let rules: Vec<&Rule> = level.allow.iter().filter(|rule| rule.for_plugin(plugin)).collect();
                limits.regions = narrowed(limits.regions, union(&rules, |rule| &rule.regions));
                limits.resources = narrowed(limits.resources, union(&rules, |rule| &rule.resources));
            }
            limits.denies.extend(
                level.deny.iter().filter(|rule| rule.for_plugin(plugin) && rule.accounts.is_empty()).map(|rule| {
                    DenyLimit {
                        actions: rule.actions.clone(),
                        regions: rule.regions.clone(),
                        resources: rule.resources.clone(),
                    }
                }),
            );
        }
        limits
    }

    /// Whether a component was granted this. `text` is the key path, action or origin; it does not matter for
    /// [`GrantKind::Seal`].
    #[must_use]
    pub fn granted(&self, component: &str, kind: GrantKind, text: &str) -> bool {
        let mut granted = false;
        for grant in self.levels.iter().filter_map(|level| level.grants.get(component)) {
            let scoped = match kind {
                GrantKind::Seal => match grant.seal {
                    Some(false) => return false,
                    Some(true) => {
                        granted = true;
                        continue;
                    }
                    None => continue,
                },
                GrantKind::Reveal => &grant.reveal,
                GrantKind::Raw => &grant.raw,
                GrantKind::Http => &grant.http,
            };
            match scoped {
                Some(Scoped::None) => return false,
                Some(Scoped::All) => granted = true,
                Some(Scoped::Only(patterns)) => {
                    granted |= patterns.iter().any(|pattern| match kind {
                        GrantKind::Raw => action_matches(pattern, text),
                        _ => glob_matches(pattern, text),
                    });
                }
                None => {}
            }
        }
        granted
    }

    /// The grants of a component, by level.
    pub fn grants<'p>(&'p self, component: &'p str) -> impl Iterator<Item = &'p Grant> {
        self.levels.iter().filter_map(move |level| level.grants.get(component))
    }

    /// The digest that the system file accepts for a component.
    #[must_use]
    pub fn accepted_digest(&self, component: &str) -> Option<&str> {
        self.levels.iter().find_map(|level| level.grants.get(component)?.digest.as_deref())
    }

    /// All rules with whether they allow, for display.
    pub fn rules(&self) -> impl Iterator<Item = (bool, &Rule)> {
        self.levels.iter().flat_map(|level| {
            level.allow.iter().map(|rule| (true, rule)).chain(level.deny.iter().map(|rule| (false, rule)))
        })
    }
}

/// All patterns of the rules, or `None` if one of them does not look.
fn union<'r>(rules: &[&'r Rule], member: impl Fn(&'r Rule) -> &'r Vec<String>) -> Option<Vec<String>> {
    let mut patterns: Vec<String> = Vec::new();
    for rule in rules {
        let list = member(rule);
        if list.is_empty() {
            return None;
        }
        for pattern in list {
            if !patterns.contains(pattern) {
                patterns.push(pattern.clone());
            }
        }
    }
    Some(patterns)
}

/// The patterns that stay inside both lists.
fn narrowed(before: Option<Vec<String>>, now: Option<Vec<String>>) -> Option<Vec<String>> {
    let (before, now) = match (before, now) {
        (None, other) | (other, None) => return other,
        (Some(before), Some(now)) => (before, now),
    };
    let mut both: Vec<String> = Vec::new();
    for a in &before {
        for b in &now {
            // Where two patterns overlap without one covering the other, their common part has no pattern; one of them
            // is the wider answer.
            let common = if glob_covers(a, b) {
                b
            } else if glob_covers(b, a) || overlap(a, b) {
                a
            } else {
                continue;
            };
            if !both.contains(common) {
                both.push(common.clone());
            }
        }
    }
    Some(both)
}

/// Whether two patterns, neither covering the other, may match a common text: their fixed beginnings and ends agree.
fn overlap(a: &str, b: &str) -> bool {
    const WILD: [char; 2] = ['*', '?'];
    if !a.contains(WILD) || !b.contains(WILD) {
        return false;
    }
    let head = |text: &str| text.split(WILD).next().unwrap_or_default().to_owned();
    let tail = |text: &str| text.rsplit(WILD).next().unwrap_or_default().to_owned();
    let (head_a, head_b, tail_a, tail_b) = (head(a), head(b), tail(a), tail(b));
    (head_a.starts_with(&head_b) || head_b.starts_with(&head_a))
        && (tail_a.ends_with(&tail_b) || tail_b.ends_with(&tail_a))
}

/// A rule that would allow the request, no wider than it. Looks only at what the level's rules look at.
fn missing(level: &PermissionRules, request: &PermissionRequest<'_>) -> String {
    let mut toml = String::from("[[permissions.allow]]\n");
    let mut line = |key: &str, value: &str| toml.push_str(&format!("{key} = [{}]\n", toml::Value::from(value)));
    line("plugins", request.plugin);
    line("actions", request.action);
    let looks = |member: fn(&Rule) -> &Vec<String>| level.allow.iter().any(|rule| !member(rule).is_empty());
    let optional: [(&str, Option<&str>, bool); 3] = [
        ("regions", request.region, looks(|rule| &rule.regions)),
        ("accounts", request.account, looks(|rule| &rule.accounts)),
        ("resources", request.resource, looks(|rule| &rule.resources)),
    ];
    for (key, value, looked) in optional {
        if let (Some(value), true) = (value, looked) {
            line(key, value);
        }
    }
    toml
}
