use std::collections::BTreeMap;
use std::path::PathBuf;

use outrigger_endpoints::{Fault, Nth, Rule};
use serde_json::json;

use crate::support::{Scene, block, job, step};

struct Site {
    scene: Scene,
    bucket: String,
    folder: PathBuf,
}

impl Site {
    fn new() -> Self {
        let scene = Scene::new();
        let bucket = format!("site-{}", scene.account.id());
        block(scene.account.bucket(&bucket)).unwrap();
        for (name, text) in
            [("index.html", "<h1>home</h1>"), ("about.html", "<h1>about</h1>"), ("img/a b+c.svg", "<svg/>")]
        {
            scene.write(&format!("site/{name}"), text);
        }
        let folder = scene.home.path().join("site");
        Self { scene, bucket, folder }
    }

    fn local(&self) -> String {
        self.folder.display().to_string()
    }

    fn remote(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    fn sync(&self, source: &str, destination: &str, more: &[(&str, &str)]) -> String {
        transfer("aws-cli-s3-sync-step", source, destination, more)
    }

    fn object(&self, key: &str) -> Option<String> {
        let bytes = block(self.scene.account.get_object(&self.bucket, key)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn transfer(plugin: &str, source: &str, destination: &str, more: &[(&str, &str)]) -> String {
    let mut configuration = vec![("source", source), ("destination", destination)];
    configuration.extend(more);
    job(&[step(plugin, &configuration)])
}

fn files(folder: &std::path::Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_folder_outside_the_workspace_is_refused_with_the_flag_that_allows_it() {
    let site = Site::new();
    let run = site.scene.run(&site.sync(&site.local(), &site.remote("site"), &[]), &[]).with_code(1);
    let (_, message) = run.failure("1");
    assert!(message.contains("--allow-dir") && message.contains(&site.local()), "{message}");
    assert_eq!(site.scene.writes().len(), 0);
}

#[test]
fn sync_goes_up_and_down_and_deletes() {
    let site = Site::new();
    block(site.scene.account.put_object(&site.bucket, "site/old.html", "old")).unwrap();
    let allow = ["--allow-dir", &site.local()];
    let up = site.sync(&site.local(), &site.remote("site"), &[("delete", "true")]);
    let run = site.scene.good(&up, &allow);
    let outputs = run.outputs("1");
    assert_eq!((&outputs["uploaded"], &outputs["deleted"], &outputs["failed"]), (&json!(3), &json!(1), &json!(0)));
    assert_eq!(site.object("site/index.html").as_deref(), Some("<h1>home</h1>"));
    assert_eq!(site.object("site/img/a%20b%2Bc.svg").as_deref(), Some("<svg/>"));
    assert_eq!(site.object("site/old.html"), None);

    // The second time there is nothing to do.
    site.scene.proxy.forget_requests();
    let again = site.scene.run(&up, &allow).with_code(0);
    assert_eq!(again.outputs("1")["uploaded"], 0);
    assert_eq!(site.scene.writes().len(), 0);

    // Down, into a folder where something is too much.
    let target = site.scene.home.path().join("down");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("extra.txt"), "x").unwrap();
    let path = target.display().to_string();
    let down = site.sync(&site.remote("site"), &path, &[("delete", "true")]);
    let run = site.scene.run(&down, &["--allow-dir", &path, "--dry-run"]);
    assert!(target.join("extra.txt").exists(), "{run}");
    assert_eq!(files(&target).len(), 1, "a dry run wrote files");
    let run = site.scene.run(&down, &["--allow-dir", &path]).with_code(0);
    assert_eq!(run.outputs("1")["downloaded"], 3);
    assert_eq!(files(&target), files(&site.folder));
}

#[test]
fn the_plugins_own_dryrun_says_what_it_would_do_and_does_nothing() {
    let site = Site::new();
    let text = site.sync(&site.local(), &site.remote("site"), &[("dryrun", "true"), ("exclude", "*.svg")]);
    let run = site.scene.run(&text, &["--allow-dir", &site.local()]).with_code(0);
    assert_eq!(site.scene.writes().len(), 0);
    assert_eq!((&run.outputs("1")["uploaded"], &run.outputs("1")["dryrun"]), (&json!(2), &json!(true)));
    assert!(run.log().iter().any(|line| line.starts_with("(dryrun) upload: ")), "{run}");
}

#[test]
fn cp_copies_a_file_up_down_and_inside_the_workspace() {
    let site = Site::new();
    let file = site.folder.join("index.html").display().to_string();
    let up = transfer("aws-cli-s3-cp-step", &file, &site.remote("home/"), &[]);
    let run = site.scene.good(&up, &["--allow-dir", &site.local()]);
    assert_eq!(run.outputs("1")["uploaded"], 1);
    assert_eq!(site.object("home/index.html").as_deref(), Some("<h1>home</h1>"));
    // The workspace of the run needs no permission.
    let down = transfer("aws-cli-s3-cp-step", &site.remote("home/index.html"), "copy.html", &[]);
    let run = site.scene.run(&down, &[]).with_code(0);
    assert_eq!(run.outputs("1")["downloaded"], 1);
    let across = transfer("aws-cli-s3-cp-step", &site.remote("home/"), &site.remote("else/"), &[("recursive", "true")]);
    let run = site.scene.run(&across, &[]).with_code(0);
    assert_eq!(run.outputs("1")["copied"], 1);
    assert_eq!(site.object("else/index.html").as_deref(), Some("<h1>home</h1>"));
}

#[test]
fn what_is_missing_or_confused_is_named() {
    let site = Site::new();
    let allow = ["--allow-dir", &site.local()];
    let missing = site.folder.join("missing.html").display().to_string();
    let run = site.scene.run(&transfer("aws-cli-s3-cp-step", &missing, &site.remote("x"), &[]), &allow).with_code(1);
    assert!(run.failure("1").1.contains("does not exist"), "{run}");
    let run =
        site.scene.run(&transfer("aws-cli-s3-cp-step", &site.local(), &site.remote("x"), &[]), &allow).with_code(1);
    assert!(run.failure("1").1.contains("`recursive`"), "{run}");
    let run = site.scene.run(&transfer("aws-cli-s3-cp-step", "s3://no-such-bucket-here/x", "y", &[]), &[]).with_code(1);
    assert_eq!(run.failure("1").0, "NotFound", "{run}");
    let run = site.scene.run(&site.sync("../outside", &site.remote("x"), &[]), &[]).with_code(1);
    assert!(run.failure("1").1.contains(".."), "{run}");
}

/// One file fails, the others arrive, and the step says which.
#[test]
fn a_file_that_fails_fails_the_step_after_the_others() {
    let site = Site::new();
    let fault = Fault::Error { status: 403, code: "AccessDenied".to_owned(), message: "Access Denied".to_owned() };
    site.scene.proxy.rule(Rule::every("PutObject", fault).containing("about.html"));
    site.scene.proxy.rule(Rule::new("PutObject", Nth::Only(1), Fault::throttle("SlowDown")).containing("index.html"));
    let run = site
        .scene
        .run(&site.sync(&site.local(), &site.remote("site"), &[]), &["--allow-dir", &site.local()])
        .with_code(1);
    let (reason, message) = run.failure("1");
    assert_eq!(reason, "Unauthorized", "{message}");
    assert!(message.contains("about.html"), "{message}");
    let outputs = run.step("1")["outputs"].clone();
    assert_eq!((&outputs["uploaded"], &outputs["failed"]), (&json!(2), &json!(1)), "{run}");
    assert_eq!(site.object("site/index.html").as_deref(), Some("<h1>home</h1>"));
}
