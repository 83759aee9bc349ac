//! Measures what a change costs the thread of the streams: with nobody looking, with many streams elsewhere, and where the
//! vehicles are.
//!
//! Time is that of the processor, so that other work on the machine does not count. Run it with
//! `cargo run --release -p vagn-live --example stream_cost`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vagn_flow::clock::SystemClock;
use vagn_flow::metrics::MetricRegistry;
use vagn_live::Positions;
use vagn_live::stream::{
    EventId, EventWriter, PositionStreams, StreamEvent, StreamFollower, StreamMetrics, StreamParts,
    StreamView,
};
use vagn_otp::{Root, Strategy, Supervisor};
use vagn_store::disk::faulty::FaultyDisk;
use vagn_store::{
    BBox, Changes, DataDir, Fleet, Partition, Settings, Sight, Sighting, Updates, VehicleIdBuf,
};
use vagn_wire::{Position, VehicleId};

/// Vehicles that move, around 59° N 18° E.
const VEHICLES: u64 = 100_000;
/// Positions in a commit.
const COMMIT: usize = 256;
/// Rounds in which every vehicle moves.
const ROUNDS: u64 = 10;
const STREAMS: usize = 1_000;
const BEGIN_MS: i64 = 1_790_000_000_000;

/// Writes about as many bytes as the API does.
struct Writer;

impl EventWriter for Writer {
    fn name(&self) -> &'static str {
        "measured"
    }

    fn write(&self, out: &mut Vec<u8>, event: &StreamEvent<'_>, _: Option<&EventId>) {
        if let StreamEvent::Position { vehicle, .. } = event {
            out.extend_from_slice(vehicle.id.as_bytes());
        }
        out.extend_from_slice(&[b' '; 280]);
    }
}

/// Moves every vehicle once, in commits.
fn commits(partition: &mut Partition, round: u64) -> Vec<Arc<Changes>> {
    let mut random = fastrand::Rng::with_seed(round);
    let mut commits = Vec::new();
    let vehicles: Vec<_> = (0..VEHICLES).collect();
    for some in vehicles.chunks(COMMIT) {
        let mut updates = Updates::new();
        for vehicle in some {
            let id = VehicleIdBuf::from(VehicleId::new(&format!("bus {vehicle}")).unwrap());
            // All over a country, and a little on in each round.
            let lat = 55.0 + (vehicle % 317) as f64 * 0.04 + random.f64() * 0.001;
            let lon = 11.0 + (vehicle / 317) as f64 * 0.04 + random.f64() * 0.001;
            updates.push(id.key(), id.key().hash(), sighting(Position::new(lat, lon).unwrap(), round));
        }
        let (mut fates, mut moves) = (Vec::new(), Vec::new());
        let written = partition.write_and_tell(&updates, &mut fates, &mut moves).unwrap();
        commits.push(Arc::new(Changes::untold(0, BEGUN, written.end).with_moves(updates, moves)));
    }
    commits
}

const BEGUN: vagn_store::OrderNumber = vagn_store::OrderNumber(1);

fn sighting(position: Position, round: u64) -> Sighting {
    let time_ms = BEGIN_MS + round as i64;
    Sighting {
        position,
        event_time_ms: time_ms,
        receive_time_ms: time_ms,
        receive_seq: round,
        seq: None,
        speed_mps: Some(12.5),
        heading_deg: Some(90.0),
        emergency: false,
        own_time: true,
        unsure: false,
    }
}

/// Time on the processor of the thread of the streams.
fn used() -> Duration {
    let mut ns = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.starts_with("position-strea") {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap();
            ns += stat.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(ns)
}

struct Case {
    what: &'static str,
    boxes: Vec<[f64; 4]>,
}

fn cases() -> Vec<Case> {
    let small = |lat: f64, lon: f64| [lon, lat, lon + 0.1, lat + 0.1];
    let many = |lat: f64, lon: f64, step: f64| {
        (0..STREAMS).map(|at| small(lat + (at / 32) as f64 * step, lon + (at % 32) as f64 * step)).collect()
    };
    vec![
        Case { what: "nobody looks", boxes: Vec::new() },
        Case { what: "1 small box elsewhere, 1 stream", boxes: vec![small(-33.0, 151.0)] },
        Case { what: "1 small box elsewhere, 1000 streams", boxes: vec![small(-33.0, 151.0); STREAMS] },
        Case { what: "1000 boxes elsewhere", boxes: many(-40.0, 140.0, 0.5) },
        Case { what: "1 small box among the vehicles, 1 stream", boxes: vec![small(59.0, 18.0)] },
        Case {
            what: "1 small box among the vehicles, 1000 streams",
            boxes: vec![small(59.0, 18.0); STREAMS],
        },
        Case { what: "1000 boxes among the vehicles", boxes: many(56.0, 12.0, 0.3) },
        Case { what: "the globe, 1 stream", boxes: vec![[-180.0, -90.0, 180.0, 90.0]] },
    ]
}

async fn start(fleet: Fleet, metrics: &StreamMetrics) -> (Positions, PositionStreams, Root) {
    let positions = Positions::new("positions");
    let (streams, child) = vagn_live::stream::streams(StreamParts {
        positions: positions.clone(),
        fleet: Arc::new(fleet),
        clock: Arc::new(SystemClock::new()),
        metrics: metrics.clone(),
    });
    let root = Supervisor::new("measured", Strategy::OneForOne).child(child).start().await.unwrap();
    (positions, streams, root)
}

/// Takes what waits, as connections do.
async fn drain(followers: &mut [StreamFollower]) {
    for follower in followers {
        while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, follower.next()).await {}
    }
}

#[tokio::main]
async fn main() {
    let mut data = DataDir::open(Arc::new(FaultyDisk::new()), Path::new("d"), Some(1), 7).unwrap();
    data.prepare(Settings::default(), BEGIN_MS, &|_| {}).unwrap();
    let (mut partition, _) = data.open_partition(0, Settings::default(), BEGIN_MS, &|_| {}).unwrap();
    let fleet = Fleet::new(1);
    fleet.set(0, Some(partition.reader()));
    commits(&mut partition, 0);
    let mut round = 0;
    for Case { what, boxes } in cases() {
        let registry = MetricRegistry::new();
        let (positions, streams, root) = start(fleet.clone(), &StreamMetrics::new(&registry)).await;
        let writer: Arc<dyn EventWriter> = Arc::new(Writer);
        let view = |edges: &[f64; 4]| StreamView {
            sight: Sight::Exact,
            bbox: BBox::new(edges[0], edges[1], edges[2], edges[3]).unwrap(),
            writer: writer.clone(),
        };
        let mut followers: Vec<_> =
            boxes.iter().map(|edges| streams.follow(view(edges), None).unwrap()).collect();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let mut spent = Duration::ZERO;
        for _ in 0..ROUNDS {
            round += 1;
            let commits = commits(&mut partition, round);
            let before = used();
            for (at, changes) in commits.iter().enumerate() {
                if positions.is_followed() {
                    positions.publish(changes);
                }
                if at % 64 == 63 {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            spent += used() - before;
            drain(&mut followers).await;
        }
        let per_change = spent.as_nanos() as f64 / (ROUNDS * VEHICLES) as f64;
        println!("{what:<46} {per_change:>8.1} ns per change");
        for line in registry.page().lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")) {
            println!("    {line}");
        }
        root.stop().await;
    }
}
