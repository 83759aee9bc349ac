//! Whole nodes over brokers that nobody harms.

use std::time::Duration;

use futures_util::future::join_all;
use vagn_cluster::{Happened, ShardId};
use vagn_wire::Fate;

use crate::orders::{LONG, report};
use crate::rig::{Load, Machine, QUIET, SHARDS, agree, assert_kept, brokers, nodes, owned, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_any_node_takes_is_stored_by_two_and_asked_of_any() {
    let nodes = nodes(&QUIET, "three", 3).await;
    let groups = nodes.iter().flat_map(|node| (0..20).map(move |group| (node, group)));
    let fates = groups.map(|(node, group)| {
        let vehicles = (0..50).map(|at| report(&format!("{}-{group}-{at}", node.id)));
        node.handle.submit(vehicles.collect()).unwrap()
    });
    for fates in join_all(fates).await {
        assert_eq!(fates.unwrap(), [Fate::Stored; 50]);
    }
    agree(&nodes).await;
    for node in &nodes {
        until("all are counted", 10, async || {
            let answer =
                node.handle.ask(Vec::new(), b"count".to_vec(), Duration::from_secs(5)).await.unwrap();
            assert_eq!(answer.missing, []);
            let counts =
                answer.shards.iter().map(|shard| u64::from_le_bytes(*shard.bytes.first_chunk().unwrap()));
            counts.sum::<u64>() == 3_000
        })
        .await;
        let long = node.handle.ask(vec![ShardId(2)], b"long".to_vec(), Duration::from_secs(5)).await.unwrap();
        assert_eq!((long.missing, long.shards[0].bytes.len()), (Vec::new(), LONG));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_crashed_goes_on_with_its_disk() {
    let mut nodes = nodes(&QUIET, "crash", 2).await;
    let load = Load::start(&nodes[0]);
    load.goes_on(500, 20).await;
    let crashed = nodes.pop().unwrap();
    nodes.push(crashed.crash(&QUIET).await);
    load.goes_on(500, 20).await;
    let ledger = load.stop();
    owned(&nodes).await;
    assert_kept(&nodes, ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_under_load_is_told() {
    let nodes = nodes(&QUIET, "gone", 2).await;
    let load = Load::start(&nodes[0]);
    load.goes_on(200, 20).await;
    let shard = ShardId(1);
    let stream = nodes[0].handle.look(move |node| node.owners(shard).unwrap().0).await.unwrap();
    brokers(&QUIET, "gone", 9).await.drop_stream(stream).await;
    let is_told = |node: &Machine| {
        node.was_told(|what| matches!(what, Happened::Stopped(stopped, _) if *stopped == shard))
    };
    until("both owners stop", 40, async || nodes.iter().all(is_told)).await;
    let others = |what: &Happened| matches!(what, Happened::Stopped(stopped, _) if *stopped != shard);
    assert!(!nodes.iter().any(|node| node.was_told(others)));
    // The other shards go on.
    load.goes_on(200, 20).await;
    assert!((0..SHARDS).map(ShardId).any(|other| other != shard));
}
