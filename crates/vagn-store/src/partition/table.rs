//! The slots of a partition while it is being recovered: a flat table over which snapshot and log are laid.
//!
//! The index comes last and takes every vehicle once. That is faster than moving vehicles through it again,
//! and in between one id may stand in two slots, which an index could not bear: a fuzzy snapshot shows slots
//! at different moments. Rows and names are those of the index from the first, so that no memory is asked
//! for and filled twice.

use crate::chunked::Chunked;
use crate::ids::Names;
use crate::index::{Counts, Departed, DepartedCount, Held, Index, Marks, Row, Rows};
use crate::judge::Count;
use crate::log::record::Record;
use crate::log::stamps::Stamps;
use crate::prefetch::prefetch;
use crate::snapshot::Kept;
use crate::{Key, Sighting};
use std::collections::HashMap;

/// Positions put off at once. More would push each other out of the nearest cache.
const PENDING: usize = 32;

/// A change of a slot that is put off, with the hash of the vehicle that it is about.
struct Pending {
    slot: u32,
    hash: u64,
    change: Change,
}

enum Change {
    Report(Sighting, Marks),
    Count(Count),
}

/// The vehicle in each slot, as far as it is read.
pub(crate) struct SlotTable {
    /// A row is taken when its vehicle has a position.
    rows: Rows,
    names: Names,
    counts: Counts,
    departed: Departed,
    /// Hashes of the names, see [`Key::hash`]; those of slots without name mean nothing.
    hashes: Chunked<u64>,
    /// Positions whose slots are on their way from memory: a log names slots in no order that a cache could foresee.
    pending: Vec<Pending>,
    stamps: Stamps,
    /// Number of positions of unknown vehicles, by slot.
    orphans: HashMap<u32, u64>,
}

impl Default for SlotTable {
    fn default() -> SlotTable {
        SlotTable {
            rows: Rows::new(),
            names: Names::new(),
            counts: Counts::default(),
            // The index that the table becomes has a seed of its own.
            departed: Departed::new(0),
            hashes: Chunked::new(),
            pending: Vec::with_capacity(PENDING),
            stamps: Stamps::NOTHING,
            orphans: HashMap::new(),
        }
    }
}

impl SlotTable {
    /// Takes what a snapshot has.
    pub(crate) fn keep(&mut self, kept: Kept<'_>) {
        match kept {
            Kept::Vehicle(held) => self.set(held),
            Kept::Departed(departed) => self.departed.add(departed),
        }
    }

    /// Sets a vehicle as a snapshot has it.
    pub(crate) fn set(&mut self, held: Held<'_>) {
        self.define(held.slot, held.key, Row::new(&held.sighting));
        self.counts.set(held.slot, held.count);
    }

    /// Applies a record of the log. Positions and counts are put off until [`SlotTable::apply_pending`].
    ///
    /// A snapshot may hold what the record tells already, and later records too. All the same the log ends with the same
    /// rows and counts: a position replaces the row, a count that began anew or is told as a whole replaces what was
    /// counted, and a number noted twice is noted once. A number of an earlier count that is noted into a later one is
    /// gone again with the record that began the later one, which is still to come. The count of a vehicle that leaves is merged
    /// into the one that the snapshot has of it, if it has one, and the count of one that comes again is taken out.
    pub(crate) fn apply(&mut self, record: Record<'_>) {
        match record {
            Record::Position { slot, hash, sighting, marks, .. } => {
                self.stamps.merge(Stamps::of(&sighting));
                self.put_off(Pending { slot, hash, change: Change::Report(sighting, marks) });
            }
            Record::Count { slot, hash, count, begins } => {
                if let Some(key) = count.key().filter(|_| begins) {
                    self.departed.take(hash, key);
                }
                self.put_off(Pending { slot, hash, change: Change::Count(count) });
            }
            Record::Define { slot, key, .. } => self.change_owner(slot, Some(key)),
            Record::Remove { slot, key, .. } => {
                self.apply_pending();
                self.note_departed(slot, key.hash());
                self.change_owner(slot, None);
            }
            Record::Synced { .. } | Record::Void => {}
        }
    }

