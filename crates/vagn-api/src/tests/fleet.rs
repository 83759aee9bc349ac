//! A fleet of a handful of vehicles in a real index, which answers at once or not at all.

use std::sync::Arc;

use vagn_store::{
    Age, BBox, Fleet, Hit, Index, Key, Nearby, Plan, Sight, Sighting, Updates, Vehicle, VehicleIdBuf, Whole,
    Writer,
};
use vagn_wire::{Oddity, Position, VehicleId};

use super::super::services::{Asked, Found, Look, Odd, Unavailable, Vehicles};
use super::NOW_MS;

pub(super) struct SmallFleet {
    fleet: Arc<Fleet>,
    failing: Option<Unavailable>,
    /// Shards that do not answer.
    missing_shards: Vec<u16>,
    age: Age,
}

impl SmallFleet {
    pub(super) fn empty() -> Self {
        Self::of(&Updates::new())
    }

    /// `bus 1` at the point that the tests ask about, `bus 2` 1.1 km north, `bus 3` a minute old and 11 km north; `<ferry>`
    /// at longitude 180.
    pub(super) fn austin() -> Self {
        Self::at(&[
            ("bus 1", 30.27, -97.74, 250),
            ("bus 2", 30.28, -97.74, 1_000),
            ("bus 3", 30.37, -97.74, 60_000),
            ("<ferry>", -17.5, 180.0, 0),
        ])
    }

    /// Vehicles by id, latitude, longitude and age in ms. `bus 3` has the emergency flag.
    pub(super) fn at(vehicles: &[(&str, f64, f64, i64)]) -> Self {
        let mut updates = Updates::new();
        for &(id, lat, lon, age_ms) in vehicles {
            let key = Key::of(VehicleId::new(id).unwrap());
            updates.push(key, key.hash(), sighting(lat, lon, age_ms, id == "bus 3"));
        }
        Self::of(&updates)
    }

    pub(super) fn failing(why: Unavailable) -> Self {
        Self { failing: Some(why), ..Self::empty() }
    }

    /// The same as the part of a larger fleet that answered, all of it so old.
    pub(super) fn without(self, missing_shards: &[u16], age: Age) -> Self {
        Self { missing_shards: missing_shards.to_vec(), age, ..self }
    }

    fn of(updates: &Updates) -> Self {
        let mut writer = Writer::new(Index::new(20_000));
        writer.write(updates, &mut Plan::default());
        let fleet = Fleet::new(1);
        fleet.set(0, Some(writer.reader()));
        Self { fleet: Arc::new(fleet), failing: None, missing_shards: Vec::new(), age: Age::Now }
    }

    pub(super) fn fleet(&self) -> Arc<Fleet> {
        self.fleet.clone()
    }

    fn answer<T: Send + 'static>(&self, answer: T) -> Asked<'_, T> {
        let answer = self.failing.map_or(Ok(answer), Err);
        Box::pin(std::future::ready(answer))
    }

    fn found<T: Send + 'static>(&self, value: T) -> Asked<'_, Whole<T>> {
        let missing_shards = self.missing_shards.clone();
        self.answer(Whole { value, missing_shards, age: self.age })
    }
}

impl Vehicles for SmallFleet {
    fn nearest(&self, sight: Sight, nearby: Nearby) -> Asked<'_, Whole<Vec<Hit>>> {
        self.found(sight.nearby(&self.fleet, &nearby).unwrap())
    }

    fn inside(&self, sight: Sight, bbox: BBox, limit: usize) -> Asked<'_, Whole<Vec<Vehicle>>> {
        self.found(sight.bbox(&self.fleet, &bbox, limit).unwrap())
    }

    fn one(&self, sight: Sight, id: VehicleIdBuf) -> Asked<'_, Whole<Option<Vehicle>>> {
        self.found(sight.get(&self.fleet, id.key()).unwrap())
    }

    fn find(&self, _: &'static str, look: Look) -> Asked<'_, Found> {
        self.answer(look(&self.fleet).unwrap())
    }

    fn delete(&self, id: VehicleIdBuf) -> Asked<'_, bool> {
        self.answer(self.fleet.get(id.key()).unwrap().is_some())
    }

    fn odd(&self, id: &VehicleIdBuf) -> Vec<Odd> {
        // The clock of `bus 2` was never set.
        let odd =
            Odd { oddity: Oddity::TimeNear1970, since_ms: NOW_MS - 90_000, last_ms: NOW_MS, reports: 12 };
        if id.as_str() == "bus 2" { vec![odd] } else { Vec::new() }
    }
}

fn sighting(lat: f64, lon: f64, age_ms: i64, emergency: bool) -> Sighting {
    Sighting {
        position: Position::new(lat, lon).unwrap(),
        event_time_ms: NOW_MS - age_ms,
        receive_time_ms: NOW_MS,
        receive_seq: 0,
        seq: None,
        speed_mps: Some(12.5),
        heading_deg: None,
        emergency,
        own_time: true,
        unsure: false,
    }
}
