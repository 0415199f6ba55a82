//! What names a run and a step in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a run (Rundeck's execution id, `${job.execid}`); counted per home, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// One attempt of one step on one node of one run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepKey {
    /// The run.
    pub run: RunId,
    /// Position in the workflow: `2`, `2/1` inside a job reference, `2e` for the error handler of step 2.
    pub path: String,
    /// Name of the node; `local` where a step runs once.
    pub node: String,
    /// 1 for the first attempt, more after a step's own `retry`.
    pub attempt: u32,
}

impl fmt::Display for StepKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "run {} step {}", self.run, self.path)?;
        if self.node != "local" {
            write!(formatter, " on {}", self.node)?;
        }
        if self.attempt > 1 {
            write!(formatter, " (attempt {})", self.attempt)?;
        }
        Ok(())
    }
}
