//! README and `docs/` say what the program does: every command is run, every example is read by what reads it in the
//! program, every link leads somewhere, and the plugin reference is made from the components.

mod blocks;
mod console;
mod plugins;

use std::collections::BTreeSet;
use std::path::Path;

use blocks::{Block, page_paths, pages, root};
use console::Shell;
use outrigger_endpoints::{Ministack, policy};

/// What the fences of a page may say, besides `console`, which is run.
const KINDS: &[&str] = &["console", "json", "rust", "sh", "toml", "wit", "yaml"];

fn each(kind: &str, mut check: impl FnMut(&Block)) {
    let mut seen = 0;
    for block in pages().iter().flat_map(|page| &page.blocks).filter(|block| block.kind == kind) {
        seen += 1;
        check(block);
    }
    assert!(seen > 0, "no page has a block of the kind `{kind}`");
}

#[test]
fn every_block_is_of_a_kind_that_is_tested() {
    for block in pages().iter().flat_map(|page| &page.blocks) {
        let at = &block.at;
        assert!(KINDS.contains(&block.kind.as_str()), "{at}: a block of the kind `{}` is not tested", block.kind);
        match block.kind.as_str() {
            "sh" => {
                let reason = block.value("no-run").unwrap_or_default();
                assert!(reason.len() > 10, "{at}: commands that are not run say why: sh no-run=\"...\"");
            }
            "rust" | "wit" => assert!(block.value("from").is_some(), "{at}: code says which file it is from"),
            _ => {}
        }
    }
}

