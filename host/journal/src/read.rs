//! Queries.

use outrigger_door::{AuditRecord, InDoubt, Intent, RunId, StepKey};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use serde::de::DeserializeOwned;

use crate::owner::Owner;
use crate::{
    AuditEntry, Event, IntentRecord, LogFilter, LogLine, LogRecord, NewRun, Result, RunFilter, RunRecord, Status,
    StepRecord,
};

const RUN: &str = "SELECT id, project, job_id, job_name, job_group, user, arguments, mode, parent,
    status, message, outputs, started, ended, pid, pid_started, host, boot FROM runs";
const INTENT: &str =
    "SELECT run, path, node, attempt, sequence, function, action, input_digest, effect, token, at, outcome
    FROM intents";

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

fn json_option<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    if row.get_ref(column)?.as_str_or_null()?.is_none() { Ok(None) } else { json(row, column).map(Some) }
}

fn key(row: &Row<'_>) -> rusqlite::Result<StepKey> {
    Ok(StepKey { run: RunId(row.get(0)?), path: row.get(1)?, node: row.get(2)?, attempt: row.get(3)? })
}

fn collect<T>(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn run_record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let mut status: Status = row.get(9)?;
    let owner = Owner { pid: row.get(14)?, started: row.get(15)?, host: row.get(16)?, boot: row.get(17)? };
    if status == Status::Running && owner.is_dead() {
        status = Status::Interrupted;
    }
    Ok(RunRecord {
        id: RunId(row.get(0)?),
        run: NewRun {
            project: row.get(1)?,
            job_id: row.get(2)?,
            job_name: row.get(3)?,
            job_group: row.get(4)?,
            user: row.get(5)?,
            arguments: json(row, 6)?,
            mode: row.get(7)?,
            parent: row.get::<_, Option<i64>>(8)?.map(RunId),
        },
        status,
        message: row.get(10)?,
        outputs: json_option(row, 11)?,
        started_unix_micros: row.get(12)?,
        ended_unix_micros: row.get(13)?,
        pid: owner.pid,
        host: owner.host,
    })
}

pub(crate) fn run(connection: &Connection, id: RunId) -> Result<Option<RunRecord>> {
    let mut statement = connection.prepare_cached(&format!("{RUN} WHERE id = ?1"))?;
    Ok(statement.query_row([id.0], run_record).optional()?)
}

/// Newest first. Whether a run was interrupted is known only after reading it, so the state is compared here.
pub(crate) fn list_runs(connection: &Connection, filter: &RunFilter) -> Result<Vec<RunRecord>> {
    let mut statement = connection.prepare_cached(&format!(
        "{RUN} WHERE (?1 IS NULL OR project = ?1)
         AND (?2 IS NULL OR job_id = ?2 OR job_name = ?2 OR job_group || '/' || job_name = ?2)
         AND (?3 IS NULL OR status = ?3) ORDER BY id DESC"
    ))?;
    let stored = filter.status.as_ref().map(|status| match status {
        Status::Interrupted => Status::Running,
        other => other.clone(),
    });
    let limit = filter.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut found = Vec::new();
    let mut rows = statement.query(params![filter.project, filter.job, stored])?;
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let record = run_record(row)?;
        if filter.status.as_ref().is_none_or(|status| *status == record.status) {
            found.push(record);
        }
    }
    Ok(found)
}

/// In the order in which they started.
pub(crate) fn steps(connection: &Connection, run: RunId) -> Result<Vec<StepRecord>> {
    let sql = "SELECT run, path, node, attempt, label, plugin, digest, status, started, ended, failure, outputs
               FROM steps WHERE run = ?1 ORDER BY id";
    collect(connection, sql, &[&run.0], |row| {
        Ok(StepRecord {
            key: key(row)?,
            label: row.get(4)?,
            plugin: row.get(5)?,
            digest: row.get(6)?,
            status: row.get(7)?,
            started_unix_micros: row.get(8)?,
            ended_unix_micros: row.get(9)?,
            failure: json_option(row, 10)?,
            outputs: json_option(row, 11)?,
        })
    })
}

fn intent_record(row: &Row<'_>) -> rusqlite::Result<IntentRecord> {
    Ok(IntentRecord {
        intent: Intent {
            step: key(row)?,
            sequence: row.get::<_, i64>(4)?.cast_unsigned(),
            function: row.get(5)?,
            action: row.get(6)?,
            input_digest: row.get(7)?,
            effect: json(row, 8)?,
            token: row.get(9)?,
        },
        at_unix_micros: row.get(10)?,
        outcome: json_option(row, 11)?,
    })
}

