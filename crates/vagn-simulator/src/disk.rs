//! A machine's disk: for each shard a snapshot and a log whose end is lost with the power unless it was synced.
//!
//! Some records of a log may be damaged for good, but only ticks: what was answered as kept must be on a disk somewhere. A start cuts the log
//! before the first of them, and keeps what is behind as its rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vagn_cluster::{Body, DiskPart, Entry, LogOutcome, LogRecord, ShardId};

use crate::chance::Chance;

/// Records that one event brings when a machine starts.
const PIECE: usize = 64;

/// A disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) full: bool,
    /// Writes that left a gap in a log: a node must not ask for one.
    pub(crate) gaps: u64,
    note: Option<Vec<u8>>,
    shards: BTreeMap<ShardId, Files>,
}

/// What is on disk of one shard.
#[derive(Debug, Default)]
struct Files {
    snapshot: Option<Arc<[u8]>>,
    records: Vec<LogRecord>,
    /// Records of the log that are damaged.
    damaged: BTreeSet<u64>,
    /// What stood behind the damage that starts have found.
    rest: Vec<LogRecord>,
    /// Last sequence that is synced, and the highest that ever was of this log: others go by what they were told.
    synced: u64,
    had_synced: u64,
    /// Last sequence in the snapshot.
    saved: u64,
    /// Rises with each snapshot installed, drop and failure: answers to older writes and syncs are not given.
    generation: u64,
    /// A failure is on its way to the node: what it still writes is gone, and has no answer.
    fails: bool,
}

/// A sync that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sync {
    pub(crate) shard: ShardId,
    pub(crate) through: u64,
    generation: u64,
}

impl Disk {
    /// Appends records. An error is the first sequence that is not in the log.
    pub(crate) fn write(&mut self, shard: ShardId, records: Vec<LogRecord>) -> Result<(), u64> {
        let full = self.full;
        let files = self.files(shard);
        if files.fails {
            return Ok(());
        }
        if full && let Some(first) = records.first() {
            files.generation += 1;
            files.fails = true;
            return Err(first.sequence);
        }
        let before = files.records.last().map(|record| record.sequence);
        let sequences = before.into_iter().chain(records.iter().map(|record| record.sequence));
        let gap = !sequences.collect::<Vec<_>>().is_sorted_by(|a, b| a + 1 == *b);
        files.records.extend(records);
        self.gaps += u64::from(gap);
        Ok(())
    }

    /// Begins a sync, unless a failure answers it already.
    pub(crate) fn begin_sync(&mut self, shard: ShardId) -> Option<Sync> {
        let files = self.files(shard);
        if files.fails {
            return None;
        }
        let through = files.records.last().map_or(files.synced, |record| record.sequence);
        Some(Sync { shard, through, generation: files.generation })
    }

    /// Ends a sync. Says no if its answer is no longer to be given.
    pub(crate) fn end_sync(&mut self, sync: Sync) -> bool {
        let files = self.files(sync.shard);
        let counts = files.generation == sync.generation;
        if counts {
            files.synced = files.synced.max(sync.through);
            files.had_synced = files.had_synced.max(files.synced);
        }
        counts
    }

    /// Fails a sync: what was written since the last one is gone. Returns the first sequence that is not in the log, or none when
    /// nothing was written: then there is nothing that could fail.
    pub(crate) fn fail_sync(&mut self, sync: Sync) -> Option<u64> {
        let files = self.files(sync.shard);
        let lost = files.records.iter().position(|record| record.sequence > files.synced);
        let counts = files.generation == sync.generation;
        let from = files.records[lost.filter(|_| counts)?].sequence;
        files.generation += 1;
        files.fails = true;
        files.records.truncate(lost?);
        Some(from)
    }

    /// The node is told of a failure now, unless a snapshot was installed since.
    pub(crate) fn tell_failure(&mut self, shard: ShardId) -> bool {
        std::mem::take(&mut self.files(shard).fails)
    }

    /// Returns the last sequence of a shard that a loss of power left, before any damage.
    pub(crate) fn synced(&self, shard: ShardId) -> u64 {
        self.shards.get(&shard).map_or(0, |files| files.had_synced)
    }

    /// Shards of which something is on this disk.
    pub(crate) fn shards(&self) -> Vec<ShardId> {
        self.shards.keys().copied().collect()
    }

