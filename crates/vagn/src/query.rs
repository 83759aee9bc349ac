//! Queries: a pool of workers that read the live fleet and change nothing.
//!
//! The queue in front of them is bounded and every question has a deadline, so that whoever asks hears soon that there
//! is too much to do.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use vagn_otp::{Ask, CallError, ChildSpec, Pool, Queue, Worker};
use vagn_store::{BBox, Fleet, Hit, Nearby, NotReady, Vehicle, VehicleIdBuf};

/// Longest a question may take, its time in the queue included.
const DEADLINE: Duration = Duration::from_secs(2);

/// What can be asked.
#[derive(Debug, Clone, Copy)]
enum Question {
    Nearby(Nearby),
    Inside(BBox, usize),
    One(VehicleIdBuf),
}

/// What was found.
#[derive(Debug)]
enum Found {
    Hits(Vec<Hit>),
    Vehicles(Vec<Vehicle>),
    Vehicle(Option<Box<Vehicle>>),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// A part of the fleet is not there: recovering, or being restarted.
    #[error("a part of the fleet is not there")]
    NotReady,
    /// No worker could take it.
    #[error(transparent)]
    Pool(#[from] CallError),
}

type Job = Ask<Question, Result<Found, NotReady>>;

/// Asks the pool. Cheap to clone.
#[derive(Clone)]
pub struct Queries {
    pool: Pool<Job>,
}

/// The pool, and the child that runs its workers.
pub fn pool(
    workers: usize,
    queue: usize,
    nice: i32,
    hang_limit: Duration,
    fleet: Arc<Fleet>,
) -> (Queries, ChildSpec) {
    let (pool, child) = Pool::<Job>::builder("queries")
        .workers(workers)
        .lane("queries", &Queue::new(queue))
        .nice(nice)
        .watchdog(hang_limit)
        .child(move |number| QueryWorker { number, fleet: fleet.clone() });
    (Queries { pool }, child)
}

impl Queries {
    /// The nearest vehicles, nearest first.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn nearby(&self, nearby: Nearby) -> Result<Vec<Hit>, Unanswered> {
        match self.ask(Question::Nearby(nearby)).await? {
            Found::Hits(hits) => Ok(hits),
            other => unreachable!("asked for the nearest, got {other:?}"),
        }
    }

    /// Up to `limit` vehicles in a box.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn inside(&self, bbox: BBox, limit: usize) -> Result<Vec<Vehicle>, Unanswered> {
        match self.ask(Question::Inside(bbox, limit)).await? {
            Found::Vehicles(vehicles) => Ok(vehicles),
            other => unreachable!("asked for a box, got {other:?}"),
        }
    }

    /// One vehicle, if it is known.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn one(&self, id: VehicleIdBuf) -> Result<Option<Vehicle>, Unanswered> {
        match self.ask(Question::One(id)).await? {
            Found::Vehicle(vehicle) => Ok(vehicle.map(|vehicle| *vehicle)),
            other => unreachable!("asked for one vehicle, got {other:?}"),
        }
    }

    async fn ask(&self, question: Question) -> Result<Found, Unanswered> {
        let answer = match self.pool.call(question, DEADLINE).await {
            // Lost with its worker, perhaps to another's fault: asking changes nothing, so it may be asked once more.
            Err(CallError::Crashed) => self.pool.call(question, DEADLINE).await?,
            answer => answer?,
        };
        answer.map_err(|NotReady| Unanswered::NotReady)
    }
}

struct QueryWorker {
    number: usize,
    fleet: Arc<Fleet>,
}

impl Worker<Job> for QueryWorker {
    fn handle(&mut self, job: Job) {
        debug!(worker = self.number, question = ?job.request(), "query");
        job.answer(|question| find(&self.fleet, question));
    }
}

fn find(fleet: &Fleet, question: Question) -> Result<Found, NotReady> {
    Ok(match question {
        Question::Nearby(nearby) => Found::Hits(fleet.nearby(&nearby)?),
        Question::Inside(bbox, limit) => Found::Vehicles(fleet.bbox(&bbox, limit)?),
        Question::One(id) => Found::Vehicle(fleet.get(id.key())?.map(Box::new)),
    })
}
