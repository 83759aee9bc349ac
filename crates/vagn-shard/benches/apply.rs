//! What an applied report, a tick and a snapshot of a shard cost, by the size of the shard and the number of reports in an entry.
//!
//! ```sh
//! cargo bench -p vagn-shard --bench apply [-- VEHICLES...]
//! ```
//! Vehicles report in no order, so that hardly anything is in a cache. Prints a JSON object for each size.
#![expect(clippy::print_stdout, reason = "a program whose purpose is what it prints")]

use std::time::Instant;

use vagn_cluster::{
    BatchId, BatchWriter, Body, DoorId, Entry, NewChange, NodeId, Place, ShardId, ShardState, order_number,
};
use vagn_shard::{FleetShard, Payload, ShardSettings};
use vagn_wire::{Position, Report, VehicleId};

const NOW_MS: i64 = 1_800_000_000_000;

const SIZES: [usize; 3] = [10_000, 125_000, 1_000_000];

/// Reports measured for each size of an entry.
const REPORTS: usize = 1 << 20;

struct Sender {
    random: fastrand::Rng,
    ids: Vec<String>,
    sent: u64,
    sequence: u64,
    time_ms: i64,
}

impl Sender {
    fn new(vehicles: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(42);
        let ids = (0..vehicles).map(|_| uuid(random.u128(..))).collect();
        Self { random, ids, sent: 0, sequence: 0, time_ms: NOW_MS }
    }

    fn change(&mut self, vehicle: usize) -> NewChange {
        let id = &self.ids[vehicle];
        // Around a city: most stay in their cell.
        let near = |degrees: f64, vehicle: usize| degrees + (vehicle % 1_000) as f64 * 2e-4;
        let (lat, lon) = (near(59.3, vehicle), near(18.0, vehicle / 1_000));
        let step = |random: &mut fastrand::Rng| random.f64() * 1e-4;
        let position = Position::new(lat + step(&mut self.random), lon + step(&mut self.random));
        let plain =
            Report::new(VehicleId::new(id).expect("a uuid is an id"), position.expect("it is on the globe"));
        self.sent += 1;
        let event_time_ms = Some(self.time_ms + (self.sent >> 9) as i64);
        let report = Report { event_time_ms, speed_mps: Some(9.5), heading_deg: Some(90.0), ..plain };
        let mut fields = Vec::new();
        Payload::write(&report, None, &mut fields).expect("it has a position");
        NewChange::Report { vehicle_id: id.as_bytes().to_vec(), arrival_ms: self.time_ms, fields }
    }

    fn entry(&mut self, vehicles: impl Iterator<Item = usize>) -> Vec<u8> {
        let door = DoorId { node: NodeId(1), born_ms: 0, random: 0 };
        let mut writer = BatchWriter::new(1, BatchId { door, number: self.sequence + 1 });
        for vehicle in vehicles {
            assert!(writer.push(&self.change(vehicle)), "an entry has room for so many");
        }
        writer.finish()
    }

    /// Applies an entry as the core does.
    fn apply(&mut self, shard: &mut FleetShard, entry: &[u8]) -> usize {
        self.sequence += 1;
        let Body::Batch(batch) = Entry::read(entry).expect("it was just written").body else { return 0 };
        // The time of the shard passes, so that no report is ahead of its arrival.
        let time_ms = self.time_ms + (self.sent >> 9) as i64;
        let place =
            |index| Place { order: order_number(0, self.sequence, index), time_ms, arrival_ms: time_ms };
        let changes = (0..).zip(batch.changes());
        shard.apply_all(changes.map(|(index, change)| (place(index), change))).len()
    }
}

fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Returns the nanoseconds that each of so many took.
fn each_ns(begun: Instant, count: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / count as f64
}

fn measure(vehicles: usize) {
    let mut sender = Sender::new(vehicles);
    let settings = ShardSettings { forget_after_ms: 86_400_000, max_vehicles: u32::MAX };
    let mut shard = FleetShard::begin(ShardId(0), &settings.to_bytes());
    let all: Vec<usize> = (0..vehicles).collect();
    let first: Vec<_> = all.chunks(4_096).map(|some| sender.entry(some.iter().copied())).collect();
    let begun = Instant::now();
    first.iter().for_each(|entry| {
        sender.apply(&mut shard, entry);
    });
    let insert = each_ns(begun, vehicles);
    let mut by_size = Vec::new();
    for size in [1, 26, 256, 4_096] {
        let (mut each, mut applied) = (Vec::new(), 0);
        while applied < REPORTS.min(vehicles * 4) {
            let some: Vec<_> = (0..size).map(|_| sender.random.usize(..vehicles)).collect();
            let entry = sender.entry(some.into_iter());
            let begun = Instant::now();
            sender.apply(&mut shard, &entry);
            each.push(each_ns(begun, size));
            applied += size;
        }
        // The median, as other work of the machine comes in between.
        each.sort_by(f64::total_cmp);
        by_size.push(format!("\"report_ns_of_{size}\":{:.0}", each[each.len() / 2]));
    }
    let begun = Instant::now();
    let mut bytes = Vec::new();
    shard.write_snapshot(&mut bytes);
    let write = each_ns(begun, vehicles);
    let begun = Instant::now();
    let mut again = FleetShard::read_snapshot(ShardId(0), &bytes).expect("it was just written");
    let read = each_ns(begun, vehicles);
    assert_eq!(again.content_hash(), shard.content_hash());
    let begun = Instant::now();
    again.tick(i64::MAX);
    let forgotten = vehicles - again.reader().len();
    let forget = each_ns(begun, forgotten);
    println!(
        "{{\"bench\":\"shard\",\"vehicles\":{vehicles},\"insert_ns\":{insert:.0},{},\"snapshot_write_ns\":{write:.0},\
         \"snapshot_read_ns\":{read:.0},\"snapshot_bytes\":{:.0},\"forget_ns\":{forget:.0},\"forgotten_at_once\":{forgotten}}}",
        by_size.join(","),
        bytes.len() as f64 / vehicles as f64,
    );
}

fn main() {
    let arguments = std::env::args().skip(1).filter(|text| text != "--bench");
    let sizes: Vec<usize> = arguments.map(|text| text.parse().expect("a number of vehicles")).collect();
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    sizes.into_iter().for_each(measure);
}
