//! A small desk: an incident for each vehicle that calls, a message that opens it, and one that says it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use vagn_cluster::trail::{Alarm, AlarmId, DeedId, DeedTaken, DeskState, Draft, Duty, Mark, Taken};

/// Incidents in one group.
const TOGETHER: usize = 16;

/// Length of a person's deed. A part of a rest is longer.
const DEED_LEN: usize = 16;

/// Pause between two attempts, ms.
const AGAIN_MS: u64 = 200;

/// An incident, as groups and stores have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Incident {
    pub(crate) vehicle: u64,
    /// Highest report of the vehicle.
    pub(crate) report: u64,
    pub(crate) alarms: BTreeSet<u64>,
    /// A door called about it by itself.
    pub(crate) unrecorded: bool,
    /// The target has accepted the opening.
    pub(crate) told: bool,
    deeds: BTreeSet<String>,
    pub(crate) resolved: bool,
    /// The target knows that it is over.
    pub(crate) closed: bool,
}

/// What a node keeps over restarts.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) mark: Option<Mark>,
    pub(crate) incidents: BTreeMap<u64, Incident>,
    /// Alarms of its door that are not in the trail, with notes of calls.
    pub(crate) kept: BTreeMap<AlarmId, (Vec<u8>, Vec<u8>)>,
    /// What it had before a copy took its place, and that has not.
    pub(crate) rest: BTreeMap<DeedId, Vec<u8>>,
    /// Pieces of a copy that is on its way.
    aside: Vec<u8>,
}

impl Incident {
    /// Returns it with all that another store knows of it.
    fn merged(&self, other: &Self) -> Self {
        Self {
            vehicle: self.vehicle,
            report: self.report.max(other.report),
            alarms: self.alarms.union(&other.alarms).copied().collect(),
            unrecorded: self.unrecorded | other.unrecorded,
            told: self.told | other.told,
            deeds: self.deeds.union(&other.deeds).cloned().collect(),
            resolved: self.resolved | other.resolved,
            closed: self.closed | other.closed,
        }
    }
}

/// A message to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) incident: u64,
    /// 0 for the opening.
    pub(crate) number: u64,
    pub(crate) meaning: Meaning,
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Meaning {
    /// The vehicle calls for help.
    Opening(u64),
    /// It does no more.
    Over(u64),
}

#[derive(Debug, Default)]
struct Live {
    incident: Incident,
    /// As the trail has it.
    recorded: Option<Incident>,
    recorded_at: u64,
    is_released: bool,
    attempts: u64,
    is_under_way: bool,
    again_at_ms: u64,
    /// Number of the message that says that it is over.
    over: Option<u64>,
}

/// A desk. It has content while its node leads.
pub(crate) struct Desk {
    store: Arc<Mutex<Store>>,
    live: BTreeMap<u64, Live>,
    next_number: u64,
    drafted: Vec<(u64, Incident)>,
}

impl Live {
    fn is_dirty(&self) -> bool {
        self.recorded.as_ref() != Some(&self.incident)
    }

    fn next(&mut self, incident: u64, numbers: &mut u64) -> Option<Message> {
        let vehicle = self.incident.vehicle;
        if !self.incident.told {
            let may = self.is_released || self.recorded.is_some();
            return may.then_some(Message { incident, number: 0, meaning: Meaning::Opening(vehicle) });
        }
        let is_over =
            self.recorded.as_ref().is_some_and(|recorded| recorded.resolved) && !self.incident.closed;
        is_over.then(|| {
            let number = *self.over.get_or_insert_with(|| {
                *numbers += 1;
                *numbers
            });
            Message { incident, number, meaning: Meaning::Over(vehicle) }
        })
    }
}

impl Desk {
    pub(crate) fn new(store: Arc<Mutex<Store>>) -> Self {
        Self { store, live: BTreeMap::new(), next_number: 0, drafted: Vec::new() }
    }

    /// Returns what is due and may be done, as under way.
    pub(crate) fn due(&mut self, now_ms: u64, duty: Duty) -> Vec<Message> {
        let numbers = &mut self.next_number;
        let due = self.live.iter_mut().filter_map(|(id, live)| {
            let may = match duty {
                Duty::Standby => false,
                Duty::Alone => !live.incident.told,
                Duty::FirstOnly => live.attempts == 0,
                Duty::Full => true,
            };
            if !may || live.is_under_way || now_ms < live.again_at_ms {
                return None;
            }
            let message = live.next(*id, numbers)?;
            (live.is_under_way, live.attempts) = (true, live.attempts + 1);
            Some(message)
        });
        due.collect()
    }

