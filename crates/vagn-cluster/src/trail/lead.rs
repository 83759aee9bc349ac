//! Leading: this node's desk while it leads, and what it owes to doors and persons.
//!
//! An alarm is recorded with the next group. What cannot be recorded within 100 ms is called about all the same. A leader whose
//! last entry is 3 s old makes first attempts only: another one may lead by now.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::ids::{Moment, NodeId};
use crate::trail::command::{TrailCommand, TrailHappened};
use crate::trail::ids::{AlarmId, AlarmVersion, DeedId, EntryId, Term};
use crate::trail::message::{Alarm, TrailMessage};
use crate::trail::state::{DeedTaken, DeskState, Draft, Taken};
use crate::trail::succession::SILENCE_MS;
use crate::trail::view::Duty;

/// Time without a record after which the leader calls all the same.
pub(crate) const RELEASE_MS: u64 = 100;

/// Time between renewals.
pub(crate) const RENEW_MS: u64 = 1_000;

/// Time without an own entry after which a leader makes first attempts only: no longer than the silence after which others claim.
pub(crate) const SEEN_MS: u64 = SILENCE_MS;

/// Time after an own entry in which a node that heard it does not claim: less than their 3 s of silence. One that did not hear it is
/// refused, unless the brokers lose that entry in this time.
const SURE_MS: u64 = 2_500;

/// Most deeds that wait for their record, and most refused ones that are remembered.
const DEEDS_MAX: usize = 256;

/// Most own entries that are stored and were not delivered yet. A leader that cannot read what it writes waits.
const PROMISED_MAX: usize = 1_024;

/// Bytes of them after which it waits, too.
const PROMISED_BYTES: usize = 16 << 20;

/// A node's desk, with or without its leadership.
#[derive(Debug)]
pub(crate) struct Lead<D> {
    pub(crate) desk: D,
    max: usize,
    reign: Option<Reign>,
    /// The trail is broken, or nobody leads and this node may not; the desk holds what may be owed.
    is_alone: bool,
    duty: Duty,
    taken: BTreeMap<AlarmId, Unrecorded>,
    releases: BTreeSet<(u64, AlarmId)>,
    deeds: BTreeMap<DeedId, NodeId>,
    /// Deeds that were refused lately: a copy of one that comes late must not be done.
    refused: VecDeque<DeedId>,
    /// The desk may have something to record.
    has_news: bool,
}

/// Leadership of this node.
#[derive(Debug)]
struct Reign {
    term: Term,
    /// Last entry that is known to be in the trail.
    tip: u64,
    /// Own entries that are in the trail and were not delivered.
    promised: VecDeque<Promised>,
    /// Bytes of them.
    promised_bytes: usize,
    began_ms: u64,
    /// Moment at which the last entry that the trail has was sent.
    seen_ms: u64,
    renew_at_ms: u64,
    /// Its farewell is under way: another node may lead before the answer comes.
    is_over: bool,
    /// Groups that the own store is not known to have. It takes those that are delivered, so they are few more than promised ones.
    unsaved: VecDeque<u64>,
}

/// An own entry that is in the trail and was not delivered.
#[derive(Debug)]
pub(crate) struct Promised {
    pub(crate) sequence: u64,
    pub(crate) id: EntryId,
    pub(crate) bytes: Arc<[u8]>,
}

/// An alarm that is not recorded.
#[derive(Debug)]
struct Unrecorded {
    door: NodeId,
    hash: u64,
    release_at_ms: u64,
    is_released: bool,
    /// The trail has it in an earlier version: nothing is to be released, and the desk is asked at each repeat.
    is_recorded: bool,
}

type Mail = Vec<(NodeId, TrailMessage)>;

impl Reign {
    fn may_promise(&self) -> bool {
        self.promised.len() < PROMISED_MAX && self.promised_bytes < PROMISED_BYTES
    }
}

