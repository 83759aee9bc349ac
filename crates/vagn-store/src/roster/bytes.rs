//! The byte form of a roster: the same for the same content, whatever slots it has.
//!
//! | bytes | |
//! |---|---|
//! | 4 | 3, or 4 where there are counts of vehicles that left |
//! | 4 | number of vehicles |
//! | … | the vehicles in the order in which their last reports were received, in the form that [snapshots](crate::snapshot) have |
//! | 4 | number of counts of sealed vehicles that left, if there are any |
//! | … | these counts in the order in which they go, in the form that snapshots have |
//!
//! In place of a slot a vehicle has its number in that order. Numbers are little-endian. No checksum: who keeps the bytes adds one.

use vagn_wire::VehicleId;

use super::Roster;
use super::beside::row_hash;
use crate::ids::Names;
use crate::index::{Counts, DepartedCount, Held, Index, Row, Rows};
use crate::snapshot::{Kept, first_departed, first_vehicle, put_departed, put_vehicle};
use crate::{Key, Sighting};

/// Version without counts of vehicles that left.
const VEHICLES_ALONE: u32 = 3;

/// Version with such counts. It is written only where there are any: then a roster has one form, and those that have none are
/// read by the version that knew none.
const WITH_DEPARTED: u32 = 4;

impl Roster {
    /// Appends all that is kept of all vehicles.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        self.index.look(|index| {
            let departed = index.departed();
            let version = if departed.is_empty() { VEHICLES_ALONE } else { WITH_DEPARTED };
            out.extend(version.to_le_bytes());
            // An index holds at most 2^28.
            out.extend((index.len() as u32).to_le_bytes());
            for (number, slot) in (0..).zip(self.beside.in_order()) {
                let (sighting, count) = index.state(slot);
                put_vehicle(&Held { slot: number, key: index.key(slot), sighting, count }, out);
            }
            if !departed.is_empty() {
                out.extend((departed.len() as u32).to_le_bytes());
                departed.behind(None).for_each(|departed| put_departed(&departed, out));
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
        read(bytes, |kept| match kept {
            Kept::Vehicle(held) => parts.push(&held),
            Kept::Departed(departed) => parts.departed.push(departed),
        })?;
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
    departed: Vec<DepartedCount>,
}

impl Parts {
    fn new() -> Self {
        Self {
            rows: Rows::new(),
            names: Names::new(),
            counts: Counts::default(),
            hashes: Vec::new(),
            departed: Vec::new(),
        }
    }

    fn push(&mut self, held: &Held<'_>) {
        self.rows.push(Row::new(&held.sighting));
        self.names.set(held.slot, &held.key);
        self.counts.set(held.slot, held.count);
        self.hashes.push(row_hash(held.key.hash(), &held.sighting, &held.count));
    }

    fn into_roster(self, hash_seed: u64) -> Option<Roster> {
        let Self { rows, names, counts, hashes, departed } = self;
        let mut index = Index::of_parts(usize::MAX, hash_seed, rows, names, counts, || {});
        let with_twice = departed.len();
        index.add_departed(departed);
        // Of an id that comes twice one vehicle is left, and one count.
        if index.len() != hashes.len() || index.departed().len() != with_twice {
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

/// Calls `each` for the vehicles, and then for the counts of those that left, in order.
fn read(bytes: &[u8], mut each: impl FnMut(Kept<'_>)) -> Option<()> {
    let (version, bytes) = bytes.split_first_chunk()?;
    let (vehicles, mut rest) = bytes.split_first_chunk()?;
    let version = u32::from_le_bytes(*version);
    if ![VEHICLES_ALONE, WITH_DEPARTED].contains(&version) {
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
        each(Kept::Vehicle(held));
        rest = behind;
    }
    if version == WITH_DEPARTED {
        rest = read_departed(rest, |departed| each(Kept::Departed(departed)))?;
    }
    rest.is_empty().then_some(())
}

/// Calls `each` for the counts of vehicles that left, and returns what is behind them.
fn read_departed(bytes: &[u8], mut each: impl FnMut(DepartedCount)) -> Option<&[u8]> {
    let (number, mut rest) = bytes.split_first_chunk()?;
    let number = u32::from_le_bytes(*number);
    let mut last = None;
    for _ in 0..number {
        let (departed, behind) = first_departed(rest)?;
        let mut count = departed.count;
        count.set_repeated(false);
        if last >= Some(departed.at()) || count != departed.count {
            return None;
        }
        last = Some(departed.at());
        each(departed);
        rest = behind;
    }
    (number > 0).then_some(rest)
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
