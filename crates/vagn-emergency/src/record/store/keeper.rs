//! Keeper of the journal beside the store: writes to it while it works, and knows the reason while it does not.
//!
//! A journal that fails, or whose disk hangs, holds up no save: the store has it, and the operator is told that there is no
//! second copy. So the disk is waited for on another thread, and for a limited time.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use redb::WriteTransaction;
use tracing::{info, warn};

use crate::record::journal::Journal;

/// Stack of the thread that syncs the journal, in bytes.
const STACK: usize = 64 << 10;

/// Longest time for which the disk of the journal is waited for, beyond the commit of the store: less than any hang limit.
const SYNC_WITHIN: Duration = Duration::from_secs(1);

/// Most rounds that are left out after a mending that failed: to mend is a megabyte to write, and two syncs.
const ROUNDS_LEFT_OUT_MAX: u32 = 63;

/// The journal of one store. A store in memory has none.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Locked for as long as its disk does not answer.
    journal: Option<Arc<Mutex<Journal>>>,
    /// Rounds that are left out after the next mending that fails.
    leave_out: u32,
    /// Rounds that are still left out before it is mended again.
    left_out: u32,
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
        Self { journal: Some(Arc::new(Mutex::new(journal))), ..Self::default() }
    }

    /// A keeper that begins a journal for a store whose next save is `next`, and whose last one was `latest`, if that is
    /// known. If the disk would not, it is mended later.
    pub(super) fn begin(journal: Journal, next: u64, latest: Option<LatestSave>) -> Self {
        let mut keeper = Self { latest, ..Self::of(journal) };
        let begun = keeper.begin_anew(next);
        keeper.note(begun);
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
        let syncing = self.working().map(|journal| beside(move || journal.lock().sync()));
        let committed = txn.commit();
        self.note(syncing.map_or(Ok(()), wait));
        match &committed {
            Ok(()) => self.attempt(|journal| journal.confirm(number)),
            // What the store has now is known when it is opened again.
            Err(_) => self.attempt(|_| Err(io::Error::other("the store has failed"))),
        }
        committed
    }

    /// Begins a journal that has failed again, for a store whose next save is `next`. After each try that fails, more rounds
    /// are left out.
    pub(super) fn mend(&mut self, next: u64) {
        if !self.is_broken() || self.journal.is_none() {
            return;
        }
        if self.left_out > 0 {
            self.left_out -= 1;
        } else if self.begin_anew(next).is_ok() {
            *self.fault.lock() = None;
            self.leave_out = 0;
            info!("incident journal works again");
        } else {
            self.leave_out = (self.leave_out * 2 + 1).min(ROUNDS_LEFT_OUT_MAX);
            self.left_out = self.leave_out;
        }
    }

    /// Begins the journal, if its disk is not still busy with an earlier call.
    fn begin_anew(&mut self, next: u64) -> io::Result<()> {
        let Some(journal) = self.journal.clone().filter(|journal| !journal.is_locked()) else {
            return Err(io::ErrorKind::ResourceBusy.into());
        };
        // Another one has not come into the store.
        self.latest = self.latest.take().filter(|latest| latest.number + 1 == next);
        let latest = self.latest.as_ref().map(|save| save.content.clone());
        wait(beside(move || journal.lock().begin_anew(next, latest.as_deref())))
    }

    /// Returns true for a journal that has failed.
    pub(super) fn is_broken(&self) -> bool {
        self.fault.lock().is_some()
    }

    fn working(&self) -> Option<Arc<Mutex<Journal>>> {
        self.journal.clone().filter(|_| !self.is_broken())
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Journal) -> io::Result<()>) {
        let Some(journal) = self.working() else { return };
        let written = match journal.try_lock() {
            Some(mut journal) => write(&mut journal),
            None => Err(io::ErrorKind::ResourceBusy.into()),
        };
        self.note(written);
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(err) = written {
            warn!(error = %err, "incident journal failed; incidents are kept in the store only");
            *self.fault.lock() =
                Some(format!("it cannot be written: {err}; incidents are kept in the store only"));
        }
    }
}

/// Works on another thread.
fn beside(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Receiver<io::Result<()>> {
    let (done, result) = mpsc::sync_channel(1);
    let builder = thread::Builder::new().name("journal-sync".into()).stack_size(STACK);
    // Without a thread the sender is dropped, which tells.
    drop(builder.spawn(move || drop(done.send(work()))));
    result
}

/// Waits for that work, but not for ever.
fn wait(result: Receiver<io::Result<()>>) -> io::Result<()> {
    result.recv_timeout(SYNC_WITHIN).unwrap_or_else(|err| match err {
        RecvTimeoutError::Timeout => {
            Err(io::Error::other(format!("the disk has not answered within {} s", SYNC_WITHIN.as_secs())))
        }
        RecvTimeoutError::Disconnected => Err(io::Error::other("no thread could sync it")),
    })
}
