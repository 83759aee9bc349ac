//! The way of a datagram: in through the UDP door, onto the map, and out through the API. With the emergency flag it also opens
//! an incident.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::vagn::{Vagn, eventually, report};

/// A datagram from the traffic generator of the original.
const ORIGINAL: &str = "hKJJRNkkNGUwOTEzOTYtNjJhZS00ZjNiLTg3MTUtN2I0ZmM5YzY0ZDE0o0xvbsvAU1R+Qxkx1qNMYXTLwEI9Ghs6ciCpRW1lcmdlbmN5wg==";

#[tokio::test]
async fn a_position_comes_out_of_the_api_as_it_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let before_ms = now_ms();
    vagn.send(&STANDARD.decode(ORIGINAL).unwrap());
    vagn.wait_settled(1).await;
    let (status, body) = vagn.get("/?lon=-77.32&lat=-36.47").await;
    assert_eq!(status, 200);
    let (position, date) = body.rsplit_once(':').unwrap();
    assert_eq!(
        position,
        r#"[{"ID":"4e091396-62ae-4f3b-8715-7b4fc9c64d14","Lat":-36.477359202898015,"Lon":-77.32020642719667,"Date""#
    );
    let date: i64 = date.trim_end_matches("}]").parse().unwrap();
    assert!((before_ms..=now_ms()).contains(&date), "{date} is not between {before_ms} and now");
    assert_eq!(vagn.fate("stored").await, 1);
}

#[tokio::test]
async fn an_empty_map_answers_with_an_empty_list() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    assert_eq!(vagn.get("/?lon=0&lat=0").await, (200, "[]".into()));
}

#[tokio::test]
async fn without_quotes_around_the_url_the_answer_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let (status, body) = vagn.get("/?lon=-77.32").await;
    assert_eq!(status, 400);
    assert!(body.contains("lat") && body.contains("quote"), "{body}");
}

#[tokio::test]
async fn the_nearest_come_first_with_their_distance() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    for (id, lon) in [("far", 18.3), ("near", 18.1), ("nearest", 18.05)] {
        vagn.send(&report(id, 59.33, lon, false));
    }
    vagn.wait_settled(3).await;
    let answer = vagn.json("/api/v1/vehicles/nearby?lat=59.33&lon=18.05&k=2").await;
    let features = answer["features"].as_array().unwrap();
    let ids: Vec<_> = features.iter().map(|feature| &feature["id"]).collect();
    assert_eq!(ids, [&json!("nearest"), &json!("near")]);
    assert_eq!(features[0]["properties"]["distance_m"], json!(0.0));
    let metres = features[1]["properties"]["distance_m"].as_f64().unwrap();
    assert!((2835.0..2837.0).contains(&metres), "{metres}");
}

#[tokio::test]
async fn the_emergency_flag_opens_an_incident() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    vagn.send(&report("ambulance-less", 59.33, 18.05, true));
    eventually("the incident to be listed", async || {
        let listed = vagn.json("/api/v1/incidents").await.to_string();
        listed.contains("ambulance-less")
    })
    .await;
}

fn now_ms() -> i64 {
    use vagn_flow::clock::Clock;
    vagn_flow::clock::SystemClock::new().now_ms()
}
