//! Order and slots of a queue, with incidents as keys.

mod properties;

use super::*;
use crate::id::IncidentId;
use crate::record::standing::Standing::{self, Known, Stranger, Undecided};

type Queue = NoticeQueue<IncidentId, Standing>;

fn queue(slots: usize) -> Queue {
    NoticeQueue::new(slots, Patience { failures: 3, ..Patience::default() })
}

fn id(number: u128) -> IncidentId {
    IncidentId::from_u128(number)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn all(queue: &mut Queue, now: Duration) -> Vec<u128> {
    std::iter::from_fn(|| queue.next(now)).map(IncidentId::as_u128).collect()
}

fn resume(queue: &mut Queue, numbers: impl IntoIterator<Item = u128>) {
    for number in numbers {
        queue.repeat(id(number), Known, ms(0));
    }
}

#[test]
fn waits_for_the_record_but_not_for_long() {
    let mut queue = queue(8);
    queue.hold(id(1), Known, ms(100));
    queue.hold(id(2), Known, ms(120));
    assert_eq!((queue.wake_at(), all(&mut queue, ms(99))), (Some(ms(100)), vec![]));
    queue.recorded(id(2));
    assert_eq!(queue.wake_at(), Some(Duration::ZERO));
    assert_eq!(all(&mut queue, ms(99)), [2]);
    assert_eq!(all(&mut queue, ms(100)), [1]);
    queue.recorded(id(1));
    assert_eq!(all(&mut queue, ms(500)), [0; 0], "it is under way already");
}

#[test]
fn wakes_for_a_retry_of_a_known_vehicle_behind_one_of_a_stranger_that_has_no_slot() {
    let mut queue = queue(4);
    queue.begin(id(1), Stranger);
    queue.begin(id(2), Stranger);
    assert_eq!(all(&mut queue, ms(0)), [1, 2]);
    queue.repeat(id(3), Stranger, ms(5));
    assert_eq!(queue.wake_at(), None, "strangers have all their slots");
    queue.repeat(id(4), Known, ms(10));
    assert_eq!(queue.wake_at(), Some(ms(10)));
    assert_eq!(all(&mut queue, ms(10)), [4]);
}

#[test]
fn undecided_vehicles_go_behind_known_ones_and_before_strangers_and_use_no_slot_of_the_known() {
    let mut queue = queue(8);
    for number in 10..20 {
        queue.begin(id(number), Undecided);
    }
    queue.begin(id(1), Stranger);
    queue.repeat(id(2), Undecided, ms(0));
    queue.begin(id(30), Known);
    assert_eq!(all(&mut queue, ms(0)), [30, 10, 11, 2, 12], "four of eight slots; every fourth is a repeat");
    queue.done(id(10));
    assert_eq!(all(&mut queue, ms(0)), [13]);
    resume(&mut queue, [31]);
    assert_eq!(all(&mut queue, ms(0)), [31], "a repeat of a known one has a slot");
}

#[test]
fn what_is_owed_about_an_undecided_vehicle_moves_when_it_is_known_what_it_is() {
    let mut queue = queue(4);
    for number in 1..=4 {
        queue.begin(id(number), Undecided);
    }
    queue.hold(id(5), Undecided, ms(100));
    queue.repeat(id(6), Undecided, ms(50));
    assert_eq!(all(&mut queue, ms(0)), [1, 2], "the others have two slots");
    queue.rank(id(4), Known);
    queue.rank(id(3), Stranger);
    assert_eq!(all(&mut queue, ms(0)), [4]);
    queue.rank(id(1), Known);
    queue.rank(id(7), Known);
    assert!(!queue.has(id(7)), "nothing is owed about it");
    assert_eq!(all(&mut queue, ms(0)), [3], "the notice under way has left the slots of the others");
    for number in [1, 2, 3, 4] {
        queue.done(id(number));
    }
    queue.rank(id(5), Stranger);
    queue.rank(id(6), Known);
    assert_eq!((all(&mut queue, ms(50)), all(&mut queue, ms(100))), (vec![6], vec![5]));
}

#[test]
fn the_first_notice_about_an_undecided_vehicle_waits_for_no_probe() {
    let mut queue = queue(8);
    resume(&mut queue, 1..=3);
    for number in all(&mut queue, ms(0)) {
        queue.failed(id(number), ms(0), ms(60_000), false);
    }
    assert!(!queue.is_up());
    queue.begin(id(4), Stranger);
    assert_eq!(all(&mut queue, ms(1)), [0; 0]);
    queue.begin(id(5), Undecided);
    assert_eq!((queue.wake_at(), all(&mut queue, ms(1))), (Some(ms(0)), vec![5]), "it may be a known one");
}

#[test]
fn does_not_wait_for_a_broken_disk() {
    let mut queue = queue(8);
    queue.hold(id(1), Known, ms(100));
    queue.release();
    assert_eq!(all(&mut queue, ms(0)), [1]);
}

#[test]
fn retries_go_oldest_first_and_updates_last() {
    let mut queue = queue(8);
    for (number, due) in [(3, 10), (1, 30), (2, 20)] {
        queue.repeat(id(number), Known, ms(due));
    }
    queue.update(id(0), ms(5));
    assert_eq!(queue.wake_at(), Some(ms(5)));
    assert_eq!(all(&mut queue, ms(20)), [2, 3, 0]);
    assert_eq!(queue.wake_at(), Some(ms(30)));
    assert_eq!(all(&mut queue, ms(30)), [1]);
}

#[test]
fn only_first_notices_about_known_vehicles_take_every_slot() {
    let mut queue = queue(4);
    resume(&mut queue, 1..=9);
    assert_eq!(all(&mut queue, ms(0)), [1, 2, 3]);
    assert_eq!(queue.wake_at(), None, "no slot for a retry");
    for number in 20..30 {
        queue.begin(id(number), Stranger);
    }
    assert_eq!((queue.wake_at(), all(&mut queue, ms(0))), (None, vec![]), "nor for a stranger");
    queue.hold(id(10), Known, ms(0));
    queue.hold(id(11), Known, ms(0));
    assert_eq!(all(&mut queue, ms(0)), [10]);
    queue.done(id(2));
    assert_eq!(all(&mut queue, ms(0)), [11], "first notices go before others");
}

#[test]
fn a_flood_of_strangers_delays_no_first_notice_about_a_known_vehicle() {
    let mut queue = queue(8);
    for number in 100..10_000 {
        queue.begin(id(number), Stranger);
    }
    assert_eq!(all(&mut queue, ms(0)).len(), 4);
    resume(&mut queue, 1..=9);
    assert_eq!(all(&mut queue, ms(0)), [1, 2], "nor a further one");
    queue.hold(id(99_999), Known, ms(0));
    assert_eq!(queue.next(ms(0)), Some(id(99_999)));
    for _ in 0..6 {
        assert_eq!(queue.wake_at().is_some(), queue.next(ms(0)).is_some());
    }
}

#[test]
fn what_is_owed_to_a_known_vehicle_goes_before_strangers() {
    let mut queue = queue(1);
    queue.begin(id(5), Stranger);
    resume(&mut queue, [9]);
    assert_eq!(queue.next(ms(0)), Some(id(9)));
}

#[test]
fn a_target_that_asked_for_patience_is_left_alone_although_it_is_back() {
    let mut queue = queue(8);
    resume(&mut queue, 1..=3);
    for number in all(&mut queue, ms(0)) {
        queue.failed(id(number), ms(0), ms(120_000), number == 1);
    }
    queue.hold(id(9), Known, ms(0));
    assert_eq!(all(&mut queue, ms(1)), [9]);
    queue.settled(id(9));
    assert_eq!(all(&mut queue, ms(2)), [2, 3]);
    assert_eq!(queue.wake_at(), Some(ms(120_000)));
}

#[test]
fn a_target_that_is_owed_nothing_is_not_known_to_be_down() {
    let mut queue = queue(8);
    resume(&mut queue, 1..=3);
    for number in all(&mut queue, ms(0)) {
        queue.failed(id(number), ms(0), ms(1), false);
    }
    assert!(!queue.is_up());
    for number in 1..=3 {
        queue.cancel(id(number));
    }
    assert!(queue.is_up());
}

#[test]
fn a_notice_under_way_keeps_its_slot_until_it_has_ended() {
    let mut queue = queue(1);
    queue.begin(id(1), Known);
    assert_eq!(queue.next(ms(0)), Some(id(1)));
    queue.begin(id(2), Known);
    queue.cancel(id(1));
    assert_eq!(queue.next(ms(0)), None);
    queue.settled(id(1));
    assert_eq!(queue.next(ms(0)), Some(id(2)));
}

#[test]
fn first_notices_without_end_hold_up_nothing_that_is_due_again() {
    for slots in [1, 2, 4, 64] {
        let mut queue = queue(slots);
        resume(&mut queue, [1]);
        let mut sent = Vec::new();
        for number in 10..20 {
            queue.hold(id(number), Known, ms(0));
            queue.hold(id(number + 100), Known, ms(0));
            let next = queue.next(ms(0)).unwrap();
            queue.done(next);
            sent.push(next.as_u128());
        }
        assert_eq!(sent.iter().position(|number| *number == 1), Some(3), "{slots} slots: {sent:?}");
    }
}

#[test]
fn a_single_slot_serves_all() {
    let mut queue = queue(1);
    resume(&mut queue, [1]);
    assert_eq!(all(&mut queue, ms(0)), [1]);
}

#[test]
fn what_was_cut_off_is_tried_again() {
    let mut queue = queue(8);
    queue.hold(id(1), Known, ms(0));
    assert_eq!(all(&mut queue, ms(0)), [1]);
    queue.update(id(1), ms(0));
    assert_eq!(all(&mut queue, ms(9)), [0; 0], "one notice at a time about one incident");
    queue.hung_up();
    assert_eq!(all(&mut queue, ms(0)), [1]);
    queue.settled(id(1));
    assert_eq!((queue.wake_at(), queue.has(id(1))), (None, false));
}

#[test]
fn a_target_that_is_down_is_only_probed_until_it_is_back_and_then_hears_all_oldest_first() {
    let mut queue = queue(64);
    resume(&mut queue, 1..=40);
    for number in all(&mut queue, ms(0)) {
        queue.failed(id(number), ms(0), ms(500), false);
    }
    assert!(!queue.is_up());
    let mut probes = 0;
    for second in 1..600 {
        for number in all(&mut queue, ms(second * 1000)) {
            probes += 1;
            queue.failed(id(number), ms(second * 1000), ms(second * 1000 + 500), false);
        }
    }
    assert!((30..60).contains(&probes), "{probes} probes in ten minutes");
    queue.hold(id(50), Known, ms(0));
    assert_eq!(queue.next(ms(600_000)), Some(id(50)), "a first notice is never held back");
    queue.settled(id(50));
    assert!(queue.is_up());
    assert_eq!(all(&mut queue, ms(600_000)), (1..=40).collect::<Vec<_>>());
}
