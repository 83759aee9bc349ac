//! A desk that is shared: the one of a cluster, whose decisions are recorded in the trail and acted upon only then, and the desk of
//! a door, which sends openings and nothing else. All other decisions are those of the desk of one machine.

use super::{Desk, Live, Moment};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::notify::target::TargetIndex;
use crate::record::attempt::Attempt;
use crate::record::delivery::Told;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::trail::EventKind;

/// What distinguishes a shared desk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    scope: Scope,
    /// Number behind which messages get theirs.
    first_number: u64,
    pub(super) is_of_door: bool,
}

/// Notices that may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// None.
    Nothing,
    /// Openings, until they are accepted. They have the same key whoever sends them.
    Openings,
    /// All.
    All,
}

/// Notices that an incident may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaySend {
    /// All that is owed.
    All,
    /// What is recorded, and openings that are released.
    Recorded,
    /// Openings that are recorded or released.
    Openings,
}

impl Desk {
    /// Makes it the desk of a leader, which gives messages numbers behind `first_number`.
    pub(crate) fn of_leader(mut self, first_number: u64) -> Self {
        self.shared = Some(Shared { scope: Scope::Nothing, first_number, is_of_door: false });
        self
    }

    /// Makes it the desk of a door: nothing is recorded from it, and openings go out at once.
    pub(crate) fn of_door(mut self) -> Self {
        self.shared = Some(Shared { scope: Scope::Openings, first_number: 0, is_of_door: true });
        self
    }

    /// Says which notices may go out from now on.
    pub(crate) fn set_scope(&mut self, scope: Scope) {
        if let Some(shared) = &mut self.shared {
            shared.scope = scope;
        }
    }

    pub(super) fn first_number(&self) -> u64 {
        self.shared.map_or(0, |shared| shared.first_number)
    }

    pub(super) fn may_send(&self) -> MaySend {
        match self.shared {
            None => MaySend::All,
            Some(Shared { scope: Scope::All, .. }) => MaySend::Recorded,
            Some(_) => MaySend::Openings,
        }
    }

    /// Returns true when a turn that has ended may pass on. Where only openings may go out, help is sought further on as long as nobody
    /// has accepted the call.
    pub(super) fn may_pass_turn(&self, id: IncidentId) -> bool {
        let goes_further = || self.get(id).is_some_and(|incident| incident.progress.accepted_ms.is_none());
        self.shared.is_none_or(|shared| shared.scope == Scope::All || goes_further())
    }

    /// Returns an incident of the store as it stands at this desk.
    pub(super) fn restored(&self, mut incident: Incident, now: Moment) -> Live {
        if self.shared.is_none() {
            return Live::restore(incident, now);
        }
        incident.notices.deliveries.iter_mut().for_each(|delivery| delivery.renumber());
        let in_trail = Some(Box::new(incident.clone()));
        let mut live = Live::restore(incident, now);
        live.in_trail = in_trail;
        live
    }

    /// Lets the opening of an incident go although it is not recorded.
    pub(crate) fn release(&mut self, id: IncidentId) {
        self.board.update(id, |live| live.is_released = true);
        self.queues.recorded(id);
    }

    /// Opens an incident under the id of an alarm, and lets its opening go. What is there already goes on.
    pub(crate) fn call(&mut self, mut alarm: Alarm, vehicle: KnownVehicle) {
        let id = alarm.id;
        if !self.board.contains(id) {
            alarm.settle(vehicle.last_fix);
            self.open(alarm, vehicle.standing, vehicle.last_fix);
        }
        self.release(id);
    }

    /// Forgets an incident, even if a notice is under way.
    pub(crate) fn forget(&mut self, id: IncidentId) -> bool {
        self.remove(id).is_some()
    }

    /// Counts the incidents at the desk.
    pub(crate) fn count(&self) -> usize {
        self.board.len()
    }

    /// Returns drafts of up to `max` incidents that the trail does not have as they are, those of `first` before all others; each small
    /// enough for `bytes_max` bytes.
    pub(crate) fn drafts_for_trail(&self, first: &[IncidentId], max: usize, bytes_max: usize) -> Vec<Draft> {
        let indexes = self.board.indexes();
        let first =
            first.iter().copied().filter(|id| self.board.get(*id).is_some_and(|live| !live.is_recorded()));
        let rest = indexes.new.iter().chain(&indexes.changed).map(|(_, id)| *id);
        let mut drafts: Vec<Draft> = Vec::new();
        for id in first.chain(rest) {
            if drafts.len() >= max {
                break;
            }
            if drafts.iter().any(|draft| draft.incident.id == id) {
                continue;
            }
            drafts.extend(self.board.get(id).map(|live| cut(live.draft(), bytes_max)));
        }
        drafts
    }

