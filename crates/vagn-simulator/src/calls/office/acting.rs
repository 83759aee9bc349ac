//! Acting: calls to the targets, alarms of vehicles, and deeds of persons.

use std::time::Duration;

use vagn_cluster::trail::{AlarmId, DeedId, TrailEvent};
use vagn_cluster::{fold, hash};
use vagn_emergency::RequestKind;
use vagn_emergency::simulated::{Answer, Call, SteppedNode, TARGETS, TargetFacts};

use super::facts::telling;
use super::{Office, OfficeDue};
use crate::agenda::SECOND;
use crate::calls::target::Answer as Heard;
use crate::calls::world::{Due, World};

/// Returns the number of a vehicle.
pub(super) fn vehicle_number(vehicle: &str) -> u64 {
    vehicle.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

impl World<Office> {
    /// Brings a call to its target.
    pub(super) fn tell(&mut self, id: usize, call: Call) {
        let now = self.now();
        let incident = AlarmId(call.incident);
        self.judge(id, incident, &call);
        self.trace.fold(&[now, id as u64, call.number, hash(&[call.meaning.as_bytes()]), call.message]);
        let place = TARGETS.iter().position(|name| *name == call.target).unwrap_or(TARGETS.len());
        let meaning = fold(hash(&[call.meaning.as_bytes()]), hash(&[&call.incident.to_le_bytes()]));
        let told = self.target.tell(place, (incident, call.message), meaning, &mut self.chance);
        self.trace.line(now, || {
            let who = if call.is_of_door { "door" } else { "desk" };
            format!(
                "{} {who} tells {} {:x}-{} {}: {told:?}",
                id + 1,
                call.target,
                call.incident,
                call.message,
                call.meaning
            )
        });
        let Ok(Heard { delay, is_heard, is_accepted }) = told else {
            let Call { target, message, meaning, .. } = call;
            self.oracle.wrong_if(true, || {
                format!("{} tells {target} something else under {incident:?}-{message}: {meaning}", id + 1)
            });
            return;
        };
        if is_accepted {
            self.target.learn(place, (incident, call.message), telling(&call.told));
        }
        if is_accepted && !is_heard {
            self.reached.note("acceptance that its caller did not hear");
        }
        let answer = match (is_heard, delay >= SECOND) {
            (true, _) => Answer::Accepted,
            (false, true) => Answer::Silence,
            (false, false) => Answer::Refused,
        };
        let (run, is_of_door) = (self.machines[id].run, call.is_of_door);
        let due = OfficeDue::Answered { machine: id, run, call: call.number, is_of_door, answer, began: now };
        self.agenda.after(delay, Due::Own(due));
    }

    /// Looks whether a call may go out.
    fn judge(&mut self, id: usize, incident: AlarmId, call: &Call) {
        if call.is_of_door {
            self.oracle.called(incident);
            let is_follow_up = call.message > 0;
            return self
                .oracle
                .wrong_if(is_follow_up, || format!("the door of {} tells more than an opening", id + 1));
        }
        let is_recorded = self.oracle.has_incident(incident);
        self.reached.note(match (call.message, is_recorded) {
            (0, true) => "leader called with a record",
            (0, false) => "leader called without a record",
            _ => "update told",
        });
        let knew = call.message == 0 || self.oracle.knew(incident, telling(&call.told));
        self.oracle.wrong_if(!knew, || format!("{} acts before the trail has it: {call:?}", id + 1));
    }

    /// A target has answered, or has not.
    pub(super) fn answered(&mut self, id: usize, call: u64, is_of_door: bool, answer: Answer, began: u64) {
        let machine = &mut self.machines[id];
        if machine.frozen_at.is_some() {
            // It hears it when it goes on.
            let run = machine.run;
            let due = OfficeDue::Answered { machine: id, run, call, is_of_door, answer, began };
            return self.agenda.after(SECOND / 4, Due::Own(due));
        }
        if answer == Answer::Accepted
            && !is_of_door
            && let Some(away) = machine.dies_at_acceptance.take()
        {
            self.reached.note("leader killed between an acceptance and its entry");
            return self.take_down(id, away);
        }
        let took = Duration::from_micros(self.now() - began);
        self.step(id, |node| node.end_call(call, answer, took));
        self.write_kept(id);
    }

    /// Vehicles hear what became of their reports.
    pub(super) fn hear_answers(&mut self, id: usize) {
        for (number, incident) in self.step(id, SteppedNode::take_answers).unwrap_or_default() {
            let vehicle = self.machines[id].own.senders.remove(&number);
            self.trace.fold(&[id as u64, number, incident.map_or(0, |incident| incident as u64)]);
            let Some(incident) = incident else {
                self.reached.note("sender refused");
                continue;
            };
            self.reached.note("sender answered");
            // Where its node has not applied yet to what it was joined, its own id.
            let is_there = self.oracle.has_alarm(AlarmId(incident));
            self.oracle.wrong_if(!is_there, || {
                format!(
                    "a sender at {} hears `stored` of {incident:x}, which the trail does not have",
                    id + 1
                )
            });
            if let Some(vehicle) = vehicle.and_then(|vehicle| self.vehicles.get_mut(&vehicle)) {
                vehicle.stored = true;
            }
        }
    }

    /// A vehicle calls.
    pub(super) fn report(&mut self, number: u64, id: usize) {
        let works = self.machines[id].works();
        let Some(vehicle) = self.vehicles.get_mut(&number).filter(|_| works) else { return };
        let at = (10.0 + number as f64 / 100.0, 20.0 + vehicle.reports as f64 / 100.0);
        vehicle.reports += 1;
        self.requests += 1;
        let sender = self.requests;
        self.machines[id].own.senders.insert(sender, number);
        let now = self.now();
        self.trace.line(now, || format!("{} hears bus {number}", id + 1));
        self.step(id, |node| node.report(sender, &format!("bus {number}"), at));
        self.settle(id);
    }

    /// A person decides about an incident that this machine shows, or tries to.
    pub(super) fn decide(&mut self, deed: DeedId, id: usize) {
        let action = self.chance.pick(&[
            RequestKind::Acknowledge,
            RequestKind::Acknowledge,
            RequestKind::Resolve,
            RequestKind::Resolve,
            RequestKind::Comment,
        ]);
        let draw = self.chance.word();
        if !self.machines[id].works() {
            return;
        }
        let shown = self.step(id, |node| node.open_incidents()).unwrap_or_default();
        let is_known = |target: &TargetFacts| target.is_accepted;
        let told: Vec<u128> = shown
            .iter()
            .filter(|incident| incident.targets.iter().any(is_known))
            .map(|incident| incident.id)
            .collect();
        let incident = if told.is_empty() || draw.is_multiple_of(10) {
            u128::from(draw)
        } else {
            told[(draw % told.len() as u64) as usize]
        };
        match self.step(id, |node| node.request(incident, action)).flatten() {
            Some(bytes) => self.handle(id, TrailEvent::Deed { deed, bytes }),
            None => self.reached.note("deed answered by the own store"),
        }
    }
}
