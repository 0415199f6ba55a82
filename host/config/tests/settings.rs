//! How the levels are put together, and how that is shown; text that is no configuration never does harm.

use outrigger_config::{Level, MasterKeySource, Settings, parse_project, parse_system};
use proptest::prelude::*;

fn settings(system: &str, project: Option<&str>) -> Settings {
    let system = parse_system(system, "outrigger.toml").expect("a system file");
    let project =
        project.map(|text| ("web".to_owned(), parse_project(text, "web/project.toml").expect("a project file")));
    Settings::new(system, project, "/config/master.key".into(), "/data/keys.db".into()).expect("settings")
}

#[test]
fn defaults_hold_where_no_file_speaks() {
    let settings = settings("", None);
    let limits = settings.limits();
    assert_eq!((limits.memory_mib.value, limits.grace_seconds.value), (256, 30));
    assert_eq!(limits.memory_mib.origin.level, Level::Default);
    assert!(!settings.native_steps().enabled.value);
    assert_eq!(settings.master_key().value, MasterKeySource::File("/config/master.key".into()));
}

#[test]
fn a_project_narrows_what_the_system_states_and_cannot_widen_it() {
    let system = "[limits]\nmemory-mib = 128\n[native-steps]\nenabled = false\nuser = \"jobs\"\ninterpreters = [\"sh\", \"bash\"]\n[workspace]\nallow-dirs = [\"/srv\"]\n[http]\nallow-origins = [\"https://*.example.com\"]\nallow-networks = [\"10.0.0.0/8\"]\n";
    let project = "[limits]\nmemory-mib = 512\ncpu-seconds = 9\n[native-steps]\nenabled = true\naws = true\nuser = \"root\"\ninterpreters = [\"bash\", \"python3\"]\n[workspace]\nallow-dirs = [\"/srv/web\", \"/srvx\", \"/etc\"]\n[http]\nallow-origins = [\"https://a.example.com\", \"https://*\u{2e}com\"]\nallow-networks = [\"10.1.0.0/16\", \"0.0.0.0/0\", \"192.168.0.0/16\"]\n";
    let both = settings(system, Some(project));
    assert_eq!(both.limits().memory_mib.value, 128);
    assert_eq!(both.limits().memory_mib.origin.level, Level::System);
    assert_eq!(both.limits().cpu_seconds.value, 9);
    let native = both.native_steps();
    assert!(!native.enabled.value);
    assert!(native.aws.value);
    assert_eq!(native.user.map(|user| user.value).as_deref(), Some("jobs"));
    assert_eq!(native.interpreters.map(|list| list.value), Some(vec!["bash".to_owned()]));
    assert_eq!(both.allow_dirs().map(|list| list.value), Some(vec!["/srv/web".into()]));
    assert_eq!(both.allow_origins().map(|list| list.value), Some(vec!["https://a.example.com".to_owned()]));
    let networks = both.allow_networks().map(|list| list.value).unwrap_or_default();
    assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.0.0/16"]);
    let alone = settings("", Some(project));
    assert!(alone.native_steps().enabled.value);
    assert_eq!(alone.limits().memory_mib.value, 512);
}

