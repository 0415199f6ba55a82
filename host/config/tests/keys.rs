//! Key storage: what it gives back, what it detects, and what survives a crash.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_config::{KeyError, KeyScope, KeyStore, KeyType, MasterKeySource, ProjectKeys};
use outrigger_redaction::Secret;
use rusqlite::Connection;
use tempfile::TempDir;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("data/keys.db")
    }

    fn master(&self) -> PathBuf {
        self.folder.path().join("config/master.key")
    }

    fn store(&self) -> KeyStore {
        KeyStore::open(self.database(), MasterKeySource::File(self.master()))
    }

    fn sql(&self, statement: &str) {
        let changed = Connection::open(self.database()).expect("opens").execute(statement, []).expect("runs");
        assert!(changed > 0, "{statement} changed nothing");
    }

    /// The error's message, without the place of the test.
    fn message<T: std::fmt::Debug>(&self, result: Result<T, KeyError>) -> String {
        let message = result.expect_err("an error").to_string();
        message.replace(&self.folder.path().display().to_string(), "")
    }
}

fn put(store: &KeyStore, path: &str, value: &str) {
    store.put(path, KeyType::Password, &Secret::new(value.to_owned()), false).expect("stored");
}

fn value(store: &KeyStore, path: &str) -> String {
    store.get(path).expect("found").expose().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("exists").mode() & 0o777
}

#[test]
fn the_first_put_makes_a_private_master_key_and_says_where() {
    let place = Place::new();
    let store = place.store();
    let secret = Secret::new("first value".to_owned());
    let stored = store.put("keys/a", KeyType::Password, &secret, false).expect("stored");
    assert_eq!(stored.new_master_key, Some(place.master()));
    assert!(!stored.replaced);
    assert_eq!(mode(&place.master()), 0o600);
    assert_eq!(mode(&place.database()), 0o600);
    assert_eq!(mode(place.database().parent().expect("a folder")), 0o700);
    let second = store.put("keys/b", KeyType::PrivateKey, &secret, false).expect("stored");
    assert_eq!(second.new_master_key, None);
    assert_eq!(value(&place.store(), "keys/a"), "first value");
}

#[test]
fn an_empty_storage_reads_as_empty_and_makes_nothing() {
    let place = Place::new();
    let store = place.store();
    assert_eq!(store.list("").expect("a list"), []);
    assert!(matches!(store.get("keys/a"), Err(KeyError::NotFound { .. })));
    assert!(!place.database().exists() && !place.master().exists());
}

#[test]
fn no_value_lies_readable_on_the_disk() {
    let place = Place::new();
    put(&place.store(), "keys/a", "canary-4f1d9");
    let bytes = std::fs::read(place.database()).expect("readable");
    assert!(!bytes.windows(12).any(|part| part == b"canary-4f1d9"));
    assert!(bytes.windows(6).any(|part| part == b"keys/a"), "the search finds what is there");
}

#[test]
fn replacing_needs_to_be_said_and_keeps_the_time_of_creation() {
    let place = Place::new();
    let store = place.store();
    put(&store, "keys/a", "one");
    place.sql("UPDATE keys SET created = 1000");
    let two = Secret::new("two".to_owned());
    insta::assert_snapshot!(
        place.message(store.put("keys/a", KeyType::Password, &two, false)),
        @"the key `keys/a` exists already; say --overwrite to replace it"
    );
    assert_eq!(value(&store, "keys/a"), "one");
    assert!(store.put("keys/a", KeyType::PublicKey, &two, true).expect("stored").replaced);
    assert_eq!(value(&store, "keys/a"), "two");
    let metadata = store.metadata("keys/a").expect("metadata");
    assert_eq!(metadata.created.as_second(), 1000);
    assert!(metadata.modified.as_second() > 1000);
    assert_eq!((metadata.key_type, metadata.size_class.as_str()), (KeyType::PublicKey, "up to 32 bytes"));
}

#[test]
fn lists_by_prefix_and_removes() {
    let place = Place::new();
    let store = place.store();
    for path in ["keys/b/2", "keys/a", "keys/b/1", "keys/b_/3"] {
        put(&store, path, "x");
    }
    let paths = |prefix: &str| -> Vec<String> {
        store.list(prefix).expect("a list").into_iter().map(|entry| entry.path).collect()
    };
    assert_eq!(paths("keys/b/"), ["keys/b/1", "keys/b/2"]);
    assert_eq!(paths("keys/%"), Vec::<String>::new());
    store.remove("keys/b/1").expect("removed");
    assert_eq!(paths(""), ["keys/a", "keys/b/2", "keys/b_/3"]);
    assert!(matches!(store.remove("keys/b/1"), Err(KeyError::NotFound { .. })));
    insta::assert_snapshot!(
        place.message(store.get("keys/b/11")),
        @"there is no key `keys/b/11` (did you mean `keys/b/2`?); add it with `outrigger keys put keys/b/11`"
    );
}

