//! The one cache: a credential is fetched once for all who ask, ahead of its expiry, in a task of its own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError as SdkCredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::SharedTimeSource;
use tokio::sync::watch;

use crate::context::BoxFuture;
use crate::error::CredentialsError;
use crate::providers::Providers;
use crate::request::Origin;

/// The longest time before expiry at which a refresh begins; a quarter of the lifetime, if that is shorter.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// How long a failed refresh answers others who ask.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);
/// The longest wait for a refresh while the old credentials are still valid.
const PATIENCE: Duration = Duration::from_secs(2);

/// Credentials and the provider that gave them.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) credentials: Credentials,
    /// In words for a person: `ec2`, `` profile `dev` ``.
    pub(crate) provider: String,
}

type Outcome = Result<Fetched, CredentialsError>;
type Refresh = Box<dyn Fn() -> BoxFuture<'static, Outcome> + Send + Sync>;

/// One credential that refreshes itself.
pub(crate) struct Cached {
    refresh: Refresh,
    /// How long credentials without an expiry are used before they are read anew.
    recheck: Option<Duration>,
    clock: SharedTimeSource,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Held>,
    flight: Option<watch::Receiver<Option<Outcome>>>,
    failed: Option<(SystemTime, CredentialsError)>,
}

#[derive(Clone)]
struct Held {
    fetched: Fetched,
    expiry: Option<SystemTime>,
    refresh_at: Option<SystemTime>,
}

impl Held {
    fn remaining(&self, now: SystemTime) -> Option<Duration> {
        match self.expiry {
            None => Some(Duration::MAX),
            Some(expiry) => expiry.duration_since(now).ok().filter(|left| !left.is_zero()),
        }
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        self.refresh_at.is_none_or(|at| now < at)
    }
}

