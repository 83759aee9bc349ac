//! What must be there: what is missing, misplaced or from another time is named, and nothing is removed that may be needed.

use crate::support::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vagn_store::Key;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};
use vagn_store::{
    DataDir, Health, Partition, Recovery, Settings, StoreError, partition, plan_repair_on, repair_on,
};
use vagn_wire::VehicleId;

fn open_dir(disk: &FaultyDisk, partitions: Option<u32>) -> Result<DataDir, StoreError> {
    DataDir::open(Arc::new(disk.clone()), Path::new("d"), partitions, 11)
}

fn settings() -> Settings {
    Settings { history_keep_ms: 1_000_000, ..small() }
}

/// Opens all partitions, and gives what they hold together.
fn all(disk: &FaultyDisk, partitions: Option<u32>) -> Result<Model, StoreError> {
    let mut data = open_dir(disk, partitions)?;
    data.prepare(settings(), 1_500, &|_| {})?;
    let mut found = Model::new();
    for number in 0..data.partitions() {
        found.extend(content(&open_one(&data, number)?.0.reader()));
    }
    Ok(found)
}

fn open_one(data: &DataDir, number: u32) -> Result<(Partition, Recovery), StoreError> {
    data.open_partition(number, settings(), 1_500, &|_| {})
}

/// A closed directory of two partitions, with history and snapshots.
fn closed() -> (FaultyDisk, Model) {
    let disk = FaultyDisk::new();
    let data = open_dir(&disk, Some(2)).unwrap();
    let mut model = Model::new();
    for number in 0..2 {
        let (mut opened, _) = open_one(&data, number).unwrap();
        let mut truth = Truth::new();
        let ours = |vehicle: &u32| {
            let key = id(*vehicle);
            partition(Key::of(VehicleId::new(&key).unwrap()).hash(), 2) == number as usize
        };
        let vehicles: Vec<u32> = (0..40).filter(ours).collect();
        for n in 0..150 {
            let vehicle = vehicles[n as usize % vehicles.len()];
            write(&mut opened, &mut truth, &[(vehicle, n)]).unwrap();
            opened.housekeep(1_500).unwrap();
            if n % 10 == 0 {
                opened.syncer().sync().unwrap();
            }
        }
        opened.close().unwrap();
        model.extend(truth.model);
    }
    (disk, model)
}

fn files_of(disk: &FaultyDisk, dir: &str, ending: &str) -> Vec<PathBuf> {
    let names = disk.list(Path::new(dir)).unwrap();
    names.iter().filter(|name| name.ends_with(ending)).map(|name| Path::new(dir).join(name)).collect()
}

fn bytes(disk: &FaultyDisk, file: &Path) -> Vec<u8> {
    let mut bytes = vec![0; size(disk, file) as usize];
    disk.open(file).unwrap().read_at(0, &mut bytes).unwrap();
    bytes
}

fn repair(disk: &FaultyDisk) -> vagn_store::RepairReport {
    repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap()
}

fn swap(disk: &FaultyDisk, one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    disk.rename(one, &aside).unwrap();
    disk.rename(other, one).unwrap();
    disk.rename(&aside, other).unwrap();
}

#[track_caller]
fn check_missing<T>(opened: Result<T, StoreError>, path: &str) {
    let err = opened.err().expect("it is missing");
    let StoreError::Missing { file, .. } = &err else { panic!("{err:?}") };
    assert_eq!(file, Path::new(path));
    assert!(err.to_string().contains("vagn repair"), "{err}");
}

