//! Following a stream: every entry once and in order, and no other stream than the one that this replica began with.
//!
//! What brokers do on bad days, and what is done here:
//!
//! | it happens that | so |
//! |---|---|
//! | a consumer that starts beyond the end waits for ever; one that started before the first begins silently later | the figures of the stream are read every 2 s |
//! | figures are 10 s old | what speaks against the stream must hold for 12 s |
//! | entries are lost, and their sequences given to others | each subscription begins one entry early, and that entry is compared |
//! | figures were read before our own appends were seen | they are compared with what was received when they were asked for |
//! | a leader that is cut off tells the end of its stream for 10 s and more | a replica is no younger than the last tick that bears it out |

use std::collections::VecDeque;

use crate::command::Command;
use crate::content::entry_hash;
use crate::entry::Entry;
use crate::event::{Delivered, LogRecord, StreamOutcome};
use crate::happened::Stop;
use crate::ids::{Incarnation, Moment, ReadId, StreamId, SubscriptionId};
use crate::numbers::Numbers;
use crate::pulse::Pulse;

/// Time between reads of the stream's figures.
const READ_MS: u64 = 2_000;

/// Time for which figures must speak against a stream. A leader that was cut off may give its own for 10 s.
const DOUBT_MS: u64 = 12_000;

/// Silence of a subscription that should have delivered, after which it is made anew.
const SILENCE_MS: u64 = 2_000;

/// Pause before a subscription is made anew.
const AGAIN_MS: u64 = 100;

/// Times that an entry may come damaged before the replica stops.
const DAMAGED_MAX: u32 = 5;

/// Reads of figures whose ends are remembered until the replica has reached them.
const ENDS_MAX: usize = 8;

/// Following of one stream by one replica.
#[derive(Debug)]
pub(crate) struct Follower {
    stream: StreamId,
    incarnation: Incarnation,
    /// Planted fault.
    compares_nothing: bool,
    /// Tells an entry that is whole.
    is_entry: fn(&[u8]) -> bool,
    subscription: Option<Subscription>,
    subscribe_at_ms: u64,
    /// First sequence to compare again, if there is a doubt.
    verify_from: Option<u64>,
    read: Option<Asked>,
    read_at_ms: u64,
    behind_since_ms: Option<u64>,
    absent_since_ms: Option<u64>,
    /// Reads of figures, each with the end of the stream that they told, until it is reached.
    ends: VecDeque<(u64, u64)>,
    end_ms: Option<u64>,
    pulse: Pulse,
    damaged: u32,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Subscription {
    id: SubscriptionId,
    heard_ms: u64,
}

/// A read of figures that is under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    id: ReadId,
    at_ms: u64,
    /// Last entry that had been received when it was asked.
    received: u64,
}

/// What is to be done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is the next entry.
    Next,
    /// Nothing.
    Nothing,
    /// The replica stops.
    Stop(Stop),
}

/// What figures of the stream say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing of note.
    Sound,
    /// The subscription was silent, and is made anew.
    Silent(SubscriptionId),
    /// The stream does not hold the next entry any more.
    NextPurged,
    /// The replica stops.
    Stop(Stop),
}

/// The replica's side of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// Last entry that was received.
    pub(crate) last: u64,
    /// First entry whose hash is remembered.
    pub(crate) first_hashed: u64,
    /// It takes entries.
    pub(crate) has_room: bool,
}

impl Follower {
    pub(crate) fn new(stream: StreamId, incarnation: Incarnation, compares_nothing: bool) -> Self {
        Self {
            stream,
            incarnation,
            compares_nothing,
            is_entry: |bytes| Entry::read(bytes).is_ok(),
            subscription: None,
            subscribe_at_ms: 0,
            verify_from: None,
            read: None,
            read_at_ms: 0,
            behind_since_ms: None,
            absent_since_ms: None,
            ends: VecDeque::new(),
            end_ms: None,
            pulse: Pulse::default(),
            damaged: 0,
            bytes: 0,
        }
    }

    /// Follows a stream whose entries are told by another test than those of a shard.
    pub(crate) fn of_entries(self, is_entry: fn(&[u8]) -> bool) -> Self {
        Self { is_entry, ..self }
    }

    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// Bytes in the stream, when its figures were read last.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Moment of whose stream the replica has everything, as the figures say. They are what is to be had without ticks: it decides who ticks, and
    /// what is to be done where a stream takes none.
    pub(crate) fn end_ms(&self) -> Option<u64> {
        self.end_ms
    }

    /// Moment of whose stream the replica has everything, as the figures say and ticks bear out.
    pub(crate) fn fresh_ms(&self) -> Option<u64> {
        self.end_ms.zip(self.pulse.beat_ms()).map(|(end_ms, beat_ms)| end_ms.min(beat_ms))
    }

    /// True where only a tick of this node can bear out what the figures say.
    pub(crate) fn lacks_pulse(&self, now: Moment) -> bool {
        self.pulse.is_lost(now.elapsed_ms)
    }

    /// The replica has applied a tick; with the moment at which this node published it, where it did.
    pub(crate) fn ticked(&mut self, sequence: u64, published_ms: Option<u64>) {
        self.pulse.ticked(sequence, published_ms);
    }

    /// The replica has synced everything up to this entry.
    pub(crate) fn synced(&mut self, sequence: u64) {
        while let Some((at_ms, _)) = self.ends.pop_front_if(|(_, last)| *last <= sequence) {
            self.end_ms = self.end_ms.max(Some(at_ms));
        }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscription.is_some()
    }