impl<D: DeskState> Lead<D> {
    pub(crate) fn new(desk: D, max: usize) -> Self {
        Self {
            desk,
            max,
            reign: None,
            is_alone: false,
            duty: Duty::Standby,
            taken: BTreeMap::new(),
            releases: BTreeSet::new(),
            deeds: BTreeMap::new(),
            refused: VecDeque::new(),
            has_news: false,
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.reign.is_some()
    }

    pub(crate) fn term(&self) -> Option<Term> {
        self.reign.as_ref().map(|reign| reign.term)
    }

    /// Returns the last entry that is known to be in the trail, if this node may append behind it.
    pub(crate) fn tip(&self) -> Option<u64> {
        self.reign.as_ref().filter(|reign| reign.may_promise()).map(|reign| reign.tip)
    }

    pub(crate) fn unrecorded(&self) -> usize {
        self.taken.len()
    }

    pub(crate) fn duty(&self, now: Moment) -> Duty {
        match &self.reign {
            None if self.is_alone => Duty::Alone,
            None => Duty::Standby,
            Some(reign) if !reign.is_over && now.elapsed_ms < reign.seen_ms + SEEN_MS => Duty::Full,
            Some(_) => Duty::FirstOnly,
        }
    }

    /// Begins to lead: the trail has this node's claim, which was sent at `seen_ms`.
    pub(crate) fn begin(
        &mut self,
        (term, shown): (Term, Term),
        claim: Promised,
        (seen_ms, now): (u64, Moment),
        out: &mut Vec<TrailCommand>,
    ) {
        self.reign = Some(Reign {
            term,
            tip: claim.sequence,
            promised_bytes: claim.bytes.len(),
            promised: VecDeque::from([claim]),
            began_ms: now.elapsed_ms,
            seen_ms,
            renew_at_ms: now.elapsed_ms + RENEW_MS,
            is_over: false,
            unsaved: VecDeque::new(),
        });
        (self.has_news, self.is_alone) = (true, false);
        self.desk.recall(Some(shown.numbers()));
        out.push(TrailCommand::Tell(TrailHappened::Led));
        self.look(now, out);
    }

    /// Notes that an entry of this node is in the trail.
    pub(crate) fn stored(&mut self, entry: Promised, seen_ms: u64, is_delivered: bool) {
        if let Some(reign) = &mut self.reign {
            reign.tip = reign.tip.max(entry.sequence);
            reign.seen_ms = reign.seen_ms.max(seen_ms);
            if !is_delivered {
                reign.promised_bytes += entry.bytes.len();
                reign.promised.push_back(entry);
            }
        }
    }

    /// This node's farewell is sent: from now on it makes first attempts only, as long as it lasts.
    pub(crate) fn say_farewell(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        if let Some(reign) = &mut self.reign {
            reign.is_over = true;
        }
        self.look(now, out);
    }

    /// Returns true while no other node can have claimed: the last own entry is too young.
    pub(crate) fn is_sure(&self, now: Moment) -> bool {
        self.reign.as_ref().is_some_and(|reign| now.elapsed_ms < reign.seen_ms + SURE_MS)
    }

    /// Compares an entry that was delivered with what this node believes to have stored. Returns false if another stands there.
    pub(crate) fn bears_out(&mut self, sequence: u64, id: EntryId) -> bool {
        let Some(reign) = &mut self.reign else { return true };
        let promised = reign.promised.pop_front_if(|promised| promised.sequence <= sequence);
        reign.tip = reign.tip.max(sequence);
        reign.promised_bytes -= promised.as_ref().map_or(0, |promised| promised.bytes.len());
        promised.is_none_or(|promised| promised.sequence != sequence || promised.id == id)
    }

    /// Returns the own entries that are in the trail and were not delivered, in their order.
    pub(crate) fn promised(&self) -> impl Iterator<Item = &Promised> {
        self.reign.iter().flat_map(|reign| &reign.promised)
    }

    /// Returns the moment since which this node leads.
    pub(crate) fn began_ms(&self) -> Option<u64> {
        self.reign.as_ref().map(|reign| reign.began_ms)
    }

    /// Leads no more. Alarms are still at their doors; what became of deeds nobody can say.
    pub(crate) fn end(&mut self, now: Moment, mail: &mut Mail, out: &mut Vec<TrailCommand>) {
        self.abdicate(mail);
        self.look(now, out);
        self.desk.stand_down();
    }

    fn abdicate(&mut self, mail: &mut Mail) {
        self.reign = None;
        self.taken.clear();
        self.releases.clear();
        let deeds = std::mem::take(&mut self.deeds);
        mail.extend(deeds.into_iter().map(|(deed, node)| (node, TrailMessage::DeedUnavailable { deed })));
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// The trail is broken, or this node holds back. A leader's desk has what the trail had and more; another one recalls what the store has.
    pub(crate) fn go_alone(&mut self, now: Moment, mail: &mut Mail, out: &mut Vec<TrailCommand>) {
        if self.reign.is_none() {
            self.desk.recall(None);
        }
        self.abdicate(mail);
        self.is_alone = true;
        self.look(now, out);
    }

    /// A leader is there again for a node that held back.
    pub(crate) fn rest(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        if std::mem::take(&mut self.is_alone) {
            self.look(now, out);
            self.desk.stand_down();
        }
    }

    /// Tells the desk what it may do, if that has changed.
    pub(crate) fn look(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let duty = self.duty(now);
        if duty != self.duty {
            self.duty = duty;
            self.desk.set_duty(duty);
            out.push(TrailCommand::Tell(TrailHappened::Duty(duty)));
        }
    }

    /// A door hands an alarm over. Returns true if the trail has it already.
    pub(crate) fn take(
        &mut self,
        door: NodeId,
        alarm: &Alarm,
        now: Moment,
        mail: &mut Mail,
        out: &mut Vec<TrailCommand>,
    ) -> bool {
        if self.reign.is_none() {
            return false;
        }
        let id = alarm.id;
        let hash = alarm.version().hash;
        let known = self.taken.get(&id);
        if known.is_some_and(|known| known.hash == hash && !known.is_recorded) {
            if known.is_some_and(|known| known.is_released) {
                mail.push((door, TrailMessage::Called { alarm: id }));
            }
            return false;
        }
        let has_room = known.is_some() || self.has_room();
        let known = self.taken.get(&id);
        let taken = if has_room { self.desk.take(alarm) } else { Taken::NoRoom };
        match taken {
            Taken::Recorded => {
                let is_recorded = known.is_none_or(|known| known.is_recorded);
                if is_recorded {
                    self.taken.remove(&id);
                }
                return is_recorded;
            }
            Taken::NoRoom => {
                mail.push((door, TrailMessage::NoRoom { alarm: id }));
                out.push(TrailCommand::Tell(TrailHappened::NoRoom(id)));
                return false;
            }
            // By an old desk, as another node may lead by now.
            Taken::Refused(_) if self.duty(now) != Duty::Full => return false,
            Taken::Refused(refusal) => {
                mail.push((door, TrailMessage::Refused(alarm.version(), refusal)));
                return false;
            }
            Taken::Over => {
                mail.push((door, TrailMessage::Over(alarm.version())));
                return false;
            }
            Taken::Joined => out.push(TrailCommand::Tell(TrailHappened::Joined(id))),
            Taken::Open => {}
        }
        self.has_news = true;
        let (release_at_ms, is_released, is_recorded) = match known {
            Some(known) => (known.release_at_ms, known.is_released, known.is_recorded),
            None => (now.elapsed_ms + RELEASE_MS, false, false),
        };
        if !is_released && !is_recorded {
            self.releases.insert((release_at_ms, id));
        }
        self.taken.insert(id, Unrecorded { door, hash, release_at_ms, is_released, is_recorded });
        false
    }

    /// Returns true when there is room for another alarm. One that the trail has in an earlier version leaves its place: its door hands the newer one over
    /// again, if it is still there.
    fn has_room(&mut self) -> bool {
        if self.taken.len() >= self.max {
            self.taken.retain(|_, unrecorded| !unrecorded.is_recorded);
        }
        self.taken.len() < self.max
    }

    /// A person wants something done, or a node hands in a part of its rest, of which none is refused for good.
    pub(crate) fn deed(
        &mut self,
        (from, is_rest): (NodeId, bool),
        (deed, bytes): (DeedId, &[u8]),
        now: Moment,
        mail: &mut Mail,
        out: &mut Vec<TrailCommand>,
    ) {
        // It came twice, and is answered or will be.
        if self.deeds.contains_key(&deed) || self.refused.contains(&deed) {
            return;
        }
        if self.duty(now) != Duty::Full || self.deeds.len() >= DEEDS_MAX {
            mail.push((from, TrailMessage::DeedUnavailable { deed }));
            return;
        }
        let taken = self.desk.deed(deed, bytes);
        if let Ok(DeedTaken::Joined(alarm)) = taken {
            out.push(TrailCommand::Tell(TrailHappened::Joined(alarm)));
        }
        match taken {
            Ok(DeedTaken::Open | DeedTaken::Joined(_)) => {
                self.deeds.insert(deed, from);
                self.has_news = true;
            }
            Ok(DeedTaken::Recorded) => mail.push((from, TrailMessage::DeedDone { deed })),
            Err(answer) => {
                if !is_rest {
                    self.refused.truncate(DEEDS_MAX - 1);
                    self.refused.push_front(deed);
                }
                mail.push((from, TrailMessage::DeedRefused { deed, answer }));
            }
        }
    }

    /// The desk says that it has something new.
    pub(crate) fn changed(&mut self) {
        self.has_news = true;
    }

    /// Calls about what could not be recorded in time.
    pub(crate) fn run(&mut self, now: Moment, mail: &mut Mail, out: &mut Vec<TrailCommand>) {
        self.look(now, out);
        while let Some((due_ms, id)) = self.releases.first().copied()
            && due_ms <= now.elapsed_ms
        {
            self.releases.pop_first();
            let Some(unrecorded) = self.taken.get_mut(&id) else { continue };
            unrecorded.is_released = true;
            mail.push((unrecorded.door, TrailMessage::Called { alarm: id }));
            self.desk.release(id);
            out.push(TrailCommand::Tell(TrailHappened::CalledUnrecorded(id)));
        }
    }

    /// Returns true when a renewal is due, and notes that it is sent.
    pub(crate) fn renews(&mut self, now: Moment) -> bool {
        let Some(reign) = self.reign.as_mut().filter(|reign| now.elapsed_ms >= reign.renew_at_ms) else {
            return false;
        };
        reign.renew_at_ms = now.elapsed_ms + RENEW_MS;
        true
    }

    /// The own store has all up to this entry.
    pub(crate) fn saved(&mut self, sequence: u64) {
        let Some(reign) = &mut self.reign else { return };
        let mut through = None;
        while let Some(group) = reign.unsaved.pop_front_if(|group| *group <= sequence) {
            through = Some(group);
        }
        if let Some(through) = through {
            self.desk.saved(through);
        }
    }

    /// Returns the next group, if the desk has one.
    pub(crate) fn draft(&mut self) -> Option<Draft> {
        if self.reign.is_none() || !std::mem::take(&mut self.has_news) {
            return None;
        }
        self.desk.draft()
    }

    /// Returns alarms in the versions that the desk has now.
    pub(crate) fn versions(&self, alarms: &[AlarmId]) -> Vec<AlarmVersion> {
        let hash = |alarm: &AlarmId| self.taken.get(alarm).map_or(0, |unrecorded| unrecorded.hash);
        alarms.iter().map(|alarm| AlarmVersion { alarm: *alarm, hash: hash(alarm) }).collect()
    }

    /// The trail has a group of this node: the desk may act upon it, doors and persons hear of it. Returns the doors with their alarms.
    pub(crate) fn recorded(
        &mut self,
        alarms: &[AlarmVersion],
        deeds: &[DeedId],
        mail: &mut Mail,
    ) -> BTreeMap<NodeId, Vec<AlarmVersion>> {
        // There may be more than one group has room for.
        self.has_news = true;
        if let Some(reign) = &mut self.reign {
            self.desk.recorded(reign.tip);
            reign.unsaved.push_back(reign.tip);
        }
        let mut doors: BTreeMap<NodeId, Vec<AlarmVersion>> = BTreeMap::new();
        for version in alarms {
            let Some(unrecorded) = self.taken.get_mut(&version.alarm) else { continue };
            self.releases.remove(&(unrecorded.release_at_ms, version.alarm));
            if unrecorded.hash == version.hash {
                doors.entry(unrecorded.door).or_default().push(*version);
                self.taken.remove(&version.alarm);
            } else {
                // A newer one came while this one was under way. Its door hands it over again.
                unrecorded.is_recorded = true;
            }
        }
        for deed in deeds {
            if let Some(node) = self.deeds.remove(deed) {
                mail.push((node, TrailMessage::DeedDone { deed: *deed }));
            }
        }
        doors
    }

    /// Returns the moment at which something is due, apart from what waits for an append.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let reign = self.reign.as_ref()?;
        let loss = (self.duty == Duty::Full).then_some(reign.seen_ms + SEEN_MS);
        let release = self.releases.first().map(|(due_ms, _)| *due_ms);
        loss.into_iter().chain(release).min()
    }

    /// Returns the moment at which something is to be appended.
    pub(crate) fn append_at_ms(&self) -> Option<u64> {
        let reign = self.reign.as_ref().filter(|reign| reign.may_promise())?;
        Some(if self.has_news { 0 } else { reign.renew_at_ms })
    }
}
