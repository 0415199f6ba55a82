//! A journal that forgets when the process ends: for tests, and for runs that nobody asks about later.

use std::sync::{Mutex, PoisonError};

use crate::door::unix_micros;
use crate::{AuditRecord, BoxFuture, InDoubt, Intent, IntentOutcome, Journal, JournalError, StepKey};

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    intents: Vec<(Intent, i64, Option<IntentOutcome>)>,
    audit: Vec<AuditRecord>,
}

impl MemoryJournal {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The audit records so far.
    pub fn audit_records(&self) -> Vec<AuditRecord> {
        self.with(|state| state.audit.clone())
    }

    /// The intents so far, with their outcomes.
    pub fn intents(&self) -> Vec<(Intent, Option<IntentOutcome>)> {
        self.with(|state| state.intents.iter().map(|(intent, _, outcome)| (intent.clone(), outcome.clone())).collect())
    }
}

impl Journal for MemoryJournal {
    fn intent(&self, intent: Intent) -> BoxFuture<'_, Result<(), JournalError>> {
        self.with(|state| state.intents.push((intent, unix_micros(), None)));
        Box::pin(async { Ok(()) })
    }

    fn outcome(&self, step: &StepKey, sequence: u64, outcome: IntentOutcome) {
        self.with(|state| {
            if let Some(entry) =
                state.intents.iter_mut().find(|(intent, _, _)| intent.step == *step && intent.sequence == sequence)
            {
                entry.2 = Some(outcome);
            }
        });
    }

    fn audit(&self, record: AuditRecord) {
        self.with(|state| state.audit.push(record));
    }

    fn in_doubt<'a>(&'a self, step: &'a StepKey) -> BoxFuture<'a, Result<Vec<InDoubt>, JournalError>> {
        let found = self.with(|state| {
            state
                .intents
                .iter()
                .filter(|(intent, _, outcome)| {
                    (intent.step.run, &intent.step.path, &intent.step.node) == (step.run, &step.path, &step.node)
                        && matches!(outcome, None | Some(IntentOutcome::Unknown))
                })
                .map(|(intent, at, _)| InDoubt { intent: intent.clone(), at_unix_micros: *at })
                .collect()
        });
        Box::pin(async move { Ok(found) })
    }
}
