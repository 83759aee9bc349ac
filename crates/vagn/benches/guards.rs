//! The hot functions, one per run, for `make bench-guards`: it counts the instructions of what is `measured` here.
//!
//! `guards` alone prints the names. `guards NAME` does the work of that name once and prints what it is counted by,
//! and how often it allocated. All inputs are the same in every run, but for the seeds of hash tables.
#![expect(clippy::print_stdout, reason = "a program whose purpose is what it prints")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails may end so")]

mod counted;
mod sealed;
mod traffic;
#[path = "../../vagn-store/benches/world/mod.rs"]
#[expect(dead_code, reason = "the store's own benchmarks need more of it")]
mod world;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vagn::ingest;
use vagn::teller::Teller;
use vagn_api::{geojson, legacy};
use vagn_emergency::{self, EmergencyMetrics, LiveFleet, Targets};
use vagn_flow::batch::{Batch, Traffic};
use vagn_flow::clock::ManualClock;
use vagn_flow::guard::Content;
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::stamp::Stamp;
use vagn_flow::trust::Trust;
use vagn_live::Positions;
use vagn_otp::{Policy, Queue, QueueSubscriber};
use vagn_store::disk::RealDisk;
use vagn_store::{Changes, Fleet, Hit, Index, Nearby, Partition, Plan, Settings, Updates, Writer};
use world::{BATCH, Scene, World};

/// Time of all that happens, ms since 1970.
const NOW_MS: i64 = 1_800_000_000_000;

const VEHICLES: usize = 100_000;
const BATCHES: usize = 64;
const QUERIES: usize = 1_000;

/// Vehicles with a key, and envelopes of each.
const SEALED: u32 = 2_048;
const SEALED_ROUNDS: u64 = 8;

const STAMP: Stamp = Stamp { time_ms: NOW_MS, first_seq: 1 };

/// Name, what is counted, and the work, which gives how many of these it did.
type Guard = (&'static str, &'static str, fn() -> usize);

const GUARDS: [Guard; 13] = [
    ("decode, original layout", "report", || decode(|bytes| vagn_wire::decode(bytes).is_ok())),
    ("decode, general path", "report", || decode(|bytes| vagn_wire::decode_general(bytes).is_ok())),
    ("emergency filter", "report", || decode(|bytes| !vagn_wire::is_emergency(bytes))),
    ("fill and publish a batch of 256", "batch", publish),
    ("ingest a batch of 256", "report", ingest),
    ("open a sealed report", "report", open_sealed),
    ("ingest a sealed batch of 256", "report", ingest_sealed),
    ("index: a known vehicle moves", "report", show),
    ("partition: plan, log, index", "report", write),
    ("partition, told to three followers", "report", tell),
    ("ten nearest of 100 000", "query", nearby),
    ("GeoJSON of ten", "answer", || json(|hits| drop(black_box(geojson::nearby(hits, false, NOW_MS))))),
    ("the original's JSON of ten", "answer", || json(|hits| drop(black_box(legacy::body(hits))))),
];

fn main() {
    let asked = std::env::args().nth(1).filter(|argument| argument != "--bench");
    match asked {
        None => GUARDS.iter().for_each(|(name, ..)| println!("{name}")),
        Some(asked) => {
            let (_, unit, work) = GUARDS.iter().find(|(name, ..)| *name == asked).expect("a guard's name");
            println!("{} {} {unit}", work(), ALLOCATED.load(Ordering::Relaxed));
        }
    }
}

/// Instructions are counted while this runs, and at no other time.
#[unsafe(no_mangle)]
#[inline(never)]
fn vagn_guard_measured(work: &mut dyn FnMut()) {
    work();
}

/// Allocations while it ran.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

fn measured(mut work: impl FnMut()) {
    let before = counted::allocations();
    vagn_guard_measured(&mut work);
    ALLOCATED.store(counted::allocations() - before, Ordering::Relaxed);
}

