//! Writes vehicles that others have kept into new partitions, as they are: the last position of each, and the count of its numbers.
//! Of sealed vehicles that left, their counts.
//!
//! Nothing is judged again: what was stored elsewhere is stored here, with the times at which it happened and arrived there.

use crate::disk::Disk;
use crate::error::StoreError;
use crate::index::Outcome;
use crate::partition::site::Site;
use crate::partition::{Partition, Settings};
use crate::{OrderNumber, Reader, Updates, partition};
use std::sync::Arc;

/// Rows that are read at once.
const SLICE: u32 = 4_096;

/// Circumstances of an adoption.
pub(crate) struct Adoption<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) settings: Settings,
    pub(crate) now_ms: i64,
    /// Told how many vehicles were written so far.
    pub(crate) progress: &'a dyn Fn(u64),
}

impl Adoption<'_> {
    /// Writes all vehicles to new partitions, durably, and returns their number. A vehicle must be with one reader alone.
    pub(crate) fn run(&self, readers: &[Reader], to: &[Site]) -> Result<u64, StoreError> {
        let mut targets = to.iter().map(|site| self.open(site)).collect::<Result<Vec<_>, _>>()?;
        let mut written = 0;
        for reader in readers {
            let (mut row, mut is_more) = (0, true);
            while is_more {
                is_more = reader.visit_held(row, SLICE, |held| {
                    let hash = held.key.hash();
                    let at = partition(hash, targets.len());
                    let Target { updates, outcomes, .. } = &mut targets[at];
                    updates.push(held.key, hash, held.sighting);
                    outcomes.push(Outcome::Last(held.count));
                });
                row += SLICE;
                for target in &mut targets {
                    written += target.flush(self.now_ms)?;
                }
                (self.progress)(written);
            }
            adopt_departed(reader, &mut targets);
        }
        targets.into_iter().try_for_each(Target::finish)?;
        Ok(written)
    }

    /// Opens a new partition. It has no bound, so that no vehicle is shed on the way.
    fn open(&self, site: &Site) -> Result<Target, StoreError> {
        let (disk, lowest) = (self.disk.clone(), OrderNumber::default());
        let (partition, _) = Partition::open_at(disk, site, lowest, self.settings, self.now_ms, &|_| {})?;
        Ok(Target { partition, updates: Updates::new(), outcomes: Vec::new() })
    }
}

/// Takes the counts of sealed vehicles that left over. The snapshot with which a new partition ends has them.
fn adopt_departed(reader: &Reader, targets: &mut [Target]) {
    let mut last = None;
    loop {
        let departed = reader.departed(last, SLICE as usize);
        let Some(newest) = departed.last() else { return };
        last = Some(newest.at());
        for one in departed {
            targets[partition(one.key_hash, targets.len())].partition.add_departed([one]);
        }
    }
}

/// A new partition and the vehicles on their way there.
struct Target {
    partition: Partition,
    updates: Updates,
    outcomes: Vec<Outcome>,
}

impl Target {
    fn flush(&mut self, now_ms: i64) -> Result<u64, StoreError> {
        if self.updates.is_empty() {
            return Ok(0);
        }
        let written = self.partition.copy(&self.updates, &self.outcomes)?;
        self.updates.clear();
        self.outcomes.clear();
        self.partition.housekeep(now_ms)?;
        // No thread does it beside: without it files that are no longer needed would pile up.
        self.partition.syncer().tidy()?;
        Ok(written.stored as u64)
    }

    /// Ends with a snapshot, so that the first start need not read all of the log.
    fn finish(mut self) -> Result<(), StoreError> {
        self.partition.snapshot()?;
        self.partition.close().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::faulty::{Fault, FaultyDisk, Loss};
    use crate::judge::Count;
    use crate::{DataDir, Evidence, Fate, Key, KeyTag, Roster, Seal, Sighting, VehicleIdBuf};
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::path::Path;
    use vagn_wire::Position;

    const NOW: i64 = 1_800_000_000_000;
    const VEHICLES: u64 = 40;

    /// Sealed vehicles of the first shard that left.
    const LEFT: [u64; 4] = [40, 44, 46, 50];

    type Content = BTreeMap<String, (Sighting, Count)>;

    fn dir() -> &'static Path {
        Path::new("data")
    }

    fn settings() -> Settings {
        Settings { segment_bytes: 12 * 80, snapshot_records: 8, free_floor_bytes: 0, ..Settings::default() }
    }

    fn sighting(number: u64) -> Sighting {
        Sighting {
            position: Position::new(1.0 + number as f64 / 100.0, 18.5).unwrap(),
            event_time_ms: NOW + number as i64,
            receive_time_ms: NOW + 2 * number as i64,
            // As a cluster gives them.
            receive_seq: (NOW as u64) * 1_000_000 + (number << 12),
            seq: (!number.is_multiple_of(3)).then_some(100 + number),
            speed_mps: number.is_multiple_of(2).then_some(3.5),
            heading_deg: number.is_multiple_of(5).then_some(359.0),
            emergency: number == 7,
            own_time: number.is_multiple_of(4),
            unsure: number == 9,
        }
    }

    fn evidence(number: u64) -> Evidence {
        let seal = number.is_multiple_of(2).then(|| Seal { key: KeyTag::of_key_id([7; 8]), more: false });
        Evidence { seal: seal.filter(|_| sighting(number).seq.is_some()), ..Evidence::default() }
    }

