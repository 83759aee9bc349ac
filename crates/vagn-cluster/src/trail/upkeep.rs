//! Upkeep: the stream is purged, stores that lack something copy others, and epochs begin and end.

use crate::command::Command;
use crate::event::DiskFault;
use crate::happened::Stop;
use crate::ids::{Moment, NodeId, StreamId};
use crate::trail::chain::Chain;
use crate::trail::command::{DeedOutcome, TrailCommand, TrailHappened, TrailRefusal, TrailRepair};
use crate::trail::copying::Taking;
use crate::trail::entry::{TrailBody, TrailEntry};
use crate::trail::ids::{DeedId, TrailId};
use crate::trail::lead::Promised;
use crate::trail::mark::Mark;
use crate::trail::message::{Progress, Standing, TrailMessage};
use crate::trail::node::TrailNode;
use crate::trail::peers::{Purge, Room, TELL_MS};
use crate::trail::state::DeskState;
use crate::trail::view::Duty;

/// Time for which a node listens to others before it judges whether it may begin an epoch.
const LISTEN_MS: u64 = 6_000;

impl<D: DeskState> TrailNode<D> {
    /// Tells others how far the store is, and looks after copies and epochs.
    pub(super) fn keep_up(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        self.began_ms.get_or_insert(now.elapsed_ms);
        self.epochs.run(now, out);
        self.look_at_epoch(now, out);
        self.judge_repair(now, out);
        self.epochs.run_repair(now, &mut self.numbers, out);
        self.take_copy(now, out);
        self.rests.run(self.followed_leader(), now, &mut self.mail, out);
        if let Some(mark) = self.chain.mark() {
            self.peers.passed(mark.sequence, now, self.settings.away_ms);
        }
        self.drop_old_epoch(now, out);
        self.tell_progress(now, out);
    }

    /// Returns the moment at which [`keep_up`](Self::keep_up) has something to do.
    pub(super) fn upkeep_due_ms(&self, now: Moment) -> Option<u64> {
        let dues = [
            Some(self.tell_at_ms),
            self.epochs.due_ms().map(|due_ms| match self.epochs.is_asked() {
                true => due_ms.max(self.began_ms.unwrap_or(now.elapsed_ms) + LISTEN_MS),
                false => due_ms,
            }),
            self.taking.as_ref().and_then(Taking::due_ms),
            self.rests.due_ms(self.followed_leader()),
        ];
        dues.into_iter().flatten().min()
    }

    /// The stream may be looked for: the trail is in its first epoch, and there is no other content to take.
    pub(super) fn may_find(&self) -> bool {
        self.epochs.is_first() && self.taking.is_none()
    }

    /// Returns the leader of the trail, if this node follows it.
    pub(super) fn followed_leader(&self) -> Option<NodeId> {
        let follows = self.chain.stopped().is_none() && !self.chain.is_retired();
        self.succession.leader().filter(|_| follows)
    }

    fn standing(&self, now: Moment) -> Standing {
        match (&self.taking, self.chain.stopped()) {
            (Some(taking), _) if taking.mark().is_some() => Standing::Copies,
            (Some(_), _) => Standing::Lacks,
            (None, Some(_)) => Standing::Stopped,
            (None, None) if self.succession.is_led(now) => Standing::Follows,
            (None, None) => Standing::Waits,
        }
    }

    fn tell_progress(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        if now.elapsed_ms < self.tell_at_ms {
            return;
        }
        self.tell_at_ms = now.elapsed_ms + TELL_MS;
        self.compare_clocks(now);
        let copied = self.taking.as_ref().and_then(Taking::mark);
        let own = self.chain.trail().map(|trail| (trail, self.chain.on_disk()));
        let Some((trail, saved)) = copied.map(|mark| (mark.trail, mark.sequence)).or(own) else { return };
        let message = TrailMessage::Progress(Progress {
            trail,
            saved,
            state: self.standing(now),
            wall_ms: now.wall_ms,
            settings_hash: (!self.settings.is_guest).then_some(self.settings.settings_hash),
        });
        out.push(TrailCommand::Common(Command::SendAll { bytes: message.write() }));
    }

