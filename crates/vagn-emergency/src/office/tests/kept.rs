//! What a door keeps, from the queue to the disk.

use vagn_cluster::trail::AlarmId;

use super::bench::Bench;
use crate::office::kept::Change;
use crate::office::kept_alarms::{CHANGES_MAX, KeptAlarms};

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
