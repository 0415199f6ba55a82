//! A job runs from file to audit record against an endpoint that checks identities.

use std::sync::{Arc, Mutex};

use outrigger_config::{Home, KeyType};
use outrigger_credential_providers::NoMfa;
use outrigger_endpoints::{Ministack, Options, policy};
use outrigger_engine::{Host, HostOptions, RunSpec};
use outrigger_jobs::file::parse_jobs;
use outrigger_jobs::workflow::{MissingPlugins, RunEvent, RunObserver};
use outrigger_redaction::Secret;
use outrigger_runtime::Compiler;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Events(Mutex<Vec<RunEvent>>);

impl RunObserver for Events {
    fn event(&self, event: &RunEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_works_under_an_assumed_role_and_is_audited() {
    let ministack = Ministack::start(Options::default()).await.unwrap();
    let account = ministack.new_account();
    let access = account.outrigger_access(&account, "9f2c", &policy::allow(&["ec2:*"], &["*"])).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let home = Home::discover(Some(folder.path().to_owned()), &|_| None, folder.path()).unwrap();
    std::fs::write(
        &home.config_file,
        format!(
            "[aws]\nregion = \"us-east-1\"\nendpoint-url = \"{}\"\n[aws.credentials]\nprovider = \"assume-role\"\nrole-arn = \"{}\"\nexternal-id = \"9f2c\"\nsource = {{ provider = \"access-key\", access-key-id = \"{}\", secret-key = \"keys/aws\" }}\n",
            ministack.url(), access.role_arn, access.user.access
        ),
    )
    .unwrap();
    let options = HostOptions {
        project: None,
        allow_dirs: vec![],
        compiler: Compiler::InProcess,
        mfa: Arc::new(NoMfa),
        attempts: 3,
    };
    let host = Host::open(home, options).await.unwrap();
    host.key_store().put("keys/aws", KeyType::Password, &Secret::new(access.user.secret.clone()), false).unwrap();
    let text = "- name: smoke\n  sequence:\n    commands:\n    - type: aws-validate-credentials-step\n      nodeStep: false\n      configuration: {}\n";
    let file = Arc::new(parse_jobs(text, "smoke.yaml").unwrap());
    let spec = RunSpec {
        library: host.job_index(&file).unwrap(),
        options: host.resolve_options("smoke.yaml", "", &file.jobs[0], &[], &[], None).unwrap(),
        file,
        text: text.to_owned(),
        job: 0,
        username: "tester".to_owned(),
        dry_run: false,
        record: None,
        replay: None,
        globals: host.globals(),
        missing_plugins: MissingPlugins::Refuse,
        log_level: None,
    };
    let events = Arc::new(Events::default());
    let end = host.run_job(spec, events.clone(), CancellationToken::new()).await.unwrap();
    let audit = host.store().unwrap().audit(end.run, 0, 100).unwrap();
    assert!(end.result.status.is_success(), "{:?}", end.result);

    let outputs = &end.result.steps[0].outputs;
    assert_eq!(outputs["level"], "system");
    assert_eq!(outputs["provider"], "assume-role");
    assert_eq!(outputs["account"], account.id());
    let session = format!("assumed-role/outrigger-jobs/outrigger-run-{}-1", end.run);
    assert!(outputs["arn"].as_str().unwrap().ends_with(&session), "{outputs:?}");

    let [entry] = audit.as_slice() else { panic!("one call, one record: {audit:?}") };
    assert_eq!(entry.record.action, "GetCallerIdentity");
    assert_eq!(entry.record.principal.as_deref(), Some(access.role_arn.as_str()));
    assert!(entry.record.request_id.is_some());

    let written = serde_json::to_string(&*events.0.lock().unwrap()).unwrap();
    assert!(!written.contains(&access.user.secret), "the secret key shows in an event");
}
