//! The data directory: locked for one process, and laid out for a number of partitions.
//!
//! ```text
//! manifest           the set in force, other sets, and which other parts must be there
//! lock               names the pid of the process that works here
//! fleet-1/0/         manifest, log and snapshots of partition 0 in set 1
//! removing-1-…/      a set on its way out
//! kept-fleet-1/      what was found in a set that was removed, and was not written by it
//! ```
//! When the number of partitions changes, a new set is made beside the old one, and put in force by replacing the manifest. A
//! crash leaves the one or the other. The old set is removed once every partition of the new one has been opened. Nothing
//! is removed that does not say of itself that it is what the manifest takes it for.

pub(crate) mod begin;
pub(crate) mod leftovers;
mod part_list;

pub use part_list::PartList;

use crate::adopt::Adoption;
use crate::backup::RESTORING;
use crate::disk::{Disk, DiskLock, read_all};
use crate::error::{Doing, StoreError};
use crate::manifest::SetId;
use crate::manifest::partition::PartitionManifest;
use crate::manifest::top::{PartitionSet, TopManifest};
use crate::partition::site::Site;
use crate::partition::{Partition, Progress, Recovery, Settings};
use crate::repartition::Repartition;
use crate::syncer::Shared;
use crate::{OrderNumber, Reader};
use parking_lot::Mutex;
use part_list::Top;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// Name of the file that names the process which has the directory.
pub(crate) const LOCK: &str = "lock";

/// A data directory that this process has for itself until it and its [`PartList`]s are dropped.
pub struct DataDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    top: Arc<Top>,
    /// The set that holds the fleet.
    in_force: PartitionSet,
    /// Number of partitions asked for.
    wanted: u32,
    /// Draws the ids of new sets.
    chance: u64,
    /// Last writer of each partition.
    writers: Mutex<HashMap<u32, Weak<Shared>>>,
    /// Partitions of the set in force that were opened.
    proven: Mutex<BTreeSet<u32>>,
}

