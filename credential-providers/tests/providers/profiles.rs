//! Profiles of the shared AWS configuration files.

use std::sync::{Arc, Mutex};

use outrigger_config::CredentialsBlock;
use outrigger_credential_providers::{BoxFuture, MfaPrompter, Providers};
use outrigger_endpoints::policy::{console_trust, may_assume};
use outrigger_redaction::Secret;

use crate::support::{World, credentials, request};

fn profile(name: &str) -> CredentialsBlock {
    CredentialsBlock::Profile { name: Some(name.to_owned()) }
}

/// Writes `~/.aws/config`.
fn write(world: &World, text: &str) {
    let folder = world.home.path().join(".aws");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config"), text).unwrap();
}

/// A user `ada` who may assume the role `target`, as two profiles; `more` goes into the second.
async fn two_profiles(world: &World, more: &str) {
    let target = world.account.role("target", &console_trust(world.account.id(), Some("42")), None).await.unwrap();
    let user = world.account.user("ada", Some(&may_assume(&[&target]))).await.unwrap();
    let text = format!(
        "[profile base]\naws_access_key_id = {}\naws_secret_access_key = {}\n\
         [profile target]\nrole_arn = {target}\nsource_profile = base\nexternal_id = 42\n{more}\n",
        user.access, user.secret
    );
    write(world, &text);
}

#[tokio::test]
async fn a_profile_assumes_a_role_with_its_source_profile() {
    let world = World::new().await;
    two_profiles(&world, "role_session_name = ada\nduration_seconds = 1800").await;
    let providers = world.providers(&[], &[]);
    let identity = providers.validate(&request(&profile("target"))).await.unwrap();
    assert_eq!(identity.arn, format!("arn:aws:sts::{}:assumed-role/target/ada", world.account.id()));
    assert_eq!(identity.provider, "profile `target`");
    assert!(world.calls("AssumeRole").join("").contains("DurationSeconds=1800"));

    // The same by AWS_PROFILE, and with a role of the block after those of the profile.
    let by_variable = world.providers(&[("AWS_PROFILE", "base")], &[]);
    let identity = by_variable.validate(&request(&CredentialsBlock::Profile { name: None })).await.unwrap();
    assert_eq!(identity.arn, format!("arn:aws:iam::{}:user/ada", world.account.id()));
}

#[tokio::test]
async fn a_credential_process_gives_keys() {
    let world = World::new().await;
    let user = world.user("ada").await;
    let answer = world.home.path().join("answer.json");
    let json = serde_json::json!({"Version": 1, "AccessKeyId": user.access, "SecretAccessKey": user.secret});
    std::fs::write(&answer, json.to_string()).unwrap();
    write(&world, &format!("[profile tool]\ncredential_process = cat {}\n", answer.display()));
    let identity = world.providers(&[], &[]).validate(&request(&profile("tool"))).await.unwrap();
    assert_eq!(identity.arn, format!("arn:aws:iam::{}:user/ada", world.account.id()));
    assert!(world.seen.has(&user.secret));
}

/// A person who types 123456 and remembers what was asked.
#[derive(Clone, Default)]
struct Person(Arc<Mutex<Vec<String>>>);

impl MfaPrompter for Person {
    fn code<'a>(&'a self, serial: &'a str, profile: &'a str) -> BoxFuture<'a, Result<Secret, String>> {
        self.0.lock().unwrap().push(format!("{serial} for {profile}"));
        Box::pin(async { Ok(Secret::new("123456".to_owned())) })
    }
}

#[tokio::test]
async fn a_person_is_asked_once_for_the_code_of_a_device() {
    let world = World::new().await;
    two_profiles(&world, "mfa_serial = arn:aws:iam::111122223333:mfa/ada").await;
    let person = Person::default();
    let mut context = world.context(&[], &[]);
    context.mfa = Arc::new(person.clone());
    let providers = Providers::new(context);
    for step in 1..=3 {
        let mut request = request(&profile("target"));
        request.session_name = outrigger_credential_providers::SessionName::for_step(7, step);
        providers.provider(&request).credentials().await.unwrap();
    }
    assert_eq!(*person.0.lock().unwrap(), ["arn:aws:iam::111122223333:mfa/ada for target"]);
    let call = world.calls("AssumeRole").join(" ");
    assert!(call.contains("SerialNumber=arn:aws:iam::111122223333:mfa/ada") && call.contains("TokenCode="), "{call}");
    assert!(world.seen.has("123456"));
}

#[tokio::test]
async fn profiles_that_cannot_work_say_why() {
    let world = World::new().await;
    two_profiles(&world, "mfa_serial = arn:aws:iam::111122223333:mfa/ada").await;
    let path = world.home.path().join(".aws/config");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str(
        "[profile half]\naws_access_key_id = AKIDHALF\n\
         [profile fails]\ncredential_process = sh -c 'echo no session >&2; exit 3'\n\
         [profile garbage]\ncredential_process = echo hello\n\
         [profile long]\nrole_arn = arn:aws:iam::111122223333:role/x\nsource_profile = base\nduration_seconds = 5\n\
         [profile sso]\nsso_session = gone\nsso_account_id = 111122223333\nsso_role_name = x\n\
         [profile expired]\nsso_session = never-signed-in-here\nsso_account_id = 111122223333\nsso_role_name = x\n\
         [sso-session never-signed-in-here]\nsso_region = us-east-1\nsso_start_url = https://example.com/start\n\
         [profile china]\nrole_arn = arn:aws-cn:iam::111122223333:role/x\nsource_profile = base\n\
         [profile odd]\nrole_arn = arn:aws:iam::111122223333:role/x\ncredential_source = Moon\n",
    );
    std::fs::write(&path, text).unwrap();
    let providers = world.providers(&[], &[]);
    let mut messages = String::new();
    for name in ["target", "half", "fails", "garbage", "long", "sso", "expired", "china", "odd", "absent"] {
        let error = credentials(&providers, &profile(name)).await.unwrap_err();
        messages.push_str(&format!("{name}:\n  {}\n", world.plain(&error.to_string())));
    }
    world.assert_no_secret(&messages);
    insta::assert_snapshot!("profiles", messages);
}

#[tokio::test]
async fn the_region_comes_from_the_environment_then_the_profile() {
    let world = World::new().await;
    write(&world, "[default]\nregion = eu-north-1\n[profile web]\nregion = eu-west-3\n");
    let region = |variables: &'static [(&'static str, &'static str)]| {
        let providers = world.providers(variables, &[]);
        async move { providers.ambient_region().await }
    };
    let found = |region: &str, place: &str| Some((region.to_owned(), place.to_owned()));
    assert_eq!(region(&[]).await, found("eu-north-1", "profile `default`"));
    assert_eq!(region(&[("AWS_PROFILE", "web")]).await, found("eu-west-3", "profile `web`"));
    assert_eq!(region(&[("AWS_DEFAULT_REGION", "us-west-2")]).await, found("us-west-2", "AWS_DEFAULT_REGION"));
    assert_eq!(region(&[("AWS_PROFILE", "gone")]).await, None);
}
