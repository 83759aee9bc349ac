//! Alarms over UDP that ask for an answer: they are answered when they are on disk, and then they survive a kill.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use vagn_wire::{Position, Report, StoredAck, VehicleId, encode};

use crate::emergencies::Sink;
use crate::vagn::{LIMIT, Vagn, command, eventually};

/// Returns the socket of a vehicle that receives only from the service.
pub(crate) fn vehicle(vagn: &Vagn) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(vagn.address("udp")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

/// Returns a report of this vehicle as bytes.
pub(crate) fn say(id: &str, seq: Option<u64>, emergency: bool) -> Vec<u8> {
    let report = Report::new(VehicleId::new(id).unwrap(), Position::new(59.33, 18.06).unwrap());
    let mut bytes = Vec::new();
    // With `Ts` the alarm is so long that its answer has room for the incident.
    let event_time_ms = Some(1_700_000_000_000);
    let report = Report { emergency, seq, event_time_ms, speed_mps: Some(1.0), ..report };
    encode(&report, &mut bytes);
    bytes
}

/// Returns the next answer: vehicle, `Seq`, incident. `None` when none comes in time.
pub(crate) fn hear(vehicle: &UdpSocket) -> Option<(String, u64, String)> {
    let mut slot = [0; 200];
    let len = vehicle.recv(&mut slot).ok()?;
    let ack = StoredAck::decode(&slot[..len]).unwrap();
    Some((ack.vehicle_id.as_str().into(), ack.seq, ack.incident.unwrap().into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_alarm_that_asks_for_an_answer_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let vehicle = vehicle(&vagn);
    for quiet in [say("plain", Some(1), false), say("silent", None, true), b"noise\xc3".to_vec()] {
        vehicle.send(&quiet).unwrap();
    }
    vagn.wait_settled(3).await;
    for seq in [7, 8] {
        vehicle.send(&say("caller", Some(seq), true)).unwrap();
        let (id, heard, incident) = hear(&vehicle).expect("an answer");
        assert_eq!((&*id, heard), ("caller", seq));
        let found = vagn.json(&format!("/api/v1/incidents/{incident}")).await;
        assert_eq!(found["vehicle_id"], "caller");
    }
    vehicle.set_nonblocking(true).unwrap();
    assert_eq!(hear(&vehicle), None, "something else was answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answered_alarm_survives_a_kill_and_its_notice_is_sent() {
    const ROUNDS: u64 = 5;
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let mut vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    let mut answered = BTreeMap::new();
    for round in 0..ROUNDS {
        let vehicle = vehicle(&vagn);
        vehicle.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let until = Instant::now() + Duration::from_millis(20 + 7 * round);
        let before = answered.len();
        for seq in 0.. {
            vehicle.send(&say(&format!("caller {round}-{seq}"), Some(seq), true)).unwrap();
            answered.extend(hear(&vehicle).map(|(id, _, incident)| (id, incident)));
            if Instant::now() > until && answered.len() > before {
                break;
            }
        }
        vagn.kill();
        while let Some((id, _, incident)) = hear(&vehicle) {
            answered.insert(id, incident);
        }
        vagn = vagn.restart();
    }
    for (id, incident) in &answered {
        let found = vagn.json(&format!("/api/v1/incidents/{incident}")).await;
        assert_eq!(found["vehicle_id"], **id);
    }
    eventually("the notices", async || answered.keys().all(|id| sink.accepted().contains_key(id))).await;
    for (id, incident) in &answered {
        let keys = &sink.accepted()[id];
        assert!(
            keys.len() == 1 && keys.contains(incident),
            "{id}: the notices about {incident} have the keys {keys:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vagn_send_waits_until_the_alarm_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let to = vagn.address("udp").to_string();
    let send = |more: &[&str]| {
        let args = ["send", "bus-7", "59.33", "18.06", "--target", &to];
        let done = command().args(args).args(more).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let said = send(&["--emergency", "--kind", "test"]);
    let incident = said.trim_end().strip_prefix("stored, incident ").unwrap_or_else(|| panic!("{said:?}"));
    assert_eq!(vagn.json(&format!("/api/v1/incidents/{incident}")).await["test"], true);
    assert!(send(&["--emergency"]).starts_with("stored, incident "));
    assert!(send(&[]).contains("nothing comes back"));
}
