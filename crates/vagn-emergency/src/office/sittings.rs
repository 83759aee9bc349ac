//! Sittings: alarms that wait at the door until the trail has them, with their senders.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::id::IncidentId;
use crate::intake::ack::{PENDING_ACKS_MAX, PendingAck};
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::office::alarm_form::AlarmForm;
use crate::office::asked::Asked;
use crate::office::turned_away::TurnedAway;

/// Most alarms that wait at a door. The driver hands over 4 096 of them at a time, and has the rest kept.
pub(super) const WAITING_MAX: usize = 16_384;

/// Time for which an alarm that an earlier run kept waits for a driver, who asks the leader: as long as one needs to begin. The trail may have it by now.
const DRIVEN_WITHIN: Duration = Duration::from_secs(5);

/// All alarms that wait at a door.
pub(super) struct Waiting {
    /// Alarms taken from the inbox and not given an id yet.
    pub(super) arrivals: VecDeque<Alarm>,
    /// Of these, those whose vehicles an owner is asked about.
    pub(super) asked: Asked,
    /// Of those, what an owner has told, or none in time.
    pub(super) told: VecDeque<(Alarm, KnownVehicle)>,
    pub(super) alarms: BTreeMap<IncidentId, Sitting>,
    by_vehicle: HashMap<Box<str>, Vec<IncidentId>>,
    pub(super) turned_away: TurnedAway,
    rng: fastrand::Rng,
}

/// An alarm that waits.
pub(super) struct Sitting {
    pub(super) number: u64,
    pub(super) alarm: Alarm,
    pub(super) vehicle: KnownVehicle,
    /// Senders, each with the reports that must be recorded before it hears.
    pub(super) acks: Vec<(u64, PendingAck)>,
    /// Alarms under other seals: each has its window to be recorded.
    pub(super) behind: VecDeque<Alarm>,
    pub(super) is_handed: bool,
    /// The door has called by itself because no driver lived.
    pub(super) is_called: bool,
    /// There was no room for a call about it.
    pub(super) lacks_call: bool,
    /// Reports of the version that this door gave to the disk last; 0 for none.
    pub(super) kept_reports: u64,
    /// The leader has no room for it, and it waits until there is.
    pub(super) lacks_room: bool,
    /// Moment at which it is handed over and kept anew, as it was not kept.
    pub(super) anew_at: Option<Duration>,
    /// An earlier run kept it, and it was not repeated since this moment.
    pub(super) remembered_at: Option<Duration>,
    /// Sitting of an earlier run that the disk has of the same alarm. It goes with this one.
    pub(super) kept_before: Option<Vec<u8>>,
}

impl Sitting {
    pub(super) fn form(&self, run: u64) -> AlarmForm {
        AlarmForm::new(&self.alarm, self.vehicle, self.number, run)
    }

    pub(super) fn add(&mut self, mut repeat: Alarm) {
        let acks = std::mem::take(&mut repeat.acks);
        self.alarm.merge(repeat).into_iter().for_each(PendingAck::refuse);
        self.wait(acks);
        (self.is_handed, self.remembered_at) = (false, None);
    }

    /// Returns the time from which on it waits for a driver.
    pub(super) fn alone_since(&self) -> Duration {
        self.remembered_at.map_or(self.alarm.arrived, |at| at + DRIVEN_WITHIN)
    }

    /// Takes in what an earlier run kept of the same alarm, `earlier`: it came before all that is here.
    pub(super) fn put_before(&mut self, earlier: Alarm) {
        let reports = earlier.reports;
        let later = std::mem::replace(&mut self.alarm, earlier);
        // Of two seals only one can be noted with it. The sender of the other has no answer: it may repeat its call.
        self.alarm.seal = later.seal;
        self.alarm.vehicle_incident = self.alarm.vehicle_incident.take().or(later.vehicle_incident.clone());
        self.alarm.merge(later).into_iter().for_each(PendingAck::refuse);
        self.acks.iter_mut().for_each(|(of, _)| *of += reports);
        self.is_handed = false;
    }

    /// Returns true when this door is to keep it and to call about it, as no driver lives.
    pub(super) fn wants_taking_over(&self) -> bool {
        !self.is_called || (self.kept_reports == 0 && self.anew_at.is_none())
    }

    /// Returns true unless this door has called about all of it and given it to the disk.
    pub(super) fn is_at_risk(&self) -> bool {
        !self.is_called || self.kept_reports < self.alarm.reports
    }

