//! The data directory: locked for one process, and laid out for a number of partitions.
//!
//! ```text
//! lock           held while a process works here; names its pid
//! partitions     the format, the number of partitions, and which set of them is in force
//! fleet-1/0/     log and snapshots of partition 0 in set 1
//! ```
//! When the number of partitions changes, a new set is written beside the old one and put in force by
//! replacing the file `partitions`. A crash leaves the one or the other, and the set that is not in force is
//! removed when the directory is next opened.

use crate::disk::{Disk, DiskLock, read_all, replace};
use crate::error::{Doing, StoreError};
use crate::partition::{Partition, Progress, Recovery, Settings};
use crate::repartition::Repartition;
use crate::syncer::Shared;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// The one format of a data directory that this version reads and writes.
const FORMAT: u32 = 2;

const LOCK: &str = "lock";
const LAYOUT: &str = "partitions";
const SET: &str = "fleet-";

/// A data directory that this process has for itself until it is dropped.
pub struct DataDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    layout: Layout,
    /// Number of partitions asked for.
    wanted: u32,
    /// Last writer of each partition.
    writers: Mutex<HashMap<u32, Weak<Shared>>>,
    _lock: Box<dyn DiskLock>,
}

/// Content of the file `partitions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    partitions: u32,
    set: u64,
}

impl DataDir {
    /// Opens the data directory, creating it when it is missing, for `partitions` partitions; `None` takes as
    /// many as there are, or one in a new directory. Reads no partition.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it; [`StoreError::Format`] when another version wrote
    /// it; [`StoreError::Corrupt`] or [`StoreError::Io`] when its layout cannot be read.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, partitions: Option<u32>) -> Result<DataDir, StoreError> {
        disk.create_dir(dir).doing("create", dir)?;
        let lock = take_lock(&*disk, dir)?;
        DataDir::with_lock(disk, dir, partitions, lock)
    }

    fn with_lock(
        disk: Arc<dyn Disk>,
        dir: &Path,
        partitions: Option<u32>,
        lock: Box<dyn DiskLock>,
    ) -> Result<DataDir, StoreError> {
        let wanted = partitions.map(|partitions| partitions.max(1));
        let layout = match Layout::read(&*disk, dir)? {
            Some(layout) => layout,
            None => Layout { partitions: wanted.unwrap_or(1), set: 1 }.write(&*disk, dir)?,
        };
        let data_dir = DataDir {
            disk,
            dir: dir.to_owned(),
            layout,
            wanted: wanted.unwrap_or(layout.partitions),
            writers: Mutex::default(),
            _lock: lock,
        };
        data_dir.remove_other_sets()?;
        Ok(data_dir)
    }

    /// Returns the number of partitions, as it is once [`DataDir::prepare`] is done.
    pub fn partitions(&self) -> u32 {
        self.wanted
    }

    /// Returns false when [`DataDir::prepare`] has work to do.
    pub fn is_prepared(&self) -> bool {
        self.layout.partitions == self.wanted
    }

    /// Distributes what there is, history included, over the number of partitions wanted. To be called before
    /// any partition is opened; does nothing when the number has not changed. Reads and writes all of the
    /// history, and needs twice the space meanwhile.
    ///
    /// # Errors
    /// As [`Partition::open`] and [`Partition::write`]. The old partitions are in force then as before.
    pub fn prepare(
        &mut self,
        settings: Settings,
        now_ms: i64,
        progress: &dyn Fn(Progress),
    ) -> Result<(), StoreError> {
        if self.is_prepared() {
            return Ok(());
        }
        let next = Layout { partitions: self.wanted, set: self.layout.set + 1 };
        let work = Repartition { disk: &self.disk, settings, now_ms, progress };
        work.run(&self.partition_dirs(self.layout), &self.partition_dirs(next))?;
        // From here on the new set is in force, at once and whole: a crash before leaves the old one, a crash after the
        // new one.
        self.layout = next.write(&*self.disk, &self.dir)?;
        self.remove_other_sets()
    }

    /// Opens one partition; see [`Partition::open`]. Different ones may be opened beside each other, once
    /// [`DataDir::prepare`] is done. An earlier writer of the same partition that is still there, because its
    /// thread hangs, can do nothing more from here on.
    ///
    /// # Errors
    /// As [`Partition::open`].
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
        let dir = partition_dir(&self.dir, self.layout.set, number);
        let opened = Partition::open(self.disk.clone(), &dir, number, settings, now_ms, progress)?;
        // Weak: a writer that is gone needs no fence, and is not kept alive by it.
        self.writers.lock().insert(number, opened.0.fence());
        Ok(opened)
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Opens a directory that is there as it is, for repair: where the layout cannot be read but there is
    /// only one set of partitions, the set tells how many there are. Returns the layout's file in that case.
    pub(crate) fn open_damaged(
        disk: Arc<dyn Disk>,
        dir: &Path,
    ) -> Result<(DataDir, Option<PathBuf>), StoreError> {
        let lock = take_lock(&*disk, dir)?;
        let Err(err @ StoreError::Corrupt { .. }) = Layout::read(&*disk, dir) else {
            return Ok((DataDir::with_lock(disk, dir, None, lock)?, None));
        };
        let names = disk.list(dir).doing("list", dir)?;
        let mut sets = names.iter().filter_map(|name| name.strip_prefix(SET)?.parse::<u64>().ok());
        // With two sets, from a change of the number of partitions, only the layout tells which of them is in force.
        let (Some(set), None) = (sets.next(), sets.next()) else { return Err(err) };
        let set_dir = dir.join(set_name(set));
        let partitions = disk.list(&set_dir).doing("list", &set_dir)?.len() as u32;
        Layout { partitions, set }.write(&*disk, dir)?;
        Ok((DataDir::with_lock(disk, dir, None, lock)?, Some(dir.join(LAYOUT))))
    }

    /// Returns the directories of the partitions in force.
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        self.partition_dirs(self.layout)
    }

    fn partition_dirs(&self, layout: Layout) -> Vec<PathBuf> {
        (0..layout.partitions).map(|number| partition_dir(&self.dir, layout.set, number)).collect()
    }

    /// Removes the sets that a change of the number of partitions left, finished or not.
    fn remove_other_sets(&self) -> Result<(), StoreError> {
        let in_force = set_name(self.layout.set);
        let names = self.disk.list(&self.dir).doing("list", &self.dir)?;
        for name in names.iter().filter(|name| is_set(name) && **name != in_force) {
            let path = self.dir.join(name);
            self.disk.remove_dir(&path).doing("remove", &path)?;
        }
        Ok(())
    }
}

