//! The example of a credential provider, built, granted, and asked for credentials.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use outrigger_endpoints::{Ministack, Options, policy};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn component() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/credential-provider");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("credential-provider");
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            [
                "CARGO_ENCODED",
                "CARGO_BUILD",
                "CARGO_TARGET",
                "CARGO_PROFILE",
                "CARGO_UNSTABLE",
                "CARGO_RESOLVER",
                "RUSTC",
                "RUSTFLAGS",
                "__CARGO",
            ]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        });
        if ours {
            cargo.env_remove(name);
        }
    }
    let built = cargo
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(project)
        .output()
        .unwrap();
    assert!(built.status.success(), "cargo build: {}", text(&built.stderr));
    target.join("wasm32-unknown-unknown/release/json_key_provider.wasm")
}

struct Scene {
    folder: tempfile::TempDir,
    /// What no output and no file may show.
    canaries: Vec<String>,
}

impl Scene {
    fn outrigger(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(arguments)
            .arg("--home")
            .arg(self.folder.path())
            .current_dir(self.folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap();
        for canary in &self.canaries {
            for bytes in [&output.stdout, &output.stderr] {
                assert!(!text(bytes).contains(canary.as_str()), "outrigger {arguments:?} shows a secret");
            }
        }
        output
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.folder.path().join("outrigger.toml"), text).unwrap();
    }

    fn put_key(&self, document: &Value) {
        let file = self.folder.path().join("document.json");
        std::fs::write(&file, document.to_string()).unwrap();
        let put = self.outrigger(&["keys", "put", "keys/aws/web", "--overwrite", "--file", file.to_str().unwrap()]);
        assert!(put.status.success(), "{}", text(&put.stderr));
        std::fs::remove_file(file).unwrap();
    }

    /// No file of the home holds a canary.
    fn search(&self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.search(&path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for canary in &self.canaries {
                let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
                assert!(!found, "{} holds a secret", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_provider_needs_grants_and_gives_credentials() {
    let ministack = Ministack::start(Options::default()).await.unwrap();
    let account = ministack.new_account();
    let user = account.user("web", Some(&policy::may_assume(&["*"]))).await.unwrap();
    let trust = policy::console_trust(account.id(), None);
    let role = account.role("web-jobs", &trust, Some(&policy::allow(&["s3:*"], &["*"]))).await.unwrap();
    let keys = account.assume(&user, &role, None, Duration::from_secs(3600)).await.unwrap();
    let token = keys.token.clone().unwrap();

    let component = component();
    let component = component.to_str().unwrap();
    let scene = Scene { folder: tempfile::tempdir().unwrap(), canaries: vec![keys.secret.clone(), token.clone()] };
    let aws = format!("[aws]\nregion = \"us-east-1\"\nendpoint-url = \"{}\"\n", ministack.url());
    scene.configure(&aws);

    let refused = scene.outrigger(&["plugin", "add", component, "--yes"]);
    assert_eq!(refused.status.code(), Some(2));
    let message = text(&refused.stderr);
    assert!(message.contains("needs the operator's grant"), "{message}");
    let pasted: Vec<&str> = message.lines().map(str::trim).skip_while(|line| !line.starts_with('[')).collect();
    assert_eq!(pasted, ["[permissions.grants.json-key-provider]", "reveal = [\"keys/...\"]", "seal = true"]);

    let source = "[aws.credentials]\nprovider = \"component\"\nname = \"json-key-provider\"\nconfig = { secret = \"keys/aws/web\" }\n";
    let grants = "[permissions.grants.json-key-provider]\nreveal = [\"keys/aws/*\"]\nseal = true\n";
    scene.configure(&format!("{aws}{source}{grants}"));
    let added = scene.outrigger(&["plugin", "add", component, "--yes"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let shown = scene.outrigger(&["plugin", "inspect", "json-key-provider", "--format", "json"]);
    let info: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(info["worlds"], serde_json::json!(["credential-provider"]));
    assert_eq!(
        info["imports"],
        serde_json::json!([
            "outrigger:run/log@0.1.0#write",
            "outrigger:secrets/reveal@0.1.0#reveal",
            "outrigger:secrets/seal@0.1.0#seal",
            "outrigger:secrets/secrets@0.1.0#get",
        ])
    );

    let expiry: jiff::Timestamp = keys.expiry.unwrap().try_into().unwrap();
    scene.put_key(&serde_json::json!({
        "Version": 1,
        "AccessKeyId": keys.access,
        "SecretAccessKey": keys.secret,
        "SessionToken": token,
        "Expiration": expiry.to_string(),
    }));
    let validated = scene.outrigger(&["credentials", "validate", "-vv"]);
    let said = text(&validated.stdout);
    assert!(validated.status.success(), "{said}\n{}", text(&validated.stderr));
    assert!(said.contains(account.id()) && said.contains("assumed-role/web-jobs"), "{said}");

    let job = scene.folder.path().join("whoami.yaml");
    let whoami = "- name: whoami\n  sequence:\n    commands:\n    - type: aws-validate-credentials-step\n      nodeStep: false\n      configuration: {}\n";
    std::fs::write(&job, whoami).unwrap();
    let ran = scene.outrigger(&["run", job.to_str().unwrap(), "--loglevel", "debug"]);
    assert!(ran.status.success(), "{}\n{}", text(&ran.stdout), text(&ran.stderr));
    scene.search(scene.folder.path());

    // A grant that does not cover the key, and one that is taken back.
    let other = "[permissions.grants.json-key-provider]\nreveal = [\"keys/other/*\"]\nseal = true\n";
    scene.configure(&format!("{aws}{source}{other}"));
    let refused = scene.outrigger(&["credentials", "validate"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(said.contains("reveal = [\"keys/aws/web\"]"), "{said}");
    scene.configure(&format!("{aws}{source}"));
    let refused = scene.outrigger(&["credentials", "validate"]);
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("seal = true"), "{said}");

    // A document that cannot be read is not quoted.
    scene.configure(&format!("{aws}{source}{grants}"));
    scene.put_key(
        &serde_json::json!({ "AccessKeyId": keys.access, "SecretAccessKey": [keys.secret], "SessionToken": token }),
    );
    let refused = scene.outrigger(&["credentials", "validate", "-vv"]);
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("the stored document is no JSON object"), "{said}");
    scene.search(scene.folder.path());
}
