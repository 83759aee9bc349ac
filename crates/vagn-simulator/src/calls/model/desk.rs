//! Desk of a machine: opens an incident for each vehicle that calls, and says what is due to the target.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;

use vagn_cluster::trail::{Alarm, AlarmId, DeedId, DeedTaken, DeskState, Draft, Duty, Taken};

use super::store::{Incident, Store, incidents, opening, put, read_alarm, update};
use crate::agenda::SECOND;

/// Incidents in one group.
const TOGETHER: usize = 8;

/// Length of a person's deed, which names an incident. A part of a rest is longer.
const NAME_LEN: usize = 16;

/// Pause between two attempts.
const AGAIN: u64 = SECOND;

/// A desk.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Rc<RefCell<Store>>,
    live: BTreeMap<AlarmId, Live>,
    next_number: u64,
    duty: Duty,
    /// Alarms about which it may call without a record, for whoever asks next.
    released: Vec<AlarmId>,
    /// Incidents of the last group, as they were in it.
    drafted: Vec<(AlarmId, Incident)>,
}

#[derive(Debug, Clone, Default)]
struct Live {
    incident: Incident,
    /// As the trail has it; `None` if it does not.
    recorded: Option<Incident>,
    /// Place of the last group with it.
    recorded_at: u64,
    released: bool,
    attempts: u64,
    /// Update that is being told: its number and report.
    update: Option<(u64, u64)>,
    under_way: bool,
    again_at: u64,
}

/// A message to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) incident: AlarmId,
    /// 0 for the opening.
    pub(crate) number: u64,
    pub(crate) meaning: u64,
    pub(crate) version: u64,
    /// The trail is said to have what it tells.
    pub(crate) is_recorded: bool,
}

impl Desk {
    pub(crate) fn new(store: Rc<RefCell<Store>>) -> Self {
        let (live, duty) = (BTreeMap::new(), Duty::Standby);
        Self { store, live, next_number: 0, duty, released: Vec::new(), drafted: Vec::new() }
    }

    /// Returns the incident that an alarm is about.
    fn about(&self, alarm: AlarmId) -> Option<AlarmId> {
        let live = self.live.iter().find(|(_, live)| live.incident.alarms.contains(&alarm.0));
        live.map(|(id, _)| *id)
    }

    fn is_dirty(live: &Live) -> bool {
        live.recorded.as_ref() != Some(&live.incident)
    }

    /// Returns the messages that are due, and counts them as under way.
    pub(crate) fn due(&mut self, now: u64, duty: Duty) -> Vec<Message> {
        let (mut due, mut next_number) = (Vec::new(), self.next_number);
        for (id, live) in &mut self.live {
            let may = match duty {
                Duty::Standby => false,
                Duty::Alone => live.incident.told.is_none(),
                Duty::FirstOnly => live.attempts == 0,
                Duty::Full => true,
            };
            if !may || live.under_way || now < live.again_at || live.incident.resolved {
                continue;
            }
            let Some(message) = live.next(*id, &mut next_number) else { continue };
            (live.under_way, live.attempts) = (true, live.attempts + 1);
            due.push(message);
        }
        self.next_number = next_number;
        due
    }

    /// Takes the alarms that were released since it was asked last, each with the incident that it is about.
    pub(crate) fn released(&mut self) -> Vec<(AlarmId, AlarmId)> {
        let released = std::mem::take(&mut self.released);
        released.into_iter().filter_map(|alarm| Some((alarm, self.about(alarm)?))).collect()
    }

    /// A message has come to its end.
    pub(crate) fn attempted(&mut self, message: Message, is_accepted: bool, now: u64) {
        let Some(live) = self.live.get_mut(&message.incident).filter(|live| live.under_way) else { return };
        (live.under_way, live.again_at) = (false, now + AGAIN);
        if is_accepted {
            live.incident.told = live.incident.told.max(Some(message.version));
            (live.update, live.again_at) = (None, now);
        }
    }

    /// Takes in what another store knew of an incident.
    fn take_rest(&mut self, deed: DeedId, bytes: &[u8]) -> DeedTaken {
        for (id, other) in incidents(bytes) {
            let past = self.store.borrow().incidents.get(&id).cloned();
            let live = self.live.get(&id);
            let known = live.map(|live| live.incident.clone()).or(past.clone());
            let recorded = live.map_or(past, |live| live.recorded.clone());
            let mut merged = known.map_or_else(|| other.clone(), |known| known.merged(&other));
            let has = |recorded: &Incident| recorded.deeds.contains(&deed.0) || *recorded == merged;
            if recorded.as_ref().is_some_and(has) {
                continue;
            }
            merged.deeds.insert(deed.0);
            self.live.entry(id).or_insert_with(|| Live { recorded, ..Live::default() }).incident = merged;
            return DeedTaken::Open;
        }
        DeedTaken::Recorded
    }

    /// Returns incidents that a person may resolve.
    pub(crate) fn resolvable(&self) -> Vec<AlarmId> {
        let told =
            self.live.iter().filter(|(_, live)| live.incident.told.is_some() && !live.incident.resolved);
        told.map(|(id, _)| *id).collect()
    }
}

