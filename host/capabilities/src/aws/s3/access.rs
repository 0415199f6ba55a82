//! How requests reach S3.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use outrigger_door::Failure;

use super::region::{BucketRegions, named_region};

/// What S3 is called with: identity, region, audit.
pub trait S3Access: Clone + Send + Sync + 'static {
    /// A client for a region; for the call's own where it is `None`.
    fn client(&self, region: Option<&str>) -> Client;

    /// The interceptor of one SDK call.
    fn attempts(&self) -> impl Intercept + 'static;

    /// Translates an error.
    fn failure<E>(&self, error: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static;

    /// Where buckets are, shared by the process.
    fn regions(&self) -> &BucketRegions;
}

/// A bucket, and the client for its region.
#[derive(Debug)]
pub(super) struct Bucket<A> {
    pub(super) access: A,
    pub(super) name: String,
    client: Mutex<Client>,
}

impl<A: S3Access> Bucket<A> {
    pub(super) fn new(access: &A, name: &str) -> Self {
        let region = access.regions().get(name);
        let client = Mutex::new(access.client(region.as_deref()));
        Self { access: access.clone(), name: name.to_owned(), client }
    }

    pub(super) fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns from a refusal. True: the request is worth another try with [`Bucket::client`].
    pub(super) fn follows<E>(&self, used: &Client, error: &SdkError<E, HttpResponse>) -> bool {
        let Some(region) = error.raw_response().and_then(named_region) else {
            return false;
        };
        if used.config().region().is_some_and(|used| used.as_ref() == region) {
            return false;
        }
        self.access.regions().learn(&self.name, &region);
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = self.access.client(Some(&region));
        true
    }
}

/// Sends an SDK request about a bucket with the call's auditor, in the bucket's region, and translates what goes wrong.
/// The request is built again if the bucket turns out to be elsewhere.
macro_rules! send {
    ($bucket:expr, |$client:ident| $request:expr) => {
        $crate::aws::s3::access::send!($bucket, |$client| $request, |customized| customized)
    };
    ($bucket:expr, |$client:ident| $request:expr, |$customized:ident| $more:expr) => {{
        let bucket = $bucket;
        let mut follows = 0;
        loop {
            let $client = bucket.client();
            let $customized = $request.customize().interceptor(bucket.access.attempts());
            match $more.send().await {
                Err(error) if follows < 2 && bucket.follows(&$client, &error) => follows += 1,
                answer => break answer.map_err(|error| bucket.access.failure(error)),
            }
        }
    }};
}
pub(super) use send;
