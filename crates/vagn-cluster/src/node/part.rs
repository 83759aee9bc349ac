//! The part that a node has in one shard: it copies it, follows its stream, answers doors, ticks and purges; or stands still.

use std::collections::VecDeque;
use std::sync::Arc;

use vagn_wire::Fate;

use super::plan::Own;
use super::resubmit::Resubmit;
use crate::assignment::{Role, ShardRecord};
use crate::bootstrap::{Copying, Frozen, Piece};
use crate::command::{Command, ShardAnswer};
use crate::content::{Applied, Beginning, Content};
use crate::event::{Delivered, DiskFault, LogRecord, PublishOutcome, StreamOutcome};
use crate::follower::{Finding, Follower, Received, Taken, record};
use crate::happened::{Happened, Stop};
use crate::ids::{BatchId, Moment, NodeId, PublishId, ReadId, ShardId, StreamId, SubscriptionId};
use crate::membership::Holding;
use crate::message::Message;
use crate::numbers::Numbers;
use crate::purge::{Progress, all_have, purge};
use crate::replica::{Outcome, Replica};
use crate::settings::Settings;
use crate::state::ShardState;
use crate::view::{ShardView, Stage};

/// Batches whose fates are remembered, to be told again.
const RECENT_MAX: usize = 64;

/// Time between ticks, and how much longer each further owner waits for one.
const TICK_MS: u64 = 1_000;
const TICK_TURN_MS: u64 = 1_500;

/// Time for which a replica counts as caught up after it was.
const CAUGHT_UP_MS: u64 = 6_000;

/// Time for which a record must not name this node before it drops the shard.
const UNNAMED_MS: u64 = 15_000;

/// Pause after a snapshot could not be put on disk.
const INSTALL_AGAIN_MS: u64 = 2_000;

/// A node's part in a shard.
#[derive(Debug)]
pub(super) struct Part<S> {
    shard: ShardId,
    role: Role,
    replica: Option<Replica<S>>,
    follower: Option<Follower>,
    copying: Option<Copying>,
    /// Content that is on its way to the disk, to be the replica's when it is there.
    installing: Option<Install<S>>,
    install_at_ms: u64,
    frozen: Option<Frozen>,
    resubmit: Option<Resubmit>,
    stop: Option<Stop>,
    recent: VecDeque<(BatchId, Arc<[Fate]>)>,
    tick_heard_ms: u64,
    /// A tick that is under way, with the last entry that had been received when it was published.
    tick: Option<(PublishId, u64)>,
    purged: u64,
    unnamed_since_ms: Option<u64>,
    is_known_full: bool,
    has_two: Option<bool>,
}

