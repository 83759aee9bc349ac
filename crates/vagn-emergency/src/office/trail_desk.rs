//! The desk of a node of a cluster: while its node leads, all that is open in the whole service, and what is owed to whom.
//!
//! What it decides it decides as the [desk](crate::desk) of one machine does, which it has; this file knows only what the trail has of that. What
//! the trail has and the own store does not yet stands in `alarms`, `deeds` and `over` until it is saved: alarms and deeds that come again must
//! be found in one of the two.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};
use vagn_cluster::trail::{
    Alarm, AlarmId, DeedId, DeedTaken, DeskState, Draft as TrailDraft, Duty, GROUP_MAX, NAMES_MAX, Refusal,
    Taken,
};

use crate::desk::{Admission, Desk, Learned, Moment, Scope};
use crate::id::IncidentId;
use crate::intake::replays::Replays;
use crate::notify::notice::{EndedNotice, Notice};
use crate::office::alarm_form::AlarmForm;
use crate::office::call_note::{attempts_of, calls_of};
use crate::office::deed_form::DeedRefusal;
use crate::office::room::Room;
use crate::record::alarms::{AlarmState, JOINS_MAX};
use crate::record::attempt::Attempt;
use crate::record::delivery::Told;
use crate::record::group::{DeedResult, EMPTY_LEN, Group, NAME_LEN_MAX, draft_len};
use crate::record::rest::RestPart;

/// Most incidents in a group.
const TOGETHER: usize = 256;

/// Longest draft, in bytes: a group has room for one, and for names.
const DRAFT_MAX: usize = 160 << 10;

/// Incidents that are recalled between two signs of life.
const RECALLED_PER_BEAT: usize = 512;

/// Time between two rounds of upkeep.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// The desk of a node.
pub struct TrailDesk {
    pub(super) room: Arc<Room>,
    pub(super) desk: Desk,
    /// Alarms that the own store does not have as they are here.
    alarms: BTreeMap<IncidentId, TakenAlarm>,
    pub(super) deeds: BTreeMap<DeedId, TakenDeed>,
    /// Incidents that are over, with the place of the group that says so.
    over: BTreeMap<IncidentId, u64>,
    /// The group that is under way.
    drafted: Option<Group>,
    /// Rises with each time that the desk recalls: what came of notices of an earlier time is not noted.
    reign: u64,
    duty: Duty,
    rng: fastrand::Rng,
    tidied: Duration,
    /// Something is to be recorded.
    has_news: bool,
    /// The driver was told so, and has not asked for it yet.
    is_told: bool,
}

/// An alarm that was taken in.
struct TakenAlarm {
    state: AlarmState,
    /// Place of the group that has it as it is here.
    recorded_at: Option<u64>,
}

/// A deed that was done here.
pub(super) struct TakenDeed {
    pub(super) tag: u64,
    /// Incidents that it changed.
    pub(super) ids: Vec<IncidentId>,
    pub(super) count: u64,
    pub(super) recorded_at: Option<u64>,
}

impl TrailDesk {
    pub(crate) fn new(room: Arc<Room>, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let desk = Desk::new(room.lane.rules.clone(), rng.u64(..)).of_leader(0);
        Self {
            room,
            desk,
            alarms: BTreeMap::new(),
            deeds: BTreeMap::new(),
            over: BTreeMap::new(),
            drafted: None,
            reign: 0,
            duty: Duty::Standby,
            rng,
            tidied: Duration::ZERO,
            has_news: false,
            is_told: false,
        }
    }

    fn forget(&mut self, first_number: u64) {
        let replays = Arc::new(Replays::above(&self.room.lane.replays));
        let desk = Desk::new(self.room.lane.rules.clone(), self.rng.u64(..));
        self.desk = desk.with_replays(replays).of_leader(first_number);
        self.alarms.clear();
        self.deeds.clear();
        self.over.clear();
        (self.drafted, self.has_news, self.is_told) = (None, false, false);
        self.reign += 1;
        self.follow_duty();
    }

