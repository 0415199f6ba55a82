use std::process::{Child, Stdio};
use std::time::Duration;

use outrigger_endpoints::{Bundled, Fault, Field, RecordedExchanges, Rule};

use crate::support::{Ran, Scene, block, eventually, job, step};

fn spawn(scene: &Scene, text: &str) -> Child {
    let mut command = scene.run_command(text, &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn end(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

/// A query that never ends by itself.
fn athena() -> (Scene, String) {
    let scene = Scene::new();
    let bucket = format!("cancel-{}", scene.account.id());
    block(scene.account.bucket(&bucket)).unwrap();
    let state = Field::Json("/QueryExecution/Status/State".to_owned());
    scene.proxy.rule(Rule::every("GetQueryExecution", Fault::RewriteField(state, "RUNNING".into())));
    let configuration =
        [("query", "SELECT 1"), ("database", "default"), ("bucket", &bucket), ("pollInterval", "100ms")];
    (scene, step("aws-athena-query-step", &configuration))
}

#[test]
fn ctrl_c_stops_an_athena_query() {
    let (scene, query) = athena();
    let child = spawn(&scene, &job(&[query]));
    eventually("the wait", || scene.proxy.count("athena:GetQueryExecution") >= 2);
    signal(&child, "-INT");
    let ran = end(child).with_code(130);
    assert_eq!(scene.proxy.count("athena:StopQueryExecution"), 1, "{ran}");
    assert_eq!(ran.events().last().unwrap()["status"], "aborted", "{ran}");
    let runs = scene.outrigger(&["runs"]).with_code(0);
    assert!(runs.out.contains("aborted"), "{runs}");
}

#[test]
fn sigterm_stops_a_logs_query() {
    let scene = Scene::new();
    block(scene.account.log_group("/app/web", "a", &["ERROR down"])).unwrap();
    let status = Field::Json("/status".to_owned());
    scene.proxy.rule(Rule::every("GetQueryResults", Fault::RewriteField(status, "Running".into())));
    let configuration = [
        ("cloudWatchLogGroups", "/app/web"),
        ("timeUnit", "Minutes"),
        ("0", "30"),
        ("queryString", "fields @message"),
        ("pollInterval", "100ms"),
    ];
    let child = spawn(&scene, &job(&[step("aws-query-cloudwatch-logs-step", &configuration)]));
    eventually("the wait", || scene.proxy.count("logs:GetQueryResults") >= 2);
    signal(&child, "-TERM");
    let ran = end(child).with_code(130);
    assert_eq!(scene.proxy.count("logs:StopQuery"), 1, "{ran}");
}

#[test]
fn ctrl_c_cancels_an_ssm_command() {
    let scene = Scene::new();
    let ssm = RecordedExchanges::bundled(Bundled::SsmUntilCancelled, None).unwrap();
    scene.reroute("ssm", &ssm.url());
    let configuration = [
        ("instanceIds", "i-02573cafcfEXAMPLE,i-0471e04240EXAMPLE"),
        ("commands", "sleep 600"),
        ("pollInterval", "100ms"),
    ];
    let child = spawn(&scene, &job(&[step("aws-ssm-send-command-step", &configuration)]));
    let seen = |name: &str| ssm.requests().iter().filter(|request| request.operation == name).count();
    eventually("the wait", || seen("GetCommandInvocation") >= 3);
    signal(&child, "-INT");
    let ran = end(child).with_code(130);
    assert_eq!(seen("CancelCommand"), 1, "{ran}");
    assert_eq!(ssm.failures(), [""; 0]);
}

#[test]
fn the_second_signal_ends_at_once() {
    let (scene, query) = athena();
    // The clean-up hangs.
    scene.proxy.rule(Rule::every("StopQueryExecution", Fault::Delay(Duration::from_secs(60))));
    let child = spawn(&scene, &job(&[query]));
    eventually("the wait", || scene.proxy.count("athena:GetQueryExecution") >= 2);
    signal(&child, "-INT");
    let stopping = || scene.proxy.count("athena:StopQueryExecution") == 1;
    for _ in 0..500 {
        if stopping() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let stopping = stopping();
    signal(&child, "-INT");
    let ran = end(child).with_code(130);
    assert!(stopping, "no clean-up within ten seconds: {ran}");
}

/// A step's own `timeout` cleans up as a cancellation does.
#[test]
fn a_deadline_stops_the_query_and_is_called_a_time_out() {
    let (scene, query) = athena();
    let run = scene.run(&job(&[query + "      timeout: 2s\n"]), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "Timeout", "{message}");
    assert_eq!(scene.proxy.count("athena:StopQueryExecution"), 1, "{run}");
}
