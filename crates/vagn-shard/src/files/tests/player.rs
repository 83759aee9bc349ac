//! A node that does whatever the contract allows, by chance, and keeps a book of what must be on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use vagn_cluster::{DiskCommand, DiskFault, Event, LogOutcome, LogRecord, ReadId, ShardId};

use super::rig::Rig;

/// Shards that a node has.
const SHARDS: u16 = 3;

/// A snapshot of a shard and the log behind it, as the node knows it.
#[derive(Debug, Clone)]
struct Life {
    /// No other one has it.
    id: u64,
    /// Snapshots in the order in which they were given to the disk, and whether they were answered as saved.
    snapshots: Vec<(u64, Arc<[u8]>, bool)>,
    /// All records that were given to the disk in this life; the first one follows the first snapshot that was installed.
    records: Vec<LogRecord>,
    synced: u64,
    /// All before were let go.
    trimmed: u64,
}

/// What the node knows of a shard.
#[derive(Debug, Clone, Default)]
struct Book {
    /// Lives that may be on disk: the last one that was answered as installed, and all that came later.
    lives: Vec<Life>,
    /// The shard may be on no disk.
    may_be_gone: bool,
    /// The first record that the disk is to get next.
    next: u64,
    syncs: u8,
    /// A reading that was asked for: from where, and what was synced then.
    reading: Option<(u64, u64)>,
    /// The log was cut back since: then the reading may find nothing sound, and is asked for again.
    was_cut: bool,
    is_saving: bool,
    is_installing: bool,
    is_broken: bool,
}

/// The node.
pub(super) struct Player {
    pub(super) rig: Rig,
    books: BTreeMap<ShardId, Book>,
    /// Notes that may be on disk; the last one that was there for sure is the first.
    notes: Vec<Vec<u8>>,
    chance: Rng,
    number: u64,
    /// What it has been told.
    pub(super) heard: BTreeSet<&'static str>,
}

fn bytes(shard: ShardId, sequence: u64, number: u64, len: usize) -> Arc<[u8]> {
    format!("{} {sequence} {number} {}", shard.0, "y".repeat(len)).into_bytes().into()
}

impl Player {
    pub(super) fn new(rig: Rig, seed: u64) -> Self {
        let books = (0..SHARDS).map(|shard| (ShardId(shard), Book::default())).collect();
        Self {
            rig,
            books,
            notes: Vec::new(),
            chance: Rng::with_seed(seed),
            number: 0,
            heard: BTreeSet::new(),
        }
    }