#[test]
fn a_partition_that_is_missing_is_named_and_not_begun_anew_and_stops_no_other() {
    let (disk, model) = closed();
    let kept = disk.restart(Loss::Nothing);
    kept.rename(Path::new("d/fleet-1/0"), Path::new("elsewhere")).unwrap();
    let data = open_dir(&kept, None).unwrap();
    check_missing(open_one(&data, 0), "d/fleet-1/0");
    assert!(open_one(&data, 1).unwrap().0.reader().len() > 5);
    assert!(kept.list(Path::new("d/fleet-1/0")).is_err());
    drop(data);
    // As the place of a volume that is not mounted.
    kept.create_dir(Path::new("d/fleet-1/0")).unwrap();
    check_missing(all(&kept, None), "d/fleet-1/0");
    // Changing the number of partitions is no way around it.
    check_missing(all(&kept, Some(3)), "d/fleet-1/0");
    kept.remove_dir(Path::new("d/fleet-1/0")).unwrap();
    kept.rename(Path::new("elsewhere"), Path::new("d/fleet-1/0")).unwrap();
    assert_eq!(all(&kept, None).unwrap(), model, "put back, it is all there");
}

#[test]
fn going_on_without_a_partition_is_a_decision() {
    let (disk, model) = closed();
    disk.remove_dir(Path::new("d/fleet-1/0")).unwrap();
    let report = repair(&disk);
    let told = report.to_string();
    assert!(told.contains("d/fleet-1/0: missing as a whole") && told.contains("cannot be counted"), "{told}");
    assert!(
        report.lost_partitions == 1 && told.contains("not counted") && !told.contains("0 lost"),
        "{told}"
    );
    let left = all(&disk, None).unwrap();
    assert!(!left.is_empty() && left.len() < model.len());
}

#[test]
fn an_older_manifest_never_costs_a_set() {
    let (disk, model) = closed();
    let old = bytes(&disk, Path::new("d/manifest"));
    let sets = |disk: &FaultyDisk| {
        let mut names = disk.list(Path::new("d")).unwrap();
        names.retain(|name| name.starts_with("fleet"));
        names
    };
    assert_eq!(all(&disk, Some(3)).unwrap(), model);
    assert_eq!(sets(&disk), ["fleet-2"]);
    disk.damage(Path::new("d/manifest"), |bytes| *bytes = old.clone()).unwrap();
    let err = open_dir(&disk, None).err().unwrap();
    let StoreError::RolledBack { manifest, newer } = &err else { panic!("{err:?}") };
    assert_eq!((manifest.as_path(), newer.as_path()), (Path::new("d/manifest"), Path::new("d/fleet-2")));
    assert_eq!(sets(&disk), ["fleet-2"], "nothing was removed");
    repair(&disk);
    assert_eq!(all(&disk, None).unwrap(), model);
}

#[test]
fn an_old_set_goes_only_when_all_of_the_new_one_could_be_opened() {
    let (disk, model) = closed();
    disk.create(Path::new("d/fleet-1/0/notes.txt")).unwrap();
    {
        let mut data = open_dir(&disk, Some(2 + 1)).unwrap();
        data.prepare(settings(), 1_500, &|_| {}).unwrap();
        for number in 0..2 {
            open_one(&data, number).unwrap();
        }
        assert_eq!(data.other_sets(), [PathBuf::from("d/fleet-1")]);
    }
    // What is put in its place by hand is not what the manifest tells of.
    let foreign = disk.restart(Loss::Nothing);
    let (other, _) = closed_with_id(99);
    let manifest = bytes(&other, Path::new("d/fleet-1/0/manifest"));
    foreign.damage(Path::new("d/fleet-1/0/manifest"), |bytes| *bytes = manifest).unwrap();
    assert_eq!(all(&foreign, None).unwrap(), model);
    assert!(foreign.list(Path::new("d/fleet-1/1")).is_ok());
    assert_eq!(all(&disk, None).unwrap(), model);
    assert!(disk.list(Path::new("d/fleet-1")).is_err());
    assert!(disk.open(Path::new("d/kept-fleet-1/0/notes.txt")).is_ok(), "what is not ours is kept");
}

fn closed_with_id(chance: u64) -> (FaultyDisk, DataDir) {
    let disk = FaultyDisk::new();
    let data = DataDir::open(Arc::new(disk.clone()), Path::new("d"), Some(2), chance).unwrap();
    (disk, data)
}

