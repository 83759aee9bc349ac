//! Streams of positions: clients are told what changes in a box, at most once per vehicle and second.
//!
//! ```text
//! topic `positions` ──▶ queue ──▶ hub: finder ─▶ marks of channels ─(once a second)─▶ events ─▶ outlets ─▶ clients
//!                                  └─▶ ring: what changed lately, for clients that come back
//! ```
//!
//! One thread does it all. It follows the topic only while there are clients, or some may come back: else nothing here costs
//! a writer anything. Clients that look at the same box share a channel, and its events are written once for all of them.

mod cell;
mod channel;
mod event;
mod finder;
mod hub;
mod limits;
mod marks;
mod metrics;
mod outlet;
mod pass;
mod pieces;
mod ring;
mod row;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use vagn_flow::clock::Clock;
use vagn_otp::ChildSpec;
use vagn_store::Fleet;

use crate::Positions;
pub use channel::StreamView;
pub use event::{BadEventId, EventId, EventWriter, GapReason, StreamEvent};
use hub::{HubParts, Join};
use limits::StreamLimits;
pub use metrics::StreamMetrics;
use outlet::Outlet;
pub use outlet::StreamFollower;

/// Parts that the streams are given.
pub struct StreamParts {
    /// Changes of the fleet, as they are stored.
    pub positions: Positions,
    /// The fleet that it is stored in.
    pub fleet: Arc<Fleet>,
    /// Tells the time of events.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: StreamMetrics,
}

/// Lets clients in. Clones are the same streams.
#[derive(Clone)]
pub struct PositionStreams {
    door: Arc<StreamDoor>,
}

/// Door of the streams: shared by the hub and by the callers that let clients in.
struct StreamDoor {
    streams_max: usize,
    places: Arc<Semaphore>,
    /// Clients that the hub has not taken over yet.
    joins: Mutex<Vec<Join>>,
    /// Wakes the hub.
    knock: Notify,
    metrics: StreamMetrics,
}

/// All places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {streams_max} streams of positions are in use")]
pub struct StreamsFull {
    /// Most streams at a time.
    pub streams_max: usize,
}

/// Returns the streams, and the child that tells their clients.
pub fn streams(parts: StreamParts) -> (PositionStreams, ChildSpec) {
    let StreamParts { positions, fleet, clock, metrics } = parts;
    let limits = StreamLimits::default();
    let streams = PositionStreams::new(&limits, metrics.clone());
    let hub = HubParts { fleet: (*fleet).clone(), limits, metrics };
    let child = run::child(streams.door.clone(), hub, positions, clock);
    (streams, child)
}

impl PositionStreams {
    fn new(limits: &StreamLimits, metrics: StreamMetrics) -> Self {
        metrics.most.set(limits.streams as i64);
        let door = StreamDoor {
            streams_max: limits.streams,
            places: Arc::new(Semaphore::new(limits.streams)),
            joins: Mutex::default(),
            knock: Notify::new(),
            metrics,
        };
        Self { door: Arc::new(door) }
    }

    /// Follows a box, from the event after `last` on or from now on without it.
    ///
    /// # Errors
    /// [`StreamsFull`] when all places are taken.
    pub fn follow(&self, view: StreamView, last: Option<EventId>) -> Result<StreamFollower, StreamsFull> {
        let StreamDoor { streams_max, places, joins, knock, metrics } = &*self.door;
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics.refused.inc();
            return Err(StreamsFull { streams_max: *streams_max });
        };
        let outlet = Arc::<Outlet>::default();
        let mut joins = joins.lock();
        if joins.len() >= *streams_max {
            // Those that are open have a place each, so that there is room again.
            joins.retain(|join| !join.outlet.is_left());
        }
        joins.push(Join { view, last, outlet: outlet.clone() });
        drop(joins);
        knock.notify_one();
        metrics.open.inc();
        Ok(StreamFollower { outlet, open: metrics.open.clone(), _place: place })
    }
}
