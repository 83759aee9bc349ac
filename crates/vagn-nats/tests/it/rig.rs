//! Nodes with their drivers, and loads whose answers are written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use vagn_cluster::{Happened, NodeId, Settings, ShardId, ShardView};
use vagn_nats::{Brokers, Driver, Handle, Incoming, Options};
use vagn_wire::Fate;

use crate::memory::Memory;
use crate::orders::{Orders, report};
use crate::processes::Processes;

/// Brokers that nobody harms. Tests differ by the data set.
pub(crate) static QUIET: LazyLock<Processes> = LazyLock::new(|| Processes::start(&[]));

pub(crate) const SHARDS: u16 = 4;

#[expect(clippy::disallowed_methods, reason = "a test has no clock handed in")]
pub(crate) fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// Waits until it is so, at most so long.
pub(crate) async fn until(what: &str, within_s: u64, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(within_s);
    while !is_so().await {
        assert!(Instant::now() < end, "not within {within_s} s: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Connects to brokers as a node of a data set.
pub(crate) fn connect(processes: &Processes, set: &str, node: u64) -> (Brokers, Incoming) {
    let options = Options::new(&processes.addresses, set, NodeId(node), fastrand::u64(..)).unwrap();
    Brokers::connect(options)
}

/// Connects without a node.
pub(crate) async fn brokers(processes: &Processes, set: &str, node: u64) -> Brokers {
    let (brokers, incoming) = connect(processes, set, node);
    spawn(incoming.serve());
    until("connected", 10, async || brokers.is_connected()).await;
    brokers
}

/// A node that runs.
pub(crate) struct Machine {
    pub(crate) id: u64,
    set: String,
    disk: Memory,
    pub(crate) handle: Handle<Orders>,
    pub(crate) told: Arc<Mutex<Vec<Happened>>>,
    task: JoinHandle<()>,
}

impl Machine {
    pub(crate) async fn start(processes: &Processes, set: &str, id: u64) -> Self {
        Self::open(processes, set, id, Memory::default()).await
    }

    async fn open(processes: &Processes, set: &str, id: u64, disk: Memory) -> Self {
        Self::over(connect(processes, set, id), set, id, disk)
    }

    /// Starts one over these connections, which others may use beside it.
    pub(crate) fn over((brokers, incoming): (Brokers, Incoming), set: &str, id: u64, disk: Memory) -> Self {
        let settings = Settings {
            shards: SHARDS,
            snapshot_entries: 200,
            stream_bytes: 64 << 20,
            ..Settings::new(NodeId(id), fastrand::u64(..))
        };
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let clock = Arc::new(now_ms);
        let (handle, driver) = Driver::new(
            settings,
            disk.open(),
            (brokers, incoming),
            clock,
            Box::new(move |happened| tell.lock().unwrap().push(happened)),
        );
        Self { id, set: set.to_owned(), disk, handle, told, task: spawn(driver.run()) }
    }

    /// Ends it as a crash does, and starts it again with the disk it had.
    pub(crate) async fn crash(self, processes: &Processes) -> Self {
        self.task.abort();
        let Self { id, set, disk, task, .. } = self;
        assert!(task.await.unwrap_err().is_cancelled());
        Self::open(processes, &set, id, disk).await
    }

    pub(crate) async fn shards(&self) -> Vec<ShardView> {
        self.handle.look(|node| node.shards()).await.unwrap()
    }

    pub(crate) fn was_told(&self, is_it: impl Fn(&Happened) -> bool) -> bool {
        self.told.lock().unwrap().iter().any(is_it)
    }

    /// Says of each vehicle whether this node has it.
    async fn has(&self, vehicles: Arc<Vec<String>>) -> Vec<bool> {
        let has = |node: &vagn_cluster::Node<Orders>, vehicle: &str| {
            let shard = ShardId::of_vehicle(vehicle.as_bytes(), SHARDS);
            node.state(shard).is_some_and(|state| state.has(vehicle))
        };
        self.handle
            .look(move |node| vehicles.iter().map(|vehicle| has(node, vehicle)).collect())
            .await
            .unwrap()
    }
}

/// Starts nodes, and waits until each shard has two owners that have all.
pub(crate) async fn nodes(processes: &Processes, set: &str, count: u64) -> Vec<Machine> {
    let mut nodes = Vec::new();
    for id in 1..=count {
        nodes.push(Machine::start(processes, set, id).await);
    }
    owned(&nodes).await;
    nodes
}

/// Waits until each shard has two owners that have all.
pub(crate) async fn owned(nodes: &[Machine]) {
    until("two owners of each shard", 60, async || {
        let full = |node: &vagn_cluster::Node<Orders>| {
            let owners = (0..SHARDS).map(|shard| node.owners(ShardId(shard)));
            owners
                .map(|owners| owners.map_or(0, |(_, owners)| owners.iter().filter(|(_, full)| *full).count()))
                .collect()
        };
        let owners: Vec<usize> = nodes[0].handle.look(full).await.unwrap();
        owners.iter().all(|owners| *owners >= 2)
    })
    .await;
}

/// A load on one node, and which vehicles were answered `stored`.
pub(crate) struct Load {
    task: JoinHandle<()>,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) stored: Vec<String>,
    pub(crate) others: BTreeMap<String, u64>,
    pub(crate) refused: u64,
}

impl Load {
    /// Begins to bring groups of reports, each of a new vehicle, all the time.
    pub(crate) fn start(node: &Machine) -> Self {
        let (handle, id, ledger) = (node.handle.clone(), node.id, Arc::new(Mutex::new(Ledger::default())));
        let write = ledger.clone();
        let task = spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            for group in 0_u64.. {
                pace.tick().await;
                let vehicles: Vec<String> = (0..10).map(|at| format!("{id}-{group}-{at}")).collect();
                let changes = vehicles.iter().map(|vehicle| report(vehicle)).collect();
                let write = write.clone();
                match handle.submit(changes) {
                    Err(_) => write.lock().unwrap().refused += 1,
                    Ok(fates) => drop(spawn(async move {
                        if let Ok(fates) = fates.await {
                            write.lock().unwrap().note(vehicles, &fates);
                        }
                    })),
                }
            }
        });
        Self { task, ledger }
    }

    pub(crate) fn stored(&self) -> usize {
        self.ledger.lock().unwrap().stored.len()
    }

    /// Waits until so many more vehicles were answered.
    pub(crate) async fn goes_on(&self, more: usize, within_s: u64) {
        let before = self.stored();
        until("reports are stored", within_s, async || self.stored() >= before + more).await;
    }

    pub(crate) fn stop(self) -> Ledger {
        self.task.abort();
        std::mem::take(&mut *self.ledger.lock().unwrap())
    }
}

