//! Notes about keys, for parts that are slower than the doors: epochs that have begun, and sequences far ahead of the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use vagn_seal::{Epoch, KeyId};

/// Most keys that are noted at a time. What finds no room is noted with a later envelope.
const NOTED_MAX: usize = 1_000;

/// Sequences further ahead of the clock than this are named: their sender's clock was wrong when it booted.
const AHEAD_MS: u64 = 24 * 3_600_000;

/// What was noted.
#[derive(Debug, Default)]
pub struct Noted {
    begun: Mutex<BTreeMap<KeyId, Epoch>>,
    has_begun: Notify,
    /// Keys whose first envelope ends another key, and true while there are any.
    expected: Mutex<BTreeSet<KeyId>>,
    is_expecting: AtomicBool,
    /// Up to here a sequence needs no look at the clock.
    near: AtomicU64,
    ahead: Mutex<BTreeMap<KeyId, u64>>,
}

impl Noted {
    /// Notes that the first envelope of an epoch was taken.
    pub(super) fn begun(&self, key_id: KeyId, epoch: Epoch) {
        let mut begun = self.begun.lock();
        if begun.len() < NOTED_MAX || begun.contains_key(&key_id) {
            begun.insert(key_id, epoch);
            self.has_begun.notify_one();
        }
    }

    /// Has the next envelope of a key noted like the first one of an epoch: the key replaces another one.
    pub fn expect(&self, key_id: KeyId) {
        self.expected.lock().insert(key_id);
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
        let mut expected = self.expected.lock();
        if expected.remove(&key_id) {
            self.is_expecting.store(!expected.is_empty(), Ordering::Release);
            drop(expected);
            self.begun(key_id, epoch);
        }
    }

    /// Waits until epochs have begun, and takes them: those before them are to end.
    pub async fn take_begun(&self) -> Vec<(KeyId, Epoch)> {
        loop {
            let has_begun = self.has_begun.notified();
            let begun = std::mem::take(&mut *self.begun.lock());
            if !begun.is_empty() {
                return begun.into_iter().collect();
            }
            has_begun.await;
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
        if sequence > near && (ahead.len() < NOTED_MAX || ahead.contains_key(&key_id)) {
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
        self.begun.lock().remove(&key_id);
        self.ahead.lock().remove(&key_id);
    }
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
        assert_eq!(noted.take_begun().await, [(KEY, Epoch::FIRST)]);
        noted.taken(KEY, Epoch::FIRST);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, noted.take_begun()).await.is_err());
    }

    #[tokio::test]
    async fn an_epoch_that_has_begun_is_told_once() {
        let noted = Noted::default();
        noted.begun(KEY, Epoch::FIRST);
        noted.begun(KEY, Epoch::new(1).unwrap());
        assert_eq!(noted.take_begun().await, [(KEY, Epoch::new(1).unwrap())]);
        let waits = tokio::time::timeout(std::time::Duration::ZERO, noted.take_begun()).await;
        assert!(waits.is_err());
    }
}
