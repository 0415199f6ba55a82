//! The tables, and how older ones become today's.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::{Error, Result};

/// The schema version that this build writes; `PRAGMA user_version` holds a file's.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// The SQL that leads from one version to the next: the first entry from an empty file to version 1. Entries that were
/// released once never change.
pub(crate) const MIGRATIONS: &[&str] = &[V1];

/// In the file's header, so that a database of something else is not taken for ours: "OUTR".
const APPLICATION_ID: i64 = 0x4F55_5452;

/// How long one process waits for the others' transactions.
const BUSY: Duration = Duration::from_secs(30);

/// Log lines and events are numbered per run, without gaps, and stored in that order. `level` is the position in
/// [`LogLevel`](crate::LogLevel). Run numbers are never used twice, pruned ones neither: client tokens are made of them.
const V1: &str = "
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL, job_id TEXT, job_name TEXT NOT NULL, job_group TEXT NOT NULL,
    user TEXT NOT NULL, arguments TEXT NOT NULL, mode TEXT NOT NULL, parent INTEGER,
    status TEXT NOT NULL, message TEXT, outputs TEXT,
    started INTEGER NOT NULL, ended INTEGER,
    pid INTEGER NOT NULL, pid_started INTEGER, host TEXT NOT NULL, boot TEXT NOT NULL
) STRICT;
CREATE INDEX runs_by_project ON runs (project, id);
CREATE TABLE steps (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL, path TEXT NOT NULL, node TEXT NOT NULL, attempt INTEGER NOT NULL,
    label TEXT, plugin TEXT NOT NULL, digest TEXT,
    status TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER, failure TEXT, outputs TEXT,
    UNIQUE (run, path, node, attempt)
) STRICT;
CREATE TABLE intents (
    run INTEGER NOT NULL, path TEXT NOT NULL, node TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL,
    function TEXT NOT NULL, action TEXT NOT NULL, input_digest TEXT NOT NULL, effect TEXT NOT NULL, token TEXT,
    at INTEGER NOT NULL, outcome TEXT, in_doubt INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (run, path, node, attempt, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL, path TEXT NOT NULL, node TEXT NOT NULL, step_attempt INTEGER NOT NULL,
    plugin TEXT NOT NULL, digest TEXT NOT NULL, function TEXT NOT NULL, service TEXT NOT NULL, action TEXT NOT NULL,
    region TEXT, account TEXT, principal TEXT, request_id TEXT,
    attempt INTEGER NOT NULL, at INTEGER NOT NULL, duration INTEGER NOT NULL, outcome TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_run ON audit (run, id);
CREATE TABLE logs (
    run INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    path TEXT, node TEXT, level INTEGER NOT NULL, text TEXT NOT NULL, data_type TEXT,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    run INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE flushes (count INTEGER NOT NULL) STRICT;
INSERT INTO flushes VALUES (0);
";

/// Opens the file for writing, makes it if need be, and brings it to the newest version.
pub(crate) fn open(path: &Path, migrations: &[&str]) -> Result<Connection> {
    create(path)?;
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let mut connection = connect(path)?;
    // Decides the layout of an empty file; nothing afterwards.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    let mode: String = patiently(|| connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)))
        .map_err(failed)?;
    if mode != "wal" {
        return Err(Error::NoWal { path: path.to_owned(), mode });
    }
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(failed)?;
    migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

/// A connection to a file that was opened by [`open`] before.
pub(crate) fn connect(path: &Path) -> Result<Connection> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Arguments and outputs are nobody else's business: the folder is made with mode 0700, the file with 0600, and SQLite
/// gives its companions the file's mode.
fn create(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Error::Create { path: folder.to_owned(), source })?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::Create { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// The change to WAL does not wait for other connections as everything else does.
fn patiently<T>(mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let deadline = Instant::now() + BUSY;
    loop {
        match attempt() {
            Err(error)
                if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
                    && Instant::now() < deadline =>
            {
                sleep(Duration::from_millis(2));
            }
            result => return result,
        }
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let target = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let open = |source| Error::Open { path: path.to_owned(), source };
    let check = |found: i64| {
        if found <= target {
            return Ok(());
        }
        Err(Error::NewerSchema { path: path.to_owned(), found, supported: target, backup: backup_path(path, target) })
    };
    let found = version(connection).map_err(open)?;
    check(found)?;
    if found == target {
        return check_ours(connection, path, found);
    }
    let failed = |source| Error::Migration { path: path.to_owned(), from: found, to: target, source };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have been faster.
    let found = version(&transaction).map_err(open)?;
    check(found)?;
    check_ours(&transaction, path, found)?;
    let pending = migrations.get(usize::try_from(found).unwrap_or(0)..).unwrap_or_default();
    if found > 0 && !pending.is_empty() {
        // A second connection sees what was committed; nobody else can write while the transaction is open.
        back_up(path, &backup_path(path, found))?;
    }
    for sql in pending {
        transaction.execute_batch(sql).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", target).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn check_ours(connection: &Connection, path: &Path, version: i64) -> Result<()> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let empty = version == 0 && id == 0 && tables == 0;
    if empty || (version > 0 && id == APPLICATION_ID) {
        return Ok(());
    }
    Err(Error::Foreign { path: path.to_owned() })
}

/// `runs.db.v3-backup` next to `runs.db`.
fn backup_path(path: &Path, version: i64) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".v{version}-backup"));
    path.with_file_name(name)
}

/// The copy gets its name when it is whole: whatever has the name is a good copy. An older one is replaced.
fn back_up(path: &Path, backup: &Path) -> Result<()> {
    let failed = |reason: String| Error::Backup { path: path.to_owned(), backup: backup.to_owned(), reason };
    let mut name = backup.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = backup.with_file_name(name);
    let written = || -> rusqlite::Result<()> {
        let source = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut copy = Connection::open_with_flags(&part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        Backup::new(&source, &mut copy)?.run_to_completion(1024, Duration::ZERO, None)
    };
    let result = create(&part).map_err(|error| failed(error.to_string())).and_then(|()| {
        written().map_err(|error| failed(error.to_string()))?;
        let file = fs::File::open(&part).map_err(|error| failed(error.to_string()))?;
        file.sync_all().and_then(|()| fs::rename(&part, backup)).map_err(|error| failed(error.to_string()))
    });
    if result.is_err() {
        // What is left of a failed copy helps nobody; that it cannot be removed either changes nothing.
        let _ = fs::remove_file(&part);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NEXT: &str = "ALTER TABLE runs ADD COLUMN note TEXT; CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;";

    fn newer() -> Vec<&'static str> {
        MIGRATIONS.iter().copied().chain([NEXT]).collect()
    }

    fn add_run(connection: &Connection, project: &str) {
        connection
            .execute(
                "INSERT INTO runs (project, job_name, job_group, user, arguments, mode, status, started, pid, host, boot)
                 VALUES (?1, 'j', '', 'u', '{}', 'run', 'succeeded', 1, 1, 'h', 'b')",
                [project],
            )
            .unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/runs.db");
        let connection = open(&path, MIGRATIONS).unwrap();
        add_run(&connection, "p");
        assert_eq!(version(&connection).unwrap(), SCHEMA_VERSION);
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("a/b/runs.db-wal")), 0o600);
        assert_eq!(mode(&folder.path().join("a/b/runs.db-shm")), 0o600);
    }

    #[test]
    fn a_newer_binary_upgrades_after_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let old = open(&path, MIGRATIONS).unwrap();
        // Still in the write-ahead log when the copy is made.
        add_run(&old, "before");
        let new = open(&path, &newer()).unwrap();
        assert_eq!(version(&new).unwrap(), SCHEMA_VERSION + 1);
        new.execute("UPDATE runs SET note = 'x'", []).unwrap();
        let backup = folder.path().join(format!("runs.db.v{SCHEMA_VERSION}-backup"));
        assert_eq!(mode(&backup), 0o600);
        let copy = open(&backup, MIGRATIONS).unwrap();
        let project: String = copy.query_row("SELECT project FROM runs", [], |row| row.get(0)).unwrap();
        assert_eq!(project, "before");
        assert!(copy.execute("UPDATE runs SET note = 'x'", []).is_err());
        assert!(
            !fs::read_dir(folder.path())
                .unwrap()
                .any(|entry| { entry.unwrap().file_name().to_string_lossy().ends_with(".part") })
        );
    }

    #[test]
    fn an_older_binary_refuses_a_newer_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        drop(open(&path, MIGRATIONS).unwrap());
        drop(open(&path, &newer()).unwrap());
        let message = open(&path, MIGRATIONS).unwrap_err().to_string();
        assert!(message.contains(&format!("schema version {}", SCHEMA_VERSION + 1)), "{message}");
        assert!(message.contains(&format!("up to {SCHEMA_VERSION}")), "{message}");
        assert!(message.contains(&format!("runs.db.v{SCHEMA_VERSION}-backup")), "{message}");
        assert!(message.contains("use the Outrigger that wrote it"), "{message}");
    }

    #[test]
    fn an_upgrade_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        drop(open(&path, MIGRATIONS).unwrap());
        let broken: Vec<&str> = newer().into_iter().chain(["CREATE TABLE runs (x)"]).collect();
        let error = open(&path, &broken).unwrap_err();
        assert!(
            matches!(error, Error::Migration { from, to, .. } if from == SCHEMA_VERSION && to == SCHEMA_VERSION + 2)
        );
        let connection = open(&path, MIGRATIONS).unwrap();
        assert_eq!(version(&connection).unwrap(), SCHEMA_VERSION);
        assert!(connection.prepare("SELECT * FROM more").is_err());
    }

    #[test]
    fn an_upgrade_without_a_copy_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        drop(open(&path, MIGRATIONS).unwrap());
        // A folder in the way of the copy's name.
        let backup = backup_path(&path, SCHEMA_VERSION);
        fs::create_dir_all(backup.join("in-the-way")).unwrap();
        assert!(matches!(open(&path, &newer()).unwrap_err(), Error::Backup { .. }));
        assert_eq!(version(&open(&path, MIGRATIONS).unwrap()).unwrap(), SCHEMA_VERSION);
    }

    #[test]
    fn a_database_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1;").unwrap();
        drop(other);
        assert!(matches!(open(&path, MIGRATIONS).unwrap_err(), Error::Foreign { .. }));
        fs::write(folder.path().join("text"), "this is no database, but long enough to look at. ".repeat(50)).unwrap();
        assert!(matches!(open(&folder.path().join("text"), MIGRATIONS).unwrap_err(), Error::Open { .. }));
    }

    #[test]
    fn many_threads_create_and_upgrade_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        for migrations in [MIGRATIONS.to_vec(), newer()] {
            std::thread::scope(|scope| {
                for _ in 0..20 {
                    scope.spawn(|| add_run(&open(&path, &migrations).unwrap(), "p"));
                }
            });
        }
        let connection = open(&path, &newer()).unwrap();
        let runs: i64 = connection.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
        assert_eq!(runs, 40);
    }

    #[test]
    fn how_safe_a_commit_is_can_change_between_transactions() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("runs.db"), MIGRATIONS).unwrap();
        let level = || connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(level(), 1);
        for (name, number) in [("FULL", 2), ("NORMAL", 1), ("FULL", 2)] {
            connection.pragma_update(None, "synchronous", name).unwrap();
            assert_eq!(level(), number);
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            add_run(&connection, name);
            assert_eq!(level(), number);
            connection.execute_batch("COMMIT").unwrap();
        }
    }
}
