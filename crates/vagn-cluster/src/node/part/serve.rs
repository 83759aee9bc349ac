//! What others ask of a node's part in a shard: fates, copies, answers, and how far it is.

use super::{BEHIND_MS, Bench, CAUGHT_UP_MS, FROZEN_MAX, FROZEN_OWNERS, Part};
use crate::assignment::Role;
use crate::bootstrap::{Frozen, Piece};
use crate::command::{Command, ShardAnswer};
use crate::content::Content;
use crate::event::DiskFault;
use crate::follower::Follower;
use crate::happened::{Happened, Stop};
use crate::ids::{BatchId, Moment, NodeId, StreamId};
use crate::membership::Holding;
use crate::message::Message;
use crate::node::plan::Own;
use crate::replica::Replica;
use crate::state::ShardState;
use crate::view::{ShardView, Stage};

impl<S: ShardState> Part<S> {
    pub(super) fn tell_fates(&self, batch: BatchId, bench: &mut Bench<'_>) {
        let recent = self.recent.iter().rev().find(|(own, _)| *own == batch);
        if let Some((_, fates)) = recent.filter(|_| self.role == Role::Full) {
            let message = Message::Fates { batch, fates: fates.to_vec() };
            bench.mail.push((batch.door.node, message));
        }
    }

    /// A door knows that its batch is in the stream, and asks for its fates.
    pub(in crate::node) fn unanswered(
        &mut self,
        batch: BatchId,
        stream: StreamId,
        sequence: u64,
        bench: &mut Bench<'_>,
    ) {
        self.tell_fates(batch, bench);
        let (Some(replica), Some(follower)) = (&self.replica, &mut self.follower) else { return };
        let is_other = stream == follower.stream()
            && replica.content.sequence >= sequence
            && !replica.content.has_seen(batch)
            && replica.first_hashed().is_some_and(|first| first <= sequence);
        if is_other {
            // This replica has another entry under that sequence: one of the two is not in the stream any more.
            follower.verify(sequence, bench.out);
        }
    }

    /// A node asks which of these batches this shard lacks, before it lets its own log go.
    pub(in crate::node) fn lack_asked(
        &mut self,
        from: NodeId,
        stream: StreamId,
        ask: u64,
        mut batches: Vec<BatchId>,
        bench: &mut Bench<'_>,
    ) {
        // One that is behind would lack much that it is about to get.
        let can_tell = self.role == Role::Full && self.is_caught_up(bench.now);
        let Some(replica) = self.replica.as_ref().filter(|_| can_tell) else { return };
        if replica.content.epoch == stream.epoch {
            let lacks_nothing = bench.settings.faults.lacks_nothing;
            batches.retain(|batch| !lacks_nothing && !replica.content.has_seen(*batch));
            bench.mail.push((from, Message::Lack { stream, ask, batches }));
        }
    }

    /// A node asks for a piece of this shard. `lacks_it`: it is to have it on its disk and has not, and copies it for good.
    pub(in crate::node) fn copy_asked(
        &mut self,
        from: NodeId,
        stream: StreamId,
        copy: u64,
        offset: u64,
        lacks_it: bool,
        bench: &mut Bench<'_>,
    ) {
        self.frozen.retain(|frozen| !frozen.is_over(bench.now));
        let can_be_copied = |replica: &&Replica<S>| {
            let is_sound = self.stop.is_none_or(|stop| matches!(stop, Stop::Disk(DiskFault::Full)));
            let is_settled = replica.content.sequence <= replica.synced();
            self.role == Role::Full && is_sound && is_settled && replica.content.epoch == stream.epoch
        };
        let Some(replica) = self.replica.as_ref().filter(can_be_copied) else {
            bench.mail.push((from, Message::CopyGone { stream, copy }));
            return;
        };
        let begins = copy == 0 && offset == 0;
        let is_wanted = |frozen: &Frozen| match begins {
            true => frozen.is_fresh(stream, bench.now),
            false => frozen.is(copy),
        };
        // Another copy in place of one that is being read would make that one begin anew, and so on without end.
        let places = FROZEN_MAX + if lacks_it { FROZEN_OWNERS } else { 0 };
        if begins && self.frozen.len() < places && !self.frozen.iter().any(is_wanted) {
            // Zero would ask for a new one.
            let number = bench.numbers.random() | 1;
            self.frozen.push(Frozen::new(stream, number, replica.content.write(), bench.now));
        }
        let piece_bytes = bench.settings.piece_bytes;
        let answer = match self.frozen.iter_mut().find(|frozen| is_wanted(frozen)) {
            Some(frozen) => frozen.piece(from, (stream, copy), offset, piece_bytes, bench.now),
            None => Message::CopyGone { stream, copy },
        };
        bench.mail.push((from, answer));
    }

