//! Disks that are lost, or full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::time::sleep;

use super::nodes::{Cluster, SHARDS};
use super::readers::Tally;
use super::scene::{PATIENCE, POLL, Scene, rounds};
use super::streams::wait_stopped;
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

/// A small file system of its own, with more room than a node wants to stay free, below a directory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; `None` without the right to.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=600m", "tmpfs"]).arg(at).output();
        done.is_ok_and(|said| said.status.success()).then(|| Self(at.to_owned()))
    }

    /// Takes all its room.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        let (piece, mut written) = (vec![0; 1 << 16], 0);
        while let Ok(1..) = file.write(&piece) {
            written += 1;
        }
        assert!(written > 0, "it had no room at all");
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
    let Some(disk) = SmallDisk::mount(&cluster.dir(0)) else {
        eprintln!("skipped: a file system can be mounted by root only");
        return;
    };
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
