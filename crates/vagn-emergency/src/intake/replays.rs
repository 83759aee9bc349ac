//! Replays: sealed calls that came before change nothing. The table of call windows, shared by intake and desk.
//!
//! The intake looks calls up, so that a flood of replays is refused where it costs least; the desk notes those that it lets
//! in, and they are written with their incident.

use std::borrow::Borrow;
use std::cmp;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use vagn_flow::proof::SealMark;
use vagn_seal::KeyId;

use crate::record::call_window::CallWindow;

/// Most windows: vehicles that have called under a key. What finds no room is let in without one: a call that is made
/// twice is better than one that is not made.
const WINDOWS_MAX: usize = 1_000_000;

/// Windows that are taken in under one lock: calls are looked up meanwhile.
const TOGETHER: usize = 1_024;

/// Seal of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSeal {
    /// Key.
    pub key_id: KeyId,
    /// Sequence of the envelope.
    pub sequence: u64,
    /// Number of the envelope in this run: all calls in it are taken, those of one that comes again are not.
    pub number: u64,
}

impl From<SealMark> for CallSeal {
    fn from(seal: SealMark) -> Self {
        Self { key_id: seal.key_id, sequence: seal.sequence, number: seal.call_number }
    }
}

/// Windows of all vehicles that have called under a key.
pub(crate) struct Replays {
    /// Table in which windows are found that are not in this one.
    below: Option<Arc<Self>>,
    /// In the order of the keys, so that those of a key are found without a look at all others.
    windows: Mutex<BTreeMap<VehicleKey, Known>>,
    counter: Counter,
    /// What earlier runs have taken is in the table.
    has_learned: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    window: CallWindow,
    /// Sequence and number of the envelope that was taken last.
    last: (u64, u64),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct VehicleKey {
    key_id: KeyId,
    vehicle_id: Box<str>,
}

impl VehicleKey {
    /// Returns the keys of all vehicles under a key.
    fn all_under(key_id: KeyId) -> (Bound<Self>, Bound<Self>) {
        let first = |key_id| Self { key_id, vehicle_id: "".into() };
        let next = u64::from_be_bytes(key_id.0).checked_add(1).map(|id| first(KeyId(id.to_be_bytes())));
        (Bound::Included(first(key_id)), next.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// The same, owned or borrowed, so that a look-up allocates nothing.
trait AsVehicleKey {
    fn parts(&self) -> (KeyId, &str);
}

impl AsVehicleKey for VehicleKey {
    fn parts(&self) -> (KeyId, &str) {
        (self.key_id, &self.vehicle_id)
    }
}

impl AsVehicleKey for (KeyId, &str) {
    fn parts(&self) -> (KeyId, &str) {
        *self
    }
}

impl<'a> Borrow<dyn AsVehicleKey + 'a> for VehicleKey {
    fn borrow(&self) -> &(dyn AsVehicleKey + 'a) {
        self
    }
}

// In the order of the owned keys, or a look-up would miss.
impl Ord for dyn AsVehicleKey + '_ {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for dyn AsVehicleKey + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn AsVehicleKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn AsVehicleKey + '_ {}

impl Replays {
    /// Returns an empty table. `counter` counts calls without a position that come again; the others are counted where their
    /// positions are judged.
    pub(crate) fn new(counter: Counter) -> Self {
        Self { below: None, windows: Mutex::default(), counter, has_learned: AtomicBool::new(false) }
    }

    /// Returns a table that has all windows of another, and of its own those of calls that it lets in. Nothing is copied: a desk that begins to lead must
    /// not wait for a million windows.
    pub(crate) fn above(below: &Arc<Self>) -> Self {
        Self {
            below: Some(below.clone()),
            windows: Mutex::default(),
            counter: below.counter.clone(),
            has_learned: AtomicBool::new(true),
        }
    }

    fn find(&self, vehicle_id: &str, key_id: KeyId) -> Option<Known> {
        let own = self.windows.lock().get(&(key_id, vehicle_id) as &dyn AsVehicleKey).copied();
        own.or_else(|| self.below.as_ref()?.find(vehicle_id, key_id))
    }

    /// Returns true for a call that was taken before, or is too old to tell.
    pub(crate) fn has(&self, vehicle_id: &str, seal: &CallSeal) -> bool {
        self.find(vehicle_id, seal.key_id).is_some_and(|known| {
            known.window.has(seal.sequence) && known.last != (seal.sequence, seal.number)
        })
    }

    /// Counts a call that came again.
    pub(crate) fn count(&self, has_position: bool) {
        if !has_position {
            self.counter.inc();
        }
    }

    /// Notes a call that is let in, and returns the window to be written with its incident.
    pub(crate) fn take(&self, vehicle_id: &str, seal: &CallSeal) -> CallWindow {
        let below = self.below.as_ref().and_then(|below| below.find(vehicle_id, seal.key_id));
        let mut windows = self.windows.lock();
        let last = (seal.sequence, seal.number);
        if let Some(known) = windows.get_mut(&(seal.key_id, vehicle_id) as &dyn AsVehicleKey) {
            known.window.take(seal.sequence);
            known.last = last;
            return known.window;
        }
        let first = CallWindow::first(seal.key_id, seal.sequence);
        let mut window = below.map_or(first, |known| known.window);
        window.take(seal.sequence);
        if windows.len() < WINDOWS_MAX {
            let key = VehicleKey { key_id: seal.key_id, vehicle_id: vehicle_id.into() };
            windows.insert(key, Known { window, last });
        }
        window
    }

    /// Takes in what an earlier run has written.
    pub(crate) fn learn(&self, stored: impl IntoIterator<Item = (Box<str>, CallWindow)>) {
        let mut stored = stored.into_iter().peekable();
        while stored.peek().is_some() {
            let mut windows = self.windows.lock();
            for (vehicle_id, window) in stored.by_ref().take(TOGETHER) {
                if let Some(known) = windows.get_mut(&(window.key_id, &*vehicle_id) as &dyn AsVehicleKey) {
                    known.window.merge(window);
                } else if windows.len() < WINDOWS_MAX {
                    let key = VehicleKey { key_id: window.key_id, vehicle_id };
                    windows.insert(key, Known { window, last: (window.parts().0, 0) });
                }
            }
        }
        self.has_learned.store(true, Ordering::Release);
    }

    /// Returns the keys under which calls were taken, each once; `None` until it is known which those of earlier runs are.
    pub(crate) fn keys(&self) -> Option<impl Iterator<Item = KeyId>> {
        let next = |from: Bound<VehicleKey>| {
            // Not all under one lock: calls are looked up meanwhile.
            let windows = self.windows.lock();
            windows.range((from, Bound::Unbounded)).next().map(|(key, _)| key.key_id)
        };
        let after = move |key_id: &KeyId| match VehicleKey::all_under(*key_id).1 {
            Bound::Excluded(first_of_next) => next(Bound::Included(first_of_next)),
            _ => None,
        };
        let has_learned = self.has_learned.load(Ordering::Acquire);
        has_learned.then(|| std::iter::successors(next(Bound::Unbounded), after))
    }

    /// Forgets the windows of keys that were revoked: nothing that they seal is opened any more. Returns the number of windows
    /// that it looked at.
    pub(crate) fn forget(&self, key_ids: &[KeyId]) -> usize {
        let mut looked_at = 0;
        for key_id in key_ids {
            // Not under one lock: calls are looked up meanwhile.
            let mut windows = self.windows.lock();
            let look = |_: &VehicleKey, _: &mut Known| {
                looked_at += 1;
                true
            };
            windows.extract_if(VehicleKey::all_under(*key_id), look).for_each(drop);
        }
        looked_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(sequence: u64, number: u64) -> CallSeal {
        CallSeal { key_id: KeyId([7; 8]), sequence, number }
    }

    #[test]
    fn all_calls_of_an_envelope_are_new_and_those_of_one_that_comes_again_are_not() {
        let replays = Replays::new(Counter::default());
        for _ in 0..2 {
            assert!(!replays.has("bus 7", &seal(5, 1)));
            replays.take("bus 7", &seal(5, 1));
        }
        assert!(replays.has("bus 7", &seal(5, 2)) && !replays.has("bus 8", &seal(5, 2)));
        assert!(!replays.has("bus 7", &seal(6, 3)) && !replays.has("bus 7", &seal(4, 3)));
        let other_key = CallSeal { key_id: KeyId([8; 8]), ..seal(5, 2) };
        assert!(!replays.has("bus 7", &other_key));
    }

    /// Returns a table of its own with the same windows.
    fn copied(of: &Replays) -> Replays {
        let copied = Replays::new(Counter::default());
        let copy = |(key, known): (&VehicleKey, &Known)| {
            (VehicleKey { key_id: key.key_id, vehicle_id: key.vehicle_id.clone() }, *known)
        };
        *copied.windows.lock() = of.windows.lock().iter().map(copy).collect();
        copied
    }

    #[test]
    fn a_table_above_another_tells_what_a_copy_of_that_one_tells_and_has_only_what_it_took_itself() {
        let run_seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(run_seed);
        let below = Arc::new(Replays::new(Counter::default()));
        let vehicle = |rng: &mut fastrand::Rng| format!("bus {}", rng.u8(..30));
        let call = |rng: &mut fastrand::Rng| CallSeal {
            key_id: KeyId([rng.u8(..2); 8]),
            ..seal(rng.u64(..200), rng.u64(1..3))
        };
        for _ in 0..40 {
            below.take(&vehicle(&mut rng), &call(&mut rng));
        }
        let windows = below.windows.lock().len();
        let (above, copy) = (Replays::above(&below), copied(&below));
        assert_eq!(above.windows.lock().len(), 0);
        let mut taken = std::collections::BTreeSet::new();
        for step in 0..2_000 {
            let (name, call) = (vehicle(&mut rng), call(&mut rng));
            assert_eq!(above.has(&name, &call), copy.has(&name, &call), "step {step}, seed {run_seed}");
            if rng.u8(..4) == 0 {
                let window = above.take(&name, &call);
                assert_eq!(window, copy.take(&name, &call), "step {step}, seed {run_seed}");
                taken.insert((call.key_id, name.clone()));
                // The node applies what its leader has recorded.
                if rng.bool() {
                    below.learn([(name.into(), window)]);
                }
            }
        }
        assert_eq!(above.windows.lock().len(), taken.len());
        assert!(below.windows.lock().len() >= windows);
    }

    #[test]
    fn what_an_earlier_run_took_is_known_until_its_key_is_revoked() {
        let replays = Replays::new(Counter::default());
        replays.take("bus 7", &seal(9, 1));
        replays.learn(["bus 7", "bus 8"].map(|id| (id.into(), CallWindow::first(KeyId([7; 8]), 5))));
        for (id, sequence) in [("bus 7", 5), ("bus 7", 9), ("bus 8", 5)] {
            assert!(replays.has(id, &seal(sequence, 2)), "{id} {sequence}");
        }
        replays.forget(&[KeyId([7; 8])]);
        assert!(!replays.has("bus 7", &seal(9, 2)));
    }

    #[test]
    fn names_each_key_under_which_calls_were_taken_once_those_of_earlier_runs_are_known() {
        let replays = Replays::new(Counter::default());
        let keys = [KeyId([7; 8]), KeyId([8; 8]), KeyId([0xff; 8])];
        for (key_id, vehicle_id) in [(keys[0], "bus 7"), (keys[0], "bus 8"), (keys[2], "bus 7")] {
            replays.take(vehicle_id, &CallSeal { key_id, ..seal(5, 1) });
        }
        assert!(replays.keys().is_none());
        replays.learn([("bus 9".into(), CallWindow::first(keys[1], 5))]);
        assert!(replays.keys().unwrap().eq(keys));
        replays.forget(&keys[1..]);
        assert!(replays.keys().unwrap().eq([keys[0]]));
    }

    #[test]
    fn to_forget_a_key_takes_no_look_at_the_windows_of_others() {
        let replays = Replays::new(Counter::default());
        let keys: Vec<_> = (0..1_000_u64).map(|number| KeyId(number.to_be_bytes())).collect();
        let last = KeyId([0xff; 8]);
        for key_id in keys.iter().chain([&last]) {
            for vehicle_id in ["bus 7", "bus 8"] {
                replays.take(vehicle_id, &CallSeal { key_id: *key_id, ..seal(5, 1) });
            }
        }
        assert_eq!(replays.forget(&keys[100..300]), 400);
        assert_eq!((replays.forget(&[last]), replays.forget(&keys[100..300])), (2, 0));
        let has = |key_id| replays.has("bus 8", &CallSeal { key_id, ..seal(5, 2) });
        let left: Vec<_> = keys.iter().filter(|key_id| has(**key_id)).copied().collect();
        assert_eq!(left, [&keys[..100], &keys[300..]].concat());
    }
}
