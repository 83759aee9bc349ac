//! Three brokers and three nodes on both cores of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use vagn_load::exposition::{Sample, samples};

use crate::bench::Bench;
use crate::brokers::Brokers;
use crate::machine::BOTH_CORES;
use crate::service::{Plan, Service};

/// Shards of the data set, as many as a data set has unless told otherwise.
pub(super) const SHARDS: usize = 8;

/// Nodes.
pub(super) const NODES: usize = 3;

/// Copies of each shard.
const COPIES: usize = 2;

/// Longest wait until each shard has all its copies.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// Pause between two looks at the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Parts that the nodes have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Layout {
    /// All nodes do everything.
    Alike,
    /// The first is a door that answers questions too, and the others keep the shards.
    ByPart,
}

impl Layout {
    fn roles(self, node: usize) -> &'static str {
        match (self, node) {
            (Self::Alike, _) => "ingest,store,query",
            (Self::ByPart, 0) => "ingest,query",
            (Self::ByPart, _) => "store",
        }
    }
}

/// A cluster that runs. Everything ends when it is dropped.
pub(super) struct Rig {
    nodes: Vec<Option<Service>>,
    plans: Vec<Plan>,
    pub(super) brokers: Brokers,
}

/// Processor time used so far, in seconds.
#[derive(Debug, Clone)]
pub(super) struct Cpu {
    pub(super) brokers_s: f64,
    pub(super) nodes_s: Vec<f64>,
}

impl Rig {
    /// Starts it over fresh data in `dir`; `sync` as for [`Brokers::start`]. Waits until each shard has its copies.
    pub(super) fn start(bench: &Bench, dir: &Path, layout: Layout, sync: &str) -> anyhow::Result<Self> {
        Self::start_with(bench, dir, layout, sync, &[])
    }

    /// The same, with further settings of each node, which go before the others.
    pub(super) fn start_with(
        bench: &Bench,
        dir: &Path,
        layout: Layout,
        sync: &str,
        further: &[(&'static str, &str)],
    ) -> anyhow::Result<Self> {
        // Most often there is none.
        let _removed = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let brokers = Brokers::start(&dir.join("brokers"), sync)?;
        let plan = |node| {
            let plan = Plan::fresh(&bench.vagn, dir, &format!("node-{node}"));
            let plan = Plan { cores: BOTH_CORES.to_owned(), ..plan };
            let plan = plan.with("CLUSTER_NATS", brokers.list()).with("CLUSTER_NODE", format!("node-{node}"));
            let plan = plan.with("CLUSTER_ROLE", layout.roles(node)).with("CLUSTER_SHARDS", SHARDS);
            further.iter().fold(plan, |plan, (name, value)| plan.with(name, value))
        };
        let plans: Vec<_> = (0..NODES).map(plan).collect();
        let mut rig = Self { nodes: (0..NODES).map(|_| None).collect(), plans, brokers };
        // A door can store nothing before there are stores, and is not ready before.
        (0..NODES).rev().try_for_each(|node| rig.launch(node))?;
        rig.wait_whole()?;
        Ok(rig)
    }

    /// Starts a node that does not run, and waits until it is ready.
    pub(super) fn launch(&mut self, node: usize) -> anyhow::Result<()> {
        let plan = self.plans[node].clone();
        self.nodes[node] = Some(Service::start(plan).with_context(|| format!("start node {node}"))?);
        Ok(())
    }

    /// Ends a node as a crash does.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    /// Returns a node that runs.
    pub(super) fn node(&self, node: usize) -> anyhow::Result<&Service> {
        self.nodes[node].as_ref().with_context(|| format!("node {node} does not run"))
    }

    /// Returns the nodes that take reports.
    pub(super) fn doors(&self) -> Vec<&Service> {
        self.nodes.iter().flatten().filter(|node| node.address("tcp").is_ok()).collect()
    }

    /// Waits until each shard has all its copies, and each of them all of its stream.
    pub(super) fn wait_whole(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let mut whole = 0;
            let mut others = 0;
            for node in self.nodes.iter().flatten() {
                let page = node.metrics()?;
                for sample in samples(&page).filter(|sample| sample.name == "vagn_cluster_replicas") {
                    *(if is_caught_up(&sample) { &mut whole } else { &mut others }) += sample.count();
                }
            }
            if (whole, others) == ((COPIES * SHARDS) as u64, 0) {
                return Ok(());
            }
            ensure!(begun.elapsed() < WHOLE_WITHIN, "{whole} replicas have all, and {others} do not");
            sleep(LOOK_EVERY);
        }
    }

    /// Returns the last entry of each shard that some node has.
    pub(super) fn entries(&self) -> anyhow::Result<Vec<u64>> {
        let mut last = vec![0; SHARDS];
        for node in self.nodes.iter().flatten() {
            for (shard, applied) in applied(node)? {
                last[shard] = last[shard].max(applied);
            }
        }
        Ok(last)
    }

    pub(super) fn cpu(&mut self) -> anyhow::Result<Cpu> {
        let brokers_s = self.brokers.cpu_s()?;
        let nodes_s = self.nodes.iter().map(|node| node.as_ref().map_or(0.0, |node| node.process().cpu_s()));
        Ok(Cpu { brokers_s, nodes_s: nodes_s.collect() })
    }
}

/// Returns the shards of a node, each with the last entry that it has applied.
pub(super) fn applied(node: &Service) -> anyhow::Result<Vec<(usize, u64)>> {
    let page = node.metrics()?;
    let applied = samples(&page).filter(|sample| sample.name == "vagn_cluster_replica_applied");
    let shards = applied.filter_map(|sample| Some((sample.label("shard")?.parse().ok()?, sample.count())));
    Ok(shards.filter(|(shard, _)| *shard < SHARDS).collect())
}

/// Returns true when all replicas of a node have all of their streams, and it has some.
pub(super) fn is_caught_up_all(node: &Service) -> anyhow::Result<bool> {
    let page = node.metrics()?;
    let replicas =
        samples(&page).filter(|sample| sample.name == "vagn_cluster_replicas" && sample.value > 0.0);
    let (has_all, lacks): (Vec<_>, Vec<_>) = replicas.partition(is_caught_up);
    Ok(!has_all.is_empty() && lacks.is_empty())
}

fn is_caught_up(sample: &Sample<'_>) -> bool {
    sample.label("stage") == Some("caught_up")
}

/// Returns a folder for files in memory, if this machine has one.
pub(super) fn memory_dir() -> Option<PathBuf> {
    let dir = Path::new("/dev/shm");
    dir.is_dir().then(|| dir.join(format!("vagn-bench-{}", std::process::id())))
}
