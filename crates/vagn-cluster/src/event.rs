//! What a driver tells a node.

use std::sync::Arc;

use crate::ids::{Incarnation, NodeId, PublishId, QueryId, ReadId, ShardId, SubscriptionId, Ticket};
use crate::state::NewChange;

/// Something that happened outside of a node. The driver says for each command which events answer it.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something that an earlier run left on disk. These are the first events of a run, and [`DiskPart::End`] is the last of
    /// them.
    Disk(DiskPart),
    /// A message of a subscription. The node finds gaps and repeats itself.
    Delivered(Delivered),
    /// A subscription delivers no more, or was never made: a consumer that is gone, or a broken connection.
    SubscriptionEnded(SubscriptionId),
    /// Answer to [`Publish`](crate::Command::Publish). A driver that has none within 1 s says [`PublishOutcome::NoAnswer`].
    Published(PublishId, PublishOutcome),
    /// Answer to [`ReadStream`](crate::Command::ReadStream) and [`MakeStream`](crate::Command::MakeStream), within 1 s.
    StreamRead(ReadId, StreamOutcome),
    /// Answer to [`ReadRecord`](crate::Command::ReadRecord), within 1 s.
    RecordRead(RecordKey, RecordOutcome),
    /// Answer to [`WriteRecord`](crate::Command::WriteRecord), within 1 s.
    RecordWritten(RecordKey, WriteOutcome),
    /// Bytes that another node sent. They may come late, twice, damaged or never.
    Received {
        /// The sender as the transport knows it; never the node itself.
        from: NodeId,
        /// A message as [`Send`](crate::Command::Send) or [`SendAll`](crate::Command::SendAll) carried it.
        bytes: Vec<u8>,
    },
    /// Answer to [`SyncLog`](crate::Command::SyncLog): records up to this sequence survive a loss of power.
    LogSynced {
        /// The shard.
        shard: ShardId,
        /// Sequence of the last record that had been written when the sync began.
        through: u64,
    },
    /// Answer to [`WriteLog`](crate::Command::WriteLog) or [`SyncLog`](crate::Command::SyncLog): the log ends before this
    /// record. Records that were written behind it are gone too, and their writes and syncs have no other answer.
    LogFailed {
        /// The shard.
        shard: ShardId,
        /// Sequence of the first record that is not in the log.
        from: u64,
        /// The reason.
        fault: DiskFault,
    },
    /// Answer to [`ReadLog`](crate::Command::ReadLog) and [`ReadRest`](crate::Command::ReadRest).
    LogRead {
        /// The shard.
        shard: ShardId,
        /// As it was given.
        read: ReadId,
        /// What came of it.
        outcome: LogOutcome,
    },
    /// Answer to [`SaveSnapshot`](crate::Command::SaveSnapshot) and [`InstallSnapshot`](crate::Command::InstallSnapshot).
    SnapshotSaved {
        /// The shard.
        shard: ShardId,
        /// As it was given.
        sequence: u64,
        /// An error leaves on disk what was there before.
        result: Result<(), DiskFault>,
    },
    /// A reporter brings changes and waits for their fates: answered by one [`Settle`](crate::Command::Settle).
    Submitted {
        /// Name of the group.
        ticket: Ticket,
        /// The changes, in the order of their arrival.
        changes: Vec<NewChange>,
    },
    /// Somebody asks about the fleet: answered by one [`Answer`](crate::Command::Answer).
    Asked {
        /// Name of the question.
        query: QueryId,
        /// Shards to ask; none means all.
        shards: Vec<ShardId>,
        /// Question for [`ShardState::answer`](crate::ShardState::answer), at most 64 KiB.
        question: Vec<u8>,
        /// Longest time until the answer, ms.
        within_ms: u64,
    },
    /// A person asks this node to repair a shard whose stream is broken: answered by one [`RepairEnded`](crate::Command::RepairEnded) within 33 s,
    /// the same one for all who have asked for that shard meanwhile.
    RepairAsked(ShardId),
    /// A person asks this node to give away all that it owns.
    LeaveAsked,
    /// The node is about to be stopped in order: it tells the others, and goes on answering until it is.
    StopAsked,
    /// The service looks at the whole fleet: this node keeps all shards that it does not own in memory, for this time and at most a minute.
    MirrorAsked {
        /// Milliseconds from now.
        for_ms: u64,
    },
    /// The time has come that the last [`WakeAt`](crate::Command::WakeAt) named.
    Woken,
}

