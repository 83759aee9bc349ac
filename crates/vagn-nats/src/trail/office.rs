//! Office: the part of the service that carries out the trail's commands. It has the node's incident store, the calls of its door, and the decisions of its desk.

use std::sync::Arc;
use std::task::{Context, Poll};

use vagn_cluster::trail::{AlarmId, DeedId, DeskState, Duty, Mark, Refusal, TrailCommand, TrailEvent, Why};
use vagn_cluster::{Moment, ReadId};

/// Something that is to be done. [`TrailCommand`](vagn_cluster::trail::TrailCommand) says what each means, and how it is answered.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the commands of the trail that have these names say it")]
pub enum OfficeCommand {
    Save { mark: Mark, groups: Vec<Arc<[u8]>> },
    Keep { alarm: AlarmId, bytes: Vec<u8> },
    CallAlone { alarm: AlarmId, bytes: Vec<u8>, why: Why },
    LetGo { alarm: AlarmId, bytes: Vec<u8> },
    Refuse { alarm: AlarmId, bytes: Vec<u8>, unrecorded: bool, refusal: Refusal },
    Reopen { alarm: AlarmId, bytes: Vec<u8> },
    ReadKept { after: Option<AlarmId>, max: usize },
    ReadCopy { read: ReadId, of: Option<Mark>, least: u64, from: Vec<u8>, max_bytes: usize },
    TakeCopy { piece: u32, bytes: Vec<u8>, mark: Option<Mark> },
    ReadRest { max: usize },
    DropRest { deed: DeedId },
}

impl OfficeCommand {
    /// Makes one of a command of the trail that is for the office; none of any other.
    pub fn of(command: TrailCommand) -> Option<Self> {
        Some(match command {
            TrailCommand::Save { mark, groups } => Self::Save { mark, groups },
            TrailCommand::Keep { alarm, bytes } => Self::Keep { alarm, bytes },
            TrailCommand::CallAlone { alarm, bytes, why } => Self::CallAlone { alarm, bytes, why },
            TrailCommand::LetGo { alarm, bytes } => Self::LetGo { alarm, bytes },
            TrailCommand::Refuse { alarm, bytes, unrecorded, refusal } => {
                Self::Refuse { alarm, bytes, unrecorded, refusal }
            }
            TrailCommand::Reopen { alarm, bytes } => Self::Reopen { alarm, bytes },
            TrailCommand::ReadKept { after, max } => Self::ReadKept { after, max },
            TrailCommand::ReadCopy { read, of, least, from, max_bytes } => {
                Self::ReadCopy { read, of, least, from, max_bytes }
            }
            TrailCommand::TakeCopy { piece, bytes, mark } => Self::TakeCopy { piece, bytes, mark },
            TrailCommand::ReadRest { max } => Self::ReadRest { max },
            TrailCommand::DropRest { deed } => Self::DropRest { deed },
            TrailCommand::Common(_)
            | TrailCommand::RepairEnded(_)
            | TrailCommand::AnswerDeed { .. }
            | TrailCommand::Tell(_) => return None,
        })
    }
}

/// The service's part of the trail. The promises that it must keep are told in [`vagn_cluster::trail`].
///
/// There is one save and one read at a time, four reads of copies at most, and one piece that is taken. Alarms to be kept or called about are as many as the door takes, and those beyond that find no room.
pub trait Office: Send {
    /// The desk of the node.
    type Desk: DeskState + Send;

    /// Begins to carry a command out, in the background: it must not wait.
    fn carry_out(&mut self, command: OfficeCommand);

    /// Gives the next event. The first one is [`TrailEvent::Restored`]; the others are `CalledAlone`, `Kept`, `NotKept`, `NotEnded`, `Saved`, `CopyRead`, `CopyTaken`, `RestRead`, `Alarm` for one that is
    /// [reopened](OfficeCommand::Reopen), and `DeskChanged` when there is something to [`act`](Self::act) upon: an attempt has ended, or one is due.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<TrailEvent>;

    /// Tells the desk what came of its attempts, and begins those that are due and allowed by the duty of this moment. To be called after each event. It
    /// must not wait. Returns true if the desk may have something new to record.
    fn act(&mut self, desk: &mut Self::Desk, duty: Duty, now: Moment) -> bool;
}
