//! Delivery: what is sent to a target next, and what follows from its answer.

use std::time::Duration;

use super::{Desk, Moment};
use crate::id::IncidentId;
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::target::TargetIndex;
use crate::record::attempt::{Message, MessageKey};
use crate::trail::EventKind;

/// Reason on the trail of an incident whose first notice went out before its record.
const UNRECORDED: &str = "the disk is slow or broken: the notice went out all the same";

/// The same in a cluster.
const UNRECORDED_IN_TRAIL: &str = "no record in time: the notice went out all the same";

impl Desk {
    /// Takes the next notice to send at `now`, if one is due and a slot is free.
    pub(crate) fn next_notice(&mut self, now: Moment) -> Option<Notice> {
        self.end_turns(now);
        self.queues.targets().find_map(|target| self.next_for(target, now))
    }

    fn next_for(&mut self, target: TargetIndex, now: Moment) -> Option<Notice> {
        loop {
            let id = self.queues.next(target, now.at)?;
            match self.compose(id, target, now) {
                Some(notice) => return Some(notice),
                // Queued, and settled since: for example moved back to where the target knows it to be.
                None => self.queues.done(target, id),
            }
        }
    }

    /// Returns the notice about an incident that a target is owed now; `None` when it is owed nothing any more.
    fn compose(&mut self, id: IncidentId, target: TargetIndex, now: Moment) -> Option<Notice> {
        let name: Box<str> = self.rules.target_name(target)?.into();
        let may = self.may_send();
        let begun = self.board.update(id, |live| live.begin_attempt(&name, may, now.ms))??;
        self.note_unrecorded(id, now);
        Some(Notice {
            incident: self.board.get(id)?.shown(),
            target_index: target,
            target: name,
            message: begun.message,
            key: MessageKey { incident: id, number: begun.message_number },
            told: begun.told,
            number: begun.attempt,
            arrived: begun.arrived,
        })
    }

    /// Notes that the first notice of an incident goes out before its record, if that is so.
    fn note_unrecorded(&mut self, id: IncidentId, now: Moment) {
        let is_new =
            self.board.get(id).is_some_and(|live| live.is_new() && !live.incident.notices.unrecorded);
        if is_new {
            self.board.update(id, |live| live.change().notices.unrecorded = true);
            self.note(
                id,
                now.ms,
                EventKind::Unrecorded,
                if self.shared.is_some() { UNRECORDED_IN_TRAIL } else { UNRECORDED },
            );
        }
    }

    /// Notes what came of a notice, and decides when there is to be another.
    pub(crate) fn attempted(&mut self, mut ended: EndedNotice, now: Moment) {
        let is_accepted = ended.attempt.outcome.accepted();
        let dead_status = ended.attempt.outcome.dead();
        if !is_accepted && dead_status.is_none() {
            ended.attempt.next_ms = self.retry(&ended, now);
        }
        let is_first = self.board.update(ended.id, |live| live.attempted(ended.attempt.clone()));
        if is_accepted {
            let how = if is_first == Some(true) { "accepted" } else { "accepted as well" };
            self.accepted(&ended, how, now);
        } else if let Some(status) = dead_status {
            self.refused_for_good(&ended, status, now);
        }
    }

    fn accepted(&mut self, ended: &EndedNotice, how: &str, now: Moment) {
        let EndedNotice { id, target_index: target, told, attempt } = ended;
        self.queues.settled(*target, *id);
        let updated = self.board.update(*id, |live| {
            let delivery = live.change().notices.delivery(&attempt.target, now.ms);
            delivery.accepted(attempt.message, *told, now.ms);
            live.accepted(*target, now.at);
        });
        if updated.is_none() {
            return;
        }
        self.urgent = true;
        if attempt.message == Message::Opened {
            let reason = format!("{how}, attempt {}", attempt.number);
            self.note_by(&attempt.target, *id, now.ms, EventKind::Notified, &reason);
        }
        self.queue_owed(*id, now.at);
    }

