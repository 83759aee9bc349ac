//! The setting `fsync`, checked by the system calls of the service.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::vagn::{Vagn, eventually};

/// Follows the syncs of a running service.
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
            .expect("`make test` installs strace");
        let status = format!("/proc/{}/status", vagn.pid());
        eventually("strace to be attached", async || {
            !std::fs::read_to_string(&status).unwrap().contains("TracerPid:\t0\n")
        })
        .await;
        Self { child, output }
    }

    /// Number of syncs of the position log so far.
    fn log_syncs(&self) -> usize {
        let seen = std::fs::read_to_string(&self.output).unwrap_or_default();
        seen.lines().filter(|line| line.contains(".log>")).count()
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Both fail when it has ended together with the service.
        self.child.kill().ok();
        self.child.wait().ok();
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
async fn always_syncs_before_every_answer() {
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
async fn once_a_second_syncs_although_no_sender_waits_for_it() {
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
async fn never_leaves_the_sync_to_the_operating_system() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = start(dir.path(), "never");
    let strace = Strace::of(&vagn, dir.path()).await;
    for number in 0..50 {
        post(&vagn, number).await;
    }
    assert_eq!(strace.log_syncs(), 0);
    // An orderly stop syncs. That strace sees this sync shows that it would have seen an earlier one.
    let (status, log) = vagn.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    eventually("the sync of the stop to be seen", async || strace.log_syncs() > 0).await;
}

#[tokio::test]
async fn always_also_syncs_for_senders_that_get_no_answer() {
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
