//! The bytes that are shown are those on the disk.

use std::path::Path;

use vagn_cluster::DiskCommand;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::Loss;

use super::rig::{DIR, Rig, SHARD, content};
use crate::files::ShardSizes;

/// Checks what is shown of the only shard against the disk.
fn check(rig: &Rig, snapshot_bytes: usize) -> u64 {
    let logs = rig.names("shard-3").into_iter().filter(|name| name.ends_with(".log"));
    let len =
        |name: String| rig.disk.open(&Path::new(DIR).join("shard-3").join(name)).unwrap().size().unwrap();
    let log_bytes: u64 = logs.map(len).sum();
    let expected =
        ShardSizes { shard: SHARD, log_bytes: Some(log_bytes), snapshot_bytes: snapshot_bytes as u64 };
    assert_eq!(rig.files.view().sizes().unwrap(), [expected]);
    log_bytes
}

#[test]
fn the_bytes_of_a_shard_are_those_of_its_log_and_snapshot_over_restarts() {
    let mut rig = Rig::new();
    assert_eq!(rig.files.view().sizes().unwrap(), []);
    rig.fill(10, 40);
    let full = check(&rig, content(10).len());
    rig.tell(DiskCommand::SaveSnapshot { shard: SHARD, sequence: 30, bytes: [7; 500].into() });
    rig.tell(DiskCommand::TrimLog { shard: SHARD, through: 30 });
    rig.run();
    let trimmed = check(&rig, 500);
    assert!(0 < trimmed && trimmed < full, "{trimmed} of {full}");

    let mut rig = rig.restart(Loss::Unsynced);
    rig.start();
    assert_eq!(check(&rig, 500), trimmed);
    rig.install(50);
    assert_eq!(check(&rig, content(50).len()), 0);
    let view = rig.files.view();
    rig.tell(DiskCommand::DropShard(SHARD));
    rig.run();
    assert_eq!(view.sizes().unwrap(), []);
    drop(rig);
    assert_eq!(view.sizes(), None);
}
