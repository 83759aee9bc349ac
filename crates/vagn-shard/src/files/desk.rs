//! The desk of a node's files: the jobs that are not done yet, shard by shard, and the answers that wait for the node.
//!
//! All of it is bounded by the node: it has so many records, one sync and one snapshot of a shard under way, and one reading; another one only
//! when it has given up the reason for that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use vagn_cluster::{DiskFault, DiskPart, Event, LogOutcome, ShardId};

use super::log::{Failure, Log};
use super::sizes::ShardSizes;
use super::start::{Opened, Start};
use super::tasks::{FileTask, Job, LogTask, Old, Owed, Reading, SharedLog, SyncTask, failed, was_read};

/// Bytes of what the start has read that wait for the node, beyond which no more is read.
const TOLD_MAX: usize = 8 << 20;

/// The jobs of a shard, and its log.
#[derive(Default)]
struct Lane {
    /// Rises when files are to be replaced or removed.
    life: u64,
    /// Each with the life that it was asked for.
    jobs: VecDeque<(u64, Job)>,
    log: Option<SharedLog>,
    /// Highest number that a log of the shard has had.
    number: u64,
    is_writing: bool,
    is_syncing: bool,
    /// Its files are being replaced or removed.
    is_replacing: bool,
    /// The next write must wait until no sync is under way.
    is_segment_full: bool,
    /// Its files are damaged, and are kept when others take their place.
    keeps_old: bool,
}

impl Lane {
    /// Returns the first record that is not known to be synced. If a lost thread holds the log, that is none.
    fn end(&self) -> u64 {
        self.log.as_ref().and_then(|log| log.try_lock().map(|log| log.synced() + 1)).unwrap_or(1)
    }

    /// Returns true if there is a job, and nothing under way that it must wait for.
    fn can_begin(&self) -> bool {
        let Some((_, job)) = self.jobs.front() else { return false };
        let is_free = match job {
            Job::Write(_) => !(self.is_segment_full && self.is_syncing),
            Job::Sync | Job::Install { .. } | Job::Drop => !self.is_syncing,
            Job::Trim(_) | Job::Read(_) | Job::Save { .. } => true,
            Job::ReadRest(_) | Job::DropRest => true,
        };
        is_free && !self.is_writing && !self.is_replacing
    }
}

/// An answer that waits for the node.
struct Answer {
    /// None for a part of the start, which is always told.
    owed: Option<Owed>,
    event: Event,
    /// Memory that a part of the start takes.
    bytes: usize,
}

