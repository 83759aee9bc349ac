//! Bringing a node's part in line with the record of assignment: what it is to obtain, to keep, to leave and to drop.

use std::sync::Arc;

use super::{Bench, Facts, INSTALL_AGAIN_MS, Part, UNNAMED_MS, Unnamed};
use crate::assignment::Role;
use crate::bootstrap::Copying;
use crate::command::Command;
use crate::content::{Beginning, Content};
use crate::event::DiskFault;
use crate::follower::Follower;
use crate::happened::{Happened, Stop};
use crate::ids::StreamId;
use crate::node::resubmit::Resubmit;
use crate::replica::Replica;
use crate::state::ShardState;

/// Content on its way to the disk.
#[derive(Debug)]
pub(super) struct Install<S> {
    pub(super) content: Content<S>,
    /// The epoch before, whose stream is to be dropped: this node began the new one.
    repaired: Option<StreamId>,
}

impl<S: ShardState> Part<S> {
    /// Brings what is here in line with the record.
    pub(super) fn obey(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let place = facts.place;
        // The epoch that it goes into has ended too, or is of another data set.
        self.resubmit.take_if(|resubmit| {
            let data_set = self.replica.as_ref().map(|replica| replica.content.data_set);
            let is_bare = data_set.is_none() && resubmit.is_rest() && self.role == Role::None;
            let is_same = is_bare || data_set == Some(facts.data_set);
            resubmit.stream() != place.stream(self.shard) || !is_same
        });
        if self.role == Role::Joining && self.resubmit.as_ref().is_some_and(Resubmit::is_rest) {
            // What was here is published. The copy must not wait for a rest that may never be read.
            (self.resubmit, self.replica) = (None, None);
        }
        if self.installing.is_some() || self.resubmit.is_some() || bench.now.elapsed_ms < self.install_at_ms {
            return;
        }
        if self.copying.as_ref().is_some_and(|copying| copying.stream() != place.stream(self.shard)) {
            self.copying = None;
        }
        match &self.replica {
            None => self.obtain(facts, bench),
            // A data set was begun over a lost one. What is here is of the lost one, and may be all that there is of it.
            Some(replica) if replica.content.data_set != facts.data_set => {
                self.stop(Stop::OtherDataSet, bench);
            }
            Some(replica) if replica.content.epoch < place.epoch => self.leave_epoch(facts, bench),
            Some(replica) if replica.content.epoch > place.epoch => {}
            Some(_) if self.role == Role::None => self.drop_unnamed(facts, bench),
            Some(_) => {
                self.unnamed = None;
                if matches!(self.stop, Some(Stop::NextEntryPurged | Stop::LogUnread))
                    && !facts.sources.is_empty()
                {
                    self.publish_again(bench);
                }
                let stands = matches!(self.stop, Some(stop) if !matches!(stop, Stop::Disk(DiskFault::Full)));
                if self.resubmit.is_none() && self.follower.is_none() && !stands {
                    let unnoticed = bench.settings.faults.stream_anew_unnoticed;
                    self.follower =
                        Some(Follower::new(place.stream(self.shard), place.incarnation, unnoticed));
                }
            }
        }
    }

    /// There is no content here, and the record asks for some.
    pub(super) fn obtain(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let (place, me) = (facts.place, bench.settings.node);
        let is_alone = place.full_but(me).next().is_none();
        match self.role {
            Role::None => {
                self.copying = None;
                if self.has_rest {
                    self.publish_rest_for_others(facts, bench);
                }
            }
            Role::Full if is_alone && place.epoch == 1 => {
                // The stream will tell if entries of the beginning are gone. Until all is here, nothing is answered.
                self.is_hollow = true;
                let content = Content::begin(Beginning {
                    shard: self.shard,
                    epoch: place.epoch,
                    data_set: facts.data_set,
                    base: place.base,
                    time_ms: place.begun_ms,
                    settings: facts.settings,
                });
                self.install(content, None, bench);
            }
            Role::Full if is_alone => self.stop(Stop::DiskDamaged, bench),
            Role::Full | Role::Joining => {
                if self.copying.is_none() {
                    bench.out.push(Command::Tell(Happened::CopyBegun(self.shard)));
                    self.copying = Some(Copying::new(place.stream(self.shard)));
                }
            }
        }
    }