#[test]
fn a_new_directory_that_was_cut_off_anywhere_is_finished() {
    for operation in 0.. {
        let disk = FaultyDisk::new();
        disk.fail_at(operation, Fault::Crash { bytes: 20 });
        let done = open_dir(&disk, Some(3)).is_ok();
        for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(operation)] {
            let disk = disk.restart(loss);
            assert!(all(&disk, Some(3)).unwrap().is_empty(), "operation {operation}, {loss:?}");
        }
        if done {
            break;
        }
    }
}

#[test]
fn a_partition_of_another_directory_is_not_taken_for_this_one() {
    let (disk, _) = closed();
    let (other, _) = closed_with_id(99);
    let manifest = bytes(&other, Path::new("d/fleet-1/0/manifest"));
    disk.damage(Path::new("d/fleet-1/0/manifest"), |bytes| *bytes = manifest).unwrap();
    let data = open_dir(&disk, None).unwrap();
    assert!(matches!(open_one(&data, 0), Err(StoreError::Misplaced { .. })));
    open_one(&data, 1).unwrap();
}

#[test]
fn partitions_in_each_others_places_are_named_and_put_back() {
    let (disk, model) = closed();
    swap(&disk, Path::new("d/fleet-1/0"), Path::new("d/fleet-1/1"));
    assert!(matches!(all(&disk, None), Err(StoreError::Misplaced { .. })));
    repair(&disk);
    assert_eq!(all(&disk, None).unwrap(), model);
}

#[test]
fn a_newest_segment_that_is_gone_is_missed() {
    let (disk, _) = closed();
    let newest = files_of(&disk, "d/fleet-1/0", ".log").pop().unwrap();
    disk.remove(&newest).unwrap();
    check_missing(all(&disk, None), newest.to_str().unwrap());
    let report = repair(&disk);
    assert!(report.files.iter().any(|file| file.file == newest), "{report}");
    all(&disk, None).unwrap();
}

#[test]
fn the_end_of_a_log_that_was_closed_may_not_change_at_all() {
    let (whole, _) = closed();
    let newest = files_of(&whole, "d/fleet-1/0", ".log").pop().unwrap();
    let length = size(&whole, &newest) as usize;
    for lost in (80..length).step_by(80) {
        for zeroed in [true, false] {
            let disk = whole.restart(Loss::Nothing);
            disk.damage(&newest, |bytes| {
                bytes.truncate(length - lost);
                bytes.resize(if zeroed { length } else { bytes.len() }, 0);
            })
            .unwrap();
            let err = all(&disk, None).expect_err("it was closed further on");
            assert!(matches!(&err, StoreError::Corrupt { file, .. } if *file == newest), "{err}");
        }
    }
}

#[test]
fn history_that_is_shorter_than_what_was_synced_is_named() {
    let (disk, _) = closed();
    let oldest = files_of(&disk, "d/fleet-1/0", ".log").swap_remove(0);
    disk.damage(&oldest, |bytes| bytes.truncate(400)).unwrap();
    let err = all(&disk, None).unwrap_err();
    assert!(matches!(&err, StoreError::Corrupt { file, offset: 400, .. } if *file == oldest), "{err}");
}

#[test]
fn a_manifest_of_before_the_last_run_is_named() {
    let (disk, _) = closed();
    let file = Path::new("d/fleet-1/0/manifest");
    let old = bytes(&disk, file);
    let data = open_dir(&disk, None).unwrap();
    let (mut opened, _) = open_one(&data, 0).unwrap();
    write(&mut opened, &mut Truth::new(), &[(0, 900)]).ok();
    opened.close().unwrap();
    drop(data);
    disk.damage(file, |bytes| *bytes = old).unwrap();
    let err = all(&disk, None).unwrap_err();
    assert!(matches!(&err, StoreError::Earlier { opened: 1, counted: 2, .. }), "{err}");
    repair(&disk);
    all(&disk, None).unwrap();
    // Also where no manifest of a data directory counts the openings.
    let disk = FaultyDisk::new();
    let (mut opened, _) = open(&disk, small()).unwrap();
    write(&mut opened, &mut Truth::new(), &[(0, 800)]).unwrap();
    opened.close().unwrap();
    let (file, old) = (Path::new("p/manifest"), bytes(&disk, Path::new("p/manifest")));
    let (mut opened, _) = open(&disk, small()).unwrap();
    let mut updates = vagn_store::Updates::new();
    push(&mut updates, &id(0), sighting(900));
    opened.write(&updates, &mut Vec::new()).unwrap();
    opened.close().unwrap();
    disk.damage(file, |bytes| *bytes = old).unwrap();
    let err = open(&disk, small()).err().unwrap();
    assert!(matches!(&err, StoreError::RolledBack { manifest, .. } if manifest == file), "{err}");
}

