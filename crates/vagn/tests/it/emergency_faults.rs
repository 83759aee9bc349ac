//! A position log without room, and parts that crash again and again: alarms are still recorded, and their notices sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use vagn_wire::Fate;

use crate::emergencies::Sink;
use crate::faults::restarts;
use crate::stored_acks::{hear, say, vehicle};
use crate::tcp::TcpVehicle;
use crate::vagn::{LIMIT, Vagn, client, eventually, report, settings, spawn};

/// Longest time from an alarm to its notice while another part crashes.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_positions_alarms_are_recorded_and_their_notices_sent() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    // More free space than any disk has.
    let text = format!("free_floor_bytes = {}\n[emergency]\nurl = \"{}\"\n", i64::MAX, sink.url);
    let config = settings(dir.path(), &text);
    let data = dir.path().join("data");
    let mut vagn = Vagn::launch(&data, &["--config", &config]);
    eventually("the disk to be named", async || {
        vagn.ops("/readyz").await.1.contains("too little free space")
    })
    .await;
    let refused = json!([{"ID": "bus", "Lat": 59.33, "Lon": 18.06}]).to_string();
    assert_eq!(vagn.post("/api/v1/positions", refused).await.0, 507, "positions find room");

    let mut heard = Vec::new();
    let help = json!([{"ID": "http", "Lat": 59.33, "Lon": 18.06, "Emergency": true}]).to_string();
    let (status, answer) = vagn.post("/api/v1/positions", help).await;
    assert_eq!((status, &answer["reports"][0]["fate"]), (200, &json!("failed")), "{answer}");
    heard.push(("http", answer["reports"][0]["incident_id"].as_str().unwrap().to_owned()));
    let mut stream = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
    stream.say("tcp", 59.33, 18.06, 7, true);
    stream.flush().await.unwrap();
    let (fate, incident) = stream.answer().await.unwrap();
    assert_eq!(fate, ("tcp".to_owned(), 7, Fate::Failed));
    heard.push(("tcp", incident.unwrap()));
    let socket = vehicle(&vagn);
    socket.send(&say("udp", Some(7), true)).unwrap();
    heard.push(("udp", hear(&socket).unwrap().2));

    eventually("the notices", async || sink.accepted().len() == heard.len()).await;
    assert!(!vagn.json("/api/v1/incidents").await.to_string().contains("\"unrecorded\":true"));
    vagn.kill();
    let vagn = Vagn::launch(&data, &["--config", &config]);
    for (vehicle, incident) in heard {
        assert_eq!(sink.openings()[vehicle].iter().collect::<Vec<_>>(), [&incident]);
        assert_eq!(vagn.json(&format!("/api/v1/incidents/{incident}")).await["vehicle_id"], vehicle);
    }
}

/// Makes a process fail each time that it runs.
async fn crash(ops: String, path: &'static str, stop: Arc<AtomicBool>) {
    let client = client();
    let url = format!("{ops}/actors/{}/fault?kind=panic", path.replace('/', "%2F"));
    while !stop.load(Ordering::Relaxed) {
        // Fails while the process is being restarted.
        client.post(&url).header("x-vagn", "1").send().await.ok();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends alarms over UDP, one vehicle after another, while a process crashes all the time. Each alarm must be answered, and its
/// notice must arrive.
async fn raise_alarms_while_crashing(path: &'static str, times: u64) {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let text = format!("[ops]\nfault_injection = true\n[emergency]\nurl = \"{}\"\n", sink.url);
    let config = settings(dir.path(), &text);
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let stop = Arc::new(AtomicBool::new(false));
    let crashing = spawn(crash(format!("http://{}", vagn.address("ops")), path, stop.clone()));
    let began = Instant::now();
    let (mut number, mut slowest) = (0, Duration::ZERO);
    while number < 40 || restarts(&vagn, path).await < times {
        assert!(began.elapsed() < LIMIT, "{path} does not crash often enough");
        // A part that waits for work fails only when it gets some.
        vagn.send(&report("bus", 59.33, number as f64 / 1e4, false));
        let question = client().get(vagn.url("/api/v1/vehicles/bus")).timeout(Duration::from_millis(50));
        question.send().await.ok();
        let (socket, id, called) = (vehicle(&vagn), format!("caller {number}"), Instant::now());
        socket.send(&say(&id, Some(number), true)).unwrap();
        let answer = tokio::task::spawn_blocking(move || hear(&socket)).await.unwrap();
        let (answered, _, incident) = answer.unwrap_or_else(|| panic!("{id} hears nothing"));
        assert_eq!(answered, id);
        eventually("the notice", async || sink.openings().contains_key(&id)).await;
        assert!(sink.openings()[&id].contains(&incident) && sink.openings()[&id].len() == 1);
        slowest = slowest.max(called.elapsed());
        number += 1;
    }
    eprintln!("{path}: {number} alarms, the slowest took {slowest:?}");
    assert!(slowest < NOTIFIED_WITHIN, "{path}: {slowest:?}");
    assert_eq!(restarts(&vagn, "vagn/emergency/incidents").await, 0);
    assert_eq!(restarts(&vagn, "vagn/emergency/notifier").await, 0);
    stop.store(true, Ordering::Relaxed);
    crashing.await.unwrap();
    let vagn = vagn.restart();
    let listed = vagn.json("/api/v1/incidents?limit=1000").await;
    assert_eq!(listed["incidents"].as_array().unwrap().len() as u64, number, "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_crashes_all_the_time_stops_no_alarm() {
    raise_alarms_while_crashing("vagn/traffic/stores/storage-0", 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_server_that_crashes_all_the_time_stops_no_alarm() {
    raise_alarms_while_crashing("vagn/web", 5).await;
}
