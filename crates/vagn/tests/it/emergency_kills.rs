//! `kill -9` at random moments while vehicles send alarms over all doors. For each alarm that was answered as on disk a notice goes
//! out, under one key, also if the answer of the target was lost.

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

/// Vehicles whose alarm was answered as on disk, with the incident.
type Stored = BTreeMap<String, String>;

/// Vehicles that send alarms until the service is gone, each vehicle once.
struct Callers {
    at_work: Vec<JoinHandle<Stored>>,
    answered: Arc<AtomicU64>,
    gone: Arc<AtomicBool>,
}

impl Callers {
    fn start(vagn: &Vagn, round: u32) -> Self {
        let answered = Arc::new(AtomicU64::new(0));
        let gone = Arc::new(AtomicBool::new(false));
        let asking = spawn_blocking({
            let (vehicle, answered, gone) = (vehicle(vagn), answered.clone(), gone.clone());
            move || alarm_by_datagram(&vehicle, round, &answered, &gone)
        });
        let streaming = spawn(alarm_by_stream(vagn.address("tcp"), round, answered.clone()));
        let posting = spawn(alarm_by_post(vagn.url("/api/v1/positions"), round, answered.clone()));
        Self { at_work: vec![asking, streaming, posting], answered, gone }
    }

    async fn heard(&self, count: u64) {
        eventually("some alarms to be answered", async || self.answered.load(Ordering::Relaxed) >= count)
            .await;
    }

    /// Returns the alarms that were answered before the service was gone.
    async fn stored(self) -> Stored {
        self.gone.store(true, Ordering::Relaxed);
        let mut stored = Stored::new();
        for each in self.at_work {
            stored.extend(each.await.unwrap());
        }
        stored
    }
}

fn alarm_by_datagram(
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
            // Fails when the service is gone.
            vehicle.send(&say(&format!("udp {round}-{seq}"), Some(seq), true)).ok();
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

async fn alarm_by_stream(to: SocketAddr, round: u32, answered: Arc<AtomicU64>) -> Stored {
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
            stored.insert(id, incident.expect("an alarm is answered only when it is on disk"));
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    stored
}

async fn alarm_by_post(url: String, round: u32, answered: Arc<AtomicU64>) -> Stored {
    let (client, mut stored) = (client(), Stored::new());
    for step in 0.. {
        let ids = [0, 1].map(|number| format!("http {round}-{step}-{number}"));
        let alarms =
            ids.each_ref().map(|id| json!({"ID": id, "Lat": 59.33, "Lon": 18.06, "Emergency": true}));
        let post =
            client.post(&url).header("content-type", "application/json").body(json!(alarms).to_string());
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
async fn for_each_alarm_answered_as_on_disk_a_notice_goes_out_although_vagn_is_killed() {
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
        eventually("the notices", async || {
            let openings = sink.openings();
            stored.keys().all(|id| openings.contains_key(id))
        })
        .await;
        all.extend(stored);
    }
    for way in ["udp", "tcp", "http"] {
        assert!(all.keys().any(|id| id.starts_with(way)), "no alarm was answered over {way}");
    }
    eprintln!("{} alarms were answered, {} notices were sent", all.len(), sink.heard().len());
    assert_listed(&vagn, &all).await;
    for (id, keys) in sink.openings() {
        assert_eq!(keys.len(), 1, "the notices about {id} have the keys {keys:?}");
        assert!(all.get(&id).is_none_or(|incident| keys.contains(incident)), "{id}: {keys:?}, {}", all[&id]);
    }
    vagn.kill();
    assert_whole(dir.path(), &sink);
}

/// Checks that the trail has every head that the notices have carried, over all kills.
fn assert_whole(data_dir: &std::path::Path, sink: &Sink) {
    let heads = sink.heads();
    let data_dir = data_dir.to_str().unwrap();
    // A command line takes only so many arguments.
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
    assert!(missing.is_empty(), "answered as on disk, but gone: {missing:?}");
}

/// In every other round the service is stopped before the answer, so that the answer is surely lost. In the other rounds it is
/// killed shortly after the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_the_record_of_an_acceptance_is_lost_the_notice_is_sent_again_under_the_same_key() {
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
        let is_notified = || target.answered().iter().any(|notice| notice.vehicle() == caller);
        eventually("the notice", async || is_notified()).await;
        tokio::time::sleep(Duration::from_micros(chance.u64(..2_000))).await;
        vagn = vagn.restart();
        eventually("the record", async || vagn.all_accepted().await).await;
        let notices = || {
            let all = target.answered();
            all.into_iter().filter(|notice| notice.vehicle() == caller).collect::<Vec<Heard>>()
        };
        let at_least = if round % 2 == 0 { 2 } else { 1 };
        eventually("the notice to be sent again", async || notices().len() >= at_least).await;
        let notices = notices();
        assert!(notices.iter().all(|notice| notice.key == notices[0].key), "{notices:?}");
        assert_eq!(notices[0].key, notices[0].body["incident_id"]);
    }
}
