//! Roles of nodes, and a node without brokers.

use serde_json::{Value, json};
use tempfile::TempDir;
use vagn_wire::Fate;

use super::nodes::status;
use super::rounds::{VEHICLES, report_all};
use crate::brokers::Brokers;
use crate::emergencies::Sink;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, client, command, eventually};

/// A token of the settings.
const TOKEN: &str = "of the settings alone";

/// Returns status and body of a GET with that token.
async fn get_as_set(vagn: &Vagn, path: &str) -> (u16, String) {
    let asked = client().get(vagn.url(path)).bearer_auth(TOKEN).send().await.unwrap();
    (asked.status().as_u16(), asked.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_help_is_made_without_brokers() {
    let dir = TempDir::new().unwrap();
    let folder = TempDir::new().unwrap();
    // It cannot know whether the cluster has tokens: who has one of its settings is let in.
    let sink = Sink::start(&[]);
    let text = format!("[http]\ntokens = [{TOKEN:?}]\n[emergency]\nurl = \"{}\"\n", sink.url);
    let config = crate::vagn::settings(folder.path(), &text);
    let args = ["--config", &config, "--nats", "nats://127.0.0.1:9", "--node", "lone"];
    let mut vagn = Vagn::launch(dir.path(), &args);
    assert_eq!(vagn.get("/api/v1/incidents").await.0, 401);
    let mut caller = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
    caller.say("caller", 1.0, 2.0, 1, true);
    caller.flush().await.unwrap();
    eventually("the call", async || sink.accepted().contains_key("caller")).await;
    // It is shown here, although it is not recorded.
    eventually("the call to be listed", async || {
        let (code, listed) = get_as_set(&vagn, "/api/v1/incidents").await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let one = &listed["incidents"][0];
        code == 200 && one["vehicle_id"] == "caller" && one["recorded"] == json!(false)
    })
    .await;
    eventually("the alarm on its disk", async || vagn.metric("vagn_cluster_trail_alarms_kept").await > 0.5)
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
    let ops = format!("http://{}", vagn.address("ops"));
    let probe =
        |purpose| command().args(["status", "--ops", &ops, "--for", purpose]).status().unwrap().code();
    let able = ["life", "alarms", "questions", "positions"].map(probe);
    assert_eq!(able, [Some(0), Some(0), Some(1), Some(1)]);
    let status = command().args(["cluster", "status", "--data-dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(status.status.code(), Some(69), "{status:?}");
    let repair = command().args(["cluster", "repair", "0", "--data-dir"]).arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&repair.stderr).into_owned();
    assert!(repair.status.code() == Some(69) && said.contains("it is not known yet which shards"), "{said}");
    // Not that there were too many questions.
    let (code, said) = get_as_set(&vagn, "/api/v1/vehicles/caller").await;
    assert!(code == 503 && said.contains("a part of the fleet is missing"), "{code} {said}");
    let (ended, _) = vagn.stop();
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_role_that_does_not_exist_is_refused_with_the_remedy() {
    let refused = |args: &[&str]| {
        let said = command().arg("serve").args(args).output().unwrap();
        assert_eq!(said.status.code(), Some(64));
        String::from_utf8(said.stderr).unwrap()
    };
    let said = refused(&["--nats", "nats://127.0.0.1:4222", "--role", "ingest,desk"]);
    assert!(said.contains("ingest, store, query and emergency"), "{said}");
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
