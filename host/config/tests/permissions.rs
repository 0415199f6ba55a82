//! What `[permissions]` allows, as tables.

use outrigger_config::{
    Decision, GrantKind, PermissionRequest, Permissions, SessionLimits, parse_project, parse_system,
};

fn permissions(system: &str, project: &str) -> Permissions {
    let system = parse_system(system, "outrigger.toml").expect("a system file");
    let project = parse_project(project, "project.toml").expect("a project file");
    Permissions::new(vec![system.permissions, project.permissions])
}

fn request<'r>(plugin: &'r str, action: &'r str) -> PermissionRequest<'r> {
    PermissionRequest {
        plugin,
        action,
        region: Some("eu-west-1"),
        account: Some("111122223333"),
        resource: Some("arn:aws:ec2:eu-west-1:111122223333:instance/i-1"),
    }
}

fn allowed(permissions: &Permissions, request: &PermissionRequest<'_>) -> bool {
    permissions.decide(request) == Decision::Allowed
}

#[test]
fn decisions() {
    let start = request("aws-vm-start-step", "ec2:StartInstances");
    let none = PermissionRequest { resource: None, ..start };
    let unknown = PermissionRequest { region: None, account: None, ..start };
    for (system, project, request, wanted) in [
        ("", "", start, true),
        // One level allows: what it does not match is refused.
        ("[[permissions.allow]]\n", "", start, true),
        ("[[permissions.allow]]\nactions = [\"ec2:Start*\"]\n", "", start, true),
        ("[[permissions.allow]]\nactions = [\"EC2:start*\"]\n", "", start, true),
        ("[[permissions.allow]]\nactions = [\"ec2:Stop*\"]\n", "", start, false),
        ("[[permissions.allow]]\nplugins = [\"aws-vm-*\"]\n", "", start, true),
        ("[[permissions.allow]]\nplugins = [\"aws-s3-*\"]\n", "", start, false),
        ("[[permissions.allow]]\nregions = [\"eu-*\"]\n", "", start, true),
        ("[[permissions.allow]]\nregions = [\"us-*\"]\n", "", start, false),
        ("[[permissions.allow]]\naccounts = [\"111122223333\"]\n", "", start, true),
        ("[[permissions.allow]]\naccounts = [\"444455556666\"]\n", "", start, false),
        ("[[permissions.allow]]\nresources = [\"arn:aws:ec2:*:*:instance/i-1\"]\n", "", start, true),
        ("[[permissions.allow]]\nresources = [\"arn:aws:ec2:*:*:instance/i-2\"]\n", "", start, false),
        // All members of one rule have to match; one of several rules is enough.
        ("[[permissions.allow]]\nactions = [\"ec2:*\"]\nregions = [\"us-*\"]\n", "", start, false),
        (
            "[[permissions.allow]]\nregions = [\"us-*\"]\n[[permissions.allow]]\nactions = [\"ec2:*\"]\n",
            "",
            start,
            true,
        ),
        // Both levels have to allow.
        (
            "[[permissions.allow]]\nactions = [\"ec2:*\"]\n",
            "[[permissions.allow]]\nactions = [\"ec2:Start*\"]\n",
            start,
            true,
        ),
        ("[[permissions.allow]]\nactions = [\"s3:*\"]\n", "[[permissions.allow]]\n", start, false),
        ("[[permissions.allow]]\n", "[[permissions.allow]]\nactions = [\"s3:*\"]\n", start, false),
        // Deny wins, wherever it stands.
        ("[[permissions.deny]]\nactions = [\"ec2:Start*\"]\n", "[[permissions.allow]]\n", start, false),
        ("[[permissions.allow]]\n", "[[permissions.deny]]\nregions = [\"eu-*\"]\n", start, false),
        ("[[permissions.deny]]\nactions = [\"ec2:Stop*\"]\n", "", start, true),
        // What is unknown fits no allow and every deny.
        ("[[permissions.allow]]\nregions = [\"*\"]\n", "", unknown, false),
        ("[[permissions.allow]]\nactions = [\"ec2:*\"]\n", "", unknown, true),
        ("[[permissions.deny]]\naccounts = [\"444455556666\"]\n", "", unknown, false),
        // No resource is what IAM writes as `*`.
        ("[[permissions.allow]]\nresources = [\"arn:aws:ec2:*\"]\n", "", none, false),
        ("[[permissions.allow]]\nresources = [\"*\"]\n", "", none, true),
        ("[[permissions.deny]]\nresources = [\"arn:aws:ec2:*\"]\n", "", none, true),
        ("[[permissions.deny]]\nresources = [\"*\"]\n", "", none, false),
    ] {
        assert_eq!(allowed(&permissions(system, project), &request), wanted, "{system}{project}{request:?}");
    }
}

