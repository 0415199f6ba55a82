//! What steps that change the state of EC2 instances share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Credentials;
use super::ec2::{
    self, DescribeInstanceStatusInput, DescribeInstancesInput, Instance, InstanceStateChange, InstanceStatus,
};
use crate::{CommaList, Failure, Poll, Table, Waiter, info};

/// Ids that one call takes, by the API reference of StartInstances and StopInstances.
const MOST_IDS: usize = 1_000;

/// What instances shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// In the state `running`.
    Running,
    /// Running, and both status checks passed.
    StatusOk,
    /// In the state `stopped`.
    Stopped,
}

/// What a step that starts instances waits for, as an input field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartGoal {
    /// The state `running`.
    #[default]
    Running,
    /// Running, and both status checks passed.
    StatusOk,
}

impl From<StartGoal> for Goal {
    fn from(goal: StartGoal) -> Self {
        match goal {
            StartGoal::Running => Self::Running,
            StartGoal::StatusOk => Self::StatusOk,
        }
    }
}

/// An instance in the outputs of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceOutput {
    /// Instance id.
    pub instance_id: String,
    /// State before the step.
    pub previous_state: String,
    /// State after the step.
    pub current_state: String,
    /// Public DNS name.
    pub public_dns_name: Option<String>,
    /// Public IPv4 address.
    pub public_ip_address: Option<String>,
    /// Private IPv4 address.
    pub private_ip_address: Option<String>,
}

/// Outputs of a step that changes the state of instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceOutputs {
    /// All instances.
    pub instances: Vec<InstanceOutput>,
    /// Ids of all instances.
    pub instance_ids: Vec<String>,
    /// The members of the first instance, for steps that name one only.
    #[serde(flatten)]
    pub first: InstanceOutput,
}

/// The ids of an input field, each one once.
///
/// # Errors
/// `invalid-input` where there are none, too many, or one that is no instance id.
pub fn instance_ids(field: &str, ids: &CommaList) -> Result<Vec<String>, Failure> {
    let ids = ids.distinct();
    if ids.is_empty() || ids.len() > MOST_IDS {
        return Err(Failure::invalid_input(format!("`{field}` has {} instance ids: give 1 to {MOST_IDS}", ids.len())));
    }
    match ids.iter().find(|id| !is_instance_id(id)) {
        Some(id) => Err(Failure::invalid_input(format!(
            "`{field}` has `{id}`, which is no instance id: they look like `i-0123456789abcdef0`"
        ))),
        None => Ok(ids),
    }
}

fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Describes the instances with these ids.
///
/// # Errors
/// What DescribeInstances gives.
pub fn describe(credentials: &Credentials, ids: &[String]) -> Result<Vec<Instance>, Failure> {
    let input =
        DescribeInstancesInput { instance_ids: ids.to_vec(), filters: Vec::new(), max_results: None, next_token: None };
    Ok(ec2::describe_instances(credentials, &input)?.instances)
}

/// Writes what a call changed.
pub fn log_changes(changes: &[InstanceStateChange]) {
    for change in changes {
        let (id, before, now) = (&change.instance_id, &change.previous_state, &change.current_state);
        if before == now {
            info!("{id}: {now} already");
        } else {
            info!("{id}: {before} -> {now}");
        }
    }
}

/// Waits until all instances are what they shall be.
///
/// # Errors
/// `conflict` when one gets into a state from which it cannot, with AWS's reason; otherwise what the waiter gives.
pub fn wait(credentials: &Credentials, ids: &[String], goal: Goal, waiter: Waiter<'_>) -> Result<(), Failure> {
    let mut progress = Progress::default();
    waiter.until(|| {
        let instances = describe(credentials, ids)?;
        let statuses = match goal {
            Goal::StatusOk => statuses(credentials, ids)?,
            Goal::Running | Goal::Stopped => Vec::new(),
        };
        progress.look(ids, goal, &instances, &statuses)
    })
}

