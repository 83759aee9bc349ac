//! Brokers: three machines that keep streams and records together, as NATS JetStream does on bad days.
//!
//! A stream is one log here, not three: what three copies and an election do to it is told by what they let through. Without a
//! majority, or while a leader is elected (4 to 9 s), nothing is taken and nothing answered. What was on its way then may
//! still be stored when a new leader stands. A new leader's clock may run behind the old one's. With the power of all brokers
//! the end of a stream can go, and its sequences are given again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use vagn_cluster::{
    Incarnation, PublishOutcome, RecordKey, RecordOutcome, StreamId, StreamInfo, StreamOutcome, WriteOutcome,
};

use crate::agenda::SECOND;
use crate::chance::Chance;
use crate::stream::{Appended, Message, Offer, Stream};

/// Brokers of a cluster.
pub(crate) const BROKERS: usize = 3;

/// Wall clock of true time 0, ms since 1970.
pub(crate) const WALL_MS: i64 = 1_800_000_000_000;

/// Longest age of what a deposed leader or a follower answers.
const STALE: u64 = 10 * SECOND;

/// Span between two views that are kept for stale reads.
const VIEW: u64 = SECOND / 4;

/// The brokers.
#[derive(Debug)]
pub(crate) struct Brokers {
    brokers: [Broker; BROKERS],
    streams: BTreeMap<StreamId, Held>,
    records: BTreeMap<RecordKey, Record>,
    revision: u64,
    window: u64,
    bytes_max: u64,
}

/// A broker.
#[derive(Debug, Clone, Copy, Default)]
struct Broker {
    /// Until when it is down, stopped or apart from the others.
    away_until: u64,
    clock_ms: i64,
}

/// A name at the brokers, with or without a stream.
#[derive(Debug, Default)]
struct Held {
    stream: Option<Stream>,
    leader: usize,
    /// No leader stands before.
    leads_from: u64,
    views: Views<Option<StreamInfo>>,
}

/// A record.
#[derive(Debug, Default)]
struct Record {
    value: Option<(u64, Vec<u8>)>,
    views: Views<Option<(u64, Vec<u8>)>>,
}

/// What was to be seen in the last seconds.
#[derive(Debug)]
struct Views<T>(VecDeque<(u64, T)>);

impl<T> Default for Views<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Views<T> {
    /// Remembers what is to be seen until now, before it changes.
    fn keep(&mut self, now: u64, view: T) {
        if self.0.back().is_none_or(|(at, _)| at + VIEW <= now) {
            self.0.push_back((now, view));
        }
        while self.0.front().is_some_and(|(at, _)| at + STALE < now) {
            self.0.pop_front();
        }
    }

    fn stale(&self, now: u64, chance: &mut Chance) -> Option<T> {
        let start = self.0.partition_point(|(at, _)| at + STALE < now);
        let count = (self.0.len() - start) as u64;
        (count > 0).then(|| self.0[start + chance.below(count) as usize].1.clone())
    }
}

impl Brokers {
    pub(crate) fn new(window: u64, bytes_max: u64) -> Self {
        Self {
            brokers: [Broker::default(); BROKERS],
            streams: BTreeMap::new(),
            records: BTreeMap::new(),
            revision: 0,
            window,
            bytes_max,
        }
    }

    pub(crate) fn is_away(&self, broker: usize, now: u64) -> bool {
        now < self.brokers[broker].away_until
    }

    /// Returns whether a majority is there.
    pub(crate) fn stand(&self, now: u64) -> bool {
        (0..BROKERS).filter(|broker| !self.is_away(*broker, now)).count() * 2 > BROKERS
    }

    /// Takes a broker away for a while. Streams that it led elect another leader.
    pub(crate) fn take_away(&mut self, broker: usize, now: u64, until: u64) {
        let state = &mut self.brokers[broker];
        state.away_until = state.away_until.max(until);
        for held in self.streams.values_mut().filter(|held| held.leader == broker) {
            held.leads_from = held.leads_from.max(now + 1);
        }
    }

    /// Returns the figures of the streams that a broker leads.
    pub(crate) fn led_by(&self, broker: usize) -> BTreeMap<StreamId, StreamInfo> {
        let led = self.streams.iter().filter(|(_, held)| held.leader == broker);
        led.filter_map(|(id, held)| Some((*id, held.stream.as_ref()?.info()))).collect()
    }

