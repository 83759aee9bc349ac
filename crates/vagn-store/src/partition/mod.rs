//! One partition: its live index, its log, and the one writer of both.
//!
//! A write has three steps. `Index::plan` decides what becomes of each update and changes nothing; the log
//! appends what is to be stored; `Index::commit` shows it to readers. When the second step fails the third
//! does not happen, so the index never shows what the log does not have.

mod forgetting;
mod housekeeping;
mod opening;
pub(crate) mod recovery;
mod settings;
pub(crate) mod site;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub use forgetting::{Forget, Forgotten};
pub use housekeeping::Housekept;
pub use recovery::{Phase, Progress, Recovery};
pub use settings::{AfterFailedWrite, Settings};

use crate::disk::Disk;
use crate::error::StoreError;
use crate::index::{AsJudged, AsTheyCome, DepartedAt, DepartedCount, Marks, Outcome, Planned, Rule, Teller};
use crate::log::record::{LEN, PositionRecord, Record};
use crate::log::stamps::Stamps;
use crate::log::writer::LogWriter;
use crate::reader::{Reader, Writer};
use crate::syncer::{Health, Shared, Syncer};
use crate::{Fate, Gone, Key, KeyTag, Move, OrderNumber, Plan, Sighting, Update, Updates};
use forgetting::Forgetter;
use housekeeping::Housekeeper;
use site::Site;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Weak};
use vagn_wire::Oddities;

/// Bytes after which the free space is measured again: rarely enough to cost nothing.
const SPACE_CHECK_BYTES: u64 = 4 << 20;

/// The single writer of one partition.
pub struct Partition {
    settings: Settings,
    index: Writer,
    plan: Plan,
    log: LogWriter,
    shared: Arc<Shared>,
    housekeeper: Housekeeper,
    forgetter: Forgetter,
    /// Records in the log when the free space was last looked at.
    space_checked: u64,
}

/// Result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Order number behind the last change of the log: what was written is durable once [`Syncer::durable`] says so
    /// of all before this number.
    pub end: OrderNumber,
    /// Number of updates that were stored.
    pub stored: usize,
    /// Number of these that brought a vehicle that was not known.
    pub new_vehicles: usize,
}

