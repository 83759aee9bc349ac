//! What a driver tells the trail's part of a node.

use crate::event::{DiskFault, Event};
use crate::trail::ids::{AlarmId, DeedId};

/// Something that happened. The driver says for each command which events answer it.
#[derive(Debug, Clone)]
pub enum TrailEvent {
    /// The first event of a run: the [mark](crate::trail::Mark) in the node's incident store, if it has one.
    Restored(Option<Vec<u8>>),
    /// As for shards: `Delivered`, `SubscriptionEnded`, `Published`, `StreamRead`, `Received` and `Woken`. Any other is ignored. Shards count their
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
    /// Answer to [`Save`](crate::trail::TrailCommand::Save). After a fault the store is as it was before.
    Saved(Result<(), DiskFault>),
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
