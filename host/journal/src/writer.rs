//! The thread that writes: everything that is queued, in one transaction.

use outrigger_door::{IntentOutcome, RunId, StepKey};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde_json::Value;

use crate::owner::Owner;
use crate::queue::{Batch, First, Queue, Reply, Row};
use crate::{Error, Result, Status, prune, read};

/// Owns the connection that writes.
pub(crate) struct Writer {
    connection: Connection,
    synced_finish: bool,
    /// Whether `synchronous` is FULL now.
    full: bool,
    /// Whether something was committed without waiting for the disk since the last commit that waited.
    unsynced: bool,
    /// Queued records that could not be written since the last flush, and why the first could not.
    lost: Option<(u64, String)>,
}

/// Who is told what when the transaction is on disk.
enum Answer {
    Done(Reply<()>, Result<()>),
    Run(Reply<RunId>, Result<RunId>),
}

impl Answer {
    /// Nobody may be waiting any more; that is theirs to decide.
    fn send(self, failure: Option<&str>) {
        match self {
            Self::Done(reply, result) => drop(reply.send(failed(failure, result))),
            Self::Run(reply, result) => drop(reply.send(failed(failure, result))),
        }
    }
}

fn failed<T>(failure: Option<&str>, result: Result<T>) -> Result<T> {
    match failure {
        Some(reason) => Err(Error::Write { reason: reason.to_owned() }),
        None => result,
    }
}

/// A transaction, or why there is none any more.
struct Attempt<'a> {
    transaction: rusqlite::Result<Transaction<'a>>,
}

impl Attempt<'_> {
    /// One statement. It may be refused alone; if SQLite undoes the transaction because of it (the disk is full), all
    /// that follows is not even tried.
    fn run<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        // Without a transaction everybody is told the reason afterwards, whatever stands here.
        let Ok(transaction) = &self.transaction else { return Err(Error::Closed) };
        let error = match work(transaction) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let reason = error.to_string();
        if transaction.is_autocommit() {
            self.transaction = Err(error);
        }
        Err(Error::Write { reason })
    }
}

impl Writer {
    pub(crate) fn new(connection: Connection, synced_finish: bool) -> Self {
        Self { connection, synced_finish, full: false, unsynced: false, lost: None }
    }

    /// Until the queue is closed and empty.
    pub(crate) fn run(mut self, queue: &Queue) {
        while let Some(batch) = queue.take() {
            self.write(batch);
        }
    }

    fn write(&mut self, batch: Batch) {
        let (first, questions): (Vec<_>, Vec<_>) =
            batch.first.into_iter().partition(|first| !matches!(first, First::InDoubt { .. }));
        let (rows, requests): (Vec<_>, Vec<_>) =
            batch.rows.into_iter().partition(|row| !matches!(row, Row::Flush { .. } | Row::Prune { .. }));
        let flush = requests.iter().any(|request| matches!(request, Row::Flush { .. }));
        let mut failure = None;
        if !first.is_empty() || !rows.is_empty() || flush && self.unsynced {
            failure = self.transact(first, rows, flush);
        }
        for question in questions {
            if let First::InDoubt { step, reply } = question {
                drop(reply.send(failed(failure.as_deref(), read::in_doubt_before(&self.connection, &step))));
            }
        }
        for request in requests {
            match request {
                Row::Prune { filter, reply } => drop(reply.send(prune::prune(&mut self.connection, &filter))),
                Row::Flush { reply } => {
                    let result = match self.lost.take() {
                        Some((count, reason)) => Err(Error::Lost { count, reason }),
                        None => failed(failure.as_deref(), Ok(())),
                    };
                    drop(reply.send(result));
                }
                _ => {}
            }
        }
    }

    /// Writes all of it. What could not be written as a whole is the answer.
    fn transact(&mut self, first: Vec<First>, rows: Vec<Row>, flush: bool) -> Option<String> {
        let queued = first.iter().filter(|first| matches!(first, First::Outcome { .. })).count()
            + rows.iter().filter(|row| !matches!(row, Row::FinishRun { .. })).count();
        let mut answers = Vec::new();
        let mut refused = Vec::new();
        let failure = self.try_transact(first, rows, flush, &mut answers, &mut refused).err();
        let failure = failure.map(|error| error.to_string());
        match &failure {
            Some(reason) => self.lose(queued, reason),
            None => {
                for error in refused {
                    self.lose(1, &error.to_string());
                }
            }
        }
        for answer in answers {
            answer.send(failure.as_deref());
        }
        failure
    }

