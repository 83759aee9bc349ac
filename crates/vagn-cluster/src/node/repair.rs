//! Beginning a new epoch of a shard whose stream is broken: from the log of the owner that has most, in a stream of its own.

use super::Node;
use super::keeper::repaired;
use super::part::Part;
use crate::assignment::ShardRecord;
use crate::command::Command;
use crate::event::StreamOutcome;
use crate::ids::{Incarnation, Moment, NodeId, ReadId, ShardId, StreamId};
use crate::message::Message;
use crate::state::ShardState;

/// Longest time that a repair may take until the record has the new epoch.
const WITHIN_MS: u64 = 30_000;

/// Most repairs under way.
const REPAIRS_MAX: usize = crate::ids::SHARDS_MAX as usize;

/// A repair that this node makes.
#[derive(Debug)]
pub(super) struct Repair {
    shard: ShardId,
    /// Epoch that ends.
    epoch: u32,
    read: ReadId,
    made: Option<Incarnation>,
    until_ms: u64,
}

impl<S: ShardState> Node<S> {
    /// Repairs a shard, or asks the owner that has most to do so.
    pub(super) fn repair(&mut self, shard: ShardId, may_pass_on: bool, now: Moment, out: &mut Vec<Command>) {
        let Some(place) = self.keeper.known().and_then(|known| known.shard(shard)) else { return };
        let (epoch, me) = (place.epoch, self.settings.node);
        let own =
            self.beginning(shard, place).and_then(|part| part.own(now)).filter(|own| own.epoch == epoch);
        let holdings = place.full_but(me).filter_map(|node| {
            self.members.holding(node, shard, epoch, now).map(|holding| (holding.synced, node))
        });
        let best: Option<(u64, NodeId)> = holdings.chain(own.map(|own| (own.synced, me))).max();
        match best {
            Some((_, node)) if node != me && may_pass_on => {
                self.mail.push((node, Message::RepairAsk { shard }));
            }
            _ if own.is_none() || self.repairs.len() >= REPAIRS_MAX => {}
            _ => {
                let read = self.numbers.read();
                let until_ms = now.elapsed_ms + WITHIN_MS;
                self.repairs.retain(|repair| repair.shard != shard);
                self.repairs.push(Repair { shard, epoch, read, made: None, until_ms });
                out.push(Command::MakeStream { read, stream: StreamId { shard, epoch: epoch + 1 } });
            }
        }
    }

    /// Returns this node's part in a shard, if an epoch can begin from what it has.
    fn beginning(&self, shard: ShardId, place: &ShardRecord) -> Option<&Part<S>> {
        let has_others = place.full_but(self.settings.node).next().is_some();
        let part = self.parts.get(&shard).filter(|part| !part.is_unread());
        part.filter(|part| !has_others || !part.may_lack_for_good())
    }

    /// The stream of a new epoch was made. Returns false when it was not asked for here.
    pub(super) fn repair_made(&mut self, read: ReadId, outcome: StreamOutcome) -> bool {
        let Some(at) = self.repairs.iter().position(|repair| repair.read == read) else { return false };
        match outcome {
            StreamOutcome::Is(info) if info.last == 0 => self.repairs[at].made = Some(info.incarnation),
            // Nobody answered, or another node is there already. A person sees that it is still broken.
            _ => {
                self.repairs.remove(at);
            }
        }
        true
    }

    /// Writes new epochs into the record.
    pub(super) fn run_repairs(&mut self, now: Moment, out: &mut Vec<Command>) {
        self.repairs.retain(|repair| now.elapsed_ms < repair.until_ms);
        let Some(known) = self.keeper.known().filter(|_| self.keeper.may_change()) else { return };
        let made = |repair: &Repair| Some((repair.shard, repair.epoch, repair.made?));
        let Some((shard, epoch, incarnation)) = self.repairs.iter().find_map(made) else { return };
        // The record as the brokers have it now: what was known when the repair was asked for may have been an old one.
        let place = known.shard(shard).filter(|place| place.epoch == epoch);
        let others = self.members.there(now).filter_map(|(node, _)| {
            self.members.holding(node, shard, epoch, now).map(|holding| holding.synced)
        });
        let own = place.and_then(|place| self.beginning(shard, place)).and_then(Part::received);
        let own = own.filter(|(of, _)| *of == epoch).map(|(_, received)| received);
        let last = others.chain(own).max();
        if let (Some(last), Some(_)) = (last, own)
            && let Some(plan) = repaired(known, shard, self.settings.node, incarnation, last)
        {
            // Kept until the record has it: the change may be refused.
            self.keeper.change(plan, out);
            return;
        }
        self.repairs.retain(|repair| repair.shard != shard);
    }
}