fn statuses(credentials: &Credentials, ids: &[String]) -> Result<Vec<InstanceStatus>, Failure> {
    let input = DescribeInstanceStatusInput {
        instance_ids: ids.to_vec(),
        include_all_instances: true,
        max_results: None,
        next_token: None,
    };
    Ok(ec2::describe_instance_status(credentials, &input)?.instance_statuses)
}

/// What was seen of the instances so far.
#[derive(Default)]
struct Progress {
    /// Ids of instances that were seen on the way to running: one that is stopped later did not come up.
    seen_starting: std::collections::BTreeSet<String>,
}

impl Progress {
    fn look(
        &mut self,
        ids: &[String],
        goal: Goal,
        instances: &[Instance],
        statuses: &[InstanceStatus],
    ) -> Result<Poll<()>, Failure> {
        let mut waiting = Vec::new();
        for id in ids {
            let Some(instance) = instances.iter().find(|instance| &instance.instance_id == id) else {
                waiting.push(format!("{id} not visible"));
                continue;
            };
            let state = instance.state.as_str();
            match (goal, state) {
                (_, "terminated" | "shutting-down") => return Err(lost(instance)),
                (Goal::Running, "running") | (Goal::Stopped, "stopped") => {}
                (Goal::StatusOk, "running") => match statuses.iter().find(|status| &status.instance_id == id) {
                    Some(status) if status.instance_status == "ok" && status.system_status == "ok" => {}
                    Some(status) => waiting.push(format!(
                        "{id} running, instance status {}, system status {}",
                        status.instance_status, status.system_status
                    )),
                    None => waiting.push(format!("{id} running, no status yet")),
                },
                // Right after the call a describe may still show `stopped`; after `pending` it means that the start failed.
                (Goal::Running | Goal::StatusOk, "stopped" | "stopping") if self.seen_starting.contains(id) => {
                    return Err(lost(instance));
                }
                _ => {
                    if state == "pending" {
                        self.seen_starting.insert(id.clone());
                    }
                    waiting.push(format!("{id} {state}"));
                }
            }
        }
        Ok(if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending(waiting.join(", ")) })
    }
}

fn lost(instance: &Instance) -> Failure {
    let why = instance.state_reason_message.as_deref().or(instance.state_reason_code.as_deref());
    let failure = Failure::conflict(format!(
        "instance {} is {} and does not come back by itself: {}",
        instance.instance_id,
        instance.state,
        why.unwrap_or("AWS gives no reason")
    ));
    match &instance.state_reason_code {
        Some(code) => failure.with_code(code.as_str()),
        None => failure,
    }
}

/// The outputs after a change, in the order of `ids`, and a table of them in the log.
///
/// # Errors
/// What DescribeInstances gives.
pub fn report(
    credentials: &Credentials,
    ids: &[String],
    changes: &[InstanceStateChange],
) -> Result<InstanceOutputs, Failure> {
    let outputs = outputs(ids, changes, &describe(credentials, ids)?);
    let mut table = Table::new(["instance", "before", "now", "public DNS name", "private address"]);
    for instance in &outputs.instances {
        table.row([
            instance.instance_id.as_str(),
            &instance.previous_state,
            &instance.current_state,
            instance.public_dns_name.as_deref().unwrap_or("-"),
            instance.private_ip_address.as_deref().unwrap_or("-"),
        ]);
    }
    table.print();
    Ok(outputs)
}

