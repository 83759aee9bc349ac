//! The counts of sealed vehicles that left, by which reports from before are known when they are sent again.
//!
//! Nothing else is kept of a vehicle that was deleted or forgotten, and this only where it had a key: a number that nobody
//! vouches for tells nothing. A vehicle that comes again under its key takes its count back. Beyond the bound those go
//! whose vehicles were heard longest ago.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use hashbrown::HashTable;

use super::VEHICLES_MAX;
use crate::judge::{Count, KeyTag};
use crate::key::{finish, mix_words};

/// Count of a vehicle that left, under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DepartedCount {
    /// [`Key::hash`](crate::Key::hash) of the vehicle's id. The id itself is not kept; should two have one hash under one
    /// gateway's key, what came of either counts for both.
    pub(crate) key_hash: u64,
    /// Receive sequence of its last stored report.
    pub(crate) receive_seq: u64,
    /// Its count, which has a key.
    pub(crate) count: Count,
}

/// Place of a count of a vehicle that left, in the order in which they go. The hash and the key make it unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DepartedAt {
    receive_seq: u64,
    key_hash: u64,
    tag: u32,
}

impl DepartedCount {
    pub(crate) fn at(&self) -> DepartedAt {
        DepartedAt { receive_seq: self.receive_seq, key_hash: self.key_hash, tag: self.tag() }
    }

    fn tag(&self) -> u32 {
        self.count.key().map_or(0, KeyTag::bits)
    }

    /// Returns a hash of all that is kept of it.
    fn content_hash(&self) -> u64 {
        let (highest, seen, key) = self.count.parts();
        let hash = mix_words(self.key_hash, self.receive_seq, u64::from(key));
        finish(mix_words(hash, highest, seen))
    }
}

/// Counts of all vehicles that left. Some 110 bytes for each.
#[derive(Debug)]
pub(crate) struct Departed {
    seed: u64,
    by_vehicle: HashTable<DepartedCount>,
    by_place: BTreeSet<DepartedAt>,
    most: usize,
    /// Sum of the hashes of all: equal for equal ones in any order.
    sum: u64,
    lost: u64,
}

impl Departed {
    /// Returns none, and takes up to as many as an index takes vehicles. The seed keeps a gateway from choosing ids that
    /// make the look slow; nothing else depends on it.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            by_vehicle: HashTable::new(),
            by_place: BTreeSet::new(),
            most: VEHICLES_MAX,
            sum: 0,
            lost: 0,
        }
    }

    /// Sets the seed, while there are none.
    pub(crate) fn seed(&mut self, seed: u64) {
        debug_assert!(self.is_empty(), "those that are there are found by the seed from before");
        self.seed = seed;
    }

    /// Counts them.
    pub(crate) fn len(&self) -> usize {
        self.by_vehicle.len()
    }

    /// Returns true when there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_vehicle.is_empty()
    }

    /// Returns the count of the vehicle whose id has this hash, under this key.
    pub(crate) fn find(&self, key_hash: u64, key: KeyTag) -> Option<Count> {
        let found = self.by_vehicle.find(place(self.seed, key_hash, key.bits()), is_of(key_hash, key));
        found.map(|departed| departed.count)
    }

    /// Adds the count of a vehicle that leaves, if it has a key. What was kept of it under the same key counts, too.
    pub(crate) fn add(&mut self, departed: DepartedCount) {
        let Some(key) = departed.count.key() else { return };
        let mut departed = departed;
        // There is no envelope under way any more: each report of one is looked up by itself.
        departed.count.set_repeated(false);
        if let Some(before) = self.take(departed.key_hash, key) {
            departed.count.merge(&before.count);
            departed.receive_seq = departed.receive_seq.max(before.receive_seq);
        }
        self.by_place.insert(departed.at());
        self.sum = self.sum.wrapping_add(departed.content_hash());
        let seed = self.seed;
        let rehash = |departed: &DepartedCount| place(seed, departed.key_hash, departed.tag());
        self.by_vehicle.insert_unique(rehash(&departed), departed, rehash);
        self.keep_bound();
    }

    /// Takes out the count of a vehicle that came again under its key.
    pub(crate) fn take(&mut self, key_hash: u64, key: KeyTag) -> Option<DepartedCount> {
        let at = place(self.seed, key_hash, key.bits());
        let (departed, _) = self.by_vehicle.find_entry(at, is_of(key_hash, key)).ok()?.remove();
        self.by_place.remove(&departed.at());
        self.sum = self.sum.wrapping_sub(departed.content_hash());
        Some(departed)
    }

    /// Takes out those under the keys of which `is_over` says true, among some behind this place, at most so many. Returns the place to
    /// go on at, none at the end.
    pub(crate) fn forget(
        &mut self,
        behind: Option<DepartedAt>,
        most: usize,
        is_over: impl Fn(KeyTag) -> bool,
    ) -> Option<DepartedAt> {
        let some: Vec<_> = self.behind(behind).take(most).collect();
        for departed in &some {
            if let Some(key) = departed.count.key().filter(|key| is_over(*key)) {
                self.take(departed.key_hash, key);
            }
        }
        some.last().map(DepartedCount::at)
    }

    /// Sets the greatest number of them.
    pub(crate) fn bound(&mut self, most: usize) {
        self.most = most;
        self.keep_bound();
    }

    fn keep_bound(&mut self) {
        while self.len() > self.most {
            let Some(oldest) = self.by_place.first().copied() else { return };
            let Some(key) = KeyTag::of_bits(oldest.tag) else { return };
            self.take(oldest.key_hash, key);
            self.lost += 1;
        }
    }

    /// Counts those that went because of the bound.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns the sum of the hashes of all.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns those behind this place, in the order in which they go; all of them behind none.
    pub(crate) fn behind(&self, place: Option<DepartedAt>) -> impl Iterator<Item = DepartedCount> {
        let from = place.map_or(Unbounded, Excluded);
        self.by_place.range((from, Unbounded)).filter_map(|at| {
            let count = self.find(at.key_hash, KeyTag::of_bits(at.tag)?)?;
            Some(DepartedCount { key_hash: at.key_hash, receive_seq: at.receive_seq, count })
        })
    }
}