impl Partition {
    /// Recovers the partition `number` from `dir`, which is created when it is missing, and makes it ready to
    /// write. Blocks; partitions may be opened beside each other. `now_ms` is the time now, ms since 1970.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names file and offset of a part that cannot be read though no crash explains it.
    /// [`StoreError::Format`] when another version wrote it, [`StoreError::Io`] when the disk refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        number: u32,
        settings: Settings,
        now_ms: i64,
        progress: &dyn Fn(Progress),
    ) -> Result<(Partition, Recovery), StoreError> {
        let site = Site::alone(dir, number);
        opening::open(disk, &site, OrderNumber::default(), settings, now_ms, progress)
    }

    /// As [`Partition::open`], at a site that manifests tell of, and where all order numbers are to lie above `lowest`.
    pub(crate) fn open_at(
        disk: Arc<dyn Disk>,
        site: &Site,
        lowest: OrderNumber,
        settings: Settings,
        now_ms: i64,
        progress: &dyn Fn(Progress),
    ) -> Result<(Partition, Recovery), StoreError> {
        opening::open(disk, site, lowest, settings, now_ms, progress)
    }

    /// Writes the updates to the log, in one system call, and then shows those that are stored to readers.
    /// `fates` is refilled with the fate of each. Not yet durable: see [`Partition::syncer`].
    ///
    /// # Errors
    /// All updates are [`Fate::Failed`] then and nothing has changed. [`StoreError::Full`] ends when there is
    /// space again, unless [`Settings::after_failed_write`] forbids it; after any other error the partition has stopped
    /// for good. Where it has stopped, [`StoreError::Failed`] names the first cause.
    pub fn write(&mut self, updates: &Updates, fates: &mut Vec<Fate>) -> Result<Written, StoreError> {
        self.write_and_tell_to(updates, fates, &mut Teller::default())
    }

    /// As [`Partition::write`], and adds what it has stored to `moves`, for those who follow the fleet.
    ///
    /// # Errors
    /// As [`Partition::write`]. Nothing is added then.
    pub fn write_and_tell(
        &mut self,
        updates: &Updates,
        fates: &mut Vec<Fate>,
        moves: &mut Vec<Move>,
    ) -> Result<Written, StoreError> {
        moves.reserve(updates.len());
        self.write_and_tell_to(updates, fates, &mut Teller(Some(moves)))
    }

    fn write_and_tell_to(
        &mut self,
        updates: &Updates,
        fates: &mut Vec<Fate>,
        teller: &mut Teller<'_>,
    ) -> Result<Written, StoreError> {
        fates.clear();
        let shared = self.shared.clone();
        let written = shared.work().and_then(|_work| self.try_write(&AsTheyCome, updates, teller));
        match &written {
            Ok(_) => fates.extend(self.plan.fates()),
            Err(_) => fates.resize(updates.len(), Fate::Failed),
        }
        written
    }

    /// Writes updates that were judged before, with the outcome of each.
    pub(crate) fn copy(&mut self, updates: &Updates, outcomes: &[Outcome]) -> Result<Written, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        self.try_write(&AsJudged(outcomes), updates, &mut Teller::default())
    }

    /// Writes late reports of a vehicle that is gone and has no position in the log, for history alone.
    pub(crate) fn copy_gone(
        &mut self,
        key: Key<'_>,
        reports: &[(Sighting, Marks)],
    ) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        // Free again at the end, so that the next new vehicle may have it.
        let slot = self.index.look(|index| index.slots_end());
        self.log.push(&Record::Define { order: self.log.next_order(), slot, key });
        for &(sighting, marks) in reports {
            let order = self.log.next_order();
            self.log.push(&Record::Position { order, slot, hash: key.hash(), sighting, marks });
        }
        self.log.push(&Record::Remove { order: self.log.next_order(), slot, key });
        self.commit().map(|_| ())
    }

    /// Returns the updates of the last write whose reports are odd, by index, with all that is odd about each.
    pub fn odd(&self) -> impl Iterator<Item = (usize, Oddities)> {
        self.plan.odd()
    }

    /// Counts the sealed reports of the last write that came before, or are too old to tell.
    pub fn replays(&self) -> u64 {
        self.plan.replays()
    }

    fn try_write(
        &mut self,
        rule: &impl Rule,
        updates: &Updates,
        teller: &mut Teller<'_>,
    ) -> Result<Written, StoreError> {
        self.check_space().map_err(|err| self.refuse(err))?;
        self.index.plan(rule, updates, &mut self.plan);
        let mut stored = 0;
        // The log has outcomes: what reads it judges nothing again.
        for (at, (planned, (hash, sighting))) in self.plan.with(updates).enumerate() {
            if planned.is_plain() {
                self.log.push_position(&position_record(&self.log, hash, planned, sighting));
            } else {
                push_planned(&mut self.log, &self.plan, updates, at, planned);
            }
            stored += usize::from(planned.fate == Fate::Stored);
        }
        let new_vehicles = self.plan.new_vehicles();
        let end = self.commit()?;
        // Last: a write that failed is never shown, and whatever is shown is in the log.
        self.index.show(updates, &self.plan, teller);
        Ok(Written { end, stored, new_vehicles })
    }

    /// Forgets a vehicle, but for the count that it has under a key; returns `None` when there is none of that id. Not yet
    /// durable.
    ///
    /// # Errors
    /// As [`Partition::write`], except that a lack of free space does not forbid it.
    pub fn delete(&mut self, key: Key<'_>) -> Result<Option<Gone>, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        let Some(gone) = self.index.look(|index| index.slot_of(key).map(|slot| index.gone(slot))) else {
            return Ok(None);
        };
        self.log.push(&Record::Remove { order: self.log.next_order(), slot: gone.row, key });
        self.commit()?;
        self.index.change(|index| index.remove_slot(gone.row));
        Ok(Some(gone))
    }

    /// Sets the greatest number of vehicles: a new one beyond is shed, those that are known stay. It is also that of the counts of
    /// sealed vehicles that left. Without it there is no bound but memory. It is no entry of the log: what is shed leaves none either.
    pub fn bound(&mut self, max_vehicles: usize) {
        self.index.change(|index| index.bound(max_vehicles));
    }

    /// Forgets vehicles among the next slots. A round over all slots is a row of calls, until one reports that there is no
    /// more. Not yet durable.
    ///
    /// # Errors
    /// As [`Partition::delete`].
    pub fn forget(&mut self, command: Forget) -> Result<Forgotten, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        forgetting::forget(self, command)
    }

    /// Forgets the counts of sealed vehicles that left under these keys, which open nothing any more: some of them, behind this place.
    /// Returns the place at which to go on, none at the end. It is no entry of the log, and durable with the next snapshot: what comes
    /// again after a crash does no harm, and can be forgotten again.
    ///
    /// # Errors
    /// As [`Partition::write`].
    pub fn forget_keys(
        &mut self,
        keys: &HashSet<KeyTag>,
        behind: Option<DepartedAt>,
    ) -> Result<Option<DepartedAt>, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        let slice = self.settings.slice.max(1) as usize;
        Ok(self.index.change(|index| index.forget_departed(behind, slice, |key| keys.contains(&key))))
    }

    /// Does a little of the work that is not urgent: a slice of a snapshot, files to remove. To be called every second or so, and again soon when it reports that there is more.
    ///
    /// # Errors
    /// As [`Partition::write`].
    pub fn housekeep(&mut self, now_ms: i64) -> Result<Housekept, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        housekeeping::housekeep(self, now_ms)
    }

    /// Writes a whole snapshot, and puts it under its name.
    pub(crate) fn snapshot(&mut self) -> Result<(), StoreError> {
        housekeeping::snapshot_now(self)?;
        self.syncer().tidy()
    }

    /// Returns the handle by which a successor takes the files away from this writer, even where its thread hangs.
    pub(crate) fn fence(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    /// Adds counts of sealed vehicles that left before, elsewhere. Durable with the next snapshot.
    pub(crate) fn add_departed(&mut self, counts: impl IntoIterator<Item = DepartedCount>) {
        // One that is under way may be past them, and no record of the log tells of them.
        housekeeping::abandon_snapshot(self);
        self.index.change(|index| index.add_departed(counts));
    }

    /// Merges stamps that are in no record of this partition.
    pub(crate) fn merge_stamps(&mut self, stamps: Stamps) {
        self.log.merge_stamps(stamps);
    }

    /// Returns a reader of the live index, for use beside the writer and after it.
    pub fn reader(&self) -> Reader {
        self.index.reader()
    }

    /// Returns a syncer, which makes durable what is written; for a thread of its own. It ends with the partition.
    pub fn syncer(&self) -> Syncer {
        Syncer::new(self.shared.clone())
    }

    /// Tells if the partition takes positions.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Returns the order number behind the last change.
    pub fn end(&self) -> OrderNumber {
        self.log.next_order()
    }

    /// Returns the number of the partition, counted from zero.
    pub fn number(&self) -> u32 {
        self.shared.partition
    }

    /// Returns the bytes of log on the disk, history included.
    pub fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Syncs everything and ends. Returns the order number behind the last change.
    ///
    /// # Errors
    /// When the disk fails, now or before.
    pub fn close(mut self) -> Result<OrderNumber, StoreError> {
        let syncer = self.syncer();
        syncer.sync()?;
        // The second sync makes the record durable that vouches for the first.
        self.say_synced()?;
        let end = syncer.sync()?;
        self.shared.leave()?;
        Ok(end)
    }

    /// Records in the log that it is synced, so that damage before this record is not taken for a torn end.
    fn say_synced(&mut self) -> Result<OrderNumber, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        self.log.mark();
        self.commit()
    }

    /// Writes what was pushed to the log.
    fn commit(&mut self) -> Result<OrderNumber, StoreError> {
        self.log.commit().map_err(|err| self.refuse(err))
    }

    /// Returns the error of a write that failed, and stops the partition if it must not go on.
    fn refuse(&self, err: StoreError) -> StoreError {
        let err = if err.is_no_room() { self.no_room() } else { err };
        if self.settings.after_failed_write == AfterFailedWrite::Stop {
            self.shared.fail(&err);
        }
        err
    }

    fn no_room(&self) -> StoreError {
        self.shared.set_full(true);
        let dir = self.shared.dir.clone();
        StoreError::Full { dir, free_bytes: 0, floor_bytes: self.settings.free_floor_bytes }
    }

    /// Measures the free space when that is due, and at every call while there was too little.
    fn check_space(&mut self) -> Result<(), StoreError> {
        let due = (self.log.end().record - self.space_checked) * LEN as u64 >= SPACE_CHECK_BYTES;
        if due || self.shared.is_full() { self.measure_space() } else { Ok(()) }
    }

    fn measure_space(&mut self) -> Result<(), StoreError> {
        self.space_checked = self.log.end().record;
        let free_bytes = self.shared.free_space()?;
        let floor_bytes = self.settings.free_floor_bytes;
        self.shared.set_full(free_bytes < floor_bytes);
        if free_bytes < floor_bytes {
            return Err(StoreError::Full { dir: self.shared.dir.clone(), free_bytes, floor_bytes });
        }
        Ok(())
    }
}

