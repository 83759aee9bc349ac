//! Damage: it is found, said and kept aside, and what stands before it is used.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use vagn_cluster::{DiskCommand, LogOutcome};
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};

use super::super::frame::{HEADER, VERSION, seal};
use super::rig::{DIR, Rig, SHARD, Start, content, record, records, settings, synced};

/// Last record in the snapshot, and in the log.
const SNAPSHOT: u64 = 12;
const LAST: u64 = 21;

/// A shard with a snapshot, and a log of some segments that begins before it.
fn filled() -> FaultyDisk {
    let mut rig = Rig::new();
    rig.fill(0, LAST - 4);
    rig.tell(DiskCommand::SaveSnapshot { shard: SHARD, sequence: SNAPSHOT, bytes: content(SNAPSHOT).into() });
    rig.run();
    // Each record tells how far the log was synced before it.
    for sequence in LAST - 3..=LAST {
        rig.write(sequence..=sequence);
        assert_eq!(rig.sync(), [synced(sequence)]);
    }
    rig.tell(DiskCommand::WriteNote(b"note".to_vec()));
    rig.run();
    rig.disk.restart(Loss::Unsynced)
}

fn files(disk: &FaultyDisk) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join("shard-3");
    disk.list(&dir).unwrap().into_iter().map(|name| dir.join(name)).collect()
}

fn size(disk: &FaultyDisk, path: &Path) -> usize {
    disk.open(path).unwrap().size().unwrap() as usize
}

/// Files as they are kept aside where records of them may be published again.
fn marked(mut names: Vec<String>) -> Vec<String> {
    names.push("unpublished".to_owned());
    names
}

fn damage_found(rig: &Rig) -> u64 {
    rig.files.view().read(|counts, _| counts.damaged()).unwrap()
}

/// Starts on a damaged disk, checks that only what is right was told, and that the shard goes on. Returns how many records were told.
fn check(disk: FaultyDisk, what: &str) -> u64 {
    let mut rig = Rig::open(disk, settings()).unwrap();
    let start = rig.start();
    let (snapshot, told) = start.only();
    if snapshot.is_empty() {
        // The node hears that it cannot be read, and copies the shard.
        assert!(told.is_empty() && damage_found(&rig) == 1, "{what}");
        let before = rig.names("shard-3");
        rig.install(30);
        assert_eq!(rig.names("damaged-3-1"), marked(before), "{what}: nothing is thrown away");
        rig.write(31..=32);
        assert_eq!(rig.sync(), [synced(32)]);
        let mut rig = rig.restart(Loss::Unsynced);
        let start = rig.start();
        assert_eq!(start.only(), (content(30), vec![31, 32]), "{what}");
        // The copy need not have what was in the log.
        assert_eq!(start.rests, [SHARD], "{what}");
        let rest = rig.read_rest(1 << 20);
        assert_eq!(rest, records(1..=LAST), "{what}: its log is whole");
        return 0;
    }
    assert_eq!(snapshot, content(SNAPSHOT), "{what}");
    assert!(told.iter().copied().eq(SNAPSHOT + 1..=SNAPSHOT + told.len() as u64), "{what}: {told:?}");
    let (damaged, kept) =
        (damage_found(&rig), rig.names("").iter().any(|name| name.starts_with("damaged-3-")));
    assert_eq!(damaged > 0, kept, "{what}: what is said is kept");
    let next = told.last().map_or(SNAPSHOT, |last| *last) + 1;
    rig.write(next..=LAST + 2);
    assert_eq!(rig.sync(), [synced(LAST + 2)], "{what}");
    check_rest(&mut rig, &start, next, what);
    let mut rig = rig.restart(Loss::Unsynced);
    let start = rig.start();
    assert_eq!(start.only().1, (SNAPSHOT + 1..=LAST + 2).collect::<Vec<_>>(), "{what}");
    assert_eq!(damage_found(&rig), 0, "{what}: it is mended");
    check_rest(&mut rig, &start, next, what);
    rig.tell(DiskCommand::DropRest(SHARD));
    rig.run();
    let mut rig = rig.restart(Loss::Unsynced);
    assert!(rig.start().rests.is_empty() && rig.read_rest(1).is_empty(), "{what}");
    assert!(kept == rig.names("").iter().any(|name| name.starts_with("damaged-3-")), "{what}: it stays");
    told.len() as u64
}