/// The jobs of all shards, and the answers to them.
#[derive(Default)]
pub(super) struct Desk {
    lanes: BTreeMap<ShardId, Lane>,
    /// Bytes of the content in the snapshots that are on disk.
    snapshots: BTreeMap<ShardId, u64>,
    /// The shard that was served last.
    turn: Option<ShardId>,
    note: Option<Vec<u8>>,
    /// Writing it failed: it waits until something else was done.
    note_waits: bool,
    /// The start while it is under way and not at work; jobs wait for its end.
    start: Option<Box<Start>>,
    is_started: bool,
    syncs: VecDeque<SyncTask>,
    files: VecDeque<FileTask>,
    answers: VecDeque<Answer>,
    answer_bytes: usize,
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
        self.note = Some(note);
        self.note_waits = false;
    }

    /// Counts the jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.jobs.len()).sum::<usize>() + self.syncs.len() + self.files.len()
    }

    /// Puts an answer where the node finds it.
    pub(super) fn tell(&mut self, owed: Owed, event: Event) {
        self.push(Answer { owed: Some(owed), event, bytes: 0 });
    }

    fn push(&mut self, answer: Answer) {
        self.answer_bytes += answer.bytes;
        self.answers.push_back(answer);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Gives the next event; keeps the waker when there is none.
    pub(super) fn next_event(&mut self, waker: &Waker) -> Option<Event> {
        while let Some(Answer { owed, event, bytes }) = self.answers.pop_front() {
            self.answer_bytes -= bytes;
            if owed.is_none_or(|owed| self.is_alive(owed)) {
                return Some(event);
            }
        }
        self.waker = Some(waker.clone());
        None
    }

    fn is_alive(&self, owed: Owed) -> bool {
        self.lanes.get(&owed.shard).is_none_or(|lane| lane.life == owed.life)
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
        let behind = self.turn.map_or(0, |turn| turn.0 + 1);
        let mut lanes = self.lanes.range(ShardId(behind)..).chain(self.lanes.range(..ShardId(behind)));
        lanes.find(|(_, lane)| lane.can_begin()).map(|(shard, _)| *shard)
    }

    /// Takes the next job of a shard. Returns none when it is for another thread.
    fn begin(&mut self, shard: ShardId) -> Option<LogTask> {
        let lane = self.lanes.get_mut(&shard)?;
        let (life, job) = lane.jobs.pop_front()?;
        let owed = Owed { shard, life };
        let log = lane.log.clone();
        let is_syncing = lane.is_syncing;
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
            lane.is_writing = false;
            lane.is_segment_full = is_segment_full;
        }
        if let Some(event) = answer {
            self.tell(owed, event);
        }
    }

    /// Keeps a note that could not be written, unless there is a later one.
    pub(super) fn note_failed(&mut self, note: Vec<u8>) {
        if self.note.is_none() {
            self.note = Some(note);
            self.note_waits = true;
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
        if let Some(event) = answer {
            self.tell(owed, event);
        }
        self.lanes.get_mut(&owed.shard).is_some_and(|lane| {
            lane.is_syncing = false;
            !lane.jobs.is_empty()
        })
    }

    /// Returns true when the thread that reads has something to do.
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
            return if self.answer_bytes < TOLD_MAX { self.start.take().map(FileTask::Start) } else { None };
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
        self.push(Answer { owed: None, event: Event::Disk(part), bytes });
    }

    /// Notes the size of a snapshot that was saved or installed.
    pub(super) fn has_snapshot(&mut self, shard: ShardId, bytes: usize) {
        self.snapshots.insert(shard, bytes as u64);
    }

    /// Returns the bytes of the files of all shards that have some.
    pub(super) fn sizes(&self) -> Vec<ShardSizes> {
        let sizes = self.snapshots.iter().map(|(shard, snapshot_bytes)| ShardSizes {
            shard: *shard,
            log_bytes: self.log_bytes(*shard),
            snapshot_bytes: *snapshot_bytes,
        });
        sizes.collect()
    }

    /// Returns the bytes of a shard's log. It is not waited for: on a disk that hangs, a thread holds it for long.
    fn log_bytes(&self, shard: ShardId) -> Option<u64> {
        let log = self.lanes.get(&shard).and_then(|lane| lane.log.as_ref());
        log.map_or(Some(0), |log| log.try_lock().map(|log| log.bytes()))
    }

    /// Takes a shard that the start has found.
    pub(super) fn opened(&mut self, opened: Opened) {
        let Opened { shard, log, number, keeps_old, has_rest } = opened;
        if has_rest {
            self.tell_part(DiskPart::Rest(shard), 0);
        }
        let lane = self.lanes.entry(shard).or_default();
        lane.log = log.map(|log| Arc::new(Mutex::new(log)));
        lane.number = number;
        lane.keeps_old = keeps_old;
    }

    /// Ends an installation, with the log that begins with it if it did what it was to do.
    pub(super) fn installed(&mut self, owed: Owed, log: Option<Log>, answer: Event) {
        if let Some(lane) = self.lanes.get_mut(&owed.shard) {
            lane.is_replacing = false;
            if let Some(log) = log {
                lane.log = Some(Arc::new(Mutex::new(log)));
                lane.keeps_old = false;
                lane.is_segment_full = false;
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