#[test]
fn a_wrong_master_key_is_told_from_a_damaged_entry() {
    let place = Place::new();
    put(&place.store(), "keys/a", "value");
    let right = std::fs::read(place.master()).expect("readable");
    std::fs::write(place.master(), "0".repeat(64)).expect("written");
    insta::assert_snapshot!(
        place.message(place.store().get("keys/a")),
        @"wrong master key: /data/keys.db was not sealed with the key from file /config/master.key; use the key that it was made with, or restore both from one backup"
    );
    let more = Secret::new("more".to_owned());
    assert!(matches!(
        place.store().put("keys/b", KeyType::Password, &more, false),
        Err(KeyError::WrongMasterKey { .. })
    ));
    std::fs::write(place.master(), right).expect("written");
    place.sql("UPDATE keys SET sealed_value = CAST(substr(sealed_value, 1, length(sealed_value) - 1) AS BLOB)");
    insta::assert_snapshot!(
        place.message(place.store().get("keys/a")),
        @"the key `keys/a` is damaged, or was moved from another path, in /data/keys.db: its value does not open; store it again with `outrigger keys put keys/a --overwrite`"
    );
    place.sql("UPDATE keys SET sealed_key = zeroblob(72)");
    // With the only entry spoilt, the check value alone says that the master key is right.
    assert!(matches!(place.store().get("keys/a"), Err(KeyError::Damaged { part: "its data key", .. })));
}

#[test]
fn a_damaged_check_value_does_not_make_the_master_key_wrong() {
    let place = Place::new();
    put(&place.store(), "keys/a", "value");
    place.sql("UPDATE master SET sealed_check = x'00'");
    assert_eq!(value(&place.store(), "keys/a"), "value");
}

#[test]
fn a_moved_or_swapped_entry_does_not_open() {
    let place = Place::new();
    let store = place.store();
    put(&store, "keys/project/a/x", "of a");
    put(&store, "keys/project/b/x", "of b");
    place.sql("UPDATE keys SET path = 'keys/project/b/y' WHERE path = 'keys/project/a/x'");
    assert!(matches!(store.get("keys/project/b/y"), Err(KeyError::Damaged { .. })));
    assert_eq!(value(&store, "keys/project/b/x"), "of b");
    place.sql("UPDATE keys SET type = 'public-key' WHERE path = 'keys/project/b/x'");
    assert!(matches!(store.get("keys/project/b/x"), Err(KeyError::Damaged { .. })));
}

#[test]
fn a_lost_master_key_is_not_made_anew() {
    let place = Place::new();
    put(&place.store(), "keys/a", "value");
    std::fs::remove_file(place.master()).expect("removed");
    let more = Secret::new("more".to_owned());
    insta::assert_snapshot!(
        place.message(place.store().put("keys/b", KeyType::Password, &more, false)),
        @"the master key is missing: file /config/master.key does not exist; without it the keys in /data/keys.db cannot be read; restore it from its backup"
    );
    assert!(!place.master().exists());
}

#[test]
fn a_master_key_that_others_can_read_is_refused() {
    let place = Place::new();
    put(&place.store(), "keys/a", "value");
    std::fs::set_permissions(place.master(), std::fs::Permissions::from_mode(0o644)).expect("changed");
    insta::assert_snapshot!(
        place.message(place.store().get("keys/a")),
        @"the master key file /config/master.key can be read by others (mode 644); run `chmod 600` on it"
    );
}

#[test]
fn a_master_key_comes_from_a_command() {
    let place = Place::new();
    let command = |text: &str| MasterKeySource::Command(vec!["printf".to_owned(), "%s\n".to_owned(), text.to_owned()]);
    let store = KeyStore::open(place.database(), command(&"ab".repeat(32)));
    put(&store, "keys/a", "value");
    assert_eq!(value(&KeyStore::open(place.database(), command(&"AB".repeat(32))), "keys/a"), "value");
    let short = KeyStore::open(place.database(), command("secret-but-short"));
    insta::assert_snapshot!(
        place.message(short.get("keys/a")),
        @"the master key from command `printf` cannot be used: it has not 64 digits; it is 64 hexadecimal digits, as `openssl rand -hex 32` prints them"
    );
    let failing = KeyStore::open(place.database(), MasterKeySource::Command(vec!["false".to_owned()]));
    insta::assert_snapshot!(
        place.message(failing.get("keys/a")),
        @"the command for the master key, `false`, failed: exit status: 1"
    );
    let none = KeyStore::open(place.database(), MasterKeySource::Environment("OUTRIGGER_TEST_NEVER_SET".to_owned()));
    assert!(matches!(none.get("keys/a"), Err(KeyError::MasterKeyMissing { .. })));
}