#[test]
fn the_effective_configuration_names_every_origin() {
    let system = r#"
[aws]
region = "eu-west-1"
use-fips = true
[aws.credentials]
provider = "access-key"
access-key-id = "AKIAIOSFODNN7EXAMPLE"
secret-key = "keys/aws"
[aws.accounts."a.b"]
provider = "ec2"
region = "us-east-1"
[aws.accounts.prod]
provider = "ec2"
[globals]
owner = "ops"
zone = "one"
[limits]
memory-mib = 128
[keys]
master-key = { command = ["op", "read", "op://vault/item?token=canary"] }
[plugins.aliases]
"vendor-start" = { plugin = "aws-vm-start-step", properties = { id = "instance-ids" } }
[[permissions.deny]]
actions = ["iam:*"]
"#;
    let project = r#"
[aws]
region = "us-west-2"
[aws.credentials]
provider = "assume-role"
role-arn = "arn:aws:iam::111122223333:role/web"
[aws.accounts."a.b"]
provider = "assume-role"
role-arn = "arn:aws:iam::111122223333:role/ab"
[globals]
owner = "web"
[[permissions.allow]]
actions = ["ec2:*"]
"#;
    let shown: Vec<String> = settings(system, Some(project))
        .effective()
        .into_iter()
        .map(|(key, value, origin)| format!("{key} = {value}   # {origin}"))
        .collect();
    let shown = shown.join("\n");
    assert!(!shown.contains("canary"));
    insta::assert_snapshot!(shown, @r#"
    aws.accounts."a.b".provider = "assume-role"   # web/project.toml:8
    aws.accounts."a.b".role-arn = "arn:aws:iam::111122223333:role/ab"   # web/project.toml:9
    aws.accounts.prod.provider = "ec2"   # outrigger.toml:13
    aws.credentials.provider = "assume-role"   # web/project.toml:5
    aws.credentials.role-arn = "arn:aws:iam::111122223333:role/web"   # web/project.toml:6
    aws.region = "us-west-2"   # web/project.toml:3
    aws.use-fips = true   # outrigger.toml:4
    globals.owner = "web"   # web/project.toml:11
    globals.zone = "one"   # outrigger.toml:16
    keys.master-key = command `op`   # outrigger.toml:20
    limits.cpu-seconds = 300   # default
    limits.deadline-seconds = 86400   # default
    limits.grace-seconds = 30   # default
    limits.log-lines = 1000000   # default
    limits.memory-mib = 128   # outrigger.toml:18
    limits.outputs-kib = 1024   # default
    limits.workspace-mib = 10240   # default
    native-steps.aws = false   # default
    native-steps.enabled = false   # default
    permissions.allow[0].actions = ["ec2:*"]   # web/project.toml:13
    permissions.deny[0].actions = ["iam:*"]   # outrigger.toml:24
    plugins.aliases.vendor-start.plugin = "aws-vm-start-step"   # outrigger.toml:22
    plugins.aliases.vendor-start.properties.id = "instance-ids"   # outrigger.toml:22
    "#);
}

#[test]
fn globals_and_aliases_are_joined_by_name() {
    let both = settings(
        "[globals]\na = \"1\"\nb = \"2\"\n\"c d\" = \"3\"\n[plugins.aliases]\nx = \"one\"\ny = \"two\"\n",
        Some("[globals]\nb = \"9\"\n[plugins.aliases]\ny = \"nine\"\n"),
    );
    let globals: Vec<String> =
        both.globals().into_iter().map(|(name, text)| format!("{name}={} {}", text.value, text.origin)).collect();
    assert_eq!(globals, ["a=1 outrigger.toml:2", "b=9 web/project.toml:2", "c d=3 outrigger.toml:4"]);
    let aliases: Vec<String> =
        both.aliases().into_iter().map(|(name, alias)| format!("{name}={}", alias.plugin)).collect();
    assert_eq!(aliases, ["x=one", "y=nine"]);
}

/// Lines that look like a configuration, right and wrong mixed.
fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("aws"),
        Just("credentials"),
        Just("accounts"),
        Just("provider"),
        Just("role-arn"),
        Just("source"),
        Just("session-policy"),
        Just("duration-seconds"),
        Just("providers"),
        Just("token"),
        Just("permissions"),
        Just("allow"),
        Just("grants"),
        Just("limits"),
        Just("memory-mib"),
        Just("keys"),
        Just("master-key"),
        Just("share"),
        Just("http"),
        Just("allow-networks"),
        Just("plugins"),
        Just("aliases"),
        Just("globals"),
        Just("\"ü\""),
        Just("''"),
        Just("region"),
        Just("tags"),
        Just("x"),
    ];
    let value = prop_oneof![
        Just("1".to_owned()),
        Just("-1".to_owned()),
        Just("0xffffffffffffffffffff".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"system\"".to_owned()),
        Just("\"assume-role\"".to_owned()),
        Just("\"chain\"".to_owned()),
        Just("\"access-key\"".to_owned()),
        Just("{ provider = \"ec2\" }".to_owned()),
        Just("[{ provider = \"chain\", providers = [{}] }]".to_owned()),
        Just("[\"10.0.0.0/8\", \"::/0\", \"*\", 1]".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("nan".to_owned()),
        Just("'''\nx\n'''".to_owned()),
        Just("{ \"\" = {} }".to_owned()),
        "\"[^\"\\\\\n]{0,12}\"",
    ];
    let path = proptest::collection::vec(word, 1..4).prop_map(|words| words.join("."));
    prop_oneof![
        path.clone().prop_map(|path| format!("[{path}]")),
        path.clone().prop_map(|path| format!("[[{path}]]")),
        (path, value).prop_map(|(path, value)| format!("{path} = {value}")),
        ".{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(lines in proptest::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        let count = u32::try_from(text.split('\n').count()).expect("few lines");
        for result in [parse_system(&text, "f"), parse_project(&text, "f")] {
            match result {
                Ok(file) => prop_assert!(file.entries.values().all(|entry| (1..=count).contains(&entry.line))),
                Err(errors) => {
                    prop_assert!(!errors.is_empty());
                    for error in errors {
                        prop_assert!((1..=count).contains(&error.line), "{error} in {text:?}");
                        prop_assert!(error.column >= 1);
                        prop_assert!(!error.message.is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_accepted_can_be_put_together_and_shown(lines in proptest::collection::vec(line(), 0..8)) {
        let text = lines.join("\n");
        if let Ok(file) = parse_system(&text, "f") {
            let settings = Settings::new(file, None, "/m".into(), "/k".into()).expect("no project, no refusal");
            prop_assert!(!settings.effective().is_empty());
            let _either = settings.credentials(None, None);
        }
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    for depth in [10, 100, 10_000] {
        let text = format!(
            "[aws.credentials]\nprovider = \"chain\"\nproviders = [{}{}]\n",
            "{ provider = \"chain\", providers = [".repeat(depth),
            "] }".repeat(depth)
        );
        assert!(parse_system(&text, "f").is_err());
        assert!(parse_system(&format!("x = {}", "[".repeat(depth)), "f").is_err());
        assert!(
            parse_system(&format!("{} = 1", ["a"; 10_001].join(".").get(..depth * 2 + 1).unwrap_or("a")), "f").is_err()
        );
    }
}
