//! Reading: what a node does with an entry of the trail that came.

use std::sync::Arc;

use crate::event::Delivered;
use crate::happened::Stop;
use crate::ids::Moment;
use crate::trail::chain::Came;
use crate::trail::command::{TrailCommand, TrailHappened};
use crate::trail::entry::{TrailBody, TrailEntry};
use crate::trail::mark::Mark;
use crate::trail::node::TrailNode;
use crate::trail::state::DeskState;

impl<D: DeskState> TrailNode<D> {
    /// Takes in what a subscription brought.
    pub(super) fn delivered(&mut self, message: &Delivered, now: Moment, out: &mut Vec<TrailCommand>) {
        let is_sure = self.lead.is_sure(now);
        if let Some(append) = self.append.as_mut().filter(|append| append.is_due_at(message.sequence))
            && let Ok(entry) = TrailEntry::read(&message.bytes)
            && append.doubts(message.sequence, entry.id, (is_sure, now))
        {
            return self.chain.hurry(out);
        }
        match self.chain.delivered(message, now, out) {
            Came::Next => {}
            Came::Nothing => return,
            Came::Stop(stop) => return self.stop(stop, now, out),
        }
        // The chain has read it.
        let Ok(entry) = TrailEntry::read(&message.bytes) else { return };
        if !self.lead.bears_out(message.sequence, entry.id) {
            return self.stop(Stop::StreamBehind, now, out);
        }
        if self.contradicts(&entry, message.sequence) {
            return self.stop(Stop::HashDiffers, now, out);
        }
        if self.counts(&entry) {
            self.enter(&entry, now, out);
            self.judge(entry.id, message.sequence, now, out);
            return;
        }
        out.push(TrailCommand::Tell(TrailHappened::Void));
        if self.append.as_ref().is_some_and(|append| append.id == entry.id) {
            self.refused(now, out);
        } else {
            // It stands where the own one was to stand, which is refused for ever.
            self.judge(entry.id, message.sequence, now, out);
        }
    }

    /// Returns true for an entry whose writer had read something else. One that counts for nothing is asked too: where this node missed a
    /// claim, the entries of the leader are such, groups too. An entry of a leader that was deposed says nothing against anybody.
    fn contradicts(&self, entry: &TrailEntry<'_>, at: u64) -> bool {
        let missed_claim = |mark: Mark| entry.term > mark.term && entry.epoch == mark.trail.epoch;
        if !matches!(entry.body, TrailBody::Claim { .. }) && self.chain.mark().is_some_and(missed_claim) {
            return true;
        }
        let (TrailBody::Claim { sequence, running_hash, .. }
        | TrailBody::Renewal { sequence, running_hash, .. }
        | TrailBody::Farewell { sequence, running_hash, .. }) = entry.body
        else {
            return false;
        };
        let is_heard = |mark: Mark| entry.term >= mark.term && entry.epoch == mark.trail.epoch;
        let known = self.chain.running_hash(sequence).filter(|_| sequence < at);
        self.chain.mark().is_some_and(is_heard) && known.is_some_and(|known| known != running_hash)
    }

    /// Returns true for an entry of the leader, and for the claim of the next one.
    fn counts(&self, entry: &TrailEntry<'_>) -> bool {
        let Some(mark) = self.chain.mark() else { return false };
        let is_of_term = match entry.body {
            TrailBody::Claim { .. } => entry.term > mark.term,
            _ => entry.term == mark.term,
        };
        is_of_term && entry.epoch == mark.trail.epoch
    }

    /// Takes in the next entry of the trail.
    fn enter(&mut self, entry: &TrailEntry<'_>, now: Moment, out: &mut Vec<TrailCommand>) {
        let is_new = self.succession.heard(entry.id, now);
        self.lead.rest(now, out);
        match &entry.body {
            TrailBody::Claim { settings_hash, .. } => {
                self.chain.enter(entry.term, *settings_hash);
                if self.lead.term().is_some_and(|own| own < entry.term) {
                    self.depose(now, out);
                }
            }
            TrailBody::Renewal { settings_hash, .. } | TrailBody::Farewell { settings_hash, .. } => {
                self.chain.enter(entry.term, *settings_hash);
            }
            TrailBody::Group { alarms, content, .. } => {
                self.chain.keep(Arc::from(*content));
                alarms.iter().for_each(|alarm| self.door.recorded(*alarm, out));
            }
        }
        if matches!(entry.body, TrailBody::Farewell { .. }) {
            self.succession.left();
            self.door.led_by_none();
        } else if is_new {
            self.door.led_by(entry.id.node, now);
        }
    }
}
