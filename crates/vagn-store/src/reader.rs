//! One writer and many readers of a live index.
//!
//! The writer holds the lock for one small batch at most and then hands it to a reader that waits; else a writer under
//! load takes it again before any reader wakes.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{RwLock, RwLockWriteGuard};

use crate::index::{AsTheyCome, DepartedAt, DepartedCount, Held, Rule, Teller};
use crate::{BBox, Found, Hit, Index, Key, Nearby, Plan, Updates, Vehicle};

/// Updates shown under one lock: some 50 µs that a reader may have to wait.
const SHOWN_AT_ONCE: usize = 256;

/// The writing side of a live index. There is one per index.
#[derive(Debug)]
pub struct Writer {
    index: Arc<RwLock<Index>>,
    /// Rows at the time when the index was taken into service.
    first_rows: u32,
}

/// Numbers of counts of sealed vehicles that left, by which what they sent before is known when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DepartedCounts {
    /// Those that are kept.
    pub kept: usize,
    /// Those that had to go since the index was made, as there were more than [vehicles may be](crate::Partition::bound).
    pub lost: u64,
}

/// The asking side of a live index. Cheap to clone; goes on after the writer is gone, with the state it left.
#[derive(Debug, Clone)]
pub struct Reader {
    index: Arc<RwLock<Index>>,
    first_rows: u32,
}

/// Tells an index from all others, and keeps nothing of it.
#[derive(Debug, Clone)]
pub struct IndexMark(Weak<RwLock<Index>>);

impl IndexMark {
    /// Returns true for a reader of the index.
    pub fn is_of(&self, reader: &Reader) -> bool {
        // A mark keeps the place of an index that is gone, so no other one has it.
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&reader.index))
    }
}

impl Writer {
    /// Takes an index into service.
    pub fn new(index: Index) -> Writer {
        Writer { first_rows: index.slots_end(), index: Arc::new(RwLock::new(index)) }
    }

    /// Returns a reader of this index.
    pub fn reader(&self) -> Reader {
        Reader { index: Arc::clone(&self.index), first_rows: self.first_rows }
    }

    /// Works out the outcome of the updates by this rule, and changes nothing. The index must not change before
    /// [`Writer::show`].
    pub(crate) fn plan(&self, rule: &impl Rule, updates: &Updates, plan: &mut Plan) {
        self.look(|index| index.plan(rule, updates, plan));
    }

    /// Carries out the plan, tells of it, and lets readers in after every few updates.
    pub(crate) fn show(&mut self, updates: &Updates, plan: &Plan, teller: &mut Teller<'_>) {
        for start in (0..updates.len()).step_by(SHOWN_AT_ONCE) {
            let end = updates.len().min(start + SHOWN_AT_ONCE);
            self.change(|index| index.commit(updates, plan, start..end, teller));
        }
    }

    /// Plans and shows the updates as [`Partition::write`](crate::Partition::write) does, with no log in between:
    /// for tests and benchmarks. The plan tells the fates.
    pub fn write(&mut self, updates: &Updates, plan: &mut Plan) {
        self.plan(&AsTheyCome, updates, plan);
        self.show(updates, plan, &mut Teller::default());
    }

    /// Changes the index while no reader looks; to be kept short.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut Index) -> R) -> R {
        let mut index = self.index.write();
        let result = change(&mut index);
        // Without the hand-over, readers beside a writer flat out waited 450 µs in the median.
        RwLockWriteGuard::unlock_fair(index);
        result
    }

    /// Looks at the index beside the readers.
    pub fn look<R>(&self, look: impl FnOnce(&Index) -> R) -> R {
        look(&self.index.read())
    }
}

impl Reader {
    /// Returns the mark of the index.
    pub fn mark(&self) -> IndexMark {
        IndexMark(Arc::downgrade(&self.index))
    }

    /// Returns true if both read the same index.
    pub fn is_same(&self, other: &Reader) -> bool {
        Arc::ptr_eq(&self.index, &other.index)
    }

    /// As [`Index::get`], beside the writer.
    pub fn get(&self, key: Key<'_>) -> Option<Vehicle> {
        self.index.read().get(key)
    }

    /// As [`Reader::get`], but gives up after `within` if the writer holds the lock: then `None`.
    pub fn get_within(&self, key: Key<'_>, within: Duration) -> Option<Option<Vehicle>> {
        Some(self.index.try_read_for(within)?.get(key))
    }

