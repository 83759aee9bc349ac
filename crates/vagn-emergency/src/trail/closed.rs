//! The incident store of a service that does not run, opened to be read. Nothing in the file is changed, not even after a
//! crash, when opening means repairing: what is written goes to memory.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::catch_unwind;
use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, StorageBackend};

use super::{Fault, Head, Verified, export, read};

/// Bytes that are copied to memory when one of them is written.
const PAGE: u64 = 4096;

/// A store that nobody else has open.
#[derive(Debug)]
pub struct ClosedStore(Database);

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// A service has it open.
    #[error("it is in use")]
    InUse,
    /// The file cannot be read, or is damaged.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] redb::Error),
    /// The file made its reader panic: something else has changed it.
    #[error("it cannot be read: its file made the reader panic")]
    Panicked,
}

impl ClosedStore {
    /// Opens the store file at `path`, which keeps services from opening it for as long as this is held.
    ///
    /// # Errors
    /// When there is none, it is in use, or damaged.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|err| match err.kind() {
            io::ErrorKind::NotFound => OpenError::Missing,
            _ => unreadable(err),
        })?;
        file.try_lock_shared().map_err(|err| match err {
            TryLockError::WouldBlock => OpenError::InUse,
            TryLockError::Error(err) => unreadable(err),
        })?;
        let storage = Untouched::new(file).map_err(unreadable)?;
        if storage.bounds.lock().len == 0 {
            return Err(unreadable(io::Error::other("the file is empty")));
        }
        let open = || Database::builder().set_check_integrity_on_open(true).create_with_backend(storage);
        let opened = catch_unwind(std::panic::AssertUnwindSafe(open)).map_err(|_| OpenError::Panicked)?;
        Ok(Self(opened.map_err(|err| OpenError::Unreadable(err.into()))?))
    }

    /// How far its trail goes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn head(&self) -> Result<Head, redb::Error> {
        Ok(read::ends(&self.0.begin_read()?)?.head)
    }

    /// Follows its whole trail, which must contain the heads `known` from outside.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, known: &[Head]) -> Result<Verified, Fault> {
        let txn = self.0.begin_read().map_err(redb::Error::from)?;
        read::verify(&txn, known)
    }

    /// Writes its trail to `out`, as [`verify_export`](super::verify_export) reads it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn export(&self, out: &mut impl io::Write) -> io::Result<()> {
        let txn = self.0.begin_read().map_err(io::Error::other)?;
        export::write(&txn, out)
    }
}

fn unreadable(err: io::Error) -> OpenError {
    OpenError::Unreadable(redb::Error::Io(err))
}

/// A file that is only read, under a memory of what was written over it.
#[derive(Debug)]
struct Untouched {
    file: File,
    bounds: Mutex<Bounds>,
}

#[derive(Debug)]
struct Bounds {
    /// Length as it seems.
    len: u64,
    /// What of the file still counts.
    from_file: u64,
    /// Pages that were written, by number.
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Untouched {
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, bounds: Mutex::new(Bounds { len, from_file: len, pages: BTreeMap::new() }) })
    }

    /// What the file has at `offset`; zeros where it has nothing.
    fn read_file(&self, from_file: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let there = from_file.saturating_sub(offset).min(out.len() as u64) as usize;
        self.file.read_exact_at(&mut out[..there], offset)
    }
}

