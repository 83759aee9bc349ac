//! Makes durable what the writer of a partition wrote, beside the writer and never in its way.
//!
//! The writer leaves here the work that is due: segments it wrote to, a snapshot that waits for its name, files to
//! remove. A [`Syncer`], on another thread, does it. A sync that fails is final: the content of the disk is unknown
//! from then on, so the partition stops for good.

use crate::disk::{Disk, DiskFile};
use crate::error::Doing;
use crate::log::LogPosition;
use crate::{OrderNumber, StoreError};
use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Health of a partition: if it takes positions, and if not, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes positions.
    Well,
    /// It takes none until there is more free space.
    Full,
    /// It takes none until it is opened again; with the reason.
    Failed(String),
}

/// Syncs the log of one partition; see [`Partition::syncer`](crate::Partition::syncer).
#[derive(Clone)]
pub struct Syncer {
    shared: Arc<Shared>,
}

/// A snapshot that is written and waits to be made durable and to get its name.
pub(crate) struct Finished {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) temp: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) position: LogPosition,
}

/// State that the writer and the syncers of a partition share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) partition: u32,
    written: SharedPosition,
    durable: SharedPosition,
    full: AtomicBool,
    failed: OnceLock<String>,
    due: Mutex<Due>,
    /// Held while syncing, so that no syncer takes for done what another one has only begun.
    turn: Mutex<()>,
    /// Held while the writer is at work.
    writing: Mutex<()>,
}

/// A log position that only rises. Both halves change together: a reader that saw the order number of a later write beside
/// the end of an earlier one would call that write durable without a sync.
#[derive(Default)]
struct SharedPosition(Mutex<LogPosition>);

impl SharedPosition {
    fn load(&self) -> LogPosition {
        *self.0.lock()
    }

    fn raise(&self, to: LogPosition) {
        *self.0.lock() = to;
    }
}

#[derive(Default)]
struct Due {
    /// Segments with unsynced records, oldest first; the last is being written.
    files: Vec<Arc<dyn DiskFile>>,
    /// Segments were created since the directory was synced.
    entries: bool,
    snapshot: Option<Finished>,
    /// Position of the last snapshot that got its name, until the writer asks for it.
    named: Option<LogPosition>,
    removals: Vec<PathBuf>,
}

impl Syncer {
    pub(crate) fn new(shared: Arc<Shared>) -> Syncer {
        Syncer { shared }
    }

    /// Makes durable all that was written before the call, then does the work of [`Syncer::tidy`]. Blocks for
    /// as long as the disk takes; returns the order number before which all changes are durable.
    ///
    /// # Errors
    /// When the disk fails, now or before. The partition has then stopped for good.
    pub fn sync(&self) -> Result<OrderNumber, StoreError> {
        let _turn = self.shared.turn.lock();
        let durable = self.shared.sync_log()?;
        self.shared.tidy()?;
        Ok(durable)
    }

    /// Makes durable all that was written before the call, and nothing else; [`Syncer::tidy`] is left to the
    /// caller.
    ///
    /// # Errors
    /// As [`Syncer::sync`].
    pub fn sync_log(&self) -> Result<OrderNumber, StoreError> {
        let _turn = self.shared.turn.lock();
        self.shared.sync_log()
    }

    /// Names finished snapshots and removes files that are no longer needed. Syncs only for a snapshot, so most calls
    /// do little; to be called now and then where [`Syncer::sync`] is not.
    ///
    /// # Errors
    /// As [`Syncer::sync`].
    pub fn tidy(&self) -> Result<(), StoreError> {
        let _turn = self.shared.turn.lock();
        self.shared.check()?;
        // A snapshot vouches for the log up to its last slice, so that has to be durable first.
        if self.shared.due.lock().snapshot.is_some() {
            self.shared.sync_log()?;
        }
        self.shared.tidy()
    }

    /// Returns the order number before which all changes are durable. Rises while [`Syncer::sync`] runs elsewhere.
    pub fn durable(&self) -> OrderNumber {
        self.shared.durable.load().order
    }

    /// Returns the order number before which all changes are written.
    pub fn written(&self) -> OrderNumber {
        self.shared.written.load().order
    }

