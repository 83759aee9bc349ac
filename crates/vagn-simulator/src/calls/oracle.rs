//! Oracle: what must never be, and what must be at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vagn_cluster::trail::{AlarmId, DeedId, Duty, Term, TrailBody, TrailEntry};

use super::desk::Message;
use super::store::{Incident, incidents};
use super::world::World;
use crate::agenda::MILLI;

/// Time after which an alarm that a door holds must be kept: 250 ms, and what a timer is late.
const HELD: u64 = 260 * MILLI;

/// What was seen, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    wrong: Option<String>,
    is_harmed: bool,
    /// Epoch that was begun last; 0 for the first.
    epoch: u32,
    term: Term,
    /// Alarms and deeds that stand in entries that count, and the newest report of each incident there.
    alarms: BTreeSet<AlarmId>,
    deeds: BTreeSet<DeedId>,
    drafts: BTreeMap<AlarmId, Incident>,
    /// The same, lost entries too.
    ever: BTreeSet<AlarmId>,
    ever_deeds: BTreeSet<DeedId>,
    versions: BTreeMap<AlarmId, u64>,
    /// Incidents that each alarm was ever joined to.
    joined: BTreeMap<AlarmId, BTreeSet<AlarmId>>,
    hashes: BTreeMap<u64, u64>,
    raised: BTreeMap<AlarmId, Raised>,
    answered: BTreeSet<AlarmId>,
    done: BTreeSet<DeedId>,
    refused: BTreeSet<DeedId>,
}

/// An alarm that a door took.
#[derive(Debug, Clone, Copy)]
struct Raised {
    vehicle: u64,
    machine: usize,
    at: u64,
    /// The door may forget it: its process ended before it had it for 250 ms.
    is_excused: bool,
    /// Somebody told the target of it, or its door that this was done.
    is_called: bool,
    /// Its door said that it has room neither in memory nor on its disk, and its vehicle heard nothing: calls are all that is owed.
    has_no_place: bool,
}

impl Oracle {
    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    pub(crate) fn wrong_if(&mut self, is_wrong: bool, why: impl FnOnce() -> String) {
        if is_wrong && self.wrong.is_none() {
            self.wrong = Some(why());
        }
    }

    /// The brokers took an entry.
    pub(crate) fn appended(&mut self, bytes: &[u8]) {
        let Ok(entry) = TrailEntry::read(bytes) else {
            return self.wrong_if(true, || "something that is no entry was appended".to_owned());
        };
        if entry.epoch < self.epoch {
            // A leader that does not know yet that its epoch is over. What it answers for comes with the rest of its store.
            return self.appended_before(&entry);
        }
        match entry.body {
            TrailBody::Claim { .. } => self.term = self.term.max(entry.term),
            TrailBody::Group { alarms, deeds, content } if entry.term == self.term => {
                let alarms: Vec<AlarmId> = alarms.into_iter().map(|version| version.alarm).collect();
                self.ever.extend(&alarms);
                self.ever_deeds.extend(&deeds);
                self.alarms.extend(alarms);
                self.deeds.extend(deeds);
                for (id, incident) in incidents(content) {
                    self.knows(id, &incident);
                    let before = self.drafts.insert(id, incident.clone());
                    let keeps = before.is_none_or(|before| incident.keeps(&before));
                    self.wrong_if(!keeps, || format!("incident {id:?} loses what the trail had of it"));
                }
            }
            TrailBody::Group { .. } | TrailBody::Renewal { .. } | TrailBody::Farewell { .. } => {}
        }
    }

    fn appended_before(&mut self, entry: &TrailEntry<'_>) {
        let TrailBody::Group { alarms, deeds, content } = &entry.body else { return };
        self.ever.extend(alarms.iter().map(|version| version.alarm));
        self.ever_deeds.extend(deeds);
        incidents(content).iter().for_each(|(id, incident)| self.knows(*id, incident));
    }

