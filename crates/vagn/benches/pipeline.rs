//! The whole way of a batch through the actors: publish (with the emergency filter), ingest, storage (log, then index).
//!
//! Prints a JSON object per size of batch: how long a position takes when batches follow each other as fast as they are
//! stored, on the wall and on the processors together, and how long a batch alone takes from publish to stored. Its own
//! measuring loop, since several threads work at once and the second figure is a percentile.
#![expect(clippy::print_stdout, reason = "a program whose purpose is what it prints")]

mod traffic;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use vagn::config::{Fsync, Span};
use vagn::ingest::{Destination, Ingest, IngestWorker, Job};
use vagn::odd::OddFleet;
use vagn::storage::{Bounds, Storage, StorageMetrics, StorageParts};
use vagn::sync::{SyncMetrics, SyncQueue};
use vagn_emergency::{self, EmergencyMetrics, LiveFleet, Targets};
use vagn_flow::batch::{Batch, Traffic};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::stamp::Stamper;
use vagn_flow::trust::Trust;
use vagn_live::Positions;
use vagn_otp::{Addr, ChildSpec, Policy, Pool, Queue, QueueSubscriber, Root, Strategy, Supervisor};
use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, Fleet};
use vagn_wire::Fate;

const VEHICLES: u32 = 100_000;
const BATCHES: [usize; 3] = [1, 16, 256];
/// Time for which each size is measured, and the number of runs.
const RUN: Duration = Duration::from_millis(700);
const RUNS: usize = 5;
/// Batches under way at most: fewer than any queue holds, so that nothing is shed.
const UNDER_WAY: u64 = 128;
const ALONE: usize = 2_000;
const HANG_LIMIT: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    if std::env::args().all(|argument| argument != "--bench") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let pipeline = runtime.block_on(Pipeline::start(dir.path()))?;
    let mut sender =
        Sender { datagrams: traffic::datagrams(VEHICLES), next: 0, sent: 0, pipeline: &pipeline };
    // Every vehicle is known before anything is measured.
    sender.send_for(Duration::from_secs(1), 256);
    for size in BATCHES {
        measure(&mut sender, size);
    }
    runtime.block_on(pipeline.root.stop());
    Ok(())
}

fn measure(sender: &mut Sender<'_>, size: usize) {
    let mut wall = Vec::new();
    let busy = processor();
    let before = sender.sent;
    for _ in 0..RUNS {
        wall.push(sender.send_for(RUN, size));
    }
    let cpu = (processor() - busy).as_nanos() as f64 / (sender.sent - before) as f64;
    wall.sort_by(f64::total_cmp);
    let mut alone: Vec<_> = (0..ALONE).map(|_| sender.send_alone(size)).collect();
    alone.sort_unstable();
    let at = |part: f64| alone[(ALONE as f64 * part) as usize].as_nanos() as f64 / 1e3;
    println!(
        "{{\"bench\":\"pipeline\",\"batch\":{size},\"wall_ns\":[{:.0},{:.0},{:.0}],\"cpu_ns\":{cpu:.0},\"alone_us\":[{:.1},{:.1}]}}",
        wall[0],
        wall[RUNS / 2],
        wall[RUNS - 1],
        at(0.5),
        at(0.99)
    );
}

struct Sender<'a> {
    datagrams: Vec<Vec<u8>>,
    next: usize,
    sent: u64,
    pipeline: &'a Pipeline,
}

impl Sender<'_> {
    /// Nanoseconds per position, from the first publish to the last one stored.
    fn send_for(&mut self, time: Duration, size: usize) -> f64 {
        let (begun, before) = (Instant::now(), self.sent);
        while begun.elapsed() < time {
            self.send(size);
            self.wait(UNDER_WAY * size as u64);
        }
        self.wait(0);
        begun.elapsed().as_nanos() as f64 / (self.sent - before) as f64
    }

    /// From publish to stored.
    fn send_alone(&mut self, size: usize) -> Duration {
        let begun = Instant::now();
        self.send(size);
        while self.sent > self.pipeline.stored() {
            std::hint::spin_loop();
        }
        begun.elapsed()
    }

    fn send(&mut self, size: usize) {
        let Pipeline { topic, stamper, reports, .. } = self.pipeline;
        let datagrams = self.datagrams.iter().cycle().skip(self.next).take(size);
        topic.publish(&traffic::batch(datagrams, stamper.stamp(size), reports));
        self.next = (self.next + size) % self.datagrams.len();
        self.sent += size as u64;
    }

    /// Until no more than so many are under way.
    fn wait(&self, under_way: u64) {
        while self.sent - self.pipeline.stored() > under_way {
            std::thread::yield_now();
        }
    }
}

