//! Chain: this node's copy of the trail, each entry once and in order, on its way into the incident store.
//!
//! An entry is received when it was delivered and compared, and saved when the store has it. Claims and renewals have no content, so they
//! only move the mark, which is saved with the next group, or after 256 entries.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::command::Command;
use crate::content::entry_hash;
use crate::event::{Delivered, DiskFault, StreamInfo, StreamOutcome};
use crate::follower::{Finding, Follower, Received, Taken, record};
use crate::happened::Stop;
use crate::hash::fold;
use crate::ids::{Moment, ReadId, StreamId, SubscriptionId};
use crate::numbers::Numbers;
use crate::ring::Ring;
use crate::trail::command::{TrailCommand, TrailHappened};
use crate::trail::entry::TrailEntry;
use crate::trail::epochs::FIRST_EPOCH;
use crate::trail::ids::{Term, TrailId};
use crate::trail::mark::Mark;

/// Pause before a stream that was not found is asked for again, and before a store that failed is tried again.
const AGAIN_MS: u64 = 1_000;

/// Most groups that wait for the store. What comes beyond waits in the stream.
const UNSAVED_MAX: usize = 64;

/// Most groups in one save.
const SAVE_MAX: usize = 16;

/// Entries without content after which the mark is saved by itself.
const MARK_EVERY: u64 = 256;

/// A node's copy of the trail.
#[derive(Debug)]
pub(crate) struct Chain {
    follower: Option<Follower>,
    mark: Option<Mark>,
    stopped: Option<Stop>,
    finding: Option<ReadId>,
    find_at_ms: u64,
    hashes: Ring,
    running: Ring,
    /// Groups that the store does not have, each with the place behind it.
    unsaved: VecDeque<(Mark, Arc<[u8]>)>,
    /// Groups and last sequence of the save that is under way.
    saving: Option<(usize, u64)>,
    save_at_ms: u64,
    saved: u64,
    /// The store has no mark of this trail yet.
    lacks_mark: bool,
    /// The last save failed.
    has_failed: bool,
    /// It follows no more, though nothing is wrong: the store gets another content.
    is_retired: bool,
    /// Figures of the stream, as they were read last.
    info: Option<StreamInfo>,
}

/// What became of a message of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// It is the next entry.
    Next,
    /// Nothing.
    Nothing,
    /// The chain is broken.
    Stop(Stop),
}