    /// Ends all that keeps brokers away, and sets their clocks right.
    pub(crate) fn come_back(&mut self, now: u64) {
        for broker in &mut self.brokers {
            broker.away_until = broker.away_until.min(now);
            broker.clock_ms = 0;
        }
    }

    pub(crate) fn set_clock(&mut self, broker: usize, clock_ms: i64) {
        self.brokers[broker].clock_ms = clock_ms;
    }

    /// Returns whether somebody leads the stream. If its leader is away, an election begins, and ends in 4 to 9 s if a majority
    /// is there.
    fn leads(&mut self, stream: StreamId, now: u64, chance: &mut Chance) -> bool {
        let stand = self.stand(now);
        let away: [bool; BROKERS] = std::array::from_fn(|broker| self.is_away(broker, now));
        let Some(held) = self.streams.get_mut(&stream) else { return stand };
        if !stand {
            return false;
        }
        if away[held.leader] {
            let there: Vec<usize> = (0..BROKERS).filter(|broker| !away[*broker]).collect();
            held.leader = chance.pick(&there);
            held.leads_from = now + chance.within(4 * SECOND..=9 * SECOND);
        } else if held.leads_from > now && held.leads_from <= now + 1 {
            // It came back before anybody else was elected, and still has to win.
            held.leads_from = now + chance.within(4 * SECOND..=9 * SECOND);
        }
        now >= held.leads_from
    }

    /// Publishes a message. Nothing comes back when nobody leads: then it was not stored.
    pub(crate) fn publish(
        &mut self,
        stream: StreamId,
        offer: Offer,
        now: u64,
        chance: &mut Chance,
    ) -> Option<Appended> {
        if !self.leads(stream, now, chance) {
            return None;
        }
        let held = self.streams.entry(stream).or_default();
        let time_ms = WALL_MS + (now / 1_000) as i64 + self.brokers[held.leader].clock_ms;
        held.views.keep(now, held.stream.as_ref().map(Stream::info));
        let Some(log) = &mut held.stream else {
            let outcome = PublishOutcome::Absent;
            return Some(Appended {
                outcome,
                added: false,
                reused: false,
                twin: false,
                refused_by_itself: false,
            });
        };
        Some(log.append(now, time_ms, offer))
    }

    /// Reads a stream's figures, up to ten seconds old if `stale`.
    pub(crate) fn read(
        &mut self,
        stream: StreamId,
        stale: bool,
        now: u64,
        chance: &mut Chance,
    ) -> StreamOutcome {
        let leads = self.leads(stream, now, chance);
        let Some(held) = self.streams.get_mut(&stream) else {
            return if leads { StreamOutcome::Absent } else { StreamOutcome::NoAnswer };
        };
        let old = if stale { held.views.stale(now, chance) } else { None };
        if old.is_none() && !leads {
            return StreamOutcome::NoAnswer;
        }
        match old.unwrap_or_else(|| held.stream.as_ref().map(Stream::info)) {
            Some(info) => StreamOutcome::Is(info),
            None => StreamOutcome::Absent,
        }
    }

    /// Makes a stream if there is none. Says whether it did.
    pub(crate) fn make(&mut self, stream: StreamId, now: u64, chance: &mut Chance) -> (StreamOutcome, bool) {
        if !self.leads(stream, now, chance) {
            return (StreamOutcome::NoAnswer, false);
        }
        let leader = if self.streams.contains_key(&stream) { None } else { self.somebody(now, chance) };
        let (window, bytes_max) = (self.window, self.bytes_max);
        let held = self.streams.entry(stream).or_default();
        held.leader = leader.unwrap_or(held.leader);
        held.views.keep(now, held.stream.as_ref().map(Stream::info));
        let made = held.stream.is_none();
        let log = held.stream.get_or_insert_with(|| Stream::new(incarnation(now), window, bytes_max));
        (StreamOutcome::Is(log.info()), made)
    }

    fn somebody(&self, now: u64, chance: &mut Chance) -> Option<usize> {
        let there: Vec<usize> = (0..BROKERS).filter(|broker| !self.is_away(*broker, now)).collect();
        (!there.is_empty()).then(|| chance.pick(&there))
    }

    /// Removes the first messages of a stream, if somebody leads it.
    pub(crate) fn purge(&mut self, stream: StreamId, through: u64, now: u64, chance: &mut Chance) -> bool {
        let leads = self.leads(stream, now, chance);
        let Some(held) = self.streams.get_mut(&stream).filter(|_| leads) else { return false };
        held.views.keep(now, held.stream.as_ref().map(Stream::info));
        held.stream.iter_mut().for_each(|log| log.purge(through));
        true
    }