impl Layout {
    /// Reads the layout; `None` in a new directory.
    fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Layout>, StoreError> {
        let file = dir.join(LAYOUT);
        let text = match disk.open(&file) {
            Ok(open) => read_all(&*open).doing("read", &file)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let names = disk.list(dir).doing("list", dir)?;
                // It is the first file that is ever written here.
                let had_one = names.iter().any(|name| is_set(name));
                return if had_one { Err(StoreError::corrupt(&file, 0, "it is missing")) } else { Ok(None) };
            }
            Err(err) => return Err(err).doing("open", &file),
        };
        let text = str::from_utf8(&text).map_err(|_| StoreError::corrupt(&file, 0, "it is no text"))?;
        let number =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let found =
            number("format ").ok_or_else(|| StoreError::corrupt(&file, 0, "it names no format"))? as u32;
        if found != FORMAT {
            return Err(StoreError::Format { file: file.clone(), found, newest: FORMAT });
        }
        let layout = number("partitions ").zip(number("set "));
        let (partitions, set) =
            layout.ok_or_else(|| StoreError::corrupt(&file, 0, "it names no partitions"))?;
        let layout = Layout { partitions: partitions as u32, set };
        if layout.text() != text {
            return Err(StoreError::corrupt(&file, 0, "it does not match its checksum"));
        }
        Ok(Some(layout))
    }

    fn write(self, disk: &dyn Disk, dir: &Path) -> Result<Layout, StoreError> {
        let file = dir.join(LAYOUT);
        replace(disk, &file, self.text().as_bytes()).doing("write", &file)?;
        Ok(self)
    }

    fn text(self) -> String {
        let content = format!("format {FORMAT}\npartitions {}\nset {}\n", self.partitions, self.set);
        let sum = crc32c::crc32c(content.as_bytes());
        format!("{content}checksum {sum:08x}\n")
    }
}

fn set_name(set: u64) -> String {
    format!("{SET}{set}")
}

/// Returns true for the name of a set. A copy with another name, made by hand beside it, is left alone.
fn is_set(name: &str) -> bool {
    name.strip_prefix(SET).is_some_and(|set| set.parse::<u64>().is_ok())
}

fn partition_dir(dir: &Path, set: u64, number: u32) -> PathBuf {
    dir.join(set_name(set)).join(number.to_string())
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, StoreError> {
    let file = dir.join(LOCK);
    disk.lock(&file).or_else(|err| {
        if err.kind() != io::ErrorKind::WouldBlock {
            return Err(err).doing("lock", &file);
        }
        let said = disk.open(&file).and_then(|file| read_all(&*file)).unwrap_or_default();
        // It may be missing: the owner writes it after it has the lock.
        let pid = str::from_utf8(&said).ok().and_then(|pid| pid.trim().parse().ok());
        Err(StoreError::InUse { dir: dir.to_owned(), pid })
    })
}
