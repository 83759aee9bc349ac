//! The trail's part of a node: all parts put together.

use std::collections::BTreeMap;

use crate::command::Command;
use crate::event::{Event, PublishOutcome};
use crate::happened::Stop;
use crate::ids::{Moment, NodeId, PublishId};
use crate::numbers::Numbers;
use crate::trail::agreement::{Agreement, Owners};
use crate::trail::append::{Answer, Append, Fate, Kind};
use crate::trail::chain::{Against, Chain};
use crate::trail::command::{DeedOutcome, TrailCommand, TrailHappened};
use crate::trail::copying::{Giving, Taking};
use crate::trail::door::Door;
use crate::trail::epochs::Epochs;
use crate::trail::event::TrailEvent;
use crate::trail::ids::{AlarmVersion, DeedId, EntryId, Term};
use crate::trail::lead::{Lead, Promised};
use crate::trail::mark::Mark;
use crate::trail::message::{ALARM_MAX, TrailMessage};
use crate::trail::peers::{Clocks, Peers};
use crate::trail::rests::Rests;
use crate::trail::settings::TrailSettings;
use crate::trail::state::DeskState;
use crate::trail::succession::Succession;
use crate::trail::view::{Duty, TrailView};

/// Longest time in which a person is answered.
const DEED_MS: u64 = 2_000;

/// Most deeds of this node's persons that wait for an answer.
const DEEDS_MAX: usize = 256;

/// A machine's part in the trail: its door, its copy of the trail, and its desk while it leads.
#[derive(Debug)]
pub struct TrailNode<D> {
    pub(super) settings: TrailSettings,
    pub(super) numbers: Numbers,
    is_started: bool,
    pub(super) chain: Chain,
    pub(super) succession: Succession,
    pub(super) append: Option<Append>,
    pub(super) entries: u64,
    pub(super) lead: Lead<D>,
    pub(super) door: Door,
    /// Deeds of own persons, with the moment at which they are answered at the latest.
    deeds: BTreeMap<DeedId, u64>,
    pub(super) peers: Peers,
    pub(super) clocks: Clocks,
    owners: Owners,
    pub(super) epochs: Epochs,
    /// The store takes over another's content.
    pub(super) taking: Option<Taking>,
    pub(super) giving: Giving,
    pub(super) rests: Rests,
    /// Moment of the first event, and of the next telling how far the store is.
    pub(super) began_ms: Option<u64>,
    pub(super) tell_at_ms: u64,
    /// Epoch whose stream this node has dropped.
    pub(super) dropped: Option<u32>,
    pub(super) mail: Vec<(NodeId, TrailMessage)>,
    due_ms: u64,
    woken_at_ms: Option<u64>,
}

impl<D: DeskState> TrailNode<D> {
    /// Makes one whose first event tells what its incident store has.
    pub fn new(settings: TrailSettings, desk: D) -> Self {
        let mut succession = Succession::default();
        if !settings.may_lead {
            succession.abstain();
        }
        Self {
            numbers: Numbers::new(settings.random),
            is_started: false,
            chain: Chain::new(),
            succession,
            append: None,
            entries: 0,
            lead: Lead::new(desk, settings.desk_max),
            door: Door::new(settings.door_max, settings.faults.forgotten_at_handover),
            deeds: BTreeMap::new(),
            peers: Peers::default(),
            clocks: Clocks::default(),
            owners: Owners::default(),
            epochs: Epochs::new((settings.node, settings.random)),
            taking: None,
            giving: Giving::default(),
            rests: Rests::new(),
            began_ms: None,
            tell_at_ms: 0,
            dropped: None,
            mail: Vec::new(),
            due_ms: u64::MAX,
            woken_at_ms: None,
            settings,
        }
    }

    /// Returns the desk.
    pub fn desk(&self) -> &D {
        &self.lead.desk
    }

    /// Returns the desk, for a driver to carry out what it decides.
    pub fn desk_mut(&mut self) -> &mut D {
        &mut self.lead.desk
    }

    /// Says what this node may do as a leader, at this moment.
    pub fn duty(&self, now: Moment) -> Duty {
        self.lead.duty(now)
    }

    /// Shows the node's place in the trail.
    pub fn view(&self, now: Moment) -> TrailView {
        let mark = self.chain.mark();
        TrailView {
            trail: self.chain.trail(),
            received: mark.map_or(0, |mark| mark.sequence),
            running_hash: mark.map_or(0, |mark| mark.running_hash),
            unsaved: self.chain.unsaved(),
            lacks_copy: self.taking.is_some(),
            saved: self.chain.on_disk(),
            has_rest: self.rests.has_any(),
            stopped: self.chain.stopped(),
            term: mark.map_or(Term::default(), |mark| mark.term),
            led_ms: self.succession.led_ms(),
            leader: self.succession.leader(),
            differs: mark
                .and_then(|mark| mark.settings_hash)
                .is_some_and(|leader| leader != self.settings.settings_hash),
            agreement: self.agreement(now),
            duty: self.duty(now),
            waiting: self.door.len(),
            unrecorded: self.lead.unrecorded(),
            clocks: self.clocks,
        }
    }

