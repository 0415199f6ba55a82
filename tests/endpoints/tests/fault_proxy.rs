//! Each fault, and what the proxy leaves alone.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use http::Method;
use outrigger_endpoints::{Account, EndpointError, Fault, FaultProxy, Field, Ministack, Nth, Rule, Setup};
use serde_json::json;

type Outcome = Result<(), EndpointError>;
const EC2: &str = "2016-11-15";

/// A proxy before the shared endpoint, and the root of a fresh account through it.
async fn proxy() -> Result<(FaultProxy, Account, Setup), EndpointError> {
    let ministack = Ministack::shared().await?;
    let proxy = FaultProxy::start(&ministack.url())?;
    let account = ministack.new_account();
    let setup = Setup::new(&proxy.url(), "us-east-1", account.id(), "root");
    Ok((proxy, account, setup))
}

#[tokio::test]
async fn signatures_survive_and_requests_are_recorded() -> Outcome {
    let (proxy, account, _) = proxy().await?;
    let keys = account.user("reader", Some(&outrigger_endpoints::policy::allow(&["ssm:*"], &["*"]))).await?;
    let setup = Setup::with_keys(&proxy.url(), "us-east-1", keys.clone());
    let body = json!({ "Name": "/a", "Value": "a canary value", "Type": "SecureString" });
    setup.json("ssm", "AmazonSSM.PutParameter", &body).await?;
    setup.json("ssm", "AmazonSSM.GetParameter", &json!({ "Name": "/a" })).await?;
    let wrong = Setup::new(&proxy.url(), "us-east-1", &keys.access, "wrong");
    assert!(wrong.json("ssm", "AmazonSSM.GetParameter", &json!({ "Name": "/a" })).await.is_err());

    let requests = proxy.requests();
    let names: Vec<(String, Option<u16>)> = requests.iter().map(|request| (request.name(), request.status)).collect();
    assert_eq!(names[0], ("ssm:PutParameter".into(), Some(200)));
    assert_eq!(names[1], ("ssm:GetParameter".into(), Some(200)));
    assert!(matches!(names[2], (_, Some(400 | 403))), "{names:?}");
    assert_eq!(requests[0].summary, "Name=/a Value=**** Type=SecureString");
    assert_eq!(requests[0].access_key.as_deref(), Some(keys.access.as_str()));
    assert_eq!(
        (requests[0].user_agent.as_str(), requests[0].region.as_deref()),
        ("outrigger-endpoints", Some("us-east-1"))
    );
    assert_eq!(requests[0].request_bytes, body.to_string().len() as u64);
    assert!(!format!("{requests:?}").contains("canary"));
    assert_eq!(proxy.writes().iter().map(|request| request.name()).collect::<Vec<_>>(), ["ssm:PutParameter"]);
    Ok(())
}

#[tokio::test]
async fn an_error_comes_in_the_protocol_of_its_service() -> Outcome {
    let (proxy, account, setup) = proxy().await?;
    let bucket = format!("faults-{}", account.id());
    account.bucket(&bucket).await?;
    proxy.rule(Rule::every("*", Fault::throttle("ThrottlingException")));
    let outcomes = [
        setup.query("ec2", "DescribeInstances", EC2, &[]).await.map(drop),
        setup.query("autoscaling", "DescribeAutoScalingGroups", "2011-01-01", &[]).await.map(drop),
        setup.json("ssm", "AmazonSSM.ListCommands", &json!({})).await.map(drop),
        setup.rest("s3", Method::PUT, &format!("/{bucket}/k"), vec![0_u8; 1 << 20]).await.map(drop),
        setup.rest("lambda", Method::POST, "/2015-03-31/functions/f/invocations", "{}").await.map(drop),
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.status()), (Some("ThrottlingException"), Some(400)), "{error}");
        assert!(error.to_string().contains("Rate exceeded"), "{error}");
    }
    let names: Vec<String> = proxy.requests().iter().map(|request| request.name()).collect();
    let wanted = [
        "ec2:DescribeInstances",
        "autoscaling:DescribeAutoScalingGroups",
        "ssm:ListCommands",
        "s3:PutObject",
        "lambda:Invoke",
    ];
    assert_eq!(names, wanted);
    assert!(account.get_object(&bucket, "k").await.is_err(), "the write must not have reached the endpoint");
    Ok(())
}

