//! The byte form of a roster: the same for the same content, whatever slots it has.
//!
//! | bytes | |
//! |---|---|
//! | 4 | version of the form of a vehicle, that of [snapshots](crate::snapshot) |
//! | 4 | number of vehicles |
//! | … | the vehicles in the order in which their last reports were received, in the form that snapshots have |
//!
//! In place of a slot a vehicle has its number in that order. Numbers are little-endian. No checksum: who keeps the bytes adds one.

use vagn_wire::VehicleId;

use super::Roster;
use super::beside::row_hash;
use crate::ids::Names;
use crate::index::{Counts, Held, Index, Row, Rows};
use crate::snapshot::{VEHICLE_VERSION, first_vehicle, put_vehicle};
use crate::{Key, Sighting};

impl Roster {
    /// Appends all that is kept of all vehicles.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        out.extend(VEHICLE_VERSION.to_le_bytes());
        self.index.look(|index| {
            // An index holds at most 2^28.
            out.extend((index.len() as u32).to_le_bytes());
            for (number, slot) in (0..).zip(self.beside.in_order()) {
                let (sighting, count) = index.state(slot);
                put_vehicle(&Held { slot: number, key: index.key(slot), sighting, count }, out);
            }
        });
    }

    /// Reads what [`Roster::write_bytes`] wrote: all of `bytes`. Returns `None` when it wrote no such bytes. `hash_seed` as for
    /// [`Roster::new`]; there is no bound until one is set.
    pub fn read_bytes(hash_seed: u64, bytes: &[u8]) -> Option<Roster> {
        // First, as an index takes address space by the chunk, which damaged bytes shall not.
        if !Roster::check_bytes(bytes) {
            return None;
        }
        let mut parts = Parts::new();
        read(bytes, |held| parts.push(held))?;
        parts.into_roster(hash_seed)
    }

    /// Returns true when [`Roster::write_bytes`] can have written these bytes, as far as can be told without taking memory: only ids
    /// that come twice are not found.
    pub fn check_bytes(bytes: &[u8]) -> bool {
        read(bytes, |_| ()).is_some()
    }
}

/// The parts of an index, as they grow.
struct Parts {
    rows: Rows,
    names: Names,
    counts: Counts,
    hashes: Vec<u64>,
}

impl Parts {
    fn new() -> Self {
        Self { rows: Rows::new(), names: Names::new(), counts: Counts::default(), hashes: Vec::new() }
    }

    fn push(&mut self, held: &Held<'_>) {
        self.rows.push(Row::new(&held.sighting));
        self.names.set(held.slot, &held.key);
        self.counts.set(held.slot, held.count);
        self.hashes.push(row_hash(held.key.hash(), &held.sighting, &held.count));
    }

    fn into_roster(self, hash_seed: u64) -> Option<Roster> {
        let Self { rows, names, counts, hashes } = self;
        let index = Index::of_parts(usize::MAX, hash_seed, rows, names, counts, || {});
        // Of an id that comes twice one vehicle is left.
        if index.len() != hashes.len() {
            return None;
        }
        let mut roster = Roster::of_index(index);
        roster.beside.reach(hashes.len() as u32);
        for (slot, hash) in (0..).zip(hashes) {
            roster.beside.admit(slot);
            roster.beside.set_hash(slot, hash);
        }
        Some(roster)
    }
}

/// Calls `each` for the vehicles, in order.
fn read(bytes: &[u8], mut each: impl FnMut(&Held<'_>)) -> Option<()> {
    let (version, bytes) = bytes.split_first_chunk()?;
    let (vehicles, mut rest) = bytes.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VEHICLE_VERSION {
        return None;
    }
    let mut written = Vec::new();
    let mut last = None;
    for number in 0..u32::from_le_bytes(*vehicles) {
        let (held, behind) = first_vehicle(rest)?;
        let is_next = held.slot == number && last < Some(held.sighting.receive_seq);
        if !is_next || !can_be(&held) {
            return None;
        }
        // A vehicle has one form: bits that mean nothing are as they were written.
        written.clear();
        put_vehicle(&held, &mut written);
        if written != rest[..rest.len() - behind.len()] {
            return None;
        }
        last = Some(held.sighting.receive_seq);
        each(&held);
        rest = behind;
    }
    rest.is_empty().then_some(())
}

/// Returns true when a vehicle with such an id can have sent such a report.
fn can_be(held: &Held<'_>) -> bool {
    let Sighting { speed_mps, heading_deg, .. } = held.sighting;
    let is_id = match held.key {
        Key::Uuid(_) => true,
        Key::Text(text) => VehicleId::new(text).is_ok_and(|id| Key::of(id) == held.key),
    };
    is_id
        && speed_mps.is_none_or(|speed| speed.is_finite() && speed >= 0.0)
        && heading_deg.is_none_or(|heading| (0.0..360.0).contains(&heading))
}
