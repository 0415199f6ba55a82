//! From configuration to identities: which credentials a step works with, and the AWS identity made of them.

use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use outrigger_capabilities::aws::AwsIdentity;
use outrigger_capabilities::state::Identities;
use outrigger_config::{
    CredentialsBlock, Hop, HopKind, Level, ProjectKeys, ResolvedCredentials, Settings, StepCredentials,
};
use outrigger_credential_providers::{
    CredentialRequest, Level as ProviderLevel, Origin as ProviderOrigin, Providers, ResolvedBlock, SessionName,
};
use outrigger_door::{BoxFuture, Failure, Reason, StepKey};
use outrigger_runtime::ComponentInfo;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::policy;

/// What identities of a project are made with.
pub struct IdentityMaker {
    pub(crate) settings: Arc<Settings>,
    pub(crate) keys: ProjectKeys,
    /// Providers that ask the system's endpoints.
    pub(crate) system: Providers,
    /// Providers that ask the project's endpoints.
    pub(crate) project: Providers,
}

impl std::fmt::Debug for IdentityMaker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IdentityMaker").finish_non_exhaustive()
    }
}

fn provider_level(level: Level) -> ProviderLevel {
    match level {
        Level::Step => ProviderLevel::Step,
        Level::Node => ProviderLevel::Node,
        Level::Project => ProviderLevel::Project,
        Level::System => ProviderLevel::System,
        Level::Environment | Level::Default => ProviderLevel::Default,
    }
}

fn denied(message: String) -> Failure {
    Failure::new(Reason::Authentication, message)
}

impl IdentityMaker {
    /// The block, laid out for the providers.
    pub fn block(&self, resolved: &ResolvedCredentials) -> Result<ResolvedBlock, Failure> {
        self.check_keys(&resolved.hops)?;
        match resolved.block() {
            // The nested block names all its sources, so the level only matters for a role on the default chain.
            Some(block) => ResolvedBlock::resolve(&block, ProviderLevel::System, None),
            None => Ok(ResolvedBlock::default_chain()),
        }
        .map_err(|error| denied(error.to_string()))
    }

    /// Refuses key paths that the level which names them may not read.
    fn check_keys(&self, hops: &[Hop]) -> Result<(), Failure> {
        for hop in hops {
            let keys = self.keys.for_scope(hop.keys.clone());
            match &hop.kind {
                HopKind::Base(CredentialsBlock::AccessKey { secret_key, session_token, .. }) => {
                    for path in std::iter::once(secret_key).chain(session_token) {
                        keys.check(&path.0).map_err(|error| denied(format!("{}: {error}", hop.origin)))?;
                    }
                }
                HopKind::Chain(chains) => {
                    for chain in chains {
                        self.check_keys(chain)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Providers for these hops: a project's endpoint must not see what the system's credentials are made with.
    pub fn providers(&self, resolved: &ResolvedCredentials) -> &Providers {
        let project_alone =
            resolved.hops.iter().all(|hop| matches!(hop.level, Level::Step | Level::Node | Level::Project));
        if project_alone { &self.project } else { &self.system }
    }

    /// What is asked of the providers.
    pub fn request(
        &self,
        resolved: &ResolvedCredentials,
        session_name: SessionName,
    ) -> Result<CredentialRequest, Failure> {
        let origin = ProviderOrigin {
            level: provider_level(resolved.level),
            account: resolved.account.clone(),
            file: resolved.origin.file.clone(),
            line: resolved.origin.line.and_then(|line| usize::try_from(line).ok()),
        };
        let mut request = CredentialRequest::new(self.block(resolved)?, origin, session_name);
        request.region = resolved.region.as_ref().map(|region| region.value.clone());
        Ok(request)
    }

    /// The identity of a step.
    pub async fn identity(
        &self,
        said: &StepCredentials,
        component: &ComponentInfo,
        step: &StepKey,
    ) -> Result<AwsIdentity, Failure> {
        let resolved = self.settings.credentials(Some(said), None).map_err(|error| denied(error.to_string()))?;
        // All nodes and attempts of a step share a session: its name is part of the cache's key.
        let session_name = SessionName::for_step(step.run, &step.path);
        let mut request = self.request(&resolved, session_name)?;
        let providers = self.providers(&resolved);
        let (region, region_origin) = match &resolved.region {
            Some(region) => (Some(region.value.clone()), Some(region.origin.to_string())),
            None => providers.ambient_region().await.unzip(),
        };
        request.region = region.clone();
        if request.block.takes_session_policy() {
            let limits = self.settings.permissions().limits_for(&component.provider);
            request.session_policy = policy::session_policy(component, request.block.session_policy(), &limits)
                .map_err(|error| denied(error.to_string()))?;
        }
        let principal = request.block.role_arns().last().map(str::to_owned);
        let account = principal.as_deref().and_then(|arn| arn.split(':').nth(4)).map(str::to_owned);
        let mut hops = vec![match request.block.provider() {
            "default" => "the host's own credentials (environment, profile, web identity, ECS, EC2)".to_owned(),
            provider => provider.to_owned(),
        }];
        hops.extend(request.block.role_arns().map(|arn| format!("assumed {arn}")));
        let endpoint = resolved.endpoint.as_ref().map(|endpoint| endpoint.value.clone());
        let key = {
            let mut hash = Sha256::new();
            let parts = (&resolved, &request.session_policy, request.session_name.as_str());
            hash.update(serde_json::to_vec(&parts).map_err(|error| denied(error.to_string()))?);
            hex::encode(hash.finalize())
        };
        Ok(AwsIdentity {
            key,
            region,
            region_origin,
            account,
            principal,
            level: match resolved.level {
                Level::Default => "environment".to_owned(),
                level => level.to_string(),
            },
            provider: if request.block.hop_count() > 0 { "assume-role" } else { request.block.provider() }.to_owned(),
            hops,
            session_policy: request.session_policy.is_some(),
            endpoint,
            credentials: SharedCredentialsProvider::new(providers.provider(&request)),
        })
    }
}

/// Opens the identity of one step when it is first asked for: steps that never call AWS need no credentials.
pub struct StepIdentities {
    pub(crate) maker: Arc<IdentityMaker>,
    pub(crate) said: StepCredentials,
    pub(crate) component: Arc<ComponentInfo>,
    pub(crate) step: StepKey,
    pub(crate) opened: OnceCell<Arc<AwsIdentity>>,
}

impl Identities for StepIdentities {
    fn open<'a>(&'a self, name: Option<&'a str>) -> BoxFuture<'a, Result<Arc<AwsIdentity>, Failure>> {
        Box::pin(async move {
            if let Some(name) = name {
                let message = format!("the step declares no credentials with the name `{name}`");
                return Err(Failure::new(Reason::NotFound, message));
            }
            self.opened
                .get_or_try_init(|| async {
                    self.maker.identity(&self.said, &self.component, &self.step).await.map(Arc::new)
                })
                .await
                .cloned()
        })
    }
}
