//! The files of a copy: what a start finds in them, and what is found when they are damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vagn_cluster::{
    Command, CopyRecord, DiskPart, Event, Incarnation, Moment, Node, NodeId, RecordKey, RecordOutcome,
    Settings, ShardCopy, StreamInfo, StreamOutcome, WriteOutcome,
};
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{FaultyDisk, Loss};

use super::rig::{DIR, Rig, settings};
use crate::content::FleetShard;
use crate::files::{CopyFault, CopyFiles, FilesError, check_copy, copy_names};
use crate::settings::ShardSettings;

const SHARDS: u16 = 2;

/// The record and the shards of a data set that a node has just begun.
fn begun(random: u64) -> (CopyRecord, Vec<ShardCopy>) {
    let begin = ShardSettings::UNBOUNDED.to_bytes();
    let mut node =
        Node::<FleetShard>::new(Settings { shards: SHARDS, begin, ..Settings::new(NodeId(1), random) });
    let (mut out, mut done, mut elapsed_ms) = (Vec::new(), 0, 0);
    let (mut record, mut copies) = (None, Vec::new());
    node.handle(Moment { elapsed_ms, wall_ms: 9 }, Event::Disk(DiskPart::End), &mut out);
    while copies.len() < usize::from(SHARDS) {
        elapsed_ms += 1_000;
        let now = Moment { elapsed_ms, wall_ms: 9 };
        node.handle(now, Event::Woken, &mut out);
        while let Some(command) = out.get(done).cloned() {
            done += 1;
            let answer = match command {
                Command::ReadRecord(RecordKey::Assignment) => {
                    Event::RecordRead(RecordKey::Assignment, RecordOutcome::Absent)
                }
                Command::MakeStream { read, .. } => {
                    let info = StreamInfo { incarnation: Incarnation(3), first: 1, last: 0, bytes: 0 };
                    Event::StreamRead(read, StreamOutcome::Is(info))
                }
                Command::WriteRecord { key, bytes, .. } => {
                    record = Some(CopyRecord::read(&bytes).unwrap());
                    Event::RecordWritten(key, WriteOutcome::Written { revision: 1 })
                }
                Command::InstallSnapshot { shard, bytes, .. } => {
                    copies.push(ShardCopy::read::<FleetShard>(shard, bytes.to_vec()).unwrap().0);
                    continue;
                }
                _ => continue,
            };
            node.handle(now, answer, &mut out);
        }
    }
    (record.unwrap(), copies)
}

/// Makes the files of a copy, and loses the power once they are made.
fn made() -> (FaultyDisk, CopyRecord, Vec<ShardCopy>) {
    let (disk, (record, copies)) = (FaultyDisk::new(), begun(1));
    let files = CopyFiles::begin(Arc::new(disk.clone()), Path::new(DIR), "fleet").unwrap();
    copies.iter().for_each(|copy| files.put(copy).unwrap());
    files.put_record(&record).unwrap();
    (disk.restart(Loss::Unsynced), record, copies)
}

fn checked(disk: &FaultyDisk) -> Result<Vec<ShardCopy>, CopyFault> {
    let mut found = Vec::new();
    check_copy(Arc::new(disk.clone()), Path::new(DIR), "fleet", |copy, _| found.push(copy.clone()))?;
    Ok(found)
}

#[test]
fn a_start_finds_the_record_and_all_shards_of_a_copy() {
    let (disk, record, copies) = made();
    assert_eq!(checked(&disk).unwrap(), copies);
    for name in copy_names(SHARDS) {
        assert!(disk.open(&Path::new(DIR).join(&name)).is_ok(), "{name}");
    }
    let start = Rig::open(disk, settings()).unwrap().start();
    assert_eq!(start.note, Some(record.write()));
    let expected = copies.into_iter().map(|copy| (copy.shard, copy.bytes, Vec::new()));
    assert_eq!(start.shards, expected.collect::<Vec<_>>());
}

#[test]
fn damage_of_a_copy_is_found_and_says_where() {
    let damaged = |name: &str| {
        let (disk, ..) = made();
        let path: PathBuf = Path::new(DIR).join(name);
        disk.damage(&path, |bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
        checked(&disk).unwrap_err()
    };
    assert!(matches!(damaged("note"), CopyFault::Record { .. }));
    assert!(matches!(damaged("manifest"), CopyFault::Files(FilesError::Damaged { .. })));
    assert!(matches!(damaged("shard-1/snapshot"), CopyFault::Shard { shard: 1, .. }));
}

#[test]
fn a_shard_that_is_missing_or_that_the_record_does_not_name_is_none() {
    let ((record, copies), (other, _)) = (begun(1), begun(2));
    let disk = FaultyDisk::new();
    let files = CopyFiles::begin(Arc::new(disk.clone()), Path::new(DIR), "fleet").unwrap();
    files.put(&copies[0]).unwrap();
    assert!(matches!(checked(&disk), Err(CopyFault::Record { .. })));
    files.put_record(&record).unwrap();
    assert!(matches!(checked(&disk), Err(CopyFault::Shard { shard: 1, .. })));
    // As if a new data set, or a new epoch, had begun meanwhile.
    files.put_record(&other).unwrap();
    assert!(matches!(checked(&disk), Err(CopyFault::Overtaken { shard: 0 })));
}
