use outrigger_endpoints::policy;
use serde_json::Value;

use crate::support::{EXTERNAL_ID, Scene, block, block_of, job, ministack, step};

fn who_am_i() -> String {
    job(&[step("aws-validate-credentials-step", &[])])
}

#[test]
fn the_step_says_whose_credentials_it_has() {
    let scene = Scene::new();
    let run = scene.good(&who_am_i(), &[]);
    let outputs = run.outputs("1");
    assert_eq!(outputs["account"], scene.account.id());
    assert_eq!(outputs["level"], "system");
    assert_eq!(outputs["provider"], "assume-role");
    assert!(outputs["arn"].as_str().unwrap().contains(":assumed-role/outrigger-jobs/"), "{outputs}");
    let hops = outputs["hops"].to_string();
    assert!(hops.contains("access-key") && hops.contains(&scene.access.role_arn), "{hops}");
    assert_eq!(scene.attempts(), [("sts:GetCallerIdentity".to_owned(), 1, "ok".to_owned())]);
}

#[test]
fn validate_names_level_provider_and_every_hop() {
    let scene = Scene::new();
    let ran = scene.outrigger(&["credentials", "validate", "--format", "json"]).with_code(0);
    let identity: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(identity["account"], scene.account.id());
    assert_eq!(identity["provider"], "assume-role");
    assert!(identity["level"].as_str().unwrap().starts_with("system level ("), "{ran}");
    let hops = identity["hops"].as_array().unwrap();
    assert_eq!(hops.len(), 2, "{ran}");
    assert_eq!(hops[0]["principal"], scene.access.user_arn);
    assert_eq!(hops[1]["role_arn"], scene.access.role_arn);
    let text = scene.outrigger(&["credentials", "validate"]).with_code(0);
    for part in [scene.account.id(), "system", "assume-role", "access-key", &scene.access.role_arn, "outrigger.toml"] {
        assert!(text.out.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_wrong_or_missing_external_id_is_refused_and_explained() {
    let scene = Scene::new();
    let config = scene.home.path().join("outrigger.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let missing = good.lines().filter(|line| !line.starts_with("external-id")).collect::<Vec<_>>().join("\n");
    for text in [good.replace(EXTERNAL_ID, "another-id"), missing] {
        std::fs::write(&config, text).unwrap();
        let validate = scene.outrigger(&["credentials", "validate"]).with_code(1);
        assert!(validate.err.contains("external id") && validate.err.contains(&scene.access.role_arn), "{validate}");
        let run = scene.run(&who_am_i(), &[]).with_code(1);
        let (reason, message) = run.failure("1");
        assert!(message.contains("external id"), "{reason}: {message}");
        assert!(!message.contains(&scene.access.user.secret));
    }
}

/// Two projects with accounts of their own, and both at once: each run sees its own account only.
#[test]
fn projects_never_mix() {
    let scene = Scene::new();
    let names = ["red", "blue"];
    let accounts = names.map(|name| {
        let account = ministack().new_account();
        let access = block(account.outrigger_access(&account, EXTERNAL_ID, &policy::allow(&["*"], &["*"]))).unwrap();
        let key = format!("keys/project/{name}/aws");
        scene.write(&format!("projects/{name}/project.toml"), &block_of(&access, &key));
        scene.put(&key, &access.user.secret);
        account.id().to_owned()
    });
    let text = who_am_i();
    let children: Vec<_> = (0..4)
        .map(|number| {
            let index = number % 2;
            let mut command = scene.run_command(&text, &["--project", names[index]]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            (index, command.spawn().unwrap())
        })
        .collect();
    for (index, child) in children {
        let ran = crate::support::Ran::from(child.wait_with_output().unwrap()).with_code(0);
        let outputs = ran.outputs("1");
        assert_eq!((&outputs["account"], &outputs["level"]), (&accounts[index].as_str().into(), &"project".into()));
    }
    // A project that names another's key is refused before anything is asked.
    let stolen = std::fs::read_to_string(scene.home.path().join("projects/blue/project.toml")).unwrap();
    scene.write("projects/red/project.toml", &stolen);
    scene.proxy.forget_requests();
    let ran = scene.outrigger(&["run", "--project", "red", &scene.write("who.yaml", &text).display().to_string()]);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(format!("{}{}", ran.out, ran.err).contains("keys/project/blue/aws"), "{ran}");
    assert_eq!(scene.proxy.requests().len(), 0);
}

#[test]
fn a_project_never_falls_through_to_the_hosts_own_credentials() {
    let scene = Scene::new();
    let text = format!("[aws]\nregion = \"us-east-1\"\nendpoint-url = \"{}\"\n", scene.proxy.url());
    scene.write("outrigger.toml", &text);
    scene.write("projects/web/project.toml", "");
    let with_environment = |arguments: &[&str]| {
        let mut command = scene.run_command(&who_am_i(), arguments);
        command.env("AWS_ACCESS_KEY_ID", &scene.access.user.access);
        command.env("AWS_SECRET_ACCESS_KEY", &scene.access.user.secret);
        crate::support::ran(command)
    };
    let own = with_environment(&[]).with_code(0);
    assert_eq!(own.outputs("1")["arn"], scene.access.user_arn);
    scene.proxy.forget_requests();
    let ran = with_environment(&["--project", "web"]).with_code(1);
    assert!(ran.failure("1").1.contains("projects-use-host-credentials"), "{ran}");
    assert_eq!(scene.proxy.requests().len(), 0);
}

/// A role may do everything on EC2, and the component imports one operation: the session is no wider.
#[test]
fn the_session_policy_narrows_to_the_imports() {
    let scene = Scene::permitting(&["ec2:*"]);
    let ids = block(scene.account.launch("t3.micro", 1, &[])).unwrap();
    scene
        .run(&job(&[step("aws-vm-stop-step", &[("instanceId", &ids[0]), ("pollInterval", "50ms")])]), &[])
        .with_code(0);
    let assumed = scene.proxy.requests().into_iter().rfind(|request| request.operation == "AssumeRole").unwrap();
    assert!(assumed.summary.contains("Policy=") && assumed.summary.contains("ec2:"), "{}", assumed.summary);
    assert!(!assumed.summary.contains("ec2:*"), "{}", assumed.summary);
    // Where the configuration says so, no policy goes along.
    let block_off = scene.block().replace("[aws.credentials]", "[aws.credentials]\nsession-policy = \"off\"");
    let config = std::fs::read_to_string(scene.home.path().join("outrigger.toml")).unwrap();
    scene.write("outrigger.toml", &config.replace(&scene.block(), &block_off));
    scene.proxy.forget_requests();
    scene
        .run(&job(&[step("aws-vm-start-step", &[("instanceId", &ids[0]), ("pollInterval", "50ms")])]), &[])
        .with_code(0);
    let assumed = scene.proxy.requests().into_iter().rfind(|request| request.operation == "AssumeRole").unwrap();
    assert!(!assumed.summary.contains("Policy="), "{}", assumed.summary);
}
