//! The threads that do the work of a node's files. Their supervisor starts them; what each does next follows from the desk alone.
//!
//! One thread writes all logs: writes are short. Syncs take their time, and those of several shards are done beside each other, so that
//! the file system commits them together: eight syncs one after the other took 25 ms on ext4 in a virtual machine, and 8 ms on four threads. Snapshots and
//! readings have a thread of their own, which may be busy for seconds.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::{error, warn};
use vagn_cluster::{DiskFault, DiskPart, Event, LogOutcome, ShardId};

use super::FilesView;
use super::counts::{FileCounts, add};
use super::desk::{Desk, FileTask, LogTask, Old, Owed, Reading, SharedLog, SyncTask, failed, was_read};
use super::error::{fault_of, is_no_room};
use super::frame::LogId;
use super::log::{Due, Failure, Log};
use super::note;
use super::read::{LogReader, View};
use super::recover;
use super::rest::{self, RestReader};
use super::site::{NotReplaced, Site};
use super::snapshot;
use super::start::{Start, StartStep};

/// Threads that sync.
const SYNCERS: usize = 4;

/// A thread of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileWorker(Role);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Role {
    Logs,
    Sync(usize),
    Files,
}

impl FileWorker {
    /// Lists the threads that are needed. A supervisor starts each of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let syncs = (0..SYNCERS).map(Role::Sync);
        [Role::Logs, Role::Files].into_iter().chain(syncs).map(Self)
    }

    /// Returns the name of the thread, at most 15 bytes: Linux takes no more.
    pub fn name(self) -> String {
        match self.0 {
            Role::Logs => "shard-logs".to_owned(),
            Role::Files => "shard-files".to_owned(),
            Role::Sync(number) => format!("shard-sync-{number}"),
        }
    }
}

/// Hands the files that are open to the threads. They outlive a node and its files, and go on with those that are opened next. Clones are the same.
#[derive(Clone, Default)]
pub struct FileWorkers {
    slot: Arc<(Mutex<Option<Arc<Shared>>>, Condvar)>,
}

impl FileWorkers {
    /// Does one piece of work as this thread, or waits for some, at most for `within`. Returns true when it did something. To be called
    /// again and again by one thread for each worker.
    pub fn run(&self, worker: FileWorker, within: Duration) -> bool {
        let shared = {
            let (slot, opened) = &*self.slot;
            let mut slot = slot.lock();
            if slot.is_none() {
                opened.wait_for(&mut slot, within);
            }
            slot.clone()
        };
        shared.is_some_and(|shared| shared.run(worker.0, within))
    }

    /// Returns a view of the files that are open now.
    pub fn view(&self) -> Option<FilesView> {
        self.slot.0.lock().as_ref().map(|shared| FilesView { shared: Arc::downgrade(shared) })
    }

    pub(super) fn take_over(&self, shared: Arc<Shared>) {
        let (slot, opened) = &*self.slot;
        *slot.lock() = Some(shared);
        opened.notify_all();
    }

    /// Lets go of files that are closed. Their lock goes with the last thread that is at work on them.
    pub(super) fn let_go(&self, shared: &Arc<Shared>) {
        self.slot.0.lock().take_if(|own| Arc::ptr_eq(own, shared));
    }
}

/// State that the node and the threads share.
pub(super) struct Shared {
    pub(super) site: Site,
    pub(super) desk: Mutex<Desk>,
    pub(super) counts: FileCounts,
    reader: Mutex<LogReader>,
    rests: Mutex<RestReader>,
    /// Cause for which a log cannot be read, as it was logged last; with the life of the shard.
    causes: Mutex<BTreeMap<ShardId, (u64, String)>>,
    /// Room for the byte forms of records.
    buffer: Mutex<Vec<u8>>,
    /// Wakes the thread that writes logs.
    logs: Condvar,
    /// Wakes the threads that sync.
    syncs: Condvar,
    /// Wakes the thread that reads.
    files: Condvar,
    /// Held as long as a thread may touch the files.
    _lock: Box<dyn vagn_store::disk::DiskLock>,
}

impl Shared {
    pub(super) fn new(site: Site, start: Start, lock: Box<dyn vagn_store::disk::DiskLock>) -> Self {
        Self {
            site,
            desk: Mutex::new(Desk::new(start)),
            counts: FileCounts::default(),
            reader: Mutex::default(),
            rests: Mutex::default(),
            causes: Mutex::default(),
            buffer: Mutex::default(),
            logs: Condvar::new(),
            syncs: Condvar::new(),
            files: Condvar::new(),
            _lock: lock,
        }
    }

