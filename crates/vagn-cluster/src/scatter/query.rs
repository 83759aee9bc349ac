//! A question that waits: which shards have no answer, who was asked for them, and what came so far.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, ShardAnswer};
use crate::ids::{NodeId, QueryId, ShardId};
use crate::message::Message;

/// Silence of the other owners of a shard after which an answer counts though it may lack the latest, this node's own or an old one: since the question, or since
/// the last part of an answer that is on its way.
pub(super) const SPARE_MS: u64 = 200;

/// Most times that a question is asked again.
pub(super) const AGAIN_MAX: u32 = 16;

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) id: QueryId,
    pub(super) question: Vec<u8>,
    pub(super) asked_ms: u64,
    pub(super) until_ms: u64,
    pub(super) is_hedged: bool,
    pub(super) again_at_ms: u64,
    pub(super) again_pause_ms: u64,
    /// How often it was asked again.
    pub(super) again: u32,
    pub(super) open: BTreeMap<ShardId, Open>,
    pub(super) answers: Vec<ShardAnswer>,
    /// See [`Asking::spares`](super::Asking::spares). Old answers of other owners are such too.
    pub(super) spares: Vec<ShardAnswer>,
}

/// A shard without an answer.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Nodes that may be asked, the best first, and how many were.
    pub(super) owners: Vec<NodeId>,
    pub(super) asked: usize,
    /// Nodes that were asked before these owners.
    pub(super) before: BTreeSet<NodeId>,
    /// Moment at which the last part came.
    pub(super) heard_ms: u64,
    /// What came of an answer in parts, by its node and the number under which that was asked: two answers of a node may differ.
    pub(super) parts: BTreeMap<(NodeId, u64), Parts>,
}

/// An answer of which some parts came.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) got: u32,
    pub(super) bytes: Vec<u8>,
}

impl Query {
    /// Takes what may lack the latest for the shards that have no other answer, as far as it is due.
    pub(super) fn take_spares(&mut self, is_due: impl Fn(u64) -> bool) {
        for spare in std::mem::take(&mut self.spares) {
            match self.spare_due_ms(&spare) {
                // Another owner has answered.
                None => {}
                Some(due_ms) if is_due(due_ms) => {
                    self.open.remove(&spare.shard);
                    self.answers.push(spare);
                }
                Some(_) => self.spares.push(spare),
            }
        }
    }

    /// Keeps the younger one of two answers for a shard.
    pub(super) fn keep_spare(&mut self, answer: ShardAnswer) {
        match self.spares.iter_mut().find(|spare| spare.shard == answer.shard) {
            Some(spare) if spare.age_ms <= answer.age_ms => {}
            Some(spare) => *spare = answer,
            None => self.spares.push(answer),
        }
    }

    fn spare_due_ms(&self, spare: &ShardAnswer) -> Option<u64> {
        let open = self.open.get(&spare.shard)?;
        Some(open.heard_ms.max(self.asked_ms) + SPARE_MS)
    }

    pub(super) fn spares_due_ms(&self) -> Option<u64> {
        self.spares.iter().filter_map(|spare| self.spare_due_ms(spare)).min()
    }

    pub(super) fn again_due_ms(&self) -> Option<u64> {
        (self.again < AGAIN_MAX && self.again_at_ms < self.until_ms).then_some(self.again_at_ms)
    }

    /// Asks the next owner of each open shard that is meant, one request to a node. Returns the shards that had one.
    pub(super) fn ask_next(
        &mut self,
        number: u64,
        is_meant: impl Fn(ShardId) -> bool,
        out: &mut Vec<Command>,
    ) -> Vec<ShardId> {
        let mut requests: BTreeMap<NodeId, Vec<ShardId>> = BTreeMap::new();
        for (shard, open) in self.open.iter_mut().filter(|(shard, _)| is_meant(**shard)) {
            if let Some(node) = open.owners.get(open.asked) {
                open.asked += 1;
                requests.entry(*node).or_default().push(*shard);
            }
        }
        let asked = requests.values().flatten().copied().collect();
        for (to, shards) in requests {
            let question = Message::Question { query: number, shards, question: self.question.clone() };
            out.push(Command::Send { to, bytes: question.write() });
        }
        asked
    }
}
