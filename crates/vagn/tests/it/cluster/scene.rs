//! A scene: a cluster under load with senders and readers, and what must be so at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;
use vagn_flow::clock::{Clock, SystemClock};

use super::ledger::Ledger;
use super::nodes::{Cluster, SHARDS};
use super::readers::{Reader, Tally, ask};
use super::senders::{Sender, Way};
use crate::chance::seed;
use crate::vagn::{client, eventually_within};

/// Longest wait for a cluster to get over something. It takes seconds, on a machine that does nothing else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Pause between two looks at the cluster.
pub(crate) const POLL: Duration = Duration::from_millis(200);

/// Vehicles of each sender.
const VEHICLES: usize = 16;

/// A cluster under load.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) chance: fastrand::Rng,
    senders: Vec<Sender>,
    readers: Vec<Reader>,
}

/// Returns `long` with `VAGN_LONG=1`, or else `short`.
pub(crate) fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("VAGN_LONG").is_some() { long } else { short }
}

impl Scene {
    /// Starts a cluster of three nodes, senders and readers, and waits until all is answered.
    pub(crate) async fn begin() -> Self {
        Self::begin_over(Cluster::start()).await
    }

    /// Starts senders and readers over the nodes of a cluster, and waits until all is answered.
    pub(crate) async fn begin_over(cluster: Cluster) -> Self {
        let ledger = Arc::new(Ledger::new());
        let numbers: Vec<usize> = cluster.running().map(|(number, _)| number).collect();
        let start =
            |(way, node): (Way, usize)| Sender::start(way, node, VEHICLES, &cluster.directory, &ledger);
        let ways = numbers.iter().flat_map(|node| [(Way::Tcp, *node), (Way::Http, *node)]);
        let senders: Vec<_> = ways.map(start).collect();
        let answering = cluster.answering();
        let readers =
            answering.iter().map(|node| Reader::start(*node, &cluster.directory, &ledger)).collect();
        let chance = fastrand::Rng::with_seed(seed());
        let scene = Self { cluster, ledger, chance, senders, readers };
        let all = scene.senders.len() * VEHICLES;
        eventually_within(PATIENCE, "an answer to each vehicle", async || {
            scene.ledger.by_vehicle().len() == all
        })
        .await;
        scene.cluster.wait_whole().await;
        scene
    }

    /// Says what is done, for who reads the log of a run that failed.
    pub(crate) fn say(&self, what: &str) {
        eprintln!("{}: {what}", self.ledger.time());
    }

    /// Lets the load go on for a random time.
    pub(crate) async fn random_time(&mut self) {
        sleep(Duration::from_millis(self.chance.u64(100..2_500))).await;
    }

    /// Waits until a newer report of each vehicle is acknowledged.
    pub(crate) async fn goes_on(&self) {
        let (before, began) = (self.ledger.by_vehicle(), Instant::now());
        loop {
            let now = self.ledger.by_vehicle();
            let waiting: Vec<_> = before.iter().filter(|(vehicle, count)| now[*vehicle] <= **count).collect();
            if waiting.is_empty() {
                return;
            }
            if began.elapsed() > PATIENCE {
                show(&self.cluster).await;
                panic!("no newer report of these is acknowledged, after so many: {waiting:?}");
            }
            sleep(POLL).await;
        }
    }

    /// Has a command carried out by the brokers.
    pub(crate) fn order(&mut self, command: &str) -> Value {
        self.say(command);
        self.cluster.brokers.order(command)
    }

    /// Stops the load, and returns the cluster as it is then, with what was answered.
    pub(crate) async fn cut_off(self) -> (Cluster, Arc<Ledger>) {
        let Self { cluster, ledger, senders, readers, .. } = self;
        for sender in senders {
            sender.stop().await;
        }
        for reader in readers {
            reader.stop().await;
        }
        (cluster, ledger)
    }

