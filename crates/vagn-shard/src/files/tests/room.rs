//! A disk without room, and one that fails.

use std::io::ErrorKind;

use vagn_cluster::{DiskCommand, LogOutcome};
use vagn_store::disk::faulty::{Fault, Loss};

use super::super::frame::HEADER;
use super::rig::{Rig, SHARD, content, records, settings, shown, synced};
use crate::files::FilesSettings;

/// Writes and syncs as a node does that has not heard of a failure yet.
fn write_on(rig: &mut Rig) -> Vec<String> {
    rig.write(21..=24);
    rig.tell(DiskCommand::SyncLog(SHARD));
    rig.write(25..=26);
    shown(rig.run())
}

/// The node has heard of it: there is room again.
fn goes_on(mut rig: Rig, from: u64) {
    rig.write(from..=30);
    assert_eq!(rig.sync(), [synced(30)]);
    assert_eq!(rig.read(0, 1_000), records(1..=30));
    let mut rig = rig.restart(Loss::Unsynced);
    assert_eq!(rig.start().only(), (content(0), (1..=30).collect()));
}

#[test]
fn a_full_disk_leaves_no_part_of_a_record_and_heals() {
    let mut rig = Rig::with_long_segments();
    rig.fill(0, 20);
    for room in [0, 1, 50, 100] {
        rig.disk.set_capacity(used(&rig) + room);
        assert_eq!(write_on(&mut rig), ["failed 21 Full"], "{room} bytes of room");
        rig.write(27..=27);
        assert!(rig.sync().is_empty(), "a failure has answered it");
        rig.write(21..=26);
        assert_eq!(shown(rig.run()), ["failed 21 Full"], "it is tried again");
    }
    rig.disk.set_capacity(u64::MAX);
    goes_on(rig, 21);
}

#[test]
fn a_write_that_stopped_in_the_middle_is_cut_off() {
    for bytes in [1, 40, 70, 200] {
        let mut rig = Rig::with_long_segments();
        rig.fill(0, 20);
        rig.disk.fail_at(rig.disk.operations(), Fault::Short { bytes, errno: libc::ENOSPC });
        rig.write(21..=25);
        assert_eq!(shown(rig.run()), ["failed 21 Full"]);
        goes_on(rig, 21);
    }
}

#[test]
fn what_found_room_before_the_disk_was_full_stays() {
    let mut rig = Rig::new();
    rig.fill(0, 20);
    // Segments are short: the first takes some, and the next finds no room.
    rig.disk.set_capacity(used(&rig) + 450);
    rig.write(21..=30);
    let told = shown(rig.run());
    let [failed] = &told[..] else { panic!("{told:?}") };
    let from = failed.strip_prefix("failed ").unwrap().strip_suffix(" Full").unwrap().parse().unwrap();
    assert!((22..30).contains(&from), "{failed}");
    rig.disk.set_capacity(u64::MAX);
    goes_on(rig, from);
}

#[test]
fn room_that_is_to_stay_free_is_left() {
    let mut rig = Rig::new();
    rig.fill(0, 20);
    let (disk, free) = (rig.disk.restart(Loss::Nothing), 10_000);
    disk.set_capacity(used(&rig) + free);
    let floor = |free_floor_bytes| FilesSettings { free_floor_bytes, ..settings() };
    let mut rig = Rig::open(disk, floor(free)).unwrap();
    rig.start();
    assert_eq!(write_on(&mut rig), ["failed 21 Full"]);
    let save = DiskCommand::SaveSnapshot { shard: SHARD, sequence: 20, bytes: content(20).into() };
    rig.tell(save);
    assert_eq!(shown(rig.run()), ["saved 20 Err(Full)"]);
    let mut rig = Rig::open(rig.disk.restart(Loss::Nothing), floor(free / 2)).unwrap();
    assert_eq!(rig.start().only(), (content(0), (1..=20).collect()));
    goes_on(rig, 21);
}

#[test]
fn the_room_is_looked_at_before_each_write() {
    let floor = 10_000;
    let disk = Rig::with_long_segments().disk.restart(Loss::Nothing);
    let settings = FilesSettings { free_floor_bytes: floor, segment_bytes: 1 << 20, ..settings() };
    let mut rig = Rig::open(disk, settings).unwrap();
    rig.start();
    rig.fill(0, 20);
    // The segment is there already.
    rig.disk.set_capacity(used(&rig) + floor + 10);
    rig.write(21..=21);
    assert_eq!(shown(rig.run()), ["failed 21 Full"]);
    rig.disk.set_capacity(used(&rig) + floor + 100);
    rig.write(21..=21);
    assert_eq!(rig.sync(), [synced(21)]);
}

