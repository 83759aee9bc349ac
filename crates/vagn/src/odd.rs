//! Vehicles that behave oddly, so that the person who mends a tracker finds it: what is odd, since when, how often.
//!
//! One table for each partition, in memory only: it begins empty at a start. It is bounded; the vehicle that was odd the
//! longest ago makes room. Reports without oddity never come here.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vagn_store::{Key, VehicleIdBuf};
use vagn_wire::{OddPart, Oddities, Oddity};

/// Greatest number of vehicles in a table.
const VEHICLES_MAX: usize = 10_000;

/// An oddity that has not come for so long is no longer shown, ms.
const SHOWN_FOR_MS: i64 = 86_400_000;

/// The end of the list in either direction.
const END: u32 = u32::MAX;

/// One oddity of one vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OddSince {
    /// What is odd.
    pub oddity: Oddity,
    /// Arrival of the first report with it, ms since 1970.
    pub since_ms: i64,
    /// Arrival of the last report with it, ms since 1970.
    pub last_ms: i64,
    /// Number of reports with it.
    pub reports: u64,
}

/// The tables of all partitions. Clones share them.
#[derive(Debug, Clone)]
pub struct OddFleet(Arc<[Arc<Mutex<OddVehicles>>]>);

/// The vehicles of a fleet that behave oddly, in brief.
#[derive(Debug, PartialEq, Eq)]
pub struct OddSummary {
    /// Number of vehicles by the part that is odd. A vehicle may count for several.
    pub by_part: [(OddPart, usize); 3],
    /// Those that were odd last, from the latest on.
    pub latest: Vec<(VehicleIdBuf, Vec<OddSince>)>,
}

impl OddFleet {
    /// Returns empty tables.
    pub fn new(partitions: usize) -> Self {
        Self((0..partitions).map(|_| Arc::default()).collect())
    }

    /// Returns the table of one partition.
    pub fn of_partition(&self, number: u32) -> Arc<Mutex<OddVehicles>> {
        self.0[number as usize].clone()
    }

    /// Returns what was odd in the last day about a vehicle of a partition.
    pub fn of(&self, home: usize, id: &VehicleIdBuf, now_ms: i64) -> Vec<OddSince> {
        self.0[home].lock().of(id, now_ms)
    }

    /// Returns the fleet in brief, with up to so many of the latest vehicles.
    pub fn summary(&self, latest: usize, now_ms: i64) -> OddSummary {
        let mut by_part = [OddPart::Clock, OddPart::Counter, OddPart::Position].map(|part| (part, 0));
        let mut found = Vec::new();
        for table in &*self.0 {
            let table = table.lock();
            for (at, (id, odd)) in table.latest(now_ms).enumerate() {
                for (part, count) in &mut by_part {
                    *count += usize::from(odd.iter().any(|since| since.oddity.part() == *part));
                }
                if at < latest {
                    found.push((id, odd));
                }
            }
        }
        // The id as well, so that equal times give one order.
        found.sort_by_key(|(id, odd)| (Reverse(odd.iter().map(|since| since.last_ms).max()), *id));
        found.truncate(latest);
        OddSummary { by_part, latest: found }
    }
}

/// Vehicles of one partition that behave oddly.
#[derive(Debug)]
pub struct OddVehicles {
    places: HashMap<VehicleIdBuf, u32>,
    /// In a list from the one that was odd last to the one that was odd the longest ago.
    entries: Vec<Entry>,
    first: u32,
    last: u32,
    max: usize,
}

#[derive(Debug)]
struct Entry {
    id: VehicleIdBuf,
    odd: Vec<OddSince>,
    before: u32,
    after: u32,
}

impl Default for OddVehicles {
    fn default() -> Self {
        Self::with_room_for(VEHICLES_MAX)
    }
}