    /// Wakes the thread that begins all jobs.
    pub(super) fn wake_logs(&self) {
        self.logs.notify_one();
    }

    /// Wakes the thread that waits until the node has taken what was read.
    pub(super) fn wake_files(&self) {
        self.files.notify_one();
    }

    pub(super) fn close(&self) {
        self.desk.lock().is_closed = true;
        for wake in [&self.logs, &self.syncs, &self.files] {
            wake.notify_all();
        }
    }

    fn run(&self, role: Role, within: Duration) -> bool {
        match role {
            Role::Logs => {
                self.next(&self.logs, within, Desk::log_task).map(|task| self.guarded(|| self.log(task)))
            }
            Role::Sync(_) => {
                self.next(&self.syncs, within, Desk::sync_task).map(|task| self.guarded(|| self.sync(task)))
            }
            Role::Files => {
                self.next(&self.files, within, Desk::file_task).map(|task| self.guarded(|| self.file(task)))
            }
        }
        .is_some()
    }

    /// Takes a task, or waits once for one.
    fn next<T>(&self, wake: &Condvar, within: Duration, take: impl Fn(&mut Desk) -> Option<T>) -> Option<T> {
        let mut desk = self.desk.lock();
        let task = take(&mut desk).or_else(|| {
            wake.wait_for(&mut desk, within);
            take(&mut desk)
        });
        if desk.has_file_tasks() {
            self.files.notify_one();
        }
        task
    }

