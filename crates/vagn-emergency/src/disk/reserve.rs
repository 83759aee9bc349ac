//! The file of the incident store, with disk space set aside for it: a disk that positions have filled must still take
//! an alarm.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use tracing::warn;
use vagn_store::private::FILE_MODE;

/// A locked file that owns `reserved` bytes on disk beyond its length.
#[derive(Debug)]
pub(crate) struct ReservedFile {
    file: File,
    reserved: u64,
    can_reserve: AtomicBool,
}

impl ReservedFile {
    /// Opens or creates the file at `path`. If the file system cannot reserve space, logs it and goes on.
    ///
    /// # Errors
    /// When the file can neither be opened nor created, or another process has it open.
    pub(crate) fn open(path: &Path, reserved: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)?;
        file.try_lock()?;
        let reserved_file = Self { file, reserved, can_reserve: AtomicBool::new(true) };
        reserved_file.reserve();
        // The directory must remember the file before anything in it can count as safe.
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
        Ok(reserved_file)
    }

    fn reserve(&self) {
        if self.reserved == 0 || !self.can_reserve.load(Ordering::Relaxed) {
            return;
        }
        let owned = self.len().and_then(|len| keep_size(&self.file, len + self.reserved));
        if let Err(err) = owned {
            // Logged once, not with every change of length.
            self.can_reserve.store(false, Ordering::Relaxed);
            warn!(bytes = self.reserved, error = %err, "cannot set disk space aside for incidents");
        }
    }
}

/// Reserves the first `bytes` of `file` without changing its length.
fn keep_size(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; the call touches no memory of ours.
    let done = unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, bytes) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl StorageBackend for ReservedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        // A file that is cut gives its space back to the disk.
        self.reserve();
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn owns_its_space_before_it_uses_it_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incidents.redb");
        let file = ReservedFile::open(&path, 1 << 20).unwrap();
        let on_disk = || std::fs::metadata(&path).unwrap().blocks() * 512;
        // Where the file system cannot reserve, nothing is owned and the log says so.
        let owned = if file.can_reserve.load(Ordering::Relaxed) { 1 << 20 } else { 0 };
        assert_eq!(file.len().unwrap(), 0);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(on_disk() >= owned);
        file.set_len(1 << 19).unwrap();
        file.set_len(0).unwrap();
        assert!(on_disk() >= owned, "cutting the file gave its space away");
    }

    #[test]
    fn has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incidents.redb");
        let file = ReservedFile::open(&path, 4096).unwrap();
        assert!(ReservedFile::open(&path, 4096).is_err());
        drop(file);
        assert!(ReservedFile::open(&path, 4096).is_ok());
    }
}
