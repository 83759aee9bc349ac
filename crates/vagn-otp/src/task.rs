//! An async task as a child.

use std::future::Future;
use std::sync::Arc;

use crate::child::{Body, Launch};
use crate::exit::Failure;
use crate::life::{Life, Order};
use crate::stats::Stats;
use crate::sync::time::Instant;

/// The context of a task: its orders, its watchdog and its counters. Clones speak for the same incarnation.
#[derive(Clone)]
pub struct TaskContext {
    life: Arc<Life>,
}

impl TaskContext {
    /// Returns the task's name.
    pub fn name(&self) -> &str {
        &self.life.process.name
    }

    /// Reports the task as started, so that the children after it can start.
    pub fn ready(&self) {
        // The watchdog measures from the start, not from the first beat.
        self.life.beat();
        self.life.ready();
    }

    /// Waits until the task is told to stop.
    pub async fn stopping(&self) {
        self.life.ordered(Order::Restart).await;
    }

    /// Returns true once the task was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.life.is_stopping()
    }

    /// Tells the watchdog that the task makes progress. Injected faults act here, too.
    pub async fn beat(&self) {
        self.life.beat();
        self.life.suffer().await;
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

    /// Returns the task's counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.life.process.stats.clone()
    }
}

/// Keeps the watchdog away while it is held.
pub struct IdleGuard {
    life: Arc<Life>,
}

impl IdleGuard {
    pub(crate) fn new(life: Arc<Life>) -> Self {
        life.idle();
        IdleGuard { life }
    }
}

impl Drop for IdleGuard {
    fn drop(&mut self) {
        // Measured from now, not from before the wait.
        self.life.beat();
    }
}

/// Keeps the watchdog away while it is held, for a wait that should end: if it does not, the process is listed as hung.
pub struct PatientGuard {
    life: Arc<Life>,
}

impl PatientGuard {
    pub(crate) fn new(life: Arc<Life>) -> Self {
        life.be_patient();
        PatientGuard { life }
    }
}

impl Drop for PatientGuard {
    fn drop(&mut self) {
        self.life.end_patience();
        self.life.beat();
    }
}

/// Counts time as busy while it is held.
pub struct BusyGuard {
    stats: Arc<Stats>,
    since: Instant,
}

impl BusyGuard {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        BusyGuard { stats, since: Instant::now() }
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.stats.add_busy(self.since.elapsed());
    }
}

pub(crate) struct TaskBody<F> {
    run: F,
}

impl<F> TaskBody<F> {
    pub(crate) fn new(run: F) -> Self {
        TaskBody { run }
    }
}

impl<F, T> Body for TaskBody<F>
where
    F: Fn(TaskContext) -> T + Send + Sync + 'static,
    T: Future<Output = Result<(), Failure>> + Send + 'static,
{
    fn start(&mut self, launch: Launch) {
        let context = TaskContext { life: launch.life.clone() };
        // `run` is called on the supervisor's own task, which must survive a panic in it.
        match crate::fault::catch(|| (self.run)(context)) {
            Ok(work) => launch.future(work),
            Err(panic) => launch.life.end(panic),
        }
    }
}
