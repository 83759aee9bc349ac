//! Requests to the brokers and back, and how they deliver the trail.

use vagn_cluster::trail::TrailEvent;
use vagn_cluster::{
    Delivered, Event, PublishId, PublishOutcome, ReadId, RecordKey, RecordOutcome, StreamId, StreamOutcome,
    SubscriptionId, WriteOutcome,
};

use super::machine::Consumer;
use super::side::Side;
use super::world::{Due, STREAM, World};
use crate::agenda::SECOND;
use crate::brokers::BROKERS;
use crate::stream::Offer;

/// A request to the brokers.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Publish(PublishId, StreamId, Offer),
    Read(ReadId, StreamId),
    Make(ReadId, StreamId),
    Subscribe(SubscriptionId, StreamId, u64),
    Purge(StreamId, u64),
    Drop(StreamId),
    ReadRecord(RecordKey),
    WriteRecord(RecordKey, Option<u64>, Vec<u8>),
}

impl Request {
    /// Returns the event that says that nobody answered.
    fn silence(&self) -> Option<Event> {
        match self {
            Self::Publish(publish, ..) => Some(Event::Published(*publish, PublishOutcome::NoAnswer)),
            Self::Read(read, _) | Self::Make(read, _) => {
                Some(Event::StreamRead(*read, StreamOutcome::NoAnswer))
            }
            Self::ReadRecord(key) => Some(Event::RecordRead(*key, RecordOutcome::NoAnswer)),
            Self::WriteRecord(key, ..) => Some(Event::RecordWritten(*key, WriteOutcome::NoAnswer)),
            Self::Subscribe(..) | Self::Purge(..) | Self::Drop(_) => None,
        }
    }
}

impl<S: Side> World<S> {
    /// Sends a request on its way.
    pub(crate) fn request(&mut self, from: usize, request: Request) {
        let now = self.now();
        let run = self.machines[from].run;
        let number = match request.silence() {
            None => 0,
            Some(event) => {
                self.requests += 1;
                self.machines[from].pending.insert(self.requests);
                let (request, event) = (self.requests, TrailEvent::Common(event));
                self.agenda.after(SECOND, Due::Event { to: from, run: Some(run), request, event });
                self.requests
            }
        };
        if !self.network.joins_brokers(from, now) {
            if let Request::Subscribe(subscription, ..) = request {
                self.end_subscription(from, subscription, SECOND);
            }
            return;
        }
        let mut delay = self.network.delay(&mut self.chance);
        let is_publish = matches!(request, Request::Publish(..));
        if is_publish && self.held_until > now {
            delay += self.held_until - now + self.chance.below(SECOND / 5);
        }
        if is_publish && !self.calm && self.chance.often(self.plan.stragglers) {
            delay += self.plan.window + self.chance.within(SECOND..=4 * SECOND);
        }
        self.agenda.after(delay, Due::Request { from, run, number, request });
    }

    /// Lets the brokers serve a request.
    pub(crate) fn serve(&mut self, from: usize, run: u64, number: u64, request: Request) {
        let now = self.now();
        let stale = self.chance.often(self.plan.stale) && !self.calm;
        match request {
            Request::Publish(publish, stream, offer) => {
                self.publish(from, run, number, publish, stream, offer);
            }
            Request::Read(read, stream) => {
                let outcome = self.brokers.read(stream, stale, now, &mut self.chance);
                self.answer(from, run, number, Event::StreamRead(read, outcome));
            }
            Request::Make(read, stream) => {
                let (outcome, _) = self.brokers.make(stream, now, &mut self.chance);
                self.answer(from, run, number, Event::StreamRead(read, outcome));
            }
            Request::Subscribe(subscription, stream, next) => {
                self.subscribe(from, run, subscription, stream, next);
            }
            Request::Purge(stream, through) => self.purge(from, stream, through),
            Request::Drop(stream) => {
                self.brokers.delete(stream, now);
                self.reached.note("stream of an epoch before dropped");
            }
            Request::ReadRecord(key) => {
                let outcome = self.brokers.read_record(key, stale, now, &mut self.chance);
                self.answer(from, run, number, Event::RecordRead(key, outcome));
            }
            Request::WriteRecord(key, expected, bytes) => {
                let outcome = self.brokers.write_record(key, expected, bytes, now);
                self.answer(from, run, number, Event::RecordWritten(key, outcome));
            }
        }
    }

