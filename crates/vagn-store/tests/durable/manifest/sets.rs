//! Several sets of partitions: which one is in force, and when an old one may go.

use super::*;

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
