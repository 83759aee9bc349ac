//! `kill -9` at random moments, and an orderly stop: positions that were answered as stored are there afterwards.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use vagn_wire::Fate;

use crate::chance::{moments, seed};
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, client, eventually, report, spawn};

/// Returns a longitude that holds the number of its report: millionths of a degree.
fn longitude(seq: u64) -> f64 {
    seq as f64 / 1e6
}

fn seq(geometry: &serde_json::Value) -> u64 {
    (geometry["coordinates"][0].as_f64().unwrap() * 1e6).round() as u64
}

/// Posts newer and newer positions of its own vehicles until the service is gone. Returns the last position of each vehicle that was
/// answered as stored.
async fn write_until_killed(
    url: String,
    writer: usize,
    round: u32,
    answered: Arc<AtomicU64>,
) -> BTreeMap<String, u64> {
    let client = client();
    let mut stored = BTreeMap::new();
    for step in 0_u64.. {
        let seq = u64::from(round) * 100_000 + step;
        let ids: Vec<_> = (0..8).map(|vehicle| format!("w{writer}-{}", (step * 8 + vehicle) % 40)).collect();
        let reports: Vec<_> =
            ids.iter().map(|id| json!({"ID": id, "Lat": 30.0, "Lon": longitude(seq), "Seq": seq})).collect();
        let post =
            client.post(&url).header("content-type", "application/json").body(json!(reports).to_string());
        let Ok(answer) = post.send().await else { break };
        let Ok(body) = answer.text().await else { break };
        let fates: serde_json::Value = serde_json::from_str(&body).unwrap();
        for (id, result) in ids.into_iter().zip(fates["reports"].as_array().unwrap_or(&Vec::new())) {
            if result["fate"] == "stored" {
                stored.insert(id, seq);
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_position_answered_as_stored_survives_kill_9_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = fastrand::Rng::with_seed(seed());
    let mut vagn = Vagn::start(dir.path(), &[]);
    let mut expected = BTreeMap::new();
    for round in 1..=moments() {
        let answered = Arc::new(AtomicU64::new(0));
        let mut writers: Vec<_> = (0..3)
            .map(|writer| {
                spawn(write_until_killed(vagn.url("/api/v1/positions"), writer, round, answered.clone()))
            })
            .collect();
        writers.push(spawn(stream_until_killed(vagn.address("tcp"), round, answered.clone())));
        let enough = chance.u64(1..120);
        eventually("enough answers", async || answered.load(Ordering::Relaxed) >= enough).await;
        vagn.kill();
        for writer in writers {
            expected.extend(writer.await.unwrap());
        }
        vagn = vagn.restart();
        assert_nothing_lost(&vagn, &expected).await;
    }
}

/// Does the same over TCP, a hundred reports at a time.
async fn stream_until_killed(to: SocketAddr, round: u32, answered: Arc<AtomicU64>) -> BTreeMap<String, u64> {
    let mut stored = BTreeMap::new();
    let Ok(mut vehicle) = TcpVehicle::connect(to).await else { return stored };
    for step in 0_u64.. {
        let seq = u64::from(round) * 100_000 + step;
        for number in 0..100 {
            vehicle.report(&format!("t-{number}"), 30.0, longitude(seq), seq);
        }
        if vehicle.flush().await.is_err() {
            break;
        }
        for _ in 0..100 {
            let Some((id, seq, fate)) = vehicle.ack().await else { return stored };
            if fate == Fate::Stored {
                stored.insert(id, seq);
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    stored
}

async fn assert_nothing_lost(vagn: &Vagn, expected: &BTreeMap<String, u64>) {
    let all = vagn.json("/api/v1/vehicles?bbox=-180,-90,180,90&limit=10000").await;
    let found: BTreeMap<_, _> = all["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (each["id"].as_str().unwrap().to_owned(), seq(&each["geometry"])))
        .collect();
    for (id, seq) in expected {
        let kept = found.get(id).copied();
        assert!(kept >= Some(*seq), "{id}: {seq} was answered as stored, {kept:?} is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_stores_all_queued_positions() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    const VEHICLES: u64 = 4000;
    for number in 0..VEHICLES {
        let datagram = report(&format!("bus {number}"), 30.0, number as f64 / 100.0, false);
        socket.send_to(&datagram, vagn.address("udp")).unwrap();
    }
    eventually("the doors to have read everything", async || {
        vagn.metric("vagn_reports_received_total").await as u64 == VEHICLES
    })
    .await;
    let (status, log) = vagn.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let again = Vagn::start(dir.path(), &[]);
    assert_eq!(again.metric("vagn_vehicles").await as u64, VEHICLES);
}

#[tokio::test]
async fn a_second_service_over_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let second = crate::vagn::command()
        .args(["serve", "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .args(["--ops", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(69), "{said}");
    assert!(said.contains(dir.path().to_str().unwrap()), "{said}");
    drop(vagn);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let other = tempfile::tempdir().unwrap();
    for name in ["udp", "tcp", "http", "ops"] {
        let mut command = crate::vagn::command();
        command.arg("serve").arg("--data-dir").arg(other.path());
        for flag in ["udp", "tcp", "http", "ops"] {
            let address = if flag == name { vagn.address(name).to_string() } else { "127.0.0.1:0".into() };
            command.arg(format!("--{flag}")).arg(address);
        }
        let refused = command.output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(69), "{name}: {said}");
        assert!(said.contains(&vagn.address(name).port().to_string()), "{name}: {said}");
    }
}

/// The signal for an orderly stop works also while positions keep coming.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_in_time_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let (to, stop) = (vagn.address("udp"), Arc::new(AtomicBool::new(false)));
    let sender = spawn({
        let stop = stop.clone();
        async move {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while !stop.load(Ordering::Relaxed) {
                for number in 0..100 {
                    // Fails when the door closes while we send.
                    socket.send_to(&report(&format!("bus {number}"), 30.0, 18.0, false), to).ok();
                }
                tokio::task::yield_now().await;
            }
        }
    });
    eventually("traffic to flow", async || vagn.fate("stored").await > 1000).await;
    let (status, log) = vagn.stop();
    stop.store(true, Ordering::Relaxed);
    sender.await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
}