pub(crate) fn intents(connection: &Connection, run: RunId) -> Result<Vec<IntentRecord>> {
    collect(
        connection,
        &format!("{INTENT} WHERE run = ?1 ORDER BY at, path, node, attempt, sequence"),
        &[&run.0],
        intent_record,
    )
}

fn doubt(record: IntentRecord) -> InDoubt {
    InDoubt { intent: record.intent, at_unix_micros: record.at_unix_micros }
}

pub(crate) fn in_doubt(connection: &Connection, run: RunId) -> Result<Vec<InDoubt>> {
    collect(
        connection,
        &format!("{INTENT} WHERE run = ?1 AND in_doubt ORDER BY at, path, node, attempt, sequence"),
        &[&run.0],
        |row| intent_record(row).map(doubt),
    )
}

/// Those of earlier attempts of the same step.
pub(crate) fn in_doubt_before(connection: &Connection, step: &StepKey) -> Result<Vec<InDoubt>> {
    collect(
        connection,
        &format!(
            "{INTENT} WHERE run = ?1 AND path = ?2 AND node = ?3 AND attempt < ?4 AND in_doubt
             ORDER BY attempt, sequence"
        ),
        &[&step.run.0, &step.path, &step.node, &step.attempt],
        |row| intent_record(row).map(doubt),
    )
}

pub(crate) fn audit(connection: &Connection, run: RunId, after: i64, limit: u32) -> Result<Vec<AuditEntry>> {
    let sql = "SELECT run, path, node, step_attempt, plugin, digest, function, service, action, region, account,
                      principal, request_id, attempt, at, duration, outcome, id
               FROM audit WHERE run = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    collect(connection, sql, &[&run.0, &after, &limit], |row| {
        Ok(AuditEntry {
            position: row.get(17)?,
            record: AuditRecord {
                step: key(row)?,
                plugin: row.get(4)?,
                digest: row.get(5)?,
                function: row.get(6)?,
                service: row.get(7)?,
                action: row.get(8)?,
                region: row.get(9)?,
                account: row.get(10)?,
                principal: row.get(11)?,
                request_id: row.get(12)?,
                attempt: row.get(13)?,
                at_unix_micros: row.get(14)?,
                duration_micros: row.get::<_, i64>(15)?.cast_unsigned(),
                outcome: json(row, 16)?,
            },
        })
    })
}

pub(crate) fn log(connection: &Connection, run: RunId, filter: &LogFilter) -> Result<Vec<LogRecord>> {
    let (order, limit) = match (filter.tail, filter.limit) {
        (Some(tail), limit) => ("DESC", limit.map_or(tail, |limit| limit.min(tail))),
        (None, Some(limit)) => ("ASC", limit),
        (None, None) => ("ASC", u32::MAX),
    };
    let sql = format!(
        "SELECT seq, at, path, node, level, text, data_type FROM logs
         WHERE run = ?1 AND seq > ?2
         AND (?3 IS NULL OR path = ?3 OR substr(path, 1, length(?3) + 1) = ?3 || '/')
         AND (?4 IS NULL OR node = ?4) AND (?5 IS NULL OR level >= ?5) AND (?6 IS NULL OR instr(text, ?6) > 0)
         ORDER BY seq {order} LIMIT ?7"
    );
    let after = filter.after.unwrap_or(0);
    let parameters: [&dyn ToSql; 7] =
        [&run.0, &after, &filter.path, &filter.node, &filter.min_level, &filter.contains, &limit];
    let mut lines = collect(connection, &sql, &parameters, |row| {
        Ok(LogRecord {
            seq: row.get(0)?,
            line: LogLine {
                at_unix_micros: row.get(1)?,
                path: row.get(2)?,
                node: row.get(3)?,
                level: row.get(4)?,
                text: row.get(5)?,
                data_type: row.get(6)?,
            },
        })
    })?;
    if filter.tail.is_some() {
        lines.reverse();
    }
    Ok(lines)
}

pub(crate) fn events(connection: &Connection, run: RunId, after: i64, limit: u32) -> Result<Vec<Event>> {
    let sql = "SELECT seq, at, kind, body FROM events WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    collect(connection, sql, &[&run.0, &after, &limit], |row| {
        Ok(Event { seq: row.get(0)?, at_unix_micros: row.get(1)?, kind: row.get(2)?, body: json(row, 3)? })
    })
}
