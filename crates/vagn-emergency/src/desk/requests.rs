//! Requests: what people decide about an incident. The first to acknowledge or resolve it wins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desk, Moment};
use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::progress::{Decision, State};
use crate::trail::EventKind;

/// Kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestKind {
    /// The person takes the incident on: no other target is notified.
    Acknowledge,
    /// Ends the incident.
    Resolve,
    /// Adds a comment.
    Comment,
    /// Sends the incident again to targets that have refused it for good.
    Replay,
}

/// Request of a person about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Kind of the request.
    pub action: RequestKind,
    /// Name of the person.
    pub by: Box<str>,
    /// Reason, or another remark.
    pub note: Box<str>,
}

/// Another person was first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// State of the incident by that.
    pub state: State,
    /// Decision of that person.
    pub decision: Decision,
}

impl Desk {
    /// Does what a person requests about an incident at the desk. Returns how long a real incident waited for a person,
    /// if this ends the wait.
    ///
    /// # Errors
    /// When another person has done it before, or the incident is over.
    pub(crate) fn act(
        &mut self,
        id: IncidentId,
        request: &Request,
        now: Moment,
    ) -> Result<Option<Duration>, Refusal> {
        let Some(incident) = self.get(id) else { return Ok(None) };
        if let Some(refusal) = refusal(incident, request.action) {
            return Err(refusal);
        }
        let waited = waited(incident, request.action, now);
        let decision = Decision { by: request.by.clone(), at_ms: now.ms, note: request.note.clone() };
        let action = match request.action {
            RequestKind::Acknowledge => self.acknowledge(id, decision, now),
            RequestKind::Resolve => self.resolve(id, decision),
            RequestKind::Comment => EventKind::Commented,
            RequestKind::Replay if self.replay(id, now) == 0 => return Ok(None),
            RequestKind::Replay => EventKind::Replayed,
        };
        self.note_by(&request.by, id, now.ms, action, &request.note);
        self.urgent = true;
        Ok(waited)
    }

    pub(super) fn acknowledge(&mut self, id: IncidentId, decision: Decision, now: Moment) -> EventKind {
        self.board.update(id, |live| {
            let incident = live.change();
            incident.acknowledge(decision);
            // A reminder asks for a person, and there is one now.
            for delivery in &mut incident.notices.deliveries {
                delivery.reminder = false;
            }
        });
        self.turns.clear(id);
        self.queue_owed(id, now.at);
        EventKind::Acknowledged
    }

    pub(super) fn resolve(&mut self, id: IncidentId, decision: Decision) -> EventKind {
        self.board.update(id, |live| live.change().resolve(decision));
        self.turns.clear(id);
        // In a cluster it is over when the trail has that. A notice under way keeps its slot until it has ended.
        if self.shared.is_none() {
            self.queues.cancel(id);
        }
        EventKind::Resolved
    }

    /// Sends the incident again to every target that has refused it for good. Returns to how many.
    fn replay(&mut self, id: IncidentId, now: Moment) -> usize {
        let Some(incident) = self.get(id) else { return 0 };
        let drill = incident.drill;
        let standing = incident.standing;
        let rules = self.rules.clone();
        let mut replayed = 0;
        for (position, turn) in rules.turns(drill).iter().enumerate() {
            let is_replayed = self.board.update(id, |live| revive(&mut live.incident, &turn.target));
            if is_replayed == Some(true) {
                self.queues.repeat(rules.target_index(drill, position), id, standing, now.at);
                replayed += 1;
            }
        }
        replayed
    }

    /// Sends every dead letter again, as `by` requests. Returns how many.
    pub(crate) fn replay_all(&mut self, by: &str, now: Moment) -> usize {
        let dead: Vec<_> = self.board.indexes().dead.iter().copied().collect();
        let mut replayed = 0;
        for id in dead {
            let letters = self.replay(id, now);
            if letters > 0 {
                self.note_by(by, id, now.ms, EventKind::Replayed, "");
            }
            replayed += letters;
        }
        self.urgent |= replayed > 0;
        replayed
    }
}

/// Makes a dead delivery to this target owed again. Returns false when there is none.
fn revive(incident: &mut Incident, target: &str) -> bool {
    let mut deliveries = incident.notices.deliveries.iter_mut();
    let dead = deliveries.find(|delivery| *delivery.target == *target && delivery.dead.is_some());
    dead.map(|delivery| delivery.engage_again()).is_some()
}

fn refusal(incident: &Incident, kind: RequestKind) -> Option<Refusal> {
    let progress = &incident.progress;
    let first = match kind {
        RequestKind::Acknowledge => progress.acknowledged.as_ref().or(progress.resolved.as_ref()),
        RequestKind::Resolve | RequestKind::Replay => progress.resolved.as_ref(),
        RequestKind::Comment => None,
    };
    first.map(|decision| Refusal { state: progress.state, decision: decision.clone() })
}

fn waited(incident: &Incident, kind: RequestKind, now: Moment) -> Option<Duration> {
    let ends = kind == RequestKind::Acknowledge && incident.is_unacknowledged();
    let waited_ms = now.ms.saturating_sub(incident.alarm.opened_ms).max(0);
    ends.then(|| Duration::from_millis(waited_ms.unsigned_abs()))
}