    fn follow_duty(&mut self) {
        self.desk.set_scope(match self.duty {
            Duty::Standby => Scope::Nothing,
            // The same key and meaning, whoever else sends it: of two openings a target keeps one, and of none it hears nothing.
            Duty::Alone | Duty::FirstOnly => Scope::Openings,
            Duty::Full => Scope::All,
        });
        self.room.set_leads(self.duty == Duty::Full);
    }

    /// Returns the incident that an alarm is about, if the trail or this desk has the alarm.
    fn about(&self, alarm: IncidentId) -> Option<AlarmState> {
        let here = self.alarms.get(&alarm).map(|taken| taken.state.clone());
        let found = here.or_else(|| self.room.known.lock().get(alarm).cloned());
        // One of an incident that is older than all alarms that are known.
        found.or_else(|| self.desk.get(alarm).map(|_| AlarmState::new(alarm)))
    }

    /// Returns the incident that this id leads to: one that was taken in is about another. Its asker may not have applied that yet.
    pub(super) fn living(&self, id: IncidentId) -> IncidentId {
        let mut living = id;
        for _ in 0..JOINS_MAX {
            match self.about(living).map(|state| state.incident) {
                Some(into) if into != living && self.desk.get(living).is_none() => living = into,
                _ => break,
            }
        }
        living
    }

    fn take_known(&mut self, alarm: &Alarm, form: &AlarmForm, mut state: AlarmState) -> Taken {
        let id = IncidentId::from_u128(alarm.id.0);
        let incident = state.incident;
        let known = state.known(form.sitting);
        let is_replay = || known == 0 && self.desk.is_replay(&form.alarm(id, self.room.lane.moment().at));
        let adds = form.reports > known && !is_replay();
        if self.desk.get(incident).is_none() || self.desk.is_over(incident) {
            if !adds && self.is_open(id) {
                // It came before the end, and no group has it yet.
                self.note_open(id, incident);
                return Taken::Open;
            }
            return if adds { Taken::Over } else { Taken::Recorded };
        }
        let now = self.room.lane.moment();
        if adds {
            let mut more = form.alarm(incident, now.at);
            more.reports -= known;
            self.desk.add_to(incident, more);
            state.note(form.sitting, form.reports);
            self.alarms.insert(id, TakenAlarm { state, recorded_at: None });
        }
        let was_called = alarm.unrecorded && incident == id;
        let is_told = was_called && self.desk.called_by_door(incident, told_of(&alarm.note), now);
        if adds || is_told || self.is_open(id) || (was_called && self.desk.is_unrecorded(incident)) {
            self.note_open(id, incident);
            return Taken::Open;
        }
        Taken::Recorded
    }

    /// Returns true for an alarm that was taken in and that no group has as it is.
    fn is_open(&self, alarm: IncidentId) -> bool {
        self.alarms.get(&alarm).is_some_and(|taken| taken.recorded_at.is_none())
    }

    /// Notes that an alarm is to be in the next group, although nothing of itself is new.
    fn note_open(&mut self, id: IncidentId, incident: IncidentId) {
        self.has_news = true;
        let state = self.about(id).unwrap_or_else(|| AlarmState::new(incident));
        let taken = self.alarms.entry(id).or_insert(TakenAlarm { state, recorded_at: None });
        taken.recorded_at = None;
    }

    fn take_new(&mut self, alarm: &Alarm, form: &AlarmForm) -> Taken {
        let id = IncidentId::from_u128(alarm.id.0);
        let now = self.room.lane.moment();
        let came = form.alarm(id, now.at);
        let (vehicle_incident, is_replay) = (self.desk.incident_of(&came), self.desk.is_replay(&came));
        let (incident, taken) = match self.desk.admit_alarm(came, form.vehicle()) {
            Admission::Opened(incident) => {
                if alarm.unrecorded {
                    self.desk.called_by_door(incident, told_of(&alarm.note), now);
                }
                (incident, Taken::Open)
            }
            Admission::Merged(incident) => {
                self.desk.joined(incident, id, alarm.unrecorded, now);
                (incident, Taken::Joined)
            }
            // The same call came to another door first. Where its incident is over, a group may be still to say so.
            Admission::Replay => {
                let over = || self.desk.unrecorded_of(&form.alarm(id, now.at));
                match vehicle_incident.or_else(over) {
                    Some(incident) => (incident, Taken::Joined),
                    None => return Taken::Recorded,
                }
            }
            Admission::Refused(limit) => {
                return Taken::Refused(Refusal { limit: limit.number(), ends: self.ends(alarm, form, now) });
            }
        };
        let mut state = AlarmState::new(incident);
        // Nothing of a replay counts, and its door sees by that that another one answers.
        if !is_replay {
            state.note(form.sitting, form.reports);
        }
        self.alarms.insert(id, TakenAlarm { state, recorded_at: None });
        self.has_news = true;
        taken
    }

