//! The census on a disk that is full, fails, or has lost something.

use vagn_store::disk::faulty::{Fault, Loss};

use super::Standing::{Known, Stranger, Undecided};
use super::World;
use crate::census::rows::ROUNDS;

type Damage = fn(&mut Vec<u8>);

#[test]
fn a_file_that_cannot_be_read_makes_all_known_and_is_set_aside() {
    let cases: [(&str, Damage); 6] = [
        ("checksum", |bytes| bytes[40] ^= 1),
        ("checksum", |bytes| bytes.truncate(bytes.len() - 8)),
        ("cut off", |bytes| bytes.truncate(50)),
        ("cut off", Vec::clear),
        ("another partition", |bytes| bytes[12] = 1),
        ("version 2", |bytes| bytes[8] = 2),
    ];
    for (what, change) in cases {
        let mut world = World::new().opened();
        world.report("made up", false);
        world.keeper.close(&|| true);
        world.damage(change);
        let mut world = world.kill();
        assert_eq!((world.standing("made up"), world.standing("old")), (Known, Known), "{what}");
        let warning = world.warning().unwrap();
        assert!(warning.contains(what) && warning.contains("0-of-1.kept-"), "{warning}");
        world.look();
        assert_eq!(world.names().len(), 2, "{:?}", world.names());
        assert_eq!(world.warning(), Some(warning), "for as long as this run lasts");
        let world = world.restart();
        assert_eq!((world.standing("made up"), world.warning()), (Known, None));
    }
}

#[test]
fn a_file_that_the_disk_does_not_give_is_asked_for_again_for_a_second() {
    let mut world = World::new().opened();
    world.report("made up", false);
    world.keeper.close(&|| true);
    let disk = world.disk.restart(Loss::Nothing);
    let mut world = World::on(disk.clone(), world.take_index(), world.reports);
    disk.crash();
    world.open();
    assert_eq!((world.standing("old"), world.warning()), (Undecided, None));
    (0..9).for_each(|_| world.look());
    assert_eq!(world.standing("old"), Undecided);
    world.look();
    assert_eq!((world.standing("old"), world.standing("made up")), (Known, Known));
    assert!(world.warning().unwrap().contains("could not be set aside"));
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let mut world = World::new().opened();
    world.look();
    let written = world.disk.operations();
    world.rounds("old", 5 * ROUNDS);
    assert_eq!(world.disk.operations(), written, "it is known already");
    world.rounds("new", ROUNDS);
    (0..ROUNDS).for_each(|_| world.minute());
    let changed = world.disk.operations();
    assert!(changed > written);
    world.rounds("new", 2 * ROUNDS);
    world.keeper.close(&|| true);
    assert_eq!(world.disk.operations(), changed);
}

#[test]
fn a_power_cut_leaves_the_old_file_or_the_new_one() {
    for loss in [Loss::Unsynced, Loss::Some(1), Loss::Some(2), Loss::Some(3)] {
        for operation in 0.. {
            let mut world = World::new().opened();
            world.rounds("bus", ROUNDS - 1);
            world = world.restart();
            world.rounds("bus", 1);
            world.disk.fail_at(world.disk.operations() + operation, Fault::Crash { bytes: 20 });
            world.keeper.close(&|| true);
            let is_over = !world.disk.has_crashed();
            let disk = world.disk.restart(loss);
            let world = world.next(disk);
            // By the old file the last report came since.
            assert_eq!([world.standing("old"), world.standing("bus")], [Known; 2], "{loss:?} at {operation}");
            assert_eq!(world.warning(), None, "{loss:?} at {operation}");
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_is_told_until_it_has_room_and_the_old_file_stays() {
    let mut world = World::new().opened();
    world.look();
    world.disk.set_capacity(1_050);
    world.rounds("bus", ROUNDS);
    let warning = world.warning().unwrap();
    assert!(warning.contains("could not be written"), "{warning}");
    assert_eq!(world.names(), ["0-of-1"], "nothing half written is left");
    world.disk.set_capacity(u64::MAX);
    (0..ROUNDS).for_each(|_| world.minute());
    assert_eq!(world.warning(), None);
    assert_eq!(world.kill().standing("bus"), Known);
}

#[test]
fn a_stop_that_has_no_time_leaves_the_old_file() {
    let mut world = World::new().opened();
    world.look();
    world.rounds("bus", 1);
    world.keeper.close(&|| false);
    assert_eq!(world.names(), ["0-of-1"]);
    let world = world.kill();
    assert_eq!((world.standing("old"), world.standing("bus")), (Known, Stranger));
}
