//! Beginning a new epoch of a shard whose stream is broken: from the log of the owner that has most, in a stream of its own.
//!
//! A stream that no node has found broken goes on: another owner may follow it further than the one that would begin, and one report would have two
//! fates, of the stream and of the new epoch.
//!
//! Where damage took a part of the log of each of them, nobody has what the one that has most lacks: then that one begins, if all are heard.
//!
//! Who asks for it is told what came of it: by a node that was asked by another one with a message, which may be lost.

use super::Node;
use super::keeper::repaired;
use super::part::Part;
use crate::assignment::{Role, ShardRecord};
use crate::command::Command;
use crate::event::StreamOutcome;
use crate::ids::{Incarnation, Moment, NodeId, ReadId, ShardId, StreamId};
use crate::membership::Holding;
use crate::message::Message;
use crate::refusal::Refusal;
use crate::state::ShardState;

/// Longest time that a repair may take until the record has the new epoch.
const WITHIN_MS: u64 = 30_000;

/// Time for which the answer of another node is awaited.
const PASSED_ON_MS: u64 = WITHIN_MS + 2_000;

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
    /// It begins although a part of the log here is damaged: so it was in these runs of all other full owners, which had no more.
    others: Option<Vec<(NodeId, u64)>>,
    /// Nodes that asked for it, this one included.
    askers: Vec<NodeId>,
}

/// A repair that another node was asked to make.
#[derive(Debug)]
pub(super) struct PassedOn {
    /// Owners that were asked. All but the last one cannot begin.
    asked: Vec<NodeId>,
    /// All of them refused because a part of their logs is damaged.
    are_damaged: bool,
    /// Epoch that ends.
    epoch: u32,
    until_ms: u64,
}

impl PassedOn {
    /// End of the wait for an answer.
    pub(super) fn until_ms(&self) -> u64 {
        self.until_ms
    }
}

impl<S: ShardState> Node<S> {
    /// Repairs a shard, or asks the owner that has most to do so. `asker` is told what came of it.
    pub(super) fn repair(&mut self, shard: ShardId, asker: NodeId, now: Moment, out: &mut Vec<Command>) {
        let me = self.settings.node;
        if asker == me && self.passed_on.contains_key(&shard) {
            // What comes of the one that is under way is told for this one, too.
            return;
        }
        match self.best(shard, &[], now) {
            Ok(_) if !self.is_broken(shard, now) => {
                self.end_repair(shard, &[asker], Err(Refusal::NotBroken), out);
            }
            Ok((epoch, node)) if node != me && asker == me => {
                let until_ms = now.elapsed_ms + PASSED_ON_MS;
                self.pass_on(shard, node, PassedOn { asked: Vec::new(), are_damaged: true, epoch, until_ms });
            }
            Ok((epoch, _)) => match self.own(shard, now) {
                Ok(_) if self.repairs.len() >= REPAIRS_MAX => {
                    self.end_repair(shard, &[asker], Err(Refusal::Busy), out);
                }
                Ok(_) => self.begin_repair((shard, epoch), None, asker, now, out),
                Err(refusal) => self.end_repair(shard, &[asker], Err(refusal), out),
            },
            Err(refusal) => self.end_repair(shard, &[asker], Err(refusal), out),
        }
    }

    fn pass_on(&mut self, shard: ShardId, node: NodeId, mut passed_on: PassedOn) {
        passed_on.asked.push(node);
        self.passed_on.insert(shard, passed_on);
        self.mail.push((node, Message::RepairAsk { shard }));
    }

    /// Returns the epoch of a shard, and the owner that has most of it among those that could begin another one. `but` cannot.
    fn best(&self, shard: ShardId, but: &[NodeId], now: Moment) -> Result<(u32, NodeId), Refusal> {
        let place = self.keeper.known().and_then(|known| known.shard(shard)).ok_or(Refusal::Unknown)?;
        let (epoch, me) = (place.epoch, self.settings.node);
        let own = self.own(shard, now);
        let holdings = place.full_but(me).filter(|node| !but.contains(node)).filter_map(|node| {
            self.members.holding(node, shard, epoch, now).map(|holding| (holding.synced, node))
        });
        let best = holdings.chain(own.ok().map(|synced| (synced, me))).max();
        match best {
            Some((_, node)) => Ok((epoch, node)),
            None => Err(own.err().unwrap_or(Refusal::NoOwner)),
        }
    }

