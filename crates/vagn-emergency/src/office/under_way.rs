//! Attempts that are under way for the desk of a leader.
//!
//! Each time that a node leads anew its desk has all slots of its targets free, while attempts of the time before still run. They may end: a call that a
//! target is about to accept is not torn off. Older ones are given up, or a trail that changes its leader again and again, with a target that hangs, would
//! have ever more of them.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::metrics::{AttemptLabel, EmergencyMetrics};
use crate::notify::notice::EndedNotice;

/// Outcome of an attempt that is given up.
const GIVEN_UP: &str = "given_up";

type Attempts = FuturesUnordered<BoxFuture<'static, (u64, EndedNotice)>>;

/// Attempts of the latest reign of a desk, and of the one before.
#[derive(Default)]
pub(super) struct UnderWay {
    reign: u64,
    latest: Attempts,
    before: Attempts,
}

impl UnderWay {
    /// Begins an attempt at a target, of a reign.
    pub(super) fn begin(
        &mut self,
        reign: u64,
        (target, metrics): (String, Arc<EmergencyMetrics>),
        attempt: impl Future<Output = EndedNotice> + Send + 'static,
    ) {
        if reign != self.reign {
            (self.reign, self.before) = (reign, std::mem::take(&mut self.latest));
        }
        let counted = async move {
            let begun = Begun { target, metrics, has_ended: false };
            let ended = attempt.await;
            begun.end();
            (reign, ended)
        };
        self.latest.push(counted.boxed());
    }

    /// Returns an attempt that has ended, with its reign.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<(u64, EndedNotice)> {
        for attempts in [&mut self.latest, &mut self.before] {
            if let Poll::Ready(Some(ended)) = attempts.poll_next_unpin(cx) {
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    }
}

/// An attempt that has begun. It is counted when it is dropped before it has ended.
struct Begun {
    target: String,
    metrics: Arc<EmergencyMetrics>,
    has_ended: bool,
}

impl Begun {
    fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.has_ended {
            let label = AttemptLabel { target: std::mem::take(&mut self.target), outcome: GIVEN_UP };
            self.metrics.emergency_attempts.get_or_create(&label).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::future::pending;
    use vagn_flow::metrics::MetricRegistry;

    use super::*;

    #[test]
    fn attempts_of_the_reign_before_may_end_and_older_ones_are_given_up_and_counted() {
        let metrics = EmergencyMetrics::new(&MetricRegistry::new());
        let mut under_way = UnderWay::default();
        let given_up = || {
            let label = AttemptLabel { target: "county".into(), outcome: GIVEN_UP };
            metrics.emergency_attempts.get_or_create(&label).get()
        };
        for reign in 1..=20 {
            for _ in 0..8 {
                under_way.begin(reign, ("county".into(), metrics.clone()), pending());
            }
            assert!(under_way.poll_ended(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(under_way.latest.len() + under_way.before.len(), if reign == 1 { 8 } else { 16 });
            assert_eq!(given_up(), 8 * reign.saturating_sub(2));
        }
    }
}
