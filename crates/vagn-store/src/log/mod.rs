//! The log of one partition: everything that changed its index, in order, in segments of fixed-size records.
//!
//! The format is written down in `docs/log-format.md`. Every record has an index, counted from the beginning of
//! the partition; the index is part of its checksum, so that a record that stands elsewhere is no record.

pub(crate) mod aside;
#[cfg(test)]
pub(crate) mod fuzz;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod stamps;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

use crate::OrderNumber;
use std::path::{Path, PathBuf};

/// A position in the log of a partition. Never goes back, across segments and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct LogPosition {
    /// Number of records before it.
    pub(crate) record: u64,
    /// Higher than the order number of every record before it, and at most that of the next.
    pub(crate) order: OrderNumber,
}

impl LogPosition {
    /// Returns the file in `dir` that begins here. The name holds both numbers, so that they are known where the
    /// header is damaged.
    pub(crate) fn file(self, dir: &Path, extension: &str) -> PathBuf {
        dir.join(format!("{:020}-{:020}{extension}", self.record, self.order.0))
    }

    /// Returns the position in a file's name; `None` for all other names.
    pub(crate) fn of_name(name: &str, extension: &str) -> Option<LogPosition> {
        let (record, order) = name.strip_suffix(extension)?.split_once('-')?;
        let position = LogPosition { record: record.parse().ok()?, order: OrderNumber(order.parse().ok()?) };
        // Only as it is written: a name that is read, but is not made again, would be looked for in vain.
        (Path::new(name) == position.file(Path::new(""), extension)).then_some(position)
    }
}
