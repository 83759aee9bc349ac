//! Incident store of a machine, and the incidents in it. It outlives processes.

use std::collections::{BTreeMap, BTreeSet};

use vagn_cluster::bytes::{Reader, Write};
use vagn_cluster::trail::{AlarmId, DeedId, Mark};
use vagn_cluster::{fold, hash};

use crate::calls::side::{Content, Record};

/// An incident, as groups carry it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Incident {
    pub(crate) vehicle: u64,
    /// Highest report of the vehicle.
    pub(crate) version: u64,
    /// Alarms that are about it, the one that opened it among them.
    pub(crate) alarms: BTreeSet<u128>,
    pub(crate) unrecorded: bool,
    /// Report that the target knows of; `None` while it has not accepted the opening.
    pub(crate) told: Option<u64>,
    pub(crate) deeds: BTreeSet<u128>,
    pub(crate) resolved: bool,
}

impl Incident {
    /// Returns it with all that another store knows of it.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        Self {
            vehicle: self.vehicle.max(other.vehicle),
            version: self.version.max(other.version),
            alarms: self.alarms.union(&other.alarms).copied().collect(),
            unrecorded: self.unrecorded | other.unrecorded,
            told: self.told.max(other.told),
            deeds: self.deeds.union(&other.deeds).copied().collect(),
            resolved: self.resolved | other.resolved,
        }
    }
}

impl Record for Incident {
    fn read(group: &[u8]) -> Content<Self> {
        content(incidents(group))
    }

    fn keeps(&self, before: &Self) -> bool {
        self.version >= before.version
            && self.told >= before.told
            && self.resolved >= before.resolved
            && self.unrecorded >= before.unrecorded
            && self.alarms.is_superset(&before.alarms)
            && self.deeds.is_superset(&before.deeds)
    }

    fn telling(&self) -> Option<u64> {
        None
    }
}

/// Returns all that incidents say.
pub(super) fn content(incidents: Vec<(AlarmId, Incident)>) -> Content<Incident> {
    let mut content = Content { incidents, joins: Vec::new(), sittings: Vec::new(), deeds: Vec::new() };
    for (id, incident) in &content.incidents {
        for alarm in &incident.alarms {
            content.joins.push((AlarmId(*alarm), *id));
            content.sittings.push((AlarmId(*alarm), 0, incident.version));
        }
        content.deeds.extend(incident.deeds.iter().copied().map(DeedId));
    }
    content
}

/// A store: what every group says, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) mark: Option<Mark>,
    pub(crate) incidents: BTreeMap<AlarmId, Incident>,
    /// Alarms of the machine's own door that are not in the trail, with notes of calls.
    pub(crate) kept: BTreeMap<AlarmId, (Vec<u8>, Vec<u8>)>,
    pub(crate) full: bool,
    /// What it had before a copy took its place, and the copy has not.
    pub(crate) rest: BTreeMap<DeedId, Vec<u8>>,
    /// Pieces of a copy that is on its way.
    aside: Vec<u8>,
}

impl Store {
    pub(crate) fn apply(&mut self, mark: Mark, groups: &[std::sync::Arc<[u8]>]) {
        for (id, incident) in groups.iter().flat_map(|group| incidents(group)) {
            self.incidents.insert(id, incident);
        }
        self.mark = Some(mark);
    }

    /// Returns all that is given to other stores.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.incidents.iter().for_each(|(id, incident)| put(&mut out, *id, incident));
        out
    }

    /// Puts a piece of a copy aside. With the last one all of it takes the place of what is here.
    pub(crate) fn take(&mut self, piece: u32, bytes: &[u8], mark: Option<Mark>) {
        if piece == 0 {
            self.aside.clear();
        }
        self.aside.extend_from_slice(bytes);
        if mark.is_some() {
            let copy: BTreeMap<AlarmId, Incident> =
                incidents(&std::mem::take(&mut self.aside)).into_iter().collect();
            for (id, incident) in &self.incidents {
                if copy.get(id) != Some(incident) {
                    let mut bytes = Vec::new();
                    put(&mut bytes, *id, incident);
                    let name = DeedId(u128::from(hash(&[&bytes])) << 64 | u128::from(u64::MAX));
                    self.rest.insert(name, bytes);
                }
            }
            (self.incidents, self.mark) = (copy, mark);
        }
    }

    /// Throws away what is of a copy that was cut off.
    pub(crate) fn start(&mut self) {
        self.aside.clear();
    }

    /// Returns the newest report of the incident that an alarm was about.
    pub(crate) fn past(&self, alarm: AlarmId) -> Option<u64> {
        let about = self.incidents.values().filter(|incident| incident.alarms.contains(&alarm.0));
        about.map(|incident| incident.version).max()
    }

    /// Returns true for an alarm that is about incidents which are over, and about no other.
    pub(crate) fn is_over(&self, alarm: AlarmId) -> bool {
        let mut about =
            self.incidents.values().filter(|incident| incident.alarms.contains(&alarm.0)).peekable();
        about.peek().is_some() && about.all(|incident| incident.resolved)
    }

    /// Keeps what it keeps of an alarm under another id, whatever version that is: its old id would lead to an incident that is over. What came of
    /// calls under the old id says nothing of the new one.
    pub(crate) fn rename(&mut self, alarm: AlarmId, renewed: AlarmId) {
        if let Some((bytes, _)) = self.kept.remove(&alarm) {
            self.kept.insert(renewed, (bytes, Vec::new()));
        }
    }

    /// Keeps an alarm no more, unless it has it otherwise by now.
    pub(crate) fn let_go(&mut self, alarm: AlarmId, bytes: &[u8]) {
        if self.kept.get(&alarm).is_some_and(|(kept, _)| kept == bytes) {
            self.kept.remove(&alarm);
        }
    }
}

