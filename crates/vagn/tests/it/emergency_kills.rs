//! `kill -9` at random moments while vehicles call for help over every door: whoever heard that its call is on disk is
//! called about, under one key, whatever the target's answer had come to by then.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::audit::said;
use crate::chance::{moments, seed};
use crate::emergencies::Sink;
use crate::stored_acks::{hear, say, vehicle};
use crate::targets::{BadTarget, Heard, halt};
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, client, eventually, report, settings, spawn};

/// Who heard that its call is on disk, and as which incident.
type Stored = BTreeMap<String, String>;

/// Vehicles that call for help until the service is gone, each of them once.
struct Callers {
    at_work: Vec<JoinHandle<Stored>>,
    answered: Arc<AtomicU64>,
    gone: Arc<AtomicBool>,
}

impl Callers {
    fn start(vagn: &Vagn, round: u32) -> Self {
        let (answered, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let asking = spawn_blocking({
            let (vehicle, answered, gone) = (vehicle(vagn), answered.clone(), gone.clone());
            move || call_by_datagram(&vehicle, round, &answered, &gone)
        });
        let streaming = spawn(call_by_stream(vagn.address("tcp"), round, answered.clone()));
        let posting = spawn(call_by_post(vagn.url("/api/v1/positions"), round, answered.clone()));
        Self { at_work: vec![asking, streaming, posting], answered, gone }
    }

    async fn heard(&self, count: u64) {
        eventually("some calls to be answered", async || self.answered.load(Ordering::Relaxed) >= count)
            .await;
    }

    /// What they heard before the service was gone.
    async fn stored(self) -> Stored {
        self.gone.store(true, Ordering::Relaxed);
        let mut stored = Stored::new();
        for each in self.at_work {
            stored.extend(each.await.unwrap());
        }
        stored
    }
}

fn call_by_datagram(
    vehicle: &std::net::UdpSocket,
    round: u32,
    answered: &AtomicU64,
    gone: &AtomicBool,
) -> Stored {
    let mut stored = Stored::new();
    vehicle.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    for seq in 0.. {
        let over = gone.load(Ordering::Relaxed);
        if !over {
            // It may be gone by now.
            drop(vehicle.send(&say(&format!("udp {round}-{seq}"), Some(seq), true)));
        }
        while let Some((id, _, incident)) = hear(vehicle) {
            stored.insert(id, incident);
            answered.fetch_add(1, Ordering::Relaxed);
        }
        if over {
            break;
        }
    }
    stored
}

async fn call_by_stream(to: SocketAddr, round: u32, answered: Arc<AtomicU64>) -> Stored {
    let mut stored = Stored::new();
    let Ok(mut vehicle) = TcpVehicle::connect(to).await else { return stored };
    for seq in 0.. {
        for number in 0..3 {
            vehicle.say(&format!("tcp {round}-{seq}-{number}"), 59.33, 18.06, seq, true);
        }
        if vehicle.flush().await.is_err() {
            break;
        }
        for _ in 0..3 {
            let Some(((id, ..), incident)) = vehicle.answer().await else { return stored };
            stored.insert(id, incident.expect("nothing but an end kept it from disk"));
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    stored
}

async fn call_by_post(url: String, round: u32, answered: Arc<AtomicU64>) -> Stored {
    let (client, mut stored) = (client(), Stored::new());
    for step in 0.. {
        let ids = [0, 1].map(|number| format!("http {round}-{step}-{number}"));
        let calls = ids.each_ref().map(|id| json!({"ID": id, "Lat": 59.33, "Lon": 18.06, "Emergency": true}));
        let post =
            client.post(&url).header("content-type", "application/json").body(json!(calls).to_string());
        let Ok(answer) = post.send().await else { break };
        let Ok(body) = answer.text().await else { break };
        let answer: Value = serde_json::from_str(&body).unwrap();
        let incidents = answer["reports"].as_array().unwrap_or_else(|| panic!("{body}"));
        let incidents = incidents.iter().map(|report| report["incident_id"].as_str().unwrap().to_owned());
        stored.extend(ids.into_iter().zip(incidents));
        answered.fetch_add(2, Ordering::Relaxed);
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_heard_that_its_call_is_on_disk_is_called_about_whenever_vagn_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let mut chance = fastrand::Rng::with_seed(seed());
    let mut vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    let mut all = Stored::new();
    for round in 1..=moments() {
        let callers = Callers::start(&vagn, round);
        callers.heard(1).await;
        tokio::time::sleep(Duration::from_micros(chance.u64(..80_000))).await;
        vagn.kill();
        let stored = callers.stored().await;
        vagn = vagn.restart();
        assert_listed(&vagn, &stored).await;
        eventually("the calls", async || {
            let openings = sink.openings();
            stored.keys().all(|id| openings.contains_key(id))
        })
        .await;
        all.extend(stored);
    }
    for way in ["udp", "tcp", "http"] {
        assert!(all.keys().any(|id| id.starts_with(way)), "nobody was answered over {way}");
    }
    eprintln!("{} calls were answered for, {} made", all.len(), sink.heard().len());
    assert_listed(&vagn, &all).await;
    for (id, keys) in sink.openings() {
        assert_eq!(keys.len(), 1, "{id} is called about as {keys:?}");
        assert!(all.get(&id).is_none_or(|incident| keys.contains(incident)), "{id}: {keys:?}, {}", all[&id]);
    }
    vagn.kill();
    assert_whole(dir.path(), &sink);
}

/// The trail has every head that calls have carried, over all ends.
fn assert_whole(data_dir: &std::path::Path, sink: &Sink) {
    let heads = sink.heads();
    let data_dir = data_dir.to_str().unwrap();
    // No more than a command line takes.
    let some = heads.iter().step_by(heads.len().div_ceil(200)).flat_map(|head| ["--head", head]);
    let args: Vec<_> = ["verify", "--data-dir", data_dir].into_iter().chain(some).collect();
    assert!(said(&args, 0).starts_with("whole: "));
}

async fn assert_listed(vagn: &Vagn, stored: &Stored) {
    let mut missing = stored.clone();
    let (mut after, client) = (String::new(), client());
    while !missing.is_empty() {
        let url = vagn.url(&format!("/api/v1/incidents?limit=1000{after}"));
        let page: Value =
            serde_json::from_str(&client.get(url).send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(page["complete"], true, "the store cannot be read");
        for incident in page["incidents"].as_array().unwrap() {
            let (id, vehicle) = (incident["id"].as_str().unwrap(), incident["vehicle_id"].as_str().unwrap());
            if missing.get(vehicle).is_some_and(|known| known == id) {
                missing.remove(vehicle);
            }
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert!(missing.is_empty(), "were answered for, and are gone: {missing:?}");
}

/// Stops the service before the answer, in every other round, so that the answer is surely lost with it; else kills it some
/// moments after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptance_whose_record_was_lost_is_asked_for_again_under_the_same_key() {
    const ROUNDS: u64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicU64::new(0));
    let pid = stop.clone();
    let target = BadTarget::start(move |_, stream| {
        let pid = pid.swap(0, Ordering::Relaxed);
        if pid != 0 {
            halt(pid);
        }
        crate::targets::answer(stream, 200)
    });
    let config = settings(dir.path(), &format!("[emergency]\nurl = \"{}\"\n", target.url));
    let mut vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let mut chance = fastrand::Rng::with_seed(seed());
    for round in 0..ROUNDS {
        let caller = format!("caller {round}");
        stop.store(if round % 2 == 0 { vagn.pid().into() } else { 0 }, Ordering::Relaxed);
        vagn.send(&report(&caller, 59.33, 18.06, true));
        eventually("the call", async || target.answered().iter().any(|call| call.vehicle() == caller)).await;
        tokio::time::sleep(Duration::from_micros(chance.u64(..2_000))).await;
        vagn = vagn.restart();
        eventually("the record", async || vagn.all_accepted().await).await;
        let calls = || {
            let all = target.answered();
            all.into_iter().filter(|call| call.vehicle() == caller).collect::<Vec<Heard>>()
        };
        let at_least = if round % 2 == 0 { 2 } else { 1 };
        eventually("the call to be made again", async || calls().len() >= at_least).await;
        let calls = calls();
        assert!(calls.iter().all(|call| call.key == calls[0].key), "{calls:?}");
        assert_eq!(calls[0].key, calls[0].body["incident_id"]);
    }
}
