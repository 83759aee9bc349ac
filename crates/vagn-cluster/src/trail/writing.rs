//! Writing: what a node appends to the trail, and when.

use crate::ids::{Moment, StreamId};
use crate::trail::append::{Append, Kind};
use crate::trail::command::{TrailCommand, TrailHappened};
use crate::trail::entry::{GROUP_MAX, NAMES_MAX, TrailBody, TrailEntry};
use crate::trail::ids::{EntryId, Term};
use crate::trail::mark::Mark;
use crate::trail::node::TrailNode;
use crate::trail::state::{DeskState, Draft};
use crate::trail::succession::Likeness;

impl<D: DeskState> TrailNode<D> {
    pub(super) fn append_next(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        let Some(mark) = self.chain.mark() else { return };
        let settings_hash = self.settings.settings_hash;
        if let Some((term, tip)) = self.lead.term().zip(self.lead.tip()) {
            if !self.succession.abstains() && self.lead.renews(now) {
                let body = Kind::Renewal.sign(settings_hash, mark);
                self.append(Kind::Renewal, (term, body), (mark, tip), now);
            } else if let Some(draft) = self.lead.draft() {
                self.append_group(draft, term, (mark, tip), now, out);
            } else if self.succession.abstains() || self.is_to_yield(mark, now) {
                self.succession.yields(now);
                self.lead.say_farewell(now, out);
                let body = Kind::Farewell.sign(settings_hash, mark);
                self.append(Kind::Farewell, (term, body), (mark, tip), now);
            }
        } else if !self.lead.leads()
            && let Some(mark) = self.chain.end()
        {
            let likeness = self.likeness(mark, now);
            if !self.succession.is_due(likeness, self.settings.random, now, out) {
                if self.succession.holds_back() && !self.lead.is_alone() {
                    self.lead.go_alone(now, &mut self.mail, out);
                }
                return;
            }
            let term = mark.term.next(now.wall_ms);
            let body = Kind::Claim(term).sign(settings_hash, mark);
            self.append(Kind::Claim(term), (term, body), (mark, mark.sequence), now);
        }
    }

    /// Compares the settings of this node with those of the leader before.
    fn likeness(&self, mark: Mark, now: Moment) -> Likeness {
        let settings_hash = self.settings.settings_hash;
        let is_same = mark.settings_hash.is_none_or(|leader| leader == settings_hash);
        match is_same || self.settings.faults.any_settings {
            true => Likeness::Same,
            false if self.agreement(now).is_reached() => Likeness::Agreed,
            false => Likeness::Other,
        }
    }

    /// Returns true for a leader whose clock is wrong, where another node runs, follows the trail and can lead.
    fn is_to_yield(&self, mark: Mark, now: Moment) -> bool {
        self.succession.is_to_yield(now) && self.peers.surely_follow(mark.trail, now)
    }

    fn append_group(
        &mut self,
        draft: Draft,
        term: Term,
        place: (Mark, u64),
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) {
        let Draft { content, alarms, deeds } = draft;
        if alarms.len().max(deeds.len()) > NAMES_MAX || content.len() > GROUP_MAX {
            // As an entry it would end the trail on every node: none could read it.
            out.push(TrailCommand::Tell(TrailHappened::TooLarge));
            return self.depose(now, out);
        }
        let alarms = self.lead.versions(&alarms);
        if self.settings.faults.act_before_append {
            self.recorded(&alarms, &deeds);
        }
        let body = TrailBody::Group { alarms: alarms.clone(), deeds: deeds.clone(), content: &content };
        self.append(Kind::Group { alarms, deeds }, (term, body), place, now);
    }

    fn append(
        &mut self,
        kind: Kind,
        (term, body): (Term, TrailBody<'_>),
        (mark, tip): (Mark, u64),
        now: Moment,
    ) {
        self.entries += 1;
        let id = EntryId { node: self.settings.node, run: self.settings.random, number: self.entries };
        let epoch = mark.trail.epoch;
        let bytes = TrailEntry { epoch, id, term, body }.write();
        let mut append = Append::new(id, kind, (StreamId::trail(epoch), tip), bytes, now);
        if self.settings.faults.no_fence {
            append.without_fence();
        }
        self.append = Some(append);
    }
}
