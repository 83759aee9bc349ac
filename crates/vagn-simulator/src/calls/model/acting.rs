//! Acting: messages to the target by desks and doors, alarms of vehicles, and deeds of persons.

use vagn_cluster::trail::{AlarmId, DeedId, Duty, TrailEvent};

use super::desk::Message;
use super::store::{alarm_bytes, opening, read_alarm};
use super::{Model, ModelDue};
use crate::agenda::SECOND;
use crate::calls::target::Answer;
use crate::calls::world::{Due, World};

/// Pause between two calls of a door about an alarm.
const AGAIN: u64 = SECOND;

impl World<Model> {
    /// Carries out what a machine's desk and its door decide now.
    pub(super) fn act(&mut self, id: usize) {
        let now = self.now();
        if !self.machines[id].works() {
            return;
        }
        let machine = &mut self.machines[id];
        let (moment, run) = (machine.moment(now), machine.run);
        let Some(node) = &mut machine.node else { return };
        let duty = node.duty(moment);
        for message in node.desk_mut().due(now, duty) {
            self.tell(id, run, duty, message);
        }
        self.note_calls(id);
        let machine = &mut self.machines[id];
        let due = machine.own.alone.iter_mut().filter(|(_, due)| due.is_some_and(|due| due <= now));
        let due: Vec<AlarmId> = due.map(|(alarm, due)| (*alarm, *due = None).0).collect();
        for alarm in due {
            self.reached.note("door called");
            self.oracle.called(alarm);
            if let Some(answer) = self.told(id, (alarm, 0), opening(alarm)) {
                self.agenda.after(
                    answer.delay,
                    Due::Own(ModelDue::AloneAnswered { machine: id, run, alarm, answer }),
                );
            }
        }
    }

    /// Notes the alarms that this machine's desk called about for their doors, for itself or with another alarm.
    fn note_calls(&mut self, id: usize) {
        let Some(node) = &mut self.machines[id].node else { return };
        for (alarm, incident) in node.desk_mut().released() {
            if self.target.has_heard(incident) {
                self.oracle.called(alarm);
            }
        }
    }

    fn tell(&mut self, id: usize, run: u64, duty: Duty, message: Message) {
        let state = match (message.number, message.is_recorded, duty) {
            (0, true, _) => "leader called with a record",
            (0, false, Duty::FirstOnly) => "leader called without a record and without a trail",
            (0, false, _) => "leader called without a record",
            _ => "update told",
        };
        self.reached.note(state);
        self.acts(id, message);
        if let Some(answer) = self.told(id, (message.incident, message.number), message.meaning) {
            self.agenda
                .after(answer.delay, Due::Own(ModelDue::Answered { machine: id, run, message, answer }));
        }
    }

    fn told(&mut self, id: usize, key: (AlarmId, u64), meaning: u64) -> Option<Answer> {
        let now = self.now();
        let told = self.target.tell(0, key, meaning, &mut self.chance);
        self.trace.line(now, || format!("{} tells {key:?}: {told:?}", id + 1));
        match told {
            Ok(answer) => {
                if answer.is_accepted && !answer.is_heard {
                    self.reached.note("acceptance that its caller did not hear");
                }
                Some(answer)
            }
            Err(_) => {
                self.oracle.wrong_if(true, || format!("{} tells something else under {key:?}", id + 1));
                None
            }
        }
    }

    pub(crate) fn answered(&mut self, id: usize, run: u64, message: Message, answer: Answer) {
        let now = self.now();
        let machine = &mut self.machines[id];
        if machine.run != run || machine.node.is_none() {
            return;
        }
        if machine.frozen_at.is_some() {
            // It hears it when it goes on.
            self.agenda.after(SECOND / 4, Due::Own(ModelDue::Answered { machine: id, run, message, answer }));
            return;
        }
        if answer.is_heard
            && let Some(away) = machine.dies_at_acceptance.take()
        {
            self.reached.note("leader killed between an acceptance and its entry");
            return self.take_down(id, away);
        }
        if let Some(node) = &mut machine.node {
            node.desk_mut().attempted(message, answer.is_heard, now);
            self.handle(id, TrailEvent::DeskChanged);
        }
    }

