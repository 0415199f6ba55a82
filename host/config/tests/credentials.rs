//! Which credentials a step works with.

use std::sync::Arc;

use outrigger_config::{
    ConfigFile, CredentialsError, Error, Hop, HopKind, KeyError, KeyPath, KeyScope, KeyStore, KeyType, Level,
    MasterKeySource, Origin, ResolvedCredentials, Settings, StepCredentials, parse_project, parse_system,
};
use outrigger_redaction::Secret;

const KEY: &str = "provider = \"access-key\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret-key = \"keys/aws\"\n";

fn try_settings(system: &str, project: Option<&str>) -> Result<Settings, Error> {
    let system: ConfigFile = parse_system(system, "outrigger.toml").expect("a system file");
    let project =
        project.map(|text| ("web".to_owned(), parse_project(text, "web/project.toml").expect("a project file")));
    Settings::new(system, project, "/config/master.key".into(), "/data/keys.db".into())
}

fn settings(system: &str, project: Option<&str>) -> Settings {
    try_settings(system, project).expect("settings")
}

fn step() -> StepCredentials {
    StepCredentials { origin: Some(Origin::file(Level::Step, "job.yaml", 7)), ..StepCredentials::default() }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// The hops in short: `level:kind` with the role's last part.
fn way(hops: &[Hop]) -> String {
    hops.iter()
        .map(|hop| {
            let kind = match &hop.kind {
                HopKind::DefaultChain => "default-chain".to_owned(),
                HopKind::Base(block) => block.provider().to_owned(),
                HopKind::Chain(ways) => {
                    format!("[{}]", ways.iter().map(|one| way(one)).collect::<Vec<_>>().join(" | "))
                }
                HopKind::Role(role) => role.role_arn.rsplit('/').next().unwrap_or_default().to_owned(),
            };
            let keys = match &hop.keys {
                KeyScope::System => "",
                KeyScope::Project(_) => "*",
            };
            format!("{}{keys}:{kind}", hop.level)
        })
        .collect::<Vec<_>>()
        .join(" > ")
}

fn short(resolved: &ResolvedCredentials) -> String {
    let region = resolved.region.as_ref().map_or("none", |region| region.value.as_str());
    format!("{} | {} | {} | {region}", resolved.level, way(&resolved.hops), resolved.origin)
}

fn resolve(settings: &Settings, step: Option<&StepCredentials>, node: Option<&StepCredentials>) -> String {
    match settings.credentials(step, node) {
        Ok(resolved) => short(&resolved),
        Err(error) => format!("error: {error}"),
    }
}

fn role(name: &str, more: &str) -> String {
    format!(
        "[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::111122223333:role/{name}\"\n{more}"
    )
}

#[test]
fn nothing_configured_is_the_default_chain_only_without_project() {
    insta::assert_snapshot!(resolve(&settings("", None), None, None), @"default | default:default-chain | default | none");
    insta::assert_snapshot!(resolve(&settings("", Some("")), None, None), @"error: no credentials for project `web`: neither its project.toml nor outrigger.toml has [aws.credentials], and a project does not use the host's own credentials; run `outrigger config aws --project web`, or set projects-use-host-credentials = true below [aws] in outrigger.toml");
    insta::assert_snapshot!(resolve(&settings("[aws]\nprojects-use-host-credentials = true\n", Some("")), None, None), @"default | default:default-chain | default | none");
}

#[test]
fn the_first_level_that_configures_credentials_gives_all() {
    let system = format!("[aws]\nregion = \"eu-west-1\"\n[aws.credentials]\n{KEY}");
    let project = format!("[aws.credentials]\n{}", KEY.replace("keys/aws", "keys/project/web/aws"));
    insta::assert_snapshot!(resolve(&settings(&system, None), None, None), @"system | system:access-key | outrigger.toml:4 | eu-west-1");
    insta::assert_snapshot!(resolve(&settings(&system, Some("")), None, None), @"system | system:access-key | outrigger.toml:4 | eu-west-1");
    insta::assert_snapshot!(resolve(&settings(&system, Some(&project)), None, None), @"project | project*:access-key | web/project.toml:2 | eu-west-1");
    let keys = StepCredentials {
        access_key_id: text("AKIAIOSFODNN7EXAMPL2"),
        secret_key: text("keys/project/web/other"),
        ..step()
    };
    insta::assert_snapshot!(resolve(&settings(&system, Some(&project)), Some(&keys), None), @"step | step*:access-key | job.yaml:7 | eu-west-1");
    let node = StepCredentials { origin: None, ..keys.clone() };
    insta::assert_snapshot!(resolve(&settings(&system, Some(&project)), None, Some(&node)), @"node | node*:access-key | node | eu-west-1");
    let empty = StepCredentials { access_key_id: text(""), secret_key: text(" "), region: text(""), ..step() };
    insta::assert_snapshot!(resolve(&settings(&system, Some(&project)), Some(&empty), None), @"project | project*:access-key | web/project.toml:2 | eu-west-1");
}

#[test]
fn half_a_block_is_refused_and_never_completed_from_below() {
    let system = format!("[aws.credentials]\n{KEY}");
    let settings = settings(&system, Some(""));
    for half in [
        StepCredentials { access_key_id: text("AKIAIOSFODNN7EXAMPLE"), ..step() },
        StepCredentials { secret_key: text("keys/x"), ..step() },
        StepCredentials { session_token: text("keys/x"), ..step() },
        StepCredentials { access_key_id: text("x"), secret_key: text("keys/x"), ..step() },
        StepCredentials { access_key_id: text("AKIAIOSFODNN7EXAMPLE"), secret_key: text("wJalrXUt"), ..step() },
        StepCredentials {
            account: text("prod"),
            access_key_id: text("AKIAIOSFODNN7EXAMPLE"),
            secret_key: text("keys/x"),
            ..step()
        },
    ] {
        let error = settings.credentials(Some(&half), None).expect_err("refused");
        assert!(matches!(error, CredentialsError::Step { .. }), "{error}");
        assert!(!error.to_string().contains("wJalrXUt"), "{error}");
    }
    let half = StepCredentials { access_key_id: text("AKIAIOSFODNN7EXAMPLE"), ..step() };
    insta::assert_snapshot!(resolve(&settings, Some(&half), None), @"error: the credentials at job.yaml:7 are incomplete: an access key id without the key storage path of its secret; give both, or none to inherit");
}

#[test]
fn a_role_names_whose_credentials_ask_for_it() {
    let key = format!("[aws.credentials]\n{KEY}");
    // System level: without source, the default chain.
    insta::assert_snapshot!(resolve(&settings(&role("a", ""), None), None, None), @"system | default:default-chain > system:a | outrigger.toml:2 | none");
    insta::assert_snapshot!(resolve(&settings(&role("a", "source = { provider = \"ec2\" }"), None), None, None), @"system | system:ec2 > system:a | outrigger.toml:2 | none");
    // Project level: without source, the system's block.
    insta::assert_snapshot!(resolve(&settings(&key, Some(&role("p", ""))), None, None), @"project | system:access-key > project*:p | web/project.toml:2 | none");
    insta::assert_snapshot!(resolve(&settings(&role("s", ""), Some(&role("p", "source = \"system\""))), None, None), @"project | default:default-chain > system:s > project*:p | web/project.toml:2 | none");
    insta::assert_snapshot!(resolve(&settings("", Some(&role("p", ""))), None, None), @"error: the role at web/project.toml:2 is to be assumed with the system's credentials, but outrigger.toml has no [aws.credentials]; add them with `outrigger config aws`, or name a `source` with the role");
    let own = role(
        "p",
        "source = { provider = \"access-key\", access-key-id = \"AKIAIOSFODNN7EXAMPLE\", secret-key = \"keys/project/web/aws\" }",
    );
    insta::assert_snapshot!(resolve(&settings(&key, Some(&own)), None, None), @"project | project*:access-key > project*:p | web/project.toml:2 | none");
    let chain = format!(
        "[aws.credentials]\nprovider = \"chain\"\nproviders = [{{ {} }}, {{ provider = \"assume-role\", role-arn = \"arn:aws:iam::111122223333:role/p\" }}]\n",
        KEY.trim().replace('\n', ", ")
    );
    insta::assert_snapshot!(resolve(&settings(&key, Some(&chain)), None, None), @"project | project*:[project*:access-key | system:access-key > project*:p] | web/project.toml:2 | none");
}

#[test]
fn a_project_uses_the_hosts_credentials_only_if_the_system_says_so() {
    for provider in ["ec2", "ecs", "environment", "profile", "web-identity"] {
        let project = format!("[aws.accounts.x]\nprovider = \"{provider}\"\n");
        let error = try_settings("", Some(&project)).expect_err("refused").to_string();
        assert!(error.starts_with("web/project.toml:2:1: `aws.accounts.x` uses the host's own credentials"), "{error}");
        settings("[aws]\nprojects-use-host-credentials = true\n", Some(&project));
    }
    insta::assert_snapshot!(try_settings("", Some(&role("p", "source = { provider = \"ec2\" }"))).expect_err("refused").to_string(), @r#"web/project.toml:2:1: `aws.credentials` uses the host's own credentials (provider "ec2"); a project may do so only if outrigger.toml says projects-use-host-credentials = true below [aws]"#);
}

#[test]
fn a_role_on_a_step_or_node_is_one_more_hop() {
    let allowed = "allowed-roles = [\"arn:aws:iam::*:role/job-*\"]\n";
    let system = format!("[aws]\n{allowed}[aws.credentials]\n{KEY}");
    let on_step = StepCredentials {
        role_arn: text("arn:aws:iam::111122223333:role/job-step"),
        external_id: text("9f2c"),
        ..step()
    };
    let on_node =
        StepCredentials { role_arn: text("arn:aws:iam::111122223333:role/job-node"), ..StepCredentials::default() };
    let with_role = settings(&system, Some(&role("p", "")));
    insta::assert_snapshot!(resolve(&with_role, Some(&on_step), None), @"project | system:access-key > project*:p > step*:job-step | web/project.toml:2 | none");
    insta::assert_snapshot!(resolve(&with_role, None, Some(&on_node)), @"project | system:access-key > project*:p > node*:job-node | web/project.toml:2 | none");
    insta::assert_snapshot!(resolve(&with_role, Some(&on_step), Some(&on_node)), @"project | system:access-key > project*:p > step*:job-step | web/project.toml:2 | none");
    let resolved = with_role.credentials(Some(&on_step), None).expect("resolved");
    let last = resolved.hops.last().expect("a hop");
    assert!(matches!(&last.kind, HopKind::Role(role) if role.external_id.as_deref() == Some("9f2c")));
}

#[test]
fn a_job_file_names_only_roles_that_both_levels_allow() {
    let on_step = StepCredentials { role_arn: text("arn:aws:iam::111122223333:role/admin"), ..step() };
    let list = |pattern: &str| format!("[aws]\nallowed-roles = [\"{pattern}\"]\n");
    let any = "arn:aws:iam::111122223333:role/*";
    insta::assert_snapshot!(resolve(&settings("", None), Some(&on_step), None), @r#"error: job.yaml:7 names the role arn:aws:iam::111122223333:role/admin, which `allowed-roles` does not allow; add to [aws]: allowed-roles = ["arn:aws:iam::111122223333:role/admin"]"#);
    insta::assert_snapshot!(resolve(&settings(&list("arn:aws:iam::*:role/job-*"), None), Some(&on_step), None), @r#"error: job.yaml:7 names the role arn:aws:iam::111122223333:role/admin, which `allowed-roles` in outrigger.toml:2 does not allow; add to [aws]: allowed-roles = ["arn:aws:iam::111122223333:role/admin"]"#);
    insta::assert_snapshot!(resolve(&settings(&list(any), None), Some(&on_step), None), @"default | default:default-chain > step:admin | default | none");
    let key = format!("[aws.credentials]\n{KEY}");
    insta::assert_snapshot!(resolve(&settings(&(list("arn:aws:iam::*:role/job-*") + &key), Some(&list(any))), Some(&on_step), None), @r#"error: job.yaml:7 names the role arn:aws:iam::111122223333:role/admin, which `allowed-roles` in outrigger.toml:2 does not allow; add to [aws]: allowed-roles = ["arn:aws:iam::111122223333:role/admin"]"#);
    insta::assert_snapshot!(resolve(&settings(&key, Some(&list(any))), Some(&on_step), None), @"system | system:access-key > step*:admin | outrigger.toml:2 | none");
    let bad = StepCredentials { role_arn: text("admin"), ..step() };
    insta::assert_snapshot!(resolve(&settings(&list(any), None), Some(&bad), None), @r#"error: the credentials at job.yaml:7 name a role by "admin", which is no role ARN: an ARN has six parts: arn:PARTITION:iam::ACCOUNT:role/NAME"#);
}

#[test]
fn accounts_are_chosen_by_name_project_first() {
    let system = format!(
        "[aws]\nregion = \"us-east-1\"\n[aws.accounts.prod]\nregion = \"eu-west-1\"\n{KEY}[aws.accounts.test]\n{KEY}"
    );
    let project = format!("[aws.accounts.prod]\nregion = \"eu-central-1\"\n{KEY}");
    let both = settings(&system, Some(&project));
    let prod = StepCredentials { account: text("prod"), ..step() };
    insta::assert_snapshot!(resolve(&both, Some(&prod), None), @"step | project*:access-key | web/project.toml:2 | eu-central-1");
    insta::assert_snapshot!(resolve(&settings(&system, None), Some(&prod), None), @"step | system:access-key | outrigger.toml:4 | eu-west-1");
    let test = StepCredentials { account: text("test"), ..step() };
    insta::assert_snapshot!(resolve(&both, Some(&test), None), @"step | system:access-key | outrigger.toml:9 | us-east-1");
    let typo = StepCredentials { account: text("prdo"), ..step() };
    insta::assert_snapshot!(resolve(&both, Some(&typo), None), @"error: job.yaml:7 names the account `prdo`, which neither file has below [aws.accounts]; did you mean `prod`?");
    let other = StepCredentials { account: text("staging"), ..step() };
    insta::assert_snapshot!(resolve(&both, Some(&other), None), @"error: job.yaml:7 names the account `staging`, which neither file has below [aws.accounts]; there are prod, test");
    insta::assert_snapshot!(resolve(&settings("", None), Some(&prod), None), @"error: job.yaml:7 names the account `prod`, which neither file has below [aws.accounts]; there are none");
}

#[test]
fn regions_go_step_node_project_system() {
    let system = format!(
        "[aws]\nregion = \"us-east-1\"\n[aws.accounts.prod]\nregion = \"eu-west-1\"\n{KEY}[aws.credentials]\n{KEY}"
    );
    let project = "[aws]\nregion = \"us-west-2\"\n";
    let at = |region: &str, account: &str| StepCredentials { region: text(region), account: text(account), ..step() };
    let both = settings(&system, Some(project));
    for (step, node, wanted) in [
        (at("", ""), at("", ""), "us-west-2"),
        (at("eu-north-1", ""), at("eu-south-1", ""), "eu-north-1"),
        (at("", ""), at("eu-south-1", ""), "eu-south-1"),
        (at("eu-north-1", "prod"), at("eu-south-1", ""), "eu-north-1"),
        (at("", "prod"), at("eu-south-1", ""), "eu-west-1"),
        (at("", ""), at("", "prod"), "eu-west-1"),
        (at("", ""), at("eu-south-1", "prod"), "eu-south-1"),
    ] {
        let resolved = both.credentials(Some(&step), Some(&node)).expect("resolved");
        assert_eq!(resolved.region.map(|region| region.value).as_deref(), Some(wanted), "{step:?} {node:?}");
    }
    let resolved = settings(&system, None).credentials(None, None).expect("resolved");
    assert_eq!(resolved.region.map(|region| region.origin), Some(Origin::file(Level::System, "outrigger.toml", 2)));
    insta::assert_snapshot!(resolve(&both, Some(&at("Ireland", "")), None), @r#"error: the credentials at job.yaml:7 name the region "Ireland", which is none; write one such as eu-west-1"#);
}

#[test]
fn endpoints_of_job_files_need_a_yes() {
    let on_step = StepCredentials { endpoint: text("https://s3.example.com"), ..step() };
    insta::assert_snapshot!(resolve(&settings("", None), Some(&on_step), None), @r#"error: job.yaml:7 names the endpoint https://s3.example.com, which `allowed-endpoints` does not allow; add to [aws]: allowed-endpoints = ["https://s3.example.com"]"#);
    let allowed = settings("[aws]\nallowed-endpoints = [\"https://*.example.com\"]\n", None);
    let resolved = allowed.credentials(Some(&on_step), None).expect("resolved");
    assert_eq!(resolved.endpoint.map(|endpoint| endpoint.value).as_deref(), Some("https://s3.example.com"));
    let configured = settings("[aws]\nendpoint-urls = { s3 = \"https://s3.example.com\" }\n", None);
    assert!(configured.credentials(Some(&on_step), None).is_ok());
}

#[test]
fn a_projects_endpoint_does_not_get_the_systems_requests() {
    let settings = settings(
        "[aws]\nendpoint-url = \"https://system.example\"\n",
        Some(
            "[aws]\nendpoint-url = \"https://project.example\"\nendpoint-urls = { sts = \"https://sts.project.example\" }\n",
        ),
    );
    let url = |service: &str, level: Level| settings.endpoint_url(service, level).map(|url| url.value);
    assert_eq!(url("sts", Level::System).as_deref(), Some("https://system.example"));
    assert_eq!(url("sts", Level::Project).as_deref(), Some("https://sts.project.example"));
    assert_eq!(url("ec2", Level::Step).as_deref(), Some("https://project.example"));
    let bundles = settings_with_bundles();
    let bundle = |level: Level| bundles.ca_bundle(level).map(|bundle| bundle.value.display().to_string());
    assert_eq!(bundle(Level::System).as_deref(), None);
    assert_eq!(bundle(Level::Project).as_deref(), Some("/project.pem"));
}

fn settings_with_bundles() -> Settings {
    settings("", Some("[aws]\nca-bundle = \"/project.pem\"\n"))
}

#[test]
fn hops_nest_into_one_block() {
    let key = format!("[aws.credentials]\n{KEY}");
    let both = settings(&key, Some(&role("p", "external-id = \"9f2c\"")));
    let block = both.credentials(None, None).expect("resolved").block();
    insta::assert_json_snapshot!(block, @r#"
    {
      "provider": "assume-role",
      "role-arn": "arn:aws:iam::111122223333:role/p",
      "external-id": "9f2c",
      "session-name": null,
      "duration-seconds": null,
      "source": {
        "provider": "access-key",
        "access-key-id": "AKIAIOSFODNN7EXAMPLE",
        "secret-key": "keys/aws",
        "session-token": null
      },
      "session-policy": null,
      "tags": {},
      "source-identity": null
    }
    "#);
    assert_eq!(settings("", None).credentials(None, None).expect("resolved").block(), None);
}

#[test]
fn a_secret_is_read_with_the_rights_of_the_file_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(KeyStore::open(
        folder.path().join("keys.db"),
        MasterKeySource::File(folder.path().join("master.key")),
    ));
    for path in ["keys/aws", "keys/project/web/aws", "keys/else"] {
        store.put(path, KeyType::Password, &Secret::new(path.to_owned()), false).expect("stored");
    }
    let read = |system: &str, project: &str, path: &str| {
        let settings = settings(system, Some(project));
        let resolved = settings.credentials(None, None).expect("resolved");
        let keys = settings.keys(store.clone());
        resolved.read_key(&keys, &KeyPath(path.to_owned())).map(|secret| secret.expose().to_owned())
    };
    let system = format!("[aws.credentials]\n{KEY}");
    let own = |path: &str| system.replace("keys/aws", path);
    // The system's block reads the system's key, although the project could not.
    assert_eq!(read(&system, "", "keys/aws").expect("read"), "keys/aws");
    assert_eq!(read(&system, &role("p", ""), "keys/aws").expect("read"), "keys/aws");
    // The project's block reads what the project may read, and nothing else.
    assert_eq!(read("", &own("keys/project/web/aws"), "keys/project/web/aws").expect("read"), "keys/project/web/aws");
    assert!(matches!(read("", &own("keys/aws"), "keys/aws"), Err(KeyError::NotVisible { .. })));
    // A path that nothing names is not read at all, and one that both name with the project's rights.
    assert!(matches!(read(&system, "", "keys/else"), Err(KeyError::NotFound { .. })));
    let chain = format!(
        "[aws.credentials]\nprovider = \"chain\"\nproviders = [{{ {} }}, {{ provider = \"assume-role\", role-arn = \"arn:aws:iam::111122223333:role/p\" }}]\n",
        KEY.trim().replace('\n', ", ")
    );
    assert!(matches!(read(&system, &chain, "keys/aws"), Err(KeyError::NotVisible { .. })));
}
