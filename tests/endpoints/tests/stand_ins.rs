//! The stand-ins are as strict as what they stand for, and their keys work.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use outrigger_endpoints::{
    Account, ContainerCredentials, EndpointError, Hops, Instance, InstanceMetadata, Keys, Ministack, Task, TokenIssuer,
    Vendor, policy,
};
use serde_json::Value;

type Outcome = Result<(), EndpointError>;

async fn send(method: Method, url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).expect("a valid request");
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn get(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    send(Method::GET, url, headers).await
}

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";

fn keys_of(text: &str) -> Keys {
    let json: Value = serde_json::from_str(text).expect("a credentials document");
    let field = |name: &str| json[name].as_str().expect("a member").to_owned();
    Keys { token: Some(field("Token")), ..Keys::new(field("AccessKeyId"), field("SecretAccessKey")) }
}

async fn caller(account: &Account, keys: &Keys) -> Result<String, EndpointError> {
    let answer = account.as_keys(keys).query("sts", "GetCallerIdentity", "2011-06-15", &[]).await?;
    Ok(answer.element("Arn").unwrap_or_default())
}

#[tokio::test]
async fn instance_metadata_wants_its_token() -> Outcome {
    let vendor = Vendor::fixed(Keys::new("AKID", "secret"));
    let server = InstanceMetadata::start(Instance::new("111122223333", "eu-west-1", "web"), vendor)?;
    let at = |path: &str| format!("{}/latest/{path}", server.url());
    let role = at("meta-data/iam/security-credentials/");

    assert_eq!(get(&role, &[]).await.0, 401);
    assert_eq!(get(&role, &[(TOKEN, "made-up")]).await.0, 401);
    assert_eq!(send(Method::PUT, &at("api/token"), &[]).await.0, 400);
    for ttl in ["0", "21601", "long"] {
        assert_eq!(send(Method::PUT, &at("api/token"), &[(TTL, ttl)]).await.0, 400, "{ttl}");
    }
    assert_eq!(send(Method::PUT, &at("api/token"), &[(TTL, "60"), ("x-forwarded-for", "10.0.0.1")]).await.0, 403);
    assert_eq!(get(&at("api/token"), &[(TTL, "60")]).await.0, 405);

    let (status, token) = send(Method::PUT, &at("api/token"), &[(TTL, "60")]).await;
    assert_eq!(status, 200);
    let shown = [(TOKEN, token.as_str())];
    assert_eq!(get(&role, &shown).await, (200, "web".into()));
    assert_eq!(get(&at("meta-data/placement/region"), &shown).await, (200, "eu-west-1".into()));
    assert!(get(&at("dynamic/instance-identity/document"), &shown).await.1.contains("\"accountId\":\"111122223333\""));
    assert_eq!(get(&at("meta-data/iam/security-credentials/other"), &shown).await.0, 404);
    assert_eq!(get(&at("meta-data/nothing"), &shown).await.0, 404);
    assert_eq!(server.vended(), 0);

    let (_, short) = send(Method::PUT, &at("api/token"), &[(TTL, "1")]).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(get(&role, &[(TOKEN, &short)]).await.0, 401);
    Ok(())
}

#[tokio::test]
async fn instance_keys_are_those_of_the_role() -> Outcome {
    let account = Ministack::shared().await?.new_account();
    let (arn, vendor) = account
        .service_role("web", "ec2.amazonaws.com", &policy::allow(&["ec2:*"], &["*"]), Duration::from_secs(900))
        .await?;
    assert!(arn.ends_with(":role/web"));
    let server = InstanceMetadata::start(Instance::new(account.id(), "us-east-1", "web"), vendor)?;
    let (_, token) = send(Method::PUT, &format!("{}/latest/api/token", server.url()), &[(TTL, "60")]).await;
    let path = format!("{}/latest/meta-data/iam/security-credentials/web", server.url());
    let (status, document) = get(&path, &[(TOKEN, &token)]).await;
    assert_eq!(status, 200, "{document}");
    assert!(caller(&account, &keys_of(&document)).await?.contains(":assumed-role/web/"));
    assert_eq!(server.vended(), 1);
    Ok(())
}

