use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, Request, Response, StatusCode, header::AUTHORIZATION};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::vendor::{Visit, Visits, json_response, plain};
use crate::{
    body::Body,
    error::Result,
    proxy::call_pairs,
    serve::{Hangup, Listening},
};

/// A stand-in for the address at which a GitHub Actions job asks for its OpenID Connect token.
///
/// The bearer is checked exactly; `audience` becomes the token's `aud`, and is the repository owner's address where it
/// is not given. Tokens have the form of a JWT and a signature that verifies with no key: ministack takes any.
///
/// Source: <https://docs.github.com/en/actions/reference/security/oidc>
#[derive(Debug)]
pub struct TokenIssuer {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    bearer: String,
    subject: String,
    visits: Visits,
}

impl TokenIssuer {
    /// Starts it on a free port of 127.0.0.1; it ends with this value. `bearer` is what the job's environment has as
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`, `subject` the token's `sub`, such as `repo:octo/shop:ref:refs/heads/main`.
    ///
    /// # Errors
    /// If no port can be opened.
    pub fn start(bearer: &str, subject: &str) -> Result<Self> {
        let state = Arc::new(State { bearer: bearer.into(), subject: subject.into(), visits: Visits::default() });
        let shared = state.clone();
        let listening = Listening::start(move |request, _| {
            let state = shared.clone();
            async move { Ok::<_, Hangup>(state.handle(&request)) }
        })?;
        Ok(Self { listening, state })
    }

    /// What the job's environment has as `ACTIONS_ID_TOKEN_REQUEST_URL`; like GitHub's it has a query already.
    pub fn request_url(&self) -> String {
        format!("{}/token?api-version=2.0", self.listening.url())
    }

    /// Every request so far.
    pub fn visits(&self) -> Vec<Visit> {
        self.state.visits.all()
    }

    /// A token as the stand-in would issue it, for tests that read one from a file or variable.
    pub fn token(subject: &str, audience: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = json!({ "alg": "RS256", "kid": "stand-in", "typ": "JWT" });
        let claims = json!({
            "aud": audience,
            "exp": now + 300,
            "iat": now,
            "iss": "https://token.actions.githubusercontent.com",
            "jti": format!("stand-in-{now}"),
            "nbf": now,
            "sub": subject,
        });
        let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}.{}", part(&header), part(&claims), BASE64_URL_SAFE_NO_PAD.encode("verifies with no key"))
    }
}

impl State {
    fn handle(&self, request: &Request<Incoming>) -> Response<Body> {
        let response = self.answer(request);
        self.visits.add(request.method(), request.uri().path(), response.status());
        response
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        if request.uri().path() != "/token" {
            return plain(StatusCode::NOT_FOUND, "");
        }
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // The scheme may be written in any case; the token may not.
        let right = shown
            .split_once(' ')
            .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && token == self.bearer);
        if !right {
            return json_response(StatusCode::UNAUTHORIZED, &json!({ "message": "the request token is not valid" }));
        }
        let query = call_pairs(request.uri().query().unwrap_or_default().as_bytes());
        let audience = query.into_iter().find(|(name, _)| name == "audience").map(|(_, value)| value);
        let owner = self.subject.strip_prefix("repo:").and_then(|rest| rest.split('/').next()).unwrap_or("octo");
        let audience = audience.unwrap_or_else(|| format!("https://github.com/{owner}"));
        json_response(StatusCode::OK, &json!({ "count": 1, "value": TokenIssuer::token(&self.subject, &audience) }))
    }
}
