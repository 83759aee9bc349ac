//! A crash at every moment: what comes back is what the node may count on.

use std::io::ErrorKind;

use fastrand::Rng;
use proptest::prelude::*;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};

use super::player::Player;
use super::rig::{Rig, settings};

/// Commands of a run.
const STEPS: usize = 250;

/// Plays until the disk stops, or to the end.
fn play(seed: u64, steps: usize, faults: &[(u64, Fault)]) -> Player {
    let rig = Rig::new();
    let begun = rig.disk.operations();
    faults.iter().for_each(|(at, fault)| rig.disk.fail_at(begun + at, *fault));
    let mut player = Player::new(rig, seed);
    player.play(steps);
    if !player.rig.disk.has_crashed() {
        player.settle();
    }
    player
}

/// Starts on what a crash has left; again, since what was told must be there for good; plays on, and starts once more.
fn come_back(player: &Player, disk: FaultyDisk, loss: Loss) {
    let player = player.restart(Rig::open(disk, settings()).unwrap());
    let mut player = player.restart(Rig::open(player.rig.disk.restart(Loss::Unsynced), settings()).unwrap());
    player.play(30);
    player.settle();
    player.restart(Rig::open(player.rig.disk.restart(loss), settings()).unwrap());
}

/// Lets the machine stop at each operation of the start too.
fn stop_while_starting(player: &Player, disk: &FaultyDisk, loss: Loss) {
    for at in 0.. {
        let again = disk.restart(Loss::Nothing);
        again.fail_at(at, Fault::Crash { bytes: 7 });
        // It may be refused: the disk is gone.
        if let Ok(mut rig) = Rig::open(again.clone(), settings()) {
            rig.run();
        }
        if !again.has_crashed() {
            return;
        }
        player.restart(Rig::open(again.restart(loss), settings()).unwrap());
    }
}

#[test]
fn a_crash_at_any_operation_leaves_what_was_synced_and_no_more_than_was_written() {
    for seed in 0..vagn_fuzz::rounds(3) as u64 {
        let sound = play(seed, STEPS, &[]);
        let whole = sound.rig.disk.operations();
        assert!(whole > 150, "it does much: {whole}");
        assert!(
            ["synced", "read", "saved"].iter().all(|told| sound.heard.contains(told)),
            "{:?}",
            sound.heard
        );
        for crash_at in 0..whole {
            let bytes = (seed + crash_at) as usize * 37 % 200;
            let player = play(seed, STEPS, &[(crash_at, Fault::Crash { bytes })]);
            for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(seed), Loss::Some(crash_at)] {
                let disk = player.rig.disk.restart(loss);
                if crash_at % 16 == seed {
                    stop_while_starting(&player, &disk, loss);
                }
                come_back(&player, disk, loss);
            }
        }
    }
}

fn any_fault(chance: &mut Rng) -> Fault {
    match chance.u8(..5) {
        0 => Fault::Error(ErrorKind::StorageFull),
        1 => Fault::Error(ErrorKind::Other),
        2 => Fault::Torn(chance.usize(..200)),
        3 => Fault::Short { bytes: chance.usize(..200), errno: libc::ENOSPC },
        _ => Fault::Crash { bytes: chance.usize(..200) },
    }
}

fn play_through_faults(seed: u64, count: usize) {
    let mut chance = Rng::with_seed(seed);
    let faults: Vec<_> = (0..count).map(|_| (chance.u64(..400), any_fault(&mut chance))).collect();
    let player = play(seed, STEPS, &faults);
    for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(seed)] {
        come_back(&player, player.rig.disk.restart(loss), loss);
    }
}

#[test]
fn a_log_whose_first_segment_got_no_record_is_read_as_empty() {
    play_through_faults(15446161746580995645, 5);
}

#[test]
fn a_log_that_is_cut_back_while_it_is_read_is_read_again() {
    play_through_faults(1068236855654222879, 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(vagn_fuzz::rounds(200) as u32))]

    #[test]
    fn faults_of_any_kind_leave_what_was_synced_and_no_more_than_was_written(seed in any::<u64>(), count in 1..6_usize) {
        play_through_faults(seed, count);
    }
}
