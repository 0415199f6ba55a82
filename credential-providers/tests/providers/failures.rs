//! Every provider failing in turn, with the message that a person gets.

use outrigger_config::{CredentialsBlock, WebIdentityToken};
use outrigger_credential_providers::{CredentialsError, Providers};
use outrigger_endpoints::policy::console_trust;
use outrigger_endpoints::{Fault, Instance, InstanceMetadata, Keys, Nth, Rule, TokenIssuer, Vendor};

use crate::support::{SECRET_PATH, World, access_key, block, credentials, ecs, request, role};

/// Messages under the names of their cases.
struct Messages<'a> {
    world: &'a World,
    text: String,
}

impl<'a> Messages<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, text: String::new() }
    }

    fn add(&mut self, case: &str, error: &CredentialsError) {
        let message = self.world.plain(&error.to_string());
        self.text
            .push_str(&format!("{case} ({}):\n  {message}\n", if error.is_transient() { "may pass" } else { "stays" }));
    }

    async fn of(&mut self, case: &str, providers: &Providers, block: &CredentialsBlock) {
        let error = credentials(providers, block).await.unwrap_err();
        self.add(case, &error);
    }

    fn finish(self) -> String {
        self.world.assert_no_secret(&self.text);
        self.text
    }
}

/// An address on which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn access_keys() {
    let world = World::new().await;
    let user = world.user("ada").await;
    let mut messages = Messages::new(&world);
    messages.of("not stored", &world.providers(&[], &[]), &access_key(&user)).await;
    messages.of("empty", &world.providers(&[], &[(SECRET_PATH, "")]), &access_key(&user)).await;
    let wrong = world.providers(&[], &[(SECRET_PATH, "wrong-secret-wrong-secret")]);
    messages.add("wrong secret", &wrong.validate(&request(&access_key(&user))).await.unwrap_err().error);
    let unknown = Keys::new("AKIAUNKNOWN000000000", "");
    messages.add("unknown key", &wrong.validate(&request(&access_key(&unknown))).await.unwrap_err().error);
    let text = messages.finish().replace(&user.access, "AKIA");
    insta::assert_snapshot!("access_keys", text);
}

#[tokio::test]
async fn environments() {
    let world = World::new().await;
    let mut messages = Messages::new(&world);
    let environment = CredentialsBlock::Environment {};
    messages.of("nothing", &world.providers(&[], &[]), &environment).await;
    messages.of("no secret", &world.providers(&[("AWS_ACCESS_KEY_ID", "AKIA")], &[]), &environment).await;
    messages.of("no id", &world.providers(&[("AWS_SECRET_ACCESS_KEY", "x")], &[]), &environment).await;
    insta::assert_snapshot!("environments", messages.finish());
}

#[tokio::test]
async fn tasks() {
    let world = World::new().await;
    let vendor = world.vendor("task", &["ec2:*"], 900).await;
    let task = world.task(vendor, Some("Basic right-token"));
    let (uri, nobody) = (task.full_uri("/v2/credentials/task"), nobody());
    let unset = CredentialsBlock::Ecs { full_uri: None, authorization_token_file: None };
    let mut messages = Messages::new(&world);
    messages.of("nothing set", &world.providers(&[], &[]), &unset).await;
    messages.of("no token", &world.providers(&[], &[]), &ecs(&uri)).await;
    let wrong = world.providers(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic wrong-token")], &[]);
    messages.of("wrong token", &wrong, &ecs(&uri)).await;
    let lines = world.providers(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic two\nlines")], &[]);
    messages.of("token of two lines", &lines, &ecs(&uri)).await;
    messages.of("wrong path", &wrong, &ecs(&task.full_uri("/v2/credentials/other"))).await;
    messages.of("nobody there", &wrong, &ecs(&format!("{nobody}/v2/credentials"))).await;
    messages.of("far away", &wrong, &ecs("http://192.0.2.1/v2/credentials")).await;
    messages.of("not a container endpoint", &wrong, &ecs(&world.recorder.url())).await;
    let file =
        CredentialsBlock::Ecs { full_uri: Some(uri), authorization_token_file: Some(world.home.path().join("none")) };
    messages.of("no token file", &wrong, &file).await;
    let text = messages.finish().replace(&task.url(), "http://TASK").replace(&nobody, "http://NOBODY");
    insta::assert_snapshot!("tasks", text);
}

#[tokio::test]
async fn instances() {
    let world = World::new().await;
    let nobody = nobody();
    let ec2 = CredentialsBlock::Ec2 {};
    let mut messages = Messages::new(&world);
    messages.of("switched off", &world.providers(&[("AWS_EC2_METADATA_DISABLED", "true")], &[]), &ec2).await;
    messages.of("nobody there", &world.providers(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &nobody)], &[]), &ec2).await;
    let mut instance = Instance::new(world.account.id(), "us-east-1", "instance");
    instance.role = None;
    let metadata = InstanceMetadata::start(instance, Vendor::fixed(Keys::new("a", "b"))).unwrap();
    messages
        .of("no role", &world.providers(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url())], &[]), &ec2)
        .await;
    let task = world.task(Vendor::fixed(Keys::new("a", "b")), None);
    messages
        .of("no metadata service", &world.providers(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &task.url())], &[]), &ec2)
        .await;
    let text = messages.finish().replace(&nobody, "http://NOBODY").replace(&task.url(), "http://TASK");
    insta::assert_snapshot!("instances", text);
}

