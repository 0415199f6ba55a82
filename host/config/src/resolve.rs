//! Which credentials a step works with: one block, from the first level that configures credentials.

use outrigger_redaction::Secret;
use serde::Serialize;

use crate::aws::{AssumeRoleBlock, CredentialsBlock, KeyPath, Source, SourceName};
use crate::check;
use crate::keys::{KeyError, KeyScope, ProjectKeys};
use crate::origin::{Level, Origin, Value};
use crate::parse::{ConfigFile, dotted, nearest};
use crate::settings::Settings;

/// What a step or a node says about credentials. Empty texts count as not given: exported job files are full of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepCredentials {
    /// Name of a block below `[aws.accounts]`.
    pub account: Option<String>,
    /// Access key id.
    pub access_key_id: Option<String>,
    /// Key storage path of the secret access key.
    pub secret_key: Option<String>,
    /// Key storage path of a session token.
    pub session_token: Option<String>,
    /// A role that is assumed with the credentials that would hold otherwise; one more hop.
    pub role_arn: Option<String>,
    /// External id for that role.
    pub external_id: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Endpoint URL.
    pub endpoint: Option<String>,
    /// Where it is written, for messages.
    pub origin: Option<Origin>,
}

/// Where one hop's credentials come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopKind {
    /// Environment, profile, web identity, ECS, EC2, as the AWS CLI does.
    DefaultChain,
    /// A block that needs no other; never `assume-role` or `chain`.
    Base(CredentialsBlock),
    /// The first of several that yields credentials; each one is a whole list of hops.
    Chain(Vec<Vec<Hop>>),
    /// A role that is assumed with the credentials of the hop before.
    Role(Box<AssumeRoleBlock>),
}

/// One step on the way to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Where its credentials come from.
    pub kind: HopKind,
    /// The level that configured it. Requests of this hop go to this level's endpoints.
    pub level: Level,
    /// Whose keys it may name.
    pub keys: KeyScope,
    /// Where it is written.
    pub origin: Origin,
}

/// The credentials that a step works with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResolvedCredentials {
    /// The level that gave the block; [`Level::Default`] if none is configured.
    pub level: Level,
    /// The named account that was chosen.
    pub account: Option<String>,
    /// The way to the session, the base first. Never empty.
    pub hops: Vec<Hop>,
    /// Region by step, node, account, project or system; without one, profile and environment decide.
    pub region: Option<Value<String>>,
    /// Endpoint that the step or node names.
    pub endpoint: Option<Value<String>>,
    /// Where the block is written.
    pub origin: Origin,
}

