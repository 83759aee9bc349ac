//! The thread that drives a node hangs, as on a bug: its supervisor starts it anew, and it goes on from its files.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::nodes::Cluster;
use super::scene::{PATIENCE, POLL};
use crate::brokers::Brokers;
use crate::faults::restarts;
use crate::vagn::{Vagn, client, command, eventually_within};

/// Vehicles that report.
const VEHICLES: usize = 60;

const NODE: &str = "traffic/cluster/node";

async fn store_all(node: &Vagn) -> bool {
    let report = |number| json!({"ID": format!("bus {number}"), "Lat": 2.5, "Lon": number});
    let reports: Vec<Value> = (0..VEHICLES).map(report).collect();
    let (_, answer) = node.post("/api/v1/positions", json!(reports).to_string()).await;
    answer["reports"].as_array().is_some_and(|all| all.iter().all(|one| one["fate"] == "stored"))
}

/// Waits until a node shows all vehicles, and says that they are all.
async fn shows_all(node: &Vagn) {
    eventually_within(PATIENCE, "all vehicles", async || {
        sleep(POLL).await;
        let (status, body) = node.get("/api/v1/vehicles?bbox=-180,-90,180,90&limit=1000").await;
        let shown: Value = serde_json::from_str(&body).unwrap_or_default();
        let count = shown["features"].as_array().map_or(0, Vec::len);
        status == 200 && shown.get("partial").is_none() && count == VEHICLES
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_thread_hangs_is_started_anew_from_its_files() {
    let mut cluster = Cluster::over_with(Brokers::start(), "[ops]\nfault_injection = true\n");
    for node in 0..3 {
        let mut by = command();
        by.env("VAGN_HANG_LIMIT", "2s");
        cluster.launch_by(node, by, &[]);
    }
    (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
    cluster.wait_whole().await;
    assert!(store_all(cluster.node(0)).await);
    shows_all(cluster.node(0)).await;

    let hung = cluster.node(0);
    let path = NODE.replace('/', "%2F");
    let url = format!("http://{}/actors/{path}/fault?kind=hang", hung.address("ops"));
    let answer = client().post(url).header("x-vagn", "1").send().await.unwrap();
    assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
    eventually_within(PATIENCE, "another run of the node", async || {
        sleep(POLL).await;
        restarts(hung, NODE).await > 0
    })
    .await;
    // The others have answered all along, and it has what it had.
    shows_all(cluster.node(1)).await;
    shows_all(hung).await;
    cluster.wait_whole().await;
    eventually_within(PATIENCE, "reports to be stored through it", async || store_all(hung).await).await;
}
