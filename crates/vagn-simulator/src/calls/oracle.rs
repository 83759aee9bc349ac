//! Oracle: what must never be, and what must be at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vagn_cluster::trail::{AlarmId, DeedId, Duty, Term, TrailBody, TrailEntry};

use super::side::{Content, Record, Side};
use super::world::World;
use crate::agenda::SECOND;

/// Time for which an alarm that a run before kept waits for a leader to be heard.
const HEARD: u64 = 2 * SECOND;

/// What was seen, and what is wrong.
#[derive(Debug)]
pub(crate) struct Oracle<R> {
    /// Time after which an alarm that a door holds must be kept.
    kept: u64,
    wrong: Option<String>,
    is_harmed: bool,
    /// Epoch that was begun last; 0 for the first.
    epoch: u32,
    term: Term,
    /// Alarms and deeds that stand in entries that count, and the newest report of each incident there.
    alarms: BTreeSet<AlarmId>,
    deeds: BTreeSet<DeedId>,
    drafts: BTreeMap<AlarmId, R>,
    /// The same, lost entries too.
    ever: BTreeSet<AlarmId>,
    ever_deeds: BTreeSet<DeedId>,
    /// Reports of each sitting of an alarm that were ever recorded, and most reports of the sittings of an incident's alarms.
    sittings: BTreeMap<(AlarmId, u64), u64>,
    reports: BTreeMap<AlarmId, u64>,
    /// Incidents that were ever recorded, and what there was to tell of them.
    incidents: BTreeSet<AlarmId>,
    tellings: BTreeSet<(AlarmId, u64)>,
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
    /// The door may forget it: its process ended before it had it for 50 ms.
    is_excused: bool,
    /// Somebody told the target of it, or its door that this was done.
    is_called: bool,
    /// A run before kept it: its door asks the leader first.
    is_kept: bool,
    /// Its door said that it has room neither in memory nor on its disk, and its vehicle heard nothing: calls are all that is owed.
    has_no_place: bool,
}

impl<R: Record> Oracle<R> {
    pub(crate) fn new(kept: u64) -> Self {
        Self {
            kept,
            wrong: None,
            is_harmed: false,
            epoch: 0,
            term: Term::default(),
            alarms: BTreeSet::new(),
            deeds: BTreeSet::new(),
            drafts: BTreeMap::new(),
            ever: BTreeSet::new(),
            ever_deeds: BTreeSet::new(),
            sittings: BTreeMap::new(),
            reports: BTreeMap::new(),
            incidents: BTreeSet::new(),
            tellings: BTreeSet::new(),
            joined: BTreeMap::new(),
            hashes: BTreeMap::new(),
            raised: BTreeMap::new(),
            answered: BTreeSet::new(),
            done: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Returns the incidents as the last groups that count have them.
    pub(crate) fn drafts(&self) -> &BTreeMap<AlarmId, R> {
        &self.drafts
    }

    /// Returns the newest report of an incident that was ever recorded.
    pub(crate) fn reports_of(&self, incident: AlarmId) -> Option<u64> {
        self.reports.get(&incident).copied()
    }

    /// Returns true if an alarm was ever recorded, whatever incident it is about.
    pub(crate) fn has_alarm(&self, alarm: AlarmId) -> bool {
        self.joined.contains_key(&alarm)
    }

    /// Returns true if an incident was ever recorded.
    pub(crate) fn has_incident(&self, incident: AlarmId) -> bool {
        self.incidents.contains(&incident)
    }

    /// Returns true if there ever was this to tell of an incident.
    pub(crate) fn knew(&self, incident: AlarmId, telling: u64) -> bool {
        self.tellings.contains(&(incident, telling))
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
                let content = R::read(content);
                self.knows(&content);
                for (id, incident) in content.incidents {
                    let before = self.drafts.insert(id, incident.clone());
                    let keeps = before.as_ref().is_none_or(|before| incident.keeps(before));
                    self.wrong_if(!keeps, || {
                        format!("incident {id:?} loses what the trail had of it: {before:?} {incident:?}")
                    });
                }
            }
            TrailBody::Group { .. } | TrailBody::Renewal { .. } | TrailBody::Farewell { .. } => {}
        }
    }