    /// Stops the load, and checks that every node has all, that replicas agree, that fates add up, and what is demanded of the questions.
    pub(crate) async fn end(self, demand: impl Fn(&Tally)) {
        self.goes_on().await;
        self.cluster.wait_whole().await;
        self.say("ends");
        let Self { cluster, ledger, senders, readers, .. } = self;
        let mut tally = Tally::default();
        for sender in senders {
            sender.stop().await;
        }
        for reader in readers {
            tally.add(reader.stop().await);
        }
        eprintln!("{} reports acknowledged; questions: {tally:#?}", ledger.acknowledged());
        kept(&cluster, &ledger).await;
        agree(&cluster).await;
        add_up(&cluster).await;
        ledger.assert_faultless();
        demand(&tally);
    }
}

/// Every node shows the newest report that was acknowledged for each vehicle, or a newer one.
async fn kept(cluster: &Cluster, ledger: &Ledger) {
    let client = client();
    let (mut lacks, began) = (Vec::new(), Instant::now());
    for node in cluster.answering() {
        loop {
            lacks = match ask(&client, &cluster.directory, node).await {
                Ok(answer) => {
                    let mut lacks = ledger.missing(&answer.shown, Instant::now(), &[]);
                    lacks.extend(answer.missing.iter().map(|shard| format!("shard {shard} is missing")));
                    lacks
                }
                Err(reason) => vec![reason],
            };
            if lacks.is_empty() {
                break;
            }
            if began.elapsed() > PATIENCE {
                show(cluster).await;
                panic!("node {node} misses {} vehicles:\n{}", lacks.len(), lacks.join("\n"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(lacks.is_empty() && ledger.acknowledged() > 0);
}

/// Prints what each node shows.
async fn show(cluster: &Cluster) {
    for status in cluster.statuses() {
        eprintln!("{status}");
    }
    for (node, _) in cluster.running() {
        let answer = ask(&client(), &cluster.directory, node).await;
        eprintln!("node {node}: {:?}", answer.map(|answer| (answer.missing, answer.age, answer.shown)));
    }
}

/// Owners of each shard have the same content and the same fates at a tick that came after this call.
async fn agree(cluster: &Cluster) {
    let since_ms = SystemClock::new().now_ms();
    let (mut passed, mut compared) = (BTreeMap::new(), BTreeSet::new());
    eventually_within(PATIENCE, "owners at the same tick", async || {
        sleep(POLL).await;
        for (node, status) in cluster.statuses().into_iter().enumerate() {
            for shard in status["shards"].as_array().into_iter().flatten() {
                let tick = &shard["tick"];
                if shard["time_ms"].as_i64().is_none_or(|time_ms| time_ms < since_ms) {
                    continue;
                }
                let number = |value: &Value| value.as_u64().unwrap();
                let at = (number(&shard["shard"]), number(&shard["epoch"]), number(&tick["sequence"]));
                let hashes = (tick["content_hash"].clone(), tick["running_hash"].clone());
                let (first, there) = passed.entry(at).or_insert((node, hashes.clone()));
                assert_eq!(*there, hashes, "owners differ at {at:?}: {node} and {first}");
                if *first != node {
                    compared.insert(at.0);
                }
            }
        }
        compared.len() == usize::from(SHARDS)
    })
    .await;
}

/// What each door received is what it has told fates of, and nothing waits.
async fn add_up(cluster: &Cluster) {
    let began = Instant::now();
    for (number, node) in cluster.running() {
        loop {
            let (received, fates) =
                (node.metric("vagn_reports_received_total").await as u64, node.fates().await);
            let waiting = node.metric("vagn_cluster_changes_waiting").await;
            if received == fates && waiting == 0.0 {
                break;
            }
            let adds_up = format!(
                "node {number} received {received} reports, told {fates} fates, and {waiting} changes wait"
            );
            assert!(began.elapsed() < PATIENCE, "{adds_up}");
            sleep(POLL).await;
        }
    }
}