/// The stages that a batch goes through, as `app` builds them.
struct Pipeline {
    root: Root,
    topic: Traffic,
    stamper: Arc<Stamper>,
    reports: Arc<ReportMetrics>,
}

impl Pipeline {
    async fn start(dir: &Path) -> anyhow::Result<Pipeline> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let registry = MetricRegistry::new();
        let reports = ReportMetrics::new(&registry);
        let readiness = Arc::new(Readiness::default());
        let stamper = Arc::new(Stamper::open(dir, clock.clone())?);
        let (topic, fleet) = (Traffic::new("traffic"), Arc::new(Fleet::new(1)));
        let parts = StorageParts {
            data: Arc::new(RwLock::new(DataDir::open(Arc::new(RealDisk), dir, Some(1), 1)?)),
            number: 0,
            settings: vagn_store::Settings::default(),
            bounds: Bounds { max_vehicles: 10_000_000, forget_after_ms: i64::MAX },
            odd: OddFleet::new(1).of_partition(0),
            fleet: fleet.clone(),
            sync: Arc::new(SyncQueue::new(
                Fsync::Every(Span(Duration::from_secs(1))),
                clock.clone(),
                Duration::from_secs(10),
                SyncMetrics::new(&registry),
            )),
            clock: clock.clone(),
            stamper: stamper.clone(),
            trust: Trust::blind(clock.clone()),
            metrics: StorageMetrics::new(&registry),
            readiness: readiness.clone(),
            positions: Positions::new("positions"),
        };
        let lane = lane(dir, fleet, &clock, &registry, &readiness);
        let (_, emergency) = vagn_emergency::start(&topic, lane);
        let sync = parts.sync.clone();
        let syncing = ChildSpec::thread("sync", move |ctx| sync.run(&ctx));
        let (storage, storing) = storage(parts);
        let pool = ingest_pool(&topic, storage, Trust::blind(clock.clone()));
        let tree = Supervisor::new("pipeline", Strategy::OneForOne);
        let tree = tree.child(emergency).child(storing).child(syncing).child(pool);
        let root = tree.start().await?;
        readiness.ready().await;
        Ok(Pipeline { root, topic, stamper, reports })
    }

    fn stored(&self) -> u64 {
        let shed = self.reports.fate(Fate::Shed).get() + self.reports.fate(Fate::Failed).get();
        assert_eq!(shed, 0, "the measurement holds only as long as everything is stored");
        self.reports.fate(Fate::Stored).get()
    }
}

fn lane(
    dir: &Path,
    fleet: Arc<Fleet>,
    clock: &Arc<dyn Clock>,
    registry: &MetricRegistry,
    readiness: &Arc<Readiness>,
) -> vagn_emergency::Parts {
    vagn_emergency::Parts {
        before: None,
        part_list: None,
        data_dir: dir.to_owned(),
        targets: Targets::default(),
        open_max: 1_000,
        per_source_max: 1_000,
        known_after: Duration::from_secs(600),
        resolve_after: Duration::from_secs(3_600),
        vehicles: Arc::new(LiveFleet::new(fleet, clock.clone(), 1, Duration::from_secs(600))),
        seeds: vagn_emergency::Seeds { ids: 1, jitter: 2 },
        clock: clock.clone(),
        trust: Trust::blind(clock.clone()),
        metrics: EmergencyMetrics::new(registry),
        replays: prometheus_client::metrics::counter::Counter::default(),
        readiness: readiness.clone(),
        hang_limit: HANG_LIMIT,
        runtime: None,
    }
}

fn storage(parts: StorageParts) -> (Addr<Storage>, ChildSpec) {
    let parts = Arc::new(parts);
    let (storage, child) = ChildSpec::actor("storage", 512, move || Storage::new(parts.clone()));
    (storage, child.on_thread())
}

fn ingest_pool(topic: &Traffic, storage: Addr<Storage>, trust: Arc<Trust>) -> ChildSpec {
    let shed = Queue::new(512);
    let wait = Queue::new(512);
    let shedding =
        QueueSubscriber::new(&shed, Policy::DropOldest, |batch: &Arc<Batch>| Some(Job::new(batch)));
    topic.subscribe("ingest-shed", shedding.on_drop(Job::shed));
    let destination = Destination::Storages([storage].into());
    let ingest = Arc::new(Ingest { destination, shed: shed.clone(), wait: wait.clone(), trust });
    let (_, child) = Pool::builder("ingest")
        .workers(1)
        .lane("shed", &shed)
        .lane("wait", &wait)
        .child(move |number| IngestWorker::new(number, ingest.clone()));
    child
}

/// Processor time of this process, to 10 ms.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
