use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode, header::AUTHORIZATION};
use hyper::body::Incoming;
use serde_json::json;

use super::vendor::{Vendor, Visit, Visits, json_response, key_members, plain};
use crate::{
    body::Body,
    error::Result,
    proxy::lock,
    serve::{Hangup, Listening},
};

/// A container task with credentials of its own.
#[derive(Debug, Clone)]
pub struct Task {
    /// The path of its credentials, such as `/v2/credentials/<id>`.
    pub path: String,
    /// What its `Authorization` header must say, exactly; none means that any request will do.
    pub token: Option<String>,
    /// The ARN of the task's role.
    pub role_arn: String,
    /// Where the keys come from.
    pub vendor: Vendor,
}

/// A strict stand-in for the credentials endpoint of ECS tasks and EKS pods.
///
/// Answers 404 for another task's path, 400 without the `Authorization` header, 401 with a wrong one, 405 for anything
/// but GET. Point a client at it with `AWS_CONTAINER_CREDENTIALS_FULL_URI` and
/// `AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]`.
///
/// Sources: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>,
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
#[derive(Debug)]
pub struct ContainerCredentials {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    tasks: Mutex<Vec<Task>>,
    visits: Visits,
}

impl ContainerCredentials {
    /// Starts it on a free port of 127.0.0.1; it ends with this value.
    ///
    /// # Errors
    /// If no port can be opened.
    pub fn start(tasks: Vec<Task>) -> Result<Self> {
        let state = Arc::new(State { tasks: Mutex::new(tasks), visits: Visits::default() });
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

    /// The full address of a task's credentials.
    pub fn full_uri(&self, path: &str) -> String {
        format!("{}{path}", self.url())
    }

    /// Replaces the token that a task must show, as happens when a token file is rotated.
    pub fn set_token(&self, path: &str, token: &str) {
        for task in lock(&self.state.tasks).iter_mut().filter(|task| task.path == path) {
            task.token = Some(token.into());
        }
    }

    /// Every request so far.
    pub fn visits(&self) -> Vec<Visit> {
        self.state.visits.all()
    }

    /// How often keys were handed out, over all tasks.
    pub fn vended(&self) -> usize {
        lock(&self.state.tasks).iter().map(|task| task.vendor.count()).sum()
    }
}

impl State {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let response = self.answer(&request).await;
        self.visits.add(request.method(), request.uri().path(), response.status());
        response
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let refuse = |status: StatusCode, code: &str, message: &str| {
            json_response(status, &json!({ "code": code, "message": message }))
        };
        let task = lock(&self.tasks).iter().find(|task| task.path == request.uri().path()).cloned();
        let Some(task) = task else {
            return refuse(StatusCode::NOT_FOUND, "InvalidIdInRequest", "no task has this path");
        };
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        match (&task.token, request.headers().get(AUTHORIZATION)) {
            (Some(_), None) => {
                return refuse(StatusCode::BAD_REQUEST, "NoAuthorization", "the Authorization header is missing");
            }
            (Some(token), Some(shown)) if shown.as_bytes() != token.as_bytes() => {
                return refuse(StatusCode::UNAUTHORIZED, "AccessDenied", "the authorization token is not valid");
            }
            _ => {}
        }
        match task.vendor.make().await {
            Ok(keys) => {
                let mut document = key_members(&keys);
                if let Some(document) = document.as_object_mut() {
                    document.insert("RoleArn".into(), task.role_arn.into());
                }
                json_response(StatusCode::OK, &document)
            }
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &error.to_string()),
        }
    }
}