    /// False for a shard of which a full owner is heard, while no node is there that has stopped because of its stream. One that was struck off for
    /// its silence counts too: it keeps what it has.
    fn is_broken(&self, shard: ShardId, now: Moment) -> bool {
        let me = self.settings.node;
        let Some(place) = self.keeper.known().and_then(|known| known.shard(shard)) else { return true };
        let mut holdings = self.members.there(now).flat_map(|(_, beat)| &beat.shards);
        let is_broken = |own: &Holding| own.shard == shard && own.epoch == place.epoch && own.is_broken;
        let is_broken_here = self.parts.get(&shard).is_some_and(Part::is_broken);
        let is_heard = place.full().any(|node| node == me || self.members.is_heard(node, now));
        !is_heard || is_broken_here || holdings.any(is_broken) || self.settings.faults.sound_repaired
    }

    /// Returns what this node has synced of a shard, if an epoch can begin from that.
    fn own(&self, shard: ShardId, now: Moment) -> Result<u64, Refusal> {
        let place = self.keeper.known().and_then(|known| known.shard(shard)).ok_or(Refusal::Unknown)?;
        let own = self.beginning(shard, place, false)?.own(now).filter(|own| own.epoch == place.epoch);
        own.map(|own| own.synced).ok_or(Refusal::NoOwner)
    }

    /// Begins a repair although a part of the log here is damaged, where no other full owner has more, and each is heard.
    pub(super) fn repair_damaged(
        &mut self,
        shard: ShardId,
        asker: NodeId,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        match self.best_of_damaged(shard, now) {
            Ok((epoch, others)) if self.repairs.len() < REPAIRS_MAX => {
                self.begin_repair((shard, epoch), Some(others), asker, now, out);
            }
            Ok(_) => self.end_repair(shard, &[asker], Err(Refusal::Busy), out),
            Err(refusal) => self.end_repair(shard, &[asker], Err(refusal), out),
        }
    }

    /// Returns the epoch of a shard and the runs of its other full owners, if each of them is heard and none has more than this node. What they
    /// trimmed of their logs this node had seen, and they have no less of it than is here: so nothing of it is lost.
    fn best_of_damaged(&self, shard: ShardId, now: Moment) -> Result<(u32, Vec<(NodeId, u64)>), Refusal> {
        let place = self.keeper.known().and_then(|known| known.shard(shard)).ok_or(Refusal::Unknown)?;
        let own = self.beginning(shard, place, true)?.own(now).filter(|own| own.epoch == place.epoch);
        let own = own.ok_or(Refusal::NoOwner)?;
        let run = |node: NodeId| {
            let holding = self.members.holding(node, shard, place.epoch, now)?;
            let has_no_more = self.members.is_heard(node, now) && holding.synced <= own.synced;
            has_no_more.then_some((node, self.members.beat(node)?.run))
        };
        let others: Option<Vec<_>> = place.full_but(self.settings.node).map(run).collect();
        others.map(|others| (place.epoch, others)).ok_or(Refusal::LogDamaged)
    }

    /// Returns the full owner that has most, if all of them have refused because a part of their logs is damaged, and are heard.
    fn most_of_damaged(&self, shard: ShardId, passed_on: &PassedOn, now: Moment) -> Option<NodeId> {
        let place = self.keeper.known().and_then(|known| known.shard(shard))?;
        let (epoch, me) = (place.epoch, self.settings.node);
        let has_refused = |node: NodeId| match node == me {
            true => self.own(shard, now) == Err(Refusal::LogDamaged),
            false => passed_on.asked.contains(&node),
        };
        let synced = |node: NodeId| match node == me {
            true => self.parts.get(&shard)?.own(now).map(|own| own.synced),
            false => self.members.holding(node, shard, epoch, now).map(|holding| holding.synced),
        };
        let own = |node| Some((synced(node).filter(|_| has_refused(node))?, node));
        let owners: Option<Vec<_>> = place.full().map(own).collect();
        owners.filter(|_| passed_on.are_damaged)?.into_iter().max().map(|(_, node)| node)
    }