    fn lose(&mut self, count: usize, reason: &str) {
        if count > 0 {
            tracing::error!(count, reason, "records could not be written to the run database");
            self.lost.get_or_insert_with(|| (0, reason.to_owned())).0 += count as u64;
        }
    }

    fn try_transact(
        &mut self,
        first: Vec<First>,
        rows: Vec<Row>,
        flush: bool,
        answers: &mut Vec<Answer>,
        refused: &mut Vec<Error>,
    ) -> rusqlite::Result<()> {
        let full = flush
            || first.iter().any(|first| matches!(first, First::Intent { .. }))
            || self.synced_finish && rows.iter().any(|row| matches!(row, Row::FinishRun { .. }));
        let ready = self.set_full(full);
        let transaction = ready.and_then(|()| Transaction::new(&mut self.connection, TransactionBehavior::Immediate));
        let mut attempt = Attempt { transaction };
        for first in first {
            match first {
                First::CreateRun { run, at, reply } => {
                    let result = attempt.run(|connection| create_run(connection, &run, at));
                    answers.push(Answer::Run(reply, result));
                }
                First::Intent { intent, at, reply } => {
                    let result = attempt.run(|connection| add_intent(connection, &intent, at));
                    answers.push(Answer::Done(reply, result));
                }
                First::Outcome { step, sequence, outcome } => {
                    refused.extend(attempt.run(|connection| set_outcome(connection, &step, sequence, &outcome)).err());
                }
                First::InDoubt { .. } => {}
            }
        }
        for row in rows {
            match row {
                Row::FinishRun { run, status, message, outputs, at, reply } => {
                    let result = attempt.run(|connection| {
                        finish_run(connection, run, &status, message.as_deref(), outputs.as_ref(), at)
                    });
                    answers.push(Answer::Done(reply, result));
                }
                row => refused.extend(attempt.run(|connection| add_row(connection, row)).err()),
            }
        }
        if flush {
            // A commit that changes nothing would not wait for the disk.
            let touched = attempt.run(|connection| connection.execute("UPDATE flushes SET count = count + 1", []));
            refused.extend(touched.err());
        }
        attempt.transaction?.commit()?;
        self.unsynced = !full;
        Ok(())
    }

    fn set_full(&mut self, full: bool) -> rusqlite::Result<()> {
        if self.full != full {
            self.connection.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" })?;
            self.full = full;
        }
        Ok(())
    }
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn json_option<T: serde::Serialize>(value: Option<&T>) -> rusqlite::Result<Option<String>> {
    value.map(json).transpose()
}

fn create_run(connection: &Connection, run: &crate::NewRun, at: i64) -> rusqlite::Result<RunId> {
    let owner = Owner::current();
    connection
        .prepare_cached(
            "INSERT INTO runs (project, job_id, job_name, job_group, user, arguments, mode, parent,
                               status, started, pid, pid_started, host, boot)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .insert(params![
            run.project,
            run.job_id,
            run.job_name,
            run.job_group,
            run.user,
            json(&run.arguments)?,
            run.mode,
            run.parent.map(|parent| parent.0),
            Status::Running,
            at,
            owner.pid,
            owner.started,
            owner.host,
            owner.boot,
        ])
        .map(RunId)
}

fn finish_run(
    connection: &Connection,
    run: RunId,
    status: &Status,
    message: Option<&str>,
    outputs: Option<&Value>,
    at: i64,
) -> rusqlite::Result<()> {
    let changed = connection
        .prepare_cached("UPDATE runs SET status = ?2, message = ?3, outputs = ?4, ended = ?5 WHERE id = ?1")?
        .execute(params![run.0, status, message, json_option(outputs)?, at])?;
    if changed == 0 { Err(rusqlite::Error::QueryReturnedNoRows) } else { Ok(()) }
}

fn add_intent(connection: &Connection, intent: &outrigger_door::Intent, at: i64) -> rusqlite::Result<()> {
    let step = &intent.step;
    connection
        .prepare_cached(
            "INSERT INTO intents (run, path, node, attempt, sequence, function, action, input_digest, effect, token, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            step.run.0,
            step.path,
            step.node,
            step.attempt,
            intent.sequence.cast_signed(),
            intent.function,
            intent.action,
            intent.input_digest,
            json(&intent.effect)?,
            intent.token,
            at,
        ])
        .map(drop)
}