fn place(seed: u64, key_hash: u64, tag: u32) -> u64 {
    finish(mix_words(seed, key_hash, u64::from(tag)))
}

fn is_of(key_hash: u64, key: KeyTag) -> impl Fn(&DepartedCount) -> bool {
    move |departed| departed.key_hash == key_hash && departed.count.key() == Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: u8) -> KeyTag {
        KeyTag::of_key_id([key; 8])
    }

    fn departed(key_hash: u64, receive_seq: u64, of: u8, numbers: &[u64]) -> DepartedCount {
        let mut count = Count::begin(Some(key(of)));
        numbers.iter().for_each(|number| count.note(*number));
        DepartedCount { key_hash, receive_seq, count }
    }

    fn hashes(departed: &Departed) -> Vec<u64> {
        departed.behind(None).map(|departed| departed.key_hash).collect()
    }

    #[test]
    fn keeps_what_has_a_key_by_vehicle_and_key() {
        let mut all = Departed::new(7);
        all.add(DepartedCount { key_hash: 1, receive_seq: 1, count: Count::NONE });
        assert!(all.is_empty());
        all.add(departed(1, 5, 1, &[7]));
        all.add(departed(1, 4, 2, &[9]));
        assert!(all.find(1, key(1)).unwrap().has(7) && all.find(1, key(2)).unwrap().has(9));
        assert!(all.find(2, key(1)).is_none() && all.find(1, key(3)).is_none());
        let sum = all.sum();
        assert_eq!(all.take(1, key(2)), Some(departed(1, 4, 2, &[9])));
        assert_ne!(all.sum(), sum);
        assert_eq!((all.take(1, key(2)), all.len()), (None, 1));
        all.take(1, key(1));
        assert_eq!((all.sum(), all.len(), all.by_place.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_kept_of_a_vehicle_already_counts_too() {
        let mut all = Departed::new(7);
        all.add(departed(1, 5, 1, &[7]));
        let mut again = departed(1, 3, 1, &[9]);
        again.count.set_repeated(true);
        all.add(again);
        assert!(all.behind(None).eq([departed(1, 5, 1, &[7, 9])]));
        let mut other = Departed::new(8);
        other.add(departed(1, 5, 1, &[7, 9]));
        assert_eq!(all.sum(), other.sum());
    }

    #[test]
    fn those_of_keys_that_are_over_are_forgotten_some_at_a_time() {
        let mut all = Departed::new(7);
        for (key_hash, of) in [(1, 1), (2, 2), (3, 1), (4, 3), (5, 1)] {
            all.add(departed(key_hash, key_hash, of, &[1]));
        }
        let (mut at, mut rounds) = (None, 0);
        loop {
            at = all.forget(at, 2, |over| over == key(1));
            rounds += 1;
            if at.is_none() {
                break;
            }
        }
        assert_eq!((hashes(&all), rounds, all.lost()), (vec![2, 4], 4, 0));
    }

    #[test]
    fn beyond_the_bound_those_go_that_were_heard_longest_ago() {
        let mut all = Departed::new(7);
        for (key_hash, receive_seq) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
            all.add(departed(key_hash, receive_seq, 1, &[1]));
        }
        assert_eq!(hashes(&all), [2, 3, 1, 4]);
        all.bound(3);
        all.add(departed(5, 25, 1, &[1]));
        assert_eq!((hashes(&all), all.lost()), (vec![5, 1, 4], 2));
        all.add(departed(6, 1, 1, &[1]));
        assert_eq!((hashes(&all), all.lost()), (vec![5, 1, 4], 3));
        let behind: Vec<_> = all.behind(Some(departed(5, 25, 1, &[]).at())).collect();
        assert_eq!(behind, [departed(1, 30, 1, &[1]), departed(4, 40, 1, &[1])]);
    }
}
