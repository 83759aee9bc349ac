//! What was asked of the files and is not done yet, shard by shard, and the answers that wait for the node.
//!
//! All of it is bounded by the node: it has so many records, one sync and one snapshot of a shard under way, and one reading; another one only
//! when it has given up the reason for that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use vagn_cluster::{DiskFault, DiskPart, Event, LogOutcome, LogRecord, ReadId, ShardId};

use super::log::{Failure, Log, Sync};
use super::read::View;
use super::sizes::ShardSizes;
use super::start::{Opened, Start};

/// Bytes of what the start has read that wait for the node, beyond which no more is read.
const TOLD_MAX: usize = 8 << 20;

/// Something that is to be done for a shard.
#[derive(Debug)]
pub(super) enum Job {
    Write(Vec<LogRecord>),
    Sync,
    Trim(u64),
    Read(Reading),
    ReadRest(Reading),
    DropRest,
    Save { sequence: u64, bytes: Arc<[u8]> },
    Install { sequence: u64, bytes: Arc<[u8]> },
    Drop,
}

/// A reading of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) read: ReadId,
    pub(super) from: u64,
    pub(super) max_bytes: usize,
}

/// A shard, and how often what was on disk of it had been replaced when something was asked: answers to what was asked
/// before are not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) shard: ShardId,
    pub(super) life: u64,
}

pub(super) type SharedLog = Arc<Mutex<Log>>;

/// A shard.
#[derive(Default)]
struct Lane {
    life: u64,
    jobs: VecDeque<(u64, Job)>,
    log: Option<SharedLog>,
    /// Highest number that a log of the shard has had.
    number: u64,
    is_writing: bool,
    is_syncing: bool,
    /// What is on disk is being replaced or removed.
    is_replacing: bool,
    /// The next write must wait until no sync is under way.
    is_segment_full: bool,
    keeps_old: bool,
}

impl Lane {
    /// First record that is not known to be synced. If a lost thread holds the log, that is none.
    fn end(&self) -> u64 {
        self.log.as_ref().and_then(|log| log.try_lock().map(|log| log.synced() + 1)).unwrap_or(1)
    }
}

/// Work for the thread that writes logs.
pub(super) enum LogTask {
    Write { owed: Owed, log: Option<SharedLog>, records: Vec<LogRecord>, is_syncing: bool },
    Sync { owed: Owed, log: Option<SharedLog> },
    Trim { owed: Owed, log: Option<SharedLog>, through: u64, is_syncing: bool },
    Read { owed: Owed, log: Option<SharedLog>, reading: Reading },
    Note(Vec<u8>),
}

/// Work for a thread that syncs.
pub(super) struct SyncTask {
    pub(super) owed: Owed,
    pub(super) log: SharedLog,
    pub(super) sync: Sync,
}

/// Work for the thread that reads, and writes snapshots.
pub(super) enum FileTask {
    Start(Box<Start>),
    Read { owed: Owed, read: ReadId, log: SharedLog, view: View },
    ReadRest { owed: Owed, reading: Reading },
    DropRest(Owed),
    Save { owed: Owed, number: u64, sequence: u64, bytes: Arc<[u8]> },
    Install { owed: Owed, number: u64, sequence: u64, bytes: Arc<[u8]>, old: Old },
    Drop { owed: Owed, keeps_old: bool },
}

/// What is to become of files that others take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// They are whole, and go.
    Goes,
    /// The log is damaged, or could not be read. The snapshot is good, and all that there is until the other one is there.
    Log,
    /// The snapshot cannot be used either.
    All,
}

/// An answer that waits for the node.
struct Told {
    owed: Option<Owed>,
    event: Event,
    /// Memory of what the start has read.
    bytes: usize,
}

/// What is to be done, and what was.
#[derive(Default)]
pub(super) struct Desk {
    lanes: BTreeMap<ShardId, Lane>,
    /// Bytes of the content in the snapshots that are on disk.
    snapshots: BTreeMap<ShardId, u64>,
    /// The shard that was served last.
    turn: Option<ShardId>,
    note: Option<Vec<u8>>,
    /// It failed, and waits until something else was done.
    note_waits: bool,
    /// Under way until all was told; jobs wait for it.
    start: Option<Box<Start>>,
    is_started: bool,
    syncs: VecDeque<SyncTask>,
    files: VecDeque<FileTask>,
    told: VecDeque<Told>,
    told_bytes: usize,
    waker: Option<Waker>,
    /// The node is gone: nothing more is done.
    pub(super) is_closed: bool,
    /// A thread was lost in the middle of its work: what is on disk is not known.
    is_broken: bool,
}

