//! Writing a credentials block leaves the rest of the file alone.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use outrigger_config::{
    AssumeRoleBlock, BlockName, CredentialsBlock, Error, KeyPath, Level, SessionPolicy, SessionPolicyMode, Source,
    parse_system, with_credentials, write_credentials,
};

fn role() -> CredentialsBlock {
    CredentialsBlock::AssumeRole(Box::new(AssumeRoleBlock {
        role_arn: "arn:aws:iam::111122223333:role/outrigger".to_owned(),
        external_id: Some("9f2c".to_owned()),
        session_name: None,
        duration_seconds: None,
        source: Some(Source::Block(Box::new(CredentialsBlock::Ec2 {}))),
        session_policy: Some(SessionPolicy::Mode(SessionPolicyMode::Imports)),
        tags: BTreeMap::new(),
        source_identity: None,
    }))
}

fn edited(text: &str, name: BlockName<'_>, region: Option<&str>) -> String {
    let edited = with_credentials(text, name, &role(), region).expect("edited");
    let file = parse_system(&edited, "outrigger.toml").expect("still a configuration");
    let block = match name {
        BlockName::Credentials => file.aws.credentials,
        BlockName::Account(account) => file.aws.accounts.get(account).map(|account| account.credentials.clone()),
    };
    assert_eq!(block, Some(role()), "{edited}");
    edited
}

#[test]
fn an_empty_file_gets_the_block() {
    insta::assert_snapshot!(edited("", BlockName::Credentials, Some("eu-west-1")), @r#"
    [aws]
    region = "eu-west-1"

    [aws.credentials]
    provider = "assume-role"
    role-arn = "arn:aws:iam::111122223333:role/outrigger"
    external-id = "9f2c"
    source = { provider = "ec2" }
    session-policy = "imports"
    "#);
    insta::assert_snapshot!(edited("", BlockName::Account("prod"), Some("eu-west-1")), @r#"
    [aws.accounts.prod]
    region = "eu-west-1"
    provider = "assume-role"
    role-arn = "arn:aws:iam::111122223333:role/outrigger"
    external-id = "9f2c"
    source = { provider = "ec2" }
    session-policy = "imports"
    "#);
}

#[test]
fn comments_and_other_keys_stay() {
    let text = "# Ours.\n[globals]\nowner = \"ops\" # a team\n\n# How we reach AWS.\n[aws]\nregion = \"us-east-1\" # near\n\n# Old keys.\n[aws.credentials]\nprovider = \"access-key\" # for now\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret-key = \"keys/aws\"\n\n[limits]\nmemory-mib = 64\n";
    insta::assert_snapshot!(edited(text, BlockName::Credentials, Some("eu-west-1")), @r#"
    # Ours.
    [globals]
    owner = "ops" # a team

    # How we reach AWS.
    [aws]
    region = "eu-west-1" # near

    # Old keys.
    [aws.credentials]
    provider = "assume-role" # for now
    role-arn = "arn:aws:iam::111122223333:role/outrigger"
    external-id = "9f2c"
    source = { provider = "ec2" }
    session-policy = "imports"

    [limits]
    memory-mib = 64
    "#);
}

#[test]
fn other_ways_to_write_tables_are_understood() {
    insta::assert_snapshot!(edited("aws.region = \"eu-west-1\"\naws.credentials = { provider = \"ec2\" }\n", BlockName::Credentials, None), @r#"
    aws.region = "eu-west-1"
    aws.credentials = { provider = "assume-role" , role-arn = "arn:aws:iam::111122223333:role/outrigger", external-id = "9f2c", source = { provider = "ec2" }, session-policy = "imports" }
    "#);
    insta::assert_snapshot!(edited("aws = { region = \"eu-west-1\" }\n", BlockName::Credentials, None), @r#"aws = { region = "eu-west-1" , credentials.provider = "assume-role", credentials.role-arn = "arn:aws:iam::111122223333:role/outrigger", credentials.external-id = "9f2c", credentials.source = { provider = "ec2" }, credentials.session-policy = "imports" }"#);
    insta::assert_snapshot!(edited("[aws.accounts.prod]\nprovider = \"ec2\"\nregion = \"eu-west-1\"\n", BlockName::Account("prod"), None), @r#"
    [aws.accounts.prod]
    provider = "assume-role"
    region = "eu-west-1"
    role-arn = "arn:aws:iam::111122223333:role/outrigger"
    external-id = "9f2c"
    source = { provider = "ec2" }
    session-policy = "imports"
    "#);
}

#[test]
fn every_block_is_written_so_that_it_reads_back() {
    let blocks = [
        CredentialsBlock::Environment {},
        CredentialsBlock::Profile { name: Some("ops \"quoted\"".to_owned()) },
        CredentialsBlock::AccessKey {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: KeyPath("keys/aws".to_owned()),
            session_token: None,
        },
        CredentialsBlock::Chain { providers: vec![CredentialsBlock::Environment {}, role()] },
        CredentialsBlock::Component {
            name: "vault".to_owned(),
            config: BTreeMap::from([("a.b".to_owned(), "c".to_owned())]),
        },
    ];
    for block in blocks {
        let text = with_credentials("", BlockName::Credentials, &block, None).expect("edited");
        let file = parse_system(&text, "outrigger.toml").unwrap_or_else(|errors| panic!("{errors:?} in {text}"));
        assert_eq!(file.aws.credentials, Some(block), "{text}");
    }
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_mode() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/outrigger.toml");
    write_credentials(&path, Level::System, BlockName::Credentials, &role(), None).expect("written");
    assert_eq!(std::fs::metadata(&path).expect("exists").mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
    write_credentials(&path, Level::System, BlockName::Credentials, &CredentialsBlock::Ec2 {}, None).expect("written");
    assert_eq!(std::fs::metadata(&path).expect("exists").mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), "[aws.credentials]\nprovider = \"ec2\"\n");
    let names: Vec<_> = std::fs::read_dir(path.parent().expect("a folder")).expect("readable").collect();
    assert_eq!(names.len(), 1, "no temporary file is left");
}

#[test]
fn a_symbolic_link_stays_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("real.toml");
    let link = folder.path().join("outrigger.toml");
    std::fs::write(&target, "# kept\n").expect("written");
    std::os::unix::fs::symlink(&target, &link).expect("linked");
    write_credentials(&link, Level::System, BlockName::Credentials, &role(), None).expect("written");
    assert!(link.is_symlink());
    assert!(std::fs::read_to_string(&target).expect("readable").starts_with("# kept\n"));
}

#[test]
fn a_broken_file_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outrigger.toml");
    for text in ["[aws\n", "aws = 1\n", "[limits]\nmemory-mib = 0\n"] {
        std::fs::write(&path, text).expect("written");
        let error =
            write_credentials(&path, Level::System, BlockName::Credentials, &role(), None).expect_err("refused");
        assert!(matches!(error, Error::Invalid(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);
    }
}
