//! AWS: what a call is made with, one module per service.

pub mod athena;
pub mod attempts;
pub mod autoscaling;
pub mod credentials;
pub mod ec2;
pub mod failure;
mod identity;
pub mod lambda;
pub mod logs;
pub mod s3;
pub mod s3_operations;
pub mod ssm;
pub mod sts;

use std::sync::Arc;

use outrigger_door::{Failure, Operation, Passage, Reason, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::Resource;

use crate::bindings::outrigger::step::types;
use crate::state::{CredentialsHandle, GuestSink, StepState};
use crate::workspace::Workspace;

pub use attempts::AttemptAuditor;
pub use identity::{AwsClients, AwsIdentity, Endpoints};

/// What the method behind an operation works with.
#[derive(Clone)]
pub struct AwsCall {
    identity: Arc<AwsIdentity>,
    clients: Arc<AwsClients>,
    region: String,
    passage: Passage,
    workspace: Arc<Workspace>,
    sink: Arc<dyn GuestSink>,
}

macro_rules! clients {
    ($($(#[$documentation:meta])* $name:ident: $sdk:ident = $service:literal;)+) => {
        impl AwsCall {
            $(
                $(#[$documentation])*
                pub fn $name(&self) -> $sdk::Client {
                    self.clients.client(&self.identity, &self.region, $service, $sdk::Client::new)
                }
            )+
        }
    };
}

clients! {
    /// Athena.
    athena: aws_sdk_athena = "athena";
    /// EC2 Auto Scaling.
    autoscaling: aws_sdk_autoscaling = "autoscaling";
    /// EC2.
    ec2: aws_sdk_ec2 = "ec2";
    /// Lambda.
    lambda: aws_sdk_lambda = "lambda";
    /// CloudWatch Logs.
    logs: aws_sdk_cloudwatchlogs = "logs";
    /// Systems Manager.
    ssm: aws_sdk_ssm = "ssm";
    /// Security Token Service.
    sts: aws_sdk_sts = "sts";
}

impl AwsCall {
    /// The identity.
    pub fn identity(&self) -> &AwsIdentity {
        &self.identity
    }

    /// The process's clients.
    pub fn clients(&self) -> &AwsClients {
        &self.clients
    }

    /// Region of the call.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The client token, for operations that take one.
    pub fn token(&self) -> Option<String> {
        self.passage.token.clone()
    }

    /// Local files that the guest may name.
    pub fn workspace(&self) -> &Arc<Workspace> {
        &self.workspace
    }

    /// Where progress goes.
    pub fn sink(&self) -> &Arc<dyn GuestSink> {
        &self.sink
    }

    /// How often a call that may be repeated is tried.
    pub fn most_tries(&self) -> u32 {
        self.clients.attempts()
    }

    /// Writes an audit record for each attempt; goes into `customize().interceptor(...)` of every SDK call.
    pub fn attempts(&self) -> AttemptAuditor {
        AttemptAuditor::new(self.passage.auditor.clone())
    }

    /// Translates an SDK error.
    pub fn failure<E>(
        &self,
        error: aws_smithy_runtime_api::client::result::SdkError<
            E,
            aws_smithy_runtime_api::client::orchestrator::HttpResponse,
        >,
    ) -> Failure
    where
        E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + 'static,
    {
        failure::from_sdk(&error, self.passage.auditor.operation(), &self.identity, &self.region)
    }
}

/// Sends an SDK request with the call's auditor, and translates what goes wrong.
macro_rules! send {
    ($call:expr, $request:expr) => {
        $request.customize().interceptor($call.attempts()).send().await.map_err(|error| $call.failure(error))
    };
}
pub(crate) use send;

/// Sends a request that must not be repeated blindly: only a throttled one, which the service did not act on, is sent again.
macro_rules! send_once {
    ($call:expr, $sdk:ident, $request:expr) => {
        send_once!($call, $sdk, $request, aws_smithy_types::timeout::TimeoutConfig::builder().build())
    };
    ($call:expr, $sdk:ident, $request:expr, $timeouts:expr) => {{
        let (request, auditor, timeouts) = ($request, $call.attempts(), $timeouts);
        let mut tries = 0;
        loop {
            tries += 1;
            let once = $sdk::config::Builder::new()
                .retry_config(aws_smithy_types::retry::RetryConfig::disabled())
                .timeout_config(timeouts.clone());
            let sent = request.clone().customize().config_override(once).interceptor(auditor.clone()).send().await;
            match sent.map_err(|error| $call.failure(error)) {
                Err(failure) if failure.reason == outrigger_door::Reason::Throttled && tries < $call.most_tries() => {
                    tokio::time::sleep(crate::aws::back_off(tries)).await;
                }
                answer => break answer,
            }
        }
    }};
}
pub(crate) use send_once;

/// How long to wait before try `tries` + 1 of a throttled request: half a second, doubling up to 20 seconds.
fn back_off(tries: u32) -> std::time::Duration {
    std::time::Duration::from_millis(250_u64 << tries.min(6)).min(std::time::Duration::from_secs(20))
}

/// Where a region is missing.
const NO_REGION: &str = "no region is configured: set `region` in the step, `[aws] region` in project.toml or outrigger.toml, or \
                         AWS_REGION in the environment";

impl StepState {
    /// Passes an AWS call through the door.
    pub(crate) async fn call_aws<I, O, F, Fut>(
        &mut self,
        operation: &'static Operation,
        credentials: &Resource<CredentialsHandle>,
        resources: Vec<String>,
        input: I,
        perform: F,
    ) -> wasmtime::Result<Result<O, types::Failure>>
    where
        I: Serialize,
        O: Serialize + DeserializeOwned,
        F: FnOnce(AwsCall, I) -> Fut,
        Fut: Future<Output = Result<O, Failure>>,
    {
        self.check_entered(operation.function)?;
        let handle = self.table.get(credentials)?.clone();
        // GetCallerIdentity must work on a machine without any configuration.
        let region = handle.region.clone().or_else(|| (operation.service == "sts").then(|| "us-east-1".to_owned()));
        let identity = handle.identity.clone();
        let target = Target {
            region: region.clone(),
            account: identity.as_ref().and_then(|identity| identity.account.clone()),
            principal: identity.as_ref().and_then(|identity| identity.principal.clone()),
            resources,
        };
        let context = &self.context;
        let (clients, workspace, sink) = (context.clients.clone(), context.workspace.clone(), context.sink.clone());
        let door = context.door.clone();
        let answer = door
            .call(operation, target, input, |passage, input| async move {
                let Some(identity) = identity else {
                    return Err(Failure::new(Reason::Internal, "a replay has no credentials to call with"));
                };
                let Some(region) = region else {
                    return Err(Failure::new(Reason::InvalidInput, NO_REGION).with_code("NoRegion"));
                };
                perform(AwsCall { identity, clients, region, passage, workspace, sink }, input).await
            })
            .await?;
        Ok(answer.map_err(Into::into))
    }
}