    /// The shard was repaired: the content here is of an epoch that has ended.
    pub(super) fn leave_epoch(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        let place = facts.place;
        let began_it = place.founder == bench.settings.node && self.role == Role::Full;
        if began_it && self.is_unread() {
            // A start since then could not read all of it. The epoch waits, and the stop that follows tells a person.
            return;
        }
        self.let_go(bench);
        let follows = |replica: &mut Replica<S>| replica.content.epoch + 1 == place.epoch;
        if began_it && let Some(mut replica) = self.replica.take_if(follows) {
            let before = StreamId { shard: self.shard, epoch: replica.content.epoch };
            replica.content.enter(place.epoch, place.base);
            self.install(replica.content, Some(before), bench);
        } else {
            self.resubmit = Some(Resubmit::all(place.stream(self.shard)));
        }
    }

    /// Drops the shard when the record has not named this node for a while: a read of it may have been an old one.
    pub(super) fn drop_unnamed(&mut self, facts: &Facts<'_>, bench: &mut Bench<'_>) {
        // Where the stream was broken this log may hold what no other does, until the shard is repaired.
        let is_broken = self.has_broken_stream();
        let Some(replica) = &mut self.replica else { return };
        let now = Unnamed { since_ms: bench.now.elapsed_ms, received: replica.received() };
        let unnamed = *self.unnamed.get_or_insert(now);
        replica.agree(&facts.progress, bench.settings.node);
        let is_sure = facts.is_confirmed && bench.now.elapsed_ms >= unnamed.since_ms + UNNAMED_MS;
        if !is_sure || is_broken {
            return;
        }
        // A log that the start could not read to its end holds more than was received. Its first sync fails.
        let is_whole = replica.has_synced()
            && !matches!(self.stop, Some(Stop::Disk(DiskFault::Broken) | Stop::LogUnread));
        if is_whole && replica.is_elsewhere(unnamed.received) {
            match self.has_rest {
                true => self.publish_rest_for_others(facts, bench),
                false => self.drop_all(bench),
            }
        } else {
            // Nobody is known to have the same: the stream may have lost its end and gone on without this node.
            self.publish_again(bench);
        }
    }

    pub(super) fn drop_all(&mut self, bench: &mut Bench<'_>) {
        self.let_go(bench);
        self.let_go_of_rest(bench);
        *self = Self::new(self.shard);
        bench.out.extend([Command::DropShard(self.shard), Command::Tell(Happened::Left(self.shard))]);
    }

    /// True when nothing is left of it.
    pub(in crate::node) fn is_over(&self) -> bool {
        let is_idle = self.replica.is_none() && self.installing.is_none() && self.copying.is_none();
        self.role == Role::None && is_idle && self.resubmit.is_none() && !self.has_rest
    }

    /// Ends the following of the stream. The age of what is here stays known, as people go on asking.
    pub(super) fn let_go(&mut self, bench: &mut Bench<'_>) {
        self.last_fresh_ms = self.fresh_ms();
        if let Some(mut follower) = self.follower.take() {
            follower.let_go(bench.out);
        }
        self.tick = None;
        self.frozen.clear();
    }

    pub(super) fn install(&mut self, content: Content<S>, repaired: Option<StreamId>, bench: &mut Bench<'_>) {
        self.let_go(bench);
        (self.replica, self.copying, self.rest, self.last_fresh_ms) = (None, None, None, None);
        let (shard, sequence, bytes) = (self.shard, content.sequence, Arc::from(content.write()));
        bench.out.push(Command::InstallSnapshot { shard, sequence, bytes });
        self.installing = Some(Install { content, repaired });
    }

