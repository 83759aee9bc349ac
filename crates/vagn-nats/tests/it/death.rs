//! Brokers that die, hang and come back under load: what was answered `stored` is kept, and the rest goes on.

use crate::processes::Processes;
use crate::rig::{Load, Machine, assert_kept, nodes, owned};

/// Times that each kind of death is tried.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("VAGN_LONG").is_some() { long } else { short }
}

struct Scene {
    processes: Processes,
    nodes: Vec<Machine>,
    loads: Vec<Load>,
}

impl Scene {
    async fn begin(set: &str) -> Self {
        let processes = Processes::start(&[]);
        let nodes = nodes(&processes, set, 3).await;
        let loads: Vec<Load> = nodes.iter().map(Load::start).collect();
        let scene = Self { processes, nodes, loads };
        scene.goes_on(20).await;
        scene
    }

    /// All nodes store again.
    async fn goes_on(&self, within_s: u64) {
        for load in &self.loads {
            load.goes_on(300, within_s).await;
        }
    }

    fn order(&self, command: &str) {
        // The nodes run on other threads meanwhile.
        drop(tokio::task::block_in_place(|| self.processes.order(command)));
    }

    async fn end(self) {
        owned(&self.nodes).await;
        for load in self.loads {
            assert_kept(&self.nodes, load.stop()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_under_load_costs_nothing_that_was_answered() {
    let scene = Scene::begin("one").await;
    for round in 0..rounds(1, 9) {
        let broker = 1 + round % 3;
        scene.order(&format!("kill {broker}"));
        scene.goes_on(40).await;
        scene.order(&format!("start {broker}"));
        scene.order("healthy");
        scene.goes_on(40).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_brokers_killed_at_once_and_back_cost_nothing_that_was_answered() {
    let scene = Scene::begin("all").await;
    for _ in 0..rounds(1, 6) {
        (1..=3).for_each(|broker| scene.order(&format!("kill {broker}")));
        (1..=3).for_each(|broker| scene.order(&format!("start {broker}")));
        scene.order("healthy");
        scene.goes_on(60).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_is_left_for_the_others() {
    let scene = Scene::begin("hangs").await;
    for round in 0..rounds(1, 6) {
        let broker = 1 + round % 3;
        scene.order(&format!("pause {broker}"));
        scene.goes_on(60).await;
        scene.order(&format!("continue {broker}"));
        scene.order("healthy");
        scene.goes_on(60).await;
    }
    scene.end().await;
}
