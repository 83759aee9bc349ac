//! Parts of an earlier time: a partition, its log or its manifest that was put back from a copy is named.

use super::*;

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
