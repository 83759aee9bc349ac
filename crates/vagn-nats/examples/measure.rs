//! Measures brokers under the real load of nodes: processor time per report, fill of messages, and the time until reporters have their fates.
//!
//! `make bench-brokers` runs it, and prints the table of docs/decisions/0028-broker-costs.md. Three brokers that sync always and three nodes, each a
//! door and an owner, share this machine. Nodes keep their logs in memory: what is measured is brokers, not disks of nodes.
//!
//! Arguments choose versions and numbers of streams, such as `2.15.1 8 64`. `QUICK=1` measures each for 3 s in place of 8 s.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

#[path = "../tests/it/memory.rs"]
mod memory;
#[expect(dead_code, reason = "tests read logs")]
#[path = "../tests/it/processes.rs"]
mod processes;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::stream::{FuturesUnordered, StreamExt};
use memory::Memory;
use processes::Processes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use vagn_cluster::{
    Change, Damaged, NewChange, NodeId, Place, Settings, ShardId, ShardState, StreamId, StreamOutcome,
};
use vagn_nats::{Brokers, Driver, Handle, Options};
use vagn_wire::Fate;

/// What is measured unless arguments say otherwise.
const VERSIONS: [&str; 2] = ["2.14.6", "2.15.1"];
const STREAMS: [&str; 3] = ["8", "16", "64"];
const NODES: u64 = 3;

/// Bytes of a report beside id and arrival: two coordinates, time, count, speed and heading.
const FIELDS: usize = 32;

/// Reports in a group when all that goes is asked for, and groups that a node has under way then.
const GROUP: u64 = 256;
const GROUPS: usize = 96;

/// Time between groups at a fixed rate.
const PACE: Duration = Duration::from_millis(10);

/// Reports per second of all nodes together.
#[derive(Clone, Copy)]
enum Rate {
    Fixed(u64),
    Most,
}

const RATES: [Rate; 3] = [Rate::Fixed(10_000), Rate::Fixed(100_000), Rate::Most];

/// Ticks that all replicas applied: messages that carry no reports.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Counts, and keeps nothing.
struct Counted(u64);

impl ShardState for Counted {
    fn begin(_: ShardId, _: &[u8]) -> Self {
        Self(0)
    }

    fn apply(&mut self, _: Place, _: Change<'_>) -> Fate {
        self.0 += 1;
        Fate::Stored
    }

    fn tick(&mut self, _: i64) {
        TICKS.fetch_add(1, Ordering::Relaxed);
    }

    fn content_hash(&self) -> u64 {
        self.0
    }

    fn write_snapshot(&self, out: &mut Vec<u8>) {
        out.extend(self.0.to_le_bytes());
    }

    fn read_snapshot(_: ShardId, bytes: &[u8]) -> Result<Self, Damaged> {
        bytes.try_into().map(|bytes| Self(u64::from_le_bytes(bytes))).map_err(|_| Damaged)
    }

    fn answer(&self, _: &[u8], _: &mut Vec<u8>) {}
}

#[tokio::main]
async fn main() {
    let seconds = if std::env::var_os("QUICK").is_some() { 3 } else { 8 };
    let (versions, streams): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|text| text.contains('.'));
    let or = |given: Vec<String>, all: &[&str]| {
        if given.is_empty() { all.iter().map(|text| (*text).to_owned()).collect() } else { given }
    };
    let (versions, streams) = (or(versions, &VERSIONS), or(streams, &STREAMS));
    println!(
        "| nats-server | streams | asked for, reports/s | stored, reports/s | not stored | brokers, ns per report | nodes, ns per report | reports per message | messages/s | fates p50 / p99, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for streams in streams.iter().map(|text| text.parse().expect("a number of streams")) {
        // One beside the other, as machines have better and worse minutes.
        for version in &versions {
            let processes = Processes::start(&["--version", version]);
            let nodes = Nodes::start(&processes, streams).await;
            for rate in RATES {
                nodes.run(rate, Duration::from_secs(2)).await;
                let cell = nodes.measure(rate, Duration::from_secs(seconds), &processes).await;
                println!("| {version} | {streams} | {} | {cell}", rate.name());
            }
        }
    }
}

impl Rate {
    fn name(self) -> String {
        match self {
            Self::Fixed(rate) => rate.to_string(),
            Self::Most => "all that goes".into(),
        }
    }
}

struct Nodes {
    handles: Vec<Handle<Counted>>,
    streams: u16,
    tasks: Vec<JoinHandle<()>>,
}

/// Latencies of groups in ms, and fates of reports.
#[derive(Default)]
struct Seen {
    times_ms: Vec<f64>,
    stored: u64,
    others: u64,
}

impl Nodes {
    async fn start(processes: &Processes, streams: u16) -> Self {
        let mut nodes = Self { handles: Vec::new(), streams, tasks: Vec::new() };
        for id in 1..=NODES {
            let options = Options::new(&processes.addresses, "bench", NodeId(id), fastrand::u64(..))
                .expect("addresses");
            let settings = Settings {
                shards: streams,
                stream_bytes: (32 << 30) / u64::from(streams),
                ..Settings::new(NodeId(id), fastrand::u64(..))
            };
            let brokers = Brokers::connect(options);
            let disk = Memory::default().open();
            let (handle, driver) = Driver::new(settings, disk, brokers, Arc::new(now_ms), Box::new(|_| {}));
            nodes.handles.push(handle);
            nodes.tasks.push(spawn(driver.run()));
        }
        while nodes.owned().await < usize::from(streams) * 2 {
            sleep(Duration::from_millis(200)).await;
        }
        nodes
    }

