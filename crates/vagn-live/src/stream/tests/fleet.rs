//! A fleet of real partitions on a disk in memory, that tells its changes as storages do.

use std::path::Path;
use std::sync::Arc;

use vagn_store::disk::faulty::FaultyDisk;
use vagn_store::{
    Changes, DataDir, Fate, Key, OrderNumber, Partition, Settings, Sighting, Updates, VehicleIdBuf, partition,
};
use vagn_wire::{Position, VehicleId};

use super::{BBox, BEGIN_MS, Fleet, Places, Sight};

pub(super) struct TestFleet {
    pub(super) fleet: Fleet,
    partitions: Vec<Partition>,
    begun: Vec<OrderNumber>,
    /// Number of the latest report.
    reports: u64,
}

impl TestFleet {
    pub(super) fn new(count: u32) -> Self {
        let disk = Arc::new(FaultyDisk::new());
        let mut data = DataDir::open(disk, Path::new("d"), Some(count), 7).unwrap();
        data.prepare(Settings::default(), BEGIN_MS, &|_| {}).unwrap();
        let fleet = Fleet::new(count as usize);
        let open = |number| data.open_partition(number, Settings::default(), BEGIN_MS, &|_| {}).unwrap().0;
        let partitions: Vec<_> = (0..count).map(open).collect();
        for (number, partition) in partitions.iter().enumerate() {
            fleet.set(number, Some(partition.reader()));
        }
        let begun = partitions.iter().map(Partition::end).collect();
        Self { fleet, partitions, begun, reports: 0 }
    }

    /// Stores places of vehicles, in their order. Each report is a second later than the one before.
    pub(super) fn put(&mut self, places: &[(&str, f64, f64)]) -> Vec<Changes> {
        let mut updates = vec![Updates::new(); self.partitions.len()];
        for (id, lat, lon) in places {
            self.reports += 1;
            let id = VehicleIdBuf::from(VehicleId::new(id).unwrap());
            let hash = id.key().hash();
            let sighting = sighting(Position::new(*lat, *lon).unwrap(), self.reports);
            updates[partition(hash, self.partitions.len())].push(id.key(), hash, sighting);
        }
        let mut told = Vec::new();
        for (number, updates) in updates.into_iter().enumerate().filter(|(_, updates)| !updates.is_empty()) {
            let (mut fates, mut moves) = (Vec::new(), Vec::new());
            let written = self.partitions[number].write_and_tell(&updates, &mut fates, &mut moves).unwrap();
            assert!(fates.iter().all(|fate| *fate == Fate::Stored), "{fates:?}");
            told.push(
                Changes::untold(number as u32, self.begun[number], written.end).with_moves(updates, moves),
            );
        }
        told
    }

    pub(super) fn delete(&mut self, id: &str) -> Option<Changes> {
        let id = VehicleIdBuf::from(VehicleId::new(id).unwrap());
        let number = partition(id.key().hash(), self.partitions.len());
        let gone = self.partitions[number].delete(id.key()).unwrap()?;
        let end = self.partitions[number].end();
        Some(Changes::untold(number as u32, self.begun[number], end).with_gone(vec![gone]))
    }

    /// Changes that are not told, as of a write that began before anybody followed.
    pub(super) fn untold(&self) -> Changes {
        Changes::untold(0, self.begun[0], self.partitions[0].end())
    }

    /// Lets it look as if each partition had another writer.
    pub(super) fn begin_anew(&mut self) {
        self.begun = self.partitions.iter().map(Partition::end).collect();
    }

    /// Returns what is in a box.
    pub(super) fn inside(&self, bbox: &BBox) -> Places {
        self.seen(Sight::Exact, bbox)
    }

    /// Returns what is seen in a box.
    pub(super) fn seen(&self, sight: Sight, bbox: &BBox) -> Places {
        let vehicles = sight.bbox(&self.fleet, bbox, 100_000).unwrap();
        let place = |position: Position| (position.lat(), position.lon());
        vehicles.iter().map(|of| (of.id.to_string(), place(of.sighting.position))).collect()
    }

    pub(super) fn has(&self, id: &str) -> bool {
        let id = VehicleIdBuf::from(VehicleId::new(id).unwrap());
        let key: Key<'_> = id.key();
        self.fleet.get(key).unwrap().is_some()
    }
}

fn sighting(position: Position, report: u64) -> Sighting {
    let time_ms = BEGIN_MS + report as i64;
    Sighting {
        position,
        event_time_ms: time_ms,
        receive_time_ms: time_ms,
        receive_seq: report,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: true,
        unsure: false,
    }
}
