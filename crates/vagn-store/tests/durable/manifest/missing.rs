//! Parts that are missing, misplaced or of another directory: named, and nothing is begun anew for them.

use super::*;

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
