//! Errors of the disk and of the system at a start: no reason to begin anew, and none to stop what works.

use super::*;

/// Too many open files: `EMFILE` and `ENFILE`.
const SHORTAGES: [i32; 2] = [libc::EMFILE, libc::ENFILE];

#[test]
fn a_file_that_cannot_be_opened_is_tried_again_and_stops_nothing() {
    for errno in SHORTAGES {
        for fails in ["create", "sync_dir", "rename", "remove"] {
            let disk = FaultyDisk::new();
            let (mut partition, _) = open(&disk, small()).unwrap();
            let mut truth = Truth::new();
            disk.fail_next_with_errno(fails, errno, 30);
            for n in 1..=200 {
                write(&mut partition, &mut truth, &[((n % 9) as u32, n)]).unwrap();
                partition.housekeep(0).unwrap();
                partition.syncer().sync().ok();
                assert!(
                    !matches!(partition.health(), Health::Failed(_)),
                    "{fails}: {:?}",
                    partition.health()
                );
            }
            settle(&mut partition, 0);
            assert_eq!(partition.health(), Health::Well, "{fails}");
            let (left, _) = open(&disk.restart(Loss::Unsynced), small()).unwrap();
            check_content(&left, &truth.model);
        }
    }
}

#[test]
fn inodes_that_are_used_up_do_not_fail_positions() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    disk.fail_next_with_errno("create", libc::ENOSPC, u32::MAX);
    for n in 1..=100 {
        write(&mut partition, &mut truth, &[((n % 9) as u32, n)]).unwrap();
    }
    assert!(matches!(partition.health(), Health::Trying(why) if why.contains("create")));
    disk.fail_next_with_errno("create", 0, 0);
    write(&mut partition, &mut truth, &[(1, 500)]).unwrap();
    assert_eq!(partition.health(), Health::Well);
}

#[test]
fn a_failed_disk_says_that_a_restart_is_needed_and_why() {
    for (errno, why) in [(libc::EIO, "the disk has failed"), (libc::EROFS, "read-only")] {
        let disk = FaultyDisk::new();
        let (mut partition, _) = open(&disk, small()).unwrap();
        disk.fail_next_with_errno("append", errno, 1);
        assert!(write(&mut partition, &mut Truth::new(), &[(1, 1)]).is_err());
        let Health::Failed(reason) = partition.health() else { panic!("{:?}", partition.health()) };
        assert!(reason.contains(why) && reason.contains("restart the service"), "{reason}");
    }
}

#[test]
fn a_start_that_finds_many_segments_leaves_few_to_read() {
    let mut disk = FaultyDisk::new();
    let mut truth = Truth::new();
    for n in 1..=40 {
        let (mut partition, _) = open(&disk, settings()).unwrap();
        write(&mut partition, &mut truth, &[(1, n)]).unwrap();
        drop(partition);
        disk = disk.restart(Loss::Nothing);
    }
    let (mut partition, recovery) = open(&disk, settings()).unwrap();
    assert_eq!(recovery.records, 41);
    settle(&mut partition, 0);
    drop(partition);
    let (partition, recovery) = open(&disk, settings()).unwrap();
    assert!(recovery.records < 3, "{recovery:?}");
    check_content(&partition, &truth.model);
}

#[test]
fn an_error_of_the_disk_at_the_manifest_is_no_reason_to_begin_anew() {
    let (disk, model) = closed();
    disk.fail_next("create", ErrorKind::Other);
    assert!(matches!(all(&disk, None), Err(StoreError::Io { .. })));
    assert_eq!(all(&disk, None).unwrap(), model);
}
