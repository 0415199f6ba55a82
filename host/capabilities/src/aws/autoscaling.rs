//! Amazon EC2 Auto Scaling.

use aws_sdk_autoscaling::types as sdk;
use outrigger_door::Failure;

use super::ec2::some_list;
use super::{AwsCall, send, send_once};
use crate::bindings::outrigger::aws_autoscaling::groups::{
    AutoScalingGroup, DescribeAutoScalingGroupsInput, DescribeAutoScalingGroupsOutput, DescribeInstanceRefreshesInput,
    DescribeInstanceRefreshesOutput, Instance, InstanceRefresh, InstanceRefreshOutput, ScalingProcessQuery,
    SetDesiredCapacityInput, StartInstanceRefreshInput, UpdateAutoScalingGroupInput,
};

fn group(group: sdk::AutoScalingGroup) -> AutoScalingGroup {
    AutoScalingGroup {
        auto_scaling_group_name: group.auto_scaling_group_name.unwrap_or_default(),
        auto_scaling_group_arn: group.auto_scaling_group_arn,
        min_size: group.min_size.unwrap_or_default(),
        max_size: group.max_size.unwrap_or_default(),
        desired_capacity: group.desired_capacity.unwrap_or_default(),
        default_cooldown: group.default_cooldown,
        instances: group
            .instances
            .unwrap_or_default()
            .into_iter()
            .map(|instance| Instance {
                instance_id: instance.instance_id.unwrap_or_default(),
                lifecycle_state: instance.lifecycle_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
                health_status: instance.health_status.unwrap_or_default(),
                availability_zone: instance.availability_zone.unwrap_or_default(),
            })
            .collect(),
        suspended_processes: group
            .suspended_processes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|process| process.process_name)
            .collect(),
        status: group.status,
    }
}

/// DescribeAutoScalingGroups, one page.
pub async fn describe_auto_scaling_groups(
    call: AwsCall,
    input: DescribeAutoScalingGroupsInput,
) -> Result<DescribeAutoScalingGroupsOutput, Failure> {
    let request = call
        .autoscaling()
        .describe_auto_scaling_groups()
        .set_auto_scaling_group_names(some_list(input.auto_scaling_group_names))
        .set_max_records(input.max_records)
        .set_next_token(input.next_token);
    let output = send!(call, request)?;
    Ok(DescribeAutoScalingGroupsOutput {
        auto_scaling_groups: output.auto_scaling_groups.unwrap_or_default().into_iter().map(group).collect(),
        next_token: output.next_token.filter(|token| !token.is_empty()),
    })
}

/// UpdateAutoScalingGroup.
pub async fn update_auto_scaling_group(call: AwsCall, input: UpdateAutoScalingGroupInput) -> Result<(), Failure> {
    let request = call
        .autoscaling()
        .update_auto_scaling_group()
        .auto_scaling_group_name(input.auto_scaling_group_name)
        .set_min_size(input.min_size)
        .set_max_size(input.max_size)
        .set_desired_capacity(input.desired_capacity)
        .set_default_cooldown(input.default_cooldown);
    send!(call, request).map(drop)
}

/// SetDesiredCapacity.
pub async fn set_desired_capacity(call: AwsCall, input: SetDesiredCapacityInput) -> Result<(), Failure> {
    let request = call
        .autoscaling()
        .set_desired_capacity()
        .auto_scaling_group_name(input.auto_scaling_group_name)
        .desired_capacity(input.desired_capacity)
        .set_honor_cooldown(input.honor_cooldown);
    send!(call, request).map(drop)
}

/// SuspendProcesses.
pub async fn suspend_processes(call: AwsCall, input: ScalingProcessQuery) -> Result<(), Failure> {
    let request = call
        .autoscaling()
        .suspend_processes()
        .auto_scaling_group_name(input.auto_scaling_group_name)
        .set_scaling_processes(some_list(input.scaling_processes));
    send!(call, request).map(drop)
}

/// ResumeProcesses.
pub async fn resume_processes(call: AwsCall, input: ScalingProcessQuery) -> Result<(), Failure> {
    let request = call
        .autoscaling()
        .resume_processes()
        .auto_scaling_group_name(input.auto_scaling_group_name)
        .set_scaling_processes(some_list(input.scaling_processes));
    send!(call, request).map(drop)
}

/// StartInstanceRefresh.
pub async fn start_instance_refresh(
    call: AwsCall,
    input: StartInstanceRefreshInput,
) -> Result<InstanceRefreshOutput, Failure> {
    let preferences = sdk::RefreshPreferences::builder()
        .set_min_healthy_percentage(input.min_healthy_percentage)
        .set_instance_warmup(input.instance_warmup)
        .set_skip_matching(input.skip_matching)
        .build();
    let request = call
        .autoscaling()
        .start_instance_refresh()
        .auto_scaling_group_name(input.auto_scaling_group_name)
        .preferences(preferences);
    let output = send_once!(call, aws_sdk_autoscaling, request)?;
    Ok(InstanceRefreshOutput { instance_refresh_id: output.instance_refresh_id })
}

/// DescribeInstanceRefreshes, one page.
pub async fn describe_instance_refreshes(
    call: AwsCall,
    input: DescribeInstanceRefreshesInput,
) -> Result<DescribeInstanceRefreshesOutput, Failure> {
    let request = call
        .autoscaling()
        .describe_instance_refreshes()
        .auto_scaling_group_name(input.auto_scaling_group_name)
        .set_instance_refresh_ids(some_list(input.instance_refresh_ids))
        .set_max_records(input.max_records)
        .set_next_token(input.next_token);
    let output = send!(call, request)?;
    Ok(DescribeInstanceRefreshesOutput {
        instance_refreshes: output
            .instance_refreshes
            .unwrap_or_default()
            .into_iter()
            .map(|refresh| InstanceRefresh {
                instance_refresh_id: refresh.instance_refresh_id.unwrap_or_default(),
                status: refresh.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
                status_reason: refresh.status_reason,
                percentage_complete: refresh.percentage_complete,
                instances_to_update: refresh.instances_to_update,
            })
            .collect(),
        next_token: output.next_token.filter(|token| !token.is_empty()),
    })
}

/// CancelInstanceRefresh.
pub async fn cancel_instance_refresh(
    call: AwsCall,
    auto_scaling_group_name: String,
) -> Result<InstanceRefreshOutput, Failure> {
    let request = call.autoscaling().cancel_instance_refresh().auto_scaling_group_name(auto_scaling_group_name);
    let output = send!(call, request)?;
    Ok(InstanceRefreshOutput { instance_refresh_id: output.instance_refresh_id })
}