/// Why there are no credentials for a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Nothing is configured, and a project does not fall through to the host's own role.
    #[error(
        "no credentials for project `{project}`: neither its project.toml nor outrigger.toml has [aws.credentials], and a project does not use the host's own credentials; run `outrigger config aws --project {project}`, or set projects-use-host-credentials = true below [aws] in outrigger.toml"
    )]
    NotConfigured {
        /// The project.
        project: String,
    },
    /// A role asks for the system's credentials and there are none.
    #[error(
        "the role at {origin} is to be assumed with the system's credentials, but outrigger.toml has no [aws.credentials]; add them with `outrigger config aws`, or name a `source` with the role"
    )]
    NoSystemSource {
        /// The role.
        origin: Origin,
    },
    /// No such account.
    #[error("{origin} names the account `{name}`, which neither file has below [aws.accounts]{}", .hint)]
    AccountMissing {
        /// What was named.
        name: String,
        /// Where.
        origin: Origin,
        /// The nearest name, or all of them.
        hint: String,
    },
    /// A job file names a role that no pattern allows.
    #[error(
        "{origin} names the role {role}, which `allowed-roles` {}does not allow; add to [aws]: allowed-roles = [\"{role}\"]",
        .file.as_ref().map(|file| format!("in {file} ")).unwrap_or_default()
    )]
    RoleNotAllowed {
        /// The role.
        role: String,
        /// Where it is named.
        origin: Origin,
        /// The list that does not allow it; `None` if there is no list at all.
        file: Option<Box<Origin>>,
    },
    /// A job file names an endpoint that no pattern allows.
    #[error(
        "{origin} names the endpoint {endpoint}, which `allowed-endpoints` {}does not allow; add to [aws]: allowed-endpoints = [\"{endpoint}\"]",
        .file.as_ref().map(|file| format!("in {file} ")).unwrap_or_default()
    )]
    EndpointNotAllowed {
        /// The endpoint.
        endpoint: String,
        /// Where it is named.
        origin: Origin,
        /// The list that does not allow it; `None` if there is no list at all.
        file: Option<Box<Origin>>,
    },
    /// Half a block, or two.
    #[error("the credentials at {origin} {problem}")]
    Step {
        /// Where.
        origin: Origin,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Hops as one block, each role with its source inside; `None` for the default chain.
fn nested(hops: &[Hop]) -> Option<CredentialsBlock> {
    let mut block = None;
    for hop in hops {
        block = match &hop.kind {
            HopKind::DefaultChain => None,
            HopKind::Base(base) => Some(base.clone()),
            HopKind::Chain(ways) => {
                Some(CredentialsBlock::Chain { providers: ways.iter().filter_map(|way| nested(way)).collect() })
            }
            HopKind::Role(role) => {
                let source = block.map(|source| Source::Block(Box::new(source)));
                Some(CredentialsBlock::AssumeRole(Box::new(AssumeRoleBlock { source, ..(**role).clone() })))
            }
        };
    }
    block
}

/// Calls `visit` with every key path that the hops name, and the scope of the hop.
fn key_paths<'h>(hops: &'h [Hop], visit: &mut impl FnMut(&'h KeyPath, &'h KeyScope)) {
    for hop in hops {
        match &hop.kind {
            HopKind::Base(CredentialsBlock::AccessKey { secret_key, session_token, .. }) => {
                visit(secret_key, &hop.keys);
                if let Some(token) = session_token {
                    visit(token, &hop.keys);
                }
            }
            HopKind::Chain(ways) => ways.iter().for_each(|way| key_paths(way, visit)),
            _ => {}
        }
    }
}

impl ResolvedCredentials {
    /// The hops as one block, each role with its source inside, to be laid out as a block of the system level: a role
    /// without source has the default chain as its source. `None` is the default chain itself.
    #[must_use]
    pub fn block(&self) -> Option<CredentialsBlock> {
        nested(&self.hops)
    }

    /// Reads a secret that one of the hops names, with the rights of the file that names it: a project's block reads what
    /// the project may read, and the system's block reads all. `keys` may be a view of any scope. A path that both name
    /// is read with the project's rights, so that no project borrows the system's.
    ///
    /// # Errors
    /// As [`ProjectKeys::get`]; [`KeyError::NotFound`] for a path that no hop names.
    pub fn read_key(&self, keys: &ProjectKeys, path: &KeyPath) -> Result<Secret, KeyError> {
        let mut scope: Option<&KeyScope> = None;
        key_paths(&self.hops, &mut |named, named_by| {
            if named == path && !matches!(scope, Some(KeyScope::Project(_))) {
                scope = Some(named_by);
            }
        });
        match scope {
            Some(scope) => keys.for_scope(scope.clone()).get(&path.0),
            None => Err(KeyError::NotFound { path: path.0.clone(), nearest: None }),
        }
    }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

impl StepCredentials {
    fn origin(&self, level: Level) -> Origin {
        self.origin.clone().unwrap_or(Origin::level(level))
    }

