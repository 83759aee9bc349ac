//! The map: every stage, built last first, each with the handle of the next, and started as drawn.
//!
//! | stage | file | is given |
//! |---|---|---|
//! | store | `store.rs`, or in a cluster `cluster.rs` | the data directory, or brokers and the directory of the node; the fleet, which it fills |
//! | query | `query.rs` | the fleet, or in a cluster the way to its shards |
//! | ingest | `ingest.rs` | the topic; the storages, or the queue of the courier |
//! | emergency | `emergency.rs` | the topic, the fleet |
//! | calls for help of a cluster | `trail.rs` | the way to the node, the emergency lane |
//! | live map | `live.rs` | the topic of positions, the fleet, the emergency lane |
//! | streams | `stream.rs` | the topic of what is stored, the fleet |
//! | API | `api.rs` | the intake, queries, the storages or the cluster, streams, the emergency lane, the live map |
//! | doors | `doors.rs` | the intake, and who is known to the emergency lane |
//! | keys | `keys.rs` | the registry, the emergency lane |
//! | control | `registry.rs` | the registry, the guard of the doors, the copier, what is seen of the cluster |
//! | memory | `memory.rs` | the bound of answers |
//! | ops | `ops.rs` | the metrics, the process list, vehicles that behave oddly |
//!
//! ```text
//! vagn (one_for_one)
//! ├─ ops          can always say "not ready"
//! ├─ emergency    no other part's crash reaches it
//! ├─ traffic      (rest_for_one) stores (one_for_one: storage-0.. sync-0..) · dispatcher;
//! │               with --nats in place of stores: cluster (one_for_one: shard-.. node · shelf · courier)
//! ├─ census       keeps on disk who is known
//! ├─ calls        with --nats: (one_for_one) trail · trail-watch
//! ├─ ingest       pool
//! ├─ queries      pool
//! ├─ keeper       of the live map; keeper-coarse beside it
//! ├─ position-streams
//! ├─ memory
//! ├─ credentials · access-log · certificates
//! ├─ web
//! ├─ control      commands on this machine
//! ├─ keys         keeps the keys of the doors equal to the registry
//! ├─ registry     removes what has ended; with --nats beside it registry-copy, which follows that of the cluster
//! └─ doors        (one_for_one) udp · udp-emergency · tcp: last to start, first to stop
//! ```

pub(super) mod api;
pub(super) mod cluster;
mod doors;
mod emergency;
mod ingest;
mod keys;
mod live;
pub(super) mod memory;
mod ops;
mod query;
mod registry;
mod store;
mod stream;
mod trail;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use vagn_api::map::Basemap;
use vagn_emergency::EmergencyHandle;
use vagn_flow::batch::Traffic;
use vagn_flow::clock::Clock;
use vagn_flow::intake::Intake;
use vagn_flow::metrics::{DoorMetrics, MetricRegistry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::stamp::Stamper;
use vagn_flow::trust::Trust;
use vagn_http::credentials::Credentials;
use vagn_http::memory::Memory;
use vagn_live::Positions;
use vagn_otp::{Addr, ChildSpec, Root, Strategy, Supervisor};
use vagn_registry::Registry;
use vagn_shard::FleetShard;
use vagn_store::{DataDir, Fleet, PartList};

use super::asked::LiveVehicles;
use super::certificates::{self, Certificates};
use super::copier::LiveCopier;
use super::places::PortPlaces;
use crate::cluster::NodeLink;
use crate::config::Settings;
use crate::control::{ClusterShown, ControlSocket};
use crate::dispatcher::{Dispatcher, SubscriptionMetrics};
use crate::door::{Doors, UDP};
use crate::keys::DepartedKeys;
use crate::odd::OddFleet;
use crate::ops::ShowCluster;
use crate::query::Queries;
use crate::storage::Storage;
use cluster::ClusterHandle;

/// Pause before a part that failed is started again: doubles from the first to the second, and is short again once the
/// part has run for so long. Such a part never takes the process down.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));

/// Longest a stage may take at a stop to finish what is queued.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// Room in the mailbox of an actor that is asked rarely.
const SMALL_MAILBOX: usize = 16;

/// Sockets that are bound before anything starts, and outlive every restart.
pub(super) struct Listeners {
    pub(super) doors: Doors,
    pub(super) http: Vec<TcpListener>,
    pub(super) ops: Vec<TcpListener>,
    /// `None` where it could not be bound.
    pub(super) control: Option<ControlSocket>,
}

impl Listeners {
    /// Returns the first address of each.
    pub(super) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let servers = [("http", &self.http), ("ops", &self.ops)];
        let servers =
            servers.into_iter().filter_map(|(name, all)| Some((name, all.first()?.local_addr().ok()?)));
        self.doors.addresses().chain(servers).collect()
    }
}

