//! Who calls are made as, and the clients that make them.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;
use aws_types::region::Region;

/// Credentials that were resolved for a step, ready to sign with.
#[derive(Clone)]
pub struct AwsIdentity {
    /// Gives credentials, and refreshes them.
    pub credentials: SharedCredentialsProvider,
    /// Two identities with the same key give the same credentials: clients are shared by it.
    pub key: String,
    /// Region, if one is configured anywhere.
    pub region: Option<String>,
    /// Where the region was configured.
    pub region_origin: Option<String>,
    /// Account, where the configuration tells it.
    pub account: Option<String>,
    /// Role or user, where the configuration tells it.
    pub principal: Option<String>,
    /// `step`, `node`, `project`, `system` or `environment`.
    pub level: String,
    /// The provider, such as `assume-role`.
    pub provider: String,
    /// One line for each hop.
    pub hops: Vec<String>,
    /// Whether a session policy limits the credentials.
    pub session_policy: bool,
    /// Endpoint that the step names; wins over every other.
    pub endpoint: Option<String>,
}

impl fmt::Debug for AwsIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AwsIdentity")
            .field("level", &self.level)
            .field("provider", &self.provider)
            .field("principal", &self.principal)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// How services are reached.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Endpoint for every service.
    pub url: Option<String>,
    /// Endpoint per service, by the names `s3`, `ec2`, `sts`, `autoscaling`, `ssm`, `athena`, `logs`, `lambda`.
    pub urls: BTreeMap<String, String>,
    /// FIPS endpoints.
    pub use_fips: bool,
    /// Dual-stack endpoints.
    pub use_dual_stack: bool,
    /// Address S3 buckets in the path.
    pub s3_path_style: bool,
}

impl Endpoints {
    fn url(&self, service: &str) -> Option<&str> {
        self.urls.get(service).or(self.url.as_ref()).map(String::as_str)
    }
}

/// Longest time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a service.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Identities whose clients are kept.
const MOST_CLIENTS: usize = 512;

type ClientKey = (TypeId, String, String);

/// The AWS clients of the process: one per identity, region and service, over one pool of connections.
pub struct AwsClients {
    http: SharedHttpClient,
    endpoints: Endpoints,
    attempts: u32,
    bucket_regions: super::s3::BucketRegions,
    clients: Mutex<HashMap<ClientKey, Arc<dyn Any + Send + Sync>>>,
}

impl fmt::Debug for AwsClients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AwsClients").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl AwsClients {
    /// Clients over `http`. `attempts` is how often the SDK tries a call that may be repeated, 1 to 10.
    pub fn new(http: SharedHttpClient, endpoints: Endpoints, attempts: u32) -> Self {
        Self {
            http,
            endpoints,
            attempts: attempts.clamp(1, 10),
            bucket_regions: Default::default(),
            clients: Mutex::default(),
        }
    }

    /// How services are reached.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Where buckets are, as far as the process has learnt it.
    pub fn bucket_regions(&self) -> &super::s3::BucketRegions {
        &self.bucket_regions
    }

    /// How often a call that may be repeated is tried.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    fn sdk_config(&self, identity: &AwsIdentity, region: &str, service: &str) -> SdkConfig {
        let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build();
        let mut config = SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .http_client(self.http.clone())
            .region(Region::new(region.to_owned()))
            .credentials_provider(identity.credentials.clone())
            // Our providers cache and refresh themselves; a second cache would keep what they have replaced.
            .identity_cache(aws_config::identity::IdentityCache::no_cache())
            .retry_config(aws_smithy_types::retry::RetryConfig::standard().with_max_attempts(self.attempts))
            .timeout_config(timeouts)
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                aws_smithy_async::rt::sleep::TokioSleep::new(),
            ))
            .time_source(aws_smithy_async::time::SystemTimeSource::new())
            .use_fips(self.endpoints.use_fips)
            .use_dual_stack(self.endpoints.use_dual_stack)
            .app_name(aws_types::app_name::AppName::new("outrigger").unwrap_or_else(|_| unreachable!("a valid name")));
        let endpoint = identity.endpoint.as_deref().or_else(|| self.endpoints.url(service));
        config.set_endpoint_url(endpoint.map(str::to_owned));
        config.build()
    }

    /// The client for an identity, a region and a service, made by `build` where there is none yet.
    pub fn client<C: Clone + Send + Sync + 'static>(
        &self,
        identity: &AwsIdentity,
        region: &str,
        service: &str,
        build: impl FnOnce(&SdkConfig) -> C,
    ) -> C {
        let key = (TypeId::of::<C>(), identity.key.clone(), region.to_owned());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key).and_then(|client| client.downcast_ref::<C>()) {
            return client.clone();
        }
        // Building costs microseconds and the connections are shared, so a full table is simply begun anew.
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        let client = build(&self.sdk_config(identity, region, service));
        clients.insert(key, Arc::new(client.clone()));
        client
    }
}
