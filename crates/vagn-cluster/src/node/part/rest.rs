//! The rest of a log that a start has found damaged: it stood behind the damage, and may be all that there is of some reports.
//!
//! The replica goes on from what stands before. Once it has all of the stream, it tells which batches of the rest the shard lacks, and
//! these are published again. Until they are in the stream, each start tells of the rest.

use super::{Bench, Facts, Part};
use crate::assignment::Role;
use crate::command::Command;
use crate::event::LogOutcome;
use crate::happened::Happened;
use crate::ids::ReadId;
use crate::node::resubmit::Resubmit;
use crate::state::ShardState;

impl<S: ShardState> Part<S> {
    /// Notes that the disk keeps a rest.
    pub(in crate::node) fn restore_rest(&mut self) {
        self.has_rest = true;
    }

    /// Publishes again what the shard lacks of the rest, while this node's replica has all.
    pub(super) fn publish_rest(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let stream = facts.place.stream(self.shard);
        let has_all = self.role == Role::Full && self.resubmit.is_none() && self.is_caught_up(bench.now);
        let is_of_epoch =
            self.replica.as_ref().is_some_and(|replica| replica.content.epoch == facts.place.epoch);
        if !self.has_rest || !has_all || !is_of_epoch {
            return;
        }
        if bench.settings.faults.rest_is_nothing {
            return self.let_go_of_rest(bench);
        }
        // What went into an epoch that has ended may be lost with it.
        self.rest.take_if(|rest| rest.stream() != stream);
        let rest = self.rest.get_or_insert_with(|| Resubmit::of_rest(stream, false));
        rest.run(bench.now, &[], bench.numbers, bench.out);
        if rest.is_done() {
            if rest.has_lacked() {
                bench.out.push(Command::Tell(Happened::PublishedAgain(self.shard)));
            }
            self.let_go_of_rest(bench);
        }
    }

    /// Publishes again what owners lack of the rest, before the shard is dropped.
    pub(super) fn publish_rest_for_others(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        self.let_go(bench);
        self.resubmit = Some(Resubmit::of_rest(facts.place.stream(self.shard), true));
    }

    /// Takes what was read of the rest. What cannot be read now is read again later: the files stay.
    pub(super) fn rest_read(&mut self, read: ReadId, outcome: LogOutcome, bench: &mut Bench<'_>) {
        let content = self.replica.as_ref().map(|replica| &replica.content);
        let has_seen = |batch| content.is_some_and(|content| content.has_seen(batch));
        if let Some(rest) = &mut self.rest {
            rest.read(read, outcome, has_seen, bench.now);
        }
    }

    /// All of it that the shard lacked is in the stream.
    pub(super) fn let_go_of_rest(&mut self, bench: &mut Bench<'_>) {
        self.rest = None;
        if std::mem::take(&mut self.has_rest) {
            bench
                .out
                .extend([Command::DropRest(self.shard), Command::Tell(Happened::LogDamaged(self.shard))]);
        }
    }
}
