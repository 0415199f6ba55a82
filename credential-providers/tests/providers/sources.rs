//! Each provider that gives credentials, and that redaction knows their secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_credential_types::Credentials;
use outrigger_config::{CredentialsBlock, WebIdentityToken};
use outrigger_credential_providers::{BoxFuture, ComponentProvider, Providers};
use outrigger_endpoints::{Hops, Instance, InstanceMetadata, TokenIssuer};

use crate::support::{SECRET_PATH, World, access_key, credentials, ecs, request};

const PATH: &str = "/v2/credentials/task";

#[tokio::test]
async fn an_access_key_is_read_from_key_storage() {
    let world = World::new().await;
    let user = world.user("ada").await;
    let providers = world.providers(&[], &[(SECRET_PATH, &user.secret)]);
    let identity = providers.validate(&request(&access_key(&user))).await.unwrap();
    assert_eq!(identity.arn, format!("arn:aws:iam::{}:user/ada", world.account.id()));
    assert!(world.seen.has(&user.secret));
}

#[tokio::test]
async fn the_environment_gives_keys() {
    let world = World::new().await;
    let user = world.user("ada").await;
    let variables = [("AWS_ACCESS_KEY_ID", user.access.as_str()), ("AWS_SECRET_ACCESS_KEY", user.secret.as_str())];
    let identity =
        world.providers(&variables, &[]).validate(&request(&CredentialsBlock::Environment {})).await.unwrap();
    assert_eq!(identity.provider, "environment");
    assert!(world.seen.has(&user.secret));
}

#[tokio::test]
async fn an_instance_gives_the_keys_of_its_role() {
    let world = World::new().await;
    let instance = Instance::new(world.account.id(), "us-east-1", "instance");
    let metadata = InstanceMetadata::start(instance, world.vendor("instance", &["ec2:*"], 900).await).unwrap();
    let providers = world.providers(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url())], &[]);
    let identity = providers.validate(&request(&CredentialsBlock::Ec2 {})).await.unwrap();
    assert_eq!(identity.arn, format!("arn:aws:sts::{}:assumed-role/instance/set-up", world.account.id()));
    let visits: Vec<_> = metadata.visits().into_iter().map(|visit| (visit.method, visit.status)).collect();
    let wanted = [("PUT", 200), ("GET", 200), ("GET", 200)].map(|(method, status)| (method.to_owned(), status));
    assert_eq!(visits, wanted, "a token first, then the role and its keys");
    assert!(world.seen.all().len() >= 2);
}

#[tokio::test]
async fn a_task_gives_the_keys_of_its_role() {
    let world = World::new().await;
    let task = world.task(world.vendor("task", &["ec2:*"], 900).await, Some("Basic c2VjcmV0"));
    let by_variable = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", task.full_uri(PATH)),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic c2VjcmV0".to_owned()),
    ];
    let by_variable: Vec<_> = by_variable.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let unset = CredentialsBlock::Ecs { full_uri: None, authorization_token_file: None };
    let identity = world.providers(&by_variable, &[]).validate(&request(&unset)).await.unwrap();
    assert_eq!(identity.arn, format!("arn:aws:sts::{}:assumed-role/task/set-up", world.account.id()));
    assert!(world.seen.has("Basic c2VjcmV0"));

    let file = world.home.path().join("token");
    std::fs::write(&file, "Basic c2VjcmV0\n").unwrap();
    let by_block =
        CredentialsBlock::Ecs { full_uri: Some(task.full_uri(PATH)), authorization_token_file: Some(file.clone()) };
    let providers = world.providers(&[], &[]);
    credentials(&providers, &by_block).await.unwrap();

    // The agent replaces the file while the process runs.
    task.set_token(PATH, "Basic bmV1");
    std::fs::write(&file, "Basic bmV1\n").unwrap();
    credentials(&world.providers(&[], &[]), &by_block).await.unwrap();
}