#[test]
fn commands_print_what_the_pages_show() {
    let mut ran = 0;
    for page in pages() {
        let shell = Shell::new(&[]);
        for block in page.blocks.iter().filter(|block| block.kind == "console" && !block.has("endpoints")) {
            ran += shell.run(block);
        }
    }
    assert!(ran > 5, "only {ran} commands were run");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_call_aws_print_what_the_pages_show() {
    let ministack = Ministack::shared().await.expect("the endpoint starts");
    // The account, the role and the external id of the pages.
    let account = ministack.account("111122223333");
    let external_id = "9f2c6d1e0b7a4f3c8d5e6a7b8c9d0e1f";
    let allowed = policy::allow(&["ec2:*"], &["*"]);
    account
        .role("outrigger", &policy::console_trust("111122223333", Some(external_id)), Some(&allowed))
        .await
        .expect("the endpoint makes a role");
    let user = account
        .user("outrigger", Some(&policy::allow(&["sts:AssumeRole"], &["*"])))
        .await
        .expect("the endpoint makes a user");
    let url = ministack.url();
    let variables = [
        ("AWS_ACCESS_KEY_ID", user.access.as_str()),
        ("AWS_SECRET_ACCESS_KEY", user.secret.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", url.as_str()),
    ];
    let mut ran = 0;
    for page in pages() {
        let shell = Shell::new(&variables);
        for block in page.blocks.iter().filter(|block| block.kind == "console" && block.has("endpoints")) {
            ran += tokio::task::block_in_place(|| shell.run(block));
        }
    }
    assert!(ran > 3, "only {ran} commands were run");
}

#[test]
fn configuration_is_accepted() {
    each("toml", |block| {
        let file = Path::new(&block.at);
        let problems = if block.has("system") {
            outrigger_config::parse_system(&block.text, file).err().map(|problems| format!("{problems:?}"))
        } else if block.has("project") {
            outrigger_config::parse_project(&block.text, file).err().map(|problems| format!("{problems:?}"))
        } else {
            block.text.parse::<toml::Table>().err().map(|problem| problem.to_string())
        };
        assert_eq!(problems, None, "{}", block.at);
    });
}

#[test]
fn job_examples_in_pages_can_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let shell = Shell::new(&[]);
    each("yaml", |block| {
        let file = folder.path().join("example.yaml");
        std::fs::write(&file, &block.text).expect("a file");
        if block.has("jobs") {
            shell.check(&file, &block.at);
        } else {
            let parsed: Result<serde_json::Value, _> = serde_saphyr::from_str(&block.text);
            assert!(parsed.is_ok(), "{}: {parsed:?}", block.at);
        }
    });
}

#[test]
fn policies_are_policies() {
    each("json", |block| {
        let value: serde_json::Value =
            serde_json::from_str(&block.text).unwrap_or_else(|e| panic!("{}: {e}", block.at));
        if block.has("policy") {
            assert_eq!(value["Version"], "2012-10-17", "{}", block.at);
            for statement in value["Statement"].as_array().expect("statements") {
                assert_eq!(statement["Effect"], "Allow", "{}", block.at);
                assert!(statement["Action"].is_string() || statement["Action"].is_array(), "{}", block.at);
            }
        }
    });
}

/// The lines of a text without indentation, the marks of documentation and empty lines.
fn bare(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.trim().trim_start_matches("//!").trim()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn code_stands_where_it_says_it_is_from() {
    for block in pages().iter().flat_map(|page| &page.blocks) {
        let Some(file) = block.value("from") else { continue };
        let source =
            std::fs::read_to_string(root().join(&file)).unwrap_or_else(|e| panic!("{}: {file}: {e}", block.at));
        let (source, wanted) = (bare(&source), bare(&block.text));
        assert!(!wanted.is_empty(), "{}: the block is empty", block.at);
        assert!(
            source.windows(wanted.len()).any(|window| window == wanted),
            "{}: this code is not in {file} any more",
            block.at
        );
    }
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for page in pages() {
        for (line, target) in &page.links {
            if target.starts_with("https://") {
                continue;
            }
            links += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.path.clone() } else { page.path.with_file_name(path) };
            let file =
                if page.path.parent() == Some(root().as_path()) && !path.is_empty() { root().join(path) } else { file };
            assert!(file.exists(), "{}:{line}: {target} is not there", page.name);
            if !anchor.is_empty() {
                let other = blocks::Page::read(&file);
                assert!(other.anchors.contains(anchor), "{}:{line}: {target} has no such heading", page.name);
            }
        }
    }
    assert!(links > 10, "only {links} links were found");
}

#[test]
fn files_that_are_named_are_there() {
    const FOLDERS: &[&str] = &["credential-providers/", "docs/", "fuzz/", "host/", "plugins/", "tests/", "wit/"];
    let mut named = 0;
    for page in pages() {
        for (line, code) in &page.code {
            if FOLDERS.iter().any(|folder| code.starts_with(folder)) && !code.contains(['*', ' ', '<']) {
                named += 1;
                assert!(root().join(code).exists(), "{}:{line}: {code} is not there", page.name);
            }
        }
    }
    assert!(named > 15, "only {named} files are named");
}

#[test]
fn example_jobs_can_run_and_use_every_plugin() {
    let shell = Shell::new(&[]);
    let folder = root().join("docs/examples");
    shell.check(&folder, "docs/examples");
    let mut text = String::new();
    for file in blocks::files_below(&folder, "yaml") {
        text.push_str(&std::fs::read_to_string(file).expect("a job file"));
    }
    let unused: BTreeSet<String> = plugins::providers(&shell)
        .into_iter()
        .filter(|provider| !text.contains(&format!("type: {provider}\n")))
        .collect();
    assert_eq!(unused, BTreeSet::new(), "no example uses these plugins");
}

#[test]
fn the_plugin_reference_is_that_of_the_components() {
    let page = root().join("docs/plugins.md");
    let wanted = plugins::reference(&Shell::new(&[]));
    if std::env::var_os("OUTRIGGER_UPDATE_DOCS").is_some() {
        std::fs::write(&page, &wanted).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    if found != wanted {
        let line = 1 + found.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count();
        panic!(
            "docs/plugins.md differs from the components in line {line}; run this test with OUTRIGGER_UPDATE_DOCS=1"
        );
    }
}

/// Records the shipped runs anew, against an endpoint.
async fn record() {
    let ministack = Ministack::shared().await.expect("the endpoint starts");
    let account = ministack.account("111122223333");
    let user =
        account.user("operator", Some(&policy::allow(&["ec2:*"], &["*"]))).await.expect("the endpoint makes a user");
    let instances = account.launch("t3.micro", 1, &[("Name", "web")]).await.expect("the endpoint launches instances");
    account.stop(&instances).await.expect("the endpoint stops instances");
    let url = ministack.url();
    let shell = Shell::new(&[
        ("AWS_ACCESS_KEY_ID", user.access.as_str()),
        ("AWS_SECRET_ACCESS_KEY", user.secret.as_str()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", url.as_str()),
    ]);
    // The instances are in the region that the account's set-up works in.
    let region = account.root().region().to_owned();
    let ids = instances.join(",");
    for (name, arguments) in [
        ("whoami", "docs/examples/whoami.yaml".to_owned()),
        ("start-instances", format!("docs/examples/instances.yaml --job 'Start instances' -o instances={ids}")),
    ] {
        let file = format!("docs/examples/recordings/{name}.jsonl");
        let line = format!("rm -f {file}; AWS_REGION={region} outrigger run {arguments} --record {file}");
        let (code, output) = shell.command(&line);
        assert_eq!(code, Some(0), "{line}:\n{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_replay_without_anything() {
    if std::env::var_os("OUTRIGGER_UPDATE_DOCS").is_some() {
        record().await;
    }
    let shell = Shell::new(&[]);
    let recordings = blocks::files_below(&root().join("docs/examples/recordings"), "jsonl");
    assert!(!recordings.is_empty(), "no recording is shipped");
    for recording in recordings {
        let text = std::fs::read_to_string(&recording).expect("a recording");
        assert!(!text.contains("127.0.0.1"), "{} names the endpoint", recording.display());
        let (code, output) = shell.command(&format!("outrigger run --replay '{}'", recording.display()));
        assert_eq!(code, Some(0), "{}:\n{output}", recording.display());
    }
}

#[test]
fn pages_are_found() {
    let names: Vec<String> = pages().iter().map(|page| page.name.clone()).collect();
    assert!(
        names.contains(&"README.md".to_owned()) && names.len() == page_paths().len() && names.len() > 7,
        "{names:?}"
    );
}
