//! Calls for help in a cluster: one desk and one trail, whichever door an alarm comes through and whoever is killed. Each vehicle is called about under one
//! key, nothing that was answered `stored` is lacking afterwards, and the trail is one chain at every node.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::nodes::{Cluster, status};
use super::scene::rounds;
use crate::brokers::Brokers;
use crate::chance::seed;
use crate::emergencies::Sink;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, command, eventually_within, report};

/// Longest wait for anything: brokers have elections, and two cores do the work of six machines.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster with one target, and what its vehicles were told.
struct Calls {
    cluster: Cluster,
    sink: Sink,
    /// Vehicles that called.
    called: BTreeSet<String>,
    chance: fastrand::Rng,
    next: usize,
}

impl Calls {
    /// Starts three nodes, and waits until one leads and the others know it.
    async fn begin() -> Self {
        let sink = Sink::start(&[]);
        let brokers = Brokers::start();
        let list = brokers.list();
        // No person acknowledges most of them, and an escalation would come under a key of its own.
        let settings = format!("[emergency]\nurl = \"{}\"\nescalate_after = \"1h\"\n", sink.url);
        let cluster = Cluster::start_over(brokers, &list, &settings).await;
        let calls = Self {
            cluster,
            sink,
            called: BTreeSet::new(),
            chance: fastrand::Rng::with_seed(seed()),
            next: 0,
        };
        calls.leader().await;
        calls
    }

    /// Waits until all nodes that run name one of them as the leader, and returns its number.
    async fn leader(&self) -> usize {
        let mut found = None;
        eventually_within(PATIENCE, "one leader that all nodes name", async || {
            let leaders: BTreeSet<_> =
                self.cluster.statuses().iter().map(|status| status["trail"]["leader"].to_string()).collect();
            let names = self.cluster.running().map(|(number, _)| (number, format!("\"node-{number}\"")));
            found = names.filter(|(_, name)| leaders.contains(name)).map(|(number, _)| number).next();
            leaders.len() == 1 && found.is_some()
        })
        .await;
        found.unwrap()
    }

    fn running(&self) -> Vec<usize> {
        self.cluster.running().map(|(number, _)| number).collect()
    }

