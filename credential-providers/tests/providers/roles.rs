//! Assumed roles: external ids, other accounts, session policies, several hops, what is sent and what is not.

use outrigger_config::CredentialsBlock;
use outrigger_credential_providers::{PolicyAction, PolicyLimits, compress_session_policy};
use outrigger_endpoints::OutriggerAccess;
use outrigger_endpoints::policy::{allow, console_trust, may_assume};

use crate::support::{SECRET_PATH, World, access_key, block, credentials, keys_of, request, role};

const EC2: &str = "2016-11-15";
const EXTERNAL_ID: &str = "9f2c-4b1d";

/// The documented set-up over two accounts; the trust policy is exactly what the console writes.
async fn across(world: &World) -> (OutriggerAccess, outrigger_endpoints::Account) {
    let target = world.stack.new_account();
    let access = world.account.outrigger_access(&target, EXTERNAL_ID, &allow(&["ec2:*"], &["*"])).await.unwrap();
    (access, target)
}

fn with_external_id(access: &OutriggerAccess, external_id: Option<&str>) -> CredentialsBlock {
    let mut role = role(&access.role_arn, Some(access_key(&access.user)));
    role.external_id = external_id.map(str::to_owned);
    block(role)
}

#[tokio::test]
async fn the_right_external_id_opens_a_role_of_another_account() {
    let world = World::new().await;
    let (access, target) = across(&world).await;
    let providers = world.providers(&[], &[(SECRET_PATH, &access.user.secret)]);
    let identity = providers.validate(&request(&with_external_id(&access, Some(EXTERNAL_ID)))).await.unwrap();

    assert_eq!(identity.account, target.id());
    assert_eq!(identity.arn, format!("arn:aws:sts::{}:assumed-role/outrigger-jobs/outrigger-run-7-1", target.id()));
    assert_eq!((identity.partition.as_str(), identity.provider.as_str()), ("aws", "assume-role"));
    assert_eq!((identity.level.as_str(), identity.note), ("system level (outrigger.toml:3)", None));
    let principals: Vec<_> = identity.hops.iter().map(|hop| hop.principal.clone().unwrap()).collect();
    assert_eq!(principals, [access.user_arn, identity.arn]);
    assert_eq!(identity.hops[1].role_arn.as_deref(), Some(access.role_arn.as_str()));
}

/// The console's trust policy allows `sts:AssumeRole` alone, so nothing may be sent by default that needs more.
#[tokio::test]
async fn by_default_no_tags_and_no_source_identity_are_sent() {
    let world = World::new().await;
    let (access, _) = across(&world).await;
    let providers = world.providers(&[], &[(SECRET_PATH, &access.user.secret)]);
    credentials(&providers, &with_external_id(&access, Some(EXTERNAL_ID))).await.unwrap();
    let calls = world.calls("AssumeRole");
    assert_eq!(calls.len(), 1, "{calls:?}");
    for absent in ["Tags", "SourceIdentity", "DurationSeconds", "Policy"] {
        assert!(!calls[0].contains(absent), "{calls:?}");
    }
    assert!(calls[0].contains("RoleSessionName=outrigger-run-7-1"), "{calls:?}");
}

#[tokio::test]
async fn a_wrong_or_missing_external_id_is_refused_and_explained() {
    let world = World::new().await;
    let (access, target) = across(&world).await;
    let providers = world.providers(&[], &[(SECRET_PATH, &access.user.secret)]);
    for (name, external_id) in [("wrong_external_id", Some("9f2c-0000")), ("missing_external_id", None)] {
        let error = credentials(&providers, &with_external_id(&access, external_id)).await.unwrap_err();
        assert_eq!(error.code(), Some("AccessDenied"));
        assert!(!error.is_transient() && !error.is_absent());
        let message = world.plain(&error.to_string()).replace(target.id(), "444455556666");
        world.assert_no_secret(&message);
        insta::assert_snapshot!(name, message);
    }
}

#[tokio::test]
async fn tags_and_source_identity_are_sent_when_asked_for() {
    let world = World::new().await;
    let mut trust = console_trust(world.account.id(), None);
    trust["Statement"][0]["Action"] = serde_json::json!(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]);
    let target = world.account.role("tagged", &trust, None).await.unwrap();
    let actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let user = world.account.user("outrigger", Some(&allow(&actions, &[&target]))).await.unwrap();
    let providers = world.providers(&[], &[(SECRET_PATH, &user.secret)]);
    let mut tagged = role(&target, Some(access_key(&user)));
    tagged.tags.insert("project".to_owned(), "web".to_owned());
    tagged.source_identity = Some("ada".to_owned());
    tagged.session_name = Some("named".to_owned());
    tagged.duration_seconds = Some(7_200);
    credentials(&providers, &block(tagged)).await.unwrap();
    let calls = world.calls("AssumeRole").join(" ");
    for sent in ["project", "web", "SourceIdentity=ada", "RoleSessionName=named", "DurationSeconds=7200"] {
        assert!(calls.contains(sent), "{sent} in {calls}");
    }
}

