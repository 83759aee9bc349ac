//! Messages of a door under way to one shard's stream: published, tried again, waiting for their fates.
//!
//! While the brokers do not answer, one message is tried again with growing pauses, always under the same name.

use std::collections::VecDeque;
use std::sync::Arc;

use vagn_wire::Fate;

use crate::command::Command;
use crate::entry::{with_epoch, with_id};
use crate::event::PublishOutcome;
use crate::happened::Happened;
use crate::ids::{BatchId, Moment, PublishId, StreamId, Ticket};
use crate::numbers::Numbers;

/// Longest wait of a change before it is published, and of a message for its fates.
pub(crate) const WAIT_MS: u64 = 5_000;

/// Most messages under way that the brokers have not answered.
const UNDER_WAY_MAX: usize = 2;

/// Most messages that are in the stream and wait for their fates.
pub(crate) const AWAITING_MAX: usize = 16;

/// Time after which owners are asked for the fates of a message that is in the stream.
pub(crate) const ASK_MS: u64 = 2_000;

/// Pauses between attempts: the first, doubled up to the longest.
const RETRY_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 2_000;

/// Attempts without an answer after which a single message is tried.
const FAILURES_MAX: u32 = 3;

/// Who waits for the fate of a change: a group, and its place in it.
pub(crate) type Reporter = (Ticket, u32);

/// A change that has met its fate.
pub(crate) type Settled = (Reporter, Fate);

/// What a round of a batcher is given.
pub(crate) struct Round<'a> {
    pub(crate) now: Moment,
    /// Where to publish, once it is known.
    pub(crate) stream: Option<StreamId>,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) out: &'a mut Vec<Command>,
    pub(crate) settled: &'a mut Vec<Settled>,
    pub(crate) unanswered: &'a mut Vec<Unanswered>,
}

/// Messages that were published and have no fates, in the order of their publishing.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: VecDeque<Flight>,
    /// Attempts in a row that had no good answer.
    failures: u32,
}

/// A message that was published.
#[derive(Debug)]
pub(crate) struct Flight {
    batch: BatchId,
    stream: StreamId,
    bytes: Arc<[u8]>,
    /// Empty once they have their fates.
    reporters: Vec<Reporter>,
    sent_ms: u64,
    /// The attempt that is under way.
    publish: Option<PublishId>,
    retry_at_ms: u64,
    in_stream: Option<InStream>,
}

#[derive(Debug, Clone, Copy)]
struct InStream {
    sequence: u64,
    since_ms: u64,
    has_asked: bool,
}

/// A message whose fates its owners are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) batch: BatchId,
    pub(crate) stream: StreamId,
    pub(crate) sequence: u64,
}

/// What is to become of a message whose door is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is none of these.
    Unknown,
    /// Nobody waits any more: it was given up.
    GivenUp,
    /// It needs another name.
    Nameless,
}

impl Flights {
    /// Publishes a message.
    pub(crate) fn launch(
        &mut self,
        batch: BatchId,
        (stream, bytes): (StreamId, Vec<u8>),
        reporters: Vec<Reporter>,
        round: &mut Round<'_>,
    ) {
        let mut flight = Flight {
            batch,
            stream,
            bytes: Arc::from(bytes),
            reporters,
            sent_ms: round.now.elapsed_ms,
            publish: None,
            retry_at_ms: 0,
            in_stream: None,
        };
        flight.publish(round);
        self.flights.push_back(flight);
    }

    /// True when another message may be published.
    pub(crate) fn has_place(&self) -> bool {
        let under_way = self.flights.iter().filter(|flight| flight.in_stream.is_none()).count();
        !self.is_open() && under_way < UNDER_WAY_MAX && self.flights.len() < AWAITING_MAX
    }

    /// True while the brokers do not answer a message that is tried. Owners can answer it in their place: then the next one is.
    pub(crate) fn is_open(&self) -> bool {
        self.failures >= FAILURES_MAX && self.flights.iter().any(|flight| flight.in_stream.is_none())
    }

