//! Batches as a door makes them, of a fleet that is the same in every run.

use std::sync::Arc;

use vagn_flow::batch::{Batch, BatchBuilder, Origin, Pressure};
use vagn_flow::metrics::ReportMetrics;
use vagn_flow::open::{reports, sole_report};
use vagn_flow::stamp::Stamp;
use vagn_wire::{Position, Report, VehicleId};

pub(crate) const ORIGIN: Origin = Origin { door: "udp", pressure: Pressure::Shed };

/// One datagram of each vehicle, in the original's layout: all over the globe, and none of them an alarm.
pub(crate) fn datagrams(vehicles: u32) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let datagram = |_| {
        let id = uuid::Uuid::from_u128(random.u128(..)).to_string();
        let vehicle_id = VehicleId::new(&id).expect("36 plain characters");
        let position = Position::new(180.0 * random.f64() - 90.0, 360.0 * random.f64() - 180.0);
        let mut bytes = Vec::new();
        vagn_wire::encode(&Report::new(vehicle_id, position.expect("on the globe")), &mut bytes);
        bytes
    };
    (0..vehicles).map(datagram).collect()
}

/// Seals a batch of these.
pub(crate) fn batch<'a>(
    datagrams: impl Iterator<Item = &'a Vec<u8>>,
    stamp: Stamp,
    metrics: &Arc<ReportMetrics>,
) -> Arc<Batch> {
    let mut builder = BatchBuilder::new(ORIGIN);
    for datagram in datagrams {
        match sole_report(datagram) {
            Some(mark) => builder.push_marked(datagram, mark),
            None => reports(datagram).for_each(|(mark, report)| builder.push_marked(report, mark)),
        }
    }
    builder.seal(stamp, None, metrics)
}
