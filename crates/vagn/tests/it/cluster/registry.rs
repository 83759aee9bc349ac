//! Devices, tokens and shares are the same at every node.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::nodes::Cluster;
use crate::vagn::{Vagn, client, command, eventually};

/// Has a request done, and returns what it says at last.
fn ask(node: &Vagn, request: &Value) -> Value {
    node.control(request).pop().expect("it answers")
}

/// Has a request done as soon as the brokers take it.
async fn done(node: &Vagn, request: &Value) -> Value {
    let mut said = Value::Null;
    eventually(&format!("{request} to be done"), async || {
        said = ask(node, request);
        assert!(said.get("ok").is_some() || said["error"]["problem"] == "busy", "{said}\n{}", node.log());
        said.get("ok").is_some()
    })
    .await;
    said["ok"].clone()
}

pub(crate) async fn add_token(node: &Vagn, name: &str) -> String {
    let said = done(node, &json!({"token_add": {"name": name, "role": "read"}})).await;
    said["token"].as_str().unwrap().to_owned()
}

/// Returns the code with which the API answers who shows this token.
pub(crate) async fn code(node: &Vagn, token: &str) -> u16 {
    let asked = client().get(node.url("/api/v1/vehicles?bbox=0,0,1,1")).bearer_auth(token).send().await;
    asked.unwrap().status().as_u16()
}

pub(crate) async fn answers(node: &Vagn, token: &str, expected: u16) {
    eventually(&format!("{expected} for the token"), async || code(node, token).await == expected).await;
}

fn tokens(dir: &std::path::Path) -> Vec<String> {
    let said = command().args(["token", "list", "--json", "--data-dir"]).arg(dir).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let listed: Vec<Value> = serde_json::from_slice(&said.stdout).unwrap();
    let names = listed.iter().map(|token| token["name"].to_string());
    names.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_at_one_node_counts_at_all() {
    let cluster = Cluster::start();
    let nodes: Vec<&Vagn> = cluster.running().map(|(_, node)| node).collect();
    let anna = add_token(nodes[0], "anna").await;
    for node in &nodes {
        answers(node, &anna, 200).await;
        assert_eq!(code(node, "no token").await, 401);
    }
    // A name is used once, and a vehicle has one key, whichever node is asked.
    let again = ask(nodes[1], &json!({"token_add": {"name": "anna", "role": "read"}}));
    assert_eq!(again["error"]["problem"], "refused", "{again}");
    let key = done(nodes[1], &json!({"device_add": {"name": "bus-7"}})).await;
    let twice = ask(nodes[2], &json!({"device_add": {"name": "bus-7"}}));
    assert!(twice["error"]["message"].to_string().contains("has a key already"), "{twice}");
    for node in &nodes {
        eventually("the key of the vehicle", async || {
            let listed = node.control(&json!({"device_list": {}}));
            listed[0]["item"]["key_id"] == key["key_id"]
        })
        .await;
    }
    done(nodes[2], &json!({"token_revoke": {"name": "anna"}})).await;
    for node in &nodes {
        answers(node, &anna, 401).await;
    }
    // Each node has a number of its own, with which its sealed answers begin.
    let mut numbers = BTreeSet::new();
    for node in &nodes {
        eventually("a number of the node", async || node.log().contains("the node has a number")).await;
        let log = node.log();
        let line = log.lines().find(|line| line.contains("the node has a number")).unwrap();
        numbers.insert(line.split("number").last().unwrap().to_owned());
        assert_eq!(node.metric("vagn_cluster_registry_lag").await, 0.0);
    }
    assert_eq!(numbers.len(), 3, "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_lets_in_without_brokers_and_learns_of_a_revocation_with_them() {
    let mut cluster = Cluster::start();
    let anna = add_token(cluster.node(0), "anna").await;
    for node in 0..3 {
        answers(cluster.node(node), &anna, 200).await;
    }
    // One node is away while its token is revoked, and one is started without brokers.
    cluster.kill(2);
    (1..=3).for_each(|broker| drop(cluster.brokers.order(&format!("kill {broker}"))));
    cluster.stop(1);
    assert_eq!(tokens(&cluster.dir(1)), ["\"anna\""]);
    let refused =
        command().args(["token", "revoke", "anna", "--data-dir"]).arg(cluster.dir(1)).output().unwrap();
    assert_eq!(refused.status.code(), Some(69), "{}", String::from_utf8_lossy(&refused.stderr));
    let (backup, restored) =
        (cluster.dir(1).with_extension("backup"), cluster.dir(1).with_extension("restored"));
    for (deed, from, to) in [("backup", cluster.dir(1), &backup), ("restore", backup.clone(), &restored)] {
        let (path, option) = if deed == "backup" { (to.clone(), from) } else { (from, to.clone()) };
        let said = command().arg(deed).arg(path).arg("--data-dir").arg(option).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    assert_eq!(tokens(&restored), ["\"anna\""]);
    cluster.launch(1);
    answers(cluster.node(1), &anna, 503).await;
    for node in [0, 1] {
        assert_eq!(code(cluster.node(node), "no token").await, 401);
        let said = ask(cluster.node(node), &json!({"token_add": {"name": "later", "role": "read"}}));
        assert_eq!(said["error"]["problem"], "busy", "{said}");
    }
    let said = client().post(cluster.node(0).url("/api/v1/session")).bearer_auth(&anna).send().await.unwrap();
    assert_eq!(said.status(), 503);
    let problem: Value = said.json().await.unwrap();
    assert_eq!(problem["type"], "urn:vagn:problem:overloaded", "{problem}");
    assert!(problem["detail"].to_string().contains("another node may take it"), "{problem}");
    let add = ["token", "add", "later", "--role", "read", "--data-dir"];
    let refused = command().args(add).arg(cluster.dir(0)).output().unwrap();
    assert_eq!(refused.status.code(), Some(69), "{}", String::from_utf8_lossy(&refused.stderr));
    (1..=3).for_each(|broker| drop(cluster.brokers.order(&format!("start {broker}"))));
    cluster.brokers.order("healthy");
    done(cluster.node(1), &json!({"token_revoke": {"name": "anna"}})).await;
    answers(cluster.node(0), &anna, 401).await;
    cluster.launch(2);
    answers(cluster.node(2), &anna, 401).await;
}
