//! AWS / VM / Start.

use outrigger_plugin_sdk::aws::instances::{self, InstanceOutputs, StartGoal};
use outrigger_plugin_sdk::aws::{AwsConnection, credentials, ec2};
use outrigger_plugin_sdk::prelude::*;

/// Starts EC2 instances.
pub struct Start;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Id of the instance; several with commas.
    #[schemars(title = "Instance ID", example = "i-0123456789abcdef0")]
    pub instance_id: CommaList,
    /// Wait until the instances run.
    #[serde(default = "yes")]
    #[schemars(title = "Wait", extend("x-outrigger-group" = "Waiting"))]
    pub wait: bool,
    /// What to wait for: `running`, or `status-ok` for both status checks.
    #[serde(default)]
    #[schemars(title = "Wait for", extend("x-outrigger-group" = "Waiting"))]
    pub wait_for: StartGoal,
    /// How long to wait.
    #[serde(flatten)]
    pub polling: Polling<600>,
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

impl JobStep for Start {
    const PROVIDER: &'static str = "aws-vm-start-step";
    const TITLE: &'static str = "AWS / VM / Start";
    const SUMMARY: &'static str = "Starts EC2 instances and waits until they run. One that runs already is no failure.";
    type Input = Input;
    type Outputs = InstanceOutputs;

    fn run(input: Input) -> Result<(), Failure> {
        let aws = credentials()?;
        let ids = instances::instance_ids("instanceId", &input.instance_id)?;
        let started = ec2::start_instances(&aws, &ec2::StartInstancesInput { instance_ids: ids.clone() })?;
        instances::log_changes(&started.starting_instances);
        if input.wait {
            let waiter = Waiter::new(format!("{} to start", ids.join(", "))).polling(&input.polling);
            instances::wait(&aws, &ids, input.wait_for.into(), waiter)?;
        }
        outputs(&instances::report(&aws, &ids, &started.starting_instances)?)
    }
}

outrigger_plugin_sdk::export_job_step!(Start);
