//! What the trail's part of a node asks of its driver.

use std::sync::Arc;

use crate::command::Command;
use crate::ids::{NodeId, ReadId};
use crate::trail::ids::{AlarmId, DeedId};
use crate::trail::mark::Mark;
use crate::trail::state::Refusal;
use crate::trail::view::Duty;

/// Something that is to be done. The driver carries commands out in their order, and waits for none before the next.
#[derive(Debug, Clone)]
pub enum TrailCommand {
    /// As for shards: `Publish`, `ReadStream`, `MakeStream`, `DropStream`, `Subscribe`, `Unsubscribe`, `Purge`, `ReadRecord`, `WriteRecord`, `Send`,
    /// `SendAll` and `WakeAt`, and no other. `SendAll` goes to the desks of all other nodes.
    Common(Command),
    /// Applies groups to the node's incident store, in their order, together with the mark: all or nothing, and synced. Answered by
    /// [`Saved`](crate::trail::TrailEvent::Saved). There is one at a time.
    Save {
        /// Place in the trail behind the last of them.
        mark: Mark,
        /// Contents of groups; none moves only the mark.
        groups: Vec<Arc<[u8]>>,
    },
    /// Keeps an alarm in the node's own store until it is [let go](Self::LetGo), in place of what the store had of it. Answered by
    /// [`NotKept`](crate::trail::TrailEvent::NotKept) where the store fails, and by nothing where it does not: one that a crash takes is
    /// repeated by its sender, who has heard nothing.
    Keep {
        /// Its id.
        alarm: AlarmId,
        /// As it was given.
        bytes: Vec<u8>,
    },
    /// Calls for help about an alarm from this node: the first message, under the alarm's own id, again and again until a target accepts
    /// it or the alarm is [let go](Self::LetGo).
    CallAlone {
        /// Its id.
        alarm: AlarmId,
        /// As it was given.
        bytes: Vec<u8>,
        /// The reason.
        why: Why,
    },
    /// The trail has an alarm with these bytes, and the node calls no more about it by itself. A sender that gave these last may hear
    /// `stored`, and the store keeps it no more if it has these. Newer ones that found no room stay there, and are read when there is.
    LetGo {
        /// Its id.
        alarm: AlarmId,
        /// As it was given.
        bytes: Vec<u8>,
    },
    /// The leader refuses an alarm for a limit: its sender must not hear `stored`. If that `ends` it, the store keeps it no more if it has these bytes, and the
    /// node calls no more about it; but where the driver has called and the leader was not told, it goes on, and is answered by
    /// [`NotEnded`](crate::trail::TrailEvent::NotEnded). If it does not end it, somebody has called: it goes on, and is told so once.
    Refuse {
        /// Its id.
        alarm: AlarmId,
        /// As it was given.
        bytes: Vec<u8>,
        /// The leader was told that this node has called about it.
        unrecorded: bool,
        /// The limit.
        refusal: Refusal,
    },
    /// An alarm came after its incident was over, and says more than was known of that: it calls anew. The driver draws a new id and gives the
    /// alarm again under it at once; what the store keeps of the alarm, in whatever version, it keeps under the new id from now on, and forgets what came of
    /// calls about it: those were about the incident that is over. Under the old id the node calls no more.
    Reopen {
        /// Its id until now.
        alarm: AlarmId,
        /// As it was given.
        bytes: Vec<u8>,
    },
    /// Reads alarms that the node's own store keeps. Answered by [`Kept`](crate::trail::TrailEvent::Kept). There is one at a time.
    ReadKept {
        /// The alarms behind this one; `None` for the first.
        after: Option<AlarmId>,
        /// Most alarms.
        max: usize,
    },
    /// Reads a piece of a copy of the incident store, for another node. Answered by [`CopyRead`](crate::trail::TrailEvent::CopyRead).
    ///
    /// A copy is the store as it was at one mark, without what it keeps for itself: kept alarms and the rest. The store goes on meanwhile. Stores of one trail have the
    /// same at the same mark. One copy at a time is held, for a minute after it was read last.
    ReadCopy {
        /// To be given back.
        read: ReadId,
        /// The copy, by its mark. `None` begins: with the one that is held if its mark is at `least` or behind that, or else with the store as it is now.
        of: Option<Mark>,
        /// Entry up to which a copy that begins must reach: the stream goes on behind it.
        least: u64,
        /// Where the piece begins: empty for the first one, else as the piece before said.
        from: Vec<u8>,
        /// Most bytes of the piece. It may be cut anywhere.
        max_bytes: usize,
    },
    /// Takes a piece of another node's copy, and puts it aside. Answered by [`CopyTaken`](crate::trail::TrailEvent::CopyTaken). There is one at a
    /// time, and no save beside it.
    TakeCopy {
        /// Number of the piece. 0 throws away what was put aside before, and so does a start.
        piece: u32,
        /// The piece.
        bytes: Vec<u8>,
        /// With the last one: all pieces together become the content of the store, in place of what it had, and with this mark: all or nothing, and
        /// synced. In the same step each incident that the store had, and that the copy lacks or has otherwise, becomes part of the store's *rest*.
        mark: Option<Mark>,
    },
    /// Reads what the store has as its rest, oldest copies first. Answered by [`RestRead`](crate::trail::TrailEvent::RestRead). There is one at a
    /// time.
    ReadRest {
        /// Most of them.
        max: usize,
    },
    /// The trail has a part of the rest: the store needs it no more. No answer; one that a crash takes is read again.
    DropRest {
        /// Its name.
        deed: DeedId,
    },
    /// Answers [`RepairAsked`](crate::trail::TrailEvent::RepairAsked).
    RepairEnded(Result<TrailRepair, TrailRefusal>),
    /// Answers a person.
    AnswerDeed {
        /// As it was given.
        deed: DeedId,
        /// What became of it.
        outcome: DeedOutcome,
    },
    /// Says what happened, for people, readiness and metrics.
    Tell(TrailHappened),
}

