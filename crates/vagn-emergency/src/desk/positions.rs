//! Positions: incidents whose vehicles are looked up, because no position is known, or to follow them.

use std::time::Duration;

use super::upkeep::ROUND;
use super::{Desk, Live};
use crate::fix::Fix;
use crate::id::IncidentId;

/// An incident and the vehicle to look up for it.
pub(crate) type VehicleOf = (IncidentId, Box<str>);

impl Desk {
    /// Takes the incidents without a position, to look their vehicles up.
    pub(crate) fn take_unlocated(&mut self) -> Vec<VehicleOf> {
        let mut ids = self.board.indexes().unlocated.clone();
        let next = ids.split_off(&self.locate_next);
        let in_turn = next.into_iter().chain(ids);
        in_turn.filter_map(|id| self.board.update(id, take_unlocated_one)).collect()
    }

    /// Notes that the vehicle could not be looked up; it is to be tried again.
    pub(crate) fn unlocated(&mut self, id: IncidentId) {
        self.board.update(id, |live| live.wants_fix = true);
    }

    /// Begins the next round with this incident: there was no time left for it.
    pub(crate) fn locate_next(&mut self, id: IncidentId) {
        self.locate_next = id;
    }

    /// Notes the last known position of the vehicle, looked up at `now`.
    pub(crate) fn located(&mut self, id: IncidentId, last_fix: Fix, now: Duration) {
        let known = self.get(id).map(|incident| incident.alarm.fix);
        let is_news = known.is_some_and(|known| known.is_none_or(|known| known.time_ms < last_fix.time_ms));
        if is_news {
            self.board.update(id, |live| live.change().alarm.add_fix(last_fix));
            self.stirred.insert(id);
            self.queue_owed(id, now);
        }
    }

    /// Takes up to `max` incidents that a target has accepted and whose vehicles have not been looked up lately.
    pub(crate) fn take_to_follow(&mut self, max: usize, now: Duration) -> Vec<VehicleOf> {
        let every = self.rules.news_every;
        let round = self.board.from(self.tidy_next).take(ROUND);
        let due = round.filter(|live| live.is_followed() && live.followed + every <= now);
        let ids: Vec<_> = due.take(max).map(|live| live.incident.id).collect();
        ids.into_iter().filter_map(|id| self.board.update(id, |live| follow(live, now))).collect()
    }
}

fn take_unlocated_one(live: &mut Live) -> VehicleOf {
    live.wants_fix = false;
    vehicle_of(live)
}

fn follow(live: &mut Live, now: Duration) -> VehicleOf {
    live.followed = now;
    vehicle_of(live)
}

fn vehicle_of(live: &Live) -> VehicleOf {
    (live.incident.id, live.incident.vehicle_id.clone())
}
