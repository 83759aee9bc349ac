//! A node's files whose threads are steps of the test.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use vagn_cluster::{Disk, DiskCommand, DiskPart, Event, LogOutcome, LogRecord, ReadId, ShardId};
use vagn_store::disk::faulty::{FaultyDisk, Loss};

use crate::files::{FileWorker, FileWorkers, FilesError, FilesSettings, ShardFiles};

pub(super) const DIR: &str = "data/cluster";
pub(super) const SHARD: ShardId = ShardId(3);

/// Short, so that a few records fill a segment.
const SEGMENT_BYTES: u64 = 400;

pub(super) struct Rig {
    pub(super) disk: FaultyDisk,
    pub(super) files: ShardFiles,
    workers: FileWorkers,
    settings: FilesSettings,
    reads: u64,
}

pub(super) fn settings() -> FilesSettings {
    FilesSettings { free_floor_bytes: 0, segment_bytes: SEGMENT_BYTES, ..FilesSettings::new("fleet") }
}

pub(super) fn record(sequence: u64) -> LogRecord {
    let bytes = format!("entry {sequence} {}", "x".repeat(sequence as usize % 60));
    LogRecord { sequence, time_ms: sequence as i64 - 5, bytes: bytes.into_bytes().into() }
}

pub(super) fn records(sequences: std::ops::RangeInclusive<u64>) -> Vec<LogRecord> {
    sequences.map(record).collect()
}

impl Rig {
    /// Files on an empty disk, whose start is over.
    pub(super) fn new() -> Self {
        Self::begin(settings())
    }

    /// The same with long segments: nothing is synced unless it is asked for.
    pub(super) fn with_long_segments() -> Self {
        Self::begin(FilesSettings { segment_bytes: 1 << 20, ..settings() })
    }

    fn begin(settings: FilesSettings) -> Self {
        let mut rig = Self::open(FaultyDisk::new(), settings).unwrap();
        rig.start();
        rig
    }

    pub(super) fn open(disk: FaultyDisk, settings: FilesSettings) -> Result<Self, FilesError> {
        let workers = FileWorkers::default();
        let files = ShardFiles::open(Arc::new(disk.clone()), Path::new(DIR), settings.clone(), &workers)?;
        Ok(Self { disk, files, workers, settings, reads: 0 })
    }

    /// Starts anew on what a crash has left.
    pub(super) fn restart(self, loss: Loss) -> Self {
        Self::open(self.disk.restart(loss), self.settings.clone()).unwrap()
    }

    pub(super) fn tell(&mut self, command: DiskCommand) {
        self.files.carry_out(command);
    }

    /// Lets a thread do one piece of work.
    pub(super) fn step(&self, worker: FileWorker) -> bool {
        self.workers.run(worker, Duration::ZERO)
    }

    /// Lets some thread do one piece of work. Returns false when there is none.
    pub(super) fn step_any(&self, chance: &mut Rng) -> bool {
        let mut all: Vec<FileWorker> = FileWorker::all().collect();
        chance.shuffle(&mut all);
        all.into_iter().any(|worker| self.step(worker))
    }