#[tokio::test]
async fn too_many_hops_mean_no_answer_to_the_token_request() -> Outcome {
    let instance = Instance { hops: Hops::TooFar, ..Instance::new("111122223333", "eu-west-1", "web") };
    let server = InstanceMetadata::start(instance, Vendor::fixed(Keys::new("AKID", "secret")))?;
    let url = format!("{}/latest/api/token", server.url());
    let asked = tokio::time::timeout(Duration::from_millis(300), send(Method::PUT, &url, &[(TTL, "60")])).await;
    assert!(asked.is_err());
    assert_eq!(get(&format!("{}/latest/meta-data/instance-id", server.url()), &[]).await.0, 401);
    Ok(())
}

#[tokio::test]
async fn an_instance_without_a_role_has_no_credentials() -> Outcome {
    let instance = Instance { role: None, ..Instance::new("111122223333", "eu-west-1", "web") };
    let server = InstanceMetadata::start(instance, Vendor::fixed(Keys::new("AKID", "secret")))?;
    let (_, token) = send(Method::PUT, &format!("{}/latest/api/token", server.url()), &[(TTL, "60")]).await;
    let path = format!("{}/latest/meta-data/iam/security-credentials/", server.url());
    assert_eq!(get(&path, &[(TOKEN, &token)]).await.0, 404);
    Ok(())
}

#[tokio::test]
async fn container_credentials_want_path_and_token() -> Outcome {
    let account = Ministack::shared().await?.new_account();
    let permissions = policy::allow(&["s3:*"], &["*"]);
    let (role_arn, vendor) =
        account.service_role("task", "ecs-tasks.amazonaws.com", &permissions, Duration::from_secs(900)).await?;
    let path = "/v2/credentials/0b0dc5d1";
    let task = Task { path: path.into(), token: Some("Bearer one".into()), role_arn, vendor };
    let server = ContainerCredentials::start(vec![task])?;
    let url = server.full_uri(path);

    assert_eq!(get(&url, &[]).await.0, 400);
    for wrong in ["one", "bearer one", "Bearer one2"] {
        assert_eq!(get(&url, &[("authorization", wrong)]).await.0, 401, "{wrong}");
    }
    assert_eq!(get(&server.full_uri("/v2/credentials/other"), &[("authorization", "Bearer one")]).await.0, 404);
    assert_eq!(send(Method::POST, &url, &[("authorization", "Bearer one")]).await.0, 405);
    assert_eq!(server.vended(), 0);

    let (status, document) = get(&url, &[("authorization", "Bearer one")]).await;
    assert_eq!(status, 200, "{document}");
    assert!(document.contains(":role/task\""), "{document}");
    assert!(caller(&account, &keys_of(&document)).await?.contains(":assumed-role/task/"));

    server.set_token(path, "Bearer two");
    assert_eq!(get(&url, &[("authorization", "Bearer one")]).await.0, 401);
    assert_eq!(get(&url, &[("authorization", "Bearer two")]).await.0, 200);
    assert_eq!((server.vended(), server.visits().len()), (2, 9));
    Ok(())
}

#[tokio::test]
async fn the_token_issuer_checks_its_bearer() -> Outcome {
    let issuer = TokenIssuer::start("request-token", "repo:octo/shop:ref:refs/heads/main")?;
    let url = format!("{}&audience=sts.amazonaws.com", issuer.request_url());
    assert_eq!(get(&url, &[]).await.0, 401);
    assert_eq!(get(&url, &[("authorization", "bearer other")]).await.0, 401);
    let (status, answer) = get(&url, &[("authorization", "bearer request-token")]).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let token = answer["value"].as_str().expect("a token");

    let account = Ministack::shared().await?.new_account();
    let trust = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {
                "Federated":
                    format!("arn:aws:iam::{}:oidc-provider/token.actions.githubusercontent.com", account.id()),
            },
        }],
    });
    let arn = account.role("ci", &trust, None).await?;
    let params = [("RoleArn", arn.as_str()), ("RoleSessionName", "ci"), ("WebIdentityToken", token)];
    let made = account.root().query("sts", "AssumeRoleWithWebIdentity", "2011-06-15", &params).await?;
    assert!(made.element("AssumedRoleId").is_some());
    Ok(())
}