impl Live {
    fn next(&mut self, incident: AlarmId, next_number: &mut u64) -> Option<Message> {
        let recorded = self.recorded.as_ref();
        let Some(told) = self.incident.told else {
            let is_recorded = recorded.is_some();
            let version = recorded.map_or(0, |recorded| recorded.version);
            let meaning = opening(incident);
            let message = Message { incident, number: 0, meaning, version, is_recorded };
            return (is_recorded || self.released).then_some(message);
        };
        let newest = recorded.map(|recorded| recorded.version).filter(|version| *version > told)?;
        let (number, version) = *self.update.get_or_insert_with(|| {
            *next_number += 1;
            (*next_number, newest)
        });
        let meaning = update(incident, version);
        Some(Message { incident, number, meaning, version, is_recorded: true })
    }
}

impl DeskState for Desk {
    fn recall(&mut self, numbers: Option<RangeInclusive<u64>>) {
        self.next_number = numbers.map_or(0, |numbers| *numbers.start());
        let store = self.store.borrow();
        let open = store.incidents.iter().filter(|(_, incident)| !incident.resolved);
        let live = |incident: &Incident| {
            let recorded = Some(incident.clone());
            Live { incident: incident.clone(), recorded, ..Live::default() }
        };
        self.live = open.map(|(id, incident)| (*id, live(incident))).collect();
    }

    fn take(&mut self, alarm: &Alarm) -> Taken {
        let (vehicle, version) = read_alarm(&alarm.bytes);
        let mut joined = Taken::Open;
        let id = match self.about(alarm.id) {
            Some(id) => id,
            None if let Some(told) = self.store.borrow().past(alarm.id) => {
                return if version > told { Taken::Over } else { Taken::Recorded };
            }
            None => {
                let same = |live: &Live| live.incident.vehicle == vehicle && !live.incident.resolved;
                let other = self.live.iter().find(|(_, live)| same(live)).map(|(id, _)| *id);
                if other.is_some() {
                    joined = Taken::Joined;
                }
                other.unwrap_or(alarm.id)
            }
        };
        let live = self.live.entry(id).or_default();
        let incident = &mut live.incident;
        if incident.resolved && version > incident.version {
            return Taken::Over;
        }
        incident.vehicle = vehicle;
        incident.version = incident.version.max(version);
        incident.alarms.insert(alarm.id.0);
        incident.unrecorded |= alarm.unrecorded;
        // The door's own call was about the incident that it had opened itself.
        if !alarm.note.is_empty() && id == alarm.id {
            incident.told = incident.told.max(Some(0));
        }
        if Self::is_dirty(live) { joined } else { Taken::Recorded }
    }

    fn deed(&mut self, deed: DeedId, bytes: &[u8]) -> Result<DeedTaken, Vec<u8>> {
        if bytes.len() > NAME_LEN {
            return Ok(self.take_rest(deed, bytes));
        }
        let id = <[u8; 16]>::try_from(bytes).map(u128::from_le_bytes).map(AlarmId);
        let id = id.map_err(|_| b"not an incident".to_vec())?;
        let has = |incident: &Incident| incident.deeds.contains(&deed.0);
        // One that came before is not refused for what it did itself.
        let is_past = self.store.borrow().incidents.get(&id).is_some_and(has);
        let live = self.live.get_mut(&id);
        if is_past || live.as_ref().is_some_and(|live| live.recorded.as_ref().is_some_and(has)) {
            return Ok(DeedTaken::Recorded);
        }
        let may = |live: &&mut Live| !live.incident.resolved || has(&live.incident);
        let Some(live) = live.filter(may) else { return Err(b"not open".to_vec()) };
        live.incident.resolved = true;
        live.incident.deeds.insert(deed.0);
        Ok(DeedTaken::Open)
    }

    fn draft(&mut self) -> Option<Draft> {
        let dirty = self.live.iter().filter(|(_, live)| Self::is_dirty(live)).take(TOGETHER);
        self.drafted = dirty.map(|(id, live)| (*id, live.incident.clone())).collect();
        let left = self.live.iter().filter(|(_, live)| Self::is_dirty(live)).skip(TOGETHER);
        // An alarm may be about two incidents, one of them from a rest.
        let left: BTreeSet<u128> = left.flat_map(|(_, live)| live.incident.alarms.iter().copied()).collect();
        let (mut content, mut alarms, mut deeds) = (Vec::new(), Vec::new(), Vec::new());
        for (id, incident) in &self.drafted {
            put(&mut content, *id, incident);
            alarms.extend(incident.alarms.difference(&left).copied().map(AlarmId));
            deeds.extend(incident.deeds.iter().copied().map(DeedId));
        }
        (!self.drafted.is_empty()).then_some(Draft { content, alarms, deeds })
    }

    fn recorded(&mut self, sequence: u64) {
        for (id, incident) in std::mem::take(&mut self.drafted) {
            if let Some(live) = self.live.get_mut(&id) {
                (live.recorded, live.recorded_at) = (Some(incident), sequence);
            }
        }
    }

    fn saved(&mut self, through: u64) {
        let stays =
            |live: &Live| !live.incident.resolved || Self::is_dirty(live) || live.recorded_at > through;
        self.live.retain(|_, live| stays(live));
    }

    fn release(&mut self, alarm: AlarmId) {
        if let Some(id) = self.about(alarm)
            && let Some(live) = self.live.get_mut(&id)
        {
            live.released = true;
            self.released.push(alarm);
        }
    }

    fn set_duty(&mut self, duty: Duty) {
        self.duty = duty;
    }

    fn stand_down(&mut self) {
        self.live.clear();
        self.released.clear();
        self.drafted.clear();
    }
}
