use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::vendor::{Vendor, Visit, Visits, instant, json_response, key_members, plain};
use crate::{
    body::Body,
    error::Result,
    proxy::lock,
    serve::{Hangup, Listening},
};

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";
/// The longest life of a token: six hours.
const MAX_TTL: u64 = 21_600;

/// How far the asking program is from the instance, by the hop limit of the token's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hops {
    /// On the instance, or within its limit.
    #[default]
    Near,
    /// Behind more hops than the limit allows, as in a container with the default limit of 1: the answer to the PUT
    /// never arrives, while other requests would.
    TooFar,
}

/// The instance that the stand-in speaks for.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// The 12-digit number of its account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// The name of the role of its instance profile; none means that it has no profile.
    pub role: Option<String>,
    /// How far the client is away.
    pub hops: Hops,
}

impl Instance {
    /// An instance with a role.
    pub fn new(account: &str, region: &str, role: &str) -> Self {
        Self {
            id: "i-0123456789abcdef0".into(),
            account: account.into(),
            region: region.into(),
            role: Some(role.into()),
            hops: Hops::Near,
        }
    }
}

/// A strict stand-in for EC2's instance metadata service, version 2 only.
///
/// Keys that ministack's own metadata service vends are refused by ministack under authentication; these come from a
/// [`Vendor`]. Point a client at it with `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>
#[derive(Debug)]
pub struct InstanceMetadata {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    instance: Instance,
    vendor: Vendor,
    tokens: Mutex<HashMap<String, Instant>>,
    visits: Visits,
}

impl InstanceMetadata {
    /// Starts it on a free port of 127.0.0.1; it ends with this value.
    ///
    /// # Errors
    /// If no port can be opened.
    pub fn start(instance: Instance, vendor: Vendor) -> Result<Self> {
        let state = Arc::new(State { instance, vendor, tokens: Mutex::default(), visits: Visits::default() });
        let shared = state.clone();
        let listening = Listening::start(move |request, _| {
            let state = shared.clone();
            async move { Ok::<_, Hangup>(state.handle(request).await) }
        })?;
        Ok(Self { listening, state })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Every request that was answered so far.
    pub fn visits(&self) -> Vec<Visit> {
        self.state.visits.all()
    }

    /// How often it handed out keys.
    pub fn vended(&self) -> usize {
        self.state.vendor.count()
    }
}

impl State {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let response = self.answer(&request).await;
        self.visits.add(request.method(), request.uri().path(), response.status());
        response
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if path == "/latest/api/token" {
            return self.token(request).await;
        }
        let known = request
            .headers()
            .get(TOKEN)
            .and_then(|token| token.to_str().ok())
            .is_some_and(|token| lock(&self.tokens).get(token).is_some_and(|end| *end > Instant::now()));
        if !known {
            return plain(StatusCode::UNAUTHORIZED, "");
        }
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let Instance { id, account, region, role, .. } = &self.instance;
        let zone = format!("{region}a");
        let ok = |text: &str| plain(StatusCode::OK, text.to_owned());
        match (path.strip_prefix("/latest/").unwrap_or_default(), role) {
            ("meta-data/instance-id", _) => ok(id),
            ("meta-data/placement/region", _) => ok(region),
            ("meta-data/placement/availability-zone", _) => ok(&zone),
            ("meta-data/iam/security-credentials" | "meta-data/iam/security-credentials/", Some(role)) => ok(role),
            ("meta-data/iam/info", Some(role)) => json_response(
                StatusCode::OK,
                &json!({
                    "Code": "Success",
                    "LastUpdated": instant(SystemTime::now()),
                    "InstanceProfileArn": format!("arn:aws:iam::{account}:instance-profile/{role}"),
                    "InstanceProfileId": "AIPAEXAMPLEEXAMPLE00",
                }),
            ),
            ("dynamic/instance-identity/document", _) => json_response(
                StatusCode::OK,
                &json!({
                    "accountId": account,
                    "architecture": "x86_64",
                    "availabilityZone": zone,
                    "imageId": "ami-0123456789abcdef0",
                    "instanceId": id,
                    "instanceType": "t3.micro",
                    "pendingTime": instant(SystemTime::now() - Duration::from_secs(3600)),
                    "privateIp": "10.0.0.10",
                    "region": region,
                    "version": "2017-09-30",
                }),
            ),
            (rest, Some(role)) if rest.strip_prefix("meta-data/iam/security-credentials/") == Some(role.as_str()) => {
                self.credentials().await
            }
            _ => plain(StatusCode::NOT_FOUND, ""),
        }
    }

    async fn token(&self, request: &Request<Incoming>) -> Response<Body> {
        if request.method() != Method::PUT {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        // The service refuses what came through a proxy.
        if request.headers().contains_key("x-forwarded-for") {
            return plain(StatusCode::FORBIDDEN, "");
        }
        let ttl = request.headers().get(TTL).and_then(|ttl| ttl.to_str().ok()).and_then(|ttl| ttl.parse().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=MAX_TTL).contains(ttl)) else {
            return plain(StatusCode::BAD_REQUEST, "");
        };
        if self.instance.hops == Hops::TooFar {
            std::future::pending::<()>().await;
        }
        let mut tokens = lock(&self.tokens);
        let token = format!("stand-in-token-{:04}-{:08x}==", tokens.len(), std::process::id());
        tokens.insert(token.clone(), Instant::now() + Duration::from_secs(ttl));
        let mut response = plain(StatusCode::OK, token);
        response.headers_mut().insert(TTL, HeaderValue::from(ttl));
        response
    }

    async fn credentials(&self) -> Response<Body> {
        match self.vendor.make().await {
            Ok(keys) => {
                let mut document = json!({
                    "Code": "Success",
                    "LastUpdated": instant(SystemTime::now()),
                    "Type": "AWS-HMAC",
                });
                if let (Some(document), serde_json::Value::Object(keys)) =
                    (document.as_object_mut(), key_members(&keys))
                {
                    document.extend(keys);
                }
                json_response(StatusCode::OK, &document)
            }
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}
