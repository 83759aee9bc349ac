//! Repair: makes a damaged data directory usable again and keeps a copy of what was damaged.
//!
//! Records that can still be read stay, before the damage and behind it. Those that cannot be read are replaced by void
//! ones, so that all others keep their indexes and order numbers. A position whose vehicle was named in
//! a lost record is left out at recovery: better no vehicle than the wrong one.
//!
//! A repair is first done on an [`Overlay`], which gives the plan and changes nothing, and then on the disk. Each step
//! leaves a directory that can be repaired, so a repair that was cut off is done again from the beginning.

mod aside;
mod layout;
mod log;
mod manifest;
mod misplaced;
mod openings;
mod report;
mod sets;
mod snapshots;

pub use report::{RepairReport, RepairedFile};

use crate::data_dir::take_lock;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, RealDisk, replace};
use crate::error::{Doing, StoreError};
use crate::log::reader::LogReader;
use crate::partition::recovery::{Recovered, Recovery, recover};
use crate::partition::site::Site;
use std::path::Path;
use std::sync::Arc;

/// File of the report, in the data directory.
const REPORT: &str = "repair.txt";

/// Repairs the data directory `dir`. When nothing is damaged it does no more than any start: it cuts off a torn
/// end. The report is also written to `repair.txt` there.
///
/// # Errors
/// [`StoreError::InUse`] while a process works there; [`StoreError::Format`] when another version wrote it;
/// [`StoreError::Io`] when the disk refuses.
pub fn repair(dir: &Path) -> Result<RepairReport, StoreError> {
    repair_on(Arc::new(RealDisk), dir)
}

/// Returns what [`repair`] would do, and changes nothing.
///
/// # Errors
/// As [`repair`].
pub fn plan_repair(dir: &Path) -> Result<RepairReport, StoreError> {
    plan_repair_on(Arc::new(RealDisk), dir)
}

/// As [`repair`], on any disk.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<RepairReport, StoreError> {
    disk.list(dir).doing("list", dir)?;
    let _lock = take_lock(&*disk, dir)?;
    let report = repair_all(&*disk, dir)?;
    if !report.files.is_empty() {
        let file = dir.join(REPORT);
        replace(&*disk, &file, format!("{report}\n").as_bytes()).doing("write", &file)?;
    }
    Ok(report)
}

/// As [`plan_repair`], on any disk.
///
/// # Errors
/// As [`repair`].
pub fn plan_repair_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<RepairReport, StoreError> {
    disk.list(dir).doing("list", dir)?;
    let _lock = take_lock(&*disk, dir)?;
    plan_unlocked(disk.clone(), dir)
}

/// As [`plan_repair_on`], for a directory that no other process can know.
pub(crate) fn plan_unlocked(disk: Arc<dyn Disk>, dir: &Path) -> Result<RepairReport, StoreError> {
    repair_all(&Overlay::new(disk), dir)
}

fn repair_all(disk: &dyn Disk, dir: &Path) -> Result<RepairReport, StoreError> {
    let mut report = RepairReport::default();
    let sites = layout::repair(disk, dir, &mut report)?;
    misplaced::repair(disk, &sites, &mut report)?;
    for site in &sites {
        repair_partition(disk, site, &mut report)?;
    }
    Ok(report)
}

fn repair_partition(disk: &dyn Disk, site: &Site, report: &mut RepairReport) -> Result<(), StoreError> {
    let partition = LogReader { disk, dir: &site.dir, partition: site.place.partition };
    // Looked at first, so that a repair of what is whole writes no more than a start.
    let recovery = match look(&partition, site, report)? {
        Some(recovery) => recovery,
        None => {
            let found = manifest::read(disk, site, report)?;
            aside::unreadable(&partition, report)?;
            snapshots::repair(&partition, report)?;
            log::repair(&partition, &found, report)?;
            snapshots::repair_beginning(&partition, report)?;
            manifest::write(&partition, found, report)?;
            let recovery = recover(&partition, site, &|_| {})?.recovery;
            report.cut(&recovery);
            recovery
        }
    };
    report.vehicles += recovery.vehicles;
    report.orphans += recovery.orphans;
    report.kept_aside.extend(recovery.kept_aside);
    Ok(())
}

/// Returns what a start recovers, if the partition can be opened with its newest snapshot, and its history be read.
fn look(
    partition: &LogReader<'_>,
    site: &Site,
    report: &mut RepairReport,
) -> Result<Option<Recovery>, StoreError> {
    match recover(partition, site, &|_| {}) {
        Ok(Recovered { recovery, .. }) => {
            report.cut(&recovery);
            let is_whole = match log::is_whole(partition) {
                // History that no start reads.
                Err(err) if aside::is_unreadable(&err) => false,
                looked => looked?,
            };
            Ok((is_whole && recovery.bad_snapshots.is_empty()).then_some(recovery))
        }
        Err(err) if err.is_damage() || aside::is_unreadable(&err) => Ok(None),
        Err(err) => Err(err),
    }
}
