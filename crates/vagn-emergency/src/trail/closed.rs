//! The incident store of a service that does not run, opened for reading only.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, ReadTransaction, ReadableDatabase};

use super::untouched::Untouched;
use super::{Fault, Head, KEPT, Verified, export, read};

/// An open store that no service can open at the same time.
#[derive(Debug)]
pub struct ClosedStore(Database);

/// The reason for which a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not there.
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
        let file = open_locked(path)?;
        if file.metadata().map_err(unreadable)?.len() == 0 {
            // The database would take an empty file for a new store.
            return Err(unreadable(io::Error::other("the file is empty")));
        }
        let storage = Untouched::new(file).map_err(unreadable)?;
        let mut builder = Database::builder();
        builder.set_check_integrity_on_open(true);
        let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(storage)));
        let opened = opened.map_err(|_| OpenError::Panicked)?;
        Ok(Self(opened.map_err(|err| OpenError::Unreadable(err.into()))?))
    }

    pub(crate) fn begin_read(&self) -> Result<ReadTransaction, redb::Error> {
        Ok(self.0.begin_read()?)
    }

    /// Returns the head of its trail.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn head(&self) -> Result<Head, redb::Error> {
        Ok(read::ends(&self.0.begin_read()?)?.head)
    }

    /// Follows its whole trail, which must contain the heads `known` from elsewhere.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, known: &[Head]) -> Result<Verified, Fault> {
        let txn = self.0.begin_read().map_err(redb::Error::from)?;
        let verified = read::verify(&txn, known)?;
        verified.check_begin(KEPT)?;
        Ok(verified)
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

fn open_locked(path: &Path) -> Result<File, OpenError> {
    let file = File::open(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => OpenError::Missing,
        _ => unreadable(err),
    })?;
    file.try_lock_shared().map_err(|err| match err {
        TryLockError::WouldBlock => OpenError::InUse,
        TryLockError::Error(err) => unreadable(err),
    })?;
    Ok(file)
}

fn unreadable(err: io::Error) -> OpenError {
    OpenError::Unreadable(redb::Error::Io(err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::chain::tests::event;
    use crate::trail::{append, create};

    fn write_trail(path: &Path, events: u64) -> Head {
        let db = Database::create(path).unwrap();
        let txn = db.begin_write().unwrap();
        create(&txn).unwrap();
        let head = append(&txn, &(0..events).map(event).collect::<Vec<_>>(), 1000).unwrap();
        txn.commit().unwrap();
        head
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
    fn a_store_in_which_no_trail_was_made_has_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incidents.redb");
        drop(Database::create(&path).unwrap());
        let store = ClosedStore::open(&path).unwrap();
        assert_eq!(store.head().unwrap(), Head::EMPTY);
        assert_eq!(store.verify(&[]).unwrap().entries, 0);
    }
}
