//! AWS / Lambda / Invoke.

use outrigger_plugin_sdk::aws::lambda::{InvokeInput, InvokeOutput};
use outrigger_plugin_sdk::aws::{AwsConnection, credentials, lambda};
use outrigger_plugin_sdk::json::{self, Value};
use outrigger_plugin_sdk::prelude::*;

/// Bytes of a payload, by <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>: 6 MB for an answer that is
/// waited for, 1 MB for an event.
const MOST_PAYLOAD: usize = 6 * 1024 * 1024;
const MOST_EVENT: usize = 1024 * 1024;

/// Bytes of the client context in base64, by the API reference of Invoke.
const MOST_CLIENT_CONTEXT: usize = 3_583;

/// Bytes of a payload that the log shows.
const SHOWN_PAYLOAD: usize = 16 * 1024;

/// Invokes a Lambda function.
pub struct Invoke;

/// How the function is invoked.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum InvocationType {
    /// Wait for the answer.
    #[default]
    #[serde(alias = "RequestResponse")]
    Request,
    /// Hand it over and do not wait.
    Event,
    /// Check permissions and parameters only.
    DryRun,
}

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Name, partial ARN or ARN of the function.
    #[schemars(title = "Function Name", example = &"report")]
    pub function_name: String,
    /// JSON that the function is given.
    #[serde(default)]
    #[schemars(title = "Event Payload", with = "JsonInput", example = r#"{"Key1":"Value1","Key2":"Value2"}"#)]
    pub event_payload: Option<JsonInput>,
    /// `Request` waits for the answer, `Event` does not, `DryRun` only checks.
    #[serde(default)]
    #[schemars(title = "Invocation Type", with = "InvocationTypeSchema", extend("x-outrigger-group" = "Advanced"))]
    pub invocation_type: InvocationType,
    /// Version or alias; `$LATEST` where neither this nor the function's name says another.
    #[serde(default)]
    #[schemars(title = "Qualifier", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub qualifier: Option<String>,
    /// JSON object that the function finds in its client context, at most 3,583 bytes in base64.
    #[serde(default)]
    #[schemars(title = "Client Context", with = "JsonInput", extend("x-outrigger-group" = "Advanced"))]
    pub client_context: Option<JsonInput>,
    /// Fail the step when the function fails.
    #[serde(default = "yes")]
    #[schemars(title = "Fail on function error")]
    pub fail_on_function_error: bool,
    /// Show the last 4 KB of what the function logged.
    #[serde(default = "yes")]
    #[schemars(title = "Show the log's end", extend("x-outrigger-group" = "Advanced"))]
    pub log_tail: bool,
    /// How long to wait for the answer at most: seconds, or a text such as `5m`. A function runs for 15 minutes at most.
    #[serde(default = "longest")]
    #[schemars(title = "Timeout", extend("x-outrigger-group" = "Waiting"))]
    pub timeout: TimeSpan,
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used: it names the alias too")]
enum InvocationTypeSchema {
    Request,
    RequestResponse,
    Event,
    DryRun,
}

fn longest() -> TimeSpan {
    TimeSpan::from_seconds(900)
}

/// What came of the invocation, under our names and under those that Rundeck's Lambda steps give.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// HTTP status: 200, 202 for `Event`, 204 for `DryRun`.
    status_code: i32,
    /// What the function gave back, as JSON; as a text where it is none.
    payload: Option<Value>,
    /// What the function gave back, as a text.
    payload_raw: String,
    /// `Handled` or `Unhandled` where the function failed.
    function_error: Option<String>,
    /// The last 4 KB of what the function logged.
    log_tail: Option<String>,
    /// Version that ran.
    executed_version: Option<String>,
    /// Request id.
    request_id: Option<String>,
    /// Name of the function.
    function_name: String,
    /// `payloadRaw` under Rundeck's name.
    invoke_response_payload_string: String,
    /// `functionError` under Rundeck's name, `null` where there is none.
    invoke_function_error: String,
    /// `logTail` under Rundeck's name.
    invoke_execution_log: Option<String>,
    /// Whether the function was invoked, as a text.
    function_was_invoked: String,
}

