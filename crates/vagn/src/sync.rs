//! Log sync: forces a partition's log to disk on a thread of its own, because one sync can take hundreds of
//! milliseconds and the writer must not wait for it.
//!
//! With `fsync = "always"` the queue also keeps the answers for what is written but not synced, and sends them after the
//! sync that covers them: many batches share one sync.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;
use tracing::error;
use vagn_otp::{Failure, ThreadContext};
use vagn_store::{Health, OrderNumber, StoreError, Syncer};

use crate::config::{Fsync, Span};
use crate::write::AwaitingDisk;
use vagn_flow::clock::Clock;
use vagn_flow::metrics::Registry;

/// Longest the thread sleeps before it looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Time between two looks at old files when nothing is to be synced.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Durations of log syncs. Clones share their values.
#[derive(Debug, Clone)]
pub struct SyncMetrics {
    log_fsync: Histogram,
}

impl SyncMetrics {
    /// Registers the durations.
    pub fn new(registry: &Registry) -> Self {
        // 50 µs to 13 s.
        let log_fsync = Histogram::new(exponential_buckets(0.000_05, 2.0, 19));
        let help = "Duration of log syncs";
        Self { log_fsync: registry.register_with_unit("log_fsync", help, Unit::Seconds, log_fsync) }
    }
}

/// The queue between the writer of one partition and the thread that syncs.
pub struct SyncQueue {
    fsync: Fsync,
    clock: Arc<dyn Clock>,
    metrics: SyncMetrics,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// None before the partition is open, and after a sync has failed.
    syncer: Option<Syncer>,
    /// Number of the present syncer, so that the late end of an earlier one is ignored.
    generation: u64,
    waiting: Vec<(OrderNumber, AwaitingDisk)>,
    /// Earliest time, on the monotonic clock, to try again what failed and harmed nothing.
    not_before: Duration,
}

impl SyncQueue {
    /// An empty queue.
    pub fn new(fsync: Fsync, clock: Arc<dyn Clock>, metrics: SyncMetrics) -> Self {
        Self { fsync, clock, metrics, state: Mutex::default(), wake: Condvar::new() }
    }

    /// Syncs this log from now on. What waits for an earlier one is answered as failed: it may not be on disk.
    pub fn take_over(&self, syncer: Syncer) {
        let mut state = self.state.lock();
        state.syncer = Some(syncer);
        state.generation += 1;
        // Dropped, they answer that their reports have failed.
        state.waiting.clear();
    }

    /// Settles as soon as the senders may be told that all changes before `end` are stored.
    pub fn keep(&self, end: OrderNumber, awaiting: AwaitingDisk) {
        if !self.is_always() {
            return awaiting.settle();
        }
        let mut state = self.state.lock();
        state.waiting.push((end, awaiting));
        if state.syncer.is_none() {
            // The sync that would have covered it has failed already.
            state.waiting.clear();
        }
        self.wake.notify_one();
    }

    /// True if every answer waits for the disk.
    pub fn is_always(&self) -> bool {
        self.fsync == Fsync::Always
    }

    /// The body of the sync thread: syncs when it is time, until it is asked to stop.
    ///
    /// # Errors
    /// Never; a sync that failed is the partition's to report.
    pub fn run(&self, context: &ThreadContext) -> Result<(), Failure> {
        context.ready();
        let mut synced_at = self.clock.monotonic();
        while !context.stopping() {
            context.beat();
            if self.is_due(synced_at) {
                synced_at = self.clock.monotonic();
                // A disk may take as long as it likes: a second thread beside this one would wait behind it.
                let _unwatched = context.patient();
                self.sync();
            }
        }
        self.sync();
        Ok(())
    }

    /// Waits a moment for work. Returns true if there is some.
    fn is_due(&self, synced_at: Duration) -> bool {
        let mut state = self.state.lock();
        if self.clock.monotonic() < state.not_before {
            let again = state.not_before;
            return self.waited(&mut state, again);
        }
        match self.fsync {
            Fsync::Always => {
                if state.waiting.is_empty() {
                    self.wake.wait_for(&mut state, LOOK_UP);
                }
                // Also where no sender waits for an answer; and now and then for old files' sake.
                let behind = state.syncer.as_ref().is_some_and(|syncer| syncer.written() > syncer.durable());
                behind || !state.waiting.is_empty() || self.clock.monotonic() >= synced_at + TIDY_EVERY
            }
            Fsync::Every(Span(every)) => self.waited(&mut state, synced_at + every),
            Fsync::Never => self.waited(&mut state, synced_at + TIDY_EVERY),
        }
    }

    /// Waits a moment for this time to come. Returns true if it has.
    fn waited(&self, state: &mut MutexGuard<'_, State>, due: Duration) -> bool {
        let left = due.saturating_sub(self.clock.monotonic());
        if !left.is_zero() {
            self.wake.wait_for(state, left.min(LOOK_UP));
        }
        self.clock.monotonic() >= due
    }

    fn sync(&self) {
        let (syncer, generation) = {
            let state = self.state.lock();
            let Some(syncer) = state.syncer.clone() else { return };
            (syncer, state.generation)
        };
        let started = self.clock.monotonic();
        let synced = match self.fsync {
            Fsync::Never => Ok(syncer.durable()),
            Fsync::Always | Fsync::Every(_) => syncer.sync_log(),
        };
        if self.fsync != Fsync::Never {
            self.metrics.log_fsync.observe((self.clock.monotonic() - started).as_secs_f64());
        }
        self.answer(&synced, generation);
        // After the answers: a snapshot takes longer to sync than the log that senders wait for.
        if synced.is_ok() {
            self.answer(&syncer.tidy().map(|()| syncer.durable()), generation);
        }
    }

    /// Answers what is synced, or fails all that waits.
    fn answer(&self, synced: &Result<OrderNumber, StoreError>, generation: u64) {
        let mut state = self.state.lock();
        if state.generation != generation {
            return;
        }
        match synced {
            Ok(durable) => {
                for (_, awaiting) in state.waiting.extract_if(.., |(end, _)| *end <= *durable) {
                    awaiting.settle();
                }
            }
            // Nothing is harmed: what waits goes on waiting for the next try, and the partition's health says why.
            Err(_) if state.syncer.as_ref().is_some_and(|it| !matches!(it.health(), Health::Failed(_))) => {
                state.not_before = self.clock.monotonic() + LOOK_UP;
            }
            Err(err) => {
                state.syncer = None;
                error!(error = %err, "failed to sync the position log; its partition stores nothing more");
                state.waiting.clear();
            }
        }
    }
}