    /// Deletes a stream. It is a fault unless a node asks for it.
    pub(crate) fn delete(&mut self, stream: StreamId, now: u64) -> bool {
        let Some(held) = self.streams.get_mut(&stream) else { return false };
        held.views.keep(now, held.stream.as_ref().map(Stream::info));
        held.stream.take().is_some()
    }

    /// Fault: makes a stream anew, empty, under its name.
    pub(crate) fn make_anew(&mut self, stream: StreamId, now: u64) -> bool {
        let (window, bytes_max) = (self.window, self.bytes_max);
        let there = self.delete(stream, now);
        if there && let Some(held) = self.streams.get_mut(&stream) {
            held.stream = Some(Stream::new(incarnation(now), window, bytes_max));
        }
        there
    }

    /// Fault: the brokers lose the last messages of a stream. Says how many.
    pub(crate) fn lose_tail(&mut self, stream: StreamId, count: u64, now: u64) -> u64 {
        let Some(held) = self.streams.get_mut(&stream) else { return 0 };
        held.views.keep(now, held.stream.as_ref().map(Stream::info));
        held.stream.as_mut().map_or(0, |log| log.lose_tail(count))
    }

    /// Reads a record, up to ten seconds old if `stale`.
    pub(crate) fn read_record(
        &mut self,
        key: RecordKey,
        stale: bool,
        now: u64,
        chance: &mut Chance,
    ) -> RecordOutcome {
        let stand = self.stand(now);
        let record = self.records.entry(key).or_default();
        let old = if stale { record.views.stale(now, chance) } else { None };
        if old.is_none() && !stand {
            return RecordOutcome::NoAnswer;
        }
        match old.unwrap_or_else(|| record.value.clone()) {
            Some((revision, bytes)) => RecordOutcome::Is { revision, bytes },
            None => RecordOutcome::Absent,
        }
    }

    /// Writes a record if its revision is the expected one.
    pub(crate) fn write_record(
        &mut self,
        key: RecordKey,
        expected: Option<u64>,
        bytes: Vec<u8>,
        now: u64,
    ) -> WriteOutcome {
        if !self.stand(now) {
            return WriteOutcome::NoAnswer;
        }
        let record = self.records.entry(key).or_default();
        if record.value.as_ref().map(|(revision, _)| *revision) != expected {
            return WriteOutcome::Refused;
        }
        record.views.keep(now, record.value.clone());
        self.revision += 1;
        record.value = Some((self.revision, bytes));
        WriteOutcome::Written { revision: self.revision }
    }

    /// Fault: loses a record, and begins to count revisions anew.
    pub(crate) fn lose_record(&mut self, key: RecordKey, now: u64) -> bool {
        let record = self.records.entry(key).or_default();
        record.views.keep(now, record.value.clone());
        self.revision = 0;
        record.value.take().is_some()
    }

    /// Returns a stream as it truly is.
    pub(crate) fn truth(&self, stream: StreamId) -> Option<&Stream> {
        self.streams.get(&stream)?.stream.as_ref()
    }

    /// Returns the streams that are there, by shard and epoch.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.streams.iter().filter_map(|(id, held)| Some((*id, held.stream.as_ref()?)))
    }

    pub(crate) fn message(&self, stream: StreamId, sequence: u64) -> Option<(i64, Arc<[u8]>)> {
        let Message { time_ms, bytes, .. } = self.truth(stream)?.get(sequence)?;
        Some((*time_ms, bytes.clone()))
    }
}

fn incarnation(now: u64) -> Incarnation {
    Incarnation(WALL_MS as u64 * 1_000_000 + now * 1_000)
}

#[cfg(test)]
mod tests {
    use vagn_cluster::ShardId;

    use super::*;

    const STREAM: StreamId = StreamId { shard: ShardId(0), epoch: 1 };
    const KEY: RecordKey = RecordKey::Assignment;

    fn brokers() -> (Brokers, Chance) {
        let mut brokers = Brokers::new(120 * SECOND, 1 << 20);
        let mut chance = Chance::new(1);
        assert!(brokers.make(STREAM, 0, &mut chance).1);
        assert!(!brokers.make(STREAM, 0, &mut chance).1);
        (brokers, chance)
    }

