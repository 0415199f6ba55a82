//! AWS / VM / Stop.

use outrigger_plugin_sdk::aws::instances::{self, Goal, InstanceOutputs};
use outrigger_plugin_sdk::aws::{AwsConnection, credentials, ec2};
use outrigger_plugin_sdk::prelude::*;

/// Stops EC2 instances.
pub struct Stop;

/// What the wait waits for.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitFor {
    /// The state `stopped`.
    #[default]
    Stopped,
}

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Id of the instance; several with commas.
    #[schemars(title = "Instance ID", example = "i-0123456789abcdef0")]
    pub instance_id: CommaList,
    /// Stop without giving the system a chance to flush its file system caches.
    #[serde(default)]
    #[schemars(title = "Force", extend("x-outrigger-group" = "Advanced"))]
    pub force: bool,
    /// Hibernate, where the instances were launched for it.
    #[serde(default)]
    #[schemars(title = "Hibernate", extend("x-outrigger-group" = "Advanced"))]
    pub hibernate: bool,
    /// Wait until the instances are stopped.
    #[serde(default = "yes")]
    #[schemars(title = "Wait", extend("x-outrigger-group" = "Waiting"))]
    pub wait: bool,
    /// What to wait for.
    #[serde(default)]
    #[schemars(title = "Wait for", extend("x-outrigger-group" = "Waiting"))]
    pub wait_for: WaitFor,
    /// How long to wait.
    #[serde(flatten)]
    pub polling: Polling<600>,
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

impl JobStep for Stop {
    const PROVIDER: &'static str = "aws-vm-stop-step";
    const TITLE: &'static str = "AWS / VM / Stop";
    const SUMMARY: &'static str =
        "Stops EC2 instances and waits until they are stopped. One that is stopped already is no failure.";
    type Input = Input;
    type Outputs = InstanceOutputs;

    fn run(input: Input) -> Result<(), Failure> {
        let aws = credentials()?;
        let ids = instances::instance_ids("instanceId", &input.instance_id)?;
        // Absent rather than false: EC2 takes a plain stop from images that know nothing of hibernation.
        let request = ec2::StopInstancesInput {
            instance_ids: ids.clone(),
            force: input.force.then_some(true),
            hibernate: input.hibernate.then_some(true),
        };
        let stopped = ec2::stop_instances(&aws, &request)?;
        instances::log_changes(&stopped.stopping_instances);
        if input.wait {
            let WaitFor::Stopped = input.wait_for;
            let waiter = Waiter::new(format!("{} to stop", ids.join(", "))).polling(&input.polling);
            instances::wait(&aws, &ids, Goal::Stopped, waiter)?;
        }
        outputs(&instances::report(&aws, &ids, &stopped.stopping_instances)?)
    }
}

outrigger_plugin_sdk::export_job_step!(Stop);
