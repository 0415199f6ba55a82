//! Which region a bucket is in, learned from S3's answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// Buckets that are remembered; beyond that all are forgotten, since asking again costs one request.
const MOST_BUCKETS: usize = 10_000;

/// The regions of buckets that turned out to be elsewhere than the call's region.
#[derive(Debug, Default)]
pub struct BucketRegions {
    known: Mutex<HashMap<String, String>>,
}

impl BucketRegions {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The region that was learned for a bucket.
    pub fn get(&self, bucket: &str) -> Option<String> {
        self.known().get(bucket).cloned()
    }

    /// Learns a bucket's region.
    pub fn learn(&self, bucket: &str, region: &str) {
        let mut known = self.known();
        if known.len() >= MOST_BUCKETS {
            known.clear();
        }
        known.insert(bucket.to_owned(), region.to_owned());
    }
}

/// The region that a refusal names, where it is a refusal for being in the wrong one.
/// Source: Amazon S3 API reference, "Error responses" (`PermanentRedirect`, `AuthorizationHeaderMalformed`), and HeadBucket
/// (`x-amz-bucket-region`).
pub(super) fn named_region(response: &HttpResponse) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 307 | 400) {
        return None;
    }
    let header = response.headers().get("x-amz-bucket-region");
    let region = match header {
        Some(region) => region,
        None => {
            let body = std::str::from_utf8(response.body().bytes()?).ok()?;
            if !body.contains("<Code>AuthorizationHeaderMalformed</Code>") {
                return None;
            }
            body.split_once("<Region>")?.1.split_once("</Region>")?.0
        }
    };
    is_region(region).then(|| region.to_owned())
}

/// A name that becomes part of a host name only if it looks like a region.
fn is_region(name: &str) -> bool {
    (4..=32).contains(&name.len())
        && name.contains('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn answer(status: u16, region: Option<&str>, body: &str) -> HttpResponse {
        let mut response = http::Response::builder().status(status);
        if let Some(region) = region {
            response = response.header("x-amz-bucket-region", region);
        }
        HttpResponse::try_from(response.body(SdkBody::from(body)).unwrap()).unwrap()
    }

    #[test]
    fn only_refusals_for_the_region_name_one() {
        let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>";
        for (status, header, body, region) in [
            (301, Some("eu-west-1"), "", Some("eu-west-1")),
            (400, Some("ap-southeast-2"), malformed, Some("ap-southeast-2")),
            (400, None, malformed, Some("eu-central-1")),
            (400, None, "<Error><Code>InvalidRequest</Code><Region>eu-central-1</Region></Error>", None),
            (200, Some("eu-west-1"), "", None),
            (403, Some("eu-west-1"), "", None),
            (404, Some("eu-west-1"), "", None),
            (301, Some("evil.example.com/"), "", None),
            (301, Some("-west-1"), "", None),
            (301, None, "", None),
        ] {
            assert_eq!(named_region(&answer(status, header, body)).as_deref(), region, "{status} {header:?} {body}");
        }
    }

    #[test]
    fn regions_are_kept_per_bucket() {
        let regions = BucketRegions::new();
        regions.learn("a", "eu-west-1");
        assert_eq!(regions.get("a").as_deref(), Some("eu-west-1"));
        assert_eq!(regions.get("b"), None);
    }
}
