//! What a door keeps, from the queue to the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vagn_cluster::trail::AlarmId;
use vagn_flow::clock::ManualClock;

use super::bench::{Bench, NOW_MS, parts};
use crate::intake::known::KnownVehicle;
use crate::notifier::NoticeSource;
use crate::office::door_source::DoorSource;
use crate::office::kept::Change;
use crate::office::kept_alarms::{CHANGES_MAX, KeptAlarms};
use crate::rules::Rules;
use crate::tests::setup::{fleet, help, offer};
use crate::{Parts, Targets, build_node};

fn keep(alarm: u128) -> Change {
    Change::Keep { alarm: AlarmId(alarm), bytes: b"help".to_vec() }
}

#[test]
fn a_life_of_the_writer_leaves_changes_alone_until_those_of_an_earlier_one_have_left_the_queue() {
    let node = Bench::new();
    let (kept, dir) = (&node.room.kept, tempfile::tempdir().unwrap());
    let next = KeptAlarms::new(node.room.clone(), dir.path().into());
    next.work();
    let earlier = kept.claim().unwrap();
    kept.push(keep(1)).unwrap();
    next.work();
    assert_eq!(kept.count(), 0);
    assert!(kept.fault().is_some(), "the disk does not answer");
    drop(earlier);
    next.work();
    assert_eq!((kept.count(), kept.fault()), (1, None));
}

#[test]
fn an_alarm_that_calls_anew_is_kept_under_its_new_id_however_much_waits_for_the_disk() {
    let node = Bench::new();
    let (kept, dir) = (&node.room.kept, tempfile::tempdir().unwrap());
    let writer = KeptAlarms::new(node.room.clone(), dir.path().into());
    let alarms = 0..CHANGES_MAX as u128;
    alarms.clone().for_each(|alarm| kept.push(keep(alarm)).unwrap());
    let note = |alarm| Change::Note { alarm: AlarmId(alarm), note: b"county".to_vec() };
    alarms.clone().for_each(|alarm| kept.push(note(alarm)).unwrap());
    kept.push(note(1)).unwrap_err();
    let new = |alarm| AlarmId(1_000_000 + alarm);
    for alarm in alarms.clone() {
        let into = new(alarm);
        kept.push(Change::Rename { alarm: AlarmId(alarm), into }).unwrap();
    }
    writer.work();
    kept.push(Change::LetGo { alarm: new(7), bytes: b"help".to_vec() }).unwrap();
    writer.work();
    assert_eq!(kept.count(), alarms.end as u64 - 1, "it is found under the new one");
}

#[test]
fn what_a_door_that_crashed_had_taken_from_the_inbox_is_called_about_and_kept_as_the_node_stops() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let asked = fails.clone();
    let vehicles = fleet(move |_| {
        assert!(!asked.swap(false, Ordering::Relaxed), "the fleet fails");
        KnownVehicle::STRANGER
    });
    let parts = Parts { vehicles, ..parts(dir.path(), Arc::new(ManualClock::at(NOW_MS))) };
    let (_, node, _) = build_node(parts, Rules::new(100, &Targets::default()), 50);
    let room = node.room;
    offer(&room.lane, &[help("bus 7")]);
    fails.store(true, Ordering::Relaxed);
    catch_unwind(AssertUnwindSafe(|| room.door.attend(&room))).unwrap_err();
    assert_eq!((room.door.count(), room.calls.count()), (1, 0));
    DoorSource(room.clone()).rescue(true);
    assert_eq!((room.door.count(), room.calls.count()), (1, 1));
    KeptAlarms::new(room.clone(), dir.path().into()).work();
    assert_eq!(room.kept.count(), 1);
}