    /// An attempt has ended.
    pub(crate) fn attempted(&mut self, message: Message, is_accepted: bool, now_ms: u64) {
        let Some(live) = self.live.get_mut(&message.incident) else { return };
        (live.is_under_way, live.again_at_ms) = (false, now_ms + AGAIN_MS);
        match message.meaning {
            Meaning::Opening(_) => live.incident.told |= is_accepted,
            Meaning::Over(_) => live.incident.closed |= is_accepted,
        }
    }

    /// Takes in what another store knew of an incident.
    fn take_rest(&mut self, deed: String, bytes: &[u8]) -> DeedTaken {
        let (id, other) = incidents(bytes).remove(0);
        let past = self.store.lock().unwrap().incidents.get(&id).cloned();
        let live = self.live.get(&id);
        let known = live.map(|live| live.incident.clone()).or(past.clone());
        let recorded = live.map_or(past, |live| live.recorded.clone());
        let mut merged = known.map_or_else(|| other.clone(), |known| known.merged(&other));
        let has = |recorded: &Incident| recorded.deeds.contains(&deed) || *recorded == merged;
        if recorded.as_ref().is_some_and(has) {
            return DeedTaken::Recorded;
        }
        merged.deeds.insert(deed);
        self.live.entry(id).or_insert_with(|| Live { recorded, ..Live::default() }).incident = merged;
        DeedTaken::Open
    }

    fn about(&self, alarm: u64) -> Option<u64> {
        self.live.iter().find(|(_, live)| live.incident.alarms.contains(&alarm)).map(|(id, _)| *id)
    }
}

impl Store {
    /// The incident that an alarm is about.
    fn about(&self, alarm: u64) -> Option<Incident> {
        self.incidents.values().find(|incident| incident.alarms.contains(&alarm)).cloned()
    }

    /// Returns all that is given to other stores.
    pub(crate) fn picture(&self) -> Vec<u8> {
        serde_json::to_vec(&self.incidents).unwrap()
    }

    /// Puts a piece of a copy aside. With the last one all of it takes the place of what is here.
    pub(crate) fn take(&mut self, piece: u32, bytes: &[u8], mark: Option<Mark>) {
        if piece == 0 {
            self.aside.clear();
        }
        self.aside.extend_from_slice(bytes);
        if mark.is_some() {
            let copy: BTreeMap<u64, Incident> =
                serde_json::from_slice(&std::mem::take(&mut self.aside)).unwrap();
            let rest = self.incidents.iter().filter(|(id, incident)| copy.get(id) != Some(incident));
            for (id, incident) in rest {
                let bytes = serde_json::to_vec(&[(id, incident)]).unwrap();
                self.rest.insert(DeedId(u128::from(vagn_cluster::hash(&[&bytes])) << 64), bytes);
            }
            (self.incidents, self.mark) = (copy, mark);
        }
    }

    /// Takes groups in, all or nothing.
    pub(crate) fn save(&mut self, mark: Mark, groups: &[Arc<[u8]>]) {
        self.incidents.extend(groups.iter().flat_map(|group| incidents(group)));
        self.mark = Some(mark);
    }
}

/// Reads a group.
pub(crate) fn incidents(group: &[u8]) -> Vec<(u64, Incident)> {
    serde_json::from_slice(group).unwrap()
}

/// Bytes of an alarm of a vehicle with its report.
pub(crate) fn alarm_bytes(vehicle: u64, report: u64) -> Vec<u8> {
    [vehicle.to_le_bytes(), report.to_le_bytes()].concat()
}

/// The vehicle that an alarm is of, and its report.
pub(crate) fn read_alarm(bytes: &[u8]) -> (u64, u64) {
    let (vehicle, report) = bytes.split_first_chunk().unwrap();
    (u64::from_le_bytes(*vehicle), u64::from_le_bytes(report.try_into().unwrap()))
}

impl DeskState for Desk {
    fn recall(&mut self, numbers: Option<RangeInclusive<u64>>) {
        self.next_number = numbers.map_or(0, |numbers| *numbers.start());
        let store = self.store.lock().unwrap();
        let open = store.incidents.iter().filter(|(_, incident)| !incident.closed);
        let live = |incident: &Incident| Live {
            incident: incident.clone(),
            recorded: Some(incident.clone()),
            ..Live::default()
        };
        self.live = open.map(|(id, incident)| (*id, live(incident))).collect();
    }