impl Ledger {
    fn note(&mut self, vehicles: Vec<String>, fates: &[Fate]) {
        assert_eq!(vehicles.len(), fates.len());
        for (vehicle, fate) in vehicles.into_iter().zip(fates) {
            match fate {
                Fate::Stored => self.stored.push(vehicle),
                other => *self.others.entry(format!("{other:?}")).or_default() += 1,
            }
        }
    }
}

/// Checks that each vehicle that was answered is with two owners of its shard, and that owners agree.
pub(crate) async fn assert_kept(nodes: &[Machine], ledger: Ledger) {
    assert!(!ledger.stored.is_empty());
    agree(nodes).await;
    let stored = Arc::new(ledger.stored);
    let mut owners = vec![0; stored.len()];
    for node in nodes {
        let has = node.has(stored.clone()).await;
        owners.iter_mut().zip(has).for_each(|(owners, has)| *owners += usize::from(has));
    }
    let lost: Vec<(&String, usize)> = stored.iter().zip(owners).filter(|(_, owners)| *owners < 2).collect();
    if !lost.is_empty() {
        for node in nodes {
            let shards = node.shards().await;
            eprintln!("node {}: {:?}\n{shards:?}", node.id, node.told.lock().unwrap());
        }
        panic!(
            "{} of {} are not with two owners: {lost:?}; others: {:?}",
            lost.len(),
            stored.len(),
            ledger.others
        );
    }
}

/// Waits until two owners of each shard have passed the same tick, one that was written after this call, and compares them there. So
/// both have what was in the stream before. A tick that they had in common earlier says nothing of what came since: while a shard
/// has no leader one owner can have what the other gets only with the next one.
pub(crate) async fn agree(nodes: &[Machine]) {
    let (since_ms, mut passed, mut compared) = (now_ms(), BTreeMap::new(), BTreeSet::new());
    until("owners at the same tick", 60, async || {
        for node in nodes {
            for view in node.shards().await {
                let Some(tick) = view.tick.filter(|tick| tick.time_ms > since_ms) else { continue };
                let at = (view.shard.0, view.stream.epoch, tick.sequence);
                let hashes = (tick.content_hash, tick.running_hash);
                let (first, there) = *passed.entry(at).or_insert((node.id, hashes));
                assert_eq!(there, hashes, "owners differ at {at:?}");
                if first != node.id {
                    compared.insert(view.shard);
                }
            }
        }
        compared.len() == usize::from(SHARDS)
    })
    .await;
}
