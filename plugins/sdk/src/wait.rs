//! Waits for something in the world to change.

use std::time::Duration;

use crate::bindings::outrigger::run::clock;
use crate::{Failure, Polling, Reason, TimeSpan};

/// Transient failures in a row after which a waiter gives up. The host repeats such calls too, so this is minutes.
const MOST_TRANSIENT_FAILURES: u32 = 10;

/// What one look showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll<T> {
    /// It is as it should be.
    Ready(T),
    /// It is not yet: the state that was seen, for the message of a timeout.
    Pending(String),
}

/// Time and sleep, so that a test can give its own.
trait Clock {
    fn now(&self) -> u64;
    fn sleep(&self, milliseconds: u64) -> Result<(), Failure>;
    fn remaining(&self) -> Option<u64>;
}

struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> u64 {
        clock::now()
    }

    fn sleep(&self, milliseconds: u64) -> Result<(), Failure> {
        clock::sleep(milliseconds)
    }

    fn remaining(&self) -> Option<u64> {
        clock::remaining()
    }
}

type CleanUp<'a> = Box<dyn FnOnce() -> Result<(), Failure> + 'a>;

/// Looks again and again until something is as it should be, a deadline passes, or the run is cancelled.
///
/// The deadline is the earlier of the waiter's own and the step's. Throttling and broken connections are looked over for a
/// while. Whatever else ends the wait without success runs the clean-up first, so that nothing goes on that nobody waits for.
///
/// ```no_run
/// use outrigger_plugin_sdk::{Failure, Poll, TimeSpan, Waiter};
///
/// # fn state() -> Result<String, Failure> { Ok("running".to_owned()) }
/// # fn cancel() -> Result<(), Failure> { Ok(()) }
/// # fn main() -> Result<(), Failure> {
/// Waiter::new("i-1 to run").timeout(TimeSpan::from_seconds(600)).on_give_up(cancel).until(|| {
///     Ok(match state()?.as_str() {
///         "running" => Poll::Ready(()),
///         other => Poll::Pending(other.to_owned()),
///     })
/// })
/// # }
/// ```
pub struct Waiter<'a> {
    what: String,
    interval: Duration,
    longest_interval: Duration,
    timeout: Option<TimeSpan>,
    tolerated: Vec<&'a str>,
    clean_up: Option<CleanUp<'a>>,
}

