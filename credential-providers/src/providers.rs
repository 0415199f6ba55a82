//! From a request to cached credentials.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::imds::Client as MetadataClient;
use sha2::{Digest, Sha256};

use crate::assume_role::{RoleCall, assume_role};
use crate::bases;
use crate::cache::{Cached, CachedProvider, Fetched};
use crate::context::ProvidersContext;
use crate::error::{CredentialsError, HopNumber};
use crate::profile::{self, within};
use crate::request::{CredentialRequest, ResolvedBlock};
use crate::session::SessionName;
use crate::{check, ec2};

/// How long one `sts:AssumeRole` may take, its three attempts included.
const DEADLINE: Duration = Duration::from_secs(30);
/// Keys without an expiry are read anew after this, so that a rotated key reaches a server that runs for weeks.
const RECHECK: Duration = Duration::from_secs(5 * 60);

/// All providers and the one cache. Cheap to clone; everything that asks in one process shares one.
///
/// Entries are kept by block, session policy, session name and region, the last two only where they make a difference. Every hop has an entry of its own, so a base that
/// several roles start from is fetched once. Must be used within a tokio runtime: refreshes run as tasks.
#[derive(Clone)]
pub struct Providers(Arc<Inner>);

struct Inner {
    context: ProvidersContext,
    entries: Mutex<HashMap<Key, Arc<Cached>>>,
    metadata: OnceLock<Result<(MetadataClient, String), CredentialsError>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    block: ResolvedBlock,
    policy: Option<[u8; 32]>,
    session_name: Option<SessionName>,
    region: Option<String>,
}

impl Providers {
    /// Providers that work with `context`.
    pub fn new(context: ProvidersContext) -> Self {
        Self(Arc::new(Inner { context, entries: Mutex::default(), metadata: OnceLock::new() }))
    }

    /// A provider for AWS SDK clients. Nothing is fetched before it is asked.
    pub fn provider(&self, request: &CredentialRequest) -> CachedProvider {
        CachedProvider { cached: self.cached(request), origin: request.origin.clone(), _providers: self.clone() }
    }

