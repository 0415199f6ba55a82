//! What a person gets who has configured nothing.

use outrigger_credential_providers::{
    CredentialRequest, CredentialsError, Level, Origin, Providers, ResolvedBlock, SessionName,
};
use outrigger_endpoints::{Instance, InstanceMetadata, TokenIssuer};

use crate::support::World;

fn nothing_configured() -> CredentialRequest {
    CredentialRequest::new(ResolvedBlock::default_chain(), Origin::level(Level::Default), SessionName::for_run(7))
}

async fn who(providers: &Providers) -> (String, String) {
    let identity = providers.validate(&nothing_configured()).await.unwrap();
    (identity.provider, identity.arn)
}

/// environment → profile → web identity → ECS → EC2, each taken away in turn.
#[tokio::test]
async fn the_order_is_that_of_the_command_line() {
    let world = World::new().await;
    let (first, second) = (world.user("first").await, world.user("second").await);
    let ci = world.federated_role("ci").await;
    let aws = world.home.path().join(".aws");
    std::fs::create_dir_all(&aws).unwrap();
    let credentials =
        format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", second.access, second.secret);
    std::fs::write(aws.join("credentials"), credentials).unwrap();
    let token = world.home.path().join("token");
    std::fs::write(&token, TokenIssuer::token("x", "sts.amazonaws.com")).unwrap();
    let task = world.task(world.vendor("task", &["ec2:*"], 900).await, None);
    let instance = Instance::new(world.account.id(), "us-east-1", "instance");
    let metadata = InstanceMetadata::start(instance, world.vendor("instance", &["ec2:*"], 901).await).unwrap();

    let all = [
        ("AWS_ACCESS_KEY_ID", first.access.clone()),
        ("AWS_SECRET_ACCESS_KEY", first.secret.clone()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
        ("AWS_ROLE_ARN", ci),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", task.full_uri("/v2/credentials/task")),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url()),
    ];
    let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let id = world.account.id().to_owned();
    let from = |skip: usize| world.providers(&all[skip..], &[]);

    assert_eq!(who(&from(0)).await, ("environment".to_owned(), format!("arn:aws:iam::{id}:user/first")));
    assert_eq!(who(&from(2)).await, ("profile `default`".to_owned(), format!("arn:aws:iam::{id}:user/second")));
    std::fs::remove_file(aws.join("credentials")).unwrap();
    assert_eq!(
        who(&from(2)).await,
        ("web-identity".to_owned(), format!("arn:aws:sts::{id}:assumed-role/ci/outrigger"))
    );
    assert_eq!(who(&from(4)).await, ("ecs".to_owned(), format!("arn:aws:sts::{id}:assumed-role/task/set-up")));
    assert_eq!(who(&from(5)).await, ("ec2".to_owned(), format!("arn:aws:sts::{id}:assumed-role/instance/set-up")));
}

/// What a person has chosen and what fails is told; it is not replaced by what happens to be there.
#[tokio::test]
async fn a_chosen_provider_that_fails_ends_the_chain() {
    let world = World::new().await;
    let task = world.task(world.vendor("task", &["ec2:*"], 900).await, None);
    let uri = task.full_uri("/v2/credentials/task");
    let variables = [("AWS_PROFILE", "typo"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str())];
    let error = world.providers(&variables, &[]).provider(&nothing_configured()).credentials().await.unwrap_err();
    assert!(matches!(error.inner(), CredentialsError::Profile { profile, .. } if profile == "typo"), "{error}");
    assert_eq!(task.vended(), 0);
}

#[tokio::test]
async fn nothing_at_all_says_what_was_tried_and_what_to_do() {
    let world = World::new().await;
    let error = world.providers(&[], &[]).provider(&nothing_configured()).credentials().await.unwrap_err();
    assert!(error.is_absent());
    insta::assert_snapshot!("nothing_configured", error.to_string());
}
