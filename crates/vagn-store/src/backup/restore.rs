//! The way back: a data directory is made of a backup. Its manifest comes last, so that one that was cut off is none.

use super::check::check_files;
use super::files::{Work, can_link, check_room, make_empty, sync_names};
use super::list::{BackupList, CHECKED, CopiedShard, DATA, ListedFile};
use super::{BackupError, BackupStep, Interrupt};
use crate::disk::{Disk, replace};
use crate::error::{Doing, SYNC};
use crate::manifest::FILE;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// File that is in a directory for as long as it is being restored.
pub(crate) const RESTORING: &str = "restoring";

/// A backup that was finished and checked.
pub struct Backup {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    list: BackupList,
}

/// Result of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreReport {
    /// Number of files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Backup {
    /// Opens the backup in `dir`.
    ///
    /// # Errors
    /// [`BackupError::Unfinished`] when it was not finished, or is none; [`StoreError::Format`](crate::StoreError::Format) when
    /// another version made it.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Backup, BackupError> {
        let list = BackupList::read(&*disk, dir, CHECKED)?;
        let list = list.ok_or_else(|| BackupError::Unfinished { dir: dir.to_owned() })?;
        Ok(Backup { disk, dir: dir.to_owned(), list })
    }

    /// Returns the time at which it was begun, ms since 1970.
    pub fn made_ms(&self) -> i64 {
        self.list.made_ms
    }

    /// Returns the head of the trail in it.
    pub fn trail(&self) -> Option<&str> {
        self.list.trail.as_deref()
    }

    /// Returns the shards of a cluster that are in it; none of a single machine, or of one node.
    pub fn shards(&self) -> &[CopiedShard] {
        &self.list.shards
    }

    /// Returns the bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.list.bytes()
    }

    /// Makes the data directory `to`, which must be empty or not there; what an earlier restore has left there is removed first.
    ///
    /// # Errors
    /// [`BackupError::NotEmpty`], [`BackupError::NoParent`], [`BackupError::NoRoom`], and [`BackupError::Changed`] when a file of
    /// the backup is not as it was copied. No service starts on what is left then.
    pub fn restore(&self, to: &Path, interrupt: Interrupt<'_>) -> Result<RestoreReport, BackupError> {
        let disk = &*self.disk;
        let data = self.dir.join(DATA);
        check_files(disk, &data, &self.list, interrupt)?;
        clear_leftover(disk, to)?;
        make_empty(disk, to)?;
        let marker = to.join(RESTORING);
        disk.create(&marker).doing("create", &marker)?;
        disk.sync_dir(to).doing(SYNC, to)?;
        self.fill(&data, to, interrupt)?;
        let copied = BackupList { files: self.beside_manifest().cloned().collect(), ..self.list.clone() };
        check_files(disk, to, &copied, interrupt)?;
        sync_names(disk, to, copied.files.iter().map(|file| &*file.name))?;
        self.put_in_force(&data, to)?;
        disk.remove(&marker).doing("remove", &marker)?;
        disk.sync_dir(to).doing(SYNC, to)?;
        Ok(RestoreReport { files: self.list.files.len(), bytes: self.bytes() })
    }

    /// Returns all files but the manifest of the data directory.
    fn beside_manifest(&self) -> impl Iterator<Item = &ListedFile> {
        self.list.files.iter().filter(|file| file.name != FILE)
    }

    fn fill(&self, data: &Path, to: &Path, interrupt: Interrupt<'_>) -> Result<(), BackupError> {
        let disk = &*self.disk;
        let shares = can_link(disk, &self.dir.join(CHECKED), to);
        let copied = self.beside_manifest().filter(|file| !(file.is_fixed && shares));
        check_room(disk, to, copied.map(|file| file.sum.bytes).sum())?;
        let mut work = Work::new(disk, interrupt, BackupStep::Copy);
        work.expect(self.bytes());
        for file in self.beside_manifest() {
            let (from, to) = (data.join(&file.name), to.join(&file.name));
            if let Some(parent) = to.parent() {
                disk.create_dir(parent).doing("create", parent)?;
            }
            if file.is_fixed && shares {
                disk.link(&from, &to).doing("link", &from)?;
            } else {
                work.copy(&from, &to, u64::MAX)?;
            }
        }
        Ok(())
    }

    fn put_in_force(&self, data: &Path, to: &Path) -> Result<(), BackupError> {
        let from = data.join(FILE);
        let manifest = self.disk.open(&from).and_then(|file| crate::disk::read_all(&*file));
        let manifest = manifest.doing("read the manifest", &from)?;
        let file = to.join(FILE);
        Ok(replace(&*self.disk, &file, &manifest).doing("replace the manifest", &file)?)
    }
}

/// Removes what a restore that was cut off has left in `dir`.
fn clear_leftover(disk: &dyn Disk, dir: &Path) -> Result<(), BackupError> {
    let names = disk.list(dir).unwrap_or_default();
    if !names.iter().any(|name| name == RESTORING) {
        return Ok(());
    }
    // The marker last: wherever this is cut off, it is done again.
    let others = names.iter().map(String::as_str).filter(|name| *name != RESTORING);
    for name in others.chain([RESTORING]) {
        let path = dir.join(name);
        let removed = if disk.list(&path).is_ok() { disk.remove_dir(&path) } else { disk.remove(&path) };
        removed.doing("remove", &path)?;
    }
    Ok(())
}
