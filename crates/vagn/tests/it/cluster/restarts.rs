//! Nodes that are restarted one after the other, and nodes that join, under load: nobody notices.

use super::nodes::has_two_copies;
use super::readers::Tally;
use super::scene::{PATIENCE, POLL, Scene, rounds};
use crate::vagn::eventually_within;

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