    /// Gives the slot to another vehicle, or to none. Positions that did not fit the slot before were of an earlier
    /// vehicle there, and are no longer orphans.
    fn change_owner(&mut self, slot: u32, key: Option<Key<'_>>) {
        self.apply_pending();
        match key {
            Some(key) => self.define(slot, key, Row::vacant()),
            None => self.remove(slot),
        }
        self.orphans.remove(&slot);
    }

    /// Keeps the count of a vehicle that leaves its slot, as [`Index::remove_slot`] does.
    fn note_departed(&mut self, slot: u32, key_hash: u64) {
        if self.is(slot, key_hash) && self.counts.has(slot) {
            let (receive_seq, count) = (self.rows[slot].sighting().receive_seq, self.counts.get(slot));
            self.departed.add(DepartedCount { key_hash, receive_seq, count });
        }
    }

    fn define(&mut self, slot: u32, key: Key<'_>, row: Row) {
        self.reach(slot);
        self.rows.set(slot, row);
        self.names.set(slot, &key);
        self.counts.remove(slot);
        self.hashes.set(slot, key.hash());
    }

    fn remove(&mut self, slot: u32) {
        if (slot as usize) < self.rows.len() {
            self.rows[slot] = Row::vacant();
            self.names.clear(slot);
            self.counts.remove(slot);
        }
    }

    /// Adds vacant slots up to this one.
    fn reach(&mut self, slot: u32) {
        while self.rows.len() < slot as usize {
            self.rows.push(Row::vacant());
            self.names.push_vacant();
            self.hashes.push(0);
        }
    }

    fn put_off(&mut self, pending: Pending) {
        let at = pending.slot;
        if (at as usize) < self.rows.len() {
            prefetch(&self.hashes[at]);
            prefetch(&self.rows[at]);
        }
        self.pending.push(pending);
        if self.pending.len() == PENDING {
            self.apply_pending();
        }
    }

    /// Applies the changes that [`SlotTable::apply`] put off.
    pub(crate) fn apply_pending(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        for Pending { slot, hash, change } in pending.drain(..) {
            self.change(slot, hash, change);
        }
        self.pending = pending;
    }

    /// Makes a change if it is of the vehicle in the slot. Else it is of an earlier vehicle there, if a snapshot ran
    /// ahead of the log, or of one whose definition `repair` could not save.
    fn change(&mut self, at: u32, hash: u64, change: Change) {
        if !self.is(at, hash) {
            if let Change::Report(..) = change {
                *self.orphans.entry(at).or_default() += 1;
            }
            return;
        }
        match change {
            Change::Report(sighting, marks) => {
                if sighting.seq.is_some() {
                    let mut count = self.counts.get(at);
                    count.take(sighting.seq, marks.restarts);
                    self.counts.set(at, count);
                }
                // A late one is older than what the row has.
                if !marks.late {
                    self.rows[at] = Row::new(&sighting);
                }
            }
            Change::Count(count) => self.counts.set(at, count),
        }
    }

    /// Returns true when the vehicle named in a slot has this hash. A row that is taken has a name, which spares most
    /// look-ups of the name.
    fn is(&self, at: u32, hash: u64) -> bool {
        (at as usize) < self.rows.len()
            && self.hashes[at] == hash
            && (self.rows[at].is_taken() || self.names.has(at))
    }

    pub(crate) fn merge_stamps(&mut self, stamps: Stamps) {
        self.stamps.merge(stamps);
    }

    pub(crate) fn stamps(&self) -> Stamps {
        self.stamps
    }

    /// Counts the positions left out because the record that named their vehicle is lost.
    pub(crate) fn orphans(&self) -> u64 {
        self.orphans.values().sum()
    }

    /// Counts the vehicles.
    pub(crate) fn len(&self) -> usize {
        self.taken().count()
    }

