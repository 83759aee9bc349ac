//! What can go wrong in the store, and where.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused.
    #[error("could not {doing} {}", .path.display())]
    Io {
        /// What was tried, as in "could not … FILE".
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// Another process works on the data directory.
    #[error("the data directory {} is in use by another process{}", .dir.display(), pid_note(.pid))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who has it, if it said so.
        pid: Option<u32>,
    },
    /// A file holds what was never written there, and not at the end where a crash would explain it.
    #[error("{} is damaged at offset {offset}: {what}; `vagn repair` can move it aside", .file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Offset in bytes of the first thing that cannot be read.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A file was written by another version of this software.
    #[error("{} has format {found}, and this version reads format {newest}", .file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The format read here.
        newest: u32,
    },
    /// An earlier failure stopped the partition for good; it must be opened again.
    #[error("partition {partition} stopped: {reason}")]
    Failed {
        /// Which partition.
        partition: u32,
        /// The first error.
        reason: String,
    },
    /// Too little free space; goes on by itself when there is more.
    #[error("only {free_bytes} bytes are free below {}, and {floor_bytes} are to stay free", .dir.display())]
    Full {
        /// The directory of the partition.
        dir: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What must stay free.
        floor_bytes: u64,
    },
}

fn pid_note(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Says what was being done to which file when the disk refused.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { doing, path: path.to_owned(), source })
    }
}

impl StoreError {
    /// Whether the disk had no room for what was written.
    pub(crate) fn is_no_room(&self) -> bool {
        let no_room = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, StoreError::Io { source, .. } if no_room.contains(&source.kind()))
    }
}
