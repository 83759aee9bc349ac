//! Notes about keys, for parts that are slower than the doors: epochs that have begun, and sequences far ahead of the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use vagn_seal::{Epoch, KeyId};

/// Most keys whose sequences are noted as ahead at a time. What finds no room is noted with a later envelope.
const AHEAD_MAX: usize = 1_000;

/// Sequences further ahead of the clock than this are named: their sender's clock was wrong when it booted.
const AHEAD_MS: u64 = 24 * 3_600_000;

/// Notes about keys.
#[derive(Debug, Default)]
pub struct Noted {
    begun: Mutex<Begun>,
    has_begun: Notify,
    /// Keys whose first envelope ends another key, and true while there are any.
    expected: Mutex<BTreeSet<KeyId>>,
    is_expecting: AtomicBool,
    /// Up to here a sequence needs no look at the clock.
    near: AtomicU64,
    ahead: Mutex<BTreeMap<KeyId, u64>>,
}

/// Epochs that have begun: the latest one of each key. Only a key in force begins one, and only once, so the number of keys bounds
/// them, and none may be left out: no later envelope would tell it again.
#[derive(Debug, Default)]
struct Begun {
    waiting: BTreeMap<KeyId, Epoch>,
    /// Those for which what was to be done failed, until they are tried again.
    failed: BTreeMap<KeyId, Epoch>,
    /// One has failed since they were tried again.
    has_failed: bool,
}

impl Noted {
    /// Notes that the first envelope of an epoch was taken.
    pub(super) fn begun(&self, key_id: KeyId, epoch: Epoch) {
        merge(&mut self.begun.lock().waiting, key_id, epoch);
        self.has_begun.notify_one();
    }

    /// Has the next envelope of a key noted like the first one of an epoch: the key replaces another one.
    pub fn expect(&self, key_id: KeyId) {
        let mut expected = self.expected.lock();
        expected.insert(key_id);
        // Under the lock: else a task that removes another key at this moment would say that none is expected.
        self.is_expecting.store(true, Ordering::Release);
    }

    /// Notes that an envelope was taken, if it is one that was expected.
    #[inline]
    pub(super) fn taken(&self, key_id: KeyId, epoch: Epoch) {
        if self.is_expecting.load(Ordering::Relaxed) {
            self.look_expected(key_id, epoch);
        }
    }

    #[cold]
    fn look_expected(&self, key_id: KeyId, epoch: Epoch) {
        if self.unexpect(key_id) {
            self.begun(key_id, epoch);
        }
    }

    /// Waits until an epoch has begun, and takes it: those before it are to end. One at a time, so that other changes of keys do
    /// not wait for thousands of them.
    pub async fn next_begun(&self) -> (KeyId, Epoch) {
        loop {
            let has_begun = self.has_begun.notified();
            let next = self.begun.lock().waiting.pop_first();
            if let Some(next) = next {
                return next;
            }
            has_begun.await;
        }
    }

    /// Puts an epoch back whose work has failed, until [`try_again`](Self::try_again). Returns true for the first one since then.
    pub fn put_back(&self, key_id: KeyId, epoch: Epoch) -> bool {
        let mut begun = self.begun.lock();
        merge(&mut begun.failed, key_id, epoch);
        !std::mem::replace(&mut begun.has_failed, true)
    }

    /// Puts all other epochs back too: what has failed for one would fail for each.
    pub fn put_all_back(&self) {
        let mut begun = self.begun.lock();
        let waiting = std::mem::take(&mut begun.waiting);
        for (key_id, epoch) in waiting {
            merge(&mut begun.failed, key_id, epoch);
        }
    }

    /// Lets the epochs that were put back be taken again.
    pub fn try_again(&self) {
        let mut begun = self.begun.lock();
        begun.has_failed = false;
        let failed = std::mem::take(&mut begun.failed);
        for (key_id, epoch) in failed {
            merge(&mut begun.waiting, key_id, epoch);
        }
        if !begun.waiting.is_empty() {
            self.has_begun.notify_one();
        }
    }

    /// Notes the sequence of an envelope that was opened, if it is far ahead of the clock.
    #[inline]
    pub fn numbered(&self, key_id: KeyId, sequence: u64, now_ms: impl FnOnce() -> i64) {
        if sequence > self.near.load(Ordering::Relaxed) {
            self.look(key_id, sequence, now_ms());
        }
    }

    #[cold]
    fn look(&self, key_id: KeyId, sequence: u64, now_ms: i64) {
        let near = u64::try_from(now_ms).unwrap_or(0).saturating_add(AHEAD_MS);
        self.near.store(near, Ordering::Relaxed);
        let mut ahead = self.ahead.lock();
        if sequence > near && (ahead.len() < AHEAD_MAX || ahead.contains_key(&key_id)) {
            ahead.insert(key_id, sequence);
        }
    }

    /// Returns the keys whose last sequence is more than a day ahead of `now_ms`, with that sequence.
    pub fn ahead(&self, now_ms: i64) -> Vec<(KeyId, u64)> {
        let near = u64::try_from(now_ms).unwrap_or(0).saturating_add(AHEAD_MS);
        let mut ahead = self.ahead.lock();
        ahead.retain(|_, sequence| *sequence > near);
        ahead.iter().map(|(key_id, sequence)| (*key_id, *sequence)).collect()
    }