    /// Tells if the partition takes positions.
    pub fn health(&self) -> Health {
        self.shared.health()
    }
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, partition: u32) -> Shared {
        Shared {
            disk,
            dir,
            partition,
            written: SharedPosition::default(),
            durable: SharedPosition::default(),
            full: AtomicBool::new(false),
            failed: OnceLock::new(),
            due: Mutex::default(),
            turn: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    /// Notes that the writer has written all records before `end`.
    pub(crate) fn written(&self, end: LogPosition) {
        self.written.raise(end);
    }

    /// Notes that the writer writes to `file` from now on, a new segment.
    pub(crate) fn began(&self, file: Arc<dyn DiskFile>) {
        let mut due = self.due.lock();
        due.files.push(file);
        due.entries = true;
    }

    /// Notes a segment from before this process, which may not be synced.
    pub(crate) fn found(&self, file: Arc<dyn DiskFile>) {
        self.due.lock().files.push(file);
    }

    pub(crate) fn finished(&self, snapshot: Finished) {
        self.due.lock().snapshot = Some(snapshot);
    }

    /// Returns the position of a snapshot that got its name since the last call.
    pub(crate) fn named(&self) -> Option<LogPosition> {
        self.due.lock().named.take()
    }

    pub(crate) fn remove(&self, path: PathBuf) {
        self.due.lock().removals.push(path);
    }

    /// Returns the index before which all records are durable.
    pub(crate) fn durable_record(&self) -> u64 {
        self.durable.load().record
    }

    /// Returns the bytes that may still be written where the partition is.
    pub(crate) fn free_space(&self) -> Result<u64, StoreError> {
        self.disk.free_space(&self.dir).doing("measure the space below", &self.dir)
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Stops the partition for good. The first reason stays.
    pub(crate) fn fail(&self, err: &StoreError) {
        // The first reason stays: later ones most often follow from it.
        self.failed.get_or_init(|| describe(err));
    }

    /// Lets the writer begin some work, if the partition has not stopped for good. Costs next to nothing: only
    /// [`Shared::retire`] wants this lock besides.
    pub(crate) fn work(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let guard = self.writing.lock();
        self.check().map(|()| guard)
    }

    /// Takes the files away from the writer and the syncers, once their work under way is done: another writer is to
    /// come, or none.
    pub(crate) fn retire(&self) {
        // Both wait for work under way: a write or a sync cut off in the middle would leave files half changed.
        let _work = self.writing.lock();
        let _turn = self.turn.lock();
        self.failed.get_or_init(|| "its writer is gone".to_owned());
    }

    /// Returns an error when the partition has stopped for good.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.failed.get() {
            Some(reason) => Err(StoreError::Failed { partition: self.partition, reason: reason.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn health(&self) -> Health {
        match self.failed.get() {
            Some(reason) => Health::Failed(reason.clone()),
            None if self.is_full() => Health::Full,
            None => Health::Well,
        }
    }

    fn sync_log(&self) -> Result<OrderNumber, StoreError> {
        self.check()?;
        // In this order: a segment that begins after `upto` was read is synced too early, never too late.
        let upto = self.written.load();
        let (files, entries) = {
            let mut due = self.due.lock();
            (due.files.clone(), std::mem::take(&mut due.entries))
        };
        // Else nothing is due, and the disk is left alone.
        if upto.record > self.durable_record() || entries || files.len() > 1 {
            self.sync_files(&files, entries).inspect_err(|err| self.fail(err))?;
            // The last one is being written, and stays due.
            self.due.lock().files.drain(..files.len() - 1);
        }
        self.durable.raise(upto);
        Ok(upto.order)
    }

    fn sync_files(&self, files: &[Arc<dyn DiskFile>], entries: bool) -> Result<(), StoreError> {
        // Outside the lock of `due`: a sync takes hundreds of milliseconds, and the writer must not wait to leave more.
        for file in files {
            file.sync().doing("sync the log in", &self.dir)?;
        }
        if entries {
            self.disk.sync_dir(&self.dir).doing("sync", &self.dir)?;
        }
        Ok(())
    }

    fn tidy(&self) -> Result<(), StoreError> {
        let (snapshot, removals) = {
            let mut due = self.due.lock();
            (due.snapshot.take(), std::mem::take(&mut due.removals))
        };
        self.name_snapshot(snapshot)
            .and_then(|()| self.remove_all(&removals))
            .inspect_err(|err| self.fail(err))
    }

    fn name_snapshot(&self, snapshot: Option<Finished>) -> Result<(), StoreError> {
        let Some(Finished { file, temp, path, position }) = snapshot else { return Ok(()) };
        // Content, name, directory: in another order a crash could leave the name over nothing.
        file.sync().doing("sync", &temp)?;
        self.disk.rename(&temp, &path).doing("rename", &temp)?;
        self.disk.sync_dir(&self.dir).doing("sync", &self.dir)?;
        self.due.lock().named = Some(position);
        Ok(())
    }

    fn remove_all(&self, paths: &[PathBuf]) -> Result<(), StoreError> {
        // Not synced: a file that is back after a crash is of no harm, and is removed again.
        paths.iter().try_for_each(|path| match self.disk.remove(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.doing("remove", path),
        })
    }
}

/// Returns the error with its cause as a text, for all later calls.
fn describe(err: &StoreError) -> String {
    let cause = std::error::Error::source(err).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{err}{cause}")
}
