//! Queries: a pool of workers that read the live fleet and change nothing.
//!
//! The queue in front of them is bounded and every question has a deadline, so that the asker hears soon that there is too
//! much to do. Where the fleet lies on many machines, a question goes to the owners of its shards, and the pool joins their answers.

mod metrics;
mod room;
mod scatter;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use vagn_otp::{Ask, CallError, ChildSpec, Pool, Queue, Worker};
use vagn_store::{Answer, Fleet, NotReady, Question, Whole};

pub use metrics::AnswerMetrics;
pub use room::Room;
use scatter::Scatter;
pub use scatter::{Asking, NodeShards, Shards};

/// Longest a question may take, its time in the queue included.
const DEADLINE: Duration = Duration::from_secs(2);

/// The reason that there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// A part of the fleet is not there: recovering, or being restarted.
    #[error("a part of the fleet is not there")]
    NotReady,
    /// No worker could take it.
    #[error(transparent)]
    Pool(#[from] CallError),
    /// It could not be put to other nodes.
    #[error(transparent)]
    Node(#[from] vagn_nats::Unavailable),
}

/// A look at the fleet: its name, for the log, and the way to find its answer.
struct Look<F> {
    name: &'static str,
    find: F,
}

/// A look whose answer may be anything: it carries the way back itself.
struct Query {
    name: &'static str,
    run: Box<dyn FnOnce(&Fleet) + Send>,
}

impl<F, R> From<Ask<Look<F>, R>> for Query
where
    F: FnOnce(&Fleet) -> R + Send + 'static,
    R: Send + 'static,
{
    fn from(ask: Ask<Look<F>, R>) -> Self {
        let name = ask.request().name;
        Self { name, run: Box::new(move |fleet| ask.answer(|look| (look.find)(fleet))) }
    }
}

/// Asks the fleet. Cheap to clone.
#[derive(Clone)]
pub struct Queries {
    pool: Pool<Query>,
    /// The way to the shards, where the fleet lies on many machines.
    scatter: Option<Arc<Scatter>>,
}

/// Returns the pool, and the child that runs its workers.
pub fn pool(
    workers: usize,
    queue: usize,
    nice: i32,
    hang_limit: Duration,
    fleet: Arc<Fleet>,
) -> (Queries, ChildSpec) {
    let (pool, child) = Pool::<Query>::builder("queries")
        .workers(workers)
        .lane("queries", &Queue::new(queue))
        .nice(nice)
        .watchdog(hang_limit)
        .child(move |number| QueryWorker { number, fleet: fleet.clone() });
    (Queries { pool, scatter: None }, child)
}

impl Queries {
    /// Returns the same pool, and questions go to these shards. Their answers are counted.
    pub fn over(self, shards: Arc<dyn Shards>, metrics: AnswerMetrics) -> Self {
        Self { scatter: Some(Arc::new(Scatter::new(shards, metrics))), ..self }
    }

    /// Asks the whole fleet. On one machine there is no answer while a part of it is missing; over many the answer names what is
    /// missing, and there is none only where nothing was found out.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn ask(&self, question: Question) -> Result<Whole<Answer>, Unanswered> {
        match &self.scatter {
            None => self.find(question.name(), move |fleet| question.ask(fleet)).await.map(Whole::here),
            Some(scatter) => scatter.ask(question, self).await,
        }
    }

    /// Finds out what `find` finds in the fleet of this node.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn find<F, T>(&self, name: &'static str, find: F) -> Result<T, Unanswered>
    where
        F: Fn(&Fleet) -> Result<T, NotReady> + Clone + Send + 'static,
        T: Send + 'static,
    {
        self.find_within(DEADLINE, name, find).await
    }

    async fn find_within<F, T>(&self, within: Duration, name: &'static str, find: F) -> Result<T, Unanswered>
    where
        F: Fn(&Fleet) -> Result<T, NotReady> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let answer = match self.pool.call(Look { name, find: find.clone() }, within).await {
            // Lost with its worker, perhaps to another's fault: asking changes nothing, so it may be asked once more.
            Err(CallError::Crashed) => self.pool.call(Look { name, find }, within).await?,
            answer => answer?,
        };
        answer.map_err(|NotReady| Unanswered::NotReady)
    }
}

struct QueryWorker {
    number: usize,
    fleet: Arc<Fleet>,
}

impl Worker<Query> for QueryWorker {
    fn handle(&mut self, query: Query) {
        debug!(worker = self.number, question = query.name, "query");
        (query.run)(&self.fleet);
    }
}