    /// Returns true for an alarm without room that its door lets go: nobody has called about it; or a target has accepted that call, and its vehicle has been
    /// silent for as long as one of an incident that is resolved for that.
    fn ends(&self, alarm: &Alarm, form: &AlarmForm, now: Moment) -> bool {
        let silent_ms = now.ms.saturating_sub(form.last_received_ms);
        let is_silent = now.is_sure && silent_ms >= self.room.lane.rules.resolve_after.as_millis() as i64;
        !alarm.unrecorded || (is_silent && !calls_of(&alarm.note).is_empty())
    }

    /// Returns a group of what is not recorded, within its bounds.
    fn group(&mut self) -> Group {
        let open = self.alarms.iter().filter(|(_, taken)| taken.recorded_at.is_none());
        let of_alarms = open.map(|(_, taken)| taken.state.incident).take(TOGETHER);
        let undone = self.deeds.values().filter(|deed| deed.recorded_at.is_none());
        // Persons wait as well.
        let first: Vec<IncidentId> =
            undone.flat_map(|deed| deed.ids.iter().copied()).take(TOGETHER).chain(of_alarms).collect();
        let mut group = Group {
            salt: self.rng.u128(..),
            is_clock_doubted: !self.room.lane.moment().is_sure,
            drafts: Vec::new(),
            alarms: Vec::new(),
            deeds: Vec::new(),
            results: Vec::new(),
        };
        let mut len = EMPTY_LEN;
        for draft in self.desk.drafts_for_trail(&first, TOGETHER, DRAFT_MAX) {
            // As much again for the names.
            let more = draft_len(&draft) + NAME_LEN_MAX;
            if len + more > GROUP_MAX {
                break;
            }
            len += more;
            group.drafts.push(draft);
        }
        self.put_names(&mut group, len);
        group
    }

    /// Names the alarms and deeds that are recorded with a group: all that they have changed is in it or was before.
    fn put_names(&self, group: &mut Group, mut len: usize) {
        let drafted: BTreeSet<IncidentId> = group.drafts.iter().map(|draft| draft.incident.id).collect();
        let is_in = |id: &IncidentId| drafted.contains(id) || !self.desk.is_unrecorded(*id);
        for (deed, taken) in self.deeds.iter().filter(|(_, taken)| taken.recorded_at.is_none()) {
            if group.deeds.len() >= NAMES_MAX || len + 2 * NAME_LEN_MAX > GROUP_MAX {
                return;
            }
            if taken.ids.iter().all(is_in) {
                group.deeds.push(deed.0);
                // Nobody waits for what a part of a rest came to.
                if taken.tag != 0 {
                    let result = DeedResult { count: taken.count, incident: taken.ids.last().copied() };
                    group.results.push((taken.tag, result));
                }
                len += 2 * NAME_LEN_MAX;
            }
        }
        for (alarm, taken) in self.alarms.iter().filter(|(_, taken)| taken.recorded_at.is_none()) {
            if group.alarms.len() >= NAMES_MAX || len + NAME_LEN_MAX > GROUP_MAX {
                return;
            }
            // One that was joined may have brought an incident of its own back with it, out of a store that was replaced.
            if is_in(&taken.state.incident) && is_in(alarm) {
                group.alarms.push((*alarm, taken.state.clone()));
                len += NAME_LEN_MAX;
            }
        }
    }

