//! One sealed datagram at two nodes: whoever repeats it, and wherever, it counts once.

use std::net::UdpSocket;

use tokio::time::sleep;
use vagn_seal::Lane;
use vagn_wire::Fate;

use super::call_scene::{Calls, PATIENCE};
use super::nodes::Cluster;
use super::scene::{POLL, rounds};
use crate::chance::seed;
use crate::sealed::{Device, say};
use crate::stored_acks;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, eventually_within};

const BUS: &str = "bus 7";

/// Makes a key at a node, and waits until reports under it are believed at each node.
async fn device(cluster: &Cluster, vehicle: &str) -> Device {
    let mut device = Device::add(&cluster.dir(0), vehicle);
    for (number, node) in cluster.running() {
        let lat = 1.0 + number as f64;
        eventually_within(PATIENCE, "the key in force", async || {
            node.send(&device.seal(&say(vehicle, lat, None, false), Lane::Ordinary));
            sleep(POLL).await;
            latitude(node, vehicle).await == Some(lat)
        })
        .await;
    }
    device
}

async fn latitude(node: &Vagn, vehicle: &str) -> Option<f64> {
    let (status, body) = node.get(&format!("/api/v1/vehicles/{vehicle}")).await;
    let found: serde_json::Value = serde_json::from_str(&body).unwrap();
    found["geometry"]["coordinates"][1].as_f64().filter(|_| status == 200)
}

/// Sends an envelope over a connection of each node at once, and returns the fates.
async fn fates_at(doors: &mut [TcpVehicle], nodes: &[usize], envelope: &[u8]) -> Vec<Fate> {
    let framed = [&[0xc4, envelope.len() as u8], envelope].concat();
    for node in nodes {
        doors[*node].raw(&framed);
        doors[*node].flush().await.unwrap();
    }
    let mut fates = Vec::new();
    for node in nodes {
        fates.push(doors[*node].ack().await.expect("an answer").2);
    }
    fates
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_sealed_report_that_comes_to_two_nodes_at_once_one_is_stored() {
    let mut cluster = Cluster::start();
    cluster.wait_whole().await;
    let mut bus = device(&cluster, BUS).await;
    let mut doors = Vec::new();
    for node in 0..3 {
        doors.push(TcpVehicle::connect(cluster.node(node).address("tcp")).await.unwrap());
    }
    let mut chance = fastrand::Rng::with_seed(seed());
    let count = rounds(100, 2_000);
    let mut last = Vec::new();
    for seq in 0..count {
        let first = chance.usize(0..3);
        let both = [first, (first + chance.usize(1..3)) % 3];
        last = bus.seal(&say(BUS, 10.0 + seq as f64 / 1e3, Some(seq as u64), false), Lane::Ordinary);
        let mut fates = fates_at(&mut doors, &both, &last).await;
        fates.sort_by_key(|fate| fate.as_str());
        assert_eq!(fates, [Fate::Duplicate, Fate::Stored], "{seq} at {both:?}");
    }
    // Nor does it count when it comes again after a node was killed and has come back.
    cluster.kill(0);
    assert_eq!(fates_at(&mut doors, &[1, 2], &last).await, [Fate::Duplicate; 2]);
    cluster.start_again(0);
    doors[0] = TcpVehicle::connect(cluster.node(0).address("tcp")).await.unwrap();
    assert_eq!(fates_at(&mut doors, &[0, 1, 2], &last).await, [Fate::Duplicate; 3]);
}

/// Returns a socket for a vehicle of each node that runs.
fn sockets(calls: &Calls) -> Vec<UdpSocket> {
    let open = |(_, node): (usize, &Vagn)| stored_acks::vehicle(node);
    let sockets: Vec<_> = calls.cluster.running().map(open).collect();
    sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    sockets
}

/// Counts the answers that have come.
fn answers(socket: &UdpSocket) -> usize {
    std::iter::from_fn(|| socket.recv(&mut [0; 300]).ok()).count()
}

/// A new vehicle calls at each node until it is answered: what came before it has been judged by then.
async fn wait_judged(calls: &mut Calls, what: &str) {
    for node in calls.running() {
        let (vehicle, mut seq) = (format!("after {what} at {node}"), 0);
        let socket = stored_acks::vehicle(calls.cluster.node(node));
        socket.set_nonblocking(true).unwrap();
        eventually_within(PATIENCE, "an answer to a call", async || {
            seq += 1;
            socket.send(&stored_acks::say(&vehicle, Some(seq), true)).unwrap();
            sleep(POLL).await;
            answers(&socket) > 0
        })
        .await;
        calls.called.insert(vehicle);
    }
}

/// Sends all envelopes to each node that runs, which must answer none of them.
async fn assert_refused(calls: &mut Calls, envelopes: &[Vec<u8>], what: &str) {
    let sockets = sockets(calls);
    for envelope in envelopes {
        for socket in &sockets {
            socket.send(envelope).unwrap();
        }
    }
    wait_judged(calls, what).await;
    let answered: Vec<usize> = sockets.iter().map(answers).collect();
    assert!(answered.iter().all(|count| *count == 0), "replays were answered {what}: {answered:?}");
}

/// The door at which a call counts answers it, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_call_that_comes_to_two_nodes_at_once_is_one_incident_and_a_replay_is_none() {
    let mut calls = Calls::begin().await;
    let mut envelopes = Vec::new();
    for number in 0..rounds(6, 40) {
        let vehicle = format!("sealed-{number}");
        let mut key = device(&calls.cluster, &vehicle).await;
        let sockets = sockets(&calls);
        let first = calls.chance.usize(0..3);
        let both = [first, (first + calls.chance.usize(1..3)) % 3];
        let call = key.seal(&say(&vehicle, 59.3, Some(7), true), Lane::Call);
        for node in both {
            sockets[node].send(&call).unwrap();
        }
        let (mut slot, mut answered) = ([0; 300], 0);
        eventually_within(PATIENCE, "an answer", async || {
            for socket in &sockets {
                if let Ok(len) = socket.recv(&mut slot) {
                    assert!(key.key.open_answer(&slot[..len]).is_ok(), "it is sealed");
                    answered += 1;
                }
            }
            answered > 0
        })
        .await;
        calls.called.insert(vehicle);
        envelopes.push(call);
        // Until each node knows of it.
        calls.all_recorded().await;
        answered += sockets.iter().map(answers).sum::<usize>();
        assert_eq!(answered, 1);
    }
    assert_refused(&mut calls, &envelopes, "while their incidents are open").await;
    calls.resolve_all().await;
    let leader = calls.leader().await;
    calls.kill(leader);
    assert_refused(&mut calls, &envelopes, "without the leader").await;
    calls.cluster.start_again(leader);
    assert_refused(&mut calls, &envelopes, "with it").await;
    calls.end().await;
}
