//! The fleet of a single machine: opened for this process alone, and read in slices.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use vagn_cluster::NewChange;
use vagn_flow::clock::Clock;
use vagn_registry::Registry;
use vagn_shard::Payload;
use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, Found, Partition, Reader, Settings, StoreError, VehicleIdBuf, event_time};
use vagn_wire::{Report, VehicleId};

use super::super::super::exit::Coded;
use crate::control::{RegistryFault, read_registry};

/// Rows that are read at once, and so the most vehicles that are sent at once.
const SLICE: u32 = 1_000;

/// The partitions of a data directory. No service starts on it meanwhile.
pub(super) struct OldFleet {
    partitions: Vec<Partition>,
    /// Has the lock.
    data: DataDir,
}

impl OldFleet {
    /// Opens all partitions, as a start does.
    pub(super) fn open(dir: &Path, now_ms: i64) -> anyhow::Result<Self> {
        let data = DataDir::open(Arc::new(RealDisk), dir, None, fastrand::u64(..)).map_err(of_store)?;
        if !data.was_used() {
            return Err(none(dir));
        }
        let settings = Settings { hash_seed: fastrand::u64(..), ..Settings::default() };
        let open =
            |number| data.open_partition(number, settings, now_ms, &|_| ()).map(|(partition, _)| partition);
        let partitions = (0..data.partitions()).map(open).collect::<Result<_, _>>().map_err(of_store)?;
        Ok(Self { partitions, data })
    }

    /// Opens the registry to read it; `None` where there is none.
    pub(super) fn registry(&self, key_file: Option<&Path>) -> Result<Option<Registry>, RegistryFault> {
        let dir = self.data.path();
        match dir.join(Registry::FILE).exists() {
            true => read_registry(dir, &self.data.part_list(), key_file).map(Some),
            false => Ok(None),
        }
    }

    /// Counts the vehicles.
    pub(super) fn vehicles(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.reader().len() as u64).sum()
    }

    /// Returns what reads them all, once.
    pub(super) fn rows(&self, clock: Arc<dyn Clock>) -> Rows {
        let readers = self.partitions.iter().map(Partition::reader).collect();
        Rows { readers, row: 0, clock, ahead: 0 }
    }

    /// Ends, as an orderly stop does.
    pub(super) fn close(self) -> anyhow::Result<()> {
        for partition in self.partitions {
            partition.close().context("close the data directory")?;
        }
        Ok(())
    }
}

/// Says that there is nothing to import.
pub(super) fn none(dir: &Path) -> anyhow::Error {
    let dir = dir.display();
    Coded::usage(format!(
        "{dir} does not have the fleet of a single machine; name the data directory of one with --data-dir"
    ))
    .into()
}

fn of_store(err: StoreError) -> anyhow::Error {
    match err {
        StoreError::InUse { .. } => Coded::unavailable(format!(
            "{err}; stop the service there first, for what it takes during an import would be left behind"
        ))
        .into(),
        err => anyhow::Error::new(err).context("open the data directory"),
    }
}

/// Reads vehicles, and makes reports of their last positions.
pub(super) struct Rows {
    readers: VecDeque<Reader>,
    row: u32,
    clock: Arc<dyn Clock>,
    /// Vehicles so far whose time no shard would take.
    pub(super) ahead: u64,
}

impl Rows {
    /// Returns the next group of reports, never an empty one; `None` after the last.
    pub(super) fn next_group(&mut self) -> Option<Vec<NewChange>> {
        let mut group = Vec::new();
        while group.is_empty() {
            let (reader, now_ms) = (self.readers.front()?, self.clock.now_ms());
            let ahead = &mut self.ahead;
            let has_more = reader.visit_rows(self.row, SLICE, |found| match change(found, now_ms) {
                Some(change) => group.push(change),
                None => *ahead += 1,
            });
            self.row += SLICE;
            if !has_more {
                self.readers.pop_front();
                self.row = 0;
            }
        }
        Some(group)
    }
}

/// Makes a report of a vehicle's last position; `None` where the arrival would stand in for its time, so that a vehicle that was silent
/// would count as seen now, and anew with each import.
fn change(found: &Found<'_>, arrival_ms: i64) -> Option<NewChange> {
    let sighting = &found.sighting;
    let id = VehicleIdBuf::from(found.key);
    let vehicle_id = VehicleId::new(id.as_str()).expect("it was checked before it was stored");
    let report = Report {
        event_time_ms: Some(sighting.event_time_ms),
        speed_mps: sighting.speed_mps,
        heading_deg: sighting.heading_deg,
        ..Report::new(vehicle_id, sighting.position)
    };
    let mut fields = Vec::new();
    Payload::write(&report, None, &mut fields).expect("it has a position");
    let is_own = event_time(&report, arrival_ms).own;
    is_own.then(|| NewChange::Report { vehicle_id: id.as_bytes().to_vec(), arrival_ms, fields })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_store::{Key, Sighting};
    use vagn_wire::Position;

    const NOW_MS: i64 = 1_700_000_000_000;
    const YEAR_MS: i64 = 365 * 86_400_000;

    fn check(event_time_ms: i64, own_time: bool, is_sent: bool) {
        let position = Position::new(59.3, 18.1).unwrap();
        let sighting = Sighting {
            position,
            event_time_ms,
            receive_time_ms: event_time_ms,
            receive_seq: 3,
            seq: Some(9),
            speed_mps: Some(4.0),
            heading_deg: None,
            emergency: true,
            own_time,
            unsure: !own_time,
        };
        let id = VehicleId::new("bus 1").unwrap();
        let found = Found { row: 0, key: Key::of(id), sighting };
        let Some(change) = change(&found, NOW_MS) else { return assert!(!is_sent, "{event_time_ms}") };
        let NewChange::Report { vehicle_id, arrival_ms, fields } = change else { panic!("{change:?}") };
        assert_eq!((vehicle_id.as_slice(), arrival_ms, is_sent), (&b"bus 1"[..], NOW_MS, true));
        let (judged, evidence) = Payload::read(&fields).unwrap().judged(id, NOW_MS, 5);
        let expected = Sighting {
            receive_time_ms: NOW_MS,
            receive_seq: 5,
            seq: None,
            emergency: false,
            own_time: true,
            unsure: false,
            ..sighting
        };
        assert_eq!(judged, expected);
        assert!(evidence.odd.is_empty() && evidence.seal.is_none());
    }

    #[test]
    fn a_position_keeps_its_time_unless_that_is_still_to_come() {
        check(NOW_MS, true, true);
        check(NOW_MS - 60_000, false, true);
        check(NOW_MS - 3 * YEAR_MS, true, true);
        check(NOW_MS + 60_000, true, false);
    }
}
