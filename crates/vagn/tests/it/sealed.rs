//! Sealed reports through the whole service: they are stored, and what is forged, replayed or not sealed changes nothing.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use vagn::control::{ControlRequest, connect};
use vagn_seal::{Epoch, KeyId, Lane, Secret, SenderKey};
use vagn_wire::{Position, Report, VehicleId, encode};

use crate::stored_acks::vehicle;
use crate::vagn::{Vagn, client, eventually, settings};

/// A device with its key, and the sequence that it has come to.
pub(crate) struct Device {
    key_id: KeyId,
    pub(crate) key: SenderKey,
    sequence: u64,
}

impl Device {
    /// Makes a key in the running service.
    pub(crate) fn add(data_dir: &Path, id: &str) -> Self {
        let request = ControlRequest::DeviceAdd { name: id.into(), is_gateway: false, prefix: "".into() };
        let made = connect(data_dir).unwrap().ask(&request, &mut |_| Ok(())).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let key_id = text("key_id").parse().unwrap();
        let secret = Secret::from_base64(&text("secret")).unwrap();
        let epoch = Epoch::new(made["epoch"].as_u64().unwrap() as u8).unwrap();
        Self { key_id, key: SenderKey::new(key_id, epoch, &secret), sequence: 1_795_860_000_000 }
    }

    pub(crate) fn seal(&mut self, reports: &[u8], lane: Lane) -> Vec<u8> {
        self.sequence += 1;
        let mut envelope = Vec::new();
        self.key.seal(self.sequence, reports, lane, &mut envelope);
        envelope
    }
}

/// A report of this vehicle.
pub(crate) fn say(id: &str, lat: f64, seq: Option<u64>, emergency: bool) -> Vec<u8> {
    let report = Report::new(VehicleId::new(id).unwrap(), Position::new(lat, 18.0).unwrap());
    let mut bytes = Vec::new();
    encode(&Report { seq, emergency, ..report }, &mut bytes);
    bytes
}

/// The same without its id.
fn nameless(lat: f64, seq: Option<u64>, emergency: bool) -> Vec<u8> {
    let named = say("x", lat, seq, emergency);
    [&[named[0] - 1], &named[6..]].concat()
}

/// Returns the latitude of a vehicle, if it is in the fleet.
async fn latitude(vagn: &Vagn, id: &str) -> Option<f64> {
    let (status, body) = vagn.get(&format!("/api/v1/vehicles/{id}")).await;
    let found: serde_json::Value = serde_json::from_str(&body).unwrap();
    found["geometry"]["coordinates"][1].as_f64().filter(|_| status == 200)
}

async fn incidents(vagn: &Vagn) -> usize {
    vagn.json("/api/v1/incidents").await["incidents"].as_array().unwrap().len()
}

async fn unproven(vagn: &Vagn) -> serde_json::Value {
    vagn.json("/api/v1/incidents/unproven").await["calls"].clone()
}

async fn refused(vagn: &Vagn, reason: &str) -> f64 {
    vagn.metric(&format!("vagn_reports_unauthenticated_total{{reason=\"{reason}\"}}")).await
}

/// Waits until the service knows the key: until a report under it is stored.
async fn in_force(vagn: &Vagn, device: &mut Device, id: &str) {
    eventually("the key in force", async || {
        vagn.send(&device.seal(&nameless(1.0, None, false), Lane::Ordinary));
        tokio::time::sleep(Duration::from_millis(20)).await;
        latitude(vagn, id).await.is_some()
    })
    .await;
}

fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.recv(&mut [0; 200]).is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_report_is_stored_and_what_is_not_proved_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "[auth]\ndevices = \"required\"\n");
    let data = dir.path().join("data");
    let vagn = Vagn::start(&data, &["--config", &config]);
    let mut bus = Device::add(&data, "bus7");
    let mut tram = Device::add(&data, "tram");
    in_force(&vagn, &mut bus, "bus7").await;
    in_force(&vagn, &mut tram, "tram").await;
    let (known, before) = (vagn.fates().await, vagn.fate("unauthenticated").await);

    let good = bus.seal(&nameless(59.0, None, false), Lane::Ordinary);
    vagn.send(&good);
    eventually("the report", async || latitude(&vagn, "bus7").await == Some(59.0)).await;
    vagn.send(&bus.seal(&nameless(60.0, None, false), Lane::Ordinary));
    eventually("the next one", async || latitude(&vagn, "bus7").await == Some(60.0)).await;

    let socket = vehicle(&vagn);
    let mut forged = bus.seal(&nameless(61.0, Some(1), true), Lane::Call);
    forged[25] ^= 1;
    let mut unknown = bus.seal(&nameless(61.0, Some(1), true), Lane::Call);
    unknown[3] ^= 1;
    let wrong = tram.seal(&say("bus7", 61.0, Some(1), true), Lane::Call);
    let open = say("bus7", 61.0, Some(1), true);
    for datagram in [&forged, &unknown, &wrong, &open, &good] {
        socket.send(datagram).unwrap();
    }
    vagn.wait_settled(known + 7).await;
    assert_eq!(latitude(&vagn, "bus7").await, Some(60.0));
    for reason in ["bad_tag", "unknown_key", "wrong_vehicle", "no_seal"] {
        assert!(refused(&vagn, reason).await >= 1.0, "{reason}");
    }
    assert_eq!(vagn.fate("unauthenticated").await, before + 4);
    assert_eq!(vagn.metric("vagn_seal_replays_total").await, 1.0);
    assert_eq!(incidents(&vagn).await, 0);
    assert!(is_silent(&socket), "an answer went out");

    // A person looks at them, and raises one.
    let calls = unproven(&vagn).await;
    let calls = calls.as_array().unwrap();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls.iter().any(|call| call["vehicle_id"] == "bus7" && call["count"] == 3), "{calls:?}");
    let n = calls.iter().find(|call| call["vehicle_id"] == "bus7").unwrap()["n"].as_u64().unwrap();
    let path = format!("/api/v1/incidents/unproven/{n}/raise");
    let (status, raised) = vagn.post(&path, r#"{"by":"Anna"}"#.into()).await;
    assert_eq!((status, &raised["vehicle_id"]), (201, &"bus7".into()), "{raised}");
    assert_eq!(vagn.post(&path, r#"{"by":"Anna"}"#.into()).await.0, 404);
    assert_eq!(incidents(&vagn).await, 1);

    // A key that is revoked opens nothing from then on.
    let request = ControlRequest::DeviceRevoke { name: "tram".into() };
    connect(&data).unwrap().ask(&request, &mut |_| Ok(())).unwrap();
    eventually("the end of the key", async || {
        vagn.send(&tram.seal(&nameless(2.0, None, false), Lane::Ordinary));
        tokio::time::sleep(Duration::from_millis(20)).await;
        refused(&vagn, "revoked").await >= 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_call_makes_one_incident_and_one_sealed_answer_and_none_when_it_comes_again_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut vagn = Vagn::start(dir.path(), &[]);
    let mut bus = Device::add(dir.path(), "bus7");
    in_force(&vagn, &mut bus, "bus7").await;
    let socket = vehicle(&vagn);
    let call = bus.seal(&nameless(59.0, Some(7), true), Lane::Call);
    socket.send(&call).unwrap();
    let mut slot = [0; 300];
    let len = socket.recv(&mut slot).unwrap();
    assert!(len <= call.len() && slot[2..10] == bus.key_id.0, "no longer than the call");
    let (_, clear) = bus.key.open_answer(&slot[..len]).unwrap();
    assert_eq!(clear, b"\x82\xa3Seq\x07\xa6Stored\xc3");
    assert_eq!(incidents(&vagn).await, 1);

    socket.send(&call).unwrap();
    assert!(is_silent(&socket) && incidents(&vagn).await == 1);
    let id = vagn.json("/api/v1/incidents").await["incidents"][0]["id"].as_str().unwrap().to_owned();
    let resolved = vagn.post(&format!("/api/v1/incidents/{id}/resolve"), r#"{"by":"Anna"}"#.into()).await;
    assert_eq!(resolved.0, 200);

    vagn.kill();
    let vagn = vagn.restart();
    let socket = vehicle(&vagn);
    socket.send(&call).unwrap();
    assert!(is_silent(&socket), "a replay was answered");
    assert_eq!(incidents(&vagn).await, 1, "a replay made an incident");
    // The next one is new.
    socket.set_read_timeout(Some(crate::vagn::LIMIT)).unwrap();
    socket.send(&bus.seal(&nameless(59.0, Some(8), true), Lane::Call)).unwrap();
    let len = socket.recv(&mut slot).unwrap();
    assert!(bus.key.open_answer(&slot[..len]).is_ok());
    assert_eq!(incidents(&vagn).await, 2);
}

/// Sends datagrams that came before, and checks that they change nothing.
async fn check_replays(vagn: &Vagn, datagrams: &[&[u8]]) {
    let (settled, replays) = (vagn.fates().await, vagn.metric("vagn_seal_replays_total").await);
    datagrams.iter().for_each(|datagram| vagn.send(datagram));
    vagn.wait_settled(settled + datagrams.len() as u64).await;
    assert_eq!(latitude(vagn, "bus7").await, None, "a vehicle that was deleted is back");
    assert_eq!(vagn.metric("vagn_seal_replays_total").await, replays + datagrams.len() as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_vehicle_has_sent_brings_it_back_neither_at_once_nor_after_a_kill_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let mut bus = Device::add(dir.path(), "bus7");
    in_force(&vagn, &mut bus, "bus7").await;
    let first = bus.seal(&nameless(59.0, None, false), Lane::Ordinary);
    let last = bus.seal(&[nameless(60.0, None, false), nameless(61.0, None, false)].concat(), Lane::Ordinary);
    vagn.send(&first);
    eventually("the first one", async || latitude(&vagn, "bus7").await == Some(59.0)).await;
    vagn.send(&last);
    eventually("the last one", async || latitude(&vagn, "bus7").await == Some(61.0)).await;
    let deleted = client().delete(vagn.url("/api/v1/vehicles/bus7")).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    check_replays(&vagn, &[&first, &first]).await;

    // Killed, and then stopped in order.
    let vagn = vagn.restart();
    check_replays(&vagn, &[&first]).await;
    let data_dir = dir.path();
    assert!(vagn.stop().0.success());
    let vagn = Vagn::start(data_dir, &[]);
    check_replays(&vagn, &[&first]).await;

    // Two reports in one envelope; then one that is new.
    let settled = vagn.fates().await;
    vagn.send(&last);
    vagn.wait_settled(settled + 2).await;
    assert_eq!(latitude(&vagn, "bus7").await, None);
    vagn.send(&bus.seal(&nameless(62.0, None, false), Lane::Ordinary));
    eventually("a new one", async || latitude(&vagn, "bus7").await == Some(62.0)).await;
    let (settled, replays) = (vagn.fates().await, vagn.metric("vagn_seal_replays_total").await);
    vagn.send(&last);
    vagn.wait_settled(settled + 2).await;
    assert_eq!(latitude(&vagn, "bus7").await, Some(62.0));
    assert_eq!(vagn.metric("vagn_seal_replays_total").await, replays + 2.0);

    // With the key goes what is kept for it.
    let deleted = client().delete(vagn.url("/api/v1/vehicles/bus7")).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    eventually("the count of the vehicle that left", async || departed(&vagn).await == 1.0).await;
    let request = ControlRequest::DeviceRevoke { name: "bus7".into() };
    connect(data_dir).unwrap().ask(&request, &mut |_| Ok(())).unwrap();
    eventually("the end of the count", async || departed(&vagn).await == 0.0).await;
}

/// Returns the number of counts of vehicles that left.
async fn departed(vagn: &Vagn) -> f64 {
    let (_, page) = vagn.ops("/metrics").await;
    let counts = page.lines().filter(|line| line.starts_with("vagn_seal_counts_departed{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datagram_full_of_sealed_calls_is_answered_once_whatever_their_number() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let mut bus = Device::add(dir.path(), "bus7");
    in_force(&vagn, &mut bus, "bus7").await;
    let socket = vehicle(&vagn);
    // The shortest calls: lists without id and place, of which 402 fill a datagram.
    for calls in [17, 40, 402] {
        let envelope = bus.seal(&b"\x94\xc0\xc0\xc0\xc3".repeat(calls), Lane::Call);
        socket.send(&envelope).unwrap();
        let mut slot = [0; 300];
        let len = socket.recv(&mut slot).expect("an answer");
        assert!(bus.key.open_answer(&slot[..len]).is_ok(), "{calls} calls");
    }
    let incidents = vagn.json("/api/v1/incidents").await["incidents"].clone();
    assert_eq!(incidents.as_array().unwrap().len(), 1);
    assert_eq!(incidents[0]["reports"], 17 + 40 + 402);
}

fn has(datagram: &[u8], part: &[u8]) -> bool {
    datagram.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_vehicle_id_and_no_place_of_a_sealed_fleet_is_on_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "[auth]\ndevices = \"required\"\n");
    let data = dir.path().join("data");
    let vagn = Vagn::start(&data, &["--config", &config]);
    let mut bus = Device::add(&data, "bus-of-the-capture");
    in_force(&vagn, &mut bus, "bus-of-the-capture").await;
    // All that the two sides say to each other goes through this socket.
    let socket = vehicle(&vagn);
    let (mut said, mut secrets) = (Vec::new(), vec![b"Emergency".to_vec()]);
    for (lat, emergency) in [(59.33, false), (59.1, true), (59.2, false)] {
        let lane = if emergency { Lane::Call } else { Lane::Ordinary };
        let open = say("bus-of-the-capture", lat, Some(7), emergency);
        secrets.extend([b"bus-of-the-capture".to_vec(), lat.to_be_bytes().to_vec()]);
        assert!(secrets[secrets.len() - 2..].iter().all(|part| has(&open, part)), "in clear both are there");
        let datagram = bus.seal(&open, lane);
        socket.send(&datagram).unwrap();
        said.push(datagram);
    }
    let mut slot = [0; 300];
    let len = socket.recv(&mut slot).unwrap();
    let (_, clear) = bus.key.open_answer(&slot[..len]).unwrap();
    assert!(has(&clear, b"bus-of-the-capture"), "the call had its id in it");
    said.push(slot[..len].to_vec());
    for datagram in &said {
        assert!(!secrets.iter().any(|part| has(datagram, part)), "{datagram:x?}");
    }
}
