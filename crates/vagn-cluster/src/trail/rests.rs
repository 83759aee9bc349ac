//! Rests: what the own store had before a copy took its place, until the trail has it.
//!
//! The store gives it in parts, each what it knew of an incident. The leader's desk takes each in like a deed, and records what it says more.

use std::collections::BTreeMap;

use crate::ids::{Moment, NodeId};
use crate::trail::command::TrailCommand;
use crate::trail::ids::DeedId;
use crate::trail::message::{ALARM_MAX, TrailMessage};

/// Parts that are under way at a time.
const TOGETHER: usize = 8;

/// Pause before a part is handed in again.
const AGAIN_MS: u64 = 2_000;

/// The parts that were read.
#[derive(Debug)]
pub(crate) struct Rests {
    parts: BTreeMap<DeedId, Part>,
    step: Step,
}

/// A part that the trail does not have.
#[derive(Debug)]
struct Part {
    bytes: Vec<u8>,
    hand_at_ms: u64,
}

/// Reading of the store's rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There may be some.
    Unread,
    /// True if there may be more since it began.
    Reading(bool),
    /// All that the store has is here.
    Read,
}

impl Rests {
    pub(crate) fn new() -> Self {
        Self { parts: BTreeMap::new(), step: Step::Unread }
    }

    /// Returns true while some may be there that the trail lacks.
    pub(crate) fn has_any(&self) -> bool {
        self.step != Step::Read || !self.parts.is_empty()
    }

    /// The store may have more now.
    pub(crate) fn begin(&mut self) {
        self.step = match self.step {
            Step::Reading(_) => Step::Reading(true),
            Step::Unread | Step::Read => Step::Unread,
        };
    }

    /// Reads what the store has, and hands it to the leader when there is one.
    pub(crate) fn run(
        &mut self,
        leader: Option<NodeId>,
        now: Moment,
        mail: &mut Vec<(NodeId, TrailMessage)>,
        out: &mut Vec<TrailCommand>,
    ) {
        if self.step == Step::Unread && self.parts.is_empty() {
            self.step = Step::Reading(false);
            out.push(TrailCommand::ReadRest { max: TOGETHER });
        }
        let Some(leader) = leader else { return };
        for (deed, part) in self.parts.iter_mut().filter(|(_, part)| part.hand_at_ms <= now.elapsed_ms) {
            part.hand_at_ms = now.elapsed_ms + AGAIN_MS;
            mail.push((leader, TrailMessage::Rest { deed: *deed, bytes: part.bytes.clone() }));
        }
    }

    /// Returns the moment at which a part is to be handed to a leader.
    pub(crate) fn due_ms(&self, leader: Option<NodeId>) -> Option<u64> {
        leader.and_then(|_| self.parts.values().map(|part| part.hand_at_ms).min())
    }

    /// Takes in what was read.
    pub(crate) fn read(&mut self, rest: Vec<(DeedId, Vec<u8>)>, is_end: bool) {
        let Step::Reading(grew) = self.step else { return };
        let rest = rest.into_iter().take(TOGETHER).filter(|(_, bytes)| bytes.len() <= ALARM_MAX);
        self.parts = rest.map(|(deed, bytes)| (deed, Part { bytes, hand_at_ms: 0 })).collect();
        let is_all = (is_end || self.parts.is_empty()) && !grew;
        self.step = if is_all { Step::Read } else { Step::Unread };
    }

    /// A part is settled. Returns true if it was one.
    pub(crate) fn settled(&mut self, deed: DeedId, out: &mut Vec<TrailCommand>) -> bool {
        let is_one = self.parts.remove(&deed).is_some();
        if is_one {
            out.push(TrailCommand::DropRest { deed });
        }
        is_one
    }
}
