//! The thread of the streams: looks at the changes a few times a second, lets clients in, and tells them.
//!
//! It does not wake for each change, which would cost more than to take it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;
use vagn_flow::clock::Clock;
use vagn_otp::{ChildSpec, Failure, Policy, Queue, QueueSubscriber, Subscription, TaskContext};
use vagn_store::Changes;

use super::StreamDoor;
use super::hub::{Hub, HubParts, Moment};
use crate::Positions;

/// Name of the child, and of its subscription.
const NAME: &str = "position-streams";

/// Time between two looks at the changes.
const TICK: Duration = Duration::from_millis(20);

/// Most commits that wait for a look: with one in 20 µs the writers are busy. At most some 50 MB, when each is a full batch.
const QUEUE_MAX: usize = 1_024;

/// Time from the begin of following until clients are let in. A write that was under way then is told as unknown; it has ended
/// by now, and costs no client a gap.
const SETTLE: Duration = Duration::from_millis(100);

/// Returns the child.
pub(super) fn child(
    door: Arc<StreamDoor>,
    parts: HubParts,
    positions: Positions,
    clock: Arc<dyn Clock>,
) -> ChildSpec {
    let task = ChildSpec::task(NAME, move |ctx| {
        let of = Streaming { door: door.clone(), positions: positions.clone(), clock: clock.clone() };
        let hub = Hub::new(parts.clone(), of.now());
        of.run(ctx, hub)
    });
    task.on_thread()
}

struct Streaming {
    door: Arc<StreamDoor>,
    positions: Positions,
    clock: Arc<dyn Clock>,
}

/// The subscription while the topic is followed.
struct Following {
    queue: Queue<Arc<Changes>>,
    /// Changes that found no room.
    lost: Arc<AtomicU64>,
    subscription: Option<Subscription<Arc<Changes>>>,
    /// Time from which on clients are let in.
    settled: Duration,
}

impl Streaming {
    fn now(&self) -> Moment {
        Moment { steady: self.clock.monotonic(), wall_ms: self.clock.now_ms() }
    }

    async fn run(self, ctx: TaskContext, mut hub: Hub) -> Result<(), Failure> {
        ctx.ready();
        while !ctx.is_stopping() {
            if self.door.joins.lock().is_empty() {
                let _unwatched = ctx.idle();
                tokio::select! {
                    () = ctx.stopping() => break,
                    () = self.door.knock.notified() => continue,
                }
            }
            self.follow(&ctx, &mut hub).await;
        }
        Ok(())
    }

    /// Follows the topic until no client is left that may want to be told.
    async fn follow(&self, ctx: &TaskContext, hub: &mut Hub) {
        let following = Following::begin(&self.positions, self.now().steady + SETTLE);
        hub.begin(self.now());
        debug!("follows the positions");
        loop {
            tokio::select! {
                () = ctx.stopping() => return,
                () = sleep(TICK) => ctx.beat().await,
            }
            let _busy = ctx.busy();
            self.take(&following, hub);
            if self.now().steady >= following.settled {
                let joins = std::mem::take(&mut *self.door.joins.lock());
                for join in joins {
                    hub.join(join, self.now());
                }
                if hub.is_idle() {
                    debug!("follows the positions no more");
                    return;
                }
            }
            hub.tick(self.now());
        }
    }

    fn take(&self, following: &Following, hub: &mut Hub) {
        let lost = following.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.door.metrics.lost.inc_by(lost);
            hub.lose(self.now());
        }
        // Not until the queue is empty, which it may never be.
        for _ in 0..following.queue.len() {
            let Some(changes) = following.queue.try_pop() else { break };
            hub.take(&changes, self.now());
        }
    }
}

impl Following {
    fn begin(positions: &Positions, settled: Duration) -> Self {
        let queue = Queue::new(QUEUE_MAX);
        let lost = Arc::<AtomicU64>::default();
        let count = lost.clone();
        let subscriber =
            QueueSubscriber::new(&queue, Policy::DropOldest, |changes: &Arc<Changes>| Some(changes.clone()))
                // One that tells nothing is a loss too.
                .on_drop(move |changes| {
                    count.fetch_add(changes.len().max(1) as u64, Ordering::Relaxed);
                });
        let subscription = Some(positions.subscribe(NAME, subscriber));
        Self { queue, lost, subscription, settled }
    }
}

impl Drop for Following {
    /// Ends the subscription, also when the hub crashes: a queue that nothing empties would cost the writers for no use.
    fn drop(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.unsubscribe();
        }
    }
}