    /// As [`Reader::get_within`], with the slot it is in.
    pub(crate) fn seek_within(&self, key: Key<'_>, within: Duration) -> Option<Option<(u32, Vehicle)>> {
        let index = self.index.try_read_for(within)?;
        Some(index.slot_of(key).zip(index.get(key)))
    }

    /// Tells the row of each of these vehicles, if it has one, under one lock. Tells none and returns false if the writer holds it
    /// for longer than `within`.
    pub(crate) fn rows_within<'a>(
        &self,
        within: Duration,
        keys: impl Iterator<Item = (usize, Key<'a>)>,
        mut tell: impl FnMut(usize, Option<u32>),
    ) -> bool {
        let Some(index) = self.index.try_read_for(within) else { return false };
        for (at, key) in keys {
            tell(at, index.slot_of(key));
        }
        true
    }

    /// Returns the number of rows at the time when the partition was read from disk: vehicles in these were there before.
    pub fn first_rows(&self) -> u32 {
        self.first_rows
    }

    /// As [`Index::nearby`], beside the writer.
    pub fn nearby(&self, nearby: &Nearby, hits: &mut Vec<Hit>) {
        self.index.read().nearby(nearby, hits);
    }

    /// As [`Reader::nearby`], by coarse places.
    pub(crate) fn nearby_coarse(&self, nearby: &Nearby, hits: &mut Vec<Hit>) {
        self.index.read().nearby_coarse(nearby, hits);
    }

    /// As [`Index::bbox`], beside the writer.
    pub fn bbox(&self, bbox: &BBox, limit: usize, vehicles: &mut Vec<Vehicle>) {
        self.index.read().bbox(bbox, limit, vehicles);
    }

    /// Visits the vehicles in rows `from..from + count`, in order. Returns false when there are no rows from there on.
    pub fn visit_rows(&self, from: u32, count: u32, visit: impl FnMut(&Found<'_>)) -> bool {
        visit_rows(&self.index.read(), from, count, visit)
    }

    /// As [`Reader::visit_rows`], with all that is kept of each vehicle.
    pub(crate) fn visit_held(&self, from: u32, count: u32, mut visit: impl FnMut(&Held<'_>)) -> bool {
        let index = self.index.read();
        index.slots(from, count).for_each(|held| visit(&held));
        from < index.slots_end()
    }

    /// Returns the counts of sealed vehicles that left, some of them: those behind this one, in their order.
    pub(crate) fn departed(&self, behind: Option<DepartedAt>, most: usize) -> Vec<DepartedCount> {
        self.index.read().departed().behind(behind).take(most).collect()
    }

    /// As [`Reader::visit_rows`], or `None` when the writer holds the lock for longer than `within`.
    pub fn visit_rows_within(
        &self,
        within: Duration,
        from: u32,
        count: u32,
        visit: impl FnMut(&Found<'_>),
    ) -> Option<bool> {
        Some(visit_rows(&*self.index.try_read_for(within)?, from, count, visit))
    }

    /// Visits the vehicles in these rows, in their order; rows without vehicle are passed over.
    pub fn visit_these(&self, rows: &[u32], mut visit: impl FnMut(&Found<'_>)) {
        let index = self.index.read();
        for row in rows {
            for held in index.slots(*row, 1) {
                visit(&Found { row: held.slot, key: held.key, sighting: held.sighting });
            }
        }
    }

    /// Visits the vehicles in a box, in no particular order, until `visit` breaks off. To be kept short: the writer waits.
    pub fn visit_box(
        &self,
        bbox: &BBox,
        visit: &mut impl FnMut(&Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.index.read().visit_box(bbox, &mut |index, slot| visit(&index.found(slot)))
    }

    /// Counts the counts of sealed vehicles that left.
    pub fn departed_counts(&self) -> DepartedCounts {
        let index = self.index.read();
        DepartedCounts { kept: index.departed().len(), lost: index.departed().lost() }
    }

    /// Counts the vehicles.
    pub fn len(&self) -> usize {
        self.index.read().len()
    }

    /// Returns true when there is no vehicle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn visit_rows(index: &Index, from: u32, count: u32, mut visit: impl FnMut(&Found<'_>)) -> bool {
    for held in index.slots(from, count) {
        visit(&Found { row: held.slot, key: held.key, sighting: held.sighting });
    }
    from < index.slots_end()
}
