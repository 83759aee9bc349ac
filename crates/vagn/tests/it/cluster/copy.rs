//! A copy of a whole service, made while it runs. Then all brokers and all nodes are gone, and it comes back on new ones with all that was answered before.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::call_scene::{Calls, NO_TURNS, target_settings};
use super::nodes::{Cluster, SHARDS};
use super::readers::ask;
use super::registry::{add_token, answers};
use super::scene::{PATIENCE, POLL, Scene, rounds};
use crate::brokers::Brokers;
use crate::targets::BadTarget;
use crate::vagn::{Vagn, client, command, eventually_within};

/// Vehicles that report.
const VEHICLES: u64 = 40;

/// Number of the node that is made of the copy: no node of that name was there before.
const RESTORED: usize = 5;

fn vagn(args: &[&str], dir: &Path) -> Output {
    command().args(args).arg(dir).stdin(Stdio::null()).output().unwrap()
}

/// Checks the exit code of a command, and returns all that it says.
fn said(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn backup(dir: &Path, list: &str) -> Output {
    vagn(&["backup", "--nats", list], dir)
}

fn restore(from: &Path, to: &Path) -> Output {
    command().arg("restore").arg(from).arg("--data-dir").arg(to).output().unwrap()
}

/// Begins a copy, and kills it once it has something of the incidents.
async fn cut_off(dir: &Path, list: &str) {
    let mut backup = command();
    backup.args(["backup", "--nats", list]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    let mut backup: Child = backup.spawn().unwrap();
    eventually_within(PATIENCE, "incidents in the copy", async || dir.join("data/desk").exists()).await;
    backup.kill().unwrap();
    backup.wait().unwrap();
}

/// Makes a node of the copy over brokers that have nothing, and repairs all.
async fn bring_back(copy: &Path, target: &BadTarget) -> Cluster {
    let mut cluster = Cluster::over_with(Brokers::start(), &target_settings(target, NO_TURNS));
    let restored = said(&restore(copy, &cluster.dir(RESTORED)), 0);
    assert!(restored.contains("vagn cluster repair --all"), "{restored}");
    cluster.launch(RESTORED);
    let dir = cluster.dir(RESTORED);
    let repaired = spawn_blocking(move || vagn(&["cluster", "repair", "--all", "--data-dir"], &dir)).await;
    let repaired = said(&repaired.unwrap(), 0);
    assert!(repaired.contains("each shard has an owner with all of it"), "{repaired}");
    cluster
}

/// Asks for something with a token.
async fn get(node: &Vagn, token: &str, path: &str) -> (u16, Value) {
    let asked = client().get(node.url(path)).bearer_auth(token).send().await.unwrap();
    (asked.status().as_u16(), asked.json().await.unwrap_or(Value::Null))
}

fn report(number: u64) -> Value {
    json!({"ID": format!("bus-{number}"), "Lat": 2.5, "Lon": number, "Seq": 9, "Ts": 1_700_000_000_000_u64 + number})
}

async fn store_all(node: &Vagn) {
    let reports: Vec<Value> = (0..VEHICLES).map(report).collect();
    let (_, answer) = node.post("/api/v1/positions", json!(reports).to_string()).await;
    let fates = answer["reports"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert!(fates.iter().all(|one| one["fate"] == "stored"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_service_is_copied_while_it_runs_and_comes_back_on_new_brokers() {
    let outer = TempDir::new().unwrap();
    let [copy, cut] = ["copy", "cut"].map(|name| outer.path().join(name));
    let mut calls = Calls::begin().await;
    store_all(calls.cluster.node(0)).await;
    let deleted = client().delete(calls.cluster.node(1).url("/api/v1/vehicles/bus-7")).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    calls.call_everywhere().await;
    calls.all_accepted().await;
    calls.all_recorded().await;
    let vehicle = calls.called.first().unwrap().clone();
    let acknowledged = calls.incident(1, &vehicle).await["id"].as_str().unwrap().to_owned();
    let deed = format!("/api/v1/incidents/{acknowledged}/acknowledge");
    let (code, answer) = calls.cluster.node(1).post(&deed, json!({"by": "anna"}).to_string()).await;
    assert_eq!(code, 200, "{answer}");
    let incidents = calls.incidents(1).await;
    let node = calls.cluster.node(2);
    let key = node.control(&json!({"device_add": {"name": "bus-11"}})).pop().unwrap()["ok"]["key_id"].clone();
    let token = add_token(node, "anna").await;
    let list = calls.cluster.brokers.list();

    cut_off(&cut, &list).await;
    let made = {
        let (copy, list) = (copy.clone(), list.clone());
        said(&spawn_blocking(move || backup(&copy, &list)).await.unwrap(), 0)
    };
    assert_eq!(made.lines().filter(|line| line.starts_with("shard ")).count(), usize::from(SHARDS), "{made}");
    let head = made.lines().find_map(|line| line.strip_prefix("trail ")).unwrap().to_owned();
    for dir in [&copy, &cut] {
        let refused = said(&backup(dir, &list), 64);
        assert!(refused.contains("is not empty") || refused.contains("was not finished"), "{refused}");
    }
    let refused = said(&restore(&cut, &outer.path().join("never")), 1);
    assert!(refused.contains("holds no finished backup"), "{refused}");

    // Nodes, brokers, and all their disks.
    let (Calls { target, cluster, .. }, now) = (calls, Instant::now());
    drop(cluster);
    let cluster = bring_back(&copy, &target).await;
    eprintln!("back after {:?}", now.elapsed());
    let node = cluster.node(RESTORED);
    answers(node, &token, 200).await;
    assert_eq!(node.control(&json!({"device_list": {}}))[0]["item"]["key_id"], key);
    for number in 0..VEHICLES {
        let (code, shown) = get(node, &token, &format!("/api/v1/vehicles/bus-{number}")).await;
        assert_eq!(code, if number == 7 { 404 } else { 200 }, "{shown}");
    }
    for before in &incidents {
        let id = before["id"].as_str().unwrap();
        let (code, shown) = get(node, &token, &format!("/api/v1/incidents/{id}")).await;
        assert_eq!((code, &shown["vehicle_id"]), (200, &before["vehicle_id"]), "{shown}");
        let expected = if id == acknowledged { "acknowledged" } else { "notified" };
        assert_eq!(shown["state"], expected, "{shown}");
    }
    let told = |vehicle: &str| target.openings().get(vehicle).map_or(0, |keys| keys.len());
    assert!(incidents.iter().all(|one| told(one["vehicle_id"].as_str().unwrap()) == 1), "one key for each");
    // The trail goes on from the head that was noted.
    let mut cluster = cluster;
    cluster.stop(RESTORED);
    let dir = cluster.dir(RESTORED);
    let verify = vagn(&["audit", "verify", "--head", &head, "--data-dir"], &dir);
    assert!(said(&verify, 0).contains("head "), "{verify:?}");
}

/// A new vehicle calls for help at a node. It is noted if its sender hears of the incident.
async fn call(node: &Vagn, round: usize, called: &mut Vec<String>) {
    let vehicle = format!("calls-{round}");
    let call = json!([{"ID": vehicle, "Lat": 59.3, "Lon": 18.0, "Emergency": true}]).to_string();
    let (_, answer) = node.post("/api/v1/positions", call).await;
    if answer["reports"][0]["incident_id"].is_string() {
        called.push(vehicle);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_whole_service_is_copied_under_load_with_calls_and_other_nodes_join_what_comes_back() {
    for _ in 0..rounds(1, 3) {
        let (outer, target) = (TempDir::new().unwrap(), BadTarget::accepting());
        let (copy, brokers) = (outer.path().join("copy"), Brokers::start());
        let list = brokers.list();
        let settings = target_settings(&target, NO_TURNS);
        let scene = Scene::begin_over(Cluster::start_over(brokers, &list, &settings).await).await;
        let mut called = Vec::new();
        for round in 0..20 {
            call(scene.cluster.node(round % 3), round, &mut called).await;
        }
        assert!(!called.is_empty());
        let (before, begun) = (called.clone(), Instant::now());
        let mut backup = spawn_blocking({
            let copy = copy.clone();
            move || backup(&copy, &list)
        });
        let mut round = 20;
        let made = loop {
            tokio::select! {
                made = &mut backup => break said(&made.unwrap(), 0),
                () = call(scene.cluster.node(round % 3), round, &mut called) => round += 1,
            }
        };
        let head = made.lines().find_map(|line| line.strip_prefix("trail ")).unwrap().to_owned();
        scene.goes_on().await;
        let (cluster, ledger) = scene.cut_off().await;
        drop(cluster);

        let mut cluster = bring_back(&copy, &target).await;
        let shown = ask(&client(), &cluster.directory, RESTORED).await.unwrap();
        assert_eq!(ledger.missing(&shown.shown, begun, &[]), Vec::<String>::new());
        let listed = cluster.node(RESTORED).json("/api/v1/incidents?limit=1000").await;
        let listed = listed["incidents"].as_array().unwrap();
        for vehicle in &before {
            let of = listed.iter().filter(|one| one["vehicle_id"] == vehicle.as_str());
            assert_eq!(of.count(), 1, "{vehicle}");
        }
        // A key means one incident, before and after.
        let keys = target.openings();
        assert!(before.iter().all(|vehicle| keys[vehicle].len() == 1), "{keys:?}");
        // Others may join once the brokers have the registry.
        eventually_within(PATIENCE, "the registry at the brokers", async || {
            sleep(POLL).await;
            !cluster.node(RESTORED).ops("/readyz").await.1.contains("registry")
        })
        .await;
        (0..2).for_each(|node| cluster.launch(node));
        (0..2).for_each(|node| cluster.node_mut(node).wait_ready());
        cluster.wait_whole().await;
        for node in 0..2 {
            eventually_within(PATIENCE, "the incidents at the others", async || {
                sleep(POLL).await;
                let listed = cluster.node(node).json("/api/v1/incidents?limit=1000").await;
                let listed = listed["incidents"].as_array().map_or(0, Vec::len);
                listed >= before.len()
            })
            .await;
        }
        cluster.stop(RESTORED);
        let verify = vagn(&["audit", "verify", "--head", &head, "--data-dir"], &cluster.dir(RESTORED));
        said(&verify, 0);
    }
}

#[test]
fn a_copy_of_a_service_needs_brokers_and_an_empty_directory() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("notes"), "").unwrap();
    let refused = said(&backup(dir.path(), "nats://127.0.0.1:9"), 64);
    assert!(refused.contains("is not empty"), "{refused}");
    let config = crate::vagn::settings(dir.path(), "");
    let refused = said(&vagn(&["backup", "--config", &config], &dir.path().join("copy")), 64);
    assert!(refused.contains("--nats"), "{refused}");
    let both = vagn(&["backup", "--nats", "nats://127.0.0.1:9", "--data-dir", "."], &dir.path().join("copy"));
    assert!(said(&both, 64).contains("cannot be used with"));
}
