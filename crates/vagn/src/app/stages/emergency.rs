//! The emergency lane, on a runtime of its own.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use vagn_emergency::record::standing::Standing;
use vagn_emergency::{
    CensusParts, DESK_DIR, EmergencyHandle, EmergencyMetrics, KnownVehicles, LiveFleet, NodeLane, Seeds,
    census_child,
};
use vagn_flow::batch::Traffic;
use vagn_otp::ChildSpec;
use vagn_store::Fleet;
use vagn_wire::VehicleId;

use super::Parts;
use crate::cluster::NodeOwners;
use crate::door::IsKnown;

/// Longest that a door waits to hear who is known. The fleet's writers let readers in after some 50 µs; a vehicle that is not found in time is
/// looked up again at its next report.
const LOOK_UP_WITHIN: Duration = Duration::from_millis(5);

/// The lane.
pub(super) struct Lane {
    pub(super) incidents: EmergencyHandle,
    /// What the trail's driver needs of it; `None` on one machine.
    pub(super) node: Option<NodeLane>,
    /// Tells the doors who is known.
    pub(super) is_known: IsKnown,
    pub(super) child: ChildSpec,
    /// Keeps on disk who is known.
    pub(super) census: ChildSpec,
}

/// Returns who of the fleet is known. On a node those that it owns count, and no mirrors: a look at the map must not make anybody known.
pub(super) fn known(parts: &Parts, fleet: &Arc<Fleet>) -> LiveFleet {
    let settings = &parts.settings;
    let of = |fleet| {
        LiveFleet::new(fleet, parts.clock.clone(), fastrand::u64(..), settings.emergency.known_after.0)
    };
    match settings.cluster.is_set() {
        true => of(Arc::new(super::cluster::fleet(settings))).seeing(fleet.clone()),
        false => of(fleet.clone()),
    }
}

/// Subscribes the lane to the topic, and returns its handle and its supervisor.
pub(super) fn build(parts: &Parts, traffic: &Traffic, vehicles: &Arc<LiveFleet>) -> anyhow::Result<Lane> {
    let settings = &parts.settings.emergency;
    let is_node = parts.settings.cluster.is_set();
    let is_known = is_known(vehicles.clone());
    let data_dir = if is_node { desk(parts)? } else { parts.settings.data_dir.clone() };
    let census = census(parts, vehicles, data_dir.clone());
    let lane = vagn_emergency::Parts {
        data_dir,
        before: is_node.then(|| parts.settings.data_dir.clone()),
        // What a node lost it has again from the trail.
        part_list: (!is_node).then(|| parts.part_list.clone()),
        targets: settings.targets()?,
        open_max: parts.settings.max_open_incidents as usize,
        per_source_max: settings.strangers_per_source as usize,
        known_after: settings.known_after.0,
        resolve_after: settings.resolve_after.0,
        vehicles: vehicles.clone(),
        seeds: Seeds { ids: fastrand::u64(..), jitter: fastrand::u64(..) },
        clock: parts.clock.clone(),
        trust: parts.trust.clone(),
        metrics: EmergencyMetrics::new(&parts.metric_registry),
        readiness: parts.readiness.clone(),
        replays: parts.reports.seal_replays.clone(),
        hang_limit: parts.settings.hang_limit.0,
        runtime: Some(parts.emergency_runtime.clone()),
    };
    Ok(match is_node {
        true => {
            let (incidents, node, child) =
                vagn_emergency::start_node(traffic, lane, Arc::new(NodeOwners(parts.link.clone())));
            Lane { incidents, node: Some(node), is_known, child, census }
        }
        false => {
            let (incidents, child) = vagn_emergency::start(traffic, lane);
            Lane { incidents, node: None, is_known, child, census }
        }
    })
}

/// Returns the child that keeps on disk who is known. It is of no use to alarms under way, so it is no part of the lane.
fn census(parts: &Parts, vehicles: &Arc<LiveFleet>, data_dir: PathBuf) -> ChildSpec {
    let child = census_child(CensusParts {
        vehicles: vehicles.clone(),
        data_dir,
        every: parts.settings.emergency.known_after.0,
        spare: parts.settings.free_floor_bytes,
        secret: [fastrand::u64(..), fastrand::u64(..)],
        clock: parts.clock.clone(),
        readiness: parts.readiness.clone(),
    });
    child.watchdog(parts.settings.hang_limit.0)
}

fn is_known(vehicles: Arc<LiveFleet>) -> IsKnown {
    Arc::new(move |vehicle_id: VehicleId<'_>| {
        vehicles.standings(&[vehicle_id], LOOK_UP_WITHIN).first() == Some(&Standing::Known)
    })
}

/// Makes the directory of a node's incidents.
fn desk(parts: &Parts) -> anyhow::Result<PathBuf> {
    let dir = parts.settings.data_dir.join(DESK_DIR);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}