    /// The access key, if there is one and it is whole.
    fn access_key(&self, level: Level) -> Result<Option<CredentialsBlock>, CredentialsError> {
        let wrong = |problem: &str| CredentialsError::Step { origin: self.origin(level), problem: problem.to_owned() };
        let path = |text: Option<&str>| match text.map(|text| (text, crate::keys::path_problem(text))) {
            None => Ok(None),
            Some((text, None)) => Ok(Some(KeyPath(text.to_owned()))),
            Some((_, Some(problem))) => Err(wrong(&format!(
                "name a secret by something that is no path of key storage ({problem}); store it with `outrigger keys put`"
            ))),
        };
        let (id, secret) = (given(&self.access_key_id), given(&self.secret_key));
        let token = path(given(&self.session_token))?;
        match (id, secret) {
            (None, None) if token.is_some() => {
                Err(wrong("are incomplete: a session token without access key; give all three, or none"))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(wrong(
                "are incomplete: an access key id without the key storage path of its secret; give both, or none to inherit",
            )),
            (None, Some(_)) => Err(wrong(
                "are incomplete: the path of a secret key without its access key id; give both, or none to inherit",
            )),
            (Some(id), Some(_)) if !check::is_access_key_id(id) => {
                Err(wrong("have an access key id that is none; it has 16 to 128 letters and digits"))
            }
            (Some(id), Some(secret)) => Ok(path(Some(secret))?.map(|secret_key| CredentialsBlock::AccessKey {
                access_key_id: id.to_owned(),
                secret_key,
                session_token: token,
            })),
        }
    }
}

/// A block that was chosen, with what it brings along.
struct Chosen {
    level: Level,
    account: Option<String>,
    account_region: Option<Value<String>>,
    hops: Vec<Hop>,
    origin: Origin,
}

impl Settings {
    /// Resolves the credentials of a step: step, node, project, system; the first level that configures credentials
    /// gives the whole block. A role on a step or node is one more hop; the step's goes before the node's.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn credentials(
        &self,
        step: Option<&StepCredentials>,
        node: Option<&StepCredentials>,
    ) -> Result<ResolvedCredentials, CredentialsError> {
        let spoken = [(Level::Step, step), (Level::Node, node)];
        let spoken: Vec<(Level, &StepCredentials)> =
            spoken.into_iter().filter_map(|(level, said)| said.map(|said| (level, said))).collect();
        let mut chosen = None;
        let mut role = None;
        for (level, said) in &spoken {
            if role.is_none() {
                role = self.extra_role(*level, said)?;
            } else {
                // A broken pair further down is reported all the same.
                said.access_key(*level)?;
            }
            chosen = self.choose(*level, said)?;
            if chosen.is_some() {
                break;
            }
        }
        let mut chosen = match chosen {
            Some(chosen) => chosen,
            None => self.inherited()?,
        };
        if let Some(hop) = role {
            chosen.hops.push(hop);
        }
        let region = self.region_of(&spoken, &chosen)?;
        let endpoint = self.endpoint_of(&spoken)?;
        Ok(ResolvedCredentials {
            level: chosen.level,
            account: chosen.account,
            hops: chosen.hops,
            region,
            endpoint,
            origin: chosen.origin,
        })
    }

    /// The block that a step or node gives.
    fn choose(&self, level: Level, said: &StepCredentials) -> Result<Option<Chosen>, CredentialsError> {
        let origin = said.origin(level);
        let key = said.access_key(level)?;
        match (given(&said.account), key) {
            (Some(_), Some(_)) => Err(CredentialsError::Step {
                origin,
                problem: "are ambiguous: both an account and an access key; keep one of them".to_owned(),
            }),
            (Some(name), None) => self.account(name, level, &origin).map(Some),
            (None, Some(block)) => {
                let hop = Hop { kind: HopKind::Base(block), level, keys: self.key_scope(), origin: origin.clone() };
                Ok(Some(Chosen { level, account: None, account_region: None, hops: vec![hop], origin }))
            }
            (None, None) => Ok(None),
        }
    }

