//! How fast and how large the live index is on this machine, by size and spread of the fleet, alone and beside a writer.
//!
//! ```sh
//! cargo bench -p vagn-store --bench index [-- VEHICLES [cities|globe|spot]]
//! ```
//! Its own measuring loop, since the aims are percentiles of single queries. Each fleet has a process of its own, so that
//! its memory is told apart. Prints a JSON object per fleet; `VAGN_BENCH_VEHICLES` gives the sizes.
#![expect(clippy::print_stdout, reason = "a program whose purpose is what it prints")]

mod world;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vagn_store::{BBox, Hit, Index, Nearby, Plan, Reader, Updates, Writer};
use world::{BATCH, Scene, World};

const SIZES: &str = "10000,100000,1000000";

/// Moves measured: each vehicle a few times, and enough of them in a small fleet.
const MOVES_PER_VEHICLE: usize = 4;
const MOVES_MIN: usize = 1_000_000;

const QUERIES: usize = 50_000;
/// Longest a measurement of queries may take: beside a writer on a busy machine they are slow.
const QUERIES_WITHIN: Duration = Duration::from_secs(3);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    match arguments.as_slice() {
        [vehicles, scene] => measure(scene, vehicles.parse().expect("a number of vehicles")),
        [vehicles] => Scene::ALL.iter().for_each(|(scene, _)| apart(vehicles, scene)),
        _ => {
            let sizes = std::env::var("VAGN_BENCH_VEHICLES").unwrap_or_else(|_| SIZES.into());
            for vehicles in sizes.split(',') {
                Scene::ALL.iter().for_each(|(scene, _)| apart(vehicles, scene));
            }
        }
    }
}

/// Measures in a process of its own.
fn apart(vehicles: &str, scene: &str) {
    let program = std::env::current_exe().expect("this program has a path");
    let status = Command::new(program).args([vehicles, scene]).status().expect("it can be started again");
    assert!(status.success(), "the measurement of {vehicles} vehicles, {scene}, failed");
}

fn measure(name: &str, vehicles: usize) {
    let (_, scene) = Scene::ALL.into_iter().find(|(known, _)| *known == name).expect("cities, globe or spot");
    let mut world = World::new(scene, vehicles);
    let before = resident();
    let mut writer = Writer::new(Index::new(vehicles));
    let index = writer.reader();
    let insert = insert(&mut world, &mut writer);
    let fresh = (resident() - before) / vehicles as f64;
    let batches = (vehicles * MOVES_PER_VEHICLE).max(MOVES_MIN) / BATCH;
    let moved = moves(&mut world, &mut writer, batches);
    let after = (resident() - before) / vehicles as f64;
    let load = load(&world, &index);
    let known = known(&mut world, &index);
    let nearby = ask(&mut world, |nearby, hits| index.nearby(nearby, hits), 10, f64::INFINITY);
    let radius = ask(&mut world, |nearby, hits| index.nearby(nearby, hits), 100, 500.0);
    let bbox = boxes(&mut world, &index);
    let (steady, steady_rate) = ask_beside(&mut world, &mut writer, Some(1_000_000));
    let (flat_out, flat_out_rate) = ask_beside(&mut world, &mut writer, None);
    println!(
        "{{\"bench\":\"index\",\"scene\":\"{name}\",\"vehicles\":{vehicles},\"insert_ns\":{insert:.0},\"load_ns\":{load:.0},\
         \"move_ns\":{moved:.0},\"id_ns\":{known:.0},\"bytes_new\":{fresh:.0},\"bytes_after\":{after:.0},{},{},{},{},{},\
         \"steady_rate\":{steady_rate:.0},\"flat_out_rate\":{flat_out_rate:.0}}}",
        quantiles("nearby", &nearby),
        quantiles("radius", &radius),
        quantiles("bbox", &bbox),
        quantiles("steady", &steady),
        quantiles("flat_out", &flat_out),
    );
}

/// Nanoseconds per new vehicle.
fn insert(world: &mut World, writer: &mut Writer) -> f64 {
    let (mut updates, mut plan, mut took) = (Updates::new(), Plan::default(), Duration::ZERO);
    let vehicles = world.ids.len();
    for first in (0..vehicles).step_by(BATCH) {
        world.fill_first(first, &mut updates);
        let begun = Instant::now();
        writer.write(&updates, &mut plan);
        took += begun.elapsed();
    }
    took.as_nanos() as f64 / vehicles as f64
}

/// Nanoseconds per move, making the reports not counted.
fn moves(world: &mut World, writer: &mut Writer, batches: usize) -> f64 {
    let (mut updates, mut plan, mut took) = (Updates::new(), Plan::default(), Duration::ZERO);
    for _ in 0..batches {
        world.fill_moves(&mut updates);
        let begun = Instant::now();
        writer.write(&updates, &mut plan);
        took += begun.elapsed();
    }
    took.as_nanos() as f64 / (batches * BATCH) as f64
}