    /// Damages a tick in the log of a shard, behind its snapshot if `is_new`. Says no when there is none.
    pub(crate) fn damage(&mut self, shard: ShardId, is_new: bool, chance: &mut Chance) -> bool {
        let files = self.files(shard);
        let after = if is_new { files.saved } else { 0 };
        let ticks = files.records.iter().filter(|record| record.sequence > after && is_tick(record));
        let ticks: Vec<u64> = ticks.map(|record| record.sequence).collect();
        if ticks.is_empty() {
            return false;
        }
        let damaged = chance.pick(&ticks);
        files.damaged.insert(damaged)
    }

    /// True if the rest of a log is kept.
    pub(crate) fn has_rest(&self, shard: ShardId) -> bool {
        self.shards.get(&shard).is_some_and(|files| !files.rest.is_empty())
    }

    /// Reads the rest of a log behind this many records, one at least if it is there.
    pub(crate) fn read_rest(&self, shard: ShardId, from: u64, max_bytes: usize) -> LogOutcome {
        let rest = self.shards.get(&shard).map_or(&[][..], |files| &files.rest);
        match rest.get(from as usize..).filter(|records| !records.is_empty()) {
            None => LogOutcome::End,
            Some(records) => LogOutcome::Records(enough(records, max_bytes)),
        }
    }

    /// Keeps the rest of a log no more.
    pub(crate) fn drop_rest(&mut self, shard: ShardId) {
        self.files(shard).rest.clear();
    }

    pub(crate) fn trim(&mut self, shard: ShardId, through: u64) {
        self.files(shard).records.retain(|record| record.sequence > through);
    }

    /// Reads records from a sequence on, or from the first for 0, one at least if it is there.
    pub(crate) fn read(&self, shard: ShardId, from: u64, max_bytes: usize) -> LogOutcome {
        let Some(files) = self.shards.get(&shard) else { return LogOutcome::End };
        let records = &files.records;
        let start = records.partition_point(|record| record.sequence < from);
        match records.get(start) {
            None => return LogOutcome::End,
            Some(first) if from > 0 && first.sequence != from => return LogOutcome::Fault,
            Some(first) if files.damaged.contains(&first.sequence) => {
                return LogOutcome::Damaged { next: first.sequence + 1 };
            }
            Some(_) => {}
        }
        let is_damaged = |record: &LogRecord| files.damaged.contains(&record.sequence);
        let whole = records[start..].iter().position(is_damaged).map_or(records.len(), |len| start + len);
        LogOutcome::Records(enough(&records[start..whole], max_bytes))
    }

    /// Saves a snapshot beside the log. Says no when there is no room.
    pub(crate) fn save(&mut self, shard: ShardId, sequence: u64, bytes: Arc<[u8]>) -> bool {
        let room = !self.full;
        if room {
            let files = self.files(shard);
            (files.snapshot, files.saved) = (Some(bytes), sequence);
        }
        room
    }

    /// Puts a snapshot in place of all. Says no when there is no room.
    pub(crate) fn install(&mut self, shard: ShardId, sequence: u64, bytes: Arc<[u8]>) -> bool {
        let room = !self.full;
        let files = self.files(shard);
        files.generation += 1;
        files.fails = false;
        if room {
            files.snapshot = Some(bytes);
            files.records.clear();
            files.damaged.clear();
            (files.synced, files.had_synced, files.saved) = (sequence, sequence, sequence);
        }
        room
    }

    pub(crate) fn drop_shard(&mut self, shard: ShardId) {
        let files = self.files(shard);
        let (generation, rest) = (files.generation + 1, std::mem::take(&mut files.rest));
        self.shards.insert(shard, Files { generation, rest, ..Files::default() });
    }

    pub(crate) fn write_note(&mut self, bytes: Vec<u8>) {
        self.note = Some(bytes);
    }

    /// Takes the power away: of what was not synced, chance leaves the beginning.
    pub(crate) fn lose_power(&mut self, chance: &mut Chance) {
        for files in self.shards.values_mut() {
            let synced = files.records.partition_point(|record| record.sequence <= files.synced);
            let unsynced = (files.records.len() - synced) as u64;
            files.records.truncate(synced + chance.within(0..=unsynced) as usize);
        }
    }

    /// Loses all.
    pub(crate) fn lose_all(&mut self) {
        self.note = None;
        self.shards.clear();
    }