    /// Ends the turn of a target that refuses for good. The last of the chain keeps its turn until the clock ends it,
    /// so that a chain of which all refuse does not go round and round.
    fn refused_for_good(&mut self, ended: &EndedNotice, status: u16, now: Moment) {
        let EndedNotice { id, target_index: target, .. } = *ended;
        self.queues.settled(target, id);
        let Some(name) = self.rules.target_name(target).map(str::to_owned) else { return };
        let refusals = self.board.update(id, |live| {
            let delivery = live.change().notices.delivery(&name, now.ms);
            delivery.died(status);
            delivery.deaths
        });
        let Some(refusals) = refusals else { return };
        // A target that refuses for days must not bury the rest of the trail.
        if refusals.is_power_of_two() {
            let reason = format!("refused for good, status {status}; refusals: {refusals}");
            self.note_by(&name, id, now.ms, EventKind::DeadLetter, &reason);
        }
        if self.may_pass_on(id, target) {
            self.pass_on(id, now, "at once");
        }
    }

    /// Queues the next try of a notice that failed. Returns its time, ms since 1970, if the incident is still at the
    /// desk.
    fn retry(&mut self, ended: &EndedNotice, now: Moment) -> Option<i64> {
        let EndedNotice { id, target_index: target, .. } = *ended;
        let failures = self.board.update(id, |live| live.failed(target));
        let asked = ended.attempt.outcome.retry_after().unwrap_or_default().min(self.rules.retry_after_max);
        let wait = self.rules.schedule.wait(failures.unwrap_or(1), &mut self.rng).max(asked);
        self.queues.failed(target, id, now.at, now.at + wait, !asked.is_zero());
        failures.map(|_| now.ms_after(wait))
    }

    /// Queues everything that targets are owed and that is not queued yet: an update for those that have accepted, at most every
    /// so often, and anything else at once.
    pub(super) fn queue_owed(&mut self, id: IncidentId, now: Duration) {
        let Some(live) = self.board.get(id).filter(|live| !live.on_record().is_resolved()) else { return };
        let incident = &live.incident;
        let told = live.on_record().to_tell();
        for (position, turn) in self.rules.turns(incident.drill).iter().enumerate() {
            let target = self.rules.target_index(incident.drill, position);
            if self.queues.has(target, id) {
                continue;
            }
            let delivery = incident.notices.delivery_to(&turn.target);
            match delivery.and_then(|delivery| delivery.owed(told)) {
                Some(Message::Updated) => {
                    let accepted = live.last_accepted(target);
                    let due = accepted.map_or(now, |accepted| now.max(accepted + self.rules.news_every));
                    self.queues.update(target, id, due);
                }
                Some(_) => self.queues.repeat(target, id, incident.standing, now),
                None => {}
            }
        }
    }

    /// Makes all notices under way due again, under the same keys: their sender has crashed.
    pub(crate) fn hung_up(&mut self) {
        self.queues.hung_up();
    }

    /// Returns true when an incident waits for its first notice and may have it.
    pub(crate) fn has_fresh(&self) -> bool {
        self.queues.has_fresh()
    }

    /// Returns the time when there may be a notice to send although nothing else happens, on the monotonic clock.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.queues.wake_at().into_iter().chain(self.turns.first()).min()
    }

    /// Returns true when a notice about the incident is under way to the target.
    pub(crate) fn is_under_way(&self, id: IncidentId, target: TargetIndex) -> bool {
        self.queues.is_under_way(target, id)
    }

    /// Returns the time of the next notice about the incident to a target, on the monotonic clock. A past time means
    /// now.
    pub(crate) fn next_notice_at(&self, id: IncidentId, target: TargetIndex) -> Option<Duration> {
        self.queues.due_at(target, id)
    }

    /// Returns for each target whether notices go out as they come, and not only as probes.
    pub(crate) fn targets_up(&self) -> Vec<bool> {
        self.told_up.clone().unwrap_or_else(|| self.queues.up())
    }
}
