use outrigger_endpoints::{Fault, Nth, Rule};

use crate::support::{Scene, block, job, step};

fn launched(scene: &Scene) -> String {
    block(scene.account.launch("t3.micro", 1, &[])).unwrap().remove(0)
}

fn stop(id: &str) -> String {
    job(&[step("aws-vm-stop-step", &[("instanceId", id), ("wait", "false")])])
}

fn stops(scene: &Scene) -> Vec<(u64, String)> {
    let attempts = scene.attempts().into_iter().filter(|(name, ..)| name == "ec2:StopInstances");
    attempts.map(|(_, attempt, outcome)| (attempt, outcome)).collect()
}

/// Throttled, an inner error, a broken connection: each is tried again, and each try is in the audit.
#[test]
fn what_may_pass_is_tried_again_and_every_attempt_is_audited() {
    let scene = Scene::new();
    let id = launched(&scene);
    scene.proxy.rule(Rule::new("StopInstances", Nth::Only(1), Fault::throttle("RequestLimitExceeded")));
    scene.proxy.rule(Rule::new("StopInstances", Nth::Only(2), Fault::internal()));
    scene.proxy.rule(Rule::new("StopInstances", Nth::Only(3), Fault::Reset));
    scene.recorded(&stop(&id), &[]);
    let attempts = stops(&scene);
    assert_eq!(attempts.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3, 4], "{attempts:?}");
    assert_eq!(attempts[0].1, "RequestLimitExceeded");
    assert_eq!(attempts[1].1, "InternalError");
    assert_ne!(attempts[2].1, "ok");
    assert_eq!(attempts[3].1, "ok");
    assert_eq!(scene.proxy.count("ec2:StopInstances"), 4);
}

fn fails(fault: Fault) -> (String, String) {
    let scene = Scene::new();
    let id = launched(&scene);
    scene.proxy.rule(Rule::every("StopInstances", fault));
    let run = scene.run(&stop(&id), &[]).with_code(1);
    assert_eq!(stops(&scene).len(), scene.proxy.count("ec2:StopInstances"), "one record for each attempt");
    run.failure("1")
}

fn error(status: u16, code: &str, message: &str) -> Fault {
    Fault::Error { status, code: code.to_owned(), message: message.to_owned() }
}

#[test]
fn throttling_that_does_not_end_is_called_that() {
    let (reason, message) = fails(Fault::throttle("RequestLimitExceeded"));
    assert_eq!(reason, "Throttled");
    assert!(message.contains("RequestLimitExceeded"), "{message}");
}

#[test]
fn broken_connections_are_called_that() {
    let (reason, message) = fails(Fault::Reset);
    assert_eq!(reason, "ConnectionFailure", "{message}");
}

#[test]
fn every_class_of_error_arrives_as_its_own() {
    for (fault, wanted) in [
        (
            error(400, "AuthFailure", "AWS was not able to validate the provided access credentials"),
            "AuthenticationFailure",
        ),
        (error(400, "InvalidInstanceID.NotFound", "The instance ID does not exist"), "NotFound"),
        (error(400, "InvalidInstanceID.Malformed", "Invalid id"), "InvalidInput"),
        (
            error(400, "IncorrectInstanceState", "The instance is not in a state from which it can be stopped"),
            "Conflict",
        ),
        (error(400, "UnsupportedOperation", "You can't stop the instance"), "InvalidInput"),
    ] {
        let (reason, message) = fails(fault.clone());
        assert_eq!(reason, wanted, "{fault:?}: {message}");
    }
}

/// The role's own policy refuses: the message names action, identity, and that it was its policy.
#[test]
fn access_denied_by_the_role_names_action_and_role() {
    let scene = Scene::permitting(&["ec2:Describe*"]);
    let id = launched(&scene);
    let run = scene.run(&stop(&id), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "Unauthorized");
    for part in ["ec2:StopInstances", "assumed-role/outrigger-jobs"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(stops(&scene), [(1, "UnauthorizedOperation".to_owned())]);
}

/// Source of the texts: IAM User Guide, "Troubleshoot access denied error messages".
#[test]
fn access_denied_says_who_refused() {
    let user =
        "User: arn:aws:sts::111122223333:assumed-role/outrigger-jobs/s is not authorized to perform: ec2:StopInstances";
    for (text, wanted) in [
        (
            format!("{user} because no session policy allows the ec2:StopInstances action"),
            "session policy that Outrigger made",
        ),
        (
            format!("{user} because no identity-based policy allows the ec2:StopInstances action"),
            "policies of the role",
        ),
        (format!("{user} with an explicit deny in a service control policy"), "service control policy"),
        (format!("{user} because no permissions boundary allows the ec2:StopInstances action"), "permissions boundary"),
    ] {
        let (reason, message) = fails(error(403, "UnauthorizedOperation", &text));
        assert_eq!(reason, "Unauthorized");
        assert!(message.contains(wanted) && message.contains("ec2:StopInstances"), "{message}");
    }
}

/// A write whose answer is lost and that carries no token is not repeated: nobody knows whether it took effect.
#[test]
fn what_is_unsafe_and_in_doubt_is_not_repeated() {
    let scene = Scene::new();
    let source = outrigger_endpoints::functions::ECHO;
    block(scene.account.function("count", source, std::time::Duration::from_secs(5))).unwrap();
    scene.proxy.rule(Rule::new("Invoke", Nth::Only(1), Fault::ResetAfter));
    let invoke = step("aws-lambda-invoke-step", &[("functionName", "count"), ("eventPayload", "{}")]);
    let retry = "      retry:\n        retry: '2'\n        delay: 1s\n";
    let run = scene.run(&job(&[invoke, retry.to_owned()]), &[]).with_code(1);
    let (_, message) = run.failure("1");
    assert!(message.contains("nobody knows whether it took effect") && message.contains("InDoubt"), "{message}");
    assert_eq!(scene.proxy.count("lambda:Invoke"), 1, "{:?}", scene.proxy.requests());
    let audit = scene.outrigger(&["audit", "last"]).with_code(0);
    assert!(audit.out.contains("In doubt"), "{audit}");
}

/// The attempts of a step carry one client token, so that AWS itself knows the second one for the first.
#[test]
fn a_step_that_is_tried_again_sends_the_same_token() {
    let scene = Scene::new();
    let bucket = format!("token-{}", scene.account.id());
    block(scene.account.bucket(&bucket)).unwrap();
    let fault = error(400, "InvalidRequestException", "not today");
    scene.proxy.rule(Rule::new("StartQueryExecution", Nth::Only(1), fault));
    let query = step("aws-athena-query-step", &[("query", "SELECT 1"), ("database", "default"), ("bucket", &bucket)]);
    let retry = "      retry:\n        retry: '1'\n        delay: 1s\n";
    scene.recorded(&job(&[query, retry.to_owned()]), &[]);
    let tokens: Vec<String> = scene
        .proxy
        .requests()
        .iter()
        .filter(|request| request.operation == "StartQueryExecution")
        .map(|request| {
            let (_, rest) = request.summary.split_once("ClientRequestToken=").expect("a token");
            rest.split_whitespace().next().unwrap_or_default().to_owned()
        })
        .collect();
    assert_eq!(tokens.len(), 2);
    assert!(tokens[0].len() >= 32, "{tokens:?}");
    assert_eq!(tokens[0], tokens[1]);
}