/// Adds what the log is to know of an update to its batch. Out of line, for most updates are a position and nothing else.
#[inline(never)]
fn push_planned(log: &mut LogWriter, plan: &Plan, updates: &Updates, at: usize, planned: &Planned) {
    let Update { key, hash, sighting, .. } = updates.get(at).expect("each update has an outcome");
    let slot = planned.slot;
    if planned.is_written() {
        if planned.is_new_vehicle() {
            log.push(&Record::Define { order: log.next_order(), slot, key });
        }
        let sighting = planned.sighting(sighting);
        log.push_position(&position_record(log, hash, planned, &sighting));
    }
    if planned.tells_count()
        && let Some(count) = plan.count(planned)
    {
        // Behind the report: torn between the two the log lacks what was counted, and not a report that counts as seen.
        log.push(&Record::Count { slot, hash, count: *count, begins: planned.is_new_vehicle() });
    }
}

#[inline]
fn position_record<'a>(
    log: &LogWriter,
    hash: u64,
    planned: &Planned,
    sighting: &'a Sighting,
) -> PositionRecord<'a> {
    let (order, marks) = (log.next_order(), planned.marks());
    PositionRecord { order, slot: planned.slot, hash, sighting, marks }
}

impl Drop for Partition {
    /// From here on the syncers of this partition leave the files alone, so that the partition may be opened again at
    /// once.
    fn drop(&mut self) {
        // Waits for a sync under way, which could else touch files of the next writer.
        self.shared.retire();
    }
}