/// The endpoint reads a token's claims and no signature, so what is shown is the ways to a token and the role's trust.
#[tokio::test]
async fn a_web_identity_comes_from_a_file_a_variable_or_github() {
    let world = World::new().await;
    let role_arn = world.federated_role("ci").await;
    let token = TokenIssuer::token("project_path:octo/shop", "sts.amazonaws.com");
    let file = world.home.path().join("token");
    std::fs::write(&file, &token).unwrap();
    let issuer = TokenIssuer::start("runner-bearer", "repo:octo/shop:ref:refs/heads/main").unwrap();
    let (file_text, request_url) = (file.display().to_string(), issuer.request_url());
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file_text.as_str()),
        ("AWS_ROLE_ARN", role_arn.as_str()),
        ("GITLAB_TOKEN", token.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", request_url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-bearer"),
    ];
    let providers = world.providers(&variables, &[]);
    for token in [
        None,
        Some(WebIdentityToken::File(file.clone())),
        Some(WebIdentityToken::Variable("GITLAB_TOKEN".to_owned())),
        Some(WebIdentityToken::Github { audience: "sts.amazonaws.com".to_owned() }),
    ] {
        let block = CredentialsBlock::WebIdentity { role_arn: None, token, session_name: None, duration_seconds: None };
        let identity = providers.validate(&request(&block)).await.unwrap();
        assert_eq!(identity.arn, format!("arn:aws:sts::{}:assumed-role/ci/outrigger-run-7-1", world.account.id()));
    }
    assert!(world.seen.has(&token) && world.seen.has("runner-bearer"));
    assert_eq!(issuer.visits().len(), 1);
    let calls: Vec<_> =
        world.recorder.requests().into_iter().filter(|call| call.operation == "AssumeRoleWithWebIdentity").collect();
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call.access_key.is_none()), "the call carries no signature");
}

#[tokio::test]
async fn a_chain_takes_the_first_that_yields() {
    let world = World::new().await;
    let user = world.user("ada").await;
    let providers = world.providers(&[], &[(SECRET_PATH, &user.secret)]);
    let chain = CredentialsBlock::Chain {
        providers: vec![CredentialsBlock::Environment {}, ecs("http://127.0.0.1:1/none"), access_key(&user)],
    };
    let identity = providers.validate(&request(&chain)).await.unwrap();
    assert_eq!((identity.arn.ends_with(":user/ada"), identity.provider.as_str()), (true, "access-key"));
}

struct Vault;

impl ComponentProvider for Vault {
    fn provide<'a>(
        &'a self,
        name: &'a str,
        config: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<Credentials, String>> {
        Box::pin(async move {
            assert_eq!(name, "vault");
            let part = |key: &str| config.get(key).cloned().ok_or_else(|| format!("`{key}` is missing in its config"));
            Ok(Credentials::new(part("id")?, part("secret")?, None, None, "vault"))
        })
    }
}

#[tokio::test]
async fn a_component_gives_credentials() {
    let world = World::new().await;
    let user = world.user("ada").await;
    let mut context = world.context(&[], &[]);
    context.components = Arc::new(Vault);
    let config = [("id".to_owned(), user.access.clone()), ("secret".to_owned(), user.secret.clone())];
    let block = CredentialsBlock::Component { name: "vault".to_owned(), config: config.into() };
    let identity = Providers::new(context).validate(&request(&block)).await.unwrap();
    assert_eq!(identity.provider, "component `vault`");
    assert!(world.seen.has(&user.secret));
}

/// In a container with the default hop limit the answer to the token request never arrives.
#[tokio::test]
async fn an_instance_that_is_too_many_hops_away_is_explained() {
    let world = World::new().await;
    let mut instance = Instance::new(world.account.id(), "us-east-1", "instance");
    instance.hops = Hops::TooFar;
    let metadata = InstanceMetadata::start(instance, world.vendor("instance", &["ec2:*"], 900).await).unwrap();
    let providers = world.providers(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url())], &[]);
    let begun = std::time::Instant::now();
    let error = credentials(&providers, &CredentialsBlock::Ec2 {}).await.unwrap_err();
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    insta::assert_snapshot!("hop_limit", error.to_string().replace(&metadata.url(), "http://METADATA"));
}
