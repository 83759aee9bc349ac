//! What a node tells people about itself: each thing once when it begins, not while it lasts.

use crate::event::DiskFault;
use crate::ids::{NodeId, ShardId};

/// Something worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A data set was begun.
    Founded,
    /// The record of assignment was lost, and written again from this node's copy.
    RecordRestored,
    /// This node began to copy a shard.
    CopyBegun(ShardId),
    /// A copy that was cut off goes on where it stopped.
    CopyResumed(ShardId),
    /// A copy was given up, as its source has it no more, and begins anew.
    CopyLost(ShardId),
    /// A mirror of a shard was not what the shard is, or had lost the thread. It was let go, and begins anew after a pause.
    MirrorLost(ShardId),
    /// This node has the whole shard and is one of its owners.
    CaughtUp(ShardId),
    /// This node is no owner of the shard any more, and dropped it.
    Left(ShardId),
    /// A subscription said nothing although the stream had more, and was made anew.
    SilentConsumer(ShardId),
    /// The stream no longer holds the entry that this replica needs next: it copies the shard from another owner.
    NextEntryPurged(ShardId),
    /// This node's log had batches that the shard lacked, and they were published again before the log was let go.
    PublishedAgain(ShardId),
    /// A part of the log is damaged for good. All that can be read of it was published again, where the shard lacked it, and its files are kept
    /// aside.
    LogDamaged(ShardId),
    /// What stood behind the damaged part of a log cannot be read. It stays, and is read again and again: it may be the only place of some reports.
    RestUnread(ShardId),
    /// A shard stopped: it takes nothing more until the reason is gone.
    Stopped(ShardId, Stop),
    /// A shard that had stopped goes on.
    WentOn(ShardId),
    /// Another owner lagged by half of the stream's room, and was struck off.
    StruckOff(ShardId, NodeId),
    /// Only one owner has all of the shard on its disk: a page.
    LastOwner(ShardId),
    /// The shard has two owners again that have all.
    TwoOwners(ShardId),
    /// A new epoch of the shard began, from this node's log.
    EpochRepaired(ShardId),
    /// An entry came again and was not stored again.
    RepeatRefused(ShardId),
    /// A tick had a time before that of the shard, and did not set it back.
    TimeHeld(ShardId),
    /// A node has been silent for too long.
    Suspected(NodeId),
    /// A node said that it stops: nothing is asked of it any more.
    SaidFarewell(NodeId),
    /// A node that was suspected, or said that it stops, is heard again.
    HeardAgain(NodeId),
    /// A node has other settings than this one, or the same number under another name.
    Differs(NodeId),
    /// Two processes speak under one number at once, as they have the same name.
    Twice(NodeId),
    /// A message was not sent to a node that runs a version which does not understand it.
    NotUnderstood(NodeId),
    /// A door's breaker opened: the shard has no leader or the brokers are away.
    BrokersAway(ShardId),
    /// Changes were shed, as they had waited for too long or there was no room.
    Shed(ShardId),
    /// A question was asked again: of another owner, or of one once more after a pause without an answer.
    Hedged(ShardId),
}

/// Reason why a replica takes no more entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The stream was made anew.
    StreamAnew,
    /// The record of assignment is of another data set than what is here. Nothing of it is dropped; a person has to look.
    OtherDataSet,
    /// The stream ends before what this replica has.
    StreamBehind,
    /// The stream is gone.
    StreamGone,
    /// The stream no longer holds the next entry, and no other owner can be copied from.
    NextEntryPurged,
    /// The entries of another owner hash to something else.
    HashDiffers,
    /// The content of another owner hashes to something else.
    ContentDiffers,
    /// An entry could not be read.
    EntryDamaged,
    /// An entry could not be written.
    Disk(DiskFault),
    /// Its log is to be let go once nobody lacks anything of it, and cannot be read. It stays, and is read again and again.
    LogUnread,
    /// What was on disk could not be read.
    DiskDamaged,
}
