//! Streams that are deleted under load.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::nodes::{Cluster, SHARDS};
use super::readers::Tally;
use super::scene::{PATIENCE, POLL, Scene, rounds};

/// Asks brokers for something, as an administrator's tool would. Returns what they say.
fn ask_brokers(cluster: &Cluster, subject: &str) -> Value {
    let list = cluster.brokers.list();
    let address = list.split(',').next().unwrap().strip_prefix("nats://").unwrap();
    let mut to = TcpStream::connect(address).unwrap();
    let mut from = BufReader::new(to.try_clone().unwrap());
    write!(to, "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer 0\r\n\r\n").unwrap();
    let mut line = String::new();
    while !line.starts_with("MSG answer") {
        line.clear();
        assert!(from.read_line(&mut line).unwrap() > 0, "the broker hung up");
    }
    line.clear();
    from.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Deletes the stream of a shard.
pub(crate) fn delete_stream(cluster: &Cluster, shard: u16, epoch: u64) {
    delete(cluster, &format!("{shard}-{epoch}"));
}

/// Deletes a stream of the data set by the rest of its name.
pub(crate) fn delete(cluster: &Cluster, stream: &str) {
    let said = ask_brokers(cluster, &format!("$JS.API.STREAM.DELETE.vagn-fleet-{stream}"));
    assert_eq!(said["success"], json!(true), "{said}");
}

/// Returns the epoch of a shard, as its owners see it.
pub(crate) fn epoch(cluster: &Cluster, shard: u16) -> u64 {
    let seen = cluster.statuses();
    seen.iter().filter_map(|status| status["shards"][usize::from(shard)]["epoch"].as_u64()).max().unwrap()
}

/// Waits until all owners of a shard have stopped, and say why.
pub(crate) async fn wait_stopped(cluster: &Cluster, shard: u16) {
    let has_stopped = || {
        let owners = owners(cluster, shard);
        owners.len() >= 2
            && owners.iter().all(|(_, own)| own["stage"] == "stopped" && own["stopped"].is_string())
    };
    let began = Instant::now();
    while !has_stopped() {
        let stages = owners(cluster, shard);
        assert!(began.elapsed() < PATIENCE, "not all owners of shard {shard} have stopped: {stages:#?}");
        sleep(POLL).await;
    }
}

/// Returns what each owner of a shard says of it, by the owner's name.
fn owners(cluster: &Cluster, shard: u16) -> Vec<(String, Value)> {
    let (seen, shard) = (cluster.statuses(), usize::from(shard));
    let named = |status: &Value| {
        let owners = status["shards"][shard]["owners"].as_array().cloned().unwrap_or_default();
        owners.iter().map(|owner| owner["node"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let names: BTreeSet<String> = seen.iter().flat_map(named).collect();
    let own = |name: &String| {
        let of = seen.iter().find(|status| status["members"][0]["name"] == name.as_str());
        of.map_or(Value::Null, |status| status["shards"][shard].clone())
    };
    names.iter().map(|name| (name.clone(), own(name))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_stops_its_shard_until_it_is_repaired() {
    let mut scene = Scene::begin().await;
    for _ in 0..rounds(1, 6) {
        scene.random_time().await;
        let shard = scene.chance.u16(0..SHARDS);
        let before = epoch(&scene.cluster, shard);
        scene.say(&format!("delete the stream of shard {shard}"));
        delete_stream(&scene.cluster, shard, before);
        wait_stopped(&scene.cluster, shard).await;
        for (_, node) in scene.cluster.running() {
            let warnings = node.ops("/readyz").await.1;
            let stops = warnings.contains(&format!("cluster, shard {shard}"));
            let owns = node.control(&json!({"cluster_status": {}}))[0]["ok"]["shards"][usize::from(shard)]["stage"]
                == "stopped";
            assert_eq!(stops, owns, "{warnings}");
        }
        scene.random_time().await;
        scene.say("repair");
        scene.cluster.repair(shard);
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
        assert_eq!(epoch(&scene.cluster, shard), before + 1);
    }
    scene.end(Tally::assert_whole).await;
}
