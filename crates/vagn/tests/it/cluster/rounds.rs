//! Three nodes over three brokers: one fleet, whichever node is asked, and whichever is killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use vagn_wire::Fate;

use super::nodes::{Cluster, has_two_copies, status};
use super::scene::rounds;
use super::streams::{delete_stream, wait_stopped};
use crate::position_stream::Stream;
use crate::tcp::TcpVehicle;
use crate::tiles;
use crate::vagn::{Vagn, command, eventually, report};

/// Vehicles: enough that each shard has some.
pub(crate) const VEHICLES: u64 = 60;

pub(crate) fn vehicle(number: u64) -> String {
    format!("bus-{number}")
}

/// Sends a report of each vehicle over TCP, and returns the fates.
pub(crate) async fn report_all(node: &Vagn, seq: u64, lat: f64) -> Vec<Fate> {
    let mut vehicles = TcpVehicle::connect(node.address("tcp")).await.unwrap();
    (0..VEHICLES).for_each(|number| vehicles.report(&vehicle(number), lat, number as f64, seq));
    vehicles.flush().await.unwrap();
    let mut fates = Vec::new();
    for _ in 0..VEHICLES {
        fates.push(vehicles.ack().await.expect("an answer").2);
    }
    fates
}

/// Returns the latitude of a vehicle as a node shows it.
async fn latitude(node: &Vagn, number: u64) -> Option<f64> {
    let (status, body) = node.get(&format!("/api/v1/vehicles/{}", vehicle(number))).await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    if status == 200 { shown["geometry"]["coordinates"][1].as_f64() } else { None }
}

/// Waits until a node shows all vehicles at this latitude.
async fn wait_for_all(node: &Vagn, lat: f64) {
    for number in 0..VEHICLES {
        eventually(&format!("{} at {lat}", vehicle(number)), async || {
            latitude(node, number).await.is_some_and(|shown| (shown - lat).abs() < 1e-6)
        })
        .await;
    }
}