#[test]
fn a_sync_that_finds_no_room_takes_back_what_it_should_have_covered() {
    let mut rig = Rig::with_long_segments();
    rig.fill(0, 20);
    rig.write(21..=22);
    rig.run();
    rig.disk.fail_next("sync", ErrorKind::StorageFull);
    assert_eq!(rig.sync(), ["failed 21 Full"]);
    goes_on(rig, 21);
}

#[test]
fn after_another_fault_the_log_takes_nothing_until_the_next_start() {
    for (name, fault) in [("sync", "failed 21 Broken"), ("append", "failed 21 Broken")] {
        let mut rig = Rig::with_long_segments();
        rig.fill(0, 20);
        rig.disk.fail_next(name, ErrorKind::Other);
        rig.write(21..=22);
        assert_eq!(rig.sync(), [fault], "{name}");
        rig.write(21..=22);
        assert!(rig.sync().is_empty(), "{name}");
        let mut rig = rig.restart(Loss::Nothing);
        assert_eq!(rig.start().only().1, (1..=20).collect::<Vec<_>>(), "{name}");
        goes_on(rig, 21);
    }
}

#[test]
fn a_log_that_was_begun_and_got_no_record_is_read_as_empty() {
    let mut rig = Rig::with_long_segments();
    rig.install(20);
    // The header finds room, and the record does not.
    rig.disk.set_capacity(used(&rig) + HEADER as u64 + 10);
    rig.write(21..=21);
    assert_eq!(shown(rig.run()), ["failed 21 Full"]);
    assert_eq!(rig.read_some(0, 1_000), LogOutcome::End);
    rig.disk.set_capacity(u64::MAX);
    rig.write(21..=30);
    assert_eq!(rig.sync(), [synced(30)]);
    assert_eq!(rig.read(0, 1_000), records(21..=30));
}

#[test]
fn a_part_of_a_record_that_cannot_be_cut_off_is_cut_at_the_next_start() {
    let mut rig = Rig::with_long_segments();
    rig.fill(0, 20);
    rig.disk.fail_at(rig.disk.operations(), Fault::Torn(150));
    rig.disk.fail_next("truncate", ErrorKind::StorageFull);
    rig.write(21..=26);
    assert_eq!(shown(rig.run()), ["failed 21 Broken"]);
    let mut rig = rig.restart(Loss::Nothing);
    let (_, told) = rig.start().only();
    assert!(told.len() >= 20 && told.len() < 26, "{told:?}");
    assert!(rig.names("").iter().all(|name| !name.starts_with("damaged")));
    goes_on(rig, told.len() as u64 + 1);
}

#[test]
fn a_snapshot_without_room_leaves_what_was_there() {
    for name in ["create", "append", "sync", "rename"] {
        let mut rig = Rig::new();
        rig.fill(0, 20);
        rig.disk.fail_next(name, ErrorKind::StorageFull);
        rig.tell(DiskCommand::InstallSnapshot { shard: SHARD, sequence: 90, bytes: content(90).into() });
        assert_eq!(shown(rig.run()), ["saved 90 Err(Full)"], "{name}");
        assert_eq!(rig.read(0, 1), records(1..=20), "{name}");
        let mut rig = rig.restart(Loss::Nothing);
        assert_eq!(rig.start().only(), (content(0), (1..=20).collect()), "{name}");
    }
}

#[test]
fn a_note_that_could_not_be_written_is_tried_again() {
    let mut rig = Rig::new();
    rig.fill(0, 1);
    rig.disk.fail_next("rename", ErrorKind::StorageFull);
    rig.tell(DiskCommand::WriteNote(b"one".to_vec()));
    rig.run();
    rig.write(2..=2);
    rig.run();
    assert_eq!(rig.restart(Loss::Unsynced).start().note.as_deref(), Some(&b"one"[..]));
}

fn used(rig: &Rig) -> u64 {
    use vagn_store::disk::Disk;
    rig.disk.set_capacity(u64::MAX);
    u64::MAX - rig.disk.free_space(std::path::Path::new("")).unwrap()
}