/// Every file in a partition's directory, to be put back later.
fn copy_of(disk: &FaultyDisk, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    files_of(disk, dir, "").into_iter().map(|file| (file.clone(), bytes(disk, &file))).collect()
}

fn put_back(disk: &FaultyDisk, dir: &str, copy: &[(PathBuf, Vec<u8>)]) {
    disk.remove_dir(Path::new(dir)).unwrap();
    put(disk, dir, copy);
}

fn put(disk: &FaultyDisk, dir: &str, copy: &[(PathBuf, Vec<u8>)]) {
    disk.create_dir(Path::new(dir)).unwrap();
    for (file, content) in copy {
        let file = Path::new(dir).join(file.file_name().unwrap());
        disk.create(&file).unwrap().append(content).unwrap();
    }
}

/// A run in which both partitions get something to store.
fn run_once(disk: &FaultyDisk, n: u64) {
    let data = open_dir(disk, None).unwrap();
    for number in 0..2 {
        let (mut opened, _) = open_one(&data, number).unwrap();
        let mut updates = vagn_store::Updates::new();
        push(&mut updates, &id(n as u32 % 40), sighting(n));
        opened.write(&updates, &mut Vec::new()).unwrap();
        opened.close().unwrap();
    }
}

#[test]
fn a_partition_of_an_earlier_time_is_named_and_stops_no_other() {
    let (disk, _) = closed();
    let old = copy_of(&disk, "d/fleet-1/0");
    run_once(&disk, 500);
    let (late, late_top) = (copy_of(&disk, "d/fleet-1/0"), bytes(&disk, Path::new("d/manifest")));
    put_back(&disk, "d/fleet-1/0", &old);
    let before = copy_of(&disk, "d/fleet-1/0");
    let data = open_dir(&disk, None).unwrap();
    let err = open_one(&data, 0).err().unwrap();
    let StoreError::Earlier { partition, opened: 1, counted: 2, .. } = &err else { panic!("{err:?}") };
    assert_eq!(partition, Path::new("d/fleet-1/0"));
    assert!(err.to_string().contains("vagn repair"), "{err}");
    open_one(&data, 1).unwrap().0.close().unwrap();
    drop(data);
    assert!(matches!(all(&disk, Some(3)), Err(StoreError::Earlier { .. })), "also to change their number");
    assert_eq!(copy_of(&disk, "d/fleet-1/0"), before, "nothing there was changed");
    // The right copy again, and all is well.
    put_back(&disk, "d/fleet-1/0", &late);
    all(&disk, None).unwrap();
    // An earlier manifest of the data directory tells of earlier partitions, and is noticed as well.
    all(&disk, None).unwrap();
    disk.damage(Path::new("d/manifest"), |bytes| *bytes = late_top).unwrap();
    let err = all(&disk, None).unwrap_err();
    assert!(matches!(&err, StoreError::RolledBack { manifest, .. } if manifest == Path::new("d/manifest")));
    assert!(repair(&disk).files.iter().any(|file| file.file == Path::new("d/manifest")));
    all(&disk, None).unwrap();
}

