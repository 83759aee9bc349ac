//! The stages and their tree: built last first, started as drawn.
//!
//! ```text
//! vagn (one_for_one)
//! ├─ ops          can always say "not ready"
//! ├─ emergency    no other part's crash reaches it
//! ├─ traffic      (rest_for_one) stores (one_for_one: storage-0.. sync-0..) · dispatcher
//! ├─ ingest       pool
//! ├─ queries      pool
//! ├─ web
//! └─ doors        (one_for_one) udp · udp-emergency · tcp: last to start, first to stop
//! ```

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use vagn_otp::{Addr, ChildSpec, Policy, Pool, Queue, QueueSubscriber, Root, Strategy, Supervisor};
use vagn_store::{DataDir, Fleet};

use super::WORK_NICE;
use super::asked::{LiveIncidents, LiveVehicles};
use crate::config::Settings;
use crate::demo;
use crate::dispatcher::{Dispatcher, SubscriptionMetrics};
use crate::door::{Doors, Handover};
use crate::ingest::{self, Ingest, IngestWorker};
use crate::logging::LostLines;
use crate::ops::{self, LateProcesses};
use crate::query::{self, Queries};
use crate::storage::{Around, Storage, StorageMetrics};
use crate::sync::{SyncDesk, SyncMetrics};
use vagn_api::incidents::requests;
use vagn_api::{Intake, QueryMetrics, Streams};
use vagn_emergency::{self, EmergencyHandle, EmergencyMetrics};
use vagn_flow::batch::{Batch, Source, Traffic};
use vagn_flow::clock::Clock;
use vagn_flow::metrics::{DoorMetrics, Registry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::stamp::Stamper;
use vagn_http::body::Budget;
use vagn_http::principal::Tokens;
use vagn_http::server::{self, Limits, Server};
use vagn_http::tls::Identity;

/// Pause before a part that failed is started again: doubles from the first to the second, and is short again once the
/// part has run for so long. Such a part never takes the process down.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));

/// Longest body of one request, bytes: some 50 000 positions.
const BODY_MAX: usize = 8 << 20;
/// Longest that a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Most bytes in bodies that are being read, all requests together.
const BODIES_MAX: usize = 64 << 20;

/// Longest a stage may take at a stop to finish what is queued.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// Questions to an actor that is asked rarely.
const SMALL_MAILBOX: usize = 16;

/// What is bound before anything starts, and outlives every restart.
pub(super) struct Listeners {
    pub(super) doors: Doors,
    pub(super) http: Vec<TcpListener>,
    pub(super) ops: Vec<TcpListener>,
}

impl Listeners {
    /// The first address of each.
    pub(super) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let tcp =
            |listeners: &[TcpListener]| listeners.first().and_then(|listener| listener.local_addr().ok());
        let all = [
            ("udp", self.doors.udp_addresses().first().copied()),
            ("tcp", self.doors.tcp_addresses().first().copied()),
            ("http", tcp(&self.http)),
            ("ops", tcp(&self.ops)),
        ];
        all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
    }
}

/// Everything that the stages are made of.
pub(super) struct Stages {
    pub(super) settings: Settings,
    pub(super) identity: Identity,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stamper: Arc<Stamper>,
    pub(super) registry: Arc<Registry>,
    pub(super) reports: Arc<ReportMetrics>,
    pub(super) doors: DoorMetrics,
    pub(super) readiness: Arc<Readiness>,
    pub(super) emergency_runtime: Handle,
    pub(super) demo: bool,
}

impl Stages {
    /// Builds the stages, last one first, and starts their tree.
    pub(super) async fn start(self, data: DataDir, listeners: Listeners) -> anyhow::Result<Root> {
        let topic = Traffic::new("traffic");
        let fleet = Arc::new(Fleet::new(data.partitions() as usize));
        let (storages, stores) = self.stores(data, &fleet);
        let (queries, query_pool) = self.query_pool(&fleet);
        let ingest_pool = self.ingest_pool(&topic, &storages);
        let (emergency, emergency_child) = self.emergency(&topic, &fleet)?;
        let dispatcher = self.dispatcher(&topic);
        let handover = self.handover(&topic);
        let vehicles = LiveVehicles { queries, storages };
        let web = self.web(listeners.http, vehicles, &topic, emergency)?;
        let door = listeners.doors.udp_addresses()[0];
        let processes = LateProcesses::default();
        let doors = self.doors(listeners.doors, &handover)?;

        let traffic = Supervisor::new("traffic", Strategy::RestForOne)
            .intensity(2, Duration::from_secs(5))
            .child(ChildSpec::supervisor(stores))
            .child(dispatcher);
        let root = Supervisor::new("vagn", Strategy::OneForOne)
            .child(self.ops(listeners.ops, &processes))
            .child(emergency_child)
            .child(self.kept(ChildSpec::supervisor(traffic)))
            .child(self.kept(ingest_pool))
            .child(self.kept(query_pool))
            .child(self.kept(web))
            .child(self.kept(doors))
            .child(self.kept(self.clock_mark()))
            .children(self.demo.then(|| self.demo_child(door)));
        let root = root.start().await.context("start the tree")?;
        // It is set once, here.
        drop(processes.set(root.processes()));
        Ok(root)
    }

