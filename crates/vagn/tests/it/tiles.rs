//! The map's tiles of a running service: what is sent in is seen in them, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use mvt_reader::Reader;
use mvt_reader::feature::{Feature, Value};
use serde_json::json;

use crate::vagn::{Vagn, client, eventually, report, settings};

/// Vehicles around Austin, as many as a tile shows singly, and one on the antimeridian.
fn fleet() -> Vec<(String, f64, f64)> {
    let row = |number: u32| (format!("bus {number}"), 30.27 + f64::from(number) * 1e-4, -97.74);
    (0..200).map(row).chain([("ferry".to_owned(), -17.5, 180.0)]).collect()
}

async fn tile(vagn: &Vagn, path: &str) -> (u16, String, Vec<u8>) {
    let answer = client().get(vagn.url(&format!("/tiles/{path}"))).send().await.unwrap();
    let etag = answer.headers().get("etag").map_or("", |etag| etag.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), etag, answer.bytes().await.unwrap().to_vec())
}

pub(crate) async fn features(vagn: &Vagn, path: &str) -> Vec<Feature<f32>> {
    let (status, _, bytes) = tile(vagn, path).await;
    match status {
        200 => Reader::new(bytes).unwrap().get_features(0).unwrap(),
        204 => Vec::new(),
        // While the fleet is counted.
        503 => Vec::new(),
        other => panic!("{path} is answered with {other}"),
    }
}

pub(crate) fn count(features: &[Feature<f32>], name: &str) -> u64 {
    let values = features.iter().filter_map(|feature| feature.properties.as_ref()?.get(name));
    values.map(|value| if let Value::UInt(count) = value { *count } else { panic!("{value:?}") }).sum()
}

pub(crate) fn ids(features: &[Feature<f32>]) -> BTreeSet<String> {
    let ids = features.iter().filter_map(|feature| feature.properties.as_ref()?.get("id"));
    ids.map(|id| if let Value::String(id) = id { id.clone() } else { panic!("{id:?}") }).collect()
}

/// True when the tile of the whole world has all vehicles.
async fn is_counted(vagn: &Vagn) -> bool {
    count(&features(vagn, "0/0/0.mvt").await, "n") == fleet().len() as u64
}

/// Sends the fleet, and waits until it is stored.
async fn send(vagn: &Vagn) {
    let fleet = fleet();
    let body: Vec<_> = fleet.iter().map(|(id, lat, lon)| json!({"ID": id, "Lat": lat, "Lon": lon})).collect();
    let (status, answer) = vagn.post("/api/v1/positions", json!(body).to_string()).await;
    assert_eq!(status, 200, "{answer}");
    vagn.wait_settled(fleet.len() as u64).await;
}

#[tokio::test]
async fn the_fleet_is_in_the_tiles_moves_in_them_and_leaves_them() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &["--config", &settings(dir.path(), "partitions = 2")]);
    send(&vagn).await;
    eventually("the world to be counted", async || is_counted(&vagn).await).await;
    assert_eq!(count(&features(&vagn, "10/0/562.mvt").await, "n"), 1);
    assert_eq!(ids(&features(&vagn, "11/467/843.mvt").await).len(), 200);
    assert_eq!(ids(&features(&vagn, "14/0/9001.mvt").await), ["ferry".to_owned()].into());

    let answer = vagn.json("/api/v1/vehicles?bbox=-98,30,-97,31&limit=1000").await;
    let by_api =
        answer["features"].as_array().unwrap().iter().map(|each| each["id"].as_str().unwrap().to_owned());
    assert_eq!(ids(&features(&vagn, "11/467/843.mvt").await), by_api.collect::<BTreeSet<_>>());

    // Nothing happens, so the bytes and their tag stay over many ticks.
    let (_, etag, bytes) = tile(&vagn, "14/0/9001.bin").await;
    let ticks = vagn.metric("vagn_tiles_total{outcome=\"unchanged\"}").await;
    eventually("the tile to be made again", async || {
        assert_eq!(tile(&vagn, "14/0/9001.bin").await, (200, etag.clone(), bytes.clone()));
        vagn.metric("vagn_tiles_total{outcome=\"unchanged\"}").await > ticks
    })
    .await;
    let again = client().get(vagn.url("/tiles/14/0/9001.bin")).header("if-none-match", &etag);
    assert_eq!(again.send().await.unwrap().status().as_u16(), 304);

    vagn.send(&report("ferry", -17.5001, 180.0, false));
    eventually("both fixes of the ferry", async || {
        let (_, _, bytes) = tile(&vagn, "14/0/9001.bin").await;
        let lat = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        (lat(36), lat(44)) == (-175_001_000, -175_000_000)
    })
    .await;

    vagn.send(&report("bus 7", 30.2707, -97.74, true));
    eventually("the emergency to be counted", async || {
        count(&features(&vagn, "3/1/3.mvt").await, "emergency") == 1
    })
    .await;
    let deleted = client().delete(vagn.url("/api/v1/vehicles/ferry")).send().await.unwrap();
    assert_eq!(deleted.status().as_u16(), 204);
    for path in ["0/0/0.mvt", "3/0/4.mvt", "11/0/1125.mvt", "14/0/9001.bin"] {
        eventually(&format!("the ferry to leave {path}"), async || match path {
            "0/0/0.mvt" => count(&features(&vagn, path).await, "n") == 200,
            _ => tile(&vagn, path).await.0 == 204,
        })
        .await;
    }
}

#[tokio::test]
async fn the_keeper_and_its_queue_are_in_the_process_list_and_it_comes_back_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let vagn =
        Vagn::start(dir.path(), &["--config", &settings(dir.path(), "[ops]\nfault_injection = true\n")]);
    send(&vagn).await;
    eventually("the world to be counted", async || is_counted(&vagn).await).await;
    let actors = vagn.actors().await;
    let children = actors["children"].as_array().unwrap();
    let by_name: BTreeMap<_, _> =
        children.iter().map(|child| (child["name"].as_str().unwrap(), child)).collect();
    assert_eq!(by_name["keeper"]["mailbox"]["capacity"], 512, "{}", by_name["keeper"]);
    assert_eq!(vagn.metric("vagn_keeper_awake").await, 1.0);
    let crash = format!("http://{}/actors/keeper/fault?kind=panic", vagn.address("ops"));
    let crashed = client().post(crash).header("x-vagn", "1").send().await.unwrap();
    assert!(crashed.status().is_success(), "{}", crashed.text().await.unwrap());
    eventually("the keeper to be restarted", async || {
        vagn.metric("vagn_actor_restarts_total{actor=\"keeper\"}").await >= 1.0
    })
    .await;
    eventually("the world to be counted again", async || is_counted(&vagn).await).await;
}
