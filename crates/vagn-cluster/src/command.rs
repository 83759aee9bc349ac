//! What a node asks of its driver.

use std::sync::Arc;

use vagn_wire::Fate;

use crate::event::{LogRecord, RecordKey};
use crate::happened::Happened;
use crate::ids::{NodeId, PublishId, QueryId, ReadId, ShardId, StreamId, SubscriptionId, Ticket};
use crate::refusal::Refusal;

/// Something that a node wants done. The driver carries commands out in their order, and waits for none before the next: but writes
/// and syncs of one shard's log stay in order.
#[derive(Debug, Clone)]
pub enum Command {
    /// Publishes a message. Answered by [`Published`](crate::Event::Published), once.
    Publish {
        /// To be given back.
        publish: PublishId,
        /// Where to.
        stream: StreamId,
        /// Id by which the brokers know a repeat, at most 128 bytes of ASCII; `None` for what may stand there twice.
        message_id: Option<String>,
        /// Refuse it unless the stream ends with this sequence.
        expected_last: Option<u64>,
        /// At most 512 KiB.
        bytes: Arc<[u8]>,
    },
    /// Reads a stream's figures. Answered by [`StreamRead`](crate::Event::StreamRead).
    ReadStream {
        /// To be given back.
        read: ReadId,
        /// Which one.
        stream: StreamId,
    },
    /// Makes a stream if there is none, and reads its figures either way; it keeps all, refuses what it has no room for, and
    /// syncs always. Answered by [`StreamRead`](crate::Event::StreamRead).
    MakeStream {
        /// To be given back.
        read: ReadId,
        /// Which one.
        stream: StreamId,
    },
    /// Deletes the stream of an epoch that has ended. No answer; a driver without brokers forgets it.
    DropStream(StreamId),
    /// Delivers the messages of a stream from `from` on, as [`Delivered`](crate::Event::Delivered), until it is
    /// [ended](crate::Event::SubscriptionEnded).
    Subscribe {
        /// To be given back with each message.
        subscription: SubscriptionId,
        /// Which stream.
        stream: StreamId,
        /// First sequence.
        from: u64,
    },
    /// Ends a subscription. Messages that are under way may still come.
    Unsubscribe(SubscriptionId),
    /// Removes the messages of a stream up to this sequence, and with it. No answer.
    Purge {
        /// Which stream.
        stream: StreamId,
        /// Last sequence to be removed.
        through: u64,
    },
    /// Reads a record. Answered by [`RecordRead`](crate::Event::RecordRead).
    ReadRecord(RecordKey),
    /// Writes a record if it has the expected revision. Answered by [`RecordWritten`](crate::Event::RecordWritten).
    WriteRecord {
        /// Which one.
        key: RecordKey,
        /// Revision that it must have; `None`: it must not be there.
        expected: Option<u64>,
        /// At most 256 KiB.
        bytes: Vec<u8>,
    },
    /// Sends bytes to a node. No answer: they may be lost.
    Send {
        /// Another node.
        to: NodeId,
        /// At most 512 KiB.
        bytes: Vec<u8>,
    },
    /// Sends bytes to all other nodes. No answer: they may be lost.
    SendAll {
        /// At most 16 KiB.
        bytes: Vec<u8>,
    },
    /// Appends records to the log of a shard. Answered only when it [fails](crate::Event::LogFailed).
    WriteLog {
        /// Which shard.
        shard: ShardId,
        /// In rising order, and behind all that were written before.
        records: Vec<LogRecord>,
    },
    /// Makes what was written to a shard's log survive a loss of power. Answered by [`LogSynced`](crate::Event::LogSynced)
    /// or [`LogFailed`](crate::Event::LogFailed).
    SyncLog(ShardId),
    /// Lets go of the records of a log up to this sequence, and with it. No answer; the driver may keep some of them.
    TrimLog {
        /// Which shard.
        shard: ShardId,
        /// Last sequence that is not needed.
        through: u64,
    },
    /// Reads a log. Answered by [`LogRead`](crate::Event::LogRead).
    ReadLog {
        /// To be given back.
        read: ReadId,
        /// Which shard.
        shard: ShardId,
        /// First sequence; 0 for the first that the log holds, also before the snapshot.
        from: u64,
        /// Bytes of records after which enough are read; one is read at least.
        max_bytes: usize,
    },
    /// Reads the [rest](crate::DiskPart::Rest) of a log. Answered by [`LogRead`](crate::Event::LogRead); never by `Damaged`, as what is damaged
    /// is passed over.
    ReadRest {
        /// To be given back.
        read: ReadId,
        /// Which shard.
        shard: ShardId,
        /// How many of its records are to be passed over.
        from: u64,
        /// Bytes of records after which enough are read; one is read at least.
        max_bytes: usize,
    },
    /// The rest of a log is needed no more: no later start tells it. No answer; its files stay where they are kept.
    DropRest(ShardId),
    /// Saves a snapshot beside the log, in place of the one before: all of it or nothing. Answered by
    /// [`SnapshotSaved`](crate::Event::SnapshotSaved).
    SaveSnapshot {
        /// Which shard.
        shard: ShardId,
        /// To be given back: the last entry in it.
        sequence: u64,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
    /// Puts a snapshot in place of all that is on disk of the shard, its log included: all of it or nothing. What was under way for
    /// that log needs no answer. Answered by [`SnapshotSaved`](crate::Event::SnapshotSaved).
    InstallSnapshot {
        /// Which shard.
        shard: ShardId,
        /// To be given back: the next record has this sequence and one.
        sequence: u64,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
    /// Removes all that is on disk of a shard. No answer.
    DropShard(ShardId),
    /// Keeps a few bytes on disk in place of those before, all or nothing. No answer.
    WriteNote(Vec<u8>),
    /// Answers a reporter.
    Settle {
        /// As it was given.
        ticket: Ticket,
        /// A fate for each change, in their order.
        fates: Vec<Fate>,
    },
    /// Answers a question.
    Answer {
        /// As it was given.
        query: QueryId,
        /// The answers of shards, by rising number.
        answers: Vec<ShardAnswer>,
        /// Shards that were asked for and did not answer, by rising number. If there are any, the answer is partial, and must say so.
        missing: Vec<ShardId>,
    },
    /// Answers [`RepairAsked`](crate::Event::RepairAsked).
    RepairEnded {
        /// As it was given.
        shard: ShardId,
        /// The record of assignment has a new epoch; or the reason why none was begun.
        result: Result<(), Refusal>,
    },
    /// Says what happened, for people, readiness and metrics.
    Tell(Happened),
    /// Asks for [`Woken`](crate::Event::Woken) at this moment, in place of what was asked before.
    WakeAt {
        /// By [`Moment::elapsed_ms`](crate::Moment::elapsed_ms).
        elapsed_ms: u64,
    },
}

/// Answer of a shard to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardAnswer {
    /// The shard.
    pub shard: ShardId,
    /// The owner that answered.
    pub node: NodeId,
    /// Age of its content: time since the owner last saw that it had all of the stream, as brokers told and a tick bore out, ms.
    pub age_ms: u64,
    /// As [`ShardState::answer`](crate::ShardState::answer) wrote it.
    pub bytes: Vec<u8>,
}
