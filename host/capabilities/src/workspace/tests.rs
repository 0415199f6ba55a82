use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;

/// A workspace with a folder beside it that nobody may see, and one that is allowed.
struct Fixture {
    all: TempDir,
    workspace: Arc<Workspace>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Quota::UNLIMITED)
    }

    fn with(quota: Quota) -> Self {
        let all = TempDir::new().unwrap();
        for (path, content) in
            [("run/a.txt", "a"), ("run/d/b.txt", "bb"), ("outside/secret", "s"), ("srv/data/x", "xxx")]
        {
            let path = all.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let workspace = Workspace::new(all.path().join("run"), vec![all.path().join("srv/data")], quota);
        Self { all, workspace: Arc::new(workspace) }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.all.path().join(path)
    }

    fn absolute(&self, path: &str) -> String {
        self.path(path).to_str().unwrap().to_owned()
    }

    fn names(&self, path: &str, follow: bool, most: u32) -> (Vec<String>, Vec<String>) {
        let (mut names, mut warnings, mut token) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let page = self.workspace.list_files(path, follow, Some(most), token.as_deref()).unwrap();
            assert!(page.entries.len() <= most as usize);
            names.extend(page.entries.into_iter().map(|entry| entry.path));
            warnings.extend(page.warnings);
            token = page.next;
            if token.is_none() {
                return (names, warnings);
            }
        }
    }
}

fn everything(workspace: &Workspace, path: &str) -> Vec<(&'static str, Result<(), Failure>)> {
    vec![
        ("stat", workspace.stat(path).map(drop)),
        ("open", workspace.open(path).map(drop)),
        ("list", workspace.list_files(path, true, None, None).map(drop)),
        ("write", workspace.write_file(path, b"x", None)),
        ("remove", workspace.remove_files(&[path])),
    ]
}

#[test]
fn hostile_paths_are_refused_by_every_function() {
    let fixture = Fixture::new();
    symlink("../outside", fixture.path("run/out")).unwrap();
    symlink(fixture.path("outside"), fixture.path("run/absolute")).unwrap();
    symlink("d/../../outside", fixture.path("run/dots")).unwrap();
    symlink("/", fixture.path("run/root")).unwrap();
    symlink("/proc/self/root", fixture.path("run/magic")).unwrap();
    let long = "n".repeat(256);
    let deep = "d/".repeat(129);
    let endless = "d/".repeat(2_100);
    let (outside, beside) = (fixture.absolute("outside/secret"), fixture.absolute("srv/data2/x"));
    let sneaky = fixture.absolute("srv/data/../../outside/secret");
    for (path, reason) in [
        ("../x", Reason::InvalidInput),
        ("..", Reason::InvalidInput),
        ("a/../../b", Reason::InvalidInput),
        ("d/../a.txt", Reason::InvalidInput),
        ("d//../..//outside/secret", Reason::InvalidInput),
        ("a\0b", Reason::InvalidInput),
        (&long, Reason::InvalidInput),
        (&deep, Reason::InvalidInput),
        (&endless, Reason::InvalidInput),
        (&sneaky, Reason::InvalidInput),
        ("/etc/passwd", Reason::AccessDenied),
        ("//etc//passwd", Reason::AccessDenied),
        ("/", Reason::AccessDenied),
        ("/proc/self/environ", Reason::AccessDenied),
        (&outside, Reason::AccessDenied),
        (&beside, Reason::AccessDenied),
        ("out/secret", Reason::AccessDenied),
        ("absolute/secret", Reason::AccessDenied),
        ("dots/secret", Reason::AccessDenied),
        ("root/etc/passwd", Reason::AccessDenied),
        ("magic/etc/passwd", Reason::AccessDenied),
    ] {
        for (function, answer) in everything(&fixture.workspace, path) {
            let failure = answer.expect_err(&format!("{function} of {path:?}"));
            assert_eq!(failure.reason, reason, "{function} of {path:?}: {failure}");
        }
    }
    assert_eq!(fs::read(fixture.path("outside/secret")).unwrap(), b"s");
    assert_eq!(fs::read_dir(fixture.path("outside")).unwrap().count(), 1);
}

#[test]
fn a_refusal_names_the_flag() {
    let fixture = Fixture::new();
    let failure = fixture.workspace.stat("/srv/data/x").unwrap_err();
    assert_eq!(
        failure.message,
        "\"/srv/data/x\" is not in the run's workspace or an allowed folder: pass --allow-dir /srv/data or add it to \
         [workspace] allow-dirs"
    );
}

