//! The way of changes from a door into the stream of one shard.
//!
//! At most two messages are under way, each with all that came meanwhile: so messages are full when there is much to do and small
//! when there is not. When the next one may go, the door says. What waits is shed when it is 5 s old or takes too much room, oldest first.

use std::collections::VecDeque;

use vagn_wire::Fate;

use crate::command::Command;
use crate::entry::{BatchWriter, ENTRY_MAX};
use crate::event::PublishOutcome;
use crate::flight::{Flights, Refused, Reporter, Round, Settled, WAIT_MS};
use crate::happened::Happened;
use crate::ids::{BatchId, CHANGES_MAX, DoorId, Moment, NodeId, PublishId};
use crate::numbers::Numbers;
use crate::state::NewChange;

/// Changes on their way to one shard.
#[derive(Debug)]
pub(crate) struct Batcher {
    node: NodeId,
    room_bytes: usize,
    door: Option<DoorId>,
    number: u64,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    flights: Flights,
    /// Changes were shed since nothing waited, and that was told.
    has_shed: bool,
    has_told: bool,
}

#[derive(Debug)]
struct Waiting {
    reporter: Reporter,
    change: NewChange,
    since_ms: u64,
}

impl Batcher {
    /// A batcher of this node, whose waiting changes may take so many bytes.
    pub(crate) fn new(node: NodeId, room_bytes: usize) -> Self {
        Self {
            node,
            room_bytes,
            door: None,
            number: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            flights: Flights::default(),
            has_shed: false,
            has_told: false,
        }
    }

    /// Takes a change, and sheds the oldest when there is no room.
    pub(crate) fn offer(
        &mut self,
        reporter: Reporter,
        change: NewChange,
        now: Moment,
        settled: &mut Vec<Settled>,
    ) {
        self.waiting_bytes += room_of(&change);
        self.waiting.push_back(Waiting { reporter, change, since_ms: now.elapsed_ms });
        while self.waiting_bytes > self.room_bytes {
            self.shed(settled);
        }
    }

    fn shed(&mut self, settled: &mut Vec<Settled>) {
        if let Some(oldest) = self.waiting.pop_front() {
            self.waiting_bytes -= room_of(&oldest.change);
            settled.push((oldest.reporter, Fate::Shed));
            self.has_shed = true;
        }
    }

    /// Does what is due, but for [publishing](Self::publish) what waits.
    pub(crate) fn run(&mut self, round: &mut Round<'_>) {
        while self.waiting.front().is_some_and(|oldest| round.now.elapsed_ms >= oldest.since_ms + WAIT_MS) {
            self.shed(round.settled);
        }
        self.flights.run(round);
        let Some(stream) = round.stream else { return };
        if self.has_shed && !std::mem::replace(&mut self.has_told, true) {
            round.out.push(Command::Tell(Happened::Shed(stream.shard)));
        }
        if self.waiting.is_empty() {
            (self.has_shed, self.has_told) = (false, false);
        }
        self.flights.retry(stream, round);
    }

    /// Returns since when the oldest change waits that may be published now.
    pub(crate) fn ready_since_ms(&self) -> Option<u64> {
        self.waiting.front().filter(|_| self.flights.has_place()).map(|oldest| oldest.since_ms)
    }

    /// True when no message could hold more than what waits.
    pub(crate) fn is_full(&self) -> bool {
        let written = self.waiting_bytes - self.waiting.len() * size_of::<Waiting>();
        self.waiting.len() >= CHANGES_MAX || written >= ENTRY_MAX
    }

