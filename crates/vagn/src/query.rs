//! Queries: a pool of workers that read the live fleet and change nothing.
//!
//! The queue in front of them is bounded and every question has a deadline, so that the asker hears soon that there is too
//! much to do.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use vagn_otp::{Ask, CallError, ChildSpec, Pool, Queue, Worker};
use vagn_store::{Fleet, NotReady};

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
}

/// A question: its name, for the log, and the way to find its answer.
struct Question<F> {
    name: &'static str,
    find: F,
}

/// A question whose answer may be anything: it carries the way back itself.
struct Query {
    name: &'static str,
    run: Box<dyn FnOnce(&Fleet) + Send>,
}

impl<F, R> From<Ask<Question<F>, R>> for Query
where
    F: FnOnce(&Fleet) -> R + Send + 'static,
    R: Send + 'static,
{
    fn from(ask: Ask<Question<F>, R>) -> Self {
        let name = ask.request().name;
        Self { name, run: Box::new(move |fleet| ask.answer(|question| (question.find)(fleet))) }
    }
}

/// Asks the pool. Cheap to clone.
#[derive(Clone)]
pub struct Queries {
    pool: Pool<Query>,
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
    (Queries { pool }, child)
}

impl Queries {
    /// Asks what `find` finds in the fleet.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn ask<F, T>(&self, name: &'static str, find: F) -> Result<T, Unanswered>
    where
        F: Fn(&Fleet) -> Result<T, NotReady> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let answer = match self.pool.call(Question { name, find: find.clone() }, DEADLINE).await {
            // Lost with its worker, perhaps to another's fault: asking changes nothing, so it may be asked once more.
            Err(CallError::Crashed) => self.pool.call(Question { name, find }, DEADLINE).await?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use vagn_otp::{Root, Strategy, Supervisor};

    async fn start() -> (Queries, Root) {
        let (queries, child) = pool(1, 8, 0, Duration::from_secs(10), Arc::new(Fleet::new(1)));
        let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
        (queries, root)
    }

    #[tokio::test]
    async fn a_question_whose_worker_crashes_is_asked_once_more_and_not_twice() {
        let (queries, _root) = start().await;
        for (crashes, expected) in [(1, Ok(7)), (2, Err(Unanswered::Pool(CallError::Crashed)))] {
            let asked = Arc::new(AtomicUsize::new(0));
            let count = asked.clone();
            let answer = queries.ask("test", move |_| {
                assert!(count.fetch_add(1, Ordering::Relaxed) >= crashes, "a crash for the test");
                Ok(7)
            });
            assert_eq!(answer.await, expected);
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test]
    async fn a_fleet_with_a_gap_has_no_answer() {
        let (queries, _root) = start().await;
        let answer = queries.ask("test", |fleet| fleet.len().map(drop)).await;
        assert_eq!(answer, Err(Unanswered::NotReady));
    }
}
