//! What can go wrong in the store, and where.

use std::io;
use std::path::{Path, PathBuf};

/// Error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused an operation.
    #[error("could not {doing} {}", .path.display())]
    Io {
        /// Operation that was tried, as in "could not … FILE".
        doing: &'static str,
        /// File or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Another process works on the data directory.
    #[error("the data directory {} is in use by another process{}", .dir.display(), pid_note(.pid))]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// Process that has it, if the lock file says so.
        pid: Option<u32>,
    },
    /// A file holds what was never written there, at a spot that no crash explains.
    #[error("{} is damaged at offset {offset}: {what}; `vagn repair` can move it aside", .file.display())]
    Corrupt {
        /// File that is damaged.
        file: PathBuf,
        /// Offset in bytes of the first thing that cannot be read.
        offset: u64,
        /// Description of the damage.
        what: &'static str,
    },
    /// A file was written by another version of this software.
    #[error("{} has format {found}, and this version reads format {newest}", .file.display())]
    Format {
        /// File of the other format.
        file: PathBuf,
        /// Format that it has.
        found: u32,
        /// The format read here.
        newest: u32,
    },
    /// An earlier failure stopped the partition for good; it must be opened again.
    #[error("partition {partition} stopped: {reason}")]
    Failed {
        /// Number of the partition.
        partition: u32,
        /// First error, with its cause.
        reason: String,
    },
    /// Too little free space; goes on by itself when there is more.
    #[error("only {free_bytes} bytes are free below {}, and {floor_bytes} are to stay free", .dir.display())]
    Full {
        /// The directory of the partition.
        dir: PathBuf,
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that are to stay free.
        floor_bytes: u64,
    },
}

fn pid_note(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Adds operation and file to an error of the disk.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { doing, path: path.to_owned(), source })
    }
}

impl StoreError {
    pub(crate) fn corrupt(file: &Path, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt { file: file.to_owned(), offset, what }
    }

    /// Returns true when the disk had no room for what was written.
    pub(crate) fn is_no_room(&self) -> bool {
        let no_room = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        // To the writer a quota is the same as a full disk: it can go on once there is room.
        matches!(self, StoreError::Io { source, .. } if no_room.contains(&source.kind()))
    }
}
