//! What the files promise the node while it runs.

use vagn_cluster::{DiskCommand, DiskPart, Event, LogOutcome, ReadId};
use vagn_store::disk::faulty::Loss;

use super::rig::{Rig, SHARD, content, record, records, shown, synced};
use crate::files::FileWorker;

#[test]
fn what_was_synced_is_told_again_after_a_loss_of_power() {
    let mut rig = Rig::with_long_segments();
    rig.fill(10, 40);
    rig.write(41..=45);
    rig.tell(DiskCommand::WriteNote(b"owners".to_vec()));
    rig.run();
    let mut rig = rig.restart(Loss::Unsynced);
    let start = rig.start();
    assert_eq!(start.only(), (content(10), (11..=40).collect()));
    assert_eq!(start.note.as_deref(), Some(&b"owners"[..]));
    // And it goes on from there.
    rig.write(41..=50);
    assert_eq!(rig.sync(), [synced(50)]);
    assert_eq!(rig.restart(Loss::Unsynced).start().only().1, (11..=50).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_takes_the_place_of_the_one_before_and_records_in_it_are_left_out() {
    let mut rig = Rig::new();
    rig.fill(0, 30);
    rig.tell(DiskCommand::SaveSnapshot { shard: SHARD, sequence: 20, bytes: content(20).into() });
    assert_eq!(shown(rig.run()), ["saved 20 Ok(())"]);
    let mut rig = rig.restart(Loss::Unsynced);
    assert_eq!(rig.start().only(), (content(20), (21..=30).collect()));
    // The log still has them, for a repair.
    assert_eq!(rig.read(0, 1), records(1..=30));
}

#[test]
fn an_installed_snapshot_begins_another_log_and_silences_what_was_under_way() {
    let mut rig = Rig::new();
    rig.fill(0, 20);
    rig.write(21..=22);
    rig.tell(DiskCommand::SyncLog(SHARD));
    rig.tell(DiskCommand::ReadLog { read: ReadId(1), shard: SHARD, from: 1, max_bytes: 1 });
    // All of it is done, and the node has not looked yet.
    while FileWorker::all().any(|worker| rig.step(worker)) {}
    rig.tell(DiskCommand::InstallSnapshot { shard: SHARD, sequence: 7, bytes: content(7).into() });
    assert_eq!(shown(rig.run()), ["saved 7 Ok(())"]);
    assert!(rig.read(0, 1).is_empty());
    rig.write(8..=9);
    assert_eq!(rig.sync(), [synced(9)]);
    let mut rig = rig.restart(Loss::Unsynced);
    assert_eq!(rig.start().only(), (content(7), vec![8, 9]));
    let logs = rig.names("shard-3").into_iter().filter(|name| name.ends_with(".log"));
    assert!(logs.clone().all(|name| name.starts_with("2-")), "{:?}", logs.collect::<Vec<_>>());
}

#[test]
fn a_dropped_shard_is_gone_and_may_come_back() {
    let mut rig = Rig::new();
    rig.fill(0, 20);
    rig.tell(DiskCommand::SyncLog(SHARD));
    rig.tell(DiskCommand::DropShard(SHARD));
    assert!(rig.run().is_empty());
    let mut rig = rig.restart(Loss::Unsynced);
    assert!(rig.start().shards.is_empty());
    assert_eq!(rig.names(""), ["lock", "manifest"]);
    rig.fill(5, 6);
    rig.tell(DiskCommand::DropShard(SHARD));
    rig.tell(DiskCommand::InstallSnapshot { shard: SHARD, sequence: 9, bytes: content(9).into() });
    rig.write(10..=11);
    assert_eq!(shown(rig.run()), ["saved 9 Ok(())"]);
    assert_eq!(rig.sync(), [synced(11)]);
    assert_eq!(rig.restart(Loss::Unsynced).start().only(), (content(9), vec![10, 11]));
}

#[test]
fn a_sync_covers_what_was_written_when_it_began() {
    let mut rig = Rig::new();
    rig.install(0);
    rig.write(1..=2);
    rig.tell(DiskCommand::SyncLog(SHARD));
    let (logs, sync) = (FileWorker::all().next().unwrap(), FileWorker::all().last().unwrap());
    while rig.step(logs) {}
    // The sync waits for its thread; the log takes more meanwhile.
    rig.write(3..=4);
    while rig.step(logs) {}
    assert!(rig.step(sync));
    assert_eq!(shown(rig.run()), [synced(2)]);
    assert_eq!(rig.sync(), [synced(4)]);
    assert_eq!(rig.sync(), [synced(4)], "nothing is left to be done");
}

#[test]
fn a_full_segment_takes_no_more_while_a_sync_is_under_way() {
    let mut rig = Rig::new();
    rig.fill(0, 8);
    rig.write(9..=10);
    rig.tell(DiskCommand::SyncLog(SHARD));
    let (logs, sync) = (FileWorker::all().next().unwrap(), FileWorker::all().last().unwrap());
    while rig.step(logs) {}
    rig.write(11..=19);
    while rig.step(logs) {}
    let before = rig.disk.operations();
    (20..=29).for_each(|sequence| rig.write(sequence..=sequence));
    assert!(!rig.step(logs) && rig.disk.operations() == before);
    assert!(rig.step(sync));
    assert_eq!((rig.sync(), rig.read(0, 1)), (vec![synced(10), synced(29)], records(1..=29)));
}

#[test]
fn syncs_of_a_shard_come_one_after_the_other() {
    let mut rig = Rig::new();
    rig.install(0);
    // A whole segment: the next write begins another one.
    rig.write(1..=8);
    rig.tell(DiskCommand::SyncLog(SHARD));
    rig.tell(DiskCommand::SyncLog(SHARD));
    rig.write(9..=12);
    let (logs, sync) = (FileWorker::all().next().unwrap(), FileWorker::all().last().unwrap());
    // Were both under way, the end of the second would be taken for one of the segment that this write has begun.
    for _ in 0..2 {
        while rig.step(logs) {}
        rig.step(sync);
    }
    assert_eq!(shown(rig.run()), [synced(8), synced(8)]);
    assert_eq!(rig.sync(), [synced(12)]);
    assert_eq!(rig.restart(Loss::Unsynced).start().only().1, (1..=12).collect::<Vec<_>>());
}

#[test]
fn all_writes_that_wait_go_with_one_call() {
    let mut rig = Rig::new();
    rig.install(0);
    let before = rig.disk.operations();
    (1..=5).for_each(|sequence| rig.write(sequence..=sequence));
    rig.run();
    // A file, its header, its name, and the records.
    assert_eq!(rig.disk.operations() - before, 4);
}

#[test]
fn a_log_is_trimmed_by_whole_segments_and_read_from_what_is_left() {
    let mut rig = Rig::new();
    rig.fill(0, 40);
    let logs = |rig: &Rig| rig.names("shard-3").iter().filter(|name| name.ends_with(".log")).count();
    let before = logs(&rig);
    assert!(before > 5);
    rig.tell(DiskCommand::TrimLog { shard: SHARD, through: 20 });
    rig.run();
    let first = rig.read(0, 100)[0].sequence;
    assert!((2..=21).contains(&first) && logs(&rig) < before, "{first}");
    assert_eq!(rig.read(0, 100), records(first..=40));
    assert_eq!(
        rig.read_some(first - 1, 100),
        LogOutcome::Fault,
        "it was trimmed, and the log goes on behind it"
    );
    assert_eq!(rig.read_some(41, 100), LogOutcome::End);
    assert_eq!(rig.read(25, 1), records(25..=40));
    rig.tell(DiskCommand::SaveSnapshot { shard: SHARD, sequence: 40, bytes: content(40).into() });
    rig.tell(DiskCommand::TrimLog { shard: SHARD, through: 40 });
    rig.run();
    assert_eq!((logs(&rig), rig.read(0, 100)), (0, vec![]));
    rig.write(41..=42);
    assert_eq!(rig.sync(), [synced(42)]);
    assert_eq!(rig.restart(Loss::Unsynced).start().only(), (content(40), vec![41, 42]));
}

#[test]
fn a_reading_sees_what_was_written_before_it_and_nothing_that_came_later() {
    let mut rig = Rig::new();
    rig.fill(0, 3);
    rig.write(4..=20);
    rig.tell(DiskCommand::ReadLog { read: ReadId(2), shard: SHARD, from: 2, max_bytes: 1 << 20 });
    rig.tell(DiskCommand::TrimLog { shard: SHARD, through: 10 });
    rig.write(21..=22);
    let events = rig.run();
    let [Event::LogRead { read: ReadId(2), outcome, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*outcome, LogOutcome::Records(records(2..=20)));
}

#[test]
fn a_record_that_does_not_follow_breaks_the_log_and_is_not_written() {
    let mut rig = Rig::new();
    rig.fill(0, 3);
    rig.write(4..=4);
    rig.tell(DiskCommand::WriteLog { shard: SHARD, records: vec![record(6)] });
    assert_eq!(shown(rig.run()), ["failed 5 Broken"]);
    let mut rig = rig.restart(Loss::Nothing);
    assert_eq!(rig.start().only().1, [1, 2, 3, 4]);
}

#[test]
fn the_start_holds_no_more_than_the_node_takes() {
    let mut rig = Rig::new();
    rig.install(0);
    let large = |sequence| vagn_cluster::LogRecord { bytes: vec![7; 512 << 10].into(), ..record(sequence) };
    let all: Vec<_> = (1..=64).map(large).collect();
    rig.tell(DiskCommand::WriteLog { shard: SHARD, records: all.clone() });
    assert_eq!(rig.sync(), [synced(64)]);
    let mut rig = rig.restart(Loss::Unsynced);
    let read = |rig: &Rig| rig.files.view().read(|counts, _| counts.read_bytes()).unwrap();
    while FileWorker::all().any(|worker| rig.step(worker)) {}
    assert!((8 << 20..10 << 20).contains(&read(&rig)), "{}", read(&rig));
    let mut told = Vec::new();
    for event in rig.run() {
        match event {
            Event::Disk(DiskPart::Records(_, records)) => {
                assert!(records.len() <= 3, "{}", records.len());
                told.extend(records);
            }
            Event::Disk(DiskPart::Snapshot(..) | DiskPart::End) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, all);
}
