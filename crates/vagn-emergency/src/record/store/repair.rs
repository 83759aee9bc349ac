//! Repair: sets a damaged store aside, and makes a new one of what its journal has.

use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::open::{free_name, journal_exists};
use super::{FILE, Opening, Recall, Store, StoreError};
use crate::disk::reserve::ReservedFile;

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

/// Returns true when there is a store that cannot be opened.
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
    // The lock is taken for a moment: a store that a service has open looks damaged to others, and must not be moved.
    drop(ReservedFile::open(&path, 0)?);
    // A damaged file may make its reader panic instead of returning an error.
    Ok(!matches!(catch_unwind(|| read_all(data_dir)), Ok(Ok(()))))
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
fn read_all(data_dir: &Path) -> Result<(), StoreError> {
    let file = ReservedFile::open(&data_dir.join(FILE), 0).map_err(|err| StoreError::Open(err.into()))?;
    Store::on(file, u64::MAX)?.live()?;
    Ok(())
}
