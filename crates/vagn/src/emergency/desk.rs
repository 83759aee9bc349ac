//! The desk: all incidents that are not over, in memory, and what is still to be done about each.
//!
//! It is what a table is to Erlang's processes: it belongs to no actor and outlives those that work at it. One of them
//! records, the other calls; when either crashes or hangs, the other goes on and the next incarnation finds its work.
//! Pure apart from that: no disk, no network, time handed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::calls::Calls;
use super::candidate::{CLAIMS_MAX, Candidate, Claim};
use super::id::{IdMaker, IncidentId};
use super::incident::{Attempt, Incident, Place, newer};
use super::roster::Roster;
use super::rules::Rules;

/// Incidents of one vehicle that may be live at a time, each under an id of the vehicle's own. Beyond, what it reports
/// goes to the latest of them.
const PER_VEHICLE_MAX: usize = 8;

/// Everything about the incidents that are not over.
pub struct Desk {
    rules: Rules,
    ids: IdMaker,
    rng: fastrand::Rng,
    /// Taken from the inbox and not looked at yet; not empty only after a crash.
    arrived: VecDeque<Candidate>,
    live: BTreeMap<IncidentId, Live>,
    roster: Roster,
    owed: BTreeSet<IncidentId>,
    /// Never written yet; they go first.
    new: BTreeSet<IncidentId>,
    /// Written, and changed since.
    changed: BTreeSet<IncidentId>,
    unplaced: BTreeSet<IncidentId>,
    /// Whose place is looked for first the next time.
    place_next: IncidentId,
    /// Something unrecorded should not wait for the next round.
    urgent: bool,
    store_up: bool,
    /// When the store was read, on the monotonic clock.
    restored: Duration,
    calls: Calls,
}

struct Live {
    incident: Incident,
    version: u64,
    recorded: u64,
    claims: Vec<(u64, Claim)>,
    /// When it arrived, while nobody has called about it.
    arrived: Option<Duration>,
    /// When its latest report arrived, or when it was restored; on the monotonic clock, since the wall clock may jump and
    /// then stand still for hours.
    last_report: Duration,
    /// How long it had been quiet by then.
    quiet_before: Duration,
}

impl Live {
    /// An incident that its first report opens.
    fn open(incident: Incident, call: &Candidate, claims: Vec<(u64, Claim)>) -> Self {
        let (arrived, last_report) = (Some(call.arrived), call.last_arrived);
        Self { incident, version: 1, recorded: 0, claims, arrived, last_report, quiet_before: Duration::ZERO }
    }

    /// An incident from the store. Only the wall clock can tell how long it has been quiet; when it says that its latest
    /// report is still to come, the incident has been quiet for no time at all.
    fn restore(incident: Incident, now_ms: i64, now: Duration) -> Self {
        let gap_ms = now_ms.saturating_sub(incident.updated_ms).max(0);
        let quiet_before = Duration::from_millis(gap_ms.unsigned_abs());
        let claims = Vec::new();
        Self { incident, version: 1, recorded: 1, claims, arrived: None, last_report: now, quiet_before }
    }

    fn heard(&mut self, at: Duration) {
        self.last_report = self.last_report.max(at);
        self.quiet_before = Duration::ZERO;
    }

    fn is_over(&self, now: Duration, quiet_max: Duration) -> bool {
        let quiet = now.saturating_sub(self.last_report).saturating_add(self.quiet_before);
        self.incident.is_over(quiet, quiet_max)
    }

    /// Keeps the sender waiting until the incident is on disk as it is now.
    fn wait(&mut self, claim: Claim) {
        if self.claims.len() < CLAIMS_MAX { self.claims.push((self.version, claim)) } else { claim.refuse() }
    }
}

/// The incident that a report belongs to.
struct Sought<'a> {
    vehicle_id: &'a str,
    test: bool,
    /// The vehicle's own id for it.
    named: Option<&'a str>,
    /// It is not over at this time.
    at: Duration,
}

impl<'a> Sought<'a> {
    fn of(call: &'a Candidate) -> Self {
        let named = call.vehicle_incident.as_deref();
        Self { vehicle_id: &call.vehicle_id, test: call.is_test(), named, at: call.arrived }
    }

    fn by(incident: &'a Incident, at: Duration) -> Self {
        let named = incident.vehicle_incident.as_deref();
        Self { vehicle_id: &incident.vehicle_id, test: incident.test, named, at }
    }
}

/// What became of calls that were let in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// New incidents.
    pub opened: Vec<IncidentId>,
    /// Calls that joined an incident.
    pub updated: usize,
    /// Vehicles that were turned away, because too many incidents are open.
    pub refused: Vec<Box<str>>,
}

/// An incident to be written, as it was at `version`.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What to write.
    pub incident: Incident,
    /// Grows with every change.
    pub version: u64,
}

