//! Binary tiles, read back: both fixes of a vehicle, and what lies between them.

use std::sync::Arc;
use std::time::Duration;

use vagn_flow::clock::Clock;
use vagn_store::{NotReady, Sight, VehicleIdBuf};
use vagn_wire::{Position, VehicleId};

use super::harness::{World, at};
use crate::Tile;
use crate::keeper::Looks;
use crate::mercator::{gather, grid};
use crate::tiles::{Format, TileKey, Tiles};

/// What a vehicle of 32 bytes says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Vehicle {
    last: (i32, i32),
    before: (i32, i32),
    received: u32,
    between: u32,
    heading: u16,
    speed: u8,
    flags: u8,
}

struct Read {
    tick_ms: i64,
    base_ms: i64,
    vehicles: Vec<Vehicle>,
}

fn read(bytes: &[u8]) -> Read {
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let i32_at = |at: usize| u32_at(at) as i32;
    let i64_at = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((u16_at(0), u16_at(2), bytes[24], &bytes[25..32]), (32, 1, 0, &[0; 7][..]));
    let vehicle = |at: usize| Vehicle {
        last: (i32_at(at), i32_at(at + 4)),
        before: (i32_at(at + 8), i32_at(at + 12)),
        received: u32_at(at + 16),
        between: u32_at(at + 20),
        heading: u16_at(at + 28),
        speed: bytes[at + 30],
        flags: bytes[at + 31],
    };
    assert_eq!(bytes.len(), 32 + 32 * u32_at(4) as usize);
    let vehicles = (1..=u32_at(4) as usize).map(|number| vehicle(32 * number)).collect();
    Read { tick_ms: i64_at(8), base_ms: i64_at(16), vehicles }
}

fn units(position: Position) -> (i32, i32) {
    ((position.lon() * 1e7).round() as i32, (position.lat() * 1e7).round() as i32)
}

struct Watched {
    world: World,
    tiles: Arc<Tiles>,
    looks: Looks,
}

impl Watched {
    fn new(partitions: u32) -> Self {
        let world = World::new(partitions);
        let tiles = world.tiles();
        let looks = tiles.keepers.exact.wake_up();
        Self { world, tiles, looks }
    }

    fn keep(&mut self) {
        while self.tiles.keepers.exact.step(&mut self.looks) {}
    }

    async fn read(&self, place: Position, z: u8) -> Read {
        let number = grid().cell(place).at(z);
        let tile = Tile::new(z, gather(number), gather(number >> 1)).unwrap();
        let (key, fleet) =
            (TileKey { format: Format::Bin, tile, sight: Sight::Exact }, self.world.fleet.clone());
        let content = self.tiles.get::<NotReady>(key, async |job| job.make(&fleet)).await.unwrap();
        read(&content.bytes)
    }
}

const HERE: (f64, f64) = (30.270_012_3, -97.740_045_6);

fn here() -> Position {
    at(HERE.0, HERE.1)
}

fn east(steps: i32) -> Position {
    at(HERE.0, HERE.1 + f64::from(steps) * 0.000_1)
}

#[tokio::test]
async fn the_fix_before_is_known_once_somebody_looks() {
    let mut watched = Watched::new(2);
    watched.world.report(&[("bus 1", here())]);
    watched.world.report(&[("bus 1", east(1))]);
    watched.keep();
    let seen = watched.read(here(), 14).await.vehicles[0];
    assert_eq!((seen.last, seen.before, seen.between), (units(east(1)), units(east(1)), 0));
    watched.world.report(&[("bus 1", east(2))]);
    watched.keep();
    let now = watched.read(here(), 14).await;
    let seen = now.vehicles[0];
    assert_eq!((seen.last, seen.before, seen.between), (units(east(2)), units(east(1)), 1_000));
    assert_eq!((seen.received, seen.heading, seen.speed, seen.flags), (0, 27_126, 12, 0));
    assert_eq!((now.base_ms, now.tick_ms), (watched.world.clock.now_ms(), watched.world.clock.now_ms()));
}

