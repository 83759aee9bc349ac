//! Escalation: whose turn it is while no person acknowledges.

use std::time::Duration;

use super::{Desk, Moment};
use crate::id::IncidentId;
use crate::notify::target::{TargetIndex, Turn};
use crate::record::incident::{Escalation, Incident};
use crate::trail::EventKind;

/// Most turns that end at a time: some milliseconds, for which notices have to wait.
const TURNS_AT_ONCE: usize = 256;

/// Pause before a turn that may not pass on now is looked at again.
const TURN_AGAIN: Duration = Duration::from_secs(1);

/// Turn that comes next.
struct NextTurn {
    turn: Turn,
    target: TargetIndex,
    level: u32,
    /// Number of turns in two rounds of the chain.
    two_rounds: u32,
}

/// What the target of a turn is owed when its turn comes.
enum TurnNotice {
    /// It has had no turn before.
    First,
    /// It is to be reminded, or to be tried again.
    Repeat,
    /// It is owed the first notice anyway.
    Owed,
}

impl Desk {
    /// Begins the first turn of a new incident. Its notice waits for the record, but not for long.
    pub(super) fn begin_first_turn(&mut self, id: IncidentId, now: Moment) {
        let Some(target) = self.engage_first(id, now) else { return };
        let Some(standing) = self.get(id).map(|incident| incident.standing) else { return };
        let patience = match &self.shared {
            // Its driver says when it may go.
            Some(_) => Duration::MAX,
            None if self.store_up => self.rules.record_within,
            None => Duration::ZERO,
        };
        // What had to wait until the store was read has not had its time to be recorded yet.
        self.queues.hold(target, id, standing, now.at.max(self.restored).saturating_add(patience));
    }

    /// Returns true when a target has had its turn, or the incident is over.
    pub(super) fn has_begun(&self, id: IncidentId) -> bool {
        self.get(id).is_none_or(|incident| {
            let mut turns = self.rules.turns(incident.drill).iter();
            incident.is_resolved() || turns.any(|turn| incident.notices.delivery_to(&turn.target).is_some())
        })
    }

    /// Queues whatever targets are owed. If no turn has begun, the first begins now.
    pub(super) fn owe(&mut self, id: IncidentId, now: Moment) {
        if self.has_begun(id) {
            self.queue_owed(id, now.at);
            return;
        }
        let Some(target) = self.engage_first(id, now) else { return };
        if let Some(standing) = self.get(id).map(|incident| incident.standing) {
            self.queues.repeat(target, id, standing, now.at);
        }
    }

    /// Gives the first target its turn. The turn of a drill has no end, because its chain is one target long.
    fn engage_first(&mut self, id: IncidentId, now: Moment) -> Option<TargetIndex> {
        let incident = self.get(id)?;
        let drill = incident.drill;
        let is_timed = incident.is_unacknowledged();
        let turn = self.rules.turns(drill).first()?.clone();
        let next_ms = is_timed.then(|| now.ms_after(turn.lasts));
        self.board.update(id, |live| {
            live.incident.notices.delivery(&turn.target, now.ms);
            live.incident.escalation = Escalation { level: 0, next_ms };
        });
        if is_timed {
            self.turns.set(id, now.at.saturating_add(turn.lasts));
        } else {
            self.turns.clear(id);
        }
        Some(self.rules.target_index(drill, 0))
    }

    /// Lets a turn of an earlier run end when it was to end, and at once if that is past. A wall clock that was set
    /// back makes no turn longer than it is.
    pub(super) fn resume_turn(&mut self, id: IncidentId, now: Moment) {
        let Some(incident) = self.get(id).filter(|incident| incident.is_unacknowledged()) else { return };
        let turns = self.rules.turns(false);
        let Some(turn) = turns.get(incident.escalation.level as usize % turns.len().max(1)) else { return };
        let left_ms = incident.escalation.next_ms.map(|next_ms| next_ms.saturating_sub(now.ms).max(0));
        let left = left_ms.map_or(turn.lasts, |ms| Duration::from_millis(ms.unsigned_abs()).min(turn.lasts));
        self.turns.set(id, now.at.saturating_add(left));
    }

    /// Ends the turns that are over, but not more at once than notices can wait for.
    pub(super) fn end_turns(&mut self, now: Moment) {
        for _ in 0..TURNS_AT_ONCE {
            let Some(id) = self.turns.take_ended(now.at) else { break };
            if self.may_pass_turn(id) {
                self.pass_on(id, now, "no person has acknowledged in time");
            } else {
                self.turns.set(id, now.at + TURN_AGAIN);
            }
        }
    }

    /// Passes the turn on to the next target, and behind the last to the first again.
    pub(super) fn pass_on(&mut self, id: IncidentId, now: Moment, why: &str) {
        let Some(incident) = self.get(id) else { return };
        let standing = incident.standing;
        let Some(next) = self.next_turn(incident) else { return };
        let NextTurn { turn, target, level, two_rounds } = next;
        let notice = self.board.update(id, |live| {
            let incident = live.change();
            incident.escalation = Escalation { level, next_ms: Some(now.ms_after(turn.lasts)) };
            engage(incident, &turn.target, now.ms)
        });
        match notice {
            Some(TurnNotice::First) => self.queues.begin(target, id, standing),
            Some(TurnNotice::Repeat) => self.queues.repeat(target, id, standing, now.at),
            Some(TurnNotice::Owed) | None => {}
        }
        self.turns.set(id, now.at.saturating_add(turn.lasts));
        self.urgent = true;
        // A chain that goes round for days must not bury the rest of the trail.
        if level <= two_rounds || level.is_power_of_two() {
            self.note(id, now.ms, EventKind::Escalated, &format!("{why}: turn {level} is {}'s", turn.target));
        }
    }

    fn next_turn(&self, incident: &Incident) -> Option<NextTurn> {
        let turns = self.rules.turns(incident.drill);
        let level = incident.escalation.level.saturating_add(1);
        let position = level as usize % turns.len().max(1);
        Some(NextTurn {
            turn: turns.get(position)?.clone(),
            target: self.rules.target_index(incident.drill, position),
            level,
            two_rounds: turns.len() as u32 * 2,
        })
    }

    /// Returns true when it is this target's turn and there is another one behind it in the chain.
    pub(super) fn may_pass_on(&self, id: IncidentId, target: TargetIndex) -> bool {
        let Some(incident) = self.get(id).filter(|incident| incident.is_unacknowledged()) else {
            return false;
        };
        let turns = self.rules.turns(incident.drill).len().max(1);
        let position = incident.escalation.level as usize % turns;
        self.rules.target_index(incident.drill, position) == target && position + 1 < turns
    }
}

fn engage(incident: &mut Incident, target: &str, now_ms: i64) -> TurnNotice {
    let is_first = incident.notices.delivery_to(target).is_none();
    let delivery = incident.notices.delivery(target, now_ms);
    if is_first {
        TurnNotice::First
    } else if delivery.engage_again() {
        TurnNotice::Repeat
    } else {
        TurnNotice::Owed
    }
}