/// A call to be made now.
#[derive(Debug, Clone)]
pub struct Call {
    /// About what.
    pub incident: Incident,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// When the report arrived, if nobody has called about it before.
    pub arrived: Option<Duration>,
}

/// An incident that was one with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// The one that is no more.
    pub id: IncidentId,
    /// The one that goes on.
    pub into: IncidentId,
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Real incidents that are not over.
    pub open: usize,
    /// Trials that are not over.
    pub open_tests: usize,
    /// Real incidents that no target has accepted.
    pub unaccepted: usize,
    /// When the oldest of these was opened, ms since 1970.
    pub oldest_unaccepted_ms: Option<i64>,
    /// Changes that are not on disk.
    pub unrecorded: usize,
}

impl Desk {
    /// An empty desk. `seed` decides the jitter between attempts.
    pub fn new(rules: Rules, seed: u64) -> Self {
        let calls = Calls::new(rules.lines.unwrap_or(1));
        Self {
            rules,
            ids: IdMaker::default(),
            rng: fastrand::Rng::with_seed(seed),
            arrived: VecDeque::new(),
            live: BTreeMap::new(),
            roster: Roster::default(),
            owed: BTreeSet::new(),
            new: BTreeSet::new(),
            changed: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            place_next: IncidentId::from_u128(0),
            urgent: false,
            store_up: true,
            restored: Duration::ZERO,
            calls,
        }
    }

    /// Takes in what the store holds: left behind by an earlier run, or from before it failed. What nobody has accepted
    /// is owed a call at once, the oldest first. What is at the desk already is newer, and written again;
    /// only what nobody has been called about yet may turn out to be a repeat of a call that was restored.
    pub fn restore(&mut self, incidents: Vec<Incident>, now_ms: i64, now: Duration) -> Vec<Folded> {
        self.restored = now;
        self.changed.extend(self.live.keys().filter(|id| !self.new.contains(id)));
        for incident in incidents {
            let id = incident.id;
            if self.live.contains_key(&id) {
                continue;
            }
            let calling = self.rules.lines.is_some() && !incident.is_settled();
            self.enlist(Live::restore(incident, now_ms, now));
            if calling {
                self.calls.resume(id);
            }
        }
        let uncalled = self.new.iter().filter(|id| self.live[*id].arrived.is_some());
        let uncalled: Vec<_> = uncalled.copied().collect();
        uncalled.into_iter().filter_map(|id| self.fold(id)).collect()
    }

    /// Lets an incident that was opened before the store could say what it holds go on as the one it belongs to.
    fn fold(&mut self, id: IncidentId) -> Option<Folded> {
        let Live { incident, last_report, .. } = &self.live[&id];
        let repeat = Sought::by(incident, *last_report);
        let into = self.find(&repeat, |live| live.recorded > 0)?;
        let repeat = self.remove(id)?;
        let live = self.change(into, |incident| incident.take_in(repeat.incident))?;
        live.heard(repeat.last_report);
        repeat.claims.into_iter().for_each(|(_, claim)| live.wait(claim));
        self.urgent = true;
        self.note_place(into);
        Some(Folded { id, into })
    }

    fn remove(&mut self, id: IncidentId) -> Option<Live> {
        let live = self.live.remove(&id)?;
        self.roster.leave(&live.incident);
        self.calls.done(id);
        for ids in [&mut self.owed, &mut self.new, &mut self.changed, &mut self.unplaced] {
            ids.remove(&id);
        }
        Some(live)
    }

    /// Opens or updates an incident for each of `calls`.
    ///
    /// A call joins the incident of its vehicle: the one with its own incident id if it names one, else the latest. It
    /// opens another when there is none, when that one is over, or when it names an id that is not known.
    pub fn admit(&mut self, calls: Vec<Candidate>) -> Admitted {
        self.arrived.extend(calls);
        let mut admitted = Admitted::default();
        while let Some(call) = self.arrived.pop_front() {
            self.admit_one(call, &mut admitted);
        }
        admitted
    }

    fn admit_one(&mut self, call: Candidate, admitted: &mut Admitted) {
        if let Some(id) = self.find(&Sought::of(&call), |_| true) {
            self.join(id, call);
            admitted.updated += 1;
        } else if self.is_full(call.is_test()) {
            call.claims.into_iter().for_each(Claim::refuse);
            admitted.refused.push(call.vehicle_id);
        } else {
            admitted.opened.push(self.open(call));
        }
    }