impl DataDir {
    /// Opens the data directory, creating it when it is missing, for `partitions` partitions; `None` takes as
    /// many as there are, or one in a new directory. Reads no partition. `chance` is any random number: it tells this
    /// directory from others.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it; [`StoreError::Format`] when another version wrote
    /// it; [`StoreError::Missing`], [`StoreError::RolledBack`], [`StoreError::Corrupt`] or [`StoreError::Io`] when its manifest
    /// is not there, is not the newest, or cannot be read.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        partitions: Option<u32>,
        chance: u64,
    ) -> Result<DataDir, StoreError> {
        disk.create_dir(dir).doing("create", dir)?;
        let lock = take_lock(&*disk, dir)?;
        let wanted = partitions.map(|partitions| partitions.max(1));
        let (manifest, in_force) = begin::manifest(&*disk, dir, wanted.unwrap_or(1), chance)?;
        Ok(DataDir {
            top: Arc::new(Top::new(disk.clone(), dir, manifest, lock)),
            disk,
            dir: dir.to_owned(),
            in_force,
            wanted: wanted.unwrap_or(in_force.partitions),
            chance,
            writers: Mutex::default(),
            proven: Mutex::default(),
        })
    }

    /// Returns the number of partitions, as it is once [`DataDir::prepare`] is done.
    pub fn partitions(&self) -> u32 {
        self.wanted
    }

    /// Returns false when [`DataDir::prepare`] has work to do.
    pub fn is_prepared(&self) -> bool {
        self.in_force.partitions == self.wanted
    }

    /// Returns true if a partition in it was ever opened.
    pub fn was_used(&self) -> bool {
        !self.top.manifest().opened.is_empty()
    }

    /// Returns the list of the parts beside the partitions that must be there.
    pub fn part_list(&self) -> PartList {
        PartList::new(self.top.clone())
    }

    /// Returns the directories of sets that are not in force: of those that are to go once all partitions were opened, and of
    /// those that are not known here. Nothing uses them.
    pub fn other_sets(&self) -> Vec<PathBuf> {
        let names = self.disk.list(&self.dir).unwrap_or_default();
        let others = names
            .iter()
            .filter(|name| PartitionSet::number_of(name).is_some_and(|it| it != self.in_force.number));
        others.map(|name| self.dir.join(name)).collect()
    }

    /// Distributes what there is, history included, over the number of partitions wanted. To be called before
    /// any partition is opened; does nothing when the number has not changed. Reads and writes all of the
    /// history, and needs twice the space until all partitions have been opened.
    ///
    /// # Errors
    /// As [`Partition::open`] and [`Partition::write`]. The old partitions are in force then as before, and what was made of
    /// the new ones is removed, now or by the next try.
    pub fn prepare(
        &mut self,
        settings: Settings,
        now_ms: i64,
        progress: &dyn Fn(Progress),
    ) -> Result<(), StoreError> {
        if self.is_prepared() {
            return Ok(());
        }
        // It is tried again every few seconds: a copy of the fleet left behind by each try would fill the disk.
        leftovers::remove_unfinished(&*self.disk, &self.dir, &self.top)?;
        self.make(|data, to| {
            let old = Site::all(&data.dir, data.in_force, true);
            let old: Vec<_> = old.into_iter().map(|site| data.at_its_time(site)).collect();
            Repartition { disk: &data.disk, settings, now_ms, progress }.run(&old, to)
        })
    }

    /// Fills a directory in which no partition was ever opened with the vehicles of these readers, which must not change meanwhile, and
    /// returns their number. All that is kept of them is taken as it is, the counts of their numbers too. Until all of them are there,
    /// durably, the directory has none. `progress` is told how many were written so far.
    ///
    /// # Errors
    /// [`StoreError::Used`] when a partition was opened there; else as [`Partition::open`] and [`Partition::write`], and the directory
    /// has no vehicles then.
    pub fn adopt(
        &mut self,
        readers: &[Reader],
        settings: Settings,
        now_ms: i64,
        progress: &dyn Fn(u64),
    ) -> Result<u64, StoreError> {
        if self.was_used() {
            return Err(StoreError::Used { dir: self.dir.clone() });
        }
        self.make(|data, to| Adoption { disk: &data.disk, settings, now_ms, progress }.run(readers, to))
    }

    /// Makes the set of as many partitions as are wanted, and puts it in force once it is filled.
    fn make<T>(
        &mut self,
        fill: impl FnOnce(&Self, &[Site]) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.try_make(fill).inspect_err(|_| {
            // What cannot be removed now is removed by the next try, or at the next start.
            let _later = leftovers::remove_unfinished(&*self.disk, &self.dir, &self.top);
        })
    }

    fn try_make<T>(
        &mut self,
        fill: impl FnOnce(&Self, &[Site]) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let number = leftovers::next_number(&*self.disk, &self.dir, &self.top.manifest())?;
        let next = PartitionSet { number, id: SetId::draw(self.chance, number), partitions: self.wanted };
        self.top.change(|manifest| {
            // One that is not what the manifest takes it for, and so was not removed.
            manifest.superseded.extend(manifest.making.replace(next));
        })?;
        let new = Site::all(&self.dir, next, false);
        new.iter().try_for_each(|site| site.begin(&*self.disk))?;
        let filled = fill(self, &new)?;
        // From here on the new set is in force, at once and whole: a crash before leaves the old one, a crash after the
        // new one.
        self.top.change(|manifest| {
            manifest.making = None;
            // Each was opened once, to be filled.
            manifest.opened = (0..next.partitions).map(|partition| (partition, 1)).collect();
            manifest.superseded.extend(manifest.in_force.replace(next));
        })?;
        self.in_force = next;
        Ok(filled)
    }

    /// Opens one partition; see [`Partition::open`]. Different ones may be opened beside each other, once
    /// [`DataDir::prepare`] is done. An earlier writer of the same partition that is still there, because its
    /// thread hangs, can do nothing more from here on.
    ///
    /// # Errors
    /// As [`Partition::open`]; [`StoreError::Missing`] when it is not there; [`StoreError::Misplaced`] when another one stands
    /// in its place; [`StoreError::Earlier`] or [`StoreError::RolledBack`] when it or the manifest of the data directory is a
    /// copy from before.
    pub fn open_partition(
        &self,
        number: u32,
        settings: Settings,
        now_ms: i64,
        progress: &dyn Fn(Progress),
    ) -> Result<(Partition, Recovery), StoreError> {
        let earlier = self.writers.lock().remove(&number);
        if let Some(writer) = earlier.and_then(|writer| writer.upgrade()) {
            // A thread that hangs may wake after its successor has read the log. A record that it then wrote would look
            // like damage at the next start.
            writer.retire();
        }
        let site = self.at_its_time(Site::of_set(&self.dir, self.in_force, number, true));
        let opened = site.opened.map_or(0, |before| before + 1);
        let lowest = OrderNumber::default();
        let partition = Partition::open_at(self.disk.clone(), &site, lowest, settings, now_ms, progress)?;
        // Before anything is stored: from here on the partition as it was before is from an earlier time.
        self.top.change(|manifest| {
            manifest.opened.insert(number, opened.max(manifest.opened(number)));
        })?;
        // Weak: a writer that is gone needs no fence, and is not kept alive by it.
        self.writers.lock().insert(number, partition.0.fence());
        self.prove(number);
        Ok(partition)
    }

    /// Returns the site of a partition in force with the number of times that it must have been opened.
    fn at_its_time(&self, mut site: Site) -> Site {
        site.opened = Some(self.top.manifest().opened(site.place.partition));
        site
    }

    /// Notes that a partition could be opened. When all were, the set is proven, and those before may go.
    fn prove(&self, number: u32) {
        let mut proven = self.proven.lock();
        proven.insert(number);
        if self.is_prepared() && proven.len() == self.in_force.partitions as usize {
            // What cannot be removed now is tried again at the next start, and is shown as another set until then.
            let _later = leftovers::remove_superseded(&*self.disk, &self.dir, &self.top);
        }
    }

    /// Returns the set that holds the fleet.
    pub(crate) fn in_force(&self) -> PartitionSet {
        self.in_force
    }

    pub(crate) fn top_manifest(&self) -> TopManifest {
        self.top.manifest()
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// Returns what the writer of a partition shares, while there is one.
    pub(crate) fn writer(&self, partition: u32) -> Option<Arc<Shared>> {
        self.writers.lock().get(&partition)?.upgrade()
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

/// Refuses a directory that is not to be used, before anything in it is touched: one of a newer version, and one that is being
/// restored.
fn check_untouched(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    if disk.open(&dir.join(RESTORING)).is_ok() {
        return Err(StoreError::Restoring { dir: dir.to_owned() });
    }
    // What else is wrong is told by those who read it.
    let top = only_format(TopManifest::read(disk, dir))?.flatten();
    let sets = top.into_iter().flat_map(|top| top.in_force.into_iter().chain(top.making));
    for set in sets {
        for partition in 0..set.partitions {
            only_format(PartitionManifest::read(disk, &set.partition_dir(dir, partition)))?;
        }
    }
    Ok(())
}

/// Returns what was read; an error only where it is of another format.
fn only_format<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(err @ StoreError::Format { .. }) => Err(err),
        read => Ok(read.ok()),
    }
}

/// Takes the directory for this process alone.
pub(crate) fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, StoreError> {
    check_untouched(disk, dir)?;
    let told = dir.join(LOCK);
    disk.lock(dir, &told).or_else(|err| {
        if err.kind() != io::ErrorKind::WouldBlock {
            return Err(err).doing("lock", &told);
        }
        let said = disk.open(&told).and_then(|file| read_all(&*file)).unwrap_or_default();
        // It may be missing: the owner writes it after it has the lock.
        let pid = str::from_utf8(&said).ok().and_then(|pid| pid.trim().parse().ok());
        Err(StoreError::InUse { dir: dir.to_owned(), pid })
    })
}
