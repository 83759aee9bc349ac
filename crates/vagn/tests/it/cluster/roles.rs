//! Roles of nodes, and a node without brokers.

use serde_json::{Value, json};
use tempfile::TempDir;
use vagn_wire::Fate;

use super::nodes::status;
use super::rounds::{VEHICLES, report_all};
use crate::brokers::Brokers;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, command, eventually};

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
