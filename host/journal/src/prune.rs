//! Removal of old runs.

use std::collections::{HashMap, HashSet};

use outrigger_door::RunId;
use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};

use crate::{Result, RunFilter, Status, read};

/// Runs that are removed in one transaction: others wait for it.
const AT_ONCE: usize = 20;

/// Which runs to remove: those for which everything that is given holds. The default is all that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Of this project.
    pub project: Option<String>,
    /// Ended before this, in microseconds since 1970-01-01T00:00:00Z; what was interrupted counts from its start.
    pub ended_before_unix_micros: Option<i64>,
    /// Not among the newest so many of their project, runs that still go on included.
    pub keep_last: Option<u32>,
    /// Only count.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneCounts {
    /// Runs.
    pub runs: u64,
    /// Step attempts.
    pub steps: u64,
    /// Intents.
    pub intents: u64,
    /// Audit records.
    pub audit: u64,
    /// Log lines.
    pub log_lines: u64,
    /// Events.
    pub events: u64,
}

pub(crate) fn prune(connection: &mut Connection, filter: &PruneFilter) -> Result<PruneCounts> {
    let doomed = doomed(connection, filter)?;
    let mut counts = PruneCounts { runs: doomed.len() as u64, ..PruneCounts::default() };
    for some in doomed.chunks(AT_ONCE) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for run in some {
            for (table, count) in [
                ("steps", &mut counts.steps),
                ("intents", &mut counts.intents),
                ("audit", &mut counts.audit),
                ("logs", &mut counts.log_lines),
                ("events", &mut counts.events),
            ] {
                *count += if filter.dry_run {
                    let sql = format!("SELECT count(*) FROM {table} WHERE run = ?1");
                    transaction.prepare_cached(&sql)?.query_row([run.0], |row| row.get::<_, i64>(0))?.cast_unsigned()
                } else {
                    transaction.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?.execute([run.0])? as u64
                };
            }
            if !filter.dry_run {
                transaction.prepare_cached("DELETE FROM runs WHERE id = ?1")?.execute([run.0])?;
            }
        }
        transaction.commit()?;
    }
    if !filter.dry_run && !doomed.is_empty() {
        // Gives the space back to the file system.
        connection.execute_batch("PRAGMA incremental_vacuum")?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(counts)
}

fn doomed(connection: &Connection, filter: &PruneFilter) -> Result<Vec<RunId>> {
    let runs = read::list_runs(connection, &RunFilter { project: filter.project.clone(), ..RunFilter::default() })?;
    let running: HashSet<RunId> = runs.iter().filter(|run| run.status == Status::Running).map(|run| run.id).collect();
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut doomed = Vec::new();
    for run in &runs {
        let newer = seen.entry(run.run.project.as_str()).or_insert(0);
        let kept = filter.keep_last.is_some_and(|last| *newer < last);
        *newer += 1;
        let ended = run.ended_unix_micros.unwrap_or(run.started_unix_micros);
        let young = filter.ended_before_unix_micros.is_some_and(|before| ended >= before);
        // A run that goes on may still show what its job references did.
        let needed = running.contains(&run.id) || run.run.parent.is_some_and(|parent| running.contains(&parent));
        if !kept && !young && !needed {
            doomed.push(run.id);
        }
    }
    Ok(doomed)
}