    fn appended_before(&mut self, entry: &TrailEntry<'_>) {
        let TrailBody::Group { alarms, deeds, content } = &entry.body else { return };
        self.ever.extend(alarms.iter().map(|version| version.alarm));
        self.ever_deeds.extend(deeds);
        self.knows(&R::read(content));
    }

    /// The trail has this, or had it.
    fn knows(&mut self, content: &Content<R>) {
        self.incidents.extend(content.incidents.iter().map(|(id, _)| *id));
        let telling = |(id, incident): &(AlarmId, R)| Some((*id, incident.telling()?));
        self.tellings.extend(content.incidents.iter().filter_map(telling));
        for (alarm, incident) in &content.joins {
            self.joined.entry(*alarm).or_default().insert(*incident);
        }
        for (alarm, sitting, reports) in &content.sittings {
            let known = self.sittings.entry((*alarm, *sitting)).or_default();
            *known = (*known).max(*reports);
            for incident in self.joined.get(alarm).into_iter().flatten() {
                let known = self.reports.entry(*incident).or_default();
                *known = (*known).max(*reports);
            }
        }
    }

    /// An epoch has begun from a store with this.
    pub(crate) fn begun(&mut self, epoch: u32, content: Content<R>) {
        (self.epoch, self.is_harmed, self.term) = (epoch, false, Term::default());
        // Also what stood behind a lost end.
        self.knows(&content);
        self.alarms = content.joins.iter().map(|(alarm, _)| *alarm).collect();
        self.deeds = content.deeds.into_iter().collect();
        self.drafts = content.incidents.into_iter().collect();
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
        let (is_excused, is_called, is_kept, has_no_place) = (false, false, false, false);
        let raised = Raised { vehicle, machine, at: now, is_excused, is_called, is_kept, has_no_place };
        let known = self.raised.entry(alarm).or_insert(raised);
        if known.is_excused {
            *known = raised;
        }
        known.has_no_place = false;
    }

    /// A door's process ends. Its store keeps some of its alarms, and had no room for others until now.
    pub(crate) fn ends(
        &mut self,
        machine: usize,
        is_kept: &dyn Fn(&AlarmId) -> bool,
        had_no_room: &dyn Fn(&AlarmId) -> bool,
        until: u64,
    ) {
        let mut forgotten = None;
        for (alarm, raised) in self.raised.iter_mut().filter(|(_, raised)| raised.machine == machine) {
            raised.is_kept = is_kept(alarm);
            if self.answered.contains(alarm) || raised.is_kept || raised.is_excused {
                continue;
            }
            if had_no_room(alarm) || raised.has_no_place || until < raised.at + self.kept {
                raised.is_excused = true;
            } else {
                forgotten = Some(*alarm);
            }
        }
        self.wrong_if(forgotten.is_some(), || {
            format!("alarm {forgotten:?} ends with its door, which had it for 50 ms")
        });
    }

    /// A door lets go of an alarm, as it was with these reports of a sitting.
    pub(crate) fn stored(&mut self, alarm: AlarmId, sitting: u64, reports: u64) {
        let newest = self.sittings.get(&(alarm, sitting)).copied();
        self.wrong_if(self.ever.contains(&alarm) && newest.is_none_or(|newest| newest < reports), || {
            format!(
                "alarm {alarm:?} is answered as stored with report {reports}, and the trail has {newest:?}"
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

impl<S: Side> World<S> {
    /// Looks that each alarm which a door had for 250 ms is recorded or called about; compares the chains of all machines.
    pub(crate) fn look(&mut self) {
        let now = self.now();
        let machines = &self.machines;
        let held = |raised: &Raised| {
            let machine = &machines[raised.machine];
            let more = if raised.is_kept { HEARD } else { 0 };
            machine.works() && now >= raised.at.max(machine.awake_at) + S::HELD + more
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
            S::look_last(self);
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
}
