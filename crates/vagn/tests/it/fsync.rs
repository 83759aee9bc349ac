//! When the position log is forced to disk, seen from the system calls.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::vagn::{Vagn, eventually};

/// Follows a running service's syncs.
struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    /// Attaches to every thread of the service, and waits until it has.
    async fn of(vagn: &Vagn, dir: &Path) -> Self {
        let output = dir.join("strace");
        let child = Command::new("strace")
            .args(["-f", "-qq", "-y", "-e", "trace=fdatasync,fsync", "-o"])
            .arg(&output)
            .args(["-p", &vagn.pid().to_string()])
            .stderr(Stdio::inherit())
            .spawn()
            .expect("strace is there: `make test` sees to it");
        let status = format!("/proc/{}/status", vagn.pid());
        eventually("strace to be attached", async || {
            !std::fs::read_to_string(&status).unwrap().contains("TracerPid:\t0\n")
        })
        .await;
        Self { child, output }
    }

    /// Syncs of the position log that have been seen so far.
    fn log_syncs(&self) -> usize {
        let seen = std::fs::read_to_string(&self.output).unwrap_or_default();
        seen.lines().filter(|line| line.contains(".log>")).count()
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It may have ended with the service.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start(dir: &Path, fsync: &str) -> Vagn {
    let config = dir.join("vagn.toml");
    std::fs::write(&config, format!("fsync = \"{fsync}\"\n")).unwrap();
    Vagn::start(&dir.join("data"), &["--config", config.to_str().unwrap()])
}

async fn post(vagn: &Vagn, number: usize) {
    let report = json!([{"ID": format!("bus {number}"), "Lat": 1.0, "Lon": 2.0}]);
    let (status, answer) = vagn.post("/api/v1/positions", report.to_string()).await;
    assert_eq!((status, &answer["reports"][0]["fate"]), (200, &json!("stored")));
}

#[tokio::test]
async fn always_means_before_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = start(dir.path(), "always");
    let strace = Strace::of(&vagn, dir.path()).await;
    eventually("strace to follow the thread that syncs", async || {
        post(&vagn, 0).await;
        strace.log_syncs() > 0
    })
    .await;
    for number in 1..=10 {
        let before = strace.log_syncs();
        post(&vagn, number).await;
        eventually("the sync to be seen", async || strace.log_syncs() > before).await;
    }
}

#[tokio::test]
async fn once_a_second_syncs_without_anybody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = start(dir.path(), "1s");
    let strace = Strace::of(&vagn, dir.path()).await;
    for number in 0..3 {
        let before = strace.log_syncs();
        post(&vagn, number).await;
        eventually("the sync to be seen", async || strace.log_syncs() > before).await;
    }
}

#[tokio::test]
async fn never_leaves_it_to_the_operating_system() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = start(dir.path(), "never");
    let strace = Strace::of(&vagn, dir.path()).await;
    for number in 0..50 {
        post(&vagn, number).await;
    }
    assert_eq!(strace.log_syncs(), 0);
    // An orderly stop does sync; that it is seen shows that one before would have been.
    let (status, log) = vagn.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    eventually("the sync of the stop to be seen", async || strace.log_syncs() > 0).await;
}

#[tokio::test]
async fn always_also_holds_for_those_who_hear_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = start(dir.path(), "always");
    for number in 0..3 {
        let before = vagn.metric("vagn_log_fsync_seconds_count").await;
        vagn.send(&crate::vagn::report(&format!("bus {number}"), 1.0, 2.0, false));
        eventually("a sync", async || {
            vagn.fate("stored").await > number && vagn.metric("vagn_log_fsync_seconds_count").await > before
        })
        .await;
    }
}
