//! A fleet goes from one machine into a cluster, changes there, and comes back to one machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use vagn_flow::clock::{Clock, SystemClock};

use crate::brokers::Brokers;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, command, eventually};

/// Vehicles of the first machine.
const OLD: u64 = 40;

/// Vehicles that are there in the end.
const ALL: u64 = 50;

/// Shards of the data set, and partitions of the machine that it ends on.
const SETTINGS: &str = "partitions = 2\n[cluster]\nshards = 6\n";

const HOUR_MS: i64 = 3_600_000;

fn vehicle(number: u64) -> String {
    format!("bus-{number}")
}

/// Begins a command of `vagn cluster`.
fn begin(which: &str, args: &[&str], dir: &Path) -> Child {
    let mut command = command();
    command.args(["cluster", which, "--data-dir"]).arg(dir).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a command has ended. Returns its exit code, and what it says.
fn end(command: Child) -> (Option<i32>, String, String) {
    let said = command.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (said.status.code(), text(said.stdout), text(said.stderr))
}

fn carry(which: &str, args: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    end(begin(which, args, dir))
}

/// Returns all that a service shows of all vehicles, but for what grows with the time since.
async fn fleet(of: &Vagn) -> BTreeMap<String, Value> {
    let shown = of.json("/api/v1/vehicles?bbox=-180,-90,180,90&limit=1000").await;
    assert_eq!((shown.get("partial"), shown.get("next")), (None, None), "{shown}");
    let vehicles = shown["features"].as_array().unwrap().iter().map(|one| {
        let mut one = one.clone();
        one["properties"].as_object_mut().unwrap().remove("age_s").expect("an age");
        (one["id"].as_str().unwrap().to_owned(), one)
    });
    vehicles.collect()
}

/// A report as the test sends it the first time, or the second.
fn report(number: u64, round: u64, now_ms: i64) -> Value {
    let (lat, seq) = (2.5 + round as f64, 9 + round);
    let mut report = json!({"ID": vehicle(number), "Lat": lat, "Lon": number, "Seq": seq, "Speed": 7});
    // Every other vehicle tells its time.
    if number.is_multiple_of(2) {
        report["Ts"] = (now_ms - HOUR_MS + (round * 1_000 + number) as i64).into();
    }
    if number.is_multiple_of(3) {
        report["Heading"] = (number * 4).into();
    }
    report
}

async fn send(to: &Vagn, reports: Vec<Value>) -> Vec<String> {
    let (code, answer) = to.post("/api/v1/positions", json!(reports).to_string()).await;
    assert_eq!(code, 200, "{answer}");
    let fates = answer["reports"].as_array().unwrap().iter();
    fates.map(|one| one["fate"].as_str().unwrap().to_owned()).collect()
}

async fn send_all(to: &Vagn, reports: Vec<Value>) {
    let count = reports.len();
    assert_eq!(send(to, reports).await, vec!["stored"; count]);
}

fn launch(folder: &Path, node: usize, list: &str) -> Vagn {
    let config = crate::vagn::settings(folder, SETTINGS);
    let args = ["--config", &config, "--nats", list, "--node", &format!("node-{node}")];
    Vagn::launch(&folder.join(format!("node-{node}")), &args)
}

/// Starts the service of a single machine on a directory.
fn single(folder: &Path, dir: &Path) -> Vagn {
    let config = crate::vagn::settings(folder, SETTINGS);
    Vagn::start(dir, &["--config", &config])
}

fn stop(vagn: Vagn) {
    let (ended, _) = vagn.stop();
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_into_a_cluster_and_comes_back_as_it_is_there() {
    let (folders, brokers) = (TempDir::new().unwrap(), Brokers::start());
    let folder = folders.path();
    let (old_dir, list) = (folder.join("old"), brokers.list());
    let now_ms = SystemClock::new().now_ms();
    let old = single(folder, &old_dir);
    send_all(&old, (0..OLD).map(|number| report(number, 0, now_ms)).collect()).await;
    stop(old);

    let mut nodes: Vec<Vagn> = (0..3).map(|node| launch(folder, node, &list)).collect();
    nodes.iter_mut().for_each(Vagn::wait_ready);
    let config = crate::vagn::settings(folder, SETTINGS);
    let args = ["--nats", &list, "--config", &config];
    let (code, said, why) = carry("import", &args, &old_dir);
    assert_eq!((code, said.as_str()), (Some(0), "imported 40 vehicles, 0 were there already\n"), "{why}");
    // Some move, some are new, and one calls for help.
    let changed: Vec<_> = (0..20).chain(OLD..ALL).map(|number| report(number, 1, now_ms)).collect();
    send_all(&nodes[0], changed.clone()).await;
    let mut caller = TcpVehicle::connect(nodes[1].address("tcp")).await.unwrap();
    caller.say(&vehicle(7), 5.5, 7.0, 30, true);
    caller.flush().await.unwrap();
    assert!(caller.ack().await.is_some());

    let (back_dir, again_dir, never_dir) = (folder.join("back"), folder.join("again"), folder.join("never"));
    let (code, said, why) = carry("export", &args, &back_dir);
    let start = format!("start with `vagn serve --data-dir {}`\n", back_dir.display());
    assert_eq!((code, said), (Some(0), format!("exported {ALL} vehicles of 6 shards; {start}")), "{why}");
    // All nodes show what is stored a moment later, at the latest.
    let mut shown = BTreeMap::new();
    eventually("the fleet as it was stored", async || {
        shown = fleet(&nodes[2]).await;
        shown.len() as u64 == ALL && shown[&vehicle(7)]["properties"]["emergency_flag"] == true
    })
    .await;
    for dir in [&old_dir, &back_dir, &folder.join("node-1")] {
        let (code, _, why) = carry("export", &args, dir);
        assert!(code == Some(64) && why.contains("name a directory that is not there yet"), "{code:?} {why}");
    }

    let back = single(folder, &back_dir);
    assert_eq!(fleet(&back).await, shown);
    // What the cluster has stored is a repeat here where it can be told, and what comes now is newer.
    let repeats =
        send(&back, changed.iter().filter(|report| report.get("Ts").is_some()).cloned().collect()).await;
    assert_eq!(repeats, vec!["duplicate"; repeats.len()]);
    assert_eq!(fleet(&back).await, shown);
    let one = json!({"ID": "bus-1", "Lat": 7.5, "Lon": 1.0});
    send_all(&back, vec![one]).await;
    let mut moved = back.json("/api/v1/vehicles/bus-1").await;
    assert_eq!(moved["geometry"]["coordinates"], json!([1.0, 7.5]));
    stop(back);

    // The way back in brings the vehicle that has moved. Of those that told no time the arrival counts as their own from now on, so an
    // import takes them once more; of what is shown that changes the emergency flag alone, which no import brings.
    for imported in [15, 0] {
        let expected = format!("imported {imported} vehicles, {} were there already\n", ALL - imported);
        let (code, said, why) = carry("import", &args, &back_dir);
        assert_eq!((code, said), (Some(0), expected), "{why}");
    }
    moved["properties"].as_object_mut().unwrap().remove("age_s");
    shown.insert(vehicle(1), moved);
    shown.get_mut(&vehicle(7)).unwrap()["properties"]["emergency_flag"] = false.into();
    eventually("the vehicle that has moved", async || fleet(&nodes[0]).await == shown).await;
    let (code, said, why) = carry("export", &args, &again_dir);
    assert!(code == Some(0) && said.starts_with("exported 50 vehicles of 6 shards"), "{said} {why}");

    // With two of three nodes gone some shards have no owner.
    nodes.drain(1..).for_each(|mut node| node.kill());
    let missing = begin("export", &args, &never_dir);
    let again = single(folder, &again_dir);
    assert_eq!(fleet(&again).await, shown);
    let (code, said, why) = end(missing);
    assert_eq!((code, said.as_str()), (Some(1), ""), "{why}");
    assert!(
        why.contains("nothing was exported") && why.contains("no node answers for all of these shards: "),
        "{why}"
    );
    assert!(!never_dir.exists(), "nothing was begun");
}

#[test]
fn an_export_from_nowhere_is_refused() {
    let dir = TempDir::new().unwrap();
    let (code, _, why) = carry("export", &[], dir.path());
    assert!(code == Some(64) && why.contains("--nats"), "{code:?} {why}");
    std::fs::write(dir.path().join("notes"), "").unwrap();
    let (code, _, why) = carry("export", &["--nats", "nats://127.0.0.1:9"], dir.path());
    assert!(code == Some(64) && why.contains("is not empty"), "{code:?} {why}");
}
