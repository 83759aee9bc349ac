//! The cost of the keeper per change, and of a tile by zoom, with a million vehicles that move.
//!
//! ```sh
//! cargo bench -p vagn-live --bench tiles [-- VEHICLES]
//! ```
//! Its own measuring loop, since the keeper works on a thread of its own and is measured by the time that it is busy.
//! Prints a JSON object per figure.
#![expect(clippy::print_stdout, reason = "a program whose purpose is what it prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use vagn_flow::clock::ManualClock;
use vagn_flow::metrics::MetricRegistry;
use vagn_live::{
    Format, OpenIncidents, OpenVehicles, Positions, Tile, TileKey, TileMetrics, TileParts, Tiles,
};
use vagn_otp::{Root, Strategy, Supervisor};
use vagn_store::disk::RealDisk;
use vagn_store::{Changes, Fleet, Key, NotReady, Partition, Settings, Sight, Sighting, Updates};
use vagn_wire::{Position, VehicleId};

const VEHICLES: usize = 1_000_000;
/// Vehicles in a city, which is some 20 km wide.
const PER_CITY: usize = 5_000;
const CITY_DEG: f64 = 0.2;
const BATCH: usize = 256;
/// Way of a vehicle between two reports, degrees: 20 m.
const STEP_DEG: f64 = 0.000_2;
const NOW_MS: i64 = 1_790_000_000_000;
const ROUNDS: usize = 200;

struct NoCalls;

impl OpenIncidents for NoCalls {
    fn vehicles(&self) -> OpenVehicles {
        OpenVehicles::default()
    }
}

fn main() {
    if std::env::args().all(|argument| argument != "--bench") {
        return;
    }
    let vehicles = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(VEHICLES);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime can be made").block_on(measure(vehicles));
}

async fn measure(vehicles: usize) {
    let dir = tempfile::tempdir().expect("a folder for the log");
    let mut world = World::new(dir.path(), vehicles);
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let (tiles, children) = Tiles::new(
        TileParts {
            positions: world.positions.clone(),
            fleet: world.fleet.clone(),
            incidents: Arc::new(NoCalls),
            clock: clock.clone(),
            metrics: TileMetrics::new(&MetricRegistry::new()),
        },
        0,
    );
    let root =
        Supervisor::new("bench", Strategy::OneForOne).children(children).start().await.expect("it starts");
    let asleep = writes(&mut world, &root).await;
    let started = Instant::now();
    get(&tiles, &clock, &world.fleet, Format::Mvt, Tile::new(0, 0, 0).expect("the world")).await;
    let first_look_ms = started.elapsed().as_secs_f64() * 1e3;
    let awake = writes(&mut world, &root).await;
    println!(
        "{{\"bench\":\"keeper\",\"vehicles\":{vehicles},\"write_asleep_ns\":{:.1},\"write_awake_ns\":{:.1},\
         \"keeper_ns\":{:.1},\"first_look_ms\":{first_look_ms:.0}}}",
        asleep.write_ns, awake.write_ns, awake.keeper_ns
    );
    for (format, z) in [
        (Format::Mvt, 0),
        (Format::Mvt, 3),
        (Format::Mvt, 9),
        (Format::Mvt, 10),
        (Format::Mvt, 11),
        (Format::Mvt, 14),
        (Format::Bin, 11),
        (Format::Bin, 14),
    ] {
        tile(&mut world, &tiles, &clock, format, z).await;
    }
    root.stop().await;
}

/// Costs of a change, ns.
struct Costs {
    write_ns: f64,
    keeper_ns: f64,
}

