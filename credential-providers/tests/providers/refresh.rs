//! The cache with real expiry: credentials of two seconds, and many who ask at once.

use std::time::{Duration, Instant};

use aws_sdk_sts::config::{BehaviorVersion, IdentityCache, Region};
use http::Method;
use outrigger_credential_providers::{Proxy, http_client};
use outrigger_endpoints::{Instance, InstanceMetadata, policy::console_trust};

use crate::support::{World, block, ecs, keys_of, request, role};
use outrigger_config::CredentialsBlock;

#[tokio::test]
async fn a_step_outlives_its_two_second_credential() {
    let world = World::new().await;
    let task = world.task(world.vendor("task", &["s3:*"], 2).await, None);
    let providers = world.providers(&[], &[]);
    let provider = providers.provider(&request(&ecs(&task.full_uri("/v2/credentials/task"))));
    let first = provider.credentials().await.unwrap();

    // A client as a step has it, with the SDK's own cache off.
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client(None, Proxy::Off).unwrap())
        .region(Region::new("us-east-1"))
        .endpoint_url(world.recorder.url())
        .identity_cache(IdentityCache::no_cache())
        .credentials_provider(provider.clone())
        .build();
    let client = aws_sdk_sts::Client::from_conf(config);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        client.get_caller_identity().send().await.unwrap();
        let keys = keys_of(&provider.credentials().await.unwrap());
        world.account.as_keys(&keys).rest("s3", Method::GET, "/", "").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((2..=8).contains(&task.vended()), "{} credentials in five seconds", task.vended());
    let expired = world.account.as_keys(&keys_of(&first)).rest("s3", Method::GET, "/", "").await.unwrap_err();
    // The endpoint forgets sessions some time after they expired; AWS always says ExpiredToken.
    let refused = matches!(expired.code(), Some("ExpiredToken" | "InvalidAccessKeyId"));
    assert!(refused, "the first credential would have lasted: {expired}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_steps_at_once_cause_one_refresh_of_every_hop() {
    let world = World::new().await;
    let target = world.account.role("target", &console_trust(world.account.id(), None), None).await.unwrap();
    let instance = Instance::new(world.account.id(), "us-east-1", "instance");
    let metadata = InstanceMetadata::start(instance, world.vendor("instance", &["sts:AssumeRole"], 900).await).unwrap();
    let providers = world.providers(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url())], &[]);
    let request = request(&block(role(&target, Some(CredentialsBlock::Ec2 {}))));
    let steps: Vec<_> = (0..50)
        .map(|_| {
            let (providers, request) = (providers.clone(), request.clone());
            tokio::spawn(
                async move { providers.provider(&request).credentials().await.unwrap().access_key_id().to_owned() },
            )
        })
        .collect();
    let mut ids = Vec::new();
    for step in steps {
        ids.push(step.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(metadata.vended(), 1);
    assert_eq!(world.calls("AssumeRole").len(), 1);
}

/// Steps of one run have session names of their own, and what stands before the role is still fetched once.
#[tokio::test]
async fn a_base_is_fetched_once_for_all_roles() {
    let world = World::new().await;
    let target = world.account.role("target", &console_trust(world.account.id(), None), None).await.unwrap();
    let task = world.task(world.vendor("task", &["sts:AssumeRole"], 900).await, None);
    let providers = world.providers(&[], &[]);
    let mut arns = Vec::new();
    for step in 1..=3 {
        let mut request = request(&block(role(&target, Some(ecs(&task.full_uri("/v2/credentials/task"))))));
        request.session_name = outrigger_credential_providers::SessionName::for_step(7, step);
        arns.push(providers.validate(&request).await.unwrap().arn);
    }
    assert!(arns[2].ends_with("/outrigger-run-7-3"), "{arns:?}");
    assert_eq!(task.vended(), 1);
    assert_eq!(world.calls("AssumeRole").len(), 3);
}
