//! A node of the trail, driven by hand, with a desk that notes what it is told.

use std::ops::RangeInclusive;

use super::super::*;
use crate::command::Command;
use crate::event::{Delivered, Event, PublishOutcome, RecordKey, RecordOutcome, StreamInfo, StreamOutcome};
use crate::ids::{Incarnation, Moment, NodeId, PublishId, ReadId, SubscriptionId};
use crate::trail::message::{Progress, Standing, TrailMessage};

/// A part of a rest whose incident the desk joins to another.
pub(super) const LATE_INCIDENT: &[u8] = b"late";

/// A desk that records each alarm, and notes what it was told.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) numbers: Option<RangeInclusive<u64>>,
    pub(super) new: Vec<AlarmId>,
    pub(super) deeds: Vec<DeedId>,
    pub(super) done: Vec<DeedId>,
    /// Alarms whose incident is over, and that say more.
    pub(super) over: Vec<AlarmId>,
    pub(super) told: Vec<String>,
    pub(super) recorded: Vec<AlarmId>,
    /// A limit is for all alarms.
    pub(super) refuses: Option<Refusal>,
    /// Bytes that a group has beyond its content.
    pub(super) excess: usize,
}

impl DeskState for Notes {
    fn recall(&mut self, numbers: Option<RangeInclusive<u64>>) {
        if numbers.is_none() {
            self.told.push("recall openings".to_owned());
        }
        self.numbers = numbers;
    }

    fn take(&mut self, alarm: &Alarm) -> Taken {
        if self.over.contains(&alarm.id) {
            return Taken::Over;
        }
        if let Some(refusal) = self.refuses {
            return Taken::Refused(refusal);
        }
        if self.recorded.contains(&alarm.id) {
            return Taken::Recorded;
        }
        self.new.push(alarm.id);
        Taken::Open
    }

    fn deed(&mut self, deed: DeedId, bytes: &[u8]) -> Result<DeedTaken, Vec<u8>> {
        if self.done.contains(&deed) {
            return Ok(DeedTaken::Recorded);
        }
        if bytes.is_empty() || self.deeds.contains(&deed) {
            return Err(b"empty".to_vec());
        }
        self.deeds.push(deed);
        Ok(if bytes == LATE_INCIDENT { DeedTaken::Joined(AlarmId(70)) } else { DeedTaken::Open })
    }

    fn draft(&mut self) -> Option<Draft> {
        let (alarms, deeds) = (std::mem::take(&mut self.new), std::mem::take(&mut self.deeds));
        let has_any = !alarms.is_empty() || !deeds.is_empty();
        self.recorded.extend(&alarms);
        self.done.extend(&deeds);
        let content = [b"drafts".to_vec(), vec![0; self.excess]].concat();
        has_any.then_some(Draft { content, alarms, deeds })
    }

    fn recorded(&mut self, _: u64) {
        self.told.push("recorded".to_owned());
    }

    fn saved(&mut self, through: u64) {
        self.told.push(format!("saved {through}"));
    }

    fn release(&mut self, alarm: AlarmId) {
        self.told.push(format!("release {}", alarm.0));
    }

    fn set_duty(&mut self, duty: Duty) {
        self.told.push(format!("{duty:?}"));
    }

    fn stand_down(&mut self) {
        self.told.push("stand down".to_owned());
    }
}

pub(super) const OWN: NodeId = NodeId(1);
pub(super) const OTHER: NodeId = NodeId(2);
pub(super) const BORN: Incarnation = Incarnation(5);
pub(super) const A: AlarmId = AlarmId(70);

/// A node, the clock, and what it asked for since it was looked at last.
pub(super) struct Bench {
    pub(super) node: TrailNode<Notes>,
    pub(super) now_ms: u64,
    pub(super) out: Vec<TrailCommand>,
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) last: u64,
    /// Last read of the stream's figures.
    read: Option<ReadId>,
    /// The claim of [`Bench::leader`].
    pub(super) first: Vec<u8>,
}

impl Bench {
    /// A node whose incident store is not read yet.
    pub(super) fn unread() -> Self {
        Self::begin(|_| {})
    }

    pub(super) fn begin(change: impl FnOnce(&mut TrailSettings)) -> Self {
        // The spread of claims is 0.
        let mut settings = TrailSettings::new(OWN, 1_000);
        change(&mut settings);
        let node = TrailNode::new(settings, Notes::default());
        Self { node, now_ms: 0, out: Vec::new(), subscription: None, last: 0, read: None, first: Vec::new() }
    }

