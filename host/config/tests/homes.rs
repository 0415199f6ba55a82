//! Homes, trust, and what is loaded from them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use outrigger_config::{Error, Home, HomeSource, MasterKeySource, Settings};
use tempfile::TempDir;

struct World {
    folder: TempDir,
    variables: HashMap<&'static str, OsString>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("user");
        std::fs::create_dir(&home).expect("made");
        Self { variables: HashMap::from([("HOME", home.into_os_string())]), folder }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("a path").join(below)
    }

    fn write(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    fn discover(&self, explicit: Option<&str>, cwd: &Path) -> Result<Home, Error> {
        Home::discover(explicit.map(PathBuf::from), &|name| self.variables.get(name).cloned(), cwd)
    }

    /// The text without the place of the test.
    fn plain(&self, text: impl ToString) -> String {
        text.to_string().replace(&self.path("").display().to_string(), "/")
    }
}

#[test]
fn compiled_components_may_lie_elsewhere() {
    let mut world = World::new();
    world.write("a/outrigger.toml", "");
    world.variables.insert("OUTRIGGER_CACHE", world.path("shared").into_os_string());
    let home = world.discover(Some("a"), &world.path("")).expect("a home");
    assert_eq!(home.cache_dir, world.path("shared"));
    assert_eq!(home.data_dir, world.path("a/.outrigger"));
}

#[test]
fn homes_are_found_in_order() {
    let mut world = World::new();
    world.write("a/outrigger.toml", "");
    world.write("env/outrigger.toml", "");
    world.write("given/.keep", "");
    let below = world.path("a/b/c");
    std::fs::create_dir_all(&below).expect("made");

    let user = world.discover(None, &world.path("user")).expect("a home");
    assert_eq!((user.how, user.config_file), (HomeSource::User, world.path("user/.config/outrigger/outrigger.toml")));

    let walked = world.discover(None, &below).expect("a home");
    assert_eq!((walked.how, walked.config_file), (HomeSource::WalkUp, world.path("a/outrigger.toml")));

    world.variables.insert("OUTRIGGER_HOME", world.path("env").into_os_string());
    let environment = world.discover(None, &below).expect("a home");
    assert_eq!((environment.how, environment.projects_dir), (HomeSource::Environment, world.path("env/projects")));

    let given = world.discover(Some("../../../given"), &below).expect("a home");
    assert_eq!((given.how, given.data_dir), (HomeSource::Option, world.path("given/.outrigger")));

    let missing = world.discover(Some("nowhere"), &below).expect_err("refused");
    insta::assert_snapshot!(world.plain(missing), @"--home names /a/b/c/nowhere, which is no folder; make it, or name another");
}

