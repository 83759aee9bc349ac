//! Ingest: decodes and checks what arrived, and passes it on to the storage of its partition, or towards its shard in a cluster.
//!
//! A worker keeps no state between batches, so restarting one loses at most the batch it held, and that is counted.

mod changes;
mod division;
mod owed;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};
use vagn_otp::{Addr, PushError, Queue, TellError, Worker};
use vagn_store::Key;
use vagn_wire::Fate;

pub use division::decode;

use crate::cluster::Submission;
use crate::storage::Storage;
use crate::write::Write;
use vagn_flow::batch::Batch;
use vagn_flow::open::open;
use vagn_flow::receipt::ReceiptPart;
use vagn_flow::trust::Trust;

/// Longest a worker waits for room at a storage. Longer, and the partition counts as stalled: what comes for it is shed
/// without waiting until it takes something again, so that the others go on.
const STORAGE_WAIT: Duration = Duration::from_secs(1);

/// A batch on its way to a worker, with the duty to answer for its reports.
pub struct Job {
    batch: Arc<Batch>,
    /// `None` when the sender does not wait for an answer.
    part: Option<ReceiptPart>,
}

impl Job {
    /// Takes over the duty to answer. To be called while the batch is published.
    pub fn new(batch: &Arc<Batch>) -> Self {
        Self { batch: batch.clone(), part: batch.answer_for_reports() }
    }

    /// Sheds a batch that finds no room.
    pub fn shed(self) {
        let Self { batch, part } = self;
        if let Some(share) = batch.take_share() {
            share.settle_rest(Fate::Shed);
        }
        if let Some(mut part) = part {
            part.settle((0..batch.len() as u32).map(|index| (index, Fate::Shed)));
        }
    }
}

/// Where reports go.
pub enum Destination {
    /// To the storages of this machine, by partition.
    Storages(Arc<[Addr<Storage>]>),
    /// To the shards of a cluster, by this queue.
    Cluster(Queue<Submission>),
}

impl Destination {
    /// Returns the number of parts that can stall by themselves.
    fn parts(&self) -> usize {
        match self {
            Self::Storages(storages) => storages.len(),
            Self::Cluster(_) => 1,
        }
    }
}

/// State that the workers share.
pub struct Ingest {
    /// Where they go.
    pub destination: Destination,
    /// Batches whose senders do not wait; the oldest is shed when there are too many.
    pub shed: Queue<Job>,
    /// Batches whose senders wait.
    pub wait: Queue<Job>,
    /// Hears the vehicles' own times while it doubts the clock.
    pub trust: Arc<Trust>,
}

/// One of the workers that decode.
pub struct IngestWorker {
    number: usize,
    ingest: Arc<Ingest>,
    /// By partition: true if its storage had no room for as long as a worker waits.
    stalled: Vec<bool>,
}

impl IngestWorker {
    /// Returns the worker of this number.
    pub fn new(number: usize, ingest: Arc<Ingest>) -> Self {
        let stalled = vec![false; ingest.destination.parts()];
        Self { number, ingest, stalled }
    }
}

impl Worker<Job> for IngestWorker {
    fn handle(&mut self, job: Job) {
        let Job { batch, part } = job;
        let Some(share) = batch.take_share() else {
            warn!("the same batch came twice; dropped the second");
            return;
        };
        let Ingest { destination, shed, wait, trust } = &*self.ingest;
        let queued = shed.len() + wait.len();
        debug!(
            worker = self.number,
            reports = batch.len(),
            door = batch.origin().door,
            queued,
            "took a batch"
        );
        if trust.asks_vehicles() {
            trust.hear(own_times(&batch));
        }
        match destination {
            Destination::Storages(storages) => {
                let writes = decode(&batch, share, part, storages.len());
                drop(batch);
                for ((storage, stalled), write) in storages.iter().zip(&mut self.stalled).zip(writes) {
                    if let Some(write) = write {
                        *stalled = !pass_on(storage, write, *stalled);
                    }
                }
            }
            Destination::Cluster(queue) => {
                let submission = changes::changes(&batch, share, part);
                drop(batch);
                if let (Some(submission), [stalled]) = (submission, &mut *self.stalled) {
                    *stalled = !send_off(queue, submission, *stalled);
                }
            }
        }
    }
}

/// The time of each report that has one of its own, as it was sent, with the hash of its vehicle: what judging would make of it
/// depends on the very clock that is in question.
fn own_times(batch: &Batch) -> impl Iterator<Item = (u64, i64)> {
    let reports = batch.reports().filter_map(|(_, _, bytes)| open(bytes).ok());
    reports.filter_map(|report| Some((Key::of(report.vehicle_id).hash(), report.event_time_ms?)))
}

/// Hands a write to its storage, or sheds it. Returns false when the storage took nothing: it counts as stalled then, so that the
/// next write does not wait for it.
fn pass_on(storage: &Addr<Storage>, write: Write, stalled: bool) -> bool {
    let told = if stalled { storage.try_tell(write) } else { storage.tell_blocking(write, STORAGE_WAIT) };
    match told {
        Ok(()) => true,
        Err(TellError::Full(write)) => {
            if !stalled {
                warn!(
                    storage = storage.name(),
                    "the storage has no room; shedding what comes for it until it has"
                );
            }
            write.settle(Fate::Shed);
            false
        }
        Err(TellError::Down(write)) => {
            warn!(storage = storage.name(), reports = write.updates.len(), "storage is down; a batch failed");
            // Dropped, it counts and answers its reports as failed.
            false
        }
    }
}

/// Hands reports to the courier of the cluster, or sheds them. Returns false when it took nothing, as [`pass_on`].
fn send_off(queue: &Queue<Submission>, submission: Submission, stalled: bool) -> bool {
    let sent =
        if stalled { queue.try_push(submission) } else { queue.push_blocking(submission, STORAGE_WAIT) };
    match sent {
        Ok(()) => true,
        Err(PushError::Full(submission)) => {
            if !stalled {
                warn!("the cluster takes too little; shedding what comes for it until it has room");
            }
            submission.settle(Fate::Shed);
            false
        }
        // Dropped, it counts and answers its reports as failed.
        Err(PushError::Closed(_)) => false,
    }
}