    /// Compares the clock of this node with those of others.
    pub(super) fn compare_clocks(&mut self, now: Moment) {
        self.clocks = self.peers.clocks(self.settings.node, now);
        self.succession.doubt_clock(self.clocks.is_own_wrong());
    }

    /// The figures of the stream were read: purges what need not be there, if that is for this node to do. It may be whoever leads, and who would and
    /// finds no room for its claim. A purge goes by what stores have and not by who asks for it.
    pub(super) fn purge(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let is_full = self.append.as_ref().is_some_and(|append| append.is_full());
        let (Some(trail), Some(info)) = (self.chain.trail(), self.chain.info()) else { return };
        if !self.lead.leads() && !is_full || info.incarnation != trail.incarnation {
            return;
        }
        let room = Room { bytes: self.settings.room_bytes, is_full, away_ms: self.settings.away_ms };
        let saved = self.chain.on_disk().min(info.last);
        let mut purge = self.peers.purge((trail, saved), info, room, now);
        if self.settings.faults.purge_before_saved {
            let through = self.chain.mark().map_or(0, |mark| mark.sequence);
            purge = Some(Purge { through, is_lacked: false });
        }
        let Some(Purge { through, is_lacked }) = purge else { return };
        let stream = StreamId::trail(trail.epoch);
        out.push(TrailCommand::Common(Command::Purge { stream, through }));
        let happened = if is_lacked { TrailHappened::PurgedForRoom } else { TrailHappened::Purged };
        out.push(TrailCommand::Tell(happened));
    }

    /// The stream does not hold the next entry any more.
    pub(super) fn lacks_next(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let (Some(trail), Some(info)) = (self.chain.trail(), self.chain.info()) else { return };
        if self.lead.leads() {
            self.depose(now, out);
        }
        self.begin_copy(trail, info.first, now, out);
    }

    /// Begins to take over the content of another node's store.
    fn begin_copy(&mut self, trail: TrailId, first: u64, now: Moment, out: &mut Vec<TrailCommand>) {
        self.append = None;
        self.go_alone(now, out);
        self.chain.retire(out);
        self.taking = Some(Taking::new(trail, first, self.settings.faults.copy_whole_too_early));
        out.push(TrailCommand::Tell(TrailHappened::CopyBegun));
    }

    /// A leader that can follow no more goes on with its openings. What the trail is said to have of its groups its store gets now.
    pub(super) fn go_alone(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        if self.lead.leads() {
            let content = |promised: &Promised| match TrailEntry::read(&promised.bytes).ok()?.body {
                TrailBody::Group { content, .. } => Some((promised.sequence, content.into())),
                _ => None,
            };
            let groups = self.lead.promised().filter_map(content).collect();
            self.chain.keep_promised(groups);
            self.lead.go_alone(now, &mut self.mail, out);
        }
    }

    fn take_copy(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        // What was received is saved before anything takes its place.
        let Some(taking) = self.taking.as_mut().filter(|_| self.chain.is_at_rest()) else { return };
        if taking.lacks_giver(now, out) {
            let leader = self.succession.leader();
            let turn = (self.settings.random, taking.tries());
            if let Some(giver) = self.peers.giver((taking.trail, taking.first), leader, turn, now) {
                taking.begin(giver, now);
            }
        }
        taking.run(now, &mut self.mail);
    }

    /// Another node asks for a piece of this store.
    pub(super) fn give(
        &mut self,
        to: NodeId,
        trail: TrailId,
        asked: (Option<Mark>, u64, Vec<u8>),
        out: &mut Vec<TrailCommand>,
    ) {
        let is_sound = self.chain.stopped().is_none() && self.taking.is_none();
        if is_sound && self.chain.trail() == Some(trail) {
            self.giving.ask(to, asked, &mut self.numbers, out);
        }
    }

    /// A piece of a copy was put aside; with the last one the store has another content.
    pub(super) fn copy_taken(
        &mut self,
        result: Result<(), DiskFault>,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) {
        if result.is_err() {
            out.push(TrailCommand::Tell(TrailHappened::StoreFault));
        }
        let Some(mark) = self.taking.as_mut().and_then(|taking| taking.taken(result, now)) else { return };
        let mut chain = Chain::new();
        chain.restore(mark);
        self.go_on(chain, now, out);
        self.rests.begin();
        out.push(TrailCommand::Tell(TrailHappened::CopyTaken));
    }

