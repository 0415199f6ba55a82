//! Amazon EC2.

use aws_sdk_ec2::types as sdk;
use aws_smithy_types::DateTime;
use outrigger_door::Failure;

use super::{AwsCall, send};
use crate::bindings::outrigger::aws_ec2::instances::{
    DescribeInstanceStatusInput, DescribeInstanceStatusOutput, DescribeInstancesInput, DescribeInstancesOutput, Filter,
    Instance, InstanceStateChange, InstanceStatus, StartInstancesInput, StartInstancesOutput, StopInstancesInput,
    StopInstancesOutput, Tag,
};

/// Milliseconds since 1970; times before that are none of AWS's.
pub(super) fn milliseconds(time: &DateTime) -> u64 {
    time.to_millis().ok().and_then(|milliseconds| u64::try_from(milliseconds).ok()).unwrap_or_default()
}

/// An empty list means "all" to AWS only when the member is left out.
pub(super) fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn state_name(state: Option<&sdk::InstanceState>) -> String {
    state.and_then(|state| state.name.as_ref()).map(|name| name.as_str().to_owned()).unwrap_or_default()
}

fn state_change(change: sdk::InstanceStateChange) -> InstanceStateChange {
    InstanceStateChange {
        previous_state: state_name(change.previous_state.as_ref()),
        current_state: state_name(change.current_state.as_ref()),
        instance_id: change.instance_id.unwrap_or_default(),
    }
}

fn filters(filters: Vec<Filter>) -> Option<Vec<sdk::Filter>> {
    some_list(
        filters
            .into_iter()
            .map(|filter| sdk::Filter::builder().name(filter.name).set_values(Some(filter.values)).build())
            .collect(),
    )
}

fn instance(instance: sdk::Instance) -> Instance {
    let (state_reason_code, state_reason_message) =
        instance.state_reason.map(|reason| (reason.code, reason.message)).unwrap_or_default();
    Instance {
        state: state_name(instance.state.as_ref()),
        state_reason_code,
        state_reason_message,
        instance_id: instance.instance_id.unwrap_or_default(),
        image_id: instance.image_id,
        instance_type: instance.instance_type.map(|kind| kind.as_str().to_owned()),
        architecture: instance.architecture.map(|architecture| architecture.as_str().to_owned()),
        platform: instance.platform.map(|platform| platform.as_str().to_owned()),
        key_name: instance.key_name,
        launch_time: instance.launch_time.as_ref().map(milliseconds),
        private_ip_address: instance.private_ip_address,
        private_dns_name: instance.private_dns_name.filter(|name| !name.is_empty()),
        public_ip_address: instance.public_ip_address,
        public_dns_name: instance.public_dns_name.filter(|name| !name.is_empty()),
        subnet_id: instance.subnet_id,
        vpc_id: instance.vpc_id,
        availability_zone: instance.placement.and_then(|placement| placement.availability_zone),
        tags: instance
            .tags
            .unwrap_or_default()
            .into_iter()
            .map(|tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() })
            .collect(),
    }
}

/// StartInstances.
pub async fn start_instances(call: AwsCall, input: StartInstancesInput) -> Result<StartInstancesOutput, Failure> {
    let output = send!(call, call.ec2().start_instances().set_instance_ids(Some(input.instance_ids)))?;
    let changes = output.starting_instances.unwrap_or_default();
    Ok(StartInstancesOutput { starting_instances: changes.into_iter().map(state_change).collect() })
}

/// StopInstances.
pub async fn stop_instances(call: AwsCall, input: StopInstancesInput) -> Result<StopInstancesOutput, Failure> {
    let request = call
        .ec2()
        .stop_instances()
        .set_instance_ids(Some(input.instance_ids))
        .set_force(input.force)
        .set_hibernate(input.hibernate);
    let output = send!(call, request)?;
    let changes = output.stopping_instances.unwrap_or_default();
    Ok(StopInstancesOutput { stopping_instances: changes.into_iter().map(state_change).collect() })
}

/// DescribeInstances, one page.
pub async fn describe_instances(
    call: AwsCall,
    input: DescribeInstancesInput,
) -> Result<DescribeInstancesOutput, Failure> {
    let request = call
        .ec2()
        .describe_instances()
        .set_instance_ids(some_list(input.instance_ids))
        .set_filters(filters(input.filters))
        .set_max_results(input.max_results)
        .set_next_token(input.next_token);
    let output = send!(call, request)?;
    let instances = output
        .reservations
        .unwrap_or_default()
        .into_iter()
        .flat_map(|reservation| reservation.instances.unwrap_or_default())
        .map(instance)
        .collect();
    Ok(DescribeInstancesOutput { instances, next_token: output.next_token.filter(|token| !token.is_empty()) })
}

/// DescribeInstanceStatus, one page.
pub async fn describe_instance_status(
    call: AwsCall,
    input: DescribeInstanceStatusInput,
) -> Result<DescribeInstanceStatusOutput, Failure> {
    let request = call
        .ec2()
        .describe_instance_status()
        .set_instance_ids(some_list(input.instance_ids))
        .include_all_instances(input.include_all_instances)
        .set_max_results(input.max_results)
        .set_next_token(input.next_token);
    let output = send!(call, request)?;
    let summary = |status: Option<sdk::InstanceStatusSummary>| {
        status.and_then(|status| status.status).map(|status| status.as_str().to_owned()).unwrap_or_default()
    };
    let instance_statuses = output
        .instance_statuses
        .unwrap_or_default()
        .into_iter()
        .map(|status| InstanceStatus {
            state: state_name(status.instance_state.as_ref()),
            instance_id: status.instance_id.unwrap_or_default(),
            instance_status: summary(status.instance_status),
            system_status: summary(status.system_status),
        })
        .collect();
    Ok(DescribeInstanceStatusOutput {
        instance_statuses,
        next_token: output.next_token.filter(|token| !token.is_empty()),
    })
}
