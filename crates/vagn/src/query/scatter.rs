//! Questions to a fleet on many machines: one to each shard, and one answer of all theirs.
//!
//! What did not answer is named. An answer that cannot be read, or is to another question, is none.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use vagn_cluster::{ShardAnswer, ShardId};
use vagn_nats::{Answered, Unavailable};
use vagn_otp::CallError;
use vagn_shard::question::{read_answer, write_question};
use vagn_shard::shard_of;
use vagn_store::{Answer, Fleet, Question, Whole};

use super::{DEADLINE, Queries, Unanswered};
use crate::cluster::NodeLink;

/// Time after which a shard that has not answered is missing. What is left of the deadline is for joining the answers.
const SHARDS_WITHIN: Duration = DEADLINE.saturating_sub(Duration::from_millis(250));

/// Most memory that answers of shards may take together, in KiB. The one joined answer is accounted for by who asks.
const ROOM_KIB: u32 = 256 << 10;

/// Memory of a vehicle in the answer of a shard, in bytes: as it came, and as it is read.
const VEHICLE_LEN: usize = 384;

/// Answers of shards, or nobody could be asked.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answered, Unavailable>> + Send + 'a>>;

/// The way to the shards of a fleet.
pub trait Shards: Send + Sync {
    /// Returns the number of shards of the data set.
    fn count(&self) -> u16;

    /// Puts a question, in its byte form, to these shards (none: all). It ends soon after this time with those that answered.
    fn ask(&self, shards: Vec<ShardId>, question: Vec<u8>, within: Duration) -> Asking<'_>;
}

/// The way over the node of this machine.
pub struct NodeShards<S> {
    node: NodeLink<S>,
    count: u16,
}

impl<S> NodeShards<S> {
    /// Returns the way over this node to so many shards: all of the data set, because what is not asked is not missed.
    pub fn new(node: NodeLink<S>, count: u16) -> Self {
        Self { node, count }
    }
}

impl<S: Send + 'static> Shards for NodeShards<S> {
    fn count(&self) -> u16 {
        self.count
    }

    fn ask(&self, shards: Vec<ShardId>, question: Vec<u8>, within: Duration) -> Asking<'_> {
        let node = self.node.handle();
        Box::pin(async move { node?.ask(shards, question, within).await })
    }
}

/// Asks shards, within bounds of time and memory.
pub(super) struct Scatter {
    shards: Arc<dyn Shards>,
    room: Semaphore,
}

impl Scatter {
    pub(super) fn new(shards: Arc<dyn Shards>) -> Self {
        Self { shards, room: Semaphore::new(ROOM_KIB as usize) }
    }

    /// Asks the shards that may know, and lets a worker of the pool join what they say.
    pub(super) async fn ask(
        &self,
        question: Question,
        queries: &Queries,
    ) -> Result<Whole<Answer>, Unanswered> {
        let end = Instant::now() + DEADLINE;
        let count = self.shards.count();
        let asked = match &question {
            Question::One { id, .. } => vec![shard_of(id.key(), count.into()) as u16],
            _ => (0..count).collect(),
        };
        let _room = self.room(&question, asked.len())?;
        let answers = self.answers(&question, &asked, end).await?;
        let is_one = matches!(question, Question::One { .. });
        let (answers, asked) = (Arc::new(answers), Arc::new(asked));
        let join = move |_: &Fleet| Ok(join(&question, &asked, &answers));
        let left = end.saturating_duration_since(Instant::now());
        let (answer, has_any) = queries.find_within(left, question.name(), join).await?;
        // Of one vehicle the missing shard is told by its number; a list of nothing would only mislead.
        if has_any || is_one { Ok(answer) } else { Err(Unanswered::NotReady) }
    }

    async fn answers(
        &self,
        question: &Question,
        asked: &[u16],
        end: Instant,
    ) -> Result<Vec<ShardAnswer>, Unanswered> {
        let mut bytes = Vec::new();
        write_question(question, &mut bytes);
        let shards = asked.iter().copied().map(ShardId).collect();
        // The node ends it in time, unless the node itself stands still.
        let answered = timeout_at(end, self.shards.ask(shards, bytes, SHARDS_WITHIN)).await;
        Ok(answered.map_err(|_| CallError::Timeout)??.shards)
    }

    /// Takes room for the answers of so many shards.
    fn room(&self, question: &Question, shards: usize) -> Result<SemaphorePermit<'_>, Unanswered> {
        let vehicles = match question {
            Question::Nearest { nearby, .. } => nearby.k,
            Question::Inside { limit, .. } => *limit,
            Question::One { .. } | Question::Count => 1,
        };
        let kib = (vehicles * shards).saturating_mul(VEHICLE_LEN).div_ceil(1 << 10);
        // One that takes more than all goes alone.
        let kib = u32::try_from(kib).unwrap_or(ROOM_KIB).min(ROOM_KIB);
        self.room.try_acquire_many(kib).map_err(|_| CallError::Full.into())
    }
}

/// Joins answers of the shards that were asked, and tells whether there was any. One at a time is read: together they may be
/// far more than what is wanted.
fn join(question: &Question, asked: &[u16], answers: &[ShardAnswer]) -> (Whole<Answer>, bool) {
    let mut missing_shards = asked.to_vec();
    let mut age_max_ms = None;
    let of_shards = answers.iter().filter_map(|of_shard| {
        let at = missing_shards.iter().position(|shard| *shard == of_shard.shard.0)?;
        let answer = read_answer(&of_shard.bytes).ok().filter(|answer| question.is_answered_by(answer))?;
        missing_shards.remove(at);
        age_max_ms = age_max_ms.max(Some(of_shard.age_ms));
        Some(answer)
    });
    let value = question.join(of_shards);
    let has_any = age_max_ms.is_some();
    (Whole { value, missing_shards, age_max_ms }, has_any)
}
