//! Settings that a data set began with are changed in all shards.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::brokers::Brokers;
use crate::vagn::{Vagn, command};

/// Runs `vagn cluster settings` with this bound. Returns its exit code, and what it says.
fn change(max_vehicles: u32, folder: &Path, list: &str) -> (Option<i32>, String, String) {
    let said = command()
        .args(["cluster", "settings", "--nats", list, "--config", &settings(max_vehicles, folder)])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (said.status.code(), text(said.stdout), text(said.stderr))
}

fn settings(max_vehicles: u32, folder: &Path) -> String {
    let text = format!("max_vehicles = {max_vehicles}\nforget_after = \"7d\"\n[cluster]\nshards = 2\n");
    crate::vagn::settings(folder, &text)
}

/// Sends reports of vehicles from `first` on, and counts those that are stored.
async fn stored(node: &Vagn, first: u64, count: u64) -> usize {
    let reports: Vec<_> =
        (first..first + count).map(|id| json!({"ID": format!("bus-{id}"), "Lat": 1.0, "Lon": 2.0})).collect();
    let (code, answer) = node.post("/api/v1/positions", json!(reports).to_string()).await;
    if code == 503 && answer["type"] == "urn:vagn:problem:overloaded" {
        // All of them were shed.
        return 0;
    }
    let reports = answer["reports"].as_array().unwrap().iter();
    let fates: Vec<_> = reports.map(|one| one["fate"].as_str().unwrap()).collect();
    assert!(code == 200 && fates.iter().all(|fate| ["stored", "shed"].contains(fate)), "{answer}");
    fates.iter().filter(|fate| **fate == "stored").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_bound_holds_in_all_shards_and_over_restarts() {
    let (folders, brokers) = (TempDir::new().unwrap(), Brokers::start());
    let (folder, list) = (folders.path(), brokers.list());
    let config = settings(4, folder);
    let args = ["--config", &config, "--nats", &list, "--node", "lone"];
    let mut node = Vagn::launch(&folder.join("lone"), &args);
    node.wait_ready();
    // Two for each of two shards.
    assert_eq!(stored(&node, 0, 40).await, 4);

    // Nothing but the entries of the shards counts, whatever a node's own settings say.
    let (ended, _) = node.stop();
    assert!(ended.success(), "{ended}");
    let config = settings(10, folder);
    let args = ["--config", &config, "--nats", &list, "--node", "lone"];
    let mut node = Vagn::launch(&folder.join("lone"), &args);
    node.wait_ready();
    assert_eq!(stored(&node, 100, 40).await, 0);

    for _ in 0..2 {
        let (code, said, why) = change(10, folder, &list);
        let expected = "forget_after = \"7days\" and max_vehicles = 10 hold in all 2 shards\n";
        assert_eq!((code, said.as_str()), (Some(0), expected), "{why}");
    }
    assert_eq!(stored(&node, 200, 40).await, 6);
    // A bound that the node does not have is a mistake.
    let other = TempDir::new().unwrap();
    let (code, _, why) = change(12, other.path(), &list);
    assert!(
        code == Some(64) && why.contains("the node lone has other settings than these"),
        "{code:?} {why}"
    );
    node.kill();
    settings(12, folder);
    let mut node = Vagn::launch(&folder.join("lone"), &args);
    node.wait_ready();
    assert_eq!(stored(&node, 300, 40).await, 0);
    let (code, said, why) = change(12, folder, &list);
    assert_eq!(code, Some(0), "{said} {why}");
    assert_eq!(stored(&node, 400, 40).await, 2);

    let (code, _, why) = {
        let said = command().args(["cluster", "settings"]).output().unwrap();
        (said.status.code(), said.stdout, String::from_utf8(said.stderr).unwrap())
    };
    assert!(code == Some(64) && why.contains("--nats"), "{code:?} {why}");
}
