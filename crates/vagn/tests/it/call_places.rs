//! The place of a call: the newest usable one of the vehicle's own reports, else the last known one, which is not trusted.

use serde_json::{Value, json};
use vagn_flow::clock::{Clock, SystemClock};

use crate::emergencies::Sink;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, eventually, report};

/// A call of vehicle `n` from exactly (0, 0).
const CALL_FROM_ZERO: &str =
    "84a24944a16ea34c6174cb0000000000000000a34c6f6ecb0000000000000000a9456d657267656e6379c3";

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn now_ms() -> i64 {
    SystemClock::new().now_ms()
}

/// The place of the latest incident of a vehicle, and whether it is trusted.
async fn place(vagn: &Vagn, vehicle: &str) -> Option<(f64, f64, bool)> {
    let page = vagn.json(&format!("/api/v1/incidents?vehicle_id={vehicle}")).await;
    let position = page["incidents"].as_array()?.first()?["position"].clone();
    Some((position["lat"].as_f64()?, position["lon"].as_f64()?, position["trusted"].as_bool()?))
}

async fn eventually_at(vagn: &Vagn, vehicle: &str, expected: (f64, f64, bool)) {
    eventually(&format!("{vehicle} to be at {expected:?}"), async || {
        place(vagn, vehicle).await == Some(expected)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fix_sent_as_zero_degrees_is_called_out_at_the_last_known_place_untrusted() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    vagn.send(&report("n", 30.27, -97.74, false));
    vagn.send(&report("ship", 0.1, -0.2, false));
    vagn.wait_settled(2).await;
    vagn.send(&bytes(CALL_FROM_ZERO));
    eventually_at(&vagn, "n", (30.27, -97.74, false)).await;
    eventually("the notice", async || sink.accepted().contains_key("n")).await;
    let heard = sink.heard();
    assert!(heard.iter().all(|notice| notice["call"]["lat"] != 0.0), "{heard:?}");
    vagn.send(&report("ship", 0.0, 0.0, true));
    eventually_at(&vagn, "ship", (0.0, 0.0, true)).await;
    let (status, answer) = vagn
        .post(
            "/api/v1/positions",
            json!([{"ID": "none", "Lat": 0, "Lon": -0.0, "Emergency": true}]).to_string(),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    let page = vagn.json("/api/v1/incidents?vehicle_id=none").await;
    assert_eq!(page["incidents"][0]["position"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_is_where_the_vehicle_was_last_heard_to_be_although_its_clock_was_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let call = async |vehicle: &str, place: f64, ts: Option<i64>| {
        let mut report = json!({"ID": vehicle, "Lat": place, "Lon": place, "Emergency": true});
        if let Some(ts) = ts {
            report["Ts"] = ts.into();
        }
        let (status, answer) = vagn.post("/api/v1/positions", json!([report]).to_string()).await;
        assert_eq!(status, 200, "{answer}");
    };
    call("json", 10.0, Some(now_ms() + 50 * 60_000)).await;
    eventually_at(&vagn, "json", (10.0, 10.0, false)).await;
    call("json", 20.0, Some(now_ms())).await;
    eventually_at(&vagn, "json", (20.0, 20.0, true)).await;
    call("json", 30.0, None).await;
    eventually_at(&vagn, "json", (30.0, 30.0, true)).await;
    let datagram = |place: f64, ts: Option<i64>| {
        let position = vagn_wire::Position::new(place, place).unwrap();
        let mut report = vagn_wire::Report::new(vagn_wire::VehicleId::new("udp").unwrap(), position);
        (report.emergency, report.event_time_ms) = (true, ts);
        let mut bytes = Vec::new();
        vagn_wire::encode(&report, &mut bytes);
        bytes
    };
    vagn.send(&datagram(10.0, Some(now_ms() + 50 * 60_000)));
    eventually_at(&vagn, "udp", (10.0, 10.0, false)).await;
    vagn.send(&datagram(20.0, Some(now_ms())));
    eventually_at(&vagn, "udp", (20.0, 20.0, true)).await;
    vagn.send(&datagram(30.0, None));
    eventually_at(&vagn, "udp", (30.0, 30.0, true)).await;
}

/// What one datagram, write or body of a vehicle holds: its position, then its call at (0, 0) or without a place.
struct Call {
    id: String,
    at: (f64, f64),
    calls_at_zero: bool,
    expected: (f64, f64, bool),
}

/// Calls of a vehicle that was at (50, 50) before, of a new one, and of a new ship near (0, 0), all through one door.
fn calls(door: &str) -> [Call; 3] {
    let call = |name: &str, at, calls_at_zero, expected| {
        let id = format!("{door}-{name}");
        Call { id, at, calls_at_zero, expected }
    };
    [
        call("bus", (10.0, 20.0), true, (10.0, 20.0, false)),
        call("new", (10.0, 20.0), false, (10.0, 20.0, false)),
        call("ship", (0.1, 0.1), true, (0.0, 0.0, true)),
    ]
}

impl Call {
    fn messages(&self) -> Vec<u8> {
        let mut bytes = report(&self.id, self.at.0, self.at.1, false);
        let id = vagn_wire::VehicleId::new(&self.id).unwrap();
        let mut call = vagn_wire::Report::new(id, vagn_wire::Position::new(0.0, 0.0).unwrap());
        call.emergency = true;
        if !self.calls_at_zero {
            call.position = Err(vagn_wire::Reject::NoLatitude);
        }
        vagn_wire::encode(&call, &mut bytes);
        bytes
    }

    fn body(&self) -> String {
        let mut call = json!({"ID": self.id, "Emergency": true});
        if self.calls_at_zero {
            (call["Lat"], call["Lon"]) = (0.into(), 0.into());
        }
        json!([{"ID": self.id, "Lat": self.at.0, "Lon": self.at.1}, call]).to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_fix_is_at_the_place_that_came_just_before_it_through_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    let doors = ["udp", "tcp", "http"];
    for door in doors {
        vagn.send(&report(&format!("{door}-bus"), 50.0, 50.0, false));
    }
    vagn.wait_settled(3).await;
    let mut tcp = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
    for call in calls("udp") {
        vagn.send(&call.messages());
    }
    for call in calls("tcp") {
        tcp.raw(&call.messages());
        tcp.flush().await.unwrap();
    }
    for call in calls("http") {
        let (status, answer) = vagn.post("/api/v1/positions", call.body()).await;
        assert_eq!(status, 200, "{answer}");
    }
    for Call { id, expected, .. } in doors.iter().flat_map(|door| calls(door)) {
        eventually(&format!("the notice of {id}"), async || sink.accepted().contains_key(&id)).await;
        assert_eq!(place(&vagn, &id).await, Some(expected), "{id}");
        let heard = sink.heard();
        let first = heard.iter().find(|notice| notice["call"]["vehicle_id"] == *id).unwrap();
        let (lat, lon, trusted) = expected;
        let told = ["lat", "lon", "position_trusted"].map(|name| &first["call"][name]);
        assert_eq!(told, [&json!(lat), &json!(lon), &json!(trusted)], "{id}: {first}");
    }
}
