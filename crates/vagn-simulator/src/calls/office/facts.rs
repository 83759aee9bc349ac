//! Facts: what groups of the service's own desk say, as the oracle must know it.

use vagn_cluster::hash;
use vagn_cluster::trail::{AlarmId, DeedId};
use vagn_emergency::simulated::{GroupFacts, IncidentFacts, read_group};

use crate::calls::side::{Content, Record};

/// An incident.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts(pub(super) IncidentFacts);

impl Record for Facts {
    fn read(group: &[u8]) -> Content<Self> {
        content(read_group(group).unwrap_or_default())
    }

    fn keeps(&self, before: &Self) -> bool {
        let (now, before) = (&self.0, &before.0);
        let has_accepted =
            |name: &str| now.targets.iter().any(|target| target.is_accepted && target.name == name);
        now.reports >= before.reports
            && now.vehicle == before.vehicle
            && now.is_resolved >= before.is_resolved
            && now.is_acknowledged >= before.is_acknowledged
            && now.is_unrecorded >= before.is_unrecorded
            && before.targets.iter().all(|target| !target.is_accepted || has_accepted(&target.name))
    }

    fn telling(&self) -> Option<u64> {
        Some(telling(&self.0.to_tell))
    }
}

/// Returns the number of what a target is told.
pub(super) fn telling(words: &str) -> u64 {
    hash(&[words.as_bytes()])
}

/// Returns all that a group, or a store, says.
pub(super) fn content(group: GroupFacts) -> Content<Facts> {
    let alarms = &group.alarms;
    let opened = group.incidents.iter().map(|incident| (AlarmId(incident.id), AlarmId(incident.id)));
    let joined = alarms.iter().map(|record| (AlarmId(record.alarm), AlarmId(record.incident)));
    let sittings = alarms.iter().flat_map(|record| {
        record.sittings.iter().map(|(sitting, reports)| (AlarmId(record.alarm), *sitting, *reports))
    });
    Content {
        joins: opened.chain(joined).collect(),
        sittings: sittings.collect(),
        deeds: group.deeds.iter().copied().map(DeedId).collect(),
        incidents: group
            .incidents
            .into_iter()
            .map(|incident| (AlarmId(incident.id), Facts(incident)))
            .collect(),
    }
}