    fn account(&self, name: &str, level: Level, said_at: &Origin) -> Result<Chosen, CredentialsError> {
        for file in self.files() {
            if let Some(account) = file.aws.accounts.get(name) {
                let key = dotted("aws.accounts", name);
                let origin = file.origin(&key);
                let account_region = account.region.clone().map(|value| Value { value, origin: origin.clone() });
                let hops = self.hops(&account.credentials, file, &origin)?;
                return Ok(Chosen { level, account: Some(name.to_owned()), account_region, hops, origin });
            }
        }
        let mut known: Vec<&str> = self.files().flat_map(|file| file.aws.accounts.keys().map(String::as_str)).collect();
        known.sort_unstable();
        known.dedup();
        let hint = match (nearest(name, known.iter().copied()), known.is_empty()) {
            (Some(near), _) => format!("; did you mean `{near}`?"),
            (None, false) => format!("; there are {}", known.join(", ")),
            (None, true) => "; there are none".to_owned(),
        };
        Err(CredentialsError::AccountMissing { name: name.to_owned(), origin: said_at.clone(), hint })
    }

    /// The block of the project, else of the system, else the default chain where it is allowed.
    fn inherited(&self) -> Result<Chosen, CredentialsError> {
        for file in self.files() {
            if let Some(block) = &file.aws.credentials {
                let origin = file.origin("aws.credentials");
                let hops = self.hops(block, file, &origin)?;
                return Ok(Chosen { level: file.level, account: None, account_region: None, hops, origin });
            }
        }
        if let Some(project) = self.project()
            && !self.host_allowed()
        {
            return Err(CredentialsError::NotConfigured { project: project.to_owned() });
        }
        let hops = vec![default_chain()];
        Ok(Chosen { level: Level::Default, account: None, account_region: None, hops, origin: Origin::default_value() })
    }

    fn host_allowed(&self) -> bool {
        self.project.is_none() || self.system.aws.projects_use_host_credentials == Some(true)
    }

    /// The way to a block's session, with sources followed.
    fn hops(&self, block: &CredentialsBlock, file: &ConfigFile, origin: &Origin) -> Result<Vec<Hop>, CredentialsError> {
        let keys = match file.level {
            Level::Project => self.key_scope(),
            _ => KeyScope::System,
        };
        let hop = |kind| Hop { kind, level: file.level, keys: keys.clone(), origin: origin.clone() };
        match block {
            CredentialsBlock::AssumeRole(role) => {
                let mut hops = match &role.source {
                    Some(Source::Block(source)) => self.hops(source, file, origin)?,
                    Some(Source::Named(SourceName::System)) => self.system_hops(origin)?,
                    None if file.level == Level::System => vec![default_chain()],
                    None => self.system_hops(origin)?,
                };
                hops.push(hop(HopKind::Role(role.clone())));
                Ok(hops)
            }
            CredentialsBlock::Chain { providers } => {
                let ways = providers
                    .iter()
                    .map(|provider| self.hops(provider, file, origin))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(vec![hop(HopKind::Chain(ways))])
            }
            other => Ok(vec![hop(HopKind::Base(other.clone()))]),
        }
    }

    fn system_hops(&self, asked_at: &Origin) -> Result<Vec<Hop>, CredentialsError> {
        match &self.system.aws.credentials {
            Some(block) => self.hops(block, &self.system, &self.system.origin("aws.credentials")),
            None if self.host_allowed() => Ok(vec![default_chain()]),
            None => Err(CredentialsError::NoSystemSource { origin: asked_at.clone() }),
        }
    }

