//! What a person reads when a configuration file is refused.

use outrigger_config::{ConfigError, parse_project, parse_system};

fn lines(errors: Vec<ConfigError>) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn system(text: &str) -> String {
    lines(parse_system(text, "outrigger.toml").expect_err("refused"))
}

fn project(text: &str) -> String {
    lines(parse_project(text, "project.toml").expect_err("refused"))
}

#[test]
fn an_access_key_needs_both_halves() {
    insta::assert_snapshot!(system("[aws]\nregion = \"eu-west-1\"\n\n[aws.credentials]\nprovider = \"access-key\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\n"), @r#"outrigger.toml:4:6: `aws.credentials` is incomplete: `access-key-id` without `secret-key`; name the entry of key storage that holds the secret, such as secret-key = "keys/aws/secret""#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"access-key\"\nsecret-key = \"keys/aws\"\n"), @r#"outrigger.toml:1:6: `aws.credentials` is incomplete: `secret-key` without `access-key-id`; add access-key-id = "AKIA...""#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"access-key\"\n"), @"outrigger.toml:1:6: `aws.credentials` is incomplete: neither `access-key-id` nor `secret-key`; an access key needs both");
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"access-key\"\naccess-key-id = \"ASIAIOSFODNN7EXAMPLE\"\nsecret-key = \"keys/aws\"\n"), @r#"outrigger.toml:3:17: `aws.credentials.access-key-id` belongs to a temporary key, which works only with its session token; add session-token = "keys/...", or use a key that begins with AKIA"#);
}

#[test]
fn a_block_without_provider_says_which_one_fits() {
    insta::assert_snapshot!(system("[aws.credentials]\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret-key = \"keys/aws\"\n"), @r#"outrigger.toml:1:6: `aws.credentials` has keys but no `provider`; add provider = "access-key""#);
    insta::assert_snapshot!(system("[aws.credentials]\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\n"), @r#"outrigger.toml:1:6: `aws.credentials` has keys but no `provider`; add provider = "assume-role", or "web-identity" for a token of an OpenID Connect issuer"#);
    insta::assert_snapshot!(system("[aws.credentials]\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\n"), @r#"outrigger.toml:1:6: `aws.credentials` has keys but no `provider`; a key and a role need two blocks: provider = "assume-role" with source = { provider = "access-key", ... }"#);
    insta::assert_snapshot!(system("[aws.credentials]\n"), @r#"outrigger.toml:1:6: `aws.credentials` is empty, so it names no provider; add provider = "...", or remove the table to inherit the next level's credentials"#);
    insta::assert_snapshot!(system("[aws.credentials]\nduration-seconds = 900\n"), @r#"outrigger.toml:1:6: `aws.credentials` has keys but no `provider`; add provider = "...": access-key, assume-role, ec2, ecs, web-identity, profile, environment, chain or component"#);
}

#[test]
fn keys_of_another_provider_make_a_block_ambiguous() {
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"ec2\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\n"), @r#"
    outrigger.toml:3:1: `role-arn` does not belong to provider = "ec2"; to assume a role with these credentials write provider = "assume-role" and source = { provider = "ec2", ... }
    outrigger.toml:4:1: `access-key-id` does not belong to provider = "ec2"; one block has one provider; keys need provider = "access-key"
    "#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\nsecret-key = \"keys/aws\"\n"), @r#"outrigger.toml:4:1: `secret-key` does not belong to provider = "assume-role"; one block has one provider; keys need provider = "access-key""#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"access-key\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret-access-key = \"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\"\n"), @r#"
    outrigger.toml:1:6: `aws.credentials` is incomplete: `access-key-id` without `secret-key`; name the entry of key storage that holds the secret, such as secret-key = "keys/aws/secret"
    outrigger.toml:4:1: `secret-access-key` does not belong to provider = "access-key"; secrets are never in this file; store it with `outrigger keys put`, then write secret-key = "keys/..."
    "#);
}

#[test]
fn providers_are_known_by_name() {
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"acces-key\"\n"), @r#"outrigger.toml:2:12: `aws.credentials.provider` is "acces-key", which is no provider; did you mean "access-key"?"#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"vault\"\nurl = \"x\"\n"), @r#"outrigger.toml:2:12: `aws.credentials.provider` is "vault", which is no provider; one of access-key, assume-role, ec2, ecs, web-identity, profile, environment, chain, component; a component is named by provider = "component", name = "vault""#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = 7\n"), @"outrigger.toml:2:12: `aws.credentials.provider` is a number, but must be text in quotes");
}

#[test]
fn no_message_repeats_what_may_be_a_secret() {
    for text in [
        "[aws.credentials]\nprovider = \"access-key\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret-key = \"canary/K7MDENG\"\n",
        "[aws.credentials]\nprovider = \"access-key\"\naccess-key-id = \"canary/K7MDENG+x\"\nsecret-key = \"keys/aws\"\n",
        "[aws.credentials]\nprovider = \"access-key\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret-access-key = \"canary\"\n",
        "[keys]\nmaster-key = { environment = \"canary canary\" }\n",
        "[aws.credentials]\nprovider = \"web-identity\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\ntoken = { variable = \"ey.canary\" }\n",
        "[aws]\nendpoint-url = \"https://user:canary@host\"\n",
    ] {
        let message = system(text);
        assert!(!message.contains("canary"), "{message}");
    }
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"access-key\"\naccess-key-id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret-key = \"wJalrXUtnFEMI/K7MDENG\"\n"), @"outrigger.toml:4:14: `aws.credentials.secret-key` is no path of key storage: it must begin with `keys/`; secrets are never in this file; store it with `outrigger keys put keys/...` and name that path");
}

