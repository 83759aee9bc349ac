//! The work that is not urgent, in slices: snapshots, and files to remove.

use super::Partition;
use crate::error::StoreError;
use crate::log::LogPosition;
use crate::snapshot::Snapshot;
use crate::snapshot::writer::SnapshotWriter;
use crate::syncer::{Health, Shared};

/// The snapshot before the newest is kept to fall back to, with the log since then, unless that is longer than this
/// many times the records that make a snapshot due: after a burst that the syncer could not follow, space counts for
/// more.
const FALLBACK_MAX: u64 = 4;

/// A snapshot is due after this time at the latest if there are new records, ms: segments go only once a snapshot
/// stands for them, and those of a quiet fleet have to age out too.
const SNAPSHOT_PAUSE_MIN_MS: i64 = 3_600_000;

/// Result of a call of [`Partition::housekeep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Housekept {
    /// There is more to do now.
    pub more: bool,
    /// Segments and snapshots given up; the syncer removes them.
    pub removed: usize,
}

/// Housekeeping of a partition, as far as it is under way.
pub(super) struct Housekeeper {
    /// Snapshots under their names, oldest first.
    snapshots: Vec<Snapshot>,
    /// A snapshot is due because the next start would have to read too many files.
    due: bool,
    writing: Option<SnapshotWriter>,
    /// Position of a snapshot that the syncer has yet to put under its name.
    waiting: Option<LogPosition>,
    last_snapshot_ms: i64,
}

impl Housekeeper {
    /// `due` asks for a snapshot at once.
    pub(super) fn new(snapshots: Vec<Snapshot>, due: bool, now_ms: i64) -> Housekeeper {
        Housekeeper { snapshots, due, writing: None, waiting: None, last_snapshot_ms: now_ms }
    }

    /// Takes the pause anew where the clock has come back from a time that was too late.
    fn follow(&mut self, now_ms: i64) {
        self.last_snapshot_ms = self.last_snapshot_ms.min(now_ms);
    }

    /// Returns the record from which on the log is needed to recover; those before are history. `keep` bounds the
    /// records kept for a fall-back.
    fn needed(&self, end: u64, keep: u64) -> u64 {
        let fallback =
            self.snapshots.len().checked_sub(2).map_or(0, |before| self.snapshots[before].position.record);
        // With one snapshot the log is kept from its beginning on, as if the one before were empty.
        if end - fallback <= keep { fallback } else { self.newest() }
    }

    /// Takes out the snapshots before the record `record`.
    fn drop_before(&mut self, record: u64) -> impl Iterator<Item = Snapshot> {
        let count = self.snapshots.partition_point(|snapshot| snapshot.position.record < record);
        self.snapshots.drain(..count)
    }

    fn newest(&self) -> u64 {
        self.snapshots.last().map_or(0, |snapshot| snapshot.position.record)
    }
}

pub(super) fn housekeep(partition: &mut Partition, now_ms: i64) -> Result<Housekept, StoreError> {
    // Also without writes: the partition goes on by itself once there is space again.
    match partition.measure_space() {
        Err(StoreError::Full { .. }) | Ok(()) => {}
        Err(err) => return Err(err),
    }
    partition.housekeeper.follow(now_ms);
    let removed = retire(partition, now_ms);
    let more = snapshot(partition, now_ms)?;
    Ok(Housekept { more, removed })
}

/// Hands files to the syncer that need not be kept any longer.
fn retire(partition: &mut Partition, now_ms: i64) -> usize {
    let housekeeper = &mut partition.housekeeper;
    if let Some(position) = partition.shared.named() {
        housekeeper.waiting = None;
        housekeeper.snapshots.push(Snapshot::new(&partition.shared.dir, position));
    }
    let needed = partition
        .housekeeper
        .needed(partition.log.end().record, FALLBACK_MAX.saturating_mul(due_after(partition)));
    let (before_ms, now_ms) = kept_from(partition.settings.history_keep_ms, now_ms);
    let mut count = 0;
    for snapshot in partition.housekeeper.drop_before(needed) {
        partition.shared.remove(snapshot.path);
        count += 1;
    }
    for segment in partition.log.retire(needed, before_ms, now_ms) {
        partition.shared.retire_segment(segment);
        count += 1;
    }
    count
}

