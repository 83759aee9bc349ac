//! The holder of a place: one connection, as far as it matters to a newcomer who wants its place.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::allowance::Source;
use crate::clock::Clock;

/// Position of a holder that is in no list.
const NOWHERE: usize = usize::MAX;

/// One connection.
pub(super) struct Holder {
    pub(super) source: Source,
    clock: Arc<dyn Clock>,
    since_ms: u64,
    /// Position in its list; changed under the lock of the lists only.
    at: AtomicUsize,
    /// True once something was asked; changed under the same lock.
    was_asked: AtomicBool,
    /// Requests whose answers are still wanted.
    requests: AtomicUsize,
    /// Time of the end of the last answer.
    answered_ms: AtomicU64,
    /// Told when a newcomer got the place.
    displaced: Notify,
}

/// Something that was asked on a connection, until its answer is over. Meanwhile no newcomer gets its place.
#[derive(Debug)]
pub struct Asked(Arc<Holder>);

impl Holder {
    pub(super) fn new(source: Source, clock: Arc<dyn Clock>) -> Arc<Self> {
        let since_ms = now_ms(&*clock);
        Arc::new(Self {
            source,
            clock,
            since_ms,
            at: AtomicUsize::new(NOWHERE),
            was_asked: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            answered_ms: AtomicU64::new(0),
            displaced: Notify::new(),
        })
    }

    /// Notes a request.
    pub(super) fn ask(self: &Arc<Self>) -> Asked {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Asked(self.clone())
    }

    pub(super) fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Acquire)
    }

    pub(super) fn set_asked(&self) {
        self.was_asked.store(true, Ordering::Release);
    }

    /// True while an answer is wanted.
    pub(super) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Acquire) > 0
    }

    /// Milliseconds since it came.
    pub(super) fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.since_ms)
    }

    /// Milliseconds since the last answer was over.
    pub(super) fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.answered_ms.load(Ordering::Acquire))
    }

    /// Returns its position in its list, if it is in one.
    pub(super) fn position(&self) -> Option<usize> {
        Some(self.at.load(Ordering::Relaxed)).filter(|at| *at != NOWHERE)
    }

    pub(super) fn set_position(&self, at: Option<usize>) {
        self.at.store(at.unwrap_or(NOWHERE), Ordering::Relaxed);
    }

    /// Tells the connection that a newcomer got its place.
    pub(super) fn displace(&self) {
        self.displaced.notify_one();
    }

    /// Resolves when a newcomer got the place.
    pub(super) async fn told(&self) {
        self.displaced.notified().await;
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Self(holder) = self;
        // The time first: once nothing is wanted any more it is read.
        holder.answered_ms.store(now_ms(&*holder.clock), Ordering::Release);
        holder.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(super) fn now_ms(clock: &dyn Clock) -> u64 {
    clock.monotonic().as_millis() as u64
}
