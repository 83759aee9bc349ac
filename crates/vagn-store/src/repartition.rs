//! Distributes a fleet, its history included, over another number of partitions.
//!
//! The history is written once more through ordinary partitions, in its order; then the last sighting of each vehicle,
//! for those that the history no longer tells of. For the others the rules of order and repeats leave it out.

use crate::disk::Disk;
use crate::error::StoreError;
use crate::history::{self, Event};
use crate::log::reader::LogReader;
use crate::log::segment::Segment;
use crate::partition::recovery::{Recovered, recover};
use crate::partition::site::Site;
use crate::partition::{Partition, Progress, Settings};
use crate::{Key, OrderNumber, Sighting, Updates, partition};
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

    /// Opens a new partition, with bounds that shed or forget no vehicle on the way.
    fn open(&self, lowest: OrderNumber, site: &Site) -> Result<Partition, StoreError> {
        let settings = Settings { max_vehicles: usize::MAX, forget_after_ms: i64::MAX, ..self.settings };
        let disk = self.disk.clone();
        Ok(Partition::open_at(disk, site, lowest, settings, self.now_ms, &|_| {})?.0)
    }

    fn copy(&self, site: &Site, targets: &mut [Target]) -> Result<(), StoreError> {
        let log = LogReader { disk: &**self.disk, dir: &site.dir, partition: site.place.partition };
        let Recovered { table, .. } = recover(&log, site, self.progress)?;
        history::read(&log, &table, &mut |event| match event {
            Event::Stored(key, hash, sighting) => target(targets, hash).see(key, hash, sighting, self.now_ms),
            Event::Removed(key) => target(targets, key.hash()).remove(key, self.now_ms),
        })?;
        for (_, key, hash, sighting) in table.vehicles() {
            target(targets, hash).see(key, hash, sighting, self.now_ms)?;
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
    fates: Vec<crate::Fate>,
}

impl Target {
    fn new(partition: Partition) -> Target {
        Target { partition, updates: Updates::new(), fates: Vec::new() }
    }

    fn see(&mut self, key: Key<'_>, hash: u64, sighting: Sighting, now_ms: i64) -> Result<(), StoreError> {
        self.updates.push(key, hash, sighting);
        if self.updates.len() < BATCH { Ok(()) } else { self.flush(now_ms) }
    }

    fn remove(&mut self, key: Key<'_>, now_ms: i64) -> Result<(), StoreError> {
        self.flush(now_ms)?;
        // After those that wait, in the old order: one of them would bring the vehicle back.
        self.partition.delete(key).map(|_| ())
    }

    fn flush(&mut self, now_ms: i64) -> Result<(), StoreError> {
        if !self.updates.is_empty() {
            self.partition.write(&self.updates, &mut self.fates)?;
            self.updates.clear();
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