    /// Says who has the settings of this node.
    pub(super) fn agreement(&self, now: Moment) -> Agreement {
        let own = (self.settings.node, self.settings.settings_hash);
        self.owners.agreement(own, &self.peers, (self.settings.away_ms, now))
    }

    /// Takes in what happened, and appends what is to be done to `out`.
    pub fn handle(&mut self, now: Moment, event: TrailEvent, out: &mut Vec<TrailCommand>) {
        // Before all else: a process that was stopped for long may lead no more.
        self.lead.look(now, out);
        match event {
            TrailEvent::Restored(mark) => self.restore(mark, out),
            // An alarm is called about whatever the store does.
            TrailEvent::Alarm { alarm, bytes } => self.door.take(alarm, bytes, now, out),
            TrailEvent::Known(owners) => self.owners.set(owners),
            TrailEvent::StopAsked => {
                self.succession.abstain();
                self.door.leave(now);
            }
            // So is what an earlier run kept, and what is not kept is tried again: that is another file.
            TrailEvent::CalledAlone { alarm, note } => self.door.called_alone(alarm, note, now),
            TrailEvent::NotKept { alarm, bytes } => self.door.not_kept(alarm, bytes, now, out),
            TrailEvent::Kept { alarms, is_end } => self.door.read(alarms, is_end, now, out),
            TrailEvent::NotEnded { alarm, bytes, note } => self.door.not_ended(alarm, bytes, note, now),
            _ if !self.is_started => {}
            other => self.take(other, now, out),
        }
        self.deliver_mail(now, out);
        self.run(now, out);
        self.deliver_mail(now, out);
        self.set_timer(now, out);
    }

    fn restore(&mut self, mark: Option<Vec<u8>>, out: &mut Vec<TrailCommand>) {
        self.is_started = true;
        match mark.map(|bytes| Mark::read(&bytes)) {
            None => {}
            Some(Ok(mark)) => self.chain.restore(mark),
            Some(Err(_)) => self.chain.stop(Stop::DiskDamaged, out),
        }
    }

    fn take(&mut self, event: TrailEvent, now: Moment, out: &mut Vec<TrailCommand>) {
        match event {
            TrailEvent::Common(event) => self.common(event, now, out),
            TrailEvent::Saved(result) => self.chain.saved(result, now, out),
            TrailEvent::Deed { deed, bytes } => self.ask(deed, bytes, now, out),
            TrailEvent::DeskChanged => self.lead.changed(),
            TrailEvent::LeadAsked => self.succession.ask(),
            TrailEvent::CopyRead { read, outcome } => self.mail.extend(self.giving.read(read, outcome)),
            TrailEvent::CopyTaken(result) => self.copy_taken(result, now, out),
            TrailEvent::RestRead { rest, is_end } => self.rests.read(rest, is_end),
            TrailEvent::RepairAsked => self.epochs.ask(now),
            TrailEvent::Restored(_)
            | TrailEvent::Alarm { .. }
            | TrailEvent::StopAsked
            | TrailEvent::Known(_)
            | TrailEvent::CalledAlone { .. }
            | TrailEvent::NotKept { .. }
            | TrailEvent::NotEnded { .. }
            | TrailEvent::Kept { .. } => {}
        }
    }

    fn common(&mut self, event: Event, now: Moment, out: &mut Vec<TrailCommand>) {
        match event {
            Event::Delivered(message) => self.delivered(&message, now, out),
            Event::SubscriptionEnded(subscription) => self.chain.ended(subscription),
            Event::StreamRead(read, outcome) => {
                if self.epochs.made(read, outcome, now, out) {
                    return;
                }
                match self.chain.read(read, outcome, now, out) {
                    Some(Against::Stop(stop)) => self.stop(stop, now, out),
                    Some(Against::Purged) => self.lacks_next(now, out),
                    None => self.purge(now, out),
                }
            }
            Event::Published(publish, outcome) => self.published(publish, outcome, now, out),
            Event::Received { from, bytes } => {
                // Damaged, of another version, of the shards or of a process under this node's name.
                if let Ok(message) = TrailMessage::read(&bytes)
                    && from != self.settings.node
                {
                    self.receive(from, message, now, out);
                }
            }
            Event::RecordRead(_, outcome) => self.epochs.read(outcome, now, out),
            Event::RecordWritten(_, outcome) => self.epochs.written(outcome, now),
            Event::Woken => self.woken_at_ms = None,
            _ => {}
        }
    }

