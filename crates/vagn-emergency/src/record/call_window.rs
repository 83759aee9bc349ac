//! Call window: the sequences of a vehicle's sealed calls that were taken, so that none makes an incident twice.
//!
//! It is apart from the count of the store, which knows positions, and is written with the incident that a call opened or
//! updated: so it is exact over a crash.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vagn_seal::KeyId;
use vagn_store::NumberWindow;

/// Highest sequence that was taken under a key, and which of those just below it were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WindowJson", into = "WindowJson")]
pub struct CallWindow {
    /// Key of the seals.
    pub key_id: KeyId,
    taken: NumberWindow,
}

/// A window as the journal has it.
#[derive(Serialize, Deserialize)]
struct WindowJson {
    #[serde(serialize_with = "key_id_to_text", deserialize_with = "key_id_from_text")]
    key_id: KeyId,
    highest: u64,
    /// Bit n is set if the sequence n below the highest was taken.
    taken: u64,
}

impl From<WindowJson> for CallWindow {
    fn from(WindowJson { key_id, highest, taken }: WindowJson) -> Self {
        Self::of_parts(key_id, highest, taken)
    }
}

impl From<CallWindow> for WindowJson {
    fn from(window: CallWindow) -> Self {
        let (highest, taken) = window.parts();
        Self { key_id: window.key_id, highest, taken }
    }
}

impl CallWindow {
    /// Returns the window of the first call.
    pub fn first(key_id: KeyId, sequence: u64) -> Self {
        Self { key_id, taken: NumberWindow::of(sequence) }
    }

    /// Returns the window of a key that was stored as these [parts](Self::parts).
    pub fn of_parts(key_id: KeyId, highest: u64, taken: u64) -> Self {
        Self { key_id, taken: NumberWindow::of_parts(highest, taken) }
    }

    /// Returns the highest sequence, and in bit n whether the one that is n below it was taken.
    pub fn parts(&self) -> (u64, u64) {
        self.taken.parts()
    }

    /// Returns true when a call of this sequence was taken, or is too old to tell.
    pub fn has(&self, sequence: u64) -> bool {
        self.taken.has(sequence) || self.taken.is_below(sequence)
    }

    /// Notes a call that is taken.
    pub fn take(&mut self, sequence: u64) {
        self.taken.note(sequence);
    }

    /// Adds what another record of the same window has.
    pub fn merge(&mut self, other: Self) {
        self.taken.merge(other.taken);
    }
}

fn key_id_to_text<S: Serializer>(key_id: &KeyId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(key_id)
}

fn key_id_from_text<'de, D: Deserializer<'de>>(from: D) -> Result<KeyId, D::Error> {
    std::borrow::Cow::<str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId([7; 8]);

    #[test]
    fn takes_nothing_that_was_taken_or_is_too_old_to_tell() {
        let mut window = CallWindow::first(KEY, 100);
        window.take(98);
        assert_eq!(
            [101, 100, 99, 98, 37, 36].map(|sequence| window.has(sequence)),
            [false, true, false, true, false, true]
        );
    }

    #[test]
    fn the_journal_has_it_by_its_parts() {
        let mut window = CallWindow::first(KEY, u64::MAX);
        window.take(u64::MAX - 2);
        let json = serde_json::to_string(&window).unwrap();
        let expected = format!(r#"{{"key_id":"{KEY}","highest":{},"taken":5}}"#, u64::MAX);
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<CallWindow>(&json).unwrap(), window);
    }
}