/// An outcome without an intent means that the journal's order was broken: it is not passed over in silence.
fn set_outcome(
    connection: &Connection,
    step: &StepKey,
    sequence: u64,
    outcome: &IntentOutcome,
) -> rusqlite::Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE intents SET outcome = ?6, in_doubt = ?7
             WHERE run = ?1 AND path = ?2 AND node = ?3 AND attempt = ?4 AND sequence = ?5",
        )?
        .execute(params![
            step.run.0,
            step.path,
            step.node,
            step.attempt,
            sequence.cast_signed(),
            json(outcome)?,
            *outcome == IntentOutcome::Unknown,
        ])?;
    if changed == 0 { Err(rusqlite::Error::QueryReturnedNoRows) } else { Ok(()) }
}

fn add_row(connection: &Connection, row: Row) -> rusqlite::Result<()> {
    match row {
        Row::StepStarted(step) => connection
            .prepare_cached(
                "INSERT INTO steps (run, path, node, attempt, label, plugin, digest, status, started)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (run, path, node, attempt) DO UPDATE SET label = excluded.label, plugin = excluded.plugin,
                     digest = excluded.digest, status = excluded.status, started = excluded.started,
                     ended = NULL, failure = NULL, outputs = NULL",
            )?
            .execute(params![
                step.key.run.0,
                step.key.path,
                step.key.node,
                step.key.attempt,
                step.label,
                step.plugin,
                step.digest,
                Status::Running,
                step.at_unix_micros,
            ]),
        // A step that ends without having started (it was skipped) has a row too.
        Row::StepFinished(step) => connection
            .prepare_cached(
                "INSERT INTO steps (run, path, node, attempt, plugin, status, started, ended, failure, outputs)
                 VALUES (?1, ?2, ?3, ?4, '', ?5, ?6, ?6, ?7, ?8)
                 ON CONFLICT (run, path, node, attempt) DO UPDATE SET status = excluded.status, ended = excluded.ended,
                     failure = excluded.failure, outputs = excluded.outputs",
            )?
            .execute(params![
                step.key.run.0,
                step.key.path,
                step.key.node,
                step.key.attempt,
                step.status,
                step.at_unix_micros,
                json_option(step.failure.as_ref())?,
                json_option(step.outputs.as_ref())?,
            ]),
        Row::Audit(record) => connection
            .prepare_cached(
                "INSERT INTO audit (run, path, node, step_attempt, plugin, digest, function, service, action, region,
                                    account, principal, request_id, attempt, at, duration, outcome)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            )?
            .execute(params![
                record.step.run.0,
                record.step.path,
                record.step.node,
                record.step.attempt,
                record.plugin,
                record.digest,
                record.function,
                record.service,
                record.action,
                record.region,
                record.account,
                record.principal,
                record.request_id,
                record.attempt,
                record.at_unix_micros,
                record.duration_micros.cast_signed(),
                json(&record.outcome)?,
            ]),
        Row::Log { run, line } => connection
            .prepare_cached(
                "INSERT INTO logs (run, seq, at, path, node, level, text, data_type)
                 VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM logs WHERE run = ?1), ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![run.0, line.at_unix_micros, line.path, line.node, line.level, line.text, line.data_type]),
        Row::Event { run, at, kind, body } => connection
            .prepare_cached(
                "INSERT INTO events (run, seq, at, kind, body)
                 VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE run = ?1), ?2, ?3, ?4)",
            )?
            .execute(params![run.0, at, kind, json(&body)?]),
        Row::FinishRun { .. } | Row::Prune { .. } | Row::Flush { .. } => Ok(0),
    }
    .map(drop)
}

