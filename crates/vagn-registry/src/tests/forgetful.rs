//! A disk that loses its power: of the sectors that were not synced, chance decides which are found again.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// Bytes that a disk writes all or not at all.
const SECTOR: usize = 512;

/// A disk in memory that fails for good after some steps: writes, syncs and changes of length.
#[derive(Debug, Clone, Default)]
pub(super) struct Forgetful(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    left: usize,
    done: usize,
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Unsynced writes by sector; a change of length has none.
    since: Vec<(usize, Vec<u8>)>,
}

impl Forgetful {
    /// A disk that has `image` on it, and power for `left` steps.
    pub(super) fn with_power_for(left: usize, image: Vec<u8>) -> Self {
        let disk = Disk { left, now: image.clone(), synced: image, ..Disk::default() };
        Self(Arc::new(Mutex::new(disk)))
    }

    /// Returns the content when the power is back: all that was synced, and of the rest what chance has let through.
    pub(super) fn found_later(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let disk = self.0.lock();
        let mut image = disk.synced.clone();
        // A file that has grown may be found longer than it was synced; one that was cut is not cut before the sync.
        image.resize(image.len().max(disk.now.len()), 0);
        for (at, data) in disk.since.iter().filter(|_| rng.bool()) {
            image.resize(image.len().max(at + data.len()), 0);
            image[*at..at + data.len()].copy_from_slice(data);
        }
        image
    }

    /// Returns the content as it is now, synced or not.
    pub(super) fn image(&self) -> Vec<u8> {
        self.0.lock().now.clone()
    }

    /// Counts the steps so far.
    pub(super) fn done(&self) -> usize {
        self.0.lock().done
    }

    fn step(&self, change: impl FnOnce(&mut Disk)) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.left = disk.left.checked_sub(1).ok_or_else(|| io::Error::other("no power"))?;
        disk.done += 1;
        change(&mut disk);
        Ok(())
    }
}

impl StorageBackend for Forgetful {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock();
        let at = offset as usize;
        out.copy_from_slice(disk.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(|disk| disk.now.resize(len as usize, 0))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(|disk| {
            disk.synced = disk.now.clone();
            disk.since.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(|disk| {
            let at = offset as usize;
            let end = at + data.len();
            disk.now.resize(disk.now.len().max(end), 0);
            disk.now[at..end].copy_from_slice(data);
            let sectors = data.chunks(SECTOR).enumerate();
            disk.since.extend(sectors.map(|(number, data)| (at + number * SECTOR, data.to_vec())));
        })
    }
}
