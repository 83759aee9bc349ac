//! An incident: one vehicle's emergency, from the first report that carries the flag until a person has resolved it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::IncidentId;
use crate::record::attempt::Attempt;
use crate::record::delivery::Told;
use crate::record::facts::AlarmFacts;
use crate::record::notices::Notices;
use crate::record::progress::{Decision, Progress, State};
use crate::record::standing::Standing;

/// Name of the target that is set by the short form of the settings, which has no names.
pub const PRIMARY: &str = "primary";

/// Emergency of one vehicle, with all that is known and was done about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Id in the API and in the store.
    pub id: IncidentId,
    /// Id of the vehicle.
    pub vehicle_id: Box<str>,
    /// A drill reaches no target but the one for drills. A drill and a real alarm of one vehicle are two incidents.
    pub drill: bool,
    /// Standing of the vehicle before the alarm.
    pub standing: Standing,
    /// Facts from the vehicle's reports.
    pub alarm: AlarmFacts,
    /// State, and the decisions behind it.
    pub progress: Progress,
    /// Turn of the chain of targets.
    pub escalation: Escalation,
    /// Notices that went out.
    pub notices: Notices,
}

/// Turn of the chain of targets while no person acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Escalation {
    /// Turns that have passed on: 0 while it is the first target's.
    pub level: u32,
    /// End of the turn, ms since 1970.
    pub next_ms: Option<i64>,
}

impl Incident {
    /// Opens an incident of a known vehicle.
    pub fn open(id: IncidentId, vehicle_id: Box<str>, drill: bool, alarm: AlarmFacts) -> Self {
        Self {
            id,
            vehicle_id,
            drill,
            standing: Standing::Known,
            alarm,
            progress: Progress::default(),
            escalation: Escalation::default(),
            notices: Notices::default(),
        }
    }

    /// Returns what there is to tell a target now, apart from what never changes.
    pub fn to_tell(&self) -> Told {
        Told { position: self.alarm.fix.map(Into::into), acknowledged: self.progress.acknowledged.is_some() }
    }

    /// Notes what came of an attempt.
    pub fn attempted(&mut self, attempt: Attempt) {
        if attempt.outcome.accepted() && self.progress.accepted_ms.is_none() {
            self.progress.state = self.progress.state.max(State::Notified);
            self.progress.accepted_ms = Some(attempt.at_ms.saturating_add_unsigned(attempt.took_ms));
        }
        self.notices.add(attempt);
    }

    /// Notes that a person has taken it on.
    pub fn acknowledge(&mut self, decision: Decision) {
        // A resolved incident stays resolved.
        self.progress.state = self.progress.state.max(State::Acknowledged);
        self.escalation.next_ms = None;
        self.progress.acknowledged = Some(decision);
    }

    /// Ends the incident by a decision.
    pub fn resolve(&mut self, decision: Decision) {
        self.progress.state = State::Resolved;
        self.escalation.next_ms = None;
        self.progress.resolved = Some(decision);
    }

    /// Learns what another record of it has that this one does not: news, and what targets have accepted. Not decisions,
    /// which change whose turn it is.
    pub fn learn(&mut self, other: &Self) {
        let reports = self.alarm.reports.max(other.alarm.reports);
        let news = std::mem::replace(&mut self.alarm, other.alarm.clone());
        self.alarm.merge(news);
        self.alarm.reports = reports;
        self.progress.state = self.progress.state.max(other.progress.state.min(State::Notified));
        self.progress.accepted_ms = other.progress.accepted_ms.or(self.progress.accepted_ms);
        self.notices.learn(&other.notices);
    }

    /// Returns true when it is over.
    pub fn is_resolved(&self) -> bool {
        self.progress.resolved.is_some()
    }

    /// Returns true for a real one that no target has accepted.
    pub fn is_unaccepted(&self) -> bool {
        !self.drill && self.progress.accepted_ms.is_none() && !self.is_resolved()
    }

    /// Returns true for a real one that waits for a person.
    pub fn is_unacknowledged(&self) -> bool {
        !self.drill && self.progress.acknowledged.is_none() && !self.is_resolved()
    }

    /// Counts the targets that have refused it for good.
    pub fn dead_letters(&self) -> usize {
        if self.is_resolved() {
            return 0;
        }
        self.notices.deliveries.iter().filter(|one| one.dead.is_some()).count()
    }

    /// Returns true when a further alarm of the vehicle, without an id of its own, belongs to this incident after it was
    /// `quiet` for so long. An incident that no person has acknowledged goes on however long it is quiet, because silence
    /// may be the emergency.
    pub fn goes_on(&self, quiet: Duration, quiet_max: Duration) -> bool {
        let drill_accepted = self.drill && self.progress.accepted_ms.is_some();
        let seen_to = self.progress.acknowledged.is_some() || drill_accepted;
        !self.is_resolved() && (!seen_to || quiet <= quiet_max)
    }
}

#[cfg(test)]
impl Incident {
    /// A real incident of `vehicle_id`, opened at a fixed time in Stockholm.
    pub(crate) fn example(id: IncidentId, vehicle_id: &str) -> Self {
        let mut facts = AlarmFacts::bare(1_700_000_000_000);
        facts.add_fix(crate::fix::Fix::at(59.33, 18.06, facts.opened_ms, true));
        Self::open(id, vehicle_id.into(), false, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Incident {
        Incident::example(IncidentId::from_u128(7), "bus 7")
    }

    fn accepted() -> Attempt {
        Attempt::example(PRIMARY, 3)
    }

    fn decision() -> Decision {
        Decision { by: "Anna".into(), at_ms: 5, note: "sent car 4".into() }
    }

    #[test]
    fn only_what_a_person_sees_to_is_over_by_being_quiet() {
        let limit = Duration::from_secs(300);
        let late = limit + Duration::from_nanos(1);
        let mut incident = incident();
        incident.attempted(accepted());
        assert!(
            incident.progress.state == State::Notified && incident.goes_on(late, limit),
            "no person has seen it"
        );
        incident.acknowledge(decision());
        assert!(incident.goes_on(limit, limit) && !incident.goes_on(late, limit));
        incident.resolve(decision());
        assert!(incident.progress.state == State::Resolved && !incident.goes_on(Duration::ZERO, limit));
    }

    #[test]
    fn never_goes_back() {
        let mut incident = incident();
        incident.acknowledge(decision());
        incident.attempted(accepted());
        assert_eq!((incident.progress.state, incident.progress.accepted_ms), (State::Acknowledged, Some(7)));
    }
}
