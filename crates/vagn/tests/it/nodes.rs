//! Three nodes that have one fleet together, for tests of what they answer.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::vagn::{Vagn, command, eventually};

/// Shards of the data set: each node owns four of six.
pub(crate) const SHARDS: usize = 6;

/// Nodes that run or ran, with the folders that they keep.
pub(crate) struct Nodes {
    nodes: Vec<Option<Vagn>>,
    folders: TempDir,
    config: String,
    brokers: String,
}

impl Nodes {
    /// Starts three nodes at these brokers, with further settings of `[cluster]`, and waits until each shard has two owners.
    pub(crate) async fn start(brokers: &str, settings: &str) -> Self {
        let folders = TempDir::new().unwrap();
        let config = format!("[cluster]\nshards = {SHARDS}\n{settings}");
        let config = crate::vagn::settings(folders.path(), &config);
        let mut nodes = Self { nodes: vec![None, None, None], folders, config, brokers: brokers.to_owned() };
        (0..3).for_each(|node| nodes.launch(node));
        nodes.nodes.iter_mut().flatten().for_each(Vagn::wait_ready);
        nodes.wait_whole().await;
        nodes
    }

    fn launch(&mut self, node: usize) {
        let name = format!("node-{node}");
        let args = ["--config", &self.config, "--nats", &self.brokers, "--node", &name];
        self.nodes[node] = Some(Vagn::launch(&self.dir(node), &args));
    }

    /// Starts one again that was killed.
    pub(crate) fn start_again(&mut self, node: usize) {
        self.launch(node);
        self.nodes[node].as_mut().expect("it was launched").wait_ready();
    }

    pub(crate) fn dir(&self, node: usize) -> PathBuf {
        self.folders.path().join(format!("node-{node}"))
    }

    pub(crate) fn node(&self, node: usize) -> &Vagn {
        self.nodes[node].as_ref().expect("it runs")
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].take().expect("it runs").kill();
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Vagn> {
        self.nodes.iter().flatten()
    }

    /// Waits until each shard has two owners that have all.
    pub(crate) async fn wait_whole(&self) {
        eventually("two copies of each shard", async || {
            (0..3).all(|node| {
                owners(&status(&self.dir(node)))
                    .is_some_and(|owners| owners.iter().all(|owners| owners.len() == 2))
            })
        })
        .await;
    }

    /// Returns the shards of which only these nodes have all, in rising order.
    pub(crate) fn owned_by(&self, nodes: &[usize]) -> Vec<u16> {
        let names: Vec<_> = nodes.iter().map(|node| format!("node-{node}")).collect();
        let owners = owners(&status(&self.dir(0))).expect("the node answers");
        let is_theirs = |shard: &usize| owners[*shard].iter().all(|owner| names.contains(owner));
        (0..owners.len()).filter(is_theirs).map(|shard| shard as u16).collect()
    }
}

/// Returns what `vagn cluster status --json` says; null while the node starts.
pub(crate) fn status(dir: &Path) -> Value {
    let said = command().args(["cluster", "status", "--json", "--data-dir"]).arg(dir).output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap_or(Value::Null)
}

/// Returns the names of the owners that have all, for each shard; `None` while not all is known.
fn owners(status: &Value) -> Option<Vec<Vec<String>>> {
    let shards = status["shards"].as_array().filter(|shards| shards.len() == SHARDS)?;
    let of = |shard: &Value| {
        let owners = shard["owners"].as_array().into_iter().flatten();
        let full = owners.filter(|owner| owner["full"] == true && owner["caught_up"] == true);
        full.map(|owner| owner["node"].as_str().unwrap().to_owned()).collect()
    };
    Some(shards.iter().map(of).collect())
}
