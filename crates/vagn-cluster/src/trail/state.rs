//! What a desk must be able to do.

use std::ops::RangeInclusive;

use crate::trail::ids::{AlarmId, DeedId};
use crate::trail::message::Alarm;
use crate::trail::view::Duty;

/// The desk of a node: what is open, and what is owed to whom. It has content only while its node leads.
///
/// What it keeps on disk is the node's incident store, into which the driver [saves](crate::trail::TrailCommand::Save) each group. A leader's
/// desk is ahead of its store by what is not recorded yet, and acts upon nothing before [`recorded`](Self::recorded) but first attempts that
/// are [released](Self::release).
pub trait DeskState {
    /// Recalls all that is open from this node's store.
    ///
    /// To lead: the store has everything that the trail has. Messages of an incident behind the opening get `numbers` from now on, and none
    /// outside of them; a message keeps its number in repeats by this leader. Without numbers the trail is broken, and nothing is to go out
    /// but openings.
    fn recall(&mut self, numbers: Option<RangeInclusive<u64>>);

    /// Takes in an alarm, which may have come before, with another content or note too.
    fn take(&mut self, alarm: &Alarm) -> Taken;

    /// Takes in a deed. One that it has or that the store has already may come again, and is not refused for what it did itself.
    ///
    /// A deed may be a part of the rest of another node's store, in the form that [`RestRead`](crate::trail::TrailEvent::RestRead) gave it: what that store knew of an
    /// incident. What it says more than this desk and its store know is recorded with the next group; if that is nothing, it is
    /// [`Recorded`](DeedTaken::Recorded). It is not refused.
    ///
    /// # Errors
    /// The answer to the person, if it is refused.
    fn deed(&mut self, deed: DeedId, bytes: &[u8]) -> Result<DeedTaken, Vec<u8>>;

    /// Returns a group of drafts, at most [`GROUP_MAX`](crate::trail::GROUP_MAX) bytes long and with at most
    /// [`NAMES_MAX`](crate::trail::NAMES_MAX) alarms and deeds, of what is not recorded; `None` when everything is. The next group is asked
    /// for when this one is recorded.
    fn draft(&mut self) -> Option<Draft>;

    /// The last group is in the trail, at this sequence: what it says may be acted upon. The own store need not have it yet.
    fn recorded(&mut self, sequence: u64);

    /// The own store has all that is [recorded](Self::recorded) up to this sequence. Only now may an incident that is over leave the desk: an alarm about it that
    /// comes again must be found in one of the two.
    fn saved(&mut self, through: u64);

    /// The first attempt about an alarm may be made although it is not recorded.
    fn release(&mut self, alarm: AlarmId);

    /// Says what may be done from now on. Called when it changes; a driver whose desk acts by itself asks
    /// [`TrailNode::duty`](crate::trail::TrailNode::duty) before each deed, since a process that was stopped wakes late.
    fn set_duty(&mut self, duty: Duty);

    /// Leads no more: forgets everything. What was not recorded is still at the doors.
    fn stand_down(&mut self);
}

/// What a desk did with an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It opens an incident, or adds something to the one with its id: the next group records it.
    Open,
    /// It is about an incident that another alarm has opened, and was joined to it: the next group records that.
    Joined,
    /// The store has it, and it adds nothing.
    Recorded,
    /// It is about an incident that is over, and it says more than was known of that: it calls anew, and comes again under a new id.
    Over,
    /// The desk takes no more, or cannot read it: its door calls, and asks again.
    NoRoom,
    /// A limit is for it.
    Refused(Refusal),
}

/// Refusal of an alarm for a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The limit, as a number of the service.
    pub limit: u8,
    /// Its door lets it go. Else it stays there until there is room: somebody may have called about it.
    pub ends: bool,
}

/// What a desk did with a deed that it did not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeedTaken {
    /// The next group records it.
    Open,
    /// The same, of a part of a rest: the incident of this id is about one that another alarm has opened, and was joined to it.
    Joined(AlarmId),
    /// The trail has it.
    Recorded,
}

/// A group of drafts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Drafts in their byte form.
    pub content: Vec<u8>,
    /// Alarms of which all that the desk knows is recorded with it. One that is about two incidents, of which a rest may have brought one, is none while
    /// the other is still to be recorded.
    pub alarms: Vec<AlarmId>,
    /// Deeds that are recorded with it.
    pub deeds: Vec<DeedId>,
}
