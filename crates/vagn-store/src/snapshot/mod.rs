//! Snapshots: the vehicles of a partition, so that its log need not be read from the beginning.
//!
//! A snapshot is fuzzy. The position in the log is noted first, then the slots are written a slice at a time while
//! vehicles go on moving. Reading the log over it, from the noted position, repeats changes that the snapshot may hold
//! already. A position gives the whole of a row and a count is noted, begun anew or set, each of which may be done twice; so
//! the outcome is exact at the position where the last slice was written. A snapshot gets its name only when the log is
//! durable up to there.
//!
//! The counts of sealed vehicles that left come last, by a cursor too. One that is missed because its vehicle left meanwhile is
//! added by the record of its leaving: the vehicle is in the snapshot then, or came with a record after the noted position. One
//! whose vehicle came again is taken out by the records of that.

mod block;
#[cfg(test)]
mod fuzz;
pub(crate) mod reader;
pub(crate) mod writer;

pub(crate) use block::{first_departed, first_vehicle, put_departed, put_vehicle};

use crate::disk::Disk;
use crate::error::{Doing, StoreError};
use crate::index::{DepartedCount, Held};
use crate::log::LogPosition;
use crate::log::stamps::Stamps;
use std::path::{Path, PathBuf};

const EXTENSION: &str = ".snap";

/// What a snapshot has, one by one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept<'a> {
    Vehicle(Held<'a>),
    Departed(DepartedCount),
}

/// A snapshot in the directory of its partition, named by the position from which the log is to be read over
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) position: LogPosition,
    pub(crate) path: PathBuf,
}

impl Snapshot {
    pub(crate) fn new(dir: &Path, position: LogPosition) -> Snapshot {
        Snapshot { position, path: position.file(dir, EXTENSION) }
    }

    /// Returns true for the name of a snapshot.
    pub(crate) fn is_name(name: &str) -> bool {
        LogPosition::of_name(name, EXTENSION).is_some()
    }

    /// Returns the snapshots in `dir`, oldest first.
    pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Snapshot>, StoreError> {
        let names = disk.list(dir).doing("list", dir)?;
        let positions = names.iter().filter_map(|name| LogPosition::of_name(name, EXTENSION));
        let mut snapshots: Vec<_> = positions.map(|position| Snapshot::new(dir, position)).collect();
        snapshots.sort_unstable_by_key(|snapshot| snapshot.position);
        Ok(snapshots)
    }
}

/// End of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Position of the log when the last slice was written; the log is durable up to here.
    pub(crate) complete_at: LogPosition,
    /// Number of vehicles in the snapshot.
    pub(crate) vehicles: u64,
    /// Number of counts of vehicles that left.
    pub(crate) departed: u64,
    pub(crate) stamps: Stamps,
}
