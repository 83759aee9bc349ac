//! What a door keeps, from the queue to the disk.

use vagn_cluster::trail::AlarmId;

use super::bench::Bench;
use crate::office::kept::Change;
use crate::office::kept_alarms::KeptAlarms;

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