impl Cached {
    pub(crate) fn new(
        clock: SharedTimeSource,
        recheck: Option<Duration>,
        refresh: impl Fn() -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { refresh: Box::new(refresh), recheck, clock, state: Mutex::default() })
    }

    /// The credentials, valid now. Dropping the future stops no refresh: others may wait for it.
    pub(crate) async fn get(self: &Arc<Self>) -> Outcome {
        let (flight, old) = {
            let mut state = self.state();
            let now = self.clock.now();
            if let Some(held) = state.current.as_ref().filter(|held| held.is_fresh(now)) {
                return Ok(held.fetched.clone());
            }
            let old = state.current.clone().filter(|held| held.remaining(now).is_some());
            if let Some((at, error)) = &state.failed
                && now.duration_since(*at).is_ok_and(|since| since < FAILURE_HOLDS)
            {
                return answer(error.clone(), old);
            }
            (self.board(&mut state), old)
        };
        let Some(held) = old else {
            return landed(flight).await;
        };
        let left = held.remaining(self.clock.now()).unwrap_or_default();
        match tokio::time::timeout(PATIENCE.min(left / 2), landed(flight)).await {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(error)) => {
                let still = held.remaining(self.clock.now()).is_some();
                answer(error, still.then_some(held))
            }
            Err(_) => Ok(held.fetched),
        }
    }

    /// Whether nobody needs this entry: nothing valid in it and no refresh under way.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        let now = self.clock.now();
        let valid = state.current.as_ref().is_some_and(|held| held.remaining(now).is_some());
        !valid && state.flight.as_ref().is_none_or(|flight| flight.has_changed().is_err())
    }

    /// Joins the refresh under way, or starts one.
    fn board(self: &Arc<Self>, state: &mut State) -> watch::Receiver<Option<Outcome>> {
        if let Some(flight) = &state.flight
            && flight.has_changed().is_ok()
        {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        state.flight = Some(receiver.clone());
        let cached = Arc::clone(self);
        // A task of its own: a step that is cancelled must not take the refresh from the others who wait for it.
        tokio::spawn(async move {
            let outcome = (cached.refresh)().await;
            cached.land(&outcome);
            sender.send_replace(Some(outcome));
        });
        receiver
    }

    fn land(&self, outcome: &Outcome) {
        let mut state = self.state();
        let now = self.clock.now();
        state.flight = None;
        match outcome {
            Ok(fetched) => {
                let expiry = fetched.credentials.expiry();
                let refresh_at = match expiry {
                    Some(expiry) => {
                        let lifetime = expiry.duration_since(now).unwrap_or_default();
                        Some(expiry.checked_sub(AHEAD.min(lifetime / 4)).unwrap_or(expiry))
                    }
                    None => self.recheck.and_then(|recheck| now.checked_add(recheck)),
                };
                state.current = Some(Held { fetched: fetched.clone(), expiry, refresh_at });
                state.failed = None;
            }
            Err(error) => state.failed = Some((now, error.clone())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is replaced in single assignments, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one gets after a failed refresh: the old credentials, if the failure may pass and they are still valid.
fn answer(error: CredentialsError, old: Option<Held>) -> Outcome {
    match old {
        Some(held) if error.is_transient() => {
            tracing::warn!(%error, "credentials could not be refreshed; the old ones are still valid and stay in use");
            Ok(held.fetched)
        }
        _ => Err(error),
    }
}

async fn landed(mut flight: watch::Receiver<Option<Outcome>>) -> Outcome {
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Err(CredentialsError::Stopped)),
        Err(_) => Err(CredentialsError::Stopped),
    }
}

/// A handle on cached credentials, for AWS SDK clients and for whoever needs them as such. Cheap to clone.
///
/// The client's own identity cache must be off (`IdentityCache::no_cache()`).
#[derive(Clone)]
pub struct CachedProvider {
    pub(crate) cached: Arc<Cached>,
    pub(crate) origin: Origin,
    /// Entries refer to what they are a part of weakly; whoever holds a provider keeps it working.
    pub(crate) _providers: Providers,
}

impl CachedProvider {
    /// Credentials that are valid now, from the cache or fetched. Safe to drop at any time.
    ///
    /// # Errors
    /// [`CredentialsError::At`] with the place of the block and what failed.
    pub async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        match self.cached.get().await {
            Ok(fetched) => Ok(fetched.credentials),
            Err(error) => Err(error.at(&self.origin)),
        }
    }

    /// Where the block was written.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Debug for CachedProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CachedProvider").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl ProvideCredentials for CachedProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(
            async move { self.credentials().await.map_err(SdkCredentialsError::provider_error) },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;
    use aws_smithy_async::time::TimeSource;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::UNIX_EPOCH;
    use tokio::time::{Instant, sleep};

    /// A clock that moves with tokio's, so that a paused test moves both.
    #[derive(Debug)]
    struct TokioClock(Instant);

    impl TimeSource for TokioClock {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(1_000_000) + self.0.elapsed()
        }
    }

    struct Source {
        cached: Arc<Cached>,
        calls: Arc<AtomicUsize>,
    }

    /// Each call takes `latency`; `script` says what the n-th gives: a lifetime in seconds, or a failure.
    fn source(
        latency: Duration,
        script: impl Fn(usize) -> Result<u64, CredentialsError> + Send + Sync + 'static,
    ) -> Source {
        let clock = SharedTimeSource::new(TokioClock(Instant::now()));
        let calls = Arc::new(AtomicUsize::new(0));
        let (counter, time) = (Arc::clone(&calls), clock.clone());
        let script = Arc::new(script);
        let cached = Cached::new(clock, None, move || {
            let (counter, time, script) = (Arc::clone(&counter), time.clone(), Arc::clone(&script));
            Box::pin(async move {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                sleep(latency).await;
                script(number).map(|seconds| Fetched {
                    credentials: Credentials::new(
                        format!("key-{number}"),
                        "secret",
                        None,
                        Some(time.now() + Duration::from_secs(seconds)),
                        "test",
                    ),
                    provider: "test".to_owned(),
                })
            })
        });
        Source { cached, calls }
    }

    impl Source {
        async fn key(&self) -> String {
            self.cached.get().await.unwrap().credentials.access_key_id().to_owned()
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::SeqCst)
        }
    }

    fn refused() -> CredentialsError {
        CredentialsError::Ec2(Cause::refused("refused", "ask"))
    }

    fn transient() -> CredentialsError {
        CredentialsError::Ec2(Cause::transient("unreachable", "wait"))
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_askers_cause_one_refresh() {
        let source = source(Duration::from_millis(100), |_| Ok(3_600));
        let askers: Vec<_> = (0..50)
            .map(|_| {
                let cached = Arc::clone(&source.cached);
                tokio::spawn(async move { cached.get().await.unwrap().credentials.access_key_id().to_owned() })
            })
            .collect();
        for asker in askers {
            assert_eq!(asker.await.unwrap(), "key-0");
        }
        assert_eq!(source.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_askers_share_one_failure_which_does_not_last() {
        let source = source(Duration::from_millis(100), |number| if number == 0 { Err(refused()) } else { Ok(3_600) });
        let askers: Vec<_> = (0..50)
            .map(|_| {
                let cached = Arc::clone(&source.cached);
                tokio::spawn(async move { cached.get().await.unwrap_err() })
            })
            .collect();
        for asker in askers {
            assert_eq!(asker.await.unwrap(), refused());
        }
        assert_eq!(source.cached.get().await.unwrap_err(), refused());
        assert_eq!(source.calls(), 1);
        sleep(Duration::from_millis(1_001)).await;
        assert_eq!(source.key().await, "key-1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_credential_is_refreshed_five_minutes_ahead() {
        let source = source(Duration::from_millis(10), |_| Ok(3_600));
        assert_eq!(source.key().await, "key-0");
        sleep(Duration::from_secs(3_600 - 302)).await;
        assert_eq!(source.key().await, "key-0");
        sleep(Duration::from_secs(3)).await;
        assert_eq!(source.key().await, "key-1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_credential_is_refreshed_a_quarter_ahead() {
        let source = source(Duration::from_millis(10), |_| Ok(2));
        assert_eq!(source.key().await, "key-0");
        sleep(Duration::from_millis(1_400)).await;
        assert_eq!(source.key().await, "key-0");
        sleep(Duration::from_millis(150)).await;
        assert_eq!(source.key().await, "key-1");
    }

    #[tokio::test(start_paused = true)]
    async fn old_credentials_serve_while_the_source_is_away_and_no_longer() {
        let source = source(Duration::from_millis(10), |number| if number == 0 { Ok(400) } else { Err(transient()) });
        assert_eq!(source.key().await, "key-0");
        sleep(Duration::from_secs(350)).await;
        assert_eq!(source.key().await, "key-0");
        assert_eq!(source.key().await, "key-0");
        assert_eq!(source.calls(), 2, "the second asker within a second must not start another refresh");
        sleep(Duration::from_secs(51)).await;
        assert_eq!(source.cached.get().await.unwrap_err(), transient());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_although_old_credentials_are_valid() {
        let source = source(Duration::from_millis(10), |number| if number == 0 { Ok(400) } else { Err(refused()) });
        assert_eq!(source.key().await, "key-0");
        sleep(Duration::from_secs(350)).await;
        assert_eq!(source.cached.get().await.unwrap_err(), refused());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_refresh_holds_nobody_up_while_the_old_are_valid() {
        let source = source(Duration::from_secs(20), |_| Ok(3_600));
        assert_eq!(source.key().await, "key-0");
        sleep(Duration::from_secs(3_400)).await;
        let begun = Instant::now();
        assert_eq!(source.key().await, "key-0");
        assert_eq!(begun.elapsed().as_secs(), 2);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(source.key().await, "key-1");
        assert_eq!(source.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_asker_leaves_the_refresh_running() {
        let source = source(Duration::from_secs(1), |_| Ok(3_600));
        let dropped = tokio::time::timeout(Duration::from_millis(100), source.cached.get()).await;
        assert!(dropped.is_err());
        assert_eq!(source.key().await, "key-0");
        assert_eq!(source.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_that_panics_does_not_block_the_next() {
        let source = source(Duration::from_millis(10), |number| {
            assert_ne!(number, 0, "the first refresh dies");
            Ok(3_600)
        });
        assert_eq!(source.cached.get().await.unwrap_err(), CredentialsError::Stopped);
        assert_eq!(source.key().await, "key-1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_idle_when_its_credential_has_gone() {
        let source = source(Duration::from_millis(10), |_| Ok(2));
        assert!(source.cached.is_idle());
        assert_eq!(source.key().await, "key-0");
        assert!(!source.cached.is_idle());
        sleep(Duration::from_secs(3)).await;
        assert!(source.cached.is_idle());
    }
}
