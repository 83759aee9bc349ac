//! Look: the time at which an office looks again at what is due.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep, sleep};
use vagn_flow::clock::Clock;

/// Time of the next look.
pub(crate) enum Look {
    /// It wakes whoever polls it.
    Waking(Pin<Box<Sleep>>),
    /// Whoever polls it comes by itself when it is time, on the monotonic clock.
    Stepped {
        /// The clock.
        clock: Arc<dyn Clock>,
        /// The time.
        at: Duration,
    },
}

impl Look {
    /// One that wakes, `after` this time.
    pub(crate) fn waking(after: Duration) -> Self {
        Self::Waking(Box::pin(sleep(after)))
    }

    /// One that is due at once, and wakes nobody.
    pub(crate) fn stepped(clock: Arc<dyn Clock>) -> Self {
        let at = clock.monotonic();
        Self::Stepped { clock, at }
    }

    /// Sets it to this time from now.
    pub(crate) fn set(&mut self, after: Duration) {
        match self {
            Self::Waking(sleep) => sleep.as_mut().reset(Instant::now() + after),
            Self::Stepped { clock, at } => *at = clock.monotonic() + after,
        }
    }

    /// Returns whether it is time.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Waking(sleep) => sleep.poll_unpin(cx),
            Self::Stepped { clock, at } if *at <= clock.monotonic() => Poll::Ready(()),
            Self::Stepped { .. } => Poll::Pending,
        }
    }

    /// Returns the time of one that wakes nobody.
    pub(crate) fn at(&self) -> Option<Duration> {
        match self {
            Self::Waking(_) => None,
            Self::Stepped { at, .. } => Some(*at),
        }
    }
}
