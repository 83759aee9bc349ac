//! The part that a node has in one shard: it copies it, follows its stream, answers doors, ticks and purges; or stands still.

mod obey;
mod rest;
mod serve;

use std::collections::VecDeque;
use std::sync::Arc;

use vagn_wire::Fate;

use super::resubmit::Resubmit;
use crate::assignment::{Role, ShardRecord};
use crate::bootstrap::{Copying, Frozen};
use crate::command::Command;
use crate::content::{Applied, Content};
use crate::entry::Tick;
use crate::event::{Delivered, DiskFault, LogOutcome, LogRecord, PublishOutcome, StreamOutcome};
use crate::follower::{Finding, Follower, Received, Taken, record};
use crate::happened::{Happened, Stop};
use crate::ids::{BatchId, Moment, NodeId, PublishId, ReadId, ShardId, StreamId, SubscriptionId};
use crate::message::Message;
use crate::numbers::Numbers;
use crate::pulse::PULSE_MS;
use crate::purge::{Progress, all_have, purge};
use crate::replica::{Outcome, Replica};
use crate::settings::Settings;
use crate::state::ShardState;
use obey::Install;

/// Batches whose fates are remembered, to be told again.
const RECENT_MAX: usize = 64;

/// Time between ticks, and how much longer each further owner waits for one.
const TICK_MS: u64 = 1_000;
const TICK_TURN_MS: u64 = 1_500;

/// Time for which a replica counts as caught up after it was.
const CAUGHT_UP_MS: u64 = PULSE_MS;

/// Own ticks that are looked for in the stream.
const OWN_TICKS_MAX: usize = 4;

/// Time for which a replica must have been behind before the shard is looked for elsewhere: after a start it is for a moment.
const BEHIND_MS: u64 = 5_000;

/// Time for which a record must not name this node before it drops the shard.
const UNNAMED_MS: u64 = 15_000;

/// Most copies of a shard that others read at a time. Who comes beyond is told to come again.
const FROZEN_MAX: usize = 3;

/// Places beyond those, for nodes that are to own the shard: nobody waits for a second owner because of those who look.
const FROZEN_OWNERS: usize = 1;

/// Pause after a snapshot could not be put on disk.
const INSTALL_AGAIN_MS: u64 = 2_000;

/// A node's part in a shard.
#[derive(Debug)]
pub(super) struct Part<S> {
    shard: ShardId,
    role: Role,
    /// The record names no other full owner.
    is_sole: bool,
    replica: Option<Replica<S>>,
    follower: Option<Follower>,
    copying: Option<Copying>,
    /// Content that is on its way to the disk, to be the replica's when it is there.
    installing: Option<Install<S>>,
    install_at_ms: u64,
    /// Copies that others read.
    frozen: Vec<Frozen>,
    resubmit: Option<Resubmit>,
    /// The disk keeps the rest of a log that a start has found damaged.
    has_rest: bool,
    /// The rest on its way into the stream, where this node's replica tells what the shard lacks.
    rest: Option<Resubmit>,
    /// The last reading of the rest failed.
    is_rest_unread: bool,
    stop: Option<Stop>,
    /// Moment at which it had all before it let go of the stream: the age of what it has stays known.
    last_fresh_ms: Option<u64>,
    recent: VecDeque<(BatchId, Arc<[Fate]>)>,
    tick_heard_ms: u64,
    /// A tick that is under way, with the last entry that had been received when it was published.
    tick: Option<(PublishId, u64)>,
    /// The last own ticks, each with the moment at which it was published.
    own_ticks: VecDeque<(u64, Tick)>,
    purged: u64,
    /// The stream was seen to hold a quarter of its room since the last purge, which may not have reached the brokers.
    is_crowded: bool,
    unnamed: Option<Unnamed>,
    is_known_full: bool,
    has_two: Option<bool>,
    /// It began from nothing, and has not had all yet.
    is_hollow: bool,
    /// Since when it has not had all.
    behind_since_ms: Option<u64>,
}

/// The record does not name this node any more.
#[derive(Debug, Clone, Copy)]
struct Unnamed {
    since_ms: u64,
    /// Last entry that had been received: it answers for none behind it.
    received: u64,
}

