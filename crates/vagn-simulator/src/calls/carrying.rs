//! Carrying: what is done for a node that asks for it.

use vagn_cluster::trail::{TrailCommand, TrailEvent, TrailHappened};
use vagn_cluster::{Command, Event};

use super::brokering::Request;
use super::side::Side;
use super::words::state;
use super::world::{Due, World};
use crate::agenda::MILLI;
use crate::machine::{machine_of, node_id};

impl<S: Side> World<S> {
    /// Carries out what a node asks for.
    pub(crate) fn carry(&mut self, id: usize, command: TrailCommand) {
        match command {
            TrailCommand::Common(command) => self.carry_common(id, command),
            TrailCommand::RepairEnded(result) => self.repair_ended(id, result),
            TrailCommand::AnswerDeed { deed, outcome } => self.deed_answered(deed, &outcome),
            TrailCommand::Tell(happened) => {
                self.trace.fold(&[id as u64, vagn_cluster::hash(&[format!("{happened:?}").as_bytes()])]);
                self.reached.note(state(happened));
                if happened == TrailHappened::EpochBegun {
                    self.epoch_begun(id);
                }
            }
            other => S::carry(self, id, other),
        }
    }

    fn carry_common(&mut self, id: usize, command: Command) {
        match command {
            Command::Publish { publish, stream, message_id, expected_last, bytes } => {
                let offer = crate::stream::Offer { id: message_id, expected_last, bytes };
                self.request(id, Request::Publish(publish, stream, offer));
            }
            Command::ReadStream { read, stream } => self.request(id, Request::Read(read, stream)),
            Command::MakeStream { read, stream } => self.request(id, Request::Make(read, stream)),
            Command::Subscribe { subscription, stream, from } => {
                self.request(id, Request::Subscribe(subscription, stream, from));
            }
            Command::Purge { stream, through } => self.request(id, Request::Purge(stream, through)),
            Command::DropStream(stream) => self.request(id, Request::Drop(stream)),
            Command::ReadRecord(key) => self.request(id, Request::ReadRecord(key)),
            Command::WriteRecord { key, expected, bytes } => {
                self.request(id, Request::WriteRecord(key, expected, bytes));
            }
            Command::SendAll { bytes } => {
                for to in (0..self.machines.len()).filter(|to| *to != id) {
                    self.send(id, to, &bytes);
                }
            }
            Command::Unsubscribe(subscription) => {
                self.machines[id].consumers.remove(&subscription);
            }
            Command::Send { to, bytes } => {
                if let Some(to) = machine_of(to).filter(|to| *to < self.machines.len() && *to != id) {
                    self.send(id, to, &bytes);
                }
            }
            Command::WakeAt { elapsed_ms } => {
                // A timer is a little late, and never early.
                let late = self.chance.below(MILLI);
                let machine = &mut self.machines[id];
                machine.wish += 1;
                let (at, run, wish) = (machine.when(elapsed_ms), machine.run, machine.wish);
                self.agenda.at(at.saturating_add(late), Due::Wake { machine: id, run, wish });
            }
            other => self.oracle.wrong_if(true, || format!("{} asks for {other:?}", id + 1)),
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: &[u8]) {
        if !self.network.joins(from, to, self.now()) {
            return;
        }
        for delay in self.network.delays(&mut self.chance) {
            let mut bytes = bytes.to_vec();
            if self.chance.often(self.network.weather.cut) {
                bytes.truncate(self.chance.below(bytes.len() as u64 + 1) as usize);
            }
            let event = TrailEvent::Common(Event::Received { from: node_id(from), bytes });
            self.agenda.after(delay, Due::Event { to, run: None, request: 0, event });
        }
    }
}
