//! Nodes that are restarted one after the other, and nodes that join, under load: nobody notices.

use std::process::Output;

use super::nodes::{Cluster, has_two_copies};
use super::readers::Tally;
use super::scene::{PATIENCE, POLL, Scene, rounds};
use crate::vagn::{command, eventually_within};

/// Clients know several nodes, and ask another one when one does not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_all_nodes_are_restarted_one_after_the_other() {
    let mut scene = Scene::begin().await;
    for round in 0..rounds(3, 9) {
        let node = round % 3;
        scene.random_time().await;
        scene.say(&format!("stop node {node}"));
        scene.cluster.stop(node);
        scene.random_time().await;
        scene.say(&format!("start node {node}"));
        scene.cluster.start_again(node);
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    scene.end(Tally::assert_whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_node_that_joins_takes_over_shards() {
    let mut scene = Scene::begin().await;
    for node in 3..3 + rounds(1, 3) {
        scene.random_time().await;
        scene.say(&format!("start node {node}"));
        scene.cluster.start_again(node);
        let name = format!("node-{node}");
        eventually_within(PATIENCE, "the new node to own shards", async || {
            tokio::time::sleep(POLL).await;
            let seen = scene.cluster.statuses();
            let owned = |shard: &serde_json::Value| shard["owners"].to_string().contains(&name);
            let owns = seen[0]["shards"]
                .as_array()
                .is_some_and(|shards| shards.iter().filter(|one| owned(one)).count() >= 2);
            owns && seen.iter().all(has_two_copies)
        })
        .await;
        scene.goes_on().await;
    }
    scene.end(Tally::assert_unaided).await;
}

/// Waits until these nodes alone own shards, each shard two of them.
async fn wait_owned_by_these_alone(cluster: &Cluster, names: &[&str]) {
    eventually_within(PATIENCE, "two copies of each shard at the nodes that stay", async || {
        tokio::time::sleep(POLL).await;
        let is_ours = |owner: &serde_json::Value| names.contains(&owner["node"].as_str().unwrap());
        let are_ours = |shard: &serde_json::Value| shard["owners"].as_array().unwrap().iter().all(is_ours);
        let seen = cluster.statuses();
        seen.iter()
            .all(|status| has_two_copies(status) && status["shards"].as_array().unwrap().iter().all(are_ours))
    })
    .await;
}

/// As docs/cluster.md says it: the new node joins, and has its shards; then the old one is stopped for good. After that one is removed without another in
/// its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_node_is_replaced_and_another_one_removed_for_good() {
    let mut scene = Scene::begin().await;
    scene.say("start node 3");
    scene.cluster.start_again(3);
    scene.cluster.wait_whole().await;
    for (left, stay) in [(0, &["node-1", "node-2", "node-3"][..]), (1, &["node-2", "node-3"])] {
        scene.random_time().await;
        scene.say(&format!("stop node {left} for good"));
        scene.cluster.stop(left);
        wait_owned_by_these_alone(&scene.cluster, stay).await;
        std::fs::remove_dir_all(scene.cluster.dir(left)).unwrap();
        scene.goes_on().await;
    }
    scene.end(Tally::assert_answered).await;
}

/// Drains a node by the command, in so much time at most.
async fn drain(cluster: &Cluster, node: usize, within: &str) -> (Output, String) {
    let mut drain = command();
    drain.args(["cluster", "drain", "--within", within, "--data-dir"]).arg(cluster.dir(node));
    let said = tokio::task::spawn_blocking(move || drain.output().unwrap()).await.unwrap();
    let text = [&said.stdout[..], &said.stderr].concat();
    (said, String::from_utf8(text).unwrap())
}

/// As docs/cluster.md says it of a node that is removed for good. Until it is stopped it takes reports and answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_drained_has_no_shards_any_more_and_nobody_notices() {
    let mut scene = Scene::begin().await;
    scene.say("drain node 0");
    let (said, text) = drain(&scene.cluster, 0, "3m").await;
    assert!(
        said.status.success() && text.ends_with("node-0 owns no shard any more; stop its service\n"),
        "{text}"
    );
    assert!(text.contains("node-0 has "), "{text}");
    wait_owned_by_these_alone(&scene.cluster, &["node-1", "node-2"]).await;
    let (code, ready) = scene.cluster.node(0).ops("/readyz").await;
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((code, &ready["can_take_alarms"]), (503, &serde_json::json!(true)), "{ready}");
    assert!(
        ready["missing"]["leaving"].as_str().is_some_and(|why| why.contains("can be stopped")),
        "{ready}"
    );
    eventually_within(PATIENCE, "the metric by which nobody is paged for it", async || {
        let leaving = async |node: usize| scene.cluster.node(node).metric("vagn_cluster_leaving").await;
        leaving(0).await == 1.0 && leaving(1).await == 0.0
    })
    .await;
    scene.goes_on().await;
    scene.say("stop node 0");
    scene.cluster.stop(0);
    eventually_within(PATIENCE, "the farewell of node 0 at both others", async || {
        let told = |log: String| log.contains("a node stops, as it was told to");
        scene.cluster.running().all(|(_, node)| told(node.log()))
    })
    .await;
    scene.goes_on().await;
    scene.say("drain node 1, which has shards that no third node could have");
    let (said, text) = drain(&scene.cluster, 1, "2s").await;
    assert!(said.status.code() == Some(1) && text.contains("two other nodes that store"), "{text}");
    scene.end(Tally::assert_whole).await;
}
