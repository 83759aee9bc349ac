//! One call for help in a hundred copies, over every door at once: one incident, one key, one answer to all.

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
async fn a_hundred_copies_over_every_door_are_one_call() {
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
    eventually("the call", async || sink.accepted().contains_key("insistent")).await;
    // Not each of so many copies is answered over UDP.
    vehicles.iter().for_each(|vehicle| vehicle.set_nonblocking(true).unwrap());
    incidents.extend(vehicles.iter().filter_map(|vehicle| hear(vehicle).map(|(_, _, incident)| incident)));
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(sink.openings()["insistent"], incidents);
    let listed = vagn.json("/api/v1/incidents").await;
    assert_eq!(listed["incidents"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["incidents"][0]["reports"], 100, "{listed}");
}

/// Says it over and over, and gives the incidents that it hears of.
async fn stream(mut vehicle: TcpVehicle) -> BTreeSet<String> {
    (1..=TCP).for_each(|seq| vehicle.say("insistent", 59.33, 18.06, seq, true));
    vehicle.flush().await.unwrap();
    let mut incidents = BTreeSet::new();
    for _ in 0..TCP {
        let (_, incident) = vehicle.answer().await.expect("an answer to each");
        incidents.extend(incident);
    }
    incidents
}