/// Returns the incidents of a group.
pub(crate) fn incidents(group: &[u8]) -> Vec<(AlarmId, Incident)> {
    let mut reader = Reader::new(group);
    std::iter::from_fn(|| (!reader.rest().is_empty()).then(|| take(&mut reader))).collect()
}

/// Appends an incident to a group.
pub(crate) fn put(out: &mut Vec<u8>, id: AlarmId, incident: &Incident) {
    out.put(&id.0.to_le_bytes());
    out.put_u64(incident.vehicle);
    out.put_u64(incident.version);
    out.put_u8(u8::from(incident.unrecorded) | u8::from(incident.resolved) << 1);
    out.put_u64(incident.told.map_or(0, |told| told + 1));
    for names in [&incident.alarms, &incident.deeds] {
        out.put_count(names.len());
        names.iter().for_each(|name| out.put(&name.to_le_bytes()));
    }
}

/// Groups are made by desks and arrive whole: the trail sees to it.
fn take(reader: &mut Reader<'_>) -> (AlarmId, Incident) {
    let id = AlarmId(name(reader));
    let vehicle = number(reader);
    let version = number(reader);
    let flags = reader.u8().unwrap_or(0);
    let told = number(reader).checked_sub(1);
    let alarms = names(reader);
    let deeds = names(reader);
    let (unrecorded, resolved) = (flags & 1 > 0, flags & 2 > 0);
    (id, Incident { vehicle, version, alarms, unrecorded, told, deeds, resolved })
}

fn number(reader: &mut Reader<'_>) -> u64 {
    reader.u64().unwrap_or(0)
}

fn name(reader: &mut Reader<'_>) -> u128 {
    let (low, high) = (number(reader), number(reader));
    u128::from(high) << 64 | u128::from(low)
}

fn names(reader: &mut Reader<'_>) -> BTreeSet<u128> {
    let count = reader.u32().unwrap_or(0);
    (0..count).map(|_| name(reader)).collect()
}

/// Returns an alarm of a vehicle in its byte form.
pub(crate) fn alarm_bytes(vehicle: u64, version: u64) -> Vec<u8> {
    [vehicle.to_le_bytes(), version.to_le_bytes()].concat()
}

/// Reads the byte form of an alarm: vehicle and number of its report.
pub(crate) fn read_alarm(bytes: &[u8]) -> (u64, u64) {
    let mut reader = Reader::new(bytes);
    (number(&mut reader), number(&mut reader))
}

/// Meaning of the first message about an incident.
pub(crate) fn opening(id: AlarmId) -> u64 {
    fold(fold(1, id.0 as u64), (id.0 >> 64) as u64)
}

/// Meaning of an update.
pub(crate) fn update(id: AlarmId, version: u64) -> u64 {
    fold(fold(2, opening(id)), version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_an_alarm_is_kept_under_its_new_id_alone_in_whatever_version() {
        let (old, new) = (AlarmId(1), AlarmId(2));
        let mut store = Store::default();
        store.kept.insert(old, (alarm_bytes(5, 0), vec![1]));
        store.rename(old, new);
        // Nothing of it is kept under its old id, by which the door would go on with an incident that is over.
        assert_eq!(store.kept, BTreeMap::from([(new, (alarm_bytes(5, 0), Vec::new()))]));
    }

    #[test]
    fn a_group_is_read_as_it_was_written() {
        let one = Incident {
            vehicle: 3,
            version: 4,
            alarms: [1, 1 << 90].into(),
            unrecorded: true,
            told: Some(0),
            deeds: [7].into(),
            resolved: false,
        };
        let other = Incident { resolved: true, told: None, ..one.clone() };
        let mut group = Vec::new();
        put(&mut group, AlarmId(1), &one);
        put(&mut group, AlarmId(2), &other);
        assert_eq!(incidents(&group), [(AlarmId(1), one), (AlarmId(2), other)]);
        assert_eq!(read_alarm(&alarm_bytes(5, 6)), (5, 6));
    }
}
