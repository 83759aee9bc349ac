//! A disk in memory that outlives its node.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use vagn_cluster::{Disk, DiskCommand, DiskPart, Event, LogOutcome, LogRecord, ShardId};

/// Snapshot and log of a shard.
#[derive(Default)]
struct Shard {
    snapshot: Option<Arc<[u8]>>,
    records: Vec<LogRecord>,
}

/// What is on a disk.
#[derive(Default)]
struct Kept {
    note: Option<Vec<u8>>,
    shards: BTreeMap<ShardId, Shard>,
}

/// Opens the disk anew after each end of its node.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    kept: Arc<Mutex<Kept>>,
}

pub(crate) struct Opened {
    kept: Arc<Mutex<Kept>>,
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl Memory {
    pub(crate) fn open(&self) -> Opened {
        let kept = self.kept.lock().unwrap();
        let mut events: VecDeque<Event> =
            kept.note.clone().map(DiskPart::Note).map(Event::Disk).into_iter().collect();
        for (id, shard) in &kept.shards {
            let snapshot = shard.snapshot.as_ref().map(|bytes| DiskPart::Snapshot(*id, bytes.to_vec()));
            events.extend(snapshot.map(Event::Disk));
            events.push_back(Event::Disk(DiskPart::Records(*id, shard.records.clone())));
        }
        events.push_back(Event::Disk(DiskPart::End));
        Opened { kept: self.kept.clone(), events, waker: None }
    }
}

impl Opened {
    fn answer(&mut self, event: Event) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Disk for Opened {
    fn carry_out(&mut self, command: DiskCommand) {
        let kept = self.kept.clone();
        let mut kept = kept.lock().unwrap();
        match command {
            DiskCommand::WriteLog { shard, records } => {
                kept.shards.entry(shard).or_default().records.extend(records)
            }
            DiskCommand::SyncLog(shard) => {
                let last = kept.shards.get(&shard).and_then(|kept| kept.records.last());
                let through = last.map_or(0, |record| record.sequence);
                self.answer(Event::LogSynced { shard, through });
            }
            DiskCommand::TrimLog { shard, through } => {
                kept.shards.entry(shard).or_default().records.retain(|record| record.sequence > through);
            }
            DiskCommand::ReadLog { read, shard, from, max_bytes } => {
                let mut room = max_bytes as i64;
                let records = kept.shards.get(&shard).map_or(&[][..], |kept| &kept.records);
                let first = records.first().map_or(u64::MAX, |record| record.sequence);
                let behind =
                    records.iter().filter(|record| record.sequence >= from && (from == 0 || first <= from));
                let some = behind.take_while(|record| {
                    let takes = room > 0;
                    room -= record.bytes.len() as i64;
                    takes
                });
                let some: Vec<LogRecord> = some.cloned().collect();
                let last = records.last().map_or(0, |record| record.sequence);
                let outcome = match some.is_empty() {
                    false => LogOutcome::Records(some),
                    true if from > last || from == 0 => LogOutcome::End,
                    true => LogOutcome::Fault,
                };
                self.answer(Event::LogRead { shard, read, outcome });
            }
            // No start tells of a rest.
            DiskCommand::ReadRest { read, shard, .. } => {
                self.answer(Event::LogRead { shard, read, outcome: LogOutcome::End });
            }
            DiskCommand::DropRest(_) => {}
            DiskCommand::SaveSnapshot { shard, sequence, bytes } => {
                kept.shards.entry(shard).or_default().snapshot = Some(bytes);
                self.answer(Event::SnapshotSaved { shard, sequence, result: Ok(()) });
            }
            DiskCommand::InstallSnapshot { shard, sequence, bytes } => {
                kept.shards.insert(shard, Shard { snapshot: Some(bytes), records: Vec::new() });
                self.answer(Event::SnapshotSaved { shard, sequence, result: Ok(()) });
            }
            DiskCommand::DropShard(shard) => drop(kept.shards.remove(&shard)),
            DiskCommand::WriteNote(bytes) => kept.note = Some(bytes),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
