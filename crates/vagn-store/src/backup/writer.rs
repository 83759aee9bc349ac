//! Making a backup: the files of the fleet, then what others put beside them, then the list.

use super::files::{Sum, Work, can_link, check_room, make_empty, sync_names};
use super::list::{BackupList, CHECKED, CopiedShard, DATA, ListedFile, UNCHECKED};
use super::source::{FleetSource, SourceFile};
use super::{BackupError, BackupStep, Interrupt, UncheckedBackup};
use crate::data_dir::{DataDir, LOCK};
use crate::disk::Disk;
use crate::error::{Doing, StoreError};
use crate::manifest::partition::PartitionManifest;
use crate::manifest::top::TopManifest;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A backup that is being made.
pub struct BackupWriter<'a> {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    data: PathBuf,
    list: BackupList,
    interrupt: Interrupt<'a>,
}

impl<'a> BackupWriter<'a> {
    /// Begins a backup in `dir`, which must be empty or not there. `made_ms` is the present time, ms since 1970.
    ///
    /// # Errors
    /// [`BackupError::NotEmpty`], [`BackupError::Leftover`], [`BackupError::NoParent`], and those of the disk.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        made_ms: i64,
        interrupt: Interrupt<'a>,
    ) -> Result<BackupWriter<'a>, BackupError> {
        if disk.list(dir).is_ok_and(|names| is_leftover(&names)) {
            return Err(BackupError::Leftover { dir: dir.to_owned() });
        }
        make_empty(&*disk, dir)?;
        let data = dir.join(DATA);
        disk.create_dir(&data).doing("create", &data)?;
        let list = BackupList { made_ms, ..BackupList::default() };
        Ok(BackupWriter { disk, dir: dir.to_owned(), data, list, interrupt })
    }

    /// Returns the directory into which all goes that belongs to the copy.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Copies the files of the fleet; its manifests come with [`BackupWriter::close`]. `others` is the bytes that are to be put
    /// beside them, and `spare` those that are to stay free where the data directory is.
    ///
    /// # Errors
    /// [`BackupError::NoRoom`] before anything is copied; [`BackupError::Overtaken`]; those of the disk.
    pub fn copy_fleet(&mut self, source: &FleetSource, others: u64, spare: u64) -> Result<(), BackupError> {
        let shares = can_link(&*self.disk, &TopManifest::file(source.dir()), &self.data);
        let copied = |file: &&SourceFile| !(file.is_fixed && shares);
        let needed: u64 = source.files.iter().filter(copied).map(|file| file.bytes).sum();
        let spare = if shares { spare } else { 0 };
        check_room(&*self.disk, &self.dir, needed + others + spare)?;
        let disk = self.disk.clone();
        let mut work = Work::new(&*disk, self.interrupt, BackupStep::Copy);
        source.files.iter().for_each(|file| work.expect(file.bytes));
        for file in &source.files {
            let sum = take(&mut work, file, source.dir(), &self.data, shares)?;
            self.note(&file.name, sum, file.is_fixed);
        }
        Ok(())
    }

    /// Copies one file that lies in the data directory and is not written meanwhile. Does nothing where it is not there.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn copy_file(&mut self, from: &Path, name: &str) -> Result<(), BackupError> {
        let disk = self.disk.clone();
        let mut work = Work::new(&*disk, self.interrupt, BackupStep::Copy);
        match work.copy(from, &self.data.join(name), u64::MAX) {
            Err(BackupError::Store(StoreError::Io { source, doing: "open", .. }))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                let to = self.data.join(name);
                Ok(self.disk.remove(&to).doing("remove", &to)?)
            }
            copied => {
                let sum = copied?;
                self.note(Path::new(name), sum, false);
                Ok(())
            }
        }
    }

    /// Takes a file into the list that its owner has put into the copy, durably.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn adopt(&mut self, name: &str) -> Result<(), BackupError> {
        let disk = self.disk.clone();
        let sum = Work::new(&*disk, self.interrupt, BackupStep::Copy).sum(&self.data.join(name))?;
        self.note(Path::new(name), sum, false);
        Ok(())
    }

    /// Notes the head of the trail in the copy.
    pub fn note_trail(&mut self, head: String) {
        self.list.trail = Some(head);
    }

    /// Notes a shard of a cluster that its owner has put into the copy.
    pub fn note_shard(&mut self, shard: CopiedShard) {
        self.list.shards.push(shard);
    }

    /// Makes sure that there is room for so many bytes more.
    ///
    /// # Errors
    /// [`BackupError::NoRoom`], and those of the disk.
    pub fn check_room(&self, needed: u64) -> Result<(), BackupError> {
        check_room(&*self.disk, &self.dir, needed)
    }

    /// Closes a copy that has no fleet of a single machine, as [`close`](Self::close) does: its data directory is that of a first start.
    /// `partitions` and `set_id` as for [`DataDir::open`].
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn close_new(self, partitions: Option<u32>, set_id: u64) -> Result<UncheckedBackup, BackupError> {
        let data = self.data.clone();
        drop(DataDir::open(self.disk.clone(), &data, partitions, set_id)?);
        let source = FleetSource::at_rest(self.disk.clone(), &data)?;
        let lock = data.join(LOCK);
        let disk = self.disk.clone();
        let closed = self.close(&source)?;
        drop(source);
        // It names this process.
        disk.remove(&lock).doing("remove", &lock)?;
        Ok(closed)
    }

    /// Writes the manifests and the list. The backup is there when it was [checked](UncheckedBackup).
    ///
    /// # Errors
    /// Those of the disk.
    pub fn close(mut self, source: &FleetSource) -> Result<UncheckedBackup, BackupError> {
        for (name, manifest) in &source.manifests {
            let dir = self.data.join(name);
            // One that never had a writer has no other file.
            self.disk.create_dir(&dir).doing("create", &dir)?;
            manifest.write(&*self.disk, &dir)?;
            let file = PartitionManifest::file(name);
            self.adopt(&file.to_string_lossy())?;
        }
        source.top.write(&*self.disk, &self.data)?;
        self.adopt(crate::manifest::FILE)?;
        sync_names(&*self.disk, &self.data, self.list.files.iter().map(|file| &*file.name))?;
        self.list.write(&*self.disk, &self.dir, UNCHECKED)?;
        UncheckedBackup::open(self.disk, &self.dir)
    }

    fn note(&mut self, name: &Path, sum: Sum, is_fixed: bool) {
        let name = name.to_string_lossy().into_owned();
        self.list.files.push(ListedFile { name, sum, is_fixed });
    }
}

/// Returns true for the names in the directory of a backup that was cut off.
fn is_leftover(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|it| it == name);
    has(DATA) && !has(CHECKED) && names.iter().all(|name| name.starts_with(CHECKED) || name == DATA)
}

/// Puts one file of the fleet into the copy.
fn take(
    work: &mut Work<'_>,
    file: &SourceFile,
    from: &Path,
    to: &Path,
    shares: bool,
) -> Result<Sum, BackupError> {
    let (from, to) = (from.join(&file.name), to.join(&file.name));
    if let Some(parent) = to.parent() {
        work.disk.create_dir(parent).doing("create", parent)?;
    }
    let taken = if file.is_fixed && shares {
        let linked = work.disk.link(&from, &to).doing("link", &from);
        linked.map_err(BackupError::from).and_then(|()| work.sum(&to))
    } else {
        work.copy(&from, &to, file.bytes)
    };
    let sum = taken.map_err(|err| match err {
        BackupError::Store(StoreError::Io { ref source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            BackupError::Overtaken { file: from.clone() }
        }
        err => err,
    })?;
    let what = "it has become shorter";
    if sum.bytes < file.bytes { Err(BackupError::Changed { file: from, what }) } else { Ok(sum) }
}
