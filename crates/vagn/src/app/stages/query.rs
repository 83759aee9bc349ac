//! The pool that answers questions about the live fleet.

use std::sync::Arc;

use vagn_otp::ChildSpec;
use vagn_store::Fleet;

use super::{Parts, cores, workers};
use crate::app::WORK_NICE;
use crate::query::{self, Queries};

/// Returns the pool and its child.
pub(super) fn build(parts: &Parts, fleet: &Arc<Fleet>) -> (Queries, ChildSpec) {
    let pools = &parts.settings.pools;
    let workers = workers(pools.query_workers, cores().max(2));
    let queue = pools.query_queue as usize;
    query::pool(workers, queue, WORK_NICE, parts.settings.hang_limit.0, fleet.clone())
}
