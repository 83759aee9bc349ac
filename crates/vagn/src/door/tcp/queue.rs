//! The queue of a connection: batches that were offered, and wait to be admitted.
//!
//! Subscribers that are not waited for have seen them, the emergency lane among them.
//!
//! While the first one waits for room, reading goes on up to a bound: an alarm must not stand behind positions. At the bound reading stops, and the client is slowed down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::ack::Owed;
use vagn_flow::intake::{Intake, Offered};

/// Most bytes in one queue: some 15 000 reports, or 1 700 that arrive one by one.
const BYTES: usize = 1 << 20;
/// Memory that a batch takes beside its reports, roughly.
const BATCH_BYTES: usize = 512;
/// Most bytes in all queues of a door.
const DOOR_BYTES: usize = 64 << 20;

/// Longest that the first batch waits for room behind the topic. Then a subscriber that is full sheds it.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// Space for the queues of a door together. A queue that gets nothing of it is one batch long.
#[derive(Debug, Clone)]
pub(super) struct Space(Arc<Semaphore>);

/// The end of the queue, where the reader adds.
#[derive(Debug)]
pub(super) struct Tail {
    queue: mpsc::Sender<Waiting>,
    own: Arc<Semaphore>,
    door: Space,
}

/// The front of the queue.
#[derive(Debug)]
pub(super) struct Head(mpsc::Receiver<Waiting>);

/// A batch in the queue, and the answers that are owed for it.
#[derive(Debug)]
struct Waiting {
    offered: Offered,
    owed: Option<Owed>,
    _space: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Default for Space {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(DOOR_BYTES)))
    }
}

impl Space {
    /// Makes a queue for one connection.
    pub(super) fn queue(&self) -> (Tail, Head) {
        let (queue, front) = mpsc::channel(BYTES / BATCH_BYTES);
        (Tail { queue, own: Arc::new(Semaphore::new(BYTES)), door: self.clone() }, Head(front))
    }
}

impl Tail {
    /// Adds a batch as soon as the queue is short enough.
    pub(super) async fn push(&self, offered: Offered, owed: Option<Owed>) {
        let bytes = (BATCH_BYTES + offered.bytes()).min(BYTES) as u32;
        let shared = self.door.0.clone().try_acquire_many_owned(bytes).ok();
        let wanted = if shared.is_some() { bytes } else { BYTES as u32 };
        let own =
            self.own.clone().acquire_many_owned(wanted).await.expect("the space of a queue is never closed");
        let waiting = Waiting { offered, owed, _space: (own, shared) };
        // The front lasts as long as the connection; without it there is no client to answer.
        self.queue.send(waiting).await.ok();
    }
}

impl Head {
    /// Admits the batches in order, and then passes on the answers that are owed, until the tail is gone.
    ///
    /// After a batch that found no room in all its time, the next ones do not wait until one finds room: a stage that stands
    /// still holds up a stream once and not for every batch.
    pub(super) async fn lead(mut self, intake: &Intake, owe: mpsc::Sender<Owed>) {
        let mut within = ROOM_WITHIN;
        while let Some(Waiting { offered, owed, _space }) = self.0.recv().await {
            let found = intake.admit(offered, within).await;
            within = if found { ROOM_WITHIN } else { Duration::ZERO };
            if let Some(owed) = owed {
                // A writer that is gone has said why itself.
                owe.send(owed).await.ok();
            }
        }
    }
}