impl JobStep for Invoke {
    const PROVIDER: &'static str = "aws-lambda-invoke-step";
    const TITLE: &'static str = "AWS / Lambda / Invoke";
    const SUMMARY: &'static str = "Invokes a Lambda function and fails where the function does.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        let request = request(&input)?;
        let aws = credentials()?;
        info!("invoking {} ({})", input.function_name, request.invocation_type.as_deref().unwrap_or_default());
        let answer = lambda::invoke(&aws, &request).context(format!("invoking {}", input.function_name))?;
        log_answer(&answer);
        let failure =
            answer.function_error.as_deref().map(|error| function_failure(&input.function_name, error, &answer));
        outputs(&to_outputs(&input.function_name, answer))?;
        match failure {
            Some(failure) if input.fail_on_function_error => Err(failure),
            Some(failure) => {
                warn!("{}", failure.message);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn request(input: &Input) -> Result<InvokeInput, Failure> {
    let is_event = input.invocation_type == InvocationType::Event;
    let payload = input.event_payload.as_ref().map(|payload| payload.0.to_string());
    let most = if is_event { MOST_EVENT } else { MOST_PAYLOAD };
    if let Some(size) = payload.as_ref().map(String::len).filter(|size| *size > most) {
        return Err(Failure::invalid_input(format!("`eventPayload` has {size} bytes; Lambda takes {most} at most")));
    }
    let client_context = match &input.client_context {
        None => None,
        Some(JsonInput(context @ Value::Object(_))) => Some(context.to_string()),
        Some(_) => return Err(Failure::invalid_input("`clientContext` is JSON, but no object")),
    };
    if let Some(size) = client_context.as_ref().map(|context| context.len().div_ceil(3) * 4)
        && size > MOST_CLIENT_CONTEXT
    {
        return Err(Failure::invalid_input(format!(
            "`clientContext` has {size} bytes in base64; Lambda takes {MOST_CLIENT_CONTEXT} at most"
        )));
    }
    Ok(InvokeInput {
        function_name: input.function_name.trim().to_owned(),
        invocation_type: Some(
            match input.invocation_type {
                InvocationType::Request => "RequestResponse",
                InvocationType::Event => "Event",
                InvocationType::DryRun => "DryRun",
            }
            .to_owned(),
        ),
        qualifier: input.qualifier.clone(),
        payload,
        client_context,
        // Lambda gives the log's end only to those who wait for the answer.
        log_tail: input.log_tail && input.invocation_type == InvocationType::Request,
        timeout_seconds: Some(u32::try_from(input.timeout.seconds()).unwrap_or(u32::MAX)),
    })
}

fn log_answer(answer: &InvokeOutput) {
    if let Some(tail) = answer.log_tail.as_deref().map(str::trim_end).filter(|tail| !tail.is_empty()) {
        info!("the function's log (the last 4 KB at most):");
        info!("{tail}");
    }
    let version = answer.executed_version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
    info!("status {}{version}", answer.status_code);
    if !answer.payload.is_empty() {
        info!("payload: {}", cut(&answer.payload, SHOWN_PAYLOAD));
    }
}

/// The failure for a function that failed: AWS answers with status 200 all the same.
fn function_failure(name: &str, error: &str, answer: &InvokeOutput) -> Failure {
    let said: Option<Value> = json::from_str(&answer.payload).ok();
    let text = |member: &str| said.as_ref().and_then(|said| said.get(member)).and_then(Value::as_str);
    let what = match (text("errorType"), text("errorMessage")) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (None, Some(message)) => message.to_owned(),
        (Some(kind), None) => kind.to_owned(),
        (None, None) => cut(&answer.payload, 1_024).to_owned(),
    };
    Failure::remote(format!("the function {name} failed ({error}): {what}")).with_code(error)
}

fn to_outputs(name: &str, answer: InvokeOutput) -> Outputs {
    let payload = match json::from_str(&answer.payload) {
        Ok(value) => Some(value),
        Err(_) => (!answer.payload.is_empty()).then(|| Value::from(answer.payload.as_str())),
    };
    // An output holds 1 MiB and an answer may have six: what is larger is in the log, cut, and left to the function to store.
    let fits = answer.payload.len() < outrigger_plugin_sdk::MAX_OUTPUT_BYTES / 2;
    if !fits {
        warn!("the payload has {} bytes: `payload` is left out and `payloadRaw` is cut", answer.payload.len());
    }
    let raw = cut(&answer.payload, outrigger_plugin_sdk::MAX_OUTPUT_BYTES / 2).to_owned();
    Outputs {
        status_code: answer.status_code,
        payload: payload.filter(|_| fits),
        invoke_function_error: answer.function_error.clone().unwrap_or_else(|| "null".to_owned()),
        function_error: answer.function_error,
        invoke_execution_log: answer.log_tail.clone(),
        log_tail: answer.log_tail,
        executed_version: answer.executed_version,
        request_id: answer.request_id,
        function_name: name.to_owned(),
        invoke_response_payload_string: raw.clone(),
        payload_raw: raw,
        function_was_invoked: "true".to_owned(),
    }
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

outrigger_plugin_sdk::export_job_step!(Invoke);

#[cfg(test)]
mod tests {
    use super::*;
    use json::json;

    fn input(value: Value) -> Input {
        json::from_value(value).unwrap()
    }

    fn answer(payload: &str, error: Option<&str>) -> InvokeOutput {
        InvokeOutput {
            status_code: 200,
            payload: payload.to_owned(),
            function_error: error.map(str::to_owned),
            executed_version: Some("$LATEST".to_owned()),
            log_tail: Some("END".to_owned()),
            request_id: None,
        }
    }

    #[test]
    fn requests_carry_compact_json_and_ask_for_the_log_only_when_waiting() {
        let request = request(&input(json!({"functionName": "f", "eventPayload": "{\"a\" : 1}"}))).unwrap();
        assert_eq!(request.payload.as_deref(), Some("{\"a\":1}"));
        assert_eq!(request.invocation_type.as_deref(), Some("RequestResponse"));
        assert_eq!(request.timeout_seconds, Some(900));
        assert!(request.log_tail);
        let event = super::request(&input(json!({"functionName": "f", "invocationType": "Event"}))).unwrap();
        assert!(!event.log_tail);
        assert_eq!(event.payload, None);
        assert!(
            input(json!({"functionName": "f", "invocationType": "RequestResponse"})).invocation_type
                == InvocationType::Request
        );
    }

    #[test]
    fn limits_are_checked_before_the_call() {
        let large = "x".repeat(MOST_EVENT);
        let event = input(json!({"functionName": "f", "invocationType": "Event", "eventPayload": [large]}));
        assert!(request(&event).unwrap_err().message.contains("1048576 at most"));
        let context = input(json!({"functionName": "f", "clientContext": {"a": "x".repeat(3_000)}}));
        assert!(request(&context).unwrap_err().message.contains("base64"));
        let context = input(json!({"functionName": "f", "clientContext": [1]}));
        assert!(request(&context).unwrap_err().message.contains("no object"));
    }

    #[test]
    fn a_function_that_raised_says_what() {
        let payload = r#"{"errorMessage": "no luck", "errorType": "ValueError", "stackTrace": []}"#;
        let failure = function_failure("f", "Unhandled", &answer(payload, Some("Unhandled")));
        assert_eq!(failure.message, "the function f failed (Unhandled): ValueError: no luck");
        assert!(failure.is("Unhandled"));
        assert_eq!(failure.reason, Reason::Remote);
    }

    #[test]
    fn outputs_have_both_sets_of_names() {
        let outputs = json::to_value(to_outputs("f", answer("[1]", None))).unwrap();
        assert_eq!(outputs["payload"], json!([1]));
        assert_eq!(outputs["invokeResponsePayloadString"], "[1]");
        assert_eq!(outputs["invokeFunctionError"], "null");
        assert_eq!(outputs["invokeExecutionLog"], "END");
        let text = json::to_value(to_outputs("f", answer("plain", None))).unwrap();
        assert_eq!(text["payload"], "plain");
        assert_eq!(cut("aé", 2), "a");
    }
}
