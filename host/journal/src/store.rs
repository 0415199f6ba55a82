//! The database of a home.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use jiff::Timestamp;
use outrigger_door::{InDoubt, RunId};
use outrigger_redaction::Redactor;
use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::queue::{First, Queue, Reply, Row};
use crate::writer::Writer;
use crate::{
    AuditEntry, Error, Event, IntentRecord, LogFilter, LogRecord, NewRun, PruneCounts, PruneFilter, Result, RunFilter,
    RunRecord, RunWriter, Status, StepRecord, read, schema,
};

/// How a [`Store`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether the end of a run waits for the disk (`synchronous=FULL`). On by default: a run that succeeded does not
    /// show as interrupted after a loss of power.
    pub synced_finish: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { synced_finish: true }
    }
}

/// The database of runs. Clones share one connection and one thread that writes; when the last one goes, it waits
/// until everything that is queued is committed.
///
/// What writes is asynchronous and may be awaited on any executor. What reads blocks for as long as SQLite reads, and
/// sees what is committed: [`Store::flush`] comes first where one's own queued records matter.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    queue: Arc<Queue>,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the database at `path`. A file that does not exist is made (mode 0600, missing folders 0700); one of an
    /// older Outrigger is copied, then upgraded.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] where a newer Outrigger wrote it, [`Error::Foreign`] where it is something else's, and
    /// what the file system or SQLite says.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref();
        let connection = schema::open(path, schema::MIGRATIONS)?;
        let queue = Arc::new(Queue::default());
        let of_writer = Arc::clone(&queue);
        let writer = Builder::new()
            .name("journal".into())
            .spawn(move || {
                // However the thread ends, nobody waits for it afterwards.
                let _closing = Closing(&of_writer);
                Writer::new(connection, options.synced_finish).run(&of_writer);
            })
            .map_err(|source| Error::Thread { source })?;
        let inner = Inner { path: path.to_owned(), queue, readers: Mutex::default(), writer: Mutex::new(Some(writer)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// Adds a run that starts now in this process; its number, counted from 1 and never used again. The caller has
    /// redacted it: [`Store::start_run`] does so itself.
    ///
    /// # Errors
    /// [`Error::Write`] with SQLite's reason.
    pub async fn create_run(&self, run: NewRun) -> Result<RunId> {
        self.ask_first(|reply| First::CreateRun { run: Box::new(run), at: now(), reply }).await
    }

    /// Adds a run like [`Store::create_run`], masking its texts, and gives what writes to it.
    ///
    /// # Errors
    /// [`Error::Write`] with SQLite's reason.
    pub async fn start_run(&self, run: NewRun, redactor: Redactor) -> Result<RunWriter> {
        let id = self.create_run(crate::run_writer::redacted_run(&redactor, run)).await?;
        Ok(self.writer(id, redactor))
    }

    /// What writes to a run, masking with `redactor`.
    pub fn writer(&self, run: RunId, redactor: Redactor) -> RunWriter {
        RunWriter::new(self.clone(), run, redactor)
    }

    /// Ends a run, after everything that was queued for it before. The caller has redacted the texts:
    /// [`RunWriter::finish`] does so itself.
    ///
    /// # Errors
    /// [`Error::Write`] with SQLite's reason, or where there is no such run.
    pub async fn finish_run(
        &self,
        run: RunId,
        status: Status,
        message: Option<String>,
        outputs: Option<Value>,
    ) -> Result<()> {
        self.ask(|reply| Row::FinishRun { run, status, message, outputs, at: now(), reply }).await
    }

    /// Waits until everything that was queued before is on the disk.
    ///
    /// # Errors
    /// [`Error::Lost`] where queued records could not be written since the last flush.
    pub async fn flush(&self) -> Result<()> {
        self.ask(|reply| Row::Flush { reply }).await
    }

    /// Waits while a lot is queued. Whoever writes many log lines asks now and then, so that memory stays bounded.
    pub async fn room(&self) {
        self.inner.queue.room().await;
    }

    /// Removes whole runs that have ended from all tables, or counts what would be removed.
    ///
    /// # Errors
    /// [`Error::Read`] with SQLite's reason; runs that were removed until then stay removed.
    pub async fn prune(&self, filter: PruneFilter) -> Result<PruneCounts> {
        self.ask(|reply| Row::Prune { filter, reply }).await
    }

    /// A run; none if there is none with this number.
    ///
    /// # Errors
    /// [`Error::Read`] with SQLite's reason, as for all queries.
    pub fn run(&self, run: RunId) -> Result<Option<RunRecord>> {
        self.read(|connection| read::run(connection, run))
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn list_runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>> {
        self.read(|connection| read::list_runs(connection, filter))
    }

    /// The step attempts of a run in the order in which they started.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn steps(&self, run: RunId) -> Result<Vec<StepRecord>> {
        self.read(|connection| read::steps(connection, run))
    }

    /// The intents of a run, by time.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn intents(&self, run: RunId) -> Result<Vec<IntentRecord>> {
        self.read(|connection| read::intents(connection, run))
    }

    /// The intents of a run whose outcome is not known. While the run goes on, they may simply be under way.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn in_doubt(&self, run: RunId) -> Result<Vec<InDoubt>> {
        self.read(|connection| read::in_doubt(connection, run))
    }

    /// A page of a run's audit records: at most `limit`, after the one at position `after` (0 for the first page).
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn audit(&self, run: RunId, after: i64, limit: u32) -> Result<Vec<AuditEntry>> {
        self.read(|connection| read::audit(connection, run, after, limit))
    }

    /// Log lines of a run in the order of writing.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn log(&self, run: RunId, filter: &LogFilter) -> Result<Vec<LogRecord>> {
        self.read(|connection| read::log(connection, run, filter))
    }

    /// A page of a run's events: at most `limit`, after the one with the number `after` (0 for the first page).
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn events(&self, run: RunId, after: i64, limit: u32) -> Result<Vec<Event>> {
        self.read(|connection| read::events(connection, run, after, limit))
    }

    pub(crate) async fn ask<T>(&self, row: impl FnOnce(Reply<T>) -> Row) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.inner.queue.push_row(row(reply));
        answer.await.unwrap_or(Err(Error::Closed))
    }

    pub(crate) async fn ask_first<T>(&self, first: impl FnOnce(Reply<T>) -> First) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.inner.queue.push_first(first(reply));
        answer.await.unwrap_or(Err(Error::Closed))
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.inner.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = schema::connect(&self.inner.path)?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        let result = query(&connection);
        self.inner.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        // What a thread that ended early leaves behind is dropped, which tells whoever waits for it.
        while self.0.take().is_some() {}
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that writes the run database ended early");
        }
    }
}

pub(crate) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}
