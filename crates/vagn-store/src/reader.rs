//! One writer and many readers of a live index.
//!
//! The writer holds the lock for one small batch at most and then hands it to whoever waits; without that a
//! writer under load takes it again before any reader wakes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{RwLock, RwLockWriteGuard};

use crate::{BBox, Hit, Index, Key, Nearby, Plan, Updates, Vehicle};

/// Updates shown under one lock: some 50 µs that a reader may have to wait.
const SHOWN_AT_ONCE: usize = 256;

/// The side that changes a live index. There is one per index.
#[derive(Debug)]
pub struct Writer {
    index: Arc<RwLock<Index>>,
}

/// The side that asks a live index. Cheap to clone; works on when the writer is gone, with what it left.
#[derive(Debug, Clone)]
pub struct Reader {
    index: Arc<RwLock<Index>>,
}

impl Writer {
    /// Takes an index into service.
    pub fn new(index: Index) -> Writer {
        Writer { index: Arc::new(RwLock::new(index)) }
    }

    /// A reader of this index.
    pub fn reader(&self) -> Reader {
        Reader { index: Arc::clone(&self.index) }
    }

    /// Works out what becomes of the updates, and changes nothing. The index must not change before
    /// [`Writer::show`].
    pub(crate) fn plan(&self, updates: &Updates, plan: &mut Plan) {
        self.look(|index| index.plan(updates, plan));
    }

    /// Does what was planned, letting readers in after every few updates.
    pub(crate) fn show(&mut self, updates: &Updates, plan: &Plan) {
        for start in (0..updates.len()).step_by(SHOWN_AT_ONCE) {
            let end = updates.len().min(start + SHOWN_AT_ONCE);
            self.change(|index| index.commit(updates, plan, start..end));
        }
    }

    /// Plans and shows the updates as [`Partition::write`](crate::Partition::write) does, with no log in between:
    /// for tests and benchmarks. The plan tells what became of them.
    pub fn write(&mut self, updates: &Updates, plan: &mut Plan) {
        self.plan(updates, plan);
        self.show(updates, plan);
    }

    /// Changes the index while no reader looks; to be kept short.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut Index) -> R) -> R {
        let mut index = self.index.write();
        let result = change(&mut index);
        RwLockWriteGuard::unlock_fair(index);
        result
    }

    /// Looks at the index beside the readers.
    pub fn look<R>(&self, look: impl FnOnce(&Index) -> R) -> R {
        look(&self.index.read())
    }
}

impl Reader {
    /// As [`Index::get`].
    pub fn get(&self, key: Key<'_>) -> Option<Vehicle> {
        self.index.read().get(key)
    }

    /// As [`Reader::get`], or `None` when the writer does not let it in `within` this time. For who must not hang whatever
    /// the writer does.
    pub fn get_within(&self, key: Key<'_>, within: Duration) -> Option<Option<Vehicle>> {
        Some(self.index.try_read_for(within)?.get(key))
    }

    /// As [`Reader::get_within`], with the slot it is in.
    pub(crate) fn seek_within(&self, key: Key<'_>, within: Duration) -> Option<Option<(u32, Vehicle)>> {
        let index = self.index.try_read_for(within)?;
        Some(index.slot_of(key).zip(index.get(key)))
    }

    /// As [`Index::slots_end`], or `None` when the writer does not let it in `within` this time.
    pub(crate) fn slots_end_within(&self, within: Duration) -> Option<u32> {
        Some(self.index.try_read_for(within)?.slots_end())
    }

    /// As [`Index::nearby`].
    pub fn nearby(&self, nearby: &Nearby, hits: &mut Vec<Hit>) {
        self.index.read().nearby(nearby, hits);
    }

    /// As [`Index::bbox`].
    pub fn bbox(&self, bbox: &BBox, limit: usize, vehicles: &mut Vec<Vehicle>) {
        self.index.read().bbox(bbox, limit, vehicles);
    }

    /// How many vehicles there are.
    pub fn len(&self) -> usize {
        self.index.read().len()
    }

    /// Whether there is no vehicle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
