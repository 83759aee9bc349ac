//! A replica of a shard: every entry goes into the log, is synced, and only then changes the content and is answered.
//!
//! So nothing that a query shows or a sender was told can be taken back by a loss of power, and a disk that is full stops the
//! replica at one entry, from which it goes on when there is room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::command::Command;
use crate::content::{Applied, Content, entry_hash};
use crate::entry::Tick;
use crate::event::{DiskFault, LogRecord};
use crate::happened::Stop;
use crate::ids::{Moment, NodeId};
use crate::purge::Progress;
use crate::ring::Ring;
use crate::settings::{Faults, Settings};
use crate::state::{Damaged, ShardState};
use crate::view::TickMark;

/// Most entries and bytes that wait for the disk. Beyond, the subscription is let go until half of them are written.
const PENDING_MAX: usize = 1_024;
const PENDING_BYTES_MAX: usize = 16 << 20;

/// Pause before a write is tried again on a full disk.
const RETRY_MS: u64 = 1_000;

/// Ticks whose hashes are remembered.
const MARKS_MAX: usize = 16;

/// Entries that the log keeps beyond what it must, so that it is not trimmed for each of them.
const TRIM_STEP: u64 = 64;

/// A shard's content on this node, with its log.
#[derive(Debug)]
pub(crate) struct Replica<S> {
    pub(crate) content: Content<S>,
    /// Entries that are not known to be synced, in order.
    pending: VecDeque<LogRecord>,
    pending_bytes: usize,
    /// How many at the end of `pending` were not given to the disk.
    unwritten: usize,
    is_syncing: bool,
    /// Last entry that is synced.
    synced: u64,
    /// The disk has synced the log in this run.
    has_synced: bool,
    /// The start has read it from the disk.
    was_restored: bool,
    /// Last entry in the snapshot on disk.
    saved: u64,
    /// The entry at which a snapshot was tried last, and if it is under way.
    save_tried: u64,
    is_saving: bool,
    trimmed: u64,
    disk: Option<DiskFault>,
    retry_at_ms: u64,
    /// The entry behind the content could not be applied: nothing behind it may be.
    stopped: Option<Stop>,
    /// Hashes of entries as they were received.
    entries: Ring,
    /// Running hashes after entries.
    running: Ring,
    marks: VecDeque<TickMark>,
    /// Last entry up to which another owner was seen to have the same.
    agreed: BTreeMap<NodeId, u64>,
    snapshot_entries: u64,
    faults: Faults,
}

/// Content that is to be put on disk, or was.
impl<S: ShardState> Replica<S> {
    /// A replica whose snapshot is on disk, and whose log holds nothing behind it.
    pub(crate) fn new(content: Content<S>, settings: &Settings) -> Self {
        let (mut entries, mut running) = (Ring::default(), Ring::default());
        if content.entry_hash != 0 {
            entries.push(content.sequence, content.entry_hash);
        }
        running.push(content.sequence, content.running_hash);
        Self {
            pending: VecDeque::new(),
            pending_bytes: 0,
            unwritten: 0,
            is_syncing: false,
            synced: content.sequence,
            has_synced: false,
            was_restored: false,
            saved: content.sequence,
            save_tried: content.sequence,
            is_saving: false,
            trimmed: content.sequence,
            disk: None,
            retry_at_ms: 0,
            stopped: None,
            entries,
            running,
            agreed: BTreeMap::new(),
            marks: content.tick.into_iter().collect(),
            snapshot_entries: settings.snapshot_entries.max(1),
            faults: settings.faults,
            content,
        }
    }

    /// Takes in a record that an earlier run left in the log.
    ///
    /// # Errors
    /// [`Damaged`] when it cannot be read, or one before it is missing.
    pub(crate) fn restore(&mut self, record: &LogRecord, now: Moment) -> Result<(), Damaged> {
        if record.sequence <= self.content.sequence || self.stopped.is_some() {
            return Ok(());
        }
        if record.sequence != self.content.sequence + 1 {
            return Err(Damaged);
        }
        self.stopped = self.check(record);
        if self.stopped.is_none() {
            self.entries.push(record.sequence, entry_hash(record));
            self.apply_one(record, now)?;
        }
        Ok(())
    }

    /// Ends the restoring: what was read may still be on no disk, and the first sync tells if it was all. Returns the reason if an entry in the
    /// log may not be applied.
    pub(crate) fn restored(&mut self, out: &mut Vec<Command>) -> Option<Stop> {
        (self.was_restored, self.is_syncing) = (true, true);
        out.push(Command::SyncLog(self.content.shard));
        self.stopped
    }

    /// Last entry that was received, in order.
    pub(crate) fn received(&self) -> u64 {
        self.pending.back().map_or(self.content.sequence, |record| record.sequence)
    }

    /// Last entry that is on disk for good.
    pub(crate) fn synced(&self) -> u64 {
        if self.faults.purge_before_sync { self.received() } else { self.synced }
    }

