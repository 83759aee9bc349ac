//! The scheduler: each seed is one order of all steps.
//!
//! Every other seed chooses the next task by chance at every step. The others give each task a priority and change it at a few
//! steps only, which finds faults that need a task to be put off for long (Burckhardt et al., *A Randomized Scheduler with
//! Probabilistic Guarantees of Finding Bugs*, 2010).

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

use super::SEED;

/// Steps at which a priority changes, in a schedule by priorities.
const CHANGES: usize = 3;

/// One step in so many lets time go on though others could run: everything may be slow.
const EARLY: usize = 200;

/// Number of the task that is the clock.
const CLOCK: usize = 1;

pub(super) struct Chance {
    seeds: Range<u64>,
    rng: Rng,
    /// Priorities by task, when this schedule has them.
    priorities: Option<BTreeMap<usize, u32>>,
    changes: [usize; CHANGES],
    /// Lowest priority given so far. Lower ones are given to tasks that have had their turn.
    lowest: u32,
    steps: usize,
}

impl Chance {
    pub(super) fn new(seeds: Range<u64>) -> Chance {
        Chance {
            seeds,
            rng: Rng::with_seed(0),
            priorities: None,
            changes: [0; CHANGES],
            lowest: u32::MAX / 2,
            steps: 0,
        }
    }

    fn by_priority(&mut self, tasks: &[usize], current: Option<TaskId>, gives_way: bool) -> Option<usize> {
        let priorities = self.priorities.as_mut()?;
        for task in tasks {
            priorities.entry(*task).or_insert_with(|| self.rng.u32(u32::MAX / 2..));
        }
        if let Some(current) = current.filter(|_| gives_way || self.changes.contains(&self.steps)) {
            self.lowest -= 1;
            priorities.insert(current.into(), self.lowest);
        }
        tasks.iter().copied().max_by_key(|task| priorities[task])
    }
}

impl Scheduler for Chance {
    fn new_execution(&mut self) -> Option<Schedule> {
        let seed = self.seeds.next()?;
        SEED.set(seed);
        self.rng = Rng::with_seed(seed);
        self.priorities = (seed % 2 == 1).then(BTreeMap::new);
        self.lowest = u32::MAX / 2;
        self.steps = 0;
        // A fixed length, for a seed must lead to the same schedule whatever ran before it.
        self.changes = std::array::from_fn(|_| self.rng.usize(..300));
        Some(Schedule::new(seed))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, gives_way: bool) -> Option<TaskId> {
        self.steps += 1;
        let early = self.rng.usize(..EARLY) == 0;
        let all = runnable.iter().map(|task| usize::from(task.id()));
        let others: Vec<usize> = all.clone().filter(|task| *task != CLOCK).collect();
        if others.is_empty() || (early && all.clone().any(|task| task == CLOCK)) {
            return Some(TaskId::from(CLOCK));
        }
        let chosen = self.by_priority(&others, current, gives_way);
        Some(TaskId::from(chosen.unwrap_or_else(|| others[self.rng.usize(..others.len())])))
    }

    fn next_u64(&mut self) -> u64 {
        self.rng.u64(..)
    }
}
