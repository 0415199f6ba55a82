use std::time::Duration;

use outrigger_endpoints::{AthenaTable, Setup, functions};
use serde_json::json;

use crate::support::{Scene, block, job, moto, step};

const ORDERS: &str = "2024-05-01,chair,49\n2024-05-01,table,199\n2024-05-02,lamp,25\n";

fn shop() -> (Scene, String) {
    let scene = Scene::new();
    let bucket = format!("shop-{}", scene.account.id());
    block(scene.account.bucket(&bucket)).unwrap();
    let columns = "day string, name string, amount int";
    let table = AthenaTable { database: "shop", table: "orders", columns, bucket: &bucket, csv: ORDERS };
    block(scene.account.athena_table(table)).unwrap();
    (scene, bucket)
}

fn query(sql: &str, bucket: &str, more: &[(&str, &str)]) -> String {
    let mut configuration = vec![("query", sql), ("database", "shop"), ("bucket", bucket), ("pollInterval", "50ms")];
    configuration.extend(more);
    step("aws-athena-query-step", &configuration)
}

#[test]
fn athena_gives_rows_to_the_next_step() {
    let (scene, bucket) = shop();
    let sql = "SELECT name, amount FROM orders WHERE day = ? ORDER BY amount DESC";
    let first = query(&sql.replace('?', "'2024-05-01'"), &bucket, &[]);
    let badge = step("progress-badge-step", &[("text", "${data.orders.rowCount} orders")]);
    let text = job(&[first + "      label: orders\n", badge]);
    let run = scene.good(&text, &[]);
    let outputs = run.outputs("1");
    assert_eq!(outputs["rows"], json!([{"name": "table", "amount": 199}, {"name": "chair", "amount": 49}]));
    assert_eq!((&outputs["rowCount"], &outputs["state"]), (&json!(2), &json!("SUCCEEDED")));
    assert!(outputs["outputLocation"].as_str().unwrap().starts_with(&format!("s3://{bucket}/")));
    assert!(run.out.contains("2 orders"), "{run}");
    let run = scene.run(&text, &["--dry-run"]).with_code(0);
    assert!(
        run.events().iter().any(|event| event["event"] == "dry-run" && event["action"] == "athena:StartQueryExecution"),
        "{run}"
    );
}

