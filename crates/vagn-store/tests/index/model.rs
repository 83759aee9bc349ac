//! What the index must do, done slowly: a map that is searched from end to end.

use std::collections::BTreeMap;

use vagn_store::{
    BBox, Fate, Hit, Index, Key, Nearby, Plan, Reader, SKEW_MAX_MS, Sighting, Updates, Vehicle, VehicleIdBuf,
    Writer, distance_m, has_no_fix,
};
use vagn_wire::{Position, VehicleId};

pub(crate) fn at(lat: f64, lon: f64) -> Position {
    Position::new(lat, lon).expect("tests name positions on the globe")
}

/// The id of a test vehicle: UUIDs, short texts, and long ones that differ at their end only.
pub(crate) fn id(number: usize) -> String {
    match number % 3 {
        0 => format!("4e091396-62ae-4f3b-8715-{number:012x}"),
        1 => format!("bus {number}"),
        _ => format!("a vehicle of the fleet of Göteborg, number {number:06}"),
    }
}

pub(crate) fn key(id: &str) -> Key<'_> {
    Key::of(VehicleId::new(id).expect("tests name vehicles validly"))
}

pub(crate) fn sighting(position: Position, event_time_ms: i64, receive_seq: u64) -> Sighting {
    Sighting {
        position,
        event_time_ms,
        receive_time_ms: event_time_ms,
        receive_seq,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: false,
        unsure: false,
    }
}

/// An index and the truth about what must be in it.
pub(crate) struct Checked {
    writer: Writer,
    plan: Plan,
    pub(crate) truth: BTreeMap<VehicleIdBuf, Sighting>,
    next_seq: u64,
}

impl Checked {
    pub(crate) fn new() -> Checked {
        let writer = Writer::new(Index::new(1_000_000));
        Checked { writer, plan: Plan::default(), truth: BTreeMap::new(), next_seq: 0 }
    }

    pub(crate) fn index(&self) -> Reader {
        self.writer.reader()
    }

    /// Writes sightings of (vehicle, position, event time) as one batch.
    pub(crate) fn see(&mut self, sightings: &[(usize, Position, i64)]) {
        let mut updates = Updates::new();
        let mut want = Vec::new();
        for &(number, position, event_time_ms) in sightings {
            let id = id(number);
            let sighting = sighting(position, event_time_ms, self.next_seq);
            self.next_seq += 1;
            updates.push(key(&id), key(&id).hash(), sighting);
            want.push(self.expect(&id, sighting));
        }
        self.writer.write(&updates, &mut self.plan);
        let new_vehicles = want.iter().filter(|(_, new_vehicle)| *new_vehicle).count();
        assert!(self.plan.fates().eq(want.iter().map(|(fate, _)| *fate)));
        assert_eq!(self.plan.new_vehicles(), new_vehicles);
        assert_eq!(self.index().len(), self.truth.len());
    }

    fn expect(&mut self, id: &str, sighting: Sighting) -> (Fate, bool) {
        let id = VehicleIdBuf::from(VehicleId::new(id).expect("tests name vehicles validly"));
        let kept = self.truth.get(&id);
        if has_no_fix(kept.map(|kept| kept.position), sighting.position) {
            return (Fate::Invalid, false);
        }
        // All are stamped with their arrival, and one that arrived in the future loses to any.
        let in_order = |kept: &Sighting| kept.receive_time_ms <= sighting.receive_time_ms + SKEW_MAX_MS;
        match kept {
            Some(kept) if in_order(kept) && kept.event_time_ms > sighting.event_time_ms => {
                (Fate::Stale, false)
            }
            Some(_) => (self.truth.insert(id, sighting), (Fate::Stored, false)).1,
            None => (self.truth.insert(id, sighting), (Fate::Stored, true)).1,
        }
    }

    pub(crate) fn remove(&mut self, number: usize) {
        let id = VehicleIdBuf::from(VehicleId::new(&id(number)).expect("tests name vehicles validly"));
        let was_there = self.truth.remove(&id).is_some();
        assert_eq!(self.writer.change(|index| index.remove(id.key())), was_there);
        assert_eq!(self.index().get(id.key()), None);
    }