#[tokio::test]
async fn a_session_policy_narrows_the_role() {
    let world = World::new().await;
    let (access, target) = across(&world).await;
    let providers = world.providers(&[], &[(SECRET_PATH, &access.user.secret)]);
    let wide = request(&with_external_id(&access, Some(EXTERNAL_ID)));
    let mut narrow = wide.clone();
    let actions = [PolicyAction::direct("ec2:DescribeInstances")];
    narrow.session_policy = Some(compress_session_policy(&actions, &PolicyLimits::default()).unwrap());

    let images = [("Owner.1", "self")];
    let wide = target.as_keys(&keys_of(&providers.provider(&wide).credentials().await.unwrap()));
    wide.query("ec2", "DescribeInstances", EC2, &[]).await.unwrap();
    wide.query("ec2", "DescribeImages", EC2, &images).await.unwrap();
    let narrow = target.as_keys(&keys_of(&providers.provider(&narrow).credentials().await.unwrap()));
    narrow.query("ec2", "DescribeInstances", EC2, &[]).await.unwrap();
    let refused = narrow.query("ec2", "DescribeImages", EC2, &images).await.unwrap_err();
    assert_eq!(refused.code(), Some("UnauthorizedOperation"));
}

#[tokio::test]
async fn two_hops_send_the_policy_with_the_last_one_only() {
    let world = World::new().await;
    let target = world.stack.new_account();
    let second = format!("arn:aws:iam::{}:role/second", target.id());
    let trust = console_trust(world.account.id(), None);
    let first = world.account.role("first", &trust, Some(&may_assume(&[&second]))).await.unwrap();
    target.role("second", &trust, Some(&allow(&["ec2:*"], &["*"]))).await.unwrap();
    let user = world.account.user("outrigger", Some(&may_assume(&[&first]))).await.unwrap();
    let providers = world.providers(&[], &[(SECRET_PATH, &user.secret)]);

    let blocks = block(role(&second, Some(block(role(&first, Some(access_key(&user)))))));
    let mut request = request(&blocks);
    let actions = [PolicyAction::direct("ec2:DescribeInstances")];
    request.session_policy = Some(compress_session_policy(&actions, &PolicyLimits::default()).unwrap());
    let identity = providers.validate(&request).await.unwrap();

    assert_eq!(identity.arn, format!("arn:aws:sts::{}:assumed-role/second/outrigger-run-7-1", target.id()));
    assert_eq!(identity.hops.len(), 3);
    let calls = world.calls("AssumeRole");
    assert_eq!(calls.iter().map(|call| call.contains("Policy=")).collect::<Vec<_>>(), [false, true], "{calls:?}");

    // The third hop does not exist: the report shows how far it went, and the message which hop failed.
    let block =
        request.block.clone().with_hop(role(&format!("arn:aws:iam::{}:role/third", target.id()), None)).unwrap();
    let failure =
        providers.validate(&outrigger_credential_providers::CredentialRequest { block, ..request }).await.unwrap_err();
    assert_eq!(failure.hops.iter().map(|hop| hop.error.is_some()).collect::<Vec<_>>(), [false, false, false, true]);
    insta::assert_snapshot!("third_hop", world.plain(&failure.to_string()).replace(target.id(), "444455556666"));
}

/// A role asked for with the keys of another role lasts an hour at most, so more is never asked for.
#[tokio::test]
async fn a_role_that_a_task_asks_for_lasts_an_hour_at_most() {
    let world = World::new().await;
    let target = world.account.role("target", &console_trust(world.account.id(), None), None).await.unwrap();
    let task = world.task(world.vendor("task", &["sts:AssumeRole"], 900).await, None);
    let providers = world.providers(&[], &[]);
    let mut long = role(&target, Some(crate::support::ecs(&task.full_uri("/v2/credentials/task"))));
    long.duration_seconds = Some(43_200);
    credentials(&providers, &block(long)).await.unwrap();
    let call = world.calls("AssumeRole").join(" ");
    assert!(call.contains("DurationSeconds=3600"), "{call}");
}

#[tokio::test]
async fn without_a_region_us_east_1_is_asked_and_that_is_said() {
    let world = World::new().await;
    let user = world.user("reader").await;
    let providers = world.providers(&[], &[(SECRET_PATH, &user.secret)]);
    let mut request = request(&access_key(&user));
    request.region = None;
    let identity = providers.validate(&request).await.unwrap();
    assert_eq!(identity.region, "us-east-1");
    insta::assert_snapshot!("no_region", identity.note.unwrap());
    assert!(world.recorder.requests().iter().all(|request| request.region.as_deref() == Some("us-east-1")));
}
