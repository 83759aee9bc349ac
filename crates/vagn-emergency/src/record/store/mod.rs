//! The incident store: every incident by its id, in one transactional file apart from the position log.
//!
//! A save is on disk when it returns, in the [`journal`](crate::record::journal) too, which `keeper` writes. `schema` has the
//! tables, `mark` the number of the last save, `open` makes and opens the file, `recall` compares it with the journal and
//! makes again what is missing, `query` reads, `copy` copies it for a backup, `save` writes and lets the oldest go, `audit` compares without writing,
//! `repair` sets a damaged file aside, `before` takes over what a single machine has left to a node.

mod audit;
mod before;
mod calls;
mod copy;
mod groups;
mod keeper;
mod mark;
mod open;
mod pieces;
#[cfg(test)]
mod power_cuts;
mod query;
mod recall;
mod repair;
#[cfg(test)]
mod rollbacks;
mod save;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::Database;

pub use audit::{JournalCheck, compare_with_journal, live_in_journal};
pub(crate) use before::Before;
pub use copy::{COPIED, copy_bytes, is_there};
pub(crate) use groups::{ALARMS_PER_INCIDENT, Applied};
use keeper::{JournalFault, Keeper};
pub(crate) use open::has_nothing;
pub use open::{FILE, Opening};
pub(crate) use pieces::Picture;
pub use recall::{Recall, Recalled};
pub use repair::{is_damaged, rebuild, set_aside};

/// The store could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or created.
    #[error("incident store cannot be opened: {0}")]
    Open(#[source] redb::Error),
    /// The file made its reader panic: something else has changed it.
    #[error(
        "incident store cannot be opened: {FILE} made its reader panic; stop the service, and run `vagn repair`"
    )]
    Panicked,
    /// The file is not as this service leaves it.
    #[error("incident store cannot be opened: {}: {why}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, and what helps.
        why: String,
    },
    /// A newer version made the store.
    #[error(
        "{FILE} has format {found}, and this version reads format {}: it is of a newer version of Vagn; run that one, or restore a backup \
         that this one has made",
        mark::FORMAT
    )]
    Newer {
        /// Format that it has.
        found: u64,
    },
    /// A file of the journal could not be opened or read.
    #[error("incident journal cannot be opened: {}: {source}", path.display())]
    Journal {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
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
    is_clock_doubted: AtomicBool,
    /// Ids of records that make no sense. These stay where they are, and are passed over.
    unreadable: Mutex<BTreeSet<u128>>,
    journal: Mutex<Keeper>,
    journal_fault: JournalFault,
    recalled: Recalled,
}

impl Store {
    /// Returns true once a sync has failed. What it should have written may be lost although it reads as if it were there,
    /// so nothing that is saved on top of it can be trusted before a new process has opened the file.
    pub fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }

    /// Returns what the opening has found in the journal.
    pub fn recalled(&self) -> &Recalled {
        &self.recalled
    }

    /// Returns the fault of the journal, if it has one.
    pub fn journal_fault(&self) -> Option<String> {
        self.journal_fault.lock().clone()
    }

    /// Begins a journal that has failed again. Call it now and then.
    pub fn mend_journal(&self) {
        if let Some(mut journal) = self.journal.try_lock().filter(|journal| journal.is_broken())
            && let Ok(mark) = self.mark()
        {
            journal.mend(mark.last + 1);
        }
    }

    /// Counts the records that made no sense so far.
    pub fn unreadable(&self) -> usize {
        self.unreadable.lock().len()
    }
}
