//! Servers start side by side, tell what is wrong with them, and never outlive who started them unless asked to.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use outrigger_endpoints::{EndpointError, Ministack, Moto, Options, Setup};

type Outcome = Result<(), EndpointError>;

fn answers(url: &str) -> bool {
    TcpStream::connect(url.trim_start_matches("http://")).is_ok()
}

fn gone_within(url: &str, limit: Duration) -> bool {
    let started = Instant::now();
    while started.elapsed() < limit {
        if !answers(url) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[tokio::test]
async fn they_start_in_parallel_and_end_when_dropped() -> Outcome {
    let start = || Ministack::start(Options::default());
    let (a, b, c) = tokio::try_join!(start(), start(), start())?;
    let urls = [a.url(), b.url(), c.url()];
    assert!(urls.iter().all(|url| answers(url)) && urls[0] != urls[1] && urls[1] != urls[2], "{urls:?}");
    let log = a.log().to_owned();
    assert!(log.is_file());
    drop(a);
    assert!(!answers(&urls[0]) && !log.exists());
    b.reset().await?;
    assert!(answers(&urls[2]));
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_output() {
    let options = Options { deadline: Duration::ZERO, ..Options::default() };
    let error = Ministack::start(options).await.unwrap_err();
    assert!(error.to_string().starts_with("ministack did not become ready: nothing within 0 seconds"), "{error}");
}

#[tokio::test]
async fn without_authentication_everything_is_accepted() -> Outcome {
    let server = Ministack::start(Options { auth: false, ..Options::default() }).await?;
    let anybody = Setup::new(&server.url(), "us-east-1", "AKIAIOSFODNN7EXAMPLE", "anything");
    anybody.query("ec2", "DescribeInstances", "2016-11-15", &[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_kept_server_stays_until_its_group_is_ended() -> Outcome {
    let kept = Ministack::start(Options::default()).await?.keep()?;
    // Longer than the launcher needs to notice that nobody holds its pipe any more.
    std::thread::sleep(Duration::from_millis(300));
    assert!(answers(&kept.url));
    killpg(Pid::from_raw(kept.group), Signal::SIGKILL).expect("the group exists");
    assert!(gone_within(&kept.url, Duration::from_secs(5)));
    if let Some(work) = kept.log.parent() {
        std::fs::remove_dir_all(work).expect("its folder is there");
    }
    Ok(())
}

#[test]
fn servers_die_with_a_process_that_is_killed() {
    let mut holder = Command::new(env!("CARGO_BIN_EXE_outrigger-endpoints"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary of this crate");
    let output = BufReader::new(holder.stdout.take().expect("its output"));
    let urls: Vec<String> = output
        .lines()
        .take(2)
        .map(|line| line.expect("a line").split(' ').nth(1).expect("an address").into())
        .collect();
    assert!(urls.len() == 2 && urls.iter().all(|url| answers(url)), "{urls:?}");
    holder.kill().expect("a living process");
    holder.wait().expect("its end");
    assert!(urls.iter().all(|url| gone_within(url, Duration::from_secs(10))), "{urls:?}");
}

#[tokio::test]
async fn moto_does_what_ministack_lacks() -> Outcome {
    let moto = Moto::shared().await?;
    let setup = Setup::new(&moto.url(), "us-east-1", "test", "test");
    let version = "2011-01-01";
    let params =
        [("LaunchConfigurationName", "lc"), ("ImageId", "ami-0123456789abcdef0"), ("InstanceType", "t3.micro")];
    setup.query("autoscaling", "CreateLaunchConfiguration", version, &params).await?;
    let params = [
        ("AutoScalingGroupName", "web"),
        ("LaunchConfigurationName", "lc"),
        ("MinSize", "0"),
        ("MaxSize", "2"),
        ("AvailabilityZones.member.1", "us-east-1a"),
    ];
    setup.query("autoscaling", "CreateAutoScalingGroup", version, &params).await?;
    let params = [("AutoScalingGroupName", "web"), ("ScalingProcesses.member.1", "Launch")];
    setup.query("autoscaling", "SuspendProcesses", version, &params).await?;
    let groups = setup.query("autoscaling", "DescribeAutoScalingGroups", version, &[]).await?;
    assert_eq!(groups.element("ProcessName").as_deref(), Some("Launch"));
    Ok(())
}

#[tokio::test]
async fn motos_athena_goes_through_its_states() -> Outcome {
    let moto = Moto::start().await?;
    moto.slow_athena(2).await?;
    let rows = serde_json::json!({
        "results": [{ "rows": [{ "Data": [{ "VarCharValue": "1" }] }], "column_info": [] }],
    });
    moto.preset("athena/query-results", &rows).await?;
    let setup = Setup::new(&moto.url(), "us-east-1", "test", "test");
    let body = serde_json::json!({
        "QueryString": "SELECT 1",
        "ResultConfiguration": { "OutputLocation": "s3://results/" },
    });
    let id = setup.json("athena", "AmazonAthena.StartQueryExecution", &body).await?;
    let mut states = Vec::new();
    for _ in 0..8 {
        let query = setup.json("athena", "AmazonAthena.GetQueryExecution", &id).await?;
        states.push(query["QueryExecution"]["Status"]["State"].as_str().unwrap_or_default().to_owned());
    }
    states.dedup();
    assert_eq!(states, ["QUEUED", "RUNNING", "SUCCEEDED"]);
    Ok(())
}
