use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request,
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use crate::{
    error::{EndpointError, Result},
    http_client::{self, Answer},
    keys::Keys,
};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A small signed AWS client for the set-up of tests and the demo. Outrigger itself uses the SDKs.
#[derive(Debug, Clone)]
pub struct Setup {
    endpoint: String,
    region: String,
    keys: Keys,
}

impl Setup {
    /// A client with long-lived keys. In ministack a 12-digit access key is the root of that account.
    pub fn new(url: &str, region: &str, access_key: &str, secret: &str) -> Self {
        Self::with_keys(url, region, Keys::new(access_key, secret))
    }

    /// A client with any keys.
    pub fn with_keys(url: &str, region: &str, keys: Keys) -> Self {
        Self { endpoint: url.trim_end_matches('/').into(), region: region.into(), keys }
    }

    /// The same client in another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.into(), ..self.clone() }
    }

    /// The endpoint, without a slash at the end.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// A query-protocol call (IAM, STS, EC2, Auto Scaling, ELB, RDS).
    ///
    /// # Errors
    /// [`EndpointError::Api`] with AWS's code when the endpoint refuses.
    pub async fn query(&self, service: &str, action: &str, version: &str, params: &[(&str, &str)]) -> Result<Answer> {
        let body = [("Action", action), ("Version", version)]
            .iter()
            .chain(params)
            .map(|(name, value)| {
                format!("{}={}", utf8_percent_encode(name, UNRESERVED), utf8_percent_encode(value, UNRESERVED))
            })
            .collect::<Vec<_>>()
            .join("&");
        let headers = [(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
        self.call(service, action, Method::POST, "/", &headers, body.into()).await
    }

    /// A JSON-protocol call (SSM, Athena, Glue, Logs, CloudTrail); `target` is the whole `X-Amz-Target`.
    ///
    /// # Errors
    /// [`EndpointError::Api`] with AWS's code when the endpoint refuses.
    pub async fn json(&self, service: &str, target: &str, body: &Value) -> Result<Value> {
        let action = target.rsplit('.').next().unwrap_or(target);
        let headers = [
            (CONTENT_TYPE, "application/x-amz-json-1.1".to_owned()),
            (HeaderName::from_static("x-amz-target"), target.to_owned()),
        ];
        let answer = self.call(service, action, Method::POST, "/", &headers, body.to_string().into()).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|error| EndpointError::Answer {
            action: action.into(),
            missing: format!("JSON ({error})"),
            body: start(&answer.text()),
        })
    }

    /// A REST call (S3, Lambda); `path` holds the query too and is percent-encoded already.
    ///
    /// # Errors
    /// [`EndpointError::Api`] with AWS's code when the endpoint refuses.
    pub async fn rest(&self, service: &str, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.rest_with(service, method, path, &[], body).await
    }

    /// [`Setup::rest`] with headers of its own, which are signed too.
    ///
    /// # Errors
    /// As [`Setup::rest`].
    pub async fn rest_with(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(HeaderName, String)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let action = format!("{method} {}", path.split('?').next().unwrap_or(path));
        self.call(service, &action, method, path, headers, body.into()).await
    }

    async fn call(
        &self,
        service: &str,
        action: &str,
        method: Method,
        path: &str,
        headers: &[(HeaderName, String)],
        body: Bytes,
    ) -> Result<Answer> {
        let what = format!("{service} {action}");
        let mut request = self.build(&what, method, path, headers, body.clone())?;
        self.sign(&what, service, &mut request, &body)?;
        let answer = http_client::send(&what, request).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let (code, message) = error_of(&answer);
        Err(EndpointError::Api {
            service: service.into(),
            action: action.into(),
            status: answer.status.as_u16(),
            code,
            message,
        })
    }

    fn build(
        &self,
        what: &str,
        method: Method,
        path: &str,
        headers: &[(HeaderName, String)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>> {
        let bad = |error: &dyn std::fmt::Display| EndpointError::transport(what, error);
        let url = format!("{}{path}", self.endpoint);
        let parsed = Url::parse(&url).map_err(|error| bad(&error))?;
        let mut host = parsed.host_str().unwrap_or_default().to_owned();
        if let Some(port) = parsed.port() {
            host = format!("{host}:{port}");
        }
        let mut request =
            Request::builder().method(method).uri(url).body(Full::new(body)).map_err(|error| bad(&error))?;
        let into = request.headers_mut();
        into.insert(HOST, HeaderValue::from_str(&host).map_err(|error| bad(&error))?);
        into.insert(USER_AGENT, HeaderValue::from_static("outrigger-endpoints"));
        for (name, value) in headers {
            into.insert(name.clone(), HeaderValue::from_str(value).map_err(|error| bad(&error))?);
        }
        Ok(request)
    }

    fn sign(&self, what: &str, service: &str, request: &mut Request<Full<Bytes>>, body: &[u8]) -> Result<()> {
        let bad = |error: &dyn std::fmt::Display| EndpointError::transport(what, format!("cannot be signed: {error}"));
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = Credentials::new(
            &self.keys.access,
            &self.keys.secret,
            self.keys.token.clone(),
            self.keys.expiry,
            "outrigger-endpoints",
        )
        .into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| bad(&error))?
            .into();
        let uri = request.uri().to_string();
        let headers: Vec<(&str, &str)> =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let signable =
            SignableRequest::new(request.method().as_str(), &uri, headers.into_iter(), SignableBody::Bytes(body))
                .map_err(|error| bad(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| bad(&error))?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

/// AWS's code and message from an error answer of any protocol.
fn error_of(answer: &Answer) -> (String, String) {
    if let Ok(body) = serde_json::from_slice::<Value>(&answer.body) {
        let field = |names: &[&str]| {
            names.iter().find_map(|name| body.get(name).and_then(Value::as_str)).unwrap_or_default().to_owned()
        };
        let code = match answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()) {
            Some(code) => code.to_owned(),
            None => field(&["__type", "code", "Code"]),
        };
        let code = code.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
        return (code, field(&["message", "Message"]));
    }
    let code = answer.element("Code").unwrap_or_else(|| answer.status.to_string());
    (code, answer.element("Message").unwrap_or_else(|| start(&answer.text())))
}

pub(crate) fn start(text: &str) -> String {
    text.chars().take(300).collect()
}