#[test]
fn athena_says_why_a_query_failed() {
    let (scene, bucket) = shop();
    let run = scene.run(&job(&[query("SELECT nothing FROM nowhere", &bucket, &[])]), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "RemoteFailure", "{message}");
    assert!(message.contains("FAILED") && message.contains("nowhere"), "{message}");
    let run = scene.run(&job(&[query("SELECT 1", "", &[])]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "InvalidInput");
}

/// A log group; Insights looks at whole seconds, so the newest event must be a second old.
fn log_group(scene: &Scene, group: &str, messages: &[&str]) {
    block(scene.account.log_group(group, "a", messages)).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
}

fn logs(group: &str, more: &[(&str, &str)]) -> String {
    let sql = "fields @timestamp, @message | filter @message like /ERROR/ | sort @timestamp desc | limit 20";
    let mut configuration = vec![
        ("cloudWatchLogGroups", group),
        ("timeUnit", "Minutes"),
        ("0", "30"),
        ("queryString", sql),
        ("pollInterval", "50ms"),
    ];
    configuration.extend(more);
    job(&[step("aws-query-cloudwatch-logs-step", &configuration)])
}

#[test]
fn logs_gives_rows_and_starts_a_query_in_a_dry_run_too() {
    let scene = Scene::new();
    log_group(&scene, "/app/web", &["INFO up", "ERROR down", "ERROR gone"]);
    // Starting a query reads logs and changes nothing: a dry run does it.
    scene.run(&logs("/app/web", &[]), &["--dry-run"]).with_code(0);
    assert_eq!(scene.writes().into_iter().collect::<Vec<_>>(), ["logs:StartQuery"]);
    let run = scene.recorded(&logs("/app/web", &[]), &[]);
    let outputs = run.outputs("1");
    assert_eq!((&outputs["rowCount"], &outputs["status"]), (&json!(2), &json!("Complete")));
    assert_eq!(outputs["rows"][0]["@message"], "ERROR gone");
    assert!(run.log().iter().any(|line| line.contains("ERROR down")), "{run}");
}

#[test]
fn logs_can_fail_by_what_it_finds() {
    let scene = Scene::new();
    log_group(&scene, "/app/web", &["ERROR down"]);
    let run = scene.run(&logs("/app/web", &[("failIfRows", "true")]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "RemoteFailure");
    log_group(&scene, "/app/quiet", &["INFO up"]);
    let run = scene.run(&logs("/app/quiet", &[("failIfEmpty", "true")]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "NotFound");
    let run = scene.run(&logs("/app/missing", &[]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "NotFound", "{run}");
    let run = scene.run(&logs("/app/web", &[("failIfRows", "true"), ("failIfEmpty", "true")]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "InvalidInput");
}

fn invoke(name: &str, more: &[(&str, &str)]) -> String {
    let mut configuration = vec![("functionName", name), ("eventPayload", r#"{"order": 7, "seconds": 30}"#)];
    configuration.extend(more);
    job(&[step("aws-lambda-invoke-step", &configuration)])
}

#[test]
fn lambda_gives_what_the_function_gave() {
    let scene = Scene::new();
    block(scene.account.function("echo", functions::ECHO, Duration::from_secs(5))).unwrap();
    let run = scene.good(&invoke("echo", &[]), &[]);
    let outputs = run.outputs("1");
    assert_eq!(outputs["payload"], json!({"echo": {"order": 7, "seconds": 30}}));
    assert_eq!((&outputs["statusCode"], &outputs["invokeFunctionError"]), (&json!(200), &json!("null")));
    assert!(outputs["logTail"].as_str().unwrap().contains("echo of"), "{outputs}");
    let event = scene.run(&invoke("echo", &[("invocationType", "Event")]), &[]).with_code(0);
    assert_eq!(event.outputs("1")["statusCode"], 202);
}

#[test]
fn lambda_fails_where_the_function_does() {
    let scene = Scene::new();
    block(scene.account.function("raise", functions::RAISING, Duration::from_secs(5))).unwrap();
    let run = scene.run(&invoke("raise", &[]), &[]).with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "RemoteFailure");
    assert!(message.contains("no such order: 7"), "{message}");
    assert_eq!(run.step("1")["outputs"]["functionError"], "Unhandled");
    let run = scene.run(&invoke("raise", &[("failOnFunctionError", "false")]), &[]).with_code(0);
    assert_eq!(run.outputs("1")["functionError"], "Unhandled");
    let run = scene.run(&invoke("missing", &[]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "NotFound", "{run}");
}

fn group(endpoint: &Setup, name: &str) {
    let launch =
        [("LaunchConfigurationName", name), ("ImageId", "ami-0123456789abcdef0"), ("InstanceType", "t3.micro")];
    block(endpoint.query("autoscaling", "CreateLaunchConfiguration", "2011-01-01", &launch)).unwrap();
    let group = [
        ("AutoScalingGroupName", name),
        ("LaunchConfigurationName", name),
        ("MinSize", "1"),
        ("MaxSize", "4"),
        ("DesiredCapacity", "2"),
        ("AvailabilityZones.member.1", "us-east-1a"),
    ];
    block(endpoint.query("autoscaling", "CreateAutoScalingGroup", "2011-01-01", &group)).unwrap();
}

fn resize(name: &str, more: &[(&str, &str)]) -> String {
    let mut configuration = vec![("autoScalingGroupName", name), ("pollInterval", "50ms")];
    configuration.extend(more);
    job(&[step("aws-autoscaling-update-step", &configuration)])
}

#[test]
fn a_group_is_resized() {
    let scene = Scene::new();
    group(scene.account.root(), "web");
    let run = scene.good(&resize("web", &[("desiredCapacity", "+1"), ("maxSize", "5")]), &[]);
    let outputs = run.outputs("1");
    assert_eq!((&outputs["previousDesiredCapacity"], &outputs["desiredCapacity"]), (&json!(2), &json!(3)));
    assert_eq!(block(scene.account.auto_scaling_sizes("web")).unwrap(), (3, 1, 5));
}

/// moto's groups have instances, and know suspended processes.
#[test]
fn a_group_waits_for_its_instances_and_resumes_its_processes() {
    let scene = Scene::new();
    let name = format!("group-{}", scene.account.id());
    let moto = moto();
    group(&Setup::new(&moto.url(), "us-east-1", "set-up", "set-up"), &name);
    let proxy = outrigger_endpoints::FaultProxy::start(&moto.url()).unwrap();
    scene.reroute("autoscaling", &proxy.url());
    let text = resize(
        &name,
        &[
            ("desiredCapacity", "3"),
            ("waitForInService", "true"),
            ("suspendProcesses", "AZRebalance"),
            ("resumeProcesses", "AZRebalance"),
        ],
    );
    scene.run(&text, &["--dry-run"]).with_code(0);
    assert_eq!(proxy.writes(), []);
    let outputs = scene.recorded(&text, &[]).outputs("1");
    assert_eq!((&outputs["inService"], &outputs["suspendedProcesses"]), (&json!(3), &json!([])));
    assert_eq!(outputs["instanceIds"].as_array().unwrap().len(), 3);
    assert_eq!(proxy.count("autoscaling:SuspendProcesses"), 1);
    assert_eq!(proxy.count("autoscaling:ResumeProcesses"), 1);
}

#[test]
fn a_group_that_cannot_be_resized_so_is_left_alone() {
    let scene = Scene::new();
    group(scene.account.root(), "web");
    let run = scene.run(&resize("web", &[("desiredCapacity", "9")]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "InvalidInput", "{run}");
    let run = scene.run(&resize("web", &[]), &[]).with_code(1);
    assert!(run.failure("1").1.contains("nothing to do"), "{run}");
    let run = scene.run(&resize("missing", &[("desiredCapacity", "1")]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "NotFound");
    assert_eq!(scene.writes().into_iter().collect::<Vec<_>>(), [""; 0]);
    assert_eq!(block(scene.account.auto_scaling_sizes("web")).unwrap(), (2, 1, 4));
}