    fn extra_role(&self, level: Level, said: &StepCredentials) -> Result<Option<Hop>, CredentialsError> {
        let origin = said.origin(level);
        let external_id = given(&said.external_id);
        let Some(arn) = given(&said.role_arn) else {
            // An external id without role is left over from another set-up; it means nothing and hides nothing.
            return Ok(None);
        };
        let wrong = |problem: String| CredentialsError::Step { origin: origin.clone(), problem };
        if let Some(problem) = check::role_arn_problem(arn) {
            return Err(wrong(format!("name a role by {arn:?}, which is no role ARN: {problem}")));
        }
        if external_id.is_some_and(|id| !check::is_external_id(id)) {
            return Err(wrong(
                "have an external id that AWS does not accept; use 2 to 1,224 letters, digits or `_+=,.@:/-`"
                    .to_owned(),
            ));
        }
        self.listed(arn, "aws.allowed-roles", |file| file.aws.allowed_roles.as_ref())
            .map_err(|file| CredentialsError::RoleNotAllowed { role: arn.to_owned(), origin: origin.clone(), file })?;
        let role = AssumeRoleBlock {
            role_arn: arn.to_owned(),
            external_id: external_id.map(str::to_owned),
            session_name: None,
            duration_seconds: None,
            source: None,
            session_policy: None,
            tags: std::collections::BTreeMap::new(),
            source_identity: None,
        };
        Ok(Some(Hop { kind: HopKind::Role(Box::new(role)), level, keys: self.key_scope(), origin }))
    }

    /// Whether a text is in the list of every file that has one, and there is one at all. `Err` names the list.
    fn listed(
        &self,
        text: &str,
        key: &str,
        member: impl Fn(&ConfigFile) -> Option<&Vec<String>>,
    ) -> Result<(), Option<Box<Origin>>> {
        let mut any = false;
        for file in self.files() {
            if let Some(list) = member(file) {
                any = true;
                if !list.iter().any(|pattern| check::glob_matches(pattern, text)) {
                    return Err(Some(Box::new(file.origin(key))));
                }
            }
        }
        if any { Ok(()) } else { Err(None) }
    }

    fn region_of(
        &self,
        spoken: &[(Level, &StepCredentials)],
        chosen: &Chosen,
    ) -> Result<Option<Value<String>>, CredentialsError> {
        for (level, said) in spoken {
            if let Some(region) = given(&said.region) {
                let origin = said.origin(*level);
                let foreign = self.endpoint_url("s3", *level).is_some() || given(&said.endpoint).is_some();
                if !(check::is_region(region) || (foreign && check::is_foreign_region(region))) {
                    let problem = format!("name the region {region:?}, which is none; write one such as eu-west-1");
                    return Err(CredentialsError::Step { origin, problem });
                }
                return Ok(Some(Value { value: region.to_owned(), origin: Origin { level: *level, ..origin } }));
            }
            // An account's own region speaks where the account was chosen.
            if chosen.account.is_some()
                && chosen.level == *level
                && let Some(region) = &chosen.account_region
            {
                return Ok(Some(region.clone()));
            }
        }
        Ok(self.region())
    }

    fn endpoint_of(&self, spoken: &[(Level, &StepCredentials)]) -> Result<Option<Value<String>>, CredentialsError> {
        for (level, said) in spoken {
            let Some(endpoint) = given(&said.endpoint) else { continue };
            let origin = said.origin(*level);
            if let Some(problem) = check::endpoint_problem(endpoint) {
                let problem = format!("name an endpoint that is none: {problem}");
                return Err(CredentialsError::Step { origin, problem });
            }
            // What a file says already needs no second yes.
            let known = self.files().any(|file| {
                file.aws.endpoint_url.as_deref() == Some(endpoint)
                    || file.aws.endpoint_urls.values().any(|url| url == endpoint)
            });
            if !known {
                self.listed(endpoint, "aws.allowed-endpoints", |file| file.aws.allowed_endpoints.as_ref()).map_err(
                    |file| CredentialsError::EndpointNotAllowed {
                        endpoint: endpoint.to_owned(),
                        origin: origin.clone(),
                        file,
                    },
                )?;
            }
            return Ok(Some(Value { value: endpoint.to_owned(), origin: Origin { level: *level, ..origin } }));
        }
        Ok(None)
    }
}

fn default_chain() -> Hop {
    Hop { kind: HopKind::DefaultChain, level: Level::Default, keys: KeyScope::System, origin: Origin::default_value() }
}
