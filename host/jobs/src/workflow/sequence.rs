//! The steps of a job, by its strategy.

use std::sync::{Arc, Mutex};

use outrigger_door::BoxFuture;

use super::engine::{Engine, JobScope, lock};
use super::report::RunStatus;
use super::step::{StepEnd, describe, run_step};
use crate::file::{Step, Strategy};

/// How the steps of a job ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SequenceEnd {
    Succeeded,
    Failed(String),
    Halted(RunStatus, Option<String>),
    Cancelled,
    Fatal(String),
}

pub(super) fn run_sequence(engine: Arc<Engine>, scope: Arc<JobScope>) -> BoxFuture<'static, SequenceEnd> {
    Box::pin(async move {
        match scope.job.sequence.strategy.value.clone() {
            Strategy::NodeFirst | Strategy::Sequential => one_by_one(&engine, &scope).await,
            Strategy::Parallel => all_at_once(&engine, &scope).await,
            Strategy::Other(name) => SequenceEnd::Failed(format!(
                "the workflow strategy `{name}` is not there; use node-first, sequential or parallel"
            )),
        }
    })
}

async fn one_by_one(engine: &Arc<Engine>, scope: &Arc<JobScope>) -> SequenceEnd {
    let keepgoing = scope.job.sequence.keepgoing;
    let mut failed = None;
    for index in 0..scope.job.sequence.steps.len() {
        if scope.cancel.is_cancelled() {
            skip_from(engine, scope, index, cancelled_reason(scope));
            return SequenceEnd::Cancelled;
        }
        let end = run_step(Arc::clone(engine), Arc::clone(scope), index).await;
        let stop_reason = match end {
            StepEnd::Continue => continue,
            StepEnd::Failed(message) => {
                failed.get_or_insert(message);
                if keepgoing {
                    continue;
                }
                "a step before it failed"
            }
            StepEnd::HandledThenStop(message) => {
                // The handler's result is the step's, so a job that goes on anyway has nothing that failed.
                if keepgoing {
                    continue;
                }
                failed.get_or_insert(message);
                "a step before it failed and its error handler does not let the job go on"
            }
            StepEnd::Halted(status, message) => {
                skip_from(engine, scope, index + 1, "a step before it ended the job");
                return SequenceEnd::Halted(status, message);
            }
            StepEnd::Cancelled => {
                skip_from(engine, scope, index + 1, cancelled_reason(scope));
                return SequenceEnd::Cancelled;
            }
            StepEnd::Fatal(message) => {
                skip_from(engine, scope, index + 1, "the run cannot go on");
                return SequenceEnd::Fatal(message);
            }
        };
        skip_from(engine, scope, index + 1, stop_reason);
        break;
    }
    match failed {
        Some(message) => SequenceEnd::Failed(message),
        None => SequenceEnd::Succeeded,
    }
}

/// All steps at once. None is stopped because another fails.
async fn all_at_once(engine: &Arc<Engine>, scope: &Arc<JobScope>) -> SequenceEnd {
    let count = scope.job.sequence.steps.len();
    let ends: Arc<Mutex<Vec<Option<StepEnd>>>> = Arc::new(Mutex::new(vec![None; count]));
    let tasks = (0..count).map(|index| {
        let (own_engine, own_scope, ends) = (Arc::clone(engine), Arc::clone(scope), Arc::clone(&ends));
        let name = format!("step {}{}", scope.prefix, index + 1);
        engine.parts.durable.spawn(
            &name,
            Box::pin(async move {
                let end = run_step(own_engine, Arc::clone(&own_scope), index).await;
                if matches!(end, StepEnd::Fatal(_)) {
                    own_scope.cancel.cancel();
                }
                if let Some(place) = lock(&ends).get_mut(index) {
                    *place = Some(end);
                }
            }),
        )
    });
    let broken: Vec<String> = futures_util::future::join_all(tasks).await.into_iter().filter_map(Result::err).collect();
    if let Some(message) = broken.into_iter().next() {
        return SequenceEnd::Fatal(message);
    }
    let ends = std::mem::take(&mut *lock(&ends));
    let keepgoing = scope.job.sequence.keepgoing;
    let (mut failed, mut halted, mut cancelled) = (None, None, false);
    for end in ends.into_iter().flatten() {
        match end {
            StepEnd::Continue => {}
            StepEnd::Failed(message) => {
                failed.get_or_insert(message);
            }
            StepEnd::HandledThenStop(message) => {
                if !keepgoing {
                    failed.get_or_insert(message);
                }
            }
            StepEnd::Halted(status, message) => {
                halted.get_or_insert((status, message));
            }
            StepEnd::Cancelled => cancelled = true,
            StepEnd::Fatal(message) => return SequenceEnd::Fatal(message),
        }
    }
    if cancelled {
        SequenceEnd::Cancelled
    } else if let Some((status, message)) = halted {
        SequenceEnd::Halted(status, message)
    } else {
        failed.map_or(SequenceEnd::Succeeded, SequenceEnd::Failed)
    }
}

fn cancelled_reason(scope: &JobScope) -> &'static str {
    if scope.is_timed_out() { "the job's time is over" } else { "the run was cancelled" }
}

fn skip_from(engine: &Engine, scope: &JobScope, first: usize, reason: &str) {
    for (index, step) in scope.job.sequence.steps.iter().enumerate().skip(first) {
        let path = format!("{}{}", scope.prefix, index + 1);
        engine.skip(&path, label_of(step), &describe(step), reason);
    }
}

/// What people call a step.
pub(super) fn label_of(step: &Step) -> Option<&str> {
    step.description.as_ref().or(step.label.as_ref()).map(|label| label.value.as_str())
}