    /// The trail has an incident, or had it.
    fn knows(&mut self, id: AlarmId, incident: &Incident) {
        let version = self.versions.entry(id).or_default();
        *version = incident.version.max(*version);
        for alarm in &incident.alarms {
            self.joined.entry(AlarmId(*alarm)).or_default().insert(id);
        }
    }

    /// An epoch has begun from a store with these incidents.
    pub(crate) fn begun(&mut self, epoch: u32, incidents: &BTreeMap<AlarmId, Incident>) {
        (self.epoch, self.is_harmed, self.term) = (epoch, false, Term::default());
        self.drafts.clone_from(incidents);
        // Also what stood behind a lost end.
        incidents.iter().for_each(|(id, incident)| self.knows(*id, incident));
        self.alarms = incidents.values().flat_map(|it| it.alarms.iter().copied().map(AlarmId)).collect();
        self.deeds = incidents.values().flat_map(|it| it.deeds.iter().copied().map(DeedId)).collect();
        self.ever.extend(&self.alarms);
        self.ever_deeds.extend(&self.deeds);
        self.hashes.clear();
    }

    /// A machine has the beginning of the trail's stream removed, and had this much of it in its store.
    pub(crate) fn purged(&mut self, machine: usize, saved: u64, through: u64) {
        self.wrong_if(!self.is_harmed && saved < through, || {
            format!("{} purges through {through}, and its store has {saved}", machine + 1)
        });
    }

    /// A machine's disk is gone, and with it what only that had of its own door.
    pub(crate) fn disk_lost(&mut self, machine: usize) {
        let answered = &self.answered;
        let lost = self
            .raised
            .iter_mut()
            .filter(|(alarm, raised)| raised.machine == machine && !answered.contains(alarm));
        lost.for_each(|(_, raised)| raised.is_excused = true);
    }

    /// The brokers lost entries, and have these.
    pub(crate) fn harmed(&mut self, truth: &[Arc<[u8]>]) {
        self.is_harmed = true;
        self.term = Term::default();
        self.alarms.clear();
        self.deeds.clear();
        self.drafts.clear();
        truth.iter().for_each(|bytes| self.appended(bytes));
    }

    /// A door took an alarm.
    pub(crate) fn raised(&mut self, alarm: AlarmId, vehicle: u64, machine: usize, now: u64) {
        let raised =
            Raised { vehicle, machine, at: now, is_excused: false, is_called: false, has_no_place: false };
        let known = self.raised.entry(alarm).or_insert(raised);
        if known.is_excused {
            *known = raised;
        }
        known.has_no_place = false;
    }

    /// A door's process ends. Its store keeps some of its alarms, and was too full for others until now.
    pub(crate) fn ends(
        &mut self,
        machine: usize,
        kept: &BTreeMap<AlarmId, (Vec<u8>, Vec<u8>)>,
        not_kept: Option<&BTreeSet<AlarmId>>,
        until: u64,
    ) {
        let mut forgotten = None;
        for (alarm, raised) in self.raised.iter_mut().filter(|(_, raised)| raised.machine == machine) {
            if self.answered.contains(alarm) || kept.contains_key(alarm) || raised.is_excused {
                continue;
            }
            let is_excused = not_kept.is_some_and(|not_kept| not_kept.contains(alarm));
            if is_excused || raised.has_no_place || until < raised.at + HELD {
                raised.is_excused = true;
            } else {
                forgotten = Some(*alarm);
            }
        }
        self.wrong_if(forgotten.is_some(), || {
            format!("alarm {forgotten:?} ends with its door, which had it for 250 ms")
        });
    }

    /// A door lets go of an alarm, as it was in this report.
    pub(crate) fn stored(&mut self, alarm: AlarmId, report: u64) {
        let about = self.joined.get(&alarm).into_iter().flatten();
        let newest = about.filter_map(|id| self.versions.get(id)).max().copied();
        self.wrong_if(newest.is_some_and(|newest| newest < report), || {
            format!(
                "alarm {alarm:?} is answered as stored with report {report}, and the trail has {newest:?}"
            )
        });
        let is_there = self.ever.contains(&alarm);
        self.wrong_if(!is_there, || {
            format!("alarm {alarm:?} is answered as stored, and is not in the trail")
        });
        self.answered.insert(alarm);
    }

