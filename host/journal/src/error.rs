//! What can go wrong with the database.

use std::io;
use std::path::PathBuf;

/// A failure of the run database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder or the file could not be made.
    #[error("failed to create {}: {source}", path.display())]
    Create {
        /// What was to be made.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// SQLite could not open the file.
    #[error("failed to open the run database {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file is a database of something else.
    #[error("{} is a database, and none of Outrigger's runs: name another file, or move it away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file system cannot do what several processes on one database need.
    #[error(
        "the run database {} cannot use a write-ahead log (SQLite keeps journal mode '{mode}'): put it on a local file system",
        path.display()
    )]
    NoWal {
        /// The file.
        path: PathBuf,
        /// The mode that SQLite stays in.
        mode: String,
    },
    /// A newer Outrigger wrote the file.
    #[error(
        "the run database {} has schema version {found}, and this Outrigger knows versions up to {supported}: use the Outrigger \
         that wrote it or a newer one; to go back, restore the copy that the upgrade left next to it ({}), without the runs made since",
        path.display(), backup.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this build knows.
        supported: i64,
        /// Where the upgrade from this build's version left its copy.
        backup: PathBuf,
    },
    /// The copy before an upgrade failed, so that nothing was upgraded.
    #[error(
        "failed to copy the run database {} to {} before the upgrade of its schema, which was not done: {reason}",
        path.display(), backup.display()
    )]
    Backup {
        /// The file.
        path: PathBuf,
        /// The copy.
        backup: PathBuf,
        /// Why.
        reason: String,
    },
    /// An upgrade failed; the file is as it was before.
    #[error("failed to upgrade the run database {} from schema version {from} to {to}, it is unchanged: {source}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// Version before.
        from: i64,
        /// Version that was to be reached.
        to: i64,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// What was to be written is not in the database.
    #[error("failed to write to the run database: {reason}")]
    Write {
        /// What SQLite says.
        reason: String,
    },
    /// Queued records could not be written since the last flush.
    #[error("{count} records could not be written to the run database, the first of them because: {reason}")]
    Lost {
        /// How many.
        count: u64,
        /// What SQLite says of the first.
        reason: String,
    },
    /// A query failed.
    #[error("failed to read the run database: {source}")]
    Read {
        /// What SQLite says.
        #[from]
        source: rusqlite::Error,
    },
    /// The thread that writes is gone.
    #[error("the run database is closed")]
    Closed,
    /// The thread that writes could not be started.
    #[error("failed to start the thread that writes the run database: {source}")]
    Thread {
        /// Why.
        source: io::Error,
    },
}
