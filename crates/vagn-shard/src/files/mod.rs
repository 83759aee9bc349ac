//! The files of a node: its note, and a snapshot and a log for each of its shards, over the disk of the store.
//!
//! ```text
//! manifest                       format, and the data set
//! lock                           names the pid of the process that works here
//! note                           a few bytes of the node
//! shard-3/snapshot               content of shard 3 up to one entry, and which log goes with it
//! shard-3/2-00000000000000000129.log   a segment of log 2: the entries from 129 on
//! damaged-3-1/                   what was found damaged of shard 3; with the mark `unpublished` if it is the rest of its log
//! removing-3/                    a shard that was dropped, on its way out
//! ```
//! `copied.rs` makes and reads such files without a node, for a copy of the whole service.
//!
//! [`vagn_cluster`] says what must hold after a crash at any moment. A snapshot that is installed begins another log, whose number it
//! names: one rename puts both in the place of those before.

mod aside;
mod copied;
mod counts;
mod desk;
mod error;
mod file_work;
mod frame;
mod log;
mod log_work;
mod manifest;
mod note;
mod read;
mod recover;
mod rest;
mod segment;
mod shared;
mod site;
mod sizes;
mod snapshot;
mod start;
mod tasks;
#[cfg(test)]
mod tests;
mod workers;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use vagn_cluster::{Disk, DiskCommand, Event};
use vagn_store::disk::Disk as FileSystem;

pub use copied::{CopyFault, CopyFiles, check as check_copy, names as copy_names};
pub use counts::FileCounts;
use error::Doing;
pub use error::FilesError;
use shared::Shared;
pub use site::FilesSettings;
use site::Site;
pub use sizes::ShardSizes;
use start::Start;
use tasks::{Job, Reading};
pub use workers::{FileWorker, FileWorkers};

/// Name of the file that tells which process works here.
const LOCK: &str = "lock";

/// The files of a node, for its driver. When it is dropped, what is not done yet stays undone, as in a crash.
pub struct ShardFiles {
    shared: Arc<Shared>,
    workers: FileWorkers,
}

/// Shows what the files have counted, and what waits for them.
#[derive(Clone)]
pub struct FilesView {
    shared: std::sync::Weak<Shared>,
}

impl ShardFiles {
    /// Opens the files in `dir`, and makes the directory when it is missing. `workers` do the work: without their threads nothing
    /// happens.
    ///
    /// # Errors
    /// When they are in use, of another format or data set, or not to be read. Nothing in them was changed then.
    pub fn open(
        disk: Arc<dyn FileSystem>,
        dir: &Path,
        settings: FilesSettings,
        workers: &FileWorkers,
    ) -> Result<Self, FilesError> {
        let site = Site { disk, root: dir.to_owned(), settings };
        // Before the lock, which writes its file: what is of another version is left untouched.
        let is_there = manifest::check(&site)?;
        site.disk.create_dir(dir).doing("create", dir)?;
        let lock = site.disk.lock(dir, &dir.join(LOCK)).or_else(|err| match err.kind() {
            io::ErrorKind::WouldBlock => Err(FilesError::InUse { dir: dir.to_owned() }),
            _ => Err(err).doing("lock", dir),
        })?;
        if !is_there && !manifest::check(&site)? {
            manifest::begin(&site)?;
        }
        let start = Start::new(&site).doing("list", dir)?;
        let shared = Arc::new(Shared::new(site, start, lock));
        workers.take_over(shared.clone());
        Ok(Self { shared, workers: workers.clone() })
    }

    /// Returns a view for metrics.
    pub fn view(&self) -> FilesView {
        FilesView { shared: Arc::downgrade(&self.shared) }
    }
}

impl FilesView {
    /// Reads the counts and the number of jobs that wait; none once the files were let go.
    pub fn read<T>(&self, read: impl FnOnce(&FileCounts, usize) -> T) -> Option<T> {
        let shared = self.shared.upgrade()?;
        let waiting = shared.desk.lock().waiting();
        Some(read(&shared.counts, waiting))
    }

    /// Returns the bytes of the files of all shards that have some; none once the files were let go.
    pub fn sizes(&self) -> Option<Vec<ShardSizes>> {
        self.shared.upgrade().map(|shared| shared.desk.lock().sizes())
    }

    /// Returns true for two views of the same files, which count on.
    pub fn is_same(&self, other: &Self) -> bool {
        self.shared.ptr_eq(&other.shared)
    }
}

impl Disk for ShardFiles {
    fn carry_out(&mut self, command: DiskCommand) {
        let mut desk = self.shared.desk.lock();
        let (shard, job) = match command {
            DiskCommand::WriteLog { shard, records } => (shard, Job::Write(records)),
            DiskCommand::SyncLog(shard) => (shard, Job::Sync),
            DiskCommand::TrimLog { shard, through } => (shard, Job::Trim(through)),
            DiskCommand::ReadLog { read, shard, from, max_bytes } => {
                (shard, Job::Read(Reading { read, from, max_bytes }))
            }
            DiskCommand::ReadRest { read, shard, from, max_bytes } => {
                (shard, Job::ReadRest(Reading { read, from, max_bytes }))
            }
            DiskCommand::DropRest(shard) => (shard, Job::DropRest),
            DiskCommand::SaveSnapshot { shard, sequence, bytes } => (shard, Job::Save { sequence, bytes }),
            DiskCommand::InstallSnapshot { shard, sequence, bytes } => {
                (shard, Job::Install { sequence, bytes })
            }
            DiskCommand::DropShard(shard) => (shard, Job::Drop),
            DiskCommand::WriteNote(note) => {
                desk.ask_note(note);
                return self.shared.wake_logs();
            }
        };
        desk.ask(shard, job);
        drop(desk);
        self.shared.wake_logs();
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let event = self.shared.desk.lock().next_event(cx.waker());
        match event {
            Some(event) => {
                if matches!(event, Event::Disk(_)) {
                    self.shared.wake_files();
                }
                Poll::Ready(event)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for ShardFiles {
    fn drop(&mut self) {
        self.shared.close();
        self.workers.let_go(&self.shared);
    }
}
