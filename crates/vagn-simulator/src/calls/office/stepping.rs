//! Stepping: when each part of the office has its turn, as its actors and its driver would give it.

use vagn_cluster::trail::{AlarmId, TrailCommand, TrailEvent};
use vagn_emergency::simulated::{SteppedNode, read_alarm};

use super::acting::vehicle_number;
use super::{Office, OfficeDue};
use crate::agenda::{MILLI, SECOND};
use crate::calls::world::{Due, World};

/// Times that the disk of incidents hangs for a while, in 10 000; that of kept alarms is another file, and does not.
const HANGS: u64 = 60;

impl World<Office> {
    /// Lets a part of a machine's node do something now.
    pub(super) fn step<T>(&mut self, id: usize, step: impl FnOnce(&mut SteppedNode) -> T) -> Option<T> {
        let now = self.clock(id);
        let node = self.machines[id].own.node.as_mut()?;
        node.set_time(now);
        Some(step(node))
    }

    /// Has the files looked after soon.
    pub(super) fn write_files(&mut self, id: usize) {
        let run = self.machines[id].run;
        if !std::mem::replace(&mut self.machines[id].own.writes_files, true) {
            let hangs = !self.calm && self.chance.often(HANGS);
            let longest = if hangs { 3 * SECOND } else { 6 * MILLI };
            let delay = self.chance.within(300..=longest);
            self.agenda.after(delay, Due::Own(OfficeDue::Files { machine: id, run }));
        }
    }

    /// Has kept alarms looked after soon.
    pub(super) fn write_kept(&mut self, id: usize) {
        let run = self.machines[id].run;
        if !std::mem::replace(&mut self.machines[id].own.writes_kept, true) {
            let delay = self.chance.within(300..=6 * MILLI);
            self.agenda.after(delay, Due::Own(OfficeDue::Kept { machine: id, run }));
        }
    }

    pub(super) fn meet_office(&mut self, due: OfficeDue) {
        let (id, run) = match due {
            OfficeDue::Files { machine, run }
            | OfficeDue::Kept { machine, run }
            | OfficeDue::Second { machine, run }
            | OfficeDue::Woken { machine, run, .. }
            | OfficeDue::Answered { machine, run, .. } => (machine, run),
        };
        if self.machines[id].run != run || self.machines[id].node.is_none() {
            return;
        }
        let works = self.machines[id].works();
        match due {
            OfficeDue::Files { .. } => {
                self.machines[id].own.writes_files = false;
                // A process that was stopped does it when it goes on.
                if works {
                    self.step(id, SteppedNode::write_files);
                }
            }
            OfficeDue::Kept { .. } => {
                self.machines[id].own.writes_kept = false;
                if works {
                    self.step(id, SteppedNode::write_kept);
                }
            }
            OfficeDue::Second { .. } => {
                self.agenda.after(SECOND, Due::Own(due));
                if works {
                    self.step(id, SteppedNode::round);
                    self.write_kept(id);
                }
            }
            OfficeDue::Woken { at, .. } => {
                let own = &mut self.machines[id].own;
                own.wakes_at = own.wakes_at.filter(|wakes_at| *wakes_at != at);
            }
            OfficeDue::Answered { call, is_of_door, answer, began, .. } => {
                self.answered(id, call, is_of_door, answer, began);
            }
        }
        self.settle(id);
    }

    /// Lets desk and office act after an event.
    pub(super) fn act(&mut self, id: usize) {
        let (now, clock) = (self.now(), self.clock(id));
        let machine = &mut self.machines[id];
        if !machine.works() {
            return;
        }
        let moment = machine.moment(now);
        let (Some(node), Some(own)) = (&mut machine.node, &mut machine.own.node) else { return };
        own.set_time(clock);
        let duty = node.duty(moment);
        let desk = node.desk_mut();
        let has_news = own.act(&mut desk.desk, duty, moment);
        let released = std::mem::take(&mut desk.released);
        // It is owed by a desk that may call, and goes out as soon as its target takes more.
        released.into_iter().for_each(|alarm| self.oracle.called(alarm));
        if has_news {
            let run = Some(self.machines[id].run);
            let event = TrailEvent::DeskChanged;
            self.agenda.after(0, Due::Event { to: id, run, request: 0, event });
        }
        self.settle(id);
    }

