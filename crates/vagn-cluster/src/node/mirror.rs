//! A shard that this node does not own, in memory: for what looks at the whole fleet, such as a live map.
//!
//! A mirror copies the shard from an owner and follows its stream, as a new owner does. But it has no disk and no say: it publishes
//! nothing but ticks, where it is to be proved that it has all, answers nobody, and no purge waits for it. Where anything about it is in doubt it begins anew, after a pause that grows: a copy
//! of a shard costs its owner, and what was wrong may last.

use std::collections::VecDeque;
use std::sync::Arc;

use super::part::{Bench, Facts};
use crate::bootstrap::{Copying, Piece};
use crate::command::Command;
use crate::content::{Applied, Content};
use crate::copied::ShardCopy;
use crate::entry::Tick;
use crate::event::{Delivered, StreamOutcome};
use crate::follower::{Finding, Follower, Received, Taken, record};
use crate::happened::Happened;
use crate::ids::{Moment, NodeId, ReadId, ShardId, StreamId, SubscriptionId};
use crate::replica::Replica;
use crate::state::ShardState;
use crate::view::{ShardView, Stage, TickMark};

/// Ticks that are remembered, to be compared with what owners had at them.
const MARKS_MAX: usize = 8;

/// Time for which a mirror counts as caught up after it was.
const CAUGHT_UP_MS: u64 = 6_000;

/// Pause before another tick is tried, and how many are looked for in the stream.
const PROVE_AGAIN_MS: u64 = 1_000;
const OWN_TICKS_MAX: usize = 4;

/// Pause before a mirror that was lost begins anew: it doubles with each loss, and is short again after a mirror that lasted.
const PAUSE_MS: u64 = 1_000;
const PAUSE_MAX_MS: u64 = 60_000;
const LASTED_MS: u64 = 60_000;

/// A shard in memory.
#[derive(Debug)]
pub(super) struct Mirror<S> {
    shard: ShardId,
    state: State<S>,
    pause_ms: u64,
    begin_at_ms: u64,
}

#[derive(Debug)]
enum State<S> {
    Idle,
    Copying(Copying),
    Following(Box<Following<S>>),
}

#[derive(Debug)]
struct Following<S> {
    content: Content<S>,
    follower: Follower,
    marks: VecDeque<TickMark>,
    /// The last own ticks, each with the moment at which it was published.
    own_ticks: VecDeque<(u64, Tick)>,
    begun_ms: u64,
}

impl<S: ShardState> Mirror<S> {
    pub(super) fn new(shard: ShardId) -> Self {
        Self { shard, state: State::Idle, pause_ms: 0, begin_at_ms: 0 }
    }

    /// Does what is due.
    pub(super) fn run(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let stream = facts.place.stream(self.shard);
        let pauses = matches!(self.state, State::Idle) && bench.now.elapsed_ms < self.begin_at_ms;
        if !pauses && !self.is_of(stream, facts.data_set) {
            self.end(bench);
            self.state = State::Copying(Copying::new(stream));
        }
        match &mut self.state {
            State::Idle => {}
            State::Copying(copying) => copying.run(bench.now, &facts.sources, bench.out),
            State::Following(following) => following.run(bench),
        }
    }

    fn is_of(&self, stream: StreamId, data_set: u64) -> bool {
        match &self.state {
            State::Idle => false,
            State::Copying(copying) => copying.stream() == stream,
            State::Following(following) => {
                following.follower.stream() == stream && following.content.data_set == data_set
            }
        }
    }

    /// Lets go of everything. What it had is forgotten.
    pub(super) fn end(&mut self, bench: &mut Bench<'_>) {
        if let State::Following(following) = &mut self.state {
            following.follower.let_go(bench.out);
        }
        self.state = State::Idle;
    }

