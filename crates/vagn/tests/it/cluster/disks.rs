//! Disks that are lost, or full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tokio::time::sleep;

use super::nodes::{Cluster, SHARDS};
use super::outages::ANSWERED_WITHIN;
use super::readers::Tally;
use super::scene::{PATIENCE, POLL, Scene, rounds};
use super::streams::wait_stopped;
use crate::brokers::Brokers;
use crate::vagn::eventually_within;

/// A node whose disk was lost copies its shards from their other owners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_the_disk_of_a_node_is_lost() {
    let mut scene = Scene::begin().await;
    for node in 0..rounds(1, 3) {
        scene.random_time().await;
        scene.say(&format!("kill node {node}, and lose its disk"));
        scene.cluster.kill(node);
        std::fs::remove_dir_all(scene.cluster.dir(node)).unwrap();
        scene.random_time().await;
        scene.say("start it with an empty one");
        scene.cluster.start_again(node);
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    scene.end(Tally::assert_whole).await;
}

/// All that the brokers had is gone. The nodes have what was acknowledged, and each shard is repaired from that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_the_disks_of_all_brokers_are_lost() {
    let mut scene = Scene::begin().await;
    scene.random_time().await;
    for deed in ["kill", "wipe", "start"] {
        (1..=3).for_each(|broker| drop(scene.order(&format!("{deed} {broker}"))));
    }
    scene.order("healthy");
    for shard in 0..SHARDS {
        wait_stopped(&scene.cluster, shard).await;
    }
    for shard in 0..SHARDS {
        scene.say(&format!("repair {shard}"));
        scene.cluster.repair(shard);
    }
    scene.goes_on().await;
    scene.cluster.wait_whole().await;
    scene.end(Tally::assert_answered).await;
}

/// A small file system of its own below a directory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it with this size; `None` without the right to.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        let disk = done.is_ok_and(|said| said.status.success()).then(|| Self(at.to_owned()));
        if disk.is_none() {
            eprintln!("skipped: a file system can be mounted by root only");
        }
        disk
    }

    /// Takes all its room, or what of it became free since.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.0.join("filler")).unwrap();
        let piece = vec![0; 1 << 16];
        while let Ok(1..) = file.write(&piece) {}
        assert!(file.metadata().unwrap().len() > 0, "it had no room at all");
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node may have it open.
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// Its replicas stand still and say so, the other owners go on, and once there is room it follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_the_disk_of_a_node_is_full() {
    let mut cluster = Cluster::without_nodes();
    // More than a node wants to stay free.
    let Some(disk) = SmallDisk::mount(&cluster.dir(0), "600m") else { return };
    (0..3).for_each(|node| cluster.launch(node));
    (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
    let mut scene = Scene::begin_over(cluster).await;
    for _ in 0..rounds(1, 3) {
        scene.random_time().await;
        scene.say("fill the disk of node 0");
        disk.fill();
        let stopped = async || {
            sleep(POLL).await;
            scene.cluster.statuses()[0].to_string().contains("too little free space")
        };
        eventually_within(PATIENCE, "replicas of node 0 to stand still", stopped).await;
        scene.say("it says so");
        scene.goes_on().await;
        scene.say("free it");
        disk.free();
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    scene.end(Tally::assert_whole).await;
}

/// What a node says of this part of its `/readyz`.
async fn said(cluster: &Cluster, node: usize, part: &str) -> Value {
    let ready: Value = serde_json::from_str(&cluster.node(node).ops("/readyz").await.1).unwrap();
    ready[part].clone()
}

/// Fills the disk of a broker until it stores nothing any more: its process goes on.
async fn fill_broker(scene: &Scene, disk: &SmallDisk, broker: u8) {
    scene.say(&format!("fill the disk of broker {broker}"));
    eventually_within(PATIENCE, "a broker to store nothing any more", async || {
        disk.fill();
        sleep(POLL).await;
        scene.cluster.brokers.log(broker).contains("JetStream Shutdown")
    })
    .await;
}

/// With one of them the others go on, and nodes name it. With two nothing is stored, and room alone changes nothing: they must be started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_the_disks_of_brokers_are_full() {
    let mut brokers = Brokers::start();
    for deed in ["kill", "wipe"] {
        (1..=3).for_each(|broker| drop(brokers.order(&format!("{deed} {broker}"))));
    }
    let Some(first) = SmallDisk::mount(&brokers.store(1), "256m") else { return };
    let Some(second) = SmallDisk::mount(&brokers.store(2), "256m") else { return };
    (1..=3).for_each(|broker| drop(brokers.order(&format!("start {broker}"))));
    brokers.order("healthy");
    let mut cluster = Cluster::over(brokers);
    (0..3).for_each(|node| cluster.launch(node));
    (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
    let mut scene = Scene::begin_over(cluster).await;
    fill_broker(&scene, &first, 1).await;
    scene.goes_on().await;
    for node in 0..3 {
        // While others are elected a node is not ready.
        eventually_within(PATIENCE, "each node to name the broker, and to be ready", async || {
            sleep(POLL).await;
            let names_it = said(&scene.cluster, node, "warnings").await["cluster, broker n1"].is_string();
            names_it && said(&scene.cluster, node, "ready").await == true
        })
        .await;
    }
    assert!(scene.cluster.node(0).metric("vagn_cluster_brokers_behind").await > 0.0);

    fill_broker(&scene, &second, 2).await;
    for node in 0..3 {
        eventually_within(PATIENCE, "each node to say that no broker answers for its streams", async || {
            sleep(POLL).await;
            said(&scene.cluster, node, "warnings").await["cluster, streams"].is_string()
        })
        .await;
        assert_eq!(said(&scene.cluster, node, "can_store").await, false);
        assert_eq!(said(&scene.cluster, node, "can_take_alarms").await, true);
    }
    scene.say("there is room again");
    [&first, &second].into_iter().for_each(SmallDisk::free);
    // What was delivered before is still answered.
    sleep(ANSWERED_WITHIN).await;
    let before = scene.ledger.acknowledged();
    sleep(ANSWERED_WITHIN).await;
    assert_eq!(scene.ledger.acknowledged(), before, "they store nothing as yet");
    for broker in [1, 2] {
        for deed in ["stop", "start"] {
            scene.order(&format!("{deed} {broker}"));
        }
    }
    scene.order("healthy");
    scene.goes_on().await;
    eventually_within(PATIENCE, "nodes to warn no more", async || {
        sleep(POLL).await;
        let warnings = said(&scene.cluster, 0, "warnings").await;
        warnings.as_object().is_some_and(|all| !all.keys().any(|name| name.starts_with("cluster, ")))
    })
    .await;
    scene.end(Tally::assert_answered).await;
}
