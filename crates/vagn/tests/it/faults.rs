//! Each actor in turn is made to panic and to hang while positions flow: it is restarted, and the fates of all reports add up.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use crate::vagn::{Vagn, client, eventually, report, settings, spawn};

const VEHICLES: usize = 60;

/// Settings that allow injected faults.
const FAULTS: &str = "hang_limit = \"2s\"\n[ops]\nfault_injection = true\n";

/// Returns every process that is no supervisor, with its restarts.
fn leaves(node: &Value) -> Vec<(String, u64)> {
    let children = node["children"].as_array().map_or(&[][..], Vec::as_slice);
    if node["kind"] == "supervisor" {
        return children.iter().flat_map(leaves).collect();
    }
    vec![(node["path"].as_str().unwrap().to_owned(), node["restarts"].as_u64().unwrap())]
}

/// Returns the number of restarts of a process.
pub(crate) async fn restarts(vagn: &Vagn, path: &str) -> u64 {
    // The ops listener itself may be restarting.
    let Ok(answer) = client().get(format!("http://{}/actors", vagn.address("ops"))).send().await else {
        return 0;
    };
    let Ok(tree) = answer.json().await else { return 0 };
    leaves(&tree).into_iter().find(|(each, _)| each == path).map_or(0, |(_, restarts)| restarts)
}

async fn is_ready(vagn: &Vagn) -> bool {
    let asked = client().get(format!("http://{}/readyz", vagn.address("ops"))).send().await;
    asked.is_ok_and(|answer| answer.status() == 200)
}

/// Makes one process fail, and waits until its supervisor has restarted it.
async fn fail(vagn: &Vagn, path: &str, kind: &str) {
    let before = restarts(vagn, path).await;
    let name = path.replace('/', "%2F");
    let url = format!("http://{}/actors/{name}/fault?kind={kind}", vagn.address("ops"));
    let answer = client().post(url).header("x-vagn", "1").send().await.unwrap();
    assert_eq!(answer.status(), 202, "{path}: {}", answer.text().await.unwrap());
    eventually(&format!("{path} to be restarted after a {kind}"), async || {
        // A process that waits for work fails only when it gets some. The API may be down meanwhile.
        client().get(vagn.url("/?lat=0&lon=0")).send().await.ok();
        client().get(vagn.url("/api/v1/incidents")).send().await.ok();
        client().get(vagn.url("/api/v1/positions/stream?bbox=0,0,1,1")).send().await.ok();
        vagn.send(&report("nudge", 1.0, 1.0, true));
        restarts(vagn, path).await > before
    })
    .await;
    eventually(&format!("the service to be ready again after {path}"), async || is_ready(vagn).await).await;
}

/// Keeps the vehicles moving.
async fn drive(to: std::net::SocketAddr, stop: Arc<AtomicBool>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut step = 0.0;
    while !stop.load(Ordering::Relaxed) {
        step = (step + 0.001) % 1.0;
        for number in 0..VEHICLES {
            let datagram = report(&format!("bus {number}"), 30.0 + step, number as f64 / 100.0, false);
            // Fails while the door is restarting; the next position follows.
            socket.send_to(&datagram, to).ok();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Looks at the map all the time, and checks that each answer with status 200 has every vehicle.
async fn watch(url: String, stop: Arc<AtomicBool>, complete: Arc<AtomicU64>) {
    let client = client();
    while !stop.load(Ordering::Relaxed) {
        let Ok(answer) = client.get(&url).send().await else { continue };
        let status = answer.status();
        let Ok(body) = answer.text().await else { continue };
        if status == 200 {
            let buses = body.matches("\"bus ").count();
            assert_eq!(buses, VEHICLES, "a part of the fleet was shown as if it were all");
            complete.fetch_add(1, Ordering::Relaxed);
        } else {
            assert_eq!(status, 503, "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_actor_may_panic_and_hang() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), FAULTS);
    // No target listens there, so the notifier always has a notice to try again.
    let args = ["--config", &config, "--emergency-url", "http://127.0.0.1:9/"];
    let vagn = Vagn::start(&dir.path().join("data"), &args);
    for number in 0..VEHICLES {
        vagn.send(&report(&format!("bus {number}"), 30.0, number as f64 / 100.0, false));
    }
    vagn.wait_settled(VEHICLES as u64).await;
    let stop = Arc::new(AtomicBool::new(false));
    let complete = Arc::new(AtomicU64::new(0));
    let driving = spawn(drive(vagn.address("udp"), stop.clone()));
    let url = vagn.url("/api/v1/vehicles?bbox=-1,29,2,32&limit=1000");
    let watching = spawn(watch(url, stop.clone(), complete.clone()));

    let paths: Vec<String> = leaves(&vagn.actors().await).into_iter().map(|(path, _)| path).collect();
    assert!(paths.len() >= 14, "{paths:?}");
    for kind in ["panic", "hang"] {
        for path in &paths {
            fail(&vagn, path, kind).await;
        }
    }

    let seen = complete.load(Ordering::Relaxed);
    eventually("more answers", async || complete.load(Ordering::Relaxed) > seen + 10).await;
    stop.store(true, Ordering::Relaxed);
    driving.await.unwrap();
    watching.await.unwrap();
    let received = vagn.metric("vagn_reports_received_total").await as u64;
    vagn.wait_settled(received).await;
}

#[tokio::test]
async fn the_process_ends_with_70_when_a_part_that_all_others_need_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), FAULTS);
    let mut vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let url = format!("http://{}/actors/ops/fault?kind=panic", vagn.address("ops"));
    let mut code = None;
    eventually("the process to end", async || {
        // Fails while the listener is restarting, and at the end, when it is gone.
        client().post(&url).header("x-vagn", "1").send().await.ok();
        code = vagn.exit_code();
        code.is_some()
    })
    .await;
    assert_eq!(code, Some(70), "{}", vagn.log());
    assert!(vagn.log().contains("gave up"), "{}", vagn.log());
}

#[tokio::test]
async fn faults_are_refused_unless_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let url = format!("http://{}/actors/web/fault?kind=panic", vagn.address("ops"));
    let answer = client().post(url).header("x-vagn", "1").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("ops.fault_injection"));
}
