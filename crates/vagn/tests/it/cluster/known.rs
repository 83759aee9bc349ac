//! Who is known in a cluster: that is decided where a vehicle's shard is, whichever door it calls at, and nobody becomes known by a look at the map.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::Command;

use futures_util::future::join_all;
use tokio::time::sleep;
use vagn_wire::Fate;

use super::call_scene::{Calls, NO_TURNS, PATIENCE, target_settings};
use super::nodes::Cluster;
use super::rounds::{VEHICLES, report_all, vehicle};
use super::scene::POLL;
use crate::brokers::Brokers;
use crate::strangers::{count, known_on_disk};
use crate::targets::BadTarget;
use crate::tcp::TcpVehicle;
use crate::tiles;
use crate::vagn::{Vagn, command, eventually_within, report};

/// Node that has a door and nothing else.
const DOOR: usize = 3;

/// Addresses of a flood, and the vehicles that each invents.
const SOURCES: usize = 12;
const INVENTED: usize = 15;

/// Half of the places.
const STRANGERS: usize = 100;

fn with_few_places() -> Command {
    let mut command = command();
    command.env("VAGN_MAX_OPEN_INCIDENTS", "200");
    command
}

/// A cluster whose nodes know vehicles, each those of its own shards, and a node that has only a door.
async fn knowing_all() -> Calls {
    let target = BadTarget::accepting();
    let settings =
        target_settings(&target, &format!("{NO_TURNS}strangers_per_source = 20\nknown_after = \"1s\"\n"));
    let mut cluster = Cluster::over_with(Brokers::start(), &settings);
    (0..3).for_each(|node| cluster.launch_by(node, with_few_places(), &[]));
    (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
    cluster.wait_even().await;
    cluster.launch_by(DOOR, with_few_places(), &["--role", "ingest"]);
    cluster.node_mut(DOOR).wait_ready();
    let mut seq = 0;
    eventually_within(PATIENCE, "all to be known at both owners", async || {
        seq += 1;
        report_all(cluster.node(0), seq, 10.0).await;
        let at = |node| known_on_disk(&cluster.dir(node).join("desk"));
        (0..3).map(at).sum::<usize>() >= 2 * VEHICLES as usize
    })
    .await;
    Calls::over(cluster, target).await
}

/// Invented vehicles call at all doors, and take what they can. Returns those of each node that found no room.
async fn flood(calls: &Calls) -> Vec<Vec<String>> {
    let mut invented: Vec<Vec<String>> = vec![Vec::new(); DOOR + 1];
    for source in 0..SOURCES {
        let node = source % invented.len();
        let socket = UdpSocket::bind(format!("127.0.1.{}:0", source + 1)).unwrap();
        for number in 0..INVENTED {
            let id = format!("invented {source} {number}");
            socket.send_to(&report(&id, 59.3, 18.0, true), calls.cluster.node(node).address("udp")).unwrap();
            invented[node].push(id);
        }
    }
    let mut recorded = BTreeSet::new();
    eventually_within(PATIENCE, "half of the places to be taken", async || {
        // A door shows calls of its own for which the leader had no room.
        let open = calls.incidents(0).await.into_iter().filter(|one| one["recorded"] == true);
        recorded = open.map(|one| one["vehicle_id"].as_str().unwrap().to_owned()).collect();
        recorded.len() >= STRANGERS
    })
    .await;
    invented.iter_mut().for_each(|ids| ids.retain(|id| !recorded.contains(id)));
    invented
}

/// Calls for each of these vehicles at a node, and returns what became of them.
async fn call(node: &Vagn, vehicles: &[String], seq: u64) -> Vec<Fate> {
    let mut sender = TcpVehicle::connect(node.address("tcp")).await.unwrap();
    vehicles.iter().for_each(|id| sender.say(id, 59.3, 18.0, seq, true));
    sender.flush().await.unwrap();
    let mut fates = Vec::new();
    for _ in vehicles {
        fates.push(sender.ack().await.expect("an answer").2);
    }
    fates
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_vehicle_is_refused_at_no_door_for_a_flood_and_a_look_at_the_map_makes_no_stranger_known() {
    let calls = knowing_all().await;
    let refused = flood(&calls).await;
    for (node, numbers) in [(DOOR, 0..24), (0, 24..28), (1, 28..32), (2, 32..36)] {
        let known: Vec<_> = numbers.map(vehicle).collect();
        let fates = call(calls.cluster.node(node), &known, 1 << 40).await;
        assert!(fates.iter().all(|fate| *fate == Fate::Stored), "at node {node}: {fates:?}");
    }
    for node in 0..3 {
        eventually_within(PATIENCE, "all shards at each node", async || {
            let features = tiles::features(calls.cluster.node(node), "0/0/0.mvt").await;
            tiles::count(&features, "n") >= VEHICLES
        })
        .await;
    }
    // There is room for known vehicles, and these are none, whether there is room for them or not.
    assert!(refused.iter().flatten().next().is_some(), "all had room");
    for seq in 20..22 {
        let again = refused.iter().enumerate();
        let again = again.map(|(node, refused)| call(calls.cluster.node(node), refused, seq));
        join_all(again).await;
        assert_eq!(count(calls.cluster.node(0), "known").await, "36 incidents would be resolved\n");
        sleep(POLL).await;
    }
}
