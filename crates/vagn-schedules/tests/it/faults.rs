//! The exploration itself: it finds each fault that is planted, and a seed leads to the same failure again.

use vagn_schedules::sync::Plant;
use vagn_schedules::sync::schedules::explore;

use crate::{queues, supervisors, topics};

/// Schedules in which a planted fault must show.
const ENOUGH: u64 = 1_000;

#[test]
fn a_wake_up_that_gets_lost_is_found() {
    finds(Plant::LostWakeUp, queues::a_taker_leaves, "deadlock");
}

#[test]
fn a_bound_that_is_missed_is_found() {
    finds(Plant::MissedBound, queues::more_givers_than_room, "");
}

#[test]
fn an_item_dropped_without_a_count_is_found() {
    finds(Plant::DropWithoutCount, queues::evictions, "");
}

#[test]
fn a_push_that_comes_after_the_close_is_found() {
    finds(Plant::CloseRace, queues::a_close_beside_a_giver, "");
}

#[test]
fn a_subscriber_that_gets_lost_is_found() {
    finds(Plant::LostSubscriber, topics::two_subscribers_at_once, "");
}

#[test]
fn a_restart_of_what_runs_is_found() {
    finds(Plant::DoubleRestart, supervisors::a_kill_beside_a_failure, "twice at once");
}

/// Checks that the fault shows in a test that holds without it, that its message says this, and that its seed finds it again.
fn finds(plant: Plant, test: fn(), says: &str) {
    let found = explore(0..ENOUGH, Some(plant), test).expect("the fault shows");
    eprintln!("{plant:?}: seed {}: {}", found.seed, found.message);
    assert!(found.message.contains(says), "{}", found.message);
    let seeds = found.seed..found.seed + 1;
    assert_eq!(explore(seeds.clone(), Some(plant), test), Some(found), "the same again");
    assert_eq!(explore(seeds, None, test), None, "not without the fault");
}