    /// Returns the moment at which [`run`](Self::run) has something to do.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let shed = self.waiting.front().map(|oldest| oldest.since_ms + WAIT_MS);
        [self.flights.due_ms(), shed].into_iter().flatten().min()
    }

    /// Publishes a message with all that waits and fits into it. Returns the number of its changes.
    pub(crate) fn publish(&mut self, round: &mut Round<'_>) -> usize {
        let Some(stream) = round.stream else { return 0 };
        let batch = self.next_id(None, round);
        let mut writer = BatchWriter::new(stream.epoch, batch);
        let mut reporters = Vec::new();
        while let Some(next) = self.waiting.front() {
            if !writer.push(&next.change) {
                break;
            }
            reporters.push(next.reporter);
            self.waiting_bytes -= room_of(&next.change);
            self.waiting.pop_front();
        }
        let changes = reporters.len();
        self.flights.launch(batch, (stream, writer.finish()), reporters, round);
        changes
    }

    /// Returns the name of the next batch. A door takes its own when it has none, or none that was born at `born_ms`.
    fn next_id(&mut self, born_ms: Option<i64>, round: &mut Round<'_>) -> BatchId {
        let fresh = |numbers: &mut Numbers| DoorId {
            node: self.node,
            born_ms: born_ms.unwrap_or(round.now.wall_ms),
            random: numbers.random(),
        };
        let door = match self.door {
            Some(door) if born_ms.is_none() => door,
            _ => {
                self.number = 0;
                fresh(round.numbers)
            }
        };
        self.door = Some(door);
        self.number += 1;
        BatchId { door, number: self.number }
    }

    /// A publish was answered. Returns true if it was this one's.
    pub(crate) fn published(
        &mut self,
        publish: PublishId,
        outcome: PublishOutcome,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> bool {
        self.flights.published(publish, outcome, now, out)
    }

    /// An owner tells the fates of a batch. The first to do so counts; returns true for it.
    pub(crate) fn fates(&mut self, batch: BatchId, fates: &[Fate], settled: &mut Vec<Settled>) -> bool {
        self.flights.fates(batch, fates, settled)
    }

    /// An owner says that it does not know the door, and what time it is. The batch goes again under a new name.
    pub(crate) fn refused(&mut self, batch: BatchId, time_ms: i64, round: &mut Round<'_>) -> bool {
        match self.flights.refused(batch) {
            Refused::Unknown => return false,
            Refused::GivenUp => return true,
            Refused::Nameless => {}
        }
        // One that another refusal has renamed the door for already takes the next number of that name.
        let born_ms = (self.door == Some(batch.door)).then_some(time_ms);
        let renamed = self.next_id(born_ms, round);
        self.flights.rename(batch, renamed, round.now);
        true
    }

    /// Returns the number of changes without a fate.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.waiting.len() + self.flights.open()
    }
}

