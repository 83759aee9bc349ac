//! What time does to incidents: they fall quiet, end when they may, and have their vehicles followed.

use std::time::Duration;

use super::{Desk, Moment};
use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::record::progress::{Decision, MACHINE};
use crate::trail::EventKind;

/// Incidents that are looked after in one round: a millisecond or two, for which calls have to wait.
const ROUND: usize = 10_000;

impl Desk {
    /// Marks what is quiet at `now`, ends what may end by itself, and tells senders who have waited too long that it failed.
    /// Where there are very many incidents a round looks after some of them, and the next goes on.
    pub fn tidy(&mut self, now: Moment) {
        self.refuse_old_acks(now.at);
        for id in self.next_round() {
            self.tidy_one(id, now);
        }
        self.forget_ended();
    }

    fn next_round(&mut self) -> Vec<IncidentId> {
        let ids = self.live.range(self.tidy_next..).map(|(id, _)| *id);
        let mut round: Vec<_> = ids.take(ROUND + 1).collect();
        let next = if round.len() > ROUND { round.pop() } else { None };
        self.tidy_next = next.unwrap_or(IncidentId::from_u128(0));
        round
    }

    /// Trials end when they are quiet, and so does, much later, what a person has seen to and forgotten to resolve. All else
    /// waits for a person.
    fn tidy_one(&mut self, id: IncidentId, now: Moment) {
        let Some(live) = self.live.get(&id).filter(|live| !live.incident.is_resolved()) else { return };
        let (incident, quiet) = (&live.incident, live.quiet(now.at));
        let quiet_max = self.rules.quiet_max;
        if incident.drill && quiet > quiet_max {
            self.end(id, "a drill, and quiet", now);
        } else if incident.progress.acknowledged.is_some() && quiet > self.rules.resolve_after {
            self.end(id, "acknowledged, and quiet for long", now);
        } else if incident.progress.quiet_ms.is_none() && quiet > quiet_max {
            self.change(id, |incident| incident.progress.quiet_ms = Some(now.ms));
            self.note(id, now.ms, EventKind::Quiet, &format!("no report for {} s", quiet_max.as_secs()));
        }
        // Whatever went wrong, nothing that is owed a call may be without one to come.
        self.owe(id, now);
    }

    fn end(&mut self, id: IncidentId, why: &str, now: Moment) {
        self.resolve(id, Decision { by: MACHINE.into(), at_ms: now.ms, note: why.into() });
        self.note(id, now.ms, EventKind::Resolved, why);
    }

    /// While the store is down, what has ended cannot leave by being recorded. There is a limit to that.
    fn forget_ended(&mut self) {
        let open = self.roster.open(false) + self.roster.open(true);
        let surplus = self.live.len().saturating_sub(open + self.rules.open_max);
        let ended = self.live.values().filter(|live| live.incident.is_resolved());
        let oldest: Vec<_> = ended.take(surplus).map(|live| live.incident.id).collect();
        for id in oldest {
            self.remove(id);
        }
    }

    fn refuse_old_acks(&mut self, now: Duration) {
        let within = self.rules.ack_within;
        for id in std::mem::take(&mut self.awaited) {
            let Some(live) = self.live.get_mut(&id) else { continue };
            let old = |(_, ack): &mut (u64, PendingAck)| now.saturating_sub(ack.since) > within;
            live.acks.extract_if(.., old).for_each(|(_, ack)| ack.refuse());
            if !live.acks.is_empty() {
                self.awaited.insert(id);
            }
        }
    }

    /// Up to `max` incidents that some target has accepted and whose vehicles nobody has looked for lately, to ask where
    /// they are now.
    pub fn take_to_follow(&mut self, max: usize, now: Duration) -> Vec<(IncidentId, Box<str>)> {
        let every = self.rules.news_every;
        let round = self.live.range_mut(self.tidy_next..).map(|(_, live)| live).take(ROUND);
        let due = round.filter(|live| {
            let incident = &live.incident;
            incident.progress.accepted_ms.is_some() && !incident.is_resolved() && live.followed + every <= now
        });
        let take = |live: &mut super::Live| {
            live.followed = now;
            (live.incident.id, live.incident.vehicle_id.clone())
        };
        due.take(max).map(take).collect()
    }
}