/// Parts that the stages are made of.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) certificates: Arc<Certificates>,
    pub(super) clock: Arc<dyn Clock>,
    /// Parts of the data directory that must be there.
    pub(super) part_list: PartList,
    /// Devices, tokens and shares.
    pub(super) registry: Registry,
    /// Mark of the key that wraps secrets.
    pub(super) wrapped_by: Option<String>,
    /// Name of this node; `None` on one machine.
    pub(super) node_name: Option<String>,
    /// Leads to the node.
    pub(super) link: NodeLink<FleetShard>,
    /// Tokens, sessions and shares, in memory.
    pub(super) credentials: Credentials,
    pub(super) stamper: Arc<Stamper>,
    pub(super) trust: Arc<Trust>,
    pub(super) metric_registry: Arc<MetricRegistry>,
    pub(super) reports: Arc<ReportMetrics>,
    pub(super) places: PortPlaces,
    /// Shared by the doors and both HTTP servers.
    pub(super) doors: DoorMetrics,
    /// Memory of the answers of both HTTP servers.
    pub(super) memory: Arc<Memory>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) emergency_runtime: Handle,
    /// For the handshakes of TLS.
    pub(super) handshake_runtime: Handle,
    /// For the connections of viewers.
    pub(super) view_runtime: Handle,
    pub(super) basemap: Arc<Basemap>,
    /// Port of the UDP door, if there is one here.
    pub(super) udp_port: Option<u16>,
    pub(super) demo: bool,
}

/// What keeps positions.
#[derive(Clone)]
pub(super) enum Keeping {
    /// The storages of this machine, by partition.
    Storages(Arc<[Addr<Storage>]>),
    /// The nodes of a cluster.
    Cluster(ClusterHandle),
}

/// The running tree, and the pool that questions can be put to.
pub(super) struct Tree {
    pub(super) root: Root,
    pub(super) queries: Queries,
    /// `None` on one machine.
    pub(super) cluster: Option<ClusterHandle>,
}

