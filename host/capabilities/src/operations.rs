//! The operation table: every function that a guest can import and that the door lets through, with what it does to the
//! world. For AWS operations the table also makes the host implementation.
//!
//! Actions and dependent actions follow the Service Authorization Reference ("Actions, resources, and condition keys for AWS
//! services").

use outrigger_door::{DependentAction, Effect, Operation};
use wasmtime::component::Resource;

use crate::aws::{athena, autoscaling, ec2, lambda, logs, s3_operations as s3, ssm, sts};
use crate::bindings::outrigger::step::types::Failure;
use crate::bindings::outrigger::{
    aws_athena, aws_autoscaling, aws_ec2, aws_lambda, aws_logs, aws_s3, aws_ssm, aws_sts,
};
use crate::state::{CredentialsHandle, StepState};

macro_rules! aws_operations {
    ($(
        $(#[$documentation:meta])*
        $table:ident: $service:literal in $interface:literal as $package:ident::$module:ident {
            $(
                $function:ident = $name:literal: $action:ident($($argument:ident: $input:ty)?) -> $output:ty
                {
                    effect: $effect:ident,
                    iam: [$($iam:literal),*]
                    $(, dependent: [$(($dependent:literal, $reason:literal, $source:literal)),+ $(,)?])?
                    $(, resources: $resources:expr)?
                    $(, clean_up: $clean_up:literal)?
                    $(,)?
                } => $call:path;
            )+
        }
    )+) => {
        /// The rows, by interface and function.
        pub mod rows {
            use super::{DependentAction, Effect, Operation};

            pub use super::host_rows::*;

            $(
                $(#[$documentation])*
                pub mod $table {
                    $(
                        #[doc = concat!("`", $interface, "#", $name, "`")]
                        #[expect(non_upper_case_globals, reason = "a row has the name of its function")]
                        pub static $function: super::Operation = super::Operation {
                            interface: $interface,
                            function: $name,
                            service: $service,
                            action: stringify!($action),
                            iam: &[$($iam),*],
                            dependent: &[$($(super::DependentAction { action: $dependent, reason: $reason, source: $source }),+)?],
                            effect: super::Effect::$effect,
                            clean_up: false $(|| $clean_up)?,
                        };
                    )+
                }
            )+

            /// Every AWS operation.
            pub static AWS: &[&Operation] = &[$($(&$table::$function,)+)+];
        }

        $(
            impl $package::$module::Host for StepState {
                $(
                    async fn $function(
                        &mut self,
                        credentials: Resource<CredentialsHandle>,
                        $($argument: $input,)?
                    ) -> wasmtime::Result<Result<$output, Failure>> {
                        let input = first!($($argument)?);
                        let resources = name_resources(&input, optional!($($resources)?));
                        self.call_aws(&rows::$table::$function, &credentials, resources, input, $call).await
                    }
                )+
            }
        )+
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! first {
    () => {
        ()
    };
    ($first:expr) => {
        $first
    };
}

/// What a call names, for the operator's grants and the audit.
fn name_resources<I>(input: &I, name: Option<fn(&I) -> Vec<String>>) -> Vec<String> {
    name.map(|name| name(input)).unwrap_or_default()
}

aws_operations! {
    /// AWS Security Token Service.
    sts_identity: "sts" in "outrigger:aws-sts/identity@0.1.0" as aws_sts::identity {
        get_caller_identity = "get-caller-identity": GetCallerIdentity() -> aws_sts::identity::GetCallerIdentityOutput {
            effect: Read, iam: [],
        } => sts::get_caller_identity;
    }

    /// Amazon EC2.
    ec2_instances: "ec2" in "outrigger:aws-ec2/instances@0.1.0" as aws_ec2::instances {
        start_instances = "start-instances": StartInstances(input: aws_ec2::instances::StartInstancesInput)
            -> aws_ec2::instances::StartInstancesOutput {
            effect: Idempotent, iam: ["ec2:StartInstances"],
            dependent: [(
                "kms:CreateGrant",
                "an instance with volumes that are encrypted with a customer managed key",
                "Amazon EBS User Guide, Requirements for Amazon EBS encryption"
            )],
            resources: |input: &aws_ec2::instances::StartInstancesInput| input.instance_ids.clone(),
        } => ec2::start_instances;
        stop_instances = "stop-instances": StopInstances(input: aws_ec2::instances::StopInstancesInput)
            -> aws_ec2::instances::StopInstancesOutput {
            effect: Idempotent, iam: ["ec2:StopInstances"],
            resources: |input: &aws_ec2::instances::StopInstancesInput| input.instance_ids.clone(),
        } => ec2::stop_instances;
        describe_instances = "describe-instances": DescribeInstances(input: aws_ec2::instances::DescribeInstancesInput)
            -> aws_ec2::instances::DescribeInstancesOutput {
            effect: Read, iam: ["ec2:DescribeInstances"],
        } => ec2::describe_instances;
        describe_instance_status = "describe-instance-status":
            DescribeInstanceStatus(input: aws_ec2::instances::DescribeInstanceStatusInput)
            -> aws_ec2::instances::DescribeInstanceStatusOutput {
            effect: Read, iam: ["ec2:DescribeInstanceStatus"],
        } => ec2::describe_instance_status;
    }

    /// Amazon EC2 Auto Scaling.
    autoscaling_groups: "autoscaling" in "outrigger:aws-autoscaling/groups@0.1.0" as aws_autoscaling::groups {
        describe_auto_scaling_groups = "describe-auto-scaling-groups":
            DescribeAutoScalingGroups(input: aws_autoscaling::groups::DescribeAutoScalingGroupsInput)
            -> aws_autoscaling::groups::DescribeAutoScalingGroupsOutput {
            effect: Read, iam: ["autoscaling:DescribeAutoScalingGroups"],
        } => autoscaling::describe_auto_scaling_groups;
        update_auto_scaling_group = "update-auto-scaling-group":
            UpdateAutoScalingGroup(input: aws_autoscaling::groups::UpdateAutoScalingGroupInput) -> () {
            effect: Idempotent, iam: ["autoscaling:UpdateAutoScalingGroup"],
            resources: |input: &aws_autoscaling::groups::UpdateAutoScalingGroupInput| vec![input.auto_scaling_group_name.clone()],
        } => autoscaling::update_auto_scaling_group;
        set_desired_capacity = "set-desired-capacity":
            SetDesiredCapacity(input: aws_autoscaling::groups::SetDesiredCapacityInput) -> () {
            effect: Idempotent, iam: ["autoscaling:SetDesiredCapacity"],
            resources: |input: &aws_autoscaling::groups::SetDesiredCapacityInput| vec![input.auto_scaling_group_name.clone()],
        } => autoscaling::set_desired_capacity;
        suspend_processes = "suspend-processes":
            SuspendProcesses(input: aws_autoscaling::groups::ScalingProcessQuery) -> () {
            effect: Idempotent, iam: ["autoscaling:SuspendProcesses"],
            resources: |input: &aws_autoscaling::groups::ScalingProcessQuery| vec![input.auto_scaling_group_name.clone()],
        } => autoscaling::suspend_processes;
        resume_processes = "resume-processes":
            ResumeProcesses(input: aws_autoscaling::groups::ScalingProcessQuery) -> () {
            effect: Idempotent, iam: ["autoscaling:ResumeProcesses"],
            resources: |input: &aws_autoscaling::groups::ScalingProcessQuery| vec![input.auto_scaling_group_name.clone()],
            clean_up: true,
        } => autoscaling::resume_processes;
        start_instance_refresh = "start-instance-refresh":
            StartInstanceRefresh(input: aws_autoscaling::groups::StartInstanceRefreshInput)
            -> aws_autoscaling::groups::InstanceRefreshOutput {
            effect: Unsafe, iam: ["autoscaling:StartInstanceRefresh"],
            resources: |input: &aws_autoscaling::groups::StartInstanceRefreshInput| vec![input.auto_scaling_group_name.clone()],
        } => autoscaling::start_instance_refresh;
        describe_instance_refreshes = "describe-instance-refreshes":
            DescribeInstanceRefreshes(input: aws_autoscaling::groups::DescribeInstanceRefreshesInput)
            -> aws_autoscaling::groups::DescribeInstanceRefreshesOutput {
            effect: Read, iam: ["autoscaling:DescribeInstanceRefreshes"],
        } => autoscaling::describe_instance_refreshes;
        cancel_instance_refresh = "cancel-instance-refresh": CancelInstanceRefresh(auto_scaling_group_name: String)
            -> aws_autoscaling::groups::InstanceRefreshOutput {
            effect: Idempotent, iam: ["autoscaling:CancelInstanceRefresh"],
            resources: |name: &String| vec![name.clone()],
            clean_up: true,
        } => autoscaling::cancel_instance_refresh;
    }

    /// Amazon S3, one request each.
    s3_objects: "s3" in "outrigger:aws-s3/objects@0.1.0" as aws_s3::objects {
        list_objects_v2 = "list-objects-v2": ListObjectsV2(input: aws_s3::objects::ListObjectsV2Input)
            -> aws_s3::objects::ListObjectsV2Output {
            effect: Read, iam: ["s3:ListBucket"],
            resources: |input: &aws_s3::objects::ListObjectsV2Input| vec![input.bucket.clone()],
        } => s3::list_objects_v2;
        head_object = "head-object": HeadObject(input: aws_s3::objects::HeadObjectInput)
            -> aws_s3::objects::HeadObjectOutput {
            effect: Read, iam: ["s3:GetObject"],
            dependent: [(
                "s3:ListBucket",
                "without it a missing object is AccessDenied and not NotFound",
                "Amazon S3 API Reference, HeadObject"
            )],
            resources: |input: &aws_s3::objects::HeadObjectInput| vec![format!("{}/{}", input.bucket, input.key)],
        } => s3::head_object;
        delete_objects = "delete-objects": DeleteObjects(input: aws_s3::objects::DeleteObjectsInput)
            -> aws_s3::objects::DeleteObjectsOutput {
            effect: Idempotent, iam: ["s3:DeleteObject"],
            resources: |input: &aws_s3::objects::DeleteObjectsInput|
                input.keys.iter().map(|key| format!("{}/{key}", input.bucket)).collect(),
        } => s3::delete_objects;
    }

    /// Amazon S3, transfers of many.
    s3_transfer: "s3" in "outrigger:aws-s3/transfer@0.1.0" as aws_s3::transfer {
        upload = "upload": PutObject(input: aws_s3::transfer::UploadInput) -> aws_s3::transfer::TransferOutput {
            effect: Idempotent, iam: ["s3:PutObject", "s3:AbortMultipartUpload"],
            dependent: [
                (
                    "kms:GenerateDataKey",
                    "a bucket or an upload that is encrypted with a customer managed key",
                    "Amazon S3 User Guide, Using server-side encryption with AWS KMS keys"
                ),
                (
                    "kms:Decrypt",
                    "an upload in parts to such a bucket",
                    "Amazon S3 User Guide, Uploading and copying objects using multipart upload"
                ),
                (
                    "s3:PutObjectAcl",
                    "an upload that sets an ACL",
                    "Amazon S3 User Guide, Required permissions for Amazon S3 API operations"
                ),
            ],
            resources: |input: &aws_s3::transfer::UploadInput|
                input.items.iter().map(|item| format!("{}/{}", input.bucket, item.key)).collect(),
        } => s3::upload;
        download = "download": GetObject(input: aws_s3::transfer::DownloadInput) -> aws_s3::transfer::TransferOutput {
            // It changes nothing in AWS, but it writes files of this machine, which a dry run must not.
            effect: Idempotent, iam: ["s3:GetObject"],
            dependent: [(
                "kms:Decrypt",
                "an object that is encrypted with a customer managed key",
                "Amazon S3 User Guide, Using server-side encryption with AWS KMS keys"
            )],
            resources: |input: &aws_s3::transfer::DownloadInput|
                input.items.iter().map(|item| format!("{}/{}", input.bucket, item.key)).collect(),
        } => s3::download;
        copy = "copy": CopyObject(input: aws_s3::transfer::CopyInput) -> aws_s3::transfer::TransferOutput {
            effect: Idempotent, iam: ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            dependent: [
                (
                    "s3:GetObjectTagging",
                    "a source that has tags",
                    "Amazon S3 API Reference, CopyObject"
                ),
                (
                    "s3:PutObjectTagging",
                    "a source that has tags",
                    "Amazon S3 API Reference, CopyObject"
                ),
                (
                    "kms:Decrypt",
                    "a source that is encrypted with a customer managed key",
                    "Amazon S3 User Guide, Using server-side encryption with AWS KMS keys"
                ),
                (
                    "kms:GenerateDataKey",
                    "a destination that is encrypted with a customer managed key",
                    "Amazon S3 User Guide, Using server-side encryption with AWS KMS keys"
                ),
                (
                    "s3:PutObjectAcl",
                    "a copy that sets an ACL",
                    "Amazon S3 User Guide, Required permissions for Amazon S3 API operations"
                ),
            ],
            resources: |input: &aws_s3::transfer::CopyInput| input
                .items
                .iter()
                .flat_map(|item| {
                    [format!("{}/{}", input.source_bucket, item.source_key), format!("{}/{}", input.bucket, item.key)]
                })
                .collect(),
        } => s3::copy;
    }

    /// AWS Systems Manager.
    ssm_commands: "ssm" in "outrigger:aws-ssm/commands@0.1.0" as aws_ssm::commands {
        send_command = "send-command": SendCommand(input: aws_ssm::commands::SendCommandInput)
            -> aws_ssm::commands::Command {
            effect: Unsafe, iam: ["ssm:SendCommand"],
            resources: |input: &aws_ssm::commands::SendCommandInput| {
                let mut names = vec![input.document_name.clone()];
                names.extend(input.instance_ids.iter().cloned());
                names
            },
        } => ssm::send_command;
        list_command_invocations = "list-command-invocations":
            ListCommandInvocations(input: aws_ssm::commands::ListCommandInvocationsInput)
            -> aws_ssm::commands::ListCommandInvocationsOutput {
            effect: Read, iam: ["ssm:ListCommandInvocations"],
        } => ssm::list_command_invocations;
        get_command_invocation = "get-command-invocation":
            GetCommandInvocation(input: aws_ssm::commands::GetCommandInvocationInput)
            -> aws_ssm::commands::GetCommandInvocationOutput {
            effect: Read, iam: ["ssm:GetCommandInvocation"],
        } => ssm::get_command_invocation;
        cancel_command = "cancel-command": CancelCommand(command_id: String) -> () {
            effect: Idempotent, iam: ["ssm:CancelCommand"],
            clean_up: true,
        } => ssm::cancel_command;
        describe_instance_information = "describe-instance-information":
            DescribeInstanceInformation(input: aws_ssm::commands::DescribeInstanceInformationInput)
            -> aws_ssm::commands::DescribeInstanceInformationOutput {
            effect: Read, iam: ["ssm:DescribeInstanceInformation"],
        } => ssm::describe_instance_information;
    }

    /// Amazon Athena.
    athena_queries: "athena" in "outrigger:aws-athena/queries@0.1.0" as aws_athena::queries {
        start_query_execution = "start-query-execution":
            StartQueryExecution(input: aws_athena::queries::StartQueryExecutionInput) -> String {
            effect: Token, iam: ["athena:StartQueryExecution"],
            dependent: [
                ("glue:GetDatabase", "the catalog that the query reads", "Amazon Athena User Guide, Access to AWS Glue"),
                ("glue:GetTable", "the catalog that the query reads", "Amazon Athena User Guide, Access to AWS Glue"),
                ("glue:GetTables", "the catalog that the query reads", "Amazon Athena User Guide, Access to AWS Glue"),
                ("glue:GetPartition", "the catalog that the query reads", "Amazon Athena User Guide, Access to AWS Glue"),
                ("glue:GetPartitions", "the catalog that the query reads", "Amazon Athena User Guide, Access to AWS Glue"),
                ("s3:GetObject", "the data, and the results", "Amazon Athena User Guide, Access to Amazon S3"),
                ("s3:ListBucket", "the data, and the results", "Amazon Athena User Guide, Access to Amazon S3"),
                ("s3:GetBucketLocation", "the results", "Amazon Athena User Guide, Access to Amazon S3"),
                ("s3:PutObject", "the results", "Amazon Athena User Guide, Access to Amazon S3"),
                ("s3:AbortMultipartUpload", "the results", "Amazon Athena User Guide, Access to Amazon S3"),
                ("s3:ListMultipartUploadParts", "the results", "Amazon Athena User Guide, Access to Amazon S3"),
                ("kms:Decrypt", "data or results that are encrypted with a customer managed key",
                    "Amazon Athena User Guide, Encryption at rest"),
                ("kms:GenerateDataKey", "results that are encrypted with a customer managed key",
                    "Amazon Athena User Guide, Encryption at rest"),
                ("lakeformation:GetDataAccess", "data that Lake Formation governs",
                    "AWS Lake Formation Developer Guide, Underlying data access control"),
            ],
            resources: |input: &aws_athena::queries::StartQueryExecutionInput| input.work_group.iter().cloned().collect(),
        } => athena::start_query_execution;
        get_query_execution = "get-query-execution": GetQueryExecution(query_execution_id: String)
            -> aws_athena::queries::QueryExecution {
            effect: Read, iam: ["athena:GetQueryExecution"],
        } => athena::get_query_execution;
        get_query_results = "get-query-results": GetQueryResults(input: aws_athena::queries::GetQueryResultsInput)
            -> aws_athena::queries::GetQueryResultsOutput {
            effect: Read, iam: ["athena:GetQueryResults"],
            dependent: [("s3:GetObject", "the results", "Amazon Athena API Reference, GetQueryResults")],
        } => athena::get_query_results;
        stop_query_execution = "stop-query-execution": StopQueryExecution(query_execution_id: String) -> () {
            effect: Idempotent, iam: ["athena:StopQueryExecution"],
            clean_up: true,
        } => athena::stop_query_execution;
    }

    /// Amazon CloudWatch Logs Insights.
    logs_queries: "logs" in "outrigger:aws-logs/queries@0.1.0" as aws_logs::queries {
        start_query = "start-query": StartQuery(input: aws_logs::queries::StartQueryInput) -> String {
            effect: Read, iam: ["logs:StartQuery"],
            dependent: [(
                "kms:Decrypt",
                "a log group that is encrypted with a customer managed key",
                "Amazon CloudWatch Logs User Guide, Encrypt log data using AWS KMS"
            )],
            resources: |input: &aws_logs::queries::StartQueryInput|
                input.log_group_names.iter().chain(&input.log_group_identifiers).cloned().collect(),
        } => logs::start_query;
        get_query_results = "get-query-results": GetQueryResults(query_id: String)
            -> aws_logs::queries::GetQueryResultsOutput {
            effect: Read, iam: ["logs:GetQueryResults"],
        } => logs::get_query_results;
        stop_query = "stop-query": StopQuery(query_id: String) -> () {
            effect: Idempotent, iam: ["logs:StopQuery"],
            clean_up: true,
        } => logs::stop_query;
    }

    /// Amazon CloudWatch Logs, events.
    logs_events: "logs" in "outrigger:aws-logs/events@0.1.0" as aws_logs::events {
        get_log_events = "get-log-events": GetLogEvents(input: aws_logs::events::GetLogEventsInput)
            -> aws_logs::events::GetLogEventsOutput {
            effect: Read, iam: ["logs:GetLogEvents"],
            resources: |input: &aws_logs::events::GetLogEventsInput| vec![input.log_group_name.clone()],
        } => logs::get_log_events;
    }

    /// AWS Lambda.
    lambda_functions: "lambda" in "outrigger:aws-lambda/functions@0.1.0" as aws_lambda::functions {
        invoke = "invoke": Invoke(input: aws_lambda::functions::InvokeInput) -> aws_lambda::functions::InvokeOutput {
            effect: Unsafe, iam: ["lambda:InvokeFunction"],
            resources: |input: &aws_lambda::functions::InvokeInput| vec![input.function_name.clone()],
        } => lambda::invoke;
    }
}

macro_rules! host_operations {
    ($(
        $(#[$documentation:meta])*
        $table:ident in $interface:literal { $($function:ident = $name:literal: $effect:ident;)+ }
    )+) => {
        mod host_rows {
            use super::{Effect, Operation};

            $(
                $(#[$documentation])*
                pub mod $table {
                    use super::{Effect, Operation};
                    $(
                        #[doc = concat!("`", $interface, "#", $name, "`")]
                        #[expect(non_upper_case_globals, reason = "a row has the name of its function")]
                        pub static $function: Operation = Operation {
                            interface: $interface,
                            function: $name,
                            service: "",
                            action: $name,
                            iam: &[],
                            dependent: &[],
                            effect: Effect::$effect,
                            clean_up: false,
                        };
                    )+
                }
            )+

            /// Every operation that is none of AWS's.
            pub static HOST: &[&Operation] = &[$($(&$table::$function,)+)+];
        }
    };
}

host_operations! {
    /// The clock.
    run_clock in "outrigger:run/clock@0.1.0" {
        now = "now": Read;
        sleep = "sleep": Read;
        remaining = "remaining": Read;
    }

    /// Local files.
    workspace_files in "outrigger:workspace/files@0.1.0" {
        stat = "stat": Read;
        list_files = "list-files": Read;
        remove_files = "remove-files": Idempotent;
    }

    /// Secret handles.
    secrets in "outrigger:secrets/secrets@0.1.0" {
        get = "get": Read;
        size = "[method]secret.size": Read;
    }

    /// Plaintext of secrets.
    secrets_reveal in "outrigger:secrets/reveal@0.1.0" {
        reveal = "reveal": Read;
    }

    /// New secrets.
    secrets_seal in "outrigger:secrets/seal@0.1.0" {
        seal = "seal": Read;
    }

    /// Outgoing HTTP: requests that read, and requests that write.
    http_client in "outrigger:http/client@0.1.0" {
        send = "send": Unsafe;
    }

    /// AWS credentials.
    aws_credentials in "outrigger:aws/credentials@0.1.0" {
        default = "default": Read;
        region = "[method]credentials.region": Read;
        in_region = "[method]credentials.in-region": Read;
        describe_provenance = "describe-provenance": Read;
    }
}

/// `send` with a method that only reads.
pub static HTTP_READ: Operation = Operation {
    interface: "outrigger:http/client@0.1.0",
    function: "send",
    service: "",
    action: "send",
    iam: &[],
    dependent: &[],
    effect: Effect::Read,
    clean_up: false,
};

/// Functions that tell the host something and get no answer that could differ: they need no door.
pub static WITHOUT_DOOR: &[&str] = &[
    "outrigger:run/log@0.1.0#write",
    "outrigger:run/log@0.1.0#document",
    "outrigger:run/log@0.1.0#progress",
    "outrigger:run/output@0.1.0#set",
];

/// The row of an import, such as `outrigger:aws-ec2/instances@0.1.0#start-instances`.
pub fn operation(import: &str) -> Option<&'static Operation> {
    let (interface, function) = import.split_once('#')?;
    all().find(|operation| operation.interface == interface && operation.function == function)
}

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    rows::AWS.iter().chain(rows::HOST).copied()
}