    /// Somebody called about an alarm.
    pub(crate) fn called(&mut self, alarm: AlarmId) {
        if let Some(raised) = self.raised.get_mut(&alarm) {
            raised.is_called = true;
        }
    }

    /// A door has no place for an alarm.
    pub(crate) fn placeless(&mut self, alarm: AlarmId) {
        if let Some(raised) = self.raised.get_mut(&alarm) {
            raised.has_no_place = true;
        }
    }

    /// An alarm goes on under another id.
    pub(crate) fn reopened(&mut self, alarm: AlarmId) {
        if !self.answered.contains(&alarm) {
            self.raised.remove(&alarm);
        }
    }

    pub(crate) fn deed_refused(&mut self, deed: DeedId) {
        self.refused.insert(deed);
    }

    pub(crate) fn deed_answered(&mut self, deed: DeedId, is_done: bool) {
        if is_done {
            let is_there = self.ever_deeds.contains(&deed);
            self.wrong_if(!is_there, || {
                format!("deed {deed:?} is answered as done, and is not in the trail")
            });
            self.done.insert(deed);
        }
    }

    /// A desk acts upon something.
    pub(crate) fn acts(&mut self, machine: usize, message: Message) {
        let recorded = self.versions.get(&message.incident);
        let is_there = recorded.is_some_and(|version| *version >= message.version);
        self.wrong_if(message.is_recorded && !is_there, || {
            format!("{} acts before the trail has it: {message:?}", machine + 1)
        });
    }

    /// Notes a running hash. Two of one sequence are equal.
    fn compare(&mut self, machine: usize, sequence: u64, hash: u64) {
        let known = *self.hashes.entry(sequence).or_insert(hash);
        self.wrong_if(known != hash, || format!("{} has another chain at {sequence}", machine + 1));
    }

    fn look_at_held(&mut self, is_held: impl Fn(&Raised) -> bool) {
        let waits = |(alarm, raised): &(&AlarmId, &Raised)| {
            !raised.is_excused && !raised.is_called && !self.answered.contains(alarm) && is_held(raised)
        };
        let forgotten = self.raised.iter().find(waits).map(|(alarm, _)| *alarm);
        self.wrong_if(forgotten.is_some(), || {
            format!("alarm {forgotten:?} is not called about though its door had it for 250 ms")
        });
    }

    fn look_at_alarms(&mut self, world: &Called<'_>, needs_record: bool) {
        let mut wrong = None;
        for (alarm, raised) in self.raised.iter().filter(|(_, raised)| !raised.is_excused) {
            let joined = self.joined.get(alarm).into_iter().flatten();
            let is_called = world(*alarm) || joined.copied().any(world);
            if !is_called {
                let known = self.joined.get(alarm);
                wrong = Some(format!(
                    "alarm {alarm:?} of vehicle {} was never called about, joined to {known:?}: {:?}",
                    raised.vehicle,
                    known.map(|ids| ids.iter().map(|id| self.drafts.get(id)).collect::<Vec<_>>())
                ));
            } else if needs_record && !raised.has_no_place && !self.alarms.contains(alarm) {
                wrong = Some(format!("alarm {alarm:?} of vehicle {} is not in the trail", raised.vehicle));
            }
        }
        let refused = self.refused.iter().find(|deed| self.ever_deeds.contains(deed));
        wrong = wrong.or(refused.map(|deed| format!("deed {deed:?} was refused, and is in the trail")));
        if needs_record {
            let lost = self.answered.iter().find(|alarm| !self.alarms.contains(alarm));
            wrong = wrong.or(lost.map(|alarm| format!("alarm {alarm:?} was stored and is gone")));
            let lost = self.done.iter().find(|deed| !self.deeds.contains(deed));
            wrong = wrong.or(lost.map(|deed| format!("deed {deed:?} was done and is gone")));
        }
        self.wrong_if(wrong.is_some(), || wrong.unwrap_or_default());
    }
}