/// Writes for a while, no faster than the keeper takes.
async fn writes(world: &mut World, root: &Root) -> Costs {
    let busy = |root: &Root| root.processes().list().into_iter().find(|process| process.name == "keeper");
    let before = busy(root).map(|keeper| keeper.busy).unwrap_or_default();
    let mut wrote = Duration::ZERO;
    let mut changes = 0;
    for _ in 0..2_000 {
        let started = Instant::now();
        changes += world.move_some();
        wrote += started.elapsed();
        while busy(root).is_some_and(|keeper| keeper.mailbox_depth > 100) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let busy = busy(root).map(|keeper| keeper.busy).unwrap_or_default() - before;
    let per_change = |time: Duration| time.as_nanos() as f64 / changes as f64;
    Costs { write_ns: per_change(wrote), keeper_ns: per_change(busy) }
}

async fn tile(world: &mut World, tiles: &Tiles, clock: &ManualClock, format: Format, z: u8) {
    let tile = world.tile(z);
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        world.move_some();
        // Lets the keeper take the changes, so that it is measured apart.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let started = Instant::now();
        bytes = get(tiles, clock, &world.fleet, format, tile).await;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{{\"bench\":\"tile\",\"format\":\"{format:?}\",\"z\":{z},\"p50_us\":{:.0},\"p99_us\":{:.0},\"bytes\":{bytes}}}",
        times[ROUNDS / 2],
        times[ROUNDS * 99 / 100]
    );
}

async fn get(tiles: &Tiles, clock: &ManualClock, fleet: &Fleet, format: Format, tile: Tile) -> usize {
    clock.advance(Duration::from_secs(1));
    let key = TileKey { format, tile, sight: Sight::Exact };
    let content = tiles.get::<NotReady>(key, async |job| job.make(fleet)).await;
    content.expect("the fleet is there").bytes.len()
}

struct World {
    fleet: Arc<Fleet>,
    positions: Positions,
    partition: Partition,
    ids: Vec<String>,
    places: Vec<(f64, f64)>,
    random: fastrand::Rng,
    reports: u64,
}

impl World {
    fn new(dir: &std::path::Path, vehicles: usize) -> Self {
        let opened =
            Partition::open(Arc::new(RealDisk), &dir.join("0"), 0, Settings::default(), NOW_MS, &|_| ());
        let (partition, _) = opened.expect("an empty partition opens");
        let fleet = Arc::new(Fleet::new(1));
        fleet.set(0, Some(partition.reader()));
        let mut random = fastrand::Rng::with_seed(1);
        let mut places = Vec::new();
        while places.len() < vehicles {
            let (lat, lon) = (random.f64() * 110.0 - 50.0, random.f64() * 359.0 - 180.0);
            let within = |random: &mut fastrand::Rng| random.f64() * CITY_DEG;
            places.extend((0..PER_CITY).map(|_| (lat + within(&mut random), lon + within(&mut random))));
        }
        places.truncate(vehicles);
        let ids = (0..vehicles).map(|number| format!("vehicle-{number:08}")).collect();
        let positions = Positions::new("positions");
        let mut world = Self { fleet, positions, partition, ids, places, random, reports: 0 };
        for first in (0..vehicles).step_by(BATCH) {
            world.write(first..(first + BATCH).min(vehicles));
        }
        world
    }

    /// The tile in which the first vehicle is.
    fn tile(&self, z: u8) -> Tile {
        let (lat, lon) = self.places[0];
        let side = f64::from(1_u32 << z);
        let y = (1.0 - lat.to_radians().tan().asinh() / std::f64::consts::PI) / 2.0;
        Tile::new(z, ((lon + 180.0) / 360.0 * side) as u32, (y * side) as u32).expect("it is on the map")
    }

    fn move_some(&mut self) -> usize {
        let first = self.random.usize(..self.places.len().saturating_sub(BATCH).max(1));
        let range = first..(first + BATCH).min(self.places.len());
        for (_, lon) in &mut self.places[range.clone()] {
            *lon += STEP_DEG;
        }
        let moved = range.len();
        self.write(range);
        moved
    }

    fn write(&mut self, range: std::ops::Range<usize>) {
        let mut updates = Updates::with_capacity(range.len());
        for at in range {
            self.reports += 1;
            let key = Key::of(VehicleId::new(&self.ids[at]).expect("a short id"));
            let (lat, lon) = self.places[at];
            let position = Position::new(lat, lon).expect("it is on the globe");
            updates.push(key, key.hash(), sighting(position, self.reports));
        }
        let mut moves = Vec::new();
        let is_followed = self.positions.is_followed();
        let end = self.partition.end();
        if is_followed {
            self.partition.write_and_tell(&updates, &mut Vec::new(), &mut moves).expect("the disk has room");
            let changes = Changes::untold(0, vagn_store::OrderNumber(1), end).with_moves(updates, moves);
            self.positions.publish(&Arc::new(changes));
        } else {
            self.partition.write(&updates, &mut Vec::new()).expect("the disk has room");
        }
    }
}

fn sighting(position: Position, report: u64) -> Sighting {
    let now_ms = NOW_MS + report as i64;
    Sighting {
        position,
        event_time_ms: now_ms,
        receive_time_ms: now_ms,
        receive_seq: report,
        seq: None,
        speed_mps: Some(12.0),
        heading_deg: Some(90.0),
        emergency: false,
        own_time: true,
        unsure: false,
    }
}
