//! `vagn doctor` over real brokers: each fault that it names is there.

use std::path::Path;

use tempfile::TempDir;

use super::nodes::{Cluster, SHARDS};
use crate::brokers::Brokers;
use crate::vagn::{command, eventually, settings};

/// What `vagn doctor` says of brokers, line by line with the remedies, and its exit code.
pub(super) fn doctor(
    brokers: &str,
    monitors: &[String],
    config: &str,
    dir: &Path,
) -> (Option<i32>, Vec<String>) {
    let mut doctor = command();
    doctor.args([
        "doctor",
        "--ops",
        "127.0.0.1:1",
        "--udp",
        "127.0.0.1:0",
        "--tcp",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ]);
    doctor.args(["--nats", brokers, "--config", &settings(dir, config), "--data-dir"]).arg(dir);
    if !monitors.is_empty() {
        doctor.args(["--nats-monitor", &monitors.join(",")]);
    }
    let said = doctor.output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap() + &String::from_utf8(said.stderr).unwrap();
    // A remedy is a line of its own, below its finding.
    let findings = text.replace("\n      ", " -> ");
    let about =
        |line: &&str| ["broker", "monitor", "data set"].iter().any(|word| line[5..].trim().starts_with(word));
    let lines = findings.lines().filter(|line| line.len() > 6).filter(about).map(str::to_owned).collect();
    (said.status.code(), lines)
}

/// Fails unless some line begins and goes on with these words, in this order.
pub(super) fn check(lines: &[String], words: &[&str]) {
    let has = |line: &String| {
        let mut rest = line.as_str();
        words.iter().all(|word| rest.find(word).map(|at| rest = &rest[at + word.len()..]).is_some())
    };
    assert!(lines.iter().any(has), "no {words:?} in {lines:#?}");
}

fn shards() -> String {
    format!("[cluster]\nshards = {SHARDS}\n")
}

#[test]
fn what_is_set_up_wrong_is_found_and_what_cannot_be_seen_is_not_checked() {
    let dir = TempDir::new().unwrap();
    let brokers = Brokers::start_with(&["--sync", "2m", "--room", "64M"]);
    let list = brokers.list();
    let (code, lines) = doctor(&list, brokers.monitors(), &shards(), dir.path());
    assert_eq!(code, Some(1), "{lines:#?}");
    check(&lines, &["warn", "n1, NATS 2.", "in clear", "-> fit for trying things"]);
    check(&lines, &["ok", "3 in the cluster: n1, n2, n3"]);
    check(&lines, &["fail", "synced later at n1 (2m), n2 (2m), n3 (2m)", "-> ", "sync_interval: always"]);
    check(&lines, &["warn", "no TLS for nodes at n1, n2, n3"]);
    check(&lines, &["warn", "no TLS for routes between brokers at n1, n2, n3"]);
    check(&lines, &["fail", "room at n2", "each of 6 shards 7 MiB", "-> a stream needs 16 MiB"]);
    check(&lines, &["ok", "n1, n2, n3 are well and have a leader"]);
    check(&lines, &["ok", "clocks of n1, n2, n3 agree"]);
    check(&lines, &["ok", "data set fleet: no streams as yet"]);

    // Without monitors nothing is said of what only they tell; nothing that is seen fails.
    let (code, lines) = doctor(&list, &[], &shards(), dir.path());
    assert_eq!(code, Some(0), "{lines:#?}");
    check(
        &lines,
        &["warn", "not checked: sync_interval, TLS, room and clock of n1, n2, n3", "--nats-monitor"],
    );
    assert!(!lines.iter().any(|line| line.contains("synced later")), "{lines:#?}");

    // One that is no monitor, and one that does not answer.
    let others = [list.split(',').next().unwrap().replace("nats", "http"), "http://127.0.0.1:9".to_owned()];
    let (_, lines) = doctor(&list, &others, &shards(), dir.path());
    check(&lines, &["warn", "monitor http://127.0.0.1:9", "-> check that the broker runs"]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("warn  monitor")).count(), 2, "{lines:#?}");

    let alone = command().args(["doctor", "--nats-monitor", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(64), "{alone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_and_other_settings_are_found() {
    let mut cluster = Cluster::start();
    cluster.wait_whole().await;
    let dir = TempDir::new().unwrap();
    let (list, monitors) = (cluster.brokers.list(), cluster.brokers.monitors().to_vec());
    let ask = |config: &str| doctor(&list, &monitors, config, dir.path());
    // A broker may be telling still that a follower has just begun.
    // Those of the shards, of calls for help, and two buckets.
    let all = "data set fleet: 9 streams, each at three brokers";
    eventually("all streams well", async || {
        let (code, lines) = ask(&shards());
        code == Some(0) && lines.iter().any(|line| line.contains(all))
    })
    .await;
    let (_, lines) = ask(&shards());
    check(&lines, &["ok", all]);
    check(&lines, &["ok", "room at n1", "reserved"]);
    let (code, lines) = ask("[cluster]\nshards = 8\n");
    assert_eq!(code, Some(1));
    check(&lines, &["fail", "6 shards have streams, and `cluster.shards` is 8", "-> name the settings file"]);

    cluster.brokers.order("kill 1");
    // Brokers take some seconds to miss it, and to elect others to lead.
    eventually("the broker missed by all", async || {
        let (code, lines) = ask(&shards());
        let says = |words: &str| lines.iter().any(|line| line.starts_with("fail") && line.contains(words));
        code == Some(1)
            && says("not reached")
            && says(": does not hear n1")
            && says("streams with a broker that is away")
            && !says("does not answer")
    })
    .await;
    let (_, lines) = ask(&shards());
    check(&lines, &["warn", "not checked: sync_interval, TLS, room and clock of n1"]);
    check(&lines, &["ok", "sync_interval: always at n2, n3"]);

    // A new machine takes its place, with the same name and address, and copies what it lacks.
    for order in ["wipe 1", "start 1", "healthy"] {
        cluster.brokers.order(order);
    }
    eventually("all streams well again", async || ask(&shards()).0 == Some(0)).await;
    cluster.wait_whole().await;

    // A probe lets the next node be restarted only while each shard is at two.
    let dir = cluster.dir(0);
    let probe = || {
        let mut status = command();
        status.args(["cluster", "status", "--whole", "--data-dir"]).arg(&dir);
        status.status().unwrap().code()
    };
    assert_eq!(probe(), Some(0));
    cluster.kill(2);
    // Until it is known, and from then on until others have copied its shards, some 15 s later.
    eventually("a shard at one node alone", async || probe() == Some(1)).await;
    eventually("copies of all shards again", async || probe() == Some(0)).await;
}
