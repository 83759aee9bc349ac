//! The threads that do the work of a node's files. Their supervisor starts them; what each does next follows from the desk alone.
//!
//! One thread writes all logs: writes are short. Syncs take their time, and those of several shards are done beside each other, so that
//! the file system commits them together: eight syncs one after the other took 25 ms on ext4 in a virtual machine, and 8 ms on four threads. Snapshots and
//! readings have a thread of their own, which may be busy for seconds.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::FilesView;
use super::shared::{Role, Shared};

/// Threads that sync.
const SYNCERS: usize = 4;

/// A thread of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileWorker(Role);

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
