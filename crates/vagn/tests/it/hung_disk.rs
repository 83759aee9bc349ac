//! A disk that hangs under the position log, and a standstill of the whole process, which is something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::vagn::{Vagn, eventually, report, settings, spawn};

/// A disk whose system calls of some names do not return, for as long as this is held.
struct HungDisk(Child);

impl HungDisk {
    /// Lets the calls to the position logs hang, by tracing every thread of the service.
    async fn of(vagn: &Vagn, data: &Path, calls: &str) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &vagn.pid().to_string()]);
        strace.args(["-e", &format!("trace={calls}")]);
        // Longer than any test.
        strace.args(["-e", &format!("inject={calls}:delay_enter=600000000")]);
        for log in logs(data) {
            strace.arg("-P").arg(log);
        }
        let child = strace.stderr(Stdio::inherit()).spawn().expect("`make test` installs strace");
        let hung = Self(child);
        let tasks = format!("/proc/{}/task", vagn.pid());
        eventually("strace to be attached", async || {
            let mut tasks = fs::read_dir(&tasks).unwrap();
            tasks.all(|task| {
                let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        })
        .await;
        hung
    }
}

impl Drop for HungDisk {
    fn drop(&mut self) {
        // Asked to end, it lets the calls go on. Both fail when it has ended together with the service.
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().ok();
        self.0.wait().ok();
    }
}

/// Every segment of a position log below `dir`.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.extension().is_some_and(|extension| extension == "log") {
            true => vec![path],
            false if path.is_dir() => logs(&path),
            false => Vec::new(),
        })
        .collect()
}

async fn readiness(vagn: &Vagn) -> (u16, Value) {
    let (status, body) = vagn.ops("/readyz").await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Lets these calls hang, and checks that the part of this name is said to hang while it does.
async fn check(calls: &str, part: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (settings(dir.path(), "hang_limit = \"2s\"\n"), dir.path().join("data"));
    let vagn = Vagn::start(&data, &["--config", &config]);
    vagn.send(&report("bus", 1.0, 2.0, false));
    vagn.wait_settled(1).await;

    let disk = HungDisk::of(&vagn, &data, calls).await;
    vagn.send(&report("bus", 1.5, 2.0, false));
    let mut said = Value::Null;
    eventually(&format!("{part} to be said to hang"), async || {
        let (status, body) = readiness(&vagn).await;
        said = body;
        status == 503 && said["missing"].get(part).is_some()
    })
    .await;
    assert!(said["missing"][part].as_str().unwrap().starts_with("hangs for "), "{said}");
    assert_eq!((&said["can_store"], &said["can_ask"]), (&false.into(), &true.into()), "{said}");
    assert_eq!(vagn.get("/?lat=1&lon=2").await.0, 200, "what is known can be asked for");
    assert!(vagn.metric(&format!("vagn_actor_hung_seconds{{actor=\"{part}\"}}")).await >= 2.0);
    assert!(vagn.log().contains("hangs"), "{}", vagn.log());

    drop(disk);
    eventually("the service to be ready again", async || readiness(&vagn).await.0 == 200).await;
    assert_eq!(vagn.metric(&format!("vagn_actor_hung_seconds{{actor=\"{part}\"}}")).await, 0.0);
    vagn.send(&report("bus", 1.75, 2.0, false));
    eventually("a position to be stored", async || {
        vagn.get("/api/v1/vehicles/bus").await.1.contains("[2.0,1.75]")
    })
    .await;
}

#[tokio::test]
async fn a_write_that_hangs_makes_the_service_unready_while_it_hangs() {
    check("write,writev,pwrite64,pwritev", "traffic/stores/storage-0").await;
}

#[tokio::test]
async fn a_sync_that_hangs_makes_the_service_unready_while_it_hangs() {
    check("fdatasync,fsync", "traffic/stores/sync-0").await;
}

/// Restarts of all processes.
fn restarts(node: &Value) -> u64 {
    let below = node["children"].as_array().map_or(0, |children| children.iter().map(restarts).sum());
    node["restarts"].as_u64().unwrap() + below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_was_frozen_restarts_no_part_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "hang_limit = \"2s\"\n");
    let vagn = Arc::new(Vagn::start(&dir.path().join("data"), &["--config", &config]));
    let stop = Arc::new(AtomicBool::new(false));
    let driving = spawn({
        let (vagn, stop) = (vagn.clone(), stop.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                vagn.send(&report("bus", 1.0, 2.0, false));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    for _ in 0..3 {
        vagn.signal("STOP");
        // The standstill itself: longer than the hang limit.
        tokio::time::sleep(Duration::from_secs(5)).await;
        vagn.signal("CONT");
        let seen = vagn.fates().await;
        eventually("the service to work again", async || vagn.fates().await > seen + 100).await;
        eventually("the service to be ready", async || readiness(&vagn).await.0 == 200).await;
    }
    stop.store(true, Ordering::Relaxed);
    driving.await.unwrap();
    assert_eq!(restarts(&vagn.actors().await), 0, "{}", vagn.log());
}

#[tokio::test]
async fn positions_for_a_full_disk_are_refused_for_want_of_space() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "free_floor_bytes = 4611686018427387904\n");
    let vagn = Vagn::launch(&dir.path().join("data"), &["--config", &config]);
    eventually("the disk to be said to be full", async || {
        readiness(&vagn).await.1.to_string().contains("free space")
    })
    .await;
    let (status, problem) = vagn.post("/api/v1/positions", r#"{"ID":"bus","Lat":1,"Lon":2}"#.into()).await;
    assert_eq!(
        (status, &problem["type"]),
        (507, &"urn:vagn:problem:insufficient-storage".into()),
        "{problem}"
    );
}
