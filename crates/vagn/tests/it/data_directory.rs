//! The data directory and its manifests: what must be there is missed, and what is there is never taken for what it is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, Key, Settings, Sighting, Updates};

use crate::vagn::{Vagn, command, eventually, report, settings};

const VEHICLES: u64 = 60;

/// A stopped service of two partitions in `dir`; returns its settings file and data directory.
async fn stopped(dir: &Path) -> (String, PathBuf) {
    let (config, data) = (settings(dir, "partitions = 2\n"), dir.join("data"));
    let vagn = Vagn::start(&data, &["--config", &config]);
    for number in 0..VEHICLES {
        vagn.send(&report(&format!("bus {number}"), 1.0, number as f64 / 10.0, false));
    }
    vagn.wait_settled(VEHICLES).await;
    vagn.stop();
    (config, data)
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    logs
}

fn repair(data: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        command().arg("repair").args(args).arg("--data-dir").arg(data).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_is_not_mounted_is_named_and_nothing_is_made_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = stopped(dir.path()).await;
    let (place, elsewhere) = (data.join("fleet-1/0"), dir.path().join("volume"));
    fs::rename(&place, &elsewhere).unwrap();
    let vagn = Vagn::launch(&data, &["--config", &config]);
    eventually("the partition to be missed", async || {
        let (status, body) = vagn.ops("/readyz").await;
        status == 503 && body.contains("fleet-1/0") && body.contains("vagn repair")
    })
    .await;
    assert_eq!(vagn.get("/?lat=1&lon=1").await.0, 503, "a part is never shown as if it were all");
    vagn.stop();
    assert!(!place.exists());
    fs::rename(&elsewhere, &place).unwrap();
    let vagn = Vagn::start(&data, &["--config", &config]);
    assert_eq!(vagn.metric("vagn_vehicles").await as u64, VEHICLES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_manifest_stops_the_start_and_costs_no_vehicle() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = stopped(dir.path()).await;
    let old = fs::read(data.join("manifest")).unwrap();
    settings(dir.path(), "partitions = 3\n");
    Vagn::start(&data, &["--config", &config]).stop();
    fs::write(data.join("manifest"), old).unwrap();
    let (log, code) = Vagn::attempt(&data, &["--config", &config]).err().expect("it is refused");
    assert!(code == Some(64) && log.contains("fleet-2") && log.contains("vagn repair"), "{code:?} {log}");
    assert!(data.join("fleet-2/2").exists());
    repair(&data, &[]);
    let vagn = Vagn::start(&data, &["--config", &config]);
    assert_eq!(vagn.metric("vagn_vehicles").await as u64, VEHICLES);
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of a part of the data directory is put back while the rest has gone on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_or_a_set_of_an_earlier_time_is_named_and_only_a_repair_goes_on_with_it() {
    for part in ["fleet-1/0", "fleet-1"] {
        let dir = tempfile::tempdir().unwrap();
        let (config, data) = stopped(dir.path()).await;
        let (place, early, late) = (data.join(part), dir.path().join("early"), dir.path().join("late"));
        copy_dir(&place, &early);
        let vagn = Vagn::start(&data, &["--config", &config]);
        for number in VEHICLES..2 * VEHICLES {
            vagn.send(&report(&format!("bus {number}"), 1.0, number as f64 / 10.0, false));
        }
        vagn.wait_settled(VEHICLES).await;
        vagn.stop();
        fs::rename(&place, &late).unwrap();
        copy_dir(&early, &place);

        let vagn = Vagn::launch(&data, &["--config", &config]);
        eventually("the earlier time to be named", async || {
            let (status, body) = vagn.ops("/readyz").await;
            status == 503
                && body.contains("fleet-1/0 is from an earlier time")
                && body.contains("vagn repair")
        })
        .await;
        vagn.stop();
        let broken = dir.path().join("broken");
        fs::rename(&place, &broken).unwrap();
        copy_dir(&late, &place);
        let vagn = Vagn::start(&data, &["--config", &config]);
        assert_eq!(vagn.metric("vagn_vehicles").await as u64, 2 * VEHICLES, "the right copy is whole");
        vagn.stop();

        fs::remove_dir_all(&place).unwrap();
        copy_dir(&early, &place);
        let told = repair(&data, &[]);
        assert!(told.contains("from an earlier time; taken as it is"), "{told}");
        let vagn = Vagn::start(&data, &["--config", &config]);
        let left = vagn.metric("vagn_vehicles").await as u64;
        assert!((VEHICLES..2 * VEHICLES).contains(&left), "{left}");
        vagn.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_under_each_others_names_are_named_and_a_repair_says_first_what_it_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = stopped(dir.path()).await;
    let vagn = Vagn::start(&data, &["--config", &config]);
    for number in 0..VEHICLES {
        vagn.send(&report(&format!("bus {number}"), 2.0, number as f64 / 10.0, false));
    }
    vagn.wait_settled(VEHICLES).await;
    vagn.stop();
    let logs = logs(&data.join("fleet-1/1"));
    let [first, second] = &logs[..] else { panic!("{logs:?}") };
    let aside = dir.path().join("aside");
    fs::rename(first, &aside).unwrap();
    fs::rename(second, first).unwrap();
    fs::rename(&aside, second).unwrap();
    let (one, other) = (fs::read(first).unwrap(), fs::read(second).unwrap());

    let vagn = Vagn::launch(&data, &["--config", &config]);
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    eventually("both to be named", async || {
        let body = vagn.ops("/readyz").await.1;
        body.contains(&name(first)) && body.contains(&name(second))
    })
    .await;
    vagn.stop();
    let plan = repair(&data, &["--dry-run"]);
    assert!(plan.lines().all(|line| line.starts_with("plan: ")) && plan.contains(&name(first)), "{plan}");
    assert!(fs::read(first).unwrap() == one && fs::read(second).unwrap() == other);
    let done = repair(&data, &[]);
    assert!(done.starts_with(&plan), "{done}");
    let vagn = Vagn::start(&data, &["--config", &config]);
    assert_eq!(vagn.metric("vagn_vehicles").await as u64, VEHICLES);
    let bus = vagn.json("/api/v1/vehicles/bus%207").await;
    assert_eq!(bus["geometry"]["coordinates"][1], 2.0, "{bus}");
}

/// A log of so many writers, each of which died before it had synced or written a snapshot.
fn many_starts(data: &Path, starts: u64) {
    let dir = DataDir::open(Arc::new(RealDisk), data, Some(1), 1).unwrap();
    for start in 0..starts {
        let settings = Settings { free_floor_bytes: 0, ..Settings::default() };
        let (mut partition, _) = dir.open_partition(0, settings, 0, &|_| {}).unwrap();
        let mut updates = Updates::new();
        let id = format!("bus {start}");
        let key = Key::Text(&id);
        updates.push(key, key.hash(), sighting(start));
        partition.write(&updates, &mut Vec::new()).unwrap();
    }
}

fn sighting(n: u64) -> Sighting {
    Sighting {
        position: vagn_wire::Position::new(1.0, n as f64 / 10.0).unwrap(),
        event_time_ms: n as i64,
        receive_time_ms: n as i64,
        receive_seq: n,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: false,
        unsure: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_starts_without_a_snapshot_need_no_more_descriptors_than_one() {
    let dir = tempfile::tempdir().unwrap();
    many_starts(dir.path(), 300);
    assert_eq!(logs(&dir.path().join("fleet-1/0")).len(), 300);
    let vagn = Vagn::start_limited(dir.path(), 160);
    assert_eq!(vagn.metric("vagn_vehicles").await as u64, 300);
    vagn.send(&report("late", 1.0, 1.0, false));
    vagn.wait_settled(1).await;
    assert_eq!(vagn.fate("stored").await, 1);
    let snapshots = || {
        let names = fs::read_dir(dir.path().join("fleet-1/0")).unwrap();
        names
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "snap"))
            .count()
    };
    eventually("a snapshot, so that the next start finds few", async || snapshots() > 0).await;
    let (status, log) = vagn.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn removing_the_lock_file_lets_no_second_service_in() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    fs::remove_file(dir.path().join("lock")).unwrap();
    let (log, code) = Vagn::attempt(dir.path(), &[]).err().expect("it is refused");
    assert!(code == Some(69) && log.contains("in use"), "{code:?} {log}");
    let repair = command().arg("repair").arg("--data-dir").arg(dir.path()).status().unwrap();
    assert_eq!(repair.code(), Some(69));
    drop(vagn);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_store_that_is_gone_with_its_journal_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    eventually("the store to be named", async || {
        fs::read_to_string(dir.path().join("manifest")).unwrap().contains("part incidents.redb")
    })
    .await;
    vagn.stop();
    let gone: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in gone.iter().filter(|path| path.to_string_lossy().contains("incidents")) {
        fs::remove_file(path).unwrap();
    }
    let vagn = Vagn::launch(dir.path(), &[]);
    eventually("the store to be missed", async || {
        let body = vagn.ops("/readyz").await.1;
        body.contains("incidents.redb is missing") && body.contains("vagn repair")
    })
    .await;
    assert!(!dir.path().join("incidents.redb").exists());
    vagn.stop();
    repair(dir.path(), &[]);
    Vagn::start(dir.path(), &[]).stop();
    assert!(dir.path().join("incidents.redb").exists());
}

/// What a stop was asked for is on the disk: the end of the log is in the manifest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_zeroed_after_a_stop_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = stopped(dir.path()).await;
    let log = logs(&data.join("fleet-1/0")).pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let end = bytes.len();
    bytes[end - 800..].fill(0);
    fs::write(&log, bytes).unwrap();
    let vagn = Vagn::launch(&data, &["--config", &config]);
    let name = log.file_name().unwrap().to_str().unwrap().to_owned();
    eventually("the damage to be named", async || vagn.ops("/readyz").await.1.contains(&name)).await;
    vagn.stop();
}