    /// Lets go of what is not the shard, or not the whole of it, and begins anew later.
    fn lose(&mut self, bench: &mut Bench<'_>) {
        let now_ms = bench.now.elapsed_ms;
        let has_lasted = matches!(&self.state, State::Following(own) if now_ms >= own.begun_ms + LASTED_MS);
        self.end(bench);
        self.pause_ms = if has_lasted { PAUSE_MS } else { (self.pause_ms * 2).clamp(PAUSE_MS, PAUSE_MAX_MS) };
        self.begin_at_ms = now_ms + self.pause_ms;
        bench.out.push(Command::Tell(Happened::MirrorLost(self.shard)));
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        match &self.state {
            State::Idle => Some(self.begin_at_ms),
            State::Copying(copying) => Some(copying.due_ms()),
            State::Following(following) => following.follower.due_ms(true),
        }
    }

    /// A piece of the copy that is being made.
    pub(super) fn copy_piece(
        &mut self,
        from: NodeId,
        piece: Piece,
        facts: Option<&Facts<'_>>,
        bench: &mut Bench<'_>,
    ) {
        let (State::Copying(copying), Some(facts)) = (&mut self.state, facts) else { return };
        let stream = piece.stream;
        let Some(whole) = copying.piece(from, piece, bench.now, bench.out) else { return };
        match Content::<S>::read(self.shard, &whole) {
            Ok(content) if content.epoch == stream.epoch => {
                let follower = Follower::new(stream, facts.place.incarnation, false);
                let (marks, own_ticks, begun_ms) = (VecDeque::new(), VecDeque::new(), bench.now.elapsed_ms);
                let following = Following { content, follower, marks, own_ticks, begun_ms };
                self.state = State::Following(Box::new(following));
                self.run(facts, bench);
            }
            _ => self.lose(bench),
        }
    }

    pub(super) fn copy_gone(&mut self, from: NodeId, stream: StreamId, copy: u64, bench: &mut Bench<'_>) {
        if let State::Copying(copying) = &mut self.state {
            copying.gone(from, stream, copy, bench.now, bench.out);
        }
    }

    /// Takes a message of the stream, if its subscription is this mirror's.
    pub(super) fn delivered(&mut self, message: &Delivered, bench: &mut Bench<'_>) {
        if let State::Following(following) = &mut self.state
            && !following.delivered(message, bench)
        {
            self.lose(bench);
        }
    }

    pub(super) fn ended(&mut self, subscription: SubscriptionId) -> bool {
        match &mut self.state {
            State::Following(following) => following.follower.ended(subscription),
            State::Idle | State::Copying(_) => false,
        }
    }

    /// Takes figures of a stream. Returns false when they are not this mirror's.
    pub(super) fn stream_read(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        bench: &mut Bench<'_>,
    ) -> bool {
        let State::Following(following) = &mut self.state else { return false };
        let received = following.content.sequence;
        match following.follower.read(read, outcome, received, bench.now, bench.out) {
            None => return false,
            Some(Finding::Sound | Finding::Silent(_)) => following.follower.synced(received),
            Some(Finding::NextPurged | Finding::Stop(_)) => self.lose(bench),
        }
        true
    }

    /// Returns the content, once there is one.
    pub(super) fn content(&self) -> Option<&S> {
        match &self.state {
            State::Following(following) => Some(&following.content.state),
            State::Idle | State::Copying(_) => None,
        }
    }

    /// Returns a copy of the shard as it is here, once there is a content.
    pub(super) fn copied(&self) -> Option<ShardCopy> {
        match &self.state {
            State::Following(following) => Some(ShardCopy::of(&following.content)),
            State::Idle | State::Copying(_) => None,
        }
    }

    /// True once it has had all of the stream.
    pub(super) fn has_caught_up(&self) -> bool {
        matches!(&self.state, State::Following(own) if own.follower.fresh_ms().is_some())
    }

    #[cfg(test)]
    pub(super) fn spoil(&mut self, spoil: impl Fn(&mut S)) {
        if let State::Following(following) = &mut self.state {
            spoil(&mut following.content.state);
        }
    }