    /// Refuses senders that wait from before `oldest`.
    pub(super) fn refuse_late(&mut self, oldest: Duration) {
        let late = self.acks.extract_if(.., |(_, ack)| ack.since < oldest).map(|(_, ack)| ack);
        let behind = &mut self.behind;
        let late_behind =
            behind.iter_mut().flat_map(|alarm| alarm.acks.extract_if(.., |ack| ack.since < oldest));
        late.chain(late_behind).for_each(PendingAck::refuse);
    }

    /// Keeps senders waiting until all reports up to now are recorded.
    fn wait(&mut self, acks: Vec<PendingAck>) {
        let reports = self.alarm.reports;
        for ack in acks {
            let ack = match self.acks.last_mut() {
                Some((of, last)) => match last.join(ack) {
                    Ok(()) => {
                        *of = reports;
                        continue;
                    }
                    Err(of_another) => of_another,
                },
                None => ack,
            };
            if self.acks.len() < PENDING_ACKS_MAX {
                self.acks.push((reports, ack));
            } else {
                ack.refuse();
            }
        }
    }
}

impl Waiting {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            arrivals: VecDeque::new(),
            asked: Asked::default(),
            told: VecDeque::new(),
            alarms: BTreeMap::new(),
            by_vehicle: HashMap::new(),
            turned_away: TurnedAway::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    pub(super) fn insert(&mut self, alarm: Alarm, vehicle: KnownVehicle) {
        let number = self.rng.u64(1..);
        self.insert_as(number, alarm, vehicle);
    }

    pub(super) fn insert_as(&mut self, number: u64, mut alarm: Alarm, vehicle: KnownVehicle) {
        let acks = std::mem::take(&mut alarm.acks);
        let ids = self.by_vehicle.entry(alarm.vehicle_id.clone()).or_default();
        ids.push(alarm.id);
        let mut sitting = Sitting {
            number,
            alarm,
            vehicle,
            acks: Vec::new(),
            behind: VecDeque::new(),
            is_handed: false,
            is_called: false,
            lacks_call: false,
            lacks_room: false,
            kept_reports: 0,
            anew_at: None,
            remembered_at: None,
            kept_before: None,
        };
        sitting.wait(acks);
        self.alarms.insert(sitting.alarm.id, sitting);
    }

    pub(super) fn remove(&mut self, id: IncidentId) -> Option<Sitting> {
        let sitting = self.alarms.remove(&id)?;
        if let Some(ids) = self.by_vehicle.get_mut(&sitting.alarm.vehicle_id) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_vehicle.remove(&sitting.alarm.vehicle_id);
            }
        }
        Some(sitting)
    }

    /// Returns the alarm that waits and that another one belongs to.
    pub(super) fn belongs_to(&self, alarm: &Alarm) -> Option<IncidentId> {
        let ids = self.by_vehicle.get(&alarm.vehicle_id)?;
        let belongs = |id: &&IncidentId| {
            self.alarms.get(id).is_some_and(|sitting| {
                let (waits, own) = (&sitting.alarm.vehicle_incident, &alarm.vehicle_incident);
                sitting.alarm.is_drill() == alarm.is_drill()
                    && (waits == own || waits.is_none() || own.is_none())
            })
        };
        ids.iter().rev().find(belongs).copied()
    }

    /// Returns true when no other has room.
    pub(super) fn is_full(&self) -> bool {
        self.alarms.len() >= WAITING_MAX
    }

    /// Puts an alarm under another id from now on, and returns it.
    pub(super) fn rename(&mut self, id: IncidentId, new: IncidentId) -> Option<&Sitting> {
        let mut sitting = self.remove(id)?;
        (sitting.alarm.id, sitting.is_handed) = (new, true);
        (sitting.is_called, sitting.lacks_call, sitting.remembered_at) = (false, false, None);
        sitting.behind.iter_mut().for_each(|alarm| alarm.id = new);
        self.by_vehicle.entry(sitting.alarm.vehicle_id.clone()).or_default().push(new);
        self.alarms.insert(new, sitting);
        self.alarms.get(&new)
    }

    /// Ends a sitting, and begins one for the first of the alarms that waited behind it. Returns true if there is one.
    pub(super) fn end(&mut self, id: IncidentId) -> bool {
        let Some(Sitting { vehicle, mut behind, .. }) = self.remove(id) else { return false };
        let Some(alarm) = behind.pop_front() else { return false };
        let id = alarm.id;
        self.insert(alarm, vehicle);
        if let Some(sitting) = self.alarms.get_mut(&id) {
            sitting.behind = behind;
        }
        true
    }
}