    /// Judges the entry that is under way by one that was read.
    pub(super) fn judge(&mut self, read: EntryId, sequence: u64, now: Moment, out: &mut Vec<TrailCommand>) {
        let Some(append) = &self.append else { return };
        match append.judge(sequence, read, out) {
            Some(Fate::Stored) => self.stored(sequence, true, now, out),
            Some(Fate::Refused) => self.refused(now, out),
            None => {}
        }
    }

    /// Somebody else wrote behind what this node had written: it is another's turn.
    pub(super) fn refused(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        self.append = None;
        self.depose(now, out);
    }

    fn published(
        &mut self,
        publish: PublishId,
        outcome: PublishOutcome,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) {
        let is_sure = self.lead.is_sure(now);
        let Some(append) = &mut self.append else { return };
        match append.published(publish, outcome, (is_sure, now), out) {
            Answer::Stored(sequence) => self.stored(sequence, false, now, out),
            Answer::Doubt => self.chain.hurry(out),
            Answer::Nothing => {}
        }
    }

    /// The trail has the entry that was under way.
    fn stored(&mut self, sequence: u64, is_delivered: bool, now: Moment, out: &mut Vec<TrailCommand>) {
        let Some(append) = self.append.take() else { return };
        let entry = Promised { sequence, id: append.id, bytes: append.bytes };
        match append.kind {
            Kind::Claim(term) => {
                let shown = if self.settings.faults.one_key { Term(1) } else { term };
                self.lead.begin((term, shown), entry, (append.sent_ms, now), out);
                if is_delivered {
                    self.lead.bears_out(sequence, append.id);
                }
            }
            Kind::Renewal => self.lead.stored(entry, append.sent_ms, is_delivered),
            Kind::Farewell => self.depose(now, out),
            Kind::Group { alarms, deeds } => {
                self.lead.stored(entry, append.sent_ms, is_delivered);
                if !self.settings.faults.act_before_append {
                    self.recorded(&alarms, &deeds);
                }
            }
        }
    }

    pub(super) fn recorded(&mut self, alarms: &[AlarmVersion], deeds: &[DeedId]) {
        let Some(trail) = self.chain.trail() else { return };
        for (door, alarms) in self.lead.recorded(alarms, deeds, &mut self.mail) {
            self.mail.push((door, TrailMessage::Recorded { trail, alarms }));
        }
    }

    pub(super) fn depose(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        if self.lead.leads() {
            self.append = None;
            self.lead.end(now, &mut self.mail, out);
            out.push(TrailCommand::Tell(TrailHappened::Deposed));
        }
    }

    pub(super) fn stop(&mut self, stop: Stop, now: Moment, out: &mut Vec<TrailCommand>) {
        self.append = None;
        self.chain.stop(stop, out);
        self.go_alone(now, out);
    }

    fn receive(&mut self, from: NodeId, message: TrailMessage, now: Moment, out: &mut Vec<TrailCommand>) {
        match message {
            TrailMessage::Alarm(alarm) => {
                if self.lead.take(from, &alarm, now, &mut self.mail, out)
                    && let Some(trail) = self.chain.trail()
                {
                    self.mail.push((from, TrailMessage::Recorded { trail, alarms: vec![alarm.version()] }));
                }
            }
            TrailMessage::Recorded { trail, alarms } => {
                // What another trail has, or a broken one, may be gone.
                let is_sound = self.chain.stopped().is_none() && !self.chain.is_retired();
                if is_sound && self.chain.trail().is_none_or(|own| own == trail) {
                    alarms.into_iter().for_each(|alarm| self.door.recorded(alarm, out));
                }
            }
            TrailMessage::Called { alarm } => self.door.called(alarm, now),
            TrailMessage::Over(alarm) => self.door.over(alarm, out),
            TrailMessage::NoRoom { .. } => {} // It is handed over again, and called about by the door in time.
            TrailMessage::Refused(alarm, refusal) => self.door.refused(alarm, refusal, now, out),
            TrailMessage::Deed { deed, bytes } => {
                self.lead.deed((from, false), (deed, &bytes), now, &mut self.mail, out);
            }
            TrailMessage::Rest { deed, bytes } => {
                self.lead.deed((from, true), (deed, &bytes), now, &mut self.mail, out);
            }
            TrailMessage::DeedDone { deed } => self.answer(deed, DeedOutcome::Done, out),
            TrailMessage::DeedRefused { deed, answer } => {
                self.answer(deed, DeedOutcome::Refused(answer), out);
            }
            TrailMessage::DeedUnavailable { deed } => self.answer(deed, DeedOutcome::Unavailable, out),
            // What it sends to all may come back to itself.
            TrailMessage::Progress(_) if from == self.settings.node => {}
            TrailMessage::Progress(progress) => {
                self.peers.note(from, progress, now);
                self.compare_clocks(now);
            }
            TrailMessage::AskCopy { trail, least, of, from: place } => {
                self.give(from, trail, (of, least, place), out);
            }
            TrailMessage::Piece { mark, from: place, bytes, next } => {
                if let Some(taking) = &mut self.taking {
                    taking.piece((from, mark), (place, bytes), next, now, out);
                }
            }
            TrailMessage::NoCopy { of } => {
                if let Some(taking) = &mut self.taking {
                    taking.gone(from, of, now, out);
                }
            }
        }
    }