    /// A node that has found an empty trail and follows it.
    pub(super) fn new(change: impl FnOnce(&mut TrailSettings)) -> Self {
        let mut bench = Self::begin(change);
        bench.tell(TrailEvent::Restored(None));
        bench.common(Event::RecordRead(RecordKey::Trail, RecordOutcome::Absent));
        let read = bench.out.iter().find_map(|command| match command {
            TrailCommand::Common(Command::MakeStream { read, .. }) => Some(*read),
            _ => None,
        });
        let info = StreamInfo { incarnation: BORN, first: 1, last: 0, bytes: 0 };
        bench.common(Event::StreamRead(read.unwrap(), StreamOutcome::Is(info)));
        bench.tell(TrailEvent::Saved(Ok(())));
        bench
    }

    /// Puts another node in place of this one, which has heard nothing yet.
    pub(super) fn replace(&mut self, settings: TrailSettings) {
        self.node = TrailNode::new(settings, Notes::default());
        self.out.clear();
        (self.read, self.subscription) = (None, None);
    }

    /// A node that leads since its claim, the first entry, was stored.
    pub(super) fn leader() -> Self {
        let mut bench = Self::new(|_| {});
        bench.lead();
        bench
    }

    /// Lets it lead.
    pub(super) fn lead(&mut self) {
        self.at(3_000);
        let (publish, expected, bytes) = self.published();
        assert_eq!(expected, Some(0));
        self.stored(publish, 1);
        self.first = bytes.clone();
        self.deliver(bytes);
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { elapsed_ms: self.now_ms, wall_ms: 1_000_000 + self.now_ms as i64 }
    }

    pub(super) fn tell(&mut self, event: TrailEvent) {
        self.node.handle(self.moment(), event, &mut self.out);
        let subscribed = self.out.iter().rev().find_map(|command| match command {
            TrailCommand::Common(Command::Subscribe { subscription, .. }) => Some(*subscription),
            _ => None,
        });
        self.subscription = subscribed.or(self.subscription);
        let asked = self.out.iter().rev().find_map(|command| match command {
            TrailCommand::Common(Command::ReadStream { read, .. }) => Some(*read),
            _ => None,
        });
        self.read = asked.or(self.read);
    }

    pub(super) fn common(&mut self, event: Event) {
        self.tell(TrailEvent::Common(event));
    }

    /// Lets time pass until then, and wakes the node.
    pub(super) fn at(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.common(Event::Woken);
    }

    /// Takes the last publish that was asked for.
    pub(super) fn published(&mut self) -> (PublishId, Option<u64>, Vec<u8>) {
        let publish = self.out.drain(..).rev().find_map(|command| match command {
            TrailCommand::Common(Command::Publish { publish, expected_last, bytes, .. }) => {
                Some((publish, expected_last, bytes.to_vec()))
            }
            _ => None,
        });
        publish.expect("something is appended")
    }

    pub(super) fn stored(&mut self, publish: PublishId, sequence: u64) {
        let outcome = PublishOutcome::Stored { sequence, duplicate: false };
        self.common(Event::Published(publish, outcome));
    }

    pub(super) fn deliver(&mut self, bytes: Vec<u8>) {
        self.last += 1;
        let (subscription, sequence) = (self.subscription.unwrap(), self.last);
        let bytes = bytes.into();
        let message = Delivered { subscription, incarnation: BORN, sequence, time_ms: 0, bytes };
        self.common(Event::Delivered(message));
    }

    pub(super) fn deliver_claim(&mut self, node: NodeId, term: u64, settings_hash: u64) {
        let id = EntryId { node, run: 9, number: self.last + 1 };
        let body = TrailBody::Claim { settings_hash, sequence: 0, running_hash: 0 };
        self.deliver(TrailEntry { epoch: 1, id, term: Term(term), body }.write());
    }

    pub(super) fn hand_over(&mut self, alarm: AlarmId) {
        let alarm = Alarm { id: alarm, bytes: vec![1], unrecorded: false, note: Vec::new() };
        self.receive(TrailMessage::Alarm(alarm));
    }

    pub(super) fn receive(&mut self, message: TrailMessage) {
        self.common(Event::Received { from: OTHER, bytes: message.write() });
    }

    /// Takes the messages that were sent to the other node.
    pub(super) fn sent(&mut self) -> Vec<TrailMessage> {
        let sent = self.out.drain(..).filter_map(|command| match command {
            TrailCommand::Common(Command::Send { to: OTHER, bytes }) => TrailMessage::read(&bytes).ok(),
            _ => None,
        });
        sent.collect()
    }