    /// The trail has these drafts: what they say is acted upon from now on.
    pub(crate) fn recorded_in_trail(&mut self, drafts: Vec<Draft>, now: Moment) {
        self.recorded(&drafts);
        for draft in drafts {
            let id = draft.incident.id;
            let is_over = draft.incident.is_resolved();
            self.board.update(id, |live| {
                live.in_trail = Some(Box::new(draft.incident));
                live.touch_if_cut();
            });
            if is_over {
                self.queues.cancel(id);
            } else {
                self.owe(id, now);
            }
        }
    }

    /// Takes out incidents that are over and recorded as they are. Returns those that are not gone yet.
    pub(crate) fn leave(&mut self, ids: impl IntoIterator<Item = IncidentId>) -> Vec<IncidentId> {
        let mut left = Vec::new();
        for id in ids {
            if self.may_leave(id) {
                self.remove(id);
            } else if self.board.contains(id) {
                left.push(id);
            }
        }
        left
    }

    /// Notes what a door's own calls about an incident came to. Returns true when anything of it was new.
    pub(crate) fn called_by_door(
        &mut self,
        id: IncidentId,
        calls: Vec<(Attempt, Told)>,
        now: Moment,
    ) -> bool {
        let mut is_new = self.note_by_door(id, now);
        for (mut attempt, told) in calls.into_iter().filter(|(attempt, _)| attempt.outcome.accepted()) {
            let has_it = self.get(id).is_none_or(|incident| {
                let delivery = incident.notices.delivery_to(&attempt.target);
                delivery.is_some_and(|delivery| delivery.accepted_ms.is_some())
            });
            if has_it {
                self.board.update(id, |live| live.count_attempts(attempt.number));
                continue;
            }
            is_new = true;
            let target = attempt.target.clone();
            self.board.update(id, |live| {
                attempt.number = live.number_of(attempt.number);
                let message = attempt.message;
                live.attempted(attempt);
                live.change().notices.delivery(&target, now.ms).accepted(message, told, now.ms);
            });
            if let Some(index) = self.rules.all().position(|turn| turn.target == target) {
                self.queues.settled(TargetIndex(index), id);
            }
            self.note_by(&target, id, now.ms, EventKind::Notified, "accepted from its door");
        }
        is_new
    }

    /// Notes that a door has called about an incident by itself.
    fn note_by_door(&mut self, id: IncidentId, now: Moment) -> bool {
        let is_new = self.get(id).is_some_and(|incident| !incident.notices.unrecorded);
        if is_new {
            self.board.update(id, |live| live.change().notices.unrecorded = true);
            self.note(
                id,
                now.ms,
                EventKind::Unrecorded,
                "no leader in time: the door of the alarm called by itself",
            );
        }
        is_new
    }

    /// Notes that an alarm of another id turned out to be about an incident.
    pub(crate) fn joined(&mut self, id: IncidentId, alarm: IncidentId, was_called: bool, now: Moment) {
        let why = if was_called {
            format!("took in {alarm}, about which its door had called by itself: a target may know both")
        } else {
            format!("took in {alarm}, which was about the same alarm")
        };
        self.note(id, now.ms, EventKind::Joined, &why);
    }

    /// Returns true when an incident is at the desk, and over.
    pub(crate) fn is_over(&self, id: IncidentId) -> bool {
        self.get(id).is_some_and(Incident::is_resolved)
    }

    /// Returns true when the trail does not have an incident as it is at the desk.
    pub(crate) fn is_unrecorded(&self, id: IncidentId) -> bool {
        !self.is_recorded(id)
    }

    /// Returns the latest incident of an alarm's vehicle that the trail does not have as it is, although it may be over.
    pub(crate) fn unrecorded_of(&self, alarm: &Alarm) -> Option<IncidentId> {
        let indexes = self.board.indexes();
        let is_of = |id: &IncidentId| {
            self.get(*id).is_some_and(|incident| {
                incident.vehicle_id == alarm.vehicle_id && incident.drill == alarm.is_drill()
            })
        };
        indexes.new.iter().chain(&indexes.changed).map(|(_, id)| *id).filter(is_of).max()
    }

    /// Returns true when the trail does not have something as it is at the desk.
    pub(crate) fn has_unrecorded(&self) -> bool {
        self.board.indexes().unrecorded() > 0
    }
}

/// Makes a draft short enough: events and attempts that find no room wait for the next.
fn cut(mut draft: Draft, bytes_max: usize) -> Draft {
    while draft.to_bytes().len() > bytes_max && (draft.events.len() > 1 || !draft.attempts.is_empty()) {
        let left_out = draft.events.len() - draft.events.len().div_ceil(2);
        draft.last_event = draft.last_event.saturating_sub(left_out as u64);
        draft.events.truncate(draft.events.len() - left_out);
        draft.attempts.truncate(draft.attempts.len() / 2);
    }
    draft
}

impl Live {
    /// Counts a change if its last draft had to be cut.
    fn touch_if_cut(&mut self) {
        if self.has_unwritten() {
            self.touch();
        }
    }
}
