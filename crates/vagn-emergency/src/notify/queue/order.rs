//! Order of what one target is owed: the phase of each key, and the keys of each phase by what goes first.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::phase::{NoticeSort, Phase, Rank};

/// Phases of all keys.
#[derive(Debug)]
pub(super) struct Order<K, R> {
    phases: HashMap<K, Phase<R>>,
    /// Keys that are held, by the time until when.
    held: BTreeSet<(Duration, K)>,
    fresh: BTreeSet<(R, K)>,
    /// Keys that wait, by the time until when: those of preferred ranks apart from the others, which may have no slot when
    /// these have one.
    waiting: [BTreeSet<(Duration, K)>; 2],
    due: BTreeSet<(NoticeSort<R>, K)>,
}

impl<K: Copy + Ord + Hash, R: Rank> Order<K, R> {
    pub(super) fn new() -> Self {
        Self {
            phases: HashMap::new(),
            held: BTreeSet::new(),
            fresh: BTreeSet::new(),
            waiting: [BTreeSet::new(), BTreeSet::new()],
            due: BTreeSet::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.phases.is_empty()
    }

    pub(super) fn phase(&self, key: K) -> Option<Phase<R>> {
        self.phases.get(&key).copied()
    }

    /// Puts a key that is in no phase into this one.
    pub(super) fn insert(&mut self, key: K, phase: Phase<R>) {
        match phase {
            Phase::Held { until, .. } => self.held.insert((until, key)),
            Phase::Fresh { rank } => self.fresh.insert((rank, key)),
            Phase::Waiting { until, sort, .. } => self.waiting[class(sort)].insert((until, key)),
            Phase::Due { sort } => self.due.insert((sort, key)),
            Phase::UnderWay { .. } => false,
        };
        self.phases.insert(key, phase);
    }

    /// Takes a key out of its phase, and returns that.
    pub(super) fn remove(&mut self, key: K) -> Option<Phase<R>> {
        let phase = self.phases.remove(&key)?;
        match phase {
            Phase::Held { until, .. } => self.held.remove(&(until, key)),
            Phase::Fresh { rank } => self.fresh.remove(&(rank, key)),
            Phase::Waiting { until, sort, .. } => self.waiting[class(sort)].remove(&(until, key)),
            Phase::Due { sort } => self.due.remove(&(sort, key)),
            Phase::UnderWay { .. } => false,
        };
        Some(phase)
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Returns true when anything may be sent for the first time, or is held for that.
    pub(super) fn has_first(&self) -> bool {
        !self.fresh.is_empty() || !self.held.is_empty()
    }

    pub(super) fn first_held(&self) -> Option<(Duration, K)> {
        self.held.first().copied()
    }

    pub(super) fn first_fresh(&self) -> Option<(NoticeSort<R>, K)> {
        self.fresh.first().map(|(rank, key)| (NoticeSort::First(*rank), *key))
    }

    pub(super) fn first_due(&self) -> Option<(NoticeSort<R>, K)> {
        self.due.first().copied()
    }

    /// Returns the ends of the shortest waits of preferred ranks and of the others, and for what they are.
    pub(super) fn first_waiting(&self) -> impl Iterator<Item = (Duration, NoticeSort<R>, K)> + use<K, R> {
        let first = self.waiting.each_ref().map(|waiting| waiting.first().copied());
        let first = first.map(|first| first.map(|(until, key)| (until, self.sort_of(key), key)));
        first.into_iter().flatten()
    }

    fn sort_of(&self, key: K) -> NoticeSort<R> {
        match self.phases[&key] {
            Phase::Waiting { sort, .. } => sort,
            _ => unreachable!("only keys that wait are among the waiting"),
        }
    }

    pub(super) fn held(&self) -> Vec<K> {
        self.held.iter().map(|(_, key)| *key).collect()
    }

    /// Returns all retries that wait for their time and not for what the target asked for.
    pub(super) fn waiting_retries(&self) -> Vec<(K, NoticeSort<R>)> {
        let waiting = self.waiting.iter().flatten().filter_map(|(_, key)| match self.phases[key] {
            Phase::Waiting { sort: sort @ NoticeSort::Repeat(_), firm: false, .. } => Some((*key, sort)),
            _ => None,
        });
        waiting.collect()
    }

    pub(super) fn under_way(&self) -> Vec<(K, NoticeSort<R>)> {
        let under_way = self.phases.iter().filter_map(|(key, phase)| match phase {
            Phase::UnderWay { sort } => Some((*key, *sort)),
            _ => None,
        });
        under_way.collect()
    }
}

/// Returns the index of the set in which a key of this sort waits.
fn class<R: Rank>(sort: NoticeSort<R>) -> usize {
    usize::from(!sort.is_preferred())
}
