//! The pool that answers questions about the live fleet.

use std::sync::Arc;

use vagn_otp::ChildSpec;
use vagn_store::Fleet;

use super::{Keeping, Parts, cores, workers};
use crate::app::WORK_NICE;
use crate::query::{self, AnswerMetrics, NodeShards, Queries};

/// Returns the pool and its child. In a cluster its questions go to all shards.
pub(super) fn build(parts: &Parts, fleet: &Arc<Fleet>, keeping: &Keeping) -> (Queries, ChildSpec) {
    let pools = &parts.settings.pools;
    let workers = workers(pools.query_workers, cores().max(2));
    let queue = pools.query_queue as usize;
    let (queries, child) = query::pool(workers, queue, WORK_NICE, parts.settings.hang_limit.0, fleet.clone());
    match keeping {
        Keeping::Storages(_) => (queries, child),
        Keeping::Cluster(cluster) => {
            let shards = NodeShards::new(cluster.link.clone());
            let metrics = AnswerMetrics::new(&parts.metric_registry);
            (queries.over(Arc::new(shards), metrics), child)
        }
    }
}
