//! Three brokers, and nodes with data directories of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::brokers::Brokers;
use crate::vagn::{Vagn, command};

use super::scene::{PATIENCE, POLL};

/// Shards of the data set: each of three nodes owns four of six.
pub(crate) const SHARDS: u16 = 6;

/// Where a node takes reports, and questions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doors {
    pub(crate) tcp: SocketAddr,
    pub(crate) http: SocketAddr,
    /// It answers questions.
    pub(crate) answers: bool,
}

/// Doors of all nodes that run, as senders and readers know them.
pub(crate) type Directory = Arc<Mutex<Vec<Option<Doors>>>>;

/// A cluster of nodes.
pub(crate) struct Cluster {
    nodes: Vec<Option<Vagn>>,
    pub(crate) directory: Directory,
    folders: TempDir,
    /// Addresses of brokers that nodes are told.
    list: String,
    /// Further settings of `[cluster]`.
    settings: String,
    pub(crate) brokers: Brokers,
}

impl Cluster {
    /// Starts three brokers and three nodes, and waits until the nodes are ready.
    pub(crate) fn start() -> Self {
        let mut cluster = Self::without_nodes();
        (0..3).for_each(|node| cluster.launch(node));
        (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
        cluster
    }

    /// Starts three brokers.
    pub(crate) fn without_nodes() -> Self {
        Self::over(Brokers::start())
    }

    /// A cluster over these brokers, without nodes as yet.
    pub(crate) fn over(brokers: Brokers) -> Self {
        Self::over_with(brokers, "")
    }

    /// The same, with further settings of `[cluster]`.
    pub(crate) fn over_with(brokers: Brokers, settings: &str) -> Self {
        let folders = TempDir::new().unwrap();
        Self {
            nodes: Vec::new(),
            directory: Directory::default(),
            folders,
            list: brokers.list(),
            settings: settings.to_owned(),
            brokers,
        }
    }

    /// Starts three nodes over these brokers at the addresses of this list, with further settings of `[cluster]`, and waits until each shard has
    /// two owners.
    pub(crate) async fn start_over(brokers: Brokers, list: &str, settings: &str) -> Self {
        let mut cluster = Self { list: list.to_owned(), ..Self::over_with(brokers, settings) };
        (0..3).for_each(|node| cluster.launch(node));
        (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
        cluster.wait_whole().await;
        cluster
    }

    /// Returns the data directory of a node.
    pub(crate) fn dir(&self, node: usize) -> PathBuf {
        self.folders.path().join(format!("node-{node}"))
    }

    /// Starts a node, and waits only until it listens.
    pub(crate) fn launch(&mut self, node: usize) {
        self.launch_by(node, command(), &[]);
    }

    /// Starts a node by this command, with further arguments, and waits only until it listens.
    pub(crate) fn launch_by(&mut self, node: usize, by: Command, further: &[&str]) {
        let config = format!("[cluster]\nshards = {SHARDS}\n{}", self.settings);
        let config = crate::vagn::settings(self.folders.path(), &config);
        let name = format!("node-{node}");
        let args = [&["--config", &config, "--nats", &self.list, "--node", &name], further].concat();
        let vagn = Vagn::launch_by(by, &self.dir(node), &args);
        let doors = Doors {
            tcp: vagn.address("tcp"),
            http: vagn.address("http"),
            answers: !further.contains(&"ingest"),
        };
        let mut directory = self.directory.lock().unwrap();
        let count = directory.len().max(node + 1);
        directory.resize(count, None);
        directory[node] = Some(doors);
        self.nodes.resize_with(count, || None);
        self.nodes[node] = Some(vagn);
    }

    pub(crate) fn node(&self, node: usize) -> &Vagn {
        self.nodes[node].as_ref().expect("it runs")
    }

    pub(crate) fn node_mut(&mut self, node: usize) -> &mut Vagn {
        self.nodes[node].as_mut().expect("it runs")
    }

    /// Kills a node as a crash would.
    pub(crate) fn kill(&mut self, node: usize) {
        self.node_mut(node).kill();
        self.nodes[node] = None;
        self.directory.lock().unwrap()[node] = None;
    }

    /// Asks a node to stop, and waits until it has.
    pub(crate) fn stop(&mut self, node: usize) {
        let stopped = self.nodes[node].take().expect("it runs");
        let (ended, log) = stopped.stop();
        self.directory.lock().unwrap()[node] = None;
        assert!(ended.success(), "{ended}\n{log}");
    }

    /// Starts a node again and waits until it is ready.
    pub(crate) fn start_again(&mut self, node: usize) {
        self.launch(node);
        self.node_mut(node).wait_ready();
    }

    /// Nodes that run, by number.
    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Vagn)> {
        self.nodes.iter().enumerate().filter_map(|(number, node)| Some((number, node.as_ref()?)))
    }

    /// Nodes that run and answer questions.
    pub(crate) fn answering(&self) -> Vec<usize> {
        let directory = self.directory.lock().unwrap();
        (0..directory.len()).filter(|node| directory[*node].is_some_and(|doors| doors.answers)).collect()
    }

    /// What each node that runs says of the cluster.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.running().map(|(number, _)| self.said_by(number)).collect()
    }

