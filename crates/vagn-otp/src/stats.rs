//! The counters of a process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::queue::Backlog;

/// Reads the backlog of a mailbox.
pub(crate) type Gauge = Box<dyn Fn() -> Backlog + Send + Sync>;

/// Counters of one process, kept over its restarts. To read them costs the process nothing.
// All relaxed: each counter stands for itself, and none says that other memory is ready.
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
    /// Returns the messages accepted into the mailbox.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns the messages refused because the mailbox was full.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Returns the messages refused because the process had ended for good.
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Returns the messages accepted but never handled to the end: lost in a crash, or left over at the end of the process.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns the messages, jobs or turns of a task handled to the end.
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Returns the nanoseconds spent in handlers, or under a busy guard.
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }

    /// Returns how often an actor or a pool's worker woke from waiting. `handled` per wake-up is the number of messages that it
    /// finds at a time.
    pub fn wakeups(&self) -> u64 {
        self.wakeups.load(Ordering::Relaxed)
    }

    /// Returns the number of incarnations after the first.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Returns the threads of this process that did not stop, were left behind, and still run.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Returns the messages waiting in the mailbox; 0 without a mailbox.
    pub fn depth(&self) -> usize {
        self.backlog().depth
    }

    /// Returns the most messages that may wait; 0 without a mailbox.
    pub fn capacity(&self) -> usize {
        self.backlog().capacity
    }

    /// Returns the backlog of the mailbox; all zero without a mailbox.
    pub fn backlog(&self) -> Backlog {
        self.gauge.get().map_or_else(Backlog::default, |gauge| gauge())
    }

    /// Counts work of a task or thread, which handles no messages.
    pub fn add_handled(&self, n: u64) {
        self.handled.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn watch_mailbox(&self, gauge: Gauge) {
        // A process has one mailbox, so this succeeds.
        self.gauge.set(gauge).ok();
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
