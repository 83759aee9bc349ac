//! Nodes with calls for help over brokers: a door, a desk and a store each, and one target.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use vagn_cluster::NodeId;
use vagn_cluster::trail::{AlarmId, DeedOutcome, Duty, TrailHappened, TrailSettings, TrailView};
use vagn_nats::{Brokers, Incoming, TrailDriver, TrailHandle, Unavailable};

use crate::chain::{Trail, read_back};
use crate::desk::{Desk, Incident, Meaning, Store, alarm_bytes};
use crate::office::{Memory, Target};
use crate::processes::Processes;
use crate::rig::{connect, now_ms, spawn, until};

/// Room of the stream.
const ROOM: u64 = 64 << 20;

/// Longest wait for an answer to a person: 2 s, and what a busy machine adds.
const ANSWERED_MAX: Duration = Duration::from_secs(20);

/// What keeps the connections of a node.
pub(crate) type Keeper = BoxFuture<'static, ()>;

/// A node that runs, or has ended.
pub(crate) struct Node {
    pub(crate) id: u64,
    store: Arc<Mutex<Store>>,
    target: Arc<Target>,
    stored: Arc<Mutex<Vec<AlarmId>>>,
    told: Arc<Mutex<Vec<TrailHappened>>>,
    handle: TrailHandle<Desk>,
    task: JoinHandle<()>,
}

impl Node {
    /// Starts a node over these connections, with a store that may be of an earlier run.
    pub(crate) fn start(
        (brokers, keeper): (Brokers, Keeper),
        id: u64,
        store: Arc<Mutex<Store>>,
        target: Arc<Target>,
    ) -> Self {
        let stored = Arc::default();
        let office = Memory::open(id, store, target, Arc::clone(&stored));
        Self::start_with((brokers, keeper), id, office, stored)
    }

    /// Starts a node with such an office.
    pub(crate) fn start_with(
        connected: (Brokers, Keeper),
        id: u64,
        office: Memory,
        stored: Arc<Mutex<Vec<AlarmId>>>,
    ) -> Self {
        Self::start_in(connected, id, (office, stored), (ROOM, TrailSettings::new(NodeId(id), 0).away_ms))
    }

    /// Starts a node whose stream has so much room, and which may be away for so long.
    fn start_in(
        (brokers, keeper): (Brokers, Keeper),
        id: u64,
        (office, stored): (Memory, Arc<Mutex<Vec<AlarmId>>>),
        (room, away_ms): (u64, u64),
    ) -> Self {
        let told: Arc<Mutex<Vec<TrailHappened>>> = Arc::default();
        let (store, target) = office.shared();
        let (desk, tell) = (Desk::new(store.clone()), told.clone());
        let (handle, driver) = TrailDriver::new(
            TrailSettings { away_ms, ..TrailSettings::new(NodeId(id), fastrand::u64(..)) },
            (desk, office),
            (brokers, room),
            Arc::new(now_ms),
            Box::new(move |happened| tell.lock().unwrap().push(happened)),
        );
        let task = spawn(async move {
            tokio::select! {
                () = driver.run() => {}
                () = keeper => {}
            }
        });
        Self { id, store, target, stored, told, handle, task }
    }

    /// Ends it as a crash does.
    pub(crate) async fn end(&mut self) {
        self.task.abort();
        // It has ended already, or is cancelled now.
        drop((&mut self.task).await);
        assert!(self.handle.has_ended());
    }

    pub(crate) async fn view(&self) -> TrailView {
        self.handle.look(|node, now| node.view(now)).await.unwrap()
    }

    /// Alarms of which senders heard `stored` in this run, each as often as they did.
    pub(crate) fn stored(&self) -> Vec<AlarmId> {
        self.stored.lock().unwrap().clone()
    }

    pub(crate) fn forget_answers(&self) {
        self.stored.lock().unwrap().clear();
    }