#[test]
fn rotation_replaces_the_master_key_and_keeps_the_values() {
    let place = Place::new();
    let store = place.store();
    let other_process = place.store();
    put(&store, "keys/a", "one");
    put(&store, "keys/b", "two");
    assert_eq!(value(&other_process, "keys/a"), "one");
    let before = std::fs::read(place.master()).expect("readable");
    let rotation = store.rotate(None).expect("rotated");
    assert_eq!((rotation.entries, rotation.master_key_file), (2, Some(place.master())));
    assert_ne!(std::fs::read(place.master()).expect("readable"), before);
    assert_eq!(mode(&place.master()), 0o600);
    assert_eq!(value(&store, "keys/b"), "two");
    assert_eq!(value(&other_process, "keys/b"), "two", "a process that knows the old key loads the new one");
    std::fs::write(place.master(), before).expect("written");
    assert!(matches!(place.store().get("keys/a"), Err(KeyError::WrongMasterKey { .. })));
}

#[test]
fn rotation_moves_to_another_source() {
    let place = Place::new();
    let store = place.store();
    put(&store, "keys/a", "one");
    let elsewhere = place.folder.path().join("elsewhere/key");
    store.rotate(Some(MasterKeySource::File(elsewhere.clone()))).expect("rotated");
    assert_eq!(value(&store, "keys/a"), "one");
    assert_eq!(value(&KeyStore::open(place.database(), MasterKeySource::File(elsewhere)), "keys/a"), "one");
    assert!(matches!(place.store().get("keys/a"), Err(KeyError::WrongMasterKey { .. })));
}

#[test]
fn a_rotation_that_died_is_taken_up_whichever_step_it_reached() {
    let place = Place::new();
    put(&place.store(), "keys/a", "one");
    let next = place.master().with_file_name("master.key.next");

    // Dead before the transaction ended: the next key lies there, and the storage knows the old one.
    std::fs::write(&next, "1".repeat(64)).expect("written");
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).expect("changed");
    assert_eq!(value(&place.store(), "keys/a"), "one");
    let old = std::fs::read(place.master()).expect("readable");

    // Dead after it: the storage knows the next key, and the old one is still in its place.
    place.store().rotate(None).expect("rotated");
    std::fs::rename(place.master(), &next).expect("renamed");
    std::fs::write(place.master(), &old).expect("written");
    std::fs::set_permissions(place.master(), std::fs::Permissions::from_mode(0o600)).expect("changed");
    assert_eq!(value(&place.store(), "keys/a"), "one");
    assert!(!next.exists(), "the next key took its place");
    assert_ne!(std::fs::read(place.master()).expect("readable"), old);
    assert_eq!(value(&place.store(), "keys/a"), "one");
}

#[test]
fn a_rotation_that_meets_a_damaged_entry_changes_nothing() {
    let place = Place::new();
    let store = place.store();
    put(&store, "keys/a", "one");
    put(&store, "keys/b", "two");
    place.sql("UPDATE keys SET sealed_key = zeroblob(72) WHERE path = 'keys/b'");
    let before = std::fs::read(place.master()).expect("readable");
    assert!(matches!(store.rotate(None), Err(KeyError::Damaged { .. })));
    assert_eq!(std::fs::read(place.master()).expect("readable"), before);
    assert_eq!(value(&place.store(), "keys/a"), "one");
}

#[test]
fn a_damaged_file_is_named() {
    let place = Place::new();
    put(&place.store(), "keys/a", "value");
    let mut bytes = std::fs::read(place.database()).expect("readable");
    bytes[..16].fill(b'x');
    std::fs::write(place.database(), bytes).expect("written");
    insta::assert_snapshot!(
        place.message(place.store().get("keys/a")),
        @"/data/keys.db is no key storage that this version reads: it is no SQLite file, or its beginning is damaged"
    );
}

#[test]
fn a_newer_format_is_refused() {
    let place = Place::new();
    put(&place.store(), "keys/a", "value");
    Connection::open(place.database()).expect("opens").pragma_update(None, "user_version", 2).expect("written");
    insta::assert_snapshot!(
        place.message(place.store().get("keys/a")),
        @"/data/keys.db is no key storage that this version reads: its format is 2, this version knows 1; use a newer one"
    );
}