#[test]
fn allowed_paths_are_seen() {
    let fixture = Fixture::new();
    symlink("d/b.txt", fixture.path("run/inside")).unwrap();
    symlink("..", fixture.path("run/d/up")).unwrap();
    for (path, size) in [
        ("a.txt", 1),
        ("./d//b.txt", 2),
        ("inside", 2),
        ("d/up/a.txt", 1),
        (&fixture.absolute("srv/data/x"), 3),
        (&fixture.absolute("run/a.txt"), 1),
    ] {
        let entry = fixture.workspace.stat(path).unwrap();
        assert_eq!((entry.kind, entry.size), (EntryKind::File, size), "{path}");
        assert_eq!(fixture.workspace.open(path).unwrap().size, size, "{path}");
    }
    assert_eq!(fixture.workspace.stat("").unwrap().kind, EntryKind::Directory);
    assert_eq!(fixture.workspace.stat("nothing/here").unwrap_err().reason, Reason::NotFound);
    assert_eq!(fixture.workspace.open("d").unwrap_err().reason, Reason::InvalidInput);
}

#[test]
fn pipes_and_sockets_are_not_opened() {
    let fixture = Fixture::new();
    nix::unistd::mkfifo(&fixture.path("run/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(fixture.path("run/socket")).unwrap();
    for path in ["pipe", "socket"] {
        assert_eq!(fixture.workspace.stat(path).unwrap().kind, EntryKind::Other);
        assert_eq!(fixture.workspace.open(path).unwrap_err().reason, Reason::InvalidInput);
    }
    assert_eq!(fixture.names("", true, 100).0, ["a.txt", "d/b.txt"]);
}

/// A folder and a link to the outside take turns under one name; nobody ever reads or writes outside.
#[test]
fn a_link_that_is_swapped_in_leads_nowhere() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("run/turn")).unwrap();
    fs::write(fixture.path("run/turn/secret"), "inside").unwrap();
    symlink("../outside", fixture.path("run/link")).unwrap();
    let (turn, link, spare) = (fixture.path("run/turn"), fixture.path("run/link"), fixture.path("run/spare"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (from, to) in [(&turn, &spare), (&link, &turn), (&turn, &link), (&spare, &turn)] {
                    fs::rename(from, to).unwrap();
                }
            }
        });
        let mut read = 0;
        for _ in 0..3_000 {
            if let Ok(opened) = fixture.workspace.open("turn/secret") {
                assert_eq!(opened.size, 6, "the file outside has one byte");
                read += 1;
            }
            if let Ok(entry) = fixture.workspace.stat("turn/secret") {
                assert_eq!(entry.size, 6);
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(read > 0, "the folder was never there");
    });
    assert_eq!(fs::read(fixture.path("outside/secret")).unwrap(), b"s");
}

#[test]
fn files_appear_complete_with_their_time() {
    let fixture = Fixture::new();
    let writer = fixture.workspace.create("new/deep/file", 6).unwrap();
    writer.write_at(3, b"def").unwrap();
    writer.write_at(0, b"abc").unwrap();
    assert_eq!(writer.write_at(5, b"xx").unwrap_err().reason, Reason::Internal);
    assert!(!fixture.path("run/new/deep/file").exists());
    assert_eq!(fixture.names("", false, 100).0, ["a.txt", "d/b.txt"], "what is incomplete is not listed");
    writer.commit(Some(UNIX_EPOCH + Duration::from_millis(1_500_000_000_123))).unwrap();
    assert_eq!(fs::read(fixture.path("run/new/deep/file")).unwrap(), b"abcdef");
    assert_eq!(fixture.workspace.stat("new/deep/file").unwrap().modified, 1_500_000_000_123);

    drop(fixture.workspace.create("new/deep/other", 1).unwrap());
    assert_eq!(fs::read_dir(fixture.path("run/new/deep")).unwrap().count(), 1, "an incomplete file is removed");
    assert_eq!(fixture.workspace.write_file("d", b"x", None).unwrap_err().reason, Reason::Conflict);
    assert_eq!(fixture.workspace.write_file("", b"x", None).unwrap_err().reason, Reason::InvalidInput);
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
    let fixture = Fixture::new();
    symlink("../outside/secret", fixture.path("run/link")).unwrap();
    fixture.workspace.write_file("link", b"mine", None).unwrap();
    assert_eq!(fs::read(fixture.path("outside/secret")).unwrap(), b"s");
    assert_eq!(fs::read(fixture.path("run/link")).unwrap(), b"mine");
    symlink("../outside/secret", fixture.path("run/link2")).unwrap();
    fixture.workspace.remove_files(&["link2", "gone"]).unwrap();
    assert!(fixture.path("outside/secret").exists());
    assert!(fixture.path("run/link2").symlink_metadata().is_err());
}

#[test]
fn the_quota_counts_bytes_and_files() {
    let fixture = Fixture::with(Quota { bytes: 10, files: 2 });
    let files = &fixture.workspace;
    files.write_file("x", b"12345", None).unwrap();
    let failure = files.write_file("y", b"123456", None).unwrap_err();
    assert_eq!((failure.reason, failure.code.as_deref()), (Reason::Conflict, Some("QuotaExceeded")));
    assert!(failure.message.contains("10 bytes"), "{failure}");
    files.write_file("y", b"1", None).unwrap();
    assert!(files.write_file("z", b"", None).unwrap_err().message.contains("2 files"));
    assert_eq!(files.used(), Quota { bytes: 6, files: 2 });
    files.remove_files(&["x"]).unwrap();
    drop(files.create("w", 9).unwrap());
    assert_eq!(files.used(), Quota { bytes: 1, files: 1 });
    files.write_file("y", b"12", None).unwrap();
    assert_eq!(files.used(), Quota { bytes: 2, files: 1 }, "what is replaced counts no more");
    assert!(files.create("huge", u64::MAX).is_err());
}

