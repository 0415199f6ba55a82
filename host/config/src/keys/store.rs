//! The storage: one SQLite file, one row per key.
//!
//! Each value is sealed with a data key of its own, and the data key with the master key, so that a new master key does
//! not touch the values. Path and type are associated data of both: a row that was moved or changed does not open.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use outrigger_redaction::Secret;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::cipher::Key;
use super::{KeyError, KeyType, check_key_path, master};
use crate::file::MasterKeySource;
use crate::parse::nearest;

/// "OUTK": tells SQLite files of this program apart.
const APPLICATION_ID: i32 = 0x4f55_544b;
/// Version of the tables.
const FORMAT: i32 = 1;
/// Longest value in bytes; the longest private keys are a tenth of this.
const VALUE_LIMIT: usize = 256 * 1024;
/// How long a process waits for another one that writes.
const PATIENCE: Duration = Duration::from_secs(15);
const CHECK_TEXT: &[u8] = b"outrigger master key check";
const CHECK_ASSOCIATED: &[u8] = b"outrigger/1/check";

const TABLES: &str = "
    CREATE TABLE master (one INTEGER PRIMARY KEY CHECK (one = 1), sealed_check BLOB NOT NULL) STRICT;
    CREATE TABLE keys (
        path TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        size_class TEXT NOT NULL,
        sealed_key BLOB NOT NULL,
        sealed_value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What is known of an entry without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyMetadata {
    /// Path, beginning with `keys/`.
    pub path: String,
    /// Kind of secret.
    #[serde(rename = "type")]
    pub key_type: KeyType,
    /// When it was first stored.
    pub created: Timestamp,
    /// When its value was last stored.
    pub modified: Timestamp,
    /// Roughly how long the value is: `up to 32 bytes`, `up to 256 bytes`, `up to 4 KiB` or `over 4 KiB`.
    pub size_class: String,
}

/// What [`KeyStore::put`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whether an entry was replaced.
    pub replaced: bool,
    /// The master key file, if this call made it: the person should be told where it is and to back it up.
    pub new_master_key: Option<PathBuf>,
}

/// What [`KeyStore::rotate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Entries whose data key was sealed anew.
    pub entries: usize,
    /// The file that holds the new master key, if it is a file: it should be backed up.
    pub master_key_file: Option<PathBuf>,
}

/// Key storage. The file is made at the first [`KeyStore::put`]; before, the storage is empty. One value can be used by
/// several threads, and several processes can use one file.
#[derive(Debug)]
pub struct KeyStore {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    source: MasterKeySource,
    master: Option<Key>,
    connection: Option<Connection>,
}

impl KeyStore {
    /// Names the storage and the source of its master key. Nothing is opened yet.
    #[must_use]
    pub fn open(path: impl Into<PathBuf>, source: MasterKeySource) -> Self {
        Self { path: path.into(), state: Mutex::new(State { source, master: None, connection: None }) }
    }

    /// Where the storage lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores a value. Makes storage and master key file if there are none.
    ///
    /// # Errors
    /// A bad path or value, an entry that exists (unless `overwrite`), a wrong or missing master key, or a failure of the
    /// database.
    pub fn put(&self, path: &str, key_type: KeyType, value: &Secret, overwrite: bool) -> Result<Stored, KeyError> {
        check_key_path(path)?;
        let bytes = value.expose().as_bytes();
        if bytes.is_empty() {
            return Err(KeyError::Empty(path.to_owned()));
        }
        if bytes.len() > VALUE_LIMIT {
            return Err(KeyError::TooLong { path: path.to_owned(), bytes: bytes.len(), limit: VALUE_LIMIT });
        }
        let mut state = self.state();
        self.create(&mut state)?;
        let State { source, master, connection } = &mut *state;
        let connection = connection.as_mut().ok_or_else(|| self.format("it was not opened"))?;
        let transaction = self.db(connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
        let new_master_key = self.master_for_writing(&transaction, source, master)?;
        let master = master.as_ref().ok_or_else(|| self.missing(source))?;
        let existing: Option<i64> = self.db(transaction
            .query_row("SELECT created FROM keys WHERE path = ?1", [path], |row| row.get(0))
            .optional())?;
        if existing.is_some() && !overwrite {
            return Err(KeyError::Exists(path.to_owned()));
        }
        let data_key = Key::generate()?;
        let sealed_key = master.seal(&data_key.0, &associated("key", path, key_type.as_str()))?;
        let sealed_value = data_key.seal(bytes, &associated("value", path, key_type.as_str()))?;
        let now = Timestamp::now().as_second();
        self.db(transaction.execute(
            "INSERT OR REPLACE INTO keys (path, type, created, modified, size_class, sealed_key, sealed_value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                path,
                key_type.as_str(),
                existing.unwrap_or(now),
                now,
                size_class(bytes.len()),
                sealed_key,
                sealed_value
            ],
        ))?;
        self.db(transaction.commit())?;
        Ok(Stored { replaced: existing.is_some(), new_master_key })
    }