    /// Notes what came of notices, does what time brings, and returns what is to be sent now, with the reign that it is of.
    pub(super) fn work(&mut self, ended: Vec<(u64, EndedNotice)>, duty: Duty) -> (u64, Vec<Notice>) {
        if self.duty != duty {
            // A process that was stopped wakes late.
            self.duty = duty;
            self.follow_duty();
        }
        let now = self.room.lane.moment();
        for (_, ended) in ended.into_iter().filter(|(reign, _)| *reign == self.reign) {
            self.desk.attempted(ended, now);
        }
        if self.duty == Duty::Full {
            for (id, standing) in self.room.take_decided() {
                self.desk.decide(id, standing);
            }
            for (id, fix) in self.room.take_found() {
                self.desk.located(id, fix, now.at);
            }
            if now.at >= self.tidied + TIDY_EVERY {
                self.tidied = now.at;
                self.desk.tidy(now);
                *self.room.targets_up.lock() = Some(self.desk.targets_up());
            }
        }
        let notices = match self.duty {
            Duty::Standby => Vec::new(),
            _ => std::iter::from_fn(|| self.desk.next_notice(now)).collect(),
        };
        self.has_news |= self.desk.has_unrecorded() && self.drafted.is_none();
        (self.reign, notices)
    }

    /// Returns true when there is something to record that the driver was not told of. It asks for the next group by itself when one is
    /// recorded.
    pub(super) fn take_news(&mut self) -> bool {
        let tells = self.duty == Duty::Full && self.has_news && !self.is_told;
        self.is_told |= tells;
        tells
    }

    /// Returns the time when there may be something to do, on the monotonic clock.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let tidy = (self.duty == Duty::Full).then_some(self.tidied + TIDY_EVERY);
        let notice = (self.duty != Duty::Standby).then(|| self.desk.wake_at()).flatten();
        tidy.into_iter().chain(notice).min()
    }

    #[cfg(test)]
    pub(super) fn standing_of(&self, id: IncidentId) -> Option<crate::record::standing::Standing> {
        self.desk.get(id).map(|incident| incident.standing)
    }

    pub(super) fn now(&self) -> Moment {
        self.room.lane.moment()
    }

    pub(super) fn changed(&mut self) {
        self.has_news = true;
    }

    /// Notes an incident that is over and was brought back, so that it leaves again.
    pub(super) fn brought_back(&mut self, id: IncidentId) {
        self.over.entry(id).or_insert(0);
    }

    /// Takes in what another store knew of an incident before a copy took its place.
    fn learn_rest(&mut self, deed: DeedId, bytes: &[u8]) -> DeedTaken {
        let Some(part) = RestPart::from_bytes(bytes) else {
            error!("what a store knew before it was replaced cannot be read, and is let go");
            return DeedTaken::Recorded;
        };
        let (id, is_over, now) = (part.knew.incident.id, part.over.is_some(), self.now());
        let known = self.about(id).map(|_| self.living(id));
        let (into, is_joined) = match self.desk.learn_rest(part, known, now) {
            Learned::Joined(into) => (into, true),
            Learned::More(into) => (into, false),
            // What another node's part of the same incident has told is of no use before a group has it.
            Learned::Nothing if !self.desk.is_unrecorded(known.unwrap_or(id)) => return DeedTaken::Recorded,
            Learned::Nothing => (known.unwrap_or(id), false),
        };
        if is_over {
            self.brought_back(id);
        }
        // So that it is known by its id when it is over, and another part of it does not open it again.
        self.note_open(id, into);
        self.deeds.insert(deed, TakenDeed { tag: 0, ids: vec![into], count: 1, recorded_at: None });
        if is_joined { DeedTaken::Joined(AlarmId(id.as_u128())) } else { DeedTaken::Open }
    }

    /// Names a call that a person has raised, so that it is known if it comes again.
    pub(super) fn raised(&mut self, alarm: IncidentId, incident: IncidentId, form: &AlarmForm) {
        let mut state = AlarmState::new(incident);
        state.note(form.sitting, form.reports);
        self.alarms.insert(alarm, TakenAlarm { state, recorded_at: None });
    }
}

/// Returns the attempts of a door that targets accepted, and what each told.
fn told_of(note: &[u8]) -> Vec<(Attempt, Told)> {
    attempts_of(calls_of(note))
}

