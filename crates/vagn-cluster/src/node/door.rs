//! The door of a node: what reporters bring goes into the streams of its shards, and comes back as fates.

use std::collections::BTreeMap;

use vagn_wire::Fate;

use crate::assignment::Assignment;
use crate::batcher::Batcher;
use crate::command::Command;
use crate::event::PublishOutcome;
use crate::flight::{Round, Settled, Unanswered};
use crate::ids::{BatchId, Moment, NodeId, PublishId, ShardId, StreamId, Ticket};
use crate::numbers::Numbers;
use crate::pace::Pace;
use crate::state::NewChange;
use crate::tickets::Tickets;
use crate::view::Counts;

/// Memory for changes that wait, of all shards together.
const ROOM_BYTES: usize = 64 << 20;

/// Changes that came in through this node and have no fate yet.
#[derive(Debug)]
pub(super) struct Door {
    node: NodeId,
    tickets: Tickets,
    batchers: BTreeMap<ShardId, Batcher>,
    pace: Pace,
    settled: Vec<Settled>,
    /// Changes that shards shed.
    refused: u64,
}

/// What a door is given to work with.
pub(super) struct Desk<'a> {
    pub(super) now: Moment,
    /// The record of assignment, once it is known.
    pub(super) streams: Option<&'a Assignment>,
    pub(super) numbers: &'a mut Numbers,
    pub(super) out: &'a mut Vec<Command>,
}

impl Door {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            tickets: Tickets::default(),
            batchers: BTreeMap::new(),
            pace: Pace::default(),
            settled: Vec::new(),
            refused: 0,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { refused: self.refused, ..self.tickets.counts() }
    }

    /// Takes a group of changes. Without a record nobody knows which shard a vehicle is in, so they are shed.
    pub(super) fn submit(
        &mut self,
        ticket: Ticket,
        changes: Vec<NewChange>,
        shards: Option<u16>,
        mut desk: Desk<'_>,
    ) -> Vec<Unanswered> {
        if !self.tickets.open(ticket, changes.len(), desk.out) {
            return Vec::new();
        }
        for (at, change) in (0..).zip(changes) {
            let reporter = (ticket, at);
            let shard = shards.map(|shards| (change.shard(shards), shards));
            match shard {
                _ if !change.fits() => self.settled.push((reporter, Fate::Invalid)),
                None => self.settled.push((reporter, Fate::Shed)),
                Some((shard, shards)) if shard.0 >= shards => self.settled.push((reporter, Fate::Invalid)),
                Some((shard, shards)) => {
                    let room = ROOM_BYTES / usize::from(shards.max(1));
                    let batcher = self.batchers.entry(shard).or_insert_with(|| Batcher::new(self.node, room));
                    batcher.offer(reporter, change, desk.now, &mut self.settled);
                }
            }
        }
        self.run(&mut desk)
    }

    /// Does what is due. Returns the messages whose fates owners are to be asked for.
    pub(super) fn run(&mut self, desk: &mut Desk<'_>) -> Vec<Unanswered> {
        let mut unanswered = Vec::new();
        self.each(desk, &mut unanswered, |batcher, round, pace| {
            batcher.run(round);
            while batcher.is_full() && batcher.ready_since_ms().is_some() && round.stream.is_some() {
                let changes = batcher.publish(round);
                pace.step(round.now.elapsed_ms, changes);
            }
        });
        self.publish_in_turn(desk, &mut unanswered);
        self.tickets.settle(&mut self.settled, desk.out);
        unanswered
    }

    /// Publishes what is ready while the pace allows it, what has waited longest first.
    fn publish_in_turn(&mut self, desk: &mut Desk<'_>, unanswered: &mut Vec<Unanswered>) {
        let Desk { now, streams, .. } = *desk;
        while self.pace.free_ms() <= now.elapsed_ms {
            let Some((_, next)) = self.ready(streams).min() else { return };
            self.each(desk, unanswered, |batcher, round, pace| {
                if round.stream.is_some_and(|stream| stream.shard == next) {
                    let changes = batcher.publish(round);
                    pace.step(now.elapsed_ms, changes);
                }
            });
        }
    }

    /// Returns the shards for which something may be published, with since when it waits.
    fn ready(&self, streams: Option<&Assignment>) -> impl Iterator<Item = (u64, ShardId)> {
        let there = self.batchers.iter().filter(move |(shard, _)| stream(streams, **shard).is_some());
        there.filter_map(|(shard, batcher)| Some((batcher.ready_since_ms()?, *shard)))
    }

    pub(super) fn due_ms(&self, streams: Option<&Assignment>) -> Option<u64> {
        let turn = self.ready(streams).next().map(|_| self.pace.free_ms());
        self.batchers.values().filter_map(Batcher::due_ms).chain(turn).min()
    }

    /// A publish was answered. Returns true if it was of a door.
    pub(super) fn published(
        &mut self,
        publish: PublishId,
        outcome: PublishOutcome,
        desk: &mut Desk<'_>,
    ) -> bool {
        let (now, out) = (desk.now, &mut *desk.out);
        self.batchers.values_mut().any(|batcher| batcher.published(publish, outcome, now, out))
    }

    /// An owner told the fates of a batch.
    pub(super) fn fates(&mut self, batch: BatchId, fates: &[Fate]) {
        let before = self.settled.len();
        let settled = &mut self.settled;
        self.batchers.values_mut().any(|batcher| batcher.fates(batch, fates, settled));
        let shed = self.settled[before..].iter().filter(|(_, fate)| *fate == Fate::Shed);
        self.refused += shed.count() as u64;
    }

    /// A shard does not know the door of a batch.
    pub(super) fn refused(&mut self, batch: BatchId, time_ms: i64, desk: &mut Desk<'_>) {
        self.each(desk, &mut Vec::new(), |batcher, round, _| {
            batcher.refused(batch, time_ms, round);
        });
    }

    fn each(
        &mut self,
        desk: &mut Desk<'_>,
        unanswered: &mut Vec<Unanswered>,
        mut deed: impl FnMut(&mut Batcher, &mut Round<'_>, &mut Pace),
    ) {
        for (shard, batcher) in &mut self.batchers {
            let mut round = Round {
                now: desk.now,
                stream: stream(desk.streams, *shard),
                numbers: desk.numbers,
                out: desk.out,
                settled: &mut self.settled,
                unanswered,
            };
            deed(batcher, &mut round, &mut self.pace);
        }
    }
}