impl OddVehicles {
    fn with_room_for(max: usize) -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), first: END, last: END, max }
    }

    /// Notes what is odd about a report of a vehicle that arrived at this time.
    pub fn note(&mut self, key: Key<'_>, arrived_ms: i64, odd: Oddities) {
        let id = VehicleIdBuf::from(key);
        let place = match self.places.get(&id) {
            Some(place) => {
                let place = *place;
                self.take_out(place);
                place
            }
            None => self.add(id),
        };
        self.put_first(place);
        let known = &mut self.entries[place as usize].odd;
        // What was shown last long ago begins anew when it comes again.
        known.retain(|since| is_shown(since, arrived_ms));
        for oddity in odd.iter() {
            match known.iter_mut().find(|since| since.oddity == oddity) {
                Some(since) => {
                    since.last_ms = since.last_ms.max(arrived_ms);
                    since.reports += 1;
                }
                None => {
                    known.push(OddSince { oddity, since_ms: arrived_ms, last_ms: arrived_ms, reports: 1 })
                }
            }
        }
    }

    /// Returns what was odd about a vehicle in the last day.
    pub fn of(&self, id: &VehicleIdBuf, now_ms: i64) -> Vec<OddSince> {
        self.places.get(id).map_or_else(Vec::new, |place| shown(&self.entries[*place as usize], now_ms))
    }

    /// Returns the vehicles that were odd in the last day, from the latest on.
    pub fn latest(&self, now_ms: i64) -> impl Iterator<Item = (VehicleIdBuf, Vec<OddSince>)> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let entry = self.entries.get(next as usize)?;
            next = entry.after;
            Some((entry.id, shown(entry, now_ms)))
        })
        .filter(|(_, odd)| !odd.is_empty())
    }

    /// Forgets a vehicle.
    pub fn remove(&mut self, id: &VehicleIdBuf) {
        let Some(place) = self.places.remove(id) else { return };
        self.take_out(place);
        self.entries.swap_remove(place as usize);
        // The last one has its place now.
        let Some(Entry { id, before, after, .. }) = self.entries.get(place as usize) else { return };
        let (id, before, after) = (*id, *before, *after);
        self.places.insert(id, place);
        self.link(before, place, after);
    }

    /// Returns a place for a new vehicle, which is in no list yet.
    fn add(&mut self, id: VehicleIdBuf) -> u32 {
        let entry = Entry { id, odd: Vec::new(), before: END, after: END };
        let place = if self.entries.len() < self.max {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let place = self.last;
            self.take_out(place);
            let old = std::mem::replace(&mut self.entries[place as usize], entry);
            self.places.remove(&old.id);
            place
        };
        self.places.insert(id, place);
        place
    }

    fn take_out(&mut self, place: u32) {
        let Entry { before, after, .. } = self.entries[place as usize];
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.after = after,
            None => self.first = after,
        }
        match self.entries.get_mut(after as usize) {
            Some(entry) => entry.before = before,
            None => self.last = before,
        }
    }

    fn put_first(&mut self, place: u32) {
        let after = self.first;
        let entry = &mut self.entries[place as usize];
        (entry.before, entry.after) = (END, after);
        self.link(END, place, after);
    }

    /// Makes the neighbours of a place know it.
    fn link(&mut self, before: u32, place: u32, after: u32) {
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.after = place,
            None => self.first = place,
        }
        match self.entries.get_mut(after as usize) {
            Some(entry) => entry.before = place,
            None => self.last = place,
        }
    }
}

fn is_shown(since: &OddSince, now_ms: i64) -> bool {
    now_ms.saturating_sub(since.last_ms) <= SHOWN_FOR_MS
}

fn shown(entry: &Entry, now_ms: i64) -> Vec<OddSince> {
    entry.odd.iter().filter(|since| is_shown(since, now_ms)).copied().collect()
}

#[cfg(test)]
mod tests {
    use vagn_store::partition;

    use super::*;

    const AHEAD: Oddities = Oddities::of(Oddity::TimeAhead);
    const STUCK: Oddities = Oddities::of(Oddity::CounterStuck);

    fn id(name: &str) -> VehicleIdBuf {
        VehicleIdBuf::from(Key::Text(name))
    }