#[test]
fn roles_are_checked() {
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"assume-role\"\n"), @r#"outrigger.toml:1:6: `aws.credentials` is incomplete: provider = "assume-role" without `role-arn`; add role-arn = "arn:aws:iam::ACCOUNT:role/NAME""#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::1111:role/x\"\nexternal-id = \"a b\"\nsession-name = \"x\"\nduration-seconds = 60\nsource-identity = \"aws:me\"\n"), @r#"
    outrigger.toml:3:12: `aws.credentials.role-arn` is no role ARN: the account id has 12 digits
    outrigger.toml:4:15: `aws.credentials.external-id` must be 2 to 1,224 letters, digits or `_+=,.@:/-`
    outrigger.toml:5:16: `aws.credentials.session-name` must be 2 to 64 letters, digits or `_+=,.@-`
    outrigger.toml:6:20: `aws.credentials.duration-seconds` must be 900 to 43200 seconds
    outrigger.toml:7:19: `aws.credentials.source-identity` must be 2 to 64 letters, digits or `_+=,.@-`
    "#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\nsource = \"system\"\n"), @r#"outrigger.toml:4:10: source = "system" in the system file would refer to itself; name the source as a block, such as source = { provider = "ec2" }, or leave it out for the default chain"#);
    insta::assert_snapshot!(project("[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\nsource = \"ec2\"\n"), @r#"project.toml:4:10: `source` is "ec2", but must be "system" or a credentials block; write source = { provider = "ec2" }"#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\nduration-seconds = 7200\nsource = { provider = \"ec2\" }\n"), @"outrigger.toml:4:1: `duration-seconds` is over 3600, but a role that is assumed with a role's session lasts an hour at most; leave it out: sessions are renewed as long as a run needs them");
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\nsource = { provider = \"ec2\", role-arn = \"x\" }\nsession-policy = \"import\"\ntags = { \"aws:x\" = \"y\" }\n"), @r#"
    outrigger.toml:4:30: `role-arn` does not belong to provider = "ec2"; to assume a role with these credentials write provider = "assume-role" and source = { provider = "ec2", ... }
    outrigger.toml:5:18: `session-policy` is "import", but must be "imports", "off" or { extra-actions = [...] }
    outrigger.toml:6:10: "aws:x" is no key of a session tag; use 1 to 128 letters, digits, blanks or `_.:/=+@-`, not beginning with aws:
    "#);
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\nsession-policy = { extra-action = [\"kms:Decrypt\"] }\n"), @r#"
    outrigger.toml:4:1: `session-policy` must be "imports", "off" or { extra-actions = [...] }
    outrigger.toml:4:20: unknown key `aws.credentials.session-policy.extra-action`; did you mean `extra-actions`?
    "#);
}

#[test]
fn web_identity_has_one_token() {
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"web-identity\"\nrole-arn = \"arn:aws:iam::111122223333:role/x\"\ntoken = { file = \"/t\", variable = \"T\" }\n"), @"outrigger.toml:4:1: `token` must have exactly one of `file`, `variable` and `github`");
    insta::assert_snapshot!(system("[aws.credentials]\nprovider = \"web-identity\"\ntoken = { github = { } }\n"), @r#"outrigger.toml:3:11: `token.github` needs an `audience`; AWS's own guide uses audience = "sts.amazonaws.com""#);
}