fn stream(streams: Option<&Assignment>, shard: ShardId) -> Option<StreamId> {
    streams?.shard(shard).map(|place| place.stream(shard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::ShardRecord;
    use crate::entry::{Body, Entry};
    use crate::ids::Incarnation;
    use crate::testing::{NOW, report};

    const SHARDS: u16 = 8;

    struct Rig {
        door: Door,
        numbers: Numbers,
        record: Assignment,
        now_ms: u64,
        tickets: u64,
    }

    /// A message: the moment, its shard, and the number of changes in it.
    type Sent = (u64, ShardId, usize);

    impl Rig {
        fn new() -> Self {
            let shard = ShardRecord {
                epoch: 1,
                base: 0,
                incarnation: Incarnation(1),
                begun_ms: NOW,
                founder: NodeId(1),
                owners: Vec::new(),
            };
            let shards = vec![shard; usize::from(SHARDS)];
            let record = Assignment { version: 1, data_set: 8, settings: Vec::new(), shards };
            Self { door: Door::new(NodeId(1)), numbers: Numbers::new(3), record, now_ms: 1_000, tickets: 0 }
        }

        /// Submits so many changes of vehicles in all shards, each alone.
        fn submit(&mut self, changes: u64) -> Vec<Sent> {
            let vehicles = self.tickets..self.tickets + changes;
            self.tickets += changes;
            vehicles
                .flat_map(|number| self.submit_group(number, vec![report(&number.to_string(), NOW)]))
                .collect()
        }

        fn submit_group(&mut self, ticket: u64, changes: Vec<NewChange>) -> Vec<Sent> {
            self.round(|door, desk| drop(door.submit(Ticket(ticket), changes, Some(SHARDS), desk)))
        }

        fn round(&mut self, deed: impl FnOnce(&mut Door, Desk<'_>)) -> Vec<Sent> {
            let now = Moment { elapsed_ms: self.now_ms, wall_ms: NOW };
            let mut out = Vec::new();
            deed(
                &mut self.door,
                Desk { now, streams: Some(&self.record), numbers: &mut self.numbers, out: &mut out },
            );
            // Each is stored, and has its fates, at once.
            for command in &out {
                let Command::Publish { publish, bytes, .. } = command else { continue };
                let stored = PublishOutcome::Stored { sequence: 1, duplicate: false };
                let (streams, numbers) = (Some(&self.record), &mut self.numbers);
                let mut desk = Desk { now, streams, numbers, out: &mut Vec::new() };
                assert!(self.door.published(*publish, stored, &mut desk));
                let Body::Batch(batch) = Entry::read(bytes).unwrap().body else { continue };
                self.door.fates(batch.id, &[]);
            }
            out.iter().filter_map(|command| sent(self.now_ms, command)).collect()
        }

        /// Lets time pass, as the driver does: it wakes the door when it is due.
        fn pass(&mut self, ms: u64) -> Vec<Sent> {
            let end_ms = self.now_ms + ms;
            let mut all = Vec::new();
            while let Some(due_ms) = self.door.due_ms(Some(&self.record)).filter(|due_ms| *due_ms <= end_ms) {
                self.now_ms = due_ms.max(self.now_ms + 1);
                all.extend(self.round(|door, mut desk| drop(door.run(&mut desk))));
            }
            self.now_ms = end_ms;
            all
        }
    }

    fn sent(now_ms: u64, command: &Command) -> Option<Sent> {
        let Command::Publish { stream, bytes, .. } = command else { return None };
        let Body::Batch(batch) = Entry::read(bytes).unwrap().body else { panic!("doors publish batches") };
        Some((now_ms, stream.shard, batch.len()))
    }

    #[test]
    fn what_comes_behind_a_pause_goes_at_once() {
        let mut rig = Rig::new();
        for _ in 0..20 {
            let now_ms = rig.now_ms;
            let sent = rig.submit(5);
            assert_eq!(
                sent.iter().map(|(at_ms, _, changes)| (*at_ms, *changes)).collect::<Vec<_>>(),
                [(now_ms, 1); 5]
            );
            rig.pass(200);
        }
    }

    #[test]
    fn many_small_changes_go_together_and_no_shard_waits_for_long() {
        let mut rig = Rig::new();
        let mut all = Vec::new();
        for _ in 0..600 {
            all.extend(rig.submit(4));
            all.extend(rig.pass(1));
        }
        all.extend(rig.pass(100));
        assert_eq!(all.iter().map(|(.., changes)| *changes).sum::<usize>(), 2_400);
        let later: Vec<_> = all.iter().filter(|(at_ms, ..)| *at_ms > 1_300).collect();
        // 4 000 a second in messages of 20: the shards in turn.
        let mean = later.iter().map(|(.., changes)| *changes).sum::<usize>() / later.len();
        assert!((15..=25).contains(&mean), "{mean} in a message");
        for shard in (0..SHARDS).map(ShardId) {
            let own_ms: Vec<_> =
                later.iter().filter(|(_, own, _)| *own == shard).map(|(at_ms, ..)| *at_ms).collect();
            assert!(own_ms.windows(2).all(|two| two[1] - two[0] <= 60), "{shard:?}: {own_ms:?}");
        }
    }

    #[test]
    fn a_full_message_waits_for_no_turn() {
        let mut rig = Rig::new();
        // So many that the pace is used up.
        rig.submit(400);
        let vehicle = |number: u32| report(&format!("bus {number}"), NOW);
        let of_one: Vec<_> =
            (0..).map(vehicle).filter(|change| change.shard(SHARDS) == ShardId(3)).take(9_000).collect();
        let sent = rig.submit_group(1_000, of_one);
        let full = sent
            .iter()
            .filter(|(at_ms, shard, changes)| (*at_ms, *shard, *changes) == (rig.now_ms, ShardId(3), 4_096));
        assert_eq!(full.count(), 2, "{sent:?}");
    }
}
