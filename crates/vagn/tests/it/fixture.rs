//! Data directories of each format, as their versions left them: this version must open them, and find what is in them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::vagn::{Vagn, command, settings};

/// Vehicles in each of them.
const VEHICLES: usize = 20;

/// Most bytes that one of them may have.
const BYTES_MAX: u64 = 200_000;

#[tokio::test]
async fn the_data_directory_of_every_version_so_far_is_opened() {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut formats = 0;
    for entry in std::fs::read_dir(packed).unwrap() {
        let archive = entry.unwrap().path();
        assert!(std::fs::metadata(&archive).unwrap().len() < BYTES_MAX, "{}", archive.display());
        let dir = tempfile::tempdir().unwrap();
        let unpacked = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(dir.path()).status();
        assert!(unpacked.unwrap().success(), "{}", archive.display());
        check(dir.path()).await;
        formats += 1;
    }
    assert!(formats >= 1);
}

async fn check(dir: &Path) {
    let data = dir.join("data");
    // It becomes older from year to year.
    let file = settings(dir, "forget_after = \"36500days\"\n[history]\nkeep = \"36500days\"\n");
    let verified = command().args(["audit", "verify", "--data-dir"]).arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let vagn = Vagn::start(&data, &["--config", &file]);
    for number in 0..VEHICLES {
        let id = format!("bus-{number}");
        assert_eq!(vagn.json(&format!("/api/v1/vehicles/{id}")).await["id"], id.as_str());
    }
    let listed = vagn.json("/api/v1/incidents").await;
    let calling: BTreeSet<_> =
        listed["incidents"].as_array().unwrap().iter().filter_map(|one| one["vehicle_id"].as_str()).collect();
    assert_eq!(calling, ["bus-7"].into(), "{listed}");
    let devices = vagn.control(&serde_json::json!({"device_list": {}}));
    assert_eq!(devices[0]["item"]["vehicle_id"], "van-1", "{devices:?}");
}