impl<'a> Waiter<'a> {
    /// A waiter for `what`, which completes the sentence "waited for ...". It looks after one second, then ever less often
    /// until it looks every five seconds, and has no deadline of its own.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            interval: Duration::from_secs(1),
            longest_interval: Duration::from_secs(5),
            timeout: None,
            tolerated: Vec::new(),
            clean_up: None,
        }
    }

    /// Takes the deadline and the interval of a step's input. An interval that is given does not grow.
    #[must_use]
    pub fn polling<const SECONDS: u64>(self, polling: &Polling<SECONDS>) -> Self {
        let waiter = self.timeout(polling.timeout);
        match polling.poll_interval {
            Some(interval) => waiter.interval(interval.into(), interval.into()),
            None => waiter,
        }
    }

    /// Time between two looks: the first one, and what it grows to. It is never less than 10 milliseconds.
    #[must_use]
    pub fn interval(mut self, first: Duration, longest: Duration) -> Self {
        self.interval = first.max(Duration::from_millis(10));
        self.longest_interval = longest.max(self.interval);
        self
    }

    /// How long to wait at most.
    #[must_use]
    pub fn timeout(mut self, timeout: TimeSpan) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A code that the service gives for a while after something was made, and that is no failure until the deadline.
    #[must_use]
    pub fn tolerate(mut self, code: &'a str) -> Self {
        self.tolerated.push(code);
        self
    }

    /// What to do when the wait ends without success, such as to cancel what was waited for.
    #[must_use]
    pub fn on_give_up(mut self, clean_up: impl FnOnce() -> Result<(), Failure> + 'a) -> Self {
        self.clean_up = Some(Box::new(clean_up));
        self
    }

    /// Looks until `look` says that all is ready.
    ///
    /// # Errors
    /// `timeout` or `cancelled` with what was waited for, how long, and the last state that was seen; or what `look` gives.
    pub fn until<T>(self, look: impl FnMut() -> Result<Poll<T>, Failure>) -> Result<T, Failure> {
        self.until_by(&HostClock, look)
    }

    fn until_by<T>(mut self, clock: &impl Clock, look: impl FnMut() -> Result<Poll<T>, Failure>) -> Result<T, Failure> {
        let clean_up = self.clean_up.take();
        self.look_until(clock, look).map_err(|failure| match clean_up.map(|clean_up| clean_up()) {
            Some(Err(second)) => {
                let message = format!("{}; cleaning up failed too: {}", failure.message, second.message);
                Failure { message, ..failure }
            }
            _ => failure,
        })
    }

    fn look_until<T>(
        &self,
        clock: &impl Clock,
        mut look: impl FnMut() -> Result<Poll<T>, Failure>,
    ) -> Result<T, Failure> {
        let start = clock.now();
        let own = self.timeout.map(|timeout| millis(timeout.into()));
        let limit = match (own, clock.remaining()) {
            (Some(own), Some(step)) => Some(own.min(step)),
            (own, step) => own.or(step),
        };
        let mut interval = self.interval;
        let mut transient = 0;
        loop {
            let seen = match look() {
                Ok(Poll::Ready(value)) => return Ok(value),
                Ok(Poll::Pending(state)) => {
                    transient = 0;
                    state
                }
                Err(failure) if failure.ends_step() => {
                    return Err(self.ended(&failure, clock.now().saturating_sub(start), None));
                }
                Err(failure) if failure.code.as_deref().is_some_and(|code| self.tolerated.contains(&code)) => {
                    failure.message
                }
                Err(failure) if failure.is_transient() && transient < MOST_TRANSIENT_FAILURES => {
                    transient += 1;
                    failure.message
                }
                Err(failure) => return Err(failure),
            };
            let elapsed = clock.now().saturating_sub(start);
            let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(elapsed));
            if left == 0 {
                let hint =
                    if limit == own { "; a longer `timeout` waits longer" } else { ": the step's deadline passed" };
                let waited = span(elapsed);
                return Err(Failure::timeout(format!(
                    "waited {waited} for {}{hint}; the last state was: {seen}",
                    self.what
                )));
            }
            if let Err(failure) = clock.sleep(millis(interval).min(left)) {
                return Err(self.ended(&failure, clock.now().saturating_sub(start), Some(&seen)));
            }
            interval = grown(interval, self.longest_interval);
        }
    }

    fn ended(&self, failure: &Failure, elapsed: u64, seen: Option<&str>) -> Failure {
        let seen = seen.map(|seen| format!("; the last state was: {seen}")).unwrap_or_default();
        let why = match failure.reason {
            Reason::Cancelled => "cancelled",
            Reason::Timeout => "the step's deadline passed",
            _ => failure.message.as_str(),
        };
        let message = format!("{why} after {} of waiting for {}{seen}", span(elapsed), self.what);
        Failure { message, ..failure.clone() }
    }
}

