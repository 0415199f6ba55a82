use std::{sync::Arc, time::Duration};

use http::Method;
use tokio::sync::OnceCell;

use crate::{
    environment::Environment,
    error::{EndpointError, Result},
    http_client,
    ministack::shared_environment,
    process::{Kept, Server},
};

/// A running moto server on 127.0.0.1, for what ministack lacks. It accepts every key.
///
/// It ends when this value is dropped or the process dies.
#[derive(Debug)]
pub struct Moto {
    server: Server,
}

impl Moto {
    /// Starts one in the shared environment, which is installed first where it is not yet there.
    ///
    /// # Errors
    /// What [`Environment::prepare`] says, or the server's last output if it does not become ready.
    pub async fn start() -> Result<Self> {
        let environment = shared_environment().await?;
        Self::start_in(&environment).await
    }

    /// Starts one in a given environment.
    ///
    /// # Errors
    /// The server's last output if it does not become ready in time.
    pub async fn start_in(environment: &Environment) -> Result<Self> {
        let server = Server::start(
            environment,
            "moto",
            |command, port, _| {
                command.args(["moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
            },
            Duration::from_secs(60),
            |port| async move {
                http_client::plain(Method::GET, &format!("http://127.0.0.1:{port}/moto-api/data.json"), "")
                    .await
                    .is_ok_and(|answer| answer.status.is_success())
            },
        )
        .await?;
        Ok(Self { server })
    }

    /// One server for all tests of this process; it ends with the process. Nobody may reset it.
    ///
    /// # Errors
    /// As [`Moto::start`].
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<Moto>> = OnceCell::const_new();
        SHARED.get_or_try_init(|| async { Self::start().await.map(Arc::new) }).await.cloned()
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The file with its output.
    pub fn log(&self) -> &std::path::Path {
        self.server.log()
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// If the endpoint does not answer or refuses.
    pub async fn reset(&self) -> Result<()> {
        self.control("reset", &serde_json::Value::Null).await
    }

    /// Makes an Athena query take `times` looks to pass from one state to the next, as AWS does over time.
    ///
    /// # Errors
    /// If the endpoint does not answer or refuses.
    pub async fn slow_athena(&self, times: u32) -> Result<()> {
        let body = serde_json::json!({
            "model_name": "athena::execution",
            "transition": { "progression": "manual", "times": times },
        });
        self.control("state-manager/set-transition", &body).await
    }

    /// Presets the answers of the next Athena queries or Lambda calls: `path` is the part after `/moto-api/static/`.
    ///
    /// # Errors
    /// If the endpoint does not answer or refuses.
    pub async fn preset(&self, path: &str, body: &serde_json::Value) -> Result<()> {
        self.control(&format!("static/{path}"), body).await
    }

    async fn control(&self, path: &str, body: &serde_json::Value) -> Result<()> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http_client::plain(Method::POST, &format!("{}/moto-api/{path}", self.url()), body).await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(EndpointError::transport(format!("moto's {path}"), answer.text()))
        }
    }

    /// Lets the server outlive this process.
    ///
    /// # Errors
    /// If the server is gone already.
    pub fn keep(self) -> Result<Kept> {
        self.server.keep()
    }
}