    pub(crate) fn was_told(&self, is_it: impl Fn(&TrailHappened) -> bool) -> bool {
        self.told.lock().unwrap().iter().any(is_it)
    }

    /// Returns all that its store has.
    pub(crate) fn incidents(&self) -> BTreeMap<u64, Incident> {
        self.store.lock().unwrap().incidents.clone()
    }

    /// Loses what its store has of the trail.
    pub(crate) fn lose_store(&self) {
        *self.store.lock().unwrap() = Store::default();
    }

    pub(crate) fn incident(&self, vehicle: u64) -> Option<Incident> {
        let store = self.store.lock().unwrap();
        store.incidents.values().find(|incident| incident.vehicle == vehicle).cloned()
    }

    /// A vehicle calls for help at this door, or calls again.
    pub(crate) fn raise(&self, vehicle: u64) -> AlarmId {
        self.report(vehicle, 1)
    }

    /// The same, with this report.
    pub(crate) fn report(&self, vehicle: u64, report: u64) -> AlarmId {
        // The door gives each vehicle's incident one id.
        let alarm = AlarmId((vehicle << 16 | self.id).into());
        self.handle.alarm(alarm, alarm_bytes(vehicle, report)).unwrap();
        alarm
    }

    /// A person says that a vehicle needs no help any more.
    pub(crate) async fn resolve(&self, vehicle: u64) -> Result<DeedOutcome, Unavailable> {
        let answered = timeout(ANSWERED_MAX, self.handle.deed(alarm_bytes(vehicle, 0))).await;
        answered.expect("a person is answered")
    }

    pub(crate) fn handle(&self) -> &TrailHandle<Desk> {
        &self.handle
    }
}

/// Returns connections that serve calls for help alone.
pub(crate) fn kept((brokers, incoming): (Brokers, Incoming)) -> (Brokers, Keeper) {
    (brokers, incoming.serve().boxed())
}

/// Three nodes and their target.
pub(crate) struct Service {
    pub(crate) set: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) target: Arc<Target>,
}

impl Service {
    /// Starts three nodes, and waits until one leads.
    pub(crate) async fn begin(processes: &Processes, set: &str) -> Self {
        Self::over(set, |id| kept(connect(processes, set, id)), Arc::default()).await
    }

    /// Starts three nodes whose stream has so much room, and which may be away for so long.
    pub(crate) async fn in_room(processes: &Processes, set: &str, room: (u64, u64)) -> Self {
        let mut service = Self { set: set.to_owned(), nodes: Vec::new(), target: Arc::default() };
        for id in 1..=3 {
            let node = service.node(processes, id, Arc::default(), room);
            service.nodes.push(node);
        }
        service.leader().await;
        service
    }

    fn node(&self, processes: &Processes, id: u64, store: Arc<Mutex<Store>>, room: (u64, u64)) -> Node {
        let stored: Arc<Mutex<Vec<AlarmId>>> = Arc::default();
        let office = Memory::open(id, store, self.target.clone(), Arc::clone(&stored));
        Node::start_in(kept(connect(processes, &self.set, id)), id, (office, stored), room)
    }

    /// Starts a node again that has ended, in such room.
    pub(crate) fn restart_in(&mut self, processes: &Processes, at: usize, room: (u64, u64)) {
        let Node { id, store, .. } = &self.nodes[at];
        self.nodes[at] = self.node(processes, *id, store.clone(), room);
    }

    /// Starts three nodes over such connections, and waits until one leads.
    pub(crate) async fn over(
        set: &str,
        mut connect: impl FnMut(u64) -> (Brokers, Keeper),
        target: Arc<Target>,
    ) -> Self {
        let mut node = |id| Node::start(connect(id), id, Arc::default(), target.clone());
        let service = Self { set: set.to_owned(), nodes: (1..=3).map(&mut node).collect(), target };
        service.leader().await;
        service
    }

