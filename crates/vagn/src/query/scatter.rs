//! Questions to a fleet on many machines: one to each shard, and one answer of all theirs.
//!
//! What did not answer is named. An answer that cannot be read, or is to another question, is none.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vagn_cluster::{ShardAnswer, ShardId};
use vagn_nats::Answered;
use vagn_otp::CallError;
use vagn_shard::question::{read_answer, write_question};
use vagn_shard::shard_of;
use vagn_store::{Age, Answer, Fleet, Question, Whole};

use super::metrics::AnswerMetrics;
use super::room::{Room, Rooms};
use super::{DEADLINE, Queries, Unanswered};
use crate::cluster::NodeLink;

/// Time after which a shard that has not answered is missing. What is left of the deadline is for joining the answers.
const SHARDS_WITHIN: Duration = DEADLINE.saturating_sub(Duration::from_millis(250));

/// Memory of a vehicle in the answer of a shard, in bytes: as it came, and as it is read.
const VEHICLE_LEN: usize = 384;

/// Answers of shards, or nobody could be asked.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answered, Unanswered>> + Send + 'a>>;

/// The way to the shards of a fleet.
pub trait Shards: Send + Sync {
    /// Returns the number of shards of the data set; `None` while it is not known. A vehicle is sought by it, and what is not asked is not
    /// missed, so a guess would give wrong answers that look whole.
    fn count(&self) -> Option<u16>;

    /// Puts a question, in its byte form, to these shards (none: all). It ends soon after this time with those that answered. The room is
    /// held until then, also when nobody waits any more: answers come all the same.
    fn ask(&self, shards: Vec<ShardId>, question: Vec<u8>, within: Duration, room: Arc<Room>) -> Asking<'_>;
}

/// The way over the node of this machine.
pub struct NodeShards<S>(NodeLink<S>);

impl<S> NodeShards<S> {
    /// Returns the way over this node.
    pub fn new(node: NodeLink<S>) -> Self {
        Self(node)
    }
}

impl<S: Send + 'static> Shards for NodeShards<S> {
    fn count(&self) -> Option<u16> {
        self.0.shards()
    }

    fn ask(&self, shards: Vec<ShardId>, question: Vec<u8>, within: Duration, room: Arc<Room>) -> Asking<'_> {
        let node = self.0.handle();
        Box::pin(async move {
            let Ok(node) = node else { return Err(Unanswered::NotReady) };
            let answered = node.ask_holding(shards, question, within, Box::new(room)).await;
            // One that has ended is started anew.
            answered.map_err(|busy| if node.has_ended() { Unanswered::NotReady } else { busy.into() })
        })
    }
}

/// Asks shards, within bounds of time and memory.
pub(super) struct Scatter {
    shards: Arc<dyn Shards>,
    rooms: Rooms,
    metrics: AnswerMetrics,
}

impl Scatter {
    pub(super) fn new(shards: Arc<dyn Shards>, metrics: AnswerMetrics) -> Self {
        Self { shards, rooms: Rooms::new(), metrics }
    }

    /// Asks the shards that may know, and lets a worker of the pool join what they say.
    pub(super) async fn ask(
        &self,
        question: Question,
        queries: &Queries,
    ) -> Result<Whole<Answer>, Unanswered> {
        let end = Instant::now() + DEADLINE;
        let count = self.shards.count().ok_or(Unanswered::NotReady)?;
        let asked = match &question {
            Question::One { id, .. } => vec![shard_of(id.key(), count.into()) as u16],
            _ => (0..count).collect(),
        };
        let room = self.rooms.take(size(&question, asked.len()), end).ok_or(CallError::Full)?;
        let answers = self.answers(&question, &asked, end, room.clone()).await?;
        let (name, is_one) = (question.name(), matches!(question, Question::One { .. }));
        let (answers, asked) = (Arc::new(answers), Arc::new(asked));
        let join = move |_: &Fleet| Ok(join(&question, &asked, &answers));
        let left = end.saturating_duration_since(Instant::now());
        let (answer, has_any) = queries.find_within(left, name, join).await?;
        drop(room);
        // Of one vehicle the missing shard is told by its number; a list of nothing would only mislead.
        if !has_any && !is_one {
            return Err(Unanswered::NotReady);
        }
        self.metrics.answered(name, answer.is_partial());
        Ok(answer)
    }

    async fn answers(
        &self,
        question: &Question,
        asked: &[u16],
        end: Instant,
        room: Arc<Room>,
    ) -> Result<Vec<ShardAnswer>, Unanswered> {
        let mut bytes = Vec::new();
        write_question(question, &mut bytes);
        let shards = asked.iter().copied().map(ShardId).collect();
        // The node ends it in time, unless the node itself stands still.
        let answered = timeout_at(end, self.shards.ask(shards, bytes, SHARDS_WITHIN, room)).await;
        Ok(answered.map_err(|_| CallError::Timeout)??.shards)
    }
}

/// Returns the memory that answers of so many shards may take, in bytes.
fn size(question: &Question, shards: usize) -> usize {
    let vehicles = match question {
        Question::Nearest { nearby, .. } => nearby.k,
        Question::Inside { limit, .. } => *limit,
        Question::One { .. } | Question::Count => 1,
    };
    (vehicles * shards).saturating_mul(VEHICLE_LEN)
}

/// Joins answers of the shards that were asked, and tells whether there was any. One at a time is read: together they may be
/// far more than what is wanted.
fn join(question: &Question, asked: &[u16], answers: &[ShardAnswer]) -> (Whole<Answer>, bool) {
    let mut missing_shards = asked.to_vec();
    let mut age = Age::Now;
    let of_shards = answers.iter().filter_map(|of_shard| {
        let at = missing_shards.iter().position(|shard| *shard == of_shard.shard.0)?;
        let answer = read_answer(&of_shard.bytes).ok().filter(|answer| question.is_answered_by(answer))?;
        missing_shards.remove(at);
        age = age.max(age_of(of_shard));
        Some(answer)
    });
    let value = question.join(of_shards);
    let has_any = age > Age::Now;
    (Whole { value, missing_shards, age }, has_any)
}

/// An owner that never had all since its start does not know how old what it has is. It says the greatest number.
fn age_of(answer: &ShardAnswer) -> Age {
    if answer.age_ms == u64::MAX { Age::Unknown } else { Age::Ms(answer.age_ms) }
}
