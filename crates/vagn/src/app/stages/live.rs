//! The live map: its keepers, and the tiles.

use std::sync::Arc;

use vagn_emergency::EmergencyHandle;
use vagn_live::{Positions, TileMetrics, TileParts, Tiles};
use vagn_otp::ChildSpec;
use vagn_store::Fleet;

use super::Parts;
use crate::app::VIEW_NICE;
use crate::app::asked::LiveIncidents;

/// Returns the tiles, and the children that keep what they are made of.
pub(super) fn build(
    parts: &Parts,
    positions: &Positions,
    fleet: &Arc<Fleet>,
    emergency: &EmergencyHandle,
) -> (Arc<Tiles>, [ChildSpec; 2]) {
    let of = TileParts {
        positions: positions.clone(),
        fleet: fleet.clone(),
        incidents: Arc::new(LiveIncidents(emergency.clone())),
        clock: parts.clock.clone(),
        metrics: TileMetrics::new(&parts.metric_registry),
    };
    let (tiles, keepers) = Tiles::new(of, VIEW_NICE);
    (tiles, keepers.map(|keeper| keeper.watchdog(parts.settings.hang_limit.0)))
}
