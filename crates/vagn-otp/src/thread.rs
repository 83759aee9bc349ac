//! A plain OS thread as a child.

use std::sync::Arc;
use std::time::Duration;

use crate::child::{Body, Launch};
use crate::exit::Failure;
use crate::life::{Life, Order};
use crate::park;
use crate::stats::Stats;
use crate::task::{BusyGuard, IdleGuard};

/// What a thread knows of its own life. Clones speak for the same incarnation.
#[derive(Clone)]
pub struct ThreadContext {
    pub(crate) life: Arc<Life>,
}

impl ThreadContext {
    /// The thread's name.
    pub fn name(&self) -> &str {
        &self.life.process.name
    }

    /// The thread has started; those after it may.
    pub fn ready(&self) {
        self.life.beat();
        self.life.ready();
    }

    /// True once the thread was told to stop. Stays true for a thread that was left behind.
    pub fn stopping(&self) -> bool {
        self.life.is_stopping()
    }

    /// Sleeps for this long or until told to stop, which it then says.
    pub fn sleep(&self, time: Duration) -> bool {
        park::wait(std::pin::pin!(self.life.ordered(Order::Restart)), time).is_some()
    }

    /// Tells the watchdog that the thread is getting on; also where injected faults act.
    pub fn beat(&self) {
        self.life.beat();
        self.life.suffer_blocking();
    }

    /// Keeps the watchdog away while the guard is held: for waits that may take any time.
    pub fn idle(&self) -> IdleGuard {
        IdleGuard::new(self.life.clone())
    }

    /// Counts the time until the guard is dropped as busy.
    pub fn busy(&self) -> BusyGuard {
        BusyGuard::new(self.stats())
    }

    /// The thread's counters.
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