#[test]
fn a_repair_takes_a_partition_of_an_earlier_time_as_it_is_and_says_so() {
    let (disk, model) = closed();
    let old = [copy_of(&disk, "d/fleet-1/0"), copy_of(&disk, "d/fleet-1/1")];
    run_once(&disk, 500);
    put_back(&disk, "d/fleet-1/0", &old[0]);
    put_back(&disk, "d/fleet-1/1", &old[1]);
    let plan = plan_repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap();
    let report = repair(&disk);
    assert_eq!(report, plan);
    let told = report.to_string();
    assert!(told.matches("from an earlier time; taken as it is").count() == 2, "{told}");
    assert_eq!(all(&disk, None).unwrap(), model);
    assert!(repair(&disk).files.is_empty());
    // The count goes on from what was taken.
    put_back(&disk, "d/fleet-1/0", &old[0]);
    assert!(matches!(all(&disk, None), Err(StoreError::Earlier { opened: 1, counted: 2, .. })));
}

fn copy_set(disk: &FaultyDisk, to: &str) {
    for number in 0..2 {
        let copy = copy_of(disk, &format!("d/fleet-1/{number}"));
        put(disk, &format!("d/{to}/{number}"), &copy);
    }
}

#[test]
fn a_copy_of_a_set_under_another_name_is_never_put_in_force() {
    let (disk, _) = closed();
    copy_set(&disk, "fleet-2");
    run_once(&disk, 500);
    let late = all(&disk, None).unwrap();
    assert_eq!(open_dir(&disk, None).unwrap().other_sets(), [PathBuf::from("d/fleet-2")]);
    assert!(repair(&disk).files.is_empty());
    // Also where the manifest must be written anew.
    disk.remove(Path::new("d/manifest")).unwrap();
    let report = repair(&disk).to_string();
    assert!(report.contains("d/fleet-2") && report.contains("a copy of another set"), "{report}");
    assert_eq!(all(&disk, None).unwrap(), late);
    // A copy alone is the operator's to name.
    disk.remove(Path::new("d/manifest")).unwrap();
    disk.rename(Path::new("d/fleet-1"), Path::new("elsewhere")).unwrap();
    let err = repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap_err();
    assert!(matches!(&err, StoreError::OnlyCopy { copy, set: 1 } if copy == Path::new("d/fleet-2")), "{err}");
    disk.rename(Path::new("d/fleet-2"), Path::new("d/fleet-1")).unwrap();
    repair(&disk);
    all(&disk, None).unwrap();
}

#[test]
fn of_several_sets_a_repair_takes_the_newest_that_is_whole_and_says_so_or_asks() {
    let (disk, model) = closed();
    let old = [copy_of(&disk, "d/fleet-1/0"), copy_of(&disk, "d/fleet-1/1")];
    assert_eq!(all(&disk, Some(3)).unwrap(), model);
    put(&disk, "d/fleet-1/0", &old[0]);
    put(&disk, "d/fleet-1/1", &old[1]);
    disk.remove(Path::new("d/manifest")).unwrap();
    let broken = disk.restart(Loss::Nothing);
    let report = repair(&disk).to_string();
    assert!(report.contains("put in force: it is whole") && report.contains("lower number"), "{report}");
    assert_eq!(open_dir(&disk, None).unwrap().partitions(), 3);
    assert_eq!(all(&disk, None).unwrap(), model);
    broken.remove_dir(Path::new("d/fleet-2/1")).unwrap();
    let err = repair_on(Arc::new(broken.clone()), Path::new("d")).unwrap_err();
    assert!(matches!(&err, StoreError::Undecided { .. }), "{err}");
    assert!(broken.open(Path::new("d/manifest")).is_err(), "nothing was put in force");
}

#[test]
fn an_opening_that_is_cut_off_anywhere_is_not_taken_for_an_earlier_time() {
    let (whole, model) = closed();
    for operation in 0.. {
        let disk = whole.restart(Loss::Nothing);
        disk.fail_at(operation, Fault::Crash { bytes: 40 });
        let done = all(&disk, None).is_ok();
        for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(operation)] {
            let mut disk = disk.restart(loss);
            // Cut off again and again at the same step, it is still no other time.
            for _ in 0..3 {
                disk.fail_at(disk.operations() + operation, Fault::Crash { bytes: 40 });
                let _cut = all(&disk, None);
                disk = disk.restart(loss);
            }
            assert_eq!(all(&disk, None).unwrap(), model, "operation {operation}, {loss:?}");
        }
        if done {
            break;
        }
    }
}

