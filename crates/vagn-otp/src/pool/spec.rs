//! The specification of a pool.

use std::sync::Arc;
use std::time::Duration;

use super::{Closer, Hire, Lanes, Pool, PoolCore, Queue, Worker};
use crate::child::{ChildSpec, DEFAULT_SHUTDOWN};
use crate::exit::Failure;
use crate::incarnation::Handling;
use crate::process::Kind;
use crate::queue::Backlog;
use crate::supervisor::{Strategy, Supervisor};
use crate::sync::Mutex;
use crate::sync::time::Instant;
use crate::thread::ThreadContext;

/// Jobs that may wait in a pool's only lane, if no lane was named. Large, so that a burst is not refused.
const DEFAULT_CAPACITY: usize = 1024;

/// Specification of a pool: one worker and one lane, unless changed.
#[must_use = "a pool runs only under a supervisor"]
pub struct PoolBuilder<J> {
    name: String,
    workers: usize,
    lanes: Vec<(String, Queue<J>)>,
    settings: Settings,
}

#[derive(Clone, Copy)]
struct Settings {
    shutdown: Duration,
    watchdog: Option<Duration>,
    nice: Option<i32>,
    repair: Repair,
}

/// The way a crashed worker is replaced.
#[derive(Clone, Copy)]
enum Repair {
    Backoff(Duration, Duration),
    Intensity(usize, Duration),
}

impl<J: Send + 'static> PoolBuilder<J> {
    pub(super) fn new(name: &str) -> Self {
        let settings = Settings {
            shutdown: DEFAULT_SHUTDOWN,
            watchdog: None,
            nice: None,
            // Poison jobs slow a pool down; they do not end it.
            repair: Repair::Backoff(Duration::from_millis(1), Duration::from_secs(1)),
        };
        PoolBuilder { name: name.to_owned(), workers: 1, lanes: Vec::new(), settings }
    }

    /// Sets the number of workers (at least one).
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Adds a lane. [`Pool::call`] uses the first one.
    pub fn lane(mut self, name: &str, queue: &Queue<J>) -> Self {
        self.lanes.push((name.to_owned(), queue.clone()));
        self
    }

    /// Sets the nice value of the workers' threads, -20 (first) to 19 (last).
    pub fn nice(mut self, level: i32) -> Self {
        self.settings.nice = Some(level);
        self
    }

    /// Sets the time that each worker may take at a stop to finish the jobs in the lanes.
    pub fn shutdown(mut self, within: Duration) -> Self {
        self.settings.shutdown = within;
        self
    }

    /// Replaces a worker as hung when one job takes longer than this.
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.settings.watchdog = Some(limit);
        self
    }

    /// Sets the pause before a crashed worker is replaced: it doubles from `min` to `max`, and is `min` again after a run of
    /// `max`. Without this: 1 ms to 1 s.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.settings.repair = Repair::Backoff(min, max);
        self
    }

    /// Replaces crashed workers at once, and gives up if more than `restarts` crash within any such period.
    pub fn intensity(mut self, restarts: usize, period: Duration) -> Self {
        self.settings.repair = Repair::Intensity(restarts, period);
        self
    }

    /// Returns the pool, and the child that runs it. `new` makes the state of each worker, given its number from 0.
    pub fn child<W: Worker<J>>(
        mut self,
        new: impl Fn(usize) -> W + Send + Sync + 'static,
    ) -> (Pool<J>, ChildSpec) {
        if self.lanes.is_empty() {
            self.lanes.push(("jobs".to_owned(), Queue::new(DEFAULT_CAPACITY)));
        }
        let queues: Vec<Queue<J>> = self.lanes.iter().map(|(_, queue)| queue.clone()).collect();
        let mut supervisor = Supervisor::new(&self.name, Strategy::OneForOne);
        if let Repair::Intensity(restarts, period) = self.settings.repair {
            supervisor = supervisor.intensity(restarts, period);
        }
        let watched = queues.clone();
        supervisor.watch_queue(Box::new(move || {
            watched.iter().map(Queue::backlog).fold(Backlog::default(), Backlog::merge)
        }));
        let closer = Arc::new(Closer { lanes: queues });
        let core = PoolCore {
            name: self.name,
            lanes: self.lanes,
            closer: Arc::downgrade(&closer),
            hire: hire(self.settings, new),
            seats: Mutex::new(Vec::new()),
            supervisor: supervisor.handle(),
            resizing: tokio::sync::Mutex::new(()),
        };
        let (seats, specs): (Vec<_>, Vec<_>) =
            (0..self.workers).map(|index| core.seat(index, closer.clone())).unzip();
        *core.seats.lock() = seats;
        (Pool { core: Arc::new(core) }, ChildSpec::supervisor(supervisor.children(specs)))
    }
}

fn hire<J: Send + 'static, W: Worker<J>>(
    settings: Settings,
    new: impl Fn(usize) -> W + Send + Sync + 'static,
) -> Hire<J> {
    let new = Arc::new(new);
    Box::new(move |seat, closer| {
        let new = new.clone();
        let index = seat.index;
        let own = seat.own.clone();
        let mut spec = ChildSpec::worker(&seat.name, Kind::Worker, move |ctx| {
            let lanes = Lanes::new(own.clone(), closer.lanes.clone());
            work(new(index), lanes, &ctx)
        });
        spec = spec.shutdown(settings.shutdown);
        if let Some(limit) = settings.watchdog {
            spec = spec.watchdog(limit);
        }
        if let Some(level) = settings.nice {
            spec = spec.nice(level);
        }
        if let Repair::Backoff(min, max) = settings.repair {
            spec = spec.backoff(min, max);
        }
        spec
    })
}

fn work<J, W: Worker<J>>(mut worker: W, mut lanes: Lanes<J>, ctx: &ThreadContext) -> Result<(), Failure> {
    ctx.life.ready();
    let mut now = Instant::now();
    while let Some(job) = lanes.next(&ctx.life, now) {
        let handling = Handling::begin(&ctx.life, Instant::now());
        ctx.life.suffer_blocking();
        worker.handle(job);
        now = Instant::now();
        handling.finish(now);
    }
    worker.stopped();
    Ok(())
}