    /// `others`: as in [`Repair`].
    fn begin_repair(
        &mut self,
        (shard, epoch): (ShardId, u32),
        others: Option<Vec<(NodeId, u64)>>,
        asker: NodeId,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let is_same = |repair: &&mut Repair| repair.shard == shard && repair.epoch == epoch;
        if let Some(repair) = self.repairs.iter_mut().find(is_same) {
            if !repair.askers.contains(&asker) {
                repair.askers.push(asker);
            }
            return;
        }
        let read = self.numbers.read();
        let until_ms = now.elapsed_ms + WITHIN_MS;
        let before = self.repairs.extract_if(.., |repair| repair.shard == shard);
        let mut askers: Vec<NodeId> = before.flat_map(|repair| repair.askers).collect();
        if !askers.contains(&asker) {
            askers.push(asker);
        }
        self.repairs.push(Repair { shard, epoch, read, made: None, until_ms, others, askers });
        out.push(Command::MakeStream { read, stream: StreamId { shard, epoch: epoch + 1 } });
    }

    /// Tells those who asked what came of a repair.
    fn end_repair(
        &mut self,
        shard: ShardId,
        askers: &[NodeId],
        result: Result<(), Refusal>,
        out: &mut Vec<Command>,
    ) {
        for asker in askers.iter().copied() {
            if self.settings.faults.repairs_untold {
                continue;
            }
            if asker == self.settings.node {
                out.push(Command::RepairEnded { shard, result });
            } else {
                self.mail.push((asker, Message::RepairAnswer { shard, result }));
            }
        }
    }

    /// The owner that was asked for a repair tells what came of it. Only it knows that it cannot begin: then the next best one does, and
    /// what only the first has is published again in the new epoch.
    pub(super) fn repair_answered(
        &mut self,
        from: NodeId,
        shard: ShardId,
        result: Result<(), Refusal>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let me = self.settings.node;
        if self.passed_on.get(&shard).is_none_or(|own| own.asked.last() != Some(&from)) {
            return;
        }
        let Some(mut passed_on) = self.passed_on.remove(&shard) else { return };
        let cannot = match result {
            Err(Refusal::Behind | Refusal::LogUnread | Refusal::LogDamaged | Refusal::DiskFull) => true,
            // It has not heard yet what this node knows.
            Err(Refusal::NotBroken) => self.is_broken(shard, now),
            _ => false,
        };
        passed_on.are_damaged &= result == Err(Refusal::LogDamaged);
        match self.best(shard, &passed_on.asked, now) {
            Ok((_, node)) if cannot && node != me => self.pass_on(shard, node, passed_on),
            Ok((epoch, _)) if cannot && self.repairs.len() < REPAIRS_MAX => {
                self.begin_repair((shard, epoch), None, me, now, out);
            }
            Err(_) if cannot => match self.most_of_damaged(shard, &passed_on, now) {
                Some(node) if node == me => self.repair_damaged(shard, me, now, out),
                Some(node) => {
                    // Its answer is the last word.
                    passed_on.are_damaged = false;
                    passed_on.asked.push(node);
                    self.passed_on.insert(shard, passed_on);
                    self.mail.push((node, Message::RepairAskDamaged { shard }));
                }
                None => out.push(Command::RepairEnded { shard, result }),
            },
            _ => out.push(Command::RepairEnded { shard, result }),
        }
    }

    /// Returns this node's part in a shard, if an epoch can begin from what it has. `may_be_damaged`: also where a part of its log is lost.
    fn beginning(
        &self,
        shard: ShardId,
        place: &ShardRecord,
        may_be_damaged: bool,
    ) -> Result<&Part<S>, Refusal> {
        let has_others = place.full_but(self.settings.node).next().is_some();
        let part = self.parts.get(&shard).ok_or(Refusal::NoOwner)?;
        match part {
            // It keeps what it has for a while, and may follow no more.
            _ if has_others && place.role(self.settings.node) == Role::None => Err(Refusal::NoOwner),
            _ if self.settings.faults.repairs_refused => Err(Refusal::Behind),
            _ if part.is_unread() => Err(Refusal::LogUnread),
            _ if part.is_disk_full() => Err(Refusal::DiskFull),
            _ if has_others && part.may_lack_for_good() => Err(Refusal::Behind),
            _ if has_others && part.has_rest() && !may_be_damaged => Err(Refusal::LogDamaged),
            _ => Ok(part),
        }
    }

