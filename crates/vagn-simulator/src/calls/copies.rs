//! Copies of stores, and persons who have a broken trail begun anew.

use vagn_cluster::trail::{CopyOutcome, Mark, TrailEvent, TrailRefusal, TrailRepair};
use vagn_cluster::{DiskFault, ReadId};

use super::machine::{Machine, Picture};
use super::store::Store;
use super::world::{Due, World};
use crate::agenda::{MILLI, SECOND};
use crate::machine::machine_of;

/// Longest piece of a copy, so that small stores have several.
const PIECE: usize = 600;

/// Reads of copies that fail, in 10 000.
const UNREAD: u64 = 300;

/// Time for which a copy is held after it was read.
const HELD: u64 = 4 * SECOND;

/// Pause between two looks of a person who repairs.
const LOOK: u64 = 3 * SECOND;

impl World {
    /// Reads a piece of a machine's store for another one.
    pub(crate) fn read_copy(&mut self, id: usize, read: ReadId, of: (Option<Mark>, u64), from: &[u8]) {
        if !from.is_empty()
            && let Some(away) = self.giver_dies.take()
        {
            self.reached.note("giver killed in the middle of a copy");
            return self.agenda.after(0, Due::Kill { machine: id, away });
        }
        let (now, fails) = (self.now(), self.chance.often(UNREAD) && !self.calm);
        let machine = &mut self.machines[id];
        let outcome = if fails { CopyOutcome::Fault } else { piece(machine, of, from, now) };
        self.reached.note(match &outcome {
            CopyOutcome::Piece { next: None, .. } => "last piece of a copy read",
            CopyOutcome::Piece { .. } => "piece of a copy read",
            CopyOutcome::Gone => "copy not held any more",
            CopyOutcome::Fault => "copy not read",
        });
        let (run, delay) = (Some(machine.run), self.chance.within(300..=60 * MILLI));
        let event = TrailEvent::CopyRead { read, outcome };
        self.agenda.after(delay, Due::Event { to: id, run, request: 0, event });
    }

    /// Begins to put a piece of a copy aside.
    pub(crate) fn take_copy(&mut self, id: usize, piece: u32, bytes: Vec<u8>, mark: Option<Mark>) {
        if piece > 0
            && let Some(away) = self.taker_dies.take()
        {
            self.reached.note("taker killed in the middle of a copy");
            return self.agenda.after(0, Due::Kill { machine: id, away });
        }
        let run = self.machines[id].run;
        let delay = self.chance.within(300..=6 * MILLI);
        self.agenda.after(delay, Due::Taken { machine: id, run, piece, bytes, mark });
    }

    pub(crate) fn taken(&mut self, id: usize, run: u64, piece: u32, bytes: &[u8], mark: Option<Mark>) {
        if self.machines[id].run != run {
            return;
        }
        let result = {
            let mut store = self.machines[id].store.borrow_mut();
            if store.full {
                Err(DiskFault::Full)
            } else {
                store.take(piece, bytes, mark);
                Ok(())
            }
        };
        if mark.is_some() && !self.machines[id].store.borrow().rest.is_empty() {
            self.reached.note("store with a rest behind a copy");
        }
        self.forget_what_is_over(id);
        self.event(id, Some(run), 0, TrailEvent::CopyTaken(result));
    }

    pub(crate) fn read_rest(&mut self, id: usize, max: usize) {
        let (rest, is_end) = {
            let store = self.machines[id].store.borrow();
            let rest = store.rest.iter().take(max).map(|(deed, bytes)| (*deed, bytes.clone())).collect();
            (rest, store.rest.len() <= max)
        };
        let run = Some(self.machines[id].run);
        let event = TrailEvent::RestRead { rest, is_end };
        self.agenda.after(MILLI, Due::Event { to: id, run, request: 0, event });
    }

    /// A machine comes back with an empty disk, if another one and the stream have all that it had.
    pub(crate) fn lose_disk(&mut self, id: usize, away: u64) {
        let first = self.brokers.truth(super::world::STREAM).map_or(1, |log| log.info().first);
        let has_all = |store: &Store| store.mark.is_some_and(|mark| mark.sequence + 1 >= first);
        let others = (0..self.machines.len()).filter(|other| *other != id);
        let is_elsewhere = others.into_iter().any(|other| has_all(&self.machines[other].store.borrow()));
        if !is_elsewhere || self.machines[id].node.is_none() {
            return;
        }
        self.reached.note("disk lost");
        self.oracle.disk_lost(id);
        self.take_down(id, away);
        *self.machines[id].store.borrow_mut() = Store::default();
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
        let incidents = machine.store.borrow().incidents.clone();
        self.oracle.begun(trail.map_or(1, |trail| trail.epoch), &incidents);
        self.purged.clear();
    }
}

/// Returns a piece of a machine's store as it was when the copy began.
fn piece(machine: &mut Machine, (of, least): (Option<Mark>, u64), from: &[u8], now: u64) -> CopyOutcome {
    let store = machine.store.borrow();
    let is_held = |picture: &Picture| picture.read_at + HELD > now && picture.mark.sequence >= least;
    if of.is_none() && !machine.picture.as_ref().is_some_and(is_held) {
        let Some(mark) = store.mark else { return CopyOutcome::Gone };
        machine.picture = Some(Picture { mark, bytes: store.picture(), read_at: now });
    }
    let held = machine.picture.as_mut().filter(|picture| of.is_none_or(|of| of == picture.mark));
    let Some(held) = held else { return CopyOutcome::Gone };
    held.read_at = now;
    let (mark, picture) = (held.mark, &held.bytes);
    let from = from.first_chunk().map_or(0, |from| u64::from_le_bytes(*from) as usize).min(picture.len());
    let end = (from + PIECE).min(picture.len());
    let next = (end < picture.len()).then(|| (end as u64).to_le_bytes().to_vec());
    CopyOutcome::Piece { mark, bytes: picture[from..end].to_vec(), next }
}