    /// The region where no level of the configuration names one, and where it was found: `AWS_REGION`,
    /// `AWS_DEFAULT_REGION`, or the profile in use.
    pub async fn ambient_region(&self) -> Option<(String, String)> {
        let context = self.context();
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(region) = context.env.get(name) {
                return Some((region, name.to_owned()));
            }
        }
        let region = profile::region(context, None).await?;
        Some((region, format!("profile `{}`", profile::selected_name(context, None))))
    }

    /// What was given to [`new`](Self::new).
    pub fn context(&self) -> &ProvidersContext {
        &self.0.context
    }

    /// One metadata client for all, because it keeps its token.
    pub(crate) fn metadata(&self) -> Result<(&MetadataClient, &str), CredentialsError> {
        match self.0.metadata.get_or_init(|| ec2::client(&self.0.context)) {
            Ok((client, endpoint)) => Ok((client, endpoint)),
            Err(error) => Err(error.clone()),
        }
    }

    /// The cache entry of `request`, made if there is none.
    pub(crate) fn cached(&self, request: &CredentialRequest) -> Arc<Cached> {
        let takes_policy = request.block.takes_session_policy();
        let policy = request.session_policy.as_ref().filter(|_| takes_policy);
        let key = Key {
            block: request.block.clone(),
            policy: policy.map(|policy| Sha256::digest(policy.as_bytes()).into()),
            session_name: request.block.uses_session_name().then(|| request.session_name.clone()),
            region: request.region.clone().filter(|_| request.block.uses_region()),
        };
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = entries.get(&key) {
            return Arc::clone(cached);
        }
        // Session names come and go with runs; entries that nobody holds and that hold nothing go with them.
        entries.retain(|_, cached| Arc::strong_count(cached) > 1 || !cached.is_idle());
        let inner = Arc::downgrade(&self.0);
        let request = Arc::new(request.clone());
        let recheck = (!request.block.is_a_persons()).then_some(RECHECK);
        let cached = Cached::new(self.0.context.clock.clone(), recheck, move || {
            // The entry is a part of the map inside: a strong reference would keep both alive for ever.
            let (inner, request) = (inner.upgrade(), Arc::clone(&request));
            Box::pin(async move {
                let providers = Self(inner.ok_or(CredentialsError::Stopped)?);
                providers.fetch(&request).await
            })
        });
        entries.insert(key, Arc::clone(&cached));
        cached
    }

    /// The request for the first `hops` hops of `request`.
    pub(crate) fn prefix(request: &CredentialRequest, hops: usize) -> CredentialRequest {
        let whole = hops == request.block.hops.len();
        CredentialRequest {
            block: request.block.prefix(hops),
            // Only the last role is limited: a limit on an earlier one would have to allow sts:AssumeRole on the next.
            session_policy: request.session_policy.clone().filter(|_| whole),
            ..request.clone()
        }
    }

    async fn fetch(&self, request: &CredentialRequest) -> Result<Fetched, CredentialsError> {
        let of = request.block.hops.len();
        let Some(hop) = request.block.hops.last() else {
            return bases::fetch(self, request).await;
        };
        let before = Self::prefix(request, of - 1);
        let source = Box::pin(self.cached(&before).get()).await.map_err(|error| error.of(of))?;
        check::hop(hop, of - 1)?;
        let call = RoleCall {
            hop: HopNumber { number: of, of },
            role_arn: &hop.role_arn,
            external_id: hop.external_id.as_deref(),
            session_name: hop.session_name.as_deref().unwrap_or(request.session_name.as_str()),
            duration_seconds: hop.duration_seconds,
            policy: request.session_policy.as_deref(),
            tags: &hop.tags,
            source_identity: hop.source_identity.as_deref(),
            mfa: None,
            region: request.region.as_deref(),
            source: &source.provider,
        };
        let credentials =
            within(DEADLINE, "assume-role", "STS", assume_role(&self.0.context, source.credentials, &call)).await?;
        self.0.context.observe(&credentials);
        Ok(Fetched { credentials, provider: format!("role `{}`", hop.role_arn) })
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Providers").field("context", &self.0.context).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{BoxFuture, ComponentProvider};
    use crate::request::{Level, Origin};
    use aws_credential_types::Credentials;
    use aws_smithy_async::time::{SharedTimeSource, TimeSource};
    use outrigger_config::{CredentialsBlock, KeyPath};
    use outrigger_redaction::Secret;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};
    use tokio::time::{Instant, sleep};

    #[derive(Debug)]
    struct TokioClock(Instant);

    impl TimeSource for TokioClock {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(1_000_000) + self.0.elapsed()
        }
    }

    struct Silent;

    impl ComponentProvider for Silent {
        fn provide<'a>(
            &'a self,
            _: &'a str,
            _: &'a BTreeMap<String, String>,
        ) -> BoxFuture<'a, Result<Credentials, String>> {
            Box::pin(std::future::pending())
        }
    }

    /// Key storage whose secret is another one at each reading.
    fn providers() -> Providers {
        let reads = AtomicUsize::new(0);
        let keys = move |_: &KeyPath| Ok(Secret::new(format!("secret-{}", reads.fetch_add(1, Ordering::SeqCst))));
        let mut context =
            ProvidersContext::new(crate::http::direct_http_client(), Arc::new(keys), Arc::new(|_: &Secret| {}));
        context.env = crate::env::Env::fixed([("HOME", "/nonexistent")]);
        context.clock = SharedTimeSource::new(TokioClock(Instant::now()));
        context.components = Arc::new(Silent);
        Providers::new(context)
    }

    fn request(block: &CredentialsBlock, session_name: &str) -> CredentialRequest {
        let resolved = ResolvedBlock::resolve(block, Level::System, None).unwrap();
        CredentialRequest::new(resolved, Origin::level(Level::System), SessionName::new(session_name))
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_never_answers_ends_after_thirty_seconds() {
        let block = CredentialsBlock::Component { name: "vault".to_owned(), config: BTreeMap::new() };
        let begun = Instant::now();
        let error = providers().provider(&request(&block, "run")).credentials().await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 30);
        assert!(error.is_transient());
        assert!(error.to_string().contains("component: no answer within 30 s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotated_secret_is_read_within_five_minutes() {
        let secret_key = KeyPath("keys/aws".to_owned());
        let block = CredentialsBlock::AccessKey { access_key_id: "AKIA".to_owned(), secret_key, session_token: None };
        let providers = providers();
        let secret = async |run: &str| {
            let credentials = providers.provider(&request(&block, run)).credentials().await.unwrap();
            credentials.secret_access_key().to_owned()
        };
        assert_eq!(secret("run-1").await, "secret-0");
        sleep(Duration::from_secs(299)).await;
        assert_eq!(secret("run-2").await, "secret-0", "runs share what does not name them");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(secret("run-3").await, "secret-1");
    }

    #[tokio::test(start_paused = true)]
    async fn entries_of_past_runs_go() {
        let block =
            CredentialsBlock::WebIdentity { role_arn: None, token: None, session_name: None, duration_seconds: None };
        let providers = providers();
        for run in 0..100 {
            providers.provider(&request(&block, &format!("run-{run}"))).credentials().await.unwrap_err();
        }
        // The task of the last refresh may still hold its entry.
        assert!(providers.0.entries.lock().unwrap().len() <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_outlives_the_value_it_came_from() {
        let secret_key = KeyPath("keys/aws".to_owned());
        let block = CredentialsBlock::AccessKey { access_key_id: "AKIA".to_owned(), secret_key, session_token: None };
        let provider = providers().provider(&request(&block, "run"));
        assert_eq!(provider.credentials().await.unwrap().access_key_id(), "AKIA");
    }
}
