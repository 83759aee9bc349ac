//! A damaged partition: the others work on, and `vagn repair` brings it back.

use std::fs;
use std::path::{Path, PathBuf};

use crate::vagn::{Vagn, command, eventually, report, settings};

fn log_of(data: &Path, partition: u32) -> PathBuf {
    let logs = fs::read_dir(data.join(format!("fleet-1/{partition}"))).unwrap();
    let mut logs: Vec<_> = logs.map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    logs.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_partition_stops_no_other_and_repair_brings_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (settings(dir.path(), "partitions = 2\n"), dir.path().join("data"));
    let vagn = Vagn::start(&data, &["--config", &config]);
    for number in 0..400 {
        vagn.send(&report(&format!("bus {number}"), 1.0, f64::from(number) / 10.0, false));
    }
    vagn.wait_settled(400).await;
    vagn.stop();
    let log = log_of(&data, 1);
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&log, bytes).unwrap();

    let vagn = Vagn::launch(&data, &["--config", &config]);
    eventually("the damage to be named", async || vagn.ops("/readyz").await.1.contains(".log")).await;
    assert_eq!(vagn.ops("/readyz").await.0, 503);
    assert_eq!(vagn.get("/?lat=1&lon=1").await.0, 503, "a part is never shown as if it were all");
    for number in 0..400 {
        vagn.send(&report(&format!("bus {number}"), 2.0, f64::from(number) / 10.0, false));
    }
    vagn.wait_settled(400).await;
    let (stored, failed) = (vagn.fate("stored").await, vagn.fate("failed").await);
    assert!(stored > 100 && failed > 100 && stored + failed == 400, "{stored} stored, {failed} failed");
    vagn.stop();

    let repaired = command().arg("repair").arg("--data-dir").arg(&data).output().unwrap();
    assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stderr));
    let vagn = Vagn::start(&data, &["--config", &config]);
    assert!(vagn.metric("vagn_vehicles").await >= 399.0);
}

#[tokio::test]
async fn a_copy_of_the_log_in_the_data_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    Vagn::start(dir.path(), &[]).stop();
    let copy = dir.path().join("fleet-1.bak");
    fs::create_dir(&copy).unwrap();
    Vagn::start(dir.path(), &[]).stop();
    assert!(copy.exists());
}
