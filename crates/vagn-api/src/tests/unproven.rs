//! Calls for help that could not be proved: listed, and raised by a person.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use vagn_emergency::RequestKind;
use vagn_flow::proof::{DeviceMode, Proof};
use vagn_wire::{Position, Report, VehicleId};

use super::fleet::SmallFleet;
use super::lane::SmallLane;
use super::{Reply, router, send, services};

fn raise(n: &str) -> Request<Body> {
    let request = Request::post(format!("/api/v1/incidents/unproven/{n}/raise"));
    request.header("content-type", "application/json").body(Body::from(r#"{"by":"Bo"}"#)).unwrap()
}

#[tokio::test]
async fn a_call_is_listed_until_a_person_has_raised_it() {
    let lane = Arc::new(SmallLane::new());
    let mut services = services(SmallFleet::austin());
    services.incidents = lane.clone();
    let router = router(services);
    let list = async || {
        let request = Request::get("/api/v1/incidents/unproven").body(Body::empty()).unwrap();
        let Reply { body, .. } = send(&router, request).await;
        serde_json::from_str::<Value>(&body).unwrap()["calls"].clone()
    };
    let mut calls = list().await;
    let call = calls[0].as_object_mut().unwrap();
    assert!(call.remove("first_at").is_some() && call.remove("last_at").is_some());
    let expected = json!({"n": 1, "reason": "no_seal", "vehicle_id": "tram 9", "key_id": null,
        "has_key": false, "address": "192.0.2.7", "test": false, "lat": 30.27, "lon": -97.74, "count": 1});
    assert_eq!(calls, json!([expected]));
    assert_eq!(send(&router, raise("1")).await.status, StatusCode::CREATED);
    let done = lane.done.lock().clone();
    assert_eq!(
        (done.len(), done[0].action, &*done[0].by, &*done[0].note),
        (1, RequestKind::Comment, "Bo", "tram 9")
    );
    for gone in ["1", "2", "x"] {
        assert_eq!(send(&router, raise(gone)).await.status, StatusCode::NOT_FOUND, "{gone}");
    }
    assert_eq!(list().await, json!([]));
}

#[tokio::test]
async fn a_call_without_a_seal_of_a_vehicle_with_a_key_is_told_from_one_that_is_made_up() {
    let services = services(SmallFleet::austin());
    let guard = services.intake.guard();
    vagn_flow::testing::give_key(guard, "bus 7");
    guard.set_mode(DeviceMode::Mixed);
    let call = vagn_flow::testing::emergency("bus 7", None);
    guard.check(&call, Proof::None, || None).unwrap_err();
    let request = Request::get("/api/v1/incidents/unproven").body(Body::empty()).unwrap();
    let Reply { body, .. } = send(&router(services), request).await;
    let calls = serde_json::from_str::<Value>(&body).unwrap()["calls"].clone();
    let told: Vec<_> =
        calls.as_array().unwrap().iter().map(|call| (&call["vehicle_id"], &call["has_key"])).collect();
    assert_eq!(told, [(&json!("bus 7"), &json!(true)), (&json!("tram 9"), &json!(false))]);
}

#[tokio::test]
async fn a_call_that_says_it_is_a_drill_is_shown_as_one() {
    let services = services(SmallFleet::austin());
    let place = Position::new(59.0, 18.0).unwrap();
    let mut report = Report::new(VehicleId::new("tram 9").unwrap(), place);
    (report.emergency, report.kind) = (true, Some(vagn_wire::Kind::Test));
    let mut drill = Vec::new();
    vagn_wire::encode(&report, &mut drill);
    let guard = services.intake.guard();
    guard.set_mode(DeviceMode::Required);
    guard.check(&drill, Proof::None, || Some(std::net::IpAddr::from([192, 0, 2, 7]).into())).unwrap_err();
    guard.set_mode(DeviceMode::Open);
    let request = Request::get("/api/v1/incidents/unproven").body(Body::empty()).unwrap();
    let Reply { body, .. } = send(&router(services), request).await;
    let calls = serde_json::from_str::<Value>(&body).unwrap()["calls"].clone();
    let told: Vec<_> = calls.as_array().unwrap().iter().map(|call| (&call["n"], &call["test"])).collect();
    assert_eq!(told, [(&json!(2), &json!(true)), (&json!(1), &json!(false))]);
}
