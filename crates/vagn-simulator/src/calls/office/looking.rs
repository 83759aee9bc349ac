//! Looking: what must be at the end in stores, and at the targets.

use std::collections::BTreeMap;

use vagn_cluster::trail::AlarmId;
use vagn_emergency::simulated::{IncidentFacts, SteppedNode, TARGETS};

use super::Office;
use super::facts::telling;
use crate::calls::world::World;

impl World<Office> {
    /// All stores have one content with one head, each node shows it, and targets know what the stores say that they know.
    pub(super) fn look_at_stores(&mut self) {
        let mut first: Option<String> = None;
        for id in 0..self.machines.len() {
            let content = self.step(id, |node| node.content()).flatten();
            let Some((said, is_shown)) = content else {
                self.oracle.wrong_if(true, || format!("the store of {} is not open at the end", id + 1));
                continue;
            };
            self.oracle.wrong_if(!is_shown, || format!("{} shows something else than its store has", id + 1));
            match &first {
                None => first = Some(said),
                Some(first) => {
                    let differs = *first != said;
                    self.oracle.wrong_if(differs, || {
                        let mut lines = first.lines().zip(said.lines()).enumerate();
                        let other = lines.find(|(_, (one, other))| one != other);
                        format!("{} has a store that differs, first in {other:?}", id + 1)
                    });
                }
            }
        }
        let incidents = self.step(0, |node| SteppedNode::incidents(node)).flatten().unwrap_or_default();
        self.look_at_vehicles(&incidents);
        self.look_at_targets(&incidents);
    }

    /// No vehicle has two incidents that are open.
    fn look_at_vehicles(&mut self, incidents: &[IncidentFacts]) {
        let mut open: BTreeMap<&str, u128> = BTreeMap::new();
        for incident in incidents.iter().filter(|incident| !incident.is_resolved) {
            let other = open.insert(&incident.vehicle, incident.id);
            self.oracle.wrong_if(other.is_some(), || {
                format!("{} has two open incidents: {other:x?} and {:x}", incident.vehicle, incident.id)
            });
        }
    }

    /// A target knows what stores say that it was told.
    fn look_at_targets(&mut self, incidents: &[IncidentFacts]) {
        for incident in incidents {
            for target in incident.targets.iter().filter(|target| target.is_accepted) {
                let place = TARGETS.iter().position(|name| *name == target.name).unwrap_or(TARGETS.len());
                // Nobody has said anything new for long.
                let is_behind = !incident.is_resolved && target.told != incident.to_tell;
                self.oracle.wrong_if(is_behind, || {
                    format!(
                        "{} is not told the latest of {:x}: {} in place of {}",
                        target.name, incident.id, target.told, incident.to_tell
                    )
                });
                let knows = self.target.knows(place, AlarmId(incident.id), telling(&target.told));
                self.oracle.wrong_if(!knows, || {
                    format!(
                        "{} was not told what stores say of {:x}: {}",
                        target.name, incident.id, target.told
                    )
                });
            }
        }
    }
}
