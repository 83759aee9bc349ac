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
use vagn_flow::metrics::MetricRegistry;

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
    pub fn new(registry: &MetricRegistry) -> Self {
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
    /// Longest time for which syncs may fail and what waits for them goes on waiting.
    limit: Duration,
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
    /// Time since which no sync has succeeded, though each harmed nothing and was tried again.
    failing_since: Option<Duration>,
}

impl SyncQueue {
    /// An empty queue. When syncs fail for longer than `limit`, what waits for them has failed too.
    pub fn new(fsync: Fsync, clock: Arc<dyn Clock>, limit: Duration, metrics: SyncMetrics) -> Self {
        Self { fsync, clock, limit, metrics, state: Mutex::default(), wake: Condvar::new() }
    }

    /// Syncs this log from now on. What waits for an earlier one is answered as failed: it may not be on disk.
    pub fn take_over(&self, syncer: Syncer) {
        let mut state = self.state.lock();
        state.syncer = Some(syncer);
        state.generation += 1;
        state.failing_since = None;
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
        if state.syncer.is_none() || self.has_given_up(&state) {
            // The sync that would have covered it has failed already, or will not come for a long time.
            state.waiting.clear();
        }
        self.wake.notify_one();
    }

    /// Returns true when syncs have failed for so long that nothing can be said to be stored; they go on being tried.
    pub fn is_stuck(&self) -> bool {
        self.has_given_up(&self.state.lock())
    }

    fn has_given_up(&self, state: &State) -> bool {
        state.failing_since.is_some_and(|since| self.clock.monotonic() >= since + self.limit)
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
        let tidied = syncer.tidy();
        // Also where the sync failed: what is removed may be the room that it wants. Then its own error is the one to tell.
        if synced.is_ok() {
            self.answer(&tidied.map(|()| syncer.durable()), generation);
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
                state.failing_since = None;
                for (_, awaiting) in state.waiting.extract_if(.., |(end, _)| *end <= *durable) {
                    awaiting.settle();
                }
            }
            // Nothing is harmed: what waits goes on waiting for the next try, for a while, and the partition's health says why.
            Err(_) if state.syncer.as_ref().is_some_and(|it| !matches!(it.health(), Health::Failed(_))) => {
                let now = self.clock.monotonic();
                state.not_before = now + LOOK_UP;
                state.failing_since.get_or_insert(now);
                if self.has_given_up(&state) {
                    state.waiting.clear();
                }
            }
            Err(err) => {
                state.syncer = None;
                error!(error = %err, "failed to sync the position log; its partition stores nothing more");
                state.waiting.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{Write, WritePart};
    use std::path::Path;
    use vagn_flow::clock::ManualClock;
    use vagn_flow::fate::Share;
    use vagn_flow::metrics::ReportMetrics;
    use vagn_flow::receipt::{Answer, Receipt};
    use vagn_store::disk::faulty::FaultyDisk;
    use vagn_store::{Key, Partition, Settings, Sighting, Updates};
    use vagn_wire::{Fate, Position};

    const LIMIT: Duration = Duration::from_secs(10);

    /// Writes one position, and keeps its answer.
    fn write(partition: &mut Partition, queue: &SyncQueue, n: u64) -> Answer {
        let position = Position::new(1.0, 1.0).unwrap();
        let sighting = Sighting {
            position,
            event_time_ms: n as i64,
            receive_time_ms: n as i64,
            receive_seq: n,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: false,
            unsure: false,
        };
        let mut updates = Updates::new();
        updates.push(Key::Text("bus"), Key::Text("bus").hash(), sighting);
        let end = partition.write(&updates, &mut Vec::new()).unwrap().end;
        let (receipt, answer) = Receipt::new(1);
        let part = WritePart { part: receipt.answer_for_reports(1), indices: vec![0] };
        let share = Share::received(&ReportMetrics::new(&MetricRegistry::new()), 1);
        let write = Write { updates, share, answer: Some(part) };
        queue.keep(end, write.count(|_| Fate::Stored).1.unwrap());
        answer
    }

    fn fate(answer: &mut Answer) -> Option<Fate> {
        answer.try_recv().ok().map(|outcomes| outcomes[0].fate)
    }

    #[test]
    fn what_waits_for_a_manifest_that_cannot_be_replaced_fails_after_a_while() {
        let (disk, clock) = (FaultyDisk::new(), Arc::new(ManualClock::at(0)));
        let made = Partition::open(
            Arc::new(disk.clone()),
            Path::new("p"),
            0,
            Settings { free_floor_bytes: 0, ..Settings::default() },
            0,
            &|_| {},
        );
        let (mut partition, _) = made.unwrap();
        let metrics = SyncMetrics::new(&MetricRegistry::new());
        let queue = SyncQueue::new(Fsync::Always, clock.clone(), LIMIT, metrics);
        queue.take_over(partition.syncer());
        // The first sync names the segment, and there is no room for that.
        disk.fail_next_with_errno("rename", libc::EDQUOT, u32::MAX);
        let mut first = write(&mut partition, &queue, 1);
        queue.sync();
        clock.advance(LIMIT / 2);
        queue.sync();
        assert_eq!((fate(&mut first), queue.is_stuck()), (None, false), "it waits for the next try");
        clock.advance(LIMIT / 2);
        queue.sync();
        assert_eq!((fate(&mut first), queue.is_stuck()), (Some(Fate::Failed), true));
        let mut second = write(&mut partition, &queue, 2);
        assert_eq!(fate(&mut second), Some(Fate::Failed), "nothing more is kept waiting");
        disk.fail_next_with_errno("rename", 0, 0);
        queue.sync();
        let mut third = write(&mut partition, &queue, 3);
        queue.sync();
        assert_eq!((fate(&mut third), queue.is_stuck()), (Some(Fate::Stored), false));
    }
}