/// Returns the memory that a waiting change is counted with.
fn room_of(change: &NewChange) -> usize {
    change.written_len() + size_of::<Waiting>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Body, Entry};
    use crate::flight::{ASK_MS, AWAITING_MAX, Unanswered};
    use crate::ids::{ShardId, StreamId, Ticket};
    use crate::testing::{NOW, report};

    const STREAM: StreamId = StreamId { shard: ShardId(0), epoch: 1 };
    const FULL: PublishOutcome = PublishOutcome::NoAnswer;

    struct Rig {
        batcher: Batcher,
        numbers: Numbers,
        now: Moment,
        stream: StreamId,
        offered: u32,
        settled: Vec<Settled>,
        unanswered: Vec<Unanswered>,
        told: usize,
    }

    /// A message as it was published.
    #[derive(Debug, Clone, PartialEq)]
    struct Sent {
        publish: PublishId,
        message_id: String,
        batch: BatchId,
        changes: usize,
        stream: StreamId,
        epoch: u32,
    }

    impl Rig {
        fn new(room_bytes: usize) -> Self {
            Self {
                batcher: Batcher::new(NodeId(7), room_bytes),
                numbers: Numbers::new(3),
                now: Moment { elapsed_ms: 1_000, wall_ms: NOW },
                stream: STREAM,
                offered: 0,
                settled: Vec::new(),
                unanswered: Vec::new(),
                told: 0,
            }
        }

        fn offer(&mut self, changes: u32) -> Vec<Sent> {
            for _ in 0..changes {
                let reporter = (Ticket(1), self.offered);
                self.offered += 1;
                self.batcher.offer(reporter, report("bus", NOW), self.now, &mut self.settled);
            }
            self.run()
        }

        fn with<T>(&mut self, deed: impl FnOnce(&mut Batcher, &mut Round<'_>) -> T) -> (T, Vec<Sent>) {
            let mut out = Vec::new();
            let mut round = Round {
                now: self.now,
                stream: Some(self.stream),
                numbers: &mut self.numbers,
                out: &mut out,
                settled: &mut self.settled,
                unanswered: &mut self.unanswered,
            };
            let done = deed(&mut self.batcher, &mut round);
            (done, out.iter().filter_map(sent).collect())
        }

        fn run(&mut self) -> Vec<Sent> {
            self.with(|batcher, round| {
                batcher.run(round);
                while batcher.ready_since_ms().is_some() {
                    batcher.publish(round);
                }
            })
            .1
        }

        fn pass(&mut self, ms: u64) -> Vec<Sent> {
            self.now.elapsed_ms += ms;
            self.run()
        }

        fn answer(&mut self, sent: &Sent, outcome: PublishOutcome) -> Vec<Sent> {
            let mut out = Vec::new();
            assert!(self.batcher.published(sent.publish, outcome, self.now, &mut out));
            self.told += out.len();
            self.run()
        }

        fn stored(&mut self, sent: &Sent, sequence: u64) -> Vec<Sent> {
            self.answer(sent, PublishOutcome::Stored { sequence, duplicate: false })
        }

        fn fates(&self, fate: Fate) -> usize {
            self.settled.iter().filter(|(_, own)| *own == fate).count()
        }

        fn assert_sum(&self) {
            assert_eq!(self.settled.len() + self.batcher.open(), self.offered as usize);
            let mut reporters: Vec<u32> = self.settled.iter().map(|((_, at), _)| *at).collect();
            reporters.sort_unstable();
            reporters.dedup();
            assert_eq!(reporters.len(), self.settled.len(), "a change has one fate");
        }
    }

    fn sent(command: &Command) -> Option<Sent> {
        let Command::Publish { publish, stream, message_id, bytes, .. } = command else { return None };
        let entry = Entry::read(bytes).unwrap();
        let Body::Batch(batch) = entry.body else { panic!("doors publish batches") };
        Some(Sent {
            publish: *publish,
            message_id: message_id.clone().unwrap(),
            batch: batch.id,
            changes: batch.len(),
            stream: *stream,
            epoch: entry.epoch,
        })
    }

    #[test]
    fn two_messages_are_under_way_and_the_next_has_all_that_came_meanwhile() {
        let mut rig = Rig::new(1 << 20);
        let (one, two) = (rig.offer(1), rig.offer(2));
        assert_eq!((one[0].changes, two[0].changes), (1, 2));
        assert!(rig.offer(30).is_empty() && rig.offer(40).is_empty());
        let next = rig.stored(&one[0], 1);
        assert_eq!((next.len(), next[0].changes, next[0].batch.number), (1, 70, 3));
        assert!(rig.batcher.fates(one[0].batch, &[Fate::Stored], &mut rig.settled));
        assert!(!rig.batcher.fates(one[0].batch, &[Fate::Stale], &mut rig.settled), "the first counts");
        assert_eq!(rig.settled, [((Ticket(1), 0), Fate::Stored)]);
        rig.assert_sum();
    }

    #[test]
    fn a_message_is_tried_again_under_its_name_until_it_is_answered() {
        let mut rig = Rig::new(1 << 20);
        let first = rig.offer(3).remove(0);
        let mut last = first.clone();
        let mut attempts = 1;
        while rig.now.elapsed_ms < 600_000 {
            if rig.batcher.flights.batches()[0].1 {
                rig.answer(&last.clone(), FULL);
            }
            let due = rig.batcher.due_ms().unwrap();
            assert!(due > rig.now.elapsed_ms, "it would run without end");
            if let Some(again) = rig.pass(due - rig.now.elapsed_ms).pop() {
                assert_eq!(
                    (&again.message_id, again.batch, again.changes),
                    (&first.message_id, first.batch, 3)
                );
                (last, attempts) = (again, attempts + 1);
            }
        }
        assert!(attempts < 320, "{attempts} in ten minutes");
        assert_eq!((rig.fates(Fate::Failed), rig.told), (3, 1));
        rig.stored(&last, 9);
        assert!(rig.batcher.flights.batches().is_empty());
        rig.assert_sum();
    }

    #[test]
    fn one_message_is_tried_while_the_brokers_are_away() {
        let mut rig = Rig::new(1 << 20);
        let mut under_way = [rig.offer(1), rig.offer(1)].concat();
        let mut tried = std::collections::BTreeSet::new();
        for _ in 0..400 {
            if rig.batcher.flights.is_open() {
                tried.extend(under_way.iter().map(|sent| sent.batch.number));
            }
            for sent in std::mem::take(&mut under_way) {
                under_way.extend(rig.answer(&sent, FULL));
            }
            under_way.extend(rig.pass(100));
        }
        assert_eq!(tried.into_iter().collect::<Vec<_>>(), [1]);
        let probe = under_way.pop().unwrap_or_else(|| {
            loop {
                if let Some(sent) = rig.pass(100).pop() {
                    break sent;
                }
            }
        });
        assert_eq!(probe.batch.number, 1);
        let mut rest = rig.stored(&probe, 1);
        rest.extend((0..30).flat_map(|_| rig.pass(100)));
        let rest: Vec<u64> = rest.iter().map(|sent| sent.batch.number).collect();
        assert_eq!(rest, [2], "the other is tried once the brokers answer");
    }

    #[test]
    fn fates_end_an_outage_too() {
        let mut rig = Rig::new(1 << 20);
        let probe = rig.offer(1).remove(0);
        let mut sent = vec![probe.clone()];
        while !rig.batcher.flights.is_open() {
            sent.iter().for_each(|sent| {
                rig.answer(sent, FULL);
            });
            sent = (0..30).flat_map(|_| rig.pass(100)).collect();
        }
        rig.offer(1);
        // It was stored all the same, and an owner has it. Nothing is under way any more that could be tried.
        let (first, _) =
            rig.with(|batcher, round| batcher.fates(probe.batch, &[Fate::Stored], round.settled));
        let next: Vec<u64> = rig.run().iter().map(|sent| sent.batch.number).collect();
        assert_eq!((first, next), (true, vec![2]));
    }

    #[test]
    fn what_waits_too_long_or_needs_too_much_room_is_shed_oldest_first() {
        let mut rig = Rig::new(20 * room_of(&report("bus", NOW)));
        rig.offer(1);
        rig.offer(1);
        rig.offer(25);
        assert!(rig.batcher.has_told, "people are told once");
        assert_eq!(rig.settled.iter().map(|((_, at), _)| *at).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        rig.pass(WAIT_MS - 1);
        assert_eq!(rig.settled.len(), 5);
        rig.pass(1);
        assert_eq!((rig.fates(Fate::Shed), rig.fates(Fate::Failed)), (25, 2));
        assert_eq!(rig.batcher.waiting_bytes, 0);
        rig.assert_sum();
    }

    #[test]
    fn owners_are_asked_for_fates_that_do_not_come() {
        let mut rig = Rig::new(1 << 20);
        let sent = rig.offer(1).remove(0);
        rig.stored(&sent, 17);
        rig.pass(ASK_MS - 1);
        assert!(rig.unanswered.is_empty());
        rig.pass(1);
        rig.pass(500);
        assert_eq!(rig.unanswered, [Unanswered { batch: sent.batch, stream: STREAM, sequence: 17 }]);
        rig.pass(WAIT_MS);
        assert_eq!(rig.fates(Fate::Failed), 1);
        assert!(rig.batcher.flights.batches().is_empty());
    }

    #[test]
    fn what_is_in_the_stream_and_has_no_fates_has_a_bound() {
        let mut rig = Rig::new(1 << 20);
        for sequence in 0..AWAITING_MAX as u64 {
            let sent = rig.offer(1).remove(0);
            rig.stored(&sent, sequence + 1);
        }
        assert!(rig.offer(1).is_empty());
        let (batch, _) = rig.batcher.flights.batches()[3];
        rig.batcher.fates(batch, &[Fate::Stored], &mut rig.settled);
        assert_eq!(rig.run().len(), 1);
    }

    #[test]
    fn after_a_repair_all_without_fates_goes_into_the_new_stream() {
        let mut rig = Rig::new(1 << 20);
        let (one, two) = (rig.offer(1).remove(0), rig.offer(1).remove(0));
        rig.stored(&one, 5);
        rig.stream = StreamId { epoch: 2, ..STREAM };
        let again = rig.run();
        assert_eq!(again.iter().map(|sent| sent.batch).collect::<Vec<_>>(), [one.batch, two.batch]);
        assert!(again.iter().all(|sent| sent.stream.epoch == 2 && sent.epoch == 2));
        assert!(!rig.batcher.published(two.publish, FULL, rig.now, &mut Vec::new()), "of the old stream");
    }

    #[test]
    fn a_door_that_is_not_known_takes_another_name() {
        let mut rig = Rig::new(1 << 20);
        let (one, two) = (rig.offer(1).remove(0), rig.offer(1).remove(0));
        for sent in [&one, &two] {
            assert!(rig.with(|batcher, round| batcher.refused(sent.batch, 55, round)).0);
        }
        assert!(!rig.with(|batcher, round| batcher.refused(one.batch, 55, round)).0, "it has another name");
        let again = rig.run();
        let names: Vec<(i64, u64)> =
            again.iter().map(|sent| (sent.batch.door.born_ms, sent.batch.number)).collect();
        assert_eq!(names, [(55, 1), (55, 2)]);
        assert_eq!(again[0].batch.door, again[1].batch.door);
        assert_ne!(again[0].batch.door.random, one.batch.door.random);
        assert_eq!((again[0].message_id.as_str(), again[0].changes), (&*again[0].batch.to_string(), 1));
        let third = rig.stored(&again[0], 1);
        assert!(third.is_empty());
        assert_eq!(rig.offer(1)[0].batch.number, 3);
    }

    #[test]
    fn a_batch_that_is_always_refused_is_given_up() {
        let mut rig = Rig::new(1 << 20);
        let mut sent = rig.offer(1);
        for _ in 0..20 {
            rig.now.elapsed_ms += 500;
            let Some(last) = sent.pop() else { break };
            // Before the brokers say that it is in the stream.
            rig.with(|batcher, round| batcher.refused(last.batch, 55, round));
            sent = rig.run();
        }
        assert_eq!((rig.fates(Fate::Failed), rig.batcher.flights.batches().len(), sent.len()), (1, 0, 0));
    }
}
