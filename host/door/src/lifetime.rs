//! How long a step may live: a soft end that it can react to, a grace period, and a hard end.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Reason;

/// Where a step stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything works.
    Live,
    /// The deadline passed or the run was cancelled; only clean-up operations may write.
    Grace(Reason),
    /// The grace period is over; nothing works.
    Over(Reason),
}

/// Deadline, cancellation and grace period of one step attempt. Cloning it shares it.
#[derive(Clone, Debug)]
pub struct Lifetime {
    deadline: Option<Instant>,
    grace: Duration,
    cancel: CancellationToken,
    // When the cancellation was seen first: the grace period counts from there, not from when someone asks.
    cancelled_at: std::sync::Arc<std::sync::OnceLock<Instant>>,
}

impl Lifetime {
    /// A life that ends softly at `deadline` or when `cancel` is cancelled, and hard `grace` later.
    pub fn new(deadline: Option<Instant>, grace: Duration, cancel: CancellationToken) -> Self {
        Self { deadline, grace, cancel, cancelled_at: std::sync::Arc::default() }
    }

    /// A life that only `cancel` ends.
    pub fn until_cancelled(cancel: CancellationToken, grace: Duration) -> Self {
        Self::new(None, grace, cancel)
    }

    /// Time until the deadline; none where there is none.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn soft_end(&self) -> Option<(Instant, Reason)> {
        let now = Instant::now();
        let cancelled = self.cancel.is_cancelled().then(|| *self.cancelled_at.get_or_init(|| now));
        let passed = self.deadline.filter(|deadline| *deadline <= now);
        match (cancelled, passed) {
            (Some(cancelled), Some(passed)) if passed < cancelled => Some((passed, Reason::Timeout)),
            (Some(cancelled), _) => Some((cancelled, Reason::Cancelled)),
            (None, Some(passed)) => Some((passed, Reason::Timeout)),
            (None, None) => None,
        }
    }

    /// Where the step stands now.
    pub fn phase(&self) -> Phase {
        match self.soft_end() {
            None => Phase::Live,
            Some((since, reason)) if since + self.grace > Instant::now() => Phase::Grace(reason),
            Some((_, reason)) => Phase::Over(reason),
        }
    }

    /// Waits for the soft end.
    pub async fn soft_ended(&self) -> Reason {
        loop {
            if let Some((_, reason)) = self.soft_end() {
                return reason;
            }
            match self.deadline {
                Some(deadline) => tokio::select! {
                    () = self.cancel.cancelled() => {}
                    () = tokio::time::sleep_until(deadline) => {}
                },
                None => self.cancel.cancelled().await,
            }
        }
    }

    /// Waits for the hard end.
    pub async fn over(&self) -> Reason {
        let first = self.soft_ended().await;
        let since = self.soft_end().map_or_else(Instant::now, |(since, _)| since);
        tokio::time::sleep_until(since + self.grace).await;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_soft_first_and_hard_after_the_grace_period() {
        let start = Instant::now();
        let life =
            Lifetime::new(Some(start + Duration::from_secs(5)), Duration::from_secs(2), CancellationToken::new());
        assert_eq!(life.phase(), Phase::Live);
        assert_eq!(life.soft_ended().await, Reason::Timeout);
        assert_eq!(life.phase(), Phase::Grace(Reason::Timeout));
        assert_eq!(life.over().await, Reason::Timeout);
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        assert_eq!(life.phase(), Phase::Over(Reason::Timeout));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancellation_before_the_deadline_wins() {
        let cancel = CancellationToken::new();
        let start = Instant::now();
        let life = Lifetime::new(Some(start + Duration::from_secs(60)), Duration::from_secs(3), cancel.clone());
        tokio::time::advance(Duration::from_secs(1)).await;
        cancel.cancel();
        assert_eq!(life.soft_ended().await, Reason::Cancelled);
        assert_eq!(life.over().await, Reason::Cancelled);
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }
}