    fn since(oddity: Oddity, since_ms: i64, last_ms: i64, reports: u64) -> OddSince {
        OddSince { oddity, since_ms, last_ms, reports }
    }

    #[test]
    fn tells_what_is_odd_about_a_vehicle_and_since_when() {
        let mut vehicles = OddVehicles::default();
        vehicles.note(Key::Text("bus"), 1_000, AHEAD);
        vehicles.note(Key::Text("bus"), 2_000, AHEAD.and(STUCK));
        let want = [since(Oddity::TimeAhead, 1_000, 2_000, 2), since(Oddity::CounterStuck, 2_000, 2_000, 1)];
        assert_eq!(vehicles.of(&id("bus"), 2_000), want);
        assert!(vehicles.of(&id("tram"), 2_000).is_empty());
    }

    #[test]
    fn an_oddity_that_has_not_come_for_a_day_is_over() {
        let mut vehicles = OddVehicles::default();
        vehicles.note(Key::Text("bus"), 0, AHEAD);
        vehicles.note(Key::Text("bus"), 1_000, STUCK);
        assert_eq!(vehicles.of(&id("bus"), SHOWN_FOR_MS).len(), 2);
        let stuck = since(Oddity::CounterStuck, 1_000, 1_000, 1);
        assert_eq!(vehicles.of(&id("bus"), SHOWN_FOR_MS + 1), [stuck]);
        assert_eq!(vehicles.latest(SHOWN_FOR_MS + 1_001).count(), 0);
        vehicles.note(Key::Text("bus"), SHOWN_FOR_MS + 5, AHEAD);
        let ahead = since(Oddity::TimeAhead, SHOWN_FOR_MS + 5, SHOWN_FOR_MS + 5, 1);
        assert_eq!(vehicles.of(&id("bus"), SHOWN_FOR_MS + 5), [stuck, ahead]);
    }

    #[test]
    fn the_vehicle_that_was_odd_the_longest_ago_makes_room() {
        let mut vehicles = OddVehicles::with_room_for(3);
        let mut order: Vec<u8> = Vec::new();
        let mut random = fastrand::Rng::with_seed(1);
        for now_ms in 0..2_000 {
            let vehicle = random.u8(..6);
            vehicles.note(Key::Text(&vehicle.to_string()), now_ms, AHEAD);
            order.retain(|other| *other != vehicle);
            order.insert(0, vehicle);
            order.truncate(3);
            if random.u8(..10) == 0 {
                let gone = random.u8(..6);
                vehicles.remove(&id(&gone.to_string()));
                order.retain(|other| *other != gone);
            }
            let latest: Vec<_> = vehicles.latest(now_ms).map(|(id, _)| id.to_string()).collect();
            let wanted: Vec<_> = order.iter().map(u8::to_string).collect();
            assert_eq!(latest, wanted);
        }
        assert_eq!((vehicles.entries.len(), vehicles.places.len()), (order.len(), order.len()));
    }

    #[test]
    fn the_fleet_in_brief_names_the_latest_and_counts_all() {
        let fleet = OddFleet::new(4);
        for (number, name) in (0..).zip(["a", "b", "c", "d", "e"]) {
            let table = fleet.of_partition(partition(Key::Text(name).hash(), 4) as u32);
            table.lock().note(Key::Text(name), number, if number < 3 { AHEAD } else { AHEAD.and(STUCK) });
        }
        let summary = fleet.summary(2, 10);
        assert_eq!(summary.by_part, [(OddPart::Clock, 5), (OddPart::Counter, 2), (OddPart::Position, 0)]);
        let latest: Vec<_> = summary.latest.iter().map(|(id, odd)| (id.as_str(), odd.len())).collect();
        assert_eq!(latest, [("e", 2), ("d", 2)]);
        let home = partition(Key::Text("a").hash(), 4);
        assert_eq!(fleet.of(home, &id("a"), 10), [since(Oddity::TimeAhead, 0, 0, 1)]);
    }
}