    /// Sends an answer back, if a way leads there. What the brokers could not do has none.
    fn answer(&mut self, to: usize, run: u64, request: u64, event: Event) {
        let silent = matches!(
            event,
            Event::StreamRead(_, StreamOutcome::NoAnswer)
                | Event::RecordRead(_, RecordOutcome::NoAnswer)
                | Event::RecordWritten(_, WriteOutcome::NoAnswer)
        );
        if silent || !self.network.joins_brokers(to, self.now()) {
            return;
        }
        if self.chance.often(self.plan.unanswered) && !self.calm {
            self.reached.note("answer of a broker lost");
            return;
        }
        let delay = self.network.delay(&mut self.chance);
        let event = TrailEvent::Common(event);
        self.agenda.after(delay, Due::Event { to, run: Some(run), request, event });
    }

    fn publish(
        &mut self,
        from: usize,
        run: u64,
        number: u64,
        publish: PublishId,
        stream: StreamId,
        offer: Offer,
    ) {
        let now = self.now();
        let Some(appended) = self.brokers.publish(stream, offer.clone(), now, &mut self.chance) else {
            // Some are kept by a broker until somebody leads.
            if self.chance.often(3_000) {
                let request = Request::Publish(publish, stream, offer);
                let delay = self.chance.within(SECOND / 2..=4 * SECOND);
                self.agenda.after(delay, Due::Request { from, run, number, request });
            }
            return;
        };
        let waits = self.machines[from].run == run && self.machines[from].pending.contains(&number);
        self.trace.line(now, || format!("stream: {appended:?}"));
        if appended.added {
            if !waits {
                self.reached.note("entry stored though its sender gave up");
            }
            self.appended(&offer.bytes);
            self.oracle.appended(&offer.bytes);
            self.fan_out();
        } else if appended.refused_by_itself {
            self.reached.note("entry refused for itself");
        }
        if appended.reused {
            self.reached.note("sequence given again");
        }
        self.answer(from, run, number, Event::Published(publish, appended.outcome));
    }

    /// Removes the beginning of a stream. It is remembered for the oracle.
    fn purge(&mut self, from: usize, stream: StreamId, through: u64) {
        let now = self.now();
        let Some(info) = self.brokers.truth(stream).map(|log| log.info()) else { return };
        let going: Vec<_> = (info.first..=through.min(info.last))
            .filter_map(|sequence| Some(self.brokers.message(stream, sequence)?.1))
            .collect();
        if !self.brokers.purge(stream, through, now, &mut self.chance) {
            return;
        }
        self.trace.line(now, || format!("stream: purged through {through}"));
        let saved = S::mark(&self.machines[from].own).map_or(0, |mark| mark.sequence);
        self.oracle.purged(from, saved, through);
        self.purged.extend(going);
    }

    fn subscribe(
        &mut self,
        from: usize,
        run: u64,
        subscription: SubscriptionId,
        stream: StreamId,
        next: u64,
    ) {
        let now = self.now();
        if self.machines[from].run != run || self.machines[from].node.is_none() {
            return;
        }
        let broker = self.chance.below(BROKERS as u64) as usize;
        let Some(log) = self.brokers.truth(stream).filter(|_| !self.brokers.is_away(broker, now)) else {
            self.end_subscription(from, subscription, SECOND / 2);
            return;
        };
        let incarnation = log.info().incarnation;
        let consumer = Consumer { stream, incarnation, next, broker, silent: false, arrives: now };
        self.machines[from].consumers.insert(subscription, consumer);
        self.pump(from, subscription);
    }

