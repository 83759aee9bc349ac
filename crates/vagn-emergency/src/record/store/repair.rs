//! Repair: sets a damaged store aside, and makes a new one of what its journal has.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::open::{free_name, journal_exists};
use super::{FILE, Opening, Recall, Store, StoreError};
use crate::trail::Untouched;

/// Moves a store that cannot be opened aside, so that a new one can be made, and returns its new path. Nothing is deleted.
///
/// # Errors
/// When the file is in use, or cannot be moved.
pub fn set_aside(data_dir: &Path) -> io::Result<Option<PathBuf>> {
    if !is_damaged(data_dir)? {
        return Ok(None);
    }
    let free = free_name(data_dir, FILE);
    fs::rename(data_dir.join(FILE), &free)?;
    Ok(Some(free))
}

/// Returns true when there is a store that cannot be opened. Changes nothing in it.
///
/// # Errors
/// When the file is in use.
pub fn is_damaged(data_dir: &Path) -> io::Result<bool> {
    let path = data_dir.join(FILE);
    match fs::symlink_metadata(&path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    // A link that leads nowhere counts, and what is no file, and an empty file, which the database would take for a new store.
    if !path.try_exists()? || !fs::metadata(&path)?.is_file() || fs::metadata(&path)?.len() == 0 {
        return Ok(true);
    }
    let file = File::open(&path)?;
    // A store that a service has open looks damaged to others, and must not be moved.
    file.try_lock_shared()?;
    // What is written to open it stays in memory: to look at a store must not change it.
    let untouched = Untouched::new(file)?;
    // A damaged file may make its reader panic instead of returning an error.
    match catch_unwind(AssertUnwindSafe(|| read_all(untouched))) {
        Ok(Err(newer @ StoreError::Newer { .. })) => Err(io::Error::other(newer.to_string())),
        read => Ok(!matches!(read, Ok(Ok(())))),
    }
}

/// Makes a store of what the journal has, if there is a journal and no store. Returns the number of incidents in it.
///
/// # Errors
/// When it cannot be made.
pub fn rebuild(data_dir: &Path, now_ms: i64) -> Result<Option<usize>, StoreError> {
    if fs::symlink_metadata(data_dir.join(FILE)).is_ok() || !journal_exists(data_dir) {
        return Ok(None);
    }
    let opening = Opening { reserved: 0, ended_kept: u64::MAX, recall: Recall::Rebuild, now_ms };
    Ok(Some(Store::open_as(data_dir, opening)?.recalled().incidents.len()))
}

/// Reads all that is live, and leaves the journal to the next start.
fn read_all(storage: Untouched) -> Result<(), StoreError> {
    Store::on(storage, u64::MAX)?.live()?;
    Ok(())
}