fn decode(read: fn(&[u8]) -> bool) -> usize {
    let datagrams = traffic::datagrams(1_024);
    measured(|| datagrams.iter().for_each(|datagram| assert!(read(black_box(datagram)))));
    datagrams.len()
}

fn batches(metrics: &Arc<ReportMetrics>) -> Vec<Arc<Batch>> {
    let datagrams = traffic::datagrams((BATCHES * BATCH) as u32);
    datagrams.chunks(BATCH).map(|some| traffic::batch(some.iter(), STAMP, metrics)).collect()
}

/// To the emergency lane, which finds nothing, and to one queue.
fn publish() -> usize {
    let registry = MetricRegistry::new();
    let reports = ReportMetrics::new(&registry);
    let topic = Traffic::new("traffic");
    let dir = tempfile::tempdir().unwrap();
    let lane = vagn_emergency::Parts {
        before: None,
        part_list: None,
        data_dir: dir.path().to_owned(),
        targets: Targets::default(),
        open_max: 1_000,
        per_source_max: 1_000,
        known_after: Duration::from_secs(600),
        resolve_after: Duration::from_secs(3_600),
        vehicles: Arc::new(LiveFleet::new(
            Arc::new(Fleet::new(1)),
            Arc::new(ManualClock::at(NOW_MS)),
            1,
            Duration::from_secs(600),
        )),
        seeds: vagn_emergency::Seeds { ids: 1, jitter: 2 },
        clock: Arc::new(ManualClock::at(NOW_MS)),
        trust: Trust::blind(Arc::new(ManualClock::at(NOW_MS))),
        metrics: EmergencyMetrics::new(&registry),
        replays: reports.seal_replays.clone(),
        readiness: Arc::new(Readiness::default()),
        hang_limit: Duration::from_secs(60),
        runtime: None,
    };
    let _lane = vagn_emergency::start(&topic, lane);
    let queue = Queue::new(BATCHES);
    let all = |batch: &Arc<Batch>| Some(batch.clone());
    topic.subscribe("ingest", QueueSubscriber::new(&queue, Policy::DropOldest, all));
    let datagrams = traffic::datagrams((BATCHES * BATCH) as u32);
    measured(|| {
        for some in datagrams.chunks(BATCH) {
            black_box(topic.publish(&traffic::batch(some.iter(), STAMP, &reports)));
        }
    });
    BATCHES
}

fn ingest() -> usize {
    divide(&batches(&ReportMetrics::new(&MetricRegistry::new())))
}

/// As the door does it: from envelopes to a batch. The cipher is counted too; its code is that for a processor with AVX2.
fn open_sealed() -> usize {
    let metrics = ReportMetrics::new(&MetricRegistry::new());
    let sealed = sealed::fleet(SEALED, SEALED_ROUNDS, STAMP, &metrics);
    let mut content = Content::default();
    let mut batches = Vec::with_capacity(sealed.envelopes.len() / BATCH);
    measured(|| {
        for some in sealed.envelopes.chunks(BATCH) {
            batches.push(sealed.batch(some, &mut content, STAMP, &metrics));
        }
    });
    sealed.envelopes.len()
}

fn ingest_sealed() -> usize {
    let metrics = ReportMetrics::new(&MetricRegistry::new());
    let sealed = sealed::fleet(SEALED, SEALED_ROUNDS, STAMP, &metrics);
    let mut content = Content::default();
    let some = sealed.envelopes.chunks(BATCH);
    let batches: Vec<_> = some.map(|some| sealed.batch(some, &mut content, STAMP, &metrics)).collect();
    divide(&batches)
}

/// Divides batches as a worker does, and returns the number of reports.
fn divide(batches: &[Arc<Batch>]) -> usize {
    let shares: Vec<_> = batches.iter().map(|batch| batch.take_share().unwrap()).collect();
    let mut pairs: Vec<_> = batches.iter().zip(shares).collect();
    let mut writes = Vec::with_capacity(batches.len());
    measured(|| {
        pairs.drain(..).for_each(|(batch, share)| writes.push(ingest::decode(batch, share, None, 1)))
    });
    batches.iter().map(|batch| batch.len()).sum()
}

