//! The place of a call: the newest usable one of the vehicle's own reports, else the last known one, which is not trusted.

use serde_json::{Value, json};
use vagn_flow::clock::{Clock, SystemClock};

use crate::emergencies::Sink;
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
