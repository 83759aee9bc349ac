//! Distributes a fleet, its history included, over another number of partitions.
//!
//! The history is written once more through ordinary partitions, in its order and with the outcomes it has: the reports
//! are not judged again, since their beginning is no longer known. Then the last sighting and the count of each vehicle,
//! where the history does not lead there.

use crate::disk::Disk;
use crate::error::StoreError;
use crate::history::{self, Event};
use crate::index::{Held, Marks, Outcome};
use crate::log::reader::LogReader;
use crate::log::segment::Segment;
use crate::partition::recovery::{Recovered, recover};
use crate::partition::site::Site;
use crate::partition::{Partition, Progress, Settings};
use crate::{Key, OrderNumber, Sighting, Updates, VehicleIdBuf, partition};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Updates written at once.
const BATCH: usize = 4_096;

/// Settings with which the new partitions are written.
pub(crate) struct Repartition<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) settings: Settings,
    pub(crate) now_ms: i64,
    pub(crate) progress: &'a dyn Fn(Progress),
}

impl Repartition<'_> {
    /// Writes what is in the partitions `from` to new ones in `to`, durably.
    pub(crate) fn run(&self, from: &[Site], to: &[Site]) -> Result<(), StoreError> {
        let lowest = self.numbers_end(from)?;
        let mut targets = Vec::new();
        for site in to {
            targets.push(Target::new(self.open(lowest, site)?));
        }
        for site in from {
            self.copy(site, &mut targets)?;
        }
        targets.into_iter().try_for_each(|target| target.finish(self.now_ms))
    }

    /// Returns an order number above all that the partitions at `sites` can have given.
    fn numbers_end(&self, sites: &[Site]) -> Result<OrderNumber, StoreError> {
        let mut end = OrderNumber::default();
        for site in sites {
            let first = site.manifest(&**self.disk)?.first;
            let last = Segment::list(&**self.disk, &site.dir)?.pop().map(|segment| segment.start.order);
            let begun = first.max(last.unwrap_or_default());
            end = end.max(begun.span_end());
        }
        Ok(end)
    }

    /// Opens a new partition. It has no bound, so that no vehicle is shed on the way.
    fn open(&self, lowest: OrderNumber, site: &Site) -> Result<Partition, StoreError> {
        let disk = self.disk.clone();
        Ok(Partition::open_at(disk, site, lowest, self.settings, self.now_ms, &|_| {})?.0)
    }

    fn copy(&self, site: &Site, targets: &mut [Target]) -> Result<(), StoreError> {
        let log = LogReader { disk: &**self.disk, dir: &site.dir, partition: site.place.partition };
        let Recovered { table, manifest, .. } = recover(&log, site, self.progress)?;
        history::read(&log, &table, &manifest.segments, &mut |event| match event {
            Event::Written(key, hash, sighting, marks) => {
                target(targets, hash).written(key, hash, sighting, marks, self.now_ms)
            }
            Event::Removed(key) => target(targets, key.hash()).remove(key, self.now_ms),
        })?;
        for held in table.vehicles() {
            target(targets, held.key.hash()).last(&held, self.now_ms)?;
        }
        // The snapshot with which a new partition ends has them: nothing else tells of them.
        for departed in table.departed().behind(None) {
            target(targets, departed.key_hash).partition.add_departed([departed]);
        }
        for target in targets {
            target.partition.merge_stamps(table.stamps());
        }
        Ok(())
    }
}

fn target(targets: &mut [Target], hash: u64) -> &mut Target {
    let number = partition(hash, targets.len());
    &mut targets[number]
}

/// A new partition and the updates on their way there.
struct Target {
    partition: Partition,
    updates: Updates,
    outcomes: Vec<Outcome>,
    /// Vehicles of which something was stored.
    known: HashSet<VehicleIdBuf>,
    /// Late reports from the time before the first position that the history still has of their vehicle.
    early: HashMap<VehicleIdBuf, Vec<(Sighting, Marks)>>,
}

impl Target {
    fn new(partition: Partition) -> Target {
        Target {
            partition,
            updates: Updates::new(),
            outcomes: Vec::new(),
            known: HashSet::new(),
            early: HashMap::new(),
        }
    }

    fn written(
        &mut self,
        key: Key<'_>,
        hash: u64,
        sighting: Sighting,
        marks: Marks,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let id = VehicleIdBuf::of(key);
        if marks.late && !self.known.contains(&id) {
            // A vehicle has no slot before its first position; what it is late behind has left the history.
            self.early.entry(id).or_default().push((sighting, marks));
            return Ok(());
        }
        self.push(key, hash, sighting, Outcome::Written(marks), now_ms)?;
        self.begin(id, hash, now_ms)
    }

    /// Notes that the vehicle is known, and adds what was held back for that.
    fn begin(&mut self, id: VehicleIdBuf, hash: u64, now_ms: i64) -> Result<(), StoreError> {
        if !self.known.insert(id) {
            return Ok(());
        }
        for (sighting, marks) in self.early.remove(&id).unwrap_or_default() {
            self.push(id.key(), hash, sighting, Outcome::Written(marks), now_ms)?;
        }
        Ok(())
    }

    /// Adds the end of a vehicle's history.
    fn last(&mut self, held: &Held<'_>, now_ms: i64) -> Result<(), StoreError> {
        let (id, hash) = (VehicleIdBuf::of(held.key), held.key.hash());
        if !self.known.contains(&id) {
            self.push(held.key, hash, held.sighting, Outcome::Last(held.count), now_ms)?;
            self.begin(id, hash, now_ms)?;
        }
        // Behind its late reports, so that the count ends as it was.
        self.push(held.key, hash, held.sighting, Outcome::Last(held.count), now_ms)
    }

    fn push(
        &mut self,
        key: Key<'_>,
        hash: u64,
        sighting: Sighting,
        outcome: Outcome,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.updates.push(key, hash, sighting);
        self.outcomes.push(outcome);
        if self.updates.len() < BATCH { Ok(()) } else { self.flush(now_ms) }
    }

    fn remove(&mut self, key: Key<'_>, now_ms: i64) -> Result<(), StoreError> {
        self.flush(now_ms)?;
        let id = VehicleIdBuf::of(key);
        self.known.remove(&id);
        if let Some(early) = self.early.remove(&id) {
            self.partition.copy_gone(key, &early)?;
        }
        // After those that wait, in the old order: one of them would bring the vehicle back.
        self.partition.delete(key).map(|_| ())
    }

    fn flush(&mut self, now_ms: i64) -> Result<(), StoreError> {
        if !self.updates.is_empty() {
            self.partition.copy(&self.updates, &self.outcomes)?;
            self.updates.clear();
            self.outcomes.clear();
            self.partition.housekeep(now_ms)?;
            // No thread does it beside: without it files that are no longer needed would pile up.
            self.partition.syncer().tidy()?;
        }
        Ok(())
    }

    /// Ends with a snapshot, so that the next start need not read all of it again.
    fn finish(mut self, now_ms: i64) -> Result<(), StoreError> {
        self.flush(now_ms)?;
        self.partition.snapshot()?;
        self.partition.close().map(|_| ())
    }
}