/// What figures of the stream say against going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// The next entry is in the stream no more.
    Purged,
    /// The chain is broken.
    Stop(Stop),
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self {
            follower: None,
            mark: None,
            stopped: None,
            finding: None,
            find_at_ms: 0,
            hashes: Ring::default(),
            running: Ring::default(),
            unsaved: VecDeque::new(),
            saving: None,
            save_at_ms: 0,
            saved: 0,
            lacks_mark: false,
            has_failed: false,
            is_retired: false,
            info: None,
        }
    }

    /// Begins an epoch with the content that the store has: the mark is to be saved.
    pub(crate) fn of_epoch(mark: Mark) -> Self {
        let mut chain = Self::new();
        chain.begin(mark);
        chain.lacks_mark = true;
        chain
    }

    /// Goes on from a mark that the store has.
    pub(crate) fn restore(&mut self, mark: Mark) {
        self.saved = mark.sequence;
        if mark.sequence > 0 {
            self.hashes.push(mark.sequence, mark.entry_hash);
            self.running.push(mark.sequence, mark.running_hash);
        }
        self.begin(mark);
    }

    fn begin(&mut self, mark: Mark) {
        let stream = StreamId::trail(mark.trail.epoch);
        let follower = Follower::new(stream, mark.trail.incarnation, false);
        self.follower = Some(follower.of_entries(|bytes| TrailEntry::read(bytes).is_ok()));
        self.mark = Some(mark);
    }

    pub(crate) fn trail(&self) -> Option<TrailId> {
        self.mark.map(|mark| mark.trail)
    }

    /// Returns the place behind the last entry that was received.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Returns the last entry that the store has on disk: a start goes on behind it.
    pub(crate) fn on_disk(&self) -> u64 {
        self.saved
    }

    /// Returns true once the store has all that was received, and gets nothing more.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.unsaved.is_empty() && self.saving.is_none()
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// Returns the figures of the stream as they were read last.
    pub(crate) fn info(&self) -> Option<StreamInfo> {
        self.info
    }

    /// Returns the last entry up to which the store has all groups.
    pub(crate) fn saved_through(&self) -> Option<u64> {
        self.mark.map(|mark| if self.unsaved.is_empty() { mark.sequence } else { self.saved })
    }

    /// Returns true once it is broken and the store has all that it will get: a store that fails gets no more.
    pub(crate) fn is_over(&self) -> bool {
        self.stopped.is_some() && (self.unsaved.is_empty() || self.has_failed)
    }

    pub(crate) fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// Returns the place at which a node that has applied everything may append: `None` while it has not, or cannot know.
    pub(crate) fn end(&self) -> Option<Mark> {
        let is_following = self.stopped.is_none() && self.unsaved.is_empty() && self.saving.is_none();
        let is_subscribed = self.follower.as_ref().is_some_and(Follower::is_subscribed);
        self.mark.filter(|_| is_following && is_subscribed)
    }

    /// Returns the running hash at a sequence, if it is remembered.
    pub(crate) fn running_hash(&self, sequence: u64) -> Option<u64> {
        self.running.get(sequence)
    }

    /// Finds the stream if it may, follows it, and saves. `find`: it may, and makes it or not where there is none.
    pub(crate) fn run(
        &mut self,
        find: Option<bool>,
        now: Moment,
        numbers: &mut Numbers,
        out: &mut Vec<TrailCommand>,
    ) {
        self.save(now, out);
        if self.stopped.is_some() || self.is_retired {
            return;
        }
        let at = self.received();
        if let Some(follower) = &mut self.follower {
            common(out, |out| follower.run(now, at, numbers, out));
        } else if let Some(makes_it) = find
            && self.finding.is_none()
            && now.elapsed_ms >= self.find_at_ms
        {
            let read = numbers.read();
            (self.finding, self.find_at_ms) = (Some(read), now.elapsed_ms + AGAIN_MS);
            let stream = StreamId::trail(FIRST_EPOCH);
            out.push(TrailCommand::Common(match makes_it {
                true => Command::MakeStream { read, stream },
                false => Command::ReadStream { read, stream },
            }));
        }
    }

    pub(crate) fn due_ms(&self, may_find: bool) -> Option<u64> {
        let save = (self.saving.is_none() && self.has_unsaved()).then_some(self.save_at_ms);
        let follow = match &self.follower {
            _ if self.stopped.is_some() || self.is_retired => None,
            Some(follower) => follower.due_ms(self.has_room()),
            None => (may_find && self.finding.is_none()).then_some(self.find_at_ms),
        };
        save.into_iter().chain(follow).min()
    }

    fn received(&self) -> Received {
        let last = self.mark.map_or(0, |mark| mark.sequence);
        Received { last, first_hashed: self.hashes.first().unwrap_or(0), has_room: self.has_room() }
    }

    fn has_room(&self) -> bool {
        self.unsaved.len() < UNSAVED_MAX
    }

    /// Takes in figures of a stream. Returns what they say against going on.
    pub(crate) fn read(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) -> Option<Against> {
        if self.finding.take_if(|finding| *finding == read).is_some() {
            if let StreamOutcome::Is(info) = outcome
                && !self.is_retired
            {
                let trail = TrailId { epoch: FIRST_EPOCH, incarnation: info.incarnation };
                self.begin(Mark::begin(trail));
                // So that a later run knows which trail this was.
                self.lacks_mark = true;
            }
            return None;
        }
        let received = self.received().last;
        let follower = self.follower.as_mut()?;
        let finding = common(out, |out| follower.read(read, outcome, received, now, out))?;
        if let StreamOutcome::Is(info) = outcome {
            self.info = Some(info);
        }
        match finding {
            Finding::Sound => None,
            Finding::Silent(_) => {
                out.push(TrailCommand::Tell(TrailHappened::SilentConsumer));
                None
            }
            Finding::NextPurged => Some(Against::Purged),
            Finding::Stop(stop) => Some(Against::Stop(stop)),
        }
    }

    pub(crate) fn ended(&mut self, subscription: SubscriptionId) {
        if let Some(follower) = &mut self.follower {
            follower.ended(subscription);
        }
    }

    /// Compares what the stream has behind what was received: somebody says that there is something.
    pub(crate) fn hurry(&mut self, out: &mut Vec<TrailCommand>) {
        let last = self.received().last;
        if let Some(follower) = &mut self.follower {
            common(out, |out| follower.verify(last.max(1), out));
        }
    }

    /// Judges a message, and notes the next entry as received.
    pub(crate) fn delivered(
        &mut self,
        message: &Delivered,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) -> Came {
        let (at, known) = (self.received(), self.hashes.get(message.sequence));
        let (Some(follower), Some(mark), None) = (&mut self.follower, &mut self.mark, self.stopped) else {
            return Came::Nothing;
        };
        match common(out, |out| follower.delivered(message, at, known, now, out)) {
            Taken::Nothing => return Came::Nothing,
            Taken::Stop(stop) => return Came::Stop(stop),
            Taken::Next => {}
        }
        mark.sequence = message.sequence;
        mark.entry_hash = entry_hash(&record(message));
        mark.running_hash = fold(mark.running_hash, mark.entry_hash);
        self.hashes.push(mark.sequence, mark.entry_hash);
        self.running.push(mark.sequence, mark.running_hash);
        Came::Next
    }

    /// Notes what the entry which was received last tells of its leader.
    pub(crate) fn enter(&mut self, term: Term, settings_hash: u64) {
        if let Some(mark) = &mut self.mark {
            (mark.term, mark.settings_hash) = (term, Some(settings_hash));
        }
    }

    /// Gives the content of the entry that was received last to the store.
    pub(crate) fn keep(&mut self, group: Arc<[u8]>) {
        if let Some(mark) = self.mark {
            self.unsaved.push_back((mark, group));
        }
    }

    /// Gives groups to the store that this node as the leader was told to be in the trail at these places, and that did not come: the trail may have lost
    /// them. No entry has the hash of their mark, so that no later run takes the store for one that has what the trail has.
    pub(crate) fn keep_promised(&mut self, groups: Vec<(u64, Arc<[u8]>)>) {
        let Some(mark) = self.mark else { return };
        let promised = groups.into_iter().filter(|(sequence, _)| *sequence > mark.sequence);
        self.unsaved
            .extend(promised.map(|(sequence, group)| (Mark { sequence, entry_hash: 0, ..mark }, group)));
    }

    fn has_unsaved(&self) -> bool {
        let is_far = self.mark.is_some_and(|mark| mark.sequence >= self.saved + MARK_EVERY);
        !self.unsaved.is_empty() || is_far || self.lacks_mark
    }

    fn save(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        if self.saving.is_some() || now.elapsed_ms < self.save_at_ms || !self.has_unsaved() {
            return;
        }
        let count = self.unsaved.len().min(SAVE_MAX);
        let groups: Vec<Arc<[u8]>> =
            self.unsaved.iter().take(count).map(|(_, group)| group.clone()).collect();
        let last = count.checked_sub(1).and_then(|last| self.unsaved.get(last));
        let Some(mark) = last.map(|(mark, _)| *mark).or(self.mark) else { return };
        self.saving = Some((count, mark.sequence));
        out.push(TrailCommand::Save { mark, groups });
    }

    /// The store has what it was given, or is as it was before.
    pub(crate) fn saved(&mut self, result: Result<(), DiskFault>, now: Moment, out: &mut Vec<TrailCommand>) {
        let Some((count, sequence)) = self.saving.take() else { return };
        self.has_failed = result.is_err();
        match result {
            Ok(()) => {
                self.unsaved.drain(..count);
                (self.saved, self.lacks_mark) = (sequence, false);
            }
            Err(_) => {
                self.save_at_ms = now.elapsed_ms + AGAIN_MS;
                out.push(TrailCommand::Tell(TrailHappened::StoreFault));
            }
        }
    }

    /// Follows no more: the store gets another content. What was received is saved first.
    pub(crate) fn retire(&mut self, out: &mut Vec<TrailCommand>) {
        self.is_retired = true;
        if let Some(mut follower) = self.follower.take() {
            common(out, |out| follower.let_go(out));
        }
    }

    /// Follows no more: the stream is not the one that this node began with, or something in it is not as it was.
    pub(crate) fn stop(&mut self, stop: Stop, out: &mut Vec<TrailCommand>) {
        if self.stopped.is_none() {
            self.stopped = Some(stop);
            if let Some(mut follower) = self.follower.take() {
                common(out, |out| follower.let_go(out));
            }
            out.push(TrailCommand::Tell(TrailHappened::Stopped(stop)));
        }
    }
}

/// Lets a part that speaks to the brokers as for shards append its commands.
fn common<T>(out: &mut Vec<TrailCommand>, part: impl FnOnce(&mut Vec<Command>) -> T) -> T {
    let mut commands = Vec::new();
    let given = part(&mut commands);
    out.extend(commands.into_iter().map(TrailCommand::Common));
    given
}