    /// Copies that others read.
    #[cfg(test)]
    pub(in crate::node) fn copies(&self) -> usize {
        self.frozen.len()
    }

    /// A piece of the copy that this node makes.
    pub(in crate::node) fn copy_piece(&mut self, from: NodeId, piece: Piece, bench: &mut Bench<'_>) {
        let stream = piece.stream;
        let Some(copying) = &mut self.copying else { return };
        let Some(whole) = copying.piece(from, piece, bench.now, bench.out) else { return };
        self.copying = None;
        match Content::<S>::read(self.shard, &whole) {
            Ok(mut content) if content.epoch == stream.epoch => {
                if bench.settings.faults.bootstrap_skips_one {
                    (content.sequence, content.entry_hash) = (content.sequence + 1, 0);
                }
                self.install(content, None, bench);
            }
            // It begins anew with the next round.
            _ => bench.out.push(Command::Tell(Happened::CopyLost(self.shard))),
        }
    }

    pub(in crate::node) fn copy_gone(
        &mut self,
        from: NodeId,
        stream: StreamId,
        copy: u64,
        bench: &mut Bench<'_>,
    ) {
        if let Some(copying) = &mut self.copying {
            copying.gone(from, stream, copy, bench.now, bench.out);
        }
    }

    /// Answers a question about this shard, if this node has it.
    pub(in crate::node) fn answer(&self, question: &[u8], me: NodeId, now: Moment) -> Option<ShardAnswer> {
        let state = self.shown()?;
        let fresh_ms = self.fresh_ms();
        let mut bytes = Vec::new();
        state.answer(question, &mut bytes);
        // Before it ever had all, its age is unknown: as old as can be.
        let age_ms = fresh_ms.map_or(u64::MAX, |fresh_ms| now.elapsed_ms - fresh_ms);
        Some(ShardAnswer { shard: self.shard, node: me, age_ms, bytes })
    }

    /// Returns the content, if this node may answer for the shard.
    pub(in crate::node) fn shown(&self) -> Option<&S> {
        let is_owned = self.role == Role::Full && !self.is_foreign();
        let replica = self.replica.as_ref().filter(|_| is_owned)?;
        (!self.is_hollow || self.had_all()).then_some(&replica.content.state)
    }

    /// Returns the content that it follows on with although the record names this node no more, or not yet again.
    pub(in crate::node) fn left_over(&self) -> Option<&S> {
        let is_left = self.role != Role::Full && !self.is_foreign() && self.had_all();
        self.replica.as_ref().filter(|_| is_left).map(|replica| &replica.content.state)
    }

    /// True when it had all of the stream at some time in this run: so the age of what it has is known.
    pub(in crate::node) fn had_all(&self) -> bool {
        self.fresh_ms().is_some()
    }

    /// Moment at which it last had all, in this run. A shard that has stopped keeps it: people go on asking until it is repaired.
    pub(super) fn fresh_ms(&self) -> Option<u64> {
        self.follower.as_ref().and_then(Follower::fresh_ms).or(self.last_fresh_ms)
    }

    /// True when it had all of the stream a moment ago, on disk, as a tick bears out.
    pub(in crate::node) fn is_caught_up(&self, now: Moment) -> bool {
        self.follows_since(self.follower.as_ref().and_then(Follower::fresh_ms), now)
    }

    /// True when it has all of the stream that the brokers told of a moment ago, on disk. It is enough for what goes through a majority of
    /// them and comes to nothing where they are cut off: ticks, which must begin with somebody, and changes of the record and
    /// purges, which must go on where a full stream takes no ticks.
    pub(super) fn has_end(&self, now: Moment) -> bool {
        self.follows_since(self.follower.as_ref().and_then(Follower::end_ms), now)
    }

    fn follows_since(&self, at_ms: Option<u64>, now: Moment) -> bool {
        let is_late = at_ms.is_none_or(|at_ms| now.elapsed_ms >= at_ms + CAUGHT_UP_MS);
        self.stop.is_none() && self.replica.is_some() && !is_late
    }

    /// True when it has stopped, or lags, for longer than a start takes.
    pub(in crate::node) fn is_behind(&self, now: Moment) -> bool {
        self.behind_since_ms.is_some_and(|since_ms| now.elapsed_ms >= since_ms + BEHIND_MS)
    }