    /// Does something; if it panics, all fails from then on.
    pub(super) fn guarded(&self, work: impl FnOnce()) {
        struct Lost<'a>(&'a Shared);
        impl Drop for Lost<'_> {
            fn drop(&mut self) {
                error!(
                    "a thread of the files was lost in the middle of its work; all shards of this node stop"
                );
                self.0.desk.lock().break_all();
            }
        }
        let lost = Lost(self);
        work();
        std::mem::forget(lost);
    }

    fn log(&self, task: LogTask) {
        match task {
            LogTask::Write { owed, log, records, is_syncing } => {
                self.with_log(owed, log, |log| {
                    let appended = log.append(&self.site, &records, is_syncing, &mut self.buffer.lock());
                    add(&self.counts.appends, 1);
                    add(&self.counts.records, records.len() as u64);
                    appended.err().map(|failure| self.failed(owed, failure))
                });
            }
            LogTask::Sync { owed, log } => self.begin_sync(owed, log),
            LogTask::Trim { owed, log, through, is_syncing } => {
                self.with_log(owed, log, |log| {
                    add(&self.counts.trimmed, log.trim(&self.site, through, is_syncing) as u64);
                    None
                });
            }
            LogTask::Read { owed, log, reading } => self.begin_read(owed, log, reading),
            LogTask::Note(note) => {
                if let Err(err) = note::write(&self.site, &note) {
                    add(&self.counts.notes_failed, 1);
                    warn!(error = %err, "the note of the node could not be written; it is tried again");
                    self.desk.lock().note_failed(note);
                }
            }
        }
    }

    /// Does something with a log, and answers while it is held: so answers about a log have the order of what they tell.
    fn with_log(&self, owed: Owed, log: Option<SharedLog>, work: impl FnOnce(&mut Log) -> Option<Event>) {
        let Some(log) = log else {
            // Nothing was installed: the node writes into nothing.
            let failure = Failure { from: 1, fault: DiskFault::Broken };
            return self.desk.lock().written(owed, false, Some(failed(owed.shard, failure)));
        };
        let mut log = log.lock();
        let answer = work(&mut log);
        let is_full = log.is_segment_full(&self.site);
        self.desk.lock().written(owed, is_full, answer);
    }

    /// Holds on to a log as it is now, for the thread that reads it.
    fn begin_read(&self, owed: Owed, log: Option<SharedLog>, reading: Reading) {
        let Reading { read, from, max_bytes } = reading;
        let fault = was_read(owed, read, LogOutcome::Fault);
        let Some(log) = log else { return self.desk.lock().written(owed, false, Some(fault)) };
        let shared_log = log.clone();
        self.with_log(owed, Some(log), |log| match log.view(&self.site, from, max_bytes) {
            Ok(view) => {
                let log = shared_log;
                self.desk.lock().ask_files(FileTask::Read { owed, read, log, view });
                self.files.notify_one();
                None
            }
            Err(err) => {
                self.unread(owed, from, &err);
                Some(fault)
            }
        });
    }

    fn begin_sync(&self, owed: Owed, log: Option<SharedLog>) {
        let shared_log = log.clone();
        let mut is_begun = false;
        self.with_log(owed, log, |log| match log.begin_sync() {
            Due::Nothing { through } => Some(Event::LogSynced { shard: owed.shard, through }),
            Due::Failed(failure) => Some(self.failed(owed, failure)),
            Due::Silence => None,
            Due::Sync(sync) => {
                is_begun = true;
                let log = shared_log.expect("it is held");
                self.desk.lock().ask_sync(SyncTask { owed, log, sync });
                None
            }
        });
        if is_begun {
            self.syncs.notify_one();
        }
    }

    fn sync(&self, task: SyncTask) {
        let SyncTask { owed, log, sync } = task;
        add(&self.counts.syncs, 1);
        let result = sync.file.sync();
        let mut log = log.lock();
        let answer = log.end_sync(&sync, result).map(|ended| match ended {
            Ok(through) => Event::LogSynced { shard: owed.shard, through },
            Err(failure) => self.failed(owed, failure),
        });
        let has_more = self.desk.lock().synced(owed, answer);
        drop(log);
        if has_more {
            self.logs.notify_one();
        }
    }

    fn failed(&self, owed: Owed, failure: Failure) -> Event {
        self.count(failure.fault);
        failed(owed.shard, failure)
    }

    fn count(&self, fault: DiskFault) {
        match fault {
            DiskFault::Full => add(&self.counts.full, 1),
            DiskFault::Broken => add(&self.counts.broken, 1),
        }
    }

    fn file(&self, task: FileTask) {
        match task {
            FileTask::Start(start) => self.start(start),
            FileTask::Read { owed, read, log, view } => {
                let outcome = self.read(owed, &log, &view);
                self.desk.lock().tell(owed, was_read(owed, read, outcome));
            }
            FileTask::ReadRest { owed, reading } => {
                let read = self.rests.lock().read(&self.site, owed.shard, reading);
                let outcome = read.unwrap_or_else(|err| {
                    self.unread(owed, reading.from, &err);
                    LogOutcome::Fault
                });
                self.desk.lock().tell(owed, was_read(owed, reading.read, outcome));
            }
            FileTask::DropRest(owed) => {
                if let Err(err) = rest::let_go(&self.site, owed.shard) {
                    let shard = owed.shard.0;
                    warn!(shard, error = %err, "what was published again of a log is published once more at the next start");
                }
            }
            FileTask::Save { owed, number, sequence, bytes } => {
                let id = LogId { shard: owed.shard, number };
                let result = self.snapshot(id, sequence, &bytes).map_err(|err| self.not_replaced(id, &err));
                self.desk.lock().tell(owed, Event::SnapshotSaved { shard: owed.shard, sequence, result });
            }
            FileTask::Install { owed, number, sequence, bytes, old } => {
                let id = LogId { shard: owed.shard, number };
                let result = self.keep(id, old).and_then(|copies| {
                    self.snapshot(id, sequence, &bytes).map_err(|err| {
                        // Else the new one may be in force, and the next start would remove the log that was copied.
                        if let (NotReplaced::Before(_), Some(copies)) = (&err, copies) {
                            recover::forget_copies(&self.site, &copies);
                        }
                        self.not_replaced(id, &err)
                    })
                });
                let log = result.is_ok().then(|| {
                    recover::remove_older(&self.site, id);
                    Log::empty(&self.site, id, sequence)
                });
                let answer = Event::SnapshotSaved { shard: owed.shard, sequence, result };
                self.desk.lock().installed(owed, log, answer);
                self.logs.notify_one();
            }
            FileTask::Drop { owed, keeps_old } => {
                let kept = if keeps_old { recover::keep_all(&self.site, owed.shard) } else { Ok(()) };
                let removed = kept.and_then(|()| recover::remove_shard(&self.site, owed.shard));
                if let Err(err) = &removed {
                    warn!(shard = owed.shard.0, error = %err, "a shard that is dropped stays on disk");
                }
                self.reader.lock().forget(owed.shard);
                self.desk.lock().dropped(owed, removed.is_ok());
                self.logs.notify_one();
            }
        }
    }

    fn read(&self, owed: Owed, log: &SharedLog, view: &View) -> LogOutcome {
        let read = self.reader.lock().read(view);
        match read {
            Ok(LogOutcome::Damaged { .. }) if log.lock().failures() != view.failures() => {
                // What was cut off since is no damage.
                LogOutcome::Fault
            }
            Ok(LogOutcome::Damaged { next }) => {
                let from = view.from();
                if self.is_new_cause(owed, format!("damaged from {from}")) {
                    error!(
                        shard = owed.shard.0,
                        from,
                        next,
                        "a part of the log of a shard is damaged; the log is kept when it is let go"
                    );
                }
                self.desk.lock().keep_old(owed);
                LogOutcome::Damaged { next }
            }
            Ok(outcome) => outcome,
            Err(err) => {
                self.unread(owed, view.from(), &err);
                LogOutcome::Fault
            }
        }
    }

    /// Notes the cause for which a log cannot be read. Returns false when it was the same before: a log is read again and again.
    fn is_new_cause(&self, owed: Owed, cause: String) -> bool {
        let cause = (owed.life, cause);
        let is_new =
            self.causes.lock().insert(owed.shard, cause.clone()).is_none_or(|before| before != cause);
        add(&self.counts.damaged, u64::from(is_new));
        is_new
    }

    /// Keeps what a snapshot is to take the place of, if it must be. Returns the folder of copies whose originals are still there.
    fn keep(&self, id: LogId, old: Old) -> Result<Option<PathBuf>, DiskFault> {
        let kept = match old {
            Old::Goes => Ok(None),
            Old::All => self.move_aside(id.shard),
            Old::Log => match recover::keep_copies(&self.site, id.shard) {
                Ok(folder) => Ok(Some(folder)),
                Err(err) if is_no_room(&err) => Err(err),
                // What cannot be copied can be moved.
                Err(_) => self.move_aside(id.shard),
            },
        };
        kept.map_err(|err| self.no_snapshot(id, &err))
    }

    /// Moves the files of a shard aside, which leaves no copies.
    fn move_aside(&self, shard: ShardId) -> io::Result<Option<PathBuf>> {
        recover::keep_all(&self.site, shard)?;
        Ok(None)
    }

    fn snapshot(&self, id: LogId, sequence: u64, bytes: &[u8]) -> Result<(), NotReplaced> {
        self.site.disk.create_dir(&self.site.shard_dir(id.shard)).map_err(NotReplaced::Before)?;
        snapshot::write(&self.site, id, sequence, bytes)?;
        add(&self.counts.snapshots, 1);
        self.desk.lock().has_snapshot(id.shard, bytes.len());
        Ok(())
    }

    fn not_replaced(&self, id: LogId, err: &NotReplaced) -> DiskFault {
        match err {
            NotReplaced::Before(err) => self.no_snapshot(id, err),
            NotReplaced::Unknown(err) => {
                self.no_snapshot(id, err);
                DiskFault::Broken
            }
        }
    }

    fn no_snapshot(&self, id: LogId, err: &io::Error) -> DiskFault {
        let fault = fault_of(err);
        self.count(fault);
        warn!(shard = id.shard.0, error = %err, "a snapshot of a shard could not be written");
        fault
    }

    fn unread(&self, owed: Owed, from: u64, err: &io::Error) {
        if self.is_new_cause(owed, format!("{err} from {from}")) {
            error!(shard = owed.shard.0, from, error = %err, "the log of a shard cannot be read; it is tried again");
        }
    }

    fn start(&self, mut start: Box<Start>) {
        let step = start.step(&self.site, &self.counts);
        let mut desk = self.desk.lock();
        desk.starts(start);
        match step {
            StartStep::Part(part, bytes) => desk.tell_part(part, bytes),
            StartStep::Opened(opened) => {
                if opened.log.is_none() {
                    // Bytes that are no content: so the node says that the shard cannot be read, and copies it.
                    desk.tell_part(DiskPart::Snapshot(opened.shard, Vec::new()), 0);
                }
                desk.opened(opened);
            }
            StartStep::End => {
                desk.tell_part(DiskPart::End, 0);
                self.logs.notify_one();
            }
        }
    }
}
