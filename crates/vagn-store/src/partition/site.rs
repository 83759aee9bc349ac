//! The site of a partition: its directory, and what the manifests say of it.

use crate::disk::Disk;
use crate::error::{Doing, StoreError};
use crate::log::segment::Segment;
use crate::manifest::FILE;
use crate::manifest::partition::{PartitionManifest, Place};
use crate::manifest::top::{PartitionSet, TopManifest};
use crate::snapshot::Snapshot;
use std::path::{Path, PathBuf};

/// Directory in which a partition must be, or may be begun.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) place: Place,
    /// Its set is in force: what it stores is answered for.
    pub(crate) in_force: bool,
    /// Number of times that it was opened to write, as the data directory's manifest has it; none where that is not asked.
    pub(crate) opened: Option<u64>,
    /// Manifest that says that the partition must be there; none where it may be begun.
    named_by: Option<PathBuf>,
}

impl Site {
    /// The site of a partition that belongs to no data directory, and is begun where there is none.
    pub(crate) fn alone(dir: &Path, partition: u32) -> Site {
        let place = Place { number: 0, set: Default::default(), partition, partitions: partition + 1 };
        Site { dir: dir.to_owned(), place, in_force: true, opened: None, named_by: None }
    }

    /// The site of a partition of `set` in the data directory `dir`.
    pub(crate) fn of_set(dir: &Path, set: PartitionSet, partition: u32, in_force: bool) -> Site {
        let place = Place { number: set.number, set: set.id, partition, partitions: set.partitions };
        let named_by = Some(TopManifest::file(dir));
        Site { dir: set.partition_dir(dir, partition), place, in_force, opened: None, named_by }
    }

    /// Returns the sites of all partitions of `set`.
    pub(crate) fn all(dir: &Path, set: PartitionSet, in_force: bool) -> Vec<Site> {
        (0..set.partitions).map(|partition| Site::of_set(dir, set, partition, in_force)).collect()
    }

    /// Makes the directory, with a manifest, unless that was done before.
    pub(crate) fn begin(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        disk.create_dir(&self.dir).doing("create", &self.dir)?;
        match PartitionManifest::read(disk, &self.dir)? {
            Some(manifest) if manifest.place == self.place => Ok(()),
            Some(_) => Err(self.misplaced()),
            None => PartitionManifest::new(self.place, false).write(disk, &self.dir),
        }
    }

    /// Returns the manifest of the partition, or a new one where the partition may be begun.
    pub(crate) fn manifest(&self, disk: &dyn Disk) -> Result<PartitionManifest, StoreError> {
        match PartitionManifest::read(disk, &self.dir)? {
            Some(manifest) if manifest.place == self.place => {
                self.check_time(&manifest)?;
                Ok(manifest)
            }
            Some(_) => Err(self.misplaced()),
            None => self.begun_now(disk),
        }
    }

    /// Checks that neither the partition nor the manifest that counts its openings is a copy from before.
    fn check_time(&self, manifest: &PartitionManifest) -> Result<(), StoreError> {
        let (Some(counted), Some(counter)) = (self.opened, self.named_by.clone()) else { return Ok(()) };
        if manifest.opened < counted {
            let (partition, opened) = (self.dir.clone(), manifest.opened);
            return Err(StoreError::Earlier { partition, opened, manifest: counter, counted });
        }
        // One more is what a crash leaves in the middle of an opening, and nothing was stored in it.
        if manifest.opened > counted + 1 {
            return Err(StoreError::RolledBack {
                manifest: counter,
                newer: PartitionManifest::file(&self.dir),
            });
        }
        Ok(())
    }

    fn begun_now(&self, disk: &dyn Disk) -> Result<PartitionManifest, StoreError> {
        if let Some(manifest) = self.named_by.clone() {
            // A directory that is empty is most likely the place of a volume that is not mounted.
            let there = disk.list(&self.dir).is_ok_and(|names| !names.is_empty());
            let file = if there { self.dir.join(FILE) } else { self.dir.clone() };
            return Err(StoreError::Missing { file, manifest });
        }
        disk.create_dir(&self.dir).doing("create", &self.dir)?;
        let is_new =
            Segment::list(disk, &self.dir)?.is_empty() && Snapshot::list(disk, &self.dir)?.is_empty();
        if is_new {
            return Ok(PartitionManifest::new(self.place, self.in_force));
        }
        Err(StoreError::Missing { file: self.dir.join(FILE), manifest: self.dir.clone() })
    }

    /// A directory that was put in the place of this one.
    fn misplaced(&self) -> StoreError {
        let of = PathBuf::from("another partition, or a data directory of another time");
        StoreError::Misplaced { file: self.dir.join(FILE), of }
    }
}
