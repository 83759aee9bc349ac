//! State that the node shares with the threads of its files, and the tasks that the threads take from it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::error;
use vagn_cluster::{DiskFault, Event, ShardId};

use super::counts::{FileCounts, add};
use super::desk::Desk;
use super::log::Failure;
use super::read::LogReader;
use super::rest::RestReader;
use super::site::Site;
use super::start::Start;
use super::tasks::{Owed, failed};

/// Work that a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    Logs,
    Sync(usize),
    Files,
}

/// State that the node and the threads share.
pub(super) struct Shared {
    pub(super) site: Site,
    pub(super) desk: Mutex<Desk>,
    pub(super) counts: FileCounts,
    pub(super) reader: Mutex<LogReader>,
    pub(super) rests: Mutex<RestReader>,
    /// Cause for which a log cannot be read, as it was logged last; with the life of the shard.
    causes: Mutex<BTreeMap<ShardId, (u64, String)>>,
    /// Room for the byte forms of records.
    pub(super) buffer: Mutex<Vec<u8>>,
    /// Wakes the thread that writes logs.
    pub(super) logs: Condvar,
    /// Wakes the threads that sync.
    pub(super) syncs: Condvar,
    /// Wakes the thread that reads.
    pub(super) files: Condvar,
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

    pub(super) fn run(&self, role: Role, within: Duration) -> bool {
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

    pub(super) fn failed(&self, owed: Owed, failure: Failure) -> Event {
        self.count(failure.fault);
        failed(owed.shard, failure)
    }

    pub(super) fn count(&self, fault: DiskFault) {
        match fault {
            DiskFault::Full => add(&self.counts.full, 1),
            DiskFault::Broken => add(&self.counts.broken, 1),
        }
    }

    /// Notes the cause for which a log cannot be read. Returns false when it was the same before: a log is read again and again.
    pub(super) fn is_new_cause(&self, owed: Owed, cause: String) -> bool {
        let cause = (owed.life, cause);
        let is_new =
            self.causes.lock().insert(owed.shard, cause.clone()).is_none_or(|before| before != cause);
        add(&self.counts.damaged, u64::from(is_new));
        is_new
    }

    pub(super) fn unread(&self, owed: Owed, from: u64, err: &io::Error) {
        if self.is_new_cause(owed, format!("{err} from {from}")) {
            error!(shard = owed.shard.0, from, error = %err, "the log of a shard cannot be read; it is tried again");
        }
    }
}