    /// Owners of all shards that have all.
    async fn owned(&self) -> usize {
        let streams = self.streams;
        let owned = self.handles[0].look(move |node| {
            let owners = (0..streams).filter_map(|shard| node.owners(ShardId(shard)));
            owners.map(|(_, owners)| owners.iter().filter(|(_, is_full)| *is_full).count()).sum()
        });
        owned.await.unwrap_or(0)
    }

    async fn measure(&self, rate: Rate, time: Duration, processes: &Processes) -> String {
        let (cpu, own, last, ticks) =
            (brokers_ns(processes), own_ns(), self.last().await, TICKS.load(Ordering::Relaxed));
        let began = Instant::now();
        let mut seen = self.run(rate, time).await;
        let seconds = began.elapsed().as_secs_f64();
        let per_report = |ns: u64| ns / seen.stored.max(1);
        let (cpu, own) = (per_report(brokers_ns(processes) - cpu), per_report(own_ns() - own));
        // Each tick is applied by two replicas.
        let ticks = (TICKS.load(Ordering::Relaxed) - ticks) / 2;
        let messages = (self.last().await - last).saturating_sub(ticks);
        seen.times_ms.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            seen.times_ms.get((seen.times_ms.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
        };
        format!(
            "{:.0} | {} | {cpu} | {own} | {:.1} | {:.0} | {:.1} / {:.1} |",
            seen.stored as f64 / seconds,
            seen.others,
            seen.stored as f64 / messages.max(1) as f64,
            messages as f64 / seconds,
            at(0.5),
            at(0.99),
        )
    }

    /// Brings reports for so long, and waits for their fates.
    async fn run(&self, rate: Rate, time: Duration) -> Seen {
        let loads = self.handles.iter().cloned().map(|handle| spawn(load(handle, rate, time)));
        let mut seen = Seen::default();
        for load in loads.collect::<Vec<_>>() {
            let one = load.await.expect("a load does not panic");
            seen.times_ms.extend(one.times_ms);
            seen.stored += one.stored;
            seen.others += one.others;
        }
        seen
    }

    /// Messages that all streams ever took.
    async fn last(&self) -> u64 {
        let mut sum = 0;
        for shard in 0..self.streams {
            let stream = StreamId { shard: ShardId(shard), epoch: 1 };
            let by = Instant::now() + Duration::from_secs(1);
            if let StreamOutcome::Is(info) = self.handles[0].brokers().read_stream(stream, by).await {
                sum += info.last;
            }
        }
        sum
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Load of one node.
async fn load(handle: Handle<Counted>, rate: Rate, time: Duration) -> Seen {
    let (mut seen, mut under_way, end) = (Seen::default(), FuturesUnordered::new(), Instant::now() + time);
    let mut pace = tokio::time::interval(PACE);
    while Instant::now() < end {
        match rate {
            Rate::Fixed(rate) => {
                tokio::select! {
                    _ = pace.tick() => under_way.push(submit(handle.clone(), rate / NODES / 100)),
                    Some(answer) = under_way.next(), if !under_way.is_empty() => seen.note(answer),
                }
            }
            Rate::Most => {
                while under_way.len() < GROUPS {
                    under_way.push(submit(handle.clone(), GROUP));
                }
                if let Some(answer) = under_way.next().await {
                    seen.note(answer);
                }
            }
        }
    }
    while let Some(answer) = under_way.next().await {
        seen.note(answer);
    }
    seen
}

async fn submit(handle: Handle<Counted>, reports: u64) -> (Duration, u64, Vec<Fate>) {
    let report = || NewChange::Report {
        vehicle_id: format!("vehicle-{:06}", fastrand::u32(..200_000)).into_bytes(),
        arrival_ms: now_ms(),
        fields: vec![7; FIELDS],
    };
    let changes = (0..reports).map(|_| report()).collect();
    let began = Instant::now();
    let fates = match handle.submit(changes) {
        Ok(fates) => fates.await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    (began.elapsed(), reports, fates)
}

impl Seen {
    fn note(&mut self, (time, reports, fates): (Duration, u64, Vec<Fate>)) {
        let stored = fates.iter().filter(|fate| **fate == Fate::Stored).count() as u64;
        self.stored += stored;
        self.others += reports - stored;
        self.times_ms.push(time.as_secs_f64() * 1e3);
    }
}

fn brokers_ns(processes: &Processes) -> u64 {
    let usage = processes.order("usage");
    usage["usage"].as_array().into_iter().flatten().filter_map(|broker| broker["cpu_ns"].as_u64()).sum()
}

/// Processor time of this process: of all nodes, and of the load.
fn own_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    texts.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

#[expect(clippy::disallowed_methods, reason = "a measurement has no clock handed in")]
fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[expect(clippy::disallowed_methods, reason = "a measurement has no supervisor")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}
