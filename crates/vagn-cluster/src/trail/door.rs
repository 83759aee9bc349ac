//! Door: alarms of this node's own reporters, until the trail has them.
//!
//! Each is handed to the leader again and again. What no leader has answered for within 250 ms this node calls about by itself, under
//! the same id. No alarm is dropped: one that finds no room is called about at once, and waits in the node's own store.
//!
//! An alarm is kept before anybody calls about it: where leader and door end together, no target may be the only one that knows of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Moment, NodeId};
use crate::trail::command::{TrailCommand, TrailHappened, Why};
use crate::trail::event::KeptAlarm;
use crate::trail::ids::{AlarmId, AlarmVersion};
use crate::trail::message::{ALARM_MAX, Alarm, NOTE_MAX, TrailMessage};
use crate::trail::state::Refusal;

/// Time without an answer of a leader after which the door calls by itself.
pub(crate) const ALONE_MS: u64 = 250;

/// Time without a record after which an alarm is kept: long enough for the trail, and short enough for a disk to have it when the leader calls, at
/// [`RELEASE_MS`](super::lead::RELEASE_MS).
const KEEP_AFTER_MS: u64 = 50;

/// Time without a record, after the leader called, after which the door calls too: that leader may be gone, and its call with it.
const CALLED_MS: u64 = 5_000;

/// Time for which an alarm that an earlier run kept waits for a leader to be heard, who renews each second: the trail may have it by now.
const HEARD_MS: u64 = 2_000;

/// Pause before an alarm is given again to a store that did not keep it.
const KEEP_MS: u64 = 1_000;

/// Pause before an alarm is handed over again.
const AGAIN_MS: u64 = 1_000;

/// The same for one for which the leader has no room: it waits for others to be over.
const REFUSED_MS: u64 = 10_000;

/// Alarms that are handed over at one moment when a new leader stands.
const TOGETHER: u64 = 64;

/// Most alarms that are read from the store at a time.
const READ_MAX: usize = 256;

/// Alarms that wait for the trail.
#[derive(Debug)]
pub(crate) struct Door {
    max: usize,
    waiting: BTreeMap<AlarmId, HeldAlarm>,
    dues: BTreeSet<(u64, AlarmId)>,
    /// Those about which this door has called, for which the leader has no room and that the store keeps: they make room for others.
    refused: BTreeSet<AlarmId>,
    leader: Option<NodeId>,
    /// The store may keep alarms that are not here.
    kept: Kept,
    /// Not all that an earlier run kept was called about: it is read whatever the room.
    is_new: bool,
    /// The node stops: what is here is kept at once.
    is_leaving: bool,
    /// Planted fault.
    forgets: bool,
}

/// An alarm that the trail does not have.
#[derive(Debug)]
struct HeldAlarm {
    alarm: Alarm,
    /// Moment at which it is kept in the store, unless it is.
    keep_at_ms: Option<u64>,
    /// Moment at which the door calls by itself, unless it has.
    alone_at_ms: u64,
    hand_at_ms: u64,
    /// The leader has called.
    is_called: bool,
    /// An earlier run kept it.
    is_of_earlier_run: bool,
    /// The leader has no room for it.
    is_refused: bool,
}

/// Reading of the alarms that the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// All are here.
    All,
    /// Those behind this one are to be read when there is room; true: some were put into the store alone meanwhile, before it perhaps.
    Behind(Option<AlarmId>, bool),
    /// A read is under way; true as before.
    Reading(Option<AlarmId>, bool),
}

impl HeldAlarm {
    /// One that is handed over now.
    fn new(alarm: Alarm, keep_at_ms: Option<u64>, alone_at_ms: u64, now: Moment) -> Self {
        let (is_called, is_of_earlier_run, is_refused) = (false, false, false);
        let hand_at_ms = now.elapsed_ms;
        Self { alarm, keep_at_ms, alone_at_ms, hand_at_ms, is_called, is_of_earlier_run, is_refused }
    }

    fn due_ms(&self) -> u64 {
        let alone = (!self.alarm.unrecorded).then_some(self.alone_at_ms);
        alone.into_iter().chain(self.keep_at_ms).fold(self.hand_at_ms, u64::min)
    }

    /// A leader is heard to whom it is handed at this moment, or its vehicle calls: one of an earlier run waits no longer than others from then on.
    fn hurry(&mut self, now_ms: u64) {
        if self.is_of_earlier_run && !self.is_called {
            self.alone_at_ms = self.alone_at_ms.min(now_ms + ALONE_MS);
        }
    }
}

