//! Repair: sets a damaged store aside, so that the service can start with a new one.

use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::{FILE, Store, StoreError};
use crate::disk::reserve::ReservedFile;

/// Moves a store that cannot be opened aside, so that a new one can be made, and returns its new path. Nothing is deleted.
///
/// # Errors
/// When the file is in use, or cannot be moved.
pub fn set_aside(data_dir: &Path) -> io::Result<Option<PathBuf>> {
    let path = data_dir.join(FILE);
    if !path.try_exists()? {
        return Ok(None);
    }
    // The lock is taken for a moment: a store that a service has open looks damaged to others, and must not be moved.
    drop(ReservedFile::open(&path, 0)?);
    // A damaged file may make its reader panic instead of returning an error.
    if matches!(catch_unwind(|| read_all(data_dir)), Ok(Ok(()))) {
        return Ok(None);
    }
    let mut numbered = (1..).map(|number| data_dir.join(format!("{FILE}.{number}.damaged")));
    let free = numbered.find(|path| !path.exists()).expect("there are numbers enough");
    fs::rename(&path, &free)?;
    Ok(Some(free))
}

fn read_all(data_dir: &Path) -> Result<(), StoreError> {
    Store::open(data_dir, 0, u64::MAX)?.live()?;
    Ok(())
}
