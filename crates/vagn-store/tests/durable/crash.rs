//! The machine stops at every operation of the disk in turn. What was synced is there, and of the rest only a
//! suffix is missing.

use crate::support::*;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};
use vagn_store::{OrderNumber, Partition, StoreError};

/// What became of a run of the script.
struct Run {
    truth: Truth,
    /// Every record before it must survive anything.
    durable: OrderNumber,
}

/// A day of a partition in small: batches, deletes, snapshots, rotations and syncs, until the disk stops it
/// or it is over.
fn run(disk: &FaultyDisk) -> Run {
    let mut run = Run { truth: Truth::new(), durable: OrderNumber(0) };
    let stopped = open(disk, small()).and_then(|(mut partition, _)| day(&mut partition, &mut run));
    assert_eq!(stopped.is_err(), disk.has_crashed());
    run
}

fn day(partition: &mut Partition, run: &mut Run) -> Result<(), StoreError> {
    let truth = &mut run.truth;
    let syncer = partition.syncer();
    for n in (0..180_u64).step_by(3) {
        let vehicle = (n % 13) as u32;
        write(partition, truth, &[(vehicle, n), (vehicle + 1, n + 1), (vehicle, n + 2)])?;
        if n % 5 == 0 {
            delete(partition, truth, vehicle)?;
        }
        partition.housekeep(0)?;
        if n % 4 == 0 {
            run.durable = syncer.sync()?;
        }
    }
    Ok(())
}

fn check_after(disk: &FaultyDisk, run: &Run, what: &str) {
    let (mut partition, recovery) = open(disk, small()).unwrap_or_else(|err| panic!("{what}: {err}"));
    assert!(
        recovery.end >= run.durable,
        "{what}: {recovery:?} lacks what was synced up to {:?}",
        run.durable
    );
    assert!(recovery.bad_snapshots.is_empty() && recovery.orphans == 0, "{what}: {recovery:?}");
    run.truth.check(&partition, recovery.end.0);
    let mut truth = Truth { model: content(&partition.reader()), ..Truth::new() };
    write(&mut partition, &mut truth, &[(50, 500), (1, 501)]).unwrap();
    settle(&mut partition, 0);
    partition.close().unwrap();
    let (partition, _) = open(&disk.restart(Loss::Unsynced), small()).unwrap();
    check_content(&partition, &truth.model);
}

/// How many operations a whole run has.
fn operations() -> u64 {
    let disk = FaultyDisk::new();
    run(&disk);
    disk.operations()
}

fn losses(seed: u64) -> [Loss; 5] {
    [Loss::Nothing, Loss::Unsynced, Loss::Some(seed), Loss::Some(seed + 1), Loss::Some(seed + 2)]
}

#[test]
fn a_crash_at_any_operation_loses_only_what_was_not_synced() {
    for operation in 0..operations() {
        let disk = FaultyDisk::new();
        disk.fail_at(operation, Fault::Crash { bytes: (operation * 37 % 700) as usize });
        let run = run(&disk);
        for loss in losses(operation * 3) {
            check_after(&disk.restart(loss), &run, &format!("operation {operation}, {loss:?}"));
        }
    }
}

#[test]
fn a_crash_while_it_recovers_from_a_crash_changes_nothing() {
    let all = operations();
    for operation in (all / 2..all).step_by(9) {
        let disk = FaultyDisk::new();
        disk.fail_at(operation, Fault::Crash { bytes: 100 });
        let run = run(&disk);
        for loss in losses(operation) {
            check_recovery_crashes(&disk.restart(loss), &run);
        }
    }
}

fn check_recovery_crashes(disk: &FaultyDisk, run: &Run) {
    for operation in 0.. {
        let again = disk.restart(Loss::Nothing);
        again.fail_at(operation, Fault::Crash { bytes: 30 });
        let whole = open(&again, small()).is_ok();
        for loss in losses(operation) {
            check_after(
                &again.restart(loss),
                run,
                &format!("operation {operation} of the recovery, {loss:?}"),
            );
        }
        if whole {
            break;
        }
    }
}

#[test]
fn what_was_acknowledged_after_a_sync_is_never_lost() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = FaultyDisk::new();
        disk.fail_at(random.u64(5..300), Fault::Crash { bytes: random.usize(0..400) });
        let mut truth = Truth::new();
        let Ok((mut partition, _)) = open(&disk, small()) else { continue };
        let syncer = partition.syncer();
        let mut acknowledged = Model::new();
        for n in 0..200 {
            let written = write(&mut partition, &mut truth, &[(n % 9, u64::from(n))]);
            if written.and_then(|_| syncer.sync()).is_err() || partition.housekeep(0).is_err() {
                break;
            }
            acknowledged = truth.model.clone();
        }
        let (partition, _) = open(&disk.restart(Loss::Some(seed)), small()).unwrap();
        let found = content(&partition.reader());
        let lost = acknowledged
            .iter()
            .find(|(id, sent)| found.get(*id).is_none_or(|is| is.receive_seq < sent.receive_seq));
        assert_eq!(lost, None, "seed {seed}");
    }
}
