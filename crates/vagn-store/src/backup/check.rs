//! The check of a copy: it is read back, and opened as a start would open it.

use super::files::Work;
use super::list::{BackupList, CHECKED, DATA, UNCHECKED};
use super::{Backup, BackupError, BackupStep, Interrupt};
use crate::disk::Disk;
use crate::error::{Doing, SYNC};
use crate::repair::plan_unlocked;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A copy that is written and was not yet read back.
pub struct UncheckedBackup {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    list: BackupList,
}

impl UncheckedBackup {
    /// Opens the copy in `dir`, which a [`BackupWriter`](super::BackupWriter) has closed.
    ///
    /// # Errors
    /// [`BackupError::Unfinished`] when it was not closed.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<UncheckedBackup, BackupError> {
        let list = BackupList::read(&*disk, dir, UNCHECKED)?;
        let list = list.ok_or_else(|| BackupError::Unfinished { dir: dir.to_owned() })?;
        Ok(UncheckedBackup { disk, dir: dir.to_owned(), list })
    }

    /// Returns the copy of the data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    /// Returns the head of the trail that its owner has noted.
    pub fn trail(&self) -> Option<&str> {
        self.list.trail.as_deref()
    }

    /// Reads all files back, and recovers the fleet from them. Changes nothing, and needs the memory of the fleet. Returns the number
    /// of vehicles.
    ///
    /// # Errors
    /// [`BackupError::Changed`] when a file is not as it was written; [`BackupError::Damaged`] when what was copied is damaged.
    pub fn check(&self, interrupt: Interrupt<'_>) -> Result<u64, BackupError> {
        check_files(&*self.disk, &self.data_dir(), &self.list, interrupt)?;
        let report = plan_unlocked(self.disk.clone(), &self.data_dir())?;
        match report.has_damage() {
            true => Err(BackupError::Damaged { report: report.to_string() }),
            false => Ok(report.vehicles),
        }
    }

    /// Says that the copy was checked: from here on it is a backup.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(self) -> Result<Backup, BackupError> {
        let (from, to) = (self.dir.join(UNCHECKED), self.dir.join(CHECKED));
        self.disk.rename(&from, &to).doing("rename", &from)?;
        self.disk.sync_dir(&self.dir).doing(SYNC, &self.dir)?;
        Backup::open(self.disk, &self.dir)
    }
}

/// Checks that the files in `data` are those of the list.
pub(super) fn check_files(
    disk: &dyn Disk,
    data: &Path,
    list: &BackupList,
    interrupt: Interrupt<'_>,
) -> Result<(), BackupError> {
    let mut work = Work::new(disk, interrupt, BackupStep::Check);
    work.expect(list.bytes());
    for listed in &list.files {
        let file = data.join(&listed.name);
        let sum = work.sum(&file)?;
        if sum.bytes != listed.sum.bytes {
            return Err(BackupError::Changed { file, what: "it has another length" });
        }
        if sum.crc != listed.sum.crc {
            return Err(BackupError::Changed { file, what: "it does not match its checksum" });
        }
    }
    Ok(())
}
