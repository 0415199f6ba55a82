use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Method;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    account::Account,
    environment::Environment,
    error::{EndpointError, Result},
    http_client,
    process::{Kept, Server},
    setup::Setup,
};

/// How ministack is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Evaluate identities, policies and signatures as AWS does. Off, everything is accepted.
    pub auth: bool,
    /// Record every authorised request for [`Ministack::request_log`].
    pub log_requests: bool,
    /// A container engine for the commands and tasks that really run; by default none is looked for.
    pub docker_host: Option<String>,
    /// How long the server may take to become ready.
    pub deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { auth: true, log_requests: true, docker_host: None, deadline: Duration::from_secs(60) }
    }
}

/// One request that the endpoint itself recorded.
///
/// ministack writes such an entry only for requests that passed authentication and authorisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// The service as in its host name, such as `ec2`.
    pub service: String,
    /// The API operation, or method and service where the endpoint does not tell.
    pub action: String,
    /// The access key that signed it.
    pub access_key: String,
    /// The endpoint's id of the request.
    pub request_id: String,
}

/// A running ministack on 127.0.0.1. It ends when this value is dropped or the process dies.
#[derive(Debug)]
pub struct Ministack {
    server: Server,
}

impl Ministack {
    /// Starts one in the shared environment, which is installed first where it is not yet there.
    ///
    /// # Errors
    /// What [`Environment::prepare`] says, or the server's last output if it does not become ready.
    pub async fn start(options: Options) -> Result<Self> {
        let environment = shared_environment().await?;
        Self::start_in(&environment, options).await
    }

    /// Starts one in a given environment.
    ///
    /// # Errors
    /// The server's last output if it does not become ready in time.
    pub async fn start_in(environment: &Environment, options: Options) -> Result<Self> {
        let server = Server::start(
            environment,
            "ministack",
            |command, port, work| {
                command
                    .arg("ministack")
                    .env("AUTH", options.auth.to_string())
                    .env("CLOUDTRAIL_RECORDING", if options.log_requests { "1" } else { "0" })
                    .env("CLOUDTRAIL_MAX_EVENTS", "100000")
                    .env("GATEWAY_PORT", port.to_string())
                    .env("BIND_HOST", "127.0.0.1")
                    .env("IOT_MTLS_ENABLED", "0")
                    .env("SFTP_ENABLED", "0")
                    .env("MINISTACK_REGION", "us-east-1")
                    .env(
                        "DOCKER_HOST",
                        match &options.docker_host {
                            Some(host) => host.clone(),
                            // A path that cannot exist, so that nobody's containers are touched.
                            None => format!("unix://{}/no-docker.sock", work.display()),
                        },
                    );
            },
            options.deadline,
            |port| async move {
                http_client::plain(Method::GET, &format!("http://127.0.0.1:{port}/_ministack/health"), "")
                    .await
                    .is_ok_and(|answer| answer.status.is_success())
            },
        )
        .await?;
        Ok(Self { server })
    }

    /// One server for all tests of this process, with authentication on; it ends with the process.
    ///
    /// Tests keep apart by an account each ([`Ministack::new_account`]); bucket names are global, as in AWS. Nobody
    /// may reset it.
    ///
    /// # Errors
    /// As [`Ministack::start`].
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<Ministack>> = OnceCell::const_new();
        SHARED.get_or_try_init(|| async { Self::start(Options::default()).await.map(Arc::new) }).await.cloned()
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The file with its output.
    pub fn log(&self) -> &std::path::Path {
        self.server.log()
    }

    /// The account of this 12-digit number. Accounts exist as soon as they are named.
    pub fn account(&self, id: &str) -> Account {
        Account::new(&self.url(), id)
    }

    /// An account that nothing else in this process uses.
    pub fn new_account(&self) -> Account {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.account(&format!("{:012}", 200_000_000_000 + NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// If the endpoint does not answer or refuses.
    pub async fn reset(&self) -> Result<()> {
        let answer = http_client::plain(Method::POST, &format!("{}/_ministack/reset", self.url()), "").await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(EndpointError::transport("reset of ministack", answer.text()))
        }
    }

    /// The endpoint's own log of what one account was asked in one region, oldest first: what AWS's CloudTrail would
    /// show as event history. Reading it is not part of it.
    ///
    /// # Errors
    /// If the endpoint does not answer or the answer has not the documented form.
    pub async fn request_log(&self, account: &str, region: &str) -> Result<Vec<LoggedRequest>> {
        let setup = Setup::new(&self.url(), region, account, "root");
        let mut requests = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut body = serde_json::json!({ "MaxResults": 50 });
            if let (Some(token), Some(body)) = (&token, body.as_object_mut()) {
                body.insert("NextToken".into(), token.clone().into());
            }
            let target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";
            let page = setup.json("cloudtrail", target, &body).await?;
            for event in page.get("Events").and_then(Value::as_array).into_iter().flatten() {
                requests.push(logged(event)?);
            }
            token = page.get("NextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        requests.reverse();
        Ok(requests)
    }

    /// Lets the server outlive this process.
    ///
    /// # Errors
    /// If the server is gone already.
    pub fn keep(self) -> Result<Kept> {
        self.server.keep()
    }
}

fn logged(event: &Value) -> Result<LoggedRequest> {
    let missing = |what: &str| EndpointError::Answer {
        action: "LookupEvents".into(),
        missing: what.into(),
        body: event.to_string(),
    };
    let field = |name: &str| event.get(name).and_then(Value::as_str).ok_or_else(|| missing(name));
    let detail: Value = serde_json::from_str(field("CloudTrailEvent")?).map_err(|_| missing("CloudTrailEvent"))?;
    // Query requests carry their operation in the body, and the event is named after the method then.
    let action = match detail.pointer("/requestParameters/Action").and_then(Value::as_str) {
        Some(action) => action,
        None => field("EventName")?,
    };
    Ok(LoggedRequest {
        service: field("EventSource")?.trim_end_matches(".amazonaws.com").into(),
        action: action.into(),
        access_key: field("AccessKeyId")?.into(),
        request_id: detail.get("requestID").and_then(Value::as_str).unwrap_or_default().into(),
    })
}

/// The shared environment, found or made without blocking the runtime.
pub(crate) async fn shared_environment() -> Result<Environment> {
    tokio::task::spawn_blocking(Environment::shared)
        .await
        .map_err(|error| EndpointError::transport("preparation of the environment", error))?
}