#[tokio::test]
async fn web_identities() {
    let world = World::new().await;
    let issuer = TokenIssuer::start("runner-bearer", "repo:octo/shop:ref:refs/heads/main").unwrap();
    let block = |token: Option<WebIdentityToken>, role_arn: Option<&str>| CredentialsBlock::WebIdentity {
        role_arn: role_arn.map(str::to_owned),
        token,
        session_name: None,
        duration_seconds: None,
    };
    let file = world.home.path().join("token");
    std::fs::write(&file, TokenIssuer::token("x", "sts.amazonaws.com")).unwrap();
    let empty = world.home.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let github = || Some(WebIdentityToken::Github { audience: "sts.amazonaws.com".to_owned() });
    let plain = world.providers(&[], &[]);
    let mut messages = Messages::new(&world);
    messages.of("nothing set", &plain, &block(None, None)).await;
    messages.of("no role", &plain, &block(Some(WebIdentityToken::File(file.clone())), None)).await;
    messages.of("no file", &plain, &block(Some(WebIdentityToken::File(world.home.path().join("none"))), None)).await;
    messages.of("empty file", &plain, &block(Some(WebIdentityToken::File(empty)), None)).await;
    messages.of("no variable", &plain, &block(Some(WebIdentityToken::Variable("CI_TOKEN".to_owned())), None)).await;
    messages.of("not on GitHub", &plain, &block(github(), None)).await;
    let url = issuer.request_url();
    let wrong = [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "wrong-bearer")];
    messages.of("GitHub refuses", &world.providers(&wrong, &[]), &block(github(), None)).await;
    let gone = format!("arn:aws:iam::{}:role/gone", world.account.id());
    let trusted = world.account.role("console", &console_trust(world.account.id(), None), None).await.unwrap();
    messages.of("not trusted", &plain, &block(Some(WebIdentityToken::File(file.clone())), Some(&trusted))).await;
    world.recorder.rule(Rule::every(
        "AssumeRoleWithWebIdentity",
        Fault::Error {
            status: 400,
            code: "InvalidIdentityToken".to_owned(),
            message: "No OpenIDConnect provider found in your account for https://gitlab.example.com".to_owned(),
        },
    ));
    messages.of("no such issuer", &plain, &block(Some(WebIdentityToken::File(file)), Some(&gone))).await;
    insta::assert_snapshot!("web_identities", messages.finish());
}

#[tokio::test]
async fn roles() {
    let world = World::new().await;
    let arn = world.account.role("target", &console_trust(world.account.id(), None), None).await.unwrap();
    let user = world.user("ada").await;
    let stored = [(SECRET_PATH, user.secret.as_str())];
    let target = || block(role(&arn, Some(access_key(&user))));
    let mut messages = Messages::new(&world);
    messages.of("not allowed to ask", &world.providers(&[], &stored), &target()).await;

    let mut context = world.context(&[], &stored);
    let nobody = nobody();
    context.endpoints.endpoint_urls.insert("sts".to_owned(), nobody.clone());
    messages.of("nobody there", &Providers::new(context), &target()).await;

    let said =
        |code: &str, message: &str| Fault::Error { status: 400, code: code.to_owned(), message: message.to_owned() };
    for (case, fault) in [
        ("expired session", said("ExpiredToken", "The security token included in the request is expired")),
        ("throttled", Fault::throttle("Throttling")),
        ("service down", Fault::internal()),
        (
            "packed policy",
            said("PackedPolicyTooLarge", "Packed policy consumes 112% of allotted space, please use smaller policy."),
        ),
        (
            "longer than the role",
            said("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."),
        ),
        (
            "region off",
            said("RegionDisabledException", "STS is not activated in this region for account:111122223333."),
        ),
    ] {
        world.recorder.clear_rules();
        world.recorder.rule(Rule::new("AssumeRole", Nth::Every, fault));
        let mut request = request(&target());
        request.session_policy = Some("{\"Version\":\"2012-10-17\",\"Statement\":[]}".to_owned());
        let error = world.providers(&[], &stored).provider(&request).credentials().await.unwrap_err();
        messages.add(case, &error);
    }
    insta::assert_snapshot!("roles", messages.finish().replace(&nobody, "http://NOBODY"));
}

#[tokio::test]
async fn chains_and_components() {
    let world = World::new().await;
    let mut messages = Messages::new(&world);
    let chain = CredentialsBlock::Chain {
        providers: vec![
            CredentialsBlock::Environment {},
            CredentialsBlock::Component { name: "vault".to_owned(), config: Default::default() },
            block(role("arn:aws:iam::111122223333:role/x", Some(CredentialsBlock::Environment {}))),
        ],
    };
    messages.of("chain", &world.providers(&[], &[]), &chain).await;
    insta::assert_snapshot!("chains_and_components", messages.finish());
}