/// What was kept aside is told, and all of it can be read that is not damaged: of what stands behind the record `from` all but two.
fn check_rest(rig: &mut Rig, start: &Start, from: u64, what: &str) {
    let is_kept = rig.names("").iter().any(|name| name.starts_with("damaged-3-"));
    assert_eq!(start.rests, if is_kept { vec![SHARD] } else { vec![] }, "{what}");
    let rest = rig.read_rest(1);
    assert!(rest.iter().all(|it| *it == record(it.sequence)), "{what}");
    assert_eq!(rig.read_rest(1 << 20), rest, "{what}");
    let lost = (from..=LAST).filter(|it| !rest.iter().any(|record| record.sequence == *it)).count();
    // An end that looks torn is thrown away: the last record alone, or a file that was cut.
    let is_cut = what.contains("cut to") || what.contains("missing");
    assert!(lost <= 2 || is_cut || !is_kept, "{what}: {lost} of {from} to {LAST}");
}

#[test]
fn any_changed_byte_costs_at_most_what_is_behind_it_and_gives_no_wrong_record() {
    let disk = filled();
    let (mut all, mut cuts) = (0, 0);
    assert_eq!(check(disk.restart(Loss::Nothing), "sound"), LAST - SNAPSHOT);
    for path in files(&disk) {
        for at in 0..size(&disk, &path) {
            let damaged = disk.restart(Loss::Nothing);
            damaged.damage(&path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
            let told = check(damaged, &format!("{} at {at}", path.display()));
            (all, cuts) = (all + 1, cuts + u64::from(told < LAST - SNAPSHOT));
        }
    }
    assert!(all > 1_000 && cuts > all / 3, "{cuts} of {all}");
}

#[test]
fn a_file_cut_anywhere_or_missing_costs_at_most_what_is_behind() {
    let disk = filled();
    for path in files(&disk) {
        for end in 0..size(&disk, &path) {
            let cut = disk.restart(Loss::Nothing);
            cut.damage(&path, |bytes| bytes.truncate(end)).unwrap();
            check(cut, &format!("{} cut to {end}", path.display()));
        }
        let missing = disk.restart(Loss::Nothing);
        missing.remove(&path).unwrap();
        check(missing, &format!("{} missing", path.display()));
    }
}

#[test]
fn damage_before_what_was_synced_is_told_from_a_torn_end() {
    let disk = filled();
    let last = files(&disk).into_iter().rfind(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    let hit = |at: usize| {
        let damaged = disk.restart(Loss::Nothing);
        damaged.damage(&last, |bytes| bytes[at] ^= 1).unwrap();
        let mut rig = Rig::open(damaged, settings()).unwrap();
        rig.start();
        damage_found(&rig)
    };
    // Behind the first record of the segment stand others, which tell that it had been synced. Behind the last one stands nothing.
    assert_eq!((hit(50), hit(size(&disk, &last) - 5)), (1, 0));
}

/// Reads all that can be read of a log; returns also how many records are not among it.
fn read_around(rig: &mut Rig) -> (Vec<u64>, u64) {
    let (mut from, mut read, mut lost) = (0, Vec::new(), 0);
    loop {
        match rig.read_some(from, 1) {
            LogOutcome::Records(some) => {
                assert!(some.iter().all(|it| *it == record(it.sequence)));
                read.extend(some.iter().map(|it| it.sequence));
                from = read.last().unwrap() + 1;
            }
            LogOutcome::Damaged { next } => {
                assert!(next > from);
                lost += next - from.max(1);
                from = next;
            }
            LogOutcome::End => return (read, lost),
            LogOutcome::Fault => panic!("from {from}"),
        }
    }
}

#[test]
fn a_damaged_segment_that_is_read_later_is_no_end_and_what_stands_behind_is_read() {
    let disk = filled();
    let logs = files(&disk).into_iter().filter(|path| path.extension().is_some_and(|it| it == "log"));
    let first = logs.clone().next().unwrap();
    let is_read = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let damaged = disk.restart(Loss::Nothing);
        damaged.damage(&first, spoil).unwrap();
        let mut rig = Rig::open(damaged, settings()).unwrap();
        // The snapshot has what is in it.
        assert_eq!(rig.start().only().1.len() as u64, LAST - SNAPSHOT);
        let (read, lost) = read_around(&mut rig);
        assert_eq!(read.len() as u64 + lost, LAST, "{read:?}");
        assert!(read.is_sorted() && damage_found(&rig) == 1, "{read:?}");
        // It is said once, and kept when another takes its place.
        let before = rig.names("shard-3");
        assert_eq!((read_around(&mut rig).0, damage_found(&rig)), (read, 1));
        rig.install(30);
        assert_eq!(rig.names("damaged-3-1"), before);
        lost
    };
    let whole = size(&disk, &first);
    for at in HEADER..whole {
        let lost = is_read(&|bytes| bytes[at] ^= 1);
        assert_eq!(lost, 1, "byte {at}");
    }
    // The rest of the segment is empty, and that of the next is not.
    let lost = is_read(&|bytes| bytes[HEADER + 4..].fill(0));
    assert!((5..12).contains(&lost), "{lost}");
    let lost = is_read(&|bytes| bytes[HEADER + 4..HEADER + 90].fill(0));
    assert!((2..4).contains(&lost), "{lost}");
}

#[test]
fn a_rest_is_told_also_where_nothing_else_of_the_shard_is_left() {
    let disk = filled();
    let last = files(&disk).into_iter().rfind(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    disk.damage(&last, |bytes| bytes[50] ^= 1).unwrap();
    let mut rig = Rig::open(disk, settings()).unwrap();
    assert_eq!(rig.start().rests, [SHARD]);
    let rest = rig.read_rest(1);
    // A person moves the shard away.
    let dir = Path::new(DIR);
    rig.disk.rename(&dir.join("shard-3"), &dir.join("moved")).unwrap();
    let mut rig = rig.restart(Loss::Nothing);
    let start = rig.start();
    assert!(start.shards.is_empty() && start.rests == [SHARD] && !rest.is_empty(), "{start:?}");
    assert_eq!(rig.read_rest(1 << 20), rest);
    rig.tell(DiskCommand::DropRest(SHARD));
    rig.run();
    assert!(rig.restart(Loss::Nothing).start().rests.is_empty());
}

#[test]
fn a_log_that_cannot_be_read_is_said_once() {
    let disk = filled();
    let first = files(&disk).into_iter().find(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    let mut rig = Rig::open(disk, settings()).unwrap();
    rig.start();
    let away = Path::new(DIR).join("away");
    rig.disk.rename(&first, &away).unwrap();
    for _ in 0..3 {
        assert_eq!(rig.read_some(0, 1 << 20), LogOutcome::Fault);
    }
    assert_eq!(damage_found(&rig), 1);
    rig.disk.rename(&away, &first).unwrap();
    assert_eq!(read_around(&mut rig), ((1..=LAST).collect(), 0));
}

#[test]
fn a_log_that_the_disk_does_not_give_is_not_read_as_empty_and_never_thrown_away() {
    let disk = filled();
    let last = files(&disk).into_iter().rfind(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    // A segment of a later version: the start reads up to it.
    let later = disk.restart(Loss::Nothing);
    later.damage(&last, |bytes| set_version(bytes)).unwrap();
    let open = || {
        let mut rig = Rig::open(later.restart(Loss::Nothing), settings()).unwrap();
        let told = rig.start().only().1;
        assert!(told.len() < (LAST - SNAPSHOT) as usize, "{told:?}");
        for from in [0, 1, SNAPSHOT + 1, LAST, LAST + 1] {
            assert_eq!(rig.read_some(from, 1 << 20), LogOutcome::Fault, "from {from}");
        }
        let before = rig.names("shard-3");
        (rig, before)
    };
    let (mut rig, before) = open();
    rig.install(30);
    assert_eq!(rig.names("damaged-3-1"), before);
    let (mut rig, before) = open();
    rig.tell(DiskCommand::DropShard(SHARD));
    rig.run();
    assert_eq!(rig.names("damaged-3-1"), marked(before));

    // A segment that is gone since the start.
    let mut rig = Rig::open(disk, settings()).unwrap();
    rig.start();
    rig.disk.remove(&last).unwrap();
    let LogOutcome::Records(read) = rig.read_some(0, 1) else { panic!("the first segments are there") };
    assert_eq!(read, records(1..=1));
    assert_eq!(rig.read_some(LAST, 1), LogOutcome::Fault);
}

#[test]
fn a_snapshot_that_is_good_stays_until_the_next_one_is_there() {
    let disk = filled();
    let last = files(&disk).into_iter().rfind(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    disk.damage(&last, |bytes| set_version(bytes)).unwrap();
    // The process ends at an operation, or behind one that failed.
    for fault in [Fault::Crash { bytes: 7 }, Fault::Error(ErrorKind::Other)] {
        check_that_one_stays(&disk, fault);
    }
}

fn check_that_one_stays(disk: &FaultyDisk, fault: Fault) {
    let before = disk.list(&Path::new(DIR).join("shard-3")).unwrap();
    let mut ends = [0; 2];
    for at in 0.. {
        let mut rig = Rig::open(disk.restart(Loss::Nothing), settings()).unwrap();
        rig.start();
        let fails_at = rig.disk.operations() + at;
        rig.disk.fail_at(fails_at, fault);
        let bytes = content(30).into();
        rig.tell(DiskCommand::InstallSnapshot { shard: SHARD, sequence: 30, bytes });
        rig.run();
        let is_over = rig.disk.operations() <= fails_at;
        for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(at)] {
            let mut rig = Rig::open(rig.disk.restart(loss), settings()).unwrap();
            let (snapshot, _) = rig.start().only();
            let is_new = snapshot == content(30);
            assert!(is_new || snapshot == content(SNAPSHOT), "{at}: {}", snapshot.escape_ascii());
            let kept = if is_new { "damaged-3-1" } else { "shard-3" };
            let names = rig.names(kept);
            assert!(before.iter().all(|name| names.contains(name)), "{at}: {names:?}");
            ends[usize::from(is_new)] += 1;
        }
        if is_over {
            assert!(ends.iter().all(|ends| *ends > 3), "{ends:?}");
            return;
        }
    }
}

#[test]
fn a_log_that_ends_before_its_snapshot_is_put_away_and_begins_behind_it() {
    let disk = filled();
    let logs = files(&disk).into_iter().filter(|path| path.extension().is_some_and(|it| it == "log"));
    let logs: Vec<_> = logs.collect();
    // The second of three: it holds the records from 9 to 15, and the snapshot goes up to 12.
    disk.damage(&logs[1], |bytes| bytes[150] ^= 1).unwrap();
    let mut rig = Rig::open(disk, settings()).unwrap();
    assert_eq!((rig.start().only(), rig.names("damaged-3-1").len()), ((content(SNAPSHOT), vec![]), 4));
    rig.write(SNAPSHOT + 1..=LAST);
    assert_eq!(rig.sync(), [synced(LAST)]);
    // Not a part that the rest does not follow.
    assert_eq!(rig.read(0, 1), records(SNAPSHOT + 1..=LAST));
}

#[test]
fn a_damaged_note_is_kept_and_not_told() {
    let disk = filled();
    let path = Path::new(DIR).join("note");
    for at in 0..size(&disk, &path) {
        let damaged = disk.restart(Loss::Nothing);
        damaged.damage(&path, |bytes| bytes[at] ^= 0x10).unwrap();
        let mut rig = Rig::open(damaged, settings()).unwrap();
        assert_eq!(rig.start().note, None, "byte {at}");
        assert!(rig.names("").contains(&"note.damaged".to_owned()) && damage_found(&rig) == 1);
    }
}

#[test]
fn a_snapshot_from_before_does_not_take_up_the_log_of_a_later_one() {
    let mut rig = Rig::new();
    rig.fill(0, 5);
    let path = Path::new(DIR).join("shard-3/snapshot");
    let mut old = vec![0; size(&rig.disk, &path)];
    rig.disk.open(&path).unwrap().read_at(0, &mut old).unwrap();
    rig.fill(9, 12);
    rig.disk.damage(&path, |bytes| *bytes = old).unwrap();
    let mut rig = rig.restart(Loss::Nothing);
    assert_eq!(rig.start().only(), (content(0), vec![]));
    assert_eq!(
        (damage_found(&rig), rig.names("damaged-3-1")),
        (1, ["2-00000000000000000010.log", "unpublished"].map(str::to_owned).to_vec())
    );
}

#[test]
fn full_disks_do_not_keep_a_torn_end_from_being_cut() {
    let mut rig = Rig::new();
    rig.fill(0, 3);
    rig.write(4..=4);
    rig.run();
    let disk = rig.disk.restart(Loss::Nothing);
    let last = files(&disk).into_iter().rfind(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    disk.damage(&last, |bytes| bytes.truncate(bytes.len() - 9)).unwrap();
    disk.set_capacity(0);
    let mut rig = Rig::open(disk, settings()).unwrap();
    assert_eq!(rig.start().only().1, [1, 2, 3]);
}

/// Makes a segment one of a later version.
fn set_version(bytes: &mut [u8]) {
    bytes[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
    seal(&mut bytes[..HEADER]);
}
