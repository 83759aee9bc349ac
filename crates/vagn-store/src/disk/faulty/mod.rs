//! A disk in memory that fails on purpose and forgets what was not synced; for tests, of other crates too.
//!
//! Every operation that changes something has a number, so that a test can let each one fail in turn. After a
//! crash [`FaultyDisk::restart`] gives the disk that the next process finds.

mod world;

use super::{Disk, DiskFile, DiskLock};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::World;

/// Fault that one operation meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and changes nothing; later ones succeed.
    Error(io::ErrorKind),
    /// A write fails after this many bytes.
    Torn(usize),
    /// A write fails after this many bytes, with an error number of the operating system.
    Short {
        /// Bytes that still arrive.
        bytes: usize,
        /// Number of the error.
        errno: i32,
    },
    /// The machine stops in the middle of it: a write gets so many of its bytes written, anything else
    /// nothing done. All later operations fail.
    Crash {
        /// Bytes of a write that still arrive.
        bytes: usize,
    },
}

/// Loss that comes with a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: only the process died, the machine goes on.
    Nothing,
    /// All that was not synced, names of files included.
    Unsynced,
    /// Of what was not synced any 512-byte sector and the last changes of any directory, by chance with this
    /// seed.
    Some(u64),
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    world: Arc<Mutex<World>>,
}

impl FaultyDisk {
    /// An empty disk that works.
    pub fn new() -> FaultyDisk {
        FaultyDisk::default()
    }

    /// Counts the operations that changed something or tried to.
    pub fn operations(&self) -> u64 {
        self.world.lock().operations
    }

    /// Lets the operation with this number, counted from zero since the disk was made, meet a fault.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.world.lock().faults.insert(operation, fault);
    }

    /// Lets the next operation whose name is `name` meet an error: `append`, `sync`, `sync_dir`, `create`,
    /// `rename`, `remove`, `truncate`.
    pub fn fail_next(&self, name: &'static str, kind: io::ErrorKind) {
        self.world.lock().next_fault = Some((name, kind));
    }

    /// Lets the next `times` operations whose name is `name` fail with this error number of the operating system.
    pub fn fail_next_with_errno(&self, name: &'static str, errno: i32, times: u32) {
        self.world.lock().errno_faults.insert(name, (errno, times));
    }

    /// Sets how many bytes all files together may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.lock().capacity = bytes;
    }

    /// Stops the machine now.
    pub fn crash(&self) {
        self.world.lock().crashed = true;
    }

    /// Returns true once the machine has stopped.
    pub fn has_crashed(&self) -> bool {
        self.world.lock().crashed
    }

    /// Returns the disk as the next process would find it, without faults. This one stays as it is.
    pub fn restart(&self, loss: Loss) -> FaultyDisk {
        FaultyDisk { world: Arc::new(Mutex::new(self.world.lock().after(loss))) }
    }

    /// Changes the content of a file without a write, as a failing disk does. The new content counts as synced.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.world.lock().damage(path, change)
    }
}

struct FaultyFile {
    world: Arc<Mutex<World>>,
    node: usize,
}

struct FaultyLock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
}

impl DiskLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.world.lock().locks.remove(&self.path);
    }
}

impl DiskFile for FaultyFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.world.lock().append(self.node, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.lock().read_at(self.node, offset, buffer)
    }

    fn size(&self) -> io::Result<u64> {
        self.world.lock().size(self.node)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.world.lock().truncate(self.node, size)
    }

    fn sync(&self) -> io::Result<()> {
        self.world.lock().sync(self.node)
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.world.lock().create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let node = self.world.lock().create(path)?;
        Ok(Arc::new(FaultyFile { world: self.world.clone(), node }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let node = self.world.lock().open(path)?;
        Ok(Arc::new(FaultyFile { world: self.world.clone(), node }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.world.lock().list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world.lock().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.world.lock().remove(path, false)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.world.lock().remove(path, true)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = super::read_all(&*self.open(from)?)?;
        let file = self.create(to)?;
        file.append(&bytes)?;
        file.sync()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.world.lock().sync_dir(dir)
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(self.world.lock().free_space())
    }

    fn lock(&self, dir: &Path, told: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.world.lock().take_lock(dir, told)?;
        Ok(Box::new(FaultyLock { world: self.world.clone(), path: dir.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &FaultyDisk, path: &str) -> io::Result<Vec<u8>> {
        super::super::read_all(&*disk.open(Path::new(path))?)
    }

    #[test]
    fn forgets_content_that_was_not_synced() {
        let disk = FaultyDisk::new();
        let file = disk.create(Path::new("a")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.append(b"one").unwrap();
        file.sync().unwrap();
        file.append(b"two").unwrap();
        assert_eq!(read(&disk.restart(Loss::Nothing), "a").unwrap(), b"onetwo");
        assert_eq!(read(&disk.restart(Loss::Unsynced), "a").unwrap(), b"one");
    }

    #[test]
    fn forgets_names_that_were_not_synced() {
        let disk = FaultyDisk::new();
        disk.create(Path::new("a")).unwrap().sync().unwrap();
        assert!(read(&disk.restart(Loss::Unsynced), "a").is_err());

        let disk = FaultyDisk::new();
        disk.create(Path::new("a")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.rename(Path::new("a"), Path::new("b")).unwrap();
        let before = disk.restart(Loss::Unsynced);
        assert!(read(&before, "a").is_ok() && read(&before, "b").is_err());
        for seed in 0..20 {
            let some = disk.restart(Loss::Some(seed));
            assert_eq!(some.list(Path::new("")).unwrap().len(), 1, "a rename is not done by halves");
        }
    }

    #[test]
    fn loses_sectors_by_chance_but_never_synced_ones() {
        let disk = FaultyDisk::new();
        let file = disk.create(Path::new("a")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.append(&[1; 1000]).unwrap();
        file.sync().unwrap();
        file.append(&[2; 2000]).unwrap();
        let contents: Vec<_> =
            (0..50).map(|seed| read(&disk.restart(Loss::Some(seed)), "a").unwrap()).collect();
        assert!(contents.iter().all(|bytes| bytes[..1000] == [1; 1000]));
        let holes =
            contents.iter().filter(|bytes| bytes.len() > 1536 && bytes[1100] == 0 && bytes.ends_with(&[2]));
        assert!(holes.count() > 0, "a later sector may arrive without an earlier one");
    }

    #[test]
    fn meets_its_faults_in_turn() {
        let disk = FaultyDisk::new();
        let file = disk.create(Path::new("a")).unwrap();
        disk.fail_at(1, Fault::Error(io::ErrorKind::Other));
        disk.fail_at(2, Fault::Torn(1));
        disk.fail_at(4, Fault::Crash { bytes: 2 });
        assert!(file.append(b"abc").is_err() && file.append(b"abc").is_err() && file.append(b"xyz").is_ok());
        assert!(file.append(b"def").is_err() && disk.has_crashed() && file.append(b"g").is_err());
        assert_eq!(read(&disk.restart(Loss::Nothing), "a").unwrap(), b"axyzde");
    }

    #[test]
    fn is_full_at_its_capacity() {
        let disk = FaultyDisk::new();
        disk.set_capacity(4);
        let file = disk.create(Path::new("a")).unwrap();
        assert_eq!(file.append(b"abcdef").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((file.size().unwrap(), disk.free_space(Path::new("")).unwrap()), (4, 0));
    }
}
