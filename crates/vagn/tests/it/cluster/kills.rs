//! `kill -9` at random moments, under load.

use super::readers::Tally;
use super::scene::{Scene, rounds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_each_node_is_killed_at_a_random_moment() {
    let mut scene = Scene::begin().await;
    for round in 0..rounds(3, 9) {
        let node = round % 3;
        scene.random_time().await;
        scene.say(&format!("kill node {node}"));
        scene.cluster.kill(node);
        scene.goes_on().await;
        scene.random_time().await;
        scene.say(&format!("start node {node}"));
        scene.cluster.start_again(node);
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    // Whole too, unless the machine is so busy that an owner takes longer than the 2 s that it has.
    scene.end(Tally::assert_answered).await;
}

/// Of the six shards of three nodes two are left without an owner: their part is named as missing meanwhile, and nothing that was
/// acknowledged is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_two_nodes_are_killed_at_once() {
    let mut scene = Scene::begin().await;
    for round in 0..rounds(1, 6) {
        let pair = [round % 3, (round + 1) % 3];
        scene.random_time().await;
        scene.say(&format!("kill nodes {pair:?}"));
        pair.iter().for_each(|node| scene.cluster.kill(*node));
        scene.random_time().await;
        scene.say(&format!("start nodes {pair:?}"));
        pair.iter().for_each(|node| scene.cluster.launch(*node));
        pair.iter().for_each(|node| scene.cluster.node_mut(*node).wait_ready());
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    // One of them runs all the time.
    scene.end(Tally::assert_answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_each_broker_is_killed_at_a_random_moment() {
    let mut scene = Scene::begin().await;
    for round in 0..rounds(3, 9) {
        let broker = 1 + round % 3;
        scene.random_time().await;
        scene.order(&format!("kill {broker}"));
        scene.goes_on().await;
        scene.order(&format!("start {broker}"));
        scene.order("healthy");
        scene.goes_on().await;
    }
    scene.end(Tally::assert_whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_brokers_are_killed_at_once() {
    let mut scene = Scene::begin().await;
    for _ in 0..rounds(1, 6) {
        scene.random_time().await;
        (1..=3).for_each(|broker| drop(scene.order(&format!("kill {broker}"))));
        (1..=3).for_each(|broker| drop(scene.order(&format!("start {broker}"))));
        scene.order("healthy");
        scene.goes_on().await;
    }
    scene.end(Tally::assert_answered).await;
}

/// All at once: nodes and brokers, as where the power of a whole site is cut for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_all_nodes_and_brokers_are_killed_at_once() {
    let mut scene = Scene::begin().await;
    for _ in 0..rounds(1, 4) {
        scene.random_time().await;
        (0..3).for_each(|node| scene.cluster.kill(node));
        (1..=3).for_each(|broker| drop(scene.order(&format!("kill {broker}"))));
        (1..=3).for_each(|broker| drop(scene.order(&format!("start {broker}"))));
        scene.order("healthy");
        (0..3).for_each(|node| scene.cluster.launch(node));
        (0..3).for_each(|node| scene.cluster.node_mut(node).wait_ready());
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    scene.end(|_| {}).await;
}