    /// Returns the vehicles, in the order of their slots. One that was named and has no position is none.
    pub(crate) fn vehicles(&self) -> impl Iterator<Item = Held<'_>> {
        self.taken().map(|slot| Held {
            slot,
            key: self.names.key(slot),
            sighting: self.rows[slot].sighting(),
            count: self.counts.get(slot),
        })
    }

    /// Returns the counts of sealed vehicles that left.
    pub(crate) fn departed(&self) -> &Departed {
        &self.departed
    }

    fn taken(&self) -> impl Iterator<Item = u32> {
        debug_assert!(self.pending.is_empty(), "nothing is put off when it is looked at");
        (0..self.rows.len() as u32).filter(|&at| self.rows[at].is_taken())
    }

    /// Turns into the index of the vehicles. Calls `each` for every one.
    pub(crate) fn into_index(self, max_vehicles: usize, hash_seed: u64, each: impl FnMut()) -> Index {
        debug_assert!(self.pending.is_empty(), "nothing is put off when it becomes an index");
        let SlotTable { rows, names, counts, departed, hashes, .. } = self;
        // Freed before the index takes memory.
        drop(hashes);
        let mut index = Index::of_parts(max_vehicles, hash_seed, rows, names, counts, each);
        index.add_departed(departed.behind(None));
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::AsTheyCome;
    use crate::{OrderNumber, Plan, Updates};
    use std::collections::BTreeMap;
    use vagn_wire::Position;

    /// Few, so that slots change owners and ids stand in several slots; all the ways there are to keep one.
    const KEYS: [Key<'static>; 6] = [
        Key::Text(""),
        Key::Text("7"),
        Key::Text("sixteen bytes id"),
        Key::Text("an id of more than sixteen bytes"),
        Key::Uuid([0; 16]),
        Key::Uuid(*b"sixteen bytes id"),
    ];
    const SLOTS: u32 = 12;

    /// The table does not look at it.
    const ORDER: OrderNumber = OrderNumber(0);

    /// Few places, so that some vehicles form a pile.
    fn sighting(random: &mut fastrand::Rng, receive_seq: u64) -> Sighting {
        Sighting {
            position: Position::new(f64::from(random.u8(1..3)), 1.0).unwrap(),
            event_time_ms: random.i64(..1_000),
            receive_time_ms: random.i64(..1_000),
            receive_seq,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: false,
            unsure: false,
        }
    }

    /// A table after some steps, and what must be in it: the vehicle in each slot with its last sighting, and the
    /// number of orphans.
    #[derive(Default)]
    struct Laid {
        table: SlotTable,
        slots: BTreeMap<u32, (Key<'static>, Option<Sighting>)>,
        orphans: BTreeMap<u32, u64>,
    }

    impl Laid {
        fn step(&mut self, random: &mut fastrand::Rng, number: u64) {
            let (slot, key) = (random.u32(..SLOTS), KEYS[random.usize(..KEYS.len())]);
            let (sighting, marks) = (sighting(random, number), Marks::default());
            match random.u8(..8) {
                0 => {
                    self.table.apply(Record::Define { order: ORDER, slot, key });
                    self.slots.insert(slot, (key, None));
                    self.orphans.remove(&slot);
                }
                1 => {
                    self.table.apply(Record::Remove { order: ORDER, slot, key });
                    self.slots.remove(&slot);
                    self.orphans.remove(&slot);
                }
                _ => {
                    self.table.apply(Record::Position {
                        order: ORDER,
                        slot,
                        hash: key.hash(),
                        sighting,
                        marks,
                    });
                    match self.slots.get_mut(&slot).filter(|(owner, _)| *owner == key) {
                        Some((_, last)) => *last = Some(sighting),
                        None => *self.orphans.entry(slot).or_default() += 1,
                    }
                }
            }
        }

        fn vehicles(&self) -> Vec<Held<'static>> {
            let seen = |(slot, (key, last)): (&u32, &(Key<'static>, Option<Sighting>))| {
                last.map(|sighting| Held { slot: *slot, key: *key, sighting, count: Count::NONE })
            };
            self.slots.iter().filter_map(seen).collect()
        }
    }

    fn laid(random: &mut fastrand::Rng) -> Laid {
        let mut laid = Laid::default();
        for slot in 0..random.u32(..SLOTS) {
            let (key, sighting) = (KEYS[random.usize(..KEYS.len())], sighting(random, 0));
            if random.bool() {
                laid.table.set(Held { slot, key, sighting, count: Count::NONE });
                laid.slots.insert(slot, (key, Some(sighting)));
            }
        }
        (1..random.u64(1..100)).for_each(|number| laid.step(random, number));
        laid.table.apply_pending();
        laid
    }

    #[test]
    fn holds_the_vehicle_that_was_named_and_has_a_position_in_each_slot() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..500 {
            let laid = laid(&mut random);
            let vehicles = laid.vehicles();
            assert_eq!(laid.table.len(), vehicles.len());
            assert!(laid.table.vehicles().eq(vehicles));
            assert_eq!(laid.table.orphans(), laid.orphans.values().sum::<u64>());
        }
    }

    #[test]
    fn a_slot_without_name_takes_no_position_of_any_hash() {
        let mut table = SlotTable::default();
        let (sighting, marks) = (sighting(&mut fastrand::Rng::with_seed(1), 1), Marks::default());
        table.set(Held { slot: 1, key: KEYS[0], sighting, count: Count::NONE });
        table.apply(Record::Remove { order: ORDER, slot: 1, key: KEYS[0] });
        for (slot, hash) in [(0, 0), (0, KEYS[0].hash()), (1, KEYS[0].hash()), (2, 0)] {
            table.apply(Record::Position { order: ORDER, slot, hash, sighting, marks });
        }
        table.apply_pending();
        assert_eq!((table.len(), table.orphans()), (0, 4));
    }

    #[test]
    fn a_count_of_a_vehicle_without_position_is_not_left_to_the_next_in_its_slot() {
        let mut random = fastrand::Rng::with_seed(1);
        let late = Marks { late: true, ..Marks::default() };
        let numbered = Sighting { seq: Some(900), ..sighting(&mut random, 1) };
        let hash = KEYS[0].hash();
        let mut table = SlotTable::default();
        table.apply(Record::Define { order: ORDER, slot: 0, key: KEYS[0] });
        table.apply(Record::Position { order: ORDER, slot: 0, hash, sighting: numbered, marks: late });
        table.apply_pending();
        let mut index = table.into_index(usize::MAX, 7, || {});
        let mut updates = Updates::new();
        updates.push(KEYS[1], KEYS[1].hash(), sighting(&mut random, 2));
        write(&mut index, &updates);
        let counts: Vec<_> = index.slots(0, u32::MAX).map(|held| held.count).collect();
        assert_eq!(counts, [Count::NONE]);
    }

    #[test]
    fn becomes_the_index_that_its_vehicles_one_by_one_make() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..500 {
            let laid = laid(&mut random);
            let max_vehicles = random.usize(..10);
            let mut one_by_one = Index::new(max_vehicles);
            for Held { slot, key, sighting, count } in laid.vehicles() {
                one_by_one.put_back(slot, key, &sighting, count);
            }
            let mut steps = 0;
            let mut index = laid.table.into_index(max_vehicles, 7, || steps += 1);
            assert_eq!(steps, laid.slots.values().filter(|(_, last)| last.is_some()).count());
            check_same(&index, &one_by_one);
            let mut updates = Updates::new();
            for key in KEYS {
                updates.push(key, key.hash(), sighting(&mut random, 1_000));
            }
            let planned = write(&mut index, &updates);
            let wanted = write(&mut one_by_one, &updates);
            assert_eq!((planned.fates, planned.new_vehicles), (wanted.fates, wanted.new_vehicles));
            check_same_vehicles(&index, &one_by_one);
            for key in KEYS {
                index.remove(key);
            }
            assert!(index.is_empty());
        }
    }

    struct Outcome {
        fates: Vec<crate::Fate>,
        new_vehicles: usize,
    }

    fn write(index: &mut Index, updates: &Updates) -> Outcome {
        let mut plan = Plan::default();
        index.plan(&AsTheyCome, updates, &mut plan);
        index.commit(updates, &plan, 0..updates.len(), &mut crate::index::Teller::default());
        Outcome { fates: plan.fates().collect(), new_vehicles: plan.new_vehicles() }
    }

    /// Vacant slots are used in the order in which they became vacant, which may differ.
    fn check_same_vehicles(index: &Index, wanted: &Index) {
        assert_eq!(index.len(), wanted.len());
        for key in KEYS {
            assert_eq!(index.get(key), wanted.get(key));
        }
    }

    fn check_same(index: &Index, wanted: &Index) {
        assert_eq!((index.len(), index.slots_end()), (wanted.len(), wanted.slots_end()));
        assert!(index.slots(0, u32::MAX).eq(wanted.slots(0, u32::MAX)));
        for key in KEYS {
            assert_eq!((index.slot_of(key), index.get(key)), (wanted.slot_of(key), wanted.get(key)));
        }
    }
}