/// Builds the stages, last one first, and starts their tree.
pub(super) async fn start(parts: Parts, data: DataDir, listeners: Listeners) -> anyhow::Result<Tree> {
    let traffic = Traffic::new("traffic");
    let is_cluster = parts.settings.cluster.is_set();
    let fleet = Arc::new(match is_cluster {
        true => cluster::fleet(&parts.settings),
        false => Fleet::new(data.partitions() as usize),
    });
    let known = Arc::new(emergency::known(&parts, &fleet));
    let guarding = keys::build(&parts)?;
    let intake = Intake::new(traffic.clone(), parts.stamper.clone(), parts.reports.clone());
    let guard = guarding.guard.clone();
    let intake = intake.guarded(guard.clone());
    let demo_door = listeners.doors.addresses().find(|(name, _)| parts.demo && *name == UDP);

    let data = Arc::new(RwLock::new(data));
    let positions = Positions::new("positions");
    let odd = OddFleet::new(fleet.partitions());
    let (keeping, stores) = if is_cluster {
        let (cluster, child) = cluster::build(&parts, &fleet, &known, &odd, &positions)?;
        (Keeping::Cluster(cluster), child)
    } else {
        let (storages, child) = store::build(&parts, &data, &fleet, &odd, &positions);
        (Keeping::Storages(storages), child)
    };
    let departed = match &keeping {
        Keeping::Storages(storages) => Some(DepartedKeys::new(fleet.clone(), storages.clone())),
        Keeping::Cluster(_) => None,
    };
    let (queries, query_pool) = query::build(&parts, &fleet, &keeping);
    let ingest_pool = ingest::build(&parts, &traffic, &keeping);
    let emergency::Lane { incidents, node: lane, is_known, child: emergency, census } =
        emergency::build(&parts, &traffic, &known)?;
    let cluster = keeping.cluster().cloned();
    let calls = match cluster.as_ref().zip(lane) {
        Some((cluster, lane)) => Some(trail::build(&parts, cluster, lane)?),
        None => None,
    };
    let (shown, calls) = calls.unzip();
    let shown = shown.map(|shown| Arc::new(shown) as Arc<dyn ClusterShown>);
    let vehicles = LiveVehicles {
        queries: queries.clone(),
        fleet: fleet.clone(),
        keeping,
        odd: odd.clone(),
        clock: parts.clock.clone(),
    };
    let keys = keys::child(&parts, guarding, incidents.clone(), departed);
    let (tiles, keepers) = live::build(&parts, &positions, &fleet, &incidents);
    let (streams, streaming) = stream::build(&parts, &positions, &fleet);
    let copier = copier(&parts, &data, &incidents);
    let api = api::build(&parts, listeners.http, &intake, vehicles, streams, incidents, tiles)?;
    let doors = doors::build(&parts, listeners.doors, &intake, is_known)?;
    let show = shown.clone().map(|shown| Arc::new(move || shown.status()) as ShowCluster);
    let (processes, ops) = ops::build(&parts, listeners.ops, odd, show);

    let control = listeners.control.map(|socket| registry::control(&parts, socket, copier, guard, shown));

    let traffic_tree = Supervisor::new("traffic", Strategy::RestForOne)
        .intensity(2, Duration::from_secs(5))
        .child(stores)
        .child(dispatcher(&parts, &traffic));
    let root = Supervisor::new("vagn", Strategy::OneForOne)
        .child(ops)
        .child(emergency)
        .child(kept(ChildSpec::supervisor(traffic_tree)))
        // It is stopped before the fleet that it reads.
        .child(kept(census))
        // It is stopped before the connections that it uses, and before the lane.
        .children(calls.map(kept))
        .child(kept(ingest_pool))
        .child(kept(query_pool))
        .children(keepers.map(kept))
        .child(kept(streaming))
        .children(api.into_iter().map(kept))
        .children(control.map(kept))
        .child(kept(keys))
        .child(kept(registry::tidy(&parts)))
        .children(registry::keeper(&parts).map(kept))
        .child(kept(doors))
        .child(kept(ops::clock_mark(&parts)))
        .child(kept(memory::build(&parts)))
        .child(kept(certificates::child(parts.certificates.clone(), parts.trust.clone(), &parts.settings)))
        .children(demo_door.map(|(_, address)| kept(ops::demo(&parts, address))));
    let root = root.start().await.context("start the tree")?;
    processes.get_or_init(|| root.processes());
    Ok(Tree { root, queries, cluster })
}

impl Keeping {
    /// Returns the way to the cluster; `None` on one machine.
    fn cluster(&self) -> Option<&ClusterHandle> {
        match self {
            Self::Storages(_) => None,
            Self::Cluster(cluster) => Some(cluster),
        }
    }
}

fn copier(parts: &Parts, data: &Arc<RwLock<DataDir>>, incidents: &EmergencyHandle) -> LiveCopier {
    LiveCopier {
        data: data.clone(),
        incidents: incidents.clone(),
        registry: parts.registry.clone(),
        clock: parts.clock.clone(),
        spare: parts.settings.free_floor_bytes,
        is_node: parts.settings.cluster.is_set(),
        one_at_a_time: Mutex::default(),
    }
}

fn dispatcher(parts: &Parts, traffic: &Traffic) -> ChildSpec {
    let metrics = SubscriptionMetrics::new(&parts.metric_registry);
    let traffic = traffic.clone();
    let new = move || Dispatcher::new(traffic.clone(), metrics.clone());
    let (_, child) = ChildSpec::actor("dispatcher", SMALL_MAILBOX, new);
    child.watchdog(parts.settings.hang_limit.0)
}

/// A part without which the others still make sense: started again for as long as it takes.
fn kept(child: ChildSpec) -> ChildSpec {
    child.backoff(BACKOFF.0, BACKOFF.1)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Returns the number of workers that is set, or that of the machine when none is.
fn workers(set: u32, by_machine: usize) -> usize {
    if set > 0 { set as usize } else { by_machine.max(1) }
}
