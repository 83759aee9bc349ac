//! Keeper of the journal beside the store: writes to it while it works, and knows the reason while it does not.
//!
//! A journal that fails holds up no save: the store has it, and the operator is told that there is no second copy.

use std::io;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use redb::WriteTransaction;
use tracing::{info, warn};

use crate::record::journal::Journal;

/// Stack of the thread that syncs the journal, in bytes.
const STACK: usize = 64 << 10;

/// The journal of one store. A store in memory has none.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    journal: Option<Journal>,
    fault: JournalFault,
    /// The last save, which a journal that is begun anew gets first: the store might lose just that one.
    latest: Option<LatestSave>,
}

/// A save in the form in which the journal has it.
#[derive(Debug)]
pub(super) struct LatestSave {
    /// Number of the save.
    pub(super) number: u64,
    /// Its content.
    pub(super) content: Vec<u8>,
}

/// Fault of the journal, while it has one. It can be read while a save is under way.
pub(super) type JournalFault = Arc<Mutex<Option<String>>>;

impl Keeper {
    /// A keeper of a journal that works.
    pub(super) fn of(journal: Journal) -> Self {
        Self { journal: Some(journal), ..Self::default() }
    }

    /// A keeper that begins a journal for a store whose next save is `next`, and whose last one was `latest`, if that is
    /// known. If the disk would not, it is mended later.
    pub(super) fn begin(journal: Journal, next: u64, latest: Option<LatestSave>) -> Self {
        let mut keeper = Self { latest, ..Self::of(journal) };
        let latest = keeper.take_latest(next);
        keeper.attempt(|journal| journal.begin_anew(next, content(latest.as_ref())));
        keeper.latest = latest;
        keeper
    }

    /// A keeper without a journal, for this reason.
    pub(super) fn without(why: &str) -> Self {
        warn!(reason = why, "incident journal cannot be made; incidents are kept in the store only");
        Self { fault: Arc::new(Mutex::new(Some(why.into()))), ..Self::default() }
    }

    /// Returns the place in which the fault of the journal stands.
    pub(super) fn fault(&self) -> JournalFault {
        self.fault.clone()
    }

    /// Writes a save, if the journal works.
    pub(super) fn append(&mut self, save: LatestSave) {
        self.attempt(|journal| journal.append(save.number, &save.content));
        self.latest = Some(save);
    }

    /// Commits the store while the journal is synced beside it: two disks or one, the answer waits for the slower of the
    /// two, and not for one after the other.
    pub(super) fn commit(&mut self, txn: WriteTransaction, number: u64) -> Result<(), redb::CommitError> {
        let (committed, synced) = match self.working() {
            Some(journal) => commit_beside(txn, journal),
            None => (txn.commit(), Ok(())),
        };
        self.attempt(|_| synced);
        match &committed {
            Ok(()) => self.attempt(|journal| journal.confirm(number)),
            // What the store has now is known when it is opened again.
            Err(_) => self.attempt(|_| Err(io::Error::other("the store has failed"))),
        }
        committed
    }

    /// Begins a journal that has failed again, for a store whose next save is `next`.
    pub(super) fn mend(&mut self, next: u64) {
        let is_broken = self.is_broken();
        let latest = self.take_latest(next);
        let Some(journal) = self.journal.as_mut().filter(|_| is_broken) else { return };
        if journal.begin_anew(next, content(latest.as_ref())).is_ok() {
            *self.fault.lock() = None;
            info!("incident journal works again");
        }
        self.latest = latest;
    }

    /// Takes the last save, if it is the one before `next`: another one has not come into the store.
    fn take_latest(&mut self, next: u64) -> Option<LatestSave> {
        self.latest.take().filter(|latest| latest.number + 1 == next)
    }

    /// Returns true for a journal that has failed.
    pub(super) fn is_broken(&self) -> bool {
        self.fault.lock().is_some()
    }

    fn working(&self) -> Option<&Journal> {
        self.journal.as_ref().filter(|_| !self.is_broken())
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Journal) -> io::Result<()>) {
        let is_broken = self.is_broken();
        let Some(journal) = self.journal.as_mut().filter(|_| !is_broken) else { return };
        if let Err(err) = write(journal) {
            warn!(error = %err, "incident journal failed; incidents are kept in the store only");
            *self.fault.lock() =
                Some(format!("it cannot be written: {err}; incidents are kept in the store only"));
        }
    }
}

fn content(save: Option<&LatestSave>) -> Option<&[u8]> {
    save.map(|save| &*save.content)
}

fn commit_beside(
    txn: WriteTransaction,
    journal: &Journal,
) -> (Result<(), redb::CommitError>, io::Result<()>) {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("journal-sync".into()).stack_size(STACK);
        let syncing = builder.spawn_scoped(scope, || journal.sync());
        let committed = txn.commit();
        let synced = match syncing {
            Ok(syncing) => syncing.join().unwrap_or_else(|_| Err(io::Error::other("the sync panicked"))),
            // No thread is to be had: one after the other, then.
            Err(_) => journal.sync(),
        };
        (committed, synced)
    })
}
