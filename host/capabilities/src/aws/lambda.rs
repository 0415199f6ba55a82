//! AWS Lambda.

use std::time::Duration;

use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use outrigger_door::{Failure, Reason};

use super::{AwsCall, send_once};
use crate::bindings::outrigger::aws_lambda::functions::{InvokeInput, InvokeOutput};

/// The longest time a function may run. Source: AWS Lambda Developer Guide, "Lambda quotas".
const LONGEST_FUNCTION: u32 = 900;

/// Longest client context in base64. Source: AWS Lambda API Reference, Invoke.
const LONGEST_CLIENT_CONTEXT: usize = 3_583;

/// Invoke.
pub async fn invoke(call: AwsCall, input: InvokeInput) -> Result<InvokeOutput, Failure> {
    let client_context = input.client_context.map(|context| BASE64_STANDARD.encode(context));
    if let Some(context) = client_context.as_ref().filter(|context| context.len() > LONGEST_CLIENT_CONTEXT) {
        return Err(Failure::new(
            Reason::InvalidInput,
            format!(
                "the client context has {} bytes in base64; lambda:InvokeFunction takes at most {LONGEST_CLIENT_CONTEXT}",
                context.len()
            ),
        ));
    }
    // The answer comes when the function is done: waiting less than its own limit would lose answers.
    let patience = Duration::from_secs(u64::from(input.timeout_seconds.unwrap_or(LONGEST_FUNCTION)) + 5);
    let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder().read_timeout(patience).build();
    let request = call
        .lambda()
        .invoke()
        .function_name(input.function_name)
        .set_invocation_type(input.invocation_type.as_deref().map(InvocationType::from))
        .set_qualifier(input.qualifier)
        .set_client_context(client_context)
        .set_payload(input.payload.map(|payload| Blob::new(payload.into_bytes())))
        .set_log_type(input.log_tail.then_some(LogType::Tail));
    let output = send_once!(call, aws_sdk_lambda, request, timeouts)?;
    let request_id = output.request_id().map(str::to_owned);
    let log_tail = output
        .log_result
        .and_then(|log| BASE64_STANDARD.decode(log).ok())
        .map(|log| String::from_utf8_lossy(&log).into_owned());
    Ok(InvokeOutput {
        status_code: output.status_code,
        payload: output
            .payload
            .map(|payload| String::from_utf8_lossy(payload.as_ref()).into_owned())
            .unwrap_or_default(),
        function_error: output.function_error,
        executed_version: output.executed_version,
        log_tail,
        request_id,
    })
}
