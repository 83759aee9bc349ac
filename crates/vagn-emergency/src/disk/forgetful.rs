//! A disk that loses its power: of the sectors that were not synced, chance decides which are found again.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// Bytes that a disk writes all or not at all.
const SECTOR: usize = 512;

/// A disk in memory that fails for good after `left` writes, syncs and changes of length.
///
/// Several files on one disk share its power.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forgetful {
    disk: Arc<Mutex<Disk>>,
    power: Arc<Mutex<Power>>,
}

#[derive(Debug, Default)]
struct Power {
    left: usize,
    done: usize,
}

#[derive(Debug, Default)]
struct Disk {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<Change>,
    sync_fails: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Length(usize),
    Sector(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(len) => image.resize(*len, 0),
            Self::Sector(at, data) => {
                let end = at + data.len();
                image.resize(image.len().max(end), 0);
                image[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl Forgetful {
    /// A disk that has `image` on it, and power for `left` steps.
    pub(crate) fn with_power_for(left: usize, image: Vec<u8>) -> Self {
        let power = Arc::new(Mutex::new(Power { left, done: 0 }));
        Self { disk: disk_with(image), power }
    }

    /// Another file on the same disk, that has `image` in it.
    pub(crate) fn beside(&self, image: Vec<u8>) -> Self {
        Self { disk: disk_with(image), power: self.power.clone() }
    }

    fn change(&self, changes: impl IntoIterator<Item = Change>) -> io::Result<()> {
        self.power.lock().spend()?;
        let mut disk = self.disk.lock();
        for change in changes {
            change.apply(&mut disk.now);
            disk.since.push(change);
        }
        Ok(())
    }

    /// Returns the content when the power is back: all that was synced, and of the rest what chance has let through.
    pub(crate) fn found_later(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let disk = self.disk.lock();
        let mut image = disk.synced.clone();
        for change in disk.since.iter().filter(|_| rng.bool()) {
            change.apply(&mut image);
        }
        image
    }

    /// Returns the content as it is now, synced or not.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.disk.lock().now.clone()
    }

    /// Counts the steps so far.
    pub(crate) fn done(&self) -> usize {
        self.power.lock().done
    }

    /// Lets every sync fail, or none.
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.disk.lock().sync_fails = fail;
    }
}

fn disk_with(image: Vec<u8>) -> Arc<Mutex<Disk>> {
    Arc::new(Mutex::new(Disk { now: image.clone(), synced: image, ..Disk::default() }))
}

impl Power {
    fn spend(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| io::Error::other("no power"))?;
        self.done += 1;
        Ok(())
    }
}

impl StorageBackend for Forgetful {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.lock();
        let at = offset as usize;
        let from = disk.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change([Change::Length(len as usize)])
    }

    fn sync_data(&self) -> io::Result<()> {
        self.power.lock().spend()?;
        let mut disk = self.disk.lock();
        if disk.sync_fails {
            return Err(io::Error::other("sync failed"));
        }
        disk.synced = disk.now.clone();
        disk.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let sectors = data.chunks(SECTOR).enumerate();
        self.change(sectors.map(|(at, data)| Change::Sector(offset as usize + at * SECTOR, data.to_vec())))
    }
}
