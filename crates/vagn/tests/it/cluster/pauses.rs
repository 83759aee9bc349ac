//! Processes that stand still for 20 s, and then go on as if nothing had been.

use std::time::Duration;

use tokio::time::sleep;

use super::readers::Tally;
use super::scene::{Scene, rounds};

/// Longer than a node may be silent before its shards get other owners.
const STANDSTILL: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_each_node_stands_still() {
    let mut scene = Scene::begin().await;
    for node in 0..rounds(1, 3) {
        scene.random_time().await;
        scene.say(&format!("pause node {node}"));
        scene.cluster.node(node).signal("STOP");
        sleep(STANDSTILL).await;
        scene.goes_on().await;
        scene.say(&format!("continue node {node}"));
        scene.cluster.node(node).signal("CONT");
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    scene.end(Tally::assert_whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_each_broker_stands_still() {
    let mut scene = Scene::begin().await;
    for broker in 1..=rounds(1, 3) {
        scene.random_time().await;
        scene.order(&format!("pause {broker}"));
        sleep(STANDSTILL).await;
        scene.goes_on().await;
        scene.order(&format!("continue {broker}"));
        scene.order("healthy");
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    scene.end(Tally::assert_whole).await;
}
