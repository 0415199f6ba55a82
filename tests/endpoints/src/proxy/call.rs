use http::{Method, header::AUTHORIZATION, request::Parts};
use percent_encoding::percent_decode_str;

/// How a service writes requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Query,
    Ec2,
    Json,
    RestXml,
    RestJson,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) service: String,
    pub(crate) operation: String,
    pub(crate) protocol: Protocol,
    pub(crate) access_key: Option<String>,
    pub(crate) region: Option<String>,
}

/// Whether the body is a form, which alone tells the operation.
pub(crate) fn is_form(parts: &Parts) -> bool {
    header(parts, "content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// A call of one operation has its parameters in the body (as against the content of an object or a function's event).
pub(crate) fn has_parameters(parts: &Parts) -> bool {
    is_form(parts) || parts.headers.contains_key("x-amz-target")
}

impl Call {
    /// `body` is needed only where [`is_form`] says so.
    pub(crate) fn of(parts: &Parts, body: &[u8]) -> Self {
        let scope = Scope::of(parts);
        let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
        let target = header(parts, "x-amz-target").map(|target| target.rsplit('.').next().unwrap_or(target).to_owned());
        let action = || {
            let form = if is_form(parts) { pairs(body) } else { Vec::new() };
            let action = form.into_iter().chain(query.clone()).find(|(name, _)| name == "Action");
            action.map(|(_, value)| value)
        };
        let service = scope.service.unwrap_or_else(|| guess_service(parts));
        let (operation, protocol) = match (service.as_str(), target) {
            (_, Some(operation)) => (operation, Protocol::Json),
            ("s3", None) => (s3_operation(parts, &query), Protocol::RestXml),
            ("lambda", None) => (lambda_operation(parts), Protocol::RestJson),
            (service, None) => match action() {
                Some(action) if service == "ec2" => (action, Protocol::Ec2),
                Some(action) => (action, Protocol::Query),
                None => (format!("{} {}", parts.method, parts.uri.path()), Protocol::RestJson),
            },
        };
        Self { service, operation, protocol, access_key: scope.access_key, region: scope.region }
    }

    /// `service:Operation`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }
}

/// The credential scope of a signature, in the header or in a presigned address.
#[derive(Default)]
struct Scope {
    access_key: Option<String>,
    region: Option<String>,
    service: Option<String>,
}

impl Scope {
    fn of(parts: &Parts) -> Self {
        let from_header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once("Credential="))
            .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default().to_owned());
        let scope = from_header.or_else(|| {
            let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
            query.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Credential")).map(|(_, value)| value)
        });
        let Some(scope) = scope else { return Self::default() };
        // From the end: an access key holds no slash, but then nothing depends on it. SigV4a has no region in it.
        let mut fields = scope.split('/').map(str::to_owned);
        let access_key = fields.next();
        let rest: Vec<String> = fields.collect();
        let service = rest.len().checked_sub(2).and_then(|index| rest.get(index)).cloned();
        let region = if rest.len() == 4 { rest.get(1).cloned() } else { None };
        Self { access_key, region, service }
    }
}

/// For requests without a signature: web identity federation and anonymous S3.
fn guess_service(parts: &Parts) -> String {
    match header(parts, "x-amz-target") {
        Some(target) => target.split(['_', '.']).next().unwrap_or_default().to_ascii_lowercase(),
        None if is_form(parts) => "sts".into(),
        None if parts.uri.path().starts_with("/2015-03-31/functions") => "lambda".into(),
        None => "s3".into(),
    }
}

