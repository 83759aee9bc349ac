//! The line of a connection: batches that everybody has seen who is not waited for, on their way to those who are.
//!
//! While the first in line waits for room, reading goes on up to a bound: a call for help must not stand behind
//! positions. At the bound reading stops, and the client is slowed down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::ack::Owed;
use vagn_flow::intake::{Intake, Offered};

/// Most bytes in one line: some 15 000 reports, or 1 700 that arrive one by one.
const BYTES: usize = 1 << 20;
/// What a batch costs beside its reports, roughly.
const BATCH_BYTES: usize = 512;
/// Most bytes in all lines of a door.
const DOOR_BYTES: usize = 64 << 20;

/// Longest that the first in line waits for room behind the topic. Then whoever is full sheds the batch.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// What the lines of a door may hold together. A line that gets nothing of it is one batch long.
#[derive(Debug, Clone)]
pub(super) struct Space(Arc<Semaphore>);

/// The end of the line, where the reader adds.
#[derive(Debug)]
pub(super) struct Tail {
    queue: mpsc::Sender<Waiting>,
    own: Arc<Semaphore>,
    door: Space,
}

/// The front of the line.
#[derive(Debug)]
pub(super) struct Head(mpsc::Receiver<Waiting>);

/// A batch in line, and who wants to know what became of it.
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
    /// A line for one connection.
    pub(super) fn queue(&self) -> (Tail, Head) {
        let (queue, front) = mpsc::channel(BYTES / BATCH_BYTES);
        (Tail { queue, own: Arc::new(Semaphore::new(BYTES)), door: self.clone() }, Head(front))
    }
}

impl Tail {
    /// Adds a batch as soon as the line is short enough.
    pub(super) async fn push(&self, offered: Offered, owed: Option<Owed>) {
        let bytes = (BATCH_BYTES + offered.bytes()).min(BYTES) as u32;
        let shared = self.door.0.clone().try_acquire_many_owned(bytes).ok();
        let wanted = if shared.is_some() { bytes } else { BYTES as u32 };
        let own = self.own.clone().acquire_many_owned(wanted).await.expect("no line's space is ever closed");
        let waiting = Waiting { offered, owed, _space: (own, shared) };
        // The front lasts as long as the connection; with it goes whoever would have waited.
        drop(self.queue.send(waiting).await);
    }
}

impl Head {
    /// Leads the batches in, in order, and then says to whom answers are owed, until the tail is gone.
    ///
    /// When one found no room in all its time, those behind it are not waited for either, until one finds some: a stage
    /// that stands still holds up a stream once and not for every batch.
    pub(super) async fn lead(mut self, intake: &Intake, owe: mpsc::Sender<Owed>) {
        let mut within = ROOM_WITHIN;
        while let Some(Waiting { offered, owed, _space }) = self.0.recv().await {
            let found = intake.admit(offered, within).await;
            within = if found { ROOM_WITHIN } else { Duration::ZERO };
            if let Some(owed) = owed {
                // A writer that is gone has said why itself.
                drop(owe.send(owed).await);
            }
        }
    }
}
