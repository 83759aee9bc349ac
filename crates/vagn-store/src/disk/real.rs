//! The disk of the operating system.

use super::{Disk, DiskFile, DiskLock};
use crate::private::{DIR_MODE, FILE_MODE};
use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Files below the paths given, as the operating system has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile(File);

struct RealLock(
    #[expect(dead_code, reason = "the lock lasts as long as the files are open")] [Option<File>; 2],
);

impl DiskLock for RealLock {}

impl DiskFile for RealFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < buffer.len() {
            match self.0.read_at(&mut buffer[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(got)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        // The length of the file goes with the data; times of access and change do not matter here.
        self.0.sync_data()
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // Without a sync: most starts find the directory, and it was made durable when it was created.
        if path.is_dir() {
            return Ok(());
        }
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        self.create_dir(parent)?;
        match DirBuilder::new().mode(DIR_MODE).create(path) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
            _ => self.sync_dir(parent),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        // Truncation and append cannot be asked for together, so an old file goes first.
        match fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        let created = OpenOptions::new().read(true).append(true).create_new(true).mode(FILE_MODE).open(path);
        let file = created.map_err(|err| self.explain(err, path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).append(true).open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::copy(from, to)?;
        File::open(to)?.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let stat = file_system(dir)?;
        // `f_bavail` leaves out the blocks that are reserved for root.
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, dir: &Path, told: &Path) -> io::Result<Box<dyn DiskLock>> {
        // On the directory itself: a file in it can be removed, and the next process would lock a new one.
        let whole = File::open(dir)?;
        let whole = match whole.try_lock() {
            Ok(()) => Some(whole),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            // Some network file systems lock files only.
            Err(TryLockError::Error(_)) => None,
        };
        let file = match lock_file(told) {
            Ok(file) => Some(file),
            // The directory is locked: a file that cannot be had, whatever stands in its place, is no reason to stop.
            Err(err) if whole.is_some() && err.kind() != io::ErrorKind::WouldBlock => None,
            Err(err) => return Err(err),
        };
        // The pid is for the message to a process that is refused. The lock is on the file and not on its content, so
        // that a full disk is no reason to stop.
        let tell = |mut file: &File| file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        let _told = file.as_ref().map(tell);
        Ok(Box::new(RealLock([whole, file])))
    }
}

impl RealDisk {
    /// Tells used-up inodes from too little space: the kernel has one error for both, and the remedies differ.
    fn explain(&self, err: io::Error, path: &Path) -> io::Error {
        let Some(dir) = path.parent().filter(|_| err.kind() == io::ErrorKind::StorageFull) else {
            return err;
        };
        match file_system(dir) {
            // A file system that has no fixed number of them says zero of zero.
            Ok(stat) if stat.f_favail == 0 && stat.f_files > 0 => {
                let what =
                    "the file system has no inodes left, so that no file can be made; remove small files";
                io::Error::new(err.kind(), what)
            }
            _ => err,
        }
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(err)) => Err(err),
    }
}

fn file_system(dir: &Path) -> io::Result<libc::statvfs> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL and `stat` is as large as the call writes.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the structure.
    Ok(unsafe { stat.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_a_file_at_its_end_and_cuts_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = RealDisk.create(&path).unwrap();
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        file.truncate(8).unwrap();
        file.append(b"!").unwrap();
        file.sync().unwrap();
        let mut buffer = [0; 32];
        let got = RealDisk.open(&path).unwrap().read_at(6, &mut buffer).unwrap();
        assert_eq!(&buffer[..got], b"wo!");
        assert_eq!(RealDisk.create(&path).unwrap().size().unwrap(), 0);
    }

    #[test]
    fn what_it_makes_is_for_nobody_else() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("a"), dir.path().join("a/b"));
        RealDisk.create_dir(&inner).unwrap();
        RealDisk.create(&inner.join("log")).unwrap();
        RealDisk.copy(&inner.join("log"), &inner.join("copy")).unwrap();
        let _lock = RealDisk.lock(&inner, &inner.join("lock")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&outer), mode(&inner)), (0o700, 0o700));
        for name in ["log", "copy", "lock"] {
            assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn lets_only_one_hold_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("lock");
        let lock = || RealDisk.lock(dir.path(), &told);
        let held = lock().unwrap();
        assert_eq!(lock().err().unwrap().kind(), io::ErrorKind::WouldBlock);
        std::fs::remove_file(&told).unwrap();
        assert_eq!(
            lock().err().unwrap().kind(),
            io::ErrorKind::WouldBlock,
            "the file is gone, the lock is not"
        );
        drop(held);
        lock().unwrap();
    }

    #[test]
    fn knows_the_free_space() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RealDisk.free_space(dir.path()).unwrap() > 0);
        assert!(RealDisk.free_space(&dir.path().join("missing")).is_err());
    }
}
