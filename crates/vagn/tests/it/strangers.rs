//! A flood of alarms from invented vehicles, together with alarms of vehicles that were known before.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::emergencies::Sink;
use crate::stored_acks::{hear, say, vehicle};
use crate::vagn::{LIMIT, Vagn, command, eventually, report, settings};

const KNOWN: usize = 200;
const STRANGERS: usize = 20_000;
const OPEN_MAX: usize = 1_000;

/// Time between the position and the alarm of vehicles that are made up. It was once enough to be known.
const ACQUAINTED: Duration = Duration::from_millis(3_500);

/// Longest time from an alarm of a known vehicle to its notice, in the middle of the flood.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(10);

fn known(number: usize) -> String {
    format!("bus {number}")
}

/// Sends `count` alarms, each of another vehicle.
fn flood(to: std::net::SocketAddr, count: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..count {
        socket.send_to(&report(&format!("nobody {number}"), 59.33, 18.06, true), to).unwrap();
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Sends an alarm as a vehicle should: again until it is answered.
fn raise_alarm(vehicle: &UdpSocket, id: &str) {
    let began = Instant::now();
    vehicle.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    for seq in 1.. {
        vehicle.send(&say(id, Some(seq), true)).unwrap();
        if hear(vehicle).is_some_and(|(answered, ..)| answered == id) {
            return;
        }
        assert!(began.elapsed() < LIMIT, "{id} is not answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invented_vehicles_get_no_more_than_their_share_and_delay_no_known_vehicle() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let text = format!("max_open_incidents = {OPEN_MAX}\n[emergency]\nurl = \"{}\"\n", sink.url);
    let config = settings(dir.path(), &text);
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    for number in 0..KNOWN {
        vagn.send(&report(&known(number), 59.33, 18.06, false));
    }
    vagn.wait_settled(KNOWN as u64).await;
    let vagn = vagn.restart_knowing_all();
    let to = vagn.address("udp");
    let over = Arc::new(AtomicBool::new(false));
    // A first flood must not make its vehicles known for the second one.
    tokio::task::spawn_blocking(move || flood(to, STRANGERS / 4)).await.unwrap();

    let flag = over.clone();
    let flooding = tokio::task::spawn_blocking(move || {
        flood(to, STRANGERS);
        flag.store(true, Ordering::Relaxed);
    });
    eventually("the strangers to have filled their share", async || share(&vagn).await == OPEN_MAX / 2).await;
    let socket = Arc::new(vehicle(&vagn));
    let mut slowest = Duration::ZERO;
    for number in 0..KNOWN {
        let (socket, id, began) = (socket.clone(), known(number), Instant::now());
        let answered = tokio::task::spawn_blocking(move || raise_alarm(&socket, &id));
        answered.await.unwrap();
        let id = known(number);
        eventually(&format!("the notice about {id}"), async || sink.accepted().contains_key(&id)).await;
        slowest = slowest.max(began.elapsed());
        assert!(share(&vagn).await <= OPEN_MAX / 2, "the strangers have taken more than their share");
    }
    let during = !over.load(Ordering::Relaxed);
    flooding.await.unwrap();
    eprintln!(
        "the slowest notice took {slowest:?}; the flood was {}",
        if during { "still on" } else { "over" }
    );
    assert!(slowest < NOTIFIED_WITHIN, "{slowest:?}");

    vagn.wait_settled(KNOWN as u64).await;
    let open = vagn.metric("vagn_incidents_open").await as usize;
    assert!((KNOWN + OPEN_MAX / 4..=KNOWN + OPEN_MAX / 2).contains(&open), "{open} are open");
    let refused = vagn.metric("vagn_emergencies_total{outcome=\"refused\"}").await as usize;
    assert!(refused > 0 && refused <= 2 * STRANGERS, "{refused} refused");
    assert!(vagn.ops("/readyz").await.1.contains("refused emergencies"));
    let lines = vagn.log().lines().filter(|line| line.contains("emergencies are refused")).count();
    assert!((1..10).contains(&lines), "{refused} were refused, in {lines} lines of the log");
}

/// Runs `vagn resolve` and returns its exit code and what it said.
async fn resolve(vagn: &Vagn, args: &[&str]) -> (Option<i32>, String) {
    let mut command = command();
    command.args(["resolve", "--api", &vagn.url("")]).args(args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn vehicles_that_are_made_up_and_report_once_stay_strangers_and_are_resolved_with_one_command() {
    const PLACES: usize = 400;
    const PER_SOURCE: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let text = format!("max_open_incidents = {PLACES}\n[emergency]\nstrangers_per_source = {PER_SOURCE}\n");
    let config = settings(dir.path(), &text);
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    vagn.send(&report(&known(7), 59.33, 18.06, false));
    vagn.wait_settled(1).await;
    let vagn = vagn.restart_knowing_all();
    let made_up: Vec<_> = (0..2 * PER_SOURCE).map(|number| format!("made up {number}")).collect();
    made_up.iter().for_each(|id| vagn.send(&report(id, 59.33, 18.06, false)));
    vagn.wait_settled(made_up.len() as u64).await;
    tokio::time::sleep(ACQUAINTED).await;
    made_up.iter().for_each(|id| vagn.send(&report(id, 59.33, 18.06, true)));
    eventually("one source to have taken all it may", async || share(&vagn).await == PER_SOURCE).await;
    eventually("the rest to be refused", async || {
        let rate = vagn.metric("vagn_emergencies_refused_total{reason=\"rate\"}").await;
        let source = vagn.metric("vagn_emergencies_refused_total{reason=\"source\"}").await;
        (rate + source) as usize == PER_SOURCE
    })
    .await;
    assert!(vagn.ops("/readyz").await.1.contains("most from 127.0.0.1"));
    vagn.send(&report(&known(7), 59.33, 18.06, true));
    eventually("the known vehicle", async || {
        vagn.metric("vagn_incidents_open").await as usize == PER_SOURCE + 1
    })
    .await;

    let strangers = ["--by", "Anna", "--note", "forged", "--standing", "stranger"];
    let (code, said) = resolve(&vagn, &[&strangers[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, said), (Some(0), format!("{PER_SOURCE} incidents would be resolved\n")));
    let (code, said) = resolve(&vagn, &strangers).await;
    assert_eq!((code, said), (Some(0), format!("{PER_SOURCE} resolved, 0 left\n")));
    eventually("them to be gone", async || vagn.metric("vagn_incidents_open").await as usize == 1).await;
    let page = vagn.json("/api/v1/incidents?state=resolved&limit=1").await;
    assert_eq!(page["incidents"][0]["resolved"]["by"], "Anna", "{page}");
    assert_eq!(resolve(&vagn, &["--by", "Anna"]).await.0, Some(64), "nothing says which");
    let (code, said) = resolve(&vagn, &["--by", " ", "--test", "true"]).await;
    assert!(code == Some(1) && said.contains("`by` must have 1 to 64 characters"), "{said}");
}

/// Returns what `vagn resolve` says of the open incidents of vehicles of this standing.
pub(crate) async fn count(vagn: &Vagn, standing: &str) -> String {
    let (code, said) = resolve(vagn, &["--by", "Anna", "--standing", standing, "--dry-run"]).await;
    assert_eq!(code, Some(0), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_calls_while_the_fleet_is_read_is_looked_up_again_and_known_vehicles_go_first() {
    const FLEET: usize = 20_000;
    const FLOOD: usize = 1_500;
    let dir = tempfile::tempdir().unwrap();
    let (data, sink) = (dir.path().join("data"), Sink::start(&[]));
    let text = format!("max_open_incidents = 10000\n[emergency]\nurl = \"{}\"\n", sink.url);
    let config = settings(dir.path(), &text);
    let mut vagn = Vagn::start(&data, &["--config", &config]);
    for first in (0..FLEET).step_by(1_000) {
        let position = |number| serde_json::json!({"ID": known(number), "Lat": 59.33, "Lon": 18.06});
        let body: Vec<_> = (first..first + 1_000).map(position).collect();
        assert_eq!(vagn.post("/api/v1/positions", serde_json::json!(body).to_string()).await.0, 200);
    }
    vagn.kill();
    // Without a census all of them are known.
    std::fs::remove_dir_all(data.join("census")).unwrap();
    let mut vagn = Vagn::launch(&data, &["--config", &config]);
    let to = vagn.address("udp");
    let flooding = tokio::task::spawn_blocking(move || flood(to, FLOOD));
    (0..KNOWN).for_each(|number| vagn.send(&report(&known(number), 59.33, 18.06, true)));
    vagn.wait_ready();
    let began = Instant::now();
    let late = known(FLEET - 1);
    vagn.send(&report(&late, 59.33, 18.06, true));
    eventually("the notice about a known vehicle", async || sink.accepted().contains_key(&late)).await;
    eprintln!("its notice took {:?}", began.elapsed());
    assert!(began.elapsed() < NOTIFIED_WITHIN, "{:?}", began.elapsed());
    flooding.await.unwrap();
    let said = |count: usize| format!("{count} incidents would be resolved\n");
    eventually("all to be looked up", async || count(&vagn, "undecided").await == said(0)).await;
    eventually("known ones", async || count(&vagn, "known").await == said(KNOWN + 1)).await;
    eventually("the flood", async || count(&vagn, "stranger").await == said(FLOOD)).await;
    assert_eq!(share(&vagn).await, FLOOD);
}

/// Returns the number of vehicles that are known by the census on disk.
pub(crate) fn known_on_disk(data: &Path) -> usize {
    // As `vagn-emergency/src/census/file.rs` says: 36 bytes before the entries, 12 behind them.
    let files = std::fs::read_dir(data.join("census")).into_iter().flatten().flatten();
    let known = files.filter_map(|file| std::fs::read(file.path()).ok()).map(|bytes| {
        let entries = bytes.get(36..bytes.len().saturating_sub(12)).unwrap_or_default();
        entries.as_chunks::<8>().0.iter().filter(|entry| entry[0] & 15 == 10).count()
    });
    known.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_report_before_a_restart_makes_nobody_known_and_who_was_known_stays_so() {
    const MADE_UP: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (
        dir.path().join("data"),
        settings(dir.path(), "partitions = 2\n[emergency]\nknown_after = \"1s\"\n"),
    );
    let vagn = Vagn::start(&data, &["--config", &config]);
    eventually("the bus to have been heard for long enough", async || {
        vagn.send(&report(&known(7), 59.33, 18.06, false));
        known_on_disk(&data) == 1
    })
    .await;
    let before = vagn.fates().await as usize;
    let made_up: Vec<_> = (0..MADE_UP).map(|number| format!("made up {number}")).collect();
    made_up.iter().for_each(|id| vagn.send(&report(id, 59.33, 18.06, false)));
    eventually("them to be stored", async || vagn.metric("vagn_vehicles").await as usize == MADE_UP + 1)
        .await;
    assert!(vagn.fates().await as usize >= before + MADE_UP);
    // Killed, and stopped in order.
    let vagn = vagn.restart();
    vagn.stop();
    let vagn = Vagn::start(&data, &["--config", &config]);
    made_up.iter().for_each(|id| vagn.send(&report(id, 59.33, 18.06, true)));
    vagn.send(&report(&known(7), 59.33, 18.06, true));
    let said = |count: usize| format!("{count} incidents would be resolved\n");
    eventually("the made-up ones to be strangers", async || count(&vagn, "stranger").await == said(MADE_UP))
        .await;
    let one = "1 incident would be resolved\n";
    eventually("the bus to be known", async || count(&vagn, "known").await == one).await;
    let (_, ready) = vagn.ops("/readyz").await;
    assert!(!ready.contains("census"), "{ready}");
}

#[tokio::test]
async fn a_damaged_census_makes_no_known_vehicle_a_stranger_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), settings(dir.path(), "partitions = 1\n"));
    let mut vagn = Vagn::start(&data, &["--config", &config]);
    vagn.send(&report(&known(7), 59.33, 18.06, false));
    vagn.wait_settled(1).await;
    let file = data.join("census/0-of-1");
    eventually("a census", async || file.exists()).await;
    vagn.kill();
    std::fs::write(&file, "damaged").unwrap();
    let vagn = vagn.restart();
    eventually("a warning", async || vagn.ops("/readyz").await.1.contains("0-of-1.kept-")).await;
    assert_eq!(vagn.ops("/readyz").await.0, 200, "it works all the same");
    assert!(vagn.log().contains("the census cannot be read"));
    vagn.send(&report(&known(7), 59.33, 18.06, true));
    let said = "1 incident would be resolved\n";
    eventually("the bus to be known", async || count(&vagn, "known").await == said).await;
}

/// Returns the number of open incidents of vehicles that are not known for certain.
async fn share(vagn: &Vagn) -> usize {
    vagn.metric("vagn_emergency_unfamiliar_open").await as usize
}
