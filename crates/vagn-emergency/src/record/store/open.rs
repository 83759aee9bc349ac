//! Opening: makes the file of the store if there is none, and checks it if there is one.

use std::fs;
use std::io;
use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, StorageBackend};

use super::{Store, StoreError, schema};
use crate::disk::reserve::ReservedFile;
use crate::disk::watched::Watched;

/// Name of the store's file in the data directory.
pub const FILE: &str = "incidents.redb";

/// Its name while it is being made.
pub(super) const UNFINISHED: &str = "incidents.redb.new";

/// Memory for pages of the store, in bytes. Incidents are few.
const CACHE: usize = 16 << 20;

impl Store {
    /// Opens or creates the store in `data_dir`, with `reserved` bytes of disk set aside for it. Of the incidents that
    /// have ended it keeps the latest `ended_kept`.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn open(data_dir: &Path, reserved: u64, ended_kept: u64) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        if !path.try_exists().map_err(cannot_open)? {
            // A file that was cut off while it was being made could never be opened again, so it is made under another
            // name first.
            let unfinished = data_dir.join(UNFINISHED);
            fs::remove_file(&unfinished).or_else(ignore_absence).map_err(cannot_open)?;
            drop(Self::open_file(&unfinished, reserved, ended_kept)?);
            fs::rename(&unfinished, &path).map_err(cannot_open)?;
        }
        Self::open_file(&path, reserved, ended_kept)
    }

    fn open_file(path: &Path, reserved: u64, ended_kept: u64) -> Result<Self, StoreError> {
        Self::on(ReservedFile::open(path, reserved).map_err(cannot_open)?, ended_kept)
    }

    /// Opens or creates the store on any storage, such as one that fails when a test says so.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn on(storage: impl StorageBackend, ended_kept: u64) -> Result<Self, StoreError> {
        let (storage, sync_failed) = Watched::new(storage);
        let db = open_database(storage).map_err(StoreError::Open)?;
        Ok(Self { db, sync_failed, ended_kept, unreadable: Mutex::default() })
    }
}

fn open_database(storage: impl StorageBackend) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    // Without the check a file that something else has changed may be trusted, or end in a panic.
    let db = builder.set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(storage)?;
    let txn = db.begin_write()?;
    schema::create(&txn)?;
    txn.commit()?;
    Ok(db)
}

fn cannot_open(err: io::Error) -> StoreError {
    StoreError::Open(redb::Error::Io(err))
}

fn ignore_absence(err: io::Error) -> io::Result<()> {
    if err.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(err) }
}
