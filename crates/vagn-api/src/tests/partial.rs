//! Answers of a fleet on many machines, of which a part may not answer.

use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use vagn_store::Age;

use super::super::router;
use super::fleet::SmallFleet;
use super::lane::ID;
use super::{Reply, austin, get, services};

/// The fleet around Austin, without the vehicles of these shards.
fn without(missing_shards: &[u16]) -> Router {
    router(services(SmallFleet::austin().without(missing_shards, Age::Ms(340))))
}

fn headers(reply: &Reply) -> [&str; 3] {
    ["vagn-partial", "vagn-missing-shards", "vagn-shard-age-ms"].map(|name| reply.header(name))
}

const COLLECTIONS: [&str; 3] = [
    "/api/v1/vehicles/nearby?lat=30.27&lon=-97.74",
    "/api/v1/vehicles?bbox=-98,30,-97,31",
    "/api/v1/incidents/{id}/responders",
];

#[tokio::test]
async fn a_part_of_the_fleet_is_shown_as_a_part() {
    for path in COLLECTIONS {
        let path = path.replace("{id}", ID);
        let whole = get(&austin(), &path).await;
        let reply = get(&without(&[3, 5]), &path).await;
        assert_eq!((reply.status, headers(&reply)), (StatusCode::OK, ["true", "3,5", "340"]), "{path}");
        let mut answer = reply.json();
        let members = answer.as_object_mut().unwrap();
        assert_eq!(members.remove("partial"), Some(json!(true)), "{path}");
        assert_eq!(members.remove("missing_shards"), Some(json!([3, 5])), "{path}");
        assert_eq!(answer, whole.json(), "the rest is as always: {path}");
    }
}

#[tokio::test]
async fn a_whole_answer_has_the_same_bytes_as_one_machine_gives() {
    let paths = COLLECTIONS.into_iter().chain(["/?lat=30.27&lon=-97.74", "/api/v1/vehicles/bus%201"]);
    for path in paths {
        let path = path.replace("{id}", ID);
        let (here, far) = (get(&austin(), &path).await, get(&without(&[]), &path).await);
        assert_eq!((far.status, &far.body), (StatusCode::OK, &here.body), "{path}");
        assert_eq!((headers(&here), headers(&far)), (["", "", ""], ["", "", "340"]), "{path}");
    }
}

#[tokio::test]
async fn an_age_that_nobody_knows_is_not_told_as_a_number() {
    for (missing, expected) in [(&[3][..], ["true", "3", "unknown"]), (&[], ["", "", "unknown"])] {
        let router = router(services(SmallFleet::austin().without(missing, Age::Unknown)));
        for path in COLLECTIONS {
            let reply = get(&router, &path.replace("{id}", ID)).await;
            assert_eq!(headers(&reply), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn the_original_s_array_stays_an_array_and_its_headers_tell() {
    let path = "/?lat=30.27&lon=-97.74";
    let reply = get(&without(&[7]), path).await;
    assert_eq!((reply.status, headers(&reply)), (StatusCode::OK, ["true", "7", "340"]));
    assert_eq!(reply.body, get(&austin(), path).await.body);
}

#[tokio::test]
async fn a_long_answer_tells_too() {
    let names: Vec<String> = (0..300).map(|number| format!("bus {number}")).collect();
    let vehicles: Vec<_> = names.iter().map(|id| (id.as_str(), 1.0, 0.5, 0)).collect();
    let router = router(services(SmallFleet::at(&vehicles).without(&[0], Age::Ms(9))));
    for path in
        ["/api/v1/vehicles/nearby?lat=1&lon=0&k=300", "/api/v1/vehicles?bbox=0,0,1,1", "/?lat=1&lon=0&k=300"]
    {
        let reply = get(&router, path).await;
        assert_eq!(headers(&reply), ["true", "0", "9"], "{path}");
        let answer = reply.json();
        let (features, missing) = (&answer["features"], &answer["missing_shards"]);
        let found = answer.as_array().or(features.as_array()).unwrap();
        let expected = if answer.is_array() { Value::Null } else { json!([0]) };
        assert_eq!((found.len(), missing), (300, &expected));
    }
}

#[tokio::test]
async fn a_vehicle_whose_shard_does_not_answer_is_not_said_to_be_unknown() {
    for path in ["/api/v1/vehicles/bus%204", "/api/v1/vehicle?id=bus%204"] {
        let reply = get(&without(&[3]), path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "not-ready"));
        assert_eq!(reply.header("retry-after"), "1");
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains("bus 4") && detail.contains("shard 3 "), "{detail}");
        assert_eq!(get(&without(&[]), path).await.problem(), "not-found");
    }
}
