//! The incident store: every incident by its id, in one transactional file apart from the position log.
//!
//! A save is on disk when it returns. `schema` has the tables, `open` makes and opens the file, `query` reads, `save` writes
//! and lets the oldest go, `repair` sets a damaged file aside.

mod open;
#[cfg(test)]
mod power_cuts;
mod query;
mod repair;
mod save;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::Database;

pub use open::FILE;
pub use repair::set_aside;

/// The store could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or created.
    #[error("incident store cannot be opened: {0}")]
    Open(#[source] redb::Error),
    /// The file made its reader panic: something else has changed it.
    #[error("incident store cannot be opened: its file made the reader panic")]
    Panicked,
    /// Reading or writing failed. The store must be opened again.
    #[error("incident store failed: {0}")]
    Failed(#[source] redb::Error),
    /// An earlier writer has not finished yet.
    #[error("incident store is still busy with an earlier save")]
    Busy,
}

/// All incidents on disk.
#[derive(Debug)]
pub struct Store {
    db: Database,
    sync_failed: Arc<AtomicBool>,
    ended_kept: u64,
    /// Ids of records that make no sense. These stay where they are, and are passed over.
    unreadable: Mutex<BTreeSet<u128>>,
}

impl Store {
    /// Returns true once a sync has failed. What it should have written may be lost although it reads as if it were there,
    /// so nothing that is saved on top of it can be trusted before a new process has opened the file.
    pub fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }

    /// Counts the records that made no sense so far.
    pub fn unreadable(&self) -> usize {
        self.unreadable.lock().len()
    }
}
