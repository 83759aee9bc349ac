//! A log that ends in the middle of something.

use crate::support::*;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{Settings, StoreError};

/// One segment and no snapshot, never synced.
fn unsynced() -> (FaultyDisk, Truth) {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, large()).unwrap();
    let mut truth = Truth::new();
    for n in 1..=24 {
        write(&mut partition, &mut truth, &[((n % 5) as u32, n)]).unwrap();
        if n.is_multiple_of(8) {
            delete(&mut partition, &mut truth, 3).unwrap();
        }
    }
    (disk, truth)
}

fn large() -> Settings {
    Settings { segment_bytes: 1 << 20, snapshot_records: 1 << 20, ..small() }
}

/// Positions and removals are numbered.
fn is_change(record: &[u8]) -> bool {
    matches!(record[4], 1 | 3)
}

/// Tears the log at every byte, with what `tear` makes of the file, and looks whether whole records before
/// stay.
fn check_torn_everywhere(tear: impl Fn(&mut Vec<u8>, usize)) {
    let (disk, truth) = unsynced();
    let file = files(&disk, ".log").pop().unwrap();
    let length = size(&disk, &file) as usize;
    let first = *truth.story.keys().nth(1).unwrap() - 1;
    for at in 0..length {
        let torn = disk.restart(Loss::Nothing);
        let mut whole = 0;
        let mut changes = 0;
        torn.damage(&file, |bytes| {
            let before = bytes.clone();
            tear(bytes, at);
            let units = before.chunks(80).zip(bytes.chunks(80)).take_while(|(old, new)| old == new);
            whole = units.clone().count() as u64;
            changes = units.skip(1).filter(|(record, _)| is_change(record)).count() as u64;
        })
        .unwrap();
        let ends_whole = size(&torn, &file) == whole * 80;
        let (mut partition, recovery) = open(&torn, large()).unwrap();
        let end = if changes == 0 { 0 } else { first + changes };
        assert_eq!(recovery.end.0, end, "torn at {at}");
        let mut truth = Truth { model: truth.at(recovery.end.0).clone(), ..truth.clone() };
        check_content(&partition, &truth.model);
        assert!(recovery.cut.is_some() || (ends_whole && whole > 0), "a torn end is told of");
        write(&mut partition, &mut truth, &[(7, 100)]).unwrap();
        drop(partition);
        let (partition, recovery) = open(&torn, large()).unwrap();
        assert_eq!(recovery.cut, None, "and cut once");
        check_content(&partition, &truth.model);
    }
}

#[test]
fn a_log_that_ends_at_any_byte_is_cut_at_the_last_whole_record() {
    check_torn_everywhere(|bytes, at| bytes.truncate(at));
}

#[test]
fn a_log_that_ends_in_zeros_is_cut_at_the_last_whole_record() {
    check_torn_everywhere(|bytes, at| {
        bytes.truncate(at);
        bytes.resize(at / 80 * 80 + 800, 0);
    });
}

#[test]
fn a_log_that_ends_in_noise_is_cut_at_the_last_whole_record() {
    check_torn_everywhere(|bytes, at| {
        bytes.truncate(at);
        let mut random = fastrand::Rng::with_seed(at as u64);
        bytes.extend((0..300).map(|_| random.u8(1..)));
    });
}

#[test]
fn the_cut_says_where_it_was_made_and_what_it_took() {
    let (disk, _) = unsynced();
    let file = files(&disk, ".log").pop().unwrap();
    // A sector that never arrived, and whole records behind it that were never reported as durable.
    disk.damage(&file, |bytes| bytes[1024..1536].fill(0)).unwrap();
    let size = size(&disk, &file);
    let cut = open(&disk, large()).unwrap().1.cut.unwrap();
    assert_eq!((cut.file, cut.offset, cut.bytes), (file, 960, size - 960));
    assert_eq!(cut.records, size / 80 - 20);
}

#[test]
fn a_changed_record_before_good_ones_is_no_torn_end() {
    let (disk, _) = unsynced();
    let path = files(&disk, ".log").pop().unwrap();
    disk.damage(&path, |bytes| bytes[1024 + 7] ^= 0x40).unwrap();
    match open(&disk, large()) {
        Err(StoreError::Corrupt { file, offset, .. }) => assert_eq!((file, offset), (path, 960)),
        other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
    }
}
