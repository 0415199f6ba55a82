//! What a step asks for: a base, the roles that are assumed after it, and what limits and names the session.

use std::fmt;
use std::path::PathBuf;

use outrigger_config::{AssumeRoleBlock, CredentialsBlock, SessionPolicy, Source};

use crate::check;
use crate::error::{Cause, CredentialsError};
use crate::session::SessionName;

/// The level that gave the credentials block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// The step in the job file.
    Step,
    /// The node.
    Node,
    /// The project.
    Project,
    /// The system.
    System,
    /// No level: the default chain of a person's own machine.
    Default,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Step => "step level",
            Self::Node => "node level",
            Self::Project => "project level",
            Self::System => "system level",
            Self::Default => "default chain",
        })
    }
}

/// Where a credentials block was written, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The level that won.
    pub level: Level,
    /// Name of the `[aws.accounts.NAME]` block, if it is one.
    pub account: Option<String>,
    /// File of the block.
    pub file: Option<PathBuf>,
    /// Line of the block, from 1.
    pub line: Option<usize>,
}

impl Origin {
    /// A level without a file.
    pub fn level(level: Level) -> Self {
        Self { level, account: None, file: None, line: None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.level)?;
        if let Some(account) = &self.account {
            write!(formatter, ", account `{account}`")?;
        }
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(formatter, " ({}:{line})", file.display()),
            (Some(file), None) => write!(formatter, " ({})", file.display()),
            _ => Ok(()),
        }
    }
}

/// Where the first credentials come from; never an assume-role block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Base {
    /// environment → profile → web identity → ECS → EC2.
    Default,
    /// Any provider that needs no other credentials.
    Block(CredentialsBlock),
    /// The first of these that yields credentials.
    Chain(Vec<ResolvedBlock>),
}

/// A credentials block with its sources laid out in a row: a base and the roles assumed one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedBlock {
    pub(crate) base: Base,
    pub(crate) hops: Vec<AssumeRoleBlock>,
}

/// Blocks within blocks; a configuration file cannot mean more.
const DEEPEST: usize = 16;

impl ResolvedBlock {
    /// What is used where nothing is configured: environment → profile → web identity → ECS → EC2.
    pub fn default_chain() -> Self {
        Self { base: Base::Default, hops: Vec::new() }
    }

    /// Lays out `block`, which was written at `level`. `system` is the block of the system level, the source of roles that
    /// name `"system"` or, outside the system level, none.
    ///
    /// # Errors
    /// [`CredentialsError::Block`] for a value that AWS cannot take, a source that does not exist, or roles that cannot last
    /// as long as they should.
    pub fn resolve(
        block: &CredentialsBlock,
        level: Level,
        system: Option<&CredentialsBlock>,
    ) -> Result<Self, CredentialsError> {
        let resolved = lay_out(block, level, system, 0)?;
        resolved.check()?;
        Ok(resolved)
    }

    /// The same with one more role at the end, as a step's or node's `assume-role-arn` gives it. `hop.source` must be none.
    ///
    /// # Errors
    /// [`CredentialsError::Block`] for a value that AWS cannot take.
    pub fn with_hop(mut self, hop: AssumeRoleBlock) -> Result<Self, CredentialsError> {
        if hop.source.is_some() {
            return Err(CredentialsError::Block(Cause::refused(
                format!("the further role `{}` names a source of its own", hop.role_arn),
                "leave out `source`; the role is assumed with the credentials of the step's block",
            )));
        }
        self.hops.push(hop);
        self.check()?;
        Ok(self)
    }

