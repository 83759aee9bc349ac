//! What the log costs: append, sync, replay, snapshot and restart, with real files.
//!
//! ```sh
//! cargo bench -p vagn-store --bench log [-- VEHICLES [DIR]]
//! ```
//! Prints a JSON object per step with two times: what a clock on the wall says, and how long the processor worked. They
//! differ where the disk is waited for, and where other processes want the same processor.
#![expect(clippy::print_stdout, reason = "its purpose is to print")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails may end so")]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vagn_store::disk::{Disk, RealDisk};
use vagn_store::{Key, Partition, Phase, Recovery, Settings, Sighting, Updates};
use vagn_wire::Position;

/// Reports in a batch, as a storage gets them under load.
const BATCH: usize = 256;

fn main() {
    let mut args = std::env::args().skip(1).filter(|text| text != "--bench");
    let vehicles: u64 = args.next().map_or(1_000_000, |number| number.parse().unwrap());
    let dir = args.next().map_or_else(|| std::env::temp_dir().join("vagn-log-speed"), PathBuf::from);
    drop(std::fs::remove_dir_all(&dir));
    measure(vehicles, &dir);
    std::fs::remove_dir_all(&dir).unwrap();
}

fn measure(vehicles: u64, dir: &Path) {
    let settings = Settings { free_floor_bytes: 0, snapshot_records: u64::MAX, ..Settings::default() };
    let (mut partition, _) = open(dir, settings);
    print("a new vehicle: plan, log, index", write(&mut partition, vehicles, 0), vehicles);
    print("a known vehicle: plan, log, index", write(&mut partition, vehicles, 1), vehicles);
    print("  of these, write(2) of 80 bytes", append_alone(&dir.join("alone"), vehicles), vehicles);
    print("sync of all of it", sync(&partition), 0);
    drop(partition);

    restart(dir, settings, "restart from the log alone");
    let (mut partition, _) = open(dir, Settings { snapshot_records: 1, ..settings });
    snapshot(&mut partition, vehicles);
    write(&mut partition, vehicles.min(400_000), 2);
    partition.close().unwrap();
    restart(dir, settings, "restart from a snapshot and 400 000 records");
}

fn open(dir: &Path, settings: Settings) -> (Partition, Recovery) {
    Partition::open(Arc::new(RealDisk), dir, 0, settings, 0, &|_| {}).unwrap()
}

/// Opens the partition, and tells the phases apart by when they last told of themselves.
fn restart(dir: &Path, settings: Settings, what: &str) {
    let phases: RefCell<Vec<(Phase, u64, Took)>> = RefCell::default();
    let started = Started::now();
    let note = |progress: vagn_store::Progress| {
        phases.borrow_mut().retain(|(phase, ..)| *phase != progress.phase);
        phases.borrow_mut().push((progress.phase, progress.done, started.took()));
    };
    let (partition, _) = Partition::open(Arc::new(RealDisk), dir, 0, settings, 0, &note).unwrap();
    print(what, started.took(), 0);
    let mut before = Took::default();
    for (phase, done, at) in phases.take() {
        print(&format!("  {phase:?}: {done}"), at.since(before), done);
        before = at;
    }
    drop(partition);
}

/// One report of each vehicle, in an order that no cache foresees.
fn write(partition: &mut Partition, vehicles: u64, round: u64) -> Took {
    let mut order: Vec<u64> = (0..vehicles).collect();
    fastrand::Rng::with_seed(round).shuffle(&mut order);
    let batches: Vec<Updates> = order.chunks(BATCH).map(|vehicles| batch(vehicles, round)).collect();
    let mut fates = Vec::new();
    Took::of(|| {
        for updates in &batches {
            partition.write(updates, &mut fates).unwrap();
        }
    })
}

fn batch(vehicles: &[u64], round: u64) -> Updates {
    let mut updates = Updates::new();
    for &vehicle in vehicles {
        let key = Key::Uuid((u128::from(vehicle) * 0x2545_f491_4f6c_dd1d_9e37_79b9_7f4a_7c15).to_be_bytes());
        updates.push(key, key.hash(), sighting(vehicle, round));
    }
    updates
}

fn sighting(vehicle: u64, round: u64) -> Sighting {
    let share = |seed: u64| (vehicle.wrapping_mul(seed) >> 11) as f64 / (1_u64 << 53) as f64;
    let (lat, lon) =
        (share(0xd134_2543_de82_ef95) * 170.0 - 85.0, share(0xaf25_1af3_b0f0_25b5) * 360.0 - 180.0);
    let time_ms = 1_700_000_000_000 + round as i64 * 1_000;
    Sighting {
        position: Position::new(lat + round as f64 * 1e-4, lon).unwrap(),
        event_time_ms: time_ms,
        receive_time_ms: time_ms,
        receive_seq: round * 100_000_000 + vehicle,
        seq: None,
        speed_mps: Some(13.9),
        heading_deg: None,
        emergency: false,
        own_time: false,
        unsure: false,
    }
}

fn snapshot(partition: &mut Partition, vehicles: u64) {
    let (mut all, mut longest) = (Took::default(), Took::default());
    let mut more = true;
    while more {
        let slice = Took::of(|| more = partition.housekeep(0).unwrap().more);
        all = Took { wall: all.wall + slice.wall, cpu: all.cpu + slice.cpu };
        longest = longest.max(slice);
    }
    print("a snapshot, in slices of 4 096", all, vehicles);
    print("  its longest slice", longest, 0);
    print("  sync and rename", sync(partition), 0);
}

fn sync(partition: &Partition) -> Took {
    Took::of(|| {
        partition.syncer().sync().unwrap();
    })
}

/// The disk's part of an append: as many bytes, nothing encoded.
fn append_alone(path: &Path, records: u64) -> Took {
    let file = RealDisk.create(path).unwrap();
    let batch = vec![1; 80 * BATCH];
    let took = Took::of(|| (0..records / BATCH as u64).for_each(|_| file.append(&batch).unwrap()));
    RealDisk.remove(path).unwrap();
    took
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Took {
    cpu: Duration,
    wall: Duration,
}

struct Started {
    wall: Instant,
    cpu: Duration,
}

impl Started {
    fn now() -> Started {
        Started { wall: Instant::now(), cpu: processor() }
    }

    fn took(&self) -> Took {
        Took { wall: self.wall.elapsed(), cpu: processor() - self.cpu }
    }
}

impl Took {
    fn of(work: impl FnOnce()) -> Took {
        let started = Started::now();
        work();
        started.took()
    }

    fn since(self, before: Took) -> Took {
        Took { wall: self.wall - before.wall, cpu: self.cpu - before.cpu }
    }
}

/// How long this thread has had a processor.
fn processor() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time` and to nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "every Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// One line; without a count there is no time per piece.
fn print(what: &str, took: Took, count: u64) {
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    let each = took.cpu.as_nanos() as u64 / count.max(1);
    println!(
        "{{\"bench\":\"log\",\"what\":\"{}\",\"wall_ms\":{:.2},\"cpu_ms\":{:.2},\"count\":{count},\"each_ns\":{each}}}",
        what.trim(),
        ms(took.wall),
        ms(took.cpu)
    );
}