/// Nanoseconds per vehicle of an index built at once, as recovery does it.
fn load(world: &World, index: &Reader) -> f64 {
    let keys = (0..world.ids.len()).map(|vehicle| world.key(vehicle));
    let kept: Vec<_> = keys.filter_map(|key| Some((key, index.get(key)?.sighting))).collect();
    let begun = Instant::now();
    let loaded = Index::load(kept.len(), kept.iter().map(|(key, sighting)| (*key, sighting)));
    begun.elapsed().as_nanos() as f64 / loaded.len() as f64
}

/// Nanoseconds to find a vehicle by its id, one at a time.
fn known(world: &mut World, index: &Reader) -> f64 {
    let vehicles: Vec<_> = (0..QUERIES).map(|_| world.any()).collect();
    let keys: Vec<_> = vehicles.into_iter().map(|vehicle| world.key(vehicle)).collect();
    let begun = Instant::now();
    assert!(keys.iter().all(|key| index.get(*key).is_some()), "every vehicle is known");
    begun.elapsed().as_nanos() as f64 / keys.len() as f64
}

/// Times of queries around random vehicles, sorted.
fn ask(world: &mut World, nearby: impl Fn(&Nearby, &mut Vec<Hit>), k: usize, max_m: f64) -> Vec<Duration> {
    let mut hits = Vec::new();
    times(|| {
        let vehicle = world.any();
        let question = Nearby { center: world.position(vehicle), k, max_m, newer_than_ms: None };
        hits.clear();
        let begun = Instant::now();
        nearby(&question, &mut hits);
        begun.elapsed()
    })
}

/// Times to find at most a hundred vehicles in a box of about one kilometre around a random one, sorted.
fn boxes(world: &mut World, index: &Reader) -> Vec<Duration> {
    let mut vehicles = Vec::new();
    times(|| {
        let vehicle = world.any();
        let (lat, lon) = (world.position(vehicle).lat(), world.position(vehicle).lon());
        let (south, north) = ((lat - 0.005).max(-90.0), (lat + 0.005).min(90.0));
        let (west, east) = ((lon - 0.005).max(-180.0), (lon + 0.005).min(180.0));
        let bbox = BBox::new(west, south, east, north).expect("its edges are on the globe");
        vehicles.clear();
        let begun = Instant::now();
        index.bbox(&bbox, 100, &mut vehicles);
        begun.elapsed()
    })
}

fn times(mut one: impl FnMut() -> Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let mut times = Vec::with_capacity(QUERIES);
    while times.len() < QUERIES && begun.elapsed() < QUERIES_WITHIN {
        times.push(one());
    }
    times.sort_unstable();
    times
}

/// Ten nearest beside a writer of so many updates per second, or of as many as it can. Gives their times and its rate.
fn ask_beside(world: &mut World, writer: &mut Writer, rate: Option<u64>) -> (Vec<Duration>, f64) {
    let reader = writer.reader();
    let mut moving = World::new(world.scene, world.ids.len());
    // Each writer goes on after the one before.
    moving.seq = world.seq;
    let done = AtomicBool::new(false);
    let (times, written, seq) = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let rate = write(&mut moving, writer, rate, &done);
            (rate, moving.seq)
        });
        let times = ask(world, |nearby, hits| reader.nearby(nearby, hits), 10, f64::INFINITY);
        done.store(true, Ordering::Relaxed);
        let (written, seq) = writing.join().expect("the writer does not panic");
        (times, written, seq)
    });
    world.seq = seq;
    (times, written)
}

/// Gives how many updates per second it showed.
fn write(moving: &mut World, writer: &mut Writer, rate: Option<u64>, done: &AtomicBool) -> f64 {
    let (mut updates, mut plan, mut count) = (Updates::new(), Plan::default(), 0);
    let begun = Instant::now();
    while !done.load(Ordering::Relaxed) {
        moving.fill_moves(&mut updates);
        writer.write(&updates, &mut plan);
        count += BATCH as u64;
        let due = rate.map_or(Duration::ZERO, |rate| Duration::from_nanos(count * 1_000_000_000 / rate));
        while begun.elapsed() < due {
            thread::yield_now();
        }
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Three quantiles in µs, as members of a JSON object.
fn quantiles(name: &str, times: &[Duration]) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999]
        .map(|part| times[((times.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1e3);
    format!("\"{name}_us\":[{p50:.2},{p99:.2},{p999:.2}]")
}

/// Resident memory of this process in bytes, 0 where the system does not tell.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or_default() * 4096.0
}