/// Returns the number of vehicles that a node finds in the whole world, and the shards that it misses.
async fn found(node: &Vagn) -> (u64, Value) {
    let answer = node.json("/api/v1/vehicles?bbox=-180,-90,180,90&limit=1000").await;
    let missing = answer.get("missing_shards").cloned().unwrap_or(json!([]));
    assert_eq!(answer.get("partial").is_some(), missing != json!([]), "{answer}");
    (answer["features"].as_array().unwrap().len() as u64, missing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_are_one_fleet_whichever_is_killed() {
    let mut cluster = Cluster::start();
    assert_eq!(report_all(cluster.node(0), 1, 1.0).await, vec![Fate::Stored; VEHICLES as usize]);
    let reports: Vec<_> = (0..VEHICLES)
        .map(|number| json!({"ID": vehicle(number), "Lat": 2.0, "Lon": number, "Seq": 2}))
        .collect();
    let (code, answer) = cluster.node(1).post("/api/v1/positions", json!(reports).to_string()).await;
    let stored = answer["reports"].as_array().unwrap().iter().filter(|one| one["fate"] == "stored").count();
    assert_eq!((code, stored as u64), (200, VEHICLES), "{answer}");
    for (_, node) in cluster.running() {
        wait_for_all(node, 2.0).await;
        assert_eq!(found(node).await, (VEHICLES, json!([])));
    }
    for (_, node) in cluster.running() {
        see_on_the_map(node, cluster.node(0)).await;
    }
    // Once at each of two owners, also where mirrors show the rest.
    eventually("each vehicle to be counted at its owners", async || {
        let mut vehicles = 0;
        for (_, node) in cluster.running() {
            vehicles += node.metric("vagn_vehicles").await as u64;
        }
        vehicles == 2 * VEHICLES
    })
    .await;
    // A datagram, too.
    cluster.node(2).send(&report(&vehicle(0), 2.5, 0.0, false));
    eventually("the datagram at another node", async || latitude(cluster.node(0), 0).await == Some(2.5))
        .await;
    cluster.wait_whole().await;

    shows_what_alerts_and_dashboards_ask_for(cluster.node(0)).await;
    repair_a_shard(&cluster).await;

    // A broker that is killed leads some streams: until others do, reports may fail.
    cluster.brokers.order("kill 1");
    let mut seq = 3;
    eventually("stored with two brokers", async || {
        seq += 1;
        report_all(cluster.node(1), seq, 2.0).await.iter().all(|fate| *fate == Fate::Stored)
    })
    .await;
    cluster.brokers.order("start 1");
    // One owner of a stream whose leader went is enough to store; the other one is behind for a while.
    cluster.wait_whole().await;

    for round in 0..rounds(1, 20) as u64 {
        let (seq, lat) = (1_000 + round, 3.0 + round as f64);
        kill_two_and_come_back(&mut cluster, (round % 3) as usize, seq, lat).await;
    }
}

/// Looks at the whole fleet through a node, also at what it does not own; what comes in at another one is seen there, too.
async fn see_on_the_map(node: &Vagn, other: &Vagn) {
    eventually("all vehicles on the map", async || {
        tiles::count(&tiles::features(node, "0/0/0.mvt").await, "n") == VEHICLES
    })
    .await;
    let mut stream = Stream::of(node, "/api/v1/positions/stream?bbox=-1,-1,60,10", None).await;
    let mut left: BTreeSet<String> = (0..VEHICLES).map(vehicle).collect();
    let mut seq = 1;
    while !left.is_empty() {
        seq += 1;
        report_all(other, seq, 2.0).await;
        while let Ok(event) = timeout(Duration::from_millis(1_500), stream.next()).await {
            let event = event.expect("the stream goes on");
            if event.name == "position" {
                left.remove(event.data["id"].as_str().unwrap());
            }
        }
        assert!(seq < 20, "{left:?} were not told");
    }
}

/// A node has each metric that a rule or a dashboard goes by, but those of which docs/cluster.md says that it has none.
async fn shows_what_alerts_and_dashboards_ask_for(node: &Vagn) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (page, docs) = (node.ops("/metrics").await.1, read("docs/cluster.md"));
    let (_, absent) =
        docs.split_once("With `--nats` there are no ").expect("the sentence about what is not there");
    let absent = absent.split_once('.').unwrap().0;
    let deploy = read("deploy/prometheus/vagn.rules.yml") + &read("deploy/grafana/vagn.json");
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let names: BTreeSet<&str> =
        deploy.split(|letter| !is_of_name(letter)).filter(|word| word.starts_with("vagn_")).collect();
    assert!(names.len() > 40, "{names:?}");
    let base = |name: &str| {
        let ends = ["_total", "_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let is_there = |name: &&&str| page.contains(&format!("# TYPE {} ", base(name)));
    // Wherever Vagn runs, these come with the first event that they count, as their labels do.
    let later = [
        "vagn_door_faults",
        "vagn_emergency_attempts",
        "vagn_emergency_target_up",
        "vagn_tokens_refused",
        "vagn_udp_replies_refused",
    ];
    let is_there = |name: &&&str| is_there(name) || later.contains(&base(name).as_str());
    let missing: Vec<_> = names.iter().filter(|name| !is_there(name)).collect();
    let silent: Vec<_> =
        missing.iter().filter(|name| !absent.contains(&format!("`{}`", base(name)))).collect();
    assert!(silent.is_empty(), "they are not there, and nobody says so: {silent:?}");
}

/// Asks a node to repair a shard. Returns the exit code of the command, and what it says is wrong.
fn repair(cluster: &Cluster, node: usize, shard: &str) -> (Option<i32>, String) {
    let said = command().args(["cluster", "repair", shard, "--data-dir"]).arg(cluster.dir(node)).output();
    let said = said.unwrap();
    (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
}

/// Begins a new epoch of a shard whose stream was deleted, which loses nothing. Before, nothing is to be repaired.
async fn repair_a_shard(cluster: &Cluster) {
    let (code, said) = repair(cluster, 0, "6");
    assert!(code == Some(1) && said.contains("from 0 to 5"), "{said}");
    let (code, said) = repair(cluster, 0, "5");
    assert!(code == Some(1) && said.contains("no node has stopped because of its stream"), "{said}");
    delete_stream(cluster, 5, 1);
    wait_stopped(cluster, 5).await;
    let (code, said) = repair(cluster, 0, "5");
    assert_eq!(code, Some(0), "{said}");
    eventually("a new epoch of shard 5", async || {
        let seen: Vec<Value> = (0..3).map(|node| status(&cluster.dir(node))).collect();
        // Who does not own it does not say.
        let is_new = seen.iter().filter(|status| status["shards"][5]["epoch"] == 2).count() == 2;
        is_new && seen.iter().all(has_two_copies)
    })
    .await;
    eventually("all of it again", async || found(cluster.node(1)).await == (VEHICLES, json!([]))).await;
}

/// Kills a node and then another one, and looks that answers are whole or say what is missing. Both come back with all.
async fn kill_two_and_come_back(cluster: &mut Cluster, first: usize, seq: u64, lat: f64) {
    let [second, third] = [1, 2].map(|further| (first + further) % 3);
    // The round before may have left the third node an owner of every shard, until they are spread evenly again.
    cluster.wait_even().await;
    let theirs = cluster.owned_by(&[first, second]);
    cluster.kill(first);
    // Whole all the time: each shard has an owner among the two others.
    for _ in 0..20 {
        assert_eq!(found(cluster.node(second)).await, (VEHICLES, json!([])));
    }
    assert_eq!(report_all(cluster.node(third), seq, lat).await, vec![Fate::Stored; VEHICLES as usize]);
    wait_for_all(cluster.node(second), lat).await;

    // Both owners of some shards are away now.
    cluster.kill(second);
    let (vehicles, missing) = found(cluster.node(third)).await;
    assert!(vehicles < VEHICLES, "{vehicles}");
    assert_eq!((missing.clone(), theirs.len()), (json!(theirs), 2));
    // Nobody is there who could begin one of them anew, and the command says so.
    let (code, said) = repair(cluster, third, &missing[0].to_string());
    assert!(code == Some(1) && said.contains(&format!("no new epoch of shard {}", missing[0])), "{said}");

    for node in [first, second] {
        cluster.start_again(node);
    }
    for (_, node) in cluster.running() {
        wait_for_all(node, lat).await;
        eventually("whole answers", async || found(node).await == (VEHICLES, json!([]))).await;
    }
    cluster.wait_whole().await;
}
