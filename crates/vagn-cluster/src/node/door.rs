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
        let (batchers, settled) = (BTreeMap::new(), Vec::new());
        Self { node, tickets: Tickets::default(), batchers, settled, refused: 0 }
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
        for (shard, batcher) in &mut self.batchers {
            batcher.run(Round {
                now: desk.now,
                stream: stream(desk.streams, *shard),
                numbers: desk.numbers,
                out: desk.out,
                settled: &mut self.settled,
                unanswered: &mut unanswered,
            });
        }
        self.tickets.settle(&mut self.settled, desk.out);
        unanswered
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        self.batchers.values().filter_map(Batcher::due_ms).min()
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
        let mut unanswered = Vec::new();
        for (shard, batcher) in &mut self.batchers {
            let mut round = Round {
                now: desk.now,
                stream: stream(desk.streams, *shard),
                numbers: desk.numbers,
                out: desk.out,
                settled: &mut self.settled,
                unanswered: &mut unanswered,
            };
            batcher.refused(batch, time_ms, &mut round);
        }
    }
}

fn stream(streams: Option<&Assignment>, shard: ShardId) -> Option<StreamId> {
    streams?.shard(shard).map(|place| place.stream(shard))
}
