//! One alarm in a hundred copies, over all doors at once: they become one incident with one key, and get the same answer.

use std::collections::BTreeSet;

use serde_json::json;

use crate::emergencies::Sink;
use crate::stored_acks::{hear, say, vehicle};
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, eventually, spawn};

const UDP: u64 = 40;
const TCP: u64 = 30;
const HTTP: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_copies_of_an_alarm_over_all_doors_are_one_incident() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    let by_stream = spawn(stream(TcpVehicle::connect(vagn.address("tcp")).await.unwrap()));
    let vehicles: Vec<_> = (0..UDP).map(|_| vehicle(&vagn)).collect();
    for (seq, vehicle) in (1..).zip(&vehicles) {
        vehicle.send(&say("insistent", Some(seq), true)).unwrap();
    }
    let copy = json!({"ID": "insistent", "Lat": 59.33, "Lon": 18.06, "Emergency": true});
    let (status, answer) = vagn.post("/api/v1/positions", json!(vec![copy; HTTP]).to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let by_post = answer["reports"].as_array().unwrap().iter().filter_map(|one| one["incident_id"].as_str());

    let mut incidents: BTreeSet<String> = by_post.map(str::to_owned).collect();
    incidents.extend(by_stream.await.unwrap());
    vagn.wait_settled(UDP + TCP + HTTP as u64).await;
    eventually("the notice", async || sink.accepted().contains_key("insistent")).await;
    // Over UDP not every one of so many copies is answered.
    for vehicle in &vehicles {
        vehicle.set_nonblocking(true).unwrap();
    }
    incidents.extend(vehicles.iter().filter_map(|vehicle| hear(vehicle).map(|(_, _, incident)| incident)));
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(sink.openings()["insistent"], incidents);
    let listed = vagn.json("/api/v1/incidents").await;
    assert_eq!(listed["incidents"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["incidents"][0]["reports"], 100, "{listed}");
}

/// Sends the alarm again and again, and returns the incidents from the answers.
async fn stream(mut vehicle: TcpVehicle) -> BTreeSet<String> {
    for seq in 1..=TCP {
        vehicle.say("insistent", 59.33, 18.06, seq, true);
    }
    vehicle.flush().await.unwrap();
    let mut incidents = BTreeSet::new();
    for _ in 0..TCP {
        let (_, incident) = vehicle.answer().await.expect("an answer to each");
        incidents.extend(incident);
    }
    incidents
}
