//! What a process counts about itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::queue::Backlog;

/// Reads what waits in a mailbox.
pub(crate) type Gauge = Box<dyn Fn() -> Backlog + Send + Sync>;

/// Counters of one process, kept over its restarts. Reading them costs the process nothing.
#[derive(Default)]
pub struct Stats {
    pub(crate) sent: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) down: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) handled: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
    pub(crate) wakeups: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    gauge: OnceLock<Gauge>,
}

impl Stats {
    /// Messages accepted into the mailbox.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages refused because the mailbox was full.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Messages refused because the process had ended for good.
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Messages accepted but never handled to the end: lost to a crash, or left over when the process ended for good.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Messages (or jobs, or whatever a task counts) handled to the end.
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Nanoseconds spent in handlers, or under a busy guard.
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }

    /// Times that an actor or a pool's worker woke from waiting. Messages handled per wake-up tell how many it finds at a time.
    pub fn wakeups(&self) -> u64 {
        self.wakeups.load(Ordering::Relaxed)
    }

    /// How often a new incarnation was started after the first.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Threads of this process that would not stop, were left behind, and still run.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Messages waiting in the mailbox; 0 when there is none.
    pub fn depth(&self) -> usize {
        self.backlog().depth
    }

    /// The most messages that may wait; 0 when there is no mailbox.
    pub fn capacity(&self) -> usize {
        self.backlog().capacity
    }

    /// What waits in the mailbox, and for how long; all zero when there is none.
    pub fn backlog(&self) -> Backlog {
        self.gauge.get().map_or_else(Backlog::default, |gauge| gauge())
    }

    /// Counts work that is not messages, as a task or thread does it.
    pub fn add_handled(&self, n: u64) {
        self.handled.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn watch_mailbox(&self, gauge: Gauge) {
        // Set once, by whoever makes the mailbox.
        drop(self.gauge.set(gauge));
    }

    pub(crate) fn add_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_wakeup(&self) {
        self.wakeups.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_busy(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn add_full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_down(&self) {
        self.down.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_lost(&self, n: u64) {
        self.lost.fetch_add(n, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stats")
            .field("sent", &self.sent())
            .field("handled", &self.handled())
            .field("restarts", &self.restarts())
            .finish_non_exhaustive()
    }
}
