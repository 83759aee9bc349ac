//! What the writer and the syncers of a partition share.

use super::Health;
use super::due::{Batch, Due, Finished};
use crate::disk::{Disk, DiskFile};
use crate::error::{Doing, SYNC};
use crate::log::LogPosition;
use crate::log::segment::Segment;
use crate::manifest::partition::PartitionManifest;
use crate::{OrderNumber, StoreError};
use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// State that the writer and the syncers of a partition share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) partition: u32,
    written: SharedPosition,
    pub(super) durable: SharedPosition,
    full: AtomicBool,
    failed: OnceLock<String>,
    /// Failures that harmed nothing, until the same succeeds; by the kind of work.
    troubles: Mutex<[Option<String>; 3]>,
    pub(super) due: Mutex<Due>,
    /// Number of those who copy the files as they are: what is not needed any more stays for them.
    pub(super) holds: AtomicUsize,
    /// Held while syncing, so that no syncer takes for done what another one has only begun.
    turn: Mutex<()>,
    /// Held while the writer is at work.
    writing: Mutex<()>,
}

/// Kinds of work that can fail, harm nothing and be tried again.
#[derive(Debug, Clone, Copy)]
enum Work {
    Rotate,
    Sync,
    Tidy,
}

/// A log position that only rises. Both halves change together: a reader that saw the order number of a later write beside
/// the end of an earlier one would call that write durable without a sync.
#[derive(Default)]
pub(super) struct SharedPosition(Mutex<LogPosition>);

impl SharedPosition {
    pub(super) fn load(&self) -> LogPosition {
        *self.0.lock()
    }

    fn raise(&self, to: LogPosition) {
        *self.0.lock() = to;
    }
}

impl Shared {
    /// The state of a partition in `dir` whose manifest is `manifest`, on the disk too.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, manifest: PartitionManifest) -> Shared {
        Shared {
            disk,
            dir,
            partition: manifest.place.partition,
            written: SharedPosition::default(),
            durable: SharedPosition::default(),
            full: AtomicBool::new(false),
            failed: OnceLock::new(),
            troubles: Mutex::default(),
            due: Mutex::new(Due::new(manifest)),
            holds: AtomicUsize::new(0),
            turn: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    /// Notes that the writer has written all records before `end`.
    pub(crate) fn written(&self, end: LogPosition) {
        self.written.raise(end);
    }

    pub(super) fn written_order(&self) -> OrderNumber {
        self.written.load().order
    }

    pub(super) fn durable_order(&self) -> OrderNumber {
        self.durable.load().order
    }

    /// Lets one syncer at a time do its work.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Notes that the writer writes to `file` from now on, a new segment.
    pub(crate) fn began(&self, segment: &Segment, file: Arc<dyn DiskFile>) {
        self.due.lock().begin(segment, file);
    }

    /// Notes that the names in the directory have changed: they are synced before anything more is durable.
    pub(crate) fn names_changed(&self) {
        self.due.lock().entries = true;
    }

    /// Notes a segment from before this process, which may not be synced.
    pub(crate) fn found(&self, path: PathBuf) {
        self.due.lock().find(path);
    }

    pub(crate) fn finished(&self, snapshot: Finished) {
        self.due.lock().snapshot = Some(snapshot);
    }

    pub(super) fn has_snapshot_due(&self) -> bool {
        self.due.lock().snapshot.is_some()
    }

    /// Returns the position of a snapshot that got its name since the last call.
    pub(crate) fn named(&self) -> Option<LogPosition> {
        self.due.lock().named.take()
    }

    /// Leaves a file to be removed that is in no manifest.
    pub(crate) fn remove(&self, path: PathBuf) {
        self.due.lock().removals.push(path);
    }

    /// Leaves a segment to be removed, once the manifest names it no more.
    pub(crate) fn retire_segment(&self, segment: Segment) {
        self.due.lock().retire(segment);
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
        self.failed.get_or_init(|| format!("{}{}", describe(err), err.remedy()));
    }

    /// Notes a failure of the writer that harmed nothing, or that the same has succeeded.
    pub(crate) fn trouble_writer(&self, err: Option<&StoreError>) {
        self.troubles.lock()[Work::Rotate as usize] = err.map(describe);
    }

    /// Notes the outcome of a syncer's work: it stops the partition for good, or is to be tried again.
    fn judge(&self, work: Work, done: &Result<(), StoreError>) {
        match done {
            Err(err) if err.is_harmless() && !err.is_disk_failure() => {
                self.troubles.lock()[work as usize] = Some(describe(err))
            }
            Err(err) => self.fail(err),
            Ok(()) => self.troubles.lock()[work as usize] = None,
        }
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
        if let Some(reason) = self.failed.get() {
            return Health::Failed(reason.clone());
        }
        if self.is_full() {
            return Health::Full;
        }
        let troubles = self.troubles.lock();
        troubles.iter().flatten().next().map_or(Health::Well, |why| Health::Trying(why.clone()))
    }

    pub(super) fn sync_log(&self) -> Result<OrderNumber, StoreError> {
        self.check()?;
        // In this order: a segment that begins after `upto` was read is synced too early, never too late.
        let upto = self.written.load();
        let batch = self.due.lock().take();
        // Else nothing is due, and the disk is left alone.
        let is_due = batch.entries || batch.manifest.is_some() || batch.files.len() > 1;
        if upto.record > self.durable_record() || is_due {
            let done = self.sync_batch(&batch, upto);
            self.judge(Work::Sync, &done);
            let mut due = self.due.lock();
            match done {
                Ok(()) => due.done(&batch),
                Err(err) => {
                    due.put_back(&batch);
                    return Err(err);
                }
            }
        }
        self.durable.raise(upto);
        Ok(upto.order)
    }

    fn sync_batch(&self, batch: &Batch, upto: LogPosition) -> Result<(), StoreError> {
        // Outside the lock of `due`: a sync takes hundreds of milliseconds, and the writer must not wait to leave more.
        for file in &batch.files {
            file.sync(&*self.disk, &self.dir)?;
        }
        self.sync_names(batch, upto.record)
    }

    /// Makes the names of new files durable, and only then names them in the manifest.
    fn sync_names(&self, batch: &Batch, synced: u64) -> Result<(), StoreError> {
        if batch.entries {
            self.disk.sync_dir(&self.dir).doing(SYNC, &self.dir)?;
        }
        let Some(manifest) = &batch.manifest else { return Ok(()) };
        let synced = synced.max(manifest.synced);
        PartitionManifest { synced, ..manifest.clone() }.write(&*self.disk, &self.dir)?;
        self.due.lock().manifest.synced = synced;
        Ok(())
    }

    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let done =
            self.name_snapshot().and_then(|()| if self.is_held() { Ok(()) } else { self.remove_all() });
        self.judge(Work::Tidy, &done);
        done
    }