    /// Answers the last read of the stream's figures.
    pub(super) fn figures(&mut self, first: u64, last: u64, bytes: u64) {
        let info = StreamInfo { incarnation: BORN, first, last, bytes };
        self.is(info);
    }

    /// Answers it with these.
    pub(super) fn is(&mut self, info: StreamInfo) {
        let read = self.read.take().expect("figures are asked for");
        self.common(Event::StreamRead(read, StreamOutcome::Is(info)));
    }

    /// Answers it with none: there is no such stream.
    pub(super) fn absent(&mut self) {
        let read = self.read.take().expect("figures are asked for");
        self.common(Event::StreamRead(read, StreamOutcome::Absent));
    }

    /// The other node tells how far it is in this epoch.
    pub(super) fn other_is(&mut self, epoch: u32, saved: u64, state: Standing) {
        let trail = TrailId { epoch, incarnation: BORN };
        let wall_ms = self.moment().wall_ms;
        let progress = Progress { trail, saved, state, wall_ms, settings_hash: None };
        self.receive(TrailMessage::Progress(progress));
    }

    /// Other nodes tell of themselves, whose clocks are behind by so much.
    pub(super) fn others_are_behind(&mut self, behind_ms: &[i64]) {
        let trail = TrailId { epoch: 1, incarnation: BORN };
        for (node, behind_ms) in (2..).zip(behind_ms) {
            let wall_ms = self.moment().wall_ms - behind_ms;
            let progress =
                Progress { trail, saved: 0, state: Standing::Follows, wall_ms, settings_hash: None };
            let bytes = TrailMessage::Progress(progress).write();
            self.common(Event::Received { from: NodeId(node), bytes });
        }
    }

    /// Nodes tell that they wait for a leader, with these settings.
    pub(super) fn wait(&mut self, nodes: &[(u64, u64)]) {
        let trail = TrailId { epoch: 1, incarnation: BORN };
        let wall_ms = self.moment().wall_ms;
        for (node, settings_hash) in nodes.iter().copied() {
            let progress = Progress {
                trail,
                saved: 0,
                state: Standing::Waits,
                wall_ms,
                settings_hash: Some(settings_hash),
            };
            let bytes = TrailMessage::Progress(progress).write();
            self.common(Event::Received { from: NodeId(node), bytes });
        }
    }

    /// Takes the last entry that was appended, and lets the brokers store it.
    pub(super) fn append(&mut self) -> TrailBody<'static> {
        let (publish, _, bytes) = self.published();
        self.stored(publish, self.last + 1);
        let bytes: &'static [u8] = bytes.leak();
        self.deliver(bytes.to_vec());
        TrailEntry::read(bytes).unwrap().body
    }

    /// Takes how far streams were purged.
    pub(super) fn purged(&mut self) -> Vec<u64> {
        let purged = self.out.drain(..).filter_map(|command| match command {
            TrailCommand::Common(Command::Purge { through, .. }) => Some(through),
            _ => None,
        });
        purged.collect()
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.node.desk_mut().told)
    }

    /// Takes what is asked for about alarms of the own door.
    pub(super) fn door(&mut self) -> Vec<String> {
        let door = self.out.drain(..).filter_map(|command| match command {
            TrailCommand::Keep { alarm, .. } => Some(format!("keep {}", alarm.0)),
            TrailCommand::CallAlone { alarm, why, .. } => Some(format!("call {} {why:?}", alarm.0)),
            TrailCommand::Reopen { alarm, .. } => Some(format!("reopen {}", alarm.0)),
            TrailCommand::LetGo { alarm, .. } => Some(format!("let go {}", alarm.0)),
            TrailCommand::Refuse { alarm, refusal, .. } => {
                Some(format!("refuse {}{}", alarm.0, if refusal.ends { "" } else { ", and go on" }))
            }
            _ => None,
        });
        door.collect()
    }

    pub(super) fn alarm(&mut self, alarm: u128) {
        self.tell(TrailEvent::Alarm { alarm: AlarmId(alarm), bytes: vec![1] });
    }
}

/// An alarm as its door has it first.
pub(super) fn as_given(id: AlarmId) -> AlarmVersion {
    Alarm { id, bytes: vec![1], unrecorded: false, note: Vec::new() }.version()
}

/// An alarm about which its door has called.
pub(super) fn as_called(id: AlarmId) -> AlarmVersion {
    Alarm { id, bytes: vec![1], unrecorded: true, note: Vec::new() }.version()
}
