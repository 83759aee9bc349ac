//! What a driver tells the trail's part of a node.

use crate::event::{DiskFault, Event};
use crate::ids::{NodeId, ReadId};
use crate::trail::ids::{AlarmId, DeedId};
use crate::trail::mark::Mark;

/// Something that happened. The driver says for each command which events answer it.
#[derive(Debug, Clone)]
pub enum TrailEvent {
    /// The first event of a run: the [mark](crate::trail::Mark) in the node's incident store, if it has one. Before it the node hears of alarms,
    /// and of what is kept and called of them: `Alarm`, `CalledAlone`, `Kept`, `NotKept` and `NotEnded`; and `Known`.
    Restored(Option<Vec<u8>>),
    /// As for shards: `Delivered`, `SubscriptionEnded`, `Published`, `StreamRead`, `RecordRead`, `RecordWritten`, `Received` and `Woken`. Any other is ignored. Shards count their
    /// requests by themselves, so what answers one of theirs must not come here.
    Common(Event),
    /// A reporter of this node calls for help. The driver gives each incident one id, and repeats of the alarm the same one.
    Alarm {
        /// Id of the incident.
        alarm: AlarmId,
        /// The alarm, at most [`ALARM_MAX`](crate::trail::ALARM_MAX) bytes.
        bytes: Vec<u8>,
    },
    /// Something came of a call that [`CallAlone`](crate::trail::TrailCommand::CallAlone) asked for.
    CalledAlone {
        /// The alarm.
        alarm: AlarmId,
        /// All that is known of its calls, for the desk of the leader; at most [`NOTE_MAX`](crate::trail::NOTE_MAX) bytes.
        note: Vec<u8>,
    },
    /// Answer to [`ReadKept`](crate::trail::TrailCommand::ReadKept): alarms behind the one that was named, by rising id.
    Kept {
        /// The alarms.
        alarms: Vec<KeptAlarm>,
        /// There are no more behind the last one.
        is_end: bool,
    },
    /// A [`Keep`](crate::trail::TrailCommand::Keep) did not come about. The store is as it was before, and the alarm comes back.
    NotKept {
        /// The alarm.
        alarm: AlarmId,
        /// As it was given.
        bytes: Vec<u8>,
    },
    /// A [`Refuse`](crate::trail::TrailCommand::Refuse) has not ended an alarm: this node has called about it, and the leader was not told. The alarm comes back.
    NotEnded {
        /// The alarm.
        alarm: AlarmId,
        /// As it was given.
        bytes: Vec<u8>,
        /// As in [`CalledAlone`](Self::CalledAlone); empty where nothing came of the calls.
        note: Vec<u8>,
    },
    /// Answer to [`Save`](crate::trail::TrailCommand::Save). After a fault the store is as it was before.
    Saved(Result<(), DiskFault>),
    /// Answer to [`ReadCopy`](crate::trail::TrailCommand::ReadCopy).
    CopyRead {
        /// As it was given.
        read: ReadId,
        /// What came of it.
        outcome: CopyOutcome,
    },
    /// Answer to [`TakeCopy`](crate::trail::TrailCommand::TakeCopy). After a fault all is as it was before that piece.
    CopyTaken(Result<(), DiskFault>),
    /// Answer to [`ReadRest`](crate::trail::TrailCommand::ReadRest).
    RestRead {
        /// Parts of the rest, the first of them, each with a name that stays the same over restarts and that no deed of a person has. Each is handed to
        /// [`DeskState::deed`](crate::trail::DeskState::deed) of the leader, at most [`ALARM_MAX`](crate::trail::ALARM_MAX) bytes.
        rest: Vec<(DeedId, Vec<u8>)>,
        /// There are no more.
        is_end: bool,
    },
    /// A person wants a trail that is broken to be begun anew, from this node's store: answered by one
    /// [`RepairEnded`](crate::trail::TrailCommand::RepairEnded) within 33 s, the same one for all who have asked meanwhile.
    RepairAsked,
    /// A person wants something done: answered by one [`AnswerDeed`](crate::trail::TrailCommand::AnswerDeed).
    Deed {
        /// Name of the deed.
        deed: DeedId,
        /// For the desk alone to read, at most [`ALARM_MAX`](crate::trail::ALARM_MAX) bytes.
        bytes: Vec<u8>,
    },
    /// The desk has something new to record: an attempt has ended, or time has passed.
    DeskChanged,
    /// A person says that this node may lead with settings that differ from those of the leader before.
    LeadAsked,
    /// These nodes own shards, as the record of assignment says, whether they are heard or not. Told again whenever the driver likes. Until it is told, a node claims
    /// with other settings than those of the leader before only when a person says so.
    Known(Vec<NodeId>),
    /// The node stops, as it was told to: told last of all, before its process ends. It claims no more, its store keeps all alarms of its door at once,
    /// and a leader records what its desk has and lets others claim.
    StopAsked,
}

/// An alarm that a node's own store keeps until the trail has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAlarm {
    /// Its id.
    pub alarm: AlarmId,
    /// As it was given.
    pub bytes: Vec<u8>,
    /// As in [`CalledAlone`](TrailEvent::CalledAlone).
    pub note: Vec<u8>,
}

/// A piece of a copy, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyOutcome {
    /// The piece.
    Piece {
        /// Mark of the copy.
        mark: Mark,
        /// The piece.
        bytes: Vec<u8>,
        /// Where the next one begins, at most [`PLACE_MAX`](crate::trail::PLACE_MAX) bytes; `None` behind the last one.
        next: Option<Vec<u8>>,
    },
    /// That copy is not held any more.
    Gone,
    /// The store could not be read. It is asked again.
    Fault,
}
