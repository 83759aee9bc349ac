//! A selection: the open incidents that a person resolves together.

use serde::{Deserialize, Serialize};

use crate::record::incident::Incident;
use crate::record::progress::State;
use crate::record::standing::Standing;

/// Conditions that an open incident must meet, all of those that are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Its vehicle is one of these.
    pub vehicle_ids: Option<Vec<Box<str>>>,
    /// The id of its vehicle begins with this.
    pub vehicle_id_prefix: Option<Box<str>>,
    /// It was opened at this time or later, ms since 1970.
    pub opened_from_ms: Option<i64>,
    /// It was opened at this time or earlier, ms since 1970.
    pub opened_until_ms: Option<i64>,
    /// Its vehicle had this standing at its first alarm.
    pub standing: Option<Standing>,
    /// It is in this state.
    pub state: Option<State>,
    /// True for drills alone, false for real incidents alone.
    pub drill: Option<bool>,
}

/// Result of a request to resolve many incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolvedMany {
    /// Number of incidents that were chosen.
    pub matched: u64,
    /// Number of those that were resolved.
    pub resolved: u64,
    /// All of these are on disk.
    pub recorded: bool,
}

impl Selection {
    /// Returns true for an open incident that meets all conditions.
    pub(crate) fn chooses(&self, incident: &Incident) -> bool {
        let vehicle_id = &incident.vehicle_id;
        let opened_ms = incident.alarm.opened_ms;
        !incident.is_resolved()
            && self.drill.is_none_or(|drill| drill == incident.drill)
            && self.standing.is_none_or(|standing| standing == incident.standing)
            && self.state.is_none_or(|state| state == incident.progress.state)
            && self.opened_from_ms.is_none_or(|from_ms| from_ms <= opened_ms)
            && self.opened_until_ms.is_none_or(|until_ms| opened_ms <= until_ms)
            && self.vehicle_id_prefix.as_deref().is_none_or(|prefix| vehicle_id.starts_with(prefix))
            && self.vehicle_ids.as_ref().is_none_or(|ids| ids.contains(vehicle_id))
    }
}