    /// Removes what arrived before that time.
    pub(crate) fn forget_before(&mut self, receive_time_ms: i64) {
        let silent = |(id, sighting): (&VehicleIdBuf, &Sighting)| {
            (sighting.receive_time_ms < receive_time_ms).then_some(*id)
        };
        let silent: Vec<_> = self.truth.iter().filter_map(silent).collect();
        for id in silent {
            self.truth.remove(&id);
            assert!(self.writer.change(|index| index.remove(id.key())));
        }
    }

    /// Builds the index anew out of all it has.
    pub(crate) fn reload(&mut self) {
        let mut kept = Vec::new();
        self.index().bbox(&world(), usize::MAX, &mut kept);
        let vehicles = kept.iter().map(|vehicle| (vehicle.id.key(), &vehicle.sighting));
        self.writer = Writer::new(Index::load(1_000_000, vehicles));
    }

    /// Asks the index and the truth for the same vehicles near a place.
    pub(crate) fn check_nearby(&self, nearby: &Nearby) {
        let mut got = Vec::new();
        self.index().nearby(nearby, &mut got);
        let want = nearest(&self.truth, nearby);
        assert_eq!(brief(&got), brief(&want), "{nearby:?}");
        assert_eq!(got, want, "{nearby:?}");
    }

    /// Asks both for the vehicles in a box.
    pub(crate) fn check_bbox(&self, bbox: &BBox, limit: usize) {
        let want = within(&self.truth, bbox);
        let mut got = Vec::new();
        self.index().bbox(bbox, limit, &mut got);
        assert_eq!(got.len(), want.len().min(limit), "{bbox:?}");
        got.sort_by_key(|vehicle| vehicle.id);
        assert!(got.iter().all(|vehicle| want.contains(vehicle)), "{bbox:?}");
        got.dedup_by_key(|vehicle| vehicle.id);
        assert_eq!(got.len(), want.len().min(limit), "{bbox:?} gave a vehicle twice");
    }

    /// Asks for every vehicle by its id, and for all there are.
    pub(crate) fn check_all(&self) {
        for (id, sighting) in &self.truth {
            assert_eq!(self.index().get(id.key()), Some(Vehicle { id: *id, sighting: *sighting }));
        }
        self.check_bbox(&world(), usize::MAX);
    }
}

fn world() -> BBox {
    BBox::new(-180.0, -90.0, 180.0, 90.0).expect("the world is a box")
}

pub(crate) fn nearest(truth: &BTreeMap<VehicleIdBuf, Sighting>, nearby: &Nearby) -> Vec<Hit> {
    let mut hits: Vec<Hit> = truth
        .iter()
        .filter(|(_, sighting)| nearby.newer_than_ms.is_none_or(|oldest| sighting.event_time_ms >= oldest))
        .map(|(id, sighting)| Hit {
            vehicle: Vehicle { id: *id, sighting: *sighting },
            distance_m: distance_m(nearby.center, sighting.position),
        })
        .filter(|hit| hit.distance_m <= nearby.max_m)
        .collect();
    // Stable, and the truth is in the order of keys: ties stay in that order.
    hits.sort_by(|a, b| a.distance_m.total_cmp(&b.distance_m));
    hits.truncate(nearby.k);
    hits
}

fn within(truth: &BTreeMap<VehicleIdBuf, Sighting>, bbox: &BBox) -> Vec<Vehicle> {
    let all = truth.iter().map(|(id, sighting)| Vehicle { id: *id, sighting: *sighting });
    all.filter(|vehicle| bbox.contains(vehicle.sighting.position)).collect()
}

/// Short enough to read when a test fails.
fn brief(hits: &[Hit]) -> Vec<(String, f64)> {
    hits.iter().map(|hit| (hit.vehicle.id.to_string(), hit.distance_m)).collect()
}
