//! The work of the threads that write and sync logs.

use tracing::warn;
use vagn_cluster::{DiskFault, Event, LogOutcome};

use super::counts::add;
use super::log::{Due, Failure, Log};
use super::note;
use super::shared::Shared;
use super::tasks::{FileTask, LogTask, Owed, Reading, SharedLog, SyncTask, failed, was_read};

impl Shared {
    pub(super) fn log(&self, task: LogTask) {
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

    pub(super) fn sync(&self, task: SyncTask) {
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
}
