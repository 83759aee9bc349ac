//! What a node shows of itself: for readiness, for status, and for the proof.

use crate::happened::Stop;
use crate::ids::{NodeId, ShardId, StreamId};

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

/// A node of the cluster, as another one knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its number.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its zone; `None`: it is one of its own.
    pub zone: Option<String>,
    /// Latest version of the messages between nodes that it understands.
    pub version: u32,
    /// It may own shards.
    pub stores: bool,
    /// It gives away all that it owns.
    pub leaves: bool,
    /// Time since it was heard, ms; 0 for the node that says so.
    pub silent_ms: u64,
    /// It was heard lately.
    pub is_heard: bool,
    /// It said that it stops, and was not heard since: it is not missed.
    pub stops: bool,
    /// Its settings differ from those of this node, or its number has come under another name.
    pub differs: bool,
    /// Two processes speak under its number at once: they have the same name.
    pub is_twice: bool,
}

/// An owner of a shard, as a node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerView {
    /// Its number.
    pub node: NodeId,
    /// The record says that it has all of the shard on its disk.
    pub is_full: bool,
    /// Last entry that it has synced; `None`: it was not heard, or has said nothing of this epoch.
    pub synced: Option<u64>,
    /// It follows the end of the stream.
    pub caught_up: bool,
}

impl OwnerView {
    /// True for an owner that has all of the shard, and was heard lately.
    pub fn has_all(&self) -> bool {
        self.is_full && self.caught_up
    }
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
    /// Changes that shards shed, as a state did that has no room for a further vehicle. They are among the fates, unless they came too late.
    pub refused: u64,
}