    pub(super) fn view(&self, now: Moment) -> Option<ShardView> {
        let shard = self.shard;
        match &self.state {
            State::Idle => None,
            State::Copying(copying) => {
                let (stream, stage) = (copying.stream(), Stage::Copying);
                Some(ShardView { shard, stream, stage, received: 0, applied: 0, tick: None })
            }
            State::Following(following) => {
                let Following { content, follower, .. } = &**following;
                let is_fresh = follower.fresh_ms().is_some_and(|at_ms| now.elapsed_ms < at_ms + CAUGHT_UP_MS);
                let stage = if is_fresh { Stage::CaughtUp } else { Stage::CatchingUp };
                let (stream, at) = (follower.stream(), content.sequence);
                Some(ShardView { shard, stream, stage, received: at, applied: at, tick: content.tick })
            }
        }
    }
}

impl<S: ShardState> Following<S> {
    fn run(&mut self, bench: &mut Bench<'_>) {
        let at = self.received();
        self.follower.synced(self.content.sequence);
        self.follower.run(bench.now, at, bench.numbers, bench.out);
        if bench.settings.proves_mirrors {
            self.prove(bench);
        }
    }

    /// Publishes a tick, until one bears out what the figures say: a broker that is cut off tells of an end that is none, and what it has to
    /// deliver can be old.
    fn prove(&mut self, bench: &mut Bench<'_>) {
        let now_ms = bench.now.elapsed_ms;
        let has_end = self.follower.end_ms().is_some_and(|at_ms| now_ms < at_ms + CAUGHT_UP_MS);
        let has_tried = self.own_ticks.back().is_some_and(|(at_ms, _)| now_ms < at_ms + PROVE_AGAIN_MS);
        if !has_end || has_tried || !self.follower.lacks_pulse(bench.now) {
            return;
        }
        let tick = Replica::<S>::bare_tick(bench.settings.node, bench.now.wall_ms, bench.numbers.random());
        if self.own_ticks.len() >= OWN_TICKS_MAX {
            self.own_ticks.pop_front();
        }
        self.own_ticks.push_back((now_ms, tick));
        let stream = self.follower.stream();
        bench.out.push(Command::Publish {
            // Its answer tells nothing: the tick comes by the stream, or another one follows.
            publish: bench.numbers.publish(),
            stream,
            message_id: None,
            expected_last: None,
            bytes: Arc::from(tick.write(stream.epoch)),
        });
    }

    fn received(&self) -> Received {
        // Only the last entry's hash is known: a subscription begins with that one.
        Received { last: self.content.sequence, first_hashed: self.content.sequence, has_room: true }
    }

    /// Takes a message. False: this mirror is not what the stream has.
    fn delivered(&mut self, message: &Delivered, bench: &mut Bench<'_>) -> bool {
        let now_ms = bench.now.elapsed_ms;
        let is_last = message.sequence == self.content.sequence && self.content.entry_hash != 0;
        let known = is_last.then_some(self.content.entry_hash);
        let at = self.received();
        match self.follower.delivered(message, at, known, bench.now, bench.out) {
            Taken::Nothing => true,
            Taken::Stop(_) => false,
            Taken::Next => match self.content.apply(&record(message), None) {
                Ok(Applied::Tick { tick, .. }) => {
                    let own = self.own_ticks.iter().find(|(_, own)| *own == tick).map(|(at_ms, _)| *at_ms);
                    // Without proof a tick counts from when it came: nobody is told an age of what is here.
                    let published_ms = if bench.settings.proves_mirrors { own } else { Some(now_ms) };
                    self.follower.ticked(message.sequence, published_ms);
                    self.agrees(&tick)
                }
                Ok(_) => true,
                Err(_) => false,
            },
        }
    }

    /// Remembers a tick, and compares what its writer had at an earlier one.
    fn agrees(&mut self, tick: &Tick) -> bool {
        let own = self.marks.iter().find(|mark| mark.sequence == tick.tick_sequence);
        let agrees = own.is_none_or(|mark| mark.content_hash == tick.content_hash);
        if self.marks.len() >= MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.extend(self.content.tick);
        agrees
    }
}
