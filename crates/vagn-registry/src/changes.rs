//! The latest changes in memory, for watchers.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::object::Change;
use crate::views::{View, Views};

/// Changes that are kept. A block of an import fits in, so that watchers need not list a million devices for each.
pub(crate) const CHANGES_MAX: usize = 65_536;

/// Bytes of their keys and values that are kept.
const BYTES_MAX: usize = 16 << 20;

/// Changes that a watcher gets at once.
const AT_ONCE: usize = 1_024;

/// The latest changes of the registry.
#[derive(Debug)]
pub(crate) struct Changes {
    ring: Mutex<Ring>,
    last: watch::Sender<u64>,
    /// Views of the watchers.
    views: Arc<Views>,
}

#[derive(Debug, Default)]
struct Ring {
    changes: VecDeque<Change>,
    bytes: usize,
    /// Revision before the oldest change that is kept.
    floor: u64,
    /// Revision of the newest one.
    newest: u64,
}

/// Changes after a revision, in order. A watcher that asks for the next ones has dealt with those before.
#[derive(Debug)]
pub struct Watch {
    changes: Arc<Changes>,
    after: u64,
    last: watch::Receiver<u64>,
    view: View,
}

impl Changes {
    /// Begins after this revision.
    pub(crate) fn new(revision: u64) -> Self {
        let ring = Ring { floor: revision, newest: revision, ..Ring::default() };
        Self { ring: Mutex::new(ring), last: watch::Sender::new(revision), views: Arc::default() }
    }

    pub(crate) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Returns the views of the watchers.
    pub(crate) fn views(&self) -> &Arc<Views> {
        &self.views
    }

    /// Adds changes that are on disk; the last of them has this number.
    pub(crate) fn push(&self, changes: Vec<Change>, revision: u64) {
        self.ring.lock().push(changes, revision);
        self.last.send_replace(revision);
    }

    /// Returns true if the object at this revision was written with this content, false if it was another; `None` if none is remembered.
    pub(crate) fn was_written(&self, revision: u64, is_it: impl Fn(&Change) -> bool) -> Option<bool> {
        let ring = self.ring.lock();
        ring.changes.iter().rev().find(|change| change.revision == revision).map(is_it)
    }

    /// Returns changes after a revision. When some of them are no more kept, gives the newest revision as the error.
    fn after(&self, revision: u64) -> Result<Vec<Change>, u64> {
        let ring = self.ring.lock();
        if revision < ring.floor || revision > ring.newest {
            return Err(ring.newest);
        }
        let first = ring.changes.partition_point(|change| change.number <= revision);
        Ok(ring.changes.range(first..).take(AT_ONCE).cloned().collect())
    }
}

impl Ring {
    fn push(&mut self, changes: Vec<Change>, revision: u64) {
        self.newest = revision;
        for change in changes {
            self.bytes += size(&change);
            self.changes.push_back(change);
        }
        while self.changes.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else { return };
            self.bytes -= size(&oldest);
            self.floor = oldest.number;
        }
    }
}

fn size(change: &Change) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, Vec::len)
}

impl Watch {
    pub(crate) fn new(changes: Arc<Changes>, after: u64) -> Self {
        let last = changes.last.subscribe();
        let view = changes.views().begin(after);
        Self { changes, after, last, view }
    }

    /// Waits for the next changes, at most 1 024 at once; `None` when too many were missed: then list all anew, and go on with
    /// this watch, which gives what changes from now on. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        self.view.saw(self.after);
        loop {
            // Marked as seen before the ring is read, so that no change in between is slept through.
            self.last.mark_unchanged();
            match self.changes.after(self.after) {
                Err(newest) => {
                    self.after = newest;
                    return None;
                }
                Ok(changes) => {
                    if let Some(newest) = changes.last() {
                        self.after = newest.number;
                        return Some(changes);
                    }
                }
            }
            if self.last.changed().await.is_err() {
                // The sender lives as long as `self.changes`, which is held here.
                std::future::pending::<()>().await;
            }
        }
    }
}