    /// Returns what a start finds. It syncs what it finds: otherwise what was read could be lost later.
    pub(crate) fn parts(&mut self) -> Vec<DiskPart> {
        let mut parts: Vec<DiskPart> = self.note.iter().cloned().map(DiskPart::Note).collect();
        for (shard, files) in &mut self.shards {
            files.generation += 1;
            files.fails = false;
            files.cut();
            if let Some(last) = files.records.last() {
                files.synced = files.synced.max(last.sequence);
            }
            files.had_synced = files.had_synced.max(files.synced);
            parts.extend(files.snapshot.iter().map(|bytes| DiskPart::Snapshot(*shard, bytes.to_vec())));
            parts.extend(files.records.chunks(PIECE).map(|piece| DiskPart::Records(*shard, piece.to_vec())));
            parts.extend((!files.rest.is_empty()).then_some(DiskPart::Rest(*shard)));
        }
        parts.push(DiskPart::End);
        parts
    }

    fn files(&mut self, shard: ShardId) -> &mut Files {
        self.shards.entry(shard).or_default()
    }
}

impl Files {
    /// Ends the log before a part that is damaged, and keeps what stands behind.
    fn cut(&mut self) {
        let is_damaged =
            |record: &LogRecord| record.sequence > self.saved && self.damaged.contains(&record.sequence);
        let Some(at) = self.records.iter().position(is_damaged) else { return };
        let behind = self.records.split_off(at);
        self.rest.extend(behind.into_iter().filter(|record| !self.damaged.contains(&record.sequence)));
        // What is written next has these sequences again.
        self.damaged.retain(|damaged| self.records.last().is_some_and(|last| *damaged <= last.sequence));
        self.synced = self.records.last().map_or(self.saved, |last| last.sequence.max(self.saved));
    }
}

fn is_tick(record: &LogRecord) -> bool {
    Entry::read(&record.bytes).is_ok_and(|entry| matches!(entry.body, Body::Tick(_)))
}

/// Returns records until they have so many bytes, one at least.
fn enough(records: &[LogRecord], max_bytes: usize) -> Vec<LogRecord> {
    let mut bytes = 0;
    let is_wanted = |record: &&LogRecord| {
        let go_on = bytes == 0 || bytes < max_bytes;
        bytes += record.bytes.len();
        go_on
    };
    records.iter().take_while(is_wanted).cloned().collect()
}

#[cfg(test)]
mod tests {
    use vagn_cluster::{NodeId, Tick};

    use super::*;

    const SHARD: ShardId = ShardId(3);

    fn records(sequences: std::ops::RangeInclusive<u64>) -> Vec<LogRecord> {
        sequences.map(|sequence| LogRecord { sequence, time_ms: 0, bytes: vec![1; 10].into() }).collect()
    }

    fn read(disk: &Disk, from: u64, max_bytes: usize) -> usize {
        match disk.read(SHARD, from, max_bytes) {
            LogOutcome::Records(records) => records.len(),
            other => panic!("{other:?}"),
        }
    }

