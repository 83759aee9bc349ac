//! A cluster whose vehicles call for help: what is told to its target, and what must be so in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::nodes::Cluster;
use super::scene::POLL;
use crate::brokers::Brokers;
use crate::chance::seed;
use crate::targets::BadTarget;
use crate::tcp::TcpVehicle;
use crate::vagn::{command, eventually_within, report};

/// Longest wait for anything: brokers have elections, and two cores do the work of six machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Looks at trails after which nothing more is expected.
const STILL_LOOKS: usize = 10;

/// No person acknowledges most incidents, and an escalation would come under a key of its own.
pub(crate) const NO_TURNS: &str = "escalate_after = \"1h\"\n";

/// A cluster with one target, and the vehicles that called.
pub(crate) struct Calls {
    pub(crate) cluster: Cluster,
    pub(crate) target: BadTarget,
    /// Vehicles that called.
    pub(crate) called: BTreeSet<String>,
    pub(crate) chance: fastrand::Rng,
    next: usize,
}

impl Calls {
    /// Starts three nodes with a target that accepts all, and waits until one leads and the others know it.
    pub(crate) async fn begin() -> Self {
        Self::begin_with(BadTarget::accepting(), NO_TURNS).await
    }

    /// Starts three nodes with this target and further settings of it.
    pub(crate) async fn begin_with(target: BadTarget, further: &str) -> Self {
        let brokers = Brokers::start();
        let list = brokers.list();
        let settings = target_settings(&target, further);
        Self::over(Cluster::start_over(brokers, &list, &settings).await, target).await
    }

    /// Takes a cluster that runs, and waits until one node leads and the others know it.
    pub(crate) async fn over(cluster: Cluster, target: BadTarget) -> Self {
        let chance = fastrand::Rng::with_seed(seed());
        let calls = Self { cluster, target, called: BTreeSet::new(), chance, next: 0 };
        calls.leader().await;
        calls
    }

    /// Waits until all nodes that run name one of them as the leader, and returns its number.
    pub(crate) async fn leader(&self) -> usize {
        self.leader_of(&self.running()).await
    }

