//! A pool: several workers, each on a thread of its own, that share one or more lanes of jobs.
//!
//! The lanes live outside the workers, so a worker that panics loses the job in its hands and nothing else. Each worker is a
//! supervised child; lanes are served in turn, so that a flood in one does not starve another.

mod ask;
mod lanes;
mod spec;

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::child::ChildSpec;
use crate::park;
use crate::queue::{PushError, Queue};
use crate::reply::{Answer, CallError, Reply, outcome};
use crate::stats::Stats;
use crate::supervisor::{StartError, SupervisorHandle};
use crate::sync::{Mutex, time};
pub use ask::Ask;
use lanes::Lanes;
pub use spec::PoolBuilder;

/// Does jobs, one after another. It has a thread to itself, and may block it or compute for long.
pub trait Worker<J>: Send + 'static {
    /// Does one job. A panic loses this job and restarts the worker.
    fn handle(&mut self, job: J);

    /// Runs after the last job of a graceful stop.
    fn stopped(&mut self) {}
}

impl<J, F: FnMut(J) + Send + 'static> Worker<J> for F {
    fn handle(&mut self, job: J) {
        self(job);
    }
}

/// Address of a pool. Cheap to clone.
pub struct Pool<J> {
    core: Arc<PoolCore<J>>,
}

struct PoolCore<J> {
    name: String,
    lanes: Vec<(String, Queue<J>)>,
    /// Gone once the pool has ended for good.
    closer: Weak<Closer<J>>,
    hire: Hire<J>,
    seats: Mutex<Vec<Seat<J>>>,
    supervisor: SupervisorHandle,
    /// One resize at a time.
    resizing: tokio::sync::Mutex<()>,
}

/// Makes the spec of a worker.
type Hire<J> = Box<dyn Fn(&Seat<J>, Arc<Closer<J>>) -> ChildSpec + Send + Sync>;

/// The place of a worker, kept over its restarts.
struct Seat<J> {
    index: usize,
    name: String,
    /// Jobs for this worker alone.
    own: Queue<J>,
    stats: Arc<Stats>,
}

/// Held by the spec of every worker. When the last is gone, the jobs left in the lanes are dropped.
struct Closer<J> {
    lanes: Vec<Queue<J>>,
}

impl<J> Drop for Closer<J> {
    fn drop(&mut self) {
        for lane in &self.lanes {
            lane.close();
            // To drop a question tells its caller.
            lane.drain();
        }
    }
}

/// Broadcast jobs that may wait for one worker. They are rare, such as to load new settings.
const BROADCASTS: usize = 64;

impl<J: Send + 'static> Pool<J> {
    /// Begins the specification of a pool.
    pub fn builder(name: &str) -> PoolBuilder<J> {
        PoolBuilder::new(name)
    }

    /// Returns the pool's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Returns the lane of this name.
    pub fn lane(&self, name: &str) -> Option<&Queue<J>> {
        self.core.lanes.iter().find(|(other, _)| other == name).map(|(_, lane)| lane)
    }

    /// Puts a job into the first lane, or gives it back. Never waits.
    pub fn try_push(&self, job: J) -> Result<(), PushError<J>> {
        self.first_lane().try_push(job)
    }

    /// Asks a question through the first lane, and waits for the answer at most this long. Never waits for room: a pool that
    /// cannot keep up answers `Full` at once. The crash of a worker is answered at once, too. If the future is dropped, a question
    /// still in the lane is not worked on.
    pub async fn call<Q, R>(&self, request: Q, within: Duration) -> Result<R, CallError>
    where
        J: From<Ask<Q, R>>,
    {
        let answer = self.ask(request)?;
        time::timeout(within, answer).await.map_or(Err(CallError::Timeout), outcome)
    }

    /// [`call`](Self::call) from a plain thread, which sleeps meanwhile.
    pub fn call_blocking<Q, R>(&self, request: Q, within: Duration) -> Result<R, CallError>
    where
        J: From<Ask<Q, R>>,
    {
        let answer = self.ask(request)?;
        park::wait(std::pin::pin!(answer), within).map_or(Err(CallError::Timeout), outcome)
    }

    fn ask<Q, R>(&self, request: Q) -> Result<Answer<R>, CallError>
    where
        J: From<Ask<Q, R>>,
    {
        let (reply, answer) = Reply::new();
        match self.try_push(Ask { request, reply }.into()) {
            Ok(()) => Ok(answer),
            Err(PushError::Full(_)) => Err(CallError::Full),
            Err(PushError::Closed(_)) => Err(CallError::Down),
        }
    }

    /// Gives every worker a copy, to be done before its next job. Returns the number of workers that had room for it.
    pub fn broadcast(&self, job: &J) -> usize
    where
        J: Clone,
    {
        let seats = self.core.seats.lock();
        seats.iter().filter(|seat| seat.own.try_push(job.clone()).is_ok()).count()
    }

    /// Returns the number of workers.
    pub fn size(&self) -> usize {
        self.core.seats.lock().len()
    }

    /// Returns the name and the counters of every worker.
    pub fn workers(&self) -> Vec<(String, Arc<Stats>)> {
        self.core.seats.lock().iter().map(|seat| (seat.name.clone(), seat.stats.clone())).collect()
    }

    /// Adds or removes workers until there are `size` (at least one). A worker that is removed finishes its job.
    pub async fn resize(&self, size: usize) -> Result<(), StartError> {
        let _one_at_a_time = self.core.resizing.lock().await;
        let size = size.max(1);
        while self.size() > size {
            self.dismiss().await;
        }
        while self.size() < size {
            // One after another, as each name comes from the size.
            self.hire().await?;
        }
        Ok(())
    }

    async fn hire(&self) -> Result<(), StartError> {
        let closer = self.core.closer.upgrade().ok_or(StartError::Down)?;
        let (seat, spec) = self.core.seat(self.size(), closer);
        self.core.supervisor.add(spec).await?;
        self.core.seats.lock().push(seat);
        Ok(())
    }

    async fn dismiss(&self) {
        let seat = self.core.seats.lock().pop();
        if let Some(seat) = seat {
            self.core.supervisor.remove(&seat.name).await;
        }
    }

    fn first_lane(&self) -> &Queue<J> {
        &self.core.lanes[0].1
    }
}

impl<J: Send + 'static> PoolCore<J> {
    fn seat(&self, index: usize, closer: Arc<Closer<J>>) -> (Seat<J>, ChildSpec) {
        let name = format!("{}-{index}", self.name);
        let mut seat = Seat { index, name, own: Queue::new(BROADCASTS), stats: Arc::default() };
        let spec = (self.hire)(&seat, closer);
        seat.stats = spec.process.stats.clone();
        (seat, spec)
    }
}

impl<J> Clone for Pool<J> {
    fn clone(&self) -> Self {
        Pool { core: self.core.clone() }
    }
}

impl<J> std::fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pool").field(&self.core.name).finish()
    }
}