    fn sequences(disk: &Disk) -> Vec<u64> {
        match disk.read(SHARD, 1, usize::MAX) {
            LogOutcome::Records(records) => records.iter().map(|record| record.sequence).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn power_takes_what_was_not_synced_and_nothing_else() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let mut disk = Disk::default();
            disk.write(SHARD, records(1..=3)).unwrap();
            let sync = disk.begin_sync(SHARD).unwrap();
            disk.write(SHARD, records(4..=5)).unwrap();
            assert!(disk.end_sync(sync));
            disk.lose_power(&mut Chance::new(seed));
            lengths.insert(sequences(&disk).len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn a_full_disk_takes_no_part_of_a_write_and_answers_no_older_sync() {
        let mut disk = Disk::default();
        disk.write(SHARD, records(1..=2)).unwrap();
        let sync = disk.begin_sync(SHARD).unwrap();
        disk.full = true;
        assert_eq!(disk.write(SHARD, records(3..=4)), Err(3));
        disk.full = false;
        // The node does not know it yet.
        assert_eq!(disk.write(SHARD, records(5..=5)), Ok(()));
        assert!(disk.begin_sync(SHARD).is_none() && sequences(&disk) == [1, 2]);
        assert!(disk.tell_failure(SHARD) && !disk.tell_failure(SHARD));
        disk.full = true;
        assert!(!disk.end_sync(sync));
        assert!(!disk.save(SHARD, 2, Arc::from([])) && !disk.install(SHARD, 9, Arc::from([])));
        assert_eq!(sequences(&disk), [1, 2]);
    }

    #[test]
    fn a_failed_sync_leaves_what_an_earlier_one_covered() {
        let mut disk = Disk::default();
        disk.write(SHARD, records(1..=2)).unwrap();
        let sync = disk.begin_sync(SHARD).unwrap();
        assert!(disk.end_sync(sync));
        disk.write(SHARD, records(3..=4)).unwrap();
        let sync = disk.begin_sync(SHARD).unwrap();
        assert_eq!(disk.fail_sync(sync), Some(3));
        assert!(disk.tell_failure(SHARD));
        let nothing = disk.begin_sync(SHARD).unwrap();
        assert!(disk.fail_sync(nothing).is_none() && disk.end_sync(nothing));
        assert_eq!(sequences(&disk), [1, 2]);
    }

    #[test]
    fn an_installed_snapshot_replaces_the_log_and_silences_what_was_under_way() {
        let mut disk = Disk::default();
        disk.write(SHARD, records(1..=4)).unwrap();
        let sync = disk.begin_sync(SHARD).unwrap();
        assert!(disk.install(SHARD, 9, Arc::from([7])));
        assert!(!disk.end_sync(sync));
        assert_eq!(disk.synced(SHARD), 9);
        disk.write(SHARD, records(10..=10)).unwrap();
        let parts = disk.parts();
        let found = matches!(&parts[..], [DiskPart::Snapshot(_, bytes), DiskPart::Records(_, records), DiskPart::End]
            if bytes == &[7] && records[0].sequence == 10);
        assert!(found, "{parts:?}");
    }

    #[test]
    fn what_is_damaged_is_read_around_until_a_start_keeps_what_is_behind_as_the_rest() {
        let tick = |sequence| LogRecord {
            sequence,
            time_ms: 0,
            bytes: Tick {
                node: NodeId(1),
                wall_ms: 0,
                sequence: 0,
                running_hash: 0,
                tick_sequence: 0,
                content_hash: 0,
            }
            .write(1)
            .into(),
        };
        let mut disk = Disk::default();
        assert!(!disk.damage(SHARD, true, &mut Chance::new(1)), "there is no tick");
        disk.write(SHARD, records(1..=3)).unwrap();
        disk.write(SHARD, vec![tick(4)]).unwrap();
        disk.write(SHARD, records(5..=7)).unwrap();
        let sync = disk.begin_sync(SHARD).unwrap();
        assert!(disk.end_sync(sync) && disk.damage(SHARD, true, &mut Chance::new(1)));
        assert_eq!(sequences(&disk), [1, 2, 3]);
        assert_eq!(disk.read(SHARD, 4, 99), LogOutcome::Damaged { next: 5 });
        assert_eq!(read(&disk, 5, 99), 3);
        let parts = disk.parts();
        let found = matches!(&parts[..], [DiskPart::Records(_, records), DiskPart::Rest(SHARD), DiskPart::End]
            if records.len() == 3);
        assert!(found, "{parts:?}");
        // Others go by what it had.
        assert_eq!((disk.begin_sync(SHARD).unwrap().through, disk.synced(SHARD)), (3, 7));
        disk.write(SHARD, records(4..=4)).unwrap();
        assert_eq!((sequences(&disk), disk.gaps), (vec![1, 2, 3, 4], 0));
        let LogOutcome::Records(rest) = disk.read_rest(SHARD, 1, 99) else { panic!("two are left") };
        assert_eq!(rest.iter().map(|record| record.sequence).collect::<Vec<_>>(), [6, 7]);
        assert_eq!(disk.read_rest(SHARD, 3, 99), LogOutcome::End);
        disk.drop_rest(SHARD);
        assert!(!disk.has_rest(SHARD));
    }

    #[test]
    fn reads_from_a_sequence_that_it_holds_until_it_is_enough() {
        let mut disk = Disk::default();
        disk.write(SHARD, records(5..=9)).unwrap();
        assert_eq!([read(&disk, 6, 15), read(&disk, 6, 0), read(&disk, 0, 99)], [2, 1, 5]);
        assert_eq!(disk.read(SHARD, 4, 99), LogOutcome::Fault, "it goes on behind that");
        assert_eq!(disk.read(SHARD, 10, 99), LogOutcome::End);
        disk.trim(SHARD, 7);
        assert_eq!(read(&disk, 8, 1), 1);
        assert_eq!(disk.gaps, 0);
        disk.write(SHARD, records(11..=11)).unwrap();
        assert_eq!(disk.gaps, 1);
    }
}
