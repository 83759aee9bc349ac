//! The hub: finds the channels that a change concerns, and holds clients, marks and the ring. It knows no clock and no thread.
//!
//! Changes only mark vehicles. Once a second each channel reads its marked vehicles from the fleet, which is never behind the
//! changes, and tells its clients ([`pass`](super::pass)). So what is told is newer than what is named by an id, never older.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use vagn_store::{Changes, Fleet, Moved, OrderNumber, Sight};

use super::cell::{Area, GridCell};
use super::channel::{Channel, MarkRoom, Member, StreamView, ViewKey};
use super::event::{EventId, GapReason, StreamEvent};
use super::finder::Finder;
use super::limits::StreamLimits;
use super::marks::Marks;
use super::metrics::StreamMetrics;
use super::outlet::Outlet;
use super::pass::Pass;
use super::pieces::Pieces;
use super::ring::{Ring, RingBatch, RingMove};

/// A moment, as the caller's clock has it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment {
    /// Time that never runs backwards.
    pub(super) steady: Duration,
    /// Wall time, ms since 1970.
    pub(super) wall_ms: i64,
}

/// A client that wants to be told.
pub(super) struct Join {
    pub(super) view: StreamView,
    /// Id that it comes back with.
    pub(super) last: Option<EventId>,
    pub(super) outlet: Arc<Outlet>,
}

/// Parts that the hub is given.
#[derive(Clone)]
pub(super) struct HubParts {
    pub(super) fleet: Fleet,
    pub(super) limits: StreamLimits,
    pub(super) metrics: StreamMetrics,
}

/// All channels, and what is kept for clients that come back.
pub(super) struct Hub {
    parts: HubParts,
    /// Changes are told without a break since the run began.
    run: u64,
    /// Order numbers behind the changes that were taken, by partition.
    ends: Box<[OrderNumber]>,
    /// First order number of each partition's writer, once it is known.
    begun: Box<[Option<OrderNumber>]>,
    ring: Ring,
    finder: Finder,
    /// By slot, which the finder knows them by.
    channels: Vec<Option<Channel>>,
    slots: HashMap<ViewKey, usize, FixedState>,
    next_number: u64,
    /// Channels that see coarse places.
    coarse: usize,
    room: MarkRoom,
    /// Bytes of events that wait for clients.
    waiting: Arc<AtomicUsize>,
}

impl Hub {
    /// Returns a hub without channels, whose first run begins now.
    pub(super) fn new(parts: HubParts, now: Moment) -> Self {
        let partitions = parts.fleet.partitions();
        let limits = &parts.limits;
        let mut hub = Self {
            run: 0,
            ends: vec![OrderNumber::default(); partitions].into(),
            begun: vec![None; partitions].into(),
            ring: Ring::new(limits.ring_changes, partitions),
            finder: Finder::new(),
            channels: Vec::new(),
            slots: HashMap::default(),
            next_number: 1,
            coarse: 0,
            room: MarkRoom { channel: limits.channel_marks, own: limits.own_marks, left: limits.marks },
            waiting: Arc::default(),
            parts,
        };
        hub.begin(now);
        hub
    }

    /// Begins a run: changes may have come that the hub does not know. Ids given out before are not known any more.
    pub(super) fn begin(&mut self, now: Moment) {
        // Above those of earlier processes, which took them from the clock too.
        self.run = (self.run + 1).max(now.wall_ms.max(0).unsigned_abs());
        self.begun.fill(None);
        self.ring.clear();
    }

    /// Returns true when there are no clients, and none may come back.
    pub(super) fn is_idle(&self) -> bool {
        self.slots.is_empty()
    }