#[test]
fn segments_under_each_others_names_are_named_and_put_back() {
    let (whole, model) = closed();
    let logs = files_of(&whole, "d/fleet-1/0", ".log");
    let others = files_of(&whole, "d/fleet-1/1", ".log");
    let last = logs.len() - 1;
    for (one, other) in [(&logs[last], &logs[last - 1]), (&logs[0], &logs[1]), (&logs[last], &others[1])] {
        let disk = whole.restart(Loss::Nothing);
        swap(&disk, one, other);
        let err = all(&disk, None).unwrap_err();
        let StoreError::Misplaced { file, of } = &err else { panic!("{err:?}") };
        assert!((file, of) == (one, other) || (file, of) == (other, one), "{err}");
        let before = disk.operations();
        let plan = plan_repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap();
        assert_eq!(disk.operations(), before, "a plan changes nothing");
        assert!(plan.files.iter().any(|file| file.file == *one || file.file == *other));
        let report = repair(&disk);
        assert_eq!(report, plan, "it does what it said");
        assert_eq!(all(&disk, None).unwrap(), model);
    }
}

#[test]
fn what_is_cut_off_a_log_is_kept_and_told_of() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    for n in 1..=40 {
        write(&mut partition, &mut truth, &[((n % 5) as u32, n)]).unwrap();
    }
    drop(partition);
    let logs = files(&disk, ".log");
    assert!(logs.len() >= 3);
    // A sector that never arrived, with whole records and whole segments behind it.
    disk.damage(&logs[0], |bytes| bytes[1024..1536].fill(0)).unwrap();
    let damaged = bytes(&disk, &logs[0]);
    let (_, recovery) = open(&disk, small()).unwrap();
    let cut = recovery.cut.unwrap();
    let kept = cut.kept.unwrap();
    assert_eq!((recovery.kept_aside, kept.as_path()), (vec![kept.clone()], Path::new("p/cut-1")));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let tail = kept.join(format!("{}.from-{}", name(&logs[0]), cut.offset));
    assert_eq!(bytes(&disk, &tail), damaged[cut.offset as usize..]);
    for log in &logs[1..] {
        assert!(disk.open(&kept.join(name(log))).is_ok(), "{log:?} is kept whole");
    }
}

#[test]
fn a_cut_that_is_interrupted_anywhere_keeps_all_and_comes_to_the_same() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    for n in 1..=40 {
        write(&mut partition, &mut truth, &[((n % 5) as u32, n)]).unwrap();
    }
    drop(partition);
    let logs = files(&disk, ".log");
    disk.damage(&logs[0], |bytes| bytes[1024..1536].fill(0)).unwrap();
    logs.iter().for_each(|log| disk.open(log).unwrap().sync().unwrap());
    disk.sync_dir(&dir()).unwrap();
    let end = open(&disk.restart(Loss::Nothing), small()).unwrap().1.end;
    for operation in 0.. {
        let torn = disk.restart(Loss::Nothing);
        torn.fail_at(operation, Fault::Crash { bytes: 100 });
        let done = open(&torn, small()).is_ok();
        for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(operation)] {
            let (_, recovery) = open(&torn.restart(loss), small()).unwrap();
            assert_eq!(recovery.end, end, "operation {operation}, {loss:?}");
            assert!(!recovery.kept_aside.is_empty());
        }
        if done {
            break;
        }
    }
}

#[test]
fn only_what_is_a_partition_by_name_and_content_counts() {
    let (disk, model) = closed();
    for stranger in ["0.bak", "lost+found", "01", "7"] {
        disk.create_dir(&Path::new("d/fleet-1").join(stranger)).unwrap();
    }
    disk.create_dir(Path::new("d/fleet-1.bak")).unwrap();
    disk.remove(Path::new("d/manifest")).unwrap();
    repair(&disk);
    assert_eq!(open_dir(&disk, None).unwrap().partitions(), 2);
    assert_eq!(all(&disk, None).unwrap(), model);
    // Also where no partition can say how many there are.
    for partition in 0..2 {
        disk.remove(Path::new(&format!("d/fleet-1/{partition}/manifest"))).unwrap();
    }
    disk.remove(Path::new("d/manifest")).unwrap();
    repair(&disk);
    assert_eq!(all(&disk, None).unwrap(), model);
}

