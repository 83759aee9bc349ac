//! The answer of a query: a vehicle with its last sighting.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

use vagn_wire::{ID_LEN_MAX, VehicleId};

use crate::{Key, Sighting, uuid_text};

/// A vehicle id that owns its text, without allocating. Ordered as [`Key`]s are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VehicleIdBuf {
    len: u8,
    /// Zeros behind the text, so that equal ids have equal bytes.
    bytes: [u8; ID_LEN_MAX],
}

impl VehicleIdBuf {
    pub(crate) fn of(key: Key<'_>) -> VehicleIdBuf {
        let mut bytes = [0; ID_LEN_MAX];
        let len = match key {
            Key::Uuid(uuid) => {
                let text = bytes.first_chunk_mut().expect("a UUID is shorter than the longest id");
                uuid_text::write(&uuid, text);
                text.len()
            }
            Key::Text(text) => {
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                text.len()
            }
        };
        VehicleIdBuf { len: len as u8, bytes }
    }

    /// Returns the id as it was sent.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("the bytes were copied from a text")
    }

    /// Returns the key to look the vehicle up by.
    pub fn key(&self) -> Key<'_> {
        Key::of_text(self.as_str())
    }
}

impl From<VehicleId<'_>> for VehicleIdBuf {
    fn from(vehicle_id: VehicleId<'_>) -> VehicleIdBuf {
        VehicleIdBuf::of(Key::Text(vehicle_id.as_str()))
    }
}

impl From<Key<'_>> for VehicleIdBuf {
    fn from(key: Key<'_>) -> VehicleIdBuf {
        VehicleIdBuf::of(key)
    }
}

impl Deref for VehicleIdBuf {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Ord for VehicleIdBuf {
    fn cmp(&self, other: &VehicleIdBuf) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for VehicleIdBuf {
    fn partial_cmp(&self, other: &VehicleIdBuf) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for VehicleIdBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for VehicleIdBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A vehicle and its last sighting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vehicle {
    /// Id of the vehicle, as it was sent.
    pub id: VehicleIdBuf,
    /// Newest sighting by event time.
    pub sighting: Sighting,
}

/// A vehicle as a visitor of the index finds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found<'a> {
    /// Row of the vehicle; see [`Moved::row`](crate::Moved::row).
    pub row: u32,
    /// Key of the vehicle.
    pub key: Key<'a>,
    /// Newest sighting.
    pub sighting: Sighting,
}

/// A vehicle found near a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Vehicle that was found.
    pub vehicle: Vehicle,
    /// Great-circle distance from the position asked for, in metres; see [`distance_m`](crate::distance_m).
    pub distance_m: f64,
}

impl Hit {
    /// Nearest first; at equal distance the smaller [`Key`] first, so that every partitioning gives the same
    /// answer.
    pub(crate) fn order(&self, other: &Hit) -> Ordering {
        self.distance_m.total_cmp(&other.distance_m).then_with(|| self.vehicle.id.cmp(&other.vehicle.id))
    }
}

/// Brings hits into order and keeps the nearest `k`.
#[inline]
pub(crate) fn keep_nearest(hits: &mut Vec<Hit>, k: usize) {
    hits.sort_by(Hit::order);
    hits.truncate(k);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_text_and_the_order_of_keys() {
        let texts =
            ["00000000-0000-0000-0000-000000000001", "f0000000-0000-0000-0000-000000000000", "A", "a", "é"];
        let ids: Vec<_> =
            texts.iter().map(|text| VehicleIdBuf::from(VehicleId::new(text).unwrap())).collect();
        assert!(ids.is_sorted());
        for (id, text) in ids.iter().zip(texts) {
            assert_eq!((id.as_str(), VehicleIdBuf::of(id.key())), (text, *id));
        }
    }

    #[test]
    fn the_longest_id_fits() {
        let text = "x".repeat(ID_LEN_MAX);
        assert_eq!(VehicleIdBuf::of(Key::Text(&text)).as_str(), text);
    }
}