/// Returns the time before which received records are no longer history, and the time after which none can have been
/// received.
fn kept_from(history_keep_ms: i64, now_ms: i64) -> (i64, i64) {
    // Without history, a clock that stands still or goes back must not keep anything either.
    if history_keep_ms == 0 { (i64::MAX, i64::MAX) } else { (now_ms.saturating_sub(history_keep_ms), now_ms) }
}

/// Begins a snapshot when one is due, or writes a slice of the one under way. Returns true when there is more to write.
fn snapshot(partition: &mut Partition, now_ms: i64) -> Result<bool, StoreError> {
    if partition.housekeeper.writing.is_none() {
        if !snapshot_due(partition, now_ms) {
            return Ok(false);
        }
        partition.housekeeper.last_snapshot_ms = now_ms;
    }
    match write_snapshot(partition) {
        // No failure of the partition: positions go on as long as there is room for them.
        Err(err) if err.is_no_room() => {
            abandon_snapshot(partition);
            partition.shared.set_full(true);
            Ok(false)
        }
        // Nor is this: it is begun again when the next one is due, which it still is.
        Err(err) if err.is_harmless() || err.is_shortage() => {
            abandon_snapshot(partition);
            Ok(false)
        }
        other => other.inspect_err(|err| partition.shared.fail(err)),
    }
}

/// Returns the number of records since the last snapshot that makes the next one due.
fn due_after(partition: &Partition) -> u64 {
    let vehicles = partition.index.look(|index| index.len()) as u64;
    partition.settings.snapshot_records.max(2 * vehicles)
}

fn snapshot_due(partition: &Partition, now_ms: i64) -> bool {
    let housekeeper = &partition.housekeeper;
    let records = partition.log.end().record - housekeeper.newest();
    // One at a time: a second one could overtake the first at the syncer.
    if housekeeper.waiting.is_some() || records == 0 || partition.health() == Health::Full {
        return false;
    }
    let pause_ms = partition.settings.history_keep_ms.max(SNAPSHOT_PAUSE_MIN_MS);
    housekeeper.due
        || records >= due_after(partition)
        || now_ms.saturating_sub(housekeeper.last_snapshot_ms) >= pause_ms
}

/// Writes a snapshot to its end; the syncer has yet to put it under its name.
pub(super) fn snapshot_now(partition: &mut Partition) -> Result<(), StoreError> {
    while write_snapshot(partition)? {}
    Ok(())
}

fn write_snapshot(partition: &mut Partition) -> Result<bool, StoreError> {
    let mut writer = match partition.housekeeper.writing.take() {
        Some(writer) => writer,
        None => begin_snapshot(partition)?,
    };
    let slice = partition.settings.slice.max(1);
    if let Some(from) = writer.next_slot() {
        partition.index.look(|index| writer.add(from.saturating_add(slice), index.slots(from, slice)));
    } else if !writer.has_all_departed() {
        let last = writer.last_departed();
        partition.index.look(|index| writer.add_departed(index.departed().behind(last), slice));
    } else {
        let finished = writer.finish(partition.log.end(), partition.log.stamps())?;
        partition.housekeeper.waiting = Some(finished.position);
        partition.housekeeper.due = false;
        partition.shared.finished(finished);
        return Ok(false);
    }
    // Outside the lock: readers wait for the copy of a slice and never for the disk.
    let written = writer.write();
    partition.housekeeper.writing = Some(writer);
    written.map(|()| true)
}

/// Begins a new segment with the snapshot, so that the ones before can go as a whole.
fn begin_snapshot(partition: &mut Partition) -> Result<SnapshotWriter, StoreError> {
    partition.log.rotate()?;
    let slot_end = partition.index.look(|index| index.slots_end());
    let position = partition.log.end();
    let Shared { disk, dir, partition, .. } = &*partition.shared;
    SnapshotWriter::begin(&**disk, dir, *partition, position, slot_end)
}

/// Gives up a snapshot, and removes the part that was written.
pub(super) fn abandon_snapshot(partition: &mut Partition) {
    if let Some(writer) = partition.housekeeper.writing.take() {
        // At once: what waits for room may be in front of the syncer's removals. If it stays, the next start removes it.
        let _removed = partition.shared.disk.remove(writer.temp());
    }
}