    /// Sends all consumers of the trail what is new.
    pub(crate) fn fan_out(&mut self) {
        for machine in 0..self.machines.len() {
            let consumers: Vec<SubscriptionId> = self.machines[machine].consumers.keys().copied().collect();
            consumers.into_iter().for_each(|subscription| self.pump(machine, subscription));
        }
    }

    /// Sends a consumer all that it has not had.
    fn pump(&mut self, to: usize, subscription: SubscriptionId) {
        let now = self.now();
        let Some(mut consumer) = self.machines[to].consumers.get(&subscription).copied() else { return };
        if consumer.silent {
            return;
        }
        let there = self.brokers.truth(consumer.stream).map(|log| log.info());
        let is_same = |info: &vagn_cluster::StreamInfo| info.incarnation == consumer.incarnation;
        let Some(info) = there.filter(is_same).filter(|_| !self.brokers.is_away(consumer.broker, now)) else {
            return self.lose_consumer(to, subscription);
        };
        let messages: Vec<Delivered> = (consumer.next..=info.last)
            .filter_map(|sequence| {
                let (time_ms, bytes) = self.brokers.message(consumer.stream, sequence)?;
                let incarnation = consumer.incarnation;
                Some(Delivered { subscription, incarnation, sequence, time_ms, bytes })
            })
            .collect();
        consumer.next = consumer.next.max(info.last + 1);
        for message in messages {
            self.post(to, &mut consumer, message);
        }
        self.machines[to].consumers.insert(subscription, consumer);
    }

    /// Brings a message on its way to a machine: in order, unless the weather is bad.
    fn post(&mut self, to: usize, consumer: &mut Consumer, message: Delivered) {
        let now = self.now();
        if !self.network.joins_brokers(to, now) {
            return;
        }
        let run = self.machines[to].run;
        consumer.arrives = consumer.arrives.max(now + self.network.delay(&mut self.chance));
        for delay in self.network.delays(&mut self.chance) {
            let late = delay > self.network.weather.delay.1;
            let at = if late { now + delay } else { consumer.arrives };
            self.agenda.at(at, Due::Deliver { to, run, messages: vec![message.clone()] });
        }
    }

    /// Ends a consumer: it says so, or says nothing more.
    pub(crate) fn lose_consumer(&mut self, of: usize, subscription: SubscriptionId) {
        if self.chance.often(5_000) {
            let delay = self.chance.within(SECOND / 2..=2 * SECOND);
            self.end_subscription(of, subscription, delay);
        } else if let Some(consumer) = self.machines[of].consumers.get_mut(&subscription) {
            consumer.silent = true;
        }
    }

    /// Lets the brokers lose the last entries. Of the consumers some go back, and some wait.
    pub(crate) fn lose_tail(&mut self, lost: u64) {
        let now = self.now();
        if self.brokers.lose_tail(STREAM, lost, now) == 0 {
            return;
        }
        self.reached.note("tail lost");
        let truth: Vec<_> = self.truth();
        self.oracle.harmed(&truth);
        let last = self.brokers.truth(STREAM).map_or(0, |log| log.info().last);
        for consumer in self.machines.iter_mut().flat_map(|machine| machine.consumers.values_mut()) {
            if consumer.next > last + 1 && self.chance.often(3_000) {
                consumer.next = last + 1;
            }
        }
    }

    /// Returns all entries that the brokers have, and had before they were asked to purge them.
    pub(crate) fn truth(&self) -> Vec<std::sync::Arc<[u8]>> {
        let first = self.brokers.truth(STREAM).map_or(1, |log| log.info().first);
        let there = (first..).map_while(|sequence| Some(self.brokers.message(STREAM, sequence)?.1));
        self.purged.iter().cloned().chain(there).collect()
    }
}
