//! What time does to incidents: they fall quiet, end when they may, and have their vehicles followed.

use std::time::Duration;

use super::{Desk, Moment};
use crate::emergency::candidate::Claim;
use crate::emergency::id::IncidentId;
use crate::emergency::incident::{Decision, MACHINE};
use crate::emergency::trail::Action;

impl Desk {
    /// Marks what is quiet at `now`, ends what may end by itself, and tells senders who have waited too long that it failed.
    pub fn tidy(&mut self, now: Moment) {
        self.refuse_old_claims(now.at);
        self.mark_quiet(now);
        self.end_what_may(now);
        self.forget_ended();
    }

    fn mark_quiet(&mut self, now: Moment) {
        let quiet_max = self.rules.quiet_max;
        let live = self.live.values().filter(|live| !live.incident.is_resolved());
        let fallen = live.filter(|live| live.incident.quiet_ms.is_none() && live.quiet(now.at) > quiet_max);
        let fallen: Vec<_> = fallen.map(|live| live.incident.id).collect();
        for id in fallen {
            self.change(id, |incident| incident.quiet_ms = Some(now.ms));
            self.note(id, now.ms, Action::Quiet, &format!("no report for {} s", quiet_max.as_secs()));
        }
    }

    /// Trials end when they are quiet, and so does, much later, what a person has seen to and forgotten to resolve. All else
    /// waits for a person.
    fn end_what_may(&mut self, now: Moment) {
        let (quiet_max, resolve_after) = (self.rules.quiet_max, self.rules.resolve_after);
        let why = |live: &super::Live| match &live.incident {
            incident if incident.is_resolved() => None,
            incident if incident.test && live.quiet(now.at) > quiet_max => Some("a drill, and quiet"),
            incident if incident.acknowledged.is_some() && live.quiet(now.at) > resolve_after => {
                Some("acknowledged, and quiet for long")
            }
            _ => None,
        };
        let over = self.live.values().filter_map(|live| Some((live.incident.id, why(live)?)));
        let over: Vec<_> = over.collect();
        for (id, why) in over {
            self.resolve(id, Decision { by: MACHINE.into(), at_ms: now.ms, note: why.into() });
            self.note(id, now.ms, Action::Resolved, why);
        }
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

    fn refuse_old_claims(&mut self, now: Duration) {
        let within = self.rules.claim_within;
        for id in self.new.iter().chain(&self.changed) {
            let Some(live) = self.live.get_mut(id) else { continue };
            let old = |(_, claim): &mut (u64, Claim)| now.saturating_sub(claim.since) > within;
            live.claims.extract_if(.., old).for_each(|(_, claim)| claim.refuse());
        }
    }

    /// Up to `max` incidents that some target has accepted and whose vehicles nobody has looked for lately, to ask where
    /// they are now.
    pub fn take_to_follow(&mut self, max: usize, now: Duration) -> Vec<(IncidentId, Box<str>)> {
        let every = self.rules.news_every;
        let due = self.live.values_mut().filter(|live| {
            let incident = &live.incident;
            incident.accepted_ms.is_some() && !incident.is_resolved() && live.followed + every <= now
        });
        let take = |live: &mut super::Live| {
            live.followed = now;
            (live.incident.id, live.incident.vehicle_id.clone())
        };
        due.take(max).map(take).collect()
    }
}
