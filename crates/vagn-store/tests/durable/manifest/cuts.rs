//! What is cut off a log, or lies under a wrong name: kept, and told of.

use super::*;

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

/// A partition whose first segment lacks a sector that never arrived, with whole records and whole segments behind it.
fn without_a_sector() -> (FaultyDisk, Vec<PathBuf>) {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    for n in 1..=40 {
        write(&mut partition, &mut truth, &[((n % 5) as u32, n)]).unwrap();
    }
    drop(partition);
    let logs = files(&disk, ".log");
    assert!(logs.len() >= 3);
    disk.damage(&logs[0], |bytes| bytes[1024..1536].fill(0)).unwrap();
    (disk, logs)
}

#[test]
fn what_is_cut_off_a_log_is_kept_and_told_of() {
    let (disk, logs) = without_a_sector();
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
    let (disk, logs) = without_a_sector();
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