/// The fleet, the first reports of it, and then moves.
fn moves() -> (World, Vec<Updates>, Vec<Updates>) {
    let mut world = World::new(Scene::Cities, VEHICLES);
    let mut first = Vec::new();
    for start in (0..VEHICLES).step_by(BATCH) {
        let mut updates = Updates::new();
        world.fill_first(start, &mut updates);
        first.push(updates);
    }
    let mut moves = vec![Updates::new(); BATCHES];
    moves.iter_mut().for_each(|updates| world.fill_moves(updates));
    (world, first, moves)
}

fn fleet() -> (World, Writer, Vec<Updates>) {
    let (world, first, moves) = moves();
    let mut writer = Writer::new(Index::new(VEHICLES));
    first.iter().for_each(|updates| writer.write(updates, &mut Plan::default()));
    (world, writer, moves)
}

/// As the partition does it, without the log between plan and index.
fn show() -> usize {
    let (_, mut writer, moves) = fleet();
    let mut plan = Plan::default();
    // The plan is made once and refilled, in the service too.
    writer.write(&moves[0], &mut plan);
    measured(|| moves[1..].iter().for_each(|updates| writer.write(updates, &mut plan)));
    (moves.len() - 1) * BATCH
}

fn write() -> usize {
    let (_, first, moves) = moves();
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let (mut partition, _) =
        Partition::open(disk, dir.path(), 0, Settings::default(), NOW_MS, &|_| {}).unwrap();
    let mut fates = Vec::new();
    let mut write = |updates: &Updates| {
        partition.write(updates, &mut fates).unwrap();
    };
    first.iter().for_each(&mut write);
    measured(|| moves.iter().for_each(&mut write));
    BATCHES * BATCH
}

/// As a storage does it: each follower is one more of the same, so three of them show a change of any.
fn tell() -> usize {
    let (_, mut first, mut moves) = moves();
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let (mut partition, _) =
        Partition::open(disk, dir.path(), 0, Settings::default(), NOW_MS, &|_| {}).unwrap();
    let topic = Positions::new("positions");
    let mut teller = Teller::new(0, topic.clone());
    let mut fates = Vec::new();
    let mut write = |updates: Updates| {
        let written = teller.write(&mut partition, &updates, &mut fates).unwrap();
        teller.tell_moves(written.end, updates);
    };
    first.drain(..).for_each(&mut write);
    for name in ["map", "streams", "fences"] {
        let queue = Queue::new(BATCHES);
        let all = |changes: &Arc<Changes>| Some(changes.clone());
        topic.subscribe(name, QueueSubscriber::new(&queue, Policy::DropOldest, all));
    }
    measured(|| moves.drain(..).for_each(&mut write));
    BATCHES * BATCH
}

fn nearby() -> usize {
    let (mut world, writer, _) = fleet();
    let index = writer.reader();
    let questions: Vec<_> = (0..QUERIES).map(|_| question(&mut world)).collect();
    let mut hits = Vec::new();
    measured(|| {
        for question in &questions {
            hits.clear();
            index.nearby(question, &mut hits);
        }
    });
    QUERIES
}

fn question(world: &mut World) -> Nearby {
    let vehicle = world.any();
    Nearby { center: world.position(vehicle), k: 10, max_m: f64::INFINITY, newer_than_ms: None }
}

fn json(write: fn(&[Hit])) -> usize {
    let (mut world, writer, _) = fleet();
    let index = writer.reader();
    let mut answers = vec![Vec::new(); QUERIES];
    answers.iter_mut().for_each(|hits| index.nearby(&question(&mut world), hits));
    measured(|| answers.iter().for_each(|hits| write(hits)));
    QUERIES
}