    /// Waits until these nodes name one of them as the leader, and returns its number.
    pub(crate) async fn leader_of(&self, nodes: &[usize]) -> usize {
        let mut found = None;
        eventually_within(PATIENCE, "one leader that all nodes name", async || {
            let leader_at = |node: &usize| self.trail(*node)["leader"].to_string();
            let leaders: BTreeSet<_> = nodes.iter().map(leader_at).collect();
            let is_leader = |node: &&usize| leaders.contains(&format!("\"node-{node}\""));
            found = nodes.iter().find(is_leader).copied();
            leaders.len() == 1 && found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Returns what a node says of the trail.
    pub(crate) fn trail(&self, node: usize) -> Value {
        self.cluster.said_by(node)["trail"].clone()
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        self.cluster.running().map(|(number, _)| number).collect()
    }

    /// A vehicle calls at a node, over UDP and without waiting for an answer.
    pub(crate) fn send_at(&mut self, node: usize, vehicle: &str) {
        self.cluster.node(node).send(&report(vehicle, 59.3, 18.0, true));
        self.called.insert(vehicle.to_owned());
    }

    /// New vehicles call at a node, one through each of its doors. Those at TCP and HTTPS hear that it is stored.
    pub(crate) async fn call_at(&mut self, node: usize) {
        let names: Vec<String> =
            ["udp", "tcp", "https"].iter().map(|door| format!("{door} {} at {node}", self.next)).collect();
        self.next += 1;
        self.called.extend(names.iter().cloned());
        let vagn = self.cluster.node(node);
        vagn.send(&report(&names[0], 59.3, 18.0, true));
        let mut vehicle = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
        vehicle.say(&names[1], 59.3, 18.0, 1, true);
        vehicle.flush().await.unwrap();
        let fate = vehicle.ack().await.map(|(.., fate)| fate);
        let call = json!([{"ID": names[2], "Lat": 59.3, "Lon": 18.0, "Emergency": true}]);
        let (_, answer) = vagn.post("/api/v1/positions", call.to_string()).await;
        // While a broker has just died it may be `failed`, which is perhaps.
        eprintln!("{}: {fate:?} over TCP, {answer} over HTTPS", names[0]);
    }

    pub(crate) async fn call_everywhere(&mut self) {
        for node in self.running() {
            self.call_at(node).await;
        }
    }

    /// Waits until the target has accepted a notice about each vehicle that called.
    pub(crate) async fn all_accepted(&self) {
        eventually_within(PATIENCE, "a notice about each vehicle", async || {
            let told = self.target.openings();
            self.called.iter().all(|vehicle| told.contains_key(vehicle))
        })
        .await;
    }

    /// Waits until each node that runs has one incident of each vehicle that called, recorded and accepted by the target.
    pub(crate) async fn all_recorded(&self) {
        for node in self.running() {
            self.wait_incidents(node, |one| one["recorded"] == true && one["state"] != "open").await;
        }
    }

    /// Waits until a node has one incident of each vehicle that called, of which this is so.
    async fn wait_incidents(&self, node: usize, holds: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let mut by_vehicle = BTreeMap::<String, Vec<Value>>::new();
            for one in self.incidents(node).await {
                by_vehicle.entry(one["vehicle_id"].as_str().unwrap().to_owned()).or_default().push(one);
            }
            let of = |vehicle: &String| by_vehicle.get(vehicle).map(Vec::as_slice).unwrap_or_default();
            let lacks = |vehicle: &&String| !matches!(of(vehicle), [one] if holds(one));
            let lacking: Vec<_> = self.called.iter().filter(lacks).collect();
            let Some(first) = lacking.first() else { return };
            let shown = of(first);
            assert!(
                began.elapsed() < PATIENCE,
                "node {node} lacks {lacking:?}; of the first it has {shown:#?}"
            );
            sleep(POLL).await;
        }
    }

    /// Asks a node for all incidents.
    pub(crate) async fn incidents(&self, node: usize) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/incidents?limit=1000{after}");
            let page = self.cluster.node(node).json(&path).await;
            all.extend(page["incidents"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next"].as_str() else { return all };
            after = format!("&after={next}");
        }
    }

    /// Asks for the incident of a vehicle at a node.
    pub(crate) async fn incident(&self, node: usize, vehicle: &str) -> Value {
        let all = self.incidents(node).await;
        all.into_iter().find(|one| one["vehicle_id"] == vehicle).unwrap_or(Value::Null)
    }

    /// A person resolves all incidents, and each node has that.
    pub(crate) async fn resolve_all(&self) {
        let by = *self.running().first().expect("a node runs");
        for incident in self.incidents(by).await {
            let deed = format!("/api/v1/incidents/{}/resolve", incident["id"].as_str().unwrap());
            let (code, said) = self.cluster.node(by).post(&deed, json!({"by": "anna"}).to_string()).await;
            assert_eq!(code, 200, "{said}");
        }
        for node in self.running() {
            self.wait_incidents(node, |one| one["state"] == "resolved").await;
        }
    }

    /// Kills a node as a crash does.
    pub(crate) fn kill(&mut self, node: usize) {
        eprintln!("node {node} is killed");
        self.cluster.kill(node);
    }

    /// Has all brokers do something, such as `kill`.
    pub(crate) fn all_brokers(&mut self, what: &str) {
        (1..=3).for_each(|broker| drop(self.cluster.brokers.order(&format!("{what} {broker}"))));
    }

    /// Each key means one thing, and each vehicle but these was called in under one.
    pub(crate) fn assert_one_key(&self, but: &BTreeSet<String>) {
        let mut meant = BTreeMap::new();
        for heard in self.target.answered() {
            let means = (heard.vehicle().to_owned(), heard.body["type"].clone());
            let first = meant.entry(heard.key.clone()).or_insert_with(|| means.clone());
            assert_eq!(*first, means, "{} means two things", heard.key);
        }
        for (vehicle, keys) in self.target.openings() {
            let is_one = keys.len() == 1 || but.contains(&vehicle);
            assert!(is_one, "{vehicle} was called in under several keys: {keys:?}");
        }
    }

    /// Waits until all is recorded at all nodes and they stand at one entry, kills them, and compares their trails.
    pub(crate) async fn end(mut self) {
        self.all_accepted().await;
        self.all_recorded().await;
        self.assert_one_key(&BTreeSet::new());
        self.stop_and_compare().await;
    }

    /// Waits until the trails of all nodes have ended alike for some looks.
    async fn wait_still(&self) {
        let (mut last, mut looks) = (BTreeSet::new(), 0);
        eventually_within(PATIENCE, "trails that end alike", async || {
            sleep(POLL).await;
            let mut heads = BTreeSet::new();
            for (_, node) in self.cluster.running() {
                heads.insert(node.json("/api/v1/audit/head").await["head"].to_string());
            }
            looks = if heads.len() == 1 && heads == last { looks + 1 } else { 0 };
            last = heads;
            looks == STILL_LOOKS
        })
        .await;
    }

    /// Kills all nodes at once when nothing more is recorded, and compares their trails.
    pub(crate) async fn stop_and_compare(&mut self) {
        self.wait_still().await;
        let nodes = self.running();
        // At once: whoever led on would note more, such as that a vehicle is quiet.
        nodes.iter().for_each(|node| self.cluster.node(*node).signal("STOP"));
        nodes.iter().for_each(|node| self.cluster.kill(*node));
        let heads: BTreeSet<String> = nodes.iter().map(|node| head(&self.cluster.dir(*node))).collect();
        assert_eq!(heads.len(), 1, "trails end at {heads:?}");
    }
}

/// Returns the settings of a target, as `Cluster::start_over` takes them.
pub(crate) fn target_settings(target: &BadTarget, further: &str) -> String {
    format!("[emergency]\nurl = \"{}\"\n{further}", target.url)
}

/// Verifies the trail of a node that does not run, and returns its head.
fn head(dir: &Path) -> String {
    let said = command().args(["audit", "verify", "--data-dir"]).arg(dir).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{err}");
    let head = out.lines().find_map(|line| line.strip_prefix("head "));
    head.unwrap_or_else(|| panic!("no head: {out}")).to_owned()
}