impl DeskState for TrailDesk {
    fn recall(&mut self, numbers: Option<RangeInclusive<u64>>) {
        self.forget(numbers.map_or(0, |numbers| *numbers.start()));
        let live = self.room.lane.desk.lock().all_shown();
        let now = self.now();
        self.desk.begin_restore(now);
        let mut live = live.into_iter();
        while live.len() > 0 {
            // The door would take a driver that is silent for one that hangs, and call about all that waits.
            self.room.beat();
            self.desk.restore_part(live.by_ref().take(RECALLED_PER_BEAT), now);
        }
        self.desk.end_restore(now);
    }

    fn take(&mut self, alarm: &Alarm) -> Taken {
        let form = match AlarmForm::from_bytes(&alarm.bytes) {
            Ok(form) => form,
            Err(err) => {
                // Its door calls by itself, and asks again: the next leader may be able to read it.
                warn!(error = %err, "an alarm is left to its door");
                return Taken::NoRoom;
            }
        };
        match self.about(IncidentId::from_u128(alarm.id.0)) {
            Some(state) => self.take_known(alarm, &form, state),
            None => self.take_new(alarm, &form),
        }
    }

    fn deed(&mut self, deed: DeedId, bytes: &[u8]) -> Result<DeedTaken, Vec<u8>> {
        if let Some(taken) = self.deeds.get(&deed) {
            return Ok(if taken.recorded_at.is_some() { DeedTaken::Recorded } else { DeedTaken::Open });
        }
        if self.room.known.lock().has_deed(deed.0) {
            return Ok(DeedTaken::Recorded);
        }
        if RestPart::is_one(bytes) {
            return Ok(self.learn_rest(deed, bytes));
        }
        self.carry_out(deed, bytes).map_err(|refusal: DeedRefusal| refusal.to_bytes())
    }

    fn draft(&mut self) -> Option<TrailDraft> {
        (self.has_news, self.is_told) = (false, false);
        let group = self.group();
        if group.drafts.is_empty() && group.alarms.is_empty() && group.deeds.is_empty() {
            return None;
        }
        let content = group.to_bytes();
        if content.len() > GROUP_MAX {
            error!(bytes = content.len(), "a group of the trail is too long");
        }
        let draft = TrailDraft {
            content,
            alarms: group.alarms.iter().map(|(alarm, _)| AlarmId(alarm.as_u128())).collect(),
            deeds: group.deeds.iter().map(|deed| DeedId(*deed)).collect(),
        };
        self.drafted = Some(group);
        Some(draft)
    }

    fn recorded(&mut self, sequence: u64) {
        let Some(group) = self.drafted.take() else { return };
        for (alarm, state) in &group.alarms {
            if let Some(taken) = self.alarms.get_mut(alarm).filter(|taken| taken.state == *state) {
                taken.recorded_at = Some(sequence);
            }
        }
        for deed in &group.deeds {
            if let Some(taken) = self.deeds.get_mut(&DeedId(*deed)) {
                taken.recorded_at = Some(sequence);
            }
        }
        let over = group.drafts.iter().filter(|draft| draft.incident.is_resolved());
        self.over.extend(over.map(|draft| (draft.incident.id, sequence)));
        let now = self.now();
        self.desk.recorded_in_trail(group.drafts, now);
    }

    fn saved(&mut self, through: u64) {
        let is_saved = |at: Option<u64>| at.is_some_and(|at| at <= through);
        self.alarms.retain(|_, taken| !is_saved(taken.recorded_at));
        self.deeds.retain(|_, taken| !is_saved(taken.recorded_at));
        let ready: Vec<_> = self.over.iter().filter(|(_, at)| **at <= through).map(|(id, _)| *id).collect();
        self.over.retain(|_, at| *at > through);
        let left = self.desk.leave(ready);
        self.over.extend(left.into_iter().map(|id| (id, through)));
    }

    fn release(&mut self, alarm: AlarmId) {
        if let Some(state) = self.about(IncidentId::from_u128(alarm.0)) {
            self.desk.release(state.incident);
        }
    }

    fn set_duty(&mut self, duty: Duty) {
        self.duty = duty;
        self.follow_duty();
    }

    fn stand_down(&mut self) {
        self.forget(0);
    }
}