    /// The word of the base provider in the configuration; `default` for the default chain.
    pub fn provider(&self) -> &'static str {
        match &self.base {
            Base::Default => "default",
            Base::Chain(_) => "chain",
            Base::Block(block) => block.provider(),
        }
    }

    /// ARNs of the roles that are assumed, in order.
    pub fn role_arns(&self) -> impl Iterator<Item = &str> {
        self.hops.iter().map(|hop| hop.role_arn.as_str())
    }

    /// How many roles are assumed after the base.
    pub fn hop_count(&self) -> usize {
        self.hops.len()
    }

    /// Whether a session policy limits these credentials: the last thing that gives them is a role of ours or a web
    /// identity. Access keys, instance and task roles, and what a person's profile names take none; for them only the
    /// host's own permissions are a limit.
    pub fn takes_session_policy(&self) -> bool {
        if !self.hops.is_empty() {
            return true;
        }
        match &self.base {
            Base::Default => false,
            Base::Block(block) => matches!(block, CredentialsBlock::WebIdentity { .. }),
            Base::Chain(blocks) => blocks.iter().any(Self::takes_session_policy),
        }
    }

    /// What the last role says of its session policy; none means `"imports"`.
    pub fn session_policy(&self) -> Option<&SessionPolicy> {
        self.hops.last().and_then(|hop| hop.session_policy.as_ref())
    }

    /// Whether the default session name goes into these credentials. A person's profile and the default chain use a fixed
    /// one: with a name for each step, each step would ask for a multi-factor code.
    pub(crate) fn uses_session_name(&self) -> bool {
        let base = match &self.base {
            Base::Default => false,
            Base::Block(block) => matches!(block, CredentialsBlock::WebIdentity { session_name: None, .. }),
            Base::Chain(blocks) => blocks.iter().any(Self::uses_session_name),
        };
        base || self.hops.iter().any(|hop| hop.session_name.is_none())
    }

    /// Whether STS may be asked for these credentials, so that the region matters.
    pub(crate) fn uses_region(&self) -> bool {
        let base = match &self.base {
            Base::Default => true,
            Base::Block(block) => {
                matches!(block, CredentialsBlock::WebIdentity { .. } | CredentialsBlock::Profile { .. })
            }
            Base::Chain(blocks) => blocks.iter().any(Self::uses_region),
        };
        base || !self.hops.is_empty()
    }

    /// Whether these are credentials of a person, whose tool decides how long they last.
    pub(crate) fn is_a_persons(&self) -> bool {
        matches!(&self.base, Base::Default | Base::Block(CredentialsBlock::Profile { .. }))
    }

    /// The word of what gives these credentials in the end.
    pub(crate) fn last_word(&self) -> &'static str {
        if self.hops.is_empty() { self.provider() } else { "assume-role" }
    }

    /// The same up to and including hop `hops`; 0 is the base alone.
    pub(crate) fn prefix(&self, hops: usize) -> Self {
        Self { base: self.base.clone(), hops: self.hops.iter().take(hops).cloned().collect() }
    }

    fn check(&self) -> Result<(), CredentialsError> {
        if let Base::Block(CredentialsBlock::WebIdentity { role_arn, session_name, duration_seconds, .. }) = &self.base
        {
            if let Some(role_arn) = role_arn {
                check::role_arn(role_arn)?;
            }
            if let Some(session_name) = session_name {
                check::name("session-name", session_name)?;
            }
            if let Some(seconds) = duration_seconds {
                check::duration(*seconds, false)?;
            }
        }
        if let Base::Chain(blocks) = &self.base {
            for block in blocks {
                block.check()?;
            }
        }
        self.hops.iter().enumerate().try_for_each(|(position, hop)| check::hop(hop, position))
    }
}

fn lay_out(
    block: &CredentialsBlock,
    level: Level,
    system: Option<&CredentialsBlock>,
    depth: usize,
) -> Result<ResolvedBlock, CredentialsError> {
    if depth > DEEPEST {
        return Err(CredentialsError::Block(Cause::refused(
            format!("sources are nested deeper than {DEEPEST}"),
            "write fewer hops",
        )));
    }
    match block {
        CredentialsBlock::AssumeRole(hop) => {
            let mut resolved = match &hop.source {
                Some(Source::Block(source)) => lay_out(source, level, system, depth + 1)?,
                Some(Source::Named(_)) | None => system_source(hop, level, system, depth)?,
            };
            resolved.hops.push(AssumeRoleBlock { source: None, ..(**hop).clone() });
            Ok(resolved)
        }
        CredentialsBlock::Chain { providers } => {
            if providers.is_empty() {
                return Err(CredentialsError::Block(Cause::refused(
                    "the chain has no providers",
                    "list at least one in `providers`",
                )));
            }
            let blocks = providers
                .iter()
                .map(|provider| lay_out(provider, level, system, depth + 1))
                .collect::<Result<_, _>>()?;
            Ok(ResolvedBlock { base: Base::Chain(blocks), hops: Vec::new() })
        }
        other => Ok(ResolvedBlock { base: Base::Block(other.clone()), hops: Vec::new() }),
    }
}