/// Tells whether an opening was accepted.
type Called<'a> = dyn Fn(AlarmId) -> bool + 'a;

impl World {
    /// Looks that each alarm which a door had for 250 ms is recorded or called about; compares the chains of all machines.
    pub(crate) fn look(&mut self) {
        let now = self.now();
        let machines = &self.machines;
        let held = |raised: &Raised| {
            let machine = &machines[raised.machine];
            machine.works() && now >= raised.at.max(machine.awake_at) + HELD
        };
        self.oracle.look_at_held(held);
        if self.oracle.is_harmed {
            return;
        }
        for id in 0..self.machines.len() {
            let machine = &self.machines[id];
            let Some(view) = machine.node.as_ref().map(|node| node.view(machine.moment(now))) else {
                continue;
            };
            if view.trail.is_some_and(|trail| trail.epoch < self.oracle.epoch) {
                continue;
            }
            self.oracle.wrong_if(view.stopped.is_some(), || {
                format!("{} stops for a sound trail: {:?}", id + 1, view.stopped)
            });
            if view.received > 0 {
                self.oracle.compare(id, view.received, view.running_hash);
            }
        }
    }

    /// Looks at everything when all has come to rest.
    pub(crate) fn look_last(&mut self) {
        if self.plan.is_repaired() {
            self.look_at_repaired();
        }
        let is_whole = !self.oracle.is_harmed;
        let target = &self.target;
        self.oracle.look_at_alarms(&|alarm| target.has_opened(alarm), is_whole);
        if self.oracle.is_harmed {
            return self.look_at_harmed();
        }
        if is_whole {
            self.look_at_leaders();
            self.look_at_stores();
        }
    }

    /// A trail that was harmed, and that persons repair, is followed by all nodes again, and lacks nothing.
    fn look_at_repaired(&mut self) {
        self.oracle.is_harmed = false;
        let now = self.now();
        for id in 0..self.machines.len() {
            let machine = &self.machines[id];
            let view = machine.node.as_ref().map(|node| node.view(machine.moment(now)));
            let follows =
                view.is_some_and(|view| view.stopped.is_none() && !view.lacks_copy && !view.has_rest);
            self.oracle
                .wrong_if(!follows, || format!("{} does not follow a trail that was repaired", id + 1));
        }
    }

    /// Nodes that still follow a stream that was harmed have one chain.
    fn look_at_harmed(&mut self) {
        let now = self.now();
        self.oracle.hashes.clear();
        for id in 0..self.machines.len() {
            let machine = &self.machines[id];
            let Some(view) = machine.node.as_ref().map(|node| node.view(machine.moment(now))) else {
                continue;
            };
            if view.stopped.is_none() && view.received > 0 {
                self.oracle.compare(id, view.received, view.running_hash);
            }
        }
    }

    fn look_at_leaders(&mut self) {
        let now = self.now();
        let duty = |id: &usize| {
            let machine = &self.machines[*id];
            machine.node.as_ref().map(|node| node.duty(machine.moment(now)))
        };
        let leaders = (0..self.machines.len()).filter(|id| duty(id) == Some(Duty::Full)).count();
        self.oracle.wrong_if(leaders != 1, || format!("{leaders} leaders at the end"));
    }

    fn look_at_stores(&mut self) {
        let truth: BTreeMap<AlarmId, Incident> = self.oracle.drafts.clone();
        for id in 0..self.machines.len() {
            let incidents = self.machines[id].store.borrow().incidents.clone();
            self.oracle.wrong_if(incidents != truth, || format!("{} has a store that differs", id + 1));
        }
    }
}
