//! What a node shows of itself: for readiness, for status, and for the proof.

use crate::happened::Stop;
use crate::ids::{ShardId, StreamId};

/// Part that a node has in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It copies the shard from an owner.
    Copying,
    /// It has the shard as far as its log goes, and does not know yet if the record of assignment still names it.
    Restored,
    /// It follows the stream, and is not known to have all of it.
    CatchingUp,
    /// It follows the stream, and had all of it a moment ago.
    CaughtUp,
    /// It takes nothing more.
    Stopped(Stop),
}

/// A tick that a replica applied, and its content right after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickMark {
    /// Sequence of the tick.
    pub sequence: u64,
    /// Time of the shard from then on, ms since 1970.
    pub time_ms: i64,
    /// [`ShardState::content_hash`](crate::ShardState::content_hash).
    pub content_hash: u64,
    /// Hash of all entries up to the tick, and of their fates.
    pub running_hash: u64,
}

/// A replica, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardView {
    /// The shard.
    pub shard: ShardId,
    /// Stream of its epoch.
    pub stream: StreamId,
    /// Part that the node has in it.
    pub stage: Stage,
    /// Last entry that was received, in order.
    pub received: u64,
    /// Last entry that is synced in the log, and applied.
    pub applied: u64,
    /// The last tick.
    pub tick: Option<TickMark>,
}

/// Changes that a node's door took, and what became of them: `taken` is the sum of all others and of those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Changes that reporters brought.
    pub taken: u64,
    /// Changes by fate, in the order of [`vagn_wire::Fate::ALL`].
    pub fates: [u64; 7],
    /// Changes without a fate as yet.
    pub waiting: u64,
}