    fn find(&self, sought: &Sought<'_>, among: impl Fn(&Live) -> bool + Copy) -> Option<IncidentId> {
        let goes_on = |id: &&IncidentId| {
            let live = &self.live[*id];
            among(live) && !live.is_over(sought.at, self.rules.quiet_max)
        };
        let own = |id: &IncidentId| self.live[id].incident.vehicle_incident.as_deref();
        let ids = self.roster.of(sought.vehicle_id, sought.test);
        let mut latest_first = ids.iter().rev().filter(goes_on);
        let Some(named) = sought.named else { return latest_first.next().copied() };
        let known = latest_first.clone().find(|id| own(id) == Some(named));
        let nameless = latest_first.clone().find(|id| own(id).is_none());
        let too_many = latest_first.clone().count() >= PER_VEHICLE_MAX;
        known.or(nameless).or_else(|| latest_first.next().filter(|_| too_many)).copied()
    }

    fn is_full(&self, test: bool) -> bool {
        let max = if test { (self.rules.open_max / 10).max(1) } else { self.rules.open_max };
        self.roster.open(test) >= max
    }

    fn open(&mut self, mut call: Candidate) -> IncidentId {
        let id = self.ids.next(call.received_ms);
        let incident = Incident::open(id, &call);
        let claims = std::mem::take(&mut call.claims).into_iter().map(|claim| (1, claim)).collect();
        let calling = self.rules.lines.is_some() && !incident.is_settled();
        self.enlist(Live::open(incident, &call, claims));
        self.new.insert(id);
        self.urgent = true;
        if calling {
            let patience = if self.store_up { self.rules.record_within } else { Duration::ZERO };
            // What had to wait until the store was read has not had its time to be recorded yet.
            self.calls.hold(id, call.arrived.max(self.restored) + patience);
        }
        id
    }

    fn join(&mut self, id: IncidentId, mut call: Candidate) {
        let claims = std::mem::take(&mut call.claims);
        self.urgent |= !claims.is_empty();
        let live = self.change(id, |incident| incident.update(&call)).expect("matched among the live");
        live.heard(call.last_arrived);
        for claim in claims {
            live.wait(claim);
        }
        self.note_place(id);
    }

    fn enlist(&mut self, live: Live) {
        let incident = &live.incident;
        let id = incident.id;
        self.roster.enter(incident);
        if !incident.is_settled() {
            self.owed.insert(id);
        }
        self.live.insert(id, live);
        self.note_place(id);
    }

    fn change(&mut self, id: IncidentId, change: impl FnOnce(&mut Incident)) -> Option<&mut Live> {
        let live = self.live.get_mut(&id)?;
        change(&mut live.incident);
        live.version += 1;
        if live.recorded > 0 {
            self.changed.insert(id);
        }
        Some(live)
    }

    fn note_place(&mut self, id: IncidentId) {
        if self.live[&id].incident.place.is_none() {
            self.unplaced.insert(id);
        } else {
            self.unplaced.remove(&id);
        }
    }

    /// Takes out the incidents of which no place is known, with their vehicles, to ask where they were seen last.
    pub fn take_unplaced(&mut self) -> Vec<(IncidentId, Box<str>)> {
        let mut ids = std::mem::take(&mut self.unplaced);
        let next = ids.split_off(&self.place_next);
        next.into_iter()
            .chain(ids)
            .filter_map(|id| Some((id, self.live.get(&id)?.incident.vehicle_id.clone())))
            .collect()
    }

    /// Nobody can say yet where that vehicle was seen last; it is to be asked again.
    pub fn unplaced(&mut self, id: IncidentId) {
        if self.get(id).is_some_and(|incident| incident.place.is_none()) {
            self.unplaced.insert(id);
        }
    }

    /// There was no time left to look for this one; it goes first the next time.
    pub fn place_next(&mut self, id: IncidentId) {
        self.place_next = id;
    }

    /// The vehicle was seen there, by what is known apart from its call.
    pub fn place(&mut self, id: IncidentId, last_known: Place) {
        self.change(id, |incident| incident.place = newer(incident.place, Some(last_known)));
    }

    /// Whether something new is waiting to be recorded.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Up to `max` incidents that are not on disk as they are, the new ones first.
    pub fn drafts(&mut self, max: usize) -> Vec<Draft> {
        self.urgent = self.unrecorded() > max;
        let ids = self.new.iter().chain(&self.changed).take(max);
        let live = ids.filter_map(|id| self.live.get(id));
        live.map(|live| Draft { incident: live.incident.clone(), version: live.version }).collect()
    }

    /// These are on disk: their senders hear it, they may be called, and those that are over are let go.
    pub fn recorded(&mut self, drafts: &[Draft]) {
        self.store_up = true;
        for Draft { incident, version } in drafts {
            let id = incident.id;
            let Some(live) = self.live.get_mut(&id) else { continue };
            live.recorded = live.recorded.max(*version);
            let safe = |(since, _): &mut (u64, Claim)| *since <= *version;
            live.claims.extract_if(.., safe).for_each(|(_, claim)| claim.grant(id));
            self.calls.recorded(id);
            self.new.remove(&id);
            if live.recorded < live.version {
                self.changed.insert(id);
            } else {
                self.changed.remove(&id);
                if live.incident.ended_ms.is_some() {
                    self.live.remove(&id);
                }
            }
        }
    }

