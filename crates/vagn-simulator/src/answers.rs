//! Answers about the fleet, as the oracle holds them: whole or saying what is missing, and with all that their age promises, also of
//! shards that have stopped.

use std::collections::BTreeSet;

use vagn_cluster::{QueryId, ShardAnswer, ShardId, Stage, StreamId};

use crate::agenda::{MILLI, SECOND};
use crate::fleet::read_answer;
use crate::machine::machine_of;
use crate::network::MachineId;
use crate::world::World;

impl World {
    /// Takes in an answer about the fleet.
    pub(crate) fn answered(
        &mut self,
        id: MachineId,
        query: QueryId,
        answers: &[ShardAnswer],
        missing: &[ShardId],
    ) {
        let Some(question) = self.machines[id].questions.remove(&query) else {
            return self
                .oracle
                .wrong_if(true, || format!("machine {} answers {query:?}, which nobody asked", id + 1));
        };
        let told = answers.iter().map(|answer| answer.shard).chain(missing.iter().copied());
        let told: Vec<ShardId> = told.collect();
        let all: BTreeSet<ShardId> = question.shards.iter().copied().collect();
        let right = told.len() == all.len() && told.iter().copied().collect::<BTreeSet<_>>() == all;
        self.oracle.wrong_if(!right, || {
            format!("machine {} answers {query:?} for {told:?} where it was asked for {all:?}", id + 1)
        });
        self.reached.note(if missing.is_empty() { "answer whole" } else { "answer partial" });
        let whole = self.oracle.whole_at().is_some_and(|at| question.at > at + SECOND);
        self.oracle.wrong_if(whole && !missing.is_empty(), || {
            format!("machine {} answers without {missing:?} when all is well", id + 1)
        });
        for answer in answers {
            self.compare_answer(id, question.at, answer);
        }
    }

    /// An answer holds all that was kept before it, less its age.
    fn compare_answer(&mut self, id: MachineId, asked_at: u64, answer: &ShardAnswer) {
        let Some(last) = read_answer(&answer.bytes) else {
            return self
                .oracle
                .wrong_if(true, || format!("machine {} gives an answer that nobody can read", id + 1));
        };
        let whole = self.oracle.whole_at().is_some_and(|at| asked_at > at + SECOND);
        if !whole && !self.is_answerable(answer) {
            return;
        }
        let doubt = if whole { 0 } else { self.plan.doubt() };
        let Some(until) = asked_at.checked_sub(answer.age_ms.saturating_mul(MILLI).saturating_add(doubt))
        else {
            return;
        };
        let kept = self.ledger.kept_before(answer.shard, until);
        let lacks = kept.into_iter().find(|(vehicle, seq)| last.get(vehicle).is_none_or(|last| last < seq));
        let (node, shard, age_ms) = (answer.node, answer.shard, answer.age_ms);
        self.oracle.wrong_if(lacks.is_some(), || {
            format!("answer of {node:?} for {shard:?}, {age_ms} ms old, silently lacks {lacks:?}")
        });
    }

    /// True for an answer that holds all that its age promises. Where a stream has lost its end, and where an epoch begins anew, an owner can
    /// lack what only another one has. Where it is gone or another one, its owners have what they had, and it gets no younger.
    fn is_answerable(&mut self, answer: &ShardAnswer) -> bool {
        let shard = answer.shard;
        let owner = machine_of(answer.node).and_then(|id| self.machines[id].node.as_ref());
        let view = owner.and_then(|node| node.shards().into_iter().find(|view| view.shard == shard));
        let stopped = view.filter(|view| matches!(view.stage, Stage::Stopped(_)));
        if stopped.is_some() {
            self.reached.note("answer of a shard that has stopped");
        }
        if !self.oracle.is_harmed(shard) {
            return true;
        }
        let is_broken =
            stopped.is_some_and(|view| self.oracle.is_broken(view.stream) && self.is_newest(view.stream));
        if is_broken {
            self.reached.note("answer of a shard whose stream is broken");
        }
        is_broken
    }

    /// True until an epoch behind that of a stream is begun.
    fn is_newest(&self, stream: StreamId) -> bool {
        self.brokers.streams().all(|(id, _)| id.shard != stream.shard || id.epoch <= stream.epoch)
    }
}