impl Desk {
    pub(super) fn new(start: Start) -> Self {
        Self { start: Some(Box::new(start)), ..Self::default() }
    }

    /// Takes a job.
    pub(super) fn ask(&mut self, shard: ShardId, job: Job) {
        let lane = self.lanes.entry(shard).or_default();
        lane.life += u64::from(matches!(job, Job::Install { .. } | Job::Drop));
        lane.jobs.push_back((lane.life, job));
        if self.is_broken {
            self.refuse(shard);
        }
    }

    /// Takes a note, in place of one that was not written yet.
    pub(super) fn ask_note(&mut self, note: Vec<u8>) {
        (self.note, self.note_waits) = (Some(note), false);
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.jobs.len()).sum::<usize>() + self.syncs.len() + self.files.len()
    }

    /// Puts an answer where the node finds it.
    pub(super) fn tell(&mut self, owed: Owed, event: Event) {
        self.push(Told { owed: Some(owed), event, bytes: 0 });
    }

    fn push(&mut self, told: Told) {
        self.told_bytes += told.bytes;
        self.told.push_back(told);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Gives the next event; keeps the waker when there is none.
    pub(super) fn next_event(&mut self, waker: &Waker) -> Option<Event> {
        while let Some(Told { owed, event, bytes }) = self.told.pop_front() {
            self.told_bytes -= bytes;
            let is_due = |owed: Owed| self.lanes.get(&owed.shard).is_none_or(|lane| lane.life == owed.life);
            if owed.is_none_or(is_due) {
                return Some(event);
            }
        }
        self.waker = Some(waker.clone());
        None
    }

    /// Returns what the thread that writes logs is to do next.
    pub(super) fn log_task(&mut self) -> Option<LogTask> {
        if self.is_closed || self.is_broken || !self.is_started {
            return None;
        }
        if !self.note_waits
            && let Some(note) = self.note.take()
        {
            return Some(LogTask::Note(note));
        }
        loop {
            let shard = self.next_shard()?;
            self.turn = Some(shard);
            if let Some(task) = self.begin(shard) {
                return Some(task);
            }
        }
    }

    /// Returns the next shard, in turn, that has something to do.
    fn next_shard(&self) -> Option<ShardId> {
        let is_due = |(_, lane): &(&ShardId, &Lane)| {
            !lane.is_writing
                && !lane.is_replacing
                && lane.jobs.front().is_some_and(|(_, job)| match job {
                    Job::Write(_) => !(lane.is_segment_full && lane.is_syncing),
                    Job::Sync | Job::Install { .. } | Job::Drop => !lane.is_syncing,
                    Job::Trim(_) | Job::Read(_) | Job::Save { .. } => true,
                    Job::ReadRest(_) | Job::DropRest => true,
                })
        };
        let behind = self.turn.map_or(0, |turn| turn.0 + 1);
        let mut lanes = self.lanes.range(ShardId(behind)..).chain(self.lanes.range(..ShardId(behind)));
        lanes.find(is_due).map(|(shard, _)| *shard)
    }

    /// Takes the next job of a shard. Returns none when it is for another thread.
    fn begin(&mut self, shard: ShardId) -> Option<LogTask> {
        let lane = self.lanes.get_mut(&shard)?;
        let (life, job) = lane.jobs.pop_front()?;
        let (owed, log, is_syncing) = (Owed { shard, life }, lane.log.clone(), lane.is_syncing);
        let task = match job {
            Job::Write(mut records) => {
                // All that waits for the log goes with one call.
                while let Some((_, Job::Write(more))) =
                    lane.jobs.pop_front_if(|(of, job)| *of == life && matches!(job, Job::Write(_)))
                {
                    records.extend(more);
                }
                LogTask::Write { owed, log, records, is_syncing }
            }
            Job::Sync => LogTask::Sync { owed, log },
            Job::Trim(through) => LogTask::Trim { owed, log, through, is_syncing },
            Job::Read(reading) => LogTask::Read { owed, log, reading },
            Job::ReadRest(reading) => {
                self.files.push_back(FileTask::ReadRest { owed, reading });
                return None;
            }
            Job::DropRest => {
                self.files.push_back(FileTask::DropRest(owed));
                return None;
            }
            Job::Save { sequence, bytes } => {
                let number = lane.number;
                self.files.push_back(FileTask::Save { owed, number, sequence, bytes });
                return None;
            }
            Job::Install { sequence, bytes } => {
                lane.number += 1;
                lane.is_replacing = true;
                let old = match (lane.keeps_old, &lane.log) {
                    (false, _) => Old::Goes,
                    (true, Some(_)) => Old::Log,
                    (true, None) => Old::All,
                };
                let number = lane.number;
                self.files.push_back(FileTask::Install { owed, number, sequence, bytes, old });
                return None;
            }
            Job::Drop => {
                lane.is_replacing = true;
                let keeps_old = lane.keeps_old;
                self.files.push_back(FileTask::Drop { owed, keeps_old });
                return None;
            }
        };
        lane.is_writing = true;
        Some(task)
    }

    /// Ends a job of the thread that writes logs, with its answer.
    pub(super) fn written(&mut self, owed: Owed, is_segment_full: bool, answer: Option<Event>) {
        self.note_waits = false;
        if let Some(lane) = self.lanes.get_mut(&owed.shard) {
            (lane.is_writing, lane.is_segment_full) = (false, is_segment_full);
        }
        answer.into_iter().for_each(|event| self.tell(owed, event));
    }

    /// Keeps a note that could not be written, unless there is a later one.
    pub(super) fn note_failed(&mut self, note: Vec<u8>) {
        if self.note.is_none() {
            (self.note, self.note_waits) = (Some(note), true);
        }
    }

    pub(super) fn ask_sync(&mut self, task: SyncTask) {
        if let Some(lane) = self.lanes.get_mut(&task.owed.shard) {
            lane.is_syncing = true;
        }
        self.syncs.push_back(task);
    }

    pub(super) fn sync_task(&mut self) -> Option<SyncTask> {
        if self.is_closed { None } else { self.syncs.pop_front() }
    }

    /// Ends a sync, with its answer. Returns true when other jobs of the shard wait.
    pub(super) fn synced(&mut self, owed: Owed, answer: Option<Event>) -> bool {
        answer.into_iter().for_each(|event| self.tell(owed, event));
        self.lanes.get_mut(&owed.shard).is_some_and(|lane| {
            lane.is_syncing = false;
            !lane.jobs.is_empty()
        })
    }

    /// True when the thread that reads has something to do.
    pub(super) fn has_file_tasks(&self) -> bool {
        self.is_started && !self.files.is_empty()
    }

    pub(super) fn ask_files(&mut self, task: FileTask) {
        self.files.push_back(task);
    }

    /// Returns what the thread that reads is to do next: the start before all else, as long as the node takes what it tells.
    pub(super) fn file_task(&mut self) -> Option<FileTask> {
        if self.is_closed || self.is_broken {
            return None;
        }
        if !self.is_started {
            return if self.told_bytes < TOLD_MAX { self.start.take().map(FileTask::Start) } else { None };
        }
        self.files.pop_front()
    }

    /// Goes on with the start later.
    pub(super) fn starts(&mut self, start: Box<Start>) {
        self.start = Some(start);
    }

    pub(super) fn tell_part(&mut self, part: DiskPart, bytes: usize) {
        self.is_started |= matches!(part, DiskPart::End);
        if let DiskPart::Snapshot(shard, content) = &part {
            self.has_snapshot(*shard, content.len());
        }
        self.push(Told { owed: None, event: Event::Disk(part), bytes });
    }

    /// A snapshot was saved or installed.
    pub(super) fn has_snapshot(&mut self, shard: ShardId, bytes: usize) {
        self.snapshots.insert(shard, bytes as u64);
    }

    /// Returns the bytes of the files of all shards that have some.
    pub(super) fn sizes(&self) -> Vec<ShardSizes> {
        let size = |(shard, snapshot_bytes): (&ShardId, &u64)| {
            let log = self.lanes.get(shard).and_then(|lane| lane.log.as_ref());
            // Not waited for: on a disk that hangs, a thread holds it for long.
            let log_bytes = log.map_or(Some(0), |log| log.try_lock().map(|log| log.bytes()));
            ShardSizes { shard: *shard, log_bytes, snapshot_bytes: *snapshot_bytes }
        };
        self.snapshots.iter().map(size).collect()
    }

    /// Takes a shard that the start has found.
    pub(super) fn opened(&mut self, opened: Opened) {
        let Opened { shard, log, number, keeps_old, has_rest } = opened;
        if has_rest {
            self.tell_part(DiskPart::Rest(shard), 0);
        }
        let lane = self.lanes.entry(shard).or_default();
        lane.log = log.map(|log| Arc::new(Mutex::new(log)));
        (lane.number, lane.keeps_old) = (number, keeps_old);
    }

    /// Ends an installation, with the log that begins with it if it did what it was to do.
    pub(super) fn installed(&mut self, owed: Owed, log: Option<Log>, answer: Event) {
        if let Some(lane) = self.lanes.get_mut(&owed.shard) {
            lane.is_replacing = false;
            if let Some(log) = log {
                lane.log = Some(Arc::new(Mutex::new(log)));
                (lane.keeps_old, lane.is_segment_full) = (false, false);
            }
        }
        self.tell(owed, answer);
    }

    /// Lets the files of a shard be kept when others take their place: they are damaged.
    pub(super) fn keep_old(&mut self, owed: Owed) {
        if let Some(lane) = self.lanes.get_mut(&owed.shard).filter(|lane| lane.life == owed.life) {
            lane.keeps_old = true;
        }
    }

    /// Ends the removal of a shard.
    pub(super) fn dropped(&mut self, owed: Owed, is_gone: bool) {
        if let Some(lane) = self.lanes.get_mut(&owed.shard) {
            lane.is_replacing = false;
            lane.log = None;
            lane.keeps_old &= !is_gone;
            self.snapshots.remove(&owed.shard);
        }
    }

    /// Answers all that waits and all that comes as failed: a thread was lost in the middle of its work.
    pub(super) fn break_all(&mut self) {
        self.is_broken = true;
        let shards: Vec<ShardId> = self.lanes.keys().copied().collect();
        for shard in shards {
            // What was written and is not synced waits for an answer too.
            let lane = &self.lanes[&shard];
            if lane.log.is_some() && !lane.is_replacing {
                let failure = Failure { from: lane.end(), fault: DiskFault::Broken };
                self.tell(Owed { shard, life: lane.life }, failed(shard, failure));
            }
            self.refuse(shard);
        }
        if !self.is_started {
            // What was told is whole, shard by shard.
            self.tell_part(DiskPart::End, 0);
        }
    }

    fn refuse(&mut self, shard: ShardId) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        let from = lane.end();
        for (life, job) in std::mem::take(&mut lane.jobs) {
            let event = match job {
                Job::Write(_) | Job::Sync => failed(shard, Failure { from, fault: DiskFault::Broken }),
                Job::Read(Reading { read, .. }) | Job::ReadRest(Reading { read, .. }) => {
                    was_read(Owed { shard, life }, read, LogOutcome::Fault)
                }
                Job::Save { sequence, .. } | Job::Install { sequence, .. } => {
                    Event::SnapshotSaved { shard, sequence, result: Err(DiskFault::Broken) }
                }
                Job::Trim(_) | Job::DropRest | Job::Drop => continue,
            };
            self.tell(Owed { shard, life }, event);
        }
    }
}

/// Answers a reading. Nothing is taken for the end of a log but its end.
pub(super) fn was_read(owed: Owed, read: ReadId, outcome: LogOutcome) -> Event {
    Event::LogRead { shard: owed.shard, read, outcome }
}

pub(super) fn failed(shard: ShardId, failure: Failure) -> Event {
    Event::LogFailed { shard, from: failure.from, fault: failure.fault }
}