#[test]
fn files_of_others_that_end_in_tmp_are_left_alone() {
    let (disk, _) = closed();
    let strange = Path::new("d/fleet-1/0/export.tmp");
    disk.create(strange).unwrap();
    all(&disk, None).unwrap();
    repair(&disk);
    assert!(disk.open(strange).is_ok());
}

#[test]
fn a_part_that_was_made_is_missed_when_it_is_gone_or_empty() {
    let (disk, _) = closed();
    let path = Path::new("d/incidents.redb");
    {
        let parts = open_dir(&disk, None).unwrap().part_list();
        assert!(!parts.expects("incidents.redb") && parts.check("incidents.redb").is_ok());
        disk.create(path).unwrap().append(b"store").unwrap();
        parts.add("incidents.redb").unwrap();
    }
    let check = |disk: &FaultyDisk| open_dir(disk, None).unwrap().part_list().check("incidents.redb");
    check(&disk).unwrap();
    disk.damage(path, Vec::clear).unwrap();
    check_missing(check(&disk), "d/incidents.redb");
    disk.remove(path).unwrap();
    check_missing(check(&disk), "d/incidents.redb");
    repair(&disk);
    check(&disk).unwrap();
}

/// The machine stops at every operation of a repair in turn, and the repair is done again.
#[test]
fn a_repair_that_is_killed_at_any_step_is_run_again() {
    type Damage = fn(&FaultyDisk);
    let log = |disk: &FaultyDisk, partition: u32, at: usize| {
        files_of(disk, &format!("d/fleet-1/{partition}"), ".log").swap_remove(at)
    };
    let damages: [(&str, Damage); 6] = [
        ("a misplaced segment", |disk| {
            let logs = files_of(disk, "d/fleet-1/0", ".log");
            swap(disk, &logs[0], &logs[2]);
        }),
        ("misplaced partitions", |disk| swap(disk, Path::new("d/fleet-1/0"), Path::new("d/fleet-1/1"))),
        ("a manifest gone", |disk| disk.remove(Path::new("d/manifest")).unwrap()),
        ("a partition's manifest gone", |disk| disk.remove(Path::new("d/fleet-1/1/manifest")).unwrap()),
        ("a segment gone", |disk| {
            disk.remove(&files_of(disk, "d/fleet-1/0", ".log").pop().unwrap()).unwrap();
        }),
        ("a changed record", |disk| {
            let path = files_of(disk, "d/fleet-1/0", ".log").swap_remove(1);
            disk.damage(&path, |bytes| bytes[500] ^= 1).unwrap();
        }),
    ];
    let (whole, _) = closed();
    assert!(size(&whole, &log(&whole, 0, 0)) > 80);
    for (what, damage) in damages {
        let damaged = whole.restart(Loss::Nothing);
        damage(&damaged);
        for dir in ["d", "d/fleet-1", "d/fleet-1/0", "d/fleet-1/1"] {
            damaged.sync_dir(Path::new(dir)).unwrap();
        }
        let done = damaged.restart(Loss::Nothing);
        repair(&done);
        let wanted = all(&done, None).unwrap();
        for operation in 0.. {
            let disk = damaged.restart(Loss::Nothing);
            disk.fail_at(operation, Fault::Crash { bytes: 60 });
            let done = repair_on(Arc::new(disk.clone()), Path::new("d")).is_ok();
            for loss in [Loss::Nothing, Loss::Some(operation)] {
                let disk = disk.restart(loss);
                repair(&disk);
                let found = all(&disk, None).unwrap();
                assert!(found == wanted, "{what}: operation {operation}, {loss:?}: {} vehicles", found.len());
            }
            if done {
                break;
            }
        }
    }
}

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
