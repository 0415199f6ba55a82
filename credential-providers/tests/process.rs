//! What depends on variables of the process: the cached sign-in of IAM Identity Center, which the SDK looks for in the home
//! folder of the process and nowhere else, and proxies. This test is a program of its own that starts itself again with
//! the variables set.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use outrigger_config::{CredentialsBlock, KeyPath};
use outrigger_credential_providers::{
    CredentialRequest, CredentialsError, Env, Level, Origin, Providers, ProvidersContext, Proxy, ResolvedBlock,
    SessionName, http_client,
};
use outrigger_endpoints::{Fault, FaultProxy, Instance, InstanceMetadata, Keys, Rule, Vendor};
use outrigger_redaction::Secret;

const START: &str = "https://octo.awsapps.com/start";
const CONFIG: &str = "[profile dev]\nsso_session = octo\nsso_account_id = 111122223333\nsso_role_name = Operator\n\
    [profile stale]\nsso_session = old\nsso_account_id = 111122223333\nsso_role_name = Operator\n\
    [sso-session octo]\nsso_region = us-east-1\nsso_start_url = https://octo.awsapps.com/start\n\
    [sso-session old]\nsso_region = us-east-1\nsso_start_url = https://octo.awsapps.com/start\n";
/// The SHA-1 of `octo` and of `old`: the cache names its files so.
const OCTO: &str = "6e1cc60e25630284701a7bea25813c453e76ad9b";
const OLD: &str = "c00dbbc9dadfbe1e232e93a729dd4752fade0abf";
const INSIDE: &str = "OUTRIGGER_TEST_CASE";

fn main() {
    match std::env::var(INSIDE).as_deref() {
        Ok("sign-in") => run(inside_home()),
        Ok("proxy") => run(behind_proxy()),
        _ => {
            a_cached_sign_in_gives_credentials();
            the_proxy_of_the_environment_is_used_and_not_for_metadata();
        }
    }
}

fn run(case: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
}

/// This program again, with `case` and these variables.
fn again(case: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let status = command.env(INSIDE, case).envs(variables.iter().copied()).status().unwrap();
    assert!(status.success(), "{case}: {status}");
    println!("{case} ... ok");
}

fn a_cached_sign_in_gives_credentials() {
    let home = tempfile::tempdir().unwrap();
    let aws = home.path().join(".aws");
    std::fs::create_dir_all(aws.join("sso/cache")).unwrap();
    std::fs::write(aws.join("config"), CONFIG).unwrap();
    sign_in(&aws, OCTO, "2099-01-01T00:00:00Z");
    sign_in(&aws, OLD, "2020-01-01T00:00:00Z");
    again("sign-in", &[("HOME", &home.path().display().to_string())]);
}

/// A proxy that writes down what it is asked for, and refuses it.
fn the_proxy_of_the_environment_is_used_and_not_for_metadata() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).unwrap_or_default();
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            lines.lock().unwrap().push(text.lines().next().unwrap_or_default().to_owned());
            let _ = socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
    });
    again("proxy", &[("HTTPS_PROXY", &url), ("HTTP_PROXY", &url)]);
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty());
    for line in asked.iter() {
        assert_eq!(line, "CONNECT sts.us-east-1.amazonaws.com:443 HTTP/1.1");
    }
}

async fn behind_proxy() {
    let nothing = |_: &KeyPath| Err("nothing is stored".to_owned());
    let ignore = |_: &Secret| {};
    let client = http_client(None, Proxy::Environment).unwrap();
    let mut context = ProvidersContext::new(client, Arc::new(nothing), Arc::new(ignore));
    let instance = Instance::new("111122223333", "us-east-1", "instance");
    let metadata = InstanceMetadata::start(instance, Vendor::fixed(Keys::new("ASIA", "x"))).unwrap();
    context.env = Env::fixed([("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url())]);
    let resolved = ResolvedBlock::resolve(&CredentialsBlock::Ec2 {}, Level::System, None).unwrap();
    let request = CredentialRequest::new(resolved, Origin::level(Level::System), SessionName::for_run(7));
    let failure = Providers::new(context).validate(&request).await.unwrap_err();
    assert_eq!(metadata.vended(), 1);
    assert!(matches!(failure.error.inner(), CredentialsError::CallerIdentity { .. }), "{failure}");
}

/// The file that `aws sso login` leaves.
fn sign_in(aws: &Path, name: &str, expires: &str) {
    let token = serde_json::json!({
        "startUrl": START, "region": "us-east-1", "accessToken": "a-sign-in-token", "expiresAt": expires,
    });
    std::fs::write(aws.join("sso/cache").join(format!("{name}.json")), token.to_string()).unwrap();
}

async fn inside_home() {
    let portal = FaultProxy::start("http://127.0.0.1:9").unwrap();
    let keys = serde_json::json!({"roleCredentials": {
        "accessKeyId": "ASIASSO", "secretAccessKey": "sso-secret-key", "sessionToken": "sso-session-token",
        "expiration": 4_070_908_800_000_i64,
    }});
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    portal.rule(Rule::every("*", Fault::Respond { status: 200, headers, body: keys.to_string().into() }));

    let seen = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&seen);
    let nothing = |_: &KeyPath| Err("nothing is stored".to_owned());
    let observe = move |secret: &Secret| observed.lock().unwrap().push(secret.expose().to_owned());
    let mut context =
        ProvidersContext::new(http_client(None, Proxy::Off).unwrap(), Arc::new(nothing), Arc::new(observe));
    context.env = Env::fixed([("HOME", std::env::var("HOME").unwrap())]);
    context.endpoints.endpoint_urls.insert("sso".to_owned(), portal.url());
    let providers = Providers::new(context);
    let request = |name: &str| {
        let block = CredentialsBlock::Profile { name: Some(name.to_owned()) };
        let resolved = ResolvedBlock::resolve(&block, Level::System, None).unwrap();
        CredentialRequest::new(resolved, Origin::level(Level::System), SessionName::for_run(7))
    };

    let credentials = providers.provider(&request("dev")).credentials().await.unwrap();
    assert_eq!(credentials.access_key_id(), "ASIASSO");
    for secret in ["sso-secret-key", "sso-session-token"] {
        assert!(seen.lock().unwrap().iter().any(|seen| seen == secret));
    }
    assert_eq!(portal.requests().len(), 1);
    assert_eq!(portal.requests()[0].path, "/federation/credentials");

    let error = providers.provider(&request("stale")).credentials().await.unwrap_err();
    assert!(matches!(error.inner(), CredentialsError::Profile { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("expired") && message.ends_with("run `aws sso login --profile stale`"), "{message}");
    assert!(!message.contains("a-sign-in-token"), "{message}");
}