    /// Waits until one node of those that run leads, and the others know it.
    pub(crate) async fn leader(&self) -> usize {
        let mut found = None;
        until("one node leads", 60, async || {
            let mut leaders = Vec::new();
            let mut known = Vec::new();
            for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.handle.has_ended()) {
                let view = node.view().await;
                assert_eq!(view.stopped, None, "node {}", node.id);
                leaders.extend((view.duty == Duty::Full).then_some((at, node.id)));
                known.push(view.leader);
            }
            found = leaders.first().map(|(at, _)| *at);
            matches!(leaders[..], [(_, id)] if known.iter().all(|known| *known == Some(NodeId(id))))
        })
        .await;
        found.unwrap()
    }

    /// True if this node leads.
    pub(crate) async fn leads(&self, at: usize) -> bool {
        self.nodes[at].view().await.duty == Duty::Full
    }

    /// The node that leads or led last, if one does. It may do less than everything.
    pub(crate) async fn leader_or_none(&self) -> Option<usize> {
        for (at, node) in self.nodes.iter().enumerate() {
            if matches!(node.view().await.duty, Duty::Full | Duty::FirstOnly) {
                return Some(at);
            }
        }
        None
    }

    pub(crate) async fn end(&mut self, at: usize) {
        self.nodes[at].end().await;
    }

    /// Starts a node again that has ended, with the store it had.
    pub(crate) fn restart(&mut self, processes: &Processes, at: usize) {
        let Node { id, store, target, .. } = &self.nodes[at];
        let connected = kept(connect(processes, &self.set, *id));
        self.nodes[at] = Node::start(connected, *id, store.clone(), target.clone());
    }

    /// Waits until these alarms are answered `stored` by these nodes.
    pub(crate) async fn answered(&self, alarms: &[(usize, AlarmId)], within_s: u64) {
        until("all hear `stored`", within_s, async || {
            alarms.iter().all(|(at, alarm)| self.nodes[*at].stored().contains(alarm))
        })
        .await;
    }

    /// Waits until the target has accepted all of these.
    pub(crate) async fn called(&self, meanings: impl IntoIterator<Item = Meaning>, within_s: u64) {
        let meanings: Vec<Meaning> = meanings.into_iter().collect();
        until("all calls are accepted", within_s, async || {
            meanings.iter().all(|meaning| self.target.has(*meaning))
        })
        .await;
    }

    /// Ends all nodes once they are at the same place, reads the trail back, and compares: one chain, and all stores have what it has.
    pub(crate) async fn compare(mut self, processes: &Processes) -> Trail {
        let mut views = BTreeMap::new();
        until("all nodes are at the same entry", 60, async || {
            for node in &self.nodes {
                let view = node.view().await;
                assert_eq!(view.stopped, None, "node {}", node.id);
                views.insert(node.id, (view.received, view.running_hash, view.unsaved));
            }
            let (received, running_hash, _) = views[&1];
            views.values().all(|view| *view == (received, running_hash, 0))
        })
        .await;
        for at in 0..self.nodes.len() {
            self.end(at).await;
        }
        let trail = read_back(processes, &self.set).await;
        let (received, running_hash, _) = views[&1];
        assert_eq!(trail.hash_at(received), running_hash, "entry {received}");
        for node in &self.nodes {
            let store = node.store.lock().unwrap();
            let mark = store.mark.unwrap();
            assert_eq!(trail.hash_at(mark.sequence), mark.running_hash, "store of node {}", node.id);
        }
        self.target.check_keys();
        trail
    }
}

/// Time from a moment to the first call about a vehicle, for the log.
pub(crate) fn say_delay(what: &str, target: &Target, vehicle: u64, since: Instant) {
    let first = target.of(Meaning::Opening(vehicle)).first().copied();
    let delay = first.map(|call| call.at.duration_since(since));
    eprintln!("{what}: called after {delay:?} by node {:?}", first.map(|call| call.node));
}
