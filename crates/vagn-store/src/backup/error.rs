//! What can go wrong with a backup.

use crate::error::StoreError;
use std::path::PathBuf;

/// Error of a backup or restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory that is to be made holds something.
    #[error("{} is not empty; name a directory that is not there yet, or is empty", .dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory that is to be made lies in the data directory.
    #[error("{} lies in the data directory {}, of which it is to be a copy; name a directory elsewhere", .dir.display(), .of.display())]
    Inside {
        /// The directory that is to be made.
        dir: PathBuf,
        /// The data directory.
        of: PathBuf,
    },
    /// The directory that is to be made has an unfinished backup.
    #[error("{} holds a backup that was not finished; remove it, and make it again", .dir.display())]
    Leftover {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory in which another one is to be made is not there.
    #[error("there is no directory {}; make it first", .dir.display())]
    NoParent {
        /// The directory that is missing.
        dir: PathBuf,
    },
    /// There is too little space.
    #[error("{needed} bytes are needed below {}, and {free} are free; make room, or take a directory on another disk", .dir.display())]
    NoRoom {
        /// The directory that is to be filled.
        dir: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A part of the fleet is not open.
    #[error("partition {partition} is not open, and a copy without it would be none; /readyz says why")]
    NotOpen {
        /// Number of the partition.
        partition: u32,
    },
    /// The number of partitions is being changed.
    #[error(
        "the fleet is being distributed over another number of partitions; make the copy when the service is ready"
    )]
    Distributing,
    /// There is no data directory.
    #[error("{} is no data directory: it has no manifest", .dir.display())]
    NoData {
        /// The directory.
        dir: PathBuf,
    },
    /// A file that was to be copied is gone: the disk ran full.
    #[error("{} had to go before it was copied, because the disk of the data directory ran full; make room, and make the copy again",
        .file.display())]
    Overtaken {
        /// The file.
        file: PathBuf,
    },
    /// It was told to end.
    #[error("it was interrupted")]
    Interrupted,
    /// The directory is no backup, or one that was not finished.
    #[error("{} holds no finished backup: it has no list of its files; if it was interrupted, make it again", .dir.display())]
    Unfinished {
        /// The directory.
        dir: PathBuf,
    },
    /// A file is not as it was copied.
    #[error("{} is not what was copied: {what}; take another backup", .file.display())]
    Changed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The copy cannot be opened, because what was copied is damaged.
    #[error(
        "the copy is whole, but what was copied is damaged: {report}; stop the service, run `vagn repair`, and make the copy again"
    )]
    Damaged {
        /// What a repair would do.
        report: String,
    },
    /// Anything else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// Returns true when a directory was named that cannot be used for what it was named for: another one may do.
    pub fn is_wrong_place(&self) -> bool {
        use BackupError::{Inside, Leftover, NoData, NoParent, NotEmpty};
        let is_of_others = matches!(self, Leftover { .. } | NotEmpty { .. });
        is_of_others || matches!(self, Inside { .. } | NoData { .. } | NoParent { .. })
    }
}
