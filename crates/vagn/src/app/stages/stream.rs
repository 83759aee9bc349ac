//! The streams of positions, for clients that look at a part of the map.

use std::sync::Arc;

use vagn_live::Positions;
use vagn_live::stream::{self, PositionStreams, StreamMetrics, StreamParts};
use vagn_otp::ChildSpec;
use vagn_store::Fleet;

use super::Parts;
use crate::app::WORK_NICE;

/// Returns the streams and the child that tells their clients.
pub(super) fn build(
    parts: &Parts,
    positions: &Positions,
    fleet: &Arc<Fleet>,
) -> (PositionStreams, ChildSpec) {
    let (streams, child) = stream::streams(StreamParts {
        positions: positions.clone(),
        fleet: fleet.clone(),
        clock: parts.clock.clone(),
        metrics: StreamMetrics::new(&parts.metric_registry),
    });
    (streams, child.nice(WORK_NICE).watchdog(parts.settings.hang_limit.0))
}