    /// The stream of a new epoch was made. Returns false when it was not asked for here.
    pub(super) fn repair_made(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        out: &mut Vec<Command>,
    ) -> bool {
        let Some(at) = self.repairs.iter().position(|repair| repair.read == read) else { return false };
        let refusal = match outcome {
            StreamOutcome::Is(info) if info.last == 0 => {
                self.repairs[at].made = Some(info.incarnation);
                if self.settings.faults.repairs_told_early {
                    let (shard, askers) =
                        (self.repairs[at].shard, std::mem::take(&mut self.repairs[at].askers));
                    self.end_repair(shard, &askers, Ok(()), out);
                }
                return true;
            }
            // Another node is there already.
            StreamOutcome::Is(_) => Refusal::Begun,
            StreamOutcome::Absent | StreamOutcome::NoAnswer => Refusal::NoBrokers,
        };
        let Repair { shard, askers, .. } = self.repairs.remove(at);
        self.end_repair(shard, &askers, Err(refusal), out);
        true
    }

    /// Writes new epochs into the record.
    pub(super) fn run_repairs(&mut self, now: Moment, out: &mut Vec<Command>) {
        self.end_begun(out);
        self.give_up_repairs(now, out);
        let Some(known) = self.keeper.known().filter(|_| self.keeper.may_change()) else { return };
        let made = |repair: &Repair| Some((repair.shard, repair.epoch, repair.made?, repair.others.clone()));
        let Some((shard, epoch, incarnation, others)) = self.repairs.iter().find_map(made) else { return };
        // The record as the brokers have it now: what was known when the repair was asked for may have been an old one.
        let place = known.shard(shard).filter(|place| place.epoch == epoch);
        let synced = self.members.there(now).filter_map(|(node, _)| {
            self.members.holding(node, shard, epoch, now).map(|holding| holding.synced)
        });
        let own = place.map(|place| {
            // One that was started anew since may have more than it says at first.
            let is_best = || self.best_of_damaged(shard, now).is_ok_and(|(_, runs)| Some(runs) == others);
            let part = self.beginning(shard, place, others.is_some() && is_best())?;
            // A stream that was gone may be back.
            self.is_broken(shard, now).then(|| part.received()).ok_or(Refusal::NotBroken)
        });
        let received = own.and_then(|own| own.ok()?).filter(|(of, _)| *of == epoch);
        let received = received.map(|(_, received)| received);
        let last = synced.chain(received).max();
        if let (Some(last), Some(_)) = (last, received)
            && let Some(plan) = repaired(known, shard, self.settings.node, incarnation, last)
        {
            // Kept until the record has it: the change may be refused.
            self.keeper.change(plan, out);
            return;
        }
        let result = match own {
            // The record has the epoch, or a later one.
            None => Ok(()),
            Some(own) => Err(own.err().unwrap_or(Refusal::NoOwner)),
        };
        let ended: Vec<Repair> = self.repairs.extract_if(.., |repair| repair.shard == shard).collect();
        ended.iter().for_each(|repair| self.end_repair(shard, &repair.askers, result, out));
    }

    /// Ends those passed on whose epoch the record has: the answer may be lost.
    fn end_begun(&mut self, out: &mut Vec<Command>) {
        let Some(known) = self.keeper.known() else { return };
        let is_begun = |shard: &ShardId, own: &mut PassedOn| {
            known.shard(*shard).is_some_and(|place| place.epoch > own.epoch)
        };
        let begun = self.passed_on.extract_if(.., is_begun);
        out.extend(begun.map(|(shard, _)| Command::RepairEnded { shard, result: Ok(()) }));
    }

    fn give_up_repairs(&mut self, now: Moment, out: &mut Vec<Command>) {
        let is_late = |until_ms: u64| now.elapsed_ms >= until_ms;
        let late: Vec<Repair> = self.repairs.extract_if(.., |repair| is_late(repair.until_ms)).collect();
        for Repair { shard, askers, .. } in late {
            self.end_repair(shard, &askers, Err(Refusal::Late), out);
        }
        let silent = self.passed_on.extract_if(.., |_, own| is_late(own.until_ms));
        let silent = silent.map(|(shard, _)| Command::RepairEnded { shard, result: Err(Refusal::Silent) });
        out.extend(silent);
    }
}
