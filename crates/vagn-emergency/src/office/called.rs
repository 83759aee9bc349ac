//! Called: the incidents about which a door calls, and how far each is. It says which of them make room for others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::desk::Desk;
use crate::id::IncidentId;

/// Most alarms about which a node calls at a time, with those that it only shows.
pub(super) const CALLED_MAX: usize = 65_536;

/// Most alarms that are known to be accepted. Of one that is forgotten and comes again a target hears once more, under the same key.
pub(super) const ACCEPTED_MAX: usize = 2 * CALLED_MAX;

/// Incidents at the desk of a door, and how far each is.
pub(super) struct Called {
    pub(super) desk: Desk,
    /// Alarms that a target has accepted, each with the note of that, until the trail has them: they are not called about again.
    pub(super) accepted: BTreeMap<IncidentId, Vec<u8>>,
    /// Those about which nothing was sent from here: the leader may have called.
    pub(super) held: BTreeSet<IncidentId>,
    /// Those that are accepted, or that the trail has. They are only shown, and make room for others.
    pub(super) settled: BTreeSet<IncidentId>,
    /// Of these, those that the trail has and this node has not applied.
    pub(super) let_go: BTreeMap<IncidentId, LetGo>,
}

/// What is known of an incident that was let go.
pub(super) struct LetGo {
    pub(super) since: Duration,
    /// Last entry of the trail that this node had applied by then, or soon after.
    pub(super) applied: Option<u64>,
}

impl Called {
    pub(super) fn new(desk: Desk) -> Self {
        Self {
            desk,
            accepted: BTreeMap::new(),
            held: BTreeSet::new(),
            settled: BTreeSet::new(),
            let_go: BTreeMap::new(),
        }
    }

    pub(super) fn forget(&mut self, id: IncidentId) {
        self.desk.forget(id);
        self.held.remove(&id);
        self.settled.remove(&id);
        self.let_go.remove(&id);
    }

    /// Notes that a target has accepted an alarm.
    pub(super) fn accept(&mut self, id: IncidentId, note: Vec<u8>) {
        self.accepted.insert(id, note);
        // Nobody lets go of an alarm for which there was no room.
        if self.accepted.len() > ACCEPTED_MAX {
            self.accepted.pop_first();
        }
    }

    /// Counts the incidents about which this node calls.
    pub(super) fn count(&self) -> usize {
        self.desk.count() - self.held.len() - self.settled.len()
    }

    /// Returns true when nothing is sent about an incident.
    pub(super) fn is_silent(&self, id: IncidentId) -> bool {
        self.held.contains(&id) || self.settled.contains(&id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.desk.count() >= CALLED_MAX
    }

    /// Returns the oldest incident that makes room for another; for a call also one that is only held.
    pub(super) fn least(&self, for_call: bool) -> Option<IncidentId> {
        let held = self.held.first().filter(|_| for_call);
        self.settled.first().or(held).copied()
    }
}