    /// Reads a value.
    ///
    /// # Errors
    /// No such entry, a wrong or missing master key, a damaged or moved entry, or a failure of the database.
    pub fn get(&self, path: &str) -> Result<Secret, KeyError> {
        check_key_path(path)?;
        let mut state = self.state();
        if !self.open_existing(&mut state)? {
            return Err(KeyError::NotFound { path: path.to_owned(), nearest: None });
        }
        let State { source, master, connection } = &mut *state;
        let connection = connection.as_mut().ok_or_else(|| self.format("it was not opened"))?;
        // One view of both tables, though another process may be sealing them anew.
        let transaction = self.db(connection.transaction())?;
        let row: Option<(String, Vec<u8>, Vec<u8>)> = self.db(transaction
            .query_row("SELECT type, sealed_key, sealed_value FROM keys WHERE path = ?1", [path], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional())?;
        let Some((key_type, sealed_key, sealed_value)) = row else {
            let all = self.paths(&transaction, "")?;
            let nearest = nearest(path, all.iter().map(String::as_str)).map(str::to_owned);
            return Err(KeyError::NotFound { path: path.to_owned(), nearest });
        };
        let unsettled = self.master_for_reading(&transaction, source, master)?;
        let key = master.as_ref().ok_or_else(|| self.missing(source))?;
        let data_key = self.unwrap(key, path, &key_type, &sealed_key)?;
        let value = data_key
            .open(&sealed_value, &associated("value", path, &key_type))
            .ok_or_else(|| self.damaged(path, "its value"))?;
        self.db(transaction.finish())?;
        if unsettled {
            self.settle(connection, source)?;
        }
        let text = std::str::from_utf8(&value).map_err(|_| self.damaged(path, "its value"))?;
        Ok(Secret::new(text.to_owned()))
    }

    /// What is known of an entry; needs no master key.
    ///
    /// # Errors
    /// No such entry, or a failure of the database.
    pub fn metadata(&self, path: &str) -> Result<KeyMetadata, KeyError> {
        check_key_path(path)?;
        let all = self.list("")?;
        if let Some(found) = all.iter().find(|entry| entry.path == path) {
            return Ok(found.clone());
        }
        let nearest = nearest(path, all.iter().map(|entry| entry.path.as_str())).map(str::to_owned);
        Err(KeyError::NotFound { path: path.to_owned(), nearest })
    }

    /// All entries whose path begins with the prefix, by path; needs no master key.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn list(&self, prefix: &str) -> Result<Vec<KeyMetadata>, KeyError> {
        let mut state = self.state();
        if !self.open_existing(&mut state)? {
            return Ok(Vec::new());
        }
        let connection = state.connection.as_ref().ok_or_else(|| self.format("it was not opened"))?;
        let mut statement = self.db(connection.prepare(
            "SELECT path, type, created, modified, size_class FROM keys
             WHERE substr(path, 1, length(?1)) = ?1 ORDER BY path",
        ))?;
        let rows = self.db(statement.query_map([prefix], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, i64>(3)?,
                row.get::<_, String>(4)?,
            ))
        }))?;
        let mut entries = Vec::new();
        for row in rows {
            let (path, key_type, created, modified, size_class) = self.db(row)?;
            let key_type = key_type.parse().map_err(|_| self.damaged(&path, "its type"))?;
            let created = Timestamp::from_second(created).map_err(|_| self.damaged(&path, "its time"))?;
            let modified = Timestamp::from_second(modified).map_err(|_| self.damaged(&path, "its time"))?;
            entries.push(KeyMetadata { path, key_type, created, modified, size_class });
        }
        Ok(entries)
    }

    /// Removes an entry. The bytes in the file are overwritten.
    ///
    /// # Errors
    /// No such entry, or a failure of the database.
    pub fn remove(&self, path: &str) -> Result<(), KeyError> {
        self.metadata(path)?;
        let state = self.state();
        let connection = state.connection.as_ref().ok_or_else(|| self.format("it was not opened"))?;
        self.db(connection.execute("DELETE FROM keys WHERE path = ?1", [path]))?;
        Ok(())
    }

    /// Replaces the master key: seals every data key anew, in one transaction.
    ///
    /// With `None` the source stays: its file gets a new key. The new key is on the disk, in a file of its own beside the
    /// present one, before the transaction begins, and takes the present one's place after it. If the process dies in
    /// between, the storage finds the key in either file.
    ///
    /// With another source its key is used; a file that is named and does not exist is made.
    ///
    /// # Errors
    /// As [`KeyStore::get`], and a source that is no file where a new key would have to be written.
    pub fn rotate(&self, new: Option<MasterKeySource>) -> Result<Rotation, KeyError> {
        let mut state = self.state();
        if !self.open_existing(&mut state)? {
            return Err(self.format("it holds no keys yet"));
        }
        let State { source, master, connection } = &mut *state;
        let connection = connection.as_mut().ok_or_else(|| self.format("it was not opened"))?;
        let transaction = self.db(connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
        // What counts is the key on the disk: the file beside it is about to be replaced.
        *master = None;
        if self.master_for_reading(&transaction, source, master)? {
            promote(source)?;
        }
        let old = master.as_ref().ok_or_else(|| self.missing(source))?;
        let (next_source, next) = match new {
            Some(new) if new != *source => {
                let key = match (master::load(&new)?, &new) {
                    (Some(key), _) => key,
                    (None, MasterKeySource::File(path)) => master::create(path)?.0,
                    (None, _) => return Err(self.missing(&new)),
                };
                (new, key)
            }
            _ => {
                let MasterKeySource::File(path) = &*source else {
                    return Err(KeyError::MasterKeyForm {
                        source_name: source.describe(),
                        problem: "it is no file, so no new key can be written to it; name the new source".to_owned(),
                    });
                };
                let key = Key::generate()?;
                master::replace(&master::next_file(path), &key)?;
                (source.clone(), key)
            }
        };
        let entries = self.seal_anew(&transaction, old, &next)?;
        self.db(transaction.commit())?;
        *master = Some(next);
        *source = next_source;
        self.settle(connection, source)?;
        let master_key_file = match &*source {
            MasterKeySource::File(path) => Some(path.clone()),
            _ => None,
        };
        Ok(Rotation { entries, master_key_file })
    }

    /// Puts the master key that waits beside its file into its place, if it is the right one. Only the holder of the write
    /// lock may do so: another process may be writing the key of its own rotation there.
    fn settle(&self, connection: &mut Connection, source: &MasterKeySource) -> Result<(), KeyError> {
        let transaction = self.db(connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
        if self.master_for_reading(&transaction, source, &mut None)? {
            promote(source)?;
        }
        self.db(transaction.finish())
    }

    fn seal_anew(&self, transaction: &Transaction<'_>, old: &Key, next: &Key) -> Result<usize, KeyError> {
        let mut statement = self.db(transaction.prepare("SELECT path, type, sealed_key FROM keys"))?;
        let rows = self.db(statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
        }))?;
        let rows: Vec<_> = self.db(rows.collect::<Result<_, _>>())?;
        for (path, key_type, sealed_key) in &rows {
            let data_key = self.unwrap(old, path, key_type, sealed_key)?;
            let sealed = next.seal(&data_key.0, &associated("key", path, key_type))?;
            self.db(transaction.execute("UPDATE keys SET sealed_key = ?2 WHERE path = ?1", params![path, sealed]))?;
        }
        let check = next.seal(CHECK_TEXT, CHECK_ASSOCIATED)?;
        self.db(transaction.execute("INSERT OR REPLACE INTO master (one, sealed_check) VALUES (1, ?1)", [check]))?;
        Ok(rows.len())
    }

    fn unwrap(&self, master: &Key, path: &str, key_type: &str, sealed: &[u8]) -> Result<Key, KeyError> {
        let bytes = master
            .open(sealed, &associated("key", path, key_type))
            .ok_or_else(|| self.damaged(path, "its data key"))?;
        let mut key = Key([0; 32]);
        if bytes.len() != key.0.len() {
            return Err(self.damaged(path, "its data key"));
        }
        key.0.copy_from_slice(&bytes);
        Ok(key)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is never left half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file if it is there.
    fn open_existing(&self, state: &mut State) -> Result<bool, KeyError> {
        if state.connection.is_some() {
            return Ok(true);
        }
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() == 0 => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(KeyError::Io { action: "read", path: self.path.clone(), source }),
        }
        let connection = self.connect()?;
        let version: i32 = self.pragma(&connection, "user_version")?;
        let application: i32 = self.pragma(&connection, "application_id")?;
        if version == 0 && application == 0 {
            let tables: i64 =
                self.db(connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)))?;
            // Another process has made the file and not yet its tables.
            return if tables == 0 { Ok(false) } else { Err(self.format("it is another program's database")) };
        }
        if application != APPLICATION_ID {
            return Err(self.format("it is another program's database"));
        }
        if version != FORMAT {
            return Err(self.format(&format!("its format is {version}, this version knows {FORMAT}; use a newer one")));
        }
        state.connection = Some(connection);
        Ok(true)
    }

    /// Opens the file, and makes it and its tables if need be.
    fn create(&self, state: &mut State) -> Result<(), KeyError> {
        if self.open_existing(state)? {
            return Ok(());
        }
        master::make_folder(self.path.parent().unwrap_or(Path::new(".")))?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).map_err(|source| KeyError::Io {
            action: "make",
            path: self.path.clone(),
            source,
        })?;
        let mut connection = self.connect()?;
        let transaction = self.db(connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
        if self.pragma::<i32>(&transaction, "user_version")? == 0 {
            self.db(transaction.execute_batch(TABLES))?;
            self.db(transaction.pragma_update(None, "application_id", APPLICATION_ID))?;
            self.db(transaction.pragma_update(None, "user_version", FORMAT))?;
        }
        self.db(transaction.commit())?;
        drop(connection);
        if self.open_existing(state)? { Ok(()) } else { Err(self.format("it has no tables")) }
    }

    fn connect(&self) -> Result<Connection, KeyError> {
        let connection = self.db(Connection::open_with_flags(
            &self.path,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
        ))?;
        self.db(connection.busy_timeout(PATIENCE))?;
        self.db(connection.pragma_update(None, "synchronous", "FULL"))?;
        self.db(connection.pragma_update(None, "secure_delete", true))?;
        Ok(connection)
    }

    fn pragma<T: rusqlite::types::FromSql>(&self, connection: &Connection, name: &str) -> Result<T, KeyError> {
        self.db(connection.pragma_query_value(None, name, |row| row.get(0)))
    }

    fn paths(&self, connection: &Connection, prefix: &str) -> Result<Vec<String>, KeyError> {
        let mut statement =
            self.db(connection.prepare("SELECT path FROM keys WHERE substr(path, 1, length(?1)) = ?1"))?;
        let rows = self.db(statement.query_map([prefix], |row| row.get(0)))?;
        self.db(rows.collect())
    }

    /// Makes sure that `master` holds the key that this storage is sealed with. The flag says that a rotation was cut off
    /// and has to be settled.
    fn master_for_reading(
        &self,
        connection: &Connection,
        source: &MasterKeySource,
        master: &mut Option<Key>,
    ) -> Result<bool, KeyError> {
        if let Some(key) = master.as_ref() {
            if self.is_right(connection, key)? {
                return Ok(false);
            }
            // Another process has replaced it.
            *master = None;
        }
        let present = master::load(source)?;
        if let Some(key) = present.as_ref()
            && self.is_right(connection, key)?
        {
            *master = present;
            return Ok(false);
        }
        if let MasterKeySource::File(path) = source {
            // A rotation was cut off after its transaction, or is just ending: the right key waits beside, or has taken
            // its place since the file was read.
            let beside = MasterKeySource::File(master::next_file(path));
            for (place, unsettled) in [(&beside, true), (source, false)] {
                if let Some(key) = master::load(place)?
                    && self.is_right(connection, &key)?
                {
                    *master = Some(key);
                    return Ok(unsettled);
                }
            }
        }
        Err(match present {
            Some(_) => KeyError::WrongMasterKey { store: self.path.clone(), source_name: source.describe() },
            None => self.missing(source),
        })
    }

    /// As for reading, in a transaction that locks out other writers; a storage that was never sealed gets a master key.
    /// Gives the file, if one was made.
    fn master_for_writing(
        &self,
        connection: &Connection,
        source: &MasterKeySource,
        master: &mut Option<Key>,
    ) -> Result<Option<PathBuf>, KeyError> {
        let sealed: i64 = self.db(connection.query_row(
            "SELECT (SELECT count(*) FROM master) + (SELECT count(*) FROM keys)",
            [],
            |row| row.get(0),
        ))?;
        if sealed > 0 {
            if self.master_for_reading(connection, source, master)? {
                promote(source)?;
            }
            return Ok(None);
        }
        let (key, made) = match (master::load(source)?, source) {
            (Some(key), _) => (key, None),
            (None, MasterKeySource::File(path)) => {
                let (key, made) = master::create(path)?;
                (key, made.then(|| path.clone()))
            }
            (None, _) => return Err(self.missing(source)),
        };
        let check = key.seal(CHECK_TEXT, CHECK_ASSOCIATED)?;
        self.db(connection.execute("INSERT OR REPLACE INTO master (one, sealed_check) VALUES (1, ?1)", [check]))?;
        *master = Some(key);
        Ok(made)
    }

    /// Whether this is the key that the storage is sealed with. A damaged check value alone does not make it wrong.
    fn is_right(&self, connection: &Connection, key: &Key) -> Result<bool, KeyError> {
        let check: Option<Vec<u8>> =
            self.db(connection.query_row("SELECT sealed_check FROM master", [], |row| row.get(0)).optional())?;
        if check
            .is_some_and(|check| key.open(&check, CHECK_ASSOCIATED).is_some_and(|text| text.as_slice() == CHECK_TEXT))
        {
            return Ok(true);
        }
        let mut statement = self.db(connection.prepare("SELECT path, type, sealed_key FROM keys"))?;
        let mut rows = self.db(statement.query([]))?;
        while let Some(row) = self.db(rows.next())? {
            let (path, key_type): (String, String) = (self.db(row.get(0))?, self.db(row.get(1))?);
            let sealed: Vec<u8> = self.db(row.get(2))?;
            if key.open(&sealed, &associated("key", &path, &key_type)).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn db<T>(&self, result: Result<T, rusqlite::Error>) -> Result<T, KeyError> {
        result.map_err(|source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => self.format("it is no SQLite file, or its beginning is damaged"),
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => self.format("the file is damaged; restore it from a backup"),
            _ => KeyError::Database { store: self.path.clone(), source },
        })
    }

    fn format(&self, problem: &str) -> KeyError {
        KeyError::Format { store: self.path.clone(), problem: problem.to_owned() }
    }

    fn damaged(&self, path: &str, part: &'static str) -> KeyError {
        KeyError::Damaged { path: path.to_owned(), store: self.path.clone(), part }
    }

    fn missing(&self, source: &MasterKeySource) -> KeyError {
        KeyError::MasterKeyMissing {
            store: self.path.clone(),
            source_name: source.describe(),
            problem: match source {
                MasterKeySource::File(_) => "does not exist".to_owned(),
                _ => "is not set".to_owned(),
            },
        }
    }
}

fn promote(source: &MasterKeySource) -> Result<(), KeyError> {
    match source {
        MasterKeySource::File(path) => master::promote(path),
        MasterKeySource::Environment(_) | MasterKeySource::Command(_) => Ok(()),
    }
}

fn associated(what: &str, path: &str, key_type: &str) -> Vec<u8> {
    // Neither part can hold a zero byte, so two different rows never give the same text.
    format!("outrigger/1/{what}\0{path}\0{key_type}").into_bytes()
}

fn size_class(bytes: usize) -> &'static str {
    match bytes {
        0..=32 => "up to 32 bytes",
        33..=256 => "up to 256 bytes",
        257..=4096 => "up to 4 KiB",
        _ => "over 4 KiB",
    }
}
