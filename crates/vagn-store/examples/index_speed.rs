//! How fast and how large the live index is on this machine, on one core.
//!
//! ```text
//! cargo run --release -p vagn-store --example index_speed -- [VEHICLES] [cities|globe|spot]
//! ```
//! Every vehicle moves by about ten metres per round, in random order and batches of 256, as reports arrive. The queries ask for the ten
//! nearest to a random vehicle. `docs/decisions/0004-live-index.md` has the figures it gave.
#![expect(clippy::print_stdout, reason = "a program whose purpose is what it prints")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vagn_store::{Hit, Index, Key, Nearby, Sighting, Updates, Writer};
use vagn_wire::Position;

const BATCH: usize = 256;
const ROUNDS: usize = 8;
const QUERIES: usize = 50_000;
const CITIES: usize = 20;

/// Where the vehicles are.
#[derive(Debug, Clone, Copy)]
enum Scene {
    /// In twenty cities, densest in their centres.
    Cities,
    /// Evenly all over the globe.
    Globe,
    /// All on one point; in a round one in a hundred of them goes a step away and the others stay.
    Spot,
}

struct World {
    scene: Scene,
    random: fastrand::Rng,
    ids: Vec<[u8; 16]>,
    positions: Vec<(f32, f32)>,
    seq: u64,
}

impl World {
    fn new(scene: Scene, vehicles: usize) -> World {
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

    /// Where the vehicle is after its next step.
    fn step(&mut self, vehicle: usize) -> Position {
        let stays = matches!(self.scene, Scene::Spot) && self.random.u8(..100) != 0;
        if !stays {
            let position = &mut self.positions[vehicle];
            *position = around(*position, 0.0001, &mut self.random);
        }
        self.position(vehicle)
    }

    fn position(&self, vehicle: usize) -> Position {
        let (lat, lon) = self.positions[vehicle];
        Position::new(lat.into(), lon.into()).expect("steps end on the globe")
    }

    /// Fills the batch with the next steps of random vehicles, or of those from `first` on.
    fn fill(&mut self, updates: &mut Updates, first: Option<usize>) {
        updates.clear();
        for index in 0..BATCH {
            let random = self.random.usize(..self.ids.len());
            let vehicle = first.map_or(random, |first| (first + index).min(self.ids.len() - 1));
            let position = if first.is_some() { self.position(vehicle) } else { self.step(vehicle) };
            let key = Key::Uuid(self.ids[vehicle]);
            self.seq += 1;
            updates.push(key, key.hash(), sighting(position, self.seq));
        }
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

/// Times that applying each batch takes, sorted; making them is not counted.
fn apply(
    world: &mut World,
    index: &mut Index,
    batches: impl Iterator<Item = Option<usize>>,
) -> Vec<Duration> {
    let (mut updates, mut applied, mut times) = (Updates::new(), Vec::new(), Vec::new());
    for first in batches {
        world.fill(&mut updates, first);
        applied.clear();
        let start = Instant::now();
        index.apply(&updates, &mut applied);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

/// Times of single queries, sorted.
fn ask(world: &mut World, nearby: impl Fn(&Nearby, &mut Vec<Hit>)) -> Vec<Duration> {
    let mut hits = Vec::new();
    let mut times: Vec<_> = (0..QUERIES)
        .map(|_| {
            let vehicle = world.random.usize(..world.ids.len());
            let center = world.position(vehicle);
            hits.clear();
            let start = Instant::now();
            nearby(&Nearby { center, k: 10, max_m: f64::INFINITY, newer_than_ms: None }, &mut hits);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

/// Queries beside a writer that applies a million updates per second, as far as the machine lets it. Gives
/// their times and its rate.
fn ask_beside_writer(world: &mut World, index: Index) -> (Vec<Duration>, f64) {
    let mut writer = Writer::new(index);
    let reader = writer.reader();
    let mut moving = World { seq: world.seq, ..World::new(world.scene, world.ids.len()) };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let (mut updates, mut applied, mut count) = (Updates::new(), Vec::new(), 0);
            let start = Instant::now();
            while !done.load(Ordering::Relaxed) {
                moving.fill(&mut updates, None);
                writer.apply(&updates, &mut applied);
                applied.clear();
                count += 1;
                while start.elapsed() < Duration::from_micros((count * BATCH) as u64) {
                    thread::yield_now();
                }
            }
            (count * BATCH) as f64 / start.elapsed().as_secs_f64()
        });
        let times = ask(world, |nearby, hits| reader.nearby(nearby, hits));
        done.store(true, Ordering::Relaxed);
        (times, writing.join().expect("the writer does not panic"))
    })
}

/// The value that this part of the sorted times does not exceed, in µs.
fn quantile(times: &[Duration], part: f64) -> f64 {
    times[((times.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1e3
}

/// Nanoseconds per update.
fn mean(times: &[Duration]) -> usize {
    times.iter().sum::<Duration>().as_nanos() as usize / (times.len() * BATCH)
}

/// The same of the batch in the middle, which other programs on the machine disturb less.
fn median(times: &[Duration]) -> usize {
    times[times.len() / 2].as_nanos() as usize / BATCH
}

/// Time that this thread has been on a processor, to a few milliseconds; zero where the system does not tell.
fn on_processor() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = times.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Resident memory of this process in bytes, 0 where the system does not tell.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}

fn measure(scene: Scene, vehicles: usize) {
    let mut world = World::new(scene, vehicles);
    let before = resident();
    let mut index = Index::new(vehicles);
    let inserted = apply(&mut world, &mut index, (0..vehicles).step_by(BATCH).map(Some));
    let bytes_new = resident().saturating_sub(before) / vehicles;
    let batches = vehicles * ROUNDS / BATCH;
    let moved = apply(&mut world, &mut index, std::iter::repeat_n(None, batches));
    let bytes_after = resident().saturating_sub(before) / vehicles;
    let times = ask(&mut world, |nearby, hits| index.nearby(nearby, hits));
    let kept: Vec<_> = index.slots(0, u32::MAX).collect();
    let load = on_processor();
    let vehicles = kept.iter().map(|(slot, key, sighting)| (*slot, *key, sighting));
    let load = (Index::load(vehicles.len(), vehicles).len(), on_processor() - load);
    let name = format!("{scene:?}").to_lowercase();
    println!("{name}, {} vehicles", index.len());
    println!(
        "  insert {} ns (median {}), load {} ns",
        mean(&inserted),
        median(&inserted),
        load.1.as_nanos() as usize / load.0
    );
    println!("  move {} ns (median {})", mean(&moved), median(&moved));
    println!("  {bytes_new} B/vehicle, {bytes_after} after {ROUNDS} rounds");
    let print = |times: &[Duration], beside: &str| {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| quantile(times, part));
        println!("  ten nearest, {beside}: p50 {p50:.1} p99 {p99:.1} p99.9 {p999:.1} µs");
    };
    print(&times, "alone");
    let (times, rate) = ask_beside_writer(&mut world, index);
    print(&times, &format!("beside a writer at {:.2} M/s", rate / 1e6));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let vehicles = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let scenes = [("cities", Scene::Cities), ("globe", Scene::Globe), ("spot", Scene::Spot)];
    for (name, scene) in scenes {
        if arguments.get(1).is_none_or(|wanted| wanted == name) {
            measure(scene, vehicles);
        }
    }
}