    /// One writer per partition, and beside each the thread that syncs what it wrote.
    fn stores(&self, data: DataDir, fleet: &Arc<Fleet>) -> (Arc<[Addr<Storage>]>, Supervisor) {
        let data = Arc::new(RwLock::new(data));
        let mut supervisor = Supervisor::new("stores", Strategy::OneForOne);
        let mut storages = Vec::new();
        let metrics = StorageMetrics::new(&self.registry);
        let sync_metrics = SyncMetrics::new(&self.registry);
        for number in 0..fleet.partitions() as u32 {
            let desk = SyncDesk::new(self.settings.fsync, self.clock.clone(), sync_metrics.clone());
            let around = Arc::new(self.around(&data, number, fleet, Arc::new(desk), &metrics));
            let sync = around.sync.clone();
            let (storage, child) = self.storage(around);
            storages.push(storage);
            let syncing = ChildSpec::thread(&format!("sync-{number}"), move |ctx| sync.run(&ctx));
            let syncing = syncing.never_abandon().shutdown(DRAIN_WITHIN).watchdog(self.settings.hang_limit.0);
            supervisor = supervisor.child(child).child(syncing);
        }
        (storages.into(), supervisor)
    }

    fn around(
        &self,
        data: &Arc<RwLock<DataDir>>,
        number: u32,
        fleet: &Arc<Fleet>,
        sync: Arc<SyncDesk>,
        metrics: &StorageMetrics,
    ) -> Around {
        Around {
            data: data.clone(),
            number,
            settings: store_settings(&self.settings, fleet.partitions()),
            fleet: fleet.clone(),
            sync,
            clock: self.clock.clone(),
            stamper: self.stamper.clone(),
            metrics: metrics.clone(),
            readiness: self.readiness.clone(),
        }
    }

    /// Two writers of one log would be worse than none, so a stuck one is waited for.
    fn storage(&self, around: Arc<Around>) -> (Addr<Storage>, ChildSpec) {
        let name = format!("storage-{}", around.number);
        let mailbox = self.settings.pools.storage_mailbox as usize;
        let (storage, child) = ChildSpec::actor(&name, mailbox, move || Storage::new(around.clone()));
        let child = child.on_thread().nice(WORK_NICE).never_abandon().shutdown(DRAIN_WITHIN);
        (storage, child.watchdog(self.settings.hang_limit.0))
    }

    fn query_pool(&self, fleet: &Arc<Fleet>) -> (Queries, ChildSpec) {
        let pools = &self.settings.pools;
        let workers = workers(pools.query_workers, cores().max(2));
        query::pool(workers, pools.query_queue as usize, WORK_NICE, self.settings.hang_limit.0, fleet.clone())
    }

    /// Two queues, served fairly: what came over UDP is shed when its queue is full, all else is waited for.
    fn ingest_pool(&self, topic: &Traffic, storages: &Arc<[Addr<Storage>]>) -> ChildSpec {
        let pools = &self.settings.pools;
        let shed: Queue<Arc<Batch>> = Queue::new(pools.shed_queue as usize);
        let wait: Queue<Arc<Batch>> = Queue::new(pools.wait_queue as usize);
        let is_udp = |batch: &Arc<Batch>| batch.source() == Source::Udp;
        let from_udp = move |batch: &Arc<Batch>| is_udp(batch).then(|| batch.clone());
        let from_others = move |batch: &Arc<Batch>| (!is_udp(batch)).then(|| batch.clone());
        let shedding = QueueSubscriber::new(&shed, Policy::DropOldest, from_udp);
        topic.subscribe("ingest-shed", shedding.on_drop(|batch| ingest::shed(&batch)));
        let waiting = QueueSubscriber::new(&wait, Policy::Wait, from_others);
        topic.subscribe("ingest-wait", waiting.on_drop(|batch| ingest::shed(&batch)));
        let ingest = Arc::new(Ingest { storages: storages.clone(), shed: shed.clone(), wait: wait.clone() });
        let (_, child) = Pool::builder("ingest")
            .workers(workers(pools.ingest_workers, cores() / 2))
            .lane("shed", &shed)
            .lane("wait", &wait)
            .nice(WORK_NICE)
            .shutdown(DRAIN_WITHIN)
            .watchdog(self.settings.hang_limit.0)
            .child(move |number| IngestWorker::new(number, ingest.clone()));
        child
    }

    fn emergency(&self, topic: &Traffic, fleet: &Arc<Fleet>) -> anyhow::Result<(EmergencyHandle, ChildSpec)> {
        let around = vagn_emergency::Parts {
            data_dir: self.settings.data_dir.clone(),
            targets: self.settings.emergency.targets()?,
            open_max: self.settings.max_open_incidents as usize,
            resolve_after: self.settings.emergency.resolve_after.0,
            vehicles: Arc::new(vagn_emergency::LiveFleet::new(fleet.clone())),
            seeds: vagn_emergency::Seeds { ids: fastrand::u64(..), jitter: fastrand::u64(..) },
            clock: self.clock.clone(),
            metrics: EmergencyMetrics::new(&self.registry),
            readiness: self.readiness.clone(),
            hang_limit: self.settings.hang_limit.0,
            runtime: Some(self.emergency_runtime.clone()),
        };
        Ok(vagn_emergency::start(topic, around))
    }

