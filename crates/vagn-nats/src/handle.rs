//! The service's way to the node: changes in and fates back, questions in and answers back.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use vagn_cluster::{NewChange, Node, Refusal, ShardAnswer, ShardId};
use vagn_wire::Fate;

use crate::brokers::Brokers;
use crate::counts::Loss;

/// Requests that wait for the driver. It takes them as fast as the node works, so they wait only while that is behind.
pub(crate) const REQUESTS_MAX: usize = 1_024;

/// Something that the service asks of the node.
pub(crate) enum Request<S> {
    Submit { changes: Vec<NewChange>, fates: oneshot::Sender<Vec<Fate>> },
    Ask { shards: Vec<ShardId>, question: Vec<u8>, within: Duration, answer: Waiting },
    Repair(ShardId, oneshot::Sender<Result<(), Refusal>>),
    Leave,
    Stop,
    Mirror(Duration),
    Look(Look<S>),
}

/// Way back for an answer, and what is held until it is complete.
pub(crate) struct Waiting {
    pub(crate) answer: oneshot::Sender<Answered>,
    pub(crate) _held: Held,
}

/// Something that is held while a question is under way, such as the room for its answers, and dropped then.
pub type Held = Box<dyn Any + Send>;

/// A look at the node, which sends off what it saw.
pub(crate) type Look<S> = Box<dyn FnOnce(&Node<S>) + Send>;

/// Answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Answers of shards, by rising number.
    pub shards: Vec<ShardAnswer>,
    /// Shards that did not answer: if there are any, the answer is partial and must say so.
    pub missing: Vec<ShardId>,
}

/// The node takes nothing now: its driver has too much to do, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node takes no more requests now")]
pub struct Unavailable;

/// The service's way to a node. Clones go to the same.
pub struct Handle<S> {
    pub(crate) requests: mpsc::Sender<Request<S>>,
    pub(crate) brokers: Brokers,
    pub(crate) stream_bytes: u64,
}

impl<S> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
            brokers: self.brokers.clone(),
            stream_bytes: self.stream_bytes,
        }
    }
}

impl<S> Handle<S> {
    fn send(&self, request: Request<S>) -> Result<(), Unavailable> {
        self.requests.try_send(request).map_err(|_| {
            self.brokers.lose(Loss::Busy);
            Unavailable
        })
    }

    /// Does as [`submit`](Self::submit), but gives back what was not taken.
    ///
    /// # Errors
    /// The changes: the node takes nothing now.
    pub fn offer(&self, changes: Vec<NewChange>) -> Result<oneshot::Receiver<Vec<Fate>>, Vec<NewChange>> {
        self.offer_again(changes).inspect_err(|_| self.brokers.lose(Loss::Busy))
    }

    /// Does as [`offer`](Self::offer), for changes that were refused before, and are counted already.
    ///
    /// # Errors
    /// As [`offer`](Self::offer).
    pub fn offer_again(
        &self,
        changes: Vec<NewChange>,
    ) -> Result<oneshot::Receiver<Vec<Fate>>, Vec<NewChange>> {
        let (fates, come) = oneshot::channel();
        match self.requests.try_send(Request::Submit { changes, fates }) {
            Ok(()) => Ok(come),
            Err(
                TrySendError::Full(Request::Submit { changes, .. })
                | TrySendError::Closed(Request::Submit { changes, .. }),
            ) => Err(changes),
            Err(_) => unreachable!("what comes back is what was sent"),
        }
    }

    /// Brings changes, and returns the receiver of their fates. A change that gets none, as its node has ended, failed: it may be stored.
    ///
    /// # Errors
    /// [`Unavailable`]: nothing was taken.
    pub fn submit(&self, changes: Vec<NewChange>) -> Result<oneshot::Receiver<Vec<Fate>>, Unavailable> {
        self.offer(changes).map_err(|_| Unavailable)
    }

    /// Asks shards (none: all) about the fleet.
    ///
    /// # Errors
    /// [`Unavailable`]: no shard was asked, or the node has ended.
    pub async fn ask(
        &self,
        shards: Vec<ShardId>,
        question: Vec<u8>,
        within: Duration,
    ) -> Result<Answered, Unavailable> {
        self.ask_holding(shards, question, within, Box::new(())).await
    }

    /// Does as [`ask`](Self::ask). Answers are gathered also when the returned future is dropped: so long something can be held.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_holding(
        &self,
        shards: Vec<ShardId>,
        question: Vec<u8>,
        within: Duration,
        held: Held,
    ) -> Result<Answered, Unavailable> {
        let (answer, comes) = oneshot::channel();
        let answer = Waiting { answer, _held: held };
        self.send(Request::Ask { shards, question, within, answer })?;
        comes.await.map_err(|_| Unavailable)
    }

    /// Asks the node to repair a shard whose stream is broken. The outcome comes within 33 s; none, when the node has ended meanwhile.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked.
    pub fn repair(&self, shard: ShardId) -> Result<oneshot::Receiver<Result<(), Refusal>>, Unavailable> {
        let (result, comes) = oneshot::channel();
        self.send(Request::Repair(shard, result))?;
        Ok(comes)
    }

    /// Asks the node to give away all that it owns.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked.
    pub fn leave(&self) -> Result<(), Unavailable> {
        self.send(Request::Leave)
    }

    /// Asks the node to tell the others that it is about to be stopped.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked.
    pub fn say_farewell(&self) -> Result<(), Unavailable> {
        self.send(Request::Stop)
    }

    /// Asks the node to keep shards that it does not own in memory for this time, a minute at most.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked.
    pub fn mirror(&self, span: Duration) -> Result<(), Unavailable> {
        self.send(Request::Mirror(span))
    }

    /// Looks at the node between two events: for status, readiness and tests. It must be quick.
    ///
    /// # Errors
    /// [`Unavailable`]: the node has too much to do, or has ended.
    pub async fn look<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&Node<S>) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (seen, comes) = oneshot::channel();
        self.send(Request::Look(Box::new(move |node| {
            seen.send(deed(node)).ok();
        })))?;
        comes.await.map_err(|_| Unavailable)
    }

    /// Returns true when the node takes nothing because it is not driven any more.
    pub fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Returns the room with which the streams of shards are made.
    pub fn stream_bytes(&self) -> u64 {
        self.stream_bytes
    }

    /// Returns the brokers, with their counts.
    pub fn brokers(&self) -> &Brokers {
        &self.brokers
    }
}

/// A clock for the wall, handed in.
pub(crate) type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;