    /// Returns the moment at which a message is to be tried again, asked for or given up.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let probe = self.flights.iter().position(|flight| flight.in_stream.is_none());
        let flights = self.flights.iter().enumerate().filter_map(|(at, flight)| {
            let may_retry = flight.in_stream.is_none()
                && flight.publish.is_none()
                && (!self.is_open() || Some(at) == probe);
            let ask = flight.in_stream.filter(|there| !there.has_asked).map(|there| there.since_ms + ASK_MS);
            let give_up = (!flight.reporters.is_empty()).then_some(flight.sent_ms + WAIT_MS);
            [may_retry.then_some(flight.retry_at_ms), ask, give_up].into_iter().flatten().min()
        });
        flights.min()
    }

    /// Gives up what has no fates, and asks owners for those that are late.
    pub(crate) fn run(&mut self, round: &mut Round<'_>) {
        let now_ms = round.now.elapsed_ms;
        for flight in &mut self.flights {
            if now_ms >= flight.sent_ms + WAIT_MS {
                // It is tried again all the same: it may be in the stream already, or come to be there.
                let reporters = flight.reporters.drain(..);
                round.settled.extend(reporters.map(|reporter| (reporter, Fate::Failed)));
            }
        }
        self.flights.retain(|flight| flight.in_stream.is_none() || !flight.reporters.is_empty());
        for flight in &mut self.flights {
            let Some(there) = &mut flight.in_stream else { continue };
            if !there.has_asked && now_ms >= there.since_ms + ASK_MS {
                there.has_asked = true;
                let (batch, stream, sequence) = (flight.batch, flight.stream, there.sequence);
                round.unanswered.push(Unanswered { batch, stream, sequence });
            }
        }
    }

    /// Publishes again what the brokers did not answer, in the stream of the newest epoch.
    pub(crate) fn retry(&mut self, stream: StreamId, round: &mut Round<'_>) {
        let is_open = self.is_open();
        let mut tried = 0;
        for flight in &mut self.flights {
            if flight.stream.epoch < stream.epoch {
                // The shard was repaired. What has no fates goes into its new stream, under the name it has.
                flight.stream = stream;
                flight.bytes = Arc::from(with_epoch(&flight.bytes, stream.epoch));
                flight.begin_anew(round.now);
            }
            let is_unsure = flight.in_stream.is_none();
            let is_due = flight.publish.is_none() && round.now.elapsed_ms >= flight.retry_at_ms;
            if is_unsure && is_due && (!is_open || tried == 0) {
                flight.publish(round);
            }
            tried += usize::from(is_unsure);
        }
    }

    /// A publish was answered. Returns true if it was one of these.
    pub(crate) fn published(
        &mut self,
        publish: PublishId,
        outcome: PublishOutcome,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> bool {
        let Some(flight) = self.flights.iter_mut().find(|flight| flight.publish == Some(publish)) else {
            return false;
        };
        flight.publish = None;
        if let PublishOutcome::Stored { sequence, .. } = outcome {
            self.failures = 0;
            let has_asked = flight.reporters.is_empty();
            flight.in_stream = Some(InStream { sequence, since_ms: now.elapsed_ms, has_asked });
        } else {
            self.failures += 1;
            flight.retry_at_ms = now.elapsed_ms + (RETRY_MS << self.failures.min(6)).min(RETRY_MAX_MS);
            if self.failures == FAILURES_MAX {
                out.push(Command::Tell(Happened::BrokersAway(flight.stream.shard)));
            }
        }
        true
    }

    /// An owner tells the fates of a batch. The first to do so counts; returns true for it.
    pub(crate) fn fates(&mut self, batch: BatchId, fates: &[Fate], settled: &mut Vec<Settled>) -> bool {
        let at = self.flights.iter().position(|flight| flight.batch == batch);
        let Some(flight) = at.and_then(|at| self.flights.remove(at)) else { return false };
        // An owner knows how many there were; should it tell too few, the rest is unknown.
        let fates = fates.iter().copied().chain(std::iter::repeat(Fate::Failed));
        settled.extend(flight.reporters.into_iter().zip(fates));
        true
    }

    /// An owner says that it does not know the door of a batch.
    pub(crate) fn refused(&mut self, batch: BatchId) -> Refused {
        let Some(at) = self.flights.iter().position(|flight| flight.batch == batch) else {
            return Refused::Unknown;
        };
        if !self.flights[at].reporters.is_empty() {
            return Refused::Nameless;
        }
        // Nobody waits any more, and it is not stored: it could be refused without end.
        self.flights.remove(at);
        Refused::GivenUp
    }

    /// Gives a batch another name, under which it goes again.
    pub(crate) fn rename(&mut self, batch: BatchId, renamed: BatchId, now: Moment) {
        for flight in self.flights.iter_mut().filter(|flight| flight.batch == batch) {
            flight.bytes = Arc::from(with_id(&flight.bytes, renamed));
            flight.batch = renamed;
            flight.begin_anew(now);
        }
    }

    /// Returns the number of changes without a fate.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.flights.iter().map(|flight| flight.reporters.len()).sum()
    }

    /// Returns the batches, each with whether an attempt is under way.
    #[cfg(test)]
    pub(crate) fn batches(&self) -> Vec<(BatchId, bool)> {
        self.flights.iter().map(|flight| (flight.batch, flight.publish.is_some())).collect()
    }
}

impl Flight {
    fn publish(&mut self, round: &mut Round<'_>) {
        let publish = round.numbers.publish();
        self.publish = Some(publish);
        round.out.push(Command::Publish {
            publish,
            stream: self.stream,
            message_id: Some(self.batch.to_string()),
            expected_last: None,
            bytes: self.bytes.clone(),
        });
    }

    /// Nothing is known of it as it is now.
    fn begin_anew(&mut self, now: Moment) {
        (self.publish, self.in_stream, self.retry_at_ms) = (None, None, now.elapsed_ms);
    }
}