fn system_source(
    hop: &AssumeRoleBlock,
    level: Level,
    system: Option<&CredentialsBlock>,
    depth: usize,
) -> Result<ResolvedBlock, CredentialsError> {
    let within_system = matches!(level, Level::System | Level::Default);
    match (within_system, system) {
        (true, _) if hop.source.is_some() => Err(CredentialsError::Block(Cause::refused(
            format!("the system level's role `{}` names `source = \"system\"`, itself", hop.role_arn),
            "name a provider, such as `source = { provider = \"ec2\" }`",
        ))),
        (true, _) => Ok(ResolvedBlock::default_chain()),
        (false, Some(block)) => lay_out(block, Level::System, None, depth + 1),
        (false, None) => Err(CredentialsError::Block(Cause::refused(
            format!(
                "the role `{}` is to be assumed with the system's credentials, and the system has none",
                hop.role_arn
            ),
            "write `[aws.credentials]` in the system file, or name a `source` in this block",
        ))),
    }
}

/// Which credentials a step works with.
#[derive(Clone, Debug)]
pub struct CredentialRequest {
    /// Base and roles.
    pub block: ResolvedBlock,
    /// Where the block was written.
    pub origin: Origin,
    /// Region whose STS is asked; none takes the partition's first.
    pub region: Option<String>,
    /// A session policy (JSON text), sent with the last role only.
    pub session_policy: Option<String>,
    /// Name of role sessions whose block gives none. It is a part of the cache's key: requests that should share one
    /// session use one name.
    pub session_name: SessionName,
}

impl CredentialRequest {
    /// A request without region and session policy.
    pub fn new(block: ResolvedBlock, origin: Origin, session_name: SessionName) -> Self {
        Self { block, origin, region: None, session_policy: None, session_name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_config::SourceName;

    fn role(name: &str, source: Option<Source>) -> CredentialsBlock {
        CredentialsBlock::AssumeRole(Box::new(hop(name, source)))
    }

    fn hop(name: &str, source: Option<Source>) -> AssumeRoleBlock {
        AssumeRoleBlock {
            role_arn: format!("arn:aws:iam::111122223333:role/{name}"),
            external_id: None,
            session_name: None,
            duration_seconds: None,
            source,
            session_policy: None,
            tags: Default::default(),
            source_identity: None,
        }
    }

    fn names(block: &ResolvedBlock) -> Vec<&str> {
        block.role_arns().filter_map(|arn| arn.rsplit('/').next()).collect()
    }

    #[test]
    fn sources_become_hops_in_order() {
        let system = role("system", Some(Source::Block(Box::new(CredentialsBlock::Ec2 {}))));
        let project = role("project", None);
        let resolved = ResolvedBlock::resolve(&project, Level::Project, Some(&system)).unwrap();
        let resolved = resolved.with_hop(hop("step", None)).unwrap();
        assert_eq!(names(&resolved), ["system", "project", "step"]);
        assert_eq!(resolved.provider(), "ec2");
        assert!(resolved.takes_session_policy());
    }

    #[test]
    fn the_system_role_is_assumed_by_the_default_chain() {
        let resolved = ResolvedBlock::resolve(&role("system", None), Level::System, None).unwrap();
        assert_eq!(resolved.provider(), "default");
        assert_eq!(names(&resolved), ["system"]);
    }

    #[test]
    fn a_project_never_falls_through_to_the_host() {
        let message = ResolvedBlock::resolve(&role("project", None), Level::Project, None).unwrap_err().to_string();
        assert!(message.contains("the system has none"), "{message}");
        let itself = role("system", Some(Source::Named(SourceName::System)));
        let message = ResolvedBlock::resolve(&itself, Level::System, None).unwrap_err().to_string();
        assert!(message.contains("itself"), "{message}");
    }

    #[test]
    fn a_second_hop_lasts_an_hour_at_most() {
        let mut second = hop(
            "second",
            Some(Source::Block(Box::new(role(
                "first",
                Some(Source::Block(Box::new(CredentialsBlock::Environment {}))),
            )))),
        );
        second.duration_seconds = Some(7_200);
        let block = CredentialsBlock::AssumeRole(Box::new(second.clone()));
        let message = ResolvedBlock::resolve(&block, Level::System, None).unwrap_err().to_string();
        assert!(message.contains("limits chained roles to 3600 s"), "{message}");
        second.duration_seconds = Some(3_600);
        let block = CredentialsBlock::AssumeRole(Box::new(second));
        ResolvedBlock::resolve(&block, Level::System, None).unwrap();
    }

    #[test]
    fn an_origin_names_level_account_file_and_line() {
        let origin = Origin {
            level: Level::Project,
            account: Some("prod".to_owned()),
            file: Some(PathBuf::from("projects/web/project.toml")),
            line: Some(4),
        };
        assert_eq!(origin.to_string(), "project level, account `prod` (projects/web/project.toml:4)");
        assert_eq!(Origin::level(Level::Default).to_string(), "default chain");
    }
}
