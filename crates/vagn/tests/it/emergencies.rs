//! Notices to an emergency service that fails half of the time and loses answers, from a Vagn that is killed in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::vagn::{Vagn, command, eventually, eventually_within, report, settings};

/// An emergency service: `vagn sink`, with every notice that it printed.
pub(crate) struct Sink {
    child: Child,
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Value>>>,
}

impl Sink {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command()
            .args(["sink", "--listen", "127.0.0.1:0", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|err| panic!("sink said {line:?}: {err}"));
        let url = format!("http://{}/calls", said["listening"].as_str().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let heard = calls.clone();
        #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                heard.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, url, calls }
    }

    /// Idempotency keys of the notices that it accepted, by vehicle. The answer may have been lost.
    pub(crate) fn accepted(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut keys = BTreeMap::<_, BTreeSet<_>>::new();
        for call in self.calls.lock().unwrap().iter().filter(|call| call["status"] == 200) {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            keys.entry(text(&call["call"]["vehicle_id"])).or_default().insert(text(&call["idempotency_key"]));
        }
        keys
    }

    /// Idempotency keys of the first notices, by vehicle. Later notices have keys of their own.
    pub(crate) fn openings(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut keys = BTreeMap::<_, BTreeSet<_>>::new();
        for call in self.calls.lock().unwrap().iter().filter(|call| call["type"] == "incident.opened") {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            keys.entry(text(&call["call"]["vehicle_id"])).or_default().insert(text(&call["idempotency_key"]));
        }
        keys
    }

    /// Heads of the trail that the notices carried.
    pub(crate) fn heads(&self) -> BTreeSet<String> {
        let heads =
            self.heard().into_iter().filter_map(|call| Some(call["call"]["trail_head"].as_str()?.to_owned()));
        heads.collect()
    }

    /// All notices so far, as it printed them.
    pub(crate) fn heard(&self) -> Vec<Value> {
        self.calls.lock().unwrap().clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_emergency_arrives_under_one_key_although_the_service_fails_and_vagn_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&["--fail", "0.5", "--lose-answer"]);
    // No person acknowledges here, and an escalation would come under a key of its own.
    let text = format!("[emergency]\nurl = \"{}\"\nescalate_after = \"1h\"\n", sink.url);
    let config = settings(dir.path(), &text);
    let mut vagn = Vagn::start(dir.path(), &["--config", &config]);
    const EMERGENCIES: usize = 60;
    for number in 0..EMERGENCIES {
        for bus in 0..200 {
            vagn.send(&report(&format!("bus {bus}"), 59.0, f64::from(bus) / 10.0, false));
        }
        vagn.send(&report(&format!("caller {number}"), 59.3, 18.0, true));
        eventually("the incident to be recorded", async || {
            vagn.json("/api/v1/incidents?limit=1000")
                .await
                .to_string()
                .contains(&format!("\"caller {number}\""))
        })
        .await;
        if number % 15 == 14 {
            vagn = vagn.restart();
        }
    }
    // One notice in a thousand fails ten times in a row; by then it has waited for 90 s.
    let patience = Duration::from_secs(400);
    eventually_within(patience, "every acceptance to be recorded", async || {
        sink.accepted().len() == EMERGENCIES && vagn.all_accepted().await
    })
    .await;
    for (vehicle, keys) in sink.accepted() {
        assert_eq!(keys.len(), 1, "{vehicle} was called in under several keys: {keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_right_after_the_acceptance_a_notice_is_repeated_only_under_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let mut vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    for number in 0..10 {
        let caller = format!("caller {number}");
        vagn.send(&report(&caller, 59.3, 18.0, true));
        while !sink.accepted().contains_key(&caller) {
            std::hint::spin_loop();
        }
        vagn = vagn.restart();
        eventually("the acceptance to be recorded", async || vagn.all_accepted().await).await;
        assert_eq!(sink.accepted()[&caller].len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_never_reaches_the_emergency_service() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    let drill = r#"[{"ID":"drill","Lat":59.3,"Lon":18.0,"Emergency":true,"Kind":"test"}]"#;
    let (status, answer) = vagn.post("/api/v1/positions", drill.into()).await;
    assert_eq!(status, 200, "{answer}");
    vagn.send(&report("real", 59.3, 18.0, true));
    eventually("the real notice", async || sink.accepted().contains_key("real")).await;
    assert!(!sink.accepted().contains_key("drill"));
    let listed = vagn.json("/api/v1/incidents").await.to_string();
    assert!(listed.contains("\"drill\""), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_target_a_warning_says_so_and_the_service_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let (status, body) = vagn.ops("/readyz").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("emergency"), "{body}");
    assert!(vagn.log().contains("emergency"), "{}", vagn.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_log_that_stalls_delays_no_notice() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let vagn = Vagn::start_unread(dir.path(), &["--emergency-url", &sink.url]);
    const CALLERS: usize = 1500;
    for number in 0..CALLERS {
        vagn.send(&report(&format!("caller {number}"), 59.3, 18.0, true));
        if number % 100 == 99 {
            eventually("the notices so far", async || sink.accepted().len() > number).await;
        }
    }
    assert_eq!(vagn.ops("/healthz").await.0, 200);
    assert_eq!(sink.accepted().len(), CALLERS);
}