#[test]
fn unknown_keys_are_refused_everywhere_with_the_nearest_name() {
    insta::assert_snapshot!(system("[aw]\n[aws]\nregoin = \"x\"\n[aws.accounts.prod]\nprovider = \"ec2\"\nregio = \"x\"\n[limits]\nmemory = 5\n[http]\nallow-origin = []\n"), @r#"
    outrigger.toml:1:2: unknown key `aw`; did you mean `aws`?
    outrigger.toml:3:1: unknown key `aws.regoin`; did you mean `region`?
    outrigger.toml:6:1: unknown key `aws.accounts.prod.regio`; did you mean `region`?
    outrigger.toml:8:1: unknown key `limits.memory`; the unit is part of the name: `memory-mib`
    outrigger.toml:10:1: unknown key `http.allow-origin`; did you mean `allow-origins`?
    "#);
    insta::assert_snapshot!(system("[[permissions.allow]]\naction = [\"ec2:*\"]\n[[permissions.denied]]\n"), @r#"
    outrigger.toml:2:1: unknown key `action` in a permission rule; did you mean `actions`, a list of patterns?
    outrigger.toml:3:15: unknown key `permissions.denied`; known here: allow, deny, grants
    "#);
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    insta::assert_snapshot!(system("[aws]\nregion = \"eu-west\"\nuse-fips = \"yes\"\n\n[limits]\nmemory-mib = 0\ngrace-seconds = -1\n\n[native-steps]\nenabled = 1\n\n[keys]\nmaster-key = { file = \"relative\" }\nshare = [\"shared/*\", \"keys/project/*\"]\n\n[workspace]\nallow-dirs = [\"data\", \"/srv/../etc\"]\n\n[http]\nallow-origins = [\"https://*\", \"ftp://x\", \"https://a/b\"]\nallow-networks = [\"10.0.0.0/40\"]\n"), @r#"
    outrigger.toml:2:10: `aws.region` is "eu-west", which is no region; write a region's name, such as eu-west-1, without zone letter
    outrigger.toml:3:12: `aws.use-fips` is text, but must be true or false
    outrigger.toml:6:14: `limits.memory-mib` must be 1 to 4096 MiB
    outrigger.toml:7:17: `limits.grace-seconds` must be 0 to 3600 seconds
    outrigger.toml:10:11: `native-steps.enabled` is a number, but must be true or false
    outrigger.toml:13:23: `keys.master-key.file` must be an absolute path
    outrigger.toml:14:10: "shared/*" matches no key; write patterns such as "keys/shared/*"
    outrigger.toml:14:22: "keys/project/*" would show a project's keys to the others; put what is shared outside keys/project/
    outrigger.toml:17:15: "data" is no absolute path without `..`; write the whole path of the folder
    outrigger.toml:17:23: "/srv/../etc" is no absolute path without `..`; write the whole path of the folder
    outrigger.toml:20:18: "https://*" is no origin: `*` alone would allow every host; write it as https://api.example.com or https://*.example.com:8443
    outrigger.toml:20:31: "ftp://x" is no origin: it must begin with `https://` or `http://`; write it as https://api.example.com or https://*.example.com:8443
    outrigger.toml:20:42: "https://a/b" is no origin: an origin has no path; write it as https://api.example.com or https://*.example.com:8443
    outrigger.toml:21:19: "10.0.0.0/40" is no network: the part after `/` is too large; write it as 10.0.0.0/8
    "#);
}

#[test]
fn broken_syntax_is_told_with_its_place() {
    insta::assert_snapshot!(system("[aws]\nregion = \"eu-west-1\n[limits\n"), @r#"
    outrigger.toml:2:20: invalid basic string, expected `"`
    outrigger.toml:3:8: unclosed table, expected `]`
    "#);
    insta::assert_snapshot!(system("[aws]\nregion = \"eu-west-1\"\nregion = \"eu-west-1\"\n"), @"outrigger.toml:3:1: duplicate key");
}

#[test]
fn columns_count_characters() {
    insta::assert_snapshot!(system("aws = { region = \"ü\", ünknown = 1 }\n"), @"outrigger.toml:1:23: invalid unquoted key, expected letters, numbers, `-`, `_`");
}

#[test]
fn a_project_cannot_say_what_is_the_systems() {
    insta::assert_snapshot!(project("[aws]\nprojects-use-host-credentials = true\n[keys]\nshare = [\"keys/*\"]\nmaster-key = { file = \"/k\" }\n[permissions.grants.x]\ndigest = \"sha256:00\"\n"), @r#"
    project.toml:2:1: `aws.projects-use-host-credentials` belongs to the system file; a project cannot give itself the host's credentials; set it in outrigger.toml
    project.toml:4:1: `keys.share` belongs to the system file; remove it from the project file and set it in outrigger.toml
    project.toml:5:1: `keys.master-key` belongs to the system file; remove it from the project file and set it in outrigger.toml
    project.toml:7:1: `digest` belongs to the system file; a project cannot accept a component in the operator's place
    "#);
}

#[test]
fn permission_rules_are_checked() {
    insta::assert_snapshot!(system("[[permissions.allow]]\nplugins = []\nactions = [\"StartInstances\", \"ec2:Start*\"]\nregions = [\"EU\"]\naccounts = [\"prod\"]\nresources = [\"i-123\"]\n[permissions.grants.x]\ndigest = \"sha256:00\"\nreveal = [\"project/*\"]\nraw = [\"kms\"]\nhttp = [\"https://x/y\"]\n"), @r#"
    outrigger.toml:2:1: `plugins` is empty; leave it out to match all
    outrigger.toml:3:12: "StartInstances" is no pattern of IAM actions; write SERVICE:ACTION, such as ec2:Start*
    outrigger.toml:4:12: "EU" is no pattern of regions; write eu-west-1 or eu-*
    outrigger.toml:5:13: "prod" is no account id; it has 12 digits
    outrigger.toml:6:14: "i-123" is no pattern of ARNs; it begins with arn: or *
    outrigger.toml:8:10: `digest` is no SHA-256 digest; write sha256: and 64 hexadecimal digits
    outrigger.toml:9:11: "project/*" is no pattern of key paths; begin with keys/
    outrigger.toml:10:8: "kms" is no pattern of IAM actions; write SERVICE:ACTION, such as kms:Describe*
    outrigger.toml:11:9: "https://x/y" is no origin: an origin has no path; write it as https://api.example.com or https://*.example.com:8443
    "#);
}

#[test]
fn every_kind_of_block_is_read() {
    let file = parse_system(
        r#"
        [aws]
        region = "eu-west-1"
        allowed-roles = ["arn:aws:iam::111122223333:role/deploy-*"]
        endpoint-urls = { s3 = "http://127.0.0.1:9000" }

        [aws.credentials]
        provider = "chain"
        providers = [
            { provider = "environment" },
            { provider = "profile", name = "ops" },
            { provider = "web-identity", role-arn = "arn:aws:iam::111122223333:role/ci", token = { github = { audience = "sts.amazonaws.com" } } },
            { provider = "ecs", full-uri = "http://169.254.170.23/v1/credentials", authorization-token-file = "/token" },
            { provider = "component", name = "vault", config = { path = "aws/creds" } },
            { provider = "assume-role", role-arn = "arn:aws:iam::111122223333:role/b", source = { provider = "assume-role", role-arn = "arn:aws:iam::111122223333:role/a", source = { provider = "access-key", access-key-id = "AKIAIOSFODNN7EXAMPLE", secret-key = "keys/aws" } } },
        ]

        [aws.accounts.prod]
        region = "eu-central-1"
        provider = "assume-role"
        role-arn = "arn:aws:iam::444455556666:role/outrigger"
        external-id = "9f2c"
        session-policy = { extra-actions = ["kms:Decrypt"] }
        tags = { team = "ops" }
        source = { provider = "ec2" }
        "#,
        "outrigger.toml",
    )
    .expect("accepted");
    insta::assert_json_snapshot!(file.aws, @r#"
    {
      "region": "eu-west-1",
      "use-fips": null,
      "use-dual-stack": null,
      "endpoint-url": null,
      "endpoint-urls": {
        "s3": "http://127.0.0.1:9000"
      },
      "ca-bundle": null,
      "s3-path-style": null,
      "credentials": {
        "provider": "chain",
        "providers": [
          {
            "provider": "environment"
          },
          {
            "provider": "profile",
            "name": "ops"
          },
          {
            "provider": "web-identity",
            "role-arn": "arn:aws:iam::111122223333:role/ci",
            "token": {
              "github": {
                "audience": "sts.amazonaws.com"
              }
            },
            "session-name": null,
            "duration-seconds": null
          },
          {
            "provider": "ecs",
            "full-uri": "http://169.254.170.23/v1/credentials",
            "authorization-token-file": "/token"
          },
          {
            "provider": "component",
            "name": "vault",
            "config": {
              "path": "aws/creds"
            }
          },
          {
            "provider": "assume-role",
            "role-arn": "arn:aws:iam::111122223333:role/b",
            "external-id": null,
            "session-name": null,
            "duration-seconds": null,
            "source": {
              "provider": "assume-role",
              "role-arn": "arn:aws:iam::111122223333:role/a",
              "external-id": null,
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
            },
            "session-policy": null,
            "tags": {},
            "source-identity": null
          }
        ]
      },
      "accounts": {
        "prod": {
          "region": "eu-central-1",
          "provider": "assume-role",
          "role-arn": "arn:aws:iam::444455556666:role/outrigger",
          "external-id": "9f2c",
          "session-name": null,
          "duration-seconds": null,
          "source": {
            "provider": "ec2"
          },
          "session-policy": {
            "extra-actions": [
              "kms:Decrypt"
            ]
          },
          "tags": {
            "team": "ops"
          },
          "source-identity": null
        }
      },
      "allowed-roles": [
        "arn:aws:iam::111122223333:role/deploy-*"
      ],
      "allowed-endpoints": null,
      "projects-use-host-credentials": null
    }
    "#);
}