    /// Forgets a key that is no more in force.
    pub fn forget(&self, key_id: KeyId) {
        {
            let mut begun = self.begun.lock();
            begun.waiting.remove(&key_id);
            begun.failed.remove(&key_id);
        }
        self.unexpect(key_id);
        self.ahead.lock().remove(&key_id);
    }

    /// Expects a key no more; true if it was expected. While none is, envelopes need no look.
    fn unexpect(&self, key_id: KeyId) -> bool {
        let mut expected = self.expected.lock();
        let was_expected = expected.remove(&key_id);
        self.is_expecting.store(!expected.is_empty(), Ordering::Release);
        was_expected
    }
}

/// Keeps the later epoch of a key.
fn merge(epochs: &mut BTreeMap<KeyId, Epoch>, key_id: KeyId, epoch: Epoch) {
    epochs.entry(key_id).and_modify(|kept| *kept = epoch.max(*kept)).or_insert(epoch);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId([7; 8]);
    const NOW_MS: i64 = 1_795_860_000_000;
    const DAY: u64 = 86_400_000;

    #[test]
    fn names_keys_whose_sequence_is_more_than_a_day_ahead_until_the_clock_has_come_near() {
        let noted = Noted::default();
        let note = |key, sequence| noted.numbered(KeyId([key; 8]), sequence, || NOW_MS);
        let now = NOW_MS.unsigned_abs();
        note(1, now + DAY);
        note(2, now + DAY + 1);
        note(3, 5);
        assert_eq!(noted.ahead(NOW_MS), [(KeyId([2; 8]), now + DAY + 1)]);
        assert_eq!(noted.ahead(NOW_MS + 1), []);
        note(4, u64::MAX);
        noted.forget(KeyId([4; 8]));
        assert_eq!(noted.ahead(NOW_MS), []);
    }

    #[tokio::test]
    async fn the_first_envelope_of_a_key_that_replaces_another_is_told_once() {
        let noted = Noted::default();
        noted.expect(KEY);
        noted.taken(KeyId([8; 8]), Epoch::FIRST);
        (0..2).for_each(|_| noted.taken(KEY, Epoch::FIRST));
        assert_eq!(begun(&noted).await, [(KEY, Epoch::FIRST)]);
        noted.taken(KEY, Epoch::FIRST);
        assert_eq!(begun(&noted).await, []);
    }

    #[tokio::test]
    async fn a_key_that_is_revoked_is_expected_no_more_and_those_beside_it_are() {
        let (noted, other) = (Noted::default(), KeyId([8; 8]));
        noted.expect(KEY);
        noted.expect(other);
        noted.forget(KEY);
        noted.taken(KEY, Epoch::FIRST);
        noted.taken(other, Epoch::FIRST);
        assert_eq!(begun(&noted).await, [(other, Epoch::FIRST)]);
        noted.expect(KEY);
        noted.forget(KEY);
        assert!(!noted.is_expecting.load(Ordering::Relaxed), "no envelope needs a look any more");
    }

    /// Takes all epochs that have begun.
    async fn begun(noted: &Noted) -> Vec<(KeyId, Epoch)> {
        let mut begun = Vec::new();
        while let Ok(next) = tokio::time::timeout(std::time::Duration::ZERO, noted.next_begun()).await {
            begun.push(next);
        }
        begun
    }

    fn epoch(number: u8) -> Epoch {
        Epoch::new(number).unwrap()
    }

    #[tokio::test]
    async fn an_epoch_that_has_begun_is_told_once() {
        let noted = Noted::default();
        noted.begun(KEY, epoch(0));
        noted.begun(KEY, epoch(1));
        assert_eq!(begun(&noted).await, [(KEY, epoch(1))]);
        assert_eq!(begun(&noted).await, []);
    }

    #[tokio::test]
    async fn the_epochs_of_a_whole_fleet_can_begin_at_once() {
        let noted = Noted::default();
        let keys = (0..5_000_u64).map(|key| (KeyId(key.to_be_bytes()), epoch(1)));
        keys.clone().for_each(|(key_id, epoch)| noted.begun(key_id, epoch));
        assert!(begun(&noted).await.into_iter().eq(keys));
    }

    #[tokio::test]
    async fn what_has_failed_is_told_when_it_is_tried_again_unless_its_key_was_revoked() {
        let (noted, other, third) = (Noted::default(), KeyId([8; 8]), KeyId([9; 8]));
        assert!(noted.put_back(KEY, epoch(2)), "the first one");
        assert!(!noted.put_back(other, epoch(1)));
        assert_eq!(begun(&noted).await, []);
        // The later epoch counts, whichever failed.
        noted.begun(KEY, epoch(3));
        noted.begun(third, epoch(1));
        noted.put_all_back();
        noted.forget(other);
        assert_eq!(begun(&noted).await, []);
        noted.try_again();
        assert_eq!(begun(&noted).await, [(KEY, epoch(3)), (third, epoch(1))]);
        assert!(noted.put_back(KEY, epoch(3)), "the first one after that");
    }
}
