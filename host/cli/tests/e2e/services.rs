//! What holds for the calls of every service, through the plugin that makes them.

use std::time::Duration;

use outrigger_endpoints::{Fault, Nth, Rule, functions};

use crate::support::{Scene, block, job, step};

/// A plugin, one call of its that is met first, and how its service refuses and throttles.
struct Case {
    text: String,
    operation: &'static str,
    action: &'static str,
    denied: (u16, &'static str),
    throttled: (u16, &'static str),
}

fn cases(scene: &Scene) -> Vec<Case> {
    let bucket = format!("services-{}", scene.account.id());
    block(scene.account.bucket(&bucket)).unwrap();
    block(scene.account.log_group("/app/web", "a", &["ERROR down"])).unwrap();
    block(scene.account.function("echo", functions::ECHO, Duration::from_secs(5))).unwrap();
    block(scene.account.auto_scaling_group("web", 1, 4, 2)).unwrap();
    let instance = block(scene.account.launch("t3.micro", 1, &[])).unwrap().remove(0);
    let uri = format!("s3://{bucket}/none/");
    let query = [("query", "SELECT 1"), ("database", "default"), ("bucket", &bucket), ("pollInterval", "50ms")];
    let logs =
        [("cloudWatchLogGroups", "/app/web"), ("timeUnit", "Minutes"), ("0", "30"), ("queryString", "fields @message")];
    vec![
        Case {
            text: job(&[step("aws-vm-stop-step", &[("instanceId", &instance), ("wait", "false")])]),
            operation: "ec2:StopInstances",
            action: "ec2:StopInstances",
            denied: (403, "UnauthorizedOperation"),
            throttled: (503, "RequestLimitExceeded"),
        },
        Case {
            text: job(&[step("aws-athena-query-step", &query)]),
            operation: "athena:StartQueryExecution",
            action: "athena:StartQueryExecution",
            denied: (400, "AccessDeniedException"),
            throttled: (400, "ThrottlingException"),
        },
        Case {
            text: job(&[step("aws-query-cloudwatch-logs-step", &logs)]),
            operation: "logs:StartQuery",
            action: "logs:StartQuery",
            denied: (400, "AccessDeniedException"),
            throttled: (400, "ThrottlingException"),
        },
        Case {
            text: job(&[step("aws-lambda-invoke-step", &[("functionName", "echo"), ("eventPayload", "{}")])]),
            operation: "lambda:Invoke",
            action: "lambda:InvokeFunction",
            denied: (403, "AccessDeniedException"),
            throttled: (429, "TooManyRequestsException"),
        },
        Case {
            text: job(&[step(
                "aws-autoscaling-update-step",
                &[("autoScalingGroupName", "web"), ("desiredCapacity", "3")],
            )]),
            operation: "autoscaling:UpdateAutoScalingGroup",
            action: "autoscaling:UpdateAutoScalingGroup",
            denied: (403, "AccessDenied"),
            throttled: (400, "Throttling"),
        },
        Case {
            text: job(&[step(
                "aws-cli-s3-cp-step",
                &[("source", &uri), ("destination", "down/"), ("recursive", "true")],
            )]),
            operation: "s3:ListObjectsV2",
            action: "s3:ListBucket",
            denied: (403, "AccessDenied"),
            throttled: (503, "SlowDown"),
        },
        Case {
            text: job(&[step("aws-validate-credentials-step", &[])]),
            operation: "sts:GetCallerIdentity",
            action: "",
            denied: (403, "InvalidClientTokenId"),
            throttled: (400, "Throttling"),
        },
    ]
}

fn error((status, code): (u16, &str)) -> Fault {
    Fault::Error { status, code: code.to_owned(), message: "refused by the test".to_owned() }
}

#[test]
fn a_refusal_names_the_action_and_whose_it_is() {
    let scene = Scene::new();
    for case in cases(&scene) {
        scene.proxy.clear_rules();
        scene.proxy.rule(Rule::every(case.operation, error(case.denied)));
        let run = scene.run(&case.text, &[]).with_code(1);
        let (reason, message) = run.failure("1");
        if case.action.is_empty() {
            assert_eq!(reason, "AuthenticationFailure", "{message}");
        } else {
            assert_eq!(reason, "Unauthorized", "{}: {message}", case.operation);
            assert!(message.contains(&format!("{} was refused", case.action)), "{message}");
            assert!(message.contains(":role/outrigger-jobs"), "{message}");
        }
        assert!(message.contains(case.denied.1), "{message}");
        let attempts = scene.attempts().into_iter().filter(|(name, ..)| name == case.operation).count();
        assert_eq!(attempts, 1, "{}: a refusal is final", case.operation);
    }
}

/// A write that was refused so was not carried out, so that even one without a token may be tried again.
#[test]
fn a_throttled_call_is_tried_again_whatever_it_is() {
    let scene = Scene::new();
    for case in cases(&scene) {
        scene.proxy.clear_rules();
        scene.proxy.rule(Rule::new(case.operation, Nth::Only(1), error(case.throttled)));
        scene.run(&case.text, &[]).with_code(0);
        let of =
            |(name, attempt, outcome): (String, u64, String)| (name == case.operation).then_some((attempt, outcome));
        let attempts: Vec<_> = scene.attempts().into_iter().filter_map(of).collect();
        let wanted = [(1, case.throttled.1.to_owned()), (2, "ok".to_owned())];
        assert_eq!(attempts.get(..2), Some(&wanted[..]), "{}: {attempts:?}", case.operation);
    }
}
