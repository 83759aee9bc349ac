//! Whom to call next: whose turn it is, what each target is owed, and what came of a call.

use std::time::Duration;

use super::{Desk, Moment};
use crate::id::IncidentId;
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::queue::NoticeQueue;
use crate::notify::target::TargetIndex;
use crate::record::attempt::{Attempt, Message, MessageKey, Outcome};
use crate::record::delivery::Told;
use crate::record::incident::Escalation;
use crate::trail::EventKind;

/// Turns that end at a time: some milliseconds.
const TURNS_AT_ONCE: usize = 256;

impl Desk {
    /// The next call to make at `now`, if one is due and a slot is free.
    pub fn next_call(&mut self, now: Moment) -> Option<Notice> {
        self.end_turns(now);
        (0..self.queues.len()).find_map(|index| self.next_for(TargetIndex(index), now))
    }

    fn next_for(&mut self, target: TargetIndex, now: Moment) -> Option<Notice> {
        loop {
            let id = self.queues[target.0].next(now.at)?;
            match self.compose(id, target, now) {
                Some(call) => return Some(call),
                None => self.queues[target.0].done(id),
            }
        }
    }

    /// What to say to a target about an incident now; `None`: nothing any more.
    fn compose(&mut self, id: IncidentId, target: TargetIndex, now: Moment) -> Option<Notice> {
        let name: Box<str> = self.rules.target_name(target)?.into();
        let live = self.live.get_mut(&id)?;
        let told = live.incident.to_tell();
        let mut numbers = live.incident.notices.follow_ups;
        let delivery = live.incident.notices.delivery(&name, now.ms);
        let message = delivery.owed(told)?;
        let number = delivery.number(message, told, &mut numbers);
        live.incident.notices.follow_ups = numbers;
        live.begun += 1;
        let (arrived, number_of_attempt) = (live.arrived.take(), live.begun);
        if live.recorded == 0 && !live.incident.notices.unrecorded {
            self.change(id, |incident| incident.notices.unrecorded = true);
            self.note(id, now.ms, EventKind::Unrecorded, "the disk is slow or broken: called all the same");
        }
        let incident = self.live[&id].incident.clone();
        let key = MessageKey { incident: id, number };
        Some(Notice {
            incident,
            target_index: target,
            target: name,
            message,
            key,
            told,
            number: number_of_attempt,
            arrived,
        })
    }

    /// Notes what came of a call, and decides when there is to be another.
    pub fn attempted(&mut self, ended: EndedNotice, now: Moment) {
        let EndedNotice { id, target_index: target, told, mut attempt } = ended;
        let first = self.get(id).is_some_and(|incident| incident.progress.accepted_ms.is_none());
        let dead = attempt.outcome.dead();
        if !attempt.outcome.accepted() && dead.is_none() {
            attempt.next_ms = self.failed(id, target, &attempt.outcome, now);
        }
        if let Some(live) = self.change(id, |incident| incident.attempted(attempt.clone())) {
            live.enter(attempt.clone());
        }
        if attempt.outcome.accepted() {
            self.accepted(id, target, told, &attempt, first, now);
        } else if let Some(status) = dead {
            self.died(id, target, status, now);
        }
    }

    fn accepted(
        &mut self,
        id: IncidentId,
        target: TargetIndex,
        told: Told,
        attempt: &Attempt,
        first: bool,
        now: Moment,
    ) {
        self.queues[target.0].answered(id);
        let done = self.change(id, |incident| {
            incident.notices.delivery(&attempt.target, now.ms).accepted(attempt.message, told, now.ms);
        });
        let Some(live) = done else { return };
        *live.retries(target) = super::live::Retries { failures: 0, told: Some(now.at) };
        self.urgent = true;
        if attempt.message == Message::Opened {
            let how = if first { "accepted" } else { "accepted as well" };
            let reason = format!("{how}, attempt {}", attempt.number);
            self.note_by(&attempt.target, id, now.ms, EventKind::Notified, &reason);
        }
        self.spread(id, now.at);
    }

    /// A target that refuses for good has its turn no longer; the last of them keeps it until the clock says so.
    fn died(&mut self, id: IncidentId, target: TargetIndex, status: u16, now: Moment) {
        self.queues[target.0].answered(id);
        let Some(name) = self.rules.target_name(target).map(str::to_owned) else { return };
        let mut deaths = 0;
        let done = self.change(id, |incident| {
            let delivery = incident.notices.delivery(&name, now.ms);
            delivery.died(status);
            deaths = delivery.deaths;
        });
        if done.is_none() {
            return;
        }
        if deaths.is_power_of_two() {
            let reason = format!("refused for good, status {status}; refusals: {deaths}");
            self.note_by(&name, id, now.ms, EventKind::DeadLetter, &reason);
        }
        let incident = &self.live[&id].incident;
        let (turns, level) = (self.rules.turns(incident.drill).len(), incident.escalation.level as usize);
        let its_turn = self.rules.target_index(incident.drill, level % turns.max(1)) == target;
        if its_turn && (level + 1) % turns.max(1) != 0 && incident.is_unacknowledged() {
            self.pass_on(id, now, "at once");
        }
    }

    fn failed(&mut self, id: IncidentId, target: TargetIndex, outcome: &Outcome, now: Moment) -> Option<i64> {
        let failures = self.live.get_mut(&id).map_or(1, |live| {
            let retries = live.retries(target);
            retries.failures = retries.failures.saturating_add(1);
            retries.failures
        });
        let wished = outcome.retry_after().unwrap_or_default().min(self.rules.retry_after_max);
        let wait = self.rules.schedule.wait(failures, &mut self.rng).max(wished);
        self.queues[target.0].failed(id, now.at, now.at + wait, !wished.is_zero());
        self.live.contains_key(&id).then(|| now.ms.saturating_add_unsigned(wait.as_millis() as u64))
    }