    /// A person of this node wants something done.
    fn ask(&mut self, deed: DeedId, bytes: Vec<u8>, now: Moment, out: &mut Vec<TrailCommand>) {
        let leader = self.followed_leader();
        let has_room = self.deeds.len() < DEEDS_MAX && bytes.len() <= ALARM_MAX;
        self.deeds.insert(deed, now.elapsed_ms + DEED_MS);
        match leader.filter(|_| has_room) {
            Some(leader) => self.mail.push((leader, TrailMessage::Deed { deed, bytes })),
            None => self.answer(deed, DeedOutcome::Unavailable, out),
        }
    }

    fn answer(&mut self, deed: DeedId, outcome: DeedOutcome, out: &mut Vec<TrailCommand>) {
        self.answer_rest(deed, &outcome, out);
        if self.deeds.remove(&deed).is_some() {
            if outcome == DeedOutcome::Unavailable {
                out.push(TrailCommand::Tell(TrailHappened::DeedUnavailable));
            }
            out.push(TrailCommand::AnswerDeed { deed, outcome });
        }
    }

    /// Does all that is due.
    fn run(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        self.door.run(now, &mut self.mail, out);
        if !self.is_started {
            return;
        }
        self.keep_up(now, out);
        let find = self.may_find().then_some(self.settings.makes_stream);
        self.chain.run(find, now, &mut self.numbers, out);
        if self.chain.is_over() && !self.lead.is_alone() {
            self.lead.go_alone(now, &mut self.mail, out);
        }
        if let Some(sequence) = self.chain.saved_through() {
            self.lead.saved(sequence);
        }
        self.lead.run(now, &mut self.mail, out);
        let late: Vec<DeedId> = self
            .deeds
            .iter()
            .filter(|(_, due_ms)| **due_ms <= now.elapsed_ms)
            .map(|(deed, _)| *deed)
            .collect();
        late.into_iter().for_each(|deed| self.answer(deed, DeedOutcome::Unavailable, out));
        if self.append.is_none() && self.chain.stopped().is_none() && self.taking.is_none() {
            self.append_next(now, out);
        }
        if let Some(append) = &mut self.append {
            append.run(now, &mut self.numbers, out);
        }
    }

    /// Sends what was written to other nodes; what is for this one it takes itself.
    fn deliver_mail(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        while !self.mail.is_empty() {
            for (to, message) in std::mem::take(&mut self.mail) {
                if to == self.settings.node {
                    self.receive(to, message, now, out);
                } else {
                    out.push(TrailCommand::Common(Command::Send { to, bytes: message.write() }));
                }
            }
        }
    }

    /// Asks to be woken when something is due.
    fn set_timer(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let may_claim = !self.lead.leads() && !self.succession.abstains();
        let claims = self.append.is_none() && may_claim && self.chain.end().is_some();
        let claim = claims.then(|| self.succession.due_ms(self.settings.random, now));
        let dues = [
            self.door.due_ms(),
            self.chain.due_ms(self.may_find()),
            self.upkeep_due_ms(now),
            self.lead.due_ms(),
            self.deeds.values().copied().min(),
            match &self.append {
                Some(append) => append.due_ms(),
                None => self.lead.append_at_ms(),
            },
            claim,
        ];
        self.due_ms = dues.into_iter().flatten().fold(u64::MAX, u64::min);
        let elapsed_ms = self.due_ms.max(now.elapsed_ms + 1);
        if self.due_ms < u64::MAX && self.woken_at_ms != Some(elapsed_ms) {
            self.woken_at_ms = Some(elapsed_ms);
            out.push(TrailCommand::Common(Command::WakeAt { elapsed_ms }));
        }
    }
}
