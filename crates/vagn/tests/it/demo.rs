//! The demo, as a new user sees it in the first minute.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::vagn::{Vagn, eventually};

async fn nearest(vagn: &Vagn) -> BTreeMap<String, (Value, i64)> {
    let answer = vagn.json("/?lat=30.27&lon=-97.74").await;
    answer.as_array().unwrap().iter().map(id_position_and_date).collect()
}

fn id_position_and_date(bus: &Value) -> (String, (Value, i64)) {
    let position = Value::from(vec![bus["Lat"].clone(), bus["Lon"].clone()]);
    (bus["ID"].as_str().unwrap().to_owned(), (position, bus["Date"].as_i64().unwrap()))
}

#[tokio::test]
async fn buses_move_near_the_capitol() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &["--demo"]);
    eventually("ten buses", async || nearest(&vagn).await.len() == 10).await;
    let before = nearest(&vagn).await;
    let newest = before.values().map(|(_, date)| *date).max().unwrap();
    eventually("five seconds of the demo to pass", async || {
        nearest(&vagn).await.values().all(|(_, date)| *date >= newest + 5000)
    })
    .await;
    let after = vagn.json("/api/v1/vehicles?bbox=-98,30,-97,31&limit=1000").await.to_string();
    let moved = before.values().filter(|(position, _)| {
        let coordinates = format!("[{},{}]", position[1], position[0]);
        !after.contains(&coordinates)
    });
    assert!(moved.count() >= 5, "{before:?}");
}