    fn dispatcher(&self, topic: &Traffic) -> ChildSpec {
        let topic = topic.clone();
        let metrics = SubscriptionMetrics::new(&self.registry);
        let new = move || Dispatcher::new(topic.clone(), metrics.clone());
        let (_, child) = ChildSpec::actor("dispatcher", SMALL_MAILBOX, new);
        child.watchdog(self.settings.hang_limit.0)
    }

    fn handover(&self, topic: &Traffic) -> Handover {
        Handover {
            topic: topic.clone(),
            stamper: self.stamper.clone(),
            clock: self.clock.clone(),
            reports: self.reports.clone(),
            doors: self.doors.clone(),
        }
    }

    fn ops(&self, listeners: Vec<TcpListener>, processes: &LateProcesses) -> ChildSpec {
        self.registry.register_collector(Box::new(LostLines));
        let router = ops::router(ops::Services {
            registry: self.registry.clone(),
            readiness: self.readiness.clone(),
            processes: processes.clone(),
            fault_injection: self.settings.ops.fault_injection,
        });
        let server = Server::new(router, None, Limits::default(), self.doors.clone());
        server::child("ops", server, listeners).watchdog(self.settings.hang_limit.0)
    }

    fn web(
        &self,
        listeners: Vec<TcpListener>,
        vehicles: LiveVehicles,
        topic: &Traffic,
        emergency: EmergencyHandle,
    ) -> anyhow::Result<ChildSpec> {
        let router = vagn_api::router(vagn_api::Services {
            vehicles: Arc::new(vehicles),
            incidents: Arc::new(LiveIncidents(emergency)),
            intake: Intake {
                traffic: topic.clone(),
                stamper: self.stamper.clone(),
                reports: self.reports.clone(),
                budget: Budget::new(BODY_MAX, BODY_WITHIN, BODIES_MAX),
            },
            deeds: requests::budget(),
            streams: Streams::default(),
            clock: self.clock.clone(),
            metrics: QueryMetrics::new(&self.registry),
            tokens: Tokens::new(&self.settings.http.tokens),
        });
        let tls = self.identity.server_config(&[b"h2", b"http/1.1"]).context("set up TLS for the API")?;
        let limits =
            Limits { max_connections: self.settings.http.max_connections as usize, ..Limits::default() };
        let server = Server::new(router, Some(tls), limits, self.doors.clone());
        Ok(server::child("web", server, listeners).watchdog(self.settings.hang_limit.0))
    }

    fn doors(&self, doors: Doors, handover: &Handover) -> anyhow::Result<ChildSpec> {
        let tls = self.identity.server_config(&[]).context("set up TLS for the TCP door")?;
        let (limit, (first, longest)) = (self.settings.hang_limit.0, BACKOFF);
        let children = doors.children(tls, handover, &self.registry).into_iter();
        let children = children.map(|child| child.watchdog(limit).backoff(first, longest));
        Ok(ChildSpec::supervisor(Supervisor::new("doors", Strategy::OneForOne).children(children)))
    }

    /// Keeps the mark of the arrival stamps ahead of the clock.
    fn clock_mark(&self) -> ChildSpec {
        let stamper = self.stamper.clone();
        let mark = ChildSpec::thread("clock", move |ctx| {
            ctx.ready();
            while !ctx.sleep(Stamper::RENEW_EVERY) {
                ctx.beat();
                stamper.renew_mark()?;
            }
            Ok(())
        });
        mark.watchdog(self.settings.hang_limit.0)
    }

    fn demo_child(&self, door: SocketAddr) -> ChildSpec {
        let clock = self.clock.clone();
        let driving = ChildSpec::thread("demo", move |ctx| demo::drive(&ctx, &*clock, door));
        self.kept(driving.watchdog(self.settings.hang_limit.0))
    }

    /// A part without which others still make sense: started again for as long as it takes.
    fn kept(&self, child: ChildSpec) -> ChildSpec {
        child.backoff(BACKOFF.0, BACKOFF.1)
    }
}

fn store_settings(settings: &Settings, partitions: usize) -> vagn_store::Settings {
    vagn_store::Settings {
        max_vehicles: (settings.max_vehicles as usize).div_ceil(partitions),
        forget_after_ms: settings.forget_after.as_ms(),
        history_keep_ms: settings.history.keep.as_ms(),
        free_floor_bytes: settings.free_floor_bytes,
        hash_seed: fastrand::u64(..),
        ..vagn_store::Settings::default()
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// So many workers as are set, or by the machine when none are.
fn workers(set: u32, by_machine: usize) -> usize {
    if set > 0 { set as usize } else { by_machine.max(1) }
}
