//! The log of one partition: everything that changed its index, in order, in segments of fixed-size records.
//!
//! The format is written down in `docs/log-format.md`. Every record has a number, counted from the beginning
//! of the partition; the number is part of its checksum, so that a record in a wrong place is no record.

pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod seen;
pub(crate) mod segment;
pub(crate) mod writer;

/// A place in the log of a partition: how many records come before it. Never goes back, across segments and
/// restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition(pub u64);

impl LogPosition {
    /// How many bytes of records lie before it.
    pub fn bytes(self) -> u64 {
        self.0 * record::LEN as u64
    }
}
