//! AWS Systems Manager, Run Command.

use aws_sdk_ssm::types as sdk;
use outrigger_door::{Failure, Reason};

use super::ec2::some_list;
use super::{AwsCall, send, send_once};
use crate::bindings::outrigger::aws_ssm::commands::{
    Command, CommandInvocation, DescribeInstanceInformationInput, DescribeInstanceInformationOutput,
    GetCommandInvocationInput, GetCommandInvocationOutput, InstanceInformation, ListCommandInvocationsInput,
    ListCommandInvocationsOutput, SendCommandInput, Target,
};

fn targets(targets: Vec<Target>) -> Option<Vec<sdk::Target>> {
    some_list(
        targets
            .into_iter()
            .map(|target| sdk::Target::builder().key(target.key).set_values(Some(target.values)).build())
            .collect(),
    )
}

fn command(command: sdk::Command) -> Command {
    Command {
        command_id: command.command_id.unwrap_or_default(),
        status: command.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        status_details: command.status_details,
        target_count: command.target_count,
        completed_count: command.completed_count,
        error_count: command.error_count,
    }
}

/// SendCommand.
pub async fn send_command(call: AwsCall, input: SendCommandInput) -> Result<Command, Failure> {
    let cloud_watch = input.cloud_watch_log_group_name.map(|group| {
        sdk::CloudWatchOutputConfig::builder()
            .cloud_watch_log_group_name(group)
            .cloud_watch_output_enabled(true)
            .build()
    });
    let parameters =
        input.parameters.into_iter().map(|parameter| (parameter.name, parameter.values)).collect::<Vec<_>>();
    let request = call
        .ssm()
        .send_command()
        .document_name(input.document_name)
        .set_document_version(input.document_version)
        .set_instance_ids(some_list(input.instance_ids))
        .set_targets(targets(input.targets))
        .set_parameters((!parameters.is_empty()).then(|| parameters.into_iter().collect()))
        .set_comment(input.comment)
        .set_timeout_seconds(input.timeout_seconds)
        .set_max_concurrency(input.max_concurrency)
        .set_max_errors(input.max_errors)
        .set_output_s3_bucket_name(input.output_s3_bucket_name)
        .set_output_s3_key_prefix(input.output_s3_key_prefix)
        .set_cloud_watch_output_config(cloud_watch);
    let output = send_once!(call, aws_sdk_ssm, request)?;
    output
        .command
        .map(command)
        .ok_or_else(|| Failure::new(Reason::Remote, "ssm:SendCommand gave no command in its answer"))
}

/// ListCommandInvocations, one page.
pub async fn list_command_invocations(
    call: AwsCall,
    input: ListCommandInvocationsInput,
) -> Result<ListCommandInvocationsOutput, Failure> {
    let request = call
        .ssm()
        .list_command_invocations()
        .command_id(input.command_id)
        .set_max_results(input.max_results)
        .set_next_token(input.next_token);
    let output = send!(call, request)?;
    Ok(ListCommandInvocationsOutput {
        command_invocations: output
            .command_invocations
            .unwrap_or_default()
            .into_iter()
            .map(|invocation| CommandInvocation {
                command_id: invocation.command_id.unwrap_or_default(),
                instance_id: invocation.instance_id.unwrap_or_default(),
                instance_name: invocation.instance_name.filter(|name| !name.is_empty()),
                status: invocation.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
                status_details: invocation.status_details,
            })
            .collect(),
        next_token: output.next_token.filter(|token| !token.is_empty()),
    })
}

/// GetCommandInvocation.
pub async fn get_command_invocation(
    call: AwsCall,
    input: GetCommandInvocationInput,
) -> Result<GetCommandInvocationOutput, Failure> {
    let request = call
        .ssm()
        .get_command_invocation()
        .command_id(input.command_id)
        .instance_id(input.instance_id)
        .set_plugin_name(input.plugin_name);
    let output = send!(call, request)?;
    Ok(GetCommandInvocationOutput {
        status: output.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        status_details: output.status_details,
        response_code: output.response_code,
        standard_output_content: output.standard_output_content.unwrap_or_default(),
        standard_error_content: output.standard_error_content.unwrap_or_default(),
        standard_output_url: output.standard_output_url.filter(|url| !url.is_empty()),
        standard_error_url: output.standard_error_url.filter(|url| !url.is_empty()),
        plugin_name: output.plugin_name,
    })
}

/// CancelCommand.
pub async fn cancel_command(call: AwsCall, command_id: String) -> Result<(), Failure> {
    send!(call, call.ssm().cancel_command().command_id(command_id)).map(drop)
}

/// DescribeInstanceInformation, one page.
pub async fn describe_instance_information(
    call: AwsCall,
    input: DescribeInstanceInformationInput,
) -> Result<DescribeInstanceInformationOutput, Failure> {
    let filters = input
        .filters
        .into_iter()
        .map(|filter| {
            sdk::InstanceInformationStringFilter::builder()
                .key(filter.key)
                .set_values(Some(filter.values))
                .build()
                .map_err(|error| Failure::new(Reason::InvalidInput, error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let request = call
        .ssm()
        .describe_instance_information()
        .set_filters(some_list(filters))
        .set_max_results(input.max_results)
        .set_next_token(input.next_token);
    let output = send!(call, request)?;
    Ok(DescribeInstanceInformationOutput {
        instance_information_list: output
            .instance_information_list
            .unwrap_or_default()
            .into_iter()
            .map(|information| InstanceInformation {
                instance_id: information.instance_id.unwrap_or_default(),
                ping_status: information.ping_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
                platform_type: information.platform_type.map(|kind| kind.as_str().to_owned()),
                agent_version: information.agent_version,
                computer_name: information.computer_name,
            })
            .collect(),
        next_token: output.next_token.filter(|token| !token.is_empty()),
    })
}
