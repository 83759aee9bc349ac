//! An OS thread as a child.

use std::sync::Arc;
use std::time::Duration;

use crate::child::{Body, Launch};
use crate::exit::Failure;
use crate::life::{Life, Order};
use crate::park;
use crate::stats::Stats;
use crate::task::{BusyGuard, IdleGuard, PatientGuard};

/// The context of a thread: its orders, its watchdog and its counters. Clones speak for the same incarnation.
#[derive(Clone)]
pub struct ThreadContext {
    pub(crate) life: Arc<Life>,
}

impl ThreadContext {
    /// Returns the thread's name.
    pub fn name(&self) -> &str {
        &self.life.process.name
    }

    /// Reports the thread as started, so that the children after it can start.
    pub fn ready(&self) {
        // The watchdog measures from the start, not from the first beat.
        self.life.beat();
        self.life.ready();
    }

    /// Returns true once the thread was told to stop. It stays true for a thread that was left behind.
    pub fn stopping(&self) -> bool {
        self.life.is_stopping()
    }

    /// Sleeps for this long, or until the thread is told to stop. Returns true if it was.
    pub fn sleep(&self, time: Duration) -> bool {
        park::wait(std::pin::pin!(self.life.ordered(Order::Restart)), time).is_some()
    }

    /// Tells the watchdog that the thread makes progress. Injected faults act here, too.
    pub fn beat(&self) {
        self.life.beat();
        self.life.suffer_blocking();
    }

    /// Keeps the watchdog away while the guard is held, for waits that may take any time.
    pub fn idle(&self) -> IdleGuard {
        IdleGuard::new(self.life.clone())
    }

    /// Keeps the watchdog away while the guard is held, for a wait that should end but must not be broken off, such as one for a
    /// disk. Beyond the limit of the watchdog the process counts as [hung](crate::ProcessInfo::hung), which is logged once.
    pub fn patient(&self) -> PatientGuard {
        PatientGuard::new(self.life.clone())
    }

    /// Counts the time until the guard is dropped as busy.
    pub fn busy(&self) -> BusyGuard {
        BusyGuard::new(self.stats())
    }

    /// Returns the thread's counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.life.process.stats.clone()
    }
}

pub(crate) struct ThreadBody<F> {
    run: Arc<F>,
}

impl<F> ThreadBody<F> {
    pub(crate) fn new(run: F) -> Self {
        ThreadBody { run: Arc::new(run) }
    }
}

impl<F: Fn(ThreadContext) -> Result<(), Failure> + Send + Sync + 'static> Body for ThreadBody<F> {
    fn start(&mut self, launch: Launch) {
        let run = self.run.clone();
        let context = ThreadContext { life: launch.life.clone() };
        launch.thread(move || run(context));
    }
}