#[test]
fn a_refusal_can_be_pasted_and_then_allows() {
    let system = "[[permissions.allow]]\nactions = [\"s3:*\"]\nregions = [\"us-*\"]\n";
    let start = request("aws-vm-start-step", "ec2:StartInstances");
    let Decision::Denied { rule_origin: None, missing } = permissions(system, "").decide(&start) else {
        panic!("not refused for want of a rule");
    };
    insta::assert_snapshot!(missing, @r#"
    [[permissions.allow]]
    plugins = ["aws-vm-start-step"]
    actions = ["ec2:StartInstances"]
    regions = ["eu-west-1"]
    "#);
    assert!(allowed(&permissions(&format!("{system}{missing}"), ""), &start));
}

#[test]
fn a_refusal_by_a_rule_names_it() {
    let start = request("aws-vm-start-step", "ec2:StartInstances");
    let rules = permissions("[[permissions.allow]]\n\n[[permissions.deny]]\nactions = [\"ec2:*\"]\n", "");
    let Decision::Denied { rule_origin: Some(origin), missing } = rules.decide(&start) else {
        panic!("not refused by a rule");
    };
    assert_eq!(origin.to_string(), "outrigger.toml:3");
    insta::assert_snapshot!(missing, @"# no `allow` lifts the [[permissions.deny]] at outrigger.toml:3; narrow or remove that rule");
}

#[test]
fn limits_for_a_session_policy() {
    let list = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
    for (system, project, regions, resources) in [
        ("", "", None, None),
        ("[[permissions.allow]]\n", "", None, None),
        ("[[permissions.allow]]\nregions = [\"eu-*\"]\n", "", list(&["eu-*"]), None),
        ("[[permissions.allow]]\nregions = [\"eu-*\"]\n[[permissions.allow]]\n", "", None, None),
        ("[[permissions.allow]]\nplugins = [\"other\"]\n", "", list(&[]), list(&[])),
        (
            "[[permissions.allow]]\nregions = [\"eu-*\", \"us-*\"]\n",
            "[[permissions.allow]]\nregions = [\"eu-west-1\", \"us-*\", \"ap-*\"]\n",
            list(&["eu-west-1", "us-*"]),
            None,
        ),
        (
            "[[permissions.allow]]\nregions = [\"eu-*\"]\n",
            "[[permissions.allow]]\nregions = [\"us-*\"]\n",
            list(&[]),
            None,
        ),
        (
            "[[permissions.allow]]\nregions = [\"eu-*\"]\n",
            "[[permissions.allow]]\nregions = [\"*-1\"]\n",
            list(&["eu-*"]),
            None,
        ),
        ("[[permissions.allow]]\nresources = [\"arn:aws:s3:::a/*\"]\n", "", None, list(&["arn:aws:s3:::a/*"])),
    ] {
        let limits = permissions(system, project).limits_for("aws-vm-start-step");
        assert_eq!(limits, SessionLimits { regions, resources, denies: Vec::new() }, "{system}{project}");
    }
    let limits = permissions(
        "[[permissions.deny]]\nactions = [\"iam:*\"]\n[[permissions.deny]]\nplugins = [\"other\"]\n",
        "[[permissions.deny]]\naccounts = [\"111122223333\"]\n",
    )
    .limits_for("aws-vm-start-step");
    assert_eq!(limits.denies.len(), 1);
    assert_eq!(limits.denies.first().map(|deny| deny.actions.clone()), Some(vec!["iam:*".to_owned()]));
}

#[test]
fn session_limits_are_never_narrower_than_the_rules() {
    // Whatever a rule allows, its region is matched by the limits.
    let lists = ["[\"eu-*\"]", "[\"eu-west-?\", \"us-*\"]", "[\"*-1\"]", "[\"eu-west-1\"]", "[\"*\"]", "[\"*west*\"]"];
    let mut seen = 0;
    for a in lists {
        for b in lists {
            let rules = permissions(
                &format!("[[permissions.allow]]\nregions = {a}\n"),
                &format!("[[permissions.allow]]\nregions = {b}\n"),
            );
            let limits = rules.limits_for("p").regions.expect("limited");
            for region in ["eu-west-1", "eu-west-2", "us-west-1", "us-east-1", "ap-south-1", "eu-central-2"] {
                let request = PermissionRequest { region: Some(region), ..request("p", "ec2:X") };
                if allowed(&rules, &request) {
                    seen += 1;
                    let inside = limits.iter().any(|limit| outrigger_config::glob_matches(limit, region));
                    assert!(inside, "{a} {b} {region} {limits:?}");
                }
            }
        }
    }
    assert!(seen > 20);
}

#[test]
fn grants() {
    let system = "[permissions.grants.vault]\ndigest = \"sha256:ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB\"\nseal = true\nhttp = [\"https://vault.example.com:8200\"]\nreveal = false\n";
    let project = "[permissions.grants.vault]\nreveal = true\nraw = [\"kms:Describe*\"]\n[permissions.grants.other]\nreveal = [\"keys/project/web/*\"]\nseal = false\n";
    let rules = permissions(system, project);
    for (component, kind, text, wanted) in [
        ("vault", GrantKind::Seal, "", true),
        ("vault", GrantKind::Http, "https://vault.example.com:8200", true),
        ("vault", GrantKind::Http, "https://vault.example.com:8201", false),
        // `false` at either level refuses.
        ("vault", GrantKind::Reveal, "keys/project/web/a", false),
        ("vault", GrantKind::Raw, "KMS:describeKey", true),
        ("vault", GrantKind::Raw, "kms:Decrypt", false),
        ("other", GrantKind::Reveal, "keys/project/web/a", true),
        ("other", GrantKind::Reveal, "keys/project/db/a", false),
        ("other", GrantKind::Seal, "", false),
        ("other", GrantKind::Http, "https://vault.example.com:8200", false),
        ("nobody", GrantKind::Reveal, "keys/a", false),
    ] {
        assert_eq!(rules.granted(component, kind, text), wanted, "{component} {kind:?} {text}");
    }
    assert_eq!(rules.accepted_digest("vault"), Some("ab".repeat(32).as_str()));
    assert_eq!(rules.accepted_digest("other"), None);
}