    /// Counts the channels.
    #[cfg(test)]
    pub(super) fn channels(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of bytes that wait for clients.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Notes that changes were lost. Clients are told with the next pass, and not each time that it happens: each of them then
    /// reads the fleet.
    pub(super) fn lose(&mut self, now: Moment) {
        self.begin(now);
        for channel in self.channels.iter_mut().flatten() {
            channel.lose(GapReason::LostChanges);
        }
    }

    /// Takes the changes of a commit, after the fleet shows them.
    pub(super) fn take(&mut self, changes: &Changes, now: Moment) {
        let partition = changes.partition as usize;
        let Some(begun) = self.begun.get_mut(partition) else { return };
        let is_new_writer = begun.replace(changes.begun).is_some_and(|before| before != changes.begun);
        self.ends[partition] = changes.end;
        if is_new_writer || !changes.is_whole {
            self.lose(now);
            self.begun[partition] = Some(changes.begun);
        }
        let mut batch = RingBatch {
            partition: changes.partition,
            end: changes.end,
            at: now.steady,
            moves: Vec::new(),
            within: Vec::new(),
            gone: Vec::new(),
        };
        for moved in changes.moved() {
            self.take_move(&moved, &mut batch);
        }
        for gone in changes.gone() {
            let cell = GridCell::of(gone.last);
            self.finder.visit(cell, |slot| {
                let channel = self.channels[slot].as_mut();
                channel.expect("a listed channel is there").note_gone(gone, &mut self.room);
            });
            // Where it was last may be out of a box that it was in when a client was last told.
            batch.gone.push(*gone);
        }
        if !(batch.moves.is_empty() && batch.within.is_empty() && batch.gone.is_empty()) {
            self.ring.push(batch);
        }
    }

    #[inline]
    fn take_move(&mut self, moved: &Moved<'_>, batch: &mut RingBatch) {
        let after = GridCell::of(moved.update.sighting.position);
        let before = moved.before.map_or(after, |before| GridCell::of(before.position));
        if !self.finder.is_watched(after) && !self.finder.is_watched(before) {
            return;
        }
        // A channel outlives what is kept of changes: where none sees coarse places, no client comes back to ask for them.
        let stays = self.coarse > 0 && stays_coarsely(moved);
        let moves = if stays { &mut batch.within } else { &mut batch.moves };
        moves.push(RingMove { row: moved.row, before, after });
        let mut note = |slot: usize| {
            let channel = self.channels[slot].as_mut();
            channel.expect("a listed channel is there").note_move(
                batch.partition,
                moved,
                stays,
                &mut self.room,
            );
        };
        self.finder.visit(after, &mut note);
        if before != after {
            self.finder.visit(before, &mut note);
        }
    }

    /// Adds a client to the channel of its view.
    pub(super) fn join(&mut self, join: Join, now: Moment) {
        let Join { view, last, outlet } = join;
        let slot = self.slot_of(view, now);
        let channel = self.channels[slot].as_mut().expect("the slot of a view has a channel");
        let id = EventId { run: self.run, channel: channel.number, ends: self.ends.clone() };
        let single = |event, id| Pieces::new(&*channel.view.writer, &self.waiting).of(&event, id);
        let is_known = last.as_ref().is_none_or(|last| is_known(last, &id));
        let greeting = single(StreamEvent::Begin, last.is_none().then_some(&id));
        for piece in greeting {
            outlet.greet(piece);
        }
        if !is_known {
            outlet.replace(&single(StreamEvent::Gap(GapReason::UnknownEvent), Some(&id)));
            self.parts.metrics.gap(GapReason::UnknownEvent).inc();
        }
        let since = last.filter(|_| is_known).map(|last| last.ends);
        channel.empty_since = None;
        channel.members.push(Member { outlet, since });
    }

    /// Returns the slot of the channel of a view, which is made if it is not there.
    fn slot_of(&mut self, view: StreamView, now: Moment) -> usize {
        let key = view.key();
        if let Some(slot) = self.slots.get(&key) {
            return *slot;
        }
        if self.slots.len() >= self.parts.limits.channels {
            self.remove_one(now);
        }
        let number = self.next_number;
        self.next_number += 1;
        let area = Area::of_all(&view.sight.sources(&view.bbox));
        self.coarse += usize::from(view.sight == Sight::Coarse);
        let channel = Channel {
            number,
            view,
            area,
            members: Vec::new(),
            marks: Marks::default(),
            gap: None,
            due: now.steady + spread(number, self.parts.limits.pass_every),
            told: now.steady,
            empty_since: None,
        };
        let free = self.channels.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.channels.push(None);
            self.channels.len() - 1
        });
        self.finder.add(slot, &channel.area);
        self.channels[slot] = Some(channel);
        self.slots.insert(key, slot);
        slot
    }

    /// Removes the channel that has been without clients for longest. There is one: fewer streams are let in than channels.
    fn remove_one(&mut self, now: Moment) {
        self.drop_left(now, true);
        let empty = self.channels.iter().enumerate();
        let empty = empty.filter_map(|(slot, channel)| Some((channel.as_ref()?.empty_since?, slot)));
        if let Some((_, slot)) = empty.min() {
            self.remove(slot);
        }
    }

    fn remove(&mut self, slot: usize) {
        if let Some(channel) = self.channels[slot].take() {
            self.finder.remove(slot, &channel.area);
            self.coarse -= usize::from(channel.view.sight == Sight::Coarse);
            self.slots.remove(&channel.view.key());
        }
    }

    /// Lets go of clients that have gone, and of channels that no client has come back to. Only `with_all` looks at all clients: those of a
    /// channel are looked at before its pass, since to do so in each tick costs more than to tell them.
    fn drop_left(&mut self, now: Moment, with_all: bool) {
        let linger = self.parts.limits.linger;
        for slot in 0..self.channels.len() {
            let Some(channel) = &mut self.channels[slot] else { continue };
            if with_all || channel.due <= now.steady {
                channel.members.retain(|member| !member.outlet.is_left());
            }
            if !channel.members.is_empty() {
                continue;
            }
            channel.marks.clear();
            channel.gap = None;
            let empty_since = *channel.empty_since.get_or_insert(now.steady);
            if now.steady.saturating_sub(empty_since) >= linger {
                self.remove(slot);
            }
        }
    }

    /// Tells the clients of the channels whose time has come, as far as it can be done in one go.
    pub(super) fn tick(&mut self, now: Moment) {
        self.ring.drop_before(now.steady.saturating_sub(self.parts.limits.reach));
        self.drop_left(now, false);
        self.shed_if_full();
        // While a part of the fleet is missing, what is marked waits.
        if let Ok(readers) = self.parts.fleet.readers() {
            let mut pass = Pass {
                limits: &self.parts.limits,
                metrics: &self.parts.metrics,
                readers: &readers,
                ring: &self.ring,
                run: self.run,
                ends: &self.ends,
                waiting: &self.waiting,
                now,
                left: self.parts.limits.tick_vehicles,
            };
            let mut due: Vec<_> =
                self.channels.iter_mut().flatten().filter(|channel| channel.due <= now.steady).collect();
            due.sort_unstable_by_key(|channel| channel.due);
            for channel in due {
                if pass.left == 0 || pass.is_full() {
                    break;
                }
                pass.run(channel);
            }
        }
        let taken: usize = self.channels.iter().flatten().map(|channel| self.room.taken_by(channel)).sum();
        self.room.left = self.parts.limits.marks.saturating_sub(taken);
    }

    /// Tells clients that are behind of a gap when too many bytes wait: first those that are far behind.
    fn shed_if_full(&self) {
        for passes in [2, 1] {
            if self.waiting.load(Ordering::Relaxed) > self.parts.limits.bytes {
                self.shed(passes);
            }
        }
    }

    /// Tells the clients of a gap for which so many passes wait.
    fn shed(&self, passes: usize) {
        for channel in self.channels.iter().flatten() {
            let id = EventId { run: self.run, channel: channel.number, ends: self.ends.clone() };
            let gap = Pieces::new(&*channel.view.writer, &self.waiting);
            let gap = gap.of(&StreamEvent::Gap(GapReason::SlowClient), Some(&id));
            for member in channel.members.iter().filter(|member| member.outlet.passes() >= passes) {
                member.outlet.replace(&gap);
                self.parts.metrics.gap(GapReason::SlowClient).inc();
            }
        }
    }
}

/// Returns true if the vehicle is at the coarse place where it was before.
fn stays_coarsely(moved: &Moved<'_>) -> bool {
    moved.before.is_some_and(|before| {
        Sight::Coarse.place(before.position) == Sight::Coarse.place(moved.update.sighting.position)
    })
}

/// Returns true if an id was given out by this run to this channel, whose newest id is `newest`.
fn is_known(last: &EventId, newest: &EventId) -> bool {
    (last.run, last.channel, last.ends.len()) == (newest.run, newest.channel, newest.ends.len())
        && last.ends.iter().zip(&newest.ends).all(|(last, newest)| last <= newest)
}

/// Returns the time until the first pass of a channel, so that not all channels tell at once.
fn spread(number: u64, every: Duration) -> Duration {
    /// Thousandths of the golden ratio: however many there are, they are spread evenly.
    const STEP: u64 = 618;
    every * (number.wrapping_mul(STEP) % 1_000) as u32 / 1_000
}
