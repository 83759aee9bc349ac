//! Files with any content: segment, snapshot and note.

use std::path::Path;

use vagn_cluster::DiskCommand;
use vagn_fuzz::Target;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{FaultyDisk, Loss};

use super::rig::{DIR, Rig, SHARD, settings, synced};
use crate::files::frame::{self, HEADER, LogId, NoHeader, PREFIX, SegmentHeader};
use crate::files::{note, snapshot};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");
/// The segment whose content is made up.
const SEGMENT: &str = "shard-3/1-00000000000000000001.log";
const LOG: LogId = LogId { shard: SHARD, number: 1 };

fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

fn bytes_of(disk: &FaultyDisk, name: &str) -> Vec<u8> {
    let file = disk.open(&path(name)).expect("it is there");
    let mut bytes = vec![0; file.size().expect("the disk works") as usize];
    file.read_at(0, &mut bytes).expect("the disk works");
    bytes
}

/// A shard with an empty snapshot, and nothing behind it.
fn begun() -> Rig {
    let mut rig = Rig::new();
    rig.install(0);
    rig
}

fn segment(bytes: &[u8]) {
    check_segment(bytes);
    // With checksums that fit, as no accident leaves them.
    check_segment(&resealed(bytes));
}

/// Whatever a segment holds, the records that are told are those that stand at its beginning, and the log goes on behind them.
fn check_segment(bytes: &[u8]) {
    let rig = begun();
    let file = rig.disk.create(&path(SEGMENT)).expect("the disk works");
    file.append(bytes).expect("the disk works");
    let mut rig = Rig::open(rig.disk.restart(Loss::Nothing), settings()).expect("they can be opened");
    let told = rig.start().shards.remove(0).2;
    assert!(told.iter().map(|record| record.sequence).eq(1..=told.len() as u64), "one after another");
    let mut again = Vec::new();
    told.iter().for_each(|record| frame::encode(LOG, record, 0, &mut again));
    assert!(HEADER + again.len() <= bytes.len() || told.is_empty(), "no more than there was");
    let last = told.len() as u64;
    rig.write(last + 1..=last + 1);
    if let Err(NoHeader::Version(_)) = SegmentHeader::decode(bytes) {
        // It is left as it is.
        assert_eq!((last, rig.sync()), (0, vec!["failed 1 Broken".to_owned()]));
        return assert_eq!(bytes_of(&rig.disk, SEGMENT), bytes);
    }
    assert_eq!(rig.sync(), [synced(last + 1)]);
    let start = Rig::open(rig.disk.restart(Loss::Unsynced), settings()).expect("they can be opened").start();
    let (_, _, again) = &start.shards[0];
    assert!(
        again[..told.len()] == told[..] && again.len() == told.len() + 1,
        "it is mended once and for all"
    );
}

fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= HEADER {
        frame::seal(&mut bytes[..HEADER]);
    }
    let mut at = HEADER;
    while let Some(prefix) = bytes.get(at..).and_then(|rest| rest.first_chunk::<PREFIX>()) {
        let Some(end) = frame::whole_of(prefix).map(|len| at + len).filter(|end| *end <= bytes.len()) else {
            break;
        };
        let sum = crc32c::crc32c_append(LOG.seed(), &bytes[at + 8..end]);
        bytes[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
    bytes
}

/// Whatever a snapshot's file holds, it is read as it would be written again, or not at all.
fn any_snapshot(bytes: &[u8]) {
    let disk = FaultyDisk::new();
    disk.create_dir(Path::new("s")).expect("the disk works");
    let file = disk.create(&Path::new("s").join(snapshot::FILE)).expect("the disk works");
    file.append(bytes).expect("the disk works");
    let Ok(read) = snapshot::read(&disk, Path::new("s"), SHARD) else { return };
    assert!(read.content.len() < bytes.len());
    let (mut rig, number) = (Rig::new(), read.header.log.number);
    rig.tell(DiskCommand::InstallSnapshot {
        shard: SHARD,
        sequence: read.header.sequence,
        bytes: read.content.clone().into(),
    });
    rig.run();
    if number == 1 {
        assert_eq!(bytes_of(&rig.disk, "shard-3/snapshot"), bytes);
    }
}

fn any_note(bytes: &[u8]) {
    if let Ok(read) = note::decode(bytes) {
        assert_eq!(note::encode(read), bytes);
    }
}

fn target(name: &'static str, body: fn(&[u8])) -> Target<'static> {
    Target { crate_dir: CRATE, name, words: &["VREC", "VAGNSLOG", "VAGNSSNP", "VAGNNOTE"], body }
}

#[test]
fn any_segment_is_read_as_far_as_it_is_whole() {
    target("shard_segment", segment).check();
}

#[test]
fn any_snapshot_is_read_whole_or_not_at_all() {
    target("shard_snapshot", any_snapshot).check();
}

#[test]
fn any_note_is_read_as_it_was_written_or_not_at_all() {
    target("shard_note", any_note).check();
}

#[test]
fn the_corpus_of_shard_files_is_of_this_format() {
    let mut rig = begun();
    rig.write(1..=2);
    rig.sync();
    rig.write(3..=4);
    rig.sync();
    let whole = bytes_of(&rig.disk, SEGMENT);
    let keep = |target, name, bytes: &[u8]| vagn_fuzz::keep(CRATE, target, name, bytes);
    keep("shard_segment", "header_only", &whole[..HEADER]);
    keep("shard_segment", "four_records", &whole);
    keep("shard_segment", "torn", &whole[..whole.len() - 11]);
    keep("shard_segment", "hole", &[&whole[..HEADER], &[0; 60], &whole[HEADER + 60..]].concat());
    keep("shard_snapshot", "short", &bytes_of(&rig.disk, "shard-3/snapshot"));
    for (name, len) in [("empty", 0), ("two_blocks", (256 << 10) + 5)] {
        let mut rig = Rig::new();
        let bytes = (0..len).map(|at| (at % 251) as u8).collect();
        rig.tell(DiskCommand::InstallSnapshot { shard: SHARD, sequence: 9, bytes });
        rig.run();
        keep("shard_snapshot", name, &bytes_of(&rig.disk, "shard-3/snapshot"));
    }
    keep("shard_note", "empty", &note::encode(&[]));
    keep("shard_note", "short", &note::encode(b"owners of shards"));
}
