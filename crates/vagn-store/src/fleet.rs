//! The whole fleet: one answer out of those of all partitions.
//!
//! While a partition is missing, because it recovers or failed, there is no answer: a part of the fleet is
//! never shown as if it were all. Partitions come and go while queries run; a query keeps the readers it
//! began with.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use thiserror::Error;

use crate::vehicle::keep_nearest;
use crate::{BBox, Hit, IndexMark, Key, KeyTag, Nearby, Reader, Vehicle, coarse, partition};

/// Counts of vehicles that left that are looked at under one lock: some 0.5 ms.
const DEPARTED_AT_ONCE: usize = 4_096;

/// The readers of all partitions. Clones are the same fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// A list that a query holds is replaced and not changed, so that taking it costs one count.
    readers: Arc<RwLock<Readers>>,
    partitions: usize,
    placing: Placing,
}

/// Returns the home of a vehicle among so many partitions: the number of the one that holds it.
type Placing = fn(Key<'_>, usize) -> usize;

/// By the number of the partition.
type Readers = Arc<[Option<Reader>]>;

/// A partition that the answer needs is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a part of the fleet is not ready")]
pub struct NotReady;

impl Fleet {
    /// Returns a fleet of so many partitions, none of them ready. Vehicles are where [`partition`] says.
    pub fn new(partitions: usize) -> Fleet {
        Fleet::placed(partitions, |key, partitions| partition(key.hash(), partitions))
    }

    /// As [`Fleet::new`], with vehicles where `placing` says: it gets a key and the number of partitions, and returns the number
    /// of one.
    pub fn placed(partitions: usize, placing: fn(Key<'_>, usize) -> usize) -> Fleet {
        Fleet { readers: Arc::new(RwLock::new(vec![None; partitions].into())), partitions, placing }
    }

    /// Returns the number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Returns the number of the partition that holds a vehicle if the fleet has it.
    #[inline]
    pub fn home(&self, key: Key<'_>) -> usize {
        (self.placing)(key, self.partitions.max(1))
    }

    /// Puts a partition in place, or takes it away. A number beyond the last partition is ignored.
    pub fn set(&self, partition: usize, reader: Option<Reader>) {
        if let Some(entry) = Arc::make_mut(&mut self.readers.write()).get_mut(partition) {
            *entry = reader;
        }
    }

    /// Returns true when every partition is in place.
    pub fn ready(&self) -> bool {
        self.readers.read().iter().all(Option::is_some)
    }

    /// Visits the keys of the counts of sealed vehicles that left, some of them more than once.
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn visit_departed_keys(&self, mut visit: impl FnMut(KeyTag)) -> Result<(), NotReady> {
        for reader in self.all()?.iter().flatten() {
            let mut behind = None;
            loop {
                let some = reader.departed(behind, DEPARTED_AT_ONCE);
                let Some(last) = some.last() else { break };
                behind = Some(last.at());
                some.iter().filter_map(|departed| departed.count.key()).for_each(&mut visit);
            }
        }
        Ok(())
    }

    /// Returns the nearest vehicles of the fleet, nearest first and by [`Key`] where equally near; see
    /// [`Index::nearby`](crate::Index::nearby).
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn nearby(&self, nearby: &Nearby) -> Result<Vec<Hit>, NotReady> {
        self.nearest(*nearby, Reader::nearby)
    }

    /// As [`Fleet::nearby`], with coarse places and times in place of the exact ones; see [`Sight::Coarse`](crate::Sight::Coarse).
    pub(crate) fn nearby_coarse(&self, nearby: &Nearby) -> Result<Vec<Hit>, NotReady> {
        self.nearest(coarse::nearby(nearby), Reader::nearby_coarse)
    }

    #[inline]
    fn nearest(
        &self,
        mut nearby: Nearby,
        find: impl Fn(&Reader, &Nearby, &mut Vec<Hit>),
    ) -> Result<Vec<Hit>, NotReady> {
        let mut best: Vec<Hit> = Vec::new();
        for reader in self.all()?.iter().flatten() {
            find(reader, &nearby, &mut best);
            keep_nearest(&mut best, nearby.k);
            // With k hits no farther vehicle can be in the answer, so the next partition need not look beyond the
            // farthest.
            if best.len() == nearby.k {
                nearby.max_m = best.last().map_or(nearby.max_m, |farthest| farthest.distance_m);
            }
        }
        Ok(best)
    }

    /// Returns up to `limit` vehicles in a box, in no particular order; see [`Index::bbox`](crate::Index::bbox).
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn bbox(&self, bbox: &BBox, limit: usize) -> Result<Vec<Vehicle>, NotReady> {
        let mut vehicles = Vec::new();
        for reader in self.all()?.iter().flatten() {
            reader.bbox(bbox, limit - vehicles.len(), &mut vehicles);
        }
        Ok(vehicles)
    }

    /// Returns a vehicle by its id.
    ///
    /// # Errors
    /// [`NotReady`] while the partition that would have it is missing.
    pub fn get(&self, key: Key<'_>) -> Result<Option<Vehicle>, NotReady> {
        Ok(self.reader_of(key)?.get(key))
    }

    /// As [`Fleet::get`], but gives up after `within` if the partition's writer holds the lock.
    ///
    /// # Errors
    /// [`NotReady`] while the partition that would have it is missing, or does not answer `within` this time.
    pub fn get_within(&self, key: Key<'_>, within: Duration) -> Result<Option<Vehicle>, NotReady> {
        self.reader_of(key)?.get_within(key, within).ok_or(NotReady)
    }

    /// As [`Fleet::get_within`], with the row of the vehicle in its partition.
    ///
    /// # Errors
    /// As [`Fleet::get_within`].
    pub fn seek_within(&self, key: Key<'_>, within: Duration) -> Result<Option<(u32, Vehicle)>, NotReady> {
        self.reader_of(key)?.seek_within(key, within).ok_or(NotReady)
    }

    /// Returns the row of each of these vehicles in its partition; `Ok(None)` for one that is not there, and [`NotReady`] for
    /// one whose partition is missing or does not answer `within` this time. Each partition is asked once for all, and the time is
    /// for all partitions together: what has not answered by then is only asked whether it would now.
    pub fn rows_within(&self, keys: &[Key<'_>], within: Duration) -> Vec<Result<Option<u32>, NotReady>> {
        let readers = Arc::clone(&self.readers.read());
        let homes: Vec<_> = keys.iter().map(|key| self.home(*key)).collect();
        let mut rows = vec![Err(NotReady); keys.len()];
        let mut left = within;
        for (number, reader) in readers.iter().enumerate() {
            let mut here = (0..keys.len()).filter(|&at| homes[at] == number).peekable();
            if let (Some(reader), Some(_)) = (reader, here.peek()) {
                let here = here.map(|at| (at, keys[at]));
                if !reader.rows_within(left, here, |at, row| rows[at] = Ok(row)) {
                    // The others have had this time as well.
                    left = Duration::ZERO;
                }
            }
        }
        rows
    }

    /// Returns the reader of one partition, if the partition is in place.
    pub fn reader(&self, partition: usize) -> Option<Reader> {
        self.readers.read().get(partition).cloned().flatten()
    }

    /// Returns true when the partition in place has this index.
    pub fn has(&self, partition: usize, index: &IndexMark) -> bool {
        let readers = self.readers.read();
        readers.get(partition).and_then(Option::as_ref).is_some_and(|reader| index.is_of(reader))
    }

    /// Returns the readers of all partitions, by their numbers.
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn readers(&self) -> Result<Vec<Reader>, NotReady> {
        Ok(self.all()?.iter().flatten().cloned().collect())
    }

    fn reader_of(&self, key: Key<'_>) -> Result<Reader, NotReady> {
        self.reader(self.home(key)).ok_or(NotReady)
    }

    /// Counts the vehicles of the fleet.
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn len(&self) -> Result<usize, NotReady> {
        Ok(self.all()?.iter().flatten().map(Reader::len).sum())
    }

    /// Returns true when the fleet has no vehicle.
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn is_empty(&self) -> Result<bool, NotReady> {
        self.len().map(|len| len == 0)
    }

    /// Returns the readers of all partitions; none of them is missing.
    fn all(&self) -> Result<Readers, NotReady> {
        // One count however many partitions there are; the lock is free again before any index is asked.
        let readers = Arc::clone(&self.readers.read());
        if readers.iter().all(Option::is_some) { Ok(readers) } else { Err(NotReady) }
    }
}
