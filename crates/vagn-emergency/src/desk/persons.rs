//! What people decide about an incident. The first to acknowledge or resolve it wins.

use super::{Desk, Live, Moment};
use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::progress::{Decision, State};
use crate::trail::EventKind;

/// What a person does about an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Takes it on: nobody else needs to be called.
    Acknowledge,
    /// Closes it.
    Resolve,
    /// Says something about it.
    Comment,
    /// Has those targets called again that have refused it for good.
    Replay,
}

/// An act, with who does it and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is done.
    pub action: RequestKind,
    /// Who does it.
    pub by: Box<str>,
    /// Why, or what else there is to say.
    pub note: Box<str>,
}

/// Somebody was first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// How far the incident has come by that.
    pub state: State,
    /// Who, when and why.
    pub decision: Decision,
}

impl Desk {
    /// Does what a person wants done about an incident at the desk.
    ///
    /// # Errors
    /// When somebody else has done it before, or it is over.
    pub fn act(&mut self, id: IncidentId, request: &Request, now: Moment) -> Result<(), Refusal> {
        let Some(live) = self.live.get(&id) else { return Ok(()) };
        if let Some(refusal) = refusal(&live.incident, request.action) {
            return Err(refusal);
        }
        let decision = Decision { by: request.by.clone(), at_ms: now.ms, note: request.note.clone() };
        let action = match request.action {
            RequestKind::Acknowledge => self.acknowledge(id, decision, now),
            RequestKind::Resolve => self.resolve(id, decision),
            RequestKind::Comment => EventKind::Commented,
            RequestKind::Replay if self.replay(id, now) == 0 => return Ok(()),
            RequestKind::Replay => EventKind::Replayed,
        };
        self.note_by(&request.by, id, now.ms, action, &request.note);
        self.urgent = true;
        Ok(())
    }

    /// Brings back one that has left the desk, so that something can be said about it.
    pub fn recall(&mut self, incident: Incident, now: Moment) {
        if !self.live.contains_key(&incident.id) {
            self.enlist(Live::restore(incident, now));
        }
    }

    fn acknowledge(&mut self, id: IncidentId, decision: Decision, now: Moment) -> EventKind {
        self.change(id, |incident| {
            incident.acknowledge(decision);
            incident.notices.deliveries.iter_mut().for_each(|delivery| delivery.reminder = false);
        });
        self.end_turn_at(id, None);
        self.spread(id, now.at);
        EventKind::Acknowledged
    }

    pub(super) fn resolve(&mut self, id: IncidentId, decision: Decision) -> EventKind {
        if let Some(live) = self.change(id, |incident| incident.resolve(decision)) {
            let over = live.incident.clone();
            self.roster.leave(&over);
        }
        self.end_turn_at(id, None);
        self.queues.iter_mut().for_each(|calls| calls.cancel(id));
        EventKind::Resolved
    }

    /// Has every target called again that has refused the incident for good. Returns how many.
    fn replay(&mut self, id: IncidentId, now: Moment) -> usize {
        let Some(live) = self.live.get_mut(&id) else { return 0 };
        let (test, standing) = (live.incident.drill, live.incident.standing.in_queue());
        let mut replayed = 0;
        for (at, turn) in self.rules.turns(test).iter().enumerate() {
            let dead = live.incident.notices.deliveries.iter_mut().find(|one| one.target == turn.target);
            if let Some(dead) = dead.filter(|one| one.dead.is_some()) {
                dead.engage_again();
                self.queues[self.rules.target_index(test, at).0].repeat(id, standing, now.at);
                replayed += 1;
            }
        }
        replayed
    }

    /// Has every dead letter sent again, on behalf of `by`. Returns how many.
    pub fn replay_all(&mut self, by: &str, now: Moment) -> usize {
        let dead: Vec<_> = self.dead.iter().copied().collect();
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

fn refusal(incident: &Incident, kind: RequestKind) -> Option<Refusal> {
    let first = match kind {
        RequestKind::Acknowledge => {
            incident.progress.acknowledged.as_ref().or(incident.progress.resolved.as_ref())
        }
        RequestKind::Resolve | RequestKind::Replay => incident.progress.resolved.as_ref(),
        RequestKind::Comment => None,
    };
    first.map(|decision| Refusal { state: incident.progress.state, decision: decision.clone() })
}