    /// Plays some commands, with the threads in any order, until the disk stops or the steps are over.
    pub(super) fn play(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.rig.disk.has_crashed() {
                return;
            }
            self.act();
            for _ in 0..self.chance.usize(..4) {
                self.rig.step_any(&mut self.chance);
            }
            if self.chance.bool() {
                self.hear();
            }
        }
    }

    /// Lets all that is under way come to its end.
    pub(super) fn settle(&mut self) {
        loop {
            let worked = self.rig.step_any(&mut self.chance);
            if !self.hear() && !worked {
                return;
            }
        }
    }

    fn hear(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.rig.event() {
            heard = true;
            self.take(event);
        }
        heard
    }

    fn act(&mut self) {
        let shard = ShardId(self.chance.u16(..SHARDS));
        self.number += 1;
        let number = self.number;
        let Self { rig, books, notes, chance, .. } = self;
        let book = books.get_mut(&shard).unwrap();
        let can_write = !book.lives.is_empty() && !book.is_installing && !book.is_broken;
        match chance.u8(..16) {
            0 => {
                let note = format!("note {number}").into_bytes();
                notes.push(note.clone());
                rig.tell(DiskCommand::WriteNote(note));
            }
            1 if !book.is_installing
                && (book.may_be_gone && chance.bool() || book.lives.is_empty() || book.is_broken) =>
            {
                let sequence = chance.u64(..50);
                let bytes = bytes(shard, sequence, number, chance.usize(..700));
                install(rig, book, shard, sequence, (number, bytes));
            }
            2 if can_write && chance.u8(..4) == 0 => {
                rig.tell(DiskCommand::DropShard(shard));
                let lives = std::mem::take(&mut book.lives);
                *book = Book { lives, may_be_gone: true, is_broken: true, ..Book::default() };
            }
            3 if can_write && !book.is_saving => {
                let life = book.lives.last_mut().unwrap();
                let last = life.snapshots.last().unwrap().0;
                if life.synced > last {
                    let sequence = chance.u64(last + 1..=life.synced);
                    let bytes = bytes(shard, sequence, number, chance.usize(..700));
                    life.snapshots.push((sequence, bytes.clone(), false));
                    book.is_saving = true;
                    rig.tell(DiskCommand::SaveSnapshot { shard, sequence, bytes });
                }
            }
            4 if can_write => {
                let life = book.lives.last_mut().unwrap();
                let saved =
                    life.snapshots.iter().rev().find(|(.., is_saved)| *is_saved).map_or(0, |(at, ..)| *at);
                let through = chance.u64(..=saved);
                life.trimmed = life.trimmed.max(through);
                rig.tell(DiskCommand::TrimLog { shard, through });
            }
            5 if can_write && book.reading.is_none() => {
                let from = if chance.bool() { 0 } else { chance.u64(..=book.next) };
                book.reading = book.lives.last().map(|life| (from, life.synced));
                book.was_cut = false;
                let (read, max_bytes) = (ReadId(from), chance.usize(..500));
                rig.tell(DiskCommand::ReadLog { read, shard, from, max_bytes });
            }
            6..9 if can_write && book.syncs < 2 => {
                book.syncs += 1;
                rig.tell(DiskCommand::SyncLog(shard));
            }
            _ if can_write => {
                let life = book.lives.last_mut().unwrap();
                let count = chance.u64(1..5);
                let records: Vec<LogRecord> = (book.next..book.next + count)
                    .map(|sequence| LogRecord {
                        sequence,
                        time_ms: -7,
                        bytes: bytes(shard, sequence, life.id, 30),
                    })
                    .collect();
                // Some are given again after a failure.
                life.records.retain(|record| record.sequence < book.next);
                life.records.extend(records.iter().cloned());
                book.next += count;
                rig.tell(DiskCommand::WriteLog { shard, records });
            }
            _ => {}
        }
    }

    fn take(&mut self, event: Event) {
        self.heard.insert(match &event {
            Event::LogSynced { .. } => "synced",
            Event::LogFailed { .. } => "failed",
            Event::LogRead { outcome: LogOutcome::End, .. } => "read nothing",
            Event::LogRead { outcome: LogOutcome::Fault, .. } => "not read",
            Event::LogRead { .. } => "read",
            Event::SnapshotSaved { result: Ok(()), .. } => "saved",
            _ => "not saved",
        });
        match event {
            Event::LogSynced { shard, through } => {
                let book = self.books.get_mut(&shard).unwrap();
                book.syncs = book.syncs.checked_sub(1).expect("it answers a sync");
                assert!(through < book.next, "{through} was not written");
                let life = book.lives.last_mut().unwrap();
                life.synced = life.synced.max(through);
            }
            Event::LogFailed { shard, from, fault } => {
                let book = self.books.get_mut(&shard).unwrap();
                let life = book.lives.last().unwrap();
                assert!(
                    from > life.synced && from <= book.next,
                    "{from}, synced {}, next {}",
                    life.synced,
                    book.next
                );
                (book.next, book.syncs, book.was_cut) = (from, 0, true);
                book.is_broken = fault == DiskFault::Broken;
            }
            Event::LogRead { shard, read, outcome } => {
                let book = self.books.get_mut(&shard).unwrap();
                let (from, synced) = book.reading.take().expect("it was asked");
                assert_eq!(read, ReadId(from));
                let is_void = book.was_cut && matches!(outcome, LogOutcome::Fault);
                // From a disk that stopped nothing may have been read.
                if !self.rig.disk.has_crashed() && !is_void {
                    check_read(book.lives.last().unwrap(), synced, from, &outcome);
                }
            }
            Event::SnapshotSaved { shard, sequence, result } => {
                let book = self.books.get_mut(&shard).unwrap();
                let life = book.lives.last_mut().unwrap();
                let snapshot = life.snapshots.last_mut().unwrap();
                assert_eq!(snapshot.0, sequence, "snapshots are answered in their order");
                snapshot.2 |= result.is_ok();
                if !std::mem::take(&mut book.is_installing) {
                    assert!(std::mem::take(&mut book.is_saving));
                    return;
                }
                match result {
                    Ok(()) => {
                        book.lives.drain(..book.lives.len() - 1);
                        (book.may_be_gone, book.is_broken, book.next) = (false, false, sequence + 1);
                    }
                    // It may be there all the same, after a fault at the very end.
                    Err(_) => book.is_broken = true,
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Starts anew on what a crash has left, and checks that it is what may be there.
    pub(super) fn restart(&self, mut rig: Rig) -> Self {
        let (mut books, notes, chance) = (self.books.clone(), self.notes.clone(), self.chance.clone());
        let start = rig.start();
        if let Some(note) = &start.note {
            assert!(notes.contains(note), "a note that was never written");
        }
        let told: BTreeMap<ShardId, _> = start.shards.iter().map(|(shard, ..)| (*shard, ())).collect();
        assert_eq!(told.len(), start.shards.len(), "each shard is told once");
        for (shard, book) in &mut books {
            let found = start.shards.iter().find(|(of, ..)| of == shard);
            *book = found.map_or_else(
                || gone(*shard, book),
                |(_, snapshot, records)| found_again(*shard, book, snapshot, records),
            );
        }
        books.iter().for_each(|(shard, book)| check_log(&mut rig, *shard, book));
        assert!(
            rig.names("").iter().all(|name| !name.starts_with("damaged")),
            "nothing was damaged: {:?}",
            rig.names("")
        );
        Self { rig, books, notes, chance, number: self.number, heard: BTreeSet::new() }
    }
}

fn install(rig: &mut Rig, book: &mut Book, shard: ShardId, sequence: u64, (id, bytes): (u64, Arc<[u8]>)) {
    let snapshots = vec![(sequence, bytes.clone(), false)];
    book.lives.push(Life { id, snapshots, records: Vec::new(), synced: sequence, trimmed: 0 });
    let may_be_gone = book.may_be_gone || book.lives.len() == 1;
    let lives = std::mem::take(&mut book.lives);
    *book = Book { lives, may_be_gone, is_installing: true, next: sequence + 1, ..Book::default() };
    rig.tell(DiskCommand::InstallSnapshot { shard, sequence, bytes });
}

/// Checks a reading: records that were written, without a gap, from where it was asked; or the end where nothing is left.
fn check_read(life: &Life, synced: u64, from: u64, outcome: &LogOutcome) {
    let records = match outcome {
        LogOutcome::Records(records) => records,
        LogOutcome::End => {
            let mut left = life.records.iter().filter(|record| record.sequence <= synced);
            let is_over =
                left.all(|record| record.sequence < from || from == 0 && record.sequence <= life.trimmed);
            return assert!(is_over, "{from} is taken for the end, and {synced} was synced");
        }
        LogOutcome::Fault => {
            let is_gone = from > 0 && from <= life.trimmed.max(life.snapshots[0].0);
            return assert!(is_gone, "{from} is there");
        }
        LogOutcome::Damaged { next } => panic!("nothing is damaged from {from} to {next}"),
    };
    let first = records.first().expect("one at least");
    assert!(from == 0 || first.sequence == from, "{} in place of {from}", first.sequence);
    let written = life.records.iter().skip_while(|record| record.sequence < first.sequence);
    assert!(written.take(records.len()).eq(records), "what was read was written so");
}

/// Reads the log of a shard that was told: it is one, to its end.
fn check_log(rig: &mut Rig, shard: ShardId, book: &Book) {
    let Some(life) = book.lives.last() else { return };
    rig.tell(DiskCommand::ReadLog { read: ReadId(0), shard, from: 0, max_bytes: 1 << 30 });
    let events = rig.run();
    let [Event::LogRead { outcome, .. }] = &events[..] else { panic!("{events:?}") };
    check_read(life, life.synced, 0, outcome);
    let last = match outcome {
        LogOutcome::Records(records) => records.last().map(|record| record.sequence),
        LogOutcome::End | LogOutcome::Fault | LogOutcome::Damaged { .. } => None,
    };
    let snapshot = life.snapshots[0].0;
    assert!(
        last == Some(life.synced) || last.is_none() && snapshot == life.synced,
        "{shard:?} ends at {last:?}"
    );
}

fn gone(shard: ShardId, book: &Book) -> Book {
    assert!(
        book.may_be_gone || book.lives.is_empty(),
        "{shard:?} is lost: {:?}",
        book.lives.last().map(|life| (life.id, life.synced))
    );
    Book::default()
}

/// Checks that a shard is as one of its lives may be, and returns the book of it from here on.
fn found_again(shard: ShardId, book: &Book, snapshot: &[u8], records: &[LogRecord]) -> Book {
    let has_it = |life: &&Life| life.snapshots.iter().any(|(_, bytes, _)| **bytes == *snapshot);
    let life = book.lives.iter().find(has_it);
    let life = life.unwrap_or_else(|| {
        panic!("{shard:?}: {} was never written", snapshot[..snapshot.len().min(20)].escape_ascii())
    });
    let at = life.snapshots.iter().position(|(_, bytes, _)| **bytes == *snapshot).expect("it has it");
    let is_old = life.snapshots[at + 1..].iter().any(|(.., is_saved)| *is_saved);
    assert!(!is_old, "{shard:?}: an older snapshot than the one that was saved");
    let sequence = life.snapshots[at].0;
    let expected = life.records.iter().skip_while(|record| record.sequence <= sequence);
    assert!(
        expected.take(records.len()).eq(records),
        "{shard:?}: other records than were written, behind {sequence}"
    );
    let last = records.last().map_or(sequence, |record| record.sequence);
    assert!(last >= life.synced, "{shard:?} ends at {last}, and {} was synced", life.synced);
    let snapshots = vec![(sequence, snapshot.into(), true)];
    let before = life.records.iter().filter(|record| record.sequence <= last).cloned().collect();
    // How much of what is in the snapshot is still there is not looked at.
    // Its number is not given again.
    let life = Life { id: life.id << 32, snapshots, records: before, synced: last, trimmed: sequence };
    Book { lives: vec![life], next: last + 1, ..Book::default() }
}
