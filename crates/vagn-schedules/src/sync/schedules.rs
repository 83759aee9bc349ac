//! Explores the schedules of a test, one seed after another.

mod chance;

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::{PLANTED, Plant, time};
use chance::Chance;

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Size of a task's stack in bytes. Code with checks, and log lines, needs more than the usual 32 KiB.
const STACK: usize = 256 * 1024;

/// Most steps of a schedule. One that takes more has a task that turns in a circle.
const STEPS_MAX: usize = 100_000;

/// A schedule under which the test fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Seed that leads to it again.
    pub seed: u64,
    /// Message of the panic.
    pub message: String,
}

/// Runs `test` under the schedule of each seed, with this fault planted. Returns the first under which it fails: it panics, or
/// all its tasks wait for each other.
pub fn explore(seeds: Range<u64>, plant: Option<Plant>, test: fn()) -> Option<Found> {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    let before = PLANTED.replace(plant);
    let result = catch_unwind(AssertUnwindSafe(|| {
        Runner::new(Chance::new(seeds), config).run(move || {
            time::reset();
            // The first task after this one, by which the scheduler knows it.
            drop(shuttle::future::spawn(time::run()));
            test();
        });
    }));
    PLANTED.set(before);
    result.err().map(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Found { seed: SEED.get(), message: text.unwrap_or_default() }
    })
}

/// Waits, by the model of time.
pub async fn sleep(time: Duration) {
    time::sleep(time).await;
}

/// Returns true if `work` has not ended within this time, by the model of time.
pub async fn is_late(time: Duration, work: impl Future) -> bool {
    time::timeout(time, work).await.is_err()
}