    /// Goes on with another chain than before.
    fn go_on(&mut self, chain: Chain, now: Moment, out: &mut Vec<TrailCommand>) {
        (self.append, self.taking) = (None, None);
        self.lead.rest(now, out);
        self.chain.retire(out);
        self.chain = chain;
        self.peers.begin_anew();
        self.succession.begin_anew();
    }

    /// The answer to a deed may be that to a part of the rest.
    pub(super) fn answer_rest(&mut self, deed: DeedId, outcome: &DeedOutcome, out: &mut Vec<TrailCommand>) {
        let happened = match outcome {
            DeedOutcome::Done => TrailHappened::RestRecorded,
            DeedOutcome::Refused(_) => TrailHappened::RestRefused,
            // It is handed in again.
            DeedOutcome::Unavailable => return,
        };
        if self.rests.settled(deed, out) {
            out.push(TrailCommand::Tell(happened));
        }
    }

    /// Goes over to a later epoch: the record names it, or a node follows it.
    fn look_at_epoch(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let epoch = match (&self.taking, self.chain.trail()) {
            (Some(taking), _) => taking.trail.epoch,
            (None, Some(trail)) => trail.epoch,
            // The first one is found by its stream.
            (None, None) => 1,
        };
        let recorded = self.epochs.trail().filter(|trail| trail.epoch > epoch);
        let is_own = recorded.is_some() && recorded == self.epochs.own();
        if let Some(trail) = recorded.filter(|_| is_own)
            && let Some(mark) = self.chain.mark()
        {
            let mark = Mark { trail, sequence: 0, entry_hash: 0, ..mark };
            self.go_on(Chain::of_epoch(mark), now, out);
            out.push(TrailCommand::Tell(TrailHappened::EpochBegun));
            return self.epochs.end(Ok(TrailRepair::Begun), out);
        }
        let heard = self.peers.later(epoch, now);
        if let Some(trail) = recorded.into_iter().chain(heard).max_by_key(|trail| trail.epoch) {
            out.push(TrailCommand::Tell(TrailHappened::EpochOver));
            self.begin_copy(trail, 0, now, out);
        }
    }

    /// Says what comes of a repair that a person has asked for.
    fn judge_repair(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let has_listened = self.began_ms.is_some_and(|began_ms| now.elapsed_ms >= began_ms + LISTEN_MS);
        if !self.epochs.is_asked() || !has_listened {
            return;
        }
        let is_stuck = self.taking.as_ref().is_some_and(|taking| !taking.has_giver());
        let stopped = self.chain.stopped();
        let Some(trail) = self.chain.trail().filter(|_| stopped.is_some() || is_stuck) else {
            let refusal =
                if stopped == Some(Stop::DiskDamaged) { TrailRefusal::Unread } else { TrailRefusal::Sound };
            return self.epochs.end(Err(refusal), out);
        };
        if !self.chain.is_at_rest() {
            return self.epochs.end(Err(TrailRefusal::Unsaved), out);
        }
        if stopped.is_some() && self.taking.is_none() && self.peers.follow(trail, now) {
            self.begin_copy(trail, 0, now, out);
            return self.epochs.end(Ok(TrailRepair::Copies), out);
        }
        match self.peers.has_more((trail, self.chain.on_disk()), now) {
            Some(node) => self.epochs.end(Err(TrailRefusal::HasMore(node)), out),
            None => self.epochs.begin(trail.epoch),
        }
    }

    /// The stream of the epoch before is of no use once all nodes had time to come over.
    fn drop_old_epoch(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let Some(trail) = self.chain.trail().filter(|trail| trail.epoch > 1) else { return };
        let is_long =
            self.lead.began_ms().is_some_and(|began_ms| now.elapsed_ms >= began_ms + self.settings.away_ms);
        if is_long && self.duty(now) == Duty::Full && self.dropped != Some(trail.epoch - 1) {
            self.dropped = Some(trail.epoch - 1);
            out.push(TrailCommand::Common(Command::DropStream(StreamId::trail(trail.epoch - 1))));
        }
    }
}