/// Something that an earlier run left on disk.
#[derive(Debug, Clone)]
pub enum DiskPart {
    /// Bytes of the last [`WriteNote`](crate::Command::WriteNote) that reached the disk.
    Note(Vec<u8>),
    /// Snapshot of a shard; comes before its records.
    Snapshot(ShardId, Vec<u8>),
    /// Records of a shard's log that are behind its snapshot, in rising order; as many events as memory asks for. Those at
    /// or before the snapshot may be left out.
    Records(ShardId, Vec<LogRecord>),
    /// The log of a shard was damaged, and ends before that. What could be read behind it lies apart, for
    /// [`ReadRest`](crate::Command::ReadRest). Comes behind the records of the shard, at each start until
    /// [`DropRest`](crate::Command::DropRest).
    Rest(ShardId),
    /// There is no more.
    End,
}

/// A message of a stream.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The subscription that it came by.
    pub subscription: SubscriptionId,
    /// Incarnation of the stream, as the driver read it when it made the subscription.
    pub incarnation: Incarnation,
    /// Sequence in the stream. The first message of a stream has 1.
    pub sequence: u64,
    /// Time at which the brokers stored it, ms since 1970. It can be lower than that of the message before.
    pub time_ms: i64,
    /// What was published: an entry in its byte form.
    pub bytes: Arc<[u8]>,
}

/// An entry in the log of a shard, with what the stream said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Sequence in the stream of the shard's epoch.
    pub sequence: u64,
    /// As in [`Delivered::time_ms`].
    pub time_ms: i64,
    /// As in [`Delivered::bytes`].
    pub bytes: Arc<[u8]>,
}

/// What a reading of a log gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutcome {
    /// Records from the one that was asked for on, without a gap; from the first of the log when that was 0. One at least.
    Records(Vec<LogRecord>),
    /// All that was ever written is before the record that was asked for; or it was 0, and the log is empty.
    End,
    /// It could not be read, or does not hold this record and goes on behind it. What it holds is unknown.
    Fault,
    /// What stands there is damaged for good: to read it again would give the same. The log goes on at `next`. Its files are kept aside
    /// when the shard is dropped, or another snapshot is installed.
    Damaged {
        /// Record from which it can be read on; behind the last one if there is none.
        next: u64,
    },
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is in the stream.
    Stored {
        /// Sequence that it has.
        sequence: u64,
        /// A message with its id was there before: `sequence` is of that one.
        duplicate: bool,
    },
    /// The stream did not end with the sequence that was expected.
    WrongLast {
        /// Where the stream ends, as the broker says.
        last: u64,
    },
    /// The stream took no more: it is full.
    Full,
    /// There is no such stream.
    Absent,
    /// Nobody can say: it may be in the stream, or come to be there later.
    NoAnswer,
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamOutcome {
    /// It is there.
    Is(StreamInfo),
    /// The brokers say that there is none.
    Absent,
    /// No broker answered.
    NoAnswer,
}

/// Figures of a stream as a broker gives them. They can be ten seconds old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its creation.
    pub incarnation: Incarnation,
    /// Sequence of the first message that it still holds. One above `last` when it holds none.
    pub first: u64,
    /// Sequence of the last message that it ever took, 0 when there was none.
    pub last: u64,
    /// Bytes that it holds.
    pub bytes: u64,
}

/// A record that all nodes share, changed by compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// Which nodes own which shards: one record for the data set.
    Assignment,
    /// Epoch of the trail, once a person had it begun anew.
    Trail,
}

/// What is known of a record. A read can be ten seconds old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is there.
    Is {
        /// Number of the change that wrote it, rising.
        revision: u64,
        /// Its value, at most 256 KiB.
        bytes: Vec<u8>,
    },
    /// The brokers say that it was never written, or is lost.
    Absent,
    /// No broker answered.
    NoAnswer,
}

/// What became of a change of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It holds now what was given.
    Written {
        /// Number of this change.
        revision: u64,
    },
    /// Its revision was another than the expected one.
    Refused,
    /// Nobody can say.
    NoAnswer,
}

/// A disk that did not do what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// There is no room, or the system has no memory or file handle for it. The node tries again each second.
    Full,
    /// Something else: what is on it is unknown, and the shard stops until the next start.
    Broken,
}
