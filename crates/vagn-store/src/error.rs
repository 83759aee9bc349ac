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
    /// A file or directory is not there, and a manifest says that it must be.
    #[error("{} is missing, and {} says that it must be there; put it back (is a volume not mounted?), or go on without what is \
        lost by `vagn repair`", .file.display(), .manifest.display())]
    Missing {
        /// What is missing.
        file: PathBuf,
        /// Manifest that names it.
        manifest: PathBuf,
    },
    /// A file or directory is whole, and belongs in another place.
    #[error("{} holds what belongs to {}; put both back in their places, or let `vagn repair` do it", .file.display(), .of.display())]
    Misplaced {
        /// Place in which it was found.
        file: PathBuf,
        /// Place to which it belongs.
        of: PathBuf,
    },
    /// A manifest is older than what it tells of.
    #[error("{} is older than {}, which it does not know: a copy from before was put in its place; put the newest one back, or \
        let `vagn repair` write it anew from what is there", .manifest.display(), .newer.display())]
    RolledBack {
        /// Manifest of an earlier time.
        manifest: PathBuf,
        /// File or directory that is newer.
        newer: PathBuf,
    },
    /// A partition is a copy from before.
    #[error("{} is from an earlier time: it says that it was opened {opened} times, and {} says {counted}; put the newest copy of the \
        partition back, or go on with what this one has by `vagn repair`", .partition.display(), .manifest.display())]
    Earlier {
        /// Directory of the partition.
        partition: PathBuf,
        /// Number of times that it was opened, by its own manifest.
        opened: u64,
        /// Manifest of the data directory.
        manifest: PathBuf,
        /// Number of times that it was opened, by that manifest.
        counted: u64,
    },
    /// The only set of partitions in a data directory without a manifest is a copy under another name.
    #[error("{} is a copy of fleet-{set}, and no other set of partitions is there; rename it to fleet-{set} if it is the fleet, and run \
        `vagn repair` again", .copy.display())]
    OnlyCopy {
        /// Directory of the copy; the newest where there are several.
        copy: PathBuf,
        /// Number of the set that its partitions name.
        set: u64,
    },
    /// The newest set of partitions is not whole, an older one is, and no manifest says which is in force.
    #[error("{} is the newest set of partitions and is not whole, and {} is whole and older; put back what is missing in the newest, or \
        move away the one that is not the fleet, and run `vagn repair` again", .newest.display(), .whole.display())]
    Undecided {
        /// Directory of the newest set.
        newest: PathBuf,
        /// Directory of the newest set that is whole.
        whole: PathBuf,
    },
    /// The data directory has a fleet, and another one was to be put there.
    #[error("{} has a fleet already; name a directory that is not there yet, or is empty", .dir.display())]
    Used {
        /// The data directory.
        dir: PathBuf,
    },
    /// A restore into the data directory was cut off, or is under way.
    #[error("{} is being restored, or its restore was cut off; run `vagn restore` again, into the same directory", .dir.display())]
    Restoring {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file was written by another version of this software.
    #[error("{} has format {found}, and this version reads format {newest}; nothing was changed: {}", .file.display(),
        other_version(*found, *newest))]
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

/// Names the remedy for a format of another version.
fn other_version(found: u32, newest: u32) -> &'static str {
    if found > newest {
        "it is of a newer version of Vagn; run that one, or restore a backup that this one has made"
    } else {
        "it is of an older version of Vagn, whose data this one does not read; run that one"
    }
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

    /// Returns true when the disk had no room for what was written, or the system no memory to write it. A part of it may have
    /// arrived; once that is cut off the file is as it was.
    pub(crate) fn is_shortage(&self) -> bool {
        let no_memory =
            matches!(self, StoreError::Io { source, .. } if source.raw_os_error() == Some(libc::ENOMEM));
        no_memory || self.is_no_room()
    }

    /// Returns true when no data can have been harmed, so that the same may be tried again: what failed is no write and no sync
    /// of data, or the process had no descriptor to open a directory with.
    pub(crate) fn is_harmless(&self) -> bool {
        let StoreError::Io { doing, source, .. } = self else { return false };
        // No other number of an error says that a sync has not begun, and none says it of a write: a part of it may be there,
        // and a sync reports an error of the disk only once, so that the next one would succeed.
        let has_not_begun =
            *doing == SYNC && matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        has_not_begun || !HARMFUL.contains(doing)
    }

    /// Returns true when the disk itself has failed, or can no longer be written: trying again is of no use.
    pub(crate) fn is_disk_failure(&self) -> bool {
        let StoreError::Io { source, .. } = self else { return false };
        matches!(source.raw_os_error(), Some(libc::EIO | libc::EROFS))
    }

    /// Returns true when the damage is in files, and `vagn repair` has a remedy.
    pub fn is_damage(&self) -> bool {
        use StoreError::{Corrupt, Earlier, Misplaced, Missing, RolledBack};
        let is_from_before = matches!(self, Earlier { .. } | RolledBack { .. });
        is_from_before || matches!(self, Corrupt { .. } | Misplaced { .. } | Missing { .. })
    }

    /// Returns the remedy for an error after which a partition has stopped for good; empty where the error names it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "; the file system has become read-only, as it does after a fault of the disk: mend it, then restart the service"
            }
            StoreError::Io { source, .. } if source.raw_os_error() == Some(libc::EIO) => {
                "; the disk has failed, and what it has of the last second is not known: look into the kernel's log, then restart \
                 the service, on another disk if need be"
            }
            StoreError::Io { .. } => "; restart the service once the cause is mended",
            _ => "",
        }
    }
}

/// Operations after whose failure the content of a file is not known.
const HARMFUL: [&str; 4] = [WRITE, SYNC, SYNC_LOG, CUT];

/// Operation that adds to a file.
pub(crate) const WRITE: &str = "write";
/// Operation that makes a file or the names in a directory durable.
pub(crate) const SYNC: &str = "sync";
/// Operation that makes the log durable.
pub(crate) const SYNC_LOG: &str = "sync the log in";
/// Operation that makes a file shorter.
pub(crate) const CUT: &str = "cut";