    /// What a node says of the cluster.
    pub(crate) fn said_by(&self, node: usize) -> Value {
        let said = self.node(node).control(&json!({"cluster_status": {}})).pop();
        said.map_or(Value::Null, |said| said["ok"].clone())
    }

    /// Waits until each shard has two owners that have all, and each node says so.
    pub(crate) async fn wait_whole(&self) {
        self.wait_until("not two copies of each shard", has_two_copies).await;
    }

    /// Waits until that is so, nobody else is to become an owner, and each of three nodes owns as many shards as the others.
    pub(crate) async fn wait_even(&self) {
        self.wait_until("shards are not spread evenly", is_even).await;
    }

    async fn wait_until(&self, fault: &str, holds: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            sleep(POLL).await;
            let seen = self.statuses();
            if seen.iter().all(&holds) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{fault}: {seen:#?}");
        }
    }

    /// Returns the shards of which only these nodes have all, in rising order. Each shard must have two owners.
    pub(crate) fn owned_by(&self, nodes: &[usize]) -> Vec<u16> {
        let names: Vec<_> = nodes.iter().map(|node| format!("node-{node}")).collect();
        let status = self.statuses().swap_remove(0);
        assert!(has_two_copies(&status), "{status:#}");
        let is_theirs = |shard: &u16| {
            full_owners(&status["shards"][usize::from(*shard)]).all(|owner| names.contains(&owner))
        };
        (0..SHARDS).filter(is_theirs).collect()
    }

    /// Begins a new epoch of a shard.
    pub(crate) fn repair(&self, shard: u16) {
        let (node, _) = self.running().next().expect("a node runs");
        let shard = shard.to_string();
        let said =
            command().args(["cluster", "repair", &shard, "--data-dir"]).arg(self.dir(node)).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}

/// Returns what `vagn cluster status --json` says; null while the node starts.
pub(crate) fn status(dir: &Path) -> Value {
    let said = command().args(["cluster", "status", "--json", "--data-dir"]).arg(dir).output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap_or(Value::Null)
}

/// True where each shard has two owners that have all.
pub(crate) fn has_two_copies(status: &Value) -> bool {
    let shards = status["shards"].as_array();
    let whole = |shard: &Value| full_owners(shard).count() == 2;
    shards.is_some_and(|shards| shards.len() == usize::from(SHARDS) && shards.iter().all(whole))
}

/// True where that is so, nobody else is to become an owner, and each node owns four of six shards.
fn is_even(status: &Value) -> bool {
    let shards = status["shards"].as_array().into_iter().flatten();
    let owners: Vec<&Value> = shards.flat_map(|shard| shard["owners"].as_array().unwrap()).collect();
    let of = |name: String| owners.iter().filter(|owner| owner["node"] == name.as_str()).count();
    has_two_copies(status) && owners.len() == 12 && (0..3).all(|node| of(format!("node-{node}")) == 4)
}

/// Names of the owners of a shard that have all of it.
fn full_owners(shard: &Value) -> impl Iterator<Item = String> {
    let owners = shard["owners"].as_array().into_iter().flatten();
    let full = owners.filter(|owner| owner["full"] == true && owner["caught_up"] == true);
    full.map(|owner| owner["node"].as_str().unwrap().to_owned())
}