    /// A snapshot was put on disk, or not.
    pub(in crate::node) fn snapshot_saved(
        &mut self,
        sequence: u64,
        result: Result<(), DiskFault>,
        bench: &mut Bench<'_>,
    ) {
        let Some(installing) = self.installing.take_if(|own| own.content.sequence == sequence) else {
            if let Some(replica) = &mut self.replica {
                replica.snapshot_saved(sequence, result);
            }
            return;
        };
        match result {
            Ok(()) => {
                self.go_on(bench);
                self.purged = 0;
                self.replica = Some(Replica::new(installing.content, bench.settings));
                if let Some(before) = installing.repaired {
                    let repaired = Command::Tell(Happened::EpochRepaired(self.shard));
                    bench.out.extend([Command::DropStream(before), repaired]);
                }
            }
            Err(fault) => {
                self.stop(Stop::Disk(fault), bench);
                self.install_at_ms = bench.now.elapsed_ms + INSTALL_AGAIN_MS;
                // What an epoch begins from is nowhere else. A copy can be made again.
                if let Some(before) = installing.repaired {
                    self.install(installing.content, Some(before), bench);
                }
            }
        }
    }

    pub(super) fn go_on(&mut self, bench: &mut Bench<'_>) {
        if self.stop.take().is_some() {
            bench.out.push(Command::Tell(Happened::WentOn(self.shard)));
        }
    }

    pub(super) fn stop(&mut self, stop: Stop, bench: &mut Bench<'_>) {
        let is_full = matches!(self.stop, Some(Stop::Disk(DiskFault::Full)));
        if self.stop == Some(stop) || (self.stop.is_some() && !is_full) {
            // The first reason is the one that a person has to look at.
            return;
        }
        self.stop = Some(stop);
        self.last_fresh_ms = self.fresh_ms();
        bench.out.push(Command::Tell(Happened::Stopped(self.shard, stop)));
        // A disk may have room again, and a stream that the brokers did not find may be found.
        if !matches!(stop, Stop::Disk(DiskFault::Full) | Stop::StreamGone) {
            self.let_go(bench);
        }
    }

    /// Publishes again what others lack, before the log is let go for a copy, or for good.
    pub(super) fn publish_again(&mut self, bench: &mut Bench<'_>) {
        self.let_go(bench);
        self.stop = None;
        let stream =
            self.replica.as_ref().map(|replica| StreamId { shard: self.shard, epoch: replica.content.epoch });
        self.resubmit = stream.map(Resubmit::of_lacking);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, ShardId};
    use crate::settings::Settings;
    use crate::testing::{NOW, Places};

    /// Lets a part keep something.
    type Keep<'a> = &'a dyn Fn(&mut Part<Places>);

    #[test]
    fn a_part_is_over_once_nothing_is_left_of_it_and_not_before() {
        let (shard, stream) = (ShardId(3), StreamId { shard: ShardId(3), epoch: 1 });
        let content = || -> Content<Places> {
            let settings = &[][..];
            Content::begin(Beginning { shard, epoch: 1, data_set: 7, base: 0, time_ms: NOW, settings })
        };
        let settings = Settings::new(NodeId(1), 1);
        assert!(Part::<Places>::new(shard).is_over());
        let kept: [(&str, Keep<'_>); 7] = [
            ("it is named as a full owner", &|part| part.role = Role::Full),
            ("it is named as one that joins", &|part| part.role = Role::Joining),
            ("a replica", &|part| part.replica = Some(Replica::new(content(), &settings))),
            ("content on its way to the disk", &|part| {
                part.installing = Some(Install { content: content(), repaired: None });
            }),
            ("a copy that is made", &|part| part.copying = Some(Copying::new(stream))),
            ("a log that is published again", &|part| part.resubmit = Some(Resubmit::all(stream))),
            ("the rest of a damaged log", &|part| part.has_rest = true),
        ];
        for (what, keep) in kept {
            let mut part = Part::new(shard);
            keep(&mut part);
            assert!(!part.is_over(), "{what}");
        }
    }
}