/// The interval after this one: half as long again, up to the longest.
fn grown(interval: Duration, longest: Duration) -> Duration {
    (interval * 3 / 2).min(longest)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds for a person: whole seconds where there are any.
fn span(milliseconds: u64) -> TimeSpan {
    let shown = if milliseconds >= 1_000 { milliseconds / 1_000 * 1_000 } else { milliseconds };
    TimeSpan::from(Duration::from_millis(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[derive(Default)]
    struct TestClock {
        now: Cell<u64>,
        sleeps: RefCell<Vec<u64>>,
        deadline: Option<u64>,
        cancelled_at: Option<u64>,
    }

    impl Clock for TestClock {
        fn now(&self) -> u64 {
            self.now.get()
        }

        fn sleep(&self, milliseconds: u64) -> Result<(), Failure> {
            self.sleeps.borrow_mut().push(milliseconds);
            self.now.set(self.now.get() + milliseconds);
            match self.cancelled_at {
                Some(at) if self.now.get() >= at => Err(Failure::new(Reason::Cancelled, "the run was cancelled")),
                _ => Ok(()),
            }
        }

        fn remaining(&self) -> Option<u64> {
            self.deadline.map(|deadline| deadline.saturating_sub(self.now.get()))
        }
    }

    fn never() -> Result<Poll<()>, Failure> {
        Ok(Poll::Pending("QUEUED".to_owned()))
    }

    #[test]
    fn the_interval_grows_to_its_limit_and_the_last_sleep_ends_at_the_deadline() {
        let clock = TestClock::default();
        let waiter = Waiter::new("a query").timeout(TimeSpan::from_seconds(20));
        let failure = waiter.until_by(&clock, never).unwrap_err();
        assert_eq!(*clock.sleeps.borrow(), [1_000, 1_500, 2_250, 3_375, 5_000, 5_000, 1_875]);
        assert_eq!(failure.reason, Reason::Timeout);
        assert_eq!(
            failure.message,
            "waited 20s for a query; a longer `timeout` waits longer; the last state was: QUEUED"
        );
    }

    #[test]
    fn the_deadline_of_the_step_counts_too() {
        let clock = TestClock { deadline: Some(1_500), ..TestClock::default() };
        let waiter = Waiter::new("a query").timeout(TimeSpan::from_seconds(20));
        let failure = waiter.until_by(&clock, never).unwrap_err();
        assert_eq!(*clock.sleeps.borrow(), [1_000, 500]);
        assert!(failure.message.contains("the step's deadline passed"), "{}", failure.message);
    }

    #[test]
    fn an_interval_that_was_given_stays() {
        let clock = TestClock::default();
        let polling: Polling<2> = serde_json::from_str(r#"{"pollInterval": "500ms"}"#).unwrap();
        Waiter::new("x").polling(&polling).until_by(&clock, never).unwrap_err();
        assert_eq!(*clock.sleeps.borrow(), [500; 4]);
    }

    #[test]
    fn cancelling_cleans_up_and_tells_the_last_state() {
        let clock = TestClock { cancelled_at: Some(2_000), ..TestClock::default() };
        let cleaned = Cell::new(0);
        let waiter = Waiter::new("a query").on_give_up(|| {
            cleaned.set(cleaned.get() + 1);
            Err(Failure::remote("gone"))
        });
        let failure = waiter.until_by(&clock, never).unwrap_err();
        assert_eq!(failure.reason, Reason::Cancelled);
        assert_eq!(
            failure.message,
            "cancelled after 2s of waiting for a query; the last state was: QUEUED; cleaning up failed too: gone"
        );
        assert_eq!(cleaned.get(), 1);
    }

    #[test]
    fn success_does_not_clean_up() {
        let cleaned = Cell::new(false);
        let mut looks = 0;
        let waiter = Waiter::new("x").on_give_up(|| {
            cleaned.set(true);
            Ok(())
        });
        let value = waiter.until_by(&TestClock::default(), || {
            looks += 1;
            Ok(if looks < 3 { Poll::Pending(String::new()) } else { Poll::Ready(7) })
        });
        assert_eq!(value.unwrap(), 7);
        assert!(!cleaned.get());
    }

    #[test]
    fn some_failures_are_looked_over() {
        let mut looks = 0;
        let value = Waiter::new("x").tolerate("InvocationDoesNotExist").until_by(&TestClock::default(), || {
            looks += 1;
            match looks {
                1..=20 => Err(Failure::not_found("no").with_code("InvocationDoesNotExist")),
                21..=30 => Err(Failure::new(Reason::Throttled, "slow down")),
                _ => Ok(Poll::Ready(looks)),
            }
        });
        assert_eq!(value.unwrap(), 31);

        let mut looks = 0;
        let failure = Waiter::new("x").until_by(&TestClock::default(), || -> Result<Poll<()>, Failure> {
            looks += 1;
            Err(Failure::new(Reason::Throttled, "slow down"))
        });
        assert_eq!(failure.unwrap_err().reason, Reason::Throttled);
        assert_eq!(looks, MOST_TRANSIENT_FAILURES + 1);
    }

    #[test]
    fn other_failures_end_the_wait_at_once_and_clean_up() {
        let cleaned = Cell::new(false);
        let waiter = Waiter::new("x").on_give_up(|| {
            cleaned.set(true);
            Ok(())
        });
        let failure = waiter
            .until_by(&TestClock::default(), || -> Result<Poll<()>, Failure> {
                Err(Failure::new(Reason::AccessDenied, "no"))
            })
            .unwrap_err();
        assert_eq!(failure.message, "no");
        assert!(cleaned.get());
    }
}