    /// Brings everything on its way that waits in a machine's office: alarms and answers to the trail's part, calls to targets, answers to senders.
    pub(super) fn settle(&mut self, id: usize) {
        if std::mem::replace(&mut self.machines[id].own.is_settling, true) {
            return;
        }
        let run = self.machines[id].run;
        while self.machines[id].run == run && self.machines[id].works() && self.oracle.wrong().is_none() {
            let calls = self.step(id, SteppedNode::take_calls).unwrap_or_default();
            calls.into_iter().for_each(|call| self.tell(id, call));
            self.hear_answers(id);
            let handed = self.step(id, SteppedNode::take_handed).unwrap_or_default();
            let event =
                if handed.is_empty() { self.step(id, SteppedNode::next_event).flatten() } else { None };
            if handed.is_empty() && event.is_none() {
                break;
            }
            for (alarm, bytes) in handed {
                self.give(id, TrailEvent::Alarm { alarm, bytes });
            }
            event.into_iter().for_each(|event| self.give(id, event));
        }
        if self.machines[id].run == run {
            self.machines[id].own.is_settling = false;
            self.wake_later(id);
        }
    }

    fn give(&mut self, id: usize, event: TrailEvent) {
        if let TrailEvent::Alarm { alarm, bytes } = &event
            && let Some(facts) = read_alarm(bytes)
        {
            let (now, vehicle) = (self.now(), vehicle_number(&facts.vehicle));
            self.oracle.raised(*alarm, vehicle, id, now);
        }
        self.handle(id, event);
    }

    /// Notes when the office has something to do although nothing happens.
    fn wake_later(&mut self, id: usize) {
        let machine = &self.machines[id];
        let at = machine.own.node.as_ref().and_then(SteppedNode::wake_at);
        let Some(at) = at.map(|at| machine.started + at.as_micros() as u64) else { return };
        // What waits for a slot or a disk is due all the time.
        let at = at.max(self.now() + 5 * MILLI);
        if machine.own.wakes_at.is_none_or(|wakes_at| at < wakes_at) {
            let run = machine.run;
            self.machines[id].own.wakes_at = Some(at);
            self.agenda.at(at, Due::Own(OfficeDue::Woken { machine: id, run, at }));
        }
    }

    /// Has the office carry out a command.
    pub(super) fn carry_office(&mut self, id: usize, command: TrailCommand) {
        self.hear(id, &command);
        let is_for_files = is_for_files(&command);
        let called = match &command {
            TrailCommand::CallAlone { alarm, .. } => Some(*alarm),
            _ => None,
        };
        self.step(id, |node| node.carry_out(command));
        called.into_iter().for_each(|alarm| self.note_called(id, alarm));
        if is_for_files { self.write_files(id) } else { self.write_kept(id) }
    }

    /// Tells the oracle what a command says, and strikes who is waited for.
    fn hear(&mut self, id: usize, command: &TrailCommand) {
        let (dies, state) = match command {
            TrailCommand::LetGo { alarm, bytes } => return self.let_go(*alarm, bytes),
            TrailCommand::Reopen { alarm, .. } => return self.oracle.reopened(*alarm),
            TrailCommand::ReadCopy { from, .. } if !from.is_empty() => {
                (self.giver_dies.take(), "giver killed in the middle of a copy")
            }
            TrailCommand::TakeCopy { piece, .. } if *piece > 0 => {
                (self.taker_dies.take(), "taker killed in the middle of a copy")
            }
            _ => return,
        };
        if let Some(away) = dies {
            self.reached.note(state);
            self.agenda.after(0, Due::Kill { machine: id, away });
        }
    }

    fn note_called(&mut self, id: usize, alarm: AlarmId) {
        self.reached.note("door called");
        if self.step(id, |node| node.calls_about(alarm)) == Some(true) {
            self.oracle.called(alarm);
        }
    }

    fn let_go(&mut self, alarm: AlarmId, bytes: &[u8]) {
        if let Some(facts) = read_alarm(bytes) {
            self.oracle.stored(alarm, facts.sitting, facts.reports);
        }
    }
}

/// Returns true for a command that the incident store carries out.
fn is_for_files(command: &TrailCommand) -> bool {
    matches!(
        command,
        TrailCommand::Save { .. }
            | TrailCommand::ReadCopy { .. }
            | TrailCommand::TakeCopy { .. }
            | TrailCommand::ReadRest { .. }
            | TrailCommand::DropRest { .. }
    )
}