#[test]
fn paths_and_values_are_checked() {
    let place = Place::new();
    let store = place.store();
    let secret = Secret::new("value".to_owned());
    for bad in [
        "",
        "keys",
        "keys/",
        "key/a",
        "/keys/a",
        "keys/../a",
        "keys/a/..",
        "keys//a",
        "keys/a/",
        "keys/./a",
        "keys/ a",
        "keys/a\nb",
        "keys/a\0b",
        "keys/a*",
        "keys/a\\b",
    ] {
        assert!(matches!(store.put(bad, KeyType::Password, &secret, false), Err(KeyError::Path { .. })), "{bad:?}");
        assert!(matches!(store.get(bad), Err(KeyError::Path { .. })), "{bad:?}");
    }
    let long = format!("keys/{}", "a".repeat(600));
    assert!(matches!(store.put(&long, KeyType::Password, &secret, false), Err(KeyError::Path { .. })));
    let empty = Secret::new(String::new());
    assert!(matches!(store.put("keys/a", KeyType::Password, &empty, false), Err(KeyError::Empty(_))));
    let huge = Secret::new("x".repeat(256 * 1024 + 1));
    assert!(matches!(store.put("keys/a", KeyType::Password, &huge, false), Err(KeyError::TooLong { .. })));
    assert!(!place.master().exists(), "a refused value makes no master key");
    put(&store, "keys/with blank/ü.pem", "value");
}

#[test]
fn a_project_sees_its_own_keys_and_what_is_shared() {
    let place = Place::new();
    let store = Arc::new(place.store());
    for path in ["keys/project/web/db", "keys/project/web2/db", "keys/shared/ca", "keys/root"] {
        put(&store, path, path);
    }
    let share = vec!["keys/shared/*".to_owned(), "keys/project/*".to_owned(), "keys/*/db".to_owned()];
    let web = ProjectKeys::new(store.clone(), KeyScope::Project("web".to_owned()), share);
    assert_eq!(web.get("keys/project/web/db").expect("own").expose(), "keys/project/web/db");
    assert_eq!(web.get("keys/shared/ca").expect("shared").expose(), "keys/shared/ca");
    insta::assert_snapshot!(
        web.get("keys/project/web2/db").expect_err("another project's").to_string(),
        @"project `web` finds no key `keys/project/web2/db`: a project reads keys/project/web/... and what the system file shares by `[keys] share`"
    );
    let there = web.get("keys/root").expect_err("not shared").to_string();
    let not_there = web.get("keys/toot").expect_err("not there").to_string();
    assert_eq!(there.replace("root", "toot"), not_there, "what is hidden is not told from what is missing");
    assert!(matches!(web.get("keys/project/web/../web2/db"), Err(KeyError::Path { .. })));
    let seen: Vec<String> = web.list("").expect("a list").into_iter().map(|entry| entry.path).collect();
    assert_eq!(seen, ["keys/project/web/db", "keys/shared/ca"]);
    let system = web.for_scope(KeyScope::System);
    assert_eq!(system.get("keys/root").expect("all").expose(), "keys/root");
}

#[test]
fn many_writers_at_once_agree_on_one_master_key() {
    let place = Place::new();
    let made: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let store = place.store();
                scope.spawn(move || {
                    let secret = Secret::new(format!("value {number}"));
                    let path = format!("keys/{number}");
                    let stored = store.put(&path, KeyType::Password, &secret, false).expect("stored");
                    usize::from(stored.new_master_key.is_some())
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).sum()
    });
    assert_eq!(made, 1);
    let store = place.store();
    for number in 0..8 {
        assert_eq!(value(&store, &format!("keys/{number}")), format!("value {number}"));
    }
}

#[test]
fn rotations_and_reads_at_once_lose_nothing() {
    let place = Place::new();
    put(&place.store(), "keys/a", "one");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let place = &place;
            scope.spawn(move || {
                let store = place.store();
                for _ in 0..5 {
                    if number < 3 {
                        store.rotate(None).expect("rotated");
                    }
                    assert_eq!(value(&store, "keys/a"), "one");
                }
            });
        }
    });
    assert_eq!(value(&place.store(), "keys/a"), "one");
    assert!(!place.master().with_file_name("master.key.next").exists());
}

#[test]
fn a_long_lived_process_does_not_rotate_over_a_key_that_waits() {
    let place = Place::new();
    let store = place.store();
    put(&store, "keys/a", "one");
    let old = std::fs::read(place.master()).expect("readable");
    let next = place.master().with_file_name("master.key.next");
    // Another process has rotated and died before its key took its place; this one knows the key already.
    store.rotate(None).expect("rotated");
    std::fs::rename(place.master(), &next).expect("renamed");
    std::fs::write(place.master(), &old).expect("written");
    std::fs::set_permissions(place.master(), std::fs::Permissions::from_mode(0o600)).expect("changed");
    let waiting = std::fs::read(&next).expect("readable");
    place.sql("UPDATE keys SET sealed_key = zeroblob(72)");
    assert!(store.rotate(None).is_err(), "the damaged entry stops it after the new key was written");
    assert_eq!(std::fs::read(place.master()).expect("readable"), waiting, "the right key is in its place");
}
