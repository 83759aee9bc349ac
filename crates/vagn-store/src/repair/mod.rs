//! Repair: makes a damaged data directory usable again and keeps a copy of what was damaged.
//!
//! Records that can still be read stay, before the damage and behind it. Those that cannot be read are replaced by void
//! ones, so that all others keep their indexes and order numbers. A position whose vehicle was named in
//! a lost record is left out at recovery: better no vehicle than the wrong one.

mod log;
mod snapshots;

use crate::data_dir::DataDir;
use crate::disk::{Disk, RealDisk, read_all, replace};
use crate::error::{Doing, StoreError};
use crate::log::reader::LogReader;
use crate::partition::recovery::recover;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// File of the report, in the data directory.
const REPORT: &str = "repair.txt";

/// Report of a repair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Files that were damaged.
    pub files: Vec<RepairedFile>,
    /// Number of vehicles in all partitions.
    pub vehicles: u64,
    /// Number of positions left out because the record that named their vehicle is lost.
    pub orphans: u64,
}

/// A file that was damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedFile {
    /// Path of the file.
    pub file: PathBuf,
    /// Copy of the file as it was; `None` when it was not there at all.
    pub moved_to: Option<PathBuf>,
    /// Offset in bytes of the first damage.
    pub offset: u64,
    /// Records, or blocks of a snapshot, that were lost.
    pub lost: u64,
    /// Description of the repair.
    pub done: &'static str,
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.files.is_empty() {
            return write!(f, "nothing is damaged; {} vehicles", self.vehicles);
        }
        for file in &self.files {
            let RepairedFile { file, moved_to, offset, lost, done } = file;
            write!(f, "{}: damaged at offset {offset}, {lost} lost; {done}", file.display())?;
            match moved_to {
                Some(moved_to) => writeln!(f, "; as it was: {}", moved_to.display())?,
                None => writeln!(f)?,
            }
        }
        write!(f, "{} vehicles; {} positions left out", self.vehicles, self.orphans)
    }
}

/// Repairs the data directory `dir`. When nothing is damaged it does no more than any start: it cuts off a torn
/// end. The report is also written to `repair.txt` there.
///
/// # Errors
/// [`StoreError::InUse`] while a process works there; [`StoreError::Format`] when another version wrote it;
/// [`StoreError::Io`] when the disk refuses.
pub fn repair(dir: &Path) -> Result<RepairReport, StoreError> {
    repair_on(Arc::new(RealDisk), dir)
}

/// As [`repair`], on any disk.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<RepairReport, StoreError> {
    disk.list(dir).doing("list", dir)?;
    let (data_dir, layout) = DataDir::open_damaged(disk.clone(), dir)?;
    let mut report = RepairReport::default();
    report.files.extend(layout.map(|file| RepairedFile {
        file,
        moved_to: None,
        offset: 0,
        lost: 0,
        done: "written anew from the partitions there are",
    }));
    for (number, dir) in (0..).zip(data_dir.dirs()) {
        disk.create_dir(&dir).doing("create", &dir)?;
        repair_partition(&LogReader { disk: &*disk, dir: &dir, partition: number }, &mut report)?;
    }
    if !report.files.is_empty() {
        let file = dir.join(REPORT);
        replace(&*disk, &file, format!("{report}\n").as_bytes()).doing("write", &file)?;
    }
    Ok(report)
}

fn repair_partition(partition: &LogReader<'_>, report: &mut RepairReport) -> Result<(), StoreError> {
    // Looked at first, so that a repair of what is whole writes nothing.
    if !is_well(partition)? {
        snapshots::repair(partition, report)?;
        log::repair(partition, report)?;
        snapshots::repair_beginning(partition, report)?;
    }
    let recovery = recover(partition, &|_| {})?.recovery;
    report.vehicles += recovery.vehicles;
    report.orphans += recovery.orphans;
    Ok(())
}

/// Returns true when the partition can be opened with its newest snapshot, and its history be read.
fn is_well(partition: &LogReader<'_>) -> Result<bool, StoreError> {
    match recover(partition, &|_| {}) {
        Ok(recovered) => Ok(recovered.recovery.bad_snapshots.is_empty() && log::is_whole(partition)?),
        Err(StoreError::Corrupt { .. }) => Ok(false),
        Err(err) => Err(err),
    }
}

/// Copies a damaged file to a name beside it that is not yet taken.
fn keep_copy(partition: &LogReader<'_>, file: &Path) -> Result<PathBuf, StoreError> {
    let bytes = partition.disk.open(file).and_then(|open| read_all(&*open)).doing("read", file)?;
    let mut copy = with_suffix(file, ".damaged");
    // A repair that is done again must not replace the copy of the first one, which is the older state.
    while partition.disk.open(&copy).is_ok() {
        copy = with_suffix(&copy, "+");
    }
    let open = partition.disk.create(&copy).doing("create", &copy)?;
    open.append(&bytes).and_then(|()| open.sync()).doing("write", &copy)?;
    partition.disk.sync_dir(partition.dir).doing("sync", partition.dir)?;
    Ok(copy)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
