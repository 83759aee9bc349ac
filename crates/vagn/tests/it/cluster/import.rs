//! The fleet of a single machine, brought into a cluster.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_wire::Fate;

use super::nodes::status;
use super::rounds::vehicle;
use crate::brokers::Brokers;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, command, eventually};

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
    let key = old.control(&json!({"device_add": {"name": "bus-7"}})).pop().unwrap();
    let key_id = key["ok"]["key_id"].as_str().unwrap();
    let shown = old_vehicles(&old).await;
    assert!(!shown.contains(&Value::Null), "{shown:?}");
    let (ended, _) = old.stop();
    assert!(ended.success(), "{ended}");

    let list = brokers.list();
    let args = ["--nats", &list, "--node", "new", "--role", "store,query"];
    let mut new = Vagn::launch_without_doors(&new_dir, &args);
    new.wait_ready();
    let (code, said, why) = import(&["--nats", &list], &old_dir);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "imported 40 vehicles, 0 were there already\nimported 1 devices, tokens and shares, 0 were there already\n"
        ),
        "{why}"
    );
    eventually("the key", async || new.control(&json!({"device_list": {}}))[0]["item"]["key_id"] == key_id)
        .await;
    eventually("the vehicles as they were", async || old_vehicles(&new).await == shown).await;
    let caller = new.json(&format!("/api/v1/vehicles/{}", vehicle(7))).await;
    assert_eq!(caller["properties"]["emergency_flag"], false, "an import calls nobody: {caller}");
    let (code, said, why) = import(&["--nats", &list], &old_dir);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "imported 0 vehicles, 40 were there already\nimported 0 devices, tokens and shares, 1 were there already\n"
        ),
        "{why}"
    );
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