impl Door {
    pub(crate) fn new(max: usize, forgets: bool) -> Self {
        Self {
            max: max.max(1),
            waiting: BTreeMap::new(),
            dues: BTreeSet::new(),
            refused: BTreeSet::new(),
            leader: None,
            kept: Kept::Behind(None, false),
            is_new: true,
            is_leaving: false,
            forgets,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.dues.first().map(|(due_ms, _)| *due_ms)
    }

    /// A reporter calls for help.
    pub(crate) fn take(&mut self, id: AlarmId, bytes: Vec<u8>, now: Moment, out: &mut Vec<TrailCommand>) {
        if bytes.len() > ALARM_MAX {
            return call_alone(id, bytes, Why::TooLong, out);
        }
        if let Some(mut repeat) = self.remove(id) {
            (repeat.alarm.bytes, repeat.hand_at_ms) = (bytes, now.elapsed_ms);
            repeat.hurry(now.elapsed_ms);
            return self.insert(repeat);
        }
        if self.waiting.len() >= self.max {
            // The store has one of the two.
            self.leave_to_store();
        }
        if self.waiting.len() >= self.max
            && self.refused.first().copied().and_then(|id| self.remove(id)).is_none()
        {
            return call_alone(id, bytes, Why::NoRoom, out);
        }
        let alarm = Alarm { id, bytes, unrecorded: false, note: Vec::new() };
        let keep_at_ms = self.keep_at_ms(now);
        self.insert(HeldAlarm::new(alarm, keep_at_ms, now.elapsed_ms + ALONE_MS, now));
    }

    /// An alarm is in the store alone. It is read from there when there is room.
    fn leave_to_store(&mut self) {
        self.kept = match self.kept {
            Kept::All => Kept::Behind(None, false),
            Kept::Reading(after, _) => Kept::Reading(after, true),
            Kept::Behind(after, _) => Kept::Behind(after, true),
        };
    }

    fn keep_at_ms(&self, now: Moment) -> Option<u64> {
        Some(now.elapsed_ms + if self.is_leaving { 0 } else { KEEP_AFTER_MS })
    }

    fn insert(&mut self, held: HeldAlarm) {
        let id = held.alarm.id;
        self.dues.insert((held.due_ms(), id));
        if held.is_refused && held.alarm.unrecorded && held.keep_at_ms.is_none() {
            self.refused.insert(id);
        }
        self.waiting.insert(id, held);
    }

    fn remove(&mut self, id: AlarmId) -> Option<HeldAlarm> {
        let held = self.waiting.remove(&id)?;
        self.dues.remove(&(held.due_ms(), id));
        self.refused.remove(&id);
        Some(held)
    }

    fn change(&mut self, id: AlarmId, change: impl FnOnce(&mut HeldAlarm)) {
        if let Some(mut held) = self.remove(id) {
            change(&mut held);
            self.insert(held);
        }
    }

    /// Another node leads, or this one leads anew: it hears of all alarms, some at a time.
    pub(crate) fn led_by(&mut self, leader: NodeId, now: Moment) {
        self.leader = Some(leader);
        let ids: Vec<AlarmId> = self.waiting.keys().copied().collect();
        for (id, number) in ids.into_iter().zip(0..) {
            self.change(id, |held| {
                held.hand_at_ms = now.elapsed_ms + number / TOGETHER;
                held.hurry(held.hand_at_ms);
            });
        }
    }

    /// The leader said farewell: alarms wait for the next one.
    pub(crate) fn led_by_none(&mut self) {
        self.leader = None;
    }

    /// The node stops: its store is given all that it does not keep yet, and that the next run is to go on with.
    pub(crate) fn leave(&mut self, now: Moment) {
        self.is_leaving = true;
        let ids: Vec<AlarmId> = self.waiting.keys().copied().collect();
        for id in ids {
            self.change(id, |held| {
                held.keep_at_ms = held.keep_at_ms.map(|at_ms| at_ms.min(now.elapsed_ms));
            });
        }
    }

    /// Does all that is due; reads what the store keeps when the run begins.
    pub(crate) fn run(
        &mut self,
        now: Moment,
        mail: &mut Vec<(NodeId, TrailMessage)>,
        out: &mut Vec<TrailCommand>,
    ) {
        while let Some((due_ms, id)) = self.dues.first().copied()
            && due_ms <= now.elapsed_ms
        {
            self.run_one(id, now, mail, out);
        }
        if let Kept::Behind(after, grew) = self.kept
            && (self.is_new || self.waiting.len() * 2 <= self.max)
        {
            self.kept = Kept::Reading(after, grew);
            out.push(TrailCommand::ReadKept { after, max: READ_MAX.min(self.max.div_ceil(2)) });
        }
    }

    fn run_one(
        &mut self,
        id: AlarmId,
        now: Moment,
        mail: &mut Vec<(NodeId, TrailMessage)>,
        out: &mut Vec<TrailCommand>,
    ) {
        let Some(mut held) = self.remove(id) else { return };
        if held.keep_at_ms.take_if(|at_ms| *at_ms <= now.elapsed_ms).is_some() {
            out.push(TrailCommand::Keep { alarm: id, bytes: held.alarm.bytes.clone() });
        }
        if !held.alarm.unrecorded && held.alone_at_ms <= now.elapsed_ms {
            held.alarm.unrecorded = true;
            let why = if held.is_of_earlier_run { Why::Kept } else { Why::Unanswered };
            out.push(TrailCommand::CallAlone { alarm: id, bytes: held.alarm.bytes.clone(), why });
            out.push(TrailCommand::Tell(TrailHappened::CalledAlone(id, why)));
            // The leader hears that it is unrecorded now.
            held.hand_at_ms = now.elapsed_ms;
        }
        if held.hand_at_ms <= now.elapsed_ms {
            held.hand_at_ms = now.elapsed_ms + if held.is_refused { REFUSED_MS } else { AGAIN_MS };
            if let Some(leader) = self.leader {
                mail.push((leader, TrailMessage::Alarm(held.alarm.clone())));
                if self.forgets {
                    return;
                }
            }
        }
        self.insert(held);
    }

    /// The leader called without a record.
    pub(crate) fn called(&mut self, id: AlarmId, now: Moment) {
        self.change(id, |held| {
            // Once: a leader that cannot record says so again and again.
            if !std::mem::replace(&mut held.is_called, true) {
                held.alone_at_ms = now.elapsed_ms + CALLED_MS;
            }
        });
    }

    /// Something came of the door's own call.
    pub(crate) fn called_alone(&mut self, id: AlarmId, mut note: Vec<u8>, now: Moment) {
        // A driver that tells too much has told nothing: the leader calls again under the same id.
        if note.len() > NOTE_MAX {
            note.clear();
        }
        self.change(id, |held| {
            (held.alarm.note, held.hand_at_ms) = (note, now.elapsed_ms);
        });
    }

    /// The trail has an alarm, of this door or of another.
    pub(crate) fn recorded(&mut self, version: AlarmVersion, out: &mut Vec<TrailCommand>) {
        if let Some(Alarm { id, bytes, unrecorded, .. }) = self.settled(version) {
            if unrecorded {
                out.push(TrailCommand::Tell(TrailHappened::HandedOver(id)));
            }
            out.push(TrailCommand::LetGo { alarm: id, bytes });
        }
    }

    /// The incident of an alarm is over, and this version of it says more.
    pub(crate) fn over(&mut self, version: AlarmVersion, out: &mut Vec<TrailCommand>) {
        if let Some(Alarm { id, bytes, .. }) = self.settled(version) {
            out.push(TrailCommand::Tell(TrailHappened::Reopened(id)));
            out.push(TrailCommand::Reopen { alarm: id, bytes });
        }
    }

    /// The leader refuses an alarm for a limit. One about which somebody has called stays, unless the leader knew that and ends it.
    pub(crate) fn refused(
        &mut self,
        version: AlarmVersion,
        refusal: Refusal,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) {
        let id = version.alarm;
        let Some(held) = self.waiting.get(&id) else { return };
        let is_older = held.alarm.version() != version;
        if refusal.ends && (is_older || !held.is_called || held.alarm.unrecorded) {
            if let Some(Alarm { bytes, unrecorded, .. }) = self.settled(version) {
                out.push(TrailCommand::Tell(TrailHappened::Refused(id)));
                out.push(TrailCommand::Refuse { alarm: id, bytes, unrecorded, refusal });
            }
        } else if !is_older && !held.is_refused {
            let (unrecorded, refusal) = (held.alarm.unrecorded, Refusal { ends: false, ..refusal });
            let bytes = held.alarm.bytes.clone();
            out.push(TrailCommand::Tell(TrailHappened::WithoutRoom(id)));
            out.push(TrailCommand::Refuse { alarm: id, bytes, unrecorded, refusal });
            self.change(id, |held| {
                (held.is_refused, held.hand_at_ms) = (true, now.elapsed_ms + REFUSED_MS);
            });
        }
    }

    /// The driver has called about an alarm that the leader would have ended: it goes on, and the leader hears of the calls.
    pub(crate) fn not_ended(&mut self, id: AlarmId, bytes: Vec<u8>, mut note: Vec<u8>, now: Moment) {
        if note.len() > NOTE_MAX {
            note.clear();
        }
        if self.waiting.contains_key(&id) {
            return self.change(id, |held| {
                (held.alarm.unrecorded, held.alarm.note) = (true, note);
                held.hand_at_ms = now.elapsed_ms;
            });
        }
        if self.waiting.len() >= self.max * 2 {
            return self.leave_to_store();
        }
        let alarm = Alarm { id, bytes, unrecorded: true, note };
        let keep_at_ms = self.keep_at_ms(now);
        self.insert(HeldAlarm::new(alarm, keep_at_ms, now.elapsed_ms, now));
    }

    /// Takes out an alarm of which the leader knows all that this door has. Else the rest is handed over at once.
    fn settled(&mut self, version: AlarmVersion) -> Option<Alarm> {
        let id = version.alarm;
        if self.waiting.get(&id)?.alarm.version() != version {
            self.change(id, |held| held.hand_at_ms = 0);
            return None;
        }
        self.remove(id).map(|held| held.alarm)
    }

    /// The store did not keep an alarm. One that found no room is taken in all the same: it is nowhere else.
    pub(crate) fn not_kept(&mut self, id: AlarmId, bytes: Vec<u8>, now: Moment, out: &mut Vec<TrailCommand>) {
        out.push(TrailCommand::Tell(TrailHappened::NotKept(id)));
        let keep_at_ms = Some(now.elapsed_ms + KEEP_MS);
        if self.waiting.contains_key(&id) {
            self.change(id, |held| held.keep_at_ms = keep_at_ms);
        } else if self.waiting.len() < self.max * 2 && bytes.len() <= ALARM_MAX {
            let alarm = Alarm { id, bytes, unrecorded: true, note: Vec::new() };
            self.insert(HeldAlarm::new(alarm, keep_at_ms, now.elapsed_ms, now));
        } else {
            out.push(TrailCommand::Tell(TrailHappened::NoPlace(id)));
        }
    }

    /// Takes in alarms that the store keeps: those of an earlier run, and those that found no room. An earlier run's that no target has accepted are
    /// called about whatever the room: where there is some once the leader had its time, else at once.
    pub(crate) fn read(
        &mut self,
        alarms: Vec<KeptAlarm>,
        is_end: bool,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) {
        let Kept::Reading(mut after, mut grew) = self.kept else { return };
        let mut has_room = true;
        for KeptAlarm { alarm: id, bytes, note } in alarms {
            has_room = self.is_new || self.waiting.len() < self.max;
            if !has_room {
                break;
            }
            after = Some(id);
            if self.waiting.contains_key(&id) {
                continue;
            }
            let has_place = self.waiting.len() < self.max;
            // It is read again when there is room.
            grew |= !has_place;
            let is_taken = has_place && bytes.len() <= ALARM_MAX;
            let (is_accepted, waits_for_leader) = (!note.is_empty(), self.is_new && is_taken);
            if !(is_accepted || waits_for_leader) {
                out.push(TrailCommand::CallAlone { alarm: id, bytes: bytes.clone(), why: Why::Kept });
                out.push(TrailCommand::Tell(TrailHappened::CalledAlone(id, Why::Kept)));
            }
            if is_taken {
                let alarm = Alarm { id, bytes, unrecorded: is_accepted || !self.is_new, note };
                let alone_after_ms = if self.leader.is_some() { ALONE_MS } else { HEARD_MS };
                let held = HeldAlarm::new(alarm, None, now.elapsed_ms + alone_after_ms, now);
                self.insert(HeldAlarm { is_of_earlier_run: self.is_new, ..held });
            }
        }
        self.is_new &= !is_end;
        self.kept = match (is_end && has_room, grew) {
            (true, false) => Kept::All,
            // Those that came meanwhile may have lower ids.
            (true, true) => Kept::Behind(None, false),
            (false, grew) => Kept::Behind(after, grew),
        };
    }
}

/// Calls from this node, and keeps the alarm first.
fn call_alone(alarm: AlarmId, bytes: Vec<u8>, why: Why, out: &mut Vec<TrailCommand>) {
    out.push(TrailCommand::Keep { alarm, bytes: bytes.clone() });
    out.push(TrailCommand::CallAlone { alarm, bytes, why });
    out.push(TrailCommand::Tell(TrailHappened::CalledAlone(alarm, why)));
}