#[tokio::test]
async fn rules_count_the_calls_that_they_mean() -> Outcome {
    let (proxy, _, setup) = proxy().await?;
    let outcomes = async |rule: Rule| {
        proxy.clear_rules();
        proxy.rule(rule);
        let mut failed = Vec::new();
        for id in ["i-00000000000000001", "i-00000000000000002", "i-00000000000000002", "i-00000000000000002"] {
            let filter = [("Filter.1.Name", "instance-id"), ("Filter.1.Value.1", id)];
            failed.push(setup.query("ec2", "DescribeInstances", EC2, &filter).await.is_err());
        }
        failed
    };
    let call = "ec2:DescribeInstances";
    assert_eq!(outcomes(Rule::new(call, Nth::Only(2), Fault::internal())).await, [false, true, false, false]);
    assert_eq!(outcomes(Rule::new(call, Nth::First(2), Fault::internal())).await, [true, true, false, false]);
    assert_eq!(
        outcomes(Rule::new("DescribeInstances", Nth::From(3), Fault::internal())).await,
        [false, false, true, true]
    );
    assert_eq!(outcomes(Rule::every("ec2:*", Fault::internal())).await, [true; 4]);
    assert_eq!(outcomes(Rule::every("ssm:*", Fault::internal())).await, [false; 4]);
    let of_second = Rule::new(call, Nth::Only(2), Fault::internal()).containing("i-00000000000000002");
    assert_eq!(outcomes(of_second).await, [false, false, true, false]);
    Ok(())
}

#[tokio::test]
async fn a_delay_holds_back_and_passes_on() -> Outcome {
    let (proxy, _, setup) = proxy().await?;
    proxy.rule(Rule::new("ec2:DescribeInstances", Nth::Only(1), Fault::Delay(Duration::from_millis(400))));
    let started = Instant::now();
    setup.query("ec2", "DescribeInstances", EC2, &[]).await?;
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert_eq!((proxy.requests()[0].faults.as_slice(), proxy.requests()[0].status), (["delay"].as_slice(), Some(200)));
    Ok(())
}

#[tokio::test]
async fn a_reset_before_leaves_no_trace_and_one_after_does() -> Outcome {
    let (proxy, account, setup) = proxy().await?;
    let launch = [("ImageId", "ami-0123456789abcdef0"), ("MinCount", "1"), ("MaxCount", "1")];
    let instances = async || -> Result<usize, EndpointError> {
        Ok(account.root().query("ec2", "DescribeInstances", EC2, &[]).await?.elements("instanceId").len())
    };
    proxy.rule(Rule::every("ec2:RunInstances", Fault::Reset));
    assert!(matches!(setup.query("ec2", "RunInstances", EC2, &launch).await, Err(EndpointError::Transport { .. })));
    assert_eq!(instances().await?, 0);
    proxy.clear_rules();
    proxy.rule(Rule::every("ec2:RunInstances", Fault::ResetAfter));
    assert!(matches!(setup.query("ec2", "RunInstances", EC2, &launch).await, Err(EndpointError::Transport { .. })));
    assert_eq!(instances().await?, 1);
    assert_eq!(proxy.requests().iter().map(|request| request.status).collect::<Vec<_>>(), [None, None]);
    Ok(())
}

/// Both kinds of reset are a reset on the wire, not an orderly end.
#[tokio::test]
async fn a_reset_is_one_of_tcp() -> Outcome {
    let (proxy, _, _) = proxy().await?;
    proxy.rule(Rule::every("*", Fault::Reset));
    let address = proxy.url().trim_start_matches("http://").to_owned();
    let outcome = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /b/k HTTP/1.1\r\nhost: x\r\n\r\n")?;
        stream.read(&mut [0; 16])
    })
    .await
    .expect("the client thread runs");
    assert_eq!(outcome.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    Ok(())
}

#[tokio::test]
async fn an_answer_breaks_off() -> Outcome {
    let (proxy, account, setup) = proxy().await?;
    let bucket = format!("cut-{}", account.id());
    account.bucket(&bucket).await?;
    account.put_object(&bucket, "big", vec![7_u8; 1 << 20]).await?;
    proxy.rule(Rule::new("s3:GetObject", Nth::First(1), Fault::CutAnswer(1000)));
    let path = format!("/{bucket}/big");
    let cut = setup.rest("s3", Method::GET, &path, "").await;
    assert!(matches!(cut, Err(EndpointError::Transport { .. })), "{cut:?}");
    assert_eq!(setup.rest("s3", Method::GET, &path, "").await?.body.len(), 1 << 20);
    assert_eq!(proxy.requests().iter().map(|request| request.response_bytes).collect::<Vec<_>>(), [1000, 1 << 20]);
    Ok(())
}