/// Reason why a door calls by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No leader answered in time: within 250 ms, or within 5 s after it said that it called.
    Unanswered,
    /// This node has no room for more alarms that wait. The alarm stays in its store.
    NoRoom,
    /// An earlier run of this node kept it, no target accepted a call of that, and no leader has answered in time: within 250 ms, or no leader was
    /// heard for 2 s. At once where there is no room for all that was kept.
    Kept,
    /// It is too long to be handed over, so it stays with this node. A driver that bounds what alarms hold has none.
    TooLong,
}

/// What became of a deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeedOutcome {
    /// It is in the trail.
    Done,
    /// The desk refused it, with this answer.
    Refused(Vec<u8>),
    /// No leader could record it in time. It may be done all the same.
    Unavailable,
}

/// What a repair of the trail came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailRepair {
    /// A new epoch has begun, from this node's store. The other nodes copy it by themselves.
    Begun,
    /// The trail is sound, and this node alone had something else: it copies another node's store, and hands in what only its own had.
    Copies,
}

/// Reason why a trail was not repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailRefusal {
    /// The trail is not broken as far as this node knows.
    Sound,
    /// This node's store could not be read, so it is no beginning.
    Unread,
    /// This node's store has not taken all that the trail had.
    Unsaved,
    /// This node has more: it is to be asked.
    HasMore(NodeId),
    /// The brokers did not do what is needed in time.
    NoBrokers,
    /// Another node has begun a new epoch meanwhile.
    Overtaken,
}

/// Something that people, readiness and metrics should know. What is about one alarm names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailHappened {
    /// This node leads.
    Led,
    /// Another node leads in place of this one.
    Deposed,
    /// What this node may do as a leader.
    Duty(Duty),
    /// Its settings differ from those of the leader before, so it does not claim until most nodes have the same and none that is heard has others. It goes on with
    /// the openings that its store owes.
    Differs,
    /// The settings of the leader before are those of no node that is heard any more, and most nodes have those of this one: it claims with them.
    Agreed,
    /// It follows the trail no more, and does not act as recorded.
    Stopped(crate::happened::Stop),
    /// The trail's stream delivered nothing, and is subscribed anew.
    SilentConsumer,
    /// A refused append turned out to be stored: it was this node's own.
    OwnRefused,
    /// The trail takes no more: its stream is full.
    Full,
    /// The incident store did not take a group. It is tried again.
    StoreFault,
    /// The own store did not keep an alarm. It is tried again while the door has room for twice as many alarms as it takes.
    NotKept(AlarmId),
    /// An alarm found room neither at the door nor on the disk. It is called about, its sender hears nothing, and nobody hands it over.
    NoPlace(AlarmId),
    /// The desk drafted a group that is larger than its bounds. It is not appended, and this node steps down.
    TooLarge,
    /// An entry of a leader that was none any more. It counts for nothing.
    Void,
    /// A door called by itself.
    CalledAlone(AlarmId, Why),
    /// The leader called without a record.
    CalledUnrecorded(AlarmId),
    /// The leader had no room for an alarm, or its desk none.
    NoRoom(AlarmId),
    /// The leader refused an alarm of this door for a limit, and this door lets it go.
    Refused(AlarmId),
    /// The same of one about which somebody has called: it waits until there is room.
    WithoutRoom(AlarmId),
    /// An alarm, or an incident out of a rest, turned out to be about an incident that another one had opened.
    Joined(AlarmId),
    /// An alarm came after its incident was over, and calls anew.
    Reopened(AlarmId),
    /// An alarm about which this door had called by itself is in the trail.
    HandedOver(AlarmId),
    /// A deed could not be recorded.
    DeedUnavailable,
    /// The beginning of the trail's stream was removed, which all stores have.
    Purged,
    /// The same, though a node that is away or behind does not have it: the stream has little room left.
    PurgedForRoom,
    /// This node's store lacks what the trail's stream has no more, or is of an epoch before: it copies another node's.
    CopyBegun,
    /// The node that gave the copy ended or has it no more. It begins anew.
    CopyLost,
    /// This node has the whole copy, and goes on behind it.
    CopyTaken,
    /// This node gives its store to another.
    CopyGiven,
    /// A new epoch of the trail began, from this node's store.
    EpochBegun,
    /// Another node began a new epoch of the trail.
    EpochOver,
    /// What only this node's store had before a copy took its place is in the trail.
    RestRecorded,
    /// The leader's desk refused such a part. It stays in no store.
    RestRefused,
}
