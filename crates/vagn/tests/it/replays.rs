//! Recorded traces at full speed over TCP: every row meets one fate, and the map equals what brute force computes from the rows.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::vagn::{Vagn, command};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}

/// Returns the number of rows, and the final position of each vehicle: the last row with its latest time counts.
fn final_state(path: &Path) -> (usize, HashMap<String, (f64, f64)>) {
    let mut text = String::new();
    zstd::Decoder::new(File::open(path).unwrap()).unwrap().read_to_string(&mut text).unwrap();
    let mut latest: HashMap<String, (i64, f64, f64)> = HashMap::new();
    let mut rows = 0;
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let id = fields.next().unwrap().to_owned();
        let time_ms: i64 = fields.next().unwrap().parse().unwrap();
        let mut degrees = || fields.next().unwrap().parse::<f64>().unwrap();
        let row = (time_ms, degrees(), degrees());
        let kept = latest.entry(id).or_insert(row);
        if time_ms >= kept.0 {
            *kept = row;
        }
        rows += 1;
    }
    (rows, latest.into_iter().map(|(id, (_, lat, lon))| (id, (lat, lon))).collect())
}

/// Returns the great-circle distance in metres, by the haversine formula.
fn distance_m(a: (f64, f64), b: (f64, f64)) -> f64 {
    let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let cosines = a.0.to_radians().cos() * b.0.to_radians().cos();
    let h = half(b.0 - a.0) + cosines * half(b.1 - a.1);
    2.0 * 6_371_008.8 * h.sqrt().asin()
}

async fn replay(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let (rows, state) = final_state(&data(name));
    let ops = format!("http://{}", vagn.address("ops"));
    let done = command()
        .arg("replay")
        .arg(data(name))
        .args(["--speed", "max", "--over", "tcp", "--time", "original", "--json", "--ops", &ops, "--target"])
        .arg(vagn.address("tcp").to_string())
        .output()
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}\n{complained}");
    let closing: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(closing["sent"], rows, "{closing}");
    assert_eq!(vagn.metric("vagn_reports_received_total").await as usize, rows);
    assert_eq!(vagn.fates().await as usize, rows);
    assert_eq!(vagn.fate("failed").await + vagn.fate("shed").await, 0);
    assert_eq!(vagn.metric("vagn_vehicles").await as usize, state.len());
    let mut chance = fastrand::Rng::with_seed(11);
    let places: Vec<_> = state.values().copied().collect();
    for _ in 0..60 {
        let near = places[chance.usize(..places.len())];
        let center = (near.0 + chance.f64() - 0.5, near.1 + chance.f64() - 0.5);
        assert_nearby(&vagn, &state, center).await;
    }
}

async fn assert_nearby(vagn: &Vagn, state: &HashMap<String, (f64, f64)>, center: (f64, f64)) {
    let path = format!("/api/v1/vehicles/nearby?lat={}&lon={}&k=10", center.0, center.1);
    let answer = vagn.json(&path).await;
    let mut all: Vec<f64> = state.values().map(|&place| distance_m(center, place)).collect();
    all.sort_by(f64::total_cmp);
    let features = answer["features"].as_array().unwrap();
    assert_eq!(features.len(), 10);
    for (feature, expected) in features.iter().zip(all) {
        let place = state[feature["id"].as_str().unwrap()];
        assert_eq!(feature["geometry"]["coordinates"], serde_json::json!([place.1, place.0]));
        let given = feature["properties"]["distance_m"].as_f64().unwrap();
        assert!((given - expected).abs() < 0.01, "{path}: {given} m given, {expected} m expected");
    }
}

#[tokio::test]
async fn three_weekdays_of_austin_buses() {
    replay("capmetro-austin-3weekdays.csv.zst").await;
}

#[tokio::test]
async fn a_day_of_ships() {
    replay("ais-us-2022-01-03-sample.csv.zst").await;
}
