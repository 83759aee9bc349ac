//! Carrying: what the model's store and door do for a node that asks for it.

use vagn_cluster::trail::{TrailCommand, TrailEvent};

use super::{Model, ModelDue};
use crate::agenda::MILLI;
use crate::calls::world::{Due, World};

impl World<Model> {
    /// Carries out what a node asks of its store and its door.
    pub(super) fn carry_own(&mut self, id: usize, command: TrailCommand) {
        let now = self.now();
        match command {
            TrailCommand::Save { mark, groups } => {
                let run = self.machines[id].run;
                let delay = self.chance.within(300..=6 * MILLI);
                self.agenda.after(delay, Due::Own(ModelDue::Saved { machine: id, run, mark, groups }));
            }
            TrailCommand::Keep { alarm, bytes } => {
                let machine = &mut self.machines[id];
                if machine.own.store.borrow().full {
                    machine.own.not_kept.insert(alarm);
                    let run = Some(machine.run);
                    let event = TrailEvent::NotKept { alarm, bytes };
                    self.agenda.after(MILLI, Due::Event { to: id, run, request: 0, event });
                } else {
                    machine.own.not_kept.remove(&alarm);
                    machine.own.store.borrow_mut().kept.entry(alarm).or_default().0 = bytes;
                }
            }
            TrailCommand::CallAlone { alarm, .. } => {
                self.machines[id].own.alone.entry(alarm).or_insert(Some(now));
            }
            TrailCommand::LetGo { alarm, bytes } => self.let_go(id, alarm, &bytes),
            TrailCommand::Refuse { .. } => unreachable!("its desk has no limits"),
            TrailCommand::Reopen { alarm, bytes } => self.reopen(id, alarm, bytes),
            TrailCommand::ReadKept { after, max } => self.read_kept(id, after, max),
            TrailCommand::ReadCopy { read, of, least, from, .. } => {
                self.read_copy(id, read, (of, least), &from);
            }
            TrailCommand::TakeCopy { piece, bytes, mark } => self.take_copy(id, piece, bytes, mark),
            TrailCommand::ReadRest { max } => self.read_rest(id, max),
            TrailCommand::DropRest { deed } => {
                self.machines[id].own.store.borrow_mut().rest.remove(&deed);
            }
            // It is for all sides.
            TrailCommand::Common(_)
            | TrailCommand::RepairEnded(_)
            | TrailCommand::AnswerDeed { .. }
            | TrailCommand::Tell(_) => {}
        }
    }
}
