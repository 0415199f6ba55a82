//! The operation table beside the actions that AWS documents for each operation.
//!
//! Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS services", and the user guides that
//! the dependent actions name.

use std::collections::BTreeMap;

use outrigger_capabilities::operations::rows;

/// Import without package prefix and version, what is called, its own actions, and the actions that what it touches may need.
const EXPECTED: &[(&str, &str, &[&str], &[&str])] = &[
    ("sts/identity#get-caller-identity", "GetCallerIdentity", &[], &[]),
    ("ec2/instances#start-instances", "StartInstances", &["ec2:StartInstances"], &["kms:CreateGrant"]),
    ("ec2/instances#stop-instances", "StopInstances", &["ec2:StopInstances"], &[]),
    ("ec2/instances#describe-instances", "DescribeInstances", &["ec2:DescribeInstances"], &[]),
    ("ec2/instances#describe-instance-status", "DescribeInstanceStatus", &["ec2:DescribeInstanceStatus"], &[]),
    (
        "autoscaling/groups#describe-auto-scaling-groups",
        "DescribeAutoScalingGroups",
        &["autoscaling:DescribeAutoScalingGroups"],
        &[],
    ),
    (
        "autoscaling/groups#update-auto-scaling-group",
        "UpdateAutoScalingGroup",
        &["autoscaling:UpdateAutoScalingGroup"],
        &[],
    ),
    ("autoscaling/groups#set-desired-capacity", "SetDesiredCapacity", &["autoscaling:SetDesiredCapacity"], &[]),
    ("autoscaling/groups#suspend-processes", "SuspendProcesses", &["autoscaling:SuspendProcesses"], &[]),
    ("autoscaling/groups#resume-processes", "ResumeProcesses", &["autoscaling:ResumeProcesses"], &[]),
    ("autoscaling/groups#start-instance-refresh", "StartInstanceRefresh", &["autoscaling:StartInstanceRefresh"], &[]),
    (
        "autoscaling/groups#describe-instance-refreshes",
        "DescribeInstanceRefreshes",
        &["autoscaling:DescribeInstanceRefreshes"],
        &[],
    ),
    (
        "autoscaling/groups#cancel-instance-refresh",
        "CancelInstanceRefresh",
        &["autoscaling:CancelInstanceRefresh"],
        &[],
    ),
    // S3 has no action of these names: listing needs the bucket's, looking needs reading.
    ("s3/objects#list-objects-v2", "ListObjectsV2", &["s3:ListBucket"], &[]),
    ("s3/objects#head-object", "HeadObject", &["s3:GetObject"], &["s3:ListBucket"]),
    ("s3/objects#delete-objects", "DeleteObjects", &["s3:DeleteObject"], &[]),
    (
        "s3/transfer#upload",
        "PutObject",
        &["s3:PutObject", "s3:AbortMultipartUpload"],
        &["kms:Decrypt", "kms:GenerateDataKey", "s3:PutObjectAcl"],
    ),
    ("s3/transfer#download", "GetObject", &["s3:GetObject"], &["kms:Decrypt"]),
    (
        "s3/transfer#copy",
        "CopyObject",
        &["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
        &["kms:Decrypt", "kms:GenerateDataKey", "s3:GetObjectTagging", "s3:PutObjectAcl", "s3:PutObjectTagging"],
    ),
    ("ssm/commands#send-command", "SendCommand", &["ssm:SendCommand"], &[]),
    ("ssm/commands#list-command-invocations", "ListCommandInvocations", &["ssm:ListCommandInvocations"], &[]),
    ("ssm/commands#get-command-invocation", "GetCommandInvocation", &["ssm:GetCommandInvocation"], &[]),
    ("ssm/commands#cancel-command", "CancelCommand", &["ssm:CancelCommand"], &[]),
    (
        "ssm/commands#describe-instance-information",
        "DescribeInstanceInformation",
        &["ssm:DescribeInstanceInformation"],
        &[],
    ),
    (
        "athena/queries#start-query-execution",
        "StartQueryExecution",
        &["athena:StartQueryExecution"],
        &[
            "glue:GetDatabase",
            "glue:GetPartition",
            "glue:GetPartitions",
            "glue:GetTable",
            "glue:GetTables",
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "lakeformation:GetDataAccess",
            "s3:AbortMultipartUpload",
            "s3:GetBucketLocation",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
        ],
    ),
    ("athena/queries#get-query-execution", "GetQueryExecution", &["athena:GetQueryExecution"], &[]),
    ("athena/queries#get-query-results", "GetQueryResults", &["athena:GetQueryResults"], &["s3:GetObject"]),
    ("athena/queries#stop-query-execution", "StopQueryExecution", &["athena:StopQueryExecution"], &[]),
    ("logs/queries#start-query", "StartQuery", &["logs:StartQuery"], &["kms:Decrypt"]),
    ("logs/queries#get-query-results", "GetQueryResults", &["logs:GetQueryResults"], &[]),
    ("logs/queries#stop-query", "StopQuery", &["logs:StopQuery"], &[]),
    ("logs/events#get-log-events", "GetLogEvents", &["logs:GetLogEvents"], &[]),
    ("lambda/functions#invoke", "Invoke", &["lambda:InvokeFunction"], &[]),
];

/// What a step needs in all, by what it does. The functions are those that its plugin calls.
const STEPS: &[(&str, &[&str], &[&str])] = &[
    (
        "Athena query",
        &[
            "athena/queries#start-query-execution",
            "athena/queries#get-query-execution",
            "athena/queries#get-query-results",
            "athena/queries#stop-query-execution",
        ],
        &[
            "athena:GetQueryExecution",
            "athena:GetQueryResults",
            "athena:StartQueryExecution",
            "athena:StopQueryExecution",
            "glue:GetDatabase",
            "glue:GetPartitions",
            "glue:GetTable",
            "s3:GetBucketLocation",
            "s3:GetObject",
            "s3:PutObject",
        ],
    ),
    (
        "Logs Insights query",
        &["logs/queries#start-query", "logs/queries#get-query-results", "logs/queries#stop-query"],
        &["logs:GetQueryResults", "logs:StartQuery", "logs:StopQuery"],
    ),
    (
        "start and stop of instances",
        &[
            "ec2/instances#start-instances",
            "ec2/instances#stop-instances",
            "ec2/instances#describe-instances",
            "ec2/instances#describe-instance-status",
        ],
        &[
            "ec2:DescribeInstanceStatus",
            "ec2:DescribeInstances",
            "ec2:StartInstances",
            "ec2:StopInstances",
            "kms:CreateGrant",
        ],
    ),
    (
        "update of an Auto Scaling group",
        &["autoscaling/groups#update-auto-scaling-group", "autoscaling/groups#describe-auto-scaling-groups"],
        &["autoscaling:DescribeAutoScalingGroups", "autoscaling:UpdateAutoScalingGroup"],
    ),
    (
        "cp and sync of objects",
        &[
            "s3/objects#list-objects-v2",
            "s3/objects#head-object",
            "s3/objects#delete-objects",
            "s3/transfer#upload",
            "s3/transfer#download",
            "s3/transfer#copy",
        ],
        &[
            "s3:AbortMultipartUpload",
            "s3:DeleteObject",
            "s3:GetObject",
            "s3:GetObjectTagging",
            "s3:ListBucket",
            "s3:PutObject",
            "s3:PutObjectTagging",
        ],
    ),
    (
        "SSM command",
        &[
            "ssm/commands#send-command",
            "ssm/commands#list-command-invocations",
            "ssm/commands#get-command-invocation",
            "ssm/commands#cancel-command",
            "logs/events#get-log-events",
        ],
        &[
            "logs:GetLogEvents",
            "ssm:CancelCommand",
            "ssm:GetCommandInvocation",
            "ssm:ListCommandInvocations",
            "ssm:SendCommand",
        ],
    ),
    ("Lambda invocation", &["lambda/functions#invoke"], &["lambda:InvokeFunction"]),
    ("check of credentials", &["sts/identity#get-caller-identity"], &[]),
];

/// `ec2/instances#start-instances` of `outrigger:aws-ec2/instances@0.1.0#start-instances`.
fn short(import: &str) -> String {
    import.replace("outrigger:aws-", "").replace("@0.1.0", "")
}

#[test]
fn every_operation_needs_the_actions_that_aws_documents() {
    let mut found: BTreeMap<String, _> =
        rows::AWS.iter().map(|operation| (short(&operation.import()), *operation)).collect();
    for (import, action, iam, dependent) in EXPECTED {
        let operation = found.remove(*import).unwrap_or_else(|| panic!("{import} has no row"));
        assert_eq!(operation.action, *action, "{import}");
        assert_eq!(operation.iam, *iam, "{import}");
        let mut touched: Vec<&str> = operation.dependent.iter().map(|dependent| dependent.action).collect();
        touched.sort_unstable();
        assert_eq!(touched, *dependent, "{import}");
    }
    assert!(found.is_empty(), "rows that this table does not know: {:?}", found.keys());
}

#[test]
fn the_functions_of_a_step_have_all_actions_that_the_step_needs() {
    for (step, functions, needs) in STEPS {
        let mut actions = Vec::new();
        for function in *functions {
            let operation = rows::AWS.iter().find(|operation| short(&operation.import()) == *function);
            let operation = operation.unwrap_or_else(|| panic!("{function} has no row"));
            actions.extend(operation.iam.iter().copied());
            actions.extend(operation.dependent.iter().map(|dependent| dependent.action));
        }
        for need in *needs {
            assert!(actions.contains(need), "{step} needs {need}");
        }
    }
}
