//! Requests: what goes from machines to brokers and back, and how the brokers deliver messages.

use vagn_cluster::{
    Delivered, Event, PublishId, PublishOutcome, ReadId, RecordKey, RecordOutcome, StreamId, StreamOutcome,
    SubscriptionId, WriteOutcome,
};

use crate::agenda::{MILLI, SECOND};
use crate::brokers::BROKERS;
use crate::machine::Consumer;
use crate::network::MachineId;
use crate::stream::{Appended, Offer};
use crate::world::{Due, World};

/// Messages that come together when a consumer catches up.
const TOGETHER: u64 = 64;

/// A request to the brokers.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Publish(PublishId, StreamId, Offer),
    Read(ReadId, StreamId),
    Make(ReadId, StreamId),
    Drop(StreamId),
    Subscribe(SubscriptionId, StreamId, u64),
    Purge(StreamId, u64),
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
            Self::Drop(_) | Self::Subscribe(..) | Self::Purge(..) => None,
        }
    }

    fn is_held_up(&self) -> bool {
        matches!(self, Self::Publish(..) | Self::WriteRecord(..) | Self::Purge(..) | Self::Make(..))
    }
}

impl World {
    /// Sends a request on its way.
    pub(crate) fn request(&mut self, from: MachineId, request: Request) {
        let now = self.now();
        let number = self.number(from, request.silence());
        if !self.network.joins_brokers(from, now) {
            if let Request::Subscribe(subscription, ..) = request {
                self.end_subscription(from, subscription, SECOND);
            } else if let Request::Read(read, stream) = request
                && let Some(info) = self.machines[from].lone_leader.get(&stream)
            {
                let (run, event) =
                    (self.machines[from].run, Event::StreamRead(read, StreamOutcome::Is(*info)));
                self.reached.note("figures of a leader that is cut off");
                let delay = self.network.delay(&mut self.chance);
                self.agenda.after(delay, Due::Event { to: from, run: Some(run), request: number, event });
            }
            return;
        }
        let mut delay = self.network.delay(&mut self.chance);
        if request.is_held_up() && self.held_until > now {
            // What is held up comes in any order.
            delay += self.held_until - now + self.chance.below(200 * MILLI);
        }
        if matches!(request, Request::Publish(..)) && !self.calm && self.chance.often(self.plan.stragglers) {
            delay += self.plan.window + self.chance.within(SECOND..=6 * SECOND);
        }
        let run = self.machines[from].run;
        self.agenda.after(delay, Due::Request { from, run, number, request });
    }

    /// Lets the brokers serve a request.
    pub(crate) fn serve(&mut self, from: MachineId, run: u64, number: u64, request: Request) {
        let now = self.now();
        let stale = self.chance.often(self.plan.stale) && !self.calm;
        let answer = match request {
            Request::Publish(publish, stream, offer) => {
                return self.publish(from, run, number, publish, stream, offer);
            }
            Request::Read(read, stream) => {
                let outcome = self.brokers.read(stream, stale, now, &mut self.chance);
                self.note_stale(stale, outcome != StreamOutcome::NoAnswer);
                Event::StreamRead(read, outcome)
            }
            Request::Make(read, stream) => {
                let (outcome, made) = self.brokers.make(stream, now, &mut self.chance);
                self.trace.line(now, || format!("make {stream:?}: {made}"));
                Event::StreamRead(read, outcome)
            }
            Request::Drop(stream) => {
                self.brokers.delete(stream, now);
                return;
            }
            Request::Purge(stream, through) => {
                self.brokers.purge(stream, through, now, &mut self.chance);
                return;
            }
            Request::Subscribe(subscription, stream, next) => {
                return self.subscribe(from, run, subscription, stream, next);
            }
            Request::ReadRecord(key) => {
                let outcome = self.brokers.read_record(key, stale, now, &mut self.chance);
                self.note_stale(stale, outcome != RecordOutcome::NoAnswer);
                Event::RecordRead(key, outcome)
            }
            Request::WriteRecord(key, expected, bytes) => {
                let outcome = self.brokers.write_record(key, expected, bytes, now);
                self.trace
                    .line(now, || format!("record of {} expecting {expected:?}: {outcome:?}", from + 1));
                Event::RecordWritten(key, outcome)
            }
        };
        self.answer(from, run, number, answer);
    }

    fn note_stale(&mut self, stale: bool, answered: bool) {
        if stale && answered {
            self.reached.note("stale view");
        }
    }