    fn updates(numbers: impl Iterator<Item = u64>) -> Updates {
        let mut updates = Updates::new();
        for number in numbers {
            let id = format!("bus-{number}");
            let key = Key::Text(&id);
            updates.push_with(key, key.hash(), sighting(number), evidence(number));
        }
        updates
    }

    /// Returns two shards, each with every other vehicle.
    fn shards() -> Vec<Roster> {
        let shard = |first| {
            let mut roster = Roster::new(5);
            let mut fates = Vec::new();
            roster.write(&updates((first..VEHICLES).step_by(2)), &mut fates);
            let left = LEFT.into_iter().filter(|_| first == 0);
            roster.write(&updates(left.clone()), &mut fates);
            assert!(fates.iter().all(|fate| *fate == Fate::Stored), "{fates:?}");
            for number in left {
                roster.delete(Key::Text(&format!("bus-{number}"))).unwrap();
            }
            roster
        };
        vec![shard(0), shard(1)]
    }

    fn content(readers: &[Reader]) -> Content {
        let mut content = Content::new();
        for reader in readers {
            reader.visit_held(0, u32::MAX, |held| {
                let id = VehicleIdBuf::from(held.key).as_str().to_owned();
                assert!(content.insert(id, (held.sighting, held.count)).is_none(), "it is there twice");
            });
        }
        content
    }

    fn adopt(disk: Arc<dyn Disk>, readers: &[Reader]) -> Result<u64, StoreError> {
        let told = RefCell::new(Vec::new());
        let mut data = DataDir::open(disk, dir(), Some(3), 7)?;
        let written = data.adopt(readers, settings(), NOW, &|written| told.borrow_mut().push(written))?;
        assert_eq!(told.borrow().last(), Some(&written));
        Ok(written)
    }

    fn open(disk: Arc<dyn Disk>) -> Result<Vec<Partition>, StoreError> {
        let data = DataDir::open(disk, dir(), None, 8)?;
        (0..data.partitions()).map(|at| Ok(data.open_partition(at, settings(), NOW, &|_| {})?.0)).collect()
    }

    fn readers(partitions: &[Partition]) -> Vec<Reader> {
        partitions.iter().map(Partition::reader).collect()
    }

    #[test]
    fn vehicles_are_as_they_were_and_so_is_what_decides_about_their_next_reports() {
        let mut rosters = shards();
        let shards: Vec<_> = rosters.iter().map(Roster::reader).collect();
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new());
        assert_eq!(adopt(disk.clone(), &shards).unwrap(), VEHICLES);
        let (whole, mut replays) = (content(&shards), 0);
        // From the files alone, and once more behind the snapshots of the first opening.
        for _ in 0..2 {
            let mut partitions = open(disk.clone()).unwrap();
            assert_eq!(partitions.len(), 3);
            assert!(content(&readers(&partitions)) == whole, "it is as it was");
            for number in (0..VEHICLES).chain(LEFT) {
                let again = updates(number..number + 1);
                let at = partition(again.get(0).unwrap().hash, partitions.len());
                let (mut fates, mut there) = (Vec::new(), Vec::new());
                partitions[at].write(&again, &mut fates).unwrap();
                let roster = &mut rosters[number as usize % 2];
                roster.write(&again, &mut there);
                assert_eq!(fates, there, "{number}");
                assert_eq!(partitions[at].replays(), roster.replays(), "{number}");
                replays += roster.replays();
            }
            assert!(content(&readers(&partitions)).len() as u64 == VEHICLES, "those that left are not back");
            for partition in partitions {
                partition.close().unwrap();
            }
        }
        assert!(replays > 10, "{replays}");
        let refused = adopt(disk, &shards).unwrap_err();
        assert!(matches!(refused, StoreError::Used { .. }), "{refused}");
    }

    #[test]
    fn wherever_it_is_cut_off_there_is_nothing_or_all_and_it_can_be_done_again() {
        let shards: Vec<_> = shards().iter().map(Roster::reader).collect();
        let whole = content(&shards);
        let (mut none, mut all) = (0, 0);
        for operation in 0.. {
            let disk = FaultyDisk::new();
            disk.fail_at(operation, Fault::Crash { bytes: 7 });
            let adopted = adopt(Arc::new(disk.clone()), &shards);
            for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(operation)] {
                let found: Arc<dyn Disk> = Arc::new(disk.restart(loss));
                let partitions = open(found.clone()).unwrap();
                let found_there = content(&readers(&partitions));
                let is_whole = found_there == whole;
                assert!(is_whole || (found_there.is_empty() && adopted.is_err()), "at {operation}, {loss:?}");
                drop(partitions);
                *(if is_whole { &mut all } else { &mut none }) += 1;
                let again: Arc<dyn Disk> = Arc::new(disk.restart(loss));
                match adopt(again.clone(), &shards) {
                    Ok(written) => assert_eq!(written, VEHICLES),
                    Err(StoreError::Used { .. }) if is_whole => {}
                    Err(err) => panic!("at {operation}, {loss:?}: {err}"),
                }
                assert!(content(&readers(&open(again).unwrap())) == whole, "at {operation}, {loss:?}");
            }
            if adopted.is_ok() {
                break;
            }
        }
        assert!(none > 100 && all > 1, "{none} and {all}");
    }
}