#[tokio::test]
async fn fields_of_answers_are_rewritten() -> Outcome {
    let (proxy, account, setup) = proxy().await?;
    let ids = account.launch("t3.micro", 1, &[("Name", "web")]).await?;
    account.parameter("/colour", "green", false).await?;
    proxy.rule(Rule::new(
        "ec2:DescribeInstances",
        Nth::First(1),
        Fault::RewriteField(Field::Xml("instanceState/name".into()), json!("pending")),
    ));
    proxy
        .rule(Rule::every("ssm:GetParameter", Fault::RewriteField(Field::Json("/Parameter/Version".into()), json!(7))));
    let state = async || -> Result<Vec<String>, EndpointError> {
        Ok(setup.query("ec2", "DescribeInstances", EC2, &[("InstanceId.1", &ids[0])]).await?.elements("name"))
    };
    assert!(state().await?.contains(&"pending".to_owned()));
    assert!(state().await?.contains(&"running".to_owned()));
    let found = setup.json("ssm", "AmazonSSM.GetParameter", &json!({ "Name": "/colour" })).await?;
    assert_eq!((&found["Parameter"]["Version"], &found["Parameter"]["Value"]), (&json!(7), &json!("green")));
    Ok(())
}

#[tokio::test]
async fn a_fixed_answer_keeps_the_endpoint_out() -> Outcome {
    let proxy = FaultProxy::start("http://127.0.0.1:1")?;
    let setup = Setup::new(&proxy.url(), "us-east-1", "AKID", "secret");
    let respond = Fault::Respond {
        status: 200,
        headers: vec![("content-type".into(), "application/x-amz-json-1.1".into())],
        body: r#"{"Commands":[]}"#.into(),
    };
    proxy.rule(Rule::every("ssm:ListCommands", respond));
    assert_eq!(setup.json("ssm", "AmazonSSM.ListCommands", &json!({})).await?, json!({ "Commands": [] }));
    let error = setup.json("ssm", "AmazonSSM.SendCommand", &json!({})).await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(502), Some("BadGateway")), "{error}");
    Ok(())
}

/// A caller that blocks its only thread still gets answers: tests run Outrigger as a child process that way.
#[tokio::test]
async fn a_blocked_caller_is_answered() -> Outcome {
    let (proxy, _, _) = proxy().await?;
    let mut stream = TcpStream::connect(proxy.url().trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
    stream.write_all(b"GET /_ministack/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

const SIZE: usize = 64 << 20;

/// Takes one upload, says so after its first MiB, and answers with as much.
fn large_upstream() -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (first, seen) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the proxy");
        let (mut got, mut buffer) = (0, vec![0; 1 << 16]);
        while got < SIZE {
            let count = stream.read(&mut buffer).expect("a piece of the body");
            assert_ne!(count, 0, "the body ends early");
            if got < 1 << 20 && got + count >= 1 << 20 {
                first.send(()).expect("a listener");
            }
            got += count;
        }
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").expect("a head");
        // The client may have seen enough by then.
        let _ = stream.write_all(&vec![1; SIZE]);
    });
    (url, seen)
}

/// Neither direction waits for the end of the other side's body, and nothing piles up before a client that is slow.
#[test]
fn large_bodies_stream() -> Outcome {
    let (upstream, seen) = large_upstream();
    let proxy = FaultProxy::start(&upstream)?;
    let mut stream = TcpStream::connect(proxy.url().trim_start_matches("http://")).expect("a connection");
    write!(stream, "PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: {SIZE}\r\n\r\n").expect("a head");
    stream.write_all(&vec![1; 2 << 20]).expect("the first piece");
    seen.recv_timeout(Duration::from_secs(20)).expect("the first piece must arrive before the others are sent");
    stream.write_all(&vec![1; SIZE - (2 << 20)]).expect("the rest");

    let mut head = [0; 15];
    stream.read_exact(&mut head).expect("the status line");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    std::thread::sleep(Duration::from_millis(300));
    let request = proxy.requests().remove(0);
    assert_eq!((request.name().as_str(), request.request_bytes), ("s3:PutObject", SIZE as u64));
    assert!(request.response_bytes < (SIZE / 2) as u64, "{} bytes were taken ahead", request.response_bytes);
    Ok(())
}
