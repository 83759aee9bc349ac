//! The rest of a log that a start has found damaged: it stood behind the damage, and may be all that there is of some reports.
//!
//! The replica goes on from what stands before. Once it has all of the stream, it tells which batches of the rest the shard lacks, and
//! these are published again. Until they have come back by the stream and are in its log, each start tells of the rest.

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
        let of_epoch = self.replica.as_ref().filter(|replica| replica.content.epoch == facts.place.epoch);
        let Some(replica) = of_epoch.filter(|_| self.has_rest && has_all) else { return };
        let (received, synced) = (replica.received(), replica.synced());
        if bench.settings.faults.rest_is_nothing {
            return self.let_go_of_rest(bench);
        }
        // What went into an epoch that has ended may be lost with it.
        self.rest.take_if(|rest| rest.stream() != stream);
        let rest = self.rest.get_or_insert_with(|| Resubmit::of_rest(stream, false));
        rest.received(received);
        rest.run(bench.now, &[], bench.numbers, bench.out);
        if rest.is_here(synced) {
            if rest.has_lacked() {
                bench.out.push(Command::Tell(Happened::PublishedAgain(self.shard)));
            }
            self.let_go_of_rest(bench);
        }
    }

    /// Publishes again what owners lack of the rest, before the shard is dropped; or where nothing else of it is here.
    pub(super) fn publish_rest_for_others(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        self.let_go(bench);
        self.resubmit = Some(Resubmit::of_rest(facts.place.stream(self.shard), true));
    }

    /// Takes what was read of the rest.
    pub(super) fn rest_read(&mut self, read: ReadId, outcome: LogOutcome, bench: &mut Bench<'_>) {
        let content = self.replica.as_ref().map(|replica| &replica.content);
        let has_seen = |batch| content.is_some_and(|content| content.has_seen(batch));
        let could_read = self.rest.as_mut().and_then(|rest| rest.read(read, outcome, has_seen, bench.now));
        self.note_rest(could_read, bench);
    }

    /// Notes if the rest could be read. What cannot be read now is read again later: the files stay, and people are told once.
    pub(super) fn note_rest(&mut self, could_read: Option<bool>, bench: &mut Bench<'_>) {
        let Some(could_read) = could_read else { return };
        if !std::mem::replace(&mut self.is_rest_unread, !could_read) && !could_read {
            bench.out.push(Command::Tell(Happened::RestUnread(self.shard)));
        }
    }

    /// True while the rest cannot be read.
    pub(in crate::node) fn is_rest_unread(&self) -> bool {
        self.is_rest_unread
    }

    /// All of it that the shard lacked is in the stream.
    pub(super) fn let_go_of_rest(&mut self, bench: &mut Bench<'_>) {
        (self.rest, self.is_rest_unread) = (None, false);
        if std::mem::take(&mut self.has_rest) {
            bench
                .out
                .extend([Command::DropRest(self.shard), Command::Tell(Happened::LogDamaged(self.shard))]);
        }
    }
}