/// What a part is given to work with.
pub(super) struct Bench<'a> {
    pub(super) settings: &'a Settings,
    pub(super) now: Moment,
    pub(super) numbers: &'a mut Numbers,
    pub(super) out: &'a mut Vec<Command>,
    /// Messages to nodes, this one included.
    pub(super) mail: &'a mut Vec<(NodeId, Message)>,
}

/// What a part is told of the others.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) place: &'a ShardRecord,
    /// Settings with which states begin.
    pub(super) settings: &'a [u8],
    /// Number of the data set.
    pub(super) data_set: u64,
    /// The record was seen at the brokers a moment ago.
    pub(super) is_confirmed: bool,
    /// Other full owners that are heard.
    pub(super) sources: Vec<NodeId>,
    pub(super) progress: Vec<Progress>,
}

impl<S: ShardState> Part<S> {
    pub(super) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            role: Role::None,
            is_sole: false,
            replica: None,
            follower: None,
            copying: None,
            installing: None,
            install_at_ms: 0,
            frozen: Vec::new(),
            resubmit: None,
            has_rest: false,
            rest: None,
            is_rest_unread: false,
            stop: None,
            last_fresh_ms: None,
            recent: VecDeque::new(),
            tick_heard_ms: 0,
            tick: None,
            own_ticks: VecDeque::new(),
            purged: 0,
            is_crowded: false,
            unnamed: None,
            is_known_full: false,
            has_two: None,
            is_hollow: false,
            behind_since_ms: None,
        }
    }

    /// Takes the snapshot that an earlier run left.
    pub(super) fn restore_snapshot(&mut self, bytes: &[u8], bench: &mut Bench<'_>) {
        match Content::read(self.shard, bytes) {
            Ok(content) => self.replica = Some(Replica::new(content, bench.settings)),
            Err(_) => bench.out.push(Command::Tell(Happened::Stopped(self.shard, Stop::DiskDamaged))),
        }
    }

    /// Takes records that an earlier run left in the log.
    pub(super) fn restore_records(&mut self, records: &[LogRecord], bench: &mut Bench<'_>) {
        let Some(replica) = &mut self.replica else { return };
        if records.iter().any(|record| replica.restore(record, bench.now).is_err()) {
            // What stands before is whole. What stands behind comes from the stream, or the shard is copied.
            bench.out.push(Command::Tell(Happened::Stopped(self.shard, Stop::DiskDamaged)));
            if let Some(replica) = self.replica.take() {
                self.install(replica.content, None, bench);
            }
        }
    }

    /// Ends the restoring.
    pub(super) fn restored(&mut self, bench: &mut Bench<'_>) {
        if let Some(stop) = self.replica.as_mut().and_then(|replica| replica.restored(bench.out)) {
            self.stop(stop, bench);
        }
    }

    /// Does what the record asks for, and what is due.
    pub(super) fn run(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        self.role = facts.place.role(bench.settings.node);
        self.is_sole = facts.place.full_but(bench.settings.node).next().is_none();
        self.obey(facts, bench);
        if let Some(resubmit) = &mut self.resubmit {
            resubmit.run(bench.now, &facts.sources, bench.numbers, bench.out);
            if resubmit.is_done() {
                let (is_rest, has_lacked) = (resubmit.is_rest(), resubmit.has_lacked());
                if has_lacked {
                    bench.out.push(Command::Tell(Happened::PublishedAgain(self.shard)));
                }
                self.resubmit = None;
                match self.role {
                    Role::None if self.has_rest && !is_rest => self.publish_rest_for_others(facts, bench),
                    Role::None if self.replica.is_none() => self.let_go_of_rest(bench),
                    Role::None => self.drop_all(bench),
                    Role::Joining | Role::Full => {
                        self.replica = None;
                        self.obey(facts, bench);
                    }
                }
            }
        }
        self.publish_rest(facts, bench);
        if let Some(copying) = &mut self.copying {
            copying.run(bench.now, &facts.sources, bench.out);
        }
        self.follow(bench);
        self.keep(facts, bench);
        let since_ms = self.behind_since_ms.unwrap_or(bench.now.elapsed_ms);
        self.behind_since_ms = (!self.has_end(bench.now)).then_some(since_ms);
    }

    /// Writes what came, and asks for what is next.
    fn follow(&mut self, bench: &mut Bench<'_>) {
        // What is not in the log when it is published again must not be answered for.
        let Some(replica) = self.replica.as_mut().filter(|_| self.resubmit.is_none()) else { return };
        let outcome = replica.flush(bench.now, bench.out);
        self.settle(outcome, bench);
        let (Some(replica), Some(follower)) = (&self.replica, &mut self.follower) else { return };
        follower.synced(replica.synced());
        let at = received(replica, follower);
        follower.run(bench.now, at, bench.numbers, bench.out);
    }

    /// Saves, trims, ticks and purges.
    fn keep(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        self.frozen.retain(|frozen| !frozen.is_over(bench.now));
        let (has_end, is_caught_up) = (self.has_end(bench.now), self.is_caught_up(bench.now));
        let Some(replica) = &mut self.replica else { return };
        if self.role == Role::None || self.resubmit.is_some() {
            return;
        }
        replica.save(bench.out);
        replica.agree(&facts.progress, bench.settings.node);
        replica.trim(all_have(&facts.progress), bench.out);
        if self.role != Role::Full || !has_end {
            return;
        }
        // Before the first tick nobody is caught up, and nobody would tick.
        if is_caught_up {
            self.is_hollow = false;
            if !std::mem::replace(&mut self.is_known_full, true) {
                bench.out.push(Command::Tell(Happened::CaughtUp(self.shard)));
            }
        }
        self.count_owners(facts, bench);
        let me = bench.settings.node;
        let turn = facts.sources.iter().filter(|other| **other < me).count() as u64;
        self.tick(turn, facts.place, bench);
        if turn == 0
            && let Some(through) = purge(&facts.progress, self.purged, self.is_crowded)
        {
            (self.purged, self.is_crowded) = (through, false);
            bench.out.push(Command::Purge { stream: facts.place.stream(self.shard), through });
        }
    }

    fn count_owners(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let full = facts.progress.iter().filter(|owner| owner.is_full && owner.synced.is_some()).count();
        let has_two = full >= 2;
        let before = self.has_two.replace(has_two);
        match (before, has_two) {
            (Some(true), false) => bench.out.push(Command::Tell(Happened::LastOwner(self.shard))),
            (Some(false), true) => bench.out.push(Command::Tell(Happened::TwoOwners(self.shard))),
            _ => {}
        }
    }

    /// Publishes a tick when no owner before this one did, or when only an own one shows that nothing is lacking.
    fn tick(&mut self, turn: u64, place: &ShardRecord, bench: &mut Bench<'_>) {
        let (Some(replica), Some(follower)) = (&self.replica, &self.follower) else { return };
        let is_turn = bench.now.elapsed_ms >= self.tick_heard_ms + TICK_MS + turn * TICK_TURN_MS;
        let tried_ms = self.own_ticks.back().map(|(at_ms, _)| *at_ms);
        let may_try = tried_ms.is_none_or(|tried_ms| bench.now.elapsed_ms >= tried_ms + TICK_MS);
        let is_alone = follower.lacks_pulse(bench.now) && may_try;
        if self.tick.is_some() || !(is_turn || is_alone) {
            return;
        }
        let publish = bench.numbers.publish();
        let (me, wall_ms) = (bench.settings.node, bench.now.wall_ms);
        let tick = match is_turn {
            true => replica.tick(me, wall_ms),
            false => Replica::<S>::bare_tick(me, wall_ms, bench.numbers.random()),
        };
        if self.own_ticks.len() >= OWN_TICKS_MAX {
            self.own_ticks.pop_front();
        }
        self.own_ticks.push_back((bench.now.elapsed_ms, tick));
        (self.tick, self.tick_heard_ms) = (Some((publish, replica.received())), bench.now.elapsed_ms);
        bench.out.push(Command::Publish {
            publish,
            stream: place.stream(self.shard),
            message_id: None,
            expected_last: None,
            bytes: Arc::from(tick.write(place.epoch)),
        });
    }

    /// Returns the next moment at which [`run`](Self::run) has something to do.
    pub(super) fn due_ms(&self, now: Moment) -> Option<u64> {
        let has_room = self.replica.as_ref().is_some_and(Replica::has_room);
        let dues = [
            // While its log is published again nothing is written.
            self.replica.as_ref().filter(|_| self.resubmit.is_none()).and_then(Replica::due_ms),
            self.follower.as_ref().and_then(|follower| follower.due_ms(has_room)),
            self.copying.as_ref().map(Copying::due_ms),
            self.resubmit.as_ref().and_then(Resubmit::due_ms),
            self.rest.as_ref().filter(|_| self.is_caught_up(now)).and_then(Resubmit::due_ms),
            (self.install_at_ms > now.elapsed_ms).then_some(self.install_at_ms),
            (self.role == Role::Full && self.tick.is_none() && self.follower.is_some())
                .then_some((self.tick_heard_ms + TICK_MS).max(now.elapsed_ms + TICK_MS / 4)),
            self.unnamed.map(|unnamed| (unnamed.since_ms + UNNAMED_MS).max(now.elapsed_ms + TICK_MS)),
        ];
        dues.into_iter().flatten().min()
    }

    /// Takes a message of the stream, if its subscription is this part's.
    pub(super) fn delivered(&mut self, message: &Delivered, bench: &mut Bench<'_>) {
        let (Some(replica), Some(follower)) = (&mut self.replica, &mut self.follower) else { return };
        let (at, known) = (received(replica, follower), replica.entry_hash(message.sequence));
        match follower.delivered(message, at, known, bench.now, bench.out) {
            Taken::Next => {
                replica.take(record(message));
                self.follow(bench);
            }
            Taken::Nothing => {}
            Taken::Stop(stop) => self.stop(stop, bench),
        }
    }

    /// True if a subscription is this part's.
    pub(super) fn ended(&mut self, subscription: SubscriptionId) -> bool {
        self.follower.as_mut().is_some_and(|follower| follower.ended(subscription))
    }

    /// Takes figures of a stream. Returns false when they are not this part's.
    pub(super) fn stream_read(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        facts: Option<&Facts<'_>>,
        bench: &mut Bench<'_>,
    ) -> bool {
        let (Some(replica), Some(follower)) = (&self.replica, &mut self.follower) else { return false };
        let Some(finding) = follower.read(read, outcome, replica.received(), bench.now, bench.out) else {
            return false;
        };
        self.is_crowded = follower.bytes() > bench.settings.stream_bytes / 4;
        match finding {
            Finding::Sound => {
                let is_back = self.stop == Some(Stop::StreamGone) && matches!(outcome, StreamOutcome::Is(_));
                if is_back {
                    self.go_on(bench);
                }
            }
            Finding::Silent(_) => bench.out.push(Command::Tell(Happened::SilentConsumer(self.shard))),
            Finding::NextPurged if facts.is_some_and(|facts| !facts.sources.is_empty()) => {
                bench.out.push(Command::Tell(Happened::NextEntryPurged(self.shard)));
                self.publish_again(bench);
            }
            Finding::NextPurged => self.stop(Stop::NextEntryPurged, bench),
            Finding::Stop(stop) => self.stop(stop, bench),
        }
        true
    }

    pub(super) fn log_synced(&mut self, through: u64, bench: &mut Bench<'_>) {
        if let Some(replica) = &mut self.replica {
            let outcome = replica.log_synced(through, bench.now, bench.out);
            self.settle(outcome, bench);
            self.follow(bench);
        }
    }

    pub(super) fn log_failed(&mut self, from: u64, fault: DiskFault, bench: &mut Bench<'_>) {
        if let Some(replica) = &mut self.replica {
            replica.log_failed(from, fault, bench.now);
            self.stop(Stop::Disk(fault), bench);
        }
    }

    /// An owner told which batches of this log it lacks.
    pub(super) fn lacking(&mut self, stream: StreamId, ask: u64, batches: &[BatchId]) {
        if let Some(resubmit) = self.resubmit.as_mut().filter(|own| own.stream() == stream) {
            resubmit.lacking(ask, batches);
        }
    }

    /// Takes what was read of the log that is to be let go. When that failed the log stays, and people are told.
    pub(super) fn log_read(&mut self, read: ReadId, outcome: LogOutcome, bench: &mut Bench<'_>) {
        let is_fault = outcome == LogOutcome::Fault;
        let outcome = if is_fault && bench.settings.faults.unread_is_end { LogOutcome::End } else { outcome };
        let was_damaged = self.resubmit.as_ref().is_some_and(Resubmit::is_damaged);
        if self.rest.as_ref().is_some_and(|rest| rest.is_reading(read)) {
            return self.rest_read(read, outcome, bench);
        }
        let is_rest = self.resubmit.as_ref().is_some_and(Resubmit::is_rest);
        let could_read = self.resubmit.as_mut().and_then(|own| own.read(read, outcome, |_| false, bench.now));
        if is_rest {
            return self.note_rest(could_read, bench);
        }
        if !was_damaged && self.resubmit.as_ref().is_some_and(Resubmit::is_damaged) {
            bench.out.push(Command::Tell(Happened::LogDamaged(self.shard)));
        }
        match could_read {
            Some(true) if self.stop == Some(Stop::LogUnread) => self.go_on(bench),
            Some(false) if self.stop != Some(Stop::LogUnread) => {
                // Why it is published again was told before, and what helps is another thing now.
                self.stop = None;
                self.stop(Stop::LogUnread, bench);
            }
            _ => {}
        }
    }

    /// A publish was answered. Returns false when it is not this part's.
    pub(super) fn published(
        &mut self,
        publish: PublishId,
        outcome: PublishOutcome,
        bench: &mut Bench<'_>,
    ) -> bool {
        let mut again = self.resubmit.iter_mut().chain(&mut self.rest);
        if again.any(|own| own.published(publish, outcome, bench.now)) {
            return true;
        }
        let Some((_, received)) = self.tick.take_if(|(own, _)| *own == publish) else { return false };
        let is_reused = matches!(outcome, PublishOutcome::Stored { sequence, .. } if sequence <= received);
        if is_reused && !bench.settings.faults.stream_anew_unnoticed {
            // A sequence that this replica has an entry of was given again: the stream has lost its end.
            self.stop(Stop::StreamBehind, bench);
        }
        true
    }

    /// Tells doors what became of their batches.
    fn settle(&mut self, outcome: Outcome, bench: &mut Bench<'_>) {
        for (sequence, applied) in outcome.applied {
            match applied {
                Applied::Batch(batch, fates) => {
                    if self.recent.len() >= RECENT_MAX {
                        self.recent.pop_front();
                    }
                    self.recent.push_back((batch, fates));
                    self.tell_fates(batch, bench);
                }
                Applied::Repeat(batch) => {
                    bench.out.push(Command::Tell(Happened::RepeatRefused(self.shard)));
                    self.tell_fates(batch, bench);
                }
                Applied::Refused(batch) => {
                    let time_ms = self.replica.as_ref().map_or(0, |replica| replica.content.time_ms);
                    bench.mail.push((batch.door.node, Message::DoorRefused { batch, time_ms }));
                }
                Applied::Tick { tick, held } => {
                    self.tick_heard_ms = bench.now.elapsed_ms;
                    let own = self.own_ticks.iter().find(|(_, own)| *own == tick);
                    if let Some(follower) = &mut self.follower {
                        follower.ticked(sequence, own.map(|(at_ms, _)| *at_ms));
                    }
                    if held {
                        bench.out.push(Command::Tell(Happened::TimeHeld(self.shard)));
                    }
                }
                Applied::Void => {}
            }
        }
        if outcome.went_on && matches!(self.stop, Some(Stop::Disk(DiskFault::Full))) {
            self.go_on(bench);
        }
        if let Some(stop) = outcome.stop {
            self.stop(stop, bench);
        }
    }
}

fn received<S: ShardState>(replica: &Replica<S>, follower: &Follower) -> Received {
    let has_room = if follower.is_subscribed() { !replica.is_full() } else { replica.has_room() };
    Received { last: replica.received(), first_hashed: replica.first_hashed().unwrap_or(0), has_room }
}
