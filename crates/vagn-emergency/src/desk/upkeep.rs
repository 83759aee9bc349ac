//! Upkeep: what time does to incidents. They fall quiet, and end when they may.

use std::time::Duration;

use super::{Desk, Live, Moment};
use crate::id::IncidentId;
use crate::record::progress::{Decision, MACHINE};
use crate::trail::EventKind;

/// Most incidents that are looked after in one round: a millisecond or two, for which notices have to wait.
pub(super) const ROUND: usize = 10_000;

impl Desk {
    /// Marks what is quiet at `now`, ends what may end by itself, and refuses senders that have waited too long. Where
    /// there are very many incidents, a round looks after some of them, and the next goes on.
    pub(crate) fn tidy(&mut self, now: Moment) {
        self.refuse_old_acks(now.at);
        for id in self.next_round() {
            self.tidy_one(id, now);
        }
        self.forget_ended();
    }

    fn next_round(&mut self) -> Vec<IncidentId> {
        let ids = self.board.from(self.tidy_next).map(|live| live.incident.id);
        let mut round: Vec<_> = ids.take(ROUND + 1).collect();
        let next = if round.len() > ROUND { round.pop() } else { None };
        self.tidy_next = next.unwrap_or(IncidentId::from_u128(0));
        round
    }

    /// Ends drills that are quiet, and acknowledged incidents that have been quiet for much longer. All else waits for a person,
    /// and everything does while the wall clock may be wrong.
    fn tidy_one(&mut self, id: IncidentId, now: Moment) {
        let is_unsure = self.board.get(id).is_some_and(Live::is_quiet_unsure);
        if is_unsure && now.is_sure {
            self.board.update(id, |live| live.learn_quiet(now));
        }
        let Some(live) = self.board.get(id).filter(|live| !live.incident.is_resolved()) else { return };
        let incident = &live.incident;
        let quiet = live.quiet(now.at);
        let quiet_max = self.rules.quiet_max;
        if now.is_sure && incident.drill && quiet > quiet_max {
            self.end(id, "a drill, and quiet", now);
        } else if now.is_sure && incident.progress.acknowledged.is_some() && quiet > self.rules.resolve_after
        {
            self.end(id, "acknowledged, and quiet for long", now);
        } else if (now.is_sure || !is_unsure) && incident.progress.quiet_ms.is_none() && quiet > quiet_max {
            self.board.update(id, |live| live.change().progress.quiet_ms = Some(now.ms));
            self.note(id, now.ms, EventKind::Quiet, &format!("no report for {} s", quiet_max.as_secs()));
        }
        // Whatever went wrong, no target that is owed a notice may be without one to come.
        self.owe(id, now);
    }

    fn end(&mut self, id: IncidentId, why: &str, now: Moment) {
        self.resolve(id, Decision { by: MACHINE.into(), at_ms: now.ms, note: why.into() });
        self.note(id, now.ms, EventKind::Resolved, why);
    }

    /// Drops the oldest incidents that are over, beyond a limit: while the store is down, they cannot leave by being
    /// recorded.
    fn forget_ended(&mut self) {
        let roster = &self.board.indexes().roster;
        let open = roster.open(false) + roster.open(true);
        let surplus = self.board.len().saturating_sub(open + self.rules.open_max);
        if surplus == 0 {
            return;
        }
        let ended = self.board.all().filter(|live| live.incident.is_resolved());
        let oldest: Vec<_> = ended.take(surplus).map(|live| live.incident.id).collect();
        for id in oldest {
            self.remove(id);
        }
    }

    fn refuse_old_acks(&mut self, now: Duration) {
        let oldest = now.saturating_sub(self.rules.ack_within);
        let awaited: Vec<_> = self.board.indexes().awaited.iter().copied().collect();
        for id in awaited {
            self.board.update(id, |live| live.refuse_acks_before(oldest));
        }
    }
}