#[test]
fn listings_are_sorted_by_bytes_and_paged() {
    let fixture = Fixture::new();
    let names = ["a!", "a/b", "a/b!", "a/c/d", "a.txt", "a0", "b/é", "b/z", "Z", "d/b.txt", "long/1/2/3/4/5"];
    for name in names {
        let path = fixture.path("run").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    // More than one reading of a folder holds.
    for index in 0..100 {
        fs::create_dir_all(fixture.path("run/many/m")).unwrap();
        fs::write(fixture.path(&format!("run/many/{index:03}")), "").unwrap();
        fs::create_dir_all(fixture.path(&format!("run/many/{index:03}d"))).unwrap();
        fs::write(fixture.path(&format!("run/many/{index:03}d/x")), "").unwrap();
    }
    let mut expected: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    expected.extend((0..100).flat_map(|index| [format!("many/{index:03}"), format!("many/{index:03}d/x")]));
    expected.sort();
    for most in [1, 2, 7, 1_000] {
        assert_eq!(fixture.names("", false, most).0, expected, "pages of {most}");
    }
    let below: Vec<&str> = expected.iter().filter_map(|name| name.strip_prefix("many/")).collect();
    assert_eq!(fixture.names("many/", true, 3).0, below);
}

#[test]
fn a_page_can_be_asked_for_again() {
    let fixture = Fixture::new();
    for index in 0..30 {
        fs::create_dir_all(fixture.path(&format!("run/t/{}", index % 3))).unwrap();
        fs::write(fixture.path(&format!("run/t/{}/{index:02}", index % 3)), "").unwrap();
    }
    let files = &fixture.workspace;
    let first = files.list_files("t", false, Some(10), None).unwrap();
    let token = first.next.unwrap();
    let second = files.list_files("t", false, Some(10), Some(&token)).unwrap();
    // The paused listing was used up, so this one begins at the token.
    let again = files.list_files("t", false, Some(10), Some(&token)).unwrap();
    assert_eq!(second, again);
    let unknown = files.list_files("t", false, None, Some("1/")).unwrap();
    assert_eq!(unknown.entries.len(), 20);
    assert!(files.list_files("t", false, None, Some("zzz")).unwrap().entries.is_empty());
    for most in [0, MOST_ENTRIES + 1] {
        assert_eq!(files.list_files("t", false, Some(most), None).unwrap_err().reason, Reason::InvalidInput);
    }
    let itself = files.list_files("a.txt", false, None, None).unwrap();
    assert_eq!(itself.entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), [""]);
    assert_eq!(files.list_files("none", false, None, None).unwrap_err().reason, Reason::NotFound);
}

#[test]
fn links_are_followed_where_asked_and_loops_are_found() {
    let fixture = Fixture::new();
    symlink("..", fixture.path("run/d/loop")).unwrap();
    symlink("self", fixture.path("run/self")).unwrap();
    symlink("nowhere", fixture.path("run/dangling")).unwrap();
    symlink("d/b.txt", fixture.path("run/link")).unwrap();
    symlink("d", fixture.path("run/e")).unwrap();
    let (names, warnings) = fixture.names("", false, 100);
    assert_eq!((names, warnings), (vec!["a.txt".to_owned(), "d/b.txt".to_owned()], Vec::new()));
    let (names, warnings) = fixture.names("", true, 100);
    assert_eq!(names, ["a.txt", "d/b.txt", "e/b.txt", "link"]);
    let text = warnings.join("\n");
    for part in ["self is skipped", "dangling is skipped", "d/loop is skipped: it leads back", "e/loop is skipped"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_link_to_the_outside_ends_a_listing() {
    for follow in [false, true] {
        let fixture = Fixture::new();
        symlink("../../outside", fixture.path("run/d/out")).unwrap();
        let failure = fixture.workspace.list_files("", follow, None, None).unwrap_err();
        assert_eq!(failure.reason, Reason::AccessDenied);
        assert!(failure.message.starts_with("d/out leads outside"), "{failure}");
    }
}

#[test]
fn names_that_are_not_utf8_are_reported() {
    let fixture = Fixture::new();
    fs::write(fixture.path("run").join(Path::new(OsStr::from_bytes(b"bad\xff"))), "").unwrap();
    let (names, warnings) = fixture.names("", false, 1);
    assert_eq!(names, ["a.txt", "d/b.txt"]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("not UTF-8"), "{warnings:?}");
}

#[tokio::test]
async fn functions_run_beside_the_runtime() {
    let fixture = Fixture::new();
    let entry = fixture.workspace.run(|files| files.stat("a.txt")).await.unwrap();
    assert_eq!(entry.size, 1);
}
