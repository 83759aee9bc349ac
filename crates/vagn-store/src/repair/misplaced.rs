//! Repair of segments that stand under the name of another one: what they are is in their headers.

use super::aside::move_aside;
use super::{RepairReport, RepairedFile};
use crate::disk::Disk;
use crate::error::{Doing, SYNC, StoreError};
use crate::log::record::LEN;
use crate::log::segment::{Segment, SegmentHeader};
use crate::partition::site::Site;
use std::path::{Path, PathBuf};

/// Ending of a segment that had to make room for the one whose name it had.
const AWAY: &str = ".misplaced";

/// Gives every segment the name that its header tells, in whatever partition of the set it was found. One whose place is taken
/// by a good one goes aside.
pub(super) fn repair(disk: &dyn Disk, sites: &[Site], report: &mut RepairReport) -> Result<(), StoreError> {
    for site in sites {
        let names = disk.list(&site.dir).doing("list", &site.dir)?;
        for name in &names {
            let path = site.dir.join(name);
            let is_one = Segment::is_log_name(name.strip_suffix(AWAY).unwrap_or(name));
            if let Some(right) = is_one.then(|| right_path(disk, sites, &path)).flatten() {
                put_right(disk, sites, path, right, report)?;
            }
        }
    }
    Ok(())
}

/// Moves the segment at `path` to its place; the one that stands there goes to its own first, or makes room until its turn
/// comes.
fn put_right(
    disk: &dyn Disk,
    sites: &[Site],
    path: PathBuf,
    right: PathBuf,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    // Moved already, in the turn of another one.
    if path == right || disk.open(&path).is_err() {
        return Ok(());
    }
    if disk.open(&right).is_ok() {
        let is_there_rightly = right_path(disk, sites, &right).is_none_or(|its| its == right);
        if is_there_rightly && is_whole(disk, &right) {
            let moved_to = Some(move_aside(disk, &path)?);
            let done = "its place is taken by a good one, so it was moved away";
            report.files.push(RepairedFile { file: path, moved_to, offset: 0, lost: 0, done });
            return Ok(());
        }
        let mut away = right.clone().into_os_string();
        away.push(AWAY);
        let away = PathBuf::from(away);
        rename(disk, &right, &away)?;
        let its = right_path(disk, sites, &away);
        rename(disk, &path, &right)?;
        let taken_name = right.clone();
        note(path, right, report);
        return match its {
            Some(its) => put_right(disk, sites, away, its, report),
            None => {
                let done = "it does not tell what it is, and made room for the one whose name it had";
                report.files.push(RepairedFile {
                    file: taken_name,
                    moved_to: Some(away),
                    offset: 0,
                    lost: 0,
                    done,
                });
                Ok(())
            }
        };
    }
    rename(disk, &path, &right)?;
    note(path, right, report);
    Ok(())
}

fn note(file: PathBuf, right: PathBuf, report: &mut RepairReport) {
    let done = "it stood under the name of another one, and was given its own";
    report.files.push(RepairedFile { file, moved_to: Some(right), offset: 0, lost: 0, done });
}

fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    disk.rename(from, to).doing("rename", from)?;
    for dir in [to.parent(), from.parent()].into_iter().flatten() {
        disk.sync_dir(dir).doing(SYNC, dir)?;
    }
    Ok(())
}

/// Returns the path that the header of the segment at `path` tells; `None` when it is not whole, or of no partition here.
fn right_path(disk: &dyn Disk, sites: &[Site], path: &Path) -> Option<PathBuf> {
    let header = header(disk, path)?;
    let site = sites.iter().find(|site| site.place.partition == header.partition)?;
    Some(Segment::new(&site.dir, header.start).path)
}

fn is_whole(disk: &dyn Disk, path: &Path) -> bool {
    header(disk, path).is_some()
}

fn header(disk: &dyn Disk, path: &Path) -> Option<SegmentHeader> {
    let mut bytes = [0; LEN];
    disk.open(path).ok()?.read_at(0, &mut bytes).ok()?;
    SegmentHeader::decode_any(&bytes).ok()
}
