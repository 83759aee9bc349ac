//! Disks of a machine in steps: in memory, full when they are told so, and with a memory of what was not synced.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::office::copies::AsidePlace;

/// Bytes that a disk writes all or not at all.
const SECTOR: usize = 512;

/// Disks of a machine. They outlive its processes; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Disks {
    pub(super) incidents: SteppedDisk,
    pub(super) kept: SteppedDisk,
    pub(super) aside: AsideDisk,
}

impl Disks {
    /// Ends the process that has them: what it writes from now on comes nowhere. All that was written before is there.
    pub fn end_process(&self) {
        self.files().for_each(SteppedDisk::end);
    }

    /// Ends the process together with the power: of what was not synced, chance decides what is there.
    pub fn cut_power(&self, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        self.end_process();
        self.files().for_each(|file| file.0.lock().lose(&mut rng));
        self.aside.bytes.lock().clear();
    }

    /// Takes no more writes from now on, or takes them again.
    pub fn set_full(&self, is_full: bool) {
        self.files().for_each(|file| file.0.lock().is_full = is_full);
    }

    /// Returns true while they take no writes.
    pub fn is_full(&self) -> bool {
        self.incidents.0.lock().is_full
    }

    fn files(&self) -> impl Iterator<Item = &SteppedDisk> {
        [&self.incidents, &self.kept].into_iter()
    }
}

/// A file on such a disk.
#[derive(Debug, Clone, Default)]
pub(super) struct SteppedDisk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    /// Changes since the last sync, in their order.
    since: Vec<Change>,
    is_full: bool,
    /// Process that has it open.
    holder: Option<u64>,
    /// Processes so far that had it open.
    opened: u64,
}

/// A change, with what it changed.
#[derive(Debug)]
enum Change {
    Length { was: usize, is: usize, cut_off: Vec<u8> },
    Sector { at: usize, was: Vec<u8>, is: Vec<u8> },
}

impl SteppedDisk {
    /// Opens the file, which one at a time may have open.
    pub(super) fn open(&self) -> io::Result<OpenFile> {
        let mut content = self.0.lock();
        if content.holder.is_some() {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "it is open"));
        }
        content.opened += 1;
        content.holder = Some(content.opened);
        Ok(OpenFile { disk: self.clone(), holder: content.opened })
    }

    fn end(&self) {
        self.0.lock().holder = None;
    }
}

impl Content {
    /// Takes back what was not synced, and lets chance do some of it again.
    fn lose(&mut self, rng: &mut fastrand::Rng) {
        let since = std::mem::take(&mut self.since);
        for change in since.iter().rev() {
            match change {
                Change::Length { was, cut_off, .. } => {
                    self.now.truncate(*was);
                    self.now.extend(cut_off);
                    self.now.resize(*was, 0);
                }
                Change::Sector { at, was, .. } => self.now[*at..*at + was.len()].copy_from_slice(was),
            }
        }
        for change in since.iter().filter(|_| rng.bool()) {
            match change {
                Change::Length { is, .. } => self.now.resize(*is, 0),
                Change::Sector { at, is, .. } => {
                    self.now.resize(self.now.len().max(*at + is.len()), 0);
                    self.now[*at..*at + is.len()].copy_from_slice(is);
                }
            }
        }
    }

    fn may_write(&self) -> io::Result<()> {
        if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&mut self, is: usize) {
        let was = self.now.len();
        let cut_off = self.now.get(is..).map_or_else(Vec::new, <[u8]>::to_vec);
        self.now.resize(is, 0);
        self.since.push(Change::Length { was, is, cut_off });
    }
}

/// The file, as a process has it open.
#[derive(Debug)]
pub(super) struct OpenFile {
    disk: SteppedDisk,
    holder: u64,
}

impl OpenFile {
    fn with<T>(&self, deed: impl FnOnce(&mut Content) -> io::Result<T>) -> io::Result<T> {
        let mut content = self.disk.0.lock();
        if content.holder != Some(self.holder) {
            return Err(io::Error::other("the process has ended"));
        }
        deed(&mut content)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut content = self.disk.0.lock();
        content.holder = content.holder.filter(|holder| *holder != self.holder);
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|content| Ok(content.now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|content| {
            let at = offset as usize;
            let from = content.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(from);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|content| {
            content.may_write()?;
            content.set_len(len as usize);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|content| {
            content.since.clear();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|content| {
            content.may_write()?;
            let end = offset as usize + data.len();
            if end > content.now.len() {
                content.set_len(end);
            }
            for (number, is) in data.chunks(SECTOR).enumerate() {
                let at = offset as usize + number * SECTOR;
                let place = &mut content.now[at..at + is.len()];
                let was = place.to_vec();
                place.copy_from_slice(is);
                content.since.push(Change::Sector { at, was, is: is.to_vec() });
            }
            Ok(())
        })
    }
}

/// Place for pieces of a copy. It is not synced, and a start throws it away.
#[derive(Debug, Clone, Default)]
pub(super) struct AsideDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl AsidePlace for AsideDisk {
    fn clear(&self) -> io::Result<()> {
        self.bytes.lock().clear();
        Ok(())
    }

    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.bytes.lock();
        all.truncate(at as usize);
        all.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&self) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(Cursor::new(self.bytes.lock().clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::store::Store;

    fn content(file: &SteppedDisk) -> Vec<u8> {
        file.0.lock().now.clone()
    }

    #[test]
    fn what_was_synced_outlives_the_power_and_of_the_rest_nothing_or_sectors() {
        let disks = Disks::default();
        for seed in 0..50 {
            let file = disks.kept.open().unwrap();
            file.set_len(0).unwrap();
            file.write(0, &[1; 3 * SECTOR]).unwrap();
            file.sync_data().unwrap();
            file.write(SECTOR as u64, &[2; 2 * SECTOR]).unwrap();
            file.set_len(SECTOR as u64).unwrap();
            disks.cut_power(seed);
            let found = content(&disks.kept);
            assert!(found.iter().take(SECTOR).all(|byte| *byte == 1), "{seed}");
            assert!(found.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            file.write(0, &[3; 9]).unwrap_err();
            assert_eq!(content(&disks.kept), found, "its process has ended");
        }
    }

    #[test]
    fn one_process_at_a_time_has_it_open_and_a_full_one_takes_nothing() {
        let disks = Disks::default();
        let store = Store::on(disks.incidents.open().unwrap(), 9).unwrap();
        assert!(disks.incidents.open().is_err());
        drop(store);
        disks.set_full(true);
        let file = disks.incidents.open().unwrap();
        assert_eq!(file.write(0, &[1]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
