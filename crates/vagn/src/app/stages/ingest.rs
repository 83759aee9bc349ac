//! The pool that decodes, with its two subscriptions to the topic.

use std::sync::Arc;

use vagn_flow::batch::{Batch, Pressure, Traffic};
use vagn_otp::{ChildSpec, Policy, Pool, Queue, QueueSubscriber};

use super::{DRAIN_WITHIN, Keeping, Parts, cores, workers};
use crate::app::WORK_NICE;
use crate::ingest::{Destination, Ingest, IngestWorker, Job};

/// Returns the pool. It has two queues, served fairly: batches whose senders do not wait are shed when theirs is full, the
/// others are waited for.
pub(super) fn build(parts: &Parts, traffic: &Traffic, keeping: &Keeping) -> ChildSpec {
    let pools = &parts.settings.pools;
    let shed: Queue<Job> = Queue::new(pools.shed_queue as usize);
    let wait: Queue<Job> = Queue::new(pools.wait_queue as usize);
    let shedding = subscriber(&shed, Policy::DropOldest, Pressure::Shed);
    traffic.subscribe("ingest-shed", shedding);
    let waiting = subscriber(&wait, Policy::Wait, Pressure::Wait);
    traffic.subscribe("ingest-wait", waiting);
    let ingest = Arc::new(Ingest {
        destination: destination(keeping),
        shed: shed.clone(),
        wait: wait.clone(),
        trust: parts.trust.clone(),
    });
    let (_, child) = Pool::builder("ingest")
        .workers(workers(pools.ingest_workers, cores() / 2))
        .lane("shed", &shed)
        .lane("wait", &wait)
        .nice(WORK_NICE)
        .shutdown(DRAIN_WITHIN)
        .watchdog(parts.settings.hang_limit.0)
        .child(move |number| IngestWorker::new(number, ingest.clone()));
    child
}

fn destination(keeping: &Keeping) -> Destination {
    match keeping {
        Keeping::Storages(storages) => Destination::Storages(storages.clone()),
        Keeping::Cluster(cluster) => Destination::Cluster(cluster.reports.clone()),
    }
}

fn subscriber(queue: &Queue<Job>, policy: Policy, pressure: Pressure) -> QueueSubscriber<Arc<Batch>, Job> {
    let select = move |batch: &Arc<Batch>| (batch.origin().pressure == pressure).then(|| Job::new(batch));
    QueueSubscriber::new(queue, policy, select).on_drop(Job::shed)
}