    /// Subscribes and asks for figures when it is time.
    pub(crate) fn run(&mut self, now: Moment, at: Received, numbers: &mut Numbers, out: &mut Vec<Command>) {
        if !at.has_room && self.subscription.is_some() {
            self.let_go(out);
        }
        let may_subscribe = at.has_room && self.behind_since_ms.is_none();
        if self.subscription.is_none() && may_subscribe && now.elapsed_ms >= self.subscribe_at_ms {
            let from = self.verify_from.take().unwrap_or(at.last).max(at.first_hashed).max(1);
            let subscription = Subscription { id: numbers.subscription(), heard_ms: now.elapsed_ms };
            self.subscription = Some(subscription);
            self.subscribe_at_ms = now.elapsed_ms + AGAIN_MS;
            out.push(Command::Subscribe { subscription: subscription.id, stream: self.stream, from });
        }
        if self.read.is_none() && now.elapsed_ms >= self.read_at_ms {
            let asked = Asked { id: numbers.read(), at_ms: now.elapsed_ms, received: at.last };
            (self.read, self.read_at_ms) = (Some(asked), now.elapsed_ms + READ_MS);
            out.push(Command::ReadStream { read: asked.id, stream: self.stream });
        }
    }

    /// Returns the moment at which [`run`](Self::run) has something to do.
    pub(crate) fn due_ms(&self, has_room: bool) -> Option<u64> {
        let subscribe = self.subscription.is_none() && has_room && self.behind_since_ms.is_none();
        let read = self.read.is_none().then_some(self.read_at_ms);
        read.into_iter().chain(subscribe.then_some(self.subscribe_at_ms)).min()
    }

    /// Ends the subscription; another follows.
    pub(crate) fn let_go(&mut self, out: &mut Vec<Command>) {
        if let Some(subscription) = self.subscription.take() {
            out.push(Command::Unsubscribe(subscription.id));
        }
    }

    /// Compares the stream with what this replica has, from this sequence on.
    pub(crate) fn verify(&mut self, from: u64, out: &mut Vec<Command>) {
        self.verify_from = Some(self.verify_from.map_or(from, |other| other.min(from)));
        self.let_go(out);
    }

    /// A subscription ended. Returns true if it was this one's.
    pub(crate) fn ended(&mut self, subscription: SubscriptionId) -> bool {
        self.subscription.take_if(|own| own.id == subscription).is_some()
    }

    /// Judges a message. `known` is the hash of the entry that the replica has at its sequence.
    pub(crate) fn delivered(
        &mut self,
        message: &Delivered,
        at: Received,
        known: Option<u64>,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Taken {
        let own = self.subscription.as_mut().filter(|own| own.id == message.subscription);
        let Some(subscription) = own else { return Taken::Nothing };
        subscription.heard_ms = now.elapsed_ms;
        if message.incarnation != self.incarnation && !self.compares_nothing {
            return Taken::Stop(Stop::StreamAnew);
        }
        if message.sequence <= at.last {
            let differs = known.is_some_and(|known| known != entry_hash(&record(message)));
            let stops = differs && !self.compares_nothing;
            return if stops { Taken::Stop(Stop::StreamBehind) } else { Taken::Nothing };
        }
        if message.sequence > at.last + 1 || !at.has_room {
            // Messages between were lost on the way, or purged; the figures will tell.
            self.let_go(out);
            self.read_at_ms = self.read_at_ms.min(now.elapsed_ms);
            return Taken::Nothing;
        }
        if !(self.is_entry)(&message.bytes) {
            self.damaged += 1;
            self.let_go(out);
            return if self.damaged > DAMAGED_MAX { Taken::Stop(Stop::EntryDamaged) } else { Taken::Nothing };
        }
        self.damaged = 0;
        self.pulse.came(message.sequence, now.elapsed_ms);
        Taken::Next
    }

    /// Takes in figures that were asked for. `None` when they are not this one's.
    pub(crate) fn read(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        received: u64,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Option<Finding> {
        let asked = self.read.take_if(|asked| asked.id == read)?;
        let info = match outcome {
            StreamOutcome::NoAnswer => return Some(Finding::Sound),
            StreamOutcome::Absent => {
                let since = *self.absent_since_ms.get_or_insert(now.elapsed_ms);
                return Some(self.doubt(since, now, Stop::StreamGone));
            }
            StreamOutcome::Is(info) => info,
        };
        (self.absent_since_ms, self.bytes) = (None, info.bytes);
        if info.incarnation != self.incarnation && !self.compares_nothing {
            return Some(Finding::Stop(Stop::StreamAnew));
        }
        if info.first > received + 1 {
            return Some(Finding::NextPurged);
        }
        if info.last < asked.received && !self.compares_nothing {
            // What comes meanwhile may be other entries under our sequences. The next subscription compares.
            self.let_go(out);
            let since = *self.behind_since_ms.get_or_insert(now.elapsed_ms);
            return Some(self.doubt(since, now, Stop::StreamBehind));
        }
        self.behind_since_ms = None;
        self.ends.push_back((asked.at_ms, info.last));
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
        if info.last <= received {
            return Some(Finding::Sound);
        }
        let is_silent = |own: &Subscription| now.elapsed_ms - own.heard_ms >= SILENCE_MS;
        match self.subscription.filter(is_silent) {
            Some(subscription) => {
                self.let_go(out);
                Some(Finding::Silent(subscription.id))
            }
            None => Some(Finding::Sound),
        }
    }

    fn doubt(&self, since_ms: u64, now: Moment, stop: Stop) -> Finding {
        let is_sure = now.elapsed_ms - since_ms >= DOUBT_MS && !self.compares_nothing;
        if is_sure { Finding::Stop(stop) } else { Finding::Sound }
    }
}

/// Returns what the log keeps of a message.
pub(crate) fn record(message: &Delivered) -> LogRecord {
    LogRecord { sequence: message.sequence, time_ms: message.time_ms, bytes: message.bytes.clone() }
}

#[cfg(test)]
mod tests;