    pub(crate) fn alone_answered(&mut self, id: usize, run: u64, alarm: AlarmId, answer: Answer) {
        let now = self.now();
        let machine = &mut self.machines[id];
        if machine.run != run || !machine.own.alone.contains_key(&alarm) {
            return;
        }
        if answer.is_heard {
            if let Some((_, note)) = machine.own.store.borrow_mut().kept.get_mut(&alarm) {
                *note = vec![1];
            }
            self.event(id, Some(run), 0, TrailEvent::CalledAlone { alarm, note: vec![1] });
        } else {
            machine.own.alone.insert(alarm, Some(now + AGAIN));
        }
    }

    /// The trail has an alarm: its vehicle hears `stored`, if it has not sent more since.
    pub(crate) fn let_go(&mut self, id: usize, alarm: AlarmId, bytes: &[u8]) {
        let machine = &mut self.machines[id];
        let (vehicle, report) = read_alarm(bytes);
        machine.own.alone.remove(&alarm);
        machine.own.not_kept.remove(&alarm);
        machine.own.store.borrow_mut().let_go(alarm, bytes);
        let hears = machine.own.reports.get(&alarm).is_none_or(|newest| *newest == report);
        self.oracle.stored(alarm, 0, report);
        if hears && let Some(vehicle) = self.vehicles.get_mut(&vehicle) {
            vehicle.stored = true;
        }
    }

    /// An alarm calls anew: it comes again under a new id.
    pub(crate) fn reopen(&mut self, id: usize, alarm: AlarmId, bytes: Vec<u8>) {
        let (now, renewed) = (self.now(), AlarmId(self.name()));
        let (vehicle, _) = read_alarm(&bytes);
        let machine = &mut self.machines[id];
        machine.own.alone.remove(&alarm);
        machine.own.not_kept.remove(&alarm);
        machine.own.store.borrow_mut().rename(alarm, renewed);
        if let Some(report) = machine.own.reports.remove(&alarm) {
            machine.own.reports.insert(renewed, report);
        }
        machine.own.alarms.insert(vehicle, renewed);
        let run = Some(machine.run);
        self.oracle.reopened(alarm);
        self.oracle.raised(renewed, vehicle, id, now);
        let event = TrailEvent::Alarm { alarm: renewed, bytes };
        self.agenda.after(0, Due::Event { to: id, run, request: 0, event });
    }

    /// A door gives no more alarms the id of an incident that its machine's store knows to be over.
    pub(crate) fn forget_what_is_over(&mut self, id: usize) {
        let machine = &mut self.machines[id];
        let store = machine.own.store.borrow();
        let before = machine.own.alarms.len();
        machine.own.alarms.retain(|_, alarm| !store.is_over(*alarm));
        if machine.own.alarms.len() < before {
            self.reached.note("incident over at the door of its vehicle");
        }
    }

    pub(super) fn report(&mut self, number: u64, id: usize) {
        let now = self.now();
        let name = AlarmId(self.name());
        let machine = &mut self.machines[id];
        let works = machine.works();
        let Some(vehicle) = self.vehicles.get_mut(&number).filter(|_| works) else { return };
        let alarm = *machine.own.alarms.entry(number).or_insert(name);
        let bytes = alarm_bytes(number, vehicle.reports);
        machine.own.reports.insert(alarm, vehicle.reports);
        vehicle.reports += 1;
        self.oracle.raised(alarm, number, id, now);
        self.handle(id, TrailEvent::Alarm { alarm, bytes });
    }

    /// A person resolves an incident, or tries to.
    pub(super) fn resolve(&mut self, deed: DeedId, id: usize) {
        let open: Vec<AlarmId> = self
            .leader()
            .and_then(|leader| self.machines[leader].node.as_ref())
            .map_or(Vec::new(), |node| node.desk().resolvable());
        let wrong = AlarmId(self.name());
        let incident =
            if open.is_empty() || self.chance.often(1_000) { wrong } else { self.chance.pick(&open) };
        if self.machines[id].works() {
            self.handle(id, TrailEvent::Deed { deed, bytes: incident.0.to_le_bytes().to_vec() });
        }
    }
}