/// The parts of `len` bytes from `offset` on, page by page: the page's number, the place in it, and the length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + len as u64;
    std::iter::from_fn(move || {
        let within = at % PAGE;
        let part = (PAGE - within).min(end - at);
        let found = (part > 0).then_some((at / PAGE, within as usize, part as usize));
        at += part;
        found
    })
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bounds.lock().len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let bounds = self.bounds.lock();
        if offset.saturating_add(out.len() as u64) > bounds.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(bounds.from_file, offset, out)?;
        for (number, within, part) in parts(offset, out.len()) {
            let (chunk, rest) = out.split_at_mut(part);
            if let Some(page) = bounds.pages.get(&number) {
                chunk.copy_from_slice(&page[within..within + part]);
            }
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut bounds = self.bounds.lock();
        bounds.len = len;
        bounds.from_file = bounds.from_file.min(len);
        bounds.pages.split_off(&len.div_ceil(PAGE));
        if let Some(page) = bounds.pages.get_mut(&(len / PAGE)) {
            page[(len % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut bounds = self.bounds.lock();
        for (number, within, part) in parts(offset, data.len()) {
            let (chunk, rest) = data.split_at(part);
            if !bounds.pages.contains_key(&number) {
                let mut page = Box::new([0; PAGE as usize]);
                self.read_file(bounds.from_file, number * PAGE, &mut *page)?;
                bounds.pages.insert(number, page);
            }
            let page = bounds.pages.get_mut(&number).expect("it was put there");
            page[within..within + part].copy_from_slice(chunk);
            data = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trail::chain::tests::event;
    use crate::trail::{append, create};

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let write = (0..20_000_u64, prop::collection::vec(1_u8.., 1..9000))
            .prop_map(|(offset, data)| Step::Write(offset, data));
        prop::collection::vec(prop_oneof![write, (0..30_000_u64).prop_map(Step::SetLen)], 1..20)
    }

    fn write_trail(path: &Path, events: u64) -> Head {
        let db = Database::create(path).unwrap();
        let txn = db.begin_write().unwrap();
        create(&txn).unwrap();
        let head = append(&txn, &(0..events).map(event).collect::<Vec<_>>(), 1000).unwrap();
        txn.commit().unwrap();
        head
    }

    proptest! {
        #[test]
        fn reads_what_was_written_over_a_file_that_stays_as_it_was(steps in steps()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let before = vec![9; 10_000];
            std::fs::write(&path, &before).unwrap();
            let storage = Untouched::new(File::open(&path).unwrap()).unwrap();
            let mut model = before.clone();
            for step in steps {
                match step {
                    Step::SetLen(len) => {
                        storage.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                    Step::Write(offset, data) if offset as usize + data.len() <= model.len() => {
                        storage.write(offset, &data).unwrap();
                        model[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
                    }
                    Step::Write(..) => {}
                }
                let mut read = vec![1; storage.len().unwrap() as usize];
                storage.read(0, &mut read).unwrap();
                prop_assert!(read == model);
                prop_assert!(storage.read(1, &mut read).is_err() || model.is_empty());
            }
            prop_assert!(std::fs::read(&path).unwrap() == before);
        }
    }

    #[test]
    fn changes_nothing_in_a_store_that_a_crash_has_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (path, crashed) = (dir.path().join("a"), dir.path().join("b"));
        let head = write_trail(&path, 5);
        let db = Database::create(&path).unwrap();
        std::fs::copy(&path, &crashed).unwrap();
        drop(db);
        let before = std::fs::read(&crashed).unwrap();
        let store = ClosedStore::open(&crashed).unwrap();
        assert_eq!(store.verify(&[head]).unwrap().entries, 5);
        drop(store);
        assert!(std::fs::read(&crashed).unwrap() == before);
    }

    #[test]
    fn says_why_it_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incidents.redb");
        assert!(matches!(ClosedStore::open(&path), Err(OpenError::Missing)));
        for nonsense in [&b""[..], b"this is not a database at all"] {
            std::fs::write(&path, nonsense).unwrap();
            assert!(matches!(ClosedStore::open(&path), Err(OpenError::Unreadable(_))));
            assert_eq!(std::fs::read(&path).unwrap(), nonsense);
        }
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        assert!(matches!(ClosedStore::open(&path), Err(OpenError::InUse)));
    }

    #[test]
    fn a_store_from_before_there_was_a_trail_has_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incidents.redb");
        drop(Database::create(&path).unwrap());
        let store = ClosedStore::open(&path).unwrap();
        assert_eq!(store.head().unwrap(), Head::EMPTY);
        assert_eq!(store.verify(&[]).unwrap().entries, 0);
    }
}
