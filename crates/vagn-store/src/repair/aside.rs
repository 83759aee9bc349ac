//! Keeps what a repair replaces: under a name beside it that is not yet taken.

use super::{RepairReport, RepairedFile};
use crate::disk::Disk;
use crate::error::{Doing, SYNC, StoreError};
use crate::log::reader::LogReader;
use crate::log::segment::Segment;
use crate::snapshot::Snapshot;
use std::io;
use std::path::{Path, PathBuf};

const ENDING: &str = ".damaged";

/// Copies a damaged file to a name beside it.
pub(super) fn keep_copy(partition: &LogReader<'_>, file: &Path) -> Result<PathBuf, StoreError> {
    let copy = free_name(partition.disk, file)?;
    partition.disk.copy(file, &copy).doing("copy", file)?;
    partition.disk.sync_dir(partition.dir).doing(SYNC, partition.dir)?;
    Ok(copy)
}

/// Moves a file, or whatever stands in its place, to a name beside it.
pub(super) fn move_aside(disk: &dyn Disk, file: &Path) -> Result<PathBuf, StoreError> {
    let moved = free_name(disk, file)?;
    disk.rename(file, &moved).doing("rename", file)?;
    let dir = file.parent().unwrap_or(file);
    disk.sync_dir(dir).doing(SYNC, dir)?;
    Ok(moved)
}

fn free_name(disk: &dyn Disk, file: &Path) -> Result<PathBuf, StoreError> {
    let dir = file.parent().unwrap_or(file);
    let taken = disk.list(dir).doing("list", dir)?;
    let mut name = format!("{}{ENDING}", file.file_name().unwrap_or_default().to_string_lossy());
    // A repair that is done again must not replace the copy of the first one, which is the older state.
    while taken.contains(&name) {
        name.push('+');
    }
    Ok(dir.join(name))
}

/// Returns true for the error of a file that is no file: a directory, or a link that leads nowhere.
pub(super) fn is_unreadable(err: &StoreError) -> bool {
    matches!(err, StoreError::Io { source, .. } if is_no_file(source.kind()))
}

fn is_no_file(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::IsADirectory | io::ErrorKind::NotFound)
}

/// Moves aside what has the name of a segment or a snapshot and is no file.
pub(super) fn unreadable(partition: &LogReader<'_>, report: &mut RepairReport) -> Result<(), StoreError> {
    let segments = Segment::list(partition.disk, partition.dir)?.into_iter().map(|segment| segment.path);
    let snapshots = Snapshot::list(partition.disk, partition.dir)?.into_iter().map(|snapshot| snapshot.path);
    for file in segments.chain(snapshots) {
        move_if_no_file(partition.disk, &file, report)?;
    }
    Ok(())
}

/// Moves `file` aside if something is there and is no file. Returns true when it was.
pub(super) fn move_if_no_file(
    disk: &dyn Disk,
    file: &Path,
    report: &mut RepairReport,
) -> Result<bool, StoreError> {
    let dir = file.parent().unwrap_or(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Err(err) = disk.open(file) else { return Ok(false) };
    if !is_no_file(err.kind()) || !disk.list(dir).doing("list", dir)?.contains(&name) {
        return Ok(false);
    }
    let moved_to = Some(move_aside(disk, file)?);
    let done = "it was no file, and was moved away";
    report.files.push(RepairedFile { file: file.to_owned(), moved_to, offset: 0, lost: 0, done });
    Ok(true)
}