#[tokio::test]
async fn a_keeper_that_is_behind_never_tells_a_fix_that_was_not() {
    let mut watched = Watched::new(1);
    watched.world.report(&[("bus 1", here())]);
    watched.read(here(), 11).await;
    watched.world.report(&[("bus 1", east(1))]);
    watched.keep();
    watched.world.report(&[("bus 1", east(2))]);
    // The change waits in the queue of the keeper.
    let seen = watched.read(here(), 14).await.vehicles[0];
    assert_eq!((seen.last, seen.before, seen.between), (units(east(2)), units(east(1)), 1_000));
    watched.world.report(&[("bus 1", east(3))]);
    let seen = watched.read(here(), 14).await.vehicles[0];
    assert_eq!((seen.last, seen.before, seen.between), (units(east(3)), units(east(1)), 2_000));
}

#[tokio::test]
async fn a_vehicle_that_comes_in_brings_its_fix_from_outside() {
    let mut watched = Watched::new(1);
    let outside = at(45.0, 9.0);
    watched.world.report(&[("bus 1", outside), ("bus 2", here())]);
    watched.read(here(), 11).await;
    watched.world.report(&[("bus 1", here())]);
    watched.keep();
    let seen = watched.read(here(), 11).await;
    let came = seen.vehicles.iter().find(|vehicle| vehicle.between > 0).unwrap();
    assert_eq!((came.last, came.before, seen.vehicles.len()), (units(here()), units(outside), 2));
    let other = seen.vehicles.iter().find(|vehicle| vehicle.between == 0).unwrap();
    assert_eq!((other.received, seen.base_ms), (1_000, watched.world.clock.now_ms()));
}

#[tokio::test]
async fn another_vehicle_in_the_row_has_no_fix_before() {
    let mut watched = Watched::new(1);
    watched.world.report(&[("bus 1", here())]);
    watched.read(here(), 11).await;
    watched.world.report(&[("bus 1", east(1))]);
    watched.world.delete("bus 1");
    watched.world.report(&[("bus 2", east(2))]);
    watched.keep();
    let seen = watched.read(here(), 12).await.vehicles[0];
    assert_eq!((seen.before, seen.between), (units(east(2)), 0));
}

#[tokio::test]
async fn fixes_are_forgotten_where_nobody_looks_any_more() {
    let mut watched = Watched::new(1);
    watched.world.report(&[("bus 1", here())]);
    watched.read(here(), 11).await;
    watched.world.report(&[("bus 1", east(1))]);
    watched.keep();
    let held = |watched: &Watched| watched.tiles.keepers.exact.fixes.lock().len();
    assert_eq!(held(&watched), 1);
    for (seconds, expected) in [(20, 1), (15, 0)] {
        watched.world.clock.advance(Duration::from_secs(seconds));
        watched.tiles.keepers.exact.fixes.lock().tidy(watched.world.clock.monotonic());
        assert_eq!(held(&watched), expected, "{seconds}");
    }
    watched.world.report(&[("bus 1", east(2))]);
    watched.keep();
    assert_eq!(held(&watched), 0);
}

#[tokio::test]
async fn flags_tell_of_incidents_and_drills() {
    let mut watched = Watched::new(2);
    watched.world.report(&[("bus 1", here()), ("bus 2", here()), ("bus 3", here()), ("bus 4", here())]);
    let id = |text: &str| VehicleIdBuf::from(VehicleId::new(text).unwrap());
    {
        let mut open = watched.world.incidents.0.lock();
        open.real = vec![id("bus 1"), id("bus 3")];
        open.drills = vec![id("bus 2"), id("bus 3")];
    }
    let mut flags: Vec<u8> =
        watched.read(here(), 14).await.vehicles.iter().map(|vehicle| vehicle.flags).collect();
    flags.sort_unstable();
    assert_eq!(flags, [0, 1, 2, 3]);
}
