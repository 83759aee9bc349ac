//! A wall clock that is set from outside, by libfaketime: what cannot be undone waits until the clock is known to be right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use vagn_flow::clock::{Clock, SystemClock};

use crate::vagn::{Environment, Vagn, client, command, eventually, report};

/// The kernel knows nothing of the clock that is set here.
const OWN_WORD: &[&str] = &["--clock-kernel", "false"];

/// A wall clock that the services started with it go by.
pub(crate) struct WallClock(PathBuf);

impl WallClock {
    /// A clock in `dir` that is off by so much, such as `+40d`.
    pub(crate) fn new(dir: &Path, off: &str) -> Self {
        let clock = Self(dir.join("wall-clock"));
        clock.set(off);
        clock
    }

    /// Sets it, for services that run too.
    fn set(&self, off: &str) {
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, off).unwrap();
        fs::rename(fresh, &self.0).unwrap();
    }

    pub(crate) fn environment(&self) -> Environment {
        let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
        let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
        let library = libraries.find(|path| path.exists()).expect("`make needs` installs faketime");
        vec![
            ("LD_PRELOAD", library.to_str().unwrap().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.to_str().unwrap().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }

    fn start(&self, data: &Path) -> Vagn {
        Vagn::start_with(self.environment(), data, OWN_WORD)
    }
}

/// Stores a few vehicles, opens an incident and acknowledges it. Returns its id.
async fn fill(vagn: &Vagn) -> String {
    for id in ["bus 1", "bus 2", "bus 3"] {
        vagn.send(&report(id, 1.0, 2.0, false));
    }
    let call = json!([{"ID": "bus 7", "Lat": 59.33, "Lon": 18.06, "Emergency": true}]);
    let (status, answer) = vagn.post("/api/v1/positions", call.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let id = answer["reports"][0]["incident_id"].as_str().unwrap().to_owned();
    let act = json!({"by": "Anna", "note": "here"}).to_string();
    let (status, answer) = vagn.post(&format!("/api/v1/incidents/{id}/acknowledge"), act).await;
    assert_eq!(status, 200, "{answer}");
    vagn.wait_settled(4).await;
    id
}

/// Returns the warning `name` in `/readyz`.
async fn warning(vagn: &Vagn, name: &str) -> Option<String> {
    let report: Value = serde_json::from_str(&vagn.ops("/readyz").await.1).unwrap();
    report["warnings"][name].as_str().map(str::to_owned)
}

/// Waits until the storage and the incidents have looked after what time brings, several times.
async fn wait_tidied(vagn: &Vagn) {
    let handled =
        async |actor: &str| vagn.metric(&format!("vagn_actor_handled_total{{actor=\"{actor}\"}}")).await;
    let (storage, incidents) = ("traffic/stores/storage-0", "emergency/incidents");
    let before = (handled(storage).await, handled(incidents).await);
    eventually("rounds of housekeeping", async || {
        handled(storage).await >= before.0 + 5.0 && handled(incidents).await >= before.1 + 3.0
    })
    .await;
}

async fn state(vagn: &Vagn, incident: &str) -> Value {
    vagn.json(&format!("/api/v1/incidents/{incident}")).await["state"].clone()
}

/// Checks that four vehicles and the incident are as they were left.
async fn check_whole(vagn: &Vagn, incident: &str) {
    wait_tidied(vagn).await;
    assert_eq!(vagn.metric("vagn_vehicles").await, 4.0, "{}", vagn.log());
    assert_eq!(state(vagn, incident).await, "acknowledged", "{}", vagn.log());
}

/// Runs `vagn doctor --accept-clock`.
async fn accept(vagn: &Vagn) -> String {
    let mut command = command();
    command.args(["doctor", "--accept-clock", "--ops", &vagn.address("ops").to_string()]);
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Posts one position without a time of its own. Returns its fate, and the time under which the vehicle is kept.
async fn post(vagn: &Vagn, id: &str, lat: f64) -> (Value, String) {
    let body = json!([{"ID": id, "Lat": lat, "Lon": 2.0}]).to_string();
    let (status, answer) = vagn.post("/api/v1/positions", body).await;
    assert_eq!(status, 200, "{answer}");
    let vehicle = vagn.json(&format!("/api/v1/vehicles/{id}")).await;
    (answer["reports"][0]["fate"].clone(), vehicle["properties"]["time"].as_str().unwrap_or_default().into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_far_ahead_at_the_start_costs_no_vehicle_and_no_incident() {
    let dir = tempfile::tempdir().unwrap();
    let (data, clock) = (dir.path().join("data"), WallClock::new(dir.path(), "+0"));
    let vagn = clock.start(&data);
    let incident = fill(&vagn).await;
    assert_eq!(warning(&vagn, "clock").await, None);
    vagn.stop();

    clock.set("+40d");
    let vagn = clock.start(&data);
    let warned = warning(&vagn, "clock").await.unwrap();
    assert!(warned.contains("ahead of the last run") && warned.contains("--accept-clock"), "{warned}");
    assert_eq!(vagn.metric("vagn_clock_doubted").await, 1.0);
    assert_eq!(vagn.metric("vagn_clock_doubts_total{reason=\"ahead\"}").await, 1.0);
    check_whole(&vagn, &incident).await;
    clock.set("+0");
    eventually("the clock to be believed", async || warning(&vagn, "clock").await.is_none()).await;
    check_whole(&vagn, &incident).await;
    let log = vagn.log();
    assert!(log.matches("the wall clock says").count() == 1 && log.contains("it agrees again"), "{log}");

    // The mark of the last run is right, too.
    let vagn = vagn.restart();
    assert_eq!(warning(&vagn, "clock").await, None);
    check_whole(&vagn, &incident).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_accepts_a_great_jump_and_no_page_can() {
    let dir = tempfile::tempdir().unwrap();
    let (data, clock) = (dir.path().join("data"), WallClock::new(dir.path(), "+0"));
    let vagn = clock.start(&data);
    let incident = fill(&vagn).await;
    vagn.stop();

    clock.set("+40d");
    let vagn = clock.start(&data);
    let url = format!("http://{}/clock/accept", vagn.address("ops"));
    let ask = |headers: &[(&'static str, &'static str)]| {
        let ask = headers.iter().fold(client().post(&url), |ask, (name, value)| ask.header(*name, *value));
        async { ask.send().await.unwrap().status().as_u16() }
    };
    for headers in [&[][..], &[("x-vagn", "2")], &[("x-vagn", "1"), ("origin", "https://evil.example")]] {
        assert_eq!(ask(headers).await, 403, "{headers:?}");
    }
    check_whole(&vagn, &incident).await;

    assert!(accept(&vagn).await.starts_with("accepted: "));
    eventually("what was held back", async || {
        vagn.metric("vagn_vehicles").await == 0.0 && state(&vagn, &incident).await == "resolved"
    })
    .await;
    assert_eq!(warning(&vagn, "clock").await, None);
    assert!(accept(&vagn).await.starts_with("nothing to accept: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_glitch_of_ten_years_is_over_with_the_glitch() {
    let dir = tempfile::tempdir().unwrap();
    let (data, clock) = (dir.path().join("data"), WallClock::new(dir.path(), "+0"));
    let vagn = clock.start(&data);
    let incident = fill(&vagn).await;
    clock.set("+10y");
    eventually("the doubt", async || vagn.metric("vagn_clock_doubted").await == 1.0).await;
    let (_, glitched) = post(&vagn, "bus 1", 1.1).await;
    check_whole(&vagn, &incident).await;
    clock.set("+0");
    eventually("the clock to be believed", async || vagn.metric("vagn_clock_doubted").await == 0.0).await;
    // The other one was not heard while the clock was wrong.
    for (id, lat) in [("bus 1", 1.2), ("bus 2", 1.2)] {
        let (fate, time) = post(&vagn, id, lat).await;
        assert!(fate == "stored" && time < glitched, "{id}: {fate} {time}, after {glitched}");
    }
    check_whole(&vagn, &incident).await;

    let vagn = vagn.restart();
    assert_eq!(warning(&vagn, "clock").await, None);
    for (id, lat) in [("bus 1", 1.3), ("bus 2", 1.3), ("bus 3", 1.3)] {
        let (fate, time) = post(&vagn, id, lat).await;
        assert!(fate == "stored" && time < glitched, "{id}: {fate} {time}, after {glitched}");
    }
    check_whole(&vagn, &incident).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ages_follow_a_clock_that_was_years_behind_once_vehicles_agree_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, clock) = (dir.path().join("data"), WallClock::new(dir.path(), "-40d"));
    let vagn = clock.start(&data);
    let incident = fill(&vagn).await;
    vagn.stop();

    clock.set("-4000d");
    let vagn = clock.start(&data);
    assert!(warning(&vagn, "clock").await.unwrap().contains("behind the last run"));
    clock.set("+0");
    check_whole(&vagn, &incident).await;
    // The last run ended so long ago that a right clock needs a word for it.
    assert!(warning(&vagn, "clock").await.unwrap().contains("the wall clock says"));
    let now_ms = SystemClock::new().now_ms();
    let reports: Vec<_> =
        (0..10).map(|one| json!({"ID": format!("tram {one}"), "Lat": 1, "Lon": 2, "Ts": now_ms})).collect();
    assert_eq!(vagn.post("/api/v1/positions", json!(reports[..9]).to_string()).await.0, 200);
    assert!(warning(&vagn, "clock").await.is_some(), "nine are too few");
    assert_eq!(vagn.post("/api/v1/positions", json!(reports).to_string()).await.0, 200);
    eventually("the clock to be believed", async || warning(&vagn, "clock").await.is_none()).await;
    // What the wrong clock has stamped may be younger than it looks.
    wait_tidied(&vagn).await;
    assert_eq!(vagn.metric("vagn_vehicles").await, 14.0, "{}", vagn.log());
    assert_eq!(state(&vagn, &incident).await, "acknowledged", "{}", vagn.log());
    clock.set("+31d");
    eventually("the jump to be doubted", async || warning(&vagn, "clock").await.is_some()).await;
    accept(&vagn).await;
    eventually("the old to be forgotten", async || vagn.metric("vagn_vehicles").await == 0.0).await;
    vagn.stop();

    let vagn = clock.start(&data);
    eventually("the incident to end", async || state(&vagn, &incident).await == "resolved").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_by_a_clock_that_is_behind_for_a_moment_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (data, clock) = (dir.path().join("data"), WallClock::new(dir.path(), "+0"));
    let vagn = clock.start(&data);
    vagn.send(&report("bus 9", 1.0, 2.0, false));
    vagn.wait_settled(1).await;
    clock.set("-40d");
    eventually("the glitch to be doubted", async || warning(&vagn, "clock").await.is_some()).await;
    let incident = fill(&vagn).await;
    clock.set("+0");
    eventually("the clock to be believed", async || warning(&vagn, "clock").await.is_none()).await;
    wait_tidied(&vagn).await;
    assert_eq!(vagn.metric("vagn_vehicles").await, 5.0, "{}", vagn.log());
    vagn.stop();

    let vagn = clock.start(&data);
    assert_eq!(warning(&vagn, "clock").await, None);
    wait_tidied(&vagn).await;
    assert_eq!(vagn.metric("vagn_vehicles").await, 5.0, "{}", vagn.log());
    assert_eq!(state(&vagn, &incident).await, "acknowledged", "{}", vagn.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_mark_is_named_and_healed_and_a_lost_one_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (data, clock) = (dir.path().join("data"), WallClock::new(dir.path(), "+0"));
    let mark = data.join("clock");
    let vagn = clock.start(&data);
    let incident = fill(&vagn).await;
    vagn.stop();
    let mut bytes = fs::read(&mark).unwrap();
    bytes[12] ^= 0x01;
    fs::write(&mark, &bytes).unwrap();

    let vagn = clock.start(&data);
    let warned = warning(&vagn, "clock mark").await.unwrap();
    assert!(warned.contains("clock.damaged") && vagn.log().contains("clock.damaged"), "{warned}");
    assert_eq!(fs::read(data.join("clock.damaged")).unwrap(), bytes);
    assert_eq!(warning(&vagn, "clock").await, None);
    check_whole(&vagn, &incident).await;
    vagn.stop();

    let vagn = clock.start(&data);
    assert_eq!(warning(&vagn, "clock mark").await, None, "it is healed");
    vagn.stop();

    fs::remove_file(&mark).unwrap();
    let vagn = clock.start(&data);
    assert_eq!((warning(&vagn, "clock mark").await, warning(&vagn, "clock").await), (None, None));
    check_whole(&vagn, &incident).await;
    vagn.stop();

    // Without a mark the log tells how late it was.
    fs::remove_file(&mark).unwrap();
    clock.set("+40d");
    let vagn = clock.start(&data);
    check_whole(&vagn, &incident).await;
    assert!(warning(&vagn, "clock").await.unwrap().contains("ahead of the last run"));
}

#[test]
fn a_mark_that_cannot_be_read_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("clock")).unwrap();
    let listeners = ["--udp", "--tcp", "--http", "--ops"].into_iter().flat_map(|flag| [flag, "127.0.0.1:0"]);
    let output = command().arg("serve").arg("--data-dir").arg(dir.path()).args(listeners).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("/clock") && said.contains("remove it"), "{said}");
}
