//! A fleet on the move, the same in every run: where its vehicles are, and their next reports.

use vagn_store::{Key, Sighting, Updates};
use vagn_wire::Position;

/// Reports in a batch, as a storage gets them under load.
pub(crate) const BATCH: usize = 256;

const CITIES: usize = 20;

/// Where the vehicles are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scene {
    /// In twenty cities, densest in their centres.
    Cities,
    /// Evenly all over the globe.
    Globe,
    /// All on one point; in a round one in a hundred of them goes a step away and the others stay.
    Spot,
}

impl Scene {
    pub(crate) const ALL: [(&'static str, Scene); 3] =
        [("cities", Scene::Cities), ("globe", Scene::Globe), ("spot", Scene::Spot)];
}

/// The fleet. Every vehicle moves by about ten metres per step.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) random: fastrand::Rng,
    pub(crate) ids: Vec<[u8; 16]>,
    positions: Vec<(f32, f32)>,
    pub(crate) seq: u64,
}

impl World {
    pub(crate) fn new(scene: Scene, vehicles: usize) -> World {
        let mut random = fastrand::Rng::with_seed(42);
        let cities: Vec<_> = (0..CITIES).map(|_| anywhere(&mut random)).collect();
        let mut place = |number: usize| match scene {
            Scene::Cities => around(cities[number % CITIES], 0.15 * random.f32(), &mut random),
            Scene::Globe => anywhere(&mut random),
            Scene::Spot => (57.7, 11.9),
        };
        let positions = (0..vehicles).map(&mut place).collect();
        let ids = (0..vehicles).map(|_| random.u128(..).to_be_bytes()).collect();
        World { scene, random, ids, positions, seq: 0 }
    }

    /// Any vehicle.
    pub(crate) fn any(&mut self) -> usize {
        self.random.usize(..self.ids.len())
    }

    pub(crate) fn key(&self, vehicle: usize) -> Key<'static> {
        Key::Uuid(self.ids[vehicle])
    }

    pub(crate) fn position(&self, vehicle: usize) -> Position {
        let (lat, lon) = self.positions[vehicle];
        Position::new(lat.into(), lon.into()).expect("steps end on the globe")
    }

    /// Fills the batch with the next steps of random vehicles, in the order in which reports arrive: none.
    pub(crate) fn fill_moves(&mut self, updates: &mut Updates) {
        updates.clear();
        for _ in 0..BATCH {
            let vehicle = self.any();
            self.step(vehicle);
            self.push(vehicle, updates);
        }
    }

    /// Fills the batch with the first reports of the vehicles from `first` on.
    pub(crate) fn fill_first(&mut self, first: usize, updates: &mut Updates) {
        updates.clear();
        for vehicle in first..self.ids.len().min(first + BATCH) {
            self.push(vehicle, updates);
        }
    }

    fn step(&mut self, vehicle: usize) {
        let stays = matches!(self.scene, Scene::Spot) && self.random.u8(..100) != 0;
        if !stays {
            let position = &mut self.positions[vehicle];
            *position = around(*position, 0.0001, &mut self.random);
        }
    }

    fn push(&mut self, vehicle: usize, updates: &mut Updates) {
        let key = self.key(vehicle);
        self.seq += 1;
        updates.push(key, key.hash(), sighting(self.position(vehicle), self.seq));
    }
}

fn sighting(position: Position, seq: u64) -> Sighting {
    Sighting {
        position,
        event_time_ms: (seq / 1_000) as i64,
        receive_time_ms: (seq / 1_000) as i64,
        receive_seq: seq,
        seq: None,
        speed_mps: Some(10.0),
        heading_deg: Some(90.0),
        emergency: false,
        own_time: false,
        unsure: false,
    }
}

fn anywhere(random: &mut fastrand::Rng) -> (f32, f32) {
    let lat = (2.0 * random.f32() - 1.0).asin().to_degrees();
    (lat, random.f32() * 360.0 - 180.0)
}

/// Some degrees away in a random direction, but on the globe.
fn around((lat, lon): (f32, f32), degrees: f32, random: &mut fastrand::Rng) -> (f32, f32) {
    let (north, east) = (random.f32() * std::f32::consts::TAU).sin_cos();
    ((lat + degrees * north).clamp(-90.0, 90.0), (lon + degrees * east).clamp(-180.0, 180.0))
}
