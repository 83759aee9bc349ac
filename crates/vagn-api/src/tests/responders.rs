//! Vehicles that could go to one with an incident.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use serde_json::Value;

use super::super::router;
use super::fleet::SmallFleet;
use super::lane::{ID, SmallLane};
use super::{get, services};

/// Vehicles at longitude -97.74; the incident is at 30.37 north.
fn near(vehicles: &[(&str, f64, i64)], lane: SmallLane) -> Router {
    let places: Vec<_> = vehicles.iter().map(|&(id, lat, age_ms)| (id, lat, -97.74, age_ms)).collect();
    let mut services = services(SmallFleet::at(&places));
    services.incidents = Arc::new(lane);
    router(services)
}

async fn ask(router: &Router, query: &str) -> Value {
    get(router, &format!("/api/v1/incidents/{ID}/responders{query}")).await.json()
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["features"].as_array().unwrap().iter().map(|feature| feature["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn are_the_nearest_without_an_incident_that_have_reported_lately() {
    let mut lane = SmallLane::new();
    lane.in_need.insert("in need".into());
    let vehicles = [
        ("bus 3", 30.37, 0),
        ("in need", 30.371, 0),
        ("silent", 30.372, 301_000),
        ("near", 30.373, 299_000),
        ("far", 30.47, 1_000),
        ("farther", 30.57, 1_000),
    ];
    let router = near(&vehicles, lane);
    for (query, expected) in [
        ("", vec!["near", "far", "farther"]),
        ("?k=2", vec!["near", "far"]),
        ("?max_age_s=302", vec!["silent", "near", "far", "farther"]),
        ("?max_age_s=60&k=1", vec!["far"]),
        ("?radius_m=12000", vec!["near", "far"]),
        ("?radius_m=1", vec![]),
    ] {
        let answer = ask(&router, query).await;
        assert_eq!((ids(&answer), &answer["truncated"]), (expected, &Value::Bool(false)), "{query}");
    }
    let nearest = &ask(&router, "?k=1").await["features"][0]["properties"];
    assert_eq!(nearest["age_s"], 299.0);
    assert!((nearest["distance_m"].as_f64().unwrap() - 333.6).abs() < 0.1, "{nearest}");
}

#[tokio::test]
async fn are_found_behind_a_crowd_of_vehicles_with_incidents() {
    let mut lane = SmallLane::new();
    let crowd: Vec<_> = (0..3_000).map(|number| format!("crowd {number}")).collect();
    lane.in_need.extend(crowd.iter().cloned());
    let mut vehicles: Vec<_> = crowd.iter().map(|id| (id.as_str(), 30.371, 0)).collect();
    vehicles.extend([("first", 30.38, 0), ("second", 30.39, 0)]);
    let router = near(&vehicles, lane);
    assert_eq!(ids(&ask(&router, "?k=1").await), ["first"]);
    assert_eq!(ids(&ask(&router, "").await), ["first", "second"]);
}

#[tokio::test]
async fn a_search_that_was_broken_off_says_so() {
    let mut lane = SmallLane::new();
    let crowd: Vec<_> = (0..10_001).map(|number| format!("crowd {number}")).collect();
    lane.in_need.extend(crowd.iter().cloned());
    let vehicles: Vec<_> = crowd.iter().map(|id| (id.as_str(), 30.371, 0)).collect();
    let answer = ask(&near(&vehicles, lane), "").await;
    assert_eq!((ids(&answer), &answer["truncated"]), (vec![], &Value::Bool(true)));
}

#[tokio::test]
async fn no_vehicle_is_near_an_incident_whose_place_is_not_known() {
    let lane = SmallLane { position: None, ..SmallLane::new() };
    let reply = get(&near(&[], lane), &format!("/api/v1/incidents/{ID}/responders")).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::CONFLICT, "no-position"));
}

#[tokio::test]
async fn a_question_that_is_not_right_is_refused() {
    let router = near(&[], SmallLane::new());
    for (path, status) in [
        (format!("{ID}/responders?k=101"), StatusCode::BAD_REQUEST),
        (format!("{ID}/responders?max_age_s=-1"), StatusCode::BAD_REQUEST),
        (format!("{ID}/responders?radius=5"), StatusCode::BAD_REQUEST),
        ("7/responders".to_owned(), StatusCode::BAD_REQUEST),
        ("019a0000-0000-7000-8000-000000000002/responders".to_owned(), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(get(&router, &format!("/api/v1/incidents/{path}")).await.status, status, "{path}");
    }
}