    /// Removes the files that no manifest names, where nothing else can be done: on a full disk they make the room for it.
    pub(super) fn make_room(&self) -> Result<(), StoreError> {
        self.check()?;
        let done = self.remove_unnamed();
        self.judge(Work::Tidy, &done);
        done
    }

    /// Returns true while files must stay although nothing here needs them. On a full disk positions come before those who copy.
    fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0 && !self.is_full()
    }

    fn name_snapshot(&self) -> Result<(), StoreError> {
        // One that was finished beside the last sync waits for the next.
        let is_durable = |finished: &mut Finished| finished.complete_at <= self.durable_record();
        let Some(finished) = self.due.lock().snapshot.take_if(is_durable) else { return Ok(()) };
        let position = finished.position;
        if let Err(err) = self.rename_snapshot(&finished) {
            self.due.lock().snapshot.get_or_insert(finished);
            return Err(err);
        }
        {
            let mut due = self.due.lock();
            due.named = Some(position);
            due.manifest.snapshot = Some(position);
            due.unnamed = true;
        }
        self.name()
    }

    fn rename_snapshot(&self, Finished { file, temp, path, .. }: &Finished) -> Result<(), StoreError> {
        // Content, name, directory: in another order a crash could leave the name over nothing.
        file.sync().doing(SYNC, temp)?;
        match self.disk.rename(temp, path) {
            // An earlier try came so far.
            Err(err) if err.kind() == io::ErrorKind::NotFound && self.disk.open(path).is_ok() => {}
            done => done.doing("rename", temp)?,
        }
        self.disk.sync_dir(&self.dir).doing(SYNC, &self.dir)
    }

    /// Brings the manifest on the disk up to date, for the segments and snapshots there are.
    fn name(&self) -> Result<(), StoreError> {
        let batch = self.due.lock().take();
        let done = self.sync_names(&batch, self.durable_record());
        if done.is_err() {
            self.due.lock().put_back(&batch);
        }
        done
    }

    fn remove_all(&self) -> Result<(), StoreError> {
        // First what needs no manifest: where the disk is full, it makes the room for the next one.
        self.remove_unnamed()?;
        // Taken before the manifest is: what the writer retires from here on is still named.
        let retired = std::mem::take(&mut self.due.lock().retired);
        if retired.is_empty() {
            return Ok(());
        }
        // Before they go: a file that is named and gone would be missed at the next start.
        let done = self.name().and_then(|()| retired.iter().try_for_each(|path| self.remove_file(path)));
        if done.is_err() {
            // All of them: one that is gone already is no obstacle.
            self.due.lock().retired.splice(..0, retired);
        }
        done
    }

    fn remove_unnamed(&self) -> Result<(), StoreError> {
        let paths = std::mem::take(&mut self.due.lock().removals);
        let done = paths.iter().try_for_each(|path| self.remove_file(path));
        if done.is_err() {
            self.due.lock().removals.splice(..0, paths);
        }
        done
    }

    fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        // Not synced: a file that is back after a crash is of no harm, and is removed again.
        match self.disk.remove(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.doing("remove", path),
        }
    }

    /// Says in the manifest where the log ends, all of which is synced. Nothing may be written after this.
    pub(crate) fn leave(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock();
        self.check()?;
        {
            let mut due = self.due.lock();
            due.manifest.closed_at = Some(self.durable.load());
            due.unnamed = true;
        }
        self.name()
    }
}

/// Returns the error with its cause as a text, for all later calls.
fn describe(err: &StoreError) -> String {
    let cause = std::error::Error::source(err).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{err}{cause}")
}
