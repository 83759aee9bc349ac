//! Rows of the fleet, and a look at them.

use vagn_store::{Reader, Sight, Vehicle, VehicleIdBuf};

/// Rows looked at under one lock, which a writer waits for.
const SEEN_AT_ONCE: usize = 256;

/// A row of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FleetRow {
    pub(super) partition: u32,
    pub(super) row: u32,
}

/// Returns the vehicles that are in these rows now, as they are seen. Rows are best sorted: each partition is then asked as seldom as can be.
pub(super) fn see(readers: &[Reader], rows: &[FleetRow], sight: Sight) -> Vec<Vehicle> {
    let mut vehicles = Vec::with_capacity(rows.len());
    for of_partition in rows.chunk_by(|one, next| one.partition == next.partition) {
        let Some(reader) = readers.get(of_partition[0].partition as usize) else { continue };
        for some in of_partition.chunks(SEEN_AT_ONCE) {
            let rows: Vec<u32> = some.iter().map(|of| of.row).collect();
            reader.visit_these(&rows, |found| {
                let sighting = sight.sighting(found.sighting);
                vehicles.push(Vehicle { id: VehicleIdBuf::from(found.key), sighting });
            });
        }
    }
    vehicles
}