    /// What this node has of the shard.
    pub(in crate::node) fn own(&self, now: Moment) -> Option<Own> {
        let replica = self.replica.as_ref().filter(|_| !self.is_foreign())?;
        Some(Own {
            epoch: replica.content.epoch,
            synced: replica.synced(),
            caught_up: self.has_end(now),
            stream_bytes: self.follower.as_ref().map_or(0, Follower::bytes),
        })
    }

    /// True when it is far behind, began from nothing, or is about to let go of its log. Of what it lacks, other owners' logs need not hold
    /// everything any more.
    pub(in crate::node) fn may_lack_for_good(&self) -> bool {
        self.is_hollow
            || self.is_unread()
            || self.resubmit.is_some()
            || self.stop == Some(Stop::NextEntryPurged)
    }

    /// True when it has stopped because of its stream, and only a repair helps. One that lacks entries which the stream has let go of is copied,
    /// where another owner has them.
    pub(in crate::node) fn is_broken(&self) -> bool {
        self.has_broken_stream() || (self.is_sole && self.stop == Some(Stop::NextEntryPurged))
    }

    /// True when the stream is not, or not any more, the one that it followed: its log may hold what no other does.
    pub(super) fn has_broken_stream(&self) -> bool {
        let others = |stop| matches!(stop, Stop::Disk(_) | Stop::NextEntryPurged | Stop::LogUnread);
        self.stop.is_some_and(|stop| !others(stop))
    }

    /// True when a part of its log was lost to damage. Of that, too, other owners' logs need not hold everything.
    pub(in crate::node) fn has_rest(&self) -> bool {
        self.has_rest
    }

    /// True while its disk has no room: an epoch begins with a snapshot.
    pub(in crate::node) fn is_disk_full(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::is_disk_full)
    }

    /// True when nobody knows what its log holds. An epoch that begins from what was read would put the log away, with what only it may have.
    pub(in crate::node) fn is_unread(&self) -> bool {
        self.stop == Some(Stop::LogUnread) || self.replica.as_ref().is_some_and(Replica::is_unread)
    }

    /// True when its content is of another data set than the record.
    pub(in crate::node) fn is_foreign(&self) -> bool {
        self.stop == Some(Stop::OtherDataSet)
    }

    /// What heartbeats say of it.
    pub(in crate::node) fn holding(&self, now: Moment) -> Option<Holding> {
        let own = self.own(now)?;
        let running_hash = self.replica.as_ref().map_or(0, Replica::running_hash);
        Some(Holding {
            shard: self.shard,
            epoch: own.epoch,
            synced: own.synced,
            running_hash,
            caught_up: self.is_caught_up(now),
            is_broken: self.is_broken(),
        })
    }

    /// True when its content is of this data set and epoch.
    pub(in crate::node) fn has_of(&self, data_set: u64, epoch: u32) -> bool {
        let content = self.replica.as_ref().map(|replica| &replica.content);
        content.is_some_and(|content| content.data_set == data_set && content.epoch == epoch)
    }

    /// Returns the last entry that was received, and in which epoch.
    pub(in crate::node) fn received(&self) -> Option<(u32, u64)> {
        self.replica.as_ref().map(|replica| (replica.content.epoch, replica.received()))
    }

    pub(in crate::node) fn view(&self, now: Moment) -> Option<ShardView> {
        let content = match (&self.replica, &self.installing) {
            (Some(replica), _) => &replica.content,
            (None, Some(installing)) => &installing.content,
            (None, None) => {
                let stream = self.copying.as_ref()?.stream();
                let stage = self.stop.map_or(Stage::Copying, Stage::Stopped);
                return Some(ShardView {
                    shard: self.shard,
                    stream,
                    stage,
                    received: 0,
                    applied: 0,
                    tick: None,
                });
            }
        };
        let stage = match self.stop {
            Some(stop) => Stage::Stopped(stop),
            None if self.replica.is_none() => Stage::Copying,
            None if self.follower.is_none() => Stage::Restored,
            None if self.is_caught_up(now) => Stage::CaughtUp,
            None => Stage::CatchingUp,
        };
        Some(ShardView {
            shard: self.shard,
            stream: StreamId { shard: self.shard, epoch: content.epoch },
            stage,
            received: self.replica.as_ref().map_or(content.sequence, Replica::received),
            applied: content.sequence,
            tick: content.tick,
        })
    }

    pub(in crate::node) fn has_seen(&self, batch: BatchId) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.content.has_seen(batch))
    }

    pub(in crate::node) fn state(&self) -> Option<&S> {
        self.replica.as_ref().map(|replica| &replica.content.state)
    }
}
