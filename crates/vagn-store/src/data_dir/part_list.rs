//! The parts beside the partitions that must be there, such as the incident store.

use crate::disk::{Disk, DiskLock};
use crate::error::StoreError;
use crate::manifest::top::TopManifest;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The manifest of a data directory, shared by all that change it.
pub(super) struct Top {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    manifest: Mutex<TopManifest>,
    _lock: Box<dyn DiskLock>,
}

impl Top {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        manifest: TopManifest,
        lock: Box<dyn DiskLock>,
    ) -> Top {
        Top { disk, dir: dir.to_owned(), manifest: Mutex::new(manifest), _lock: lock }
    }

    pub(super) fn manifest(&self) -> TopManifest {
        self.manifest.lock().clone()
    }

    /// Writes the manifest once more: a change that failed may have left another one on the disk.
    pub(super) fn write_again(&self) -> Result<(), StoreError> {
        self.manifest.lock().write(&*self.disk, &self.dir)
    }

    /// Changes the manifest, on the disk first.
    pub(super) fn change(&self, change: impl FnOnce(&mut TopManifest)) -> Result<(), StoreError> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        change(&mut next);
        if next != *manifest {
            next.write(&*self.disk, &self.dir)?;
            *manifest = next;
        }
        Ok(())
    }
}

/// The parts of a data directory that were made beside its partitions. Clones are the same list.
///
/// A part that keeps a file there asks first: where the list says that it must be there, one that is missing or empty is lost
/// and must not be made anew. Once it is made, durably, it is added, before anything in it is answered for.
#[derive(Clone)]
pub struct PartList {
    top: Arc<Top>,
}

impl PartList {
    pub(super) fn new(top: Arc<Top>) -> PartList {
        PartList { top }
    }

    /// Returns true when the file `name` was made in the data directory.
    pub fn expects(&self, name: &str) -> bool {
        self.top.manifest.lock().parts.contains(name)
    }

    /// Notes, durably, that the file `name` must be there from now on. Does nothing when that is known.
    ///
    /// # Errors
    /// When the manifest cannot be replaced.
    pub fn add(&self, name: &str) -> Result<(), StoreError> {
        self.top.change(|manifest| {
            manifest.parts.insert(name.to_owned());
        })
    }

    /// Returns an error that names file and remedy when the file `name` must be there and is not, or is empty.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    pub fn check(&self, name: &str) -> Result<(), StoreError> {
        let file = self.top.dir.join(name);
        if !self.expects(name) {
            return Ok(());
        }
        match self.top.disk.open(&file).and_then(|open| open.size()) {
            Ok(size) if size > 0 => Ok(()),
            // Another error than its absence is for its owner to meet.
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(StoreError::Missing { file, manifest: TopManifest::file(&self.top.dir) }),
        }
    }
}
