//! Errors of the files of a node.

use std::io;
use std::path::PathBuf;

use vagn_cluster::DiskFault;

/// Reason why the files of a node cannot be opened. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
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
    /// Another process works on them, or the last user in this one has not let go of them yet.
    #[error("the files of the cluster in {} are in use", .dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// They were written by another version of this software.
    #[error("{} has format {found}, and this version reads format {newest}; nothing was changed: run the version that wrote it, or give \
        this node a new data directory, into which it copies its shards from the others", .file.display())]
    Format {
        /// The manifest.
        file: PathBuf,
        /// Format that it has.
        found: u32,
        /// The format read here.
        newest: u32,
    },
    /// They belong to another fleet.
    #[error("{} is of the data set '{found}', and this node is to serve '{asked}'; choose the other data directory, or the other data set",
        .file.display())]
    OtherDataSet {
        /// The manifest.
        file: PathBuf,
        /// Data set that it names.
        found: String,
        /// Data set that was asked for.
        asked: String,
    },
    /// The manifest is not what was written.
    #[error("{} is damaged; put a copy back, or move {} away: this node then copies its shards from the others", .file.display(),
        .file.parent().unwrap_or(.file).display())]
    Damaged {
        /// The manifest.
        file: PathBuf,
    },
    /// There are shards, and no manifest.
    #[error("{} is missing beside {}; put it back, or move both away: this node then copies its shards from the others", .file.display(),
        .beside.display())]
    Missing {
        /// The manifest.
        file: PathBuf,
        /// File or folder that is there only beside a manifest.
        beside: PathBuf,
    },
}

/// Adds operation and path to an error of the disk.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, FilesError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, FilesError> {
        self.map_err(|source| FilesError::Io { doing, path: path.to_owned(), source })
    }
}

/// Returns the fault that an error of a write is, once no part of it is left: of a lack the node tries again.
pub(super) fn fault_of(err: &io::Error) -> DiskFault {
    let lacks = [libc::ENOMEM, libc::EMFILE, libc::ENFILE];
    if is_no_room(err) || err.raw_os_error().is_some_and(|errno| lacks.contains(&errno)) {
        DiskFault::Full
    } else {
        DiskFault::Broken
    }
}

/// Says what a write lacked that is tried again.
pub(super) fn lack_of(err: &io::Error) -> &'static str {
    match err.raw_os_error() {
        _ if is_no_room(err) => "no room",
        Some(libc::ENOMEM) => "no memory",
        _ => "no file handle",
    }
}

/// Returns true when the disk has no room. To a writer a quota is the same: it can go on once there is some.
pub(super) fn is_no_room(err: &io::Error) -> bool {
    [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&err.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again_is_called_by_its_name() {
        let lacks = [libc::ENOSPC, libc::EDQUOT, libc::ENOMEM, libc::EMFILE, libc::ENFILE].map(|errno| {
            let err = io::Error::from_raw_os_error(errno);
            assert_eq!(fault_of(&err), DiskFault::Full);
            lack_of(&err)
        });
        assert_eq!(lacks, ["no room", "no room", "no memory", "no file handle", "no file handle"]);
        assert_eq!(fault_of(&io::Error::from_raw_os_error(libc::EIO)), DiskFault::Broken);
    }
}