pub(crate) fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// The names and values of a form or query, decoded, in their order.
pub(crate) fn pairs(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

/// Bucket-level operations by their subresource; the rest of the name after the verb.
const BUCKET_PARTS: [(&str, &str); 13] = [
    ("accelerate", "BucketAccelerateConfiguration"),
    ("acl", "BucketAcl"),
    ("cors", "BucketCors"),
    ("encryption", "BucketEncryption"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("location", "BucketLocation"),
    ("notification", "BucketNotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("policy", "BucketPolicy"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
    ("website", "BucketWebsite"),
];

/// The operation of a path-style S3 request.
///
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>
fn s3_operation(parts: &Parts, query: &[(String, String)]) -> String {
    let has = |name: &str| query.iter().any(|(key, _)| key == name);
    let path = percent_decode_str(parts.uri.path().trim_start_matches('/')).decode_utf8_lossy();
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let copies = parts.headers.contains_key("x-amz-copy-source");
    let method = &parts.method;
    let name = if bucket.is_empty() {
        "ListBuckets"
    } else if key.is_empty() {
        if let Some((_, rest)) = BUCKET_PARTS.iter().find(|(name, _)| has(name)) {
            return format!("{}{rest}", verb(method));
        }
        match *method {
            Method::GET if has("uploads") => "ListMultipartUploads",
            Method::GET if has("versions") => "ListObjectVersions",
            Method::GET if has("list-type") => "ListObjectsV2",
            Method::GET => "ListObjects",
            Method::HEAD => "HeadBucket",
            Method::PUT => "CreateBucket",
            Method::DELETE => "DeleteBucket",
            Method::POST if has("delete") => "DeleteObjects",
            _ => "PostObject",
        }
    } else {
        match *method {
            Method::GET | Method::PUT if has("acl") => return format!("{}ObjectAcl", verb(method)),
            Method::GET | Method::PUT | Method::DELETE if has("tagging") => {
                return format!("{}ObjectTagging", verb(method));
            }
            Method::GET if has("attributes") => "GetObjectAttributes",
            Method::GET if has("uploadId") => "ListParts",
            Method::GET => "GetObject",
            Method::HEAD => "HeadObject",
            Method::PUT if has("partNumber") && copies => "UploadPartCopy",
            Method::PUT if has("partNumber") => "UploadPart",
            Method::PUT if copies => "CopyObject",
            Method::PUT => "PutObject",
            Method::DELETE if has("uploadId") => "AbortMultipartUpload",
            Method::DELETE => "DeleteObject",
            Method::POST if has("uploads") => "CreateMultipartUpload",
            Method::POST if has("uploadId") => "CompleteMultipartUpload",
            Method::POST if has("restore") => "RestoreObject",
            Method::POST if has("select") => "SelectObjectContent",
            _ => "PostObject",
        }
    };
    name.into()
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::PUT => "Put",
        Method::DELETE => "Delete",
        _ => "Get",
    }
}

/// The operation of a Lambda request.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html>
fn lambda_operation(parts: &Parts) -> String {
    let segments: Vec<&str> = parts.uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let name = match (&parts.method, segments.get(1..).unwrap_or_default()) {
        (&Method::POST, ["functions", _, "invocations"]) => "Invoke",
        (&Method::POST, ["functions", _, "response-streaming-invocations"]) => "InvokeWithResponseStream",
        (&Method::GET, ["functions"]) => "ListFunctions",
        (&Method::POST, ["functions"]) => "CreateFunction",
        (&Method::GET, ["functions", _]) => "GetFunction",
        (&Method::DELETE, ["functions", _]) => "DeleteFunction",
        (&Method::GET, ["functions", _, "configuration"]) => "GetFunctionConfiguration",
        (&Method::PUT, ["functions", _, "configuration"]) => "UpdateFunctionConfiguration",
        (&Method::PUT, ["functions", _, "code"]) => "UpdateFunctionCode",
        (&Method::GET, ["functions", _, "versions"]) => "ListVersionsByFunction",
        (&Method::POST, ["functions", _, "versions"]) => "PublishVersion",
        (&Method::GET, ["functions", _, "aliases"]) => "ListAliases",
        (&Method::POST, ["functions", _, "aliases"]) => "CreateAlias",
        (&Method::GET, ["functions", _, "aliases", _]) => "GetAlias",
        (method, _) => return format!("{method} {}", parts.uri.path()),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn call(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Call {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a valid request").into_parts();
        Call::of(&parts, body.as_bytes())
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

    fn scope(service: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host")
    }

    #[test]
    fn query_and_ec2_tell_their_action_in_the_body() {
        let found = call("POST", "/", &[FORM, ("authorization", &scope("ec2"))], "Action=StartInstances&Version=1");
        assert_eq!((found.name().as_str(), found.protocol), ("ec2:StartInstances", Protocol::Ec2));
        assert_eq!((found.region.as_deref(), found.access_key.as_deref()), (Some("eu-west-1"), Some("AKID")));
        let found = call("POST", "/", &[FORM, ("authorization", &scope("iam"))], "Version=1&Action=ListUsers");
        assert_eq!((found.name().as_str(), found.protocol), ("iam:ListUsers", Protocol::Query));
        let found = call("POST", "/", &[FORM], "Action=AssumeRoleWithWebIdentity");
        assert_eq!(found.name(), "sts:AssumeRoleWithWebIdentity");
    }

    #[test]
    fn json_tells_its_target() {
        let headers = [("x-amz-target", "AmazonSSM.SendCommand"), ("authorization", &scope("ssm"))];
        let found = call("POST", "/", &headers, "{}");
        assert_eq!((found.name().as_str(), found.protocol), ("ssm:SendCommand", Protocol::Json));
    }

    #[test]
    fn s3_is_told_by_method_path_and_query() {
        let auth = scope("s3");
        for (method, uri, operation) in [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/b", "CreateBucket"),
            ("GET", "/b/?list-type=2&prefix=a%2F", "ListObjectsV2"),
            ("GET", "/b?location", "GetBucketLocation"),
            ("PUT", "/b?versioning", "PutBucketVersioning"),
            ("POST", "/b?delete", "DeleteObjects"),
            ("PUT", "/b/a/b%20c?x-id=PutObject", "PutObject"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", "UploadPart"),
            ("POST", "/b/k?uploads", "CreateMultipartUpload"),
            ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"),
            ("HEAD", "/b/k", "HeadObject"),
        ] {
            let found = call(method, uri, &[("authorization", &auth)], "");
            assert_eq!(found.operation, operation, "{method} {uri}");
        }
        let copy = call("PUT", "/b/k", &[("authorization", &auth), ("x-amz-copy-source", "/a/k")], "");
        assert_eq!(copy.operation, "CopyObject");
        let presigned = call("GET", "/b/k?X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", &[], "");
        assert_eq!((presigned.name().as_str(), presigned.access_key.as_deref()), ("s3:GetObject", Some("AKID")));
    }

    #[test]
    fn lambda_is_told_by_method_and_path() {
        let auth = scope("lambda");
        let found = call("POST", "/2015-03-31/functions/f/invocations", &[("authorization", &auth)], "{}");
        assert_eq!((found.name().as_str(), found.protocol), ("lambda:Invoke", Protocol::RestJson));
    }
}