fn outputs(ids: &[String], changes: &[InstanceStateChange], instances: &[Instance]) -> InstanceOutputs {
    let named = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let output = |id: &String| {
        let change = changes.iter().find(|change| &change.instance_id == id);
        let instance = instances.iter().find(|instance| &instance.instance_id == id);
        let before = change.map(|change| change.previous_state.clone()).unwrap_or_default();
        let now = instance.map(|instance| &instance.state).or(change.map(|change| &change.current_state));
        InstanceOutput {
            instance_id: id.clone(),
            previous_state: before,
            current_state: now.cloned().unwrap_or_default(),
            public_dns_name: instance.and_then(|instance| named(&instance.public_dns_name)),
            public_ip_address: instance.and_then(|instance| named(&instance.public_ip_address)),
            private_ip_address: instance.and_then(|instance| named(&instance.private_ip_address)),
        }
    };
    let instances: Vec<InstanceOutput> = ids.iter().map(output).collect();
    let first = instances.first().cloned().unwrap_or_default();
    InstanceOutputs { instances, instance_ids: ids.to_vec(), first }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, state: &str) -> Instance {
        Instance {
            instance_id: id.to_owned(),
            state: state.to_owned(),
            state_reason_code: Some("Client.InternalError".to_owned()),
            state_reason_message: None,
            image_id: None,
            instance_type: None,
            architecture: None,
            platform: None,
            key_name: None,
            launch_time: None,
            private_ip_address: Some("10.0.0.1".to_owned()),
            private_dns_name: None,
            public_ip_address: None,
            public_dns_name: Some(String::new()),
            subnet_id: None,
            vpc_id: None,
            availability_zone: None,
            tags: Vec::new(),
        }
    }

    fn ids(text: &str) -> Vec<String> {
        CommaList::parse(text).to_vec()
    }

    #[test]
    fn ids_are_checked() {
        assert_eq!(instance_ids("instanceId", &CommaList::parse("i-1,i-2,i-1")).unwrap(), ["i-1", "i-2"]);
        assert!(instance_ids("instanceId", &CommaList::default()).is_err());
        assert!(instance_ids("instanceId", &CommaList::parse("web-1")).unwrap_err().message.contains("`web-1`"));
    }

    #[test]
    fn a_stale_look_is_not_the_end_but_a_fall_back_is() {
        let ids = ids("i-1");
        let mut progress = Progress::default();
        let mut look = |state| progress.look(&ids, Goal::Running, &[instance("i-1", state)], &[]);
        assert_eq!(look("stopped").unwrap(), Poll::Pending("i-1 stopped".to_owned()));
        assert_eq!(look("pending").unwrap(), Poll::Pending("i-1 pending".to_owned()));
        let failure = look("stopped").unwrap_err();
        assert!(failure.is("Client.InternalError"), "{failure:?}");
        assert!(look("terminated").is_err());
        assert_eq!(look("running").unwrap(), Poll::Ready(()));
    }

    #[test]
    fn all_instances_must_pass_both_checks() {
        let ids = ids("i-1,i-2");
        let instances = [instance("i-1", "running"), instance("i-2", "running")];
        let status = |id: &str, system: &str| InstanceStatus {
            instance_id: id.to_owned(),
            state: "running".to_owned(),
            instance_status: "ok".to_owned(),
            system_status: system.to_owned(),
        };
        let mut progress = Progress::default();
        let mut look = |statuses: &[InstanceStatus]| progress.look(&ids, Goal::StatusOk, &instances, statuses).unwrap();
        assert!(matches!(look(&[status("i-1", "ok")]), Poll::Pending(_)));
        let seen = look(&[status("i-1", "ok"), status("i-2", "impaired")]);
        assert_eq!(seen, Poll::Pending("i-2 running, instance status ok, system status impaired".to_owned()));
        assert_eq!(look(&[status("i-1", "ok"), status("i-2", "ok")]), Poll::Ready(()));
    }

    #[test]
    fn outputs_follow_the_order_of_the_ids() {
        let changes = [InstanceStateChange {
            instance_id: "i-2".to_owned(),
            previous_state: "stopped".to_owned(),
            current_state: "pending".to_owned(),
        }];
        let outputs = outputs(&ids("i-2,i-1"), &changes, &[instance("i-1", "running")]);
        assert_eq!(outputs.first.current_state, "pending");
        assert_eq!(outputs.first.previous_state, "stopped");
        assert_eq!(outputs.instances[1].private_ip_address.as_deref(), Some("10.0.0.1"));
        assert_eq!(outputs.instances[1].public_dns_name, None);
    }
}
