//! Answers for those who see coarse places: nothing in them, and no question, tells where in its cell a vehicle is.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use vagn_flow::clock::ManualClock;
use vagn_http::testing::entry_with;
use vagn_registry::{NewSecret, Role, Token};

use super::super::router;
use super::fleet::SmallFleet;
use super::{NOW_MS, Reply, send, services};

/// A router that both of them may ask.
fn shown(fleet: SmallFleet) -> Router {
    let token = |role: Role| Token {
        name: role.word().into(),
        digest: NewSecret::digest_of(role.word()),
        role,
        is_person: false,
        is_on_behalf: false,
        added_ms: 0,
        expires_ms: None,
        revoked_ms: None,
    };
    let mut services = services(fleet);
    let clock = Arc::new(ManualClock::at(NOW_MS));
    services.entry = entry_with(clock, None, &[], vec![token(Role::Latest), token(Role::Read)]);
    router(services)
}

/// Two vehicles: one in Stockholm, and one with the emergency flag that is an odd 4.321 s old.
fn stockholm() -> Router {
    shown(SmallFleet::at(&[("bus 2", 59.329_349, 18.068_651, 0), ("bus 3", 59.400_449, 18.100_449, 14_321)]))
}

fn asked(role: Role, path: &str) -> axum::http::request::Builder {
    Request::get(path).header("authorization", format!("Bearer {}", role.word()))
}

/// The answer to one who sees coarse places.
async fn see(router: &Router, path: &str) -> Reply {
    send(router, asked(Role::Latest, path).body(Body::empty()).unwrap()).await
}

/// The answer to one who sees everything.
async fn get(router: &Router, path: &str) -> Reply {
    send(router, asked(Role::Read, path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_vehicle_has_a_place_on_the_grid_and_a_time_to_ten_seconds_and_nothing_else() {
    let expected = json!({
        "type": "Feature", "id": "bus 3",
        "geometry": {"type": "Point", "coordinates": [18.1, 59.4]},
        "properties": {"age_s": 20.0, "time": "2026-09-21T14:13:00.000Z"},
    });
    for path in ["/api/v1/vehicles/bus%203", "/api/v1/vehicle?id=bus%203"] {
        assert_eq!(see(&stockholm(), path).await.json(), expected, "{path}");
    }
    let inside = see(&stockholm(), "/api/v1/vehicles?bbox=18.1,59.4,18.1,59.4").await.json();
    assert_eq!(inside["features"], json!([expected]));
    // What is odd about a vehicle has exact times.
    assert!(see(&stockholm(), "/api/v1/vehicles/bus%202").await.json()["properties"].get("odd").is_none());
    assert!(get(&stockholm(), "/api/v1/vehicles/bus%202").await.json()["properties"].get("odd").is_some());
}

#[tokio::test]
async fn the_exact_place_is_not_found_and_distances_are_to_the_place_on_the_grid() {
    for (lat, lon, found) in [(59.329_349, 18.068_651, 0), (59.329, 18.069, 1)] {
        let at = format!("lat={lat}&lon={lon}");
        let near = see(&stockholm(), &format!("/api/v1/vehicles/nearby?{at}&radius_m=1")).await.json();
        assert_eq!(near["returned"], found, "{at}");
        let edge = |by: f64| format!("{},{},{},{}", lon - by, lat - by, lon + by, lat + by);
        let bbox = edge(0.000_01);
        let inside = see(&stockholm(), &format!("/api/v1/vehicles?bbox={bbox}")).await.json();
        assert_eq!(inside["returned"], found, "{bbox}");
    }
    let near = see(&stockholm(), "/api/v1/vehicles/nearby?lat=59.329&lon=18.069&k=1").await.json();
    assert_eq!(
        near["features"][0]["properties"],
        json!({
            "distance_m": 0.0, "age_s": 0.0, "time": "2026-09-21T14:13:20.000Z",
        })
    );
    // 14.321 s old, but that is not told: it counts from the rounded time.
    for (age_s, returned) in [("19.9", 1), ("20", 2)] {
        let near = format!("/api/v1/vehicles/nearby?lat=59.329&lon=18.069&max_age_s={age_s}");
        assert_eq!(see(&stockholm(), &near).await.json()["returned"], returned, "{age_s}");
    }
}

#[tokio::test]
async fn the_answer_of_the_original_is_coarse_too() {
    let reply = see(&stockholm(), "/?lat=59.4&lon=18.1&k=2").await;
    let expected = format!(
        r#"[{{"ID":"bus 3","Lat":59.4,"Lon":18.1,"Date":{}}},{{"ID":"bus 2","Lat":59.329,"Lon":18.069,"Date":{NOW_MS}}}]"#,
        NOW_MS - 20_000
    );
    assert_eq!((reply.status, reply.body), (StatusCode::OK, expected));
}

#[tokio::test]
async fn long_answers_are_as_coarse_as_short_ones() {
    let ids: Vec<_> = (0..200).map(|number| format!("bus {number}")).collect();
    let places = ids.iter().map(|id| (id.as_str(), 59.329_349, 18.068_651, 4_321));
    let router = shown(SmallFleet::at(&places.collect::<Vec<_>>()));
    for path in ["/api/v1/vehicles?bbox=18,59,19,60", "/api/v1/vehicles/nearby?lat=59&lon=18&k=1000"] {
        let answer = see(&router, path).await.json();
        let features = answer["features"].as_array().unwrap();
        assert_eq!(features.len(), 200, "{path}");
        for feature in features {
            assert_eq!(feature["geometry"]["coordinates"], json!([18.069, 59.329]));
            assert_eq!(feature["properties"]["time"], "2026-09-21T14:13:10.000Z");
            assert!(feature["properties"].get("speed_mps").is_none(), "{feature}");
        }
    }
    let cut = see(&router, "/api/v1/vehicles?bbox=18,59,19,60&limit=2").await.json();
    let ids: Vec<_> = cut["features"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!((ids, &cut["truncated"]), (vec![json!("bus 0"), json!("bus 1")], &json!(true)));
}

#[tokio::test]
async fn tiles_are_coarse_and_have_names_of_their_own() {
    let router = stockholm();
    for path in ["/tiles/14/9014/4818.mvt", "/tiles/14/9014/4818.bin"] {
        let mut tags: Vec<String> = Vec::new();
        for role in [Role::Latest, Role::Read] {
            let request =
                |known: &str| asked(role, path).header("if-none-match", known).body(Body::empty()).unwrap();
            let tile = TowerToHyperService::new(router.clone()).call(request("")).await.unwrap();
            let tag = tile.headers()["etag"].to_str().unwrap().to_owned();
            let bytes = to_bytes(tile.into_body(), usize::MAX).await.unwrap();
            assert_eq!(bytes.windows(5).any(|part| part == b"bus 2"), path.ends_with("mvt"), "{path}");
            let again = TowerToHyperService::new(router.clone()).call(request(&tag)).await.unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            for known in &tags {
                let other = TowerToHyperService::new(router.clone()).call(request(known)).await.unwrap();
                assert_eq!(other.status(), StatusCode::OK, "a tag of the other form is not known");
            }
            tags.push(tag);
        }
    }
    let fields = |described: serde_json::Value| described["vector_layers"][0]["fields"].clone();
    let coarse = fields(see(&router, "/tiles.json").await.json());
    assert_eq!(coarse.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "n"]);
    assert_eq!(fields(get(&router, "/tiles.json").await.json()).as_object().unwrap().len(), 4);
}
