//! Disks that are lost, and persons who have a broken trail begun anew.

use vagn_cluster::trail::{TrailEvent, TrailRefusal, TrailRepair};

use super::machine::Machine;
use super::side::Side;
use super::world::{Due, World};
use crate::agenda::SECOND;
use crate::machine::machine_of;

/// Pause between two looks of a person who repairs.
const LOOK: u64 = 3 * SECOND;

impl<S: Side> World<S> {
    /// A machine comes back with an empty disk, if another one and the stream have all that it had.
    pub(crate) fn lose_disk(&mut self, id: usize, away: u64) {
        let first = self.brokers.truth(super::world::STREAM).map_or(1, |log| log.info().first);
        let has_all =
            |machine: &Machine<S>| S::mark(&machine.own).is_some_and(|mark| mark.sequence + 1 >= first);
        let others = (0..self.machines.len()).filter(|other| *other != id);
        let is_elsewhere = others.into_iter().any(|other| has_all(&self.machines[other]));
        if !is_elsewhere || self.machines[id].node.is_none() {
            return;
        }
        self.reached.note("disk lost");
        self.oracle.disk_lost(id);
        self.take_down(id, away);
        S::lose_disk(&mut self.machines[id].own);
    }

    /// A person looks whether some node has stopped, and asks one of them, or the one that was named, to repair the trail.
    pub(crate) fn repair(&mut self, named: Option<usize>) {
        let now = self.now();
        let is_stuck = |id: &usize| {
            let machine = &self.machines[*id];
            let view =
                machine.node.as_ref().filter(|_| machine.works()).map(|node| node.view(machine.moment(now)));
            view.is_some_and(|view| view.stopped.is_some() || view.lacks_copy)
        };
        let stuck: Vec<usize> = (0..self.machines.len()).filter(is_stuck).collect();
        let asked = named.filter(|named| stuck.contains(named));
        if !stuck.is_empty() {
            let id = asked.unwrap_or_else(|| self.chance.pick(&stuck));
            self.handle(id, TrailEvent::RepairAsked);
        }
        if named.is_none() {
            self.agenda.after(LOOK, Due::Repair(None));
        }
    }

    pub(crate) fn repair_ended(&mut self, id: usize, result: Result<TrailRepair, TrailRefusal>) {
        self.reached.note(match result {
            Ok(TrailRepair::Begun) => "repair: epoch begun",
            Ok(TrailRepair::Copies) => "repair: copies",
            Err(TrailRefusal::Sound) => "repair refused: sound",
            Err(TrailRefusal::Unread) => "repair refused: unread",
            Err(TrailRefusal::Unsaved) => "repair refused: unsaved",
            Err(TrailRefusal::HasMore(_)) => "repair refused: another has more",
            Err(TrailRefusal::NoBrokers) => "repair refused: no brokers",
            Err(TrailRefusal::Overtaken) => "repair refused: overtaken",
        });
        if let Err(TrailRefusal::HasMore(node)) = result {
            let named = machine_of(node).filter(|named| *named < self.machines.len() && *named != id);
            self.agenda.after(SECOND, Due::Repair(Some(named.unwrap_or(id))));
        }
    }

    /// A machine has begun a new epoch from its store.
    pub(crate) fn epoch_begun(&mut self, id: usize) {
        let machine = &self.machines[id];
        let trail = machine.node.as_ref().and_then(|node| node.view(machine.moment(self.now())).trail);
        let content = S::content(&machine.own);
        self.oracle.begun(trail.map_or(1, |trail| trail.epoch), content);
        self.purged.clear();
    }
}
