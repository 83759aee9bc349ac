//! Backups: a copy of a data directory at one moment, of a service that runs or is stopped, and the way back.
//!
//! ```text
//! DIR/backup             what belongs to the copy: lengths and checksums; written last, so that a copy without it is not whole
//! DIR/backup.unchecked   the same, until the copy was read back
//! DIR/data/…             the data directory, as after an orderly stop
//! ```
//! The moment of a partition is the end of its log that was durable when the copy began, with all that was written before: the
//! [`FleetSource`]. What is copied besides, such as the incident store, its owner puts into the copy, after the partitions and
//! before the list is closed. Files that never change are linked where both are on one file system.

mod check;
mod error;
mod files;
#[cfg(test)]
mod fuzz;
mod list;
mod restore;
mod source;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::ControlFlow;

pub use check::UncheckedBackup;
pub use error::BackupError;
pub use list::CopiedShard;
pub use restore::{Backup, RestoreReport};
pub use source::FleetSource;
pub use writer::BackupWriter;

pub(crate) use restore::RESTORING;

/// Progress of a backup or restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// Step that is under way.
    pub step: BackupStep,
    /// Bytes done in this step.
    pub done: u64,
    /// Bytes of this step.
    pub total: u64,
}

/// The steps of a backup or restore, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupStep {
    /// Files are copied or linked.
    Copy,
    /// What was written is read back.
    Check,
}

/// Hears of the progress, and may end the work.
pub type Interrupt<'a> = &'a dyn Fn(BackupProgress) -> ControlFlow<()>;
