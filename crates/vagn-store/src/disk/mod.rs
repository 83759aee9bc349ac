//! The disk as the store sees it: files that grow at their end, directories, and what makes either durable.
//!
//! What is written is safe from a crash of the process; only what was synced is safe from a crash of the
//! machine. That holds for directories too: a file that was created or renamed may be gone, or back under its
//! old name, until its directory was synced.

#[cfg(any(test, feature = "faults"))]
pub mod faulty;
pub(crate) mod overlay;
mod real;

pub use real::RealDisk;

use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file that is open for reading and for writing at its end. Shared by the writer and the thread that
/// syncs.
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at the end, in one system call unless the disk takes less. After an error, any
    /// part of `bytes` may have been written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Reads from `offset` into `buffer`; returns the number of bytes read, less than asked for only at the end
    /// of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Returns the length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file to `size` bytes.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes durable what was written and cut so far. After an error the content of the disk is unknown.
    fn sync(&self) -> io::Result<()>;
}

/// Holds a lock until it is dropped.
pub trait DiskLock: Send + Sync {}

/// A file system.
pub trait Disk: Send + Sync {
    /// Creates `path` and its missing parents, durably.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates an empty file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Returns the names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Renames a file or directory; a file of the new name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; its name may be back after a crash until the directory is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all that is in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a copy of a file, with its content durable; a file of the new name is replaced.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, under which it is the same file. A disk that cannot do this says so.
    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes durable the names in a directory.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Returns the bytes that may still be written below `dir`.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;

    /// Takes the directory `dir` for this process alone, whatever is in it; `WouldBlock` when another has it. `told` is a file
    /// in it that tells by whom.
    fn lock(&self, dir: &Path, told: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// Reads a whole file; for small ones.
pub(crate) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
    let got = file.read_at(0, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Ending of the files that [`replace`] writes aside.
pub(crate) const TEMPORARY: &str = ".tmp";

/// Puts `bytes` under the name `to` so that a crash leaves the old content or the new, never a part of it.
pub(crate) fn replace(disk: &dyn Disk, to: &Path, bytes: &[u8]) -> io::Result<()> {
    // Synced before the rename: else a crash could leave the new name over content that never arrived.
    let temp = to.with_extension("tmp");
    let written = disk.create(&temp).and_then(|file| file.append(bytes).and_then(|()| file.sync()));
    if let Err(err) = written {
        // It would take up room that others may need; if it stays, the next try replaces it.
        let _removed = disk.remove(&temp);
        return Err(err);
    }
    disk.rename(&temp, to)?;
    disk.sync_dir(to.parent().unwrap_or(Path::new(".")))
}
