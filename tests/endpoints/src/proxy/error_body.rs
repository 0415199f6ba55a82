use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE};

use super::call::{Call, Protocol};
use crate::{body::Body, xml::escape};

/// The id in answers that no endpoint made.
pub(crate) const REQUEST_ID: &str = "00000000-fa17-4000-8000-000000000000";

/// An error answer as the protocol of the call writes it.
///
/// Sources: <https://smithy.io/2.0/aws/protocols/index.html> and, for S3,
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
pub(crate) fn error_response(call: &Call, method: &Method, status: u16, code: &str, message: &str) -> Response<Body> {
    let (body, kind) = error_body(call.protocol, code, message);
    // An answer to HEAD has no body; clients go by the status then.
    let body = if *method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("x-amzn-requestid", HeaderValue::from_static(REQUEST_ID));
    if call.protocol == Protocol::RestXml {
        headers.insert("x-amz-request-id", HeaderValue::from_static(REQUEST_ID));
    }
    if call.protocol == Protocol::RestJson
        && let Ok(code) = HeaderValue::from_str(code)
    {
        headers.insert("x-amzn-errortype", code);
    }
    response
}

fn error_body(protocol: Protocol, code: &str, message: &str) -> (String, &'static str) {
    let json = |kind: &str| serde_json::json!({ kind: code, "message": message }).to_string();
    let (code_text, message_text) = (escape(code), escape(message));
    match protocol {
        Protocol::Query => (
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code_text}</Code><Message>{message_text}</Message>\
                 </Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
            ),
            "text/xml",
        ),
        Protocol::Ec2 => (
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Errors><Error><Code>{code_text}</Code>\
                 <Message>{message_text}</Message></Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
            ),
            "text/xml;charset=UTF-8",
        ),
        Protocol::RestXml => (
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code_text}</Code>\
                 <Message>{message_text}</Message><RequestId>{REQUEST_ID}</RequestId><HostId>fault</HostId></Error>"
            ),
            "application/xml",
        ),
        Protocol::Json => (json("__type"), "application/x-amz-json-1.1"),
        Protocol::RestJson => (json("code"), "application/json"),
    }
}