    /// True once the disk has synced the log in this run: so it is one that can be written, and all of it was read.
    pub(crate) fn has_synced(&self) -> bool {
        self.has_synced
    }

    /// True until it is known that the start has read the log to its end: it may hold more. A log that was not is broken until the next start,
    /// never full.
    pub(crate) fn is_unread(&self) -> bool {
        self.was_restored && !self.has_synced && !self.is_disk_full()
    }

    /// True while the disk has no room.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk == Some(DiskFault::Full)
    }

    /// True while it takes no more entries.
    pub(crate) fn is_full(&self) -> bool {
        self.disk.is_some() || self.pending.len() >= PENDING_MAX || self.pending_bytes >= PENDING_BYTES_MAX
    }

    /// True when there is room again for a good number of entries.
    pub(crate) fn has_room(&self) -> bool {
        self.disk.is_none()
            && self.pending.len() <= PENDING_MAX / 2
            && self.pending_bytes <= PENDING_BYTES_MAX / 2
    }

    /// Returns the hash of an entry that was received, if it is one of the last.
    pub(crate) fn entry_hash(&self, sequence: u64) -> Option<u64> {
        self.entries.get(sequence)
    }

    /// Returns the first entry whose hash is remembered.
    pub(crate) fn first_hashed(&self) -> Option<u64> {
        self.entries.first()
    }

    /// Takes the entry behind the last one that was received.
    pub(crate) fn take(&mut self, record: LogRecord) {
        debug_assert_eq!(record.sequence, self.received() + 1);
        self.entries.push(record.sequence, entry_hash(&record));
        self.pending_bytes += record.bytes.len();
        self.pending.push_back(record);
        self.unwritten += 1;
    }

    /// Gives to the disk what was taken. Returns what became of entries, if a fault is planted.
    pub(crate) fn flush(&mut self, now: Moment, out: &mut Vec<Command>) -> Outcome {
        let shard = self.content.shard;
        if self.unwritten > 0 && self.may_write(now) {
            let from = self.pending.len() - self.unwritten;
            out.push(Command::WriteLog { shard, records: self.pending.range(from..).cloned().collect() });
            self.unwritten = 0;
        }
        // With nothing to be written, a sync tells if there is room again.
        let has_written =
            self.pending.len() > self.unwritten || (self.is_disk_full() && self.pending.is_empty());
        if has_written && !self.is_syncing && self.may_write(now) {
            self.is_syncing = true;
            out.push(Command::SyncLog(shard));
        }
        if self.faults.ack_before_sync {
            self.apply_through(self.received(), now)
        } else {
            Outcome::default()
        }
    }

    /// On a full disk one attempt a second; on a broken one none.
    fn may_write(&self, now: Moment) -> bool {
        match self.disk {
            None => true,
            Some(DiskFault::Full) => now.elapsed_ms >= self.retry_at_ms,
            Some(DiskFault::Broken) => false,
        }
    }

    /// Returns the moment of the next attempt to write, while the disk is full.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        (self.is_disk_full() && !self.is_syncing).then_some(self.retry_at_ms)
    }

    /// The log is synced up to this entry: it counts, and all before it.
    pub(crate) fn log_synced(&mut self, through: u64, now: Moment, out: &mut Vec<Command>) -> Outcome {
        (self.is_syncing, self.has_synced) = (false, true);
        self.synced = self.synced.max(through.min(self.received()));
        let was_full = self.disk.take_if(|fault| *fault == DiskFault::Full).is_some();
        let mut outcome = self.apply_through(self.synced, now);
        outcome.went_on = was_full;
        while self.pending.front().is_some_and(|record| record.sequence <= self.synced) {
            let record = self.pending.pop_front().expect("it was looked at");
            self.pending_bytes -= record.bytes.len();
        }
        let mut early = self.flush(now, out);
        outcome.applied.append(&mut early.applied);
        outcome.stop = outcome.stop.or(early.stop);
        outcome
    }

    /// The log ends before this entry.
    pub(crate) fn log_failed(&mut self, from: u64, fault: DiskFault, now: Moment) {
        self.is_syncing = false;
        self.unwritten = self.pending.iter().filter(|record| record.sequence >= from).count();
        self.disk = Some(fault);
        self.retry_at_ms = now.elapsed_ms + RETRY_MS;
    }

    fn apply_through(&mut self, through: u64, now: Moment) -> Outcome {
        let mut outcome = Outcome::default();
        if self.stopped.is_some() {
            return outcome;
        }
        let applied = self.content.sequence;
        let fresh = |record: &&LogRecord| record.sequence > applied && record.sequence <= through;
        let records: Vec<LogRecord> = self.pending.iter().filter(fresh).cloned().collect();
        for record in &records {
            match self
                .check(record)
                .map_or_else(|| self.apply_one(record, now).map_err(|_| Stop::EntryDamaged), Err)
            {
                Ok(applied) => outcome.applied.push((record.sequence, applied)),
                Err(stop) => {
                    (self.stopped, outcome.stop) = (Some(stop), Some(stop));
                    break;
                }
            }
        }
        outcome
    }

    fn apply_one(&mut self, record: &LogRecord, now: Moment) -> Result<Applied, Damaged> {
        let clock_ms = self.faults.forget_by_own_clock.then_some(now.wall_ms);
        let applied = self.content.apply(record, clock_ms)?;
        self.running.push(record.sequence, self.content.running_hash);
        if let (Applied::Tick { .. }, Some(mark)) = (&applied, self.content.tick) {
            self.marks.push_back(mark);
            if self.marks.len() > MARKS_MAX {
                self.marks.pop_front();
            }
        }
        Ok(applied)
    }

    /// Compares what a tick says of another replica with what this one had at the same entries.
    fn check(&self, record: &LogRecord) -> Option<Stop> {
        if self.faults.stream_anew_unnoticed {
            return None;
        }
        let entry = crate::entry::Entry::read(&record.bytes).ok()?;
        match entry.body {
            crate::entry::Body::Tick(tick) if entry.epoch == self.content.epoch => self.compare(&tick),
            _ => None,
        }
    }

    fn compare(&self, tick: &Tick) -> Option<Stop> {
        let running = self.running.get(tick.sequence);
        if tick.sequence > 0 && running.is_some_and(|own| own != tick.running_hash) {
            return Some(Stop::HashDiffers);
        }
        let mark = self.marks.iter().find(|mark| mark.sequence == tick.tick_sequence);
        mark.is_some_and(|mark| mark.content_hash != tick.content_hash).then_some(Stop::ContentDiffers)
    }

    /// Returns a tick that says what this replica has.
    pub(crate) fn tick(&self, node: NodeId, wall_ms: i64) -> Tick {
        let mark = self.content.tick;
        Tick {
            node,
            wall_ms,
            sequence: self.content.sequence,
            running_hash: self.content.running_hash,
            tick_sequence: mark.map_or(0, |mark| mark.sequence),
            content_hash: mark.map_or(0, |mark| mark.content_hash),
        }
    }

    /// Returns a tick that says nothing of what this replica has, so that nobody compares. Its number makes it known when it comes.
    pub(crate) fn bare_tick(node: NodeId, wall_ms: i64, number: u64) -> Tick {
        Tick { node, wall_ms, sequence: 0, running_hash: number, tick_sequence: 0, content_hash: 0 }
    }

    /// Saves a snapshot when the log behind the last one has grown long.
    pub(crate) fn save(&mut self, out: &mut Vec<Command>) {
        let sequence = self.content.sequence;
        let is_due = sequence - self.saved.max(self.save_tried) >= self.snapshot_entries;
        if is_due && !self.is_saving && self.disk.is_none() && self.synced >= sequence {
            (self.is_saving, self.save_tried) = (true, sequence);
            let bytes = Arc::from(self.content.write());
            out.push(Command::SaveSnapshot { shard: self.content.shard, sequence, bytes });
        }
    }

    pub(crate) fn snapshot_saved(&mut self, sequence: u64, result: Result<(), DiskFault>) {
        self.is_saving = false;
        if result.is_ok() {
            self.saved = self.saved.max(sequence);
        }
    }

    /// Returns the running hash after the last synced entry, 0 when it is not known.
    pub(crate) fn running_hash(&self) -> u64 {
        self.running.get(self.synced).unwrap_or(0)
    }

    /// Notes up to where the others have the same entries, and not only as many: of a stream that lost its end and was filled anew
    /// one owner may have what no other has, under sequences that all have.
    pub(crate) fn agree(&mut self, owners: &[Progress], me: NodeId) {
        let others = owners.iter().filter(|owner| owner.node != me);
        self.agreed = others
            .map(|owner| {
                let synced = owner.synced.unwrap_or(0);
                let is_same = owner.running_hash != 0 && self.running.get(synced) == Some(owner.running_hash);
                let before = self.agreed.get(&owner.node).copied().unwrap_or(0);
                (owner.node, if is_same { synced.max(before) } else { before })
            })
            .collect();
    }

    /// True when another owner was seen to have the same up to this entry.
    pub(crate) fn is_elsewhere(&self, sequence: u64) -> bool {
        self.agreed.values().any(|agreed| *agreed >= sequence)
    }

    /// Lets go of the log up to the snapshot, but of nothing that another owner may lack: a repair needs it.
    pub(crate) fn trim(&mut self, all_have: u64, out: &mut Vec<Command>) {
        let all_agree = self.agreed.values().copied().min().unwrap_or(all_have);
        let through = self.saved.min(all_have).min(all_agree);
        if through >= self.trimmed + TRIM_STEP {
            self.trimmed = through;
            out.push(Command::TrimLog { shard: self.content.shard, through });
        }
    }
}

/// What came of entries that counted.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Entries by sequence, and what became of each.
    pub(crate) applied: Vec<(u64, Applied)>,
    /// The entry behind them was not applied.
    pub(crate) stop: Option<Stop>,
    /// The disk had been full.
    pub(crate) went_on: bool,
}

#[cfg(test)]
mod tests;