    fn unrecorded(&self) -> usize {
        self.new.len() + self.changed.len()
    }

    /// The store does not work: first calls do not wait for it.
    pub fn store_down(&mut self) {
        self.store_up = false;
        self.urgent = false;
        self.calls.release();
    }

    /// The next call to make at `now`, if one is due and a line is free.
    pub fn next_call(&mut self, now: Duration) -> Option<Call> {
        let id = self.calls.next(now)?;
        let Some(live) = self.live.get_mut(&id) else {
            self.calls.done(id);
            return self.next_call(now);
        };
        let arrived = live.arrived.take();
        let unrecorded = live.recorded == 0;
        if unrecorded && !live.incident.called_unrecorded {
            self.change(id, |incident| incident.called_unrecorded = true);
        }
        let incident = self.live[&id].incident.clone();
        Some(Call { number: incident.attempts + 1, incident, arrived })
    }

    /// Notes what came of a call; one that was not accepted is due again later.
    pub fn attempted(&mut self, id: IncidentId, attempt: Attempt, now: Duration) {
        let number = attempt.number;
        let accepted = attempt.outcome.accepted();
        self.change(id, |incident| incident.attempted(attempt));
        if accepted {
            self.urgent = true;
            self.owed.remove(&id);
            self.calls.done(id);
        } else {
            let wait = self.rules.schedule.wait(number, &mut self.rng);
            self.calls.failed(id, now + wait);
        }
    }

    /// Whoever made the calls is gone: what was under way is tried again, under the same key.
    pub fn hung_up(&mut self) {
        self.calls.hung_up();
    }

    /// Whether an incident waits for its first call and may be called.
    pub fn has_fresh(&self) -> bool {
        self.calls.has_fresh()
    }

    /// When there may be a call to make although nothing else happens, on the monotonic clock.
    pub fn wake_at(&self) -> Option<Duration> {
        self.calls.wake_at()
    }

    /// Ends what is over at `now`, which the wall clock calls `now_ms`, and tells senders who have waited too long that it
    /// failed.
    pub fn tidy(&mut self, now_ms: i64, now: Duration) {
        self.refuse_old_claims(now);
        let over = |live: &&Live| live.incident.ended_ms.is_none() && live.is_over(now, self.rules.quiet_max);
        let over: Vec<_> = self.live.values().filter(over).map(|live| live.incident.id).collect();
        for id in over {
            if let Some(live) = self.change(id, |incident| incident.ended_ms = Some(now_ms)) {
                let ended = live.incident.clone();
                self.roster.leave(&ended);
            }
        }
        self.forget_ended();
    }

    /// While the store is down, what has ended cannot leave by being recorded. There is a limit to that.
    fn forget_ended(&mut self) {
        let open = self.roster.open(false) + self.roster.open(true);
        let surplus = self.live.len().saturating_sub(open + self.rules.open_max);
        let ended = self.live.values().filter(|live| live.incident.ended_ms.is_some());
        let oldest: Vec<_> = ended.take(surplus).map(|live| live.incident.id).collect();
        for id in oldest {
            self.live.remove(&id);
            self.new.remove(&id);
            self.changed.remove(&id);
        }
    }

    fn refuse_old_claims(&mut self, now: Duration) {
        let within = self.rules.claim_within;
        for id in self.new.iter().chain(&self.changed) {
            let Some(live) = self.live.get_mut(id) else { continue };
            let old = |(_, claim): &mut (u64, Claim)| now.saturating_sub(claim.since) > within;
            live.claims.extract_if(.., old).for_each(|(_, claim)| claim.refuse());
        }
    }

    /// The incident, if it is still at the desk.
    pub fn get(&self, id: IncidentId) -> Option<&Incident> {
        self.live.get(&id).map(|live| &live.incident)
    }

    /// Whether the incident is being called right now.
    pub fn is_calling(&self, id: IncidentId) -> bool {
        self.calls.is_under_way(id)
    }

    /// The incidents at the desk that are older than `before`, newest first.
    pub fn newest_first(&self, before: Option<IncidentId>) -> impl Iterator<Item = &Incident> {
        let older = self.live.range(..before.unwrap_or(IncidentId::from_u128(u128::MAX)));
        older.rev().map(|(_, live)| &live.incident)
    }

    /// How things stand.
    pub fn standing(&self) -> Standing {
        let oldest = self.owed.first().and_then(|id| self.get(*id));
        Standing {
            open: self.roster.open(false),
            open_tests: self.roster.open(true),
            unaccepted: self.owed.len(),
            oldest_unaccepted_ms: oldest.map(|incident| incident.opened_ms),
            unrecorded: self.unrecorded(),
        }
    }
}