#[test]
fn the_users_folders_follow_xdg() {
    let mut world = World::new();
    world.variables.insert("XDG_DATA_HOME", world.path("data").into_os_string());
    world.variables.insert("XDG_CACHE_HOME", "relative".into());
    let home = world.discover(None, &world.path("user")).expect("a home");
    let paths: Vec<String> =
        home.paths().into_iter().map(|(name, path)| format!("{name} {}", world.plain(path.display()))).collect();
    insta::assert_snapshot!(paths.join("\n"), @r#"
    configuration /user/.config/outrigger/outrigger.toml
    projects /user/.config/outrigger/projects
    data /data/outrigger
    database /data/outrigger/outrigger.db
    keys /data/outrigger/keys.db
    cache /user/.cache/outrigger
    components /data/outrigger/components
    workspaces /data/outrigger/workspaces
    trust /user/.local/state/outrigger/trusted.json
    "#);
    let none = Home::discover(None, &|_| None, &world.path("user")).expect_err("refused");
    insta::assert_snapshot!(none.to_string(), @"cannot find the user's folders: neither HOME nor XDG_CONFIG_HOME is set; set HOME, or say where the home is with --home");
}

#[test]
fn the_users_own_configuration_is_never_walked_up_to() {
    let world = World::new();
    let file = world.write("user/.config/outrigger/outrigger.toml", "[native-steps]\nenabled = true\n");
    let home = world.discover(None, file.parent().expect("a folder")).expect("a home");
    assert_eq!((home.how, home.trusted), (HomeSource::User, true));
}

#[test]
fn folders_are_private() {
    let world = World::new();
    world.write("a/.keep", "");
    let home = world.discover(Some(&world.path("a").display().to_string()), Path::new("/")).expect("a home");
    home.create_folders().expect("made");
    for folder in [&home.data_dir, &home.cache_dir, &home.components_dir, &home.workspace_dir] {
        assert_eq!(std::fs::metadata(folder).expect("exists").mode() & 0o777, 0o700, "{}", folder.display());
    }
    assert_eq!(std::fs::read_to_string(home.data_dir.join(".gitignore")).expect("readable"), "*\n");
}

const DANGEROUS: &str = r#"
[aws]
region = "eu-west-1"
endpoint-url = "https://elsewhere.example"
projects-use-host-credentials = true
allowed-roles = ["*"]
[aws.credentials]
provider = "ecs"
full-uri = "https://elsewhere.example/c"
[native-steps]
enabled = true
[workspace]
allow-dirs = ["/"]
[http]
allow-networks = ["10.0.0.0/8"]
[keys]
master-key = { command = ["sh", "-c", "id"] }
share = ["keys/*"]
[[permissions.allow]]
plugins = ["*"]
actions = ["*"]
[[permissions.deny]]
actions = ["iam:*"]
[permissions.grants.x]
reveal = true
"#;

#[test]
fn an_untrusted_configuration_sets_nothing_dangerous() {
    let world = World::new();
    let file = world.write("repo/outrigger.toml", DANGEROUS);
    let home = world.discover(None, file.parent().expect("a folder")).expect("a home");
    assert!(!home.trusted);
    let error = Settings::load(&home, None).expect_err("refused");
    insta::assert_snapshot!(world.plain(error), @r#"
    /repo/outrigger.toml:4:16: `aws.endpoint-url` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:5:33: `aws.projects-use-host-credentials` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:6:17: `aws.allowed-roles` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:9:12: `aws.credentials.full-uri` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:11:11: `native-steps.enabled` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:13:14: `workspace.allow-dirs` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:15:18: `http.allow-networks` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:17:26: `keys.master-key.command` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:18:9: `keys.share` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:19:1: `permissions.allow[0]` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    /repo/outrigger.toml:25:10: `permissions.grants.x.reveal` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`
    "#);
    for folder in [&home.data_dir, &home.cache_dir, &home.components_dir, &home.workspace_dir, &home.master_key_file] {
        assert!(!folder.starts_with(world.path("repo")), "{}", folder.display());
    }

    assert_eq!(home.trust().expect("trusted"), std::slice::from_ref(&file));
    let home = world.discover(None, file.parent().expect("a folder")).expect("a home");
    assert!(home.trusted);
    let settings = Settings::load(&home, None).expect("accepted");
    assert!(matches!(settings.master_key().value, MasterKeySource::Command(_)));
    assert_eq!(home.data_dir, world.path("repo/.outrigger"));
    assert!(!home.cache_dir.starts_with(world.path("repo")), "machine code never comes from a repository");
    assert_eq!(std::fs::metadata(&home.trust_file).expect("exists").mode() & 0o777, 0o600);
}

#[test]
fn a_plain_configuration_needs_no_trust() {
    let world = World::new();
    let file = world.write(
        "repo/outrigger.toml",
        "[aws]\nregion = \"eu-west-1\"\n[aws.credentials]\nprovider = \"profile\"\nname = \"ops\"\n[globals]\nowner = \"ops\"\n[[permissions.deny]]\nactions = [\"iam:*\"]\n",
    );
    let home = world.discover(None, file.parent().expect("a folder")).expect("a home");
    assert!(!home.trusted);
    let settings = Settings::load(&home, None).expect("accepted");
    assert_eq!(settings.region().map(|region| region.value).as_deref(), Some("eu-west-1"));
}

#[test]
fn trust_ends_with_the_text_that_was_trusted() {
    let world = World::new();
    let file = world.write("repo/outrigger.toml", "[native-steps]\nenabled = true\n");
    let cwd = file.parent().expect("a folder");
    world.discover(None, cwd).expect("a home").trust().expect("trusted");
    let home = world.discover(None, cwd).expect("a home");
    assert!(Settings::load(&home, None).is_ok());

    // Changed between finding and loading: what counts is the text that is parsed.
    world.write("repo/outrigger.toml", "[native-steps]\nenabled = true\nuser = \"root\"\n");
    assert!(Settings::load(&home, None).is_err());
    assert!(!world.discover(None, cwd).expect("a home").trusted);

    world.write("repo/outrigger.toml", "[native-steps]\nenabled = true\n");
    assert!(world.discover(None, cwd).expect("a home").trusted);
    assert!(home.untrust().expect("untrusted"));
    assert!(!world.discover(None, cwd).expect("a home").trusted);
    assert!(!home.untrust().expect("nothing to do"));
}

#[test]
fn a_project_file_is_trusted_by_itself() {
    let world = World::new();
    let file = world.write("repo/outrigger.toml", "");
    let cwd = file.parent().expect("a folder");
    world.write("repo/projects/web/project.toml", "[native-steps]\nenabled = true\n");
    world.discover(None, cwd).expect("a home").trust().expect("trusted");
    let home = world.discover(None, cwd).expect("a home");
    assert!(Settings::load(&home, Some("web")).expect("accepted").native_steps().enabled.value);
    world.write("repo/projects/new/project.toml", "[native-steps]\nenabled = true\n");
    insta::assert_snapshot!(world.plain(Settings::load(&home, Some("new")).expect_err("refused")), @"/repo/projects/new/project.toml:2:11: `native-steps.enabled` in a configuration that is not trusted; this file was found by walking up from the working folder; read it, then run `outrigger trust`");
}

#[test]
fn projects_are_named_and_found() {
    let world = World::new();
    world.write("a/projects/web/jobs/x.yaml", "");
    let home = world.discover(Some(&world.path("a").display().to_string()), Path::new("/")).expect("a home");
    assert_eq!(home.projects().expect("a list"), ["web"]);
    assert!(Settings::load(&home, Some("web")).is_ok(), "a project needs no file of its own");
    insta::assert_snapshot!(world.plain(Settings::load(&home, Some("wbe")).expect_err("refused")), @"there is no project `wbe`: /a/projects/wbe does not exist; did you mean `web`?");
    for bad in ["", "..", "../x", "a/b", ".x", "a b"] {
        assert!(matches!(Settings::load(&home, Some(bad)), Err(Error::ProjectName(_))), "{bad:?}");
    }
}

#[test]
fn problems_of_both_files_are_told_together() {
    let world = World::new();
    world.write("a/outrigger.toml", "[aws]\nregion = 1\n");
    world.write("a/projects/web/project.toml", "[limits]\nmemory-mib = 0\n");
    let home = world.discover(Some(&world.path("a").display().to_string()), Path::new("/")).expect("a home");
    insta::assert_snapshot!(world.plain(Settings::load(&home, Some("web")).expect_err("refused")), @r#"
    /a/outrigger.toml:2:10: `aws.region` is a number, but must be text in quotes
    /a/projects/web/project.toml:2:14: `limits.memory-mib` must be 1 to 4096 MiB
    "#);
    std::fs::write(world.path("a/outrigger.toml"), b"[aws]\n# \xff\n").expect("written");
    insta::assert_snapshot!(world.plain(Settings::load(&home, None).expect_err("refused")), @"/a/outrigger.toml:2:1: the file is not UTF-8; save it as UTF-8");
}
