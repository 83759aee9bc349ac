//! The emergency lane, on a runtime of its own.

use std::sync::Arc;

use vagn_emergency::{EmergencyHandle, EmergencyMetrics, LiveFleet, Seeds};
use vagn_flow::batch::Traffic;
use vagn_otp::ChildSpec;
use vagn_store::Fleet;

use super::Parts;

/// Subscribes the lane to the topic, and returns its handle and its supervisor.
pub(super) fn build(
    parts: &Parts,
    traffic: &Traffic,
    fleet: &Arc<Fleet>,
) -> anyhow::Result<(EmergencyHandle, ChildSpec)> {
    let settings = &parts.settings.emergency;
    let clock = parts.clock.clone();
    let vehicles = LiveFleet::new(fleet.clone(), clock, fastrand::u64(..), settings.known_after.0);
    let lane = vagn_emergency::Parts {
        data_dir: parts.settings.data_dir.clone(),
        part_list: Some(parts.part_list.clone()),
        targets: settings.targets()?,
        open_max: parts.settings.max_open_incidents as usize,
        per_source_max: settings.strangers_per_source as usize,
        resolve_after: settings.resolve_after.0,
        vehicles: Arc::new(vehicles),
        seeds: Seeds { ids: fastrand::u64(..), jitter: fastrand::u64(..) },
        clock: parts.clock.clone(),
        trust: parts.trust.clone(),
        metrics: EmergencyMetrics::new(&parts.metric_registry),
        readiness: parts.readiness.clone(),
        replays: parts.reports.seal_replays.clone(),
        hang_limit: parts.settings.hang_limit.0,
        runtime: Some(parts.emergency_runtime.clone()),
    };
    Ok(vagn_emergency::start(traffic, lane))
}
