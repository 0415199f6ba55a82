//! The audit of AWS attempts, taken where the SDK makes them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use outrigger_door::{AuditOutcome, Auditor, unix_micros};

/// An SDK interceptor that writes one audit record per attempt.
#[derive(Clone)]
pub struct AttemptAuditor {
    auditor: Auditor,
    count: Arc<AtomicU32>,
}

impl fmt::Debug for AttemptAuditor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AttemptAuditor").finish_non_exhaustive()
    }
}

impl AttemptAuditor {
    /// An auditor for one SDK call; attempts are counted from 1.
    pub fn new(auditor: Auditor) -> Self {
        Self { auditor, count: Arc::default() }
    }
}

#[derive(Debug)]
struct Started {
    at: Instant,
    unix_micros: i64,
}

impl Storable for Started {
    type Storer = StoreReplace<Self>;
}

/// The request id of an answer; S3 and the others call it differently.
fn request_id(response: &HttpResponse) -> Option<String> {
    ["x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id"]
        .iter()
        .find_map(|name| response.headers().get(*name))
        .map(str::to_owned)
}

/// The service's error code, from the header or the body of an answer.
fn error_code(response: &HttpResponse) -> Option<String> {
    if let Some(kind) = response.headers().get("x-amzn-errortype") {
        return Some(clean_code(kind));
    }
    let text = std::str::from_utf8(response.body().bytes()?).ok()?;
    if let Some((_, rest)) = text.split_once("<Code>") {
        return rest.split_once("</Code>").map(|(code, _)| code.to_owned());
    }
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    ["__type", "code", "Code"].iter().find_map(|name| value.get(*name)?.as_str()).map(clean_code)
}

/// `com.amazonaws.x#ThrottlingException:http://...` is the code `ThrottlingException`.
fn clean_code(kind: &str) -> String {
    let kind = kind.split(':').next().unwrap_or(kind);
    kind.rsplit('#').next().unwrap_or(kind).to_owned()
}

#[dyn_dispatch_hint]
impl Intercept for AttemptAuditor {
    fn name(&self) -> &'static str {
        "AttemptAuditor"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(Started { at: Instant::now(), unix_micros: unix_micros() });
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let attempt = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let response = context.response();
        let succeeded = matches!(context.output_or_error(), Some(Ok(_)));
        let metadata = bag.load::<Metadata>();
        let started = bag.load::<Started>();
        self.auditor.record(|record| {
            // A batch makes calls of other names than its own.
            if let Some(metadata) = metadata {
                record.action = metadata.name().to_owned();
            }
            record.attempt = attempt;
            if let Some(started) = started {
                record.at_unix_micros = started.unix_micros;
                record.duration_micros = u64::try_from(started.at.elapsed().as_micros()).unwrap_or(u64::MAX);
            }
            record.request_id = response.and_then(request_id);
            let status = response.map_or(0, |response| response.status().as_u16());
            record.outcome = if succeeded {
                AuditOutcome::Ok
            } else {
                let code = response.and_then(error_code);
                let code =
                    code.unwrap_or_else(|| if status == 0 { "NoAnswer".into() } else { format!("HTTP {status}") });
                AuditOutcome::Error { code, status }
            };
        });
        Ok(())
    }
}
