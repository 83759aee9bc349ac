//! Three nodes over three brokers: one fleet, whichever node is asked, and whichever is killed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_wire::Fate;

use crate::brokers::Brokers;
use crate::position_stream::Stream;
use crate::tcp::TcpVehicle;
use crate::tiles;
use crate::vagn::{Vagn, command, eventually, report};

/// Shards of the data set: each node owns four of six.
const SHARDS: &str = "[cluster]\nshards = 6\n";

/// Vehicles: enough that each shard has some.
const VEHICLES: u64 = 60;

/// Rounds of killing and coming back: more with `VAGN_LONG=1`.
fn rounds() -> u64 {
    if std::env::var_os("VAGN_LONG").is_some() { 20 } else { 1 }
}

/// A cluster of three nodes.
struct Cluster {
    nodes: Vec<Option<Vagn>>,
    folders: TempDir,
    brokers: Brokers,
}

impl Cluster {
    fn start() -> Self {
        let (folders, brokers) = (TempDir::new().unwrap(), Brokers::start());
        let mut cluster = Self { nodes: vec![None, None, None], folders, brokers };
        (0..3).for_each(|node| cluster.launch(node));
        (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
        cluster
    }

    fn dir(&self, node: usize) -> PathBuf {
        self.folders.path().join(format!("node-{node}"))
    }

    fn launch(&mut self, node: usize) {
        let dir = self.dir(node);
        let config = crate::vagn::settings(self.folders.path(), SHARDS);
        let (name, brokers) = (format!("node-{node}"), self.brokers.list());
        let args = ["--config", &config, "--nats", &brokers, "--node", &name];
        self.nodes[node] = Some(Vagn::launch(&dir, &args));
    }

    fn node(&self, node: usize) -> &Vagn {
        self.nodes[node].as_ref().expect("it runs")
    }

    fn node_mut(&mut self, node: usize) -> &mut Vagn {
        self.nodes[node].as_mut().expect("it runs")
    }

    /// Kills a node as a crash would.
    fn kill(&mut self, node: usize) {
        self.node_mut(node).kill();
        self.nodes[node] = None;
    }

    fn running(&self) -> impl Iterator<Item = &Vagn> {
        self.nodes.iter().flatten()
    }

    /// Waits until each shard has two owners that have all.
    async fn wait_whole(&self) {
        eventually("two copies of each shard", async || {
            let mut is_whole = true;
            for node in 0..3 {
                is_whole &= self.nodes[node].is_none() || has_two_copies(&status(&self.dir(node)));
            }
            is_whole
        })
        .await;
    }
}

/// Returns what `vagn cluster status --json` says; null while the node starts.
fn status(dir: &Path) -> Value {
    let said = command().args(["cluster", "status", "--json", "--data-dir"]).arg(dir).output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap_or(Value::Null)
}

fn has_two_copies(status: &Value) -> bool {
    let shards = status["shards"].as_array();
    let whole = |shard: &Value| {
        let owners = shard["owners"].as_array().into_iter().flatten();
        owners.filter(|owner| owner["full"] == true && owner["caught_up"] == true).count() == 2
    };
    shards.is_some_and(|shards| shards.len() == 6 && shards.iter().all(whole))
}

fn vehicle(number: u64) -> String {
    format!("bus-{number}")
}

/// Sends a report of each vehicle over TCP, and returns the fates.
async fn report_all(node: &Vagn, seq: u64, lat: f64) -> Vec<Fate> {
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
    for node in cluster.running() {
        wait_for_all(node, 2.0).await;
        assert_eq!(found(node).await, (VEHICLES, json!([])));
    }
    for node in cluster.running() {
        see_on_the_map(node, cluster.node(0)).await;
    }
    // Once at each of two owners, also where mirrors show the rest.
    eventually("each vehicle to be counted at its owners", async || {
        let mut vehicles = 0;
        for node in cluster.running() {
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

    for round in 0..rounds() {
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

/// Begins a new epoch of a shard, which loses nothing.
async fn repair_a_shard(cluster: &Cluster) {
    let repair = |shard: &str| {
        let said = command().args(["cluster", "repair", shard, "--data-dir"]).arg(cluster.dir(0)).output();
        let said = said.unwrap();
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    let (code, said) = repair("6");
    assert!(code == Some(1) && said.contains("from 0 to 5"), "{said}");
    assert_eq!(repair("5").0, Some(0));
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
    assert!(vehicles < VEHICLES && missing != json!([]), "{vehicles} {missing}");

    for node in [first, second] {
        cluster.launch(node);
        cluster.node_mut(node).wait_ready();
    }
    for node in cluster.running() {
        wait_for_all(node, lat).await;
        eventually("whole answers", async || found(node).await == (VEHICLES, json!([]))).await;
    }
    cluster.wait_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_help_is_made_without_brokers() {
    let dir = TempDir::new().unwrap();
    let args = ["--nats", "nats://127.0.0.1:9", "--node", "lone"];
    let mut vagn = Vagn::launch(dir.path(), &args);
    let mut caller = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
    caller.say("caller", 1.0, 2.0, 1, true);
    caller.flush().await.unwrap();
    eventually("the incident to be listed", async || {
        vagn.json("/api/v1/incidents").await.to_string().contains("\"caller\"")
    })
    .await;
    // It says so although it can store nothing, and /readyz says why.
    vagn.wait_ready();
    let (code, ready) = vagn.ops("/readyz").await;
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(
        (code, &ready["can_take_alarms"], &ready["can_store"]),
        (503, &json!(true), &json!(false)),
        "{ready}"
    );
    assert!(ready["missing"]["cluster"].as_str().unwrap().contains("cluster.nats"), "{ready}");
    let status = command().args(["cluster", "status", "--data-dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(status.status.code(), Some(69), "{status:?}");
    let repair = command().args(["cluster", "repair", "0", "--data-dir"]).arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&repair.stderr).into_owned();
    assert!(repair.status.code() == Some(69) && said.contains("it is not known yet which shards"), "{said}");
    // Not that there were too many questions.
    let (code, said) = vagn.get("/api/v1/vehicles/caller").await;
    assert!(code == 503 && said.contains("a part of the fleet is missing"), "{code} {said}");
    let (ended, _) = vagn.stop();
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_role_that_cannot_be_given_is_refused_with_the_remedy() {
    let refused = |args: &[&str]| {
        let said = command().arg("serve").args(args).output().unwrap();
        assert_eq!(said.status.code(), Some(64));
        String::from_utf8(said.stderr).unwrap()
    };
    let said = refused(&["--nats", "nats://127.0.0.1:4222", "--role", "ingest,emergency"]);
    assert!(said.contains("at each ingest node's own desk"), "{said}");
    let said = refused(&["--role", "store"]);
    assert!(said.contains("--nats"), "{said}");
    let said = refused(&["--nats", "nats://a.example"]);
    assert!(said.contains("in clear"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_does_what_its_role_says_and_an_old_fleet_is_named() {
    let (folders, brokers) = (TempDir::new().unwrap(), Brokers::start());
    let dir = |name: &str| folders.path().join(name);
    // It has been the only machine before.
    drop(Vagn::start(&dir("store"), &[]));
    let list = brokers.list();
    let args = |role| ["--nats", &list, "--node", role, "--role", role];
    let mut store = Vagn::launch_without_doors(&dir("store"), &args("store"));
    store.wait_ready();
    let mut ingest = Vagn::launch(&dir("ingest"), &args("ingest"));
    ingest.wait_ready();
    assert_eq!(report_all(&ingest, 1, 1.0).await, vec![Fate::Stored; VEHICLES as usize]);
    let (code, said) = ingest.get("/api/v1/vehicles/bus-1").await;
    assert!(code == 503 && said.contains("`query`"), "{code} {said}");
    let (code, said) = store.get("/api/v1/vehicles/bus-1").await;
    assert!(code == 503 && said.contains("`query`"), "{code} {said}");
    let warnings = store.ops("/readyz").await.1;
    assert!(warnings.contains("vagn cluster import"), "{warnings}");
    eventually("the other node in the status", async || {
        status(&dir("store"))["members"].to_string().contains("\"ingest\"")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_set_to_another_number_of_shards_is_refused_with_both_numbers() {
    let (folders, brokers) = (TempDir::new().unwrap(), Brokers::start());
    let list = brokers.list();
    let config = |shards| {
        let folder = folders.path().join(format!("{shards}"));
        std::fs::create_dir_all(&folder).unwrap();
        crate::vagn::settings(&folder, &format!("[cluster]\nshards = {shards}\n"))
    };
    let refused = async |node: &str| {
        let (dir, config) = (folders.path().join(node), config(2));
        let args = ["--nats", &list, "--node", node, "--config", &config, "--role", "ingest,query"];
        let mut vagn = Vagn::launch(&dir, &args);
        let status = vagn.wait_exit();
        assert_eq!(status.code(), Some(64), "{}", vagn.log());
        let said =
            "the data set `fleet` has 3 shards, and `cluster.shards` is 2; set it to 3, and start again";
        eventually("both numbers", async || vagn.log().contains(said)).await;
    };
    let three = config(3);
    let mut first = Vagn::launch(
        &folders.path().join("first"),
        &["--nats", &list, "--node", "first", "--config", &three],
    );
    first.wait_ready();
    assert_eq!(report_all(&first, 1, 1.0).await, vec![Fate::Stored; VEHICLES as usize]);
    // One that learns the number from the brokers, and one that has it on its disk.
    refused("second").await;
    drop(first.stop());
    refused("first").await;
}

/// Vehicles of the single machine.
const OLD: u64 = 40;

/// Runs `vagn cluster import`. Returns its exit code, and what it says.
fn import(args: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let said = command().args(["cluster", "import", "--data-dir"]).arg(dir).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (said.status.code(), text(said.stdout), text(said.stderr))
}

/// Returns what a node shows of the old vehicles; null for one that it does not find.
async fn old_vehicles(node: &Vagn) -> Vec<Value> {
    let mut shown = Vec::new();
    for number in 0..OLD {
        let (code, body) = node.get(&format!("/api/v1/vehicles/{}", vehicle(number))).await;
        let one: Value = serde_json::from_str(&body).unwrap();
        let properties = &one["properties"];
        shown.push(match code {
            200 => json!([one["geometry"], properties["time"], properties["speed_mps"]]),
            _ => Value::Null,
        });
    }
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_of_a_single_machine_is_imported() {
    let (folders, brokers) = (TempDir::new().unwrap(), Brokers::start());
    let (old_dir, new_dir) = (folders.path().join("old"), folders.path().join("new"));
    let old =
        Vagn::start(&old_dir, &["--config", &crate::vagn::settings(folders.path(), "partitions = 3\n")]);
    // Every other vehicle tells its time; of the others the arrival is kept.
    let hour_ago_ms = SystemClock::new().now_ms() - 3_600_000;
    let reports = (0..OLD).map(|number| {
        let mut report = json!({"ID": vehicle(number), "Lat": 2.5, "Lon": number, "Seq": 9, "Speed": 7});
        if number % 2 == 0 {
            report["Ts"] = (hour_ago_ms + number as i64).into();
        }
        report
    });
    let (code, answer) = old.post("/api/v1/positions", json!(reports.collect::<Vec<_>>()).to_string()).await;
    assert_eq!(code, 200, "{answer}");
    let mut caller = TcpVehicle::connect(old.address("tcp")).await.unwrap();
    caller.say(&vehicle(7), 3.5, 7.0, 10, true);
    caller.flush().await.unwrap();
    assert_eq!(caller.ack().await.map(|(_, _, fate)| fate), Some(Fate::Stored));
    let shown = old_vehicles(&old).await;
    assert!(!shown.contains(&Value::Null), "{shown:?}");
    let (ended, _) = old.stop();
    assert!(ended.success(), "{ended}");

    let list = brokers.list();
    let args = ["--nats", &list, "--node", "new", "--role", "store,query"];
    let mut new = Vagn::launch_without_doors(&new_dir, &args);
    new.wait_ready();
    let (code, said, why) = import(&["--nats", &list], &old_dir);
    assert_eq!((code, said.as_str()), (Some(0), "imported 40 vehicles, 0 were there already\n"), "{why}");
    eventually("the vehicles as they were", async || old_vehicles(&new).await == shown).await;
    let caller = new.json(&format!("/api/v1/vehicles/{}", vehicle(7))).await;
    assert_eq!(caller["properties"]["emergency_flag"], false, "an import calls nobody: {caller}");
    let (code, said, why) = import(&["--nats", &list], &old_dir);
    assert_eq!((code, said.as_str()), (Some(0), "imported 0 vehicles, 40 were there already\n"), "{why}");
    // The nodes of the imports are gone, and not missed.
    eventually("both imports to be silent", async || {
        let shown = status(&new_dir);
        let members = shown["members"].as_array().into_iter().flatten();
        members.filter(|one| one["name"].to_string().contains("import-") && one["heard"] == false).count()
            == 2
    })
    .await;
    let (_, ready) = new.ops("/readyz").await;
    assert!(!ready.contains("import-"), "{ready}");

    // The directory is as it was, and a service that runs on it keeps it.
    let old = Vagn::start(&old_dir, &[]);
    assert_eq!(old_vehicles(&old).await, shown);
    let (code, _, why) = import(&["--nats", &list], &old_dir);
    assert!(code == Some(69) && why.contains("stop the service"), "{code:?} {why}");
}

#[test]
fn an_import_of_nothing_or_into_nothing_is_refused() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    let (code, _, why) = import(&["--nats", "nats://127.0.0.1:9"], &missing);
    assert!(code == Some(64) && why.contains("does not have the fleet"), "{code:?} {why}");
    assert!(!missing.exists(), "it makes no directory");
    let (code, _, why) = import(&[], dir.path());
    assert!(code == Some(64) && why.contains("--nats"), "{code:?} {why}");
}
