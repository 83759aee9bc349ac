//! The views of the registry that others keep in memory, and how far they have come. So a change is said to be done once it counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// All views.
#[derive(Debug, Default)]
pub(crate) struct Views {
    known: Mutex<Known>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Known {
    last_number: u64,
    /// Last revision that each view has taken in.
    seen: BTreeMap<u64, u64>,
}

/// A view, which is waited for until it is dropped.
#[derive(Debug)]
pub(crate) struct View {
    views: Arc<Views>,
    number: u64,
}

impl Views {
    /// Adds a view that has taken in all up to this revision.
    pub(crate) fn begin(self: &Arc<Self>, seen: u64) -> View {
        let mut known = self.known.lock();
        known.last_number += 1;
        let number = known.last_number;
        known.seen.insert(number, seen);
        View { views: self.clone(), number }
    }

    /// Waits until every view has taken in this revision. Returns false when one has not in this time.
    pub(crate) fn wait(&self, revision: u64, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut known = self.known.lock();
        while known.seen.values().any(|seen| *seen < revision) {
            if self.moved.wait_until(&mut known, until).timed_out() {
                return known.seen.values().all(|seen| *seen >= revision);
            }
        }
        true
    }
}

impl View {
    /// Notes that all up to this revision is taken in.
    pub(crate) fn saw(&self, revision: u64) {
        self.views.known.lock().seen.insert(self.number, revision);
        self.views.moved.notify_all();
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.views.known.lock().seen.remove(&self.number);
        self.views.moved.notify_all();
    }
}