#[cfg(test)]
mod tests {
    use outrigger_door::{Effect, Intent};
    use tempfile::TempDir;
    use tokio::sync::oneshot::{Receiver, channel};

    use super::*;
    use crate::{LogFilter, LogLine, NewRun, schema};

    fn writer(synced_finish: bool) -> (TempDir, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open(&folder.path().join("runs.db"), schema::MIGRATIONS).unwrap();
        (folder, Writer::new(connection, synced_finish))
    }

    fn create() -> (First, Receiver<Result<RunId>>) {
        let (reply, answer) = channel();
        (First::CreateRun { run: Box::new(NewRun::default()), at: 1, reply }, answer)
    }

    fn intent(sequence: u64) -> (First, Receiver<Result<()>>) {
        let (reply, answer) = channel();
        let step = StepKey { run: RunId(1), path: "1".into(), node: "local".into(), attempt: 1 };
        let intent = Intent {
            step,
            sequence,
            function: "f".into(),
            action: "a".into(),
            input_digest: "d".into(),
            effect: Effect::Unsafe,
            token: None,
        };
        (First::Intent { intent: Box::new(intent), at: 1, reply }, answer)
    }

    fn log(length: usize) -> Row {
        Row::Log { run: RunId(1), line: LogLine { text: "x".repeat(length), ..LogLine::default() } }
    }

    fn finish() -> Row {
        Row::FinishRun {
            run: RunId(1),
            status: Status::Failed,
            message: None,
            outputs: None,
            at: 2,
            reply: channel().0,
        }
    }

    /// What SQLite used in the last transaction: 1 is NORMAL, 2 is FULL.
    fn level(writer: &Writer) -> i64 {
        writer.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_transaction_is_as_safe_as_its_records_are_promised_to_be() {
        for (synced_finish, of_finish) in [(true, 2), (false, 1)] {
            let (_folder, mut writer) = writer(synced_finish);
            writer.write(Batch { first: vec![create().0], rows: vec![log(1)] });
            assert_eq!(level(&writer), 1);
            writer.write(Batch { first: vec![intent(1).0], rows: vec![log(1)] });
            assert_eq!(level(&writer), 2);
            writer.write(Batch { first: Vec::new(), rows: vec![log(1)] });
            assert_eq!((level(&writer), writer.unsynced), (1, true));
            writer.write(Batch { first: Vec::new(), rows: vec![Row::Flush { reply: channel().0 }] });
            assert_eq!((level(&writer), writer.unsynced), (2, false));
            writer.write(Batch { first: Vec::new(), rows: vec![log(1)] });
            writer.write(Batch { first: Vec::new(), rows: vec![finish()] });
            assert_eq!(level(&writer), of_finish);
        }
    }

    #[test]
    fn a_full_disk_is_told_to_everybody_and_leaves_nothing_half() {
        let (_folder, mut writer) = writer(true);
        let (run, mut created) = create();
        writer.write(Batch { first: vec![run], rows: Vec::new() });
        assert_eq!(created.try_recv().unwrap().unwrap(), RunId(1));
        let pages: i64 = writer.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        writer.connection.pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(())).unwrap();

        let (first, mut written) = intent(1);
        writer.write(Batch { first: vec![first], rows: vec![log(10), log(1 << 20), log(10)] });
        let error = written.try_recv().unwrap().unwrap_err().to_string();
        assert!(error.contains("full"), "{error}");
        assert!(read::intents(&writer.connection, RunId(1)).unwrap().is_empty());
        assert!(read::log(&writer.connection, RunId(1), &LogFilter::default()).unwrap().is_empty());
        let (reply, mut flushed) = channel();
        writer.write(Batch { first: Vec::new(), rows: vec![Row::Flush { reply }] });
        assert!(matches!(flushed.try_recv().unwrap(), Err(Error::Lost { count: 3, .. })));

        writer.connection.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(())).unwrap();
        let (first, mut written) = intent(1);
        writer.write(Batch { first: vec![first], rows: vec![log(1 << 20)] });
        written.try_recv().unwrap().unwrap();
        assert_eq!(read::log(&writer.connection, RunId(1), &LogFilter::default()).unwrap().len(), 1);
    }
}
