//! The cores of `vagn-otp` under many orders of events. The name of each test is a sentence about it.
//!
//! A failure names its seed, and `VAGN_SEED` runs that one again. `VAGN_LONG` tries a hundred thousand for each test.

mod faults;
mod queues;
mod supervisors;
mod topics;

use std::env;

use shuttle::{future, thread};
use vagn_schedules::sync::schedules::explore;

/// Schedules of each test in a usual run.
const SLICE: u64 = 2_000;

/// Checks that `test` holds under every schedule that is tried.
fn holds(test: fn()) {
    let seed = env::var("VAGN_SEED").ok().map(|seed| seed.parse::<u64>().expect("VAGN_SEED is a number"));
    let all = if env::var_os("VAGN_LONG").is_some() { 50 * SLICE } else { SLICE };
    let seeds = seed.map_or(0..all, |seed| seed..seed + 1);
    if let Some(found) = explore(seeds, None, test) {
        panic!("fails with VAGN_SEED={}: {}", found.seed, found.message);
    }
}

/// Waits for the end of a thread.
fn joined<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("a panic ends the schedule")
}

/// Waits for the end of a task.
fn waited<T>(task: future::JoinHandle<T>) -> T {
    future::block_on(task).expect("no task is aborted")
}
