//! Replays: sealed calls that came before change nothing. The table of call windows, shared by intake and desk.
//!
//! The intake looks calls up, so that a flood of replays is refused where it costs least; the desk notes those that it lets
//! in, and they are written with their incident.

use std::hash::{Hash, Hasher, RandomState};

use hashbrown::{Equivalent, HashMap};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use vagn_flow::proof::SealMark;
use vagn_seal::KeyId;

use crate::record::call_window::CallWindow;

/// Most windows: vehicles that have called under a key. What finds no room is let in without one: a call that is made
/// twice is better than one that is not made.
const WINDOWS_MAX: usize = 1_000_000;

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
    windows: Mutex<HashMap<VehicleKey, Known, RandomState>>,
    counter: Counter,
}

#[derive(Debug)]
struct Known {
    window: CallWindow,
    /// Sequence and number of the envelope that was taken last.
    last: (u64, u64),
}

#[derive(Debug, PartialEq, Eq)]
struct VehicleKey {
    key_id: KeyId,
    vehicle_id: Box<str>,
}

/// The same, borrowed, so that a look-up allocates nothing.
#[derive(PartialEq, Eq, Hash)]
struct VehicleKeyRef<'a> {
    key_id: KeyId,
    vehicle_id: &'a str,
}

impl Hash for VehicleKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        VehicleKeyRef { key_id: self.key_id, vehicle_id: &self.vehicle_id }.hash(state);
    }
}

impl Equivalent<VehicleKey> for VehicleKeyRef<'_> {
    fn equivalent(&self, key: &VehicleKey) -> bool {
        self.key_id == key.key_id && *self.vehicle_id == *key.vehicle_id
    }
}

impl Replays {
    /// Returns an empty table. `counter` counts calls without a position that come again; the others are counted where their
    /// positions are judged.
    pub(crate) fn new(counter: Counter) -> Self {
        Self { windows: Mutex::default(), counter }
    }

    /// Returns true for a call that was taken before, or is too old to tell.
    pub(crate) fn has(&self, vehicle_id: &str, seal: &CallSeal) -> bool {
        let windows = self.windows.lock();
        let known = windows.get(&VehicleKeyRef { key_id: seal.key_id, vehicle_id });
        known.is_some_and(|known| {
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
        let mut windows = self.windows.lock();
        let last = (seal.sequence, seal.number);
        if let Some(known) = windows.get_mut(&VehicleKeyRef { key_id: seal.key_id, vehicle_id }) {
            known.window.take(seal.sequence);
            known.last = last;
            return known.window;
        }
        let window = CallWindow::first(seal.key_id, seal.sequence);
        if windows.len() < WINDOWS_MAX {
            let key = VehicleKey { key_id: seal.key_id, vehicle_id: vehicle_id.into() };
            windows.insert(key, Known { window, last });
        }
        window
    }

    /// Takes in what an earlier run has written.
    pub(crate) fn learn(&self, stored: impl IntoIterator<Item = (Box<str>, CallWindow)>) {
        let mut windows = self.windows.lock();
        for (vehicle_id, window) in stored {
            let key = VehicleKeyRef { key_id: window.key_id, vehicle_id: &vehicle_id };
            if let Some(known) = windows.get_mut(&key) {
                known.window.merge(window);
            } else if windows.len() < WINDOWS_MAX {
                let key = VehicleKey { key_id: window.key_id, vehicle_id };
                windows.insert(key, Known { window, last: (window.parts().0, 0) });
            }
        }
    }

    /// Forgets the windows of a key that was revoked: nothing that it seals is opened any more.
    pub(crate) fn forget(&self, key_id: KeyId) {
        self.windows.lock().retain(|key, _| key.key_id != key_id);
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

    #[test]
    fn what_an_earlier_run_took_is_known_until_its_key_is_revoked() {
        let replays = Replays::new(Counter::default());
        replays.take("bus 7", &seal(9, 1));
        replays.learn(["bus 7", "bus 8"].map(|id| (id.into(), CallWindow::first(KeyId([7; 8]), 5))));
        for (id, sequence) in [("bus 7", 5), ("bus 7", 9), ("bus 8", 5)] {
            assert!(replays.has(id, &seal(sequence, 2)), "{id} {sequence}");
        }
        replays.forget(KeyId([7; 8]));
        assert!(!replays.has("bus 7", &seal(9, 2)));
    }
}