#[derive(Debug)]
struct Install<S> {
    content: Content<S>,
    /// The epoch before, whose stream is to be dropped: this node began the new one.
    repaired: Option<StreamId>,
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
            replica: None,
            follower: None,
            copying: None,
            installing: None,
            install_at_ms: 0,
            frozen: None,
            resubmit: None,
            stop: None,
            recent: VecDeque::new(),
            tick_heard_ms: 0,
            tick: None,
            purged: 0,
            unnamed_since_ms: None,
            is_known_full: false,
            has_two: None,
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
        if let Some(replica) = &mut self.replica {
            replica.restored(bench.out);
        }
    }

    /// Does what the record asks for, and what is due.
    pub(super) fn run(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        self.role = facts.place.role(bench.settings.node);
        self.obey(facts, bench);
        if let Some(resubmit) = &mut self.resubmit {
            resubmit.run(bench.now, bench.numbers, bench.out);
            if resubmit.is_done() {
                (self.resubmit, self.replica) = (None, None);
                self.obey(facts, bench);
            }
        }
        if let Some(copying) = &mut self.copying {
            copying.run(bench.now, &facts.sources, bench.out);
        }
        self.follow(bench);
        self.keep(facts, bench);
    }

    /// Brings what is here in line with the record.
    fn obey(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let place = facts.place;
        if self.installing.is_some() || self.resubmit.is_some() || bench.now.elapsed_ms < self.install_at_ms {
            return;
        }
        if self.copying.as_ref().is_some_and(|copying| copying.stream() != place.stream(self.shard)) {
            self.copying = None;
        }
        match &self.replica {
            None => self.obtain(facts, bench),
            Some(replica) if replica.content.epoch < place.epoch => self.leave_epoch(facts, bench),
            Some(replica) if replica.content.epoch > place.epoch => {}
            Some(_) if self.role == Role::None => self.drop_unnamed(facts, bench),
            Some(_) => {
                self.unnamed_since_ms = None;
                if self.stop == Some(Stop::NextEntryPurged) && !facts.sources.is_empty() {
                    self.copy_anew(bench);
                }
                let stands = matches!(self.stop, Some(stop) if !matches!(stop, Stop::Disk(DiskFault::Full)));
                if self.replica.is_some() && self.follower.is_none() && !stands {
                    let unnoticed = bench.settings.faults.stream_anew_unnoticed;
                    self.follower =
                        Some(Follower::new(place.stream(self.shard), place.incarnation, unnoticed));
                }
            }
        }
    }

    /// There is no content here, and the record asks for some.
    fn obtain(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let (place, me) = (facts.place, bench.settings.node);
        let is_alone = place.full_but(me).next().is_none();
        match self.role {
            Role::None => self.copying = None,
            Role::Full if is_alone && place.epoch == 1 => {
                // The stream will tell if entries of the beginning are gone.
                let content = Content::begin(Beginning {
                    shard: self.shard,
                    epoch: place.epoch,
                    base: place.base,
                    time_ms: place.begun_ms,
                    settings: facts.settings,
                });
                self.install(content, None, bench);
            }
            Role::Full if is_alone => self.stop(Stop::DiskDamaged, bench),
            Role::Full | Role::Joining => {
                if self.copying.is_none() {
                    bench.out.push(Command::Tell(Happened::CopyBegun(self.shard)));
                    self.copying = Some(Copying::new(place.stream(self.shard)));
                }
            }
        }
    }

    /// The shard was repaired: the content here is of an epoch that has ended.
    fn leave_epoch(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let place = facts.place;
        self.let_go(bench);
        let began_it = place.founder == bench.settings.node && self.role == Role::Full;
        let follows = |replica: &mut Replica<S>| replica.content.epoch + 1 == place.epoch;
        if began_it && let Some(mut replica) = self.replica.take_if(follows) {
            let before = StreamId { shard: self.shard, epoch: replica.content.epoch };
            replica.content.enter(place.epoch, place.base);
            self.install(replica.content, Some(before), bench);
        } else {
            self.resubmit = Some(Resubmit::new(place.stream(self.shard)));
        }
    }

    /// Drops the shard when the record has not named this node for a while: a read of it may have been an old one.
    fn drop_unnamed(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let since_ms = *self.unnamed_since_ms.get_or_insert(bench.now.elapsed_ms);
        let is_sure = facts.is_confirmed && bench.now.elapsed_ms >= since_ms + UNNAMED_MS;
        // Where the stream was broken this log may hold what no other does, until the shard is repaired.
        let is_broken = matches!(self.stop, Some(stop) if !matches!(stop, Stop::Disk(_)));
        if is_sure && !is_broken {
            self.let_go(bench);
            *self = Self::new(self.shard);
            bench.out.extend([Command::DropShard(self.shard), Command::Tell(Happened::Left(self.shard))]);
        }
    }

    /// True when nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        let is_idle = self.replica.is_none() && self.installing.is_none() && self.copying.is_none();
        self.role == Role::None && is_idle && self.resubmit.is_none()
    }

    fn let_go(&mut self, bench: &mut Bench<'_>) {
        if let Some(mut follower) = self.follower.take() {
            follower.let_go(bench.out);
        }
        (self.tick, self.frozen) = (None, None);
    }

    fn install(&mut self, content: Content<S>, repaired: Option<StreamId>, bench: &mut Bench<'_>) {
        self.let_go(bench);
        (self.replica, self.copying) = (None, None);
        let (shard, sequence, bytes) = (self.shard, content.sequence, Arc::from(content.write()));
        bench.out.push(Command::InstallSnapshot { shard, sequence, bytes });
        self.installing = Some(Install { content, repaired });
    }

    /// A snapshot was put on disk, or not.
    pub(super) fn snapshot_saved(
        &mut self,
        sequence: u64,
        result: Result<(), DiskFault>,
        bench: &mut Bench<'_>,
    ) {
        let Some(installing) = self.installing.take_if(|own| own.content.sequence == sequence) else {
            if let Some(replica) = &mut self.replica {
                replica.snapshot_saved(sequence, result);
            }
            return;
        };
        match result {
            Ok(()) => {
                self.go_on(bench);
                self.purged = 0;
                self.replica = Some(Replica::new(installing.content, bench.settings));
                if let Some(before) = installing.repaired {
                    let repaired = Command::Tell(Happened::EpochRepaired(self.shard));
                    bench.out.extend([Command::DropStream(before), repaired]);
                }
            }
            Err(fault) => {
                self.stop(Stop::Disk(fault), bench);
                self.install_at_ms = bench.now.elapsed_ms + INSTALL_AGAIN_MS;
                // What an epoch begins from is nowhere else. A copy can be made again.
                if let Some(before) = installing.repaired {
                    self.install(installing.content, Some(before), bench);
                }
            }
        }
    }

    fn go_on(&mut self, bench: &mut Bench<'_>) {
        if self.stop.take().is_some() {
            bench.out.push(Command::Tell(Happened::WentOn(self.shard)));
        }
    }

    fn stop(&mut self, stop: Stop, bench: &mut Bench<'_>) {
        let is_full = matches!(self.stop, Some(Stop::Disk(DiskFault::Full)));
        if self.stop == Some(stop) || (self.stop.is_some() && !is_full) {
            // The first reason is the one that a person has to look at.
            return;
        }
        self.stop = Some(stop);
        bench.out.push(Command::Tell(Happened::Stopped(self.shard, stop)));
        if !matches!(stop, Stop::Disk(DiskFault::Full)) {
            self.let_go(bench);
        }
    }

    fn copy_anew(&mut self, bench: &mut Bench<'_>) {
        self.let_go(bench);
        (self.replica, self.stop) = (None, None);
    }

    /// Writes what came, and asks for what is next.
    fn follow(&mut self, bench: &mut Bench<'_>) {
        let Some(replica) = &mut self.replica else { return };
        let outcome = replica.flush(bench.now, bench.out);
        self.settle(outcome, bench);
        let (Some(replica), Some(follower)) = (&self.replica, &mut self.follower) else { return };
        follower.synced(replica.synced());
        let at = received(replica, follower);
        follower.run(bench.now, at, bench.numbers, bench.out);
    }

    /// Saves, trims, ticks and purges.
    fn keep(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        self.frozen.take_if(|frozen| frozen.is_over(bench.now));
        let is_caught_up = self.is_caught_up(bench.now);
        let Some(replica) = &mut self.replica else { return };
        if self.role == Role::None || self.resubmit.is_some() {
            return;
        }
        replica.save(bench.out);
        replica.trim(all_have(&facts.progress), bench.out);
        if self.role != Role::Full || !is_caught_up {
            return;
        }
        if !std::mem::replace(&mut self.is_known_full, true) {
            bench.out.push(Command::Tell(Happened::CaughtUp(self.shard)));
        }
        self.count_owners(facts, bench);
        let me = bench.settings.node;
        let turn = facts.sources.iter().filter(|other| **other < me).count() as u64;
        self.tick(turn, facts.place, bench);
        if turn == 0
            && let Some(through) = purge(&facts.progress, self.purged)
        {
            self.purged = through;
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

    /// Publishes a tick when no owner before this one did.
    fn tick(&mut self, turn: u64, place: &ShardRecord, bench: &mut Bench<'_>) {
        let Some(replica) = &self.replica else { return };
        let due_ms = self.tick_heard_ms + TICK_MS + turn * TICK_TURN_MS;
        if self.tick.is_some() || bench.now.elapsed_ms < due_ms {
            return;
        }
        let publish = bench.numbers.publish();
        let tick = replica.tick(bench.settings.node, bench.now.wall_ms);
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
            self.replica.as_ref().and_then(Replica::due_ms),
            self.follower.as_ref().and_then(|follower| follower.due_ms(has_room)),
            self.copying.as_ref().map(Copying::due_ms),
            self.resubmit.as_ref().and_then(Resubmit::due_ms),
            (self.install_at_ms > now.elapsed_ms).then_some(self.install_at_ms),
            (self.role == Role::Full && self.tick.is_none() && self.follower.is_some())
                .then_some((self.tick_heard_ms + TICK_MS).max(now.elapsed_ms + TICK_MS / 4)),
            self.unnamed_since_ms.map(|since_ms| (since_ms + UNNAMED_MS).max(now.elapsed_ms + TICK_MS)),
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
        match finding {
            Finding::Sound => {}
            Finding::Silent(_) => bench.out.push(Command::Tell(Happened::SilentConsumer(self.shard))),
            Finding::NextPurged if facts.is_some_and(|facts| !facts.sources.is_empty()) => {
                bench.out.push(Command::Tell(Happened::NextEntryPurged(self.shard)));
                self.copy_anew(bench);
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

    pub(super) fn log_read(&mut self, records: &[LogRecord]) {
        if let Some(resubmit) = &mut self.resubmit {
            resubmit.read(records);
        }
    }

    /// A publish was answered. Returns false when it is not this part's.
    pub(super) fn published(
        &mut self,
        publish: PublishId,
        outcome: PublishOutcome,
        bench: &mut Bench<'_>,
    ) -> bool {
        if self.resubmit.as_mut().is_some_and(|own| own.published(publish, outcome, bench.now)) {
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
        for (_, applied) in outcome.applied {
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
                Applied::Tick { held, .. } => {
                    self.tick_heard_ms = bench.now.elapsed_ms;
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

    fn tell_fates(&self, batch: BatchId, bench: &mut Bench<'_>) {
        let recent = self.recent.iter().rev().find(|(own, _)| *own == batch);
        if let Some((_, fates)) = recent.filter(|_| self.role == Role::Full) {
            let message = Message::Fates { batch, fates: fates.to_vec() };
            bench.mail.push((batch.door.node, message));
        }
    }

    /// A door knows that its batch is in the stream, and asks for its fates.
    pub(super) fn unanswered(
        &mut self,
        batch: BatchId,
        stream: StreamId,
        sequence: u64,
        bench: &mut Bench<'_>,
    ) {
        self.tell_fates(batch, bench);
        let (Some(replica), Some(follower)) = (&self.replica, &mut self.follower) else { return };
        let is_other = stream == follower.stream()
            && replica.content.sequence >= sequence
            && !replica.content.has_seen(batch)
            && replica.first_hashed().is_some_and(|first| first <= sequence);
        if is_other {
            // This replica has another entry under that sequence: one of the two is not in the stream any more.
            follower.verify(sequence, bench.out);
        }
    }

    /// A node asks for a piece of this shard.
    pub(super) fn copy_asked(
        &mut self,
        from: NodeId,
        stream: StreamId,
        copy: u64,
        offset: u64,
        bench: &mut Bench<'_>,
    ) {
        let can_be_copied = |replica: &&Replica<S>| {
            let is_sound = self.stop.is_none_or(|stop| matches!(stop, Stop::Disk(DiskFault::Full)));
            let is_settled = replica.content.sequence <= replica.synced();
            self.role == Role::Full && is_sound && is_settled && replica.content.epoch == stream.epoch
        };
        let Some(replica) = self.replica.as_ref().filter(can_be_copied) else {
            bench.mail.push((from, Message::CopyGone { stream, copy }));
            return;
        };
        let begins = copy == 0 && offset == 0;
        if begins && !self.frozen.as_ref().is_some_and(|frozen| frozen.is_fresh(stream, bench.now)) {
            // Zero would ask for a new one.
            let number = bench.numbers.random() | 1;
            self.frozen = Some(Frozen::new(stream, number, replica.content.write(), bench.now));
        }
        let piece_bytes = bench.settings.piece_bytes;
        let answer = match &mut self.frozen {
            Some(frozen) => frozen.piece(stream, copy, offset, piece_bytes, bench.now),
            None => Message::CopyGone { stream, copy },
        };
        bench.mail.push((from, answer));
    }

    /// A piece of the copy that this node makes.
    pub(super) fn copy_piece(&mut self, from: NodeId, piece: Piece, bench: &mut Bench<'_>) {
        let stream = piece.stream;
        let Some(copying) = &mut self.copying else { return };
        let Some(whole) = copying.piece(from, piece, bench.now, bench.out) else { return };
        self.copying = None;
        match Content::<S>::read(self.shard, &whole) {
            Ok(mut content) if content.epoch == stream.epoch => {
                if bench.settings.faults.bootstrap_skips_one {
                    (content.sequence, content.entry_hash) = (content.sequence + 1, 0);
                }
                self.install(content, None, bench);
            }
            // It begins anew with the next round.
            _ => bench.out.push(Command::Tell(Happened::CopyLost(self.shard))),
        }
    }

    pub(super) fn copy_gone(&mut self, from: NodeId, stream: StreamId, copy: u64, bench: &mut Bench<'_>) {
        if let Some(copying) = &mut self.copying {
            copying.gone(from, stream, copy, bench.now, bench.out);
        }
    }

    /// Answers a question about this shard, if this node has it.
    pub(super) fn answer(&self, question: &[u8], me: NodeId, now: Moment) -> Option<ShardAnswer> {
        let replica = self.replica.as_ref().filter(|_| self.role == Role::Full)?;
        let fresh_ms = self.follower.as_ref().and_then(Follower::fresh_ms);
        let mut bytes = Vec::new();
        replica.content.state.answer(question, &mut bytes);
        // Before it ever had all, its age is unknown: as old as can be.
        let age_ms = fresh_ms.map_or(u64::MAX, |fresh_ms| now.elapsed_ms - fresh_ms);
        Some(ShardAnswer { shard: self.shard, node: me, age_ms, bytes })
    }

    /// True when it had all of the stream a moment ago, on disk.
    pub(super) fn is_caught_up(&self, now: Moment) -> bool {
        let fresh_ms = self.follower.as_ref().and_then(Follower::fresh_ms);
        let is_fresh = fresh_ms.is_some_and(|fresh_ms| now.elapsed_ms < fresh_ms + CAUGHT_UP_MS);
        self.stop.is_none() && self.replica.is_some() && is_fresh
    }

    /// What this node has of the shard.
    pub(super) fn own(&self, now: Moment) -> Option<Own> {
        let replica = self.replica.as_ref()?;
        Some(Own {
            epoch: replica.content.epoch,
            synced: replica.synced(),
            caught_up: self.is_caught_up(now),
            stream_bytes: self.follower.as_ref().map_or(0, Follower::bytes),
        })
    }

    /// What heartbeats say of it.
    pub(super) fn holding(&self, now: Moment) -> Option<Holding> {
        let own = self.own(now)?;
        Some(Holding { shard: self.shard, epoch: own.epoch, synced: own.synced, caught_up: own.caught_up })
    }

    /// Returns the last entry that was received, and in which epoch.
    pub(super) fn received(&self) -> Option<(u32, u64)> {
        self.replica.as_ref().map(|replica| (replica.content.epoch, replica.received()))
    }

    pub(super) fn view(&self, now: Moment) -> Option<ShardView> {
        let content = match (&self.replica, &self.installing) {
            (Some(replica), _) => &replica.content,
            (None, Some(installing)) => &installing.content,
            (None, None) => {
                let stream = self.copying.as_ref()?.stream();
                let stage = self.stop.map_or(Stage::Copying, Stage::Stopped);
                return Some(ShardView {
                    shard: self.shard,
                    stream,
                    stage,
                    received: 0,
                    applied: 0,
                    tick: None,
                });
            }
        };
        let stage = match self.stop {
            Some(stop) => Stage::Stopped(stop),
            None if self.replica.is_none() => Stage::Copying,
            None if self.follower.is_none() => Stage::Restored,
            None if self.is_caught_up(now) => Stage::CaughtUp,
            None => Stage::CatchingUp,
        };
        Some(ShardView {
            shard: self.shard,
            stream: StreamId { shard: self.shard, epoch: content.epoch },
            stage,
            received: self.replica.as_ref().map_or(content.sequence, Replica::received),
            applied: content.sequence,
            tick: content.tick,
        })
    }

    pub(super) fn has_seen(&self, batch: BatchId) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.content.has_seen(batch))
    }

    pub(super) fn state(&self) -> Option<&S> {
        self.replica.as_ref().map(|replica| &replica.content.state)
    }
}

fn received<S: ShardState>(replica: &Replica<S>, follower: &Follower) -> Received {
    let has_room = if follower.is_subscribed() { !replica.is_full() } else { replica.has_room() };
    Received { last: replica.received(), first_hashed: replica.first_hashed().unwrap_or(0), has_room }
}