    /// New vehicles call at a node, one through each of its doors. Those at TCP and HTTPS hear that it is stored.
    async fn call_at(&mut self, node: usize) {
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

    async fn call_everywhere(&mut self) {
        for node in self.running() {
            self.call_at(node).await;
        }
    }

    /// Waits until the target has accepted a notice about each vehicle that called.
    async fn all_accepted(&self) {
        eventually_within(PATIENCE, "a notice about each vehicle", async || {
            let accepted = self.sink.accepted();
            self.called.iter().all(|vehicle| accepted.contains_key(vehicle))
        })
        .await;
    }

    /// Waits until each node that runs has the incidents of all vehicles that called.
    async fn all_recorded(&self) {
        for (number, node) in self.cluster.running() {
            eventually_within(PATIENCE, &format!("node {number} to have all incidents"), async || {
                let listed = node.json("/api/v1/incidents?limit=1000").await;
                let has = |vehicle: &String| {
                    let incidents = listed["incidents"].as_array().unwrap();
                    incidents.iter().any(|one| one["vehicle_id"] == **vehicle && one["recorded"] == true)
                };
                self.called.iter().all(has)
            })
            .await;
        }
    }

    /// Asks for the incident of a vehicle at a node.
    async fn incident(&self, node: usize, vehicle: &str) -> Value {
        let listed = self.cluster.node(node).json("/api/v1/incidents?limit=1000").await;
        let mut all = listed["incidents"].as_array().unwrap().iter();
        all.find(|one| one["vehicle_id"] == vehicle).cloned().unwrap_or(Value::Null)
    }

    /// Kills a node as a crash does.
    fn kill(&mut self, node: usize) {
        eprintln!("node {node} is killed");
        self.cluster.kill(node);
    }

    /// Waits until all is recorded at all nodes and they stand at one entry, stops them, and compares their trails.
    async fn end(mut self) {
        self.all_accepted().await;
        self.all_recorded().await;
        for (vehicle, keys) in self.sink.openings() {
            assert_eq!(keys.len(), 1, "{vehicle} was called in under several keys: {keys:?}");
        }
        for node in self.running() {
            self.cluster.stop(node);
        }
        let heads: BTreeSet<String> = (0..3).map(|node| head(&self.cluster.dir(node))).collect();
        assert_eq!(heads.len(), 1, "trails end at {heads:?}");
    }
}

/// Verifies the trail of a node that is stopped, and returns its head.
fn head(dir: &Path) -> String {
    let said = command().args(["audit", "verify", "--data-dir"]).arg(dir).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{err}");
    let head = out.lines().find_map(|line| line.strip_prefix("head "));
    head.unwrap_or_else(|| panic!("no head: {out}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_all_doors_go_out_under_one_key_though_leader_and_brokers_are_killed() {
    let mut calls = Calls::begin().await;
    calls.call_everywhere().await;
    calls.all_accepted().await;
    calls.all_recorded().await;
    // A person's deed at a node that does not lead is seen at all.
    let leader = calls.leader().await;
    let other = (leader + 1) % 3;
    let vehicle = calls.called.first().unwrap().clone();
    let incident = calls.incident(other, &vehicle).await;
    let deed = format!("/api/v1/incidents/{}/acknowledge", incident["id"].as_str().unwrap());
    let (code, answer) = calls.cluster.node(other).post(&deed, json!({"by": "anna"}).to_string()).await;
    assert_eq!(code, 200, "{answer}");
    for node in 0..3 {
        eventually_within(PATIENCE, "the deed at each node", async || {
            calls.incident(node, &vehicle).await["state"] == "acknowledged"
        })
        .await;
    }
    // The leader is killed with what it has under way, and comes back.
    calls.call_at(leader).await;
    calls.kill(leader);
    calls.call_everywhere().await;
    calls.all_accepted().await;
    let second = calls.leader().await;
    assert_ne!(second, leader);
    calls.cluster.start_again(leader);
    calls.all_recorded().await;
    // Without brokers calls go out, and persons hear that nothing can be recorded.
    for broker in 1..=3 {
        calls.cluster.brokers.order(&format!("kill {broker}"));
    }
    let vehicles: Vec<_> = (0..3).map(|node| format!("alone at {node}")).collect();
    for (node, vehicle) in vehicles.iter().enumerate() {
        calls.cluster.node(node).send(&report(vehicle, 59.3, 18.0, true));
        calls.called.insert(vehicle.clone());
    }
    calls.all_accepted().await;
    let resolve = format!("/api/v1/incidents/{}/resolve", incident["id"].as_str().unwrap());
    let (code, answer) = calls.cluster.node(other).post(&resolve, json!({"by": "anna"}).to_string()).await;
    assert!(code == 503 && answer.to_string().contains("could record it in time"), "{code} {answer}");
    for broker in 1..=3 {
        calls.cluster.brokers.order(&format!("start {broker}"));
    }
    calls.cluster.brokers.order("healthy");
    calls.leader().await;
    calls.call_everywhere().await;
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_shows_what_its_door_calls_about_while_no_leader_can_record_and_then_it_is_recorded_once() {
    let mut calls = Calls::begin().await;
    for broker in 1..=3 {
        calls.cluster.brokers.order(&format!("kill {broker}"));
    }
    let vehicles: Vec<_> = (0..3).map(|node| format!("alone at {node}")).collect();
    for (node, vehicle) in vehicles.iter().enumerate() {
        calls.cluster.node(node).send(&report(vehicle, 59.3, 18.0, true));
        calls.called.insert(vehicle.clone());
    }
    let mut ids = Vec::new();
    for (node, vehicle) in vehicles.iter().enumerate() {
        // The door of the leader's own node calls some seconds after the leader has.
        eventually_within(
            PATIENCE,
            &format!("node {node} to show its call and what came of it"),
            async || {
                let shown = calls.incident(node, vehicle).await;
                shown["state"] == "notified"
                    && shown["recorded"] == false
                    && shown["call"]["unrecorded"] == true
            },
        )
        .await;
        let shown = calls.incident(node, vehicle).await;
        let id = shown["id"].as_str().unwrap().to_owned();
        assert_eq!(shown["call"]["latest"][0]["outcome"], "accepted", "{shown}");
        let one = calls.cluster.node(node).json(&format!("/api/v1/incidents/{id}")).await;
        assert_eq!((&one["recorded"], one["ledger"].as_array().unwrap().len()), (&json!(false), 1), "{one}");
        assert_eq!((&one["trail"][0]["action"], &one["trail"][0]["seq"]), (&json!("opened"), &json!(0)));
        // It is what this door knows, and nobody else.
        let listed = calls.cluster.node(node).json("/api/v1/incidents?state=notified").await;
        assert_eq!(listed["incidents"].as_array().unwrap().len(), 1, "{listed}");
        eventually_within(PATIENCE, "the metric", async || {
            (calls.cluster.node(node).metric("vagn_incidents_open").await - 1.0).abs() < 0.1
        })
        .await;
        // What a person wants is not done, and not said to be.
        let deed = format!("/api/v1/incidents/{id}/acknowledge");
        let (code, answer) = calls.cluster.node(node).post(&deed, json!({"by": "anna"}).to_string()).await;
        assert_eq!((code, &answer["type"]), (503, &json!("urn:vagn:problem:in-doubt")), "{answer}");
        ids.push(id);
    }
    for broker in 1..=3 {
        calls.cluster.brokers.order(&format!("start {broker}"));
    }
    calls.cluster.brokers.order("healthy");
    calls.leader().await;
    calls.all_recorded().await;
    for node in 0..3 {
        let listed = calls.cluster.node(node).json("/api/v1/incidents?limit=1000").await;
        let listed = listed["incidents"].as_array().unwrap();
        let mut shown: Vec<_> = listed
            .iter()
            .map(|one| (one["vehicle_id"].as_str().unwrap(), one["id"].as_str().unwrap()))
            .collect();
        shown.sort_unstable();
        let all = vehicles.iter().zip(&ids).map(|(vehicle, id)| (vehicle.as_str(), id.as_str()));
        assert_eq!(shown, all.collect::<Vec<_>>(), "at node {node}");
    }
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_says_farewell_and_another_leads() {
    let mut calls = Calls::begin().await;
    let leader = calls.leader().await;
    calls.call_everywhere().await;
    calls.cluster.stop(leader);
    let second = calls.leader().await;
    assert_ne!(second, leader);
    calls.call_everywhere().await;
    calls.cluster.start_again(leader);
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_other_targets_leads_only_when_a_person_says_so() {
    let (sink, other) = (Sink::start(&[]), Sink::start(&[]));
    let mut cluster = Cluster::over(Brokers::start());
    cluster.launch_by(0, command(), &["--emergency-url", &sink.url]);
    cluster.node_mut(0).wait_ready();
    let leader = |cluster: &Cluster, node: usize| status(&cluster.dir(node))["trail"]["leader"].clone();
    let patience = PATIENCE;
    eventually_within(patience, "the first node to lead", async || leader(&cluster, 0) == "node-0").await;
    cluster.launch_by(1, command(), &["--emergency-url", &other.url]);
    cluster.node_mut(1).wait_ready();
    eventually_within(patience, "a warning at the other", async || {
        cluster.node(1).ops("/readyz").await.1.contains("calls for help, settings")
    })
    .await;
    assert!(cluster.node(1).metric("vagn_cluster_trail_settings_differ").await > 0.5);
    cluster.kill(0);
    // It would have claimed after 3 s.
    eventually_within(patience, "no leader", async || {
        cluster.node(1).metric("vagn_cluster_trail_silent_seconds").await > 8.0
    })
    .await;
    assert_eq!(leader(&cluster, 1), Value::Null);
    let said = command().args(["cluster", "lead", "--data-dir"]).arg(cluster.dir(1)).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    eventually_within(patience, "the other to lead", async || leader(&cluster, 1) == "node-1").await;
    // Where nothing is broken there is nothing to begin anew.
    let said =
        command().args(["cluster", "repair", "--trail", "--data-dir"]).arg(cluster.dir(1)).output().unwrap();
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(1) && why.contains("not broken"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_machine_without_brokers_has_open_is_called_about_by_the_cluster_that_it_joins() {
    let sink = Sink::start(&[]);
    let mut cluster = Cluster::over(Brokers::start());
    let dir = cluster.dir(0);
    let raise = async |machine: &Vagn, vehicle: &str, state: &str| {
        machine.send(&report(vehicle, 59.3, 18.0, true));
        eventually_within(PATIENCE, "the incident at the machine", async || {
            let listed = machine.json("/api/v1/incidents?limit=1000").await;
            let mut all = listed["incidents"].as_array().unwrap().iter();
            all.any(|one| one["vehicle_id"] == vehicle && one["state"] == state && one["recorded"] == true)
        })
        .await;
    };
    // The target accepts one, and then nobody answers any more.
    let machine = Vagn::start(&dir, &["--emergency-url", &sink.url]);
    raise(&machine, "accepted", "notified").await;
    assert!(machine.stop().0.success());
    let machine = Vagn::start(&dir, &["--emergency-url", "http://127.0.0.1:1/calls"]);
    raise(&machine, "waiting", "open").await;
    assert!(machine.stop().0.success());
    assert!(!sink.accepted().contains_key("waiting"));

    (0..3).for_each(|node| cluster.launch_by(node, command(), &["--emergency-url", &sink.url]));
    (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
    let (chance, called) = (fastrand::Rng::with_seed(seed()), ["accepted", "waiting"].map(str::to_owned));
    let mut calls = Calls { cluster, sink, called: called.into(), chance, next: 0 };
    calls.all_accepted().await;
    calls.all_recorded().await;
    for node in 0..3 {
        assert_eq!(calls.incident(node, "accepted").await["state"], "notified");
    }
    // Another run of the same node takes nothing over again.
    calls.cluster.stop(0);
    calls.cluster.launch_by(0, command(), &["--emergency-url", &calls.sink.url]);
    calls.cluster.node_mut(0).wait_ready();
    calls.call_at(0).await;
    calls.all_accepted().await;
    let openings = |vehicle: &str| {
        let is_one =
            |call: &&Value| call["type"] == "incident.opened" && call["call"]["vehicle_id"] == vehicle;
        calls.sink.heard().iter().filter(is_one).count()
    };
    assert_eq!(openings("accepted"), 1, "its target had accepted it before");
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_leaders_and_brokers_are_killed_in_turn_and_no_call_is_lost() {
    let mut calls = Calls::begin().await;
    for round in 0..rounds(1, 12) {
        let leader = calls.leader().await;
        match round % 3 {
            0 => {
                calls.call_at(leader).await;
                calls.kill(leader);
                calls.call_everywhere().await;
                calls.cluster.start_again(leader);
            }
            1 => {
                let broker = calls.chance.u8(1..=3);
                calls.kill(leader);
                calls.cluster.brokers.order(&format!("kill {broker}"));
                calls.call_everywhere().await;
                calls.all_accepted().await;
                calls.cluster.brokers.order(&format!("start {broker}"));
                calls.cluster.brokers.order("healthy");
                calls.cluster.start_again(leader);
            }
            _ => {
                (1..=3).for_each(|broker| drop(calls.cluster.brokers.order(&format!("kill {broker}"))));
                for node in 0..3 {
                    let vehicle = format!("round {round} at {node}");
                    calls.cluster.node(node).send(&report(&vehicle, 59.3, 18.0, true));
                    calls.called.insert(vehicle);
                }
                calls.all_accepted().await;
                (1..=3).for_each(|broker| drop(calls.cluster.brokers.order(&format!("start {broker}"))));
                calls.cluster.brokers.order("healthy");
            }
        }
        calls.all_accepted().await;
    }
    calls.end().await;
}
