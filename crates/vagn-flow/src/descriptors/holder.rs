//! The holder of a place: one connection, as far as it matters to a newcomer that wants its place.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::allowance::Source;
use crate::clock::Clock;

/// Position of a holder that is in no list.
const NOWHERE: usize = usize::MAX;

/// Time of what has not happened.
const NEVER: u64 = u64::MAX;

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
    /// Time since when bodies have been awaited, and nothing came whole.
    awaits_since_ms: AtomicU64,
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
            awaits_since_ms: AtomicU64::new(NEVER),
            displaced: Notify::new(),
        })
    }

    /// Notes a request that has come whole.
    pub(super) fn ask(self: &Arc<Self>) -> Asked {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.awaits_since_ms.store(NEVER, Ordering::Release);
        Asked(self.clone())
    }

    /// Notes a request whose body is still to come. Further ones gain no time: a peer could go on with that for ever.
    pub(super) fn await_body(&self) {
        let now_ms = now_ms(&*self.clock);
        let since = &self.awaits_since_ms;
        since.compare_exchange(NEVER, now_ms, Ordering::AcqRel, Ordering::Acquire).ok();
    }

    pub(super) fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Acquire)
    }

    pub(super) fn set_asked(&self) {
        self.was_asked.store(true, Ordering::Release);
    }

    /// Returns true while an answer is wanted.
    pub(super) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Acquire) > 0
    }

    /// Milliseconds since it came.
    pub(super) fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.since_ms)
    }

    /// Milliseconds since it came, or since the head of its first request if a body is awaited.
    pub(super) fn silent_ms(&self, now_ms: u64) -> u64 {
        self.awaits_ms(now_ms).unwrap_or_else(|| self.age_ms(now_ms))
    }

    /// Milliseconds since when nothing has come but parts of bodies; `None` when none is awaited.
    pub(super) fn awaits_ms(&self, now_ms: u64) -> Option<u64> {
        let since = Some(self.awaits_since_ms.load(Ordering::Acquire)).filter(|since| *since != NEVER);
        since.map(|since| now_ms.saturating_sub(since))
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