    /// Sends an answer back, if a way leads there. What the brokers could not do has none.
    fn answer(&mut self, to: MachineId, run: u64, request: u64, event: Event) {
        let silent = matches!(
            &event,
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
        self.agenda.after(delay, Due::Event { to, run: Some(run), request, event });
    }

    fn publish(
        &mut self,
        from: MachineId,
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
            } else {
                self.reached.note("message dropped without a leader");
            }
            return;
        };
        let waits = self.machines[from].run == run && self.machines[from].pending.contains(&number);
        self.note_appended(appended, waits, stream);
        self.trace.line(now, || format!("stream {}/{}: {appended:?}", stream.shard.0, stream.epoch));
        if appended.added {
            self.fan_out(stream);
        }
        self.answer(from, run, number, Event::Published(publish, appended.outcome));
    }

    fn note_appended(&mut self, appended: Appended, waits: bool, stream: StreamId) {
        let Appended { outcome, added, reused, twin, refused_by_itself } = appended;
        let last = self.brokers.truth(stream).map_or(0, |log| log.last());
        let time = |sequence| self.brokers.message(stream, sequence).map(|(time_ms, _)| time_ms);
        let back = added && last > 1 && time(last) < time(last - 1);
        let states = [
            (added && !waits, "message stored though its sender gave up"),
            (added && twin, "message stored again after the window"),
            (refused_by_itself, "message refused for itself"),
            (reused, "sequence given again"),
            (outcome == PublishOutcome::Full, "stream full"),
            (back, "time that ran back"),
        ];
        states.iter().filter(|(is, _)| *is).for_each(|(_, state)| self.reached.note(state));
    }

    fn subscribe(
        &mut self,
        from: MachineId,
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
        if next > log.last() + 1 {
            self.reached.note("consumer that waits beyond the end");
        }
        let incarnation = log.info().incarnation;
        let consumer = Consumer { stream, incarnation, next, broker, silent: false, arrives: now };
        self.machines[from].consumers.insert(subscription, consumer);
        self.pump(from, subscription);
    }

    /// Sends all consumers of a stream what is new.
    pub(crate) fn fan_out(&mut self, stream: StreamId) {
        for machine in 0..self.machines.len() {
            let consumers = self.machines[machine].consumers.iter();
            let of_stream: Vec<SubscriptionId> =
                consumers.filter(|(_, consumer)| consumer.stream == stream).map(|(id, _)| *id).collect();
            of_stream.into_iter().for_each(|subscription| self.pump(machine, subscription));
        }
    }

    /// Sends a consumer all that it has not had.
    fn pump(&mut self, to: MachineId, subscription: SubscriptionId) {
        let now = self.now();
        let Some(mut consumer) = self.machines[to].consumers.get(&subscription).copied() else { return };
        if consumer.silent {
            return;
        }
        let there = self.brokers.truth(consumer.stream).map(|log| log.info());
        let Some(info) = there.filter(|info| info.incarnation == consumer.incarnation) else {
            return self.lose_consumer(to, subscription);
        };
        if self.brokers.is_away(consumer.broker, now) {
            return self.lose_consumer(to, subscription);
        }
        if consumer.next < info.first {
            self.reached.note("consumer that begins later");
            consumer.next = info.first;
        }
        while consumer.next <= info.last {
            let end = info.last.min(consumer.next + TOGETHER - 1);
            let messages = self.messages(subscription, &consumer, end);
            consumer.next = end + 1;
            self.post(to, &mut consumer, messages);
        }
        self.machines[to].consumers.insert(subscription, consumer);
    }

    fn messages(&self, subscription: SubscriptionId, consumer: &Consumer, end: u64) -> Vec<Delivered> {
        let Consumer { stream, incarnation, next, .. } = *consumer;
        (next..=end)
            .filter_map(|sequence| {
                let (time_ms, bytes) = self.brokers.message(stream, sequence)?;
                Some(Delivered { subscription, incarnation, sequence, time_ms, bytes })
            })
            .collect()
    }

    /// Brings messages on their way to a machine: in order, unless the weather is bad.
    fn post(&mut self, to: MachineId, consumer: &mut Consumer, messages: Vec<Delivered>) {
        let now = self.now();
        if !self.network.joins_brokers(to, now) {
            return;
        }
        let run = self.machines[to].run;
        let usual = now + self.network.delay(&mut self.chance);
        consumer.arrives = usual.max(consumer.arrives);
        for (copy, delay) in self.network.delays(&mut self.chance).enumerate() {
            let late = delay > self.network.weather.delay.1;
            let at = if late { now + delay } else { consumer.arrives };
            let state = if copy > 0 { "message delivered twice" } else { "message delivered out of order" };
            if copy > 0 || late {
                self.reached.note(state);
            }
            self.agenda.at(at, Due::Deliver { to, run, sent: now, messages: messages.clone() });
        }
    }

    /// Ends a consumer: it says so, or says nothing more.
    pub(crate) fn lose_consumer(&mut self, of: MachineId, subscription: SubscriptionId) {
        if self.chance.often(5_000) {
            let delay = self.chance.within(SECOND / 2..=2 * SECOND);
            self.end_subscription(of, subscription, delay);
        } else if let Some(consumer) = self.machines[of].consumers.get_mut(&subscription) {
            consumer.silent = true;
            self.reached.note("consumer that died silently");
        }
    }
}