    fn publish(brokers: &mut Brokers, now: u64, chance: &mut Chance) -> Option<PublishOutcome> {
        let offer = Offer { id: None, expected_last: None, bytes: vec![0; 8].into() };
        brokers.publish(STREAM, offer, now, chance).map(|appended| appended.outcome)
    }

    fn leader(brokers: &Brokers) -> usize {
        brokers.streams[&STREAM].leader
    }

    #[test]
    fn an_election_takes_four_to_nine_seconds() {
        for seed in 0..20 {
            let (mut brokers, _) = brokers();
            let mut chance = Chance::new(seed);
            let lost = leader(&brokers);
            brokers.take_away(lost, SECOND, 60 * SECOND);
            let silent = (10..200)
                .find(|tenth| publish(&mut brokers, tenth * SECOND / 10, &mut chance).is_some())
                .unwrap();
            assert!((50..=101).contains(&silent), "{silent}");
            assert_ne!(leader(&brokers), lost);
        }
    }

    #[test]
    fn nothing_is_taken_without_a_majority() {
        let (mut brokers, mut chance) = brokers();
        for broker in 0..2 {
            brokers.take_away(broker, 0, 30 * SECOND);
        }
        assert!(publish(&mut brokers, 29 * SECOND, &mut chance).is_none());
        assert_eq!(brokers.write_record(KEY, None, vec![1], 29 * SECOND), WriteOutcome::NoAnswer);
        assert_eq!(brokers.read(STREAM, false, 29 * SECOND, &mut chance), StreamOutcome::NoAnswer);
        publish(&mut brokers, 30 * SECOND, &mut chance);
        assert!(publish(&mut brokers, 40 * SECOND, &mut chance).is_some());
    }

    #[test]
    fn a_new_leader_s_clock_can_run_back() {
        let (mut brokers, mut chance) = brokers();
        for broker in 0..BROKERS {
            brokers.set_clock(broker, if broker == leader(&brokers) { 0 } else { -60_000 });
        }
        publish(&mut brokers, SECOND, &mut chance);
        brokers.take_away(leader(&brokers), SECOND, 90 * SECOND);
        publish(&mut brokers, 2 * SECOND, &mut chance);
        publish(&mut brokers, 20 * SECOND, &mut chance);
        let times = [1, 2].map(|sequence| brokers.message(STREAM, sequence).unwrap().0 - WALL_MS);
        assert_eq!(times, [1_000, -40_000]);
    }

    #[test]
    fn a_stale_read_shows_what_was_within_ten_seconds_and_no_longer_ago() {
        let (mut brokers, mut chance) = brokers();
        for second in 0..30 {
            publish(&mut brokers, second * SECOND, &mut chance);
        }
        let mut lasts = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let StreamOutcome::Is(info) = brokers.read(STREAM, true, 29 * SECOND, &mut chance) else {
                panic!()
            };
            lasts.insert(info.last);
        }
        assert_eq!((lasts.first(), lasts.last()), (Some(&19), Some(&29)));
    }

    #[test]
    fn a_stream_made_anew_has_another_incarnation_and_begins_at_one() {
        let (mut brokers, mut chance) = brokers();
        publish(&mut brokers, SECOND, &mut chance);
        let before = brokers.truth(STREAM).unwrap().info();
        assert!(brokers.make_anew(STREAM, 2 * SECOND));
        let after = brokers.truth(STREAM).unwrap().info();
        assert_ne!(before.incarnation, after.incarnation);
        assert_eq!((after.first, after.last), (1, 0));
        assert!(brokers.delete(STREAM, 3 * SECOND));
        assert_eq!(publish(&mut brokers, 3 * SECOND, &mut chance), Some(PublishOutcome::Absent));
    }

    #[test]
    fn a_record_changes_by_its_revision_alone() {
        let (mut brokers, mut chance) = brokers();
        assert_eq!(brokers.write_record(KEY, None, vec![1], 0), WriteOutcome::Written { revision: 1 });
        assert_eq!(brokers.write_record(KEY, None, vec![2], 0), WriteOutcome::Refused);
        assert_eq!(brokers.write_record(KEY, Some(1), vec![3], 0), WriteOutcome::Written { revision: 2 });
        let read = brokers.read_record(KEY, false, 0, &mut chance);
        assert_eq!(read, RecordOutcome::Is { revision: 2, bytes: vec![3] });
        assert!(brokers.lose_record(KEY, 0));
        assert_eq!(brokers.read_record(KEY, false, 0, &mut chance), RecordOutcome::Absent);
    }
}