    /// Lets every target hear what it is owed: what is new to who has accepted the incident, soon, and all else now.
    pub(super) fn spread(&mut self, id: IncidentId, now: Duration) {
        let Some(live) = self.live.get_mut(&id).filter(|live| !live.incident.is_resolved()) else { return };
        let (told, standing) = (live.incident.to_tell(), live.incident.standing.in_queue());
        let drill = live.incident.drill;
        for (at, turn) in self.rules.turns(drill).iter().enumerate() {
            let target = self.rules.target_index(drill, at);
            let known = live.incident.notices.deliveries.iter().find(|one| one.target == turn.target);
            match known.and_then(|one| one.owed(told)) {
                _ if self.queues[target.0].has(id) => {}
                Some(Message::Updated) => {
                    let told_at = live.retries(target).told;
                    let due = told_at.map_or(now, |told| now.max(told + self.rules.news_every));
                    self.queues[target.0].update(id, due);
                }
                Some(_) => self.queues[target.0].repeat(id, standing, now),
                None => {}
            }
        }
    }

    /// Sets when the turn ends, in memory.
    pub(super) fn end_turn_at(&mut self, id: IncidentId, at: Option<Duration>) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let before = std::mem::replace(&mut live.turn_ends, at);
        before.map(|before| self.turn_ends.remove(&(before, id)));
        at.map(|at| self.turn_ends.insert((at, id)));
    }

    /// Lets a turn of an earlier run end when it was to end, and at once if that is past. A wall clock that was set back
    /// makes no turn longer than it is.
    pub(super) fn resume_turn(&mut self, id: IncidentId, now: Moment) {
        let incident = &self.live[&id].incident;
        let turns = self.rules.turns(false);
        if !incident.is_unacknowledged() || turns.is_empty() {
            return;
        }
        let lasts = turns[incident.escalation.level as usize % turns.len()].lasts;
        let left_ms = incident.escalation.next_ms.map(|next_ms| next_ms.saturating_sub(now.ms).max(0));
        let left = left_ms.map_or(lasts, |ms| Duration::from_millis(ms.unsigned_abs()).min(lasts));
        self.end_turn_at(id, Some(now.at.saturating_add(left)));
    }

    /// Ends the turns that are over, but not more at once than other calls can wait for.
    fn end_turns(&mut self, now: Moment) {
        for _ in 0..TURNS_AT_ONCE {
            let ended = self.turn_ends.first().copied().filter(|(at, _)| *at <= now.at);
            let Some((_, id)) = ended else { break };
            self.end_turn_at(id, None);
            self.pass_on(id, now, "no person has acknowledged in time");
        }
    }

    /// It is the next target's turn, and behind the last the first's again.
    fn pass_on(&mut self, id: IncidentId, now: Moment, why: &str) {
        let Some(live) = self.live.get(&id) else { return };
        let (test, standing) = (live.incident.drill, live.incident.standing.in_queue());
        let turns = self.rules.turns(test);
        let level = live.incident.escalation.level.saturating_add(1);
        let Some(turn) = turns.get(level as usize % turns.len().max(1)).cloned() else { return };
        let rounds = turns.len() as u32 * 2;
        let target = self.rules.target_index(test, level as usize % turns.len());
        let next_ms = Some(now.ms.saturating_add_unsigned(turn.lasts.as_millis() as u64));
        let began = live.incident.notices.deliveries.iter().any(|one| one.target == turn.target);
        let mut owed = false;
        self.change(id, |incident| {
            incident.escalation = Escalation { level, next_ms };
            let delivery = incident.notices.delivery(&turn.target, now.ms);
            owed = began && delivery.engage_again();
        });
        match (began, owed) {
            (false, _) => self.queues[target.0].begin(id, standing),
            (true, true) => self.queues[target.0].repeat(id, standing, now.at),
            (true, false) => {}
        }
        self.end_turn_at(id, Some(now.at.saturating_add(turn.lasts)));
        self.urgent = true;
        // A chain that goes round for days must not bury the rest of the trail.
        if level <= rounds || level.is_power_of_two() {
            self.note(id, now.ms, EventKind::Escalated, &format!("{why}: turn {level} is {}'s", turn.target));
        }
    }

    /// Whoever made the calls is gone: what was under way is tried again, under the same key.
    pub fn hung_up(&mut self) {
        self.queues.iter_mut().for_each(NoticeQueue::hung_up);
    }

    /// Whether an incident waits for its first call and may be called.
    pub fn has_fresh(&self) -> bool {
        self.queues.iter().any(NoticeQueue::has_fresh)
    }

    /// When there may be a call to make although nothing else happens, on the monotonic clock.
    pub fn wake_at(&self) -> Option<Duration> {
        let turns = self.turn_ends.first().map(|(at, _)| *at);
        self.queues.iter().filter_map(NoticeQueue::wake_at).chain(turns).min()
    }

    /// Whether the incident is being called about right now, by the target's index.
    pub fn is_calling(&self, id: IncidentId, target: TargetIndex) -> bool {
        self.queues.get(target.0).is_some_and(|calls| calls.is_under_way(id))
    }

    /// When a target is called next about the incident, on the monotonic clock. A past time means now.
    pub fn next_call_at(&self, id: IncidentId, target: TargetIndex) -> Option<Duration> {
        self.queues.get(target.0)?.due_at(id)
    }

    /// Whether each target is called as calls come, and not only probed.
    pub fn targets_up(&self) -> Vec<bool> {
        self.queues.iter().map(NoticeQueue::is_up).collect()
    }

    /// Real incidents that a target has refused for good.
    pub fn dead_letters(&self) -> usize {
        self.dead.len()
    }
}
