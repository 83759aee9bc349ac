//! The fleet that is to be copied: which files, up to where, and which of them never change.

use super::BackupError;
use crate::data_dir::{DataDir, take_lock};
use crate::disk::{Disk, DiskLock};
use crate::error::{Doing, StoreError};
use crate::log::segment::Segment;
use crate::manifest::FILE;
use crate::manifest::partition::PartitionManifest;
use crate::manifest::top::{PartitionSet, TopManifest};
use crate::snapshot::Snapshot;
use crate::syncer::Moment;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A fleet at one moment. Nothing that it is made of goes, and no service begins to use it, for as long as this is there.
pub struct FleetSource {
    pub(super) disk: Arc<dyn Disk>,
    /// The data directory.
    pub(super) dir: PathBuf,
    pub(super) top: TopManifest,
    pub(super) manifests: Vec<(PathBuf, PartitionManifest)>,
    pub(super) files: Vec<SourceFile>,
    _held: Held,
}

/// A file that is to be copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Path in the data directory.
    pub(super) name: PathBuf,
    /// Bytes of it that belong to the copy.
    pub(super) bytes: u64,
    /// All of it belongs to the copy, and nothing is ever written to it.
    pub(super) is_fixed: bool,
}

/// What keeps the files as they are.
#[expect(dead_code, reason = "it is held, and not looked at")]
enum Held {
    Moments(Vec<Moment>),
    Lock(Box<dyn DiskLock>),
}

impl DataDir {
    /// Takes the present moment of the fleet while it is written: of each partition all that was written before the call.
    ///
    /// # Errors
    /// [`BackupError::NotOpen`] and [`BackupError::Distributing`]; [`BackupError::Store`] when a log cannot be synced.
    pub fn moment(&self) -> Result<FleetSource, BackupError> {
        if !self.is_prepared() {
            return Err(BackupError::Distributing);
        }
        let set = self.in_force();
        let mut moments = Vec::new();
        for partition in 0..set.partitions {
            let writer = self.writer(partition).ok_or(BackupError::NotOpen { partition })?;
            moments.push(Moment::take(writer)?);
        }
        let mut source = FleetSource {
            disk: self.disk(),
            dir: self.path().to_owned(),
            top: settled(&self.top_manifest(), set),
            manifests: Vec::new(),
            files: Vec::new(),
            _held: Held::Moments(Vec::new()),
        };
        for moment in &moments {
            source.top.opened.insert(moment.manifest.place.partition, moment.manifest.opened);
            source.add(moment.dir(), moment.manifest.clone(), None)?;
        }
        source._held = Held::Moments(moments);
        Ok(source)
    }
}

impl FleetSource {
    /// Takes the fleet of a service that does not run, as it was left.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while a process works there; [`BackupError::NoData`] when there is none.
    pub fn at_rest(disk: Arc<dyn Disk>, dir: &Path) -> Result<FleetSource, BackupError> {
        let none = || BackupError::NoData { dir: dir.to_owned() };
        disk.list(dir).map_err(|_| none())?;
        TopManifest::read(&*disk, dir)?.ok_or_else(none)?;
        let lock = take_lock(&*disk, dir)?;
        // Again: the service may have ended only just now.
        let top = TopManifest::read(&*disk, dir)?.ok_or_else(none)?;
        // Its first start was cut off before it had anything.
        let set = top.in_force.ok_or_else(none)?;
        let held = Held::Lock(lock);
        let (dir, top) = (dir.to_owned(), settled(&top, set));
        let mut source =
            FleetSource { disk, dir, top, manifests: Vec::new(), files: Vec::new(), _held: held };
        for partition in 0..set.partitions {
            let partition_dir = set.partition_dir(&source.dir, partition);
            let manifest = PartitionManifest::read(&*source.disk, &partition_dir)?.ok_or_else(|| {
                let (file, manifest) = (partition_dir.join(FILE), TopManifest::file(&source.dir));
                StoreError::Missing { file, manifest }
            })?;
            let there = Segment::list(&*source.disk, &partition_dir)?;
            source.add(&partition_dir, manifest, Some(there))?;
        }
        Ok(source)
    }

    /// Returns the data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes that the file `name` is in the copy, and must be there since.
    pub fn add_part(&mut self, name: &str) {
        self.top.parts.insert(name.to_owned());
    }

    /// Adds a partition. Of one at rest all segments `there` belong to it, named or not, with all of their bytes: after a crash what
    /// was answered for may stand in one that no manifest names yet.
    fn add(
        &mut self,
        dir: &Path,
        manifest: PartitionManifest,
        there: Option<Vec<Segment>>,
    ) -> Result<(), StoreError> {
        let named = manifest.segments.iter().map(|named| Segment::new(dir, named.start));
        for segment in there.unwrap_or_else(|| named.collect()) {
            let file = self.segment(&manifest, &segment)?;
            self.files.push(file);
        }
        if let Some(position) = manifest.snapshot {
            let path = Snapshot::new(dir, position).path;
            let bytes = self.size(&path)?;
            self.files.push(SourceFile { name: self.name_of(&path), bytes, is_fixed: true });
        }
        self.manifests.push((self.name_of(dir), manifest));
        Ok(())
    }

    /// Returns how much of a segment belongs to the copy. It never changes once another one follows and all of it is synced:
    /// a start after a crash cuts off only what may not have been.
    fn segment(&self, manifest: &PartitionManifest, segment: &Segment) -> Result<SourceFile, StoreError> {
        let name = self.name_of(&segment.path);
        let size = self.size(&segment.path)?;
        let closed = manifest.closed_at.map(|closed| closed.record);
        let named = manifest.segments.iter().find(|named| named.start == segment.start);
        let end = named.and_then(|named| named.end);
        let synced = closed.unwrap_or(manifest.synced);
        let bytes = match end.or(closed) {
            Some(end) if end >= segment.start.record => segment.offset(end).min(size),
            _ => size,
        };
        let is_fixed = bytes == size && end.is_some_and(|end| end <= synced);
        Ok(SourceFile { name, bytes, is_fixed })
    }

    fn size(&self, path: &Path) -> Result<u64, StoreError> {
        self.disk.open(path).and_then(|file| file.size()).doing("open", path)
    }

    fn name_of(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.dir).unwrap_or(path).to_owned()
    }
}

/// Returns the manifest of a data directory with this set and no other.
fn settled(top: &TopManifest, set: PartitionSet) -> TopManifest {
    TopManifest { in_force: Some(set), making: None, superseded: Vec::new(), ..top.clone() }
}