    fn take(&mut self, alarm: &Alarm) -> Taken {
        let id = alarm.id.0 as u64;
        let (vehicle, report) = read_alarm(&alarm.bytes);
        let about = self.about(id);
        let live = about.and_then(|at| self.live.get(&at)).map(|live| live.incident.clone());
        if let Some(past) = live.or_else(|| self.store.lock().unwrap().about(id)).filter(|past| past.resolved)
        {
            return if report > past.report { Taken::Over } else { Taken::Recorded };
        }
        let (at, taken) = match about {
            Some(at) => (at, Taken::Open),
            None => {
                let same = |live: &Live| live.incident.vehicle == vehicle && !live.incident.resolved;
                let other = self.live.iter().find(|(_, live)| same(live)).map(|(id, _)| *id);
                (other.unwrap_or(id), if other.is_some() { Taken::Joined } else { Taken::Open })
            }
        };
        let live = self.live.entry(at).or_default();
        live.incident.vehicle = vehicle;
        live.incident.report = live.incident.report.max(report);
        live.incident.alarms.insert(id);
        live.incident.unrecorded |= alarm.unrecorded;
        // What the door told was about the incident that it had opened itself.
        live.incident.told |= !alarm.note.is_empty() && at == id;
        if live.is_dirty() { taken } else { Taken::Recorded }
    }

    fn deed(&mut self, deed: DeedId, bytes: &[u8]) -> Result<DeedTaken, Vec<u8>> {
        let deed = format!("{:x}", deed.0);
        if bytes.len() > DEED_LEN {
            return Ok(self.take_rest(deed, bytes));
        }
        let (vehicle, _) = read_alarm(bytes);
        if self.store.lock().unwrap().incidents.values().any(|past| past.deeds.contains(&deed)) {
            return Ok(DeedTaken::Recorded);
        }
        let mut all = self.live.values_mut();
        let live = all.find(|live| {
            live.incident.vehicle == vehicle
                && (!live.incident.resolved || live.incident.deeds.contains(&deed))
        });
        let Some(live) = live else { return Err(b"not open".to_vec()) };
        live.incident.resolved = true;
        live.incident.deeds.insert(deed);
        Ok(DeedTaken::Open)
    }

    fn draft(&mut self) -> Option<Draft> {
        let dirty = self.live.iter().filter(|(_, live)| live.is_dirty()).take(TOGETHER);
        self.drafted = dirty.map(|(id, live)| (*id, live.incident.clone())).collect();
        let left = self.live.iter().filter(|(_, live)| live.is_dirty()).skip(TOGETHER);
        // An alarm may be about two incidents, one of them from a rest.
        let left: BTreeSet<u64> = left.flat_map(|(_, live)| live.incident.alarms.iter().copied()).collect();
        let all = || self.drafted.iter().map(|(_, incident)| incident);
        let alarms = all().flat_map(|incident| incident.alarms.difference(&left));
        let alarms = alarms.map(|alarm| AlarmId((*alarm).into()));
        let deeds = all().flat_map(|incident| &incident.deeds);
        let deeds = deeds.map(|deed| DeedId(u128::from_str_radix(deed, 16).unwrap()));
        (!self.drafted.is_empty()).then(|| Draft {
            content: serde_json::to_vec(&self.drafted).unwrap(),
            alarms: alarms.collect(),
            deeds: deeds.collect(),
        })
    }

    fn recorded(&mut self, sequence: u64) {
        for (id, incident) in std::mem::take(&mut self.drafted) {
            if let Some(live) = self.live.get_mut(&id) {
                (live.recorded, live.recorded_at) = (Some(incident), sequence);
            }
        }
    }

    fn saved(&mut self, through: u64) {
        self.live.retain(|_, live| !live.incident.closed || live.is_dirty() || live.recorded_at > through);
    }

    fn release(&mut self, alarm: AlarmId) {
        let at = self.about(alarm.0 as u64);
        if let Some(live) = at.and_then(|at| self.live.get_mut(&at)) {
            live.is_released = true;
        }
    }

    fn set_duty(&mut self, _: Duty) {}

    fn stand_down(&mut self) {
        self.live.clear();
        self.drafted.clear();
    }
}
