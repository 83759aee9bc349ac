//! Ends of turns: when the turn of an incident passes on to the next target.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::id::IncidentId;

/// Ends of turns, on the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct TurnEnds {
    order: BTreeSet<(Duration, IncidentId)>,
    by_incident: HashMap<IncidentId, Duration>,
}

impl TurnEnds {
    pub(super) fn set(&mut self, id: IncidentId, at: Duration) {
        self.clear(id);
        self.order.insert((at, id));
        self.by_incident.insert(id, at);
    }

    pub(super) fn clear(&mut self, id: IncidentId) {
        if let Some(at) = self.by_incident.remove(&id) {
            self.order.remove(&(at, id));
        }
    }

    pub(super) fn first(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the incident whose turn ended first, if that was at `now` or before.
    pub(super) fn take_ended(&mut self, now: Duration) -> Option<IncidentId> {
        let (_, id) = self.order.first().copied().filter(|(at, _)| *at <= now)?;
        self.clear(id);
        Some(id)
    }
}