    pub(super) fn event(&mut self) -> Option<Event> {
        match self.files.poll_event(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    /// Does all that there is to do, and returns what was told.
    pub(super) fn run(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let worked = FileWorker::all().any(|worker| self.step(worker));
            let before = events.len();
            events.extend(std::iter::from_fn(|| self.event()));
            if !worked && events.len() == before {
                return events;
            }
        }
    }

    /// Runs the start to its end, and returns what it told.
    pub(super) fn start(&mut self) -> Start {
        Start::of(self.run())
    }

    /// Installs a snapshot, writes records behind it and syncs them.
    pub(super) fn fill(&mut self, snapshot: u64, through: u64) {
        self.install(snapshot);
        self.write(snapshot + 1..=through);
        let events = self.sync();
        assert_eq!(events, [synced(through)]);
    }

    pub(super) fn install(&mut self, sequence: u64) {
        let bytes = content(sequence).into();
        self.tell(DiskCommand::InstallSnapshot { shard: SHARD, sequence, bytes });
        assert_eq!(shown(self.run()), [format!("saved {sequence} Ok(())")]);
    }

    pub(super) fn write(&mut self, sequences: std::ops::RangeInclusive<u64>) {
        self.tell(DiskCommand::WriteLog { shard: SHARD, records: records(sequences) });
    }

    pub(super) fn sync(&mut self) -> Vec<String> {
        self.tell(DiskCommand::SyncLog(SHARD));
        shown(self.run())
    }

    /// Reads a piece of a log.
    pub(super) fn read_some(&mut self, from: u64, max_bytes: usize) -> LogOutcome {
        self.reads += 1;
        let asked = ReadId(self.reads);
        self.tell(DiskCommand::ReadLog { read: asked, shard: SHARD, from, max_bytes });
        let mut events = self.run();
        match events.pop() {
            Some(Event::LogRead { shard: SHARD, read, outcome }) if events.is_empty() && read == asked => {
                outcome
            }
            other => panic!("{events:?}, {other:?}"),
        }
    }

    /// Reads all of a log, a piece at a time.
    pub(super) fn read(&mut self, from: u64, max_bytes: usize) -> Vec<LogRecord> {
        let (mut next, mut all) = (from, Vec::new());
        loop {
            match self.read_some(next, max_bytes) {
                LogOutcome::Records(records) => {
                    next = records.last().expect("one at least").sequence + 1;
                    all.extend(records);
                }
                LogOutcome::End => return all,
                LogOutcome::Fault | LogOutcome::Damaged { .. } => panic!("it cannot be read from {next}"),
            }
        }
    }

    /// Reads all of the rest of a log, a piece at a time.
    pub(super) fn read_rest(&mut self, max_bytes: usize) -> Vec<LogRecord> {
        let mut all = Vec::new();
        loop {
            self.reads += 1;
            let (read, from) = (ReadId(self.reads), all.len() as u64);
            self.tell(DiskCommand::ReadRest { read, shard: SHARD, from, max_bytes });
            match self.run().pop() {
                Some(Event::LogRead { outcome: LogOutcome::Records(records), .. }) => all.extend(records),
                Some(Event::LogRead { outcome: LogOutcome::End, .. }) => return all,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Names of files below the directory that begin with `prefix`.
    pub(super) fn names(&self, dir: &str) -> Vec<String> {
        use vagn_store::disk::Disk;
        self.disk.list(&Path::new(DIR).join(dir)).unwrap_or_default()
    }
}

pub(super) fn content(sequence: u64) -> Vec<u8> {
    format!("content up to {sequence}").into_bytes()
}

pub(super) fn synced(through: u64) -> String {
    format!("synced {through}")
}

/// Events as texts: they have no equality.
pub(super) fn shown(events: Vec<Event>) -> Vec<String> {
    let shown = events.into_iter().map(|event| match event {
        Event::LogSynced { through, .. } => synced(through),
        Event::LogFailed { from, fault, .. } => format!("failed {from} {fault:?}"),
        Event::SnapshotSaved { sequence, result, .. } => format!("saved {sequence} {result:?}"),
        Event::LogRead { read, outcome: LogOutcome::Records(records), .. } => {
            format!("read {} {}", read.0, records.len())
        }
        Event::LogRead { read, outcome, .. } => format!("read {} {outcome:?}", read.0),
        other => format!("{other:?}"),
    });
    shown.collect()
}

/// What a start told.
#[derive(Debug, Default)]
pub(super) struct Start {
    pub(super) note: Option<Vec<u8>>,
    pub(super) shards: Vec<(ShardId, Vec<u8>, Vec<LogRecord>)>,
    /// Shards whose log has a rest.
    pub(super) rests: Vec<ShardId>,
}

impl Start {
    pub(super) fn of(events: Vec<Event>) -> Self {
        let (mut start, mut is_over) = (Self::default(), false);
        for event in events {
            assert!(!is_over, "{event:?} comes after the end");
            match event {
                Event::Disk(DiskPart::Note(note)) => start.note = Some(note),
                Event::Disk(DiskPart::Snapshot(shard, bytes)) => {
                    start.shards.push((shard, bytes, Vec::new()))
                }
                Event::Disk(DiskPart::Records(shard, records)) => {
                    let last = start.shards.last_mut().filter(|(of, ..)| *of == shard);
                    last.expect("records come behind their snapshot").2.extend(records);
                }
                Event::Disk(DiskPart::Rest(shard)) => start.rests.push(shard),
                Event::Disk(DiskPart::End) => is_over = true,
                other => panic!("{other:?} comes before the end"),
            }
        }
        assert!(is_over, "it ends");
        start
    }

    /// The one shard: its snapshot, and the sequences of its records.
    pub(super) fn only(&self) -> (Vec<u8>, Vec<u64>) {
        let [(SHARD, bytes, records)] = &self.shards[..] else { panic!("{self:?}") };
        assert!(records.iter().all(|it| *it == record(it.sequence)), "{records:?}");
        (bytes.clone(), records.iter().map(|record| record.sequence).collect())
    }
}
